"""What one does with runs: start by hand, find, list, end, clear."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyjobs.clock import Clock
from pyjobs.errors import Conflict, NotFound
from pyjobs.jobs import ACTIVE, AllowMode, Job, JobState, Run, RunState, Source
from pyjobs.ports import Claimed, End, Nudge, RunQuery, Store
from pyjobs.service.jobs import JobFields, Jobs

__all__ = ["Runs"]

#: Facts about what to remove when a run has ended; the exec id follows.
_CLEANUP = "cleanup:"


@dataclass(frozen=True, slots=True)
class _Gate:
    """What the overlap policy says about a start by hand."""

    reason: str = ""
    superseded: tuple[str, ...] = ()
    #: Running ones that are killed first.
    replaced: tuple[str, ...] = ()


class Runs:
    """Use cases about runs."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self._jobs = jobs

    def start(self, job_id: int, *, owner: str | None = None, force: bool = False) -> Run:
        """
        Record a start by hand: a queued run, or a skipped one with the reason when its job's policy holds it back.

        Works for stopped jobs; does not count for `max_run_count`.

        Args:
            job_id: of the job.
            owner: who will launch it; None: the daemon's runner.
            force: whatever the overlap policy says.

        Raises:
            NotFound: there is no such job.
        """
        now = self._clock.now_ms()
        with self._store.transaction():
            job = self._jobs.get(job_id)
            gate = _Gate() if force else self._gate(job)
            run = Run(
                exec_id=self._store.next_exec_ids(1)[0],
                job_id=job.id,
                job_name=job.name,
                mode=job.mode,
                command=job.command,
                state=RunState.SKIPPED if gate.reason else RunState.QUEUED,
                source=Source.MANUAL,
                claimed_ms=now,
                ended_ms=now if gate.reason else None,
                error=gate.reason,
                owner=owner,
                forced=force,
            )
            if owner is not None:
                self._store.note_seen(owner)
            self._store.claim([Claimed(run=run, counts=False)], [])
            for exec_id in gate.superseded:
                self._skip(exec_id, "a newer start by hand took its place", now)
            for exec_id in gate.replaced:
                self._store.request_kill(exec_id, "a newer start by hand")
        self._nudge.send()
        return run

    def add_and_start(self, fields: JobFields, *, remove_job: bool = False, remove_log: bool = False) -> Run:
        """
        Store a new job that never fires by itself, and start it once by hand.

        What is to be removed when the run has ended is stored with it: whichever runner is there then does it.

        Raises:
            Invalid, NameTaken.
        """
        with self._store.transaction():
            job = self._jobs.add(dataclasses.replace(fields, state=int(JobState.STOPPED))).job
            run = self.start(job.id)
            if remove_job or remove_log:
                todo = {"job_id": job.id, "remove_job": remove_job, "remove_log": remove_log}
                self._store.set_fact(_CLEANUP + run.exec_id, json.dumps(todo))
        self._nudge.send()  # those before came before the commit
        return run

    def clean_up(self) -> int:
        """Remove what was to be removed after runs that have ended; answers how many there were."""
        done = 0
        for name, stored in self._store.facts(_CLEANUP).items():
            run = self._store.run(name[len(_CLEANUP) :])
            if run is not None and run.state in ACTIVE:
                continue
            todo = json.loads(stored)
            with self._store.transaction():
                if todo["remove_log"]:
                    self._store.clear_runs(todo["job_id"], None)
                if todo["remove_job"] and self._store.job(todo["job_id"]) is not None:
                    self._jobs.remove(todo["job_id"])
                self._store.set_fact(name, None)
            done += 1
        return done

    def find(self, reference: str) -> Run:
        """The run whose exec id is, or uniquely begins with, `reference`. Raises NotFound."""
        run = self._store.run(reference)
        if run is not None:
            return run
        begun = self._store.runs_starting(reference, 3) if reference else []
        if len(begun) == 1:
            return begun[0]
        if begun:
            shown = ", ".join(f"`{r.exec_id}`" for r in begun)
            raise NotFound(f"`{reference}` could be several runs: {shown}", f"`{reference}` 对应多条执行记录：{shown}")
        raise NotFound(
            f"there is no run `{reference}`", f"执行记录不存在：`{reference}`", hint="see `pyjobs runs list`"
        )

    def get(self, exec_id: str) -> Run:
        """The run with exactly this name. Raises NotFound."""
        run = self._store.run(exec_id)
        if run is None:
            raise NotFound(f"there is no run `{exec_id}`", f"执行记录不存在：`{exec_id}`")
        return run

    def list(self, query: RunQuery) -> Sequence[Run]:
        """Runs, newest first unless the query says otherwise."""
        return self._store.runs(query)

    def count(self, query: RunQuery) -> int:
        """How many runs `list` gives without limit and offset."""
        return self._store.count_runs(query)

    def of_job(self, job_id: int, exec_id: str | None = None) -> Run | None:
        """The run of a job with this name, or its newest one. One whose job is gone is anybody's who knows its name."""
        if exec_id is None:
            return next(iter(self._store.runs(RunQuery(job_id=job_id, limit=1))), None)
        run = self._store.run(exec_id)
        return run if run is not None and run.job_id in (job_id, None) else None

    def active(self, job_id: int | None = None) -> Sequence[Run]:
        """Queued and running runs, oldest first."""
        return self._store.active_runs(None if job_id is None else [job_id])

    def seen(self, owner: str) -> bool:
        """Whether an owner of runs on another host is there."""
        return self._store.seen(owner)

    def kill(self, exec_id: str, by: str) -> Run:
        """
        Ask for the end of an active run; its owner ends it. A queued run that nobody owns ends here.

        Raises:
            NotFound: there is no such run.
            Conflict: it has ended already.
        """
        with self._store.transaction():  # nobody takes or launches it meanwhile
            run = self.get(exec_id)
            if run.state not in ACTIVE:
                state = run.state.value
                raise Conflict(f"run `{exec_id}` has ended already: {state}", f"执行 `{exec_id}` 已结束：{state}")
            self._store.request_kill(exec_id, by)
            if run.state is RunState.QUEUED and run.owner is None:
                self._skip(exec_id, f"ended by {by} before it was launched", self._clock.now_ms())
        self._nudge.send()
        return self.get(exec_id)

    def clear(self, job_id: int | None = None, before_ms: int | None = None, since_ms: int | None = None) -> int:
        """Delete final runs, of one job or all, claimed in `[since, before)` or at any time; answers how many."""
        return self._store.clear_runs(job_id, before_ms, since_ms)

    def _gate(self, job: Job) -> _Gate:
        if job.allow_mode is AllowMode.PARALLEL:
            return _Gate()
        active = self._store.active_runs([job.id])
        if job.allow_mode is AllowMode.SERIAL and active:
            first = active[0]
            doing = "is still running" if first.state is RunState.RUNNING else "still waits for a slot"
            return _Gate(f"run {first.exec_id[:8]} {doing}")
        waiting = tuple(r.exec_id for r in active if r.state is RunState.QUEUED)
        running = tuple(r.exec_id for r in active if r.state is RunState.RUNNING)
        return _Gate(superseded=waiting, replaced=running if job.allow_mode is AllowMode.REPLACE else ())

    def _skip(self, exec_id: str, reason: str, now_ms: int) -> None:
        run = self._store.run(exec_id)
        if run is not None:
            end = End(exec_id=exec_id, state=RunState.SKIPPED, ended_ms=now_ms, error=reason)
            self._store.end_runs([end], run.owner)
