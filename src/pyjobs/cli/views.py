"""How jobs and runs look: as a line of a table, as a page, as a document."""

from __future__ import annotations

from typing import Any

from pyjobs.cli.messages import message, word
from pyjobs.cli.reasons import short
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.times import View, span
from pyjobs.jobs import Job, JobState, Run, RunState, Source, TriggerType

__all__ = [
    "SHORT",
    "JobRow",
    "jobs_noun",
    "run_document",
    "run_style",
    "runs_noun",
    "state_of",
    "when",
    "zoned_schedule",
]

#: How much of an exec id a table on a terminal shows: enough to type, since a unique beginning will do.
SHORT = 8
_STYLES = {
    "success": "green",
    "failed": "red",
    "timeout": "red",
    "killed": "red",
    "lost": "red",
    "running": "cyan",
    "queued": "blue",
    "skipped": "yellow",
    "missed": "yellow",
    "stopped": "dim",
}


class JobRow:
    """A job, whether a run of it is running now, and whether nobody is there to see how that ends."""

    __slots__ = ("alone", "job", "running")

    def __init__(self, job: Job, *, running: bool, alone: bool = False) -> None:
        """Take all three."""
        self.job = job
        self.running = running
        self.alone = alone

    @property
    def result(self) -> str:
        """The state of its newest run."""
        if self.running:
            return RunState.RUNNING.value
        return self.job.last_state.value if self.job.last_state else ""


def state_of(row: JobRow) -> str:
    """`waiting`, `running` or `stopped`."""
    if row.running:
        return "running"
    return "stopped" if row.job.state is JobState.STOPPED else "waiting"


def schedule(job: Job, view: View) -> str:
    """When it is due, in the words that it was given with."""
    if job.trigger_type is TriggerType.CRON:
        return job.cron_expr
    if job.trigger_type is TriggerType.INTERVAL:
        return f"{'每 ' if view.lang == 'zh' else 'every '}{_period(job.interval_s, view.lang)}"
    if job.trigger_type is TriggerType.ONCE:
        return f"{'于' if view.lang == 'zh' else 'at'} {view.full(job.at_ms)}"
    return word("manual", view.lang)


def zoned_schedule(job: Job, view: View) -> str:
    """As `schedule`; a job whose own zone is not the one that times are shown in names it."""
    if job.timezone in ("", view.zone.key) or job.trigger_type not in (TriggerType.CRON, TriggerType.ONCE):
        return schedule(job, view)
    return f"{schedule(job, view.at(job.timezone))} ({job.timezone})"


def when(run: Run) -> int | None:
    """The instant that a run is shown at: when it was due; of one made up for or missed, when that was noticed."""
    if run.state is RunState.MISSED or run.source is Source.CATCHUP:
        return run.claimed_ms
    return run.scheduled_ms or run.claimed_ms


def run_style(run: Run) -> str:
    """The style that says how a run ended."""
    return _STYLES[run.state.value]


