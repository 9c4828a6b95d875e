"""The runner's process: `python -m pyjobs.serve HOME front|background`, started by the supervisor."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyjobs import bootstrap, daemon, logs
from pyjobs.config import Settings
from pyjobs.errors import Conflict, PyjobsError, StoreBusy
from pyjobs.folders import make_private
from pyjobs.following import Following
from pyjobs.link import Link
from pyjobs.reloading import Reloading
from pyjobs.runner import Runner, lock_store

__all__ = ["main"]

#: Its name is `__main__` when it is run.
_log = logging.getLogger("pyjobs.serve")
#: How long a runner whose supervisor died may take to leave.
_LOCK_PATIENCE_S = 1.0
#: How long a start waits for a locked store; less than what the supervisor takes for a hang.
_BUSY_PATIENCE_S = 10.0
_T = TypeVar("_T")


def main(home: Path, where: str) -> int:
    """Run until told to stop; answer the exit code. What prevents a start is told through the ready pipe."""
    link = Link()
    os.chdir(home)
    try:
        settings, _ = bootstrap.load_settings(home)
        logs.set_up(settings, to_stderr=where == "front")
        lock = _lock(settings)
        runner, functions = _patiently(lambda: bootstrap.build_runner(settings))
        reloading = Reloading(functions, settings)
        _prepare(runner, link, reloading, _following(settings, runner, reloading))
        _patiently(runner.start)
    except PyjobsError as exc:
        _log.error("cannot start: %s", exc)
        link.failed(exc)
        return int(exc.exit_code)
    _log.info("ready: %d jobs in the timetable", len(runner.timetable))
    link.ready()
    try:
        runner.run()
    finally:
        runner.close()
        os.close(lock)
    _log.info("stopped")
    return 0


def _lock(settings: Settings) -> int:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    make_private(settings.runner_lock.parent)
    while True:
        try:
            return lock_store(settings.runner_lock, settings.database_shown)
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _patiently(step: Callable[[], _T]) -> _T:
    """Wait for a store that somebody has locked just now: to leave and come again would take longer."""
    deadline = time.monotonic() + _BUSY_PATIENCE_S
    while True:
        try:
            return step()
        except StoreBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _following(settings: Settings, runner: Runner, reloading: Reloading) -> Following:
    """What has the runner go by other settings; whoever asked for it is told in a file."""

    def follow(new: Settings) -> None:
        runner.follow(new)
        reloading.follow(new)
        logs.follow(new)

    following = Following(settings, lambda: bootstrap.load_settings(settings.home)[0], follow)
    following.found = lambda found: daemon.tell_reloaded(settings, found)
    following.renew = _nothing  # what it would be renewed for does not concern it
    return following


def _nothing() -> None:
    """There is nothing to do."""


def _prepare(runner: Runner, link: Link, reloading: Reloading, following: Following) -> None:
    """Signals, heartbeat, life line, settings and functions that change."""
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())

    def reload() -> None:
        following.look()
        reloading.look()

    def asked(*_: object) -> None:
        following.ask()
        reloading.ask()

    def woken() -> None:
        _drain(read_fd)
        reload()

    signal.signal(signal.SIGHUP, asked)
    runner.wakeup.add(read_fd, "signal")
    runner.on["signal"] = woken
    runner.reload = reload
    runner.heartbeat = link.beat
    if link.life_fd is not None:
        runner.wakeup.add(link.life_fd, "orphaned")
        runner.on["orphaned"] = lambda: _orphaned(runner)


def _orphaned(runner: Runner) -> None:
    """The supervisor died: leave at once, what runs goes on and is adopted by the next one."""
    _log.error("the supervisor died")
    runner.on["orphaned"] = lambda: time.sleep(0.01)
    runner.stop()
    runner.stop()


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 64):
            pass


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
