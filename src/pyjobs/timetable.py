"""
What is due when, and what becomes of fires that are late (semantics §6). Pure: the time is passed in.

All instants are milliseconds since the epoch in UTC.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import NamedTuple

from pyjobs.jobs import Misfire
from pyjobs.triggers import Trigger

__all__ = ["MAX_CATCHUP", "ON_TIME_MS", "Fire", "Missed", "Plan", "Timetable", "plan"]

#: A start within so many milliseconds of its instant is on time.
ON_TIME_MS = 5000
#: How many late fires `misfire = all` runs at most, the newest.
MAX_CATCHUP = 100
#: An entry of the heap is one number, instant and job: a third of a tuple's memory, and the order is right.
_ID_BITS = 64
_ID_MASK = (1 << _ID_BITS) - 1
#: Entries that no longer count may be as many as those that do, and this many more.
_SPARE = 64


class Timetable:
    """The next instant of each job. A tick costs what is due, not what exists."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[int] = []
        #: The entry of each job that counts; others in the heap are left over from changes.
        self._entries: dict[int, int] = {}

    def __len__(self) -> int:
        """Count the jobs that are in it."""
        return len(self._entries)

    def set(self, job_id: int, next_ms: int | None) -> None:
        """Say when a job (id from 0) is due next; None takes it out."""
        if next_ms is None:
            self.discard(job_id)
            return
        entry = next_ms << _ID_BITS | job_id
        if self._entries.get(job_id) == entry:
            return
        self._entries[job_id] = entry
        heapq.heappush(self._heap, entry)
        self._tidy()

    def discard(self, job_id: int) -> None:
        """Take a job out, if it is in."""
        if self._entries.pop(job_id, None) is not None:
            self._tidy()

    def next_ms(self) -> int | None:
        """Find the earliest instant at which something is due."""
        while self._heap:
            if self._counts(self._heap[0]):
                return self._heap[0] >> _ID_BITS
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now_ms: int) -> list[tuple[int, int]]:
        """Take out the jobs that are due at `now_ms`, until they are set again: (job id, instant), oldest first."""
        due = []
        while self._heap and self._heap[0] >> _ID_BITS <= now_ms:
            entry = heapq.heappop(self._heap)
            if self._counts(entry):
                del self._entries[entry & _ID_MASK]
                due.append((entry & _ID_MASK, entry >> _ID_BITS))
        return due

    def _counts(self, entry: int) -> bool:
        return self._entries.get(entry & _ID_MASK) == entry

    def _tidy(self) -> None:
        # Far instants that were changed often would otherwise stay in the heap until they come.
        if len(self._heap) > 2 * len(self._entries) + _SPARE:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)


class Fire(NamedTuple):
    """One instant that is to run now; `late` when it is a catch-up."""

    ms: int
    late: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """A range of fires that do not run: one row."""

    first_ms: int
    last_ms: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of the fires of one job that are due: each is in `run` or in `missed`, none in both."""

    #: Ascending; those that are late come first.
    run: tuple[Fire, ...]
    #: All that are older than those that run.
    missed: Missed | None
    #: The first fire strictly after now; None: never again.
    next_ms: int | None


def plan(trigger: Trigger, due_ms: int, now_ms: int, misfire: Misfire, catchup_window_s: int) -> Plan:
    """
    Decide about the fires in [due_ms, now_ms]. `due_ms` is the earliest that nobody claimed, and is a fire itself.

    Fires at most 5 s old run. Of the older ones the job's `misfire` and its window decide. Computed, never looped: a
    per-second job that slept for a year costs some milliseconds. Before `due_ms` (a clock set back) nothing runs.
    """
    if due_ms > now_ms:
        return Plan(run=(), missed=None, next_ms=due_ms)
    fires = _Fires(trigger, due_ms)
    on_time_from = now_ms - ON_TIME_MS
    on_time = fires.newest(on_time_from, now_ms, ON_TIME_MS + 1)
    allowed = {Misfire.ONCE: 0 if on_time else 1, Misfire.SKIP: 0, Misfire.ALL: MAX_CATCHUP}[misfire]
    late = fires.newest(now_ms - catchup_window_s * 1000, on_time_from - 1, allowed)
    return Plan(
        run=(*(Fire(ms, late=True) for ms in late), *(Fire(ms, late=False) for ms in on_time)),
        missed=_missed(fires, due_ms, late[0] - 1 if late else on_time_from - 1),
        next_ms=trigger.next_after(now_ms),
    )


def _missed(fires: _Fires, due_ms: int, until: int) -> Missed | None:
    count = fires.count(due_ms, until)
    return Missed(due_ms, fires.newest(due_ms, until, 1)[0], count) if count else None


class _Fires:
    """The fires of a trigger from `due_ms` on, which is one even if the trigger has been changed meanwhile."""

    def __init__(self, trigger: Trigger, due_ms: int) -> None:
        self._trigger = trigger
        self._due_ms = due_ms

    def count(self, since: int, until: int) -> int:
        """Count those in [since, until]."""
        due = since <= self._due_ms <= until
        after = max(since - 1, self._due_ms)
        return due + (self._trigger.count(after, until) if after < until else 0)

    def newest(self, since: int, until: int, limit: int) -> list[int]:
        """List the newest `limit` in [since, until], ascending."""
        after = max(since - 1, self._due_ms)
        found = self._trigger.newest(after, until, limit) if after < until else []
        if since <= self._due_ms <= until and len(found) < limit:
            return [self._due_ms, *found]
        return found
