"""What requests say of a job, and how it becomes `JobFields`."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from pyjobs.api.params import Flag, Id, Int, Params, Text
from pyjobs.api.times import instant
from pyjobs.commandtext import canonical_mode
from pyjobs.service.jobs import JobFields

__all__ = ["AddAndRun", "AddJob", "EditJob", "fields_of"]

#: Tags of a command text that one client sends flat, by mode: (its name, the tag).
_FLAT = {
    "http": (
        ("url", "url"), ("http_mode", "mode"), ("headers", "headers"), ("data", "data"), ("cookies", "cookies"),
        ("proxy", "proxy"), ("result", "result"),
    ),
    "command": (("cmd", "command"), ("workdir", "workdir"), ("env", "env")),
    "func": (("func_name", "name"), ("arg", "arg")),
}  # fmt: skip
_FLAT_ALL = (("timeout", "timeout"), ("times", "times"), ("interval", "interval"))


def _doc(description: str, example: object = None) -> object:
    return Field(description=description, examples=None if example is None else [example])


class JobParams(Params):
    """任务的字段。"""

    name: Annotated[Text | None, _doc("任务名称，不可重复", "数据备份任务")] = None
    desc: Annotated[Text | None, _doc("任务描述", "每日凌晨备份数据库")] = None
    cron_expr: Annotated[Text | None, _doc("Cron 表达式，5 或 6 段（别名 cron）", "0 2 * * *")] = None
    mode: Annotated[Text | None, _doc("执行模式：http、command 或 func", "func")] = None
    command: Annotated[Text | None, _doc("执行内容（别名 target）", "【name】Echo\n【arg】你好")] = None
    allow_mode: Annotated[Int | None, _doc("0 并行，1 串行，2 立即，3 替换", 0)] = None
    max_run_count: Annotated[Int | None, _doc("最大执行次数，0 为不限制", 0)] = None
    state: Annotated[Int | None, _doc("0 等待，2 停止", 0)] = None
    trigger_type: Annotated[Text | None, _doc("cron、interval、once 或 manual")] = None
    interval_seconds: Annotated[Int | None, _doc("间隔秒数")] = None
    run_at: Annotated[Text | None, _doc("执行时间（一次性任务）")] = None
    timezone: Annotated[Text | None, _doc("时区，如 Asia/Shanghai")] = None
    dst_gap: Annotated[Text | None, _doc("夏令时跳过的时间：run_after 或 skip")] = None
    dst_fold: Annotated[Text | None, _doc("夏令时重复的时间：first 或 both")] = None
    misfire: Annotated[Text | None, _doc("错过的执行：once、skip 或 all")] = None
    catchup_window: Annotated[Int | None, _doc("补执行的时间窗口（秒）")] = None
    timeout: Annotated[Int | None, _doc("超时秒数，0 为不限制")] = None
    grace: Annotated[Int | None, _doc("终止前的宽限秒数")] = None
    retry_backoff: Annotated[Text | None, _doc("重试间隔：fixed 或 exponential")] = None
    retry_on: Annotated[Text | None, _doc("哪些失败重试：timeout、error、数字或范围，空为全部", "timeout,500-599")] = (
        None
    )
    on_lost: Annotated[Text | None, _doc("执行丢失后：record 或 retry")] = None
    alerts: Annotated[Text | None, _doc("告警条件，空为不告警", "failures=3,recovery,late=5m,silent=26h")] = None
    url: Annotated[Text | None, _doc("http：地址（代替 command）")] = None
    http_mode: Annotated[Text | None, _doc("http：请求方法")] = None
    headers: Annotated[Text | None, _doc("http：请求头，以 ||| 分隔")] = None
    data: Annotated[Text | None, _doc("http：请求体")] = None
    cookies: Annotated[Text | None, _doc("http：Cookie")] = None
    proxy: Annotated[Text | None, _doc("http：代理")] = None
    result: Annotated[Text | None, _doc("http：响应应包含的文字")] = None
    cmd: Annotated[Text | None, _doc("command：命令（代替 command）")] = None
    workdir: Annotated[Text | None, _doc("command：工作目录")] = None
    env: Annotated[Text | None, _doc("command：环境变量，以 ||| 分隔")] = None
    func_name: Annotated[Text | None, _doc("func：函数名（代替 command）")] = None
    arg: Annotated[Text | None, _doc("func：参数")] = None
    times: Annotated[Int | None, _doc("最多尝试次数")] = None
    interval: Annotated[Int | None, _doc("两次尝试之间的秒数")] = None


class AddJob(JobParams):
    """新任务：name、mode、command 与一种触发方式必填。"""


class EditJob(JobParams):
    """要修改的字段。"""

    id: Id


class AddAndRun(JobParams):
    """新任务，立即执行一次。"""

    remove_task: Annotated[Flag, _doc("执行结束后删除任务")] = False
    remove_log: Annotated[Flag, _doc("执行结束后删除其日志")] = False


def fields_of(said: JobParams, zone: ZoneInfo) -> JobFields:
    """What was said, in the service's terms. Raises Invalid."""
    flat = said.command is None and any(getattr(said, pairs[0][0]) is not None for pairs in _FLAT.values())
    return JobFields(
        name=said.name,
        desc=said.desc,
        trigger_type=said.trigger_type,
        cron_expr=said.cron_expr,
        interval_s=said.interval_seconds or None,  # 0 is what a job without one has
        at_ms=None if said.run_at is None else instant("run_at", said.run_at, zone),
        timezone=said.timezone,
        dst_gap=said.dst_gap,
        dst_fold=said.dst_fold,
        mode=said.mode,
        command=_command(said) if flat else said.command,
        allow_mode=said.allow_mode,
        misfire=said.misfire,
        catchup_window_s=said.catchup_window,
        max_run_count=said.max_run_count,
        timeout_s=None if flat else said.timeout,
        grace_s=said.grace,
        retry_backoff=said.retry_backoff,
        retry_on=said.retry_on,
        on_lost=said.on_lost,
        alerts=said.alerts,
        state=None if said.state == 1 else said.state,  # 1 is what a running job shows: nothing that one can set
    )


def _command(said: JobParams) -> str | None:
    """The text of a job whose parts came flat."""
    if said.mode is None:
        return None
    tags = _FLAT.get(canonical_mode(said.mode), ())
    given = [(tag, getattr(said, name)) for name, tag in (*tags, *_FLAT_ALL)]
    lines = [f"【{tag}】{value}" for tag, value in given if value is not None]
    return "\n".join(lines) or None