def _period(seconds: int, lang: str) -> str:
    numbers = (seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    if lang == "zh":
        return " ".join(f"{n} {unit}" for n, unit in zip(numbers, ("天", "小时", "分钟", "秒"), strict=True) if n)
    return "".join(f"{n}{unit}" for n, unit in zip(numbers, "dhms", strict=True) if n) or "0s"


def _next(row: JobRow, view: View) -> str:
    if row.job.state is JobState.STOPPED:
        return word("stopped", view.lang)
    return view.when(row.job.next_fire_ms)


def _left(row: JobRow, view: View) -> str:
    return "" if row.job.state is JobState.STOPPED else view.left(row.job.next_fire_ms)


def _result(row: JobRow, view: View) -> str:
    shown = word(row.result, view.lang)
    return f"{shown} ({message('run.no_runner', view.lang)})" if row.alone else shown


def _job_document(row: JobRow, view: View) -> dict[str, Any]:
    job = row.job
    return {
        "id": job.id,
        "name": job.name,
        "desc": job.desc,
        "state": state_of(row),
        "stop_reason": job.stop_reason,
        "mode": job.mode,
        "command": job.command,
        "trigger_type": job.trigger_type.value,
        "schedule": schedule(job, View(view.zone, view.now_ms)),
        "cron_expr": job.cron_expr,
        "interval_seconds": job.interval_s,
        "at": view.iso(job.at_ms),
        "timezone": job.timezone or view.zone.key,
        "dst_gap": job.dst_gap.value,
        "dst_fold": job.dst_fold.value,
        "allow_mode": int(job.allow_mode),
        "misfire": job.misfire.value,
        "catchup_window_seconds": job.catchup_window_s,
        "max_run_count": job.max_run_count,
        "run_count": job.run_count,
        "timeout_seconds": job.timeout_s,
        "grace_seconds": job.grace_s,
        "retry_backoff": job.retry_backoff.value,
        "retry_on": job.retry_on,
        "on_lost": job.on_lost.value,
        "alerts": job.alerts,
        "owned_by": job.owned_by,
        "next_fire": view.iso(job.next_fire_ms),
        "last_run": view.iso(job.last_run_ms),
        "last_state": row.result or None,
        "last_duration_ms": job.last_duration_ms,
        "created": view.iso(job.created_ms),
        "updated": view.iso(job.updated_ms),
    }


def jobs_noun() -> Noun[JobRow]:
    """Jobs: what `job list` shows of them."""
    return Noun(
        singular="job",
        plural="jobs",
        name=lambda row: row.job.name,
        document=_job_document,
        columns=(
            Column("col.id", lambda row, _: str(row.job.id), right=True),
            Column("col.name", lambda row, _: row.job.name, style="bold", fold=True),
            Column("col.mode", lambda row, _: row.job.mode),
            Column("col.schedule", lambda row, view: zoned_schedule(row.job, view), fold=True),
            Column("col.next", _next, style=lambda row: "dim" if row.job.state is JobState.STOPPED else ""),
            Column("col.left", _left, right=True),
            Column("col.last", lambda row, view: view.when(row.job.last_run_ms)),
            Column(
                "col.result",
                _result,
                style=lambda row: _STYLES.get(row.result, ""),
            ),
            Column("col.took", lambda row, _: span(row.job.last_duration_ms), right=True),
        ),
    )


def run_document(run: Run, view: View, *, output: bool = True) -> dict[str, Any]:
    """All that a program may want to know of a run."""
    content: dict[str, Any] = {
        "exec_id": run.exec_id,
        "job_id": run.job_id,
        "job": run.job_name,
        "mode": run.mode,
        "state": run.state.value,
        "status": run.state.status,
        "source": run.source.value,
        "scheduled": view.iso(run.scheduled_ms),
        "first_scheduled": view.iso(run.first_ms),
        "fires": run.fires,
        "claimed": view.iso(run.claimed_ms),
        "started": view.iso(run.started_ms),
        "ended": view.iso(run.ended_ms),
        "lateness_ms": run.lateness_ms,
        "duration_ms": run.duration_ms,
        "attempt": run.attempt,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "reason": run.error,
        "retry_of": run.retry_of,
        "killed_by": run.kill_by,
    }
    if output:
        content |= {"command": run.command, "stdout": run.stdout, "stderr": run.stderr}
    return content


def runs_noun(*, output: bool = False) -> Noun[Run]:
    """Runs: what `runs list` shows of them; documents hold their output on demand."""
    return Noun(
        singular="run",
        plural="runs",
        name=lambda run: run.exec_id,
        document=lambda run, view: run_document(run, view, output=output),
        columns=(
            Column("col.exec", lambda run, view: run.exec_id[:SHORT] if view.terminal else run.exec_id, style="dim"),
            Column("col.job", lambda run, _: run.job_name, style="bold", fold=True),
            Column("col.source", lambda run, view: word(run.source.value, view.lang)),
            Column("col.when", lambda run, view: view.when(when(run))),
            Column("col.state", lambda run, view: word(run.state.value, view.lang), style=run_style),
            Column("col.took", lambda run, _: span(run.duration_ms), right=True),
            Column("col.late", lambda run, _: span(run.lateness_ms), right=True),
            Column("col.reason", short, cut=True),
        ),
    )
