"""
Whether and when a failed attempt is made again (semantics §9). Pure: chance is passed in.

`retry_on` names failures, separated by commas: `timeout`; `error`, which is one without any number; a number or a
range of numbers such as `75` or `500-599`, being the exit status of a command or a function, the HTTP status of a
request. Empty: every failure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pyjobs.errors import Invalid
from pyjobs.jobs import Backoff

__all__ = ["LONGEST_PAUSE_S", "RetryOn", "pause_s", "retry_on"]

#: Where a growing pause ends.
LONGEST_PAUSE_S = 300.0
_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_WORDS = ("timeout", "error")


class RetryOn(NamedTuple):
    """Which failures are worth another attempt."""

    words: frozenset[str]
    #: Both ends are in it.
    ranges: tuple[tuple[int, int], ...]

    def wants(self, *, timed_out: bool, number: int | None) -> bool:
        """Whether a failure is one of these; `number` is its exit or HTTP status, if it has one."""
        if not self.words and not self.ranges:
            return True
        if timed_out:
            return "timeout" in self.words
        if number is None:
            return "error" in self.words
        return any(low <= number <= high for low, high in self.ranges)


@lru_cache(maxsize=256)
def retry_on(text: str) -> RetryOn:
    """Read what a job says. Raises Invalid."""
    words, ranges = set(), []
    for part in filter(None, (piece.strip().lower() for piece in text.split(","))):
        found = _RANGE.fullmatch(part)
        if part in _WORDS:
            words.add(part)
        elif found and int(found[1]) <= int(found[2] or found[1]):
            ranges.append((int(found[1]), int(found[2] or found[1])))
        else:
            raise Invalid(
                "retry_on",
                f"`{part}` is not one of timeout, error, a number, or a range such as 500-599",
                f"`{part}` 无效，可用：timeout、error、数字，或 500-599 这样的范围",
            )
    return RetryOn(frozenset(words), tuple(ranges))


def pause_s(backoff: Backoff, interval_s: float, attempt: int, chance: float) -> float:
    """
    Give the seconds between an attempt that failed and the next one.

    With `exponential` the pause is chosen evenly from 0 to a limit that doubles with each attempt ("full jitter", as
    Amazon's architecture blog describes it), so that jobs that failed together do not come back together.

    Args:
        backoff: the job's.
        interval_s: the limit after the first attempt; 0 counts as 1 where it grows.
        attempt: the number of the one that failed, from 1.
        chance: from 0 to 1.
    """
    if backoff is Backoff.FIXED:
        return interval_s
    doublings = min(attempt - 1, 32)
    return chance * min(LONGEST_PAUSE_S, (interval_s or 1.0) * 2.0**doublings)
