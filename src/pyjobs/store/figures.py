"""The part of a store in SQL about what was counted. Triggers count (migrations.py); no row of a run is read here."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from pyjobs.ports import BUCKETS_MS, Executed
from pyjobs.store.sql import Sql

__all__ = ["FigureRows"]


class FigureRows(Sql):
    """Methods of ports.Store over the tables `run_figures` and `run_minutes`."""

    def executed(self) -> list[Executed]:
        """What was counted of each job that ever ran, by id; the cost does not depend on how often."""
        rows = self._rows(
            "SELECT f.job_id, coalesce(j.name, ''), coalesce(j.mode, ''), f.bucket, f.runs, f.failed, f.duration_ms"
            " FROM run_figures f LEFT JOIN jobs j ON j.id = f.job_id ORDER BY f.job_id, f.bucket",
            [],
        )
        return [_executed(list(of_job)) for _, of_job in groupby(rows, key=lambda row: row[0])]

    def executed_since(self, minute: int) -> tuple[int, int]:
        """(executions, failed ones) that ended in that minute since the epoch or later, up to two hours ago."""
        sql = "SELECT coalesce(sum(runs), 0), coalesce(sum(failed), 0) FROM run_minutes WHERE minute >= ?"
        runs, failed = self._rows(sql, [minute])[0]
        return int(runs), int(failed)


def _executed(rows: list[tuple[Any, ...]]) -> Executed:
    buckets = dict.fromkeys(range(len(BUCKETS_MS) + 1), 0) | {row[3]: row[4] for row in rows}
    job_id, name, mode = rows[0][:3]
    return Executed(
        job_id=job_id,
        name=name,
        mode=mode,
        runs=sum(row[4] for row in rows),
        failed=sum(row[5] for row in rows),
        duration_ms=sum(row[6] for row in rows),
        buckets=tuple(buckets.values()),
    )
