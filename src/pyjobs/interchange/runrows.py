"""
A run that ended as a row of a document: the columns of the store, with the names that the specification gives them.

Read are also the specification's older names (`result`) and what has no column of ours: a status alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pyjobs.errors import Invalid
from pyjobs.interchange.cells import instant, moment, moment_text, text, whole
from pyjobs.jobs import FINAL, Run, RunState, Source

__all__ = ["read_run", "run_row"]

_TEXTS = ("exec_id", "job_name", "mode", "command", "output", "error")
_NUMBERS = ("id", "job_id", "fires", "duration_ms", "attempt", "exit_code", "signal", "stderr_at")
#: column -> field of Run; milliseconds count.
_INSTANTS = {
    "scheduled_for": "scheduled_ms",
    "first_for": "first_ms",
    "claimed_at": "claimed_ms",
    "started_at": "started_ms",
    "ended_at": "ended_ms",
}
_ALIASES = {"result": "output", "error_msg": "error"}


def run_row(run: Run) -> dict[str, Any]:
    """A run as a row; times are UTC."""
    return {
        "id": run.id,
        "job_id": run.job_id,
        "start_time": moment_text(run.started_ms),
        "end_time": moment_text(run.ended_ms),
        "status": run.state.status,
        "output": run.output,
        **{column: getattr(run, column) for column in (*_TEXTS, *_NUMBERS) if column not in ("id", "job_id", "output")},
        **{column: moment(getattr(run, field)) for column, field in _INSTANTS.items()},
        "state": run.state.value,
        "source": run.source.value,
        "retry_of": run.retry_of,
        "kill_by": run.kill_by,
    }


def read_run(row: Mapping[str, object]) -> Run:
    """
    The run that a row tells of; one that had not ended is lost. Without an exec id it has an empty one.

    Raises:
        Invalid: a value cannot be used; the message names the column.
    """
    row = {_ALIASES.get(column, column): value for column, value in row.items() if value not in (None, "")}
    values: dict[str, Any] = {
        **_read(row, {name: name for name in _TEXTS}, text),
        **_read(row, {name: name for name in _NUMBERS}, whole),
        **_read(row, _INSTANTS, instant),
        **_read(row, {"retry_of": "retry_of", "kill_by": "kill_by"}, text),
    }
    started = values.setdefault("started_ms", _instant(row, "start_time"))
    ended = values.setdefault("ended_ms", _instant(row, "end_time"))
    claimed = values.setdefault("claimed_ms", started if started is not None else ended)
    if claimed is None:
        raise Invalid("start_time", "is missing", "不能为空")
    if started is not None and ended is not None:
        values.setdefault("duration_ms", max(ended - started, 0))
    blank = Run(exec_id="", job_id=None, job_name="", mode="", command="", state=_state(row), source=_source(row))
    run = dataclasses.replace(blank, **values)
    if run.state in FINAL:
        return run
    why = run.error or "it had not ended when it was exported"
    return dataclasses.replace(run, state=RunState.LOST, error=why, ended_ms=run.ended_ms or run.claimed_ms)


def _read(
    row: Mapping[str, object], columns: Mapping[str, str], reader: Callable[[str, object], Any]
) -> dict[str, Any]:
    return {field: reader(column, row[column]) for column, field in columns.items() if column in row}


def _instant(row: Mapping[str, object], column: str) -> int | None:
    return instant(column, row[column]) if column in row else None


def _state(row: Mapping[str, object]) -> RunState:
    if "state" in row:
        try:
            return RunState(text("state", row["state"]))
        except ValueError:
            raise Invalid("state", f"`{row['state']}` is no state of a run", f"`{row['state']}` 不是执行状态") from None
    if "status" not in row:
        return RunState.RUNNING
    return RunState.SUCCESS if whole("status", row["status"]) == 0 else RunState.FAILED


def _source(row: Mapping[str, object]) -> Source:
    try:
        return Source(text("source", row.get("source", Source.CRON.value)))
    except ValueError:
        raise Invalid("source", f"`{row['source']}` is no source of a run", f"`{row['source']}` 不是执行来源") from None
