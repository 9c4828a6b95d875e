"""Jobs and runs as the API's clients read them: plain dictionaries, made once, since lists of them are the hot path."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from pyjobs.api.times import local, rfc3339
from pyjobs.commandtext import retries
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.ports import Active

__all__ = ["job_view", "log_view"]

_OVERLAP = ("parallel", "serial", "immediate", "replace")
_STATUS_TEXT = {
    RunState.QUEUED: "等待执行",
    RunState.RUNNING: "执行中",
    RunState.SUCCESS: "成功",
    RunState.SKIPPED: "跳过",
    RunState.MISSED: "错过",
}


def job_view(job: Job, active: Active | None, zone: ZoneInfo) -> dict[str, Any]:
    """A job; state 1 says that a run of it is running now, or about to be though the job is stopped."""
    stopped, running = job.state is JobState.STOPPED, 0
    state = job.state.value
    if active is not None:
        running = active.running
        state = 1 if running or stopped else state
    return {
        "id": job.id,
        "name": job.name,
        "desc": job.desc,
        "cron_expr": job.cron_expr,
        "mode": job.mode,
        "command": job.command,
        "state": state,
        "allow_mode": job.allow_mode.value,
        "max_run_count": job.max_run_count,
        "run_count": job.run_count,
        "created_at": rfc3339(job.created_ms, zone),
        "updated_at": rfc3339(job.updated_ms, zone),
        "last_run_time": local(job.last_run_ms, zone),
        "next_run_time": None if stopped else local(job.next_fire_ms, zone),
        "trigger_type": job.trigger_type.value,
        "interval_seconds": job.interval_s,
        "run_at": rfc3339(job.at_ms, zone),
        "timezone": job.timezone or zone.key,
        "dst_gap": job.dst_gap.value,
        "dst_fold": job.dst_fold.value,
        "timeout": job.timeout_s,
        "grace": job.grace_s,
        "overlap": _OVERLAP[job.allow_mode.value],
        "misfire": job.misfire.value,
        "catchup_window": job.catchup_window_s,
        "retry_backoff": job.retry_backoff.value,
        "retry_on": job.retry_on,
        "on_lost": job.on_lost.value,
        "retries": retries(job.command),
        "alerts": job.alerts,
        "stop_reason": job.stop_reason,
        "last_status": job.last_state.value if job.last_state else None,
        "last_duration_ms": job.last_duration_ms,
        "running": running,
    }


def log_view(run: Run, zone: ZoneInfo, *, text_status: bool) -> dict[str, Any]:
    """A run. `text_status` is for Go's web page, which compares words."""
    start, end = local(run.started_ms, zone), local(run.ended_ms, zone)
    code = run.state.status
    words = _STATUS_TEXT.get(run.state, "失败")
    return {
        "id": run.id,
        "job_id": run.job_id,
        "start_time": start,
        "end_time": end,
        "status": words if text_status else code,
        "output": run.output,
        "time": start or local(run.claimed_ms, zone),
        "job_name": run.job_name,
        "duration_ms": run.duration_ms or 0,
        "mode": run.mode,
        "exec_id": run.exec_id,
        "source": run.source.value,
        "command": run.command,
        "exit_code": run.exit_code,
        "stdout": run.stdout,
        "stderr": run.stderr,
        "error_msg": run.error,
        "status_code": code,
        "status_text": words,
        "state": run.state.value,
        "signal": run.signal,
        "attempt": run.attempt,
        "retry_of": run.retry_of,
        "scheduled_for": local(run.scheduled_ms, zone),
    }
