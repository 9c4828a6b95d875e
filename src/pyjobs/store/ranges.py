"""The part of a store in SQL that tells what became of many fires without reading each row."""

from __future__ import annotations

from typing import Any

from pyjobs.jobs import RunState
from pyjobs.ports import FireRange, Folding
from pyjobs.store.sql import Sql

__all__ = ["RangeRows"]

#: What distinguishes rows of one state that are not put together.
_ISLANDS: dict[Folding, str] = {
    "none": "scheduled_for",
    # Numbers within all rows and within those of the same end differ by the same amount as long as nothing is between.
    "neighbours": (
        "CASE state WHEN 'missed' THEN scheduled_for ELSE row_number() OVER (ORDER BY scheduled_for)"
        " - row_number() OVER (PARTITION BY state, error ORDER BY scheduled_for) END"
    ),
    "all": "CASE state WHEN 'missed' THEN scheduled_for ELSE 0 END",
}
_COLUMNS = (
    "min(coalesce(first_for, scheduled_for)), max(scheduled_for), sum(fires), state,"
    " min(error), max(error), count(*), max(exec_id), max(duration_ms), max(claimed_at - scheduled_for)"
)
#: Not `*`: nothing of what the runs wrote is to be read.
_NEEDED = "scheduled_for, first_for, fires, state, error, exec_id, duration_ms, claimed_at"


class RangeRows(Sql):
    """Methods of ports.Store about ranges of fires."""

    def fire_ranges(
        self, job_id: int | None, job_name: str, after_ms: int, until_ms: int, *, folding: Folding, limit: int
    ) -> list[FireRange]:
        """What became of the fires in (after, until], the newest `limit` ranges, as in ports.Store."""
        whose, values = (
            ("job_id = ?", [job_id]) if job_id is not None else ("job_id IS NULL AND job_name = ?", [job_name])
        )
        inner = f"SELECT {_NEEDED}, {_ISLANDS[folding]} AS island FROM job_logs WHERE {whose}"
        inner += " AND scheduled_for > ? AND scheduled_for <= ?"
        same = "state, island, error" if folding == "neighbours" else "state, island"
        sql = f"SELECT {_COLUMNS} FROM ({inner}) fires GROUP BY {same} ORDER BY max(scheduled_for) DESC LIMIT ?"
        found = self._rows(sql, [*values, after_ms, until_ms, limit])
        # A missed range reaches up to its row without another row between: only the next one can reach back.
        after = f"SELECT {_NEEDED} FROM job_logs WHERE {whose} AND scheduled_for > ? ORDER BY scheduled_for LIMIT 1"
        over = f"SELECT {_COLUMNS} FROM ({after}) fires WHERE first_for <= ? GROUP BY state"
        found = [*self._rows(over, [*values, until_ms, until_ms]), *found][:limit]
        return [_range_of(row) for row in reversed(found)]


def _range_of(row: tuple[Any, ...]) -> FireRange:
    first, last, fires, state, error, other, rows, exec_id, duration, lateness = row
    return FireRange(
        first_ms=first,
        last_ms=last,
        fires=int(fires),
        state=RunState(state),
        error=error if error and error == other else "",
        exec_id=exec_id if rows == 1 else "",
        duration_ms=duration,
        lateness_ms=lateness,
    )
