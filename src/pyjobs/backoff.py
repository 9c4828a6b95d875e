"""When a process that crashed is started again: pure, with the clock passed in. Imports next to nothing."""

from __future__ import annotations

from collections import deque

__all__ = ["Backoff"]


class Backoff:
    """
    Pauses that grow with each crash, and whether there were so many that somebody should look.

    After crashes at 0, 1 and 3 s the pauses were 0.5, 1 and 2 s. It never gives up; the pause never exceeds
    `longest_s`. All arguments are seconds, but for `crashes`.
    """

    def __init__(
        self, *, first_s: float = 0.5, longest_s: float = 60, healthy_s: float = 60, crashes: int = 5,
        within_s: float = 60,
    ) -> None:  # fmt: skip
        """Take the limits: so many `crashes` `within_s` mean safe mode, `healthy_s` of health end it."""
        self.restarts = 0
        #: Safe mode.
        self.safe = False
        self._first_s, self._longest_s, self._healthy_s, self._within_s = first_s, longest_s, healthy_s, within_s
        self._pause_s = first_s
        self._crashes: deque[float] = deque(maxlen=crashes)

    def crashed(self, now_s: float, healthy_for_s: float) -> float:
        """Count a crash of what had been well for so long (0: it never came up); answers the pause."""
        self.is_well(healthy_for_s)
        self._crashes.append(now_s)
        if len(self._crashes) == self._crashes.maxlen and now_s - self._crashes[0] <= self._within_s:
            self.safe = True
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._longest_s)
        self.restarts += 1
        return pause_s

    def is_well(self, healthy_for_s: float) -> bool:
        """Begin anew after enough health; answers whether that ends safe mode."""
        if healthy_for_s < self._healthy_s:
            return False
        self._pause_s = self._first_s
        self._crashes.clear()
        was_safe, self.safe = self.safe, False
        return was_safe
