"""The part of a store in SQL that sums up what ran in a span of time."""

from __future__ import annotations

from pyjobs.jobs import RunState
from pyjobs.ports import Tally
from pyjobs.store.sql import Sql

__all__ = ["SpanRows"]

#: In the order of Tally's fields.
_COUNTED = (RunState.SUCCESS, RunState.FAILED, RunState.TIMEOUT, RunState.KILLED, RunState.LOST, RunState.SKIPPED)
_SUMS = ", ".join(f"sum(CASE WHEN state = '{state.value}' THEN 1 ELSE 0 END)" for state in _COUNTED)
_LAUNCHED = "CASE WHEN started_at IS NOT NULL AND ended_at IS NOT NULL THEN duration_ms END"


class SpanRows(Sql):
    """Methods of ports.Store about spans of time."""

    def tallies(self, since_ms: int, until_ms: int, job_id: int | None = None) -> list[Tally]:
        """What was claimed in [since, until), summed up by job, as in ports.Store."""
        whose, values = ("", []) if job_id is None else (" AND job_id = ?", [job_id])
        sql = (
            f"SELECT job_id, max(job_name), {_SUMS}, sum(CASE WHEN state = 'missed' THEN fires ELSE 0 END),"
            f" coalesce(sum({_LAUNCHED}), 0), count({_LAUNCHED}), coalesce(max({_LAUNCHED}), 0),"
            " coalesce(max(CASE WHEN state <> 'missed' THEN claimed_at - scheduled_for END), 0)"
            f" FROM job_logs WHERE claimed_at >= ? AND claimed_at < ?{whose}"
            " GROUP BY job_id, CASE WHEN job_id IS NULL THEN job_name END ORDER BY max(job_name)"
        )
        rows = self._rows(sql, [since_ms, until_ms, *values])
        return [
            Tally(row[0], str(row[1]), *(int(number) for number in row[2:]))
            for row in rows
        ]  # fmt: skip
