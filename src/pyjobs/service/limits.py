"""How often one client may do something: a bucket a client that fills up again with time."""

from __future__ import annotations

import math
import threading

from pyjobs.clock import Clock
from pyjobs.permits import Address

__all__ = ["Limiter"]

#: Clients that are remembered; of more than these the longest silent ones are forgotten.
_REMEMBERED = 10_000
#: Whoever has one IPv6 address has this network full of them.
_V6_SHIFT = 64


class Limiter:
    """At most `times` in `per_s` seconds for each client, counted in this process."""

    def __init__(self, clock: Clock, times: int, per_s: float = 60) -> None:
        """Take the figures; 0 times is no limit."""
        self._clock = clock
        self._times = times
        self._rate = times / per_s
        self._lock = threading.Lock()
        #: client -> (what is left, as of when); the longest silent one first.
        self._left: dict[int, tuple[float, float]] = {}

    def wait_s(self, peer: Address) -> int:
        """Whole seconds until the client may again; 0: now."""
        if not self._times:
            return 0
        with self._lock:
            left = self._of(_key(peer))
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._rate))

    def count(self, peer: Address) -> None:
        """It did it."""
        if not self._times:
            return
        key = _key(peer)
        with self._lock:
            left = self._of(key) - 1
            self._left.pop(key, None)
            self._left[key] = (max(0.0, left), self._clock.monotonic())
            while len(self._left) > _REMEMBERED:
                del self._left[next(iter(self._left))]

    def _of(self, key: int) -> float:
        left, since = self._left.get(key, (float(self._times), 0.0))
        return min(float(self._times), left + (self._clock.monotonic() - since) * self._rate)


def _key(peer: Address) -> int:
    return int(peer) if peer.version == 4 else -(int(peer) >> _V6_SHIFT) - 1
