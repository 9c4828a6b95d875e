"""The part of a store in SQL about jobs, and about what a runner follows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peewee import IntegrityError

from pyjobs.clock import text
from pyjobs.errors import Conflict, NameTaken, NotFound
from pyjobs.jobs import Job, JobState
from pyjobs.store.facts import FactRows
from pyjobs.store.joblists import JOBS_SQL
from pyjobs.store.sql import chunks, marks
from pyjobs.store.tables import job_history, job_of, job_values

__all__ = ["JobRows"]


class JobRows(FactRows):
    """Methods of ports.Store over the table `jobs`."""

    def add_job(self, job: Job) -> Job:
        """Store a new job; answers it with its id and revision. Raises NameTaken."""
        return self._insert_job(job, {"run_count": 0})

    def restore_job(self, job: Job) -> Job:
        """As `add_job`, with what its runs said about it elsewhere."""
        return self._insert_job(job, job_history(job))

    def _insert_job(self, job: Job, history: dict[str, Any]) -> Job:
        with self.transaction():
            revision = self._next_revision()
            values = {**self._job_values(job), **history, "revision": revision}
            columns = ", ".join(f'"{column}"' for column in values)
            try:  # Peewee takes longer for its words than the database for the row
                sql = f"INSERT INTO jobs ({columns}) VALUES ({marks(values)})"
                job_id = self._execute(sql, list(values.values())).lastrowid
            except IntegrityError:
                raise NameTaken(job.name) from None
        return replace(job, id=int(job_id), revision=revision)

    def _job_values(self, job: Job) -> dict[str, Any]:
        return job_values(job)

    def job(self, job_id: int) -> Job | None:
        """The job with this id."""
        found = self._rows(f"{JOBS_SQL} WHERE id = ?", [job_id])
        return job_of(found[0]) if found else None

    def job_named(self, name: str) -> Job | None:
        """The job with exactly this name."""
        found = self._rows(f"{JOBS_SQL} WHERE name = ?", [name])
        return job_of(found[0]) if found else None

    def names_starting(self, prefix: str, limit: int) -> list[tuple[int, str]]:
        """Ids and names of jobs whose names start so, by name."""
        # A range, not LIKE: it uses the index, and `%` and `_` are letters.
        sql = "SELECT id, name FROM jobs WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
        return [(int(i), str(n)) for i, n in self._rows(sql, [prefix, prefix + "\U0010ffff", limit])]

    def update_job(self, job: Job) -> Job:
        """Write all fields but what its runs say about it. Raises Conflict, NameTaken, NotFound."""
        table = self._tables.jobs
        with self.transaction():
            revision = self._next_revision()
            try:
                changed = (
                    table.update(**self._job_values(job), revision=revision)
                    .where(table.id == job.id, table.revision == job.revision)
                    .execute()
                )
            except IntegrityError:
                raise NameTaken(job.name) from None
            if not changed:
                if self.job(job.id) is None:
                    raise NotFound(f"there is no job with id `{job.id}`", "任务不存在")
                raise Conflict(
                    f"the job `{job.name}` was changed by somebody else meanwhile",
                    f"任务 `{job.name}` 已被其他人修改",
                    hint="look at it and try again",
                )
        return replace(job, revision=revision)

    def reset_run_count(self, job_id: int) -> None:
        """Count launches of this job from zero again."""
        table = self._tables.jobs
        with self.transaction():
            table.update(run_count=0).where(table.id == job_id).execute()

    def delete_job(self, job_id: int) -> bool:
        """Delete a job; its runs stay, without it. False when there was none."""
        table = self._tables.jobs
        with self.transaction():
            return bool(table.delete().where(table.id == job_id).execute())

    def stop_job_itself(self, job_id: int, reason: str, now_ms: int) -> None:
        """Stop a job for a reason of its own."""
        table = self._tables.jobs
        with self.transaction():
            table.update(
                state=int(JobState.STOPPED), stop_reason=reason, next_fire_at=None, next_run_time=None,
                updated_at=text(now_ms), revision=self._next_revision(),
            ).where(table.id == job_id).execute()  # fmt: skip

    def job_zones(self) -> list[str]:
        """Zones that jobs which are not stopped name, each once."""
        return [str(zone) for (zone,) in self._rows("SELECT DISTINCT timezone FROM jobs WHERE state <> 2", []) if zone]

    def broken_jobs(self) -> list[int]:
        """Ids of jobs whose rows say that they wait, and make no sense otherwise."""
        sql = f"SELECT id FROM jobs WHERE state = 0 AND NOT ({self._dialect.makes_sense})"
        return [int(row[0]) for row in self._rows(sql, [])]

    def due_changes(self, since_revision: int) -> tuple[int, list[tuple[int, int | None]]]:
        """(newest revision, (job id, next fire or None) of jobs changed after a revision); 0 gives all active ones."""
        newest = int(self.fact("revision") or 0)
        due = f"state <> 2 AND {self._dialect.has_next_fire}"
        sql = f"SELECT id, CASE WHEN {due} THEN next_fire_at END FROM jobs WHERE "
        # A row that somebody else's program wrote has no revision, and is due all the same.
        sql += "revision > ?" if since_revision else due
        changes = self._rows(sql, [since_revision] if since_revision else [])
        return newest, changes

    def jobs_by_id(self, ids: Sequence[int]) -> dict[int, Job]:
        """Several jobs at once."""
        found: dict[int, Job] = {}
        for chunk in chunks(ids):
            for row in self._rows(f"{JOBS_SQL} WHERE id IN ({marks(chunk)})", chunk):
                found[row[0]] = job_of(row)
        return found
