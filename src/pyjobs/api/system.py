"""Routes about the whole: scheduler, settings, store, host."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyjobs import database_url
from pyjobs.api import host, shapes
from pyjobs.api.params import Page
from pyjobs.api.routes import Answer, Call, PageInfo, Route
from pyjobs.api.times import local
from pyjobs.config import Settings
from pyjobs.errors import Invalid
from pyjobs.jobs import JobState
from pyjobs.masking import MASK
from pyjobs.ports import JobQuery
from pyjobs.ports import Page as StorePage

__all__ = ["ROUTES"]

_TAG = "系统"


def _job_state(call: Call) -> Answer:
    counts = _counts(call)
    on = _scheduling(call)
    data = {
        "num": counts["waiting"], "state": on, "total": counts["total"], "running": counts["running"],
        "stopped": counts["stopped"],
    }  # fmt: skip
    return Answer(msg="任务运行中" if on else "任务停止", data=data)


def _job_status(call: Call) -> Answer:
    counts = _counts(call)
    data = {
        "running": _scheduling(call), "task_count": counts["waiting"], "total": counts["total"],
        "waiting": counts["waiting"], "stopped": counts["stopped"], "running_count": counts["running"],
    }  # fmt: skip
    return Answer(data=data)


def _counts(call: Call) -> dict[str, int]:
    figures = call.service.system.figures()
    jobs, runs = figures["jobs"], figures["runs"]
    waiting, stopped = jobs.get(JobState.WAITING, 0), jobs.get(JobState.STOPPED, 0)
    return {"waiting": waiting, "stopped": stopped, "total": sum(jobs.values()), "running": runs.get("running", 0)}


def _scheduling(call: Call) -> bool:
    return call.service.system.paused() is None and call.site.scheduler_alive()


def _scheduler(call: Call) -> Answer:
    asked: Page = call.params
    query = JobQuery(state=int(JobState.WAITING), order="next")
    jobs, zone = call.service.jobs, call.zone
    found = jobs.list(query, StorePage(number=asked.number, size=asked.rows))
    total = jobs.count(query)
    tasks = [
        {
            "id": job.id, "name": job.name, "mode": job.mode, "trigger_type": job.trigger_type.value,
            "cron_expr": job.cron_expr, "next_run": local(job.next_fire_ms, zone),
            "prev_run": local(job.last_run_ms, zone),
        }
        for job in found
    ]  # fmt: skip
    data = {"scheduler_running": _scheduling(call), "tasks": tasks, "total_tasks": total}
    return Answer(msg="获取调度器任务列表成功", data=data, page=PageInfo(asked.number, asked.rows, total))


def _config(call: Call) -> Answer:
    return Answer(msg="获取配置成功", data=_config_view(call.settings))


def _config_view(settings: Settings) -> dict[str, Any]:
    """Go's six keys, then ours; what is secret is masked."""
    ours = {about.name: _masked(about, getattr(settings, about.name)) for about in dataclasses.fields(settings)}
    return {
        "default_allow_mode": 0,
        "manual_allow_concurrent": False,  # a start by hand obeys its job's policy
        "default_timeout_seconds": settings.job_timeout,
        "http_response_max_bytes": settings.http_response_max_bytes,
        "log_summary_enabled": True,  # a row keeps head and tail of an output
        "log_line_truncate": settings.run_output_bytes,
        **ours,
    }


def _masked(about: Any, value: Any) -> Any:
    if about.name == "database_url":
        return database_url.shown(value)
    if about.metadata.get("secret"):
        return dict.fromkeys(value, MASK) if isinstance(value, dict) else (MASK if value else "")
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _reload_config(call: Call) -> Answer:
    try:
        found = call.site.reload_settings()
    except Invalid as exc:
        return Answer(code=404, msg=f"重载配置失败：{exc.text('zh')}")
    served = call.site.reload_daemon()
    data = {"changed": list(found.changed), "restart_needed": list(found.restart), "daemon": served}
    return Answer(msg="配置重载成功", data=data)


def _health(call: Call) -> Answer:
    now_ms = call.site.clock.now_ms()
    data = {
        "app_name": "pyjobs", "app_version": host.version(),
        "server_port": call.environ.get("SERVER_PORT") or str(call.settings.port),
        "timestamp": now_ms // 1000, "uptime": max(0, now_ms - call.site.started_ms) // 1000,
        "goroutines": host.threads(), "memory": host.memory(),
    }  # fmt: skip
    return Answer(msg="系统运行正常", data=data)


def _database(call: Call) -> Answer:
    about, counts = call.service.system.store(), _counts(call)
    data = {
        "type": about.kind, "db_type": about.kind, "host": about.host, "database": about.database,
        "db_url": database_url.shown(call.settings.database_url), "table_prefix": "", "status": "open",
        "size": about.size,
        "counts": {"jobs": counts["total"], "stopped": counts["stopped"], "running": counts["running"]},
    }  # fmt: skip
    return Answer(msg="获取数据库信息成功", data=data)


def _system_status(call: Call) -> Answer:
    return Answer(msg="获取系统状态成功", data=host.status(call.settings.home))


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/jobs/jobState", summary="调度器与任务的状态", tag=_TAG, scope="read",
          handler=_job_state, answer=shapes.JobState),
    Route(method="GET", path="/jobs/jobStatus", summary="调度器状态（无外层结构）", tag=_TAG, scope="read",
          handler=_job_status, answer=shapes.JobStatus, bare=True),
    Route(method="GET", path="/jobs/scheduler", summary="调度器任务列表", tag=_TAG, scope="read",
          handler=_scheduler, params=Page, answer=shapes.Scheduler, paged=True),
    Route(method="GET", path="/jobs/config", summary="查看配置", tag=_TAG, scope="admin",
          handler=_config, answer=shapes.Config),
    Route(method="POST", path="/jobs/reload-config", summary="重新加载配置", tag=_TAG, scope="admin",
          handler=_reload_config, answer=shapes.ReloadedConfig),
    Route(method="GET", path="/jobs/health", summary="系统健康状况", tag=_TAG, scope="read",
          handler=_health, answer=shapes.GoHealth),
    Route(method="GET", path="/jobs/dbinfo", aliases=("/jobs/database",), summary="数据库信息", tag=_TAG, scope="read",
          handler=_database, answer=shapes.Database),
    Route(method="GET", path="/jobs/system-status", summary="主机资源", tag=_TAG, scope="read",
          handler=_system_status, answer=shapes.SystemStatus),
)  # fmt: skip
