"""Why a job fired or did not: the question put to the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyjobs.clock import Clock
from pyjobs.errors import NotFound
from pyjobs.jobs import Job, Source
from pyjobs.ports import Event, FireRange, RunQuery, Store
from pyjobs.service.history import Present, holds_of, schedules_of
from pyjobs.service.jobs import Jobs
from pyjobs.service.system import System
from pyjobs.service.why import Answer, Moment, Past, Verdict, explain, look_at, unfold

__all__ = ["Inquiry", "Told"]

#: Ranges that are told one after the other; where there are more, all of one end are one.
_RANGES = 2000
#: Among so many of the newest rows one that a runner made is looked for.
_NEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of the fires of a job."""

    name: str
    #: None: it is gone, and only its record is left.
    job: Job | None
    since_ms: int
    until_ms: int
    #: How many fires there were, by what became of them, the most frequent first.
    counts: Mapping[Verdict, int]
    answers: Sequence[Answer]
    #: Fires before those that `answers` are about, where a limit was given.
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Subject:
    """A job, or what is left of it."""

    name: str
    job: Job | None
    past: Past


class Inquiry:
    """Use cases about what became of fires."""

    def __init__(self, store: Store, clock: Clock, jobs: Jobs, system: System) -> None:
        """Take what they work on."""
        self._store = store
        self._clock = clock
        self._jobs = jobs
        self._system = system

    def since(self, reference: str, since_ms: int, *, alive: bool, each: int | None = None) -> Told:
        """
        Answer for every fire from `since_ms` to now, oldest first.

        Args:
            reference: names the job, as everywhere; one that is gone by its whole name.
            since_ms: where to begin.
            alive: whether a runner is there now.
            each: every instant by itself, the newest so many; None: neighbours that say the same are one.

        Raises:
            NotFound: there is no such job, nor a record of one.
        """
        now = self._clock.now_ms()
        subject = self._subject(reference, now, alive=alive)
        answers = explain(subject.past, since_ms - 1, now)
        counts: Counter[Verdict] = Counter()
        for answer in answers:
            counts[answer.verdict] += answer.fires
        total = counts.total()
        told = answers if each is None else self._each(subject, since_ms, now, each)
        return Told(
            name=subject.name,
            job=subject.job,
            since_ms=since_ms,
            until_ms=now,
            counts={verdict: count for verdict, count in counts.most_common() if count},
            answers=told,
            left_out=0 if each is None else total - sum(answer.fires for answer in told),
        )

    def at(self, reference: str, at_ms: int, *, alive: bool, length_ms: int = 1000) -> tuple[str, Job | None, Moment]:
        """
        The name of a job, the job (None: it is gone), and what there is to say about an instant, past or to come.

        Raises:
            NotFound: there is no such job, nor a record of one.
        """
        now = self._clock.now_ms()
        subject = self._subject(reference, now, alive=alive)
        return subject.name, subject.job, look_at(subject.past, at_ms, now, length_ms=length_ms)

    def _each(self, subject: _Subject, since_ms: int, now_ms: int, limit: int) -> Sequence[Answer]:
        job_id = None if subject.job is None else subject.job.id

        def rows(after_ms: int, until_ms: int) -> Sequence[FireRange]:
            return self._store.fire_ranges(job_id, subject.name, after_ms, until_ms, folding="none", limit=limit + 1)

        newest = rows(since_ms - 1, now_ms)
        # Of what came before those rows nothing was read.
        after_ms = newest[0].last_ms if len(newest) > limit else since_ms - 1
        past = replace(subject.past, rows=rows)
        return unfold(past, explain(past, after_ms, now_ms, fold=False), limit)

    def _subject(self, reference: str, now_ms: int, *, alive: bool) -> _Subject:
        job: Job | None = None
        try:
            job = self._jobs.find(reference)
        except NotFound:
            if not self._store.runs(RunQuery(job_name=reference, limit=1)):
                raise
        # No job has the id 0: what happened to all of them at once is left.
        events = self._store.events(until_ms=now_ms + 1, job_id=0 if job is None else job.id)
        return _Subject(reference if job is None else job.name, job, self._past(reference, job, events, now_ms, alive))

    def _past(self, name: str, job: Job | None, events: Sequence[Event], now_ms: int, alive: bool) -> Past:  # noqa: FBT001 - handed on
        paused = self._system.paused()
        present = Present(
            now_ms=now_ms,
            alive=alive,
            seen_ms=self._seen(),
            paused_by=None if paused is None else paused.by,
            paused_ms=None if paused is None else paused.since_ms,
        )
        job_id = None if job is None else job.id

        def rows(after_ms: int, until_ms: int) -> Sequence[FireRange]:
            found = self._store.fire_ranges(job_id, name, after_ms, until_ms, folding="neighbours", limit=_RANGES + 1)
            if len(found) <= _RANGES:
                return found
            return self._store.fire_ranges(job_id, name, after_ms, until_ms, folding="all", limit=_RANGES)

        return Past(
            schedules=[] if job is None else schedules_of(job, events),
            holds=holds_of(job, events, present),
            default_zone=self._jobs.default_zone,
            rows=rows,
        )

    def _seen(self) -> int | None:
        """When a runner was there for sure: it claimed then."""
        newest = self._store.runs(RunQuery(limit=_NEWEST))
        claims = (run.claimed_ms for run in newest if run.source in (Source.CRON, Source.CATCHUP))
        return max((ms for ms in claims if ms is not None), default=None)
