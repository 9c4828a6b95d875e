"""Routes about the functions that jobs may call, and jobs made of built-in ones."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import Field

from pyjobs.api import shapes
from pyjobs.api.params import Int, Params, Text
from pyjobs.api.routes import Answer, Call, PageInfo, Route
from pyjobs.api.views import job_view
from pyjobs.errors import Invalid
from pyjobs.service.jobs import JobFields

__all__ = ["ROUTES"]

_TAG = "函数"


class _Recurring(Params):
    keep_days: Annotated[Int, Field(description="保留天数", examples=[7])] = 30
    cron_expr: Annotated[Text, Field(description="Cron 表达式（别名 cron）", examples=["0 3 * * *"])] = "0 3 * * *"
    name: Annotated[Text | None, Field(description="任务名称")] = None


def _functions(call: Call) -> Answer:
    found = [
        {"name": f.name, "description": f.description, "parameters": f.signature, "origin": f.origin,
         "problem": f.problem}
        for f in sorted(call.functions.functions(), key=lambda f: f.name)
    ]  # fmt: skip
    return Answer(msg="获取函数列表成功", data=found, page=PageInfo(1, max(1, len(found)), len(found)))


def _reload(call: Call) -> Answer:
    report = call.functions.reload()
    served = call.site.reload_daemon()
    return Answer(msg="函数重载成功", data={**dataclasses.asdict(report), "daemon": served})


def _log_cleaner(call: Call) -> Answer:
    folder = call.settings.path(call.settings.log_file).parent
    try:
        inside = folder.relative_to(call.settings.home)
    except ValueError:
        raise Invalid("log_file", "is outside of home", "位于主目录之外，无法清理") from None
    days = _days(call)
    return _added(call, "日志清理任务", f"【name】Cleanup\n【arg】{inside},{days},*.log.*", "日志清理任务创建成功")


def _backup_task(call: Call) -> Answer:
    return _added(call, "定时备份任务", f"【name】Backup\n【arg】{_days(call)}", "定时备份任务创建成功")


def _days(call: Call) -> int:
    days: int = call.params.keep_days
    if not 0 <= days <= 36500:
        raise Invalid("keep_days", f"`{days}` is not from 0 to 36500", f"`{days}` 不在 0 到 36500 之间")
    return days


def _added(call: Call, name: str, command: str, msg: str) -> Answer:
    asked: _Recurring = call.params
    fields = JobFields(
        name=asked.name or f"{name}（保留 {asked.keep_days} 天）",
        desc="由接口创建",
        cron_expr=asked.cron_expr,
        mode="func",
        command=command,
        allow_mode=1,
    )
    added = call.service.jobs.add(fields)
    return Answer(msg=msg, data=job_view(added.job, None, call.zone))


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/jobs/functions", summary="函数列表", tag=_TAG, scope="read",
          handler=_functions, answer=list[shapes.FunctionShape], paged=True),
    Route(method="POST", path="/jobs/functions/reload", summary="重新加载函数", tag=_TAG, scope="edit",
          handler=_reload, answer=shapes.Reloaded),
    Route(method="POST", path="/jobs/createLogCleaner", summary="创建日志清理任务", tag=_TAG, scope="edit",
          handler=_log_cleaner, params=_Recurring, answer=shapes.JobShape),
    Route(method="POST", path="/jobs/createBackupTask", summary="创建定时备份任务", tag=_TAG, scope="edit",
          handler=_backup_task, params=_Recurring, answer=shapes.JobShape),
)  # fmt: skip
