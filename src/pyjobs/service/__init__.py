"""
Use cases, by noun. They take plain values and answer frozen ones; they never print and know neither HTTP nor SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyjobs.clock import Clock
from pyjobs.ports import Nudge, Store
from pyjobs.service.jobs import Jobs
from pyjobs.service.runs import Runs
from pyjobs.service.system import System

__all__ = ["Service", "build"]


@dataclass(frozen=True, slots=True)
class Service:
    """What the terminal, the REST façade and the runner call."""

    jobs: Jobs
    runs: Runs
    system: System
    #: Release the store; nothing may be called after it.
    close: Callable[[], None]


def build(store: Store, nudge: Nudge, clock: Clock, default_zone: str) -> Service:
    """Put the use cases together over one store."""
    jobs = Jobs(store, nudge, clock, default_zone)
    return Service(jobs, Runs(store, nudge, clock, jobs), System(store, nudge, clock, jobs), store.close)
