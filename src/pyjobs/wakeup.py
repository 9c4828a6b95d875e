"""What a loop sleeps on: ends of runs, nudges, signals."""

from __future__ import annotations

import selectors
from collections.abc import Iterable
from typing import Protocol

from pyjobs.slots import Flight

__all__ = ["HasFileno", "Wakeup"]

#: Where a system has no pidfd, ended processes are looked for this often.
_POLL_S = 0.05


class HasFileno(Protocol):
    """What a selector takes."""

    def fileno(self) -> int:
        """Its descriptor."""


class Wakeup:
    """What the loop sleeps on: ends of runs, nudges, signals."""

    def __init__(self) -> None:
        """Open the selector and the pipe through which signals come."""
        self._selector = selectors.DefaultSelector()
        self._blind: set[Flight] = set()
        self._fds: dict[int, int] = {}

    def add(self, source: int | HasFileno, tag: str) -> None:
        """Wake for a descriptor or what has one."""
        self._selector.register(source, selectors.EVENT_READ, tag)

    def watch(self, flight: Flight) -> None:
        """Wake when this flight's attempt ends."""
        assert flight.attempt is not None
        number = flight.attempt.fileno()
        if number < 0:
            self._blind.add(flight)
            return
        self._fds[id(flight)] = number
        self._selector.register(number, selectors.EVENT_READ, flight)

    def unwatch(self, flight: Flight) -> None:
        """Forget it, before its descriptor is closed."""
        self._blind.discard(flight)
        number = self._fds.pop(id(flight), None)
        if number is not None:
            self._selector.unregister(number)

    def wait(self, seconds: float) -> tuple[list[Flight], set[str]]:
        """Sleep; answers flights to look at, and tags of other sources."""
        if self._blind:
            seconds = min(seconds, _POLL_S)
        flights, tags = list(self._blind), set()
        for key, _ in self._selector.select(max(0.0, seconds)):
            if isinstance(key.data, str):
                tags.add(key.data)
            else:
                flights.append(key.data)
        return flights, tags

    def look_again(self, flights: Iterable[Flight]) -> None:
        """
        Poll flights whose descriptor stays readable though they are not over.

        Their status is not written down yet by whoever is their parent, or something that they started is left.
        """
        for flight in flights:
            self.unwatch(flight)
            self._blind.add(flight)

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()
