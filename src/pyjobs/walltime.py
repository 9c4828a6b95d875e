"""
Wall clock time: which seconds of a calendar match, and how a zone's clock maps to elapsed time.

A *wall* second counts from 1970-01-01 00:00:00 of an imaginary zone without offset: it stands for what a clock on the
wall shows. An *elapsed* second counts from the epoch in UTC. Both are plain integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["FAR", "LIMIT", "Calendar", "Piece", "month_kind", "piece_at"]

_DAY = 86400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CHUNK_BITS = 25
#: Elapsed seconds from which on nothing fires: a whole number of chunks, before the year 9999 ends.
LIMIT = 7550 << _CHUNK_BITS
#: A wall second that is never reached.
FAR = 1 << 40
#: 29 February on a given weekday comes again after 40 years at most, across a year such as 2100.
_DAYS_AHEAD = 41 * 366


def month_kind(length: int, first_weekday: int) -> int:
    """Give the index, 0 to 27, of a month by its length and the weekday of its first day (0 is Monday)."""
    return (length - 28) * 7 + first_weekday


@dataclass(frozen=True, slots=True)
class Calendar:
    """A set of wall seconds. Masks: bit n of `hours` is hour n, of `months` month n (1 to 12), and so on."""

    seconds: int
    minutes: int
    hours: int
    months: int
    #: For each of the 28 kinds of month (see `month_kind`) the days that match: bit n is day n.
    days: tuple[int, ...]

    def next(self, wall: int) -> int:
        """Find the first matching wall second that is not before `wall`, or `FAR`."""
        day, second = divmod(wall, _DAY)
        for first, mask in self._months(day):
            ahead = mask >> (day - first + 1) if day > first else mask >> 1
            if ahead & 1 and day >= first:
                time = self._time_from(second)
                if time >= 0:
                    return day * _DAY + time
                ahead ^= 1
            if ahead:
                return (max(day, first) + _lowest(ahead)) * _DAY + self._time_from(0)
            if first - day > _DAYS_AHEAD:
                break
        return FAR

    def count(self, start: int, end: int) -> int:
        """Count the matching wall seconds in [start, end); computed, whatever the distance."""
        if end <= start:
            return 0
        first_day, first_second = divmod(start, _DAY)
        last_day, last_second = divmod(end, _DAY)
        per_day = self.hours.bit_count() * self.minutes.bit_count() * self.seconds.bit_count()
        total = self._days(first_day, last_day) * per_day
        if first_second and self._days(first_day, first_day + 1):
            total -= self._times_before(first_second)
        if last_second and self._days(last_day, last_day + 1):
            total += self._times_before(last_second)
        return total

    def _months(self, day: int) -> Iterator[tuple[int, int]]:
        """Go through the months from that of `day` on: (number of its first day, mask of the days that match)."""
        today = date.fromordinal(day + _EPOCH_ORDINAL)
        year, month, first = today.year, today.month, day - today.day + 1
        while True:
            leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            length = 29 if leap else _LENGTHS[month]
            # 1 January 1970 was a Thursday.
            yield first, self.days[month_kind(length, (first + 3) % 7)] if self.months >> month & 1 else 0
            first += length
            month += 1
            if month == 13:
                year, month = year + 1, 1

    def _days(self, start: int, end: int) -> int:
        """Count the days in [start, end) that match."""
        total = 0
        for first, mask in self._months(start):
            if first >= end:
                break
            low, high = max(start - first, 0) + 1, min(end - first, 31) + 1
            total += (mask & ((1 << high) - (1 << low))).bit_count()
        return total

    def _time_from(self, second: int) -> int:
        """Find the first matching second of a day that is not before `second`, or -1."""
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1 and (mask := self.seconds >> second):
                return hour * 3600 + minute * 60 + second + _lowest(mask)
            if mask := self.minutes >> (minute + 1):
                return hour * 3600 + (minute + 1 + _lowest(mask)) * 60 + _lowest(self.seconds)
        if mask := self.hours >> (hour + 1):
            return (hour + 1 + _lowest(mask)) * 3600 + _lowest(self.minutes) * 60 + _lowest(self.seconds)
        return -1

    def _times_before(self, second: int) -> int:
        """Count the matching seconds of a day before `second`."""
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        seconds, minutes = self.seconds.bit_count(), self.minutes.bit_count()
        total = _below(self.hours, hour) * minutes * seconds
        if self.hours >> hour & 1:
            total += _below(self.minutes, minute) * seconds
            if self.minutes >> minute & 1:
                total += _below(self.seconds, second)
        return total


class Piece(NamedTuple):
    """Elapsed seconds [start, end) in which a zone's clock does not jump: wall = elapsed + offset."""

    start: int
    end: int
    offset: int
    #: The offset just before `start`: smaller at a gap, larger at a fold, else the same.
    before: int


def piece_at(zone: ZoneInfo, second: int) -> Piece:
    """Find the piece that an elapsed second (from 0, below `LIMIT`) belongs to."""
    pieces = _pieces(zone, second >> _CHUNK_BITS)
    for piece in pieces:
        if second < piece.end:
            return piece
    return pieces[-1]


@lru_cache(maxsize=4096)
def _pieces(zone: ZoneInfo, chunk: int) -> tuple[Piece, ...]:
    """Find all pieces of 388 days. A zone does not tell its transitions, so each day is asked for its offset."""
    start, end = chunk << _CHUNK_BITS, (chunk + 1) << _CHUNK_BITS
    starts = [start]
    for low in range(start, end, _DAY):
        _jumps(zone, low, min(low + _DAY, end - 1), starts)
    return tuple(
        Piece(at, upto, _offset(zone, at), _offset(zone, at - 1))
        for at, upto in zip(starts, [*starts[1:], end], strict=True)
    )


def _jumps(zone: ZoneInfo, low: int, high: int, found: list[int]) -> None:
    """Append the elapsed seconds in (low, high] at which the offset changes."""
    while (before := _offset(zone, low)) != _offset(zone, high):
        left, right = low, high
        while right - left > 1:
            middle = (left + right) // 2
            left, right = (middle, right) if _offset(zone, middle) == before else (left, middle)
        found.append(right)
        low = right


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else offset.days * _DAY + offset.seconds


def _lowest(mask: int) -> int:
    """Find the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1


def _below(mask: int, bit: int) -> int:
    """Count the bits below `bit` that are set."""
    return (mask & ((1 << bit) - 1)).bit_count()
