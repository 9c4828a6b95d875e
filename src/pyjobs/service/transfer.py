"""Take jobs and their runs out as a document, and in again: all of it, or nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyjobs.clock import Clock, from_ms
from pyjobs.errors import BadDocument, Conflict, Invalid
from pyjobs.interchange.documents import Document
from pyjobs.interchange.jobrows import ReadJob, job_row, read_job
from pyjobs.interchange.runrows import read_run, run_row
from pyjobs.jobs import Job, JobState, Run
from pyjobs.ports import Event, EventKind, JobQuery, Nudge, RunQuery, Store
from pyjobs.service.jobs import JobFields, Jobs, validated

__all__ = ["Checked", "Imported", "OnConflict", "Planned", "Transfer", "Verdict", "problem_list"]

_EXEC_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
#: Runs that are read or written at once.
_PAGE = 500
#: Problems that a message tells of.
_TOLD = 20
_LAST_MS = 253402300799000
_MAX_NAME = 100
Progress = Callable[[int], None]


class OnConflict(str, Enum):
    """What becomes of a job whose name is taken."""

    FAIL = "fail"
    SKIP = "skip"
    REPLACE = "replace"
    RENAME = "rename"


class Verdict(str, Enum):
    """What an import does with a row."""

    ADD = "add"
    RENAME = "rename"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Checked:
    """The jobs and runs of a document, each of which could be stored."""

    jobs: Sequence[tuple[ReadJob, Job]]
    #: By when they were claimed; their job ids are those of the document.
    runs: Sequence[Run]
    #: Columns that nothing knows.
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of a document and what is done with it."""

    #: From 1.
    row: int
    verdict: Verdict
    #: As it is stored; one that is left alone is the one in the store.
    job: Job
    #: What the document calls it.
    name: str
    #: The job that it is put in the place of.
    old: Job | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    jobs: Sequence[Planned]
    #: Runs that were stored, and those that were there already or belong to a job that was left alone.
    runs: int
    runs_left: int


