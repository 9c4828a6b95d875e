"""Which files hold user functions, and what is in them. Reads them, never runs them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyjobs.config import Settings
from pyjobs.homefiles import SPECIFIED_FUNCTIONS

__all__ = ["Entry", "find_entries", "folders"]


@dataclass(slots=True, kw_only=True)
class Entry:
    """
    One file of user functions, on its way into a worker.

    The worker takes `source`; when that does not import, `fallback`, the last version that did. None is none.
    """

    path: str
    #: The folder that it was found in, which its imports start from.
    folder: str
    source: str | None = None
    fallback: str | None = None
    #: Why its newest version is not used.
    problem: str = ""
    #: Functions in it that may not be taken, and why; found by the worker.
    complaints: list[str] = field(default_factory=list)

    def as_message(self) -> dict[str, Any]:
        """The form in which it goes to a worker."""
        return {name: getattr(self, name) for name in ("path", "folder", "source", "fallback", "problem")}


def folders(settings: Settings) -> list[Path]:
    """Where user functions may be; the second one is the specification's and read where it is there."""
    found: list[Path] = []
    for folder in (settings.path(settings.functions_dir), settings.home / SPECIFIED_FUNCTIONS):
        if folder.is_dir() and folder.resolve() not in [other.resolve() for other in found]:
            found.append(folder)
    return found


def find_entries(settings: Settings) -> list[Entry]:
    """All files of user functions as they are now, by path; one that cannot be read has a problem."""
    return [_entry(path, folder) for folder in folders(settings) for path in _files(folder)]


def _files(folder: Path) -> Iterator[Path]:
    for root, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith(("_", ".")))
        for name in sorted(names):
            path = Path(root, name)
            # A FIFO with such a name would be read for ever.
            if name.endswith(".py") and not name.startswith(("_", ".")) and path.is_file():
                yield path


def _entry(path: Path, folder: Path) -> Entry:
    entry = Entry(path=str(path), folder=str(folder))
    try:
        entry.source = importlib.util.decode_source(path.read_bytes())
    except (OSError, SyntaxError, UnicodeDecodeError) as exc:
        entry.problem = f"cannot be read: {exc}"
    return entry
