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

from pyjobs import bootstrap, logs
from pyjobs.errors import Conflict, PyjobsError, StoreBusy
from pyjobs.folders import make_private
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
        lock = _lock(settings.database_path)
        runner, functions = _patiently(lambda: bootstrap.build_runner(settings))
        _prepare(runner, link, Reloading(functions, settings))
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


def _lock(path: Path) -> int:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    make_private(path.parent)
    while True:
        try:
            return lock_store(path)
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


def _prepare(runner: Runner, link: Link, reloading: Reloading) -> None:
    """Signals, heartbeat, life line, hot reload."""
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    signal.signal(signal.SIGHUP, lambda *_: reloading.ask())
    runner.wakeup.add(read_fd, "signal")
    runner.on["signal"] = lambda: _drain(read_fd)
    runner.reload = reloading.look
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
