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

from pyjobs.backoff import Backoff

__all__ = ["HEARTBEAT_FD", "LIFE_FD", "LISTEN_FD", "READY_FD", "RENEW", "Child"]

#: Descriptors of a child; high enough not to meet those that it has anyway.
HEARTBEAT_FD, READY_FD, LIFE_FD, LISTEN_FD = 60, 61, 62, 63
#: A sign of life with which a process asks for another one in its place.
RENEW = "~renew"
_HANG_S = 15.0
#: How long one that is started again may take to come up.
_START_S = 60.0
#: What this process handles, and its children must find as it was.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Child:
    """One process, started again when it dies or hangs."""

    def __init__(self, name: str, argv: Sequence[str], passed: Mapping[int, int] | None = None) -> None:
        """Take what is started: arguments of this interpreter, and descriptors (number there -> number here)."""
        self.name = name
        self.pid: int | None = None
        self.backoff = Backoff()
        #: Whether it ever came up.
        self.was_ready = False
        #: What it says that it cannot do just now; empty: nothing.
        self.trouble = ""
        #: Why it could not come up, if it said so.
        self.last_word = ""
        #: Whether it asked for another one in its place, and whether that is under way.
        self.is_old = self.leaves = False
        self.heartbeat_fd = -1
        self._argv = [sys.executable, *argv]
        self._passed = dict(passed or {})
        self._life_fd = -1
        self._last_beat = self._patient_since = self._start_at = 0.0
        #: Since when this process is up; None: it is still coming up.
        self._up_since: float | None = None
        self._end_by: float | None = None

    @property
    def due_in_s(self) -> float | None:
        """Seconds until it is to be started; None while it runs."""
        return None if self.pid is not None else max(0.0, self._start_at - time.monotonic())

    @property
    def is_up(self) -> bool:
        """Whether it has come up."""
        return self.pid is not None and self._up_since is not None

    @property
    def up_for_s(self) -> float:
        """Seconds since this process came up; 0 when it did not."""
        return 0.0 if self.pid is None or self._up_since is None else time.monotonic() - self._up_since

    @property
    def is_looked_after(self) -> bool:
        """Whether it gives signs of life, or is replaced as it should; a hang that even SIGKILL did not end is not."""
        return self.pid is None or time.monotonic() - self._last_beat <= self._limit_s * 2

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
        self._last_beat = self._patient_since = time.monotonic()
        self._up_since = self._end_by = None
        self.is_old = self.leaves = False
        self.last_word = ""
        os.set_blocking(self.heartbeat_fd, False)
        poll.register(self.heartbeat_fd, select.POLLIN)

    def beat(self, poll: select.poll) -> bool:
        """Take signs of life, each a line; answers whether it says something new."""
        try:
            said = os.read(self.heartbeat_fd, 65536)  # all that a pipe holds
        except BlockingIOError:
            return False
        if not said:  # its end follows
            self._close_heartbeat(poll)
            return False
        news = [self._take(line) for line in said.decode(errors="replace").split("\n") if line]
        return any(news)

    def send(self, number: int, *, end_within_s: float | None = None) -> None:
        """Send a signal, and the last one when it still runs so many seconds later."""
        if self.pid is not None:
            _kill(self.pid, number)
            if end_within_s is not None:
                self._end_by = time.monotonic() + end_within_s

    def renew(self, *, within_s: float) -> None:
        """Have it end, to be started again at once."""
        self.leaves = True
        self.send(signal.SIGTERM, end_within_s=within_s)

    def end_a_hang(self) -> str:
        """Kill it when its last sign of life is too old, or it does not end when told. Answers why, if it was."""
        if self.pid is None:
            return ""
        now = time.monotonic()
        late = self._end_by is not None and now > self._end_by
        if not late and (not self.was_ready or now - self._patient_since <= self._limit_s):
            return ""
        _kill(self.pid, signal.SIGKILL)
        self._patient_since, self._end_by = now, None
        return "did not end when it was told to" if late else f"gave no sign of life for {self._limit_s:.0f} s"

    def ended(self, poll: select.poll) -> None:
        """Let go of a process that was reaped, and plan its next start."""
        now = time.monotonic()
        self._start_at = now if self.leaves else now + self.backoff.crashed(now, self.up_for_s)
        if self.heartbeat_fd >= 0:
            self.beat(poll)
        self.pid, self.trouble = None, ""
        self._close_heartbeat(poll)
        os.close(self._life_fd)
        self._life_fd = -1

    def again(self) -> float:
        """Plan its next start after one that the system refused; answers in how many seconds."""
        now = time.monotonic()
        pause = self.backoff.crashed(now, 0.0)
        self._start_at = now + pause
        return pause

    @property
    def _limit_s(self) -> float:
        return _HANG_S if self._up_since is not None else _START_S

    def _take(self, line: str) -> bool:
        """Take what it says in one line; answers whether that is new."""
        if line.startswith("!"):
            self.last_word = line[1:]
            return False
        came_up, asks = self._up_since is None, line == RENEW
        trouble = self.trouble if asks else line[1:]
        news, self.trouble = came_up or trouble != self.trouble, trouble
        self.is_old = self.is_old or asks
        self._last_beat = self._patient_since = time.monotonic()
        if came_up:
            self._up_since, self.was_ready = self._last_beat, True
        return news

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
