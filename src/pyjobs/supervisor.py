"""
The small parents. Imports next to nothing, since they live as long as the daemon does.

    front (only in the foreground) -> keeper -> supervisor -> runner

The **supervisor** starts the runner and starts it again when it dies or hangs. As a subreaper it is the next parent
of commands whose runner died, and keeps their exit statuses. The **keeper** does the same when the supervisor dies
as well, and stays until the last of these commands has ended; it does nothing else, so that nothing is likely to end
it. The **front** is what a terminal, systemd or a container waits for: it passes signals on, and leaves when the
supervisor does, though the keeper may stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from pyjobs import procs
from pyjobs.folders import make_private

__all__ = ["HEARTBEAT_FD", "LIFE_FD", "READY_FD", "Supervisor", "main"]

#: Descriptors of the runner; high enough not to meet those that it has anyway.
HEARTBEAT_FD, READY_FD, LIFE_FD = 60, 61, 62
_HANG_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _HEALTHY_S = 0.5, 60.0, 60.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Supervisor:
    """Keeps one runner alive."""

    def __init__(self, home: Path, lock_fd: int, ready_fd: int, where: str, version: str) -> None:
        """Take the home, the lock that this process holds for life, and the pipe that waits for the first runner."""
        self._home = home
        self._where = where
        self._exits = home / "run" / "exits"
        self._lock_fd = lock_fd
        self._ready_fd = ready_fd
        self._state = {"pid": os.getpid(), "start": procs.start_time(os.getpid()), "keeper": os.getppid(),
                       "runner": None, "started_ms": _wall_ms(), "restarts": 0, "home": str(home),
                       "version": version}  # fmt: skip
        self._runner: int | None = None
        self._heartbeat_fd = -1
        self._life_fd = -1
        self._last_beat = 0.0
        self._born = 0.0
        self._was_ready = False
        self._pause = _FIRST_PAUSE_S
        self._start_at = 0.0
        self._stopping = False

    def run(self, life_fd: int) -> int:
        """Supervise until told to stop; `life_fd` is readable when the front died. Answers the exit code."""
        procs.become_subreaper()
        make_private(self._exits)
        wakeup = _signal_pipe()
        poll = select.poll()
        for fd in (wakeup, life_fd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        code: int | None = None
        while code is None:
            if self._runner is None and time.monotonic() >= self._start_at:
                self._start_runner(poll)
            for fd, _ in poll.poll(self._wait_ms()):
                if fd == self._heartbeat_fd:
                    self._beat(poll)
                elif fd == wakeup:
                    self._pass_on(os.read(wakeup, 64))
                else:
                    poll.unregister(life_fd)
                    self._pass_on(bytes([signal.SIGTERM]))
            code = self._reap(poll)
            self._end_a_hang()
        return code

    def _end_a_hang(self) -> None:
        """Kill a runner whose heartbeat is too old; what it runs goes on."""
        if self._runner is not None and self._was_ready and time.monotonic() - self._last_beat > _HANG_S:
            _say(f"the runner (pid {self._runner}) does not answer; killed")
            os.kill(self._runner, signal.SIGKILL)
            self._last_beat = time.monotonic()

    def _wait_ms(self) -> int:
        if self._runner is not None:
            return 1000
        return max(10, int((self._start_at - time.monotonic()) * 1000))

    def _start_runner(self, poll: select.poll) -> None:
        beat_read, beat_write = os.pipe()
        life_read, life_write = os.pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, beat_write, HEARTBEAT_FD),
            (os.POSIX_SPAWN_DUP2, life_read, LIFE_FD),
        ]
        if self._ready_fd >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, self._ready_fd, READY_FD))
        argv = [sys.executable, "-m", "pyjobs.serve", str(self._home), self._where]
        self._runner = os.posix_spawn(
            sys.executable, argv, os.environ, file_actions=actions, setsigmask=(), setsigdef=_SIGNALS
        )
        os.close(beat_write)
        os.close(life_read)
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1
        self._heartbeat_fd, self._life_fd = beat_read, life_write
        self._born = self._last_beat = time.monotonic()
        poll.register(beat_read, select.POLLIN)
        self._publish()

    def _beat(self, poll: select.poll) -> None:
        if os.read(self._heartbeat_fd, 1024):
            self._last_beat = time.monotonic()
            self._was_ready = True
        else:  # closed: its end follows
            poll.unregister(self._heartbeat_fd)
            os.close(self._heartbeat_fd)
            self._heartbeat_fd = -1

    def _pass_on(self, numbers: bytes) -> None:
        """Hand signals to the runner; all but HUP mean the end."""
        for number in numbers:
            if number == signal.SIGCHLD:
                continue
            if number != signal.SIGHUP:
                self._stopping = True
            if self._runner is not None:
                os.kill(self._runner, signal.SIGHUP if number == signal.SIGHUP else signal.SIGTERM)

    def _reap(self, poll: select.poll) -> int | None:
        """Keep exit statuses of orphans; see to a runner that ended. Answers an exit code when all is over."""
        spare = {self._runner} if self._runner is not None else set()
        for pid, how in procs.keep_exits(self._exits, spare):
            if pid in spare:
                return self._runner_ended(how, poll)
        return 0 if self._stopping and self._runner is None else None

    def _runner_ended(self, how: procs.Ended, poll: select.poll) -> int | None:
        self._runner = None
        if self._heartbeat_fd >= 0:
            poll.unregister(self._heartbeat_fd)
            os.close(self._heartbeat_fd)
        os.close(self._life_fd)
        self._heartbeat_fd = self._life_fd = -1
        if self._stopping:
            # One that was still starting ends by the signal itself.
            return 0 if how.exit_code == 0 or how.signal == signal.SIGTERM else 1
        if not self._was_ready:  # it never came up: whoever started us was told why
            return how.exit_code or 1
        if time.monotonic() - self._born > _HEALTHY_S:
            self._pause = _FIRST_PAUSE_S
        self._start_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        self._state["restarts"] = int(str(self._state["restarts"])) + 1
        what = procs.describe_signal(how.signal) if how.signal else f"exit status {how.exit_code}"
        _say(f"the runner ended by {what}; started again in {self._start_at - time.monotonic():.1f} s")
        self._publish()
        return None

    def _publish(self) -> None:
        """Say in the lock's file who is here; `status` and `stop` read it."""
        self._state["runner"] = self._runner
        content = (json.dumps(self._state) + "\n").encode()
        os.pwrite(self._lock_fd, content, 0)
        os.ftruncate(self._lock_fd, len(content))


