"""
The small parents. Imports next to nothing, since they live as long as the daemon does.

    front (only in the foreground) -> keeper -> supervisor -> runner, and the API's processes

The **supervisor** starts the runner and the API, and starts each again when it dies or hangs. As a subreaper it is
the next parent of commands whose runner died, and keeps their exit statuses. The **keeper** does the same when the
supervisor dies as well, and stays until the last of these commands has ended; it does nothing else, so that nothing
is likely to end it. The **front** is what a terminal, systemd or a container waits for: it passes signals on, and
leaves when the supervisor does, though the keeper may stay.

The socket of the API is opened before all this and stays open here: clients that come while the API is started again
wait for it, and the port is nobody else's.
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
from typing import NamedTuple, NoReturn

from pyjobs import procs
from pyjobs.children import LISTEN_FD, Child
from pyjobs.folders import make_private

__all__ = ["Given", "Supervisor", "main"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
#: How long the API may take to answer what is in flight.
_API_STOP_S = 15.0


class Given(NamedTuple):
    """What the supervisor is told; descriptors are -1 where there is none."""

    home: Path
    #: This process holds the lock for life.
    lock_fd: int
    #: The pipe of whoever waits for the first start.
    ready_fd: int
    #: `front` or `background`.
    where: str
    #: The listening socket, where it can be reached, and how many processes accept from it.
    api_fd: int
    api_url: str
    api_workers: int

    @classmethod
    def parsed(cls, argv: list[str]) -> Given:
        """From a command line."""
        home, lock_fd, ready_fd, where, api_fd, api_url, workers = argv
        return cls(Path(home), int(lock_fd), int(ready_fd), where, int(api_fd), api_url, int(workers))

    @property
    def exits(self) -> Path:
        """As `Settings.exits_dir`: the settings are too much to import here."""
        return self.home / "run" / "exits"

    def argv(self) -> list[str]:
        """As a command line."""
        return [str(value) for value in self]

    def fds(self) -> list[int]:
        """Those that there are."""
        return [fd for fd in (self.lock_fd, self.ready_fd, self.api_fd) if fd >= 0]


class Supervisor:
    """Keeps a runner and the processes of an API alive."""

    def __init__(self, given: Given, version: str) -> None:
        """Take what it is told."""
        self._given = given
        self._exits = given.exits
        self._ready_fd = given.ready_fd
        place = [str(given.home), given.where]
        self._runner = Child("runner", ["-m", "pyjobs.serve", *place])
        self._api = [
            Child("API", ["-m", "pyjobs.serve_api", *place], {LISTEN_FD: given.api_fd})
            for _ in range(given.api_workers if given.api_fd >= 0 else 0)
        ]
        self._children = [self._runner, *self._api]
        self._state: dict[str, object] = {
            "pid": os.getpid(),
            "start": procs.start_time(os.getpid()),
            "keeper": os.getppid(),
            "started_ms": time.time_ns() // 1_000_000,
            "home": str(given.home),
            "version": version,
            "api_url": given.api_url,
        }
        self._stopping = False
        self._code = 0

    def run(self, life_fd: int) -> int:
        """Supervise until told to stop; `life_fd` is readable when the front died. Answers the exit code."""
        procs.become_subreaper()
        make_private(self._exits)
        wakeup = _signal_pipe()
        poll = select.poll()
        for fd in (wakeup, life_fd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        while not self._stopping or any(child.pid for child in self._children):
            self._start_due(poll)
            for fd, _ in poll.poll(self._wait_ms()):
                if fd == wakeup:
                    self._pass_on(os.read(wakeup, 64))
                elif fd == life_fd:
                    poll.unregister(life_fd)
                    self._stop()
                else:
                    self._hear(fd, poll)
            self._reap(poll)
            for child in self._children:
                pid = child.pid
                if child.end_a_hang():
                    _say(f"the {child.name} (pid {pid}) does not answer; killed")
        return self._code

    def _start_due(self, poll: select.poll) -> None:
        started = False
        for child in self._children:
            if not self._stopping and child.due_in_s == 0:
                started = self._start(child, poll) or started
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1
        if started:
            self._publish()

    def _start(self, child: Child, poll: select.poll) -> bool:
        try:
            child.start(self._ready_fd, poll)
        except OSError as exc:
            _say(f"the {child.name} could not be started: {exc.strerror}; tried again in {child.again():.1f} s")
            return False
        return True

    def _hear(self, fd: int, poll: select.poll) -> None:
        for child in self._children:
            if child.heartbeat_fd == fd:
                child.beat(poll)

    def _wait_ms(self) -> int:
        waits = [child.due_in_s for child in self._children]
        return max(10, int(min([1.0, *(wait for wait in waits if wait is not None)]) * 1000))

    def _pass_on(self, numbers: bytes) -> None:
        """Hand signals to the children; all but HUP mean the end."""
        for number in numbers:
            if number == signal.SIGHUP:
                for child in self._children:
                    child.send(signal.SIGHUP)
            elif number != signal.SIGCHLD:
                self._stop()

    def _stop(self) -> None:
        """Have the runner end; the API refuses changes and reads on until then. Told twice, all end at once."""
        first, self._stopping = not self._stopping, True
        self._runner.send(signal.SIGTERM)
        if first and self._runner.pid is not None:
            for child in self._api:
                child.send(signal.SIGUSR1)
        else:
            self._stop_api()

    def _stop_api(self) -> None:
        for child in self._api:
            child.send(signal.SIGTERM, end_within_s=_API_STOP_S)

    def _reap(self, poll: select.poll) -> None:
        """Keep exit statuses of orphans; see to children that ended."""
        ours = {child.pid: child for child in self._children if child.pid is not None}
        for pid, how in procs.keep_exits(self._exits, set(ours)):
            if pid in ours:
                self._ended(ours[pid], how, poll)

    def _ended(self, child: Child, how: procs.Ended, poll: select.poll) -> None:
        child.ended(poll)
        if self._stopping:
            # One that was still starting ends by the signal itself.
            if how.exit_code != 0 and how.signal not in (signal.SIGTERM, signal.SIGUSR1):
                self._code = self._code or 1
            if child is self._runner:
                self._stop_api()
        elif not child.was_ready:  # it never came up: whoever started us was told why
            self._code = how.exit_code or 1
            self._stop()
            self._stop_api()
        else:
            what = procs.describe_signal(how.signal) if how.signal else f"exit status {how.exit_code}"
            _say(f"the {child.name} ended by {what}; started again in {child.again():.1f} s")
            self._publish()

    def _publish(self) -> None:
        """Say in the lock's file who is here; `status` and `stop` read it."""
        self._state |= {"runner": self._runner.pid, "restarts": self._runner.restarts,
                        "api": [child.pid for child in self._api],
                        "api_restarts": sum(child.restarts for child in self._api)}  # fmt: skip
        content = (json.dumps(self._state) + "\n").encode()
        with contextlib.suppress(OSError):  # a full disk: `status` says what it said before
            os.pwrite(self._given.lock_fd, content, 0)
            os.ftruncate(self._given.lock_fd, len(content))


