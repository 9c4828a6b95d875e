"""The part of a store in SQL about lists of jobs: one statement a list, totals from kept counters."""

from __future__ import annotations

import json
from typing import Any

from pyjobs.jobs import Job
from pyjobs.ports import Active, JobQuery, Page
from pyjobs.store.sql import Sql
from pyjobs.store.tables import JOB_COLUMNS, job_of

__all__ = ["JOBS_SQL", "JobLists"]

_COLUMNS = ", ".join(f'"{column}"' for column in JOB_COLUMNS)
JOBS_SQL = f"SELECT {_COLUMNS} FROM jobs"
_ORDERS = {
    "newest": "id DESC",
    "oldest": "id",
    "name": "name",
    "next": "next_fire_at IS NULL, next_fire_at, id",
    "last": "last_run_time DESC, id DESC",
}
_ACTIVE = (
    "(SELECT coalesce(sum(runs), 0) FROM run_counts WHERE job_id = jobs.id AND state = 'queued') AS queued,"
    " (SELECT coalesce(sum(runs), 0) FROM run_counts WHERE job_id = jobs.id AND state = 'running') AS running"
)
_BETWEEN = "\n"


class JobLists(Sql):
    """Methods of ports.Store over the tables `jobs` and `job_counts`."""

    def jobs(self, query: JobQuery, page: Page | None = None) -> list[Job]:
        """Jobs, in the order that the query says."""
        where, values = _filter(query, self._dialect.folded_name)
        tail, more = _tail(query, page)
        return [job_of(row) for row in self._rows(f"{JOBS_SQL}{where}{tail}", [*values, *more])]

    def count_jobs(self, query: JobQuery) -> int:
        """How many `jobs` would give without a page."""
        sql, values = _count(query, self._dialect.folded_name)
        return int(self._rows(f"SELECT {sql}", values)[0][0])

    def job_rows(self, query: JobQuery, page: Page) -> tuple[int, list[str]]:
        """
        How many `jobs` would give without a page, and a text for each job of the page: see `job_in`.

        Where the database makes JSON as we need it, all of it is one row of one statement: SQLite is left for Python,
        and Python's lock for others, once for a list and not once for each row.
        """
        count, counted = _count(query, self._dialect.folded_name)
        where, values = _filter(query, self._dialect.folded_name)
        tail, more = _tail(query, page)
        rows = f"SELECT {_COLUMNS}, {_ACTIVE} FROM jobs{where}{tail}"
        if not self._dialect.makes_json:
            return self._texts(query, rows, [*values, *more])
        made = f"(SELECT group_concat(json_array({_COLUMNS}, queued, running), char(10)) FROM ({rows}))"
        try:
            total, texts = self._rows(f"SELECT {count}, {made}", [*counted, *values, *more])[0]
        except Exception as exc:
            if not _is_about_json(exc):
                raise
            return self._texts(query, rows, [*values, *more])
        return int(total or 0), texts.split(_BETWEEN) if texts else []

    def _texts(self, query: JobQuery, rows: str, values: list[Any]) -> tuple[int, list[str]]:
        found = self._rows(rows, values)
        return self.count_jobs(query), [json.dumps(row, default=lambda blob: [repr(blob)]) for row in found]

    def job_in(self, text: str) -> tuple[Job, Active]:
        """The job in a text of `job_rows`, and its active runs."""
        *row, queued, running = json.loads(text)
        return job_of(tuple(row)), Active(queued, running)


def _is_about_json(exc: BaseException) -> bool:
    """Whether it has no place for a value, such as a BLOB, which pyjobs writes nowhere; or SQLite has no JSON."""
    return "json" in str(exc.__cause__).lower()


def _filter(query: JobQuery, folded_name: str) -> tuple[str, list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if query.name_part:
        where.append(f"instr({folded_name}, ?) > 0")
        values.append(query.name_part.casefold())
    if query.state == 1:
        where.append("id IN (SELECT job_id FROM job_logs WHERE state IN ('queued', 'running') AND state = 'running')")
    elif query.state is not None:
        where.append("state = ?")
        values.append(int(query.state))
    if query.mode is not None:
        where.append("mode = ?")
        values.append(query.mode)
    return (f" WHERE {' AND '.join(where)}" if where else ""), values


def _tail(query: JobQuery, page: Page | None) -> tuple[str, list[int]]:
    order = f" ORDER BY {_ORDERS[query.order]}"
    return (order, []) if page is None else (f"{order} LIMIT ? OFFSET ?", [page.size, (page.number - 1) * page.size])


def _count(query: JobQuery, folded_name: str) -> tuple[str, list[Any]]:
    """An expression for how many there are, and its values."""
    where, values = _filter(query, folded_name)
    if query.name_part or query.state == 1:
        return f"(SELECT count(*) FROM jobs{where})", values
    return f"(SELECT coalesce(sum(jobs), 0) FROM job_counts{where})", values
