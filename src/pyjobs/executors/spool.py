"""
The files that hold what a run writes: `EXEC_ID.out` and `EXEC_ID.err`, appended to by the kernel, never by a pump.

A row keeps head and tail of each; the file keeps up to a limit, by punching a hole into its middle while the run
goes on. What is dropped is counted and said.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from pyjobs.folders import make_private
from pyjobs.ports import Spooled

__all__ = ["Spool"]

_FALLOC_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02
_BLOCK = 4096
_MODE = 0o600


class Spool:
    """The spool folder of one home."""

    def __init__(self, folder: Path, *, keep_bytes: int, max_bytes: int) -> None:
        """Take the folder, how much of each stream a row keeps, and how much its file may hold."""
        self._folder = folder
        # What the file does not hold the row cannot.
        self._keep = min(keep_bytes, max_bytes)
        self._max = max_bytes

    def prepare(self) -> None:
        """Make the folder, for its owner only."""
        make_private(self._folder)

    def out(self, exec_id: str) -> Path:
        """File of standard output."""
        return self._folder / f"{exec_id}.out"

    def err(self, exec_id: str) -> Path:
        """File of standard error."""
        return self._folder / f"{exec_id}.err"

    def result(self, exec_id: str) -> Path:
        """Where a function's process says how it ended."""
        return self._folder / f"{exec_id}.result"

    def append(self, exec_id: str, out: str = "", err: str = "") -> None:
        """Add text of an executor that is no process."""
        for path, text in zip(self._streams(exec_id), (out, err), strict=True):
            if text:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode("utf-8", "replace"))

    def read(self, exec_id: str) -> Spooled:
        """Head and tail of both streams."""
        (out, out_whole), (err, err_whole) = map(self._ends, self._streams(exec_id))
        return Spooled(out + err, len(out), out_whole and err_whole)

    def trim(self, exec_id: str) -> None:
        """Punch out the middle of a file that grew over the limit; where the file system cannot, leave it."""
        for path in self._streams(exec_id):
            with contextlib.suppress(OSError):
                size = os.stat(path).st_size  # noqa: PTH116 - see _streams
                if size > self._max:
                    _punch(path, self._max // 2, size - self._max // 2)

    def forget(self, exec_id: str, *, keep_output: bool = False) -> None:
        """Delete a run's files; with `keep_output` only what nobody would read."""
        for path in (f"{self._folder}/{exec_id}.result", *(() if keep_output else self._streams(exec_id))):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - see _streams

    def _streams(self, exec_id: str) -> tuple[str, str]:
        """Both files as text: for each run they are opened and deleted, and a Path costs as much as that."""
        return f"{self._folder}/{exec_id}.out", f"{self._folder}/{exec_id}.err"

    def _ends(self, path: str) -> tuple[str, bool]:
        """(head and tail of a file, whether that is all)."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return "", True
        try:
            size = os.fstat(descriptor).st_size
            if size <= self._keep:
                return _text(os.pread(descriptor, self._keep, 0)) if size else "", True
            head = os.pread(descriptor, self._keep // 2, 0)
            tail = os.pread(descriptor, self._keep // 2, size - self._keep // 2)
        except OSError:
            return "", True
        finally:
            os.close(descriptor)
        dropped = size - len(head) - len(tail)
        return f"{_text(head)}\n… {dropped} bytes left out …\n{_text(tail)}", False


def _text(data: bytes) -> str:
    # SQLite text ends at a NUL for some readers; what cannot be decoded is shown as such.
    return data.decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")


def _punch(path: str, start: int, end: int) -> None:
    start = -(-start // _BLOCK) * _BLOCK
    end = end // _BLOCK * _BLOCK
    if end <= start:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate(
            descriptor, _FALLOC_KEEP_SIZE_PUNCH_HOLE, ctypes.c_longlong(start), ctypes.c_longlong(end - start)
        )
    except AttributeError:
        pass
    finally:
        os.close(descriptor)
