"""
When a job is due: cron, interval, once, manual. Each answers "the next instant after t", and counts without looping.

All instants are whole milliseconds since the epoch in UTC. Zones and their clock changes are semantics §7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from pyjobs.cronexpr import calendar_of, read
from pyjobs.durations import check_interval, shown
from pyjobs.errors import BadTrigger
from pyjobs.jobs import Fold, Gap, Job, TriggerType
from pyjobs.walltime import LIMIT, Calendar, Piece, piece_at

__all__ = [
    "CronTrigger",
    "IntervalTrigger",
    "ManualTrigger",
    "OnceTrigger",
    "Trigger",
    "check_zone",
    "parse_cron",
    "trigger_of",
]

#: A longer jump is a correction of the calendar, nothing runs for it (Apia has no 30 December 2011).
_MAX_GAP_S = 3 * 3600
#: No clock is set by more than this, so no matching wall time can come back later than that.
_MARGIN_S = 2 * 86400
#: Without a fire in so many seconds there never is one: the longest calendar cycle, and some years of clock changes.
_AHEAD_S = 50 * 366 * 86400
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")


class Trigger(Protocol):
    """Something that is due at instants."""

    def next_after(self, ms: int) -> int | None:
        """Find the first fire strictly after `ms`; None means never again."""

    def count(self, after: int, until: int) -> int:
        """Count the fires in (after, until]."""

    def newest(self, after: int, until: int, limit: int) -> list[int]:
        """List the newest `limit` fires in (after, until], ascending."""


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Due when the clock on the wall of `zone` shows a time of `calendar`; never before 1970 or after the year 9996."""

    calendar: Calendar
    zone: ZoneInfo
    #: A time that the clock shows twice counts the first time only.
    once_in_fold: bool
    #: Times that the clock jumps over count once, at the end of the gap.
    after_gap: bool

    def next_after(self, ms: int) -> int | None:
        """Find the first fire strictly after `ms`."""
        second = first = max(ms // 1000 + 1, 0)
        while second < min(LIMIT, first + _AHEAD_S):
            piece = piece_at(self.zone, second)
            if second == piece.start and self._fires_for_gap(piece):
                return second * 1000
            wall = self._first_wall(piece, second)
            found = self.calendar.next(wall)
            end = piece.end + piece.offset
            if found < end:
                return (found - piece.offset) * 1000
            # What matches next lies beyond the piece, so that nearly all of the way can be skipped; but close to
            # its end the clock may be set back to times before `wall`.
            near = end - wall < _MARGIN_S
            second = piece.end if near else max(piece.end, found - piece.offset - _MARGIN_S)
        return None

    def count(self, after: int, until: int) -> int:
        """Count the fires in (after, until]; the cost grows with the years, not with the fires."""
        second, end = max(after // 1000 + 1, 0), min(until // 1000 + 1, LIMIT)
        total = 0
        while second < end:
            piece = piece_at(self.zone, second)
            upto = min(end, piece.end)
            wall = self._first_wall(piece, second)
            if second == piece.start and self._fires_for_gap(piece):
                # The clock's first time after the gap is the same instant.
                total, wall = total + 1, wall + 1
            total += self.calendar.count(wall, upto + piece.offset)
            second = upto
        return total

    def newest(self, after: int, until: int, limit: int) -> list[int]:
        """List the newest `limit` fires in (after, until], ascending."""
        if limit <= 0:
            return []
        if self.count(after, until) > limit:
            # The latest second after which there are no more than `limit`.
            low, high = after // 1000, until // 1000 + 1
            while high - low > 1:
                middle = (low + high) // 2
                if self.count(middle * 1000, until) > limit:
                    low = middle
                else:
                    high = middle
            after = high * 1000
        fires: list[int] = []
        fire = self.next_after(after)
        while fire is not None and fire <= until:
            fires.append(fire)
            fire = self.next_after(fire)
        return fires

    def _first_wall(self, piece: Piece, second: int) -> int:
        """Read the clock at `second`, or give the first time after it that it did not show before a fold."""
        if self.once_in_fold and piece.before > piece.offset:
            return max(second + piece.offset, piece.start + piece.before)
        return second + piece.offset

    def _fires_for_gap(self, piece: Piece) -> bool:
        """Tell whether a gap that ends where `piece` starts holds a matching time that has to be made good."""
        if not self.after_gap or not 0 < piece.offset - piece.before <= _MAX_GAP_S:
            return False
        return self.calendar.next(piece.start + piece.before) < piece.start + piece.offset


@dataclass(frozen=True, slots=True)
class IntervalTrigger:
    """Due at anchor + k · period for k = 1, 2, …: no drift, no zone."""

    period_ms: int
    anchor_ms: int

    def next_after(self, ms: int) -> int | None:
        """Find the first fire strictly after `ms`."""
        return self.anchor_ms + (self._fired(ms) + 1) * self.period_ms

    def count(self, after: int, until: int) -> int:
        """Count the fires in (after, until]."""
        return max(0, self._fired(until) - self._fired(after))

    def newest(self, after: int, until: int, limit: int) -> list[int]:
        """List the newest `limit` fires in (after, until], ascending."""
        last = self._fired(until)
        first = max(self._fired(after), last - max(limit, 0)) + 1
        return [self.anchor_ms + k * self.period_ms for k in range(first, last + 1)]

    def _fired(self, ms: int) -> int:
        """Count its fires up to and including `ms`."""
        return max(0, (ms - self.anchor_ms) // self.period_ms)


@dataclass(frozen=True, slots=True)
class OnceTrigger:
    """Due at one instant."""

    at_ms: int

    def next_after(self, ms: int) -> int | None:
        """Give that instant, while it is still to come."""
        return self.at_ms if self.at_ms > ms else None

    def count(self, after: int, until: int) -> int:
        """Count the fires in (after, until]: 0 or 1."""
        return int(after < self.at_ms <= until)

    def newest(self, after: int, until: int, limit: int) -> list[int]:
        """List that instant, if it is in (after, until]."""
        return [self.at_ms] if limit > 0 and self.count(after, until) else []


@dataclass(frozen=True, slots=True)
class ManualTrigger:
    """Never due."""

    def next_after(self, ms: int) -> int | None:  # noqa: ARG002 - the protocol's parameter
        """Never."""
        return None

    def count(self, after: int, until: int) -> int:  # noqa: ARG002 - the protocol's parameters
        """None."""
        return 0

    def newest(self, after: int, until: int, limit: int) -> list[int]:  # noqa: ARG002 - the protocol's parameters
        """None."""
        return []


def parse_cron(
    expr: str, zone: str, *, gap: Gap = Gap.RUN_AFTER, fold: Fold = Fold.FIRST, anchor_ms: int = 0
) -> Trigger:
    """
    Make the trigger that a cron expression stands for in a zone, which its own `TZ=` prefix replaces.

    Raises:
        BadTrigger: the expression (`cron_expr`) or the zone (`timezone`) cannot be used.
    """
    expression = read(expr)
    job_zone = check_zone(zone)
    info = check_zone(expression.zone, "cron_expr") if expression.zone else job_zone
    if expression.every_s:
        return IntervalTrigger(expression.every_s * 1000, anchor_ms)
    fixed = expression.fixed
    return CronTrigger(
        calendar_of(expression),
        info,
        once_in_fold=fixed and fold is Fold.FIRST,
        after_gap=fixed and gap is Gap.RUN_AFTER,
    )


def trigger_of(job: Job, default_zone: str) -> Trigger:
    """
    Give the trigger of a job; equal definitions share one. `default_zone` serves jobs without a zone.

    Raises:
        BadTrigger: it cannot be used; the message names the field of the job.
    """
    if job.trigger_type is TriggerType.CRON:
        # Only a period has an anchor: with it in the key, no two jobs would share a trigger.
        anchor = job.anchor_ms if "@every" in job.cron_expr.lower() else 0
        return _shared_cron(job.cron_expr, job.timezone or default_zone, job.dst_gap, job.dst_fold, anchor)
    if job.trigger_type is TriggerType.INTERVAL:
        return IntervalTrigger(check_interval(job.interval_s) * 1000, job.anchor_ms)
    if job.trigger_type is TriggerType.ONCE:
        return OnceTrigger(_checked_instant(job.at_ms))
    return ManualTrigger()


@lru_cache(maxsize=4096)
def _shared_cron(expr: str, zone: str, gap: Gap, fold: Fold, anchor_ms: int) -> Trigger:
    return parse_cron(expr, zone, gap=gap, fold=fold, anchor_ms=anchor_ms)


def _checked_instant(at_ms: int | None) -> int:
    if at_ms is None:
        raise BadTrigger("at", "is missing", "缺少时间", hint="say when, such as `2030-01-31 09:00`",
                         hint_zh="请指定时间，例如 `2030-01-31 09:00`")  # fmt: skip
    if not 0 <= at_ms < LIMIT * 1000:
        raise BadTrigger("at", "is not between the years 1970 and 9996", "不在 1970 年到 9996 年之间")
    return at_ms


def check_zone(name: str, field: str = "timezone") -> ZoneInfo:
    """The zone of this name. Raises BadTrigger: the machine knows none."""
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ValueError, LookupError, OSError, ImportError):
        pass
    raise BadTrigger(
        field,
        f"there is no time zone `{shown(name)}`",
        f"不存在时区 `{shown(name)}`",
        hint="use a name such as `Asia/Shanghai` or `UTC`",
        hint_zh="请使用 `Asia/Shanghai`、`UTC` 这样的名称",
    )
