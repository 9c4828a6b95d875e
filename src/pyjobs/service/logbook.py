"""
The system log, read back: one JSON object or one line of text each, in the current file and in what was put aside.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

from pyjobs.logfile import aside, day_of

__all__ = ["Logbook", "LogbookPage"]

#: What is read of one file, from its end.
_MAX_BYTES = 16 << 20
_TEXT = re.compile(r"(?P<time>\S+) (?P<level>[A-Z]+) (?P<caller>\S+) (?P<msg>.*)")


@dataclass(frozen=True, slots=True)
class LogbookPage:
    """Lines, newest first, and how many there are in all."""

    lines: list[dict[str, Any]]
    total: int


class Logbook:
    """The system log of a home."""

    def __init__(self, path: Path, zone: tzinfo) -> None:
        """Take the file that the runner writes, and the zone whose days are meant."""
        self._path = path
        self._zone = zone

    def page(self, day: date, *, offset: int, limit: int, level: str = "", keyword: str = "") -> LogbookPage:
        """Lines of a day; of one level, and with a text in them."""
        found: list[tuple[datetime, int, dict[str, Any]]] = []
        for path in self._files(day):
            for raw in _lines(path):
                if keyword and keyword not in raw:
                    continue
                line = _parsed(raw)
                if line is None or (level and line["level"].lower() != level.lower()):
                    continue
                moment = _moment(line["time"])
                if moment is not None and moment.astimezone(self._zone).date() == day:
                    found.append((moment, len(found), line))
        found.sort(key=lambda item: item[:2], reverse=True)
        return LogbookPage([line for _, _, line in found[offset : offset + limit]], len(found))

    def clear(self, day: date | None, today: date) -> bool:
        """Empty what is written now, or delete an older day; False when there is nothing."""
        cleared = False
        for path in self._siblings():
            with contextlib.suppress(OSError):
                if day is None or day == today:
                    cleared |= path.stat().st_size > 0
                    os.truncate(path, 0)
                else:
                    for entry in aside(path):
                        if day_of(path, entry) == day.isoformat():
                            entry.unlink()
                            cleared = True
        return cleared

    def _siblings(self) -> list[Path]:
        stem, suffix = self._path.stem, self._path.suffix
        others = self._path.parent.glob(f"{stem}-*{suffix}") if self._path.parent.is_dir() else ()
        return [self._path, *sorted(others)]

    def _files(self, day: date) -> Iterator[Path]:
        """Where lines of a day may be: what was put aside has the day of its last line."""
        for path in self._siblings():
            yield from (entry for entry in aside(path) if day_of(path, entry) >= day.isoformat())
            yield path


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            size = 0 if path.suffix == ".gz" else os.fstat(file.fileno()).st_size
            if size > _MAX_BYTES:
                file.seek(size - _MAX_BYTES)
                file.readline()
            for raw in file:
                yield raw.decode("utf-8", "replace")
    except (OSError, EOFError):
        return


def _parsed(raw: str) -> dict[str, Any] | None:
    if not raw.startswith("{"):
        text = _TEXT.fullmatch(raw.rstrip("\n"))
        return None if text is None else {**text.groupdict(), "level": text["level"].lower()}
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(line, dict):
        return None
    return {**line, **{name: str(line.get(name, "")) for name in ("level", "time", "caller", "msg")}}


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
