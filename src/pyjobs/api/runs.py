"""Routes about runs and the system log."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from pyjobs.api import shapes
from pyjobs.api.params import Id, Int, Page, Params, Text
from pyjobs.api.routes import Answer, Call, PageInfo, Route
from pyjobs.api.times import day_bounds
from pyjobs.api.views import log_view
from pyjobs.clock import from_ms
from pyjobs.errors import Invalid, PyjobsError
from pyjobs.jobs import FINAL, RunState
from pyjobs.ports import RunQuery
from pyjobs.service.logbook import Logbook

__all__ = ["ROUTES"]

_TAG = "日志"
_NOTHING_TO_CLEAR = "日志文件不存在，无需清空"
_FAILED = frozenset(state for state in FINAL if state.status == 1)
_STATUSES = {
    "0": frozenset({RunState.SUCCESS}), "成功": frozenset({RunState.SUCCESS}), "1": _FAILED, "失败": _FAILED,
    **{state.value: frozenset({state}) for state in RunState},
}  # fmt: skip


class _Logs(Page):
    id: Annotated[Int | None, Field(description="任务 ID（别名 job_id）", examples=[1])] = None
    date: Annotated[Text | None, Field(description="日期，YYYY-MM-DD", examples=["2026-01-01"])] = None
    limit: Annotated[Int | None, Field(description="仅有它时：最后 N 条，旧的在前")] = None
    order: Annotated[Text | None, Field(description="desc（默认）或 asc")] = None
    status: Annotated[Text | Int | None, Field(description="0 成功，1 失败，-1 全部，或 running、skipped 等状态名")] = (
        None
    )


class _Exec(Params):
    id: Id
    exec_id: Annotated[Text | None, Field(description="执行编号；缺省为最近一次")] = None


class _Clear(Params):
    type: Annotated[Literal["job", "zap"], Field(description="job：任务日志，zap：系统日志")]
    id: Annotated[Int | None, Field(description="任务 ID（别名 job_id）", examples=[1])] = None
    date: Annotated[Text | None, Field(description="日期，YYYY-MM-DD；缺省为全部")] = None


class _BadDay(PyjobsError):
    """A day of the system log that is none: its clients know this message."""


class _SystemLog(Page):
    date: Annotated[Text | None, Field(description="日期，YYYY-MM-DD；缺省为今天")] = None
    level: Annotated[Text | None, Field(description="级别：debug、info、warning 或 error")] = None
    keyword: Annotated[Text | None, Field(description="包含的文字")] = None


def _logs(call: Call) -> Answer:
    asked: _Logs = call.params
    oldest_first = _order(asked.order)
    last = asked.limit if asked.limit is not None and not asked.model_fields_set & {"page", "size"} else None
    number, size = (1, min(max(last, 1), 1000)) if last is not None else (asked.number, asked.rows)
    zone = call.zone
    since, until = day_bounds("date", asked.date, zone) if asked.date else (None, None)
    query = RunQuery(
        job_id=asked.id, states=_states(asked.status), since_ms=since, until_ms=until,
        limit=size, offset=(number - 1) * size, oldest_first=oldest_first and last is None,
    )  # fmt: skip
    if asked.id is None:
        return Answer(msg="查询成功", data=[], page=PageInfo(number, size, 0))
    found = list(call.service.runs.list(query))
    if last is not None and asked.order != "desc":
        found.reverse()
    data = [log_view(run, zone, text_status=bool(call.prefix)) for run in found]
    return Answer(msg="查询成功", data=data, page=PageInfo(number, size, call.service.runs.count(query)))


def _order(order: str | None) -> bool:
    if order is not None and order.lower() not in ("asc", "desc"):
        raise Invalid("order", f"`{order}` is neither asc nor desc", f"`{order}` 无效，可用：asc、desc")
    return order is not None and order.lower() == "asc"


def _states(status: str | int | None) -> frozenset[RunState] | None:
    if status in (None, "-1", -1, "all"):
        return None
    found = _STATUSES.get(str(status).strip().lower())
    if found is None:
        known = "、".join(["0", "1", "-1", *(state.value for state in RunState)])
        raise Invalid("status", f"`{status}` is not one of {known}", f"`{status}` 无效，可用：{known}")
    return found


def _exec(call: Call) -> Answer:
    run = call.service.runs.of_job(call.params.id, call.params.exec_id)
    if run is None:
        return Answer(msg="未找到执行记录")
    return Answer(msg="查询成功", data=log_view(run, call.zone, text_status=bool(call.prefix)))


def _clear(call: Call) -> Answer:
    asked: _Clear = call.params
    if asked.type == "zap":
        cleared = int(_logbook(call).clear(_day(asked.date) if asked.date else None, _today(call)))
    else:
        if asked.id is None:
            raise Invalid("id", "is missing", "不能为空")
        zone = call.zone
        since, until = day_bounds("date", asked.date, zone) if asked.date else (None, None)
        cleared = call.service.runs.clear(asked.id, until, since)
    if not cleared:
        return Answer(msg=_NOTHING_TO_CLEAR, data={"exists": False})
    return Answer(msg="日志已清空", data={"cleared": True, "count": cleared})


def _system_log(call: Call) -> Answer:
    asked: _SystemLog = call.params
    day = _day(asked.date) if asked.date else _today(call)
    found = _logbook(call).page(
        day, offset=(asked.number - 1) * asked.rows, limit=asked.rows,
        level=asked.level or "", keyword=asked.keyword or "",
    )  # fmt: skip
    return Answer(msg="系统日志查询成功", data=found.lines, page=PageInfo(asked.number, asked.rows, found.total))


def _switch_state(call: Call) -> Answer:
    on = bool(call.settings.log_file)
    return Answer(msg="获取日志开关状态成功", data={"zapLogSwitch": on})


def _logbook(call: Call) -> Logbook:
    return Logbook(call.settings.path(call.settings.log_file), call.zone)


def _today(call: Call) -> date:
    return from_ms(call.site.clock.now_ms()).astimezone(call.zone).date()


def _day(text: str) -> date:
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise _BadDay("it is no date: YYYY-MM-DD", "日期格式错误，应为 YYYY-MM-DD") from None


ROUTES: tuple[Route, ...] = (
    Route(method="POST", path="/jobs/logs", summary="查询任务日志", tag=_TAG, scope="read",
          handler=_logs, params=_Logs, answer=list[shapes.ExecLog], paged=True),
    Route(method="GET", path="/jobs/execs", summary="查询执行记录", tag=_TAG, scope="read",
          handler=_exec, params=_Exec, answer=shapes.ExecLog),
    Route(method="POST", path="/jobs/logs/clear", summary="清空日志", tag=_TAG, scope="edit",
          handler=_clear, params=_Clear, answer=shapes.Cleared),
    Route(method="GET", path="/jobs/zapLogs", summary="查询系统日志", tag=_TAG, scope="read",
          handler=_system_log, params=_SystemLog, answer=list[shapes.LogLine], paged=True),
    Route(method="GET", path="/jobs/switchState", summary="日志开关状态", tag=_TAG, scope="read",
          handler=_switch_state, answer=shapes.SwitchState),
)  # fmt: skip
