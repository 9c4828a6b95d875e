"""
When a runner was there and when not, so that what was missed has a reason (semantics §6).

A runner writes into the store that it came and that it left, and touches a file each second: how long the one before
it was there is known even if it was killed. It also notices when the host slept or the clock was set.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyjobs import procs
from pyjobs.clock import Clock
from pyjobs.errors import StoreBusy
from pyjobs.ports import Event, EventKind, Store
from pyjobs.service.fires import Absence

__all__ = ["Attendance"]

_log = logging.getLogger(__name__)
#: A wall clock that differs by more from elapsed time was set; a host that gained more in between slept.
_JUMP_MS = 2000
#: The fact about the runner that came last.
_FACT = "runner"
_REMEMBERED = 20
_UNWRITABLE = "the store could not be written"


class Attendance:
    """Keeps the record of one runner's presence."""

    def __init__(
        self, store: Store, clock: Clock, seen: Path, owner: str, *, boot_ms: Callable[[], int] | None = None
    ) -> None:
        """
        Take what it works on.

        Args:
            store: where coming and leaving is noted.
            clock: wall and monotonic.
            seen: the file that is touched.
            owner: this runner.
            boot_ms: milliseconds since boot, sleep included.
        """
        self._store = store
        self._clock = clock
        self._seen = seen
        self._owner = owner
        self._boot_ms = boot_ms or _since_boot
        self._absences: deque[Absence] = deque(maxlen=_REMEMBERED)
        self._set_ms, self._slept_ms = self._offsets()
        self._trouble_since: int | None = None
        self._leaving_since: int | None = None

    @property
    def absences(self) -> Sequence[Absence]:
        """Times in which nothing was claimed, the newest first."""
        known = tuple(reversed(self._absences))
        if self._trouble_since is None:
            return known
        return (Absence(_UNWRITABLE, self._trouble_since, self._clock.now_ms()), *known)

    def come(self) -> None:
        """Note that this runner came up, and since when nobody had been there."""
        now_ms = self._clock.now_ms()
        before: dict[str, Any] = json.loads(self._store.fact(_FACT) or "{}")
        if before.get("owner") == self._owner:  # it came already, and something else kept it from starting
            return
        detail: dict[str, Any] = {"owner": self._owner}
        last_ms = now_ms
        if before and not procs.owner_alive(before.get("owner", ""), self._store.seen):  # no other host's was there
            last_ms = min(now_ms, max(before.get("down_ms") or 0, before["up_ms"], self._last_seen()))
            detail |= {"last_seen_ms": last_ms, "clean": before.get("down_ms") is not None}
        with self._store.transaction():
            self._store.set_fact(_FACT, json.dumps({"owner": self._owner, "up_ms": now_ms}))
            self._store.add_event(Event(at_ms=now_ms, kind=EventKind.RUNNER_UP, detail=detail))
        if last_ms < now_ms:
            self._absences.append(Absence("the daemon was down", last_ms, now_ms))
        self.touch()

    def prepare_to_leave(self) -> None:
        """Take note that nothing is claimed from now on, though what runs may be waited for."""
        self._leaving_since = self._clock.now_ms()

    def leave(self) -> None:
        """Note that this runner left by itself."""
        now_ms = self._clock.now_ms() if self._leaving_since is None else self._leaving_since
        with contextlib.suppress(StoreBusy), self._store.transaction():
            fact = json.loads(self._store.fact(_FACT) or "{}")
            self._store.set_fact(_FACT, json.dumps({"up_ms": now_ms} | fact | {"down_ms": now_ms}))
            self._store.add_event(Event(at_ms=now_ms, kind=EventKind.RUNNER_DOWN, detail={"owner": self._owner}))

    def touch(self) -> None:
        """Leave a mark of this instant."""
        now_s = self._clock.now_ms() / 1000
        with contextlib.suppress(OSError):  # a full disk: the mark before this one stands
            if not self._seen.exists():
                self._seen.touch(0o600)
            os.utime(self._seen, (now_s, now_s))

    def look_at_clock(self) -> bool:
        """Note when the host slept or the clock was set since the last look; answers whether it was."""
        set_ms, slept_ms = self._offsets()
        set_by, slept_for = set_ms - self._set_ms, slept_ms - self._slept_ms
        self._set_ms, self._slept_ms = set_ms, slept_ms
        now_ms = self._clock.now_ms()
        if slept_for > _JUMP_MS:
            self._absences.append(Absence("the host was suspended", now_ms - slept_for, now_ms))
            self._note(EventKind.SUSPENDED, now_ms, {"for_ms": slept_for})
            _log.warning("the host was suspended for %.1f s", slept_for / 1000)
        if abs(set_by) > _JUMP_MS:
            if set_by > 0:
                self._absences.append(Absence("the clock was set forward", now_ms - set_by, now_ms))
            self._note(EventKind.CLOCK_SET, now_ms, {"by_ms": set_by})
            _log.warning("the clock was set by %+.1f s", set_by / 1000)
        return abs(set_by) > _JUMP_MS

    def trouble(self) -> None:
        """Note that the store cannot be written now."""
        if self._trouble_since is None:
            self._trouble_since = self._clock.now_ms()

    def no_trouble(self) -> None:
        """Note that the store can be written again."""
        if self._trouble_since is not None:
            now_ms = self._clock.now_ms()
            self._absences.append(Absence(_UNWRITABLE, self._trouble_since, now_ms))
            self._trouble_since = None

    def _note(self, kind: EventKind, now_ms: int, detail: dict[str, Any]) -> None:
        with contextlib.suppress(StoreBusy):
            self._store.add_event(Event(at_ms=now_ms, kind=kind, detail=detail))

    def _last_seen(self) -> int:
        try:
            return int(self._seen.stat().st_mtime * 1000)
        except OSError:
            return 0

    def _offsets(self) -> tuple[int, int]:
        """Wall clock less time since boot; that less the time that the host was awake: milliseconds."""
        boot_ms = self._boot_ms()
        return self._clock.now_ms() - boot_ms, boot_ms - round(self._clock.monotonic() * 1000)


def _since_boot() -> int:
    boot = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
    return time.clock_gettime_ns(boot) // 1_000_000
