"""Make the jobs what a file says: what that changes, and the change, all of it or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyjobs.clock import Clock
from pyjobs.errors import Conflict, Invalid
from pyjobs.jobs import Job, JobState
from pyjobs.ports import Event, EventKind, JobQuery, Nudge, Store
from pyjobs.service.jobs import JobFields, Jobs, redefined, validated
from pyjobs.service.transfer import problem_list

__all__ = ["Change", "Difference", "Manifests", "Verdict"]

_FIRES = 3


class Verdict(str, Enum):
    """What becomes of a job."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of Job that is not as the file says."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What a file means for one job."""

    verdict: Verdict
    #: As it is; None for one that is added.
    old: Job | None
    #: As it will be; None for one that is removed.
    new: Job | None
    differences: tuple[Difference, ...] = ()
    #: The next fires before and after.
    fires_before: tuple[int, ...] = ()
    fires_after: tuple[int, ...] = ()

    @property
    def job(self) -> Job:
        """The job that it is about."""
        found = self.new or self.old
        assert found
        return found


class Manifests:
    """Use cases about files of jobs. A file owns the jobs that were applied from it."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self._jobs = jobs

    def plan(self, wanted: Sequence[JobFields], owner: str, *, prune: bool) -> list[Change]:
        """
        What `apply` would do, storing nothing; jobs in the order of the file, then those that go.

        Args:
            wanted: all that is said of each job; what is not said has its default, but a state stays as it is.
            owner: the file.
            prune: remove the jobs of this owner that are not among them.

        Raises:
            BadDocument: jobs cannot be used; it names them.
            Conflict: a job belongs to another file.
        """
        now, changes, problems = self._clock.now_ms(), [], []
        seen: set[str] = set()
        for number, fields in enumerate(wanted, 1):
            where = f"job {number} `{fields.name}`"
            try:
                change = self._change(fields, owner, now)
            except Invalid as exc:
                problems.append((where, exc))
                continue
            if change.job.name in seen:
                problems.append((where, Invalid("name", "stands there twice", "重复")))
            seen.add(change.job.name)
            changes.append(change)
        if problems:
            raise problem_list(problems, len(wanted))
        self._check_owners(changes, owner)
        gone = [job for job in self._owned(owner) if job.name not in seen] if prune else []
        return changes + [Change(Verdict.REMOVE, job, None, (), self._fires(job, now)) for job in gone]

    def forgotten(self, wanted: Sequence[JobFields], owner: str) -> list[str]:
        """Names of the jobs of this owner that the file does not say any more."""
        said = {fields.name for fields in wanted}
        return [job.name for job in self._owned(owner) if job.name not in said]

    def apply(self, wanted: Sequence[JobFields], owner: str, *, prune: bool, by: str = "") -> list[Change]:
        """Do it, in one transaction; answers what was done. Raises as `plan`."""
        now = self._clock.now_ms()
        with self._store.transaction():
            changes = [self._carry_out(change, now, by) for change in self.plan(wanted, owner, prune=prune)]
        self._nudge.send()
        return changes

    def _change(self, fields: JobFields, owner: str, now_ms: int) -> Change:
        zone = self._jobs.default_zone
        # Only whoever adds a job is told that its time has passed: one that is there has had it.
        new = dataclasses.replace(validated(dataclasses.replace(fields, state=2), now_ms, zone), owned_by=owner)
        old = self._store.job_named(new.name)
        if old is None:
            new = dataclasses.replace(validated(fields, now_ms, zone), owned_by=owner)
            return Change(Verdict.ADD, None, new, (), (), self._fires(new, now_ms))
        state = old.state if fields.state is None else JobState(fields.state)
        new = redefined(old, dataclasses.replace(new, state=state), now_ms, zone)
        differences = _differences(old, new)
        verdict = Verdict.CHANGE if differences else Verdict.SAME
        return Change(verdict, old, new, differences, self._fires(old, now_ms), self._fires(new, now_ms))

    def _carry_out(self, change: Change, now_ms: int, by: str) -> Change:
        if change.verdict is Verdict.ADD:
            job = self._store.add_job(change.job)
            detail = {"by": by} if by else {}
            self._store.add_event(Event(at_ms=now_ms, kind=EventKind.JOB_ADDED, job_id=job.id, detail=detail))
            return dataclasses.replace(change, new=job)
        if change.verdict is Verdict.CHANGE:
            return dataclasses.replace(change, new=self._jobs.redefine(change.job.id, change.job, by=by))
        if change.verdict is Verdict.REMOVE:
            self._jobs.remove(change.job.id)
        return change

    def _check_owners(self, changes: Sequence[Change], owner: str) -> None:
        for change in changes:
            other = change.old.owned_by if change.old else ""
            if other not in ("", owner):
                raise Conflict(
                    f"the job `{change.job.name}` belongs to `{other}`, not to `{owner}`",
                    f"任务 `{change.job.name}` 属于 `{other}`，而不是 `{owner}`",
                    hint="take it out of one of the files; where the file has moved, say `--owner` as it was",
                    hint_zh="请从其中一个文件中删除该任务；若文件已移动，请用 `--owner` 指明原来的名称",
                )

    def _owned(self, owner: str) -> list[Job]:
        return [job for job in self._store.jobs(JobQuery(order="name")) if job.owned_by == owner]

    def _fires(self, job: Job, now_ms: int) -> tuple[int, ...]:
        try:
            return self._jobs.next_fires(job, _FIRES, now_ms)
        except Invalid:  # what was stored once cannot be used any more
            return ()


def _differences(old: Job, new: Job) -> tuple[Difference, ...]:
    names = (*(about.name for about in dataclasses.fields(JobFields)), "owned_by")
    return tuple(
        Difference(name, getattr(old, name), getattr(new, name))
        for name in names
        if getattr(old, name) != getattr(new, name)
    )
