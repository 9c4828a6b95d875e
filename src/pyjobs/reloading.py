"""When the files of functions are loaded again: one of them changed, or somebody asked."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path
from typing import Protocol

from pyjobs.config import Settings
from pyjobs.errors import PyjobsError
from pyjobs.ports import ReloadReport

__all__ = ["Reloading"]

_log = logging.getLogger(__name__)


class Functions(Protocol):
    """What can be loaded again."""

    def reload(self) -> ReloadReport:
        """Load the files again; answers what became of each."""


class Reloading:
    """Loads user functions again when a file changed or somebody asked, beside the loop."""

    def __init__(self, functions: Functions, settings: Settings) -> None:
        """Take the functions as they were loaded just now."""
        self._functions = functions
        self._folders = _folders(settings)
        self._seen = self._snapshot()
        self._asked = False
        self._thread: threading.Thread | None = None

    def follow(self, settings: Settings) -> None:
        """Look into the folders of other settings, and load what is there at the next look."""
        self._folders = _folders(settings)
        self.ask()

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


def _folders(settings: Settings) -> list[Path]:
    return [settings.path(settings.functions_dir), settings.home / "app/function/user_funcs"]
