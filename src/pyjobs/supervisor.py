"""
Keeps the runner and the API's processes alive. Imports next to nothing, since it lives as long as the daemon does.

The socket of the API is opened before all this and stays open here: clients that come while the API is started again
wait for it, and the port is nobody else's.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import NamedTuple

from pyjobs import __version__, procs
from pyjobs.board import Board
from pyjobs.children import LISTEN_FD, Child
from pyjobs.folders import make_private
from pyjobs.notify import Notifier

__all__ = ["Given", "Supervisor"]

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
    #: The system log.
    log: str

    @classmethod
    def parsed(cls, argv: list[str]) -> Given:
        """From a command line."""
        home, lock_fd, ready_fd, where, api_fd, api_url, workers, log = argv
        return cls(Path(home), int(lock_fd), int(ready_fd), where, int(api_fd), api_url, int(workers), log)

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
    """Keeps a runner and the processes of an API alive, and says how they are."""

    def __init__(self, given: Given, notifier: Notifier, *, keeper: int, main_pid: int) -> None:
        """Take what it is told: its parent, and the process that a service manager watches."""
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
        self._notifier = notifier
        self._keeper = keeper
        self._main_pid = main_pid
        self._board = Board(given.lock_fd, Path(given.log), {
            "pid": os.getpid(),
            "start": procs.start_time(os.getpid()),
            "keeper": keeper,
            "started_ms": time.time_ns() // 1_000_000,
            "home": str(given.home),
            "version": __version__,
            "api_url": given.api_url,
        })  # fmt: skip
        self._poll = select.poll()
        self.is_alone = False
        self._was_ready = self._reloading = self._stopping = False
        self._safe_since_ms: int | None = None
        self._last_restart: dict[str, object] | None = None
        self._killed_for: dict[int, str] = {}
        #: Those that are to reload when they have come up.
        self._reload_later: set[Child] = set()
        self._code = 0

    def run(self, life_fd: int) -> int:
        """Supervise until told to stop; `life_fd` is readable when the front died. Answers the exit code."""
        procs.become_subreaper()
        make_private(self._exits)
        wakeup = _signal_pipe()
        for fd in (wakeup, life_fd):
            if fd >= 0:
                self._poll.register(fd, select.POLLIN)
        while not self._stopping or any(child.pid for child in self._children):
            self._start_due()
            for fd, _ in self._poll.poll(self._wait_ms()):
                if fd == wakeup:
                    self._pass_on(os.read(wakeup, 64))
                elif fd == life_fd:
                    self._poll.unregister(life_fd)
                    self._stop()
                else:
                    self._hear(fd)
            self._reap()
            self._renew()
            self._look()
        return self._code

    # --- children ----------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        started = False
        for child in self._children:
            if not self._stopping and child.due_in_s == 0:
                started = self._start(child) or started
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1
        if started:
            self._publish()

    def _start(self, child: Child) -> bool:
        try:
            child.start(self._ready_fd, self._poll)
        except OSError as exc:
            pause_s = child.again()
            self._board.say("error", f"the {child.name} could not be started: {exc.strerror}; "
                                     f"tried again in {pause_s:.1f} s")  # fmt: skip
            return False
        return True

    def _hear(self, fd: int) -> None:
        for child in self._children:
            if child.heartbeat_fd == fd:
                news = child.beat(self._poll)
                if child is self._runner and self._reloading:
                    self._be_ready()
                if news:
                    self._publish()
                if child.is_up and child in self._reload_later:
                    self._reload_later.remove(child)
                    child.send(signal.SIGHUP)

    def _renew(self) -> None:
        """Replace those of the API that asked for it, one after the other; whoever comes meanwhile waits."""
        if self._stopping or any(child.leaves or not child.is_up for child in self._api):
            return
        for child in self._api:
            if child.is_old:
                child.renew(within_s=_API_STOP_S)
                return

    def _reap(self) -> None:
        """Keep exit statuses of orphans; see to children that ended."""
        ours = {child.pid: child for child in self._children if child.pid is not None}
        for pid, how in procs.keep_exits(self._exits, set(ours)):
            if pid in ours:
                self._ended(ours[pid], pid, how)

    def _ended(self, child: Child, pid: int, how: procs.Ended) -> None:
        child.ended(self._poll)
        hang = self._killed_for.pop(pid, "")
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
        elif child.leaves:
            self._publish()
        else:
            why = hang or (procs.describe_signal(how.signal) if how.signal else f"exit status {how.exit_code}")
            self._ended_too_early(child, f"{why}: {child.last_word}" if child.last_word else why)

    def _ended_too_early(self, child: Child, why: str) -> None:
        pause_s = child.due_in_s or 0.0
        self._last_restart = {"at_ms": time.time_ns() // 1_000_000, "what": child.name, "why": why}
        self._board.say("error", f"the {child.name} ended by {why}; started again in {pause_s:.1f} s")
        if child is self._runner and child.backoff.safe and self._safe_since_ms is None:
            self._safe_since_ms = time.time_ns() // 1_000_000
            self._board.say("error", "safe mode: the runner keeps crashing, nothing fires; command line and API go on. "
                                     "It is tried again once a minute at least")  # fmt: skip
        self._publish()

    # --- looking around ----------------------------------------------------------------------------------------

    def _look(self) -> None:
        """End hangs, leave safe mode, notice the keeper's death, give the service manager its sign of life."""
        for child in self._children:
            if child.pid is not None and (why := child.end_a_hang()):
                self._killed_for[child.pid] = f"SIGKILL, since it {why}"
                self._board.say("error", f"the {child.name} (pid {child.pid}) {why}; killed")
            if child.backoff.is_well(child.up_for_s) and child is self._runner:
                self._safe_since_ms = None
                self._board.say("warning", "safe mode is over: the runner has been well for a minute")
                self._publish()
        if not self.is_alone and os.getppid() != self._keeper:
            self.is_alone = True
            self._board.say("error", f"the keeper (pid {self._keeper}) died: should the supervisor die as well, "
                                     "exit statuses of running commands are lost")  # fmt: skip
            self._publish()
        if self._runner.is_looked_after:
            self._notifier.alive(time.monotonic(), stopping=self._stopping)

    def _wait_ms(self) -> int:
        waits = [wait for child in self._children if (wait := child.due_in_s) is not None and not self._stopping]
        return max(10, int(min([1.0, self._notifier.every_s or 1.0, *waits]) * 1000))

    # --- the end -----------------------------------------------------------------------------------------------

    def _pass_on(self, numbers: bytes) -> None:
        """Hand signals to the children; all but HUP mean the end."""
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload()
            elif number != signal.SIGCHLD:
                self._stop()

    def _reload(self) -> None:
        for child in self._children:
            if child.is_up:
                child.send(signal.SIGHUP)
            else:  # it has no handler yet; whoever asked waits for its word
                self._reload_later.add(child)
        if self._was_ready and not self._stopping:
            # Over with the runner's next sign of life: it loads files beside its loop.
            self._notifier.reloading()
            self._reloading = self._runner.pid is not None
            if not self._reloading:
                self._be_ready()

    def _stop(self) -> None:
        """Have the runner end; the API refuses changes and reads on until then. Told twice, all end at once."""
        first, self._stopping = not self._stopping, True
        self._runner.send(signal.SIGTERM)
        if first:
            self._notifier.stopping("stopping")
        if first and self._runner.pid is not None:
            for child in self._api:
                child.send(signal.SIGUSR1)
        else:
            self._stop_api()

    def _stop_api(self) -> None:
        for child in self._api:
            child.send(signal.SIGTERM, end_within_s=_API_STOP_S)

    # --- what others see ---------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Say how things are: `status`, `stop` and a service manager read it."""
        next_s = self._runner.due_in_s
        self._board.show(
            runner=self._runner.pid,
            restarts=self._runner.backoff.restarts,
            api=[child.pid for child in self._api],
            api_restarts=sum(child.backoff.restarts for child in self._api),
            keeper_alive=not self.is_alone,
            safe_since_ms=self._safe_since_ms,
            next_start_ms=None if next_s is None else time.time_ns() // 1_000_000 + int(next_s * 1000),
            last_restart=self._last_restart,
            trouble=self._runner.trouble,
        )
        if self._stopping:
            return
        if not self._was_ready and all(child.was_ready for child in self._children):
            self._was_ready = True
            self._be_ready()
        elif self._was_ready:
            self._notifier.status(self._in_a_line())

    def _be_ready(self) -> None:
        self._reloading = False
        self._notifier.ready(self._main_pid, self._in_a_line())

    def _in_a_line(self) -> str:
        if self._safe_since_ms is not None:
            return "safe mode: the runner keeps crashing, see `pyjobs status`"
        if self._runner.trouble:
            return f"nothing new starts: {self._runner.trouble}"
        if self._runner.pid is None:
            return "the runner is being started again"
        return f"runs, API at {self._given.api_url}" if self._given.api_url else "runs, without an API"


def _signal_pipe() -> int:
    """A descriptor that the numbers of signals can be read from."""
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    return read_fd
