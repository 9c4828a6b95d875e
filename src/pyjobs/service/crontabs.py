"""The lines of a crontab as jobs: what becomes of each, and their import, all of them or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pyjobs.clock import Clock
from pyjobs.errors import Invalid
from pyjobs.interchange.crontab import CronLine, name_of
from pyjobs.jobs import Job, Misfire
from pyjobs.ports import Event, EventKind, JobQuery, Nudge, Store
from pyjobs.service.jobs import JobFields, Jobs, validated
from pyjobs.service.transfer import problem_list

__all__ = ["Crontabs", "PlannedLine", "Verdict"]

_MAX_DESC = 500
#: What makes two jobs the same, whatever they are called.
_SAME = ("trigger_type", "cron_expr", "timezone", "mode", "command")


class Verdict(str, Enum):
    """What becomes of a line."""

    ADD = "add"
    #: There is a job that does the same at the same times.
    SKIP = "skip"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A line, and the job that it becomes or is already."""

    line: CronLine
    verdict: Verdict
    job: Job | None = None
    problem: Invalid | None = None


class Crontabs:
    """Use cases about crontabs."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self._jobs = jobs

    def plan(self, lines: Sequence[CronLine]) -> list[PlannedLine]:
        """What becomes of each line, storing nothing."""
        now, planned = self._clock.now_ms(), []
        there = {self._key(job): job for job in self._store.jobs(JobQuery())}
        taken = {job.name for job in there.values()} | {name for _, name in self._store.names_starting("", 1 << 31)}
        for line in lines:
            try:
                job = self._job(line, taken, now)
            except Invalid as exc:
                planned.append(PlannedLine(line, Verdict.BAD, problem=exc))
                continue
            known = there.setdefault(self._key(job), job)
            taken.add(known.name)
            planned.append(PlannedLine(line, Verdict.ADD if known is job else Verdict.SKIP, known))
        return planned

    def carry_out(self, lines: Sequence[CronLine], *, by: str = "") -> list[PlannedLine]:
        """Store them, in one transaction. Raises BadDocument: a line can be no job; it names all of these."""
        now, done = self._clock.now_ms(), []
        with self._store.transaction():
            planned = self.plan(lines)
            problems = [(f"line {p.line.number}", p.problem) for p in planned if p.problem]
            if problems:
                raise problem_list(problems, len(lines))
            for step in planned:
                if step.verdict is Verdict.ADD and step.job:
                    job = self._store.add_job(step.job)
                    detail = {"by": by} if by else {}
                    self._store.add_event(Event(at_ms=now, kind=EventKind.JOB_ADDED, job_id=job.id, detail=detail))
                    done.append(dataclasses.replace(step, job=job))
                else:
                    done.append(step)
        self._nudge.send()
        return done

    def _job(self, line: CronLine, taken: set[str], now_ms: int) -> Job:
        if line.problem:
            raise line.problem
        fields = JobFields(
            name=_free(name_of(line.command), taken),
            desc="".join(char for char in line.comment if char.isprintable())[:_MAX_DESC],
            trigger_type=None if line.schedule else "manual",
            cron_expr=line.schedule or None,
            timezone=line.zone,
            mode="command",
            command=line.text,
            # cron makes nothing good that it missed.
            misfire=Misfire.SKIP.value,
        )
        return validated(fields, now_ms, self._jobs.default_zone)

    def _key(self, job: Job) -> tuple[object, ...]:
        return tuple(getattr(job, name) for name in _SAME)


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
