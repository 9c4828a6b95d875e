"""
A job as a row of a document: the columns of the store, with the names that the specification gives them.

Read are also the older names of the specification (`cron`, `target`) and those of `pyjobs job list -o json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyjobs.errors import Invalid
from pyjobs.interchange.cells import instant, moment, moment_text, text, whole
from pyjobs.jobs import AllowMode, Job, JobState, RunState

__all__ = ["JOB_COLUMNS", "ReadJob", "job_row", "read_job"]

#: column -> (field of Job, how it is read).
_Reader = Callable[[str, object], Any]


def _state(field: str, value: object) -> int:
    words = {"waiting": 0, "running": 0, "stopped": 2}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    number = whole(field, value)
    if number not in (0, 1, 2):
        raise Invalid(field, f"`{number}` is not one of 0, 1, 2", f"`{number}` 不是 0、1、2 之一")
    # Whether it runs is not a job's to say.
    return JobState.STOPPED.value if number == 2 else JobState.WAITING.value


def _allow_mode(field: str, value: object) -> int:
    names = {mode.name.lower(): mode.value for mode in AllowMode}
    return names[value.lower()] if isinstance(value, str) and value.lower() in names else whole(field, value)


def _last_state(field: str, value: object) -> RunState:
    try:
        return RunState(text(field, value).lower())
    except ValueError:
        raise Invalid(field, f"`{value}` is no state of a run", f"`{value}` 不是执行状态") from None


#: What somebody says about a job.
_SAID: dict[str, tuple[str, _Reader]] = {
    "name": ("name", text),
    "desc": ("desc", text),
    "cron_expr": ("cron_expr", text),
    "mode": ("mode", text),
    "command": ("command", text),
    "allow_mode": ("allow_mode", _allow_mode),
    "max_run_count": ("max_run_count", whole),
    "state": ("state", _state),
    "trigger_type": ("trigger_type", text),
    "interval_seconds": ("interval_s", whole),
    "run_at": ("at_ms", instant),
    "timezone": ("timezone", text),
    "dst_gap": ("dst_gap", text),
    "dst_fold": ("dst_fold", text),
    "misfire": ("misfire", text),
    "catchup_window": ("catchup_window_s", whole),
    "timeout": ("timeout_s", whole),
    "grace": ("grace_s", whole),
    "retry_backoff": ("retry_backoff", text),
    "retry_on": ("retry_on", text),
    "on_lost": ("on_lost", text),
}
#: What became of it since.
_KEPT: dict[str, tuple[str, _Reader]] = {
    "run_count": ("run_count", whole),
    "last_run_time": ("last_run_ms", instant),
    "last_state": ("last_state", _last_state),
    "last_duration_ms": ("last_duration_ms", whole),
    "created_at": ("created_ms", instant),
    "updated_at": ("updated_ms", instant),
    "anchor_at": ("anchor_ms", instant),
    "stop_reason": ("stop_reason", text),
}
_ALIASES = {
    "cron": "cron_expr",
    "target": "command",
    "description": "desc",
    "at": "run_at",
    "timeout_seconds": "timeout",
    "grace_seconds": "grace",
    "catchup_window_seconds": "catchup_window",
    "last_run": "last_run_time",
    "created": "created_at",
    "updated": "updated_at",
}
#: Follow from the others, or are this store's own.
_DERIVED = frozenset({"next_run_time", "next_fire", "next_fire_at", "schedule", "overlap", "revision", "owned_by"})
JOB_COLUMNS = ("id", *_SAID, *_KEPT, "next_run_time")


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a row says, by the names of Job's fields; not checked but for its types."""

    said: Mapping[str, Any]
    kept: Mapping[str, Any]
    #: The number that the document's runs call it by.
    id: int | None
    #: Columns that nothing knows.
    unknown: tuple[str, ...]


def job_row(job: Job) -> dict[str, Any]:
    """A job as a row: times are UTC, a state is 0 or 2; what there is not is None."""
    row: dict[str, Any] = {"id": job.id}
    for column, (field, reader) in (_SAID | _KEPT).items():
        value = getattr(job, field)
        if reader is instant:
            value = moment(value) if column in ("run_at", "anchor_at") else moment_text(value)
        row[column] = value.value if isinstance(value, Enum) else value
    return {**row, "next_run_time": moment_text(job.next_fire_ms)}


def read_job(row: Mapping[str, object]) -> ReadJob:
    """
    What a row says. None and, but for texts that may be empty, an empty text say nothing.

    Raises:
        Invalid: a value is of a wrong type; the message names the column.
    """
    said: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    unknown, number = [], None
    for column, value in row.items():
        known = _ALIASES.get(column, column)
        if value is None or (value == "" and known != "command"):
            continue
        if known == "id":
            number = whole(column, value)
        elif known in _SAID:
            field, reader = _SAID[known]
            said[field] = reader(column, value)
        elif known in _KEPT:
            field, reader = _KEPT[known]
            kept[field] = reader(column, value)
        elif known not in _DERIVED:
            unknown.append(column)
    if "trigger_type" not in said and not said.get("interval_s"):
        # The columns of the others have a number all the same.
        said.pop("interval_s", None)
    return ReadJob(said, kept, number, tuple(unknown))