def main(argv: list[str]) -> int:
    """Become the tree of processes above; answer the exit code. The arguments are those of `Given`."""
    given = Given.parsed(argv)
    for fd in given.fds():
        os.set_inheritable(fd, False)
    if given.where == "background":
        return _keep(given, life_fd=-1, report_fd=-1)
    life_read, life_write = os.pipe()
    report_read, report_write = os.pipe()
    if os.fork() == 0:
        os.close(life_write)
        os.close(report_read)
        os.setsid()  # a terminal's signals reach the front only, and once
        os._exit(_keep(given, life_fd=life_read, report_fd=report_write))
    for fd in (life_read, report_write, *given.fds()):
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


def _keep(given: Given, *, life_fd: int, report_fd: int) -> int:
    """The keeper: fork the supervisor, keep the exit statuses of orphans, stay until the last one has ended."""
    procs.become_subreaper()
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(given, life_fd, report_fd)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _report(report_fd, supervisor)
    for fd in (life_fd, *given.fds()):
        if fd >= 0:
            os.close(fd)
    code = 1
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return code
        for pid, how in procs.keep_exits(given.exits, {supervisor}):
            if pid == supervisor:
                code = 1 if how.exit_code is None else how.exit_code
                _report(report_fd, code)
                _let_go_of_terminal()


def _supervise(given: Given, life_fd: int, report_fd: int) -> NoReturn:
    from pyjobs import __version__

    if report_fd >= 0:
        os.close(report_fd)
    code = 1
    try:
        code = Supervisor(given, __version__).run(life_fd)
    except Exception:
        sys.excepthook(*sys.exc_info())  # nobody above says it
    finally:
        sys.stderr.flush()
        os._exit(code)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
