"""
Why runs ended as they did, for people: short in tables, and in Chinese.

The store keeps the reasons as pyjobs wrote them, in English; what a job itself said stays as it is.
"""

from __future__ import annotations

import re

from pyjobs.cli.times import View
from pyjobs.jobs import Run, RunState

__all__ = ["in_language", "short"]

_ATTEMPT = r"attempt \d+: "
_MISSED = r"\d+ fires? missed: .*"
#: Each of pyjobs' own reasons -> the same in Chinese; where `{}` stands, what the group holds is translated in turn.
_PATTERNS = (
    (r"run (\w+) is still running", r"执行 \1 仍在进行"),
    (r"run (\w+) still waits for a slot", r"执行 \1 仍在排队"),
    (r"still running since (.+) UTC \(run (\w+)\)", r"自 \1 UTC 起的执行 \2 仍在进行"),
    (r"still running \(run (\w+)\)", r"执行 \1 仍在进行"),
    (r"the run before it still waits for a slot \(run (\w+)\)", r"上一次执行 \1 仍在排队"),
    (r"a newer fire took its place", r"已被更新的一次触发取代"),
    (r"a newer start by hand took its place", r"已被更新的手动执行取代"),
    (r"limit reached: it has run (\d+) times", r"已达到次数上限：已执行 \1 次"),
    (r"it has run (\d+) times, as often as it may", r"已执行 \1 次，达到上限"),
    (r"the job was stopped before its turn came", r"启动前任务已被停止"),
    (r"the job was removed before its turn came", r"启动前任务已被删除"),
    (r"ended by (.+) before it was launched", r"启动前被 \1 终止"),
    (r"killed by a newer fire of the job", r"被该任务更新的一次触发替换"),
    (r"killed by a newer start by hand", r"被更新的手动执行替换"),
    (r"killed by (.+)", r"被 \1 终止"),
    (r"timed out after (\S+) s", r"超过 \1 秒，超时"),
    (r"lost: (.+)", r"丢失：{}"),
    (r"attempt (\d+): (.+)", r"第 \1 次尝试：{}"),
    (r"the runner died while it ran", r"执行期间执行进程退出"),
    (r"the runner died, and nobody knows how far it had come", r"执行进程退出，无法得知执行到了哪一步"),
    (r"the machine went down", r"机器重启或断电"),
    (r"it ended while nobody was there to see how", r"结束时无人在场，结果未知"),
    (r"some of its processes could not be ended", r"部分进程无法终止"),
    (r"exit status (\d+)", r"退出状态 \1"),
    (r"ended by (SIG\w+|signal \d+)", r"被信号 \1 结束"),
    (r"HTTP status (\d+)", r"HTTP 状态 \1"),
    (r"`(.*)` is not in the answer", r"响应中没有 `\1`"),
    (r"no answer within (\S+) s", r"\1 秒内没有响应"),
    (r"no whole answer within (\S+) s", r"\1 秒内没有完整的响应"),
    (r"stopped before the answer was whole", r"响应完整之前被终止"),
    (r"(?:it|the request) could not be started: (.+)", r"无法启动：{}"),
    (r"the working directory `(.*)` is not there", r"工作目录 `\1` 不存在"),
    (r"nothing here runs mode `(.*)`", r"没有可以执行 `\1` 模式的组件"),
    (r"ignored unknown tags: (.+)", r"忽略了未知标签：\1"),
    (r"(\d+) fires? missed: nobody was there in time \(noticed (.+) UTC\)",
     r"错过 \1 次触发：当时守护进程未运行（发现于 \2 UTC）"),
    (r"(\d+) fires? missed: the daemon was down from (.+) to (.+) UTC",
     r"错过 \1 次触发：\2 至 \3 UTC 守护进程未运行"),
    (r"(\d+) fires? missed: the host was suspended from (.+) to (.+) UTC",
     r"错过 \1 次触发：\2 至 \3 UTC 主机处于休眠"),
    (r"(\d+) fires? missed: the clock was set forward from (.+) to (.+) UTC",
     r"错过 \1 次触发：时钟从 \2 拨快至 \3 UTC"),
    (r"(\d+) fires? missed: the store could not be written from (.+) to (.+) UTC",
     r"错过 \1 次触发：\2 至 \3 UTC 数据库无法写入"),
    (r"quarantined: it was in flight in (\d+) crashes of the runner within 72 h",
     r"已隔离：72 小时内执行进程 \1 次崩溃时都在执行它"),
    (r"another run of the job is there", r"该任务已有其他执行"),
    (r"its schedule cannot be used any more: (.+)", r"计划已无法使用：\1"),
    (r"its row in the store cannot be used: (.+)", r"数据库中的记录无法使用：\1"),
)  # fmt: skip


def short(run: Run, view: View) -> str:
    """A run's reason for one line: what several attempts have in common once, and missed instants as they are shown."""
    missed = re.fullmatch(_MISSED, run.error) if run.state is RunState.MISSED else None
    if missed and run.scheduled_ms is not None:
        return _missed(run, run.scheduled_ms, view)
    said, attempts = _gathered(run.error)
    text = in_language(said, view.lang)
    if attempts < 2:
        return text
    return f"{text}（{attempts} 次尝试）" if view.lang == "zh" else f"{text} ({attempts} attempts)"


def in_language(reason: str, lang: str) -> str:
    """A reason in `lang`; what is not pyjobs' own stays as it was written."""
    if lang != "zh" or not reason:
        return reason
    parts = reason.split("; ")
    translated = [_translated(part) for part in parts]
    return reason if translated == parts else "；".join(translated)


def _translated(part: str) -> str:
    for pattern, chinese in _PATTERNS:
        match = re.fullmatch(pattern, part)
        if match:
            inner = match.groups()[-1] if "{}" in chinese else ""
            return match.expand(chinese).replace("{}", in_language(inner, "zh"))
    return part


def _gathered(error: str) -> tuple[str, int]:
    """(what each of several attempts said, how many); (the reason as it is, 1) where they differ."""
    for separator in (r"; (?=attempt \d+: )", "; "):
        parts = {re.sub(_ATTEMPT, "", part, count=1) for part in re.split(separator, error)}
        number = len(re.split(separator, error))
        if number > 1 and len(parts) == 1:
            return parts.pop(), number
    return error, 1


def _missed(run: Run, last_ms: int, view: View) -> str:
    first, last = view.when(run.first_ms), view.when(last_ms)
    due = last if run.fires == 1 or run.first_ms is None else f"{first} … {last}"
    if view.lang == "zh":
        return f"错过 {run.fires} 次触发，应于 {due}"
    return f"{run.fires} {'fire' if run.fires == 1 else 'fires'} missed, due {due}"
