"""
What a dead runner left: each of its runs goes on, ends as it is known to have ended, or is lost (semantics §8).

A job that was in flight in several crashes is quarantined (§10): stopped, since it may be what kills the runner.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping

from pyjobs import procs
from pyjobs.clock import Clock
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.ports import Attempt, Event, EventKind, Executor, Store
from pyjobs.slots import Slots

__all__ = ["Takeover"]

_log = logging.getLogger(__name__)
#: Crashes longer ago do not count.
_CRASHES_WITHIN_MS = 72 * 3600 * 1000


class Takeover:
    """Makes the runs of dead owners ours."""

    def __init__(
        self, store: Store, executors: Mapping[str, Executor], slots: Slots, clock: Clock, owner: str,
        *, quarantine_crashes: int,
    ) -> None:  # fmt: skip
        """Take what it works on; `quarantine_crashes` is how many crashes a job may be in flight in, 0 any number."""
        self._store = store
        self._executors = executors
        self._slots = slots
        self._clock = clock
        self._owner = owner
        self.follow(quarantine_crashes=quarantine_crashes)

    def follow(self, *, quarantine_crashes: int) -> None:
        """Go by another limit from the next crash on."""
        self._quarantine_crashes = quarantine_crashes

    def sweep(self) -> None:
        """Take over all there is. Raises StoreBusy: what is not taken yet is taken next time."""
        orphans = self._orphans()
        if not orphans:
            return
        crashed = self._crashed({run.owner or "" for run in orphans})
        suspects: dict[str, set[int]] = defaultdict(set)
        for run in orphans:
            owner = run.owner or ""
            if run.state is RunState.RUNNING and run.job_id and (run.started_ms or 0) >= crashed.get(owner, 1 << 63):
                suspects[owner].add(run.job_id)
        for owner, job_ids in suspects.items():
            self._note_crash(owner, job_ids)
        for run in orphans:
            if self._store.take([run.exec_id], self._owner, run.owner):
                self._inherit(run)

    def settle(self, job_id: int) -> None:
        """End those runs of one job that nothing is left of; what runs, waits or pauses is left for a daemon."""
        for run in self._orphans(job_id):
            if run.state is RunState.QUEUED or run.retry_ms is not None:
                continue
            attempt = self._adopted(run)
            if attempt is not None and attempt.outcome() is None:
                if attempt.pid is None or procs.alive(attempt.pid, attempt.pid_start):
                    continue
                attempt = None  # it waits for a parent that is none of ours to reap it
            if self._store.take([run.exec_id], self._owner, run.owner):
                self._go_on(run, attempt)

    def _orphans(self, job_id: int | None = None) -> list[Run]:
        flying = {flight.run.exec_id for flight in self._slots.flights}
        return [
            run
            for run in self._store.active_runs(None if job_id is None else [job_id])
            if run.owner not in (None, self._owner)
            and run.exec_id not in flying
            and not procs.owner_alive(run.owner or "", self._store.seen)
        ]

    def _inherit(self, run: Run) -> None:
        if run.state is RunState.QUEUED and _same_boot(run):
            # Marked as running before its launch: so this one was certainly never launched.
            self._slots.admit([run])
            return
        if run.retry_ms is not None:
            _log.info("run %s of job %s goes on with its next attempt", run.exec_id, run.job_name)
            self._slots.resume(run)
            return
        self._go_on(run, self._adopted(run))

    def _adopted(self, run: Run) -> Attempt | None:
        executor = self._executors.get(run.mode)
        return executor.adopt(run) if executor is not None and _same_boot(run) else None

    def _go_on(self, run: Run, attempt: Attempt | None) -> None:
        if attempt is None:
            same_boot = _same_boot(run)
            died = "the runner died while it ran" if same_boot else "the machine went down"
            if run.pid is None:
                died = "the runner died, and nobody knows how far it had come" if same_boot else died
            self._slots.ends.lose(run, died)
            return
        _log.info("run %s of job %s goes on: pid %s", run.exec_id, run.job_name, attempt.pid)
        self._slots.adopt(run, attempt)

    # --- crashes -----------------------------------------------------------------------------------------------

    def _crashed(self, owners: set[str]) -> dict[str, int]:
        """Runners among `owners` that did not leave by themselves -> when they came up."""
        since = self._clock.now_ms() - _CRASHES_WITHIN_MS
        up: dict[str, int] = {}
        for event in self._store.events(since):
            owner = str(event.detail.get("owner", ""))
            if event.kind is EventKind.RUNNER_UP and owner in owners:
                up[owner] = event.at_ms
            elif event.kind is EventKind.RUNNER_DOWN:
                up.pop(owner, None)
        return up

    def _note_crash(self, owner: str, job_ids: set[int]) -> None:
        """
        Note which jobs the dead runner had launched, and quarantine those that it happened to too often.

        What it had adopted does not count: it survived another runner, so it is not what kills them.
        """
        now_ms = self._clock.now_ms()
        with self._store.transaction():
            for job_id in job_ids:
                earlier = [
                    event
                    for event in self._store.events(now_ms - _CRASHES_WITHIN_MS, job_id=job_id)
                    if event.kind is EventKind.CRASHED and event.detail.get("owner") != owner
                ]
                self._store.add_event(
                    Event(at_ms=now_ms, kind=EventKind.CRASHED, job_id=job_id, detail={"owner": owner})
                )
                job = self._store.job(job_id)
                if self._quarantine_crashes and len(earlier) + 1 >= self._quarantine_crashes and job is not None:
                    self._quarantine(job, len(earlier) + 1, now_ms)

    def _quarantine(self, job: Job, crashes: int, now_ms: int) -> None:
        if job.state is JobState.STOPPED:
            return
        reason = f"quarantined: it was in flight in {crashes} crashes of the runner within 72 h"
        self._store.stop_job_itself(job.id, reason, now_ms)
        self._store.add_event(Event(at_ms=now_ms, kind=EventKind.JOB_STOPPED, job_id=job.id, detail={"reason": reason}))
        _log.error("job %s is %s; `pyjobs job start` lets it fire again", job.name, reason)


def _same_boot(run: Run) -> bool:
    return procs.is_here(run.owner or "")
