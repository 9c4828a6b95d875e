"""The root, and whether all is well: what load balancers and people ask."""

from __future__ import annotations

from pyjobs.api import host, shapes
from pyjobs.api.routes import Answer, Call, Route
from pyjobs.errors import PyjobsError
from pyjobs.ports import JobQuery, Page

__all__ = ["ROUTES"]

_TAG = "健康检查"
_ROOT = {"code": 200, "msg": "小胡专用定时任务系统", "data": None}


def _root(call: Call) -> Answer:
    if "text/html" in call.environ.get("HTTP_ACCEPT", "") and call.settings.docs == "on":
        return Answer(status=302, body=b"", content_type="text/plain", headers={"Location": f"{call.prefix}/docs"})
    return Answer(data=_ROOT)


def _health(call: Call) -> Answer:
    uptime = max(0, call.site.clock.now_ms() - call.site.started_ms) // 1000
    return Answer(data={"status": "ok", "version": host.version(), "uptime": uptime})


def _store(call: Call) -> Answer:
    try:
        figures = call.service.system.figures()
        call.service.jobs.list(JobQuery(), Page(size=1))  # the counts stand elsewhere
    except PyjobsError as exc:
        return Answer(status=503, data={"status": "error", "error": exc.text("zh")})
    return Answer(data={"status": "ok", "database": call.settings.database.kind, "jobs": sum(figures["jobs"].values())})


def _scheduler(call: Call) -> Answer:
    trouble = call.site.scheduler_trouble()
    if trouble:
        return Answer(status=503, data={"status": "error", "scheduler": "trouble", "error": trouble})
    if not call.site.scheduler_alive():
        return Answer(status=503, data={"status": "error", "scheduler": "stopped", "error": "调度进程未运行"})
    try:
        paused = call.service.system.paused() is not None
    except PyjobsError as exc:
        return Answer(status=503, data={"status": "error", "scheduler": "unknown", "error": exc.text("zh")})
    return Answer(data={"status": "ok", "scheduler": "paused" if paused else "running"})


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/", summary="首页", tag=_TAG, scope="free", handler=_root, answer=shapes.Queried,
          bare=True, statuses=(200, 302)),
    Route(method="GET", path="/health", summary="服务是否正常", tag=_TAG, scope="free", handler=_health,
          answer=shapes.HealthShape, bare=True),
    Route(method="GET", path="/health/db", summary="数据库是否正常", tag=_TAG, scope="free", handler=_store,
          answer=shapes.HealthShape, bare=True, statuses=(200, 503)),
    Route(method="GET", path="/health/scheduler", summary="调度器是否正常", tag=_TAG, scope="free",
          handler=_scheduler, answer=shapes.HealthShape, bare=True, statuses=(200, 503)),
)  # fmt: skip