class Transfer:
    """Use cases about documents of jobs."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self._jobs = jobs

    def job_rows(self) -> list[dict[str, Any]]:
        """All jobs as rows, oldest first."""
        return [job_row(job) for job in self._store.jobs(JobQuery(order="oldest"))]

    def count_runs(self) -> int:
        """How many rows `run_rows` gives."""
        return self._store.count_runs(RunQuery())

    def run_rows(self, progress: Progress = lambda _: None) -> Iterator[dict[str, Any]]:
        """All runs as rows, newest first, read a page at a time; `progress` takes how many were read."""
        before: int | None = None
        while page := self._store.runs(RunQuery(before_id=before, limit=_PAGE)):
            yield from map(run_row, page)
            before = page[-1].id
            progress(len(page))

    def check(self, document: Document, progress: Progress = lambda _: None) -> Checked:
        """
        The jobs and runs of a document.

        Raises:
            BadDocument: rows cannot be used; it names them.
        """
        now, zone, problems = self._clock.now_ms(), self._jobs.default_zone, []
        jobs: list[tuple[ReadJob, Job]] = []
        runs: list[Run] = []
        for number, row in enumerate(document.jobs, 1):
            try:
                said = read_job(row)
                jobs.append((said, _job_of(said, now, zone)))
            except Invalid as exc:
                problems.append((f"job {number}{_called(row)}", exc))
            progress(1)
        for number, row in enumerate(document.logs, 1):
            try:
                runs.append(_checked_run(read_run(row), now))
            except Invalid as exc:
                problems.append((f"log {number}", exc))
        if problems:
            raise problem_list(problems, len(document.jobs) + len(document.logs))
        runs.sort(key=lambda run: run.claimed_ms or 0)
        unknown = sorted({column for said, _ in jobs for column in said.unknown})
        return Checked(jobs, runs, unknown)

    def plan(self, checked: Checked, on_conflict: OnConflict) -> list[Planned]:
        """
        What `carry_out` would do with the jobs, storing nothing.

        Raises:
            Conflict: names are taken, and `on_conflict` is `fail`.
            BadDocument: rows have the same name.
        """
        taken = {name: job_id for job_id, name in self._store.names_starting("", 1 << 31)}
        first: dict[str, int] = {}
        planned, twice, clashes = [], [], []
        for row, (_, job) in enumerate(checked.jobs, 1):
            if job.name in first and on_conflict is not OnConflict.RENAME:
                same = Invalid("name", f"is that of job {first[job.name]} too", f"与第 {first[job.name]} 个任务相同")
                twice.append((f"job {row} `{job.name}`", same))
                continue
            first.setdefault(job.name, row)
            if job.name in taken and on_conflict is OnConflict.FAIL:
                clashes.append(job.name)
                continue
            planned.append(self._planned(row, job, taken, on_conflict))
            taken.setdefault(planned[-1].job.name, 0)
        if twice:
            raise problem_list(twice, len(checked.jobs))
        if clashes:
            raise _clash(clashes)
        return planned

    def carry_out(
        self, checked: Checked, on_conflict: OnConflict, *, by: str = "", progress: Progress = lambda _: None
    ) -> Imported:
        """
        Store them, in one transaction. Ids are new; runs that come along are not counted among the executions here.

        Raises:
            Conflict, BadDocument: as `plan`; or the runs do not all come after those that are there.
        """
        now = self._clock.now_ms()
        with self._store.transaction():
            planned = self.plan(checked, on_conflict)
            done = []
            for step in planned:
                done.append(self._store_job(step, now, by))
                progress(1)
            ids = self._new_ids(checked, done)
            stored = self._store_runs(checked.runs, ids, progress)
        self._nudge.send()
        return Imported(done, stored, len(checked.runs) - stored)

    def _planned(self, row: int, job: Job, taken: Mapping[str, int], on_conflict: OnConflict) -> Planned:
        if job.name not in taken:
            return Planned(row, Verdict.ADD, job, job.name)
        if on_conflict is OnConflict.RENAME:
            return Planned(row, Verdict.RENAME, dataclasses.replace(job, name=_free(job.name, taken)), job.name)
        old = self._jobs.get(taken[job.name])
        if on_conflict is OnConflict.SKIP:
            return Planned(row, Verdict.SKIP, old, job.name)
        # Whose file it is from is not for a document to say.
        return Planned(row, Verdict.REPLACE, dataclasses.replace(job, owned_by=old.owned_by), job.name, old)

    def _store_job(self, step: Planned, now_ms: int, by: str) -> Planned:
        if step.verdict is Verdict.SKIP:
            return step
        if step.old is not None:
            return dataclasses.replace(step, job=self._jobs.redefine(step.old.id, step.job, by=by))
        job = self._store.restore_job(step.job)
        detail = {"by": by} if by else {}
        self._store.add_event(Event(at_ms=now_ms, kind=EventKind.JOB_ADDED, job_id=job.id, detail=detail))
        return dataclasses.replace(step, job=job)

    def _new_ids(self, checked: Checked, done: Sequence[Planned]) -> dict[int, Job | None]:
        """The document's number of a job -> the job that was stored for it; None: it was left alone."""
        stored = {step.row: None if step.verdict is Verdict.SKIP else step.job for step in done}
        return {said.id: stored[row] for row, (said, _) in enumerate(checked.jobs, 1) if said.id is not None}

    def _store_runs(self, runs: Sequence[Run], ids: Mapping[int, Job | None], progress: Progress) -> int:
        chosen = [
            self._run_here(run, ids)
            for run in runs
            if not (run.exec_id and self._store.run(run.exec_id)) and ids.get(run.job_id or 0, True) is not None
        ]
        if not chosen:
            return 0
        newest = self._store.runs(RunQuery(limit=1))
        if newest and (newest[0].claimed_ms or 0) > (chosen[0].claimed_ms or 0):
            # Rows are found by numbers that grow with time.
            raise Conflict(
                f"the store has runs that are newer than the oldest one of the file ({_day(chosen[0].claimed_ms)} UTC)",
                f"数据库中已有比文件中最早的执行（{_day(chosen[0].claimed_ms)} UTC）更新的记录",
                hint="leave them out with `--no-logs`, or import into a home that has not run anything yet",
                hint_zh="用 `--no-logs` 忽略执行记录，或导入到尚未执行过任务的主目录",
            )
        stored = 0
        for start in range(0, len(chosen), _PAGE):
            page = chosen[start : start + _PAGE]
            stored += len(self._store.restore_runs(page))
            progress(len(page))
        return stored

    def _run_here(self, run: Run, ids: Mapping[int, Job | None]) -> Run:
        job = ids.get(run.job_id or 0)
        return dataclasses.replace(
            run,
            exec_id=run.exec_id or self._store.next_exec_ids(1)[0],
            job_id=job.id if job else None,
            job_name=run.job_name or (job.name if job else ""),
            mode=run.mode or (job.mode if job else ""),
            command=run.command or (job.command if job else ""),
        )


