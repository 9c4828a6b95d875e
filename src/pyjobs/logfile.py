"""
A log file that is put aside by time and size, compressed, and forgotten by age and total size.

Several processes may append to it, whole lines each; one of them rotates it. What is put aside is
`NAME.YYYY-MM-DD[.N][.gz]`, the day being that of its last line.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import os
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pyjobs.config import Rotation

__all__ = ["LogFile", "aside", "day_of"]

#: Others may be writing their last line to a file that was just put aside: it is compressed after this, seconds.
_SETTLE_S = 5.0
_SYNCED_FROM = logging.ERROR
#: The newest files stay whatever their age: a clock that was set wrong must not cost what tells of it.
_ALWAYS_KEPT = 2


class LogFile(logging.Handler):
    """Appends lines. Without a `rotation` it follows a file that another process rotates."""

    def __init__(self, path: Path, rotation: Rotation | None = None, now: Callable[[], float] = time.time) -> None:  # noqa: TID251 - names of files are made of the wall clock
        """Open the file. Raises OSError."""
        super().__init__()
        self._path = path
        self._rotation = rotation
        self._now = now
        self._tidy_at: float | None = now()
        self._file = self._opened()
        self._turn_at = self._next_turn(self._last_change())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; synced to disk when it is an error."""
        try:
            self._write(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
            if record.levelno >= _SYNCED_FROM:
                with contextlib.suppress(OSError):  # a pipe or a device
                    os.fsync(self._file.fileno())
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file. The next line opens it again: servers that set up logging anew close all handlers."""
        self._file.close()
        super().close()

    def _write(self, line: bytes) -> None:
        if self._file.closed or self._replaced():
            self._file.close()
            self._file = self._opened()
        if self._rotation is not None:
            self._rotate_if_due(self._rotation, len(line))
        self._file.write(line)

    def _opened(self) -> io.FileIO:
        return io.FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "wb")

    def _replaced(self) -> bool:
        try:
            here, there = os.fstat(self._file.fileno()), os.stat(self._path)  # noqa: PTH116 - for each line
        except FileNotFoundError:
            return True
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)

    # --- rotation ----------------------------------------------------------------------------------------------

    def _last_change(self) -> float:
        about = os.fstat(self._file.fileno())
        return about.st_mtime if about.st_size else self._now()

    def _next_turn(self, since: float) -> float:
        """The next local midnight for whole days; else so many seconds later."""
        every_s = self._rotation.every_s if self._rotation is not None else 0
        if not every_s:
            return float("inf")
        if every_s % 86400:
            return since + every_s
        then = time.localtime(since)
        # A day is not always 24 h: mktime knows when the next one begins.
        return time.mktime((then.tm_year, then.tm_mon, then.tm_mday + every_s // 86400, 0, 0, 0, 0, 0, -1))

    def _rotate_if_due(self, rotation: Rotation, more: int) -> None:
        now = self._now()
        if self._tidy_at is not None and now >= self._tidy_at:
            self._tidy_at = None
            _tidy(self._path, rotation, now)
        size = os.fstat(self._file.fileno()).st_size
        full = bool(rotation.max_bytes) and size + more > rotation.max_bytes
        if size and (now >= self._turn_at or full):
            day = time.strftime("%Y-%m-%d", time.localtime(self._last_change()))
            os.rename(self._path, _free(self._path, day))  # noqa: PTH104 - Path.rename would answer a Path for nothing
            self._file.close()
            self._file = self._opened()
            self._tidy_at = now + _SETTLE_S
        if now >= self._turn_at:
            self._turn_at = self._next_turn(now)


def aside(path: Path) -> list[Path]:
    """What was put aside of a log, oldest first."""
    try:
        found = [entry for entry in path.parent.iterdir() if day_of(path, entry)]
    except OSError:
        return []
    return sorted(found, key=lambda entry: (day_of(path, entry), _number_of(path, entry)))


def day_of(path: Path, entry: Path) -> str:
    """The day of what was put aside of `path`: `2026-11-24` of `pyjobs.log.2026-11-24.1.gz`; empty for other names."""
    if not entry.name.startswith(f"{path.name}."):
        return ""
    day = entry.name[len(path.name) + 1 :][:10]
    try:
        datetime.strptime(day, "%Y-%m-%d").astimezone()
    except ValueError:
        return ""
    return day


def _number_of(path: Path, entry: Path) -> int:
    number = entry.name[len(path.name) + 12 :].removesuffix(".gz").removesuffix("gz")
    return int(number) if number.isdigit() else 0


def _free(path: Path, day: str) -> Path:
    taken = [_number_of(path, entry) for entry in aside(path) if day_of(path, entry) == day]
    name = f"{path.name}.{day}" if not taken else f"{path.name}.{day}.{max(taken) + 1}"
    return path.with_name(name)


def _tidy(path: Path, rotation: Rotation, now: float) -> None:
    """Compress, then delete what is too old, then the oldest of what is too much."""
    left: list[tuple[Path, int]] = []
    found = aside(path)
    for number, entry in enumerate(found):
        with contextlib.suppress(OSError):
            about = entry.stat()
            recent = number >= len(found) - _ALWAYS_KEPT
            if rotation.keep_s and about.st_mtime < now - rotation.keep_s and not recent:
                entry.unlink()
                continue
            packed = _compressed(entry) if rotation.compress and entry.suffix != ".gz" else entry
            left.append((packed, packed.stat().st_size))
    total = sum(size for _, size in left)
    for entry, size in left:
        if not rotation.total_bytes or total <= rotation.total_bytes:
            return
        with contextlib.suppress(OSError):
            entry.unlink()
            total -= size


def _compressed(entry: Path) -> Path:
    packed, half = entry.with_name(f"{entry.name}.gz"), entry.with_name(f".{entry.name}.gz")
    about = entry.stat()
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with entry.open("rb") as plain, os.fdopen(descriptor, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, 0) as out:
        shutil.copyfileobj(plain, out)
    os.utime(half, (about.st_atime, about.st_mtime))
    half.replace(packed)
    entry.unlink()
    return packed
