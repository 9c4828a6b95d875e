"""
What becomes of the fires that are due: the decision inside the claim (semantics §4 to §6).

The timetable says who is due; here each fire gets its row, in one transaction, before anything is launched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pyjobs.clock import text
from pyjobs.errors import PyjobsError
from pyjobs.jobs import AllowMode, Job, JobState, Run, RunState, Source
from pyjobs.ports import Claimed, End, Event, EventKind, Store
from pyjobs.timetable import Missed, Plan, plan
from pyjobs.triggers import trigger_of

__all__ = ["Absence", "Claims", "claim_due"]

#: Who ends a run that a newer fire replaces.
_REPLACED_BY = "a newer fire of the job"
_TRIGGERED = (Source.CRON, Source.CATCHUP)


class Absence(NamedTuple):
    """A time in which nothing could be claimed, and why; `text` goes on with "from … to …"."""

    text: str
    since_ms: int
    until_ms: int


@dataclass(slots=True)
class Claims:
    """What a tick wrote."""

    #: To be launched, in this order.
    launch: list[Run] = field(default_factory=list)
    #: Waiting runs that a newer fire took the place of.
    superseded: list[str] = field(default_factory=list)
    #: exec id -> by what, of running ones that are killed for a newer fire.
    replaced: dict[str, str] = field(default_factory=dict)
    #: job id -> its next fire, for the timetable.
    next_fires: dict[int, int | None] = field(default_factory=dict)
    #: Jobs that stopped themselves, and why.
    stopped: list[tuple[Job, str]] = field(default_factory=list)


def claim_due(
    store: Store,
    due: Sequence[tuple[int, int]],
    now_ms: int,
    owner: str,
    default_zone: str,
    absences: Sequence[Absence] = (),
) -> Claims:
    """
    Claim all fires that are due now, in one durable transaction.

    Args:
        store: of the jobs and the runs.
        due: (job id, the instant it is due at), as the timetable gives them.
        now_ms: the instant of this tick; lateness is judged by it.
        owner: whose the runs are.
        default_zone: of jobs without a zone.
        absences: what is known about times in which nothing was claimed; said of what was missed then.

    Raises:
        StoreBusy: nothing was claimed; try again with the same `due`.
    """
    claims = Claims()
    with store.transaction(durable=True):
        jobs = store.jobs_by_id([job_id for job_id, _ in due])
        watched = [j.id for j in jobs.values() if j.allow_mode is not AllowMode.PARALLEL or j.max_run_count]
        active = _by_job(store.active_runs(watched)) if watched else {}
        exec_ids = iter(store.next_exec_ids(len(due)))
        rows: list[Claimed] = []
        moves: list[tuple[int, int, int | None]] = []
        for job_id, due_ms in due:
            job = jobs.get(job_id)
            if job is None or job.state is JobState.STOPPED or job.next_fire_ms != due_ms:
                # Changed since the timetable heard of it: the change brings its own instant.
                claims.next_fires[job_id] = None if job is None else job.next_fire_ms
                continue
            try:
                planned = _planned(job, due_ms, now_ms, default_zone)
            except PyjobsError as exc:
                # One broken job is one disabled job, never a broken tick.
                _stop(store, claims, job, f"its schedule cannot be used any more: {exc}", now_ms)
                continue
            decision = _Decision(job, planned, now_ms, owner, active.get(job_id, []), absences)
            rows += decision.rows(exec_ids, store)
            claims.superseded += decision.superseded
            claims.replaced |= dict.fromkeys(decision.replaced, _REPLACED_BY)
            moves.append((job_id, due_ms, planned.next_ms))
            claims.next_fires[job_id] = planned.next_ms
            if decision.limit_reached:
                _stop(store, claims, job, f"it has run {job.max_run_count} times, as often as it may", now_ms)
        new = store.claim(rows, moves)
        ends = [
            End(exec_id=e, state=RunState.SKIPPED, ended_ms=now_ms, error="a newer fire took its place")
            for e in claims.superseded
        ]
        if ends:
            store.end_runs(ends, owner)
        for exec_id, by in claims.replaced.items():
            store.request_kill(exec_id, by)
        claims.launch = [r.run for r in rows if r.run.state is RunState.QUEUED and r.run.exec_id in new]
    return claims


def _planned(job: Job, due_ms: int, now_ms: int, default_zone: str) -> Plan:
    return plan(trigger_of(job, default_zone), due_ms, now_ms, job.misfire, job.catchup_window_s)


def _stop(store: Store, claims: Claims, job: Job, reason: str, now_ms: int) -> None:
    store.stop_job_itself(job.id, reason, now_ms)
    store.add_event(Event(at_ms=now_ms, kind=EventKind.JOB_STOPPED, job_id=job.id, detail={"reason": reason}))
    claims.stopped.append((job, reason))
    claims.next_fires[job.id] = None


def _by_job(runs: Iterable[Run]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = {}
    for run in runs:
        if run.job_id is not None:
            found.setdefault(run.job_id, []).append(run)
    return found


class _Decision:
    """What becomes of the due fires of one job, given its runs that are still there."""

    def __init__(
        self, job: Job, planned: Plan, now_ms: int, owner: str, active: list[Run], absences: Sequence[Absence]
    ) -> None:
        self._job = job
        self._plan = planned
        self._now = now_ms
        self._owner = owner
        self._active = active
        self._absences = absences
        self._left = max(0, job.max_run_count - job.run_count) if job.max_run_count else None
        self.superseded: list[str] = []
        self.replaced: list[str] = []

    @property
    def limit_reached(self) -> bool:
        """Whether the job has been launched, or will be by these rows, as often as it may."""
        return self._left == 0

    def rows(self, exec_ids: Iterable[str], store: Store) -> list[Claimed]:
        """One row for each fire, and one for the range of missed ones."""
        names = iter(exec_ids)
        rows = []
        for fire in self._plan.run:
            name = next(names, None) or store.next_exec_ids(1)[0]
            rows.append(self._fire(name, fire.ms, late=fire.late))
        missed = self._plan.missed
        if missed is not None:
            name = next(names, None) or store.next_exec_ids(1)[0]
            reason = _missed_reason(missed, self._now, self._absences)
            row = self._row(name, missed.last_ms, RunState.MISSED, Source.CRON, reason)
            rows.append(Claimed(run=replace(row, first_ms=missed.first_ms, fires=missed.count), counts=False))
        return rows

    def _fire(self, exec_id: str, ms: int, *, late: bool) -> Claimed:
        source = Source.CATCHUP if late else Source.CRON
        reason = self._held_back(ms)
        if reason:
            return Claimed(run=self._row(exec_id, ms, RunState.SKIPPED, source, reason), counts=False)
        run = self._row(exec_id, ms, RunState.QUEUED, source, "")
        self._active = [*self._active, run]
        if self._left is not None:
            self._left -= 1
        return Claimed(run=run, counts=True)

    def _held_back(self, ms: int) -> str:
        """Why this fire is not launched; empty when it is."""
        if self._left == 0:
            return f"limit reached: it has run {self._job.max_run_count} times"
        if self._job.allow_mode is AllowMode.SERIAL and self._active:
            return _overlap_reason(self._active[0])
        if self._job.allow_mode.queues:
            if ms != self._plan.run[-1].ms:
                return "a newer fire took its place"
            older = [r for r in self._active if r.state is RunState.QUEUED and r.source in _TRIGGERED]
            self.superseded = [r.exec_id for r in older if r.owner == self._owner]
            if self._left is not None:  # what is skipped does not count after all
                self._left += len(self.superseded)
        if self._job.allow_mode is AllowMode.REPLACE:
            self.replaced = [r.exec_id for r in self._active if r.state is RunState.RUNNING]
        return ""

    def _row(self, exec_id: str, ms: int, state: RunState, source: Source, reason: str) -> Run:
        final = state is not RunState.QUEUED
        return Run(
            exec_id=exec_id,
            job_id=self._job.id,
            job_name=self._job.name,
            mode=self._job.mode,
            command=self._job.command,
            state=state,
            source=source,
            scheduled_ms=ms,
            claimed_ms=self._now,
            ended_ms=self._now if final else None,
            error=reason,
            owner=self._owner,
        )


def _overlap_reason(run: Run) -> str:
    if run.state is RunState.QUEUED:
        return f"the run before it still waits for a slot (run {run.exec_id[:8]})"
    since = f" since {text(run.started_ms)} UTC" if run.started_ms is not None else ""
    return f"still running{since} (run {run.exec_id[:8]})"


def _missed_reason(missed: Missed, now_ms: int, absences: Sequence[Absence]) -> str:
    fires = "1 fire" if missed.count == 1 else f"{missed.count} fires"
    for absence in absences:
        if absence.since_ms <= missed.last_ms and missed.first_ms <= absence.until_ms:
            return f"{fires} missed: {absence.text} from {text(absence.since_ms)} to {text(absence.until_ms)} UTC"
    return f"{fires} missed: nobody was there in time (noticed {text(now_ms)} UTC)"
