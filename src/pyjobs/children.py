"""
The processes that the supervisor keeps alive: each with its heartbeat, its life line and its own pause after a crash.

Imports the standard library's small modules only, as the supervisor lives on it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence

__all__ = ["HEARTBEAT_FD", "LIFE_FD", "LISTEN_FD", "READY_FD", "Child"]

#: Descriptors of a child; high enough not to meet those that it has anyway.
HEARTBEAT_FD, READY_FD, LIFE_FD, LISTEN_FD = 60, 61, 62, 63
_HANG_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _HEALTHY_S = 0.5, 60.0, 60.0
#: What this process handles, and its children must find as it was.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Child:
    """One process, started again when it dies or hangs."""

    def __init__(self, name: str, argv: Sequence[str], passed: Mapping[int, int] | None = None) -> None:
        """Take what is started: arguments of this interpreter, and descriptors (number there -> number here)."""
        self.name = name
        self.pid: int | None = None
        self.restarts = 0
        #: Whether it ever came up.
        self.was_ready = False
        self.heartbeat_fd = -1
        self._argv = [sys.executable, *argv]
        self._passed = dict(passed or {})
        self._life_fd = -1
        self._last_beat = self._born = self._start_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._end_by: float | None = None

    @property
    def due_in_s(self) -> float | None:
        """Seconds until it is to be started; None while it runs."""
        return None if self.pid is not None else max(0.0, self._start_at - time.monotonic())

    def start(self, ready_fd: int, poll: select.poll) -> None:
        """
        Start it. `ready_fd`, if there is one, waits for its word.

        Raises:
            OSError: the system has no process or no descriptor left; nothing was started.
        """
        self.heartbeat_fd, beat_write = os.pipe()
        try:
            life_read, self._life_fd = os.pipe()
        except OSError:
            _close(self.heartbeat_fd, beat_write)
            self.heartbeat_fd = -1
            raise
        passed = {HEARTBEAT_FD: beat_write, LIFE_FD: life_read, **self._passed}
        if ready_fd >= 0:
            passed[READY_FD] = ready_fd
        actions = [(os.POSIX_SPAWN_DUP2, here, there) for there, here in passed.items()]
        try:
            self.pid = os.posix_spawn(
                sys.executable, self._argv, os.environ, file_actions=actions, setsigmask=(), setsigdef=_SIGNALS
            )
        except OSError:
            _close(self.heartbeat_fd, self._life_fd)
            self.heartbeat_fd = self._life_fd = -1
            raise
        finally:
            _close(beat_write, life_read)
        self._born = self._last_beat = time.monotonic()
        self._end_by = None
        poll.register(self.heartbeat_fd, select.POLLIN)

    def beat(self, poll: select.poll) -> None:
        """Take signs of life; a closed pipe means that its end follows."""
        if os.read(self.heartbeat_fd, 1024):
            self._last_beat = time.monotonic()
            self.was_ready = True
        else:
            self._close_heartbeat(poll)

    def send(self, number: int, *, end_within_s: float | None = None) -> None:
        """Send a signal, and the last one when it still runs so many seconds later."""
        if self.pid is not None:
            _kill(self.pid, number)
            if end_within_s is not None:
                self._end_by = time.monotonic() + end_within_s

    def end_a_hang(self) -> bool:
        """Kill it when its last sign of life is too old, or it does not end when told. Answers whether it was."""
        if self.pid is None:
            return False
        now = time.monotonic()
        late = self._end_by is not None and now > self._end_by
        if not late and (not self.was_ready or now - self._last_beat <= _HANG_S):
            return False
        _kill(self.pid, signal.SIGKILL)
        self._last_beat, self._end_by = now, None
        return True

    def ended(self, poll: select.poll) -> None:
        """Let go of a process that was reaped."""
        self.pid = None
        self._close_heartbeat(poll)
        os.close(self._life_fd)
        self._life_fd = -1

    def again(self) -> float:
        """Plan its next start, later each time that it did not live for long; answers in how many seconds."""
        if time.monotonic() - self._born > _HEALTHY_S:
            self._pause = _FIRST_PAUSE_S
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE_S)
        self._start_at = time.monotonic() + pause
        self.restarts += 1
        return pause

    def _close_heartbeat(self, poll: select.poll) -> None:
        if self.heartbeat_fd >= 0:
            with contextlib.suppress(KeyError):
                poll.unregister(self.heartbeat_fd)
            os.close(self.heartbeat_fd)
            self.heartbeat_fd = -1


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # reaped just now, and not looked at yet
        os.kill(pid, number)
