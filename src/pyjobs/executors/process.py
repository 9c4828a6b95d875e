"""
An attempt that is a process: its end, its tree, its strays.

A direct child is peeked at and stays a zombie until `close`, so that its exit status cannot be lost between its end
and its record. A process that somebody else is the parent of (adopted after a crash, or a function run) has its
status in the kept exits.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

from pyjobs import procs
from pyjobs.clock import Clock, SystemClock
from pyjobs.ports import Outcome

__all__ = ["RUN_ID", "ProcessAttempt", "environment", "find_leader", "find_strays", "inherit_nothing"]

#: Name of the variable by which every descendant of a run is known, however it detached itself.
RUN_ID = "PYJOBS_RUN_ID"
#: How long a parent may take to write a status down after the process ended.
_STATUS_PATIENCE_S = 5.0
_OURS = ("PYJOBS_",)
_MANAGERS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})


class ProcessAttempt:
    """A process in a session of its own."""

    def __init__(
        self, exec_id: str, pid: int, pid_start: int | None, exits: Path, *, child: bool, clock: Clock | None = None
    ) -> None:
        """Take a process that was just started or found; `child` says whether it is ours to reap."""
        self._exec_id = exec_id
        self.pid: int | None = pid
        self.pid_start: int | None = pid_start
        self._pid = pid
        self._exits = exits
        self._child = child
        self._clock = clock or SystemClock()
        self._gone_since: float | None = None
        self._strays: dict[int, int] = {}
        try:
            self._pidfd = procs.open_pidfd(pid)
        except ProcessLookupError:
            self._pidfd = -1
        if not child and self._pidfd >= 0 and not self._same():  # the pid was given again
            os.close(self._pidfd)
            self._pidfd = -1

    def fileno(self) -> int:
        """The pidfd, or -1."""
        return self._pidfd

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        ended = self._ended()
        if ended is None:
            return None
        outcome = self.judge(ended)
        if self._child or self.pid_start is None:
            return outcome
        return replace(outcome, ended_ms=procs.kept_since(self._exits, self._pid, self.pid_start))

    def judge(self, ended: procs.Ended) -> Outcome:
        """The verdict on an exit status: success is 0."""
        if ended.signal is not None:
            name = procs.describe_signal(ended.signal)
            return Outcome(success=False, exit_code=128 + ended.signal, signal=ended.signal, error=f"ended by {name}")
        if ended.exit_code is None:
            return Outcome(success=False, lost=True, error="it ended while nobody was there to see how")
        if ended.exit_code:
            return Outcome(success=False, exit_code=ended.exit_code, error=f"exit status {ended.exit_code}")
        return Outcome(success=True, exit_code=0)

    def stop(self, *, force: bool) -> None:
        """TERM, or KILL, to its group, its descendants, and strays that left both."""
        number = signal.SIGKILL if force else signal.SIGTERM
        self._strays.update(find_strays(self._exec_id, self._leader()))
        group = 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._same():
                os.killpg(self._pid, number)
                group = self._pid
        for pid, start in self._strays.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # Once for each: a trap must not run twice.
                if procs.start_time(pid) == start and os.getpgid(pid) != group:
                    os.kill(pid, number)

    def _leader(self) -> int:
        """Its pid; 0 once that is no longer its own: what descends from somebody else is none of it."""
        return self._pid if self._same() else 0

    def gone(self) -> bool:
        """Whether nothing of it is left alive."""
        if self._ended() is None and self._same():
            return False
        self._strays.update(find_strays(self._exec_id, self._leader()))
        self._strays = {pid: start for pid, start in self._strays.items() if procs.alive(pid, start)}
        return not self._strays and not _group_alive(self._pid)

    def close(self) -> None:
        """Reap it, or delete the status that was kept for it."""
        if self._child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)
        elif self.pid_start is not None:
            procs.forget_exit(self._exits, self._pid, self.pid_start)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _same(self) -> bool:
        return self.pid_start is None or procs.start_time(self._pid) == self.pid_start

    def _ended(self) -> procs.Ended | None:
        if self._child:
            try:
                return procs.peek(self._pid)
            except ChildProcessError:
                return procs.Ended(None, None)
        kept = procs.kept_exit(self._exits, self._pid, self.pid_start or 0)
        if kept is not None or procs.alive(self._pid, self.pid_start):
            return kept
        if self._zombie():
            # Its parent writes the status down before it reaps it, if it is one of ours.
            now = self._clock.monotonic()
            self._gone_since = now if self._gone_since is None else self._gone_since
            if now - self._gone_since <= _STATUS_PATIENCE_S:
                return None
        return procs.kept_exit(self._exits, self._pid, self.pid_start or 0) or procs.Ended(None, None)

    def _zombie(self) -> bool:
        return self._same() and procs.is_zombie(self._pid)


def environment(base: dict[str, str], secrets: frozenset[str]) -> dict[str, str]:
    """The daemon's environment less pyjobs' own settings and secrets, and the way to a service manager."""
    return {k: v for k, v in base.items() if not k.startswith(_OURS) and k not in secrets and k not in _MANAGERS}


def inherit_nothing() -> None:
    """Make all descriptors but 0 to 2 close-on-exec: whoever started this process may have left some that are not."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - names only
            with contextlib.suppress(OSError, ValueError):
                if int(name) > 2:
                    os.set_inheritable(int(name), False)


def find_strays(exec_id: str, leader: int) -> dict[int, int]:
    """Map pid to start time for all that descends from a run: by its tree, or by the run's id in its environment."""
    found: dict[int, int] = {}
    wanted = f"{RUN_ID}={exec_id}".encode()
    for entry in _proc_entries():
        pid = int(entry)
        if pid in (leader, os.getpid()):
            continue
        with contextlib.suppress(OSError):
            content = Path(f"/proc/{pid}/environ").read_bytes()
            start = procs.start_time(pid) if wanted in content.split(b"\0") else None
            if start is not None:
                found[pid] = start
    for pid in _descendants(leader) if leader else []:
        start = procs.start_time(pid)
        if start is not None:
            found[pid] = start
    return found


def find_leader(exec_id: str) -> tuple[int, int] | tuple[None, None]:
    """(pid, start time) of the session leader of a run whose pid was not recorded any more."""
    for pid, start in sorted(find_strays(exec_id, 0).items(), key=lambda found: found[1]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == pid:
                return pid, start
    return None, None


def _descendants(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _proc_entries() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only
    except OSError:
        return []


def _group_alive(pgid: int) -> bool:
    for entry in _proc_entries():
        with contextlib.suppress(OSError, IndexError, ValueError):
            rest = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
            if int(rest[2]) == pgid and rest[0] != b"Z":
                return True
    return False
