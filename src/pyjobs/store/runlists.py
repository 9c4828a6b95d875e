"""
The part of a store in SQL about lists of runs: a page from whichever end is nearer, totals from kept counters.

Runs of one job, or of some states, are read from an index that has them by state and id; those of several states
are merged. So a page costs what it shows and what it leaves out first, whatever else is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyjobs.jobs import Run
from pyjobs.ports import RunQuery
from pyjobs.store.counters import ALL_JOBS
from pyjobs.store.sql import Sql, marks
from pyjobs.store.tables import RUN_COLUMNS, run_of

__all__ = ["RUNS_SQL", "RunLists"]

RUNS_SQL = f"SELECT {', '.join(f'{chr(34)}{c}{chr(34)}' for c in RUN_COLUMNS)} FROM job_logs"
#: Rows before the first one of a range that are looked at all the same.
_BEFORE_JUMP = 1000


class RunLists(Sql):
    """Methods of ports.Store over the tables `job_logs` and `run_counts`."""

    def runs(self, query: RunQuery) -> list[Run]:
        """Runs, newest first unless the query says otherwise."""
        limit, offset, ascending, turned = query.limit, query.offset, query.oldest_first, False
        if offset and query.before_id is None and _is_counted(query):
            total = self.count_runs(query)
            limit = min(limit, total - offset)
            turned = offset > total // 2
            if turned:
                offset, ascending = max(total - offset - limit, 0), not ascending
        if limit <= 0:
            return []
        ids, values = self._ids(query)
        order = f"ORDER BY id{'' if ascending else ' DESC'}"
        page = self._dialect.page_ids.format(ids=f"{ids} {order} LIMIT ? OFFSET ?")
        sql = f"{RUNS_SQL} WHERE id IN ({page}) {order}"
        found = [run_of(row) for row in self._rows(sql, [*values, limit, offset])]
        return found[::-1] if turned else found

    def count_runs(self, query: RunQuery) -> int:
        """How many `runs` would give without limit and offset."""
        if query.before_id is None and _is_counted(query):
            return sum(self._counts(query).values())
        sql, values = self._ids(query)
        return int(self._rows(f"SELECT count(*) FROM ({sql}) AS runs", values)[0][0])

    def _counts(self, query: RunQuery) -> dict[str, int]:
        """How many runs there are of each state."""
        if query.job_id is not None and query.job_id < 1:  # nobody's; the counters have other uses for these
            return {}
        sql = "SELECT state, sum(runs) FROM run_counts WHERE job_id = ?"
        values: list[Any] = [ALL_JOBS if query.job_id is None else query.job_id]
        if query.states is not None:
            sql += f" AND state IN ({marks(query.states)})"
            values += sorted(state.value for state in query.states)
        if query.source is not None:
            sql += " AND source = ?"
            values.append(query.source.value)
        return {state: int(runs) for state, runs in self._rows(f"{sql} GROUP BY state", values)}

    def _ids(self, query: RunQuery) -> tuple[str, list[Any]]:
        """A statement for the ids of these runs, and its values."""
        where, values = _filter(query)
        if query.since_ms is not None and query.until_ms is not None:
            where.append("id BETWEEN ? AND ?")
            values += self._between(query.since_ms, query.until_ms)
        if query.job_id is None and query.states is None:
            return _select(where), values
        if not self._dialect.merges:
            return self._filtered(query, where, values)
        parts, all_values = [], []
        for state in (state for state, runs in self._counts(query).items() if runs):
            of_job = [] if query.job_id is None else [query.job_id]
            parts.append(_select(["state = ?", *["job_id = ?" for _ in of_job], *where]))
            all_values += [state, *of_job, *values]
        return " UNION ALL ".join(parts) or _select(["id < 0"]), all_values

    def _filtered(self, query: RunQuery, where: list[str], values: list[Any]) -> tuple[str, list[Any]]:
        if query.job_id is not None:
            where.append("job_id = ?")
            values.append(query.job_id)
        if query.states is not None:
            where.append(f"state IN ({marks(query.states)})")
            values += sorted(state.value for state in query.states)
        return _select(where), values

    def _between(self, since_ms: int, until_ms: int) -> tuple[int, int]:
        """The first and the last id that was claimed in `[since, until)`, from an index alone."""
        sql = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM job_logs WHERE claimed_at >= ? AND claimed_at < ?"
        first, last = self._rows(sql, [since_ms, until_ms])[0]
        return int(first), int(last)


def _is_counted(query: RunQuery) -> bool:
    """Whether the counters know how many runs these are, but for `before_id`."""
    return query.job_name is None and query.since_ms is None and query.until_ms is None


def _select(where: Sequence[str]) -> str:
    return f"SELECT id FROM job_logs{' WHERE ' if where else ''}{' AND '.join(where)}"


def _filter(query: RunQuery) -> tuple[list[str], list[Any]]:
    """What is asked but for the job and the states."""
    where: list[str] = []
    values: list[Any] = []
    if query.job_name is not None:
        where.append("job_name = ?")
        values.append(query.job_name)
    if query.source is not None:
        where.append("source = ?")
        values.append(query.source.value)
    if query.since_ms is not None:
        where.append("claimed_at >= ?")
        values.append(query.since_ms)
    if query.since_ms is not None and query.until_ms is None:
        # Ids grow with claims, but where the clock was set back: the first one in the range, less some that came
        # before such a jump, bounds the walk; the condition above is exact.
        where.append("id >= (SELECT id - ? FROM job_logs WHERE claimed_at >= ? ORDER BY claimed_at, id LIMIT 1)")
        values += [_BEFORE_JUMP, query.since_ms]
    if query.until_ms is not None:
        where.append("claimed_at < ?")
        values.append(query.until_ms)
    if query.before_id is not None:
        where.append("id < ?")
        values.append(query.before_id)
    return where, values
