"""The only module that reads a clock. Everything below the runner gets its time passed in."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Protocol

__all__ = ["UTC", "Clock", "SystemClock", "from_ms", "parse_text", "text", "to_ms"]

UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Clock(Protocol):
    """What a runner needs to know about time."""

    def now_ms(self) -> int:
        """Wall clock: milliseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; for time-outs and back-off."""


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        """Wall clock: milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime, rounded down."""
    if moment.tzinfo is None:
        msg = f"a datetime without a zone: {moment!r}"
        raise ValueError(msg)
    return (moment - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """Aware UTC datetime of milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=ms)


def text(ms: int) -> str:
    """`YYYY-MM-DD HH:MM:SS` in UTC, the form that the store keeps."""
    return from_ms(ms).isoformat(" ", "seconds")[:19]


@lru_cache(8192)  # a list of jobs holds the same texts again and again
def parse_text(stored: str) -> int:
    """Milliseconds of a text that `text` wrote."""
    return to_ms(datetime.fromisoformat(stored).replace(tzinfo=UTC))
