"""
Settings that change while a process runs: their file changed, a certificate did, or somebody asked.

New ones are checked before they are taken; where they are wrong the old ones stay. What a process cannot take up
keeps the value that it started with, and is named as what needs a restart.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias

from pyjobs.config import FILE_NAME, RENEWED, RESTART, Settings
from pyjobs.errors import PyjobsError, StoreBusy

__all__ = ["Followed", "Following"]

#: Of the file of settings, a certificate and its key: None is one that is not there.
_Stamps: TypeAlias = "tuple[tuple[int, int, int] | None, ...]"
_NAMES = [about.name for about in fields(Settings)]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """What a look at the settings found."""

    #: Names of those that are not what they were at the last look.
    changed: tuple[str, ...]
    #: Names of those that are not what this process goes by, and will not be until a restart.
    restart: tuple[str, ...]


class Following:
    """The settings that a process goes by. Not to be used by two threads at once, but for `ask`."""

    def __init__(self, settings: Settings, load: Callable[[], Settings], follow: Callable[[Settings], None]) -> None:
        """
        Take what it goes by, what reads it anew, and who has to follow.

        `load` and `follow` raise a PyjobsError for settings that cannot be used.
        """
        self._load = load
        self._follow = follow
        self._started = self._read = self.settings = settings
        self._asked = False
        self._seen = _stamps(settings)
        #: Stamps of the certificate and the key that were taken.
        self._certificate = self._seen[1:]
        #: Told of what `look` found, or why it cannot be used.
        self.found: Callable[[Followed | PyjobsError], None] = lambda _: None
        #: Has this process replaced by one that reads everything again; None where nobody can.
        self.renew: Callable[[], None] | None = None

    def ask(self) -> None:
        """Read them at the next look, whether a file changed or not."""
        self._asked = True

    def look(self) -> None:
        """Read them when there is a reason. What is wrong with them is logged, and the old ones stay."""
        if not self._asked and _stamps(self._read) == self._seen:
            return
        try:
            found = self.now()
        except StoreBusy:
            self.ask()
            return
        except PyjobsError as exc:
            _log.error("the settings were not taken: %s", exc)
            self.found(exc)
            return
        if found.changed:
            _log.info("settings changed: %s", ", ".join(found.changed))
        if found.restart:
            _log.warning("settings that need a restart: %s", ", ".join(found.restart))
        self.found(found)

    def now(self) -> Followed:
        """Read them, and go by them from now on. Raises what `load` and `follow` raise."""
        self._asked, self._seen = False, _stamps(self._read)
        new = self._load()
        self._seen = _stamps(new)
        changed, restart = _differing(new, self._read), self._fixed(new)
        renewed = RENEWED & {*changed} - {*restart}
        certified = self._seen[1:] != self._certificate and not {"ssl_certfile", "ssl_keyfile"} & {*changed}
        if changed or certified:
            settings = replace(new, **{name: getattr(self._started, name) for name in restart})
            self._follow(settings)
            self.settings, self._read, self._certificate = settings, new, self._seen[1:]
        if self.renew is not None and (renewed or certified):
            self.renew()
        return Followed(changed, restart)

    def _fixed(self, new: Settings) -> tuple[str, ...]:
        """Names of those that this process cannot follow."""
        fixed = RESTART if self.renew is not None else RESTART | RENEWED
        if bool(new.ssl_certfile) != bool(self._started.ssl_certfile):  # the address that is known has a scheme
            fixed |= {"ssl_certfile", "ssl_keyfile"}
        return tuple(name for name in _differing(new, self._started) if name in fixed)


def _differing(one: Settings, other: Settings) -> tuple[str, ...]:
    return tuple(name for name in _NAMES if getattr(one, name) != getattr(other, name))


def _stamps(settings: Settings) -> _Stamps:
    places = [settings.home / FILE_NAME]
    if settings.ssl_certfile:
        places += [settings.path(settings.ssl_certfile), settings.path(settings.ssl_keyfile)]
    return tuple(map(_stamp, places))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        about = path.stat()
        return about.st_mtime_ns, about.st_size, about.st_ino
    return None
