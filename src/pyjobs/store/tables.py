"""
The tables as Peewee models, made for a given database, and the way between their rows and Job and Run.

`jobs` and `job_logs` have the specification's names and columns first, ours beside them. Texts of time are UTC
`YYYY-MM-DD HH:MM:SS`; where a decision needs milliseconds they stand in a column of their own (`_at`).
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, TypeVar

from peewee import AutoField, BigIntegerField, Database, IntegerField, Model, TextField

from pyjobs.clock import parse_text, text
from pyjobs.jobs import (
    AllowMode,
    Backoff,
    Fold,
    Gap,
    Job,
    JobState,
    Misfire,
    OnLost,
    Run,
    RunState,
    Source,
    TriggerType,
)

__all__ = [
    "JOB_COLUMNS",
    "KNOWN_WORDS",
    "MAKES_SENSE",
    "RUN_COLUMNS",
    "Tables",
    "ended_run_values",
    "job_history",
    "job_of",
    "job_values",
    "make_tables",
    "run_of",
    "run_values",
]

_E = TypeVar("_E", bound=Enum)
#: A look-up costs a tenth of a call of the Enum, and a list of jobs has six for each.
_TRIGGERS = {member.value: member for member in TriggerType}
_GAPS = {member.value: member for member in Gap}
_FOLDS = {member.value: member for member in Fold}
_ALLOW_MODES = {member.value: member for member in AllowMode}
_MISFIRES = {member.value: member for member in Misfire}
_BACKOFFS = {member.value: member for member in Backoff}
_ON_LOST = {member.value: member for member in OnLost}
_JOB_STATES = {member.value: member for member in JobState}
_SHAPES: set[tuple[type, ...]] = set()


class Tables(NamedTuple):
    """The models of one database."""

    jobs: Any
    runs: Any
    facts: Any


def make_tables(database: Database) -> Tables:
    """Models bound to `database`, and to nothing else."""

    class Base(Model):  # type: ignore[misc, unused-ignore]
        class Meta:
            legacy_table_names = False

    class Jobs(Base):
        id = AutoField()
        name = TextField()
        desc = TextField()
        cron_expr = TextField()
        mode = TextField()
        command = TextField()
        allow_mode = IntegerField()
        max_run_count = IntegerField()
        run_count = IntegerField()
        state = IntegerField()
        last_run_time = TextField(null=True)
        next_run_time = TextField(null=True)
        created_at = TextField()
        updated_at = TextField()
        trigger_type = TextField()
        interval_seconds = IntegerField()
        run_at = BigIntegerField(null=True)
        anchor_at = BigIntegerField()
        timezone = TextField()
        dst_gap = TextField()
        dst_fold = TextField()
        misfire = TextField()
        catchup_window = IntegerField()
        timeout = IntegerField(null=True)
        grace = IntegerField()
        stop_reason = TextField()
        next_fire_at = BigIntegerField(null=True)
        last_state = TextField(null=True)
        last_duration_ms = BigIntegerField(null=True)
        revision = BigIntegerField()
        retry_backoff = TextField()
        retry_on = TextField()
        on_lost = TextField()
        alerts = TextField()
        owned_by = TextField()

        class Meta:
            table_name = "jobs"

    class Runs(Base):
        id = AutoField()
        job_id = IntegerField(null=True)
        start_time = TextField(null=True)
        end_time = TextField(null=True)
        status = IntegerField(null=True)
        output = TextField()
        exec_id = TextField()
        job_name = TextField()
        mode = TextField()
        command = TextField()
        state = TextField()
        source = TextField()
        scheduled_for = BigIntegerField(null=True)
        first_for = BigIntegerField(null=True)
        fires = IntegerField()
        claimed_at = BigIntegerField(null=True)
        started_at = BigIntegerField(null=True)
        ended_at = BigIntegerField(null=True)
        duration_ms = BigIntegerField(null=True)
        attempt = IntegerField()
        exit_code = IntegerField(null=True)
        signal = IntegerField(null=True)
        error = TextField()
        stderr_at = IntegerField()
        owner = TextField(null=True)
        pid = IntegerField(null=True)
        pid_start = BigIntegerField(null=True)
        kill_by = TextField(null=True)
        forced = IntegerField()
        retry_of = TextField(null=True)
        retry_at = BigIntegerField(null=True)

        class Meta:
            table_name = "job_logs"

    class Facts(Base):
        name = TextField(primary_key=True)
        value = TextField()

        class Meta:
            table_name = "facts"

    database.bind([Jobs, Runs, Facts], bind_refs=False, bind_backrefs=False)
    return Tables(Jobs, Runs, Facts)


JOB_COLUMNS = (
    "id", "name", "desc", "cron_expr", "mode", "command", "allow_mode", "max_run_count", "run_count", "state",
    "last_run_time", "created_at", "updated_at", "trigger_type", "interval_seconds", "run_at", "anchor_at", "timezone",
    "dst_gap", "dst_fold", "misfire", "catchup_window", "timeout", "grace", "stop_reason", "next_fire_at",
    "last_state", "last_duration_ms", "revision", "retry_backoff", "retry_on", "on_lost", "alerts", "owned_by",
)  # fmt: skip
RUN_COLUMNS = (
    "id", "job_id", "output", "exec_id", "job_name", "mode", "command", "state", "source", "scheduled_for",
    "first_for", "fires", "claimed_at", "started_at", "ended_at", "duration_ms", "attempt", "exit_code", "signal",
    "error", "stderr_at", "owner", "pid", "pid_start", "kill_by", "forced",
    "retry_of", "retry_at",
)  # fmt: skip


def _makes_sense() -> tuple[str, str]:
    """Conditions in SQL under which `job_of` can use a row: known words, and types where any value may be anywhere."""
    words: dict[str, dict[Any, Any]] = {
        "trigger_type": _TRIGGERS, "dst_gap": _GAPS, "dst_fold": _FOLDS, "allow_mode": _ALLOW_MODES,
        "misfire": _MISFIRES, "retry_backoff": _BACKOFFS, "on_lost": _ON_LOST,
    }  # fmt: skip
    known = [f"{column} IN ({', '.join(map(repr, values))})" for column, values in words.items()]
    texts = [f"typeof(\"{column}\") = 'text'" for column in _TEXTS]
    numbers = [f"typeof({column}) = 'integer'" for column in _NUMBERS]
    maybe = [f"typeof({column}) IN ('integer', 'null')" for column in _NUMBERS_OR_NULL]
    return " AND ".join(known), " AND ".join([*texts, *numbers, *maybe])


_TEXTS = ("name", "desc", "cron_expr", "mode", "command", "timezone", "stop_reason", "retry_on", "alerts", "owned_by")
_NUMBERS = ("max_run_count", "run_count", "interval_seconds", "anchor_at", "catchup_window", "grace", "revision")
_NUMBERS_OR_NULL = ("run_at", "timeout", "next_fire_at", "last_duration_ms")
#: KNOWN_WORDS is all there is to it where columns have types.
KNOWN_WORDS, _TYPES = _makes_sense()
MAKES_SENSE = f"{KNOWN_WORDS} AND {_TYPES}"


def job_of(row: tuple[Any, ...]) -> Job:
    """The job in a row of JOB_COLUMNS; a row that makes no sense is a stopped job that says so."""
    try:
        return _job_of(row)
    except (ValueError, TypeError, KeyError) as exc:
        return _unusable(row, exc)


def _job_of(row: tuple[Any, ...]) -> Job:
    (job_id, name, desc, cron_expr, mode, command, allow_mode, max_run_count, run_count, state, last_run_time,
     created_at, updated_at, trigger_type, interval_s, run_at, anchor_at, timezone, dst_gap, dst_fold, misfire,
     catchup_window, timeout, grace, stop_reason, next_fire_at, last_state, last_duration_ms,
     revision, retry_backoff, retry_on, on_lost, alerts, owned_by) = row  # fmt: skip
    # SQLite keeps any value in any column, whatever its type says. Rows have few shapes: each is checked once.
    if (shape := tuple(map(type, row))) not in _SHAPES:
        _check(str, name, desc, cron_expr, mode, command, timezone, stop_reason, retry_on, alerts, owned_by)
        _check(int, max_run_count, run_count, interval_s, anchor_at, catchup_window, grace, revision)
        _check(int, *(n for n in (run_at, timeout, next_fire_at, last_duration_ms) if n is not None))
        _SHAPES.add(shape)
    return Job(
        id=job_id,
        name=name,
        desc=desc,
        trigger_type=_TRIGGERS[trigger_type],
        cron_expr=cron_expr,
        interval_s=interval_s,
        at_ms=run_at,
        anchor_ms=anchor_at,
        timezone=timezone,
        dst_gap=_GAPS[dst_gap],
        dst_fold=_FOLDS[dst_fold],
        mode=mode,
        command=command,
        allow_mode=_ALLOW_MODES[allow_mode],
        misfire=_MISFIRES[misfire],
        catchup_window_s=catchup_window,
        max_run_count=max_run_count,
        run_count=run_count,
        timeout_s=timeout,
        grace_s=grace,
        retry_backoff=_BACKOFFS[retry_backoff],
        retry_on=retry_on,
        on_lost=_ON_LOST[on_lost],
        alerts=alerts,
        state=_JOB_STATES[state],
        stop_reason=stop_reason,
        last_run_ms=_ms(last_run_time),
        next_fire_ms=next_fire_at,
        last_state=_known(RunState, last_state, RunState.LOST) if last_state else None,
        last_duration_ms=last_duration_ms,
        created_ms=parse_text(created_at),
        updated_ms=parse_text(updated_at),
        owned_by=owned_by,
        revision=revision,
    )


def _check(kind: type, *values: Any) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"`{value!r}` is no {'text' if kind is str else 'number'}")


def _unusable(row: tuple[Any, ...], why: Exception) -> Job:
    values = dict(zip(JOB_COLUMNS, row, strict=True))
    revision = values["revision"]
    return Job(
        id=values["id"],
        name=str(values["name"]),
        desc=str(values["desc"]),
        trigger_type=TriggerType.CRON,
        cron_expr=str(values["cron_expr"]),
        mode=str(values["mode"]),
        command=str(values["command"]),
        state=JobState.STOPPED,
        stop_reason=f"its row in the store cannot be used: {why}",
        revision=revision if isinstance(revision, int) else 0,
    )


def job_values(job: Job) -> dict[str, Any]:
    """What a job says about itself, as columns; what its runs say about it (`run_count`, `last_…`) is not in it."""
    return {
        "name": job.name,
        "desc": job.desc,
        "cron_expr": job.cron_expr,
        "mode": job.mode,
        "command": job.command,
        "allow_mode": int(job.allow_mode),
        "max_run_count": job.max_run_count,
        "state": int(job.state),
        "next_run_time": _text(job.next_fire_ms),
        "created_at": text(job.created_ms),
        "updated_at": text(job.updated_ms),
        "trigger_type": job.trigger_type.value,
        "interval_seconds": job.interval_s,
        "run_at": job.at_ms,
        "anchor_at": job.anchor_ms,
        "timezone": job.timezone,
        "dst_gap": job.dst_gap.value,
        "dst_fold": job.dst_fold.value,
        "misfire": job.misfire.value,
        "catchup_window": job.catchup_window_s,
        "timeout": job.timeout_s,
        "grace": job.grace_s,
        "stop_reason": job.stop_reason,
        "next_fire_at": job.next_fire_ms,
        "retry_backoff": job.retry_backoff.value,
        "retry_on": job.retry_on,
        "on_lost": job.on_lost.value,
        "alerts": job.alerts,
        "owned_by": job.owned_by,
    }


def job_history(job: Job) -> dict[str, Any]:
    """What its runs say about a job, as columns; only for one that comes from elsewhere with its history."""
    return {
        "run_count": job.run_count,
        "last_run_time": _text(job.last_run_ms),
        "last_state": job.last_state.value if job.last_state else None,
        "last_duration_ms": job.last_duration_ms,
    }


def run_of(row: tuple[Any, ...]) -> Run:
    """The run in a row of RUN_COLUMNS."""
    (row_id, job_id, output, exec_id, job_name, mode, command, state, source, scheduled_for, first_for, fires,
     claimed_at, started_at, ended_at, duration_ms, attempt, exit_code, signal, error, stderr_at, owner, pid,
     pid_start, kill_by, forced, retry_of, retry_at) = row  # fmt: skip
    return Run(
        id=row_id,
        exec_id=exec_id,
        job_id=job_id,
        job_name=job_name,
        mode=mode,
        command=command or "",
        state=_known(RunState, state, RunState.LOST),
        source=_known(Source, source, Source.CRON),
        scheduled_ms=scheduled_for,
        first_ms=first_for,
        fires=fires,
        claimed_ms=claimed_at,
        started_ms=started_at,
        ended_ms=ended_at,
        duration_ms=duration_ms,
        attempt=attempt,
        exit_code=exit_code,
        signal=signal,
        error=error or "",
        output=output or "",  # another program may leave it out
        stderr_at=stderr_at,
        owner=owner,
        pid=pid,
        pid_start=pid_start,
        kill_by=kill_by,
        forced=bool(forced),
        retry_of=retry_of,
        retry_ms=retry_at,
    )


#: Columns of a row that a claim writes; the others have their defaults.
_BORN = (
    "job_id", "job_name", "mode", "command", "state", "source", "exec_id", "scheduled_for", "first_for", "fires",
    "claimed_at", "ended_at", "end_time", "error", "owner", "forced", "retry_of",
)  # fmt: skip


def run_values(run: Run) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Columns and values of a run that is born."""
    return _BORN, (
        run.job_id, run.job_name, run.mode, run.command, run.state.value, run.source.value, run.exec_id,
        run.scheduled_ms, run.first_ms, run.fires, run.claimed_ms, run.ended_ms, _text(run.ended_ms), run.error,
        run.owner, int(run.forced), run.retry_of,
    )  # fmt: skip


_ENDED = (
    *_BORN, "start_time", "started_at", "duration_ms", "status", "attempt", "exit_code", "signal", "stderr_at",
    "output", "kill_by",
)  # fmt: skip


def ended_run_values(run: Run) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Columns and values of a run that ended elsewhere."""
    return _ENDED, (
        *run_values(run)[1], _text(run.started_ms), run.started_ms, run.duration_ms, run.state.status, run.attempt,
        run.exit_code, run.signal, run.stderr_at, run.output, run.kill_by,
    )  # fmt: skip


def _known(kind: type[_E], value: Any, otherwise: _E) -> _E:
    """A member, or what is shown for a value that no version of this program writes."""
    try:
        return kind(value)
    except ValueError:
        return otherwise


def _text(ms: int | None) -> str | None:
    return None if ms is None else text(ms)


def _ms(stored: str | None) -> int | None:
    return None if stored is None else parse_text(stored)
