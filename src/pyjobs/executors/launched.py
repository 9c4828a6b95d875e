"""
Which process each of the last runs is, said at once and before the store knows it.

The store is told of a whole batch at a time. A runner that dies in between leaves the exit status of what ended
meanwhile under its pid; without this file nobody would know whose pid that was. One appended line costs a
thousandth of what a launch costs, and outlives pyjobs, not the machine: after that nothing is adopted anyway.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["Launched"]

#: Lines of a file before a new one is begun; two are kept. More than can ever be launched and not recorded.
_LINES = 2000


class Launched:
    """A file in the run directory, and the one before it."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; the file is made when there is something to say."""
        self._path = folder / "launched"
        self._before = folder / "launched.1"
        self._descriptor = -1
        self._lines = 0

    def note(self, exec_id: str, pid: int, start: int) -> None:
        """Say which process a run is. Where that cannot be written, the store says it a moment later."""
        with contextlib.suppress(OSError):
            if self._lines == _LINES:
                self.close()
                self._path.replace(self._before)
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor, self._lines = os.open(self._path, flags, 0o600), 0
            os.write(self._descriptor, f"{exec_id} {pid} {start}\n".encode("ascii"))
            self._lines += 1

    def find(self, exec_id: str) -> tuple[int, int] | None:
        """(pid, start time) of the process that was started last for a run."""
        for path in (self._path, self._before):
            try:
                lines = path.read_text(encoding="ascii", errors="replace").splitlines()
            except OSError:
                continue
            for line in reversed(lines):
                words = line.split(" ")
                if len(words) == 3 and words[0] == exec_id and words[1].isdigit() and words[2].isdigit():
                    return int(words[1]), int(words[2])
        return None

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
