"""
What the events tell about a job's past: which schedule was in force when, and what held its fires back. Pure.

All instants are milliseconds since the epoch in UTC. An instant is held back by what covers it: (from, to].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pyjobs.jobs import Fold, Gap, Job, JobState, TriggerType
from pyjobs.ports import Event, EventKind

__all__ = ["FAR_MS", "Cause", "Hold", "Present", "Scheduled", "holds_of", "known_since", "schedules_of"]

#: After every instant.
FAR_MS = 1 << 60
_LIMIT = re.compile(r"it has run \d+ times, as often as it may")
#: How a stored value of a job's schedule is read back.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "trigger_type": TriggerType,
    "cron_expr": str,
    "interval_s": int,
    "at_ms": lambda value: value,
    "timezone": str,
    "dst_gap": Gap,
    "dst_fold": Fold,
    "anchor_ms": int,
}


class Cause(str, Enum):
    """What held fires back, the plainest first: where several did, the first one is told."""

    #: The job was stopped, by somebody or by itself.
    STOPPED = "stopped"
    LIMIT = "limit"
    PAUSED = "paused"
    DOWN = "down"
    SUSPENDED = "suspended"
    CLOCK_SET = "clock_set"
    #: Due, and not claimed yet.
    PENDING = "pending"
    #: The history begins later.
    BEFORE_HISTORY = "before_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Something that kept the fires in (from, to] from being launched."""

    cause: Cause
    #: None: since before the history begins, or nobody knows.
    from_ms: int | None
    #: None: it still does.
    to_ms: int | None
    by: str = ""
    reason: str = ""
    #: Of a daemon that was down: whether it had left by itself. None: nobody knows.
    clean: bool | None = None

    def covers(self, ms: int) -> bool:
        """Whether it held back a fire at this instant."""
        return (self.from_ms is None or self.from_ms < ms) and (self.to_ms is None or ms <= self.to_ms)

    def meets(self, first_ms: int, last_ms: int) -> bool:
        """Whether it held back any of the fires in [first, last]."""
        return (self.from_ms is None or self.from_ms < last_ms) and (self.to_ms is None or first_ms <= self.to_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is so now."""

    now_ms: int
    #: Whether a runner is there.
    alive: bool
    #: When one was seen for the last time, if that is known.
    seen_ms: int | None = None
    #: Who paused firing, since when.
    paused_by: str | None = None
    paused_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """How a job was scheduled in (from, to]."""

    from_ms: int
    to_ms: int
    job: Job


def known_since(job: Job, events: Sequence[Event], now_ms: int) -> int:
    """The instant from which on the events tell all about a job."""
    added = _added(job, events)
    if added is not None:
        return added.at_ms
    return max(job.created_ms, events[0].at_ms) if events else now_ms


def schedules_of(job: Job, events: Sequence[Event]) -> list[Scheduled]:
    """The schedules of a job, oldest first; the first one begins when the job was added."""
    added = _added(job, events)
    found, end = [], FAR_MS
    for event in reversed(events):
        if event.kind is EventKind.JOB_RESCHEDULED and event.job_id == job.id:
            found.append(Scheduled(event.at_ms, end, job))
            before = {name: read(event.detail[name]) for name, read in _READ.items() if name in event.detail}
            job, end = replace(job, **before), event.at_ms
    # Stores keep whole seconds of the instant.
    found.append(Scheduled(min(end, job.created_ms if added is None else added.at_ms), end, job))
    return found[::-1]


def holds_of(job: Job | None, events: Sequence[Event], present: Present) -> list[Hold]:
    """All that held fires of a job back; of one that is gone, what held back those of all. The plainest cause first."""
    holds = [*_paused(events, present), *_down(events, present), *_jumps(events)]
    if job is not None:
        holds += _stopped(job, events)
        if job.state is JobState.WAITING and job.next_fire_ms is not None and job.next_fire_ms <= present.now_ms:
            holds.append(Hold(cause=Cause.PENDING, from_ms=job.next_fire_ms - 1, to_ms=None))
        if _added(job, events) is None:
            begins = known_since(job, events, present.now_ms)
            # How long before that something held fires back, nobody knows.
            holds = [hold if hold.from_ms is not None else replace(hold, from_ms=begins) for hold in holds]
            holds.append(Hold(cause=Cause.BEFORE_HISTORY, from_ms=None, to_ms=begins))
    ranks = {cause: rank for rank, cause in enumerate(Cause)}
    return sorted(holds, key=lambda hold: ranks[hold.cause])


def _added(job: Job, events: Iterable[Event]) -> Event | None:
    return next((e for e in events if e.kind is EventKind.JOB_ADDED and e.job_id == job.id), None)


def _stopped(job: Job, events: Sequence[Event]) -> list[Hold]:
    mine = [event for event in events if event.job_id == job.id]
    spans = _spans(mine, EventKind.JOB_STOPPED, EventKind.JOB_STARTED)
    if job.state is JobState.STOPPED and (not spans or spans[-1][1] is not None):
        # Stopped since it was added, or since before the history begins.
        spans.append((_added(job, events), None))
    elif job.state is JobState.WAITING and spans and spans[-1][1] is None:
        spans.pop()
    return [_stop(job, start, end) for start, end in spans]


def _stop(job: Job, start: Event | None, end: Event | None) -> Hold:
    detail = start.detail if start is not None else {}
    reason = str(detail.get("reason", "")) or (job.stop_reason if end is None else "")
    return Hold(
        cause=Cause.LIMIT if _LIMIT.fullmatch(reason) else Cause.STOPPED,
        from_ms=None if start is None else start.at_ms,
        to_ms=None if end is None else end.at_ms,
        by=str(detail.get("by", "")),
        reason=reason,
    )


def _paused(events: Sequence[Event], present: Present) -> list[Hold]:
    spans = _spans(events, EventKind.PAUSED, EventKind.RESUMED)
    holds = [
        Hold(
            cause=Cause.PAUSED,
            from_ms=None if start is None else start.at_ms,
            to_ms=None if end is None else end.at_ms,
            by="" if start is None else str(start.detail.get("by", "")),
        )
        for start, end in spans
        if end is not None
    ]
    if present.paused_by is not None:
        holds.append(Hold(cause=Cause.PAUSED, from_ms=present.paused_ms, to_ms=None, by=present.paused_by))
    return holds


def _spans(events: Sequence[Event], starts: EventKind, ends: EventKind) -> list[tuple[Event | None, Event | None]]:
    """(begin, end) of what two kinds of events begin and end; None: before the first event, or not yet."""
    spans: list[tuple[Event | None, Event | None]] = []
    start: Event | None = None
    for event in events:
        if event.kind is starts and start is None:
            start = event
        elif event.kind is ends and (start is not None or not spans):
            spans.append((start, event))
            start = None
    return [*spans, (start, None)] if start is not None else spans


def _down(events: Sequence[Event], present: Present) -> list[Hold]:
    """When no runner was there."""
    holds, since, clean = [], None, None
    for event in events:
        if event.kind is EventKind.RUNNER_DOWN:
            since, clean = event.at_ms, True
        elif event.kind is EventKind.RUNNER_UP:
            # Without an event of its own it died: its successor says when it was seen for the last time.
            seen = since if clean else event.detail.get("last_seen_ms")
            left = True if clean else event.detail.get("clean")
            if seen is not None or since is None:
                holds.append(Hold(cause=Cause.DOWN, from_ms=seen, to_ms=event.at_ms, clean=left))
            since, clean = event.at_ms, False
    if not present.alive:
        known = [ms for ms in (since, present.seen_ms) if ms is not None]
        begin = since if clean else max(known, default=None)
        holds.append(Hold(cause=Cause.DOWN, from_ms=begin, to_ms=None, clean=clean))
    return holds


def _jumps(events: Sequence[Event]) -> list[Hold]:
    """When the host slept, and what a clock that was set forward left out."""
    holds = []
    for event in events:
        kind, name = {
            EventKind.SUSPENDED: (Cause.SUSPENDED, "for_ms"),
            EventKind.CLOCK_SET: (Cause.CLOCK_SET, "by_ms"),
        }.get(event.kind, (None, ""))
        length = int(event.detail.get(name) or 0)
        if kind is not None and length > 0:
            holds.append(Hold(cause=kind, from_ms=event.at_ms - length, to_ms=event.at_ms))
    return holds