def main(argv: list[str]) -> int:
    """`HOME LOCK_FD READY_FD front|background`: become the tree of processes above, answer the exit code."""
    home, lock_fd, ready_fd, where = Path(argv[0]), int(argv[1]), int(argv[2]), argv[3]
    for fd in (lock_fd, ready_fd):
        if fd >= 0:
            os.set_inheritable(fd, False)
    if where == "background":
        return _keep(home, lock_fd, ready_fd, where, life_fd=-1, report_fd=-1)
    life_read, life_write = os.pipe()
    report_read, report_write = os.pipe()
    if os.fork() == 0:
        os.close(life_write)
        os.close(report_read)
        os.setsid()  # a terminal's signals reach the front only, and once
        os._exit(_keep(home, lock_fd, ready_fd, where, life_fd=life_read, report_fd=report_write))
    for fd in (life_read, report_write, lock_fd, ready_fd):
        if fd >= 0:
            os.close(fd)
    return _front(report_read)


def _front(report_fd: int) -> int:
    """Pass signals on to the supervisor; answer its exit code when it says it."""
    first, _, rest = os.read(report_fd, 64).partition(b"\n")
    supervisor = int(first or 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _: _kill_quietly(supervisor, n))
    rest += os.read(report_fd, 64)
    return int(rest.strip() or 1)


def _keep(home: Path, lock_fd: int, ready_fd: int, where: str, *, life_fd: int, report_fd: int) -> int:
    """The keeper: fork the supervisor, keep the exit statuses of orphans, stay until the last one has ended."""
    from pyjobs import __version__

    procs.become_subreaper()
    exits = home / "run" / "exits"
    supervisor = os.fork()
    if supervisor == 0:
        if report_fd >= 0:
            os.close(report_fd)
        code = 1
        try:
            code = Supervisor(home, lock_fd, ready_fd, where, __version__).run(life_fd)
        finally:
            sys.stderr.flush()
            os._exit(code)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _report(report_fd, supervisor)
    for fd in (lock_fd, ready_fd, life_fd):
        if fd >= 0:
            os.close(fd)
    code = 1
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return code
        for pid, how in procs.keep_exits(exits, {supervisor}):
            if pid == supervisor:
                code = 1 if how.exit_code is None else how.exit_code
                _report(report_fd, code)
                _let_go_of_terminal()


def _report(fd: int, number: int) -> None:
    if fd >= 0:
        with contextlib.suppress(BrokenPipeError):
            os.write(fd, f"{number}\n".encode())


def _let_go_of_terminal() -> None:
    """Hold neither the terminal nor a pipe open that somebody waits for the end of."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _kill_quietly(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_pipe() -> int:
    """A descriptor that the numbers of signals can be read from."""
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    return read_fd


def _say(message: str) -> None:
    # Its terminal may be gone; that is no reason to go as well.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"pyjobs supervisor: {message}\n")
        sys.stderr.flush()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
