"""The part of a store in SQL about runs: claims, starts, ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from pyjobs.clock import text
from pyjobs.jobs import Run, RunState
from pyjobs.ports import Active, Claimed, End, Start
from pyjobs.store.runlists import RUNS_SQL
from pyjobs.store.sql import ACTIVE, MOST_VALUES, Sql, chunks, marks
from pyjobs.store.tables import ended_run_values, run_of, run_values

__all__ = ["RunRows"]

_Values = Callable[[Run], tuple[tuple[str, ...], tuple[Any, ...]]]
#: Rows that `clear_runs` deletes in one transaction, so that no claim waits for long.
_BATCH = 500
#: Rows that one statement inserts: what it does not have to undo by itself, it need not note before each of them.
_TOGETHER = 50


class RunRows(Sql):
    """Methods of ports.Store over the table `job_logs`."""

    def active_runs(self, job_ids: Sequence[int] | None = None) -> list[Run]:
        """Queued and running runs, oldest first; of some jobs, or all."""
        if job_ids is None:
            rows = self._rows(f"{RUNS_SQL} WHERE {ACTIVE} ORDER BY id", [])
        else:
            rows = []
            for chunk in chunks(job_ids):
                rows += self._rows(f"{RUNS_SQL} WHERE {ACTIVE} AND job_id IN ({marks(chunk)})", chunk)
            rows.sort(key=lambda row: row[0])
        return [run_of(row) for row in rows]

    def active_counts(self, job_ids: Sequence[int] | None = None) -> dict[int, Active]:
        """How many runs are queued and running now, by job; of some jobs, or all."""
        sql = f"SELECT job_id, sum(state = 'queued'), sum(state = 'running') FROM job_logs WHERE {ACTIVE}"
        found: list[tuple[Any, ...]] = []
        if job_ids is None:
            found = self._rows(f"{sql} AND job_id IS NOT NULL GROUP BY job_id", [])
        else:
            for chunk in chunks(job_ids):
                found += self._rows(f"{sql} AND job_id IN ({marks(chunk)}) GROUP BY job_id", chunk)
        return {int(job_id): Active(int(queued), int(running)) for job_id, queued, running in found}

    def unowned_runs(self) -> list[Run]:
        """Queued runs that nobody owns, oldest first."""
        sql = f"{RUNS_SQL} WHERE {ACTIVE} AND state = 'queued' AND owner IS NULL ORDER BY id"
        return [run_of(row) for row in self._rows(sql, [])]

    def kill_requests(self, owner: str) -> dict[str, str]:
        """exec id -> who asked, of this owner's active runs whose end was asked for."""
        sql = f"SELECT exec_id, kill_by FROM job_logs WHERE {ACTIVE} AND owner = ? AND kill_by IS NOT NULL"
        return {str(exec_id): str(by) for exec_id, by in self._rows(sql, [owner])}

    def next_exec_ids(self, count: int) -> list[str]:
        """Fresh names for runs: 64 random bits each."""
        digits = os.urandom(8 * count).hex()
        return [digits[i : i + 16] for i in range(0, 16 * count, 16)]

    def claim(self, rows: Sequence[Claimed], next_fires: Iterable[tuple[int, int, int | None]]) -> set[str]:
        """Write the rows of one tick and move their jobs on; answers the exec ids whose row is new."""
        with self.transaction():
            new = self._insert_runs([claimed.run for claimed in rows])
            self._move(next_fires)
            launched = [c.run for c in rows if c.run.exec_id in new and c.run.state is RunState.QUEUED]
            counted = {c.run.exec_id for c in rows if c.counts}
            self._count(launched, counted)
        return new

    def _move(self, next_fires: Iterable[tuple[int, int, int | None]]) -> None:
        self._many(
            "UPDATE jobs SET next_fire_at = ?, next_run_time = ? WHERE id = ? AND next_fire_at = ?",
            [(after, None if after is None else text(after), job_id, due) for job_id, due, after in next_fires],
        )

    def _count(self, launched: Sequence[Run], counted: set[str]) -> None:
        self._many(
            "UPDATE jobs SET run_count = run_count + ?, last_run_time = ? WHERE id = ?",
            [(int(r.exec_id in counted), text(r.claimed_ms or 0), r.job_id) for r in launched],
        )

    def restore_runs(self, runs: Sequence[Run]) -> set[str]:
        """Store runs that ended elsewhere, in this order; answers the exec ids whose row is new."""
        with self.transaction():
            return self._insert_runs(runs, ended_run_values)

    def _insert_runs(self, runs: Sequence[Run], values_of: _Values = run_values) -> set[str]:
        if not runs:
            return set()
        columns = values_of(runs[0])[0]
        newest = int(self._rows("SELECT coalesce(max(id), 0) FROM job_logs", [])[0][0])
        inserted = 0
        step = min(_TOGETHER, MOST_VALUES // len(columns))
        names = ", ".join(f'"{column}"' for column in columns)
        for start in range(0, len(runs), step):
            together = [values_of(run)[1] for run in runs[start : start + step]]
            rows = ", ".join([f"({marks(columns)})"] * len(together))
            sql = f"{self._dialect.insert_new} INTO job_logs ({names}) VALUES {rows}"
            inserted += self._execute(sql, list(chain.from_iterable(together))).rowcount
        exec_ids = [run.exec_id for run in runs]
        if inserted == len(runs):
            return set(exec_ids)
        found: set[str] = set()
        for chunk in chunks(exec_ids):
            sql = f"SELECT exec_id FROM job_logs WHERE exec_id IN ({marks(chunk)}) AND id > ?"
            found.update(row[0] for row in self._rows(sql, [*chunk, newest]))
        return found

    def take(self, exec_ids: Sequence[str], owner: str, expected: str | None) -> set[str]:
        """Make active runs mine that had this owner (None: nobody); answers those that were."""
        sql = f"UPDATE job_logs SET owner = ? WHERE exec_id = ? AND {ACTIVE} AND owner {self._dialect.same} ?"
        with self.transaction():
            return {e for e in exec_ids if self._execute(sql, (owner, e, expected)).rowcount}

    def start_runs(self, starts: Sequence[Start], owner: str) -> set[str]:
        """queued -> running, or a new attempt or pid of a running one; answers those that had this owner and state."""
        sql = (
            "UPDATE job_logs SET state = 'running', attempt = ?, pid = ?, pid_start = ?, retry_at = ?,"
            " error = coalesce(?, error),"
            " started_at = coalesce(started_at, ?), start_time = coalesce(start_time, ?)"
            f" WHERE exec_id = ? AND {ACTIVE} AND owner = ?"
        )
        with self.transaction(durable=False):
            execute = self._executing()
            return {
                s.exec_id
                for s in starts
                if execute(
                    sql,
                    (
                        s.attempt,
                        s.pid,
                        s.pid_start,
                        s.retry_ms,
                        s.error,
                        s.started_ms,
                        text(s.started_ms),
                        s.exec_id,
                        owner,
                    ),
                ).rowcount
            }

    def end_runs(self, ends: Sequence[End], owner: str | None) -> set[str]:
        """Give runs their final state, if they are active and have this owner; answers those that changed."""
        run_sql = (
            "UPDATE job_logs SET state = ?, status = ?, ended_at = ?, end_time = ?, duration_ms = ?, exit_code = ?,"
            ' "signal" = ?, error = ?, output = ?, stderr_at = ?'
            f" WHERE exec_id = ? AND {ACTIVE} AND owner {self._dialect.same} ?"
        )
        job_sql = (
            "UPDATE jobs SET last_state = ?, last_duration_ms = coalesce(?, last_duration_ms)"
            " WHERE id = (SELECT job_id FROM job_logs WHERE exec_id = ?)"
        )
        # What was claimed for its trigger but never launched does not count (rulings 3).
        uncount_sql = (
            "UPDATE jobs SET run_count = run_count - 1 WHERE run_count > 0 AND id = (SELECT job_id FROM job_logs"
            " WHERE exec_id = ? AND source IN ('cron', 'catchup'))"
        )
        changed = set()
        with self.transaction():
            execute = self._executing()
            for e in ends:
                values = (
                    e.state.value, e.state.status, e.ended_ms, text(e.ended_ms), e.duration_ms, e.exit_code, e.signal,
                    e.error, e.output, e.stderr_at, e.exec_id, owner,
                )  # fmt: skip
                if not execute(run_sql, values).rowcount:
                    continue
                changed.add(e.exec_id)
                if e.state is RunState.SKIPPED:
                    execute(uncount_sql, (e.exec_id,))
                else:
                    execute(job_sql, (e.state.value, e.duration_ms, e.exec_id))
        return changed

    def request_kill(self, exec_id: str, by: str) -> bool:
        """Ask the owner of an active run to end it. False when it is not active."""
        table = self._tables.runs
        with self.transaction():
            states = [RunState.QUEUED.value, RunState.RUNNING.value]
            changed = table.update(kill_by=by).where(table.exec_id == exec_id, table.state.in_(states)).execute()
        return bool(changed)

    def run(self, exec_id: str) -> Run | None:
        """The run with this name."""
        found = self._rows(f"{RUNS_SQL} WHERE exec_id = ?", [exec_id])
        return run_of(found[0]) if found else None

    def runs_starting(self, prefix: str, limit: int) -> list[Run]:
        """Runs whose exec id starts so, newest first."""
        sql = f"{RUNS_SQL} WHERE exec_id >= ? AND exec_id < ? ORDER BY id DESC LIMIT ?"
        return [run_of(row) for row in self._rows(sql, [prefix, prefix + "\U0010ffff", limit])]

    def clear_runs(self, job_id: int | None, before_ms: int | None, since_ms: int | None = None) -> int:
        """Delete final runs, of one job or all, claimed before and not before an instant; answers how many."""
        where, values = [f"NOT {ACTIVE}"], []
        if job_id is not None:
            where.append("job_id = ?")
            values.append(job_id)
        if before_ms is not None:
            where.append("claimed_at < ?")
            values.append(before_ms)
        if since_ms is not None:
            where.append("claimed_at >= ?")
            values.append(since_ms)
        sql = self._dialect.delete_runs.format(where=" AND ".join(where), limit=_BATCH)
        total = 0
        while True:
            with self.transaction():
                deleted = self._execute(sql, values).rowcount
            total += int(deleted)
            if deleted < _BATCH:
                return total