def problem_list(problems: Iterable[tuple[str, Invalid]], count: int) -> BadDocument:
    """One error for all entries that cannot be used; `problems` says where each is."""
    found = list(problems)
    told = found[:_TOLD]
    more = len(found) - len(told)
    lines = [f"  {where}: {exc.text('en')}" for where, exc in told] + ([f"  and {more} more"] if more else [])
    lines_zh = [f"  {where}：{exc.text('zh')}" for where, exc in told] + ([f"  以及另外 {more} 处"] if more else [])
    return BadDocument(
        "\n".join([f"{len(found)} of {count} entries cannot be used, nothing was stored:", *lines]),
        "\n".join([f"{count} 个条目中有 {len(found)} 个无法使用，未存储任何内容：", *lines_zh]),
    )


def _job_of(said: ReadJob, now_ms: int, default_zone: str) -> Job:
    """The job of a row: nothing is due at once or missed because it was brought here. Raises Invalid."""
    from pyjobs.triggers import trigger_of

    fields = JobFields(**said.said)
    job = validated(dataclasses.replace(fields, state=JobState.STOPPED.value), now_ms, default_zone)
    for field, value in said.kept.items():
        if isinstance(value, int) and not 0 <= value <= _LAST_MS:
            raise Invalid(field.removesuffix("_ms"), f"`{value}` is out of range", f"`{value}` 超出范围")
    job = dataclasses.replace(job, **said.kept)
    if fields.state == JobState.STOPPED.value:
        return job
    fire = trigger_of(job, default_zone).next_after(now_ms)
    return dataclasses.replace(job, state=JobState.WAITING, stop_reason="", next_fire_ms=fire)


def _checked_run(run: Run, now_ms: int) -> Run:
    if run.exec_id and not _EXEC_ID.fullmatch(run.exec_id):
        raise Invalid("exec_id", "is no name of a run", "不是有效的执行编号")
    for name in ("claimed_ms", "started_ms", "ended_ms", "scheduled_ms", "first_ms", "duration_ms"):
        value = getattr(run, name)
        if value is not None and not 0 <= value <= _LAST_MS:
            raise Invalid(name.removesuffix("_ms"), f"`{value}` is out of range", f"`{value}` 超出范围")
    if (run.claimed_ms or 0) > now_ms:
        raise Invalid("start_time", "lies in the future", "在将来")
    return run


def _called(row: Mapping[str, Any]) -> str:
    name = row.get("name")
    return f" `{name}`" if isinstance(name, str) and name.isprintable() and 0 < len(name) <= _MAX_NAME else ""


def _free(name: str, taken: Mapping[str, int]) -> str:
    number = 2
    while (other := f"{name[: _MAX_NAME - 1 - len(str(number))]}-{number}") in taken:
        number += 1
    return other


def _clash(names: Sequence[str]) -> Conflict:
    shown = ", ".join(f"`{name}`" for name in names[:_TOLD]) + (" …" if len(names) > _TOLD else "")
    return Conflict(
        f"{len(names)} names are taken, nothing was stored: {shown}",
        f"{len(names)} 个名称已存在，未存储任何内容：{shown}",
        hint="say what to do with them: `--on-conflict skip`, `replace` or `rename`",
        hint_zh="请指定处理方式：`--on-conflict skip`、`replace` 或 `rename`",
    )


def _day(ms: int | None) -> str:
    return from_ms(ms or 0).strftime("%Y-%m-%d %H:%M")
