"""The runner's process: `python -m pyjobs.serve HOME front|background`, started by the supervisor."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from pyjobs import bootstrap, logs
from pyjobs.config import Settings
from pyjobs.errors import Conflict, PyjobsError
from pyjobs.executors.func import FuncExecutor
from pyjobs.folders import make_private
from pyjobs.runner import Runner, lock_store
from pyjobs.supervisor import HEARTBEAT_FD, LIFE_FD, READY_FD

__all__ = ["main"]

_log = logging.getLogger(__name__)
#: How long a runner whose supervisor died may take to leave.
_LOCK_PATIENCE_S = 1.0


def main(home: Path, where: str) -> int:
    """Run until told to stop; answer the exit code. What prevents a start is told through the ready pipe."""
    for fd in (HEARTBEAT_FD, READY_FD, LIFE_FD):
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    os.chdir(home)
    try:
        settings, _ = bootstrap.load_settings(home)
        logs.set_up(settings, to_stderr=where == "front")
        lock = _lock(settings.database_path)
        runner, functions = bootstrap.build_runner(settings)
        _prepare(runner, _Reloading(functions, settings))
        runner.start()
    except PyjobsError as exc:
        _log.error("cannot start: %s", exc)
        _tell({"code": exc.code, "exit_code": int(exc.exit_code), "en": exc.text("en"), "zh": exc.text("zh"),
               "hint": exc.hint("en"), "hint_zh": exc.hint("zh")})  # fmt: skip
        return int(exc.exit_code)
    _log.info("ready: %d jobs in the timetable", len(runner.timetable))
    runner.heartbeat()
    _tell({"ready": True})
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


def _prepare(runner: Runner, reloading: _Reloading) -> None:
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
    if _is_open(HEARTBEAT_FD):
        os.set_blocking(HEARTBEAT_FD, False)
        runner.heartbeat = _beat
    if _is_open(LIFE_FD):
        runner.wakeup.add(LIFE_FD, "orphaned")
        runner.on["orphaned"] = lambda: _orphaned(runner)


class _Reloading:
    """Loads user functions again when a file changed or somebody asked, beside the loop."""

    def __init__(self, functions: FuncExecutor, settings: Settings) -> None:
        self._functions = functions
        self._folders = [settings.path(settings.functions_dir), settings.home / "app/function/user_funcs"]
        self._seen = self._snapshot()
        self._asked = False
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Reload at the next look, whether a file changed or not."""
        self._asked = True

    def look(self) -> None:
        """Reload when there is a reason; importing may take long, so it never holds up a fire."""
        if self._thread is not None and self._thread.is_alive():
            return
        seen = self._snapshot()
        if not self._asked and seen == self._seen:
            return
        self._seen, self._asked = seen, False
        self._thread = threading.Thread(target=self._reload, name="reload", daemon=True)
        self._thread.start()

    def _reload(self) -> None:
        try:
            report = self._functions.reload()
        except PyjobsError as exc:
            _log.error("functions were not loaded again: %s", exc)
            return
        _log.info("functions loaded again: %s", report)

    def _snapshot(self) -> list[tuple[str, int, int]]:
        found = []
        for folder in self._folders:
            for path in sorted(folder.rglob("*.py")) if folder.is_dir() else []:
                with contextlib.suppress(OSError):
                    about = path.stat()
                    found.append((str(path), about.st_mtime_ns, about.st_size))
        return found


def _tell(message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        os.write(READY_FD, (json.dumps(message, ensure_ascii=False) + "\n").encode())
        os.close(READY_FD)


def _beat() -> None:
    with contextlib.suppress(OSError):
        os.write(HEARTBEAT_FD, b".")


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


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
