"""What concerns all jobs at once: pause and resume, run all, figures."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyjobs.clock import Clock
from pyjobs.errors import NotFound
from pyjobs.jobs import JobState, Run
from pyjobs.ports import About, Event, EventKind, Executed, JobQuery, Nudge, Store
from pyjobs.service.jobs import Jobs, Repair
from pyjobs.service.runs import Runs

__all__ = ["LastBackup", "Paused", "System"]

_PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Paused:
    """Who paused the scheduler, and when."""

    by: str
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastBackup:
    """The last backup that was made, wherever it lies now, and the last one that failed since."""

    #: None: none was ever made.
    made_ms: int | None = None
    path: str = ""
    size: int = 0
    #: Whether it was restored into a scratch folder and compared.
    verified: bool = False
    failed_ms: int | None = None
    #: Why, by language.
    error: dict[str, str] = field(default_factory=dict)


class System:
    """Use cases about the whole."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self._jobs = jobs

    def paused(self) -> Paused | None:
        """Whether firing is paused; starts by hand go on all the same."""
        stored = self._store.fact(_PAUSED)
        return Paused(**json.loads(stored)) if stored else None

    def pause(self, by: str) -> bool:
        """Fire nothing until `resume`; jobs keep their states. False when it was paused already."""
        with self._store.transaction():
            if self._store.fact(_PAUSED):
                return False
            now = self._clock.now_ms()
            self._store.set_fact(_PAUSED, json.dumps({"by": by, "since_ms": now}))
            self._store.add_event(Event(at_ms=now, kind=EventKind.PAUSED, detail={"by": by}))
        self._nudge.send()
        return True

    def resume(self, by: str = "") -> bool:
        """Fire again from now on: paused time is not missed time. False when it was not paused."""
        with self._store.transaction():
            if not self._store.fact(_PAUSED):
                return False
            now = self._clock.now_ms()
            self._jobs.recompute(only=lambda job: job.next_fire_ms is not None and job.next_fire_ms <= now, again=True)
            self._store.set_fact(_PAUSED, None)
            self._store.add_event(Event(at_ms=now, kind=EventKind.RESUMED, detail={"by": by}))
        self._nudge.send()
        return True

    def run_all(self, runs: Runs) -> list[Run]:
        """Start every job that is not stopped once, by hand."""
        started = []
        for job in self._store.jobs(JobQuery(state=JobState.WAITING)):
            with contextlib.suppress(NotFound):  # removed meanwhile
                started.append(runs.start(job.id))
        return started

    def check(self) -> Sequence[Repair]:
        """Compare every waiting job's next fire with its trigger and mend what is wrong."""
        return self._jobs.recompute()

    def last_backup(self) -> LastBackup:
        """How old the newest backup is, and whether one failed since."""
        from pyjobs.service.backups import FAILED, MADE

        made, failed = (json.loads(self._store.fact(name) or "{}") for name in (MADE, FAILED))
        return LastBackup(
            made_ms=made.get("at_ms"),
            path=made.get("path", ""),
            size=made.get("size", 0),
            verified=made.get("verified", False),
            failed_ms=failed.get("at_ms"),
            error={lang: failed[lang] for lang in ("en", "zh") if lang in failed},
        )

    def version(self) -> tuple[int, int]:
        """A value that is another one, to the thread that asks, once anything in the store has changed."""
        return self._store.version()

    def executed(self) -> list[Executed]:
        """What each job executed so far, counted when it ended; the last hour's is `executed_lately`."""
        return self._store.executed()

    def executed_lately(self) -> tuple[int, int]:
        """(executions, failed ones) of the last hour, in whole minutes."""
        return self._store.executed_since(self._clock.now_ms() // 60_000 - 59)

    def store(self) -> About:
        """The store as its administrator sees it."""
        return self._store.about()

    def figures(self) -> dict[str, Any]:
        """Counts: `jobs` and `runs`, each by state."""
        return self._store.figures()
