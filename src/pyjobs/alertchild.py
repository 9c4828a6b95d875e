"""The runner's side of alerts: the process that tells is there while something is watched, and costs nothing else."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from pathlib import Path

from pyjobs.clock import Clock
from pyjobs.ports import Store

__all__ = ["AlertChild"]

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0


class AlertChild:
    """Starts `pyjobs.alerter` when a job or a rule is there to be watched, and again when it died."""

    def __init__(self, home: Path, store: Store, clock: Clock) -> None:
        """Take the home, whose `alerting.yml` is looked for."""
        self._home = home
        self._store = store
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._data_version = -1
        #: Of the file, when the process said last that it needs nothing.
        self._idle_file: tuple[int, int] | None = None
        self._not_before = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def look(self) -> None:
        """Start it where that is needed. Raises StoreBusy."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._ended(self._process)
        if self._clock.monotonic() < self._not_before or not self._needed():
            return
        command = [sys.executable, "-m", "pyjobs.alerter", str(self._home)]
        # Its stdin is how it learns that we are gone.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        """Have it end; what is on its way is in the store."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
        if process.returncode is None:
            process.kill()
            process.wait()

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        self._process = None
        if process.returncode == 0:
            self._idle_file, self._pause_s = self._file(), _FIRST_PAUSE_S
            self._data_version = -1
            return
        _log.warning("what tells alerts ended with %d; started again in %g s", process.returncode, self._pause_s)
        self._not_before = self._clock.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._data_version, self._idle_file = -1, None

    def _needed(self) -> bool:
        """Whether the file is there and new, or the store has something; the store is asked once it changed."""
        file = self._file()
        if file is not None and file != self._idle_file:
            return True
        version = self._store.data_version()
        if version == self._data_version:
            return False
        wanted = self._store.alerts_wanted()
        self._data_version = version
        return wanted

    def _file(self) -> tuple[int, int] | None:
        try:
            about = (self._home / "alerting.yml").stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size
