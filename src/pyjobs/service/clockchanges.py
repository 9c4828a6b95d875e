"""Times of a cron expression that a zone's clock left out or showed twice (semantics §7). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyjobs.cronexpr import read
from pyjobs.triggers import CronTrigger
from pyjobs.walltime import LIMIT, piece_at

__all__ = ["ClockChange", "clock_changes"]


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of a zone's clock that an expression names times in."""

    #: The clock was set forward, so that times did not exist; else back, so that they came twice.
    gap: bool
    #: Of a gap its end; of what came twice its first time of the second round.
    at_ms: int
    #: Such times on the clock on the wall, wall seconds, and how many.
    first_wall: int
    last_wall: int
    times: int
    zone: str
    #: Whether a gap was made good, by one fire at its end.
    made_good: bool


def clock_changes(expr: str, trigger: CronTrigger, after_ms: int, until_ms: int) -> Iterator[ClockChange]:
    """
    What a fixed expression names in gaps that end, and in hours that come again, in (after, until].

    Others follow elapsed time: for them nothing is left out and nothing comes twice.
    """
    if not read(expr).fixed:
        return
    second, end = max(after_ms // 1000 + 1, 0), min(until_ms // 1000 + 1, LIMIT)
    while second < end:
        piece = piece_at(trigger.zone, second)
        starts_here = second <= piece.start < end and piece.before != piece.offset
        if starts_here:
            gap = piece.offset > piece.before
            low, high = sorted((piece.start + piece.before, piece.start + piece.offset))
            # What may come a second time is a fire of its own where the job says so.
            times = trigger.calendar.count(low, high) if gap or trigger.once_in_fold else 0
            if times:
                first = trigger.calendar.next(low)
                at = piece.start if gap else first - piece.offset
                good = gap and trigger.count(piece.start * 1000 - 1, piece.start * 1000) > 0 and trigger.after_gap
                last = first if times == 1 else _last(trigger, low, high)
                yield ClockChange(gap, at * 1000, first, last, times, trigger.zone.key, good)
        second = piece.end


def _last(trigger: CronTrigger, low: int, high: int) -> int:
    """The last wall second in [low, high) that matches."""
    while high - low > 1:
        middle = (low + high) // 2
        if trigger.calendar.count(middle, high):
            low = middle
        else:
            high = middle
    return low
