"""
What is told of trouble: incidents, each with one cause, and the deliveries that tell of them. Frozen values, no I/O.

An incident is opened once, reminded of while it lasts, and closed once, however often its cause shows itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Delivery", "DeliveryState", "Finding", "Incident", "IncidentState", "Mark", "Notice"]


class IncidentState(str, Enum):
    """How far an incident is."""

    #: Its cause is there, but not for long or not often enough yet: nobody was told.
    PENDING = "pending"
    OPEN = "open"
    CLOSED = "closed"


class Notice(str, Enum):
    """What is told of an incident."""

    OPENED = "opened"
    REMINDER = "reminder"
    CLOSED = "closed"


class DeliveryState(str, Enum):
    """How far a delivery is."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a source of alerts found to be wrong just now."""

    #: What it is about: the same cause is the same incident. Begins with its source: `job:3:late`, `rule:Name`.
    cause: str
    title: str
    #: Further lines.
    text: str = ""
    severity: str = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    job_id: int | None = None
    #: Since when it is wrong; None: since now.
    since_ms: int | None = None
    #: It is told once it was found so often, and has been there for so long.
    needed: int = 1
    for_ms: int = 0
    #: Whether its end is told.
    tell_end: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One cause, from its first sign to its end. Instants are milliseconds since the epoch."""

    id: int = 0
    cause: str
    job_id: int | None = None
    title: str
    text: str = ""
    severity: str = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    state: IncidentState = IncidentState.PENDING
    tell_end: bool = True
    #: How often its cause showed itself.
    count: int = 0
    since_ms: int
    opened_ms: int | None = None
    #: When it was opened or reminded of last.
    told_ms: int | None = None
    acked_ms: int | None = None
    acked_by: str = ""
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice on its way through one channel."""

    id: int = 0
    incident_id: int
    channel: str
    notice: Notice
    title: str
    text: str
    #: What a template may name, by name.
    fields: Mapping[str, Any] = field(default_factory=dict)
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    created_ms: int
    #: When it is tried next.
    next_ms: int
    sent_ms: int | None = None
    #: Why the last attempt failed, without secrets.
    error: str = ""


class Mark(NamedTuple):
    """A run of a watched job ended, and nobody has looked at it yet. Ids grow in the order of the ends."""

    id: int
    exec_id: str
