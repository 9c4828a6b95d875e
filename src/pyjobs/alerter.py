"""
The process that tells of trouble: `python -m pyjobs.alerter HOME`, started by the runner when something is watched.

It ends by itself when nothing is watched any more, and with the runner: its stdin is a pipe that the runner holds.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pyjobs import bootstrap, logs, procs
from pyjobs.alerting.file import FILE_NAME, Alerting, BadAlerting, read
from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerting.judge import JobJudge
from pyjobs.alerting.post import Post
from pyjobs.alerting.rules import RuleJudge
from pyjobs.clock import Clock, SystemClock
from pyjobs.config import Settings
from pyjobs.errors import Exit, PyjobsError, StoreBusy

if TYPE_CHECKING:
    from pyjobs.ports import Store

__all__ = ["Alerter", "main", "place_of"]

#: Its name is `__main__` when it is run.
_log = logging.getLogger("pyjobs.alerter")
_STEP_S = 1.0
_BUSY_STEP_S = 0.05
_TIME_S = 10
_RULES_S = 15
_TIDY_S = 3600
#: How often the one that tells says that it is there.
_FIRST_S = 5
#: The fact about it.
_FACT = "alerter"
#: As long as runs are kept.
_OLD_MS = 90 * 24 * 3_600_000
#: How long nothing may be watched before it ends.
_IDLE_S = 3
#: Threads that never come back; with a new process they are gone.
_MOST_STUCK = 5


class Alerter:
    """What looks and tells; `step` does all that is due."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, place: Place) -> None:
        """Put it together over one store."""
        self._store = store
        self._clock = clock
        self._path = settings.home / FILE_NAME
        self._seen: tuple[int, int] | None = (-1, -1)
        self._said: set[str] = set()
        self._alerting = Alerting()
        self._data_version = -1
        incidents = Incidents(store, place, lambda: [channel.name for channel in self._alerting.channels])
        self._incidents = incidents
        self._jobs = JobJudge(store, incidents, place)
        self._rules = RuleJudge(store, incidents)
        self.post = Post(store, settings, clock, place)
        self._place = place
        self._due: dict[str, float] = {}
        self._me = procs.owner_name()
        #: A file has one runner, which starts one of us; hosts that share a server have one each.
        self._shared = settings.database.kind != "sqlite"
        self._first = not self._shared
        self._wanted_s = clock.monotonic()

    def step(self) -> None:
        """Do all that is due. Raises StoreBusy: it is tried again at the next step."""
        now_ms = self._clock.now_ms()
        self._look_at_file(now_ms)
        if self._shared and self._is_due("first", _FIRST_S):
            self._first = self._be_first()
        if not self._first:
            return
        version = self._store.data_version()
        if version != self._data_version:
            self._jobs.learn(now_ms)
            self._data_version = version
        while self._jobs.look_at_ends(now_ms):
            pass
        if self._is_due("time", _TIME_S):
            self._jobs.look_at_time(now_ms, paused=self._store.fact("paused") is not None)
        if self._is_due("rules", _RULES_S):
            self._rules.look(now_ms)
            self._incidents.remind(self._alerting.remind_ms, now_ms)
        if self._is_due("tidy", _TIDY_S):
            self._store.forget_incidents(now_ms - _OLD_MS)
        self.post.look()

    def wanted(self) -> bool:
        """Whether there is anything to look at, or was a moment ago."""
        now_s = self._clock.monotonic()
        if self._alerting.rules or self._jobs.watches or self.post.busy or self._store.alerts_wanted():
            self._wanted_s = now_s
        return now_s - self._wanted_s < _IDLE_S

    def _be_first(self) -> bool:
        """Be the one that tells, where no other host's does; one that stops to say that it lives is succeeded."""
        with self._store.transaction():
            first = self._store.fact(_FACT)
            if first not in (None, self._me) and procs.owner_alive(first or "", self._store.seen):
                return False
            self._store.note_seen(self._me)
            if first != self._me:
                self._store.set_fact(_FACT, self._me)
                self._data_version = -1
        return True

    def _is_due(self, name: str, every_s: float) -> bool:
        now_s = self._clock.monotonic()
        if now_s < self._due.get(name, 0.0):
            return False
        self._due[name] = now_s + every_s
        return True

    def _look_at_file(self, now_ms: int) -> None:
        """Read the file again when it changed; what cannot be used of it stays as it was before."""
        try:
            about = self._path.stat()
            seen = (about.st_mtime_ns, about.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        first, self._seen = self._seen == (-1, -1), seen
        try:
            found = read(self._path)
        except BadAlerting as exc:
            kept = "" if first else self._place.say("; what it said before still holds", "；继续使用之前的内容")
            self._say(exc.text(self._place.lang) + kept)
            return
        for problem in found.problems:
            self._say(problem.text(self._place.lang))
        self._use(found, now_ms)
        if not first:
            _log.info("%s: %d rules, %d channels", FILE_NAME, len(self._alerting.rules), len(found.channels))

    def _use(self, found: Alerting, now_ms: int) -> None:
        bad = {problem.about for problem in found.problems}
        rules = (*found.rules, *(rule for rule in self._alerting.rules if rule.name in bad - _names(found)))
        kept = (channel for channel in self._alerting.channels if channel.name in bad)
        channels = (*found.channels, *kept)
        self._alerting = Alerting(rules=rules, channels=channels, group_ms=found.group_ms, remind_ms=found.remind_ms)
        self._rules.use(rules, now_ms)
        self.post.use(channels, found.group_ms, bad)
        self._due.pop("rules", None)

    def _say(self, problem: str) -> None:
        """Once, until the process ends."""
        if problem not in self._said:
            self._said.add(problem)
            _log.error("%s", problem)


def _names(found: Alerting) -> set[str]:
    return {rule.name for rule in found.rules}


def place_of(settings: Settings) -> Place:
    """Where this is, in the configured language and zone."""
    from pyjobs.functions.builtin.context import language

    lang = language(settings, os.environ)
    return Place(socket.gethostname(), str(settings.home), ZoneInfo(settings.zone_name), lang)


def main(home: Path) -> int:
    """Look and tell until nothing is watched or the runner is gone; answers the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the runner, too, which waits for its work
    try:
        settings, _ = bootstrap.load_settings(home)
        logs.set_up(settings, rotate=False)
        from pyjobs.store import open_store

        store = open_store(settings)
        alerter = Alerter(settings, store, SystemClock(), place_of(settings))
    except PyjobsError as exc:
        _log.error("alerts cannot be told: %s", exc)
        return int(exc.exit_code)
    while not _left_alone(_BUSY_STEP_S if alerter.post.busy else _STEP_S):
        try:
            alerter.step()
            if not alerter.wanted() or len(alerter.post.stuck) > _MOST_STUCK:
                break
        except StoreBusy as exc:
            _log.debug("%s", exc)
        except Exception:  # the runner starts it again, after a pause that grows
            _log.exception("alerts cannot be told just now")
            return int(Exit.FAILED)
    store.close()
    return 0


def _left_alone(wait_s: float) -> bool:
    """Wait; whether the runner is gone."""
    ready, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(ready)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    # A thread that sits in a call to a dead server does not hold up the end.
    logging.shutdown()
    os._exit(code)
