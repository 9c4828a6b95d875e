"""Why a job fired or did not, in words, English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyjobs.cli.reasons import in_language
from pyjobs.cli.times import View
from pyjobs.cli.views import zoned_schedule
from pyjobs.cronexpr import Excluding
from pyjobs.durations import in_words
from pyjobs.jobs import Job, TriggerType
from pyjobs.service.clockchanges import ClockChange
from pyjobs.service.history import Cause, Hold
from pyjobs.service.why import Answer, Moment, Verdict

__all__ = ["counted", "not_due", "reason", "shown", "verdict"]

#: What became of a fire: as an outcome, and as a part of a count.
_VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.SUCCESS: ("succeeded", "成功"),
    Verdict.FAILED: ("failed", "失败"),
    Verdict.TIMEOUT: ("timed out", "超时"),
    Verdict.KILLED: ("killed", "已终止"),
    Verdict.LOST: ("lost", "丢失"),
    Verdict.RUNNING: ("running", "运行中"),
    Verdict.QUEUED: ("queued", "排队"),
    Verdict.SKIPPED: ("skipped", "跳过"),
    Verdict.MISSED: ("missed", "错过"),
    Verdict.STOPPED: ("job stopped", "任务已停止"),
    Verdict.LIMIT: ("limit reached", "达到次数上限"),
    Verdict.PAUSED: ("paused", "已暂停"),
    Verdict.DOWN: ("daemon down", "守护进程未运行"),
    Verdict.SUSPENDED: ("host suspended", "主机休眠"),
    Verdict.CLOCK_SET: ("clock set", "时钟被调整"),
    Verdict.PENDING: ("due now", "等待触发"),
    Verdict.BEFORE_HISTORY: ("not known", "无从得知"),
    Verdict.NO_RECORD: ("no record", "无记录"),
    Verdict.NOT_YET: ("not due yet", "尚未到时"),
    Verdict.GAP: ("no such time", "时间不存在"),
    Verdict.FOLD: ("second time", "时间重复"),
}
#: Within so long a day without its year is clear.
_NEAR_MS = 180 * 86_400_000
#: What held fires back; `itself`: a job that stopped itself.
_HELD: Mapping[str, tuple[str, str]] = {
    "itself": ("the job stopped itself: {reason} ({period})", "任务自行停止：{reason}（{period}）"),
    Cause.STOPPED: ("stopped{by} {period}", "{by}停止任务：{period}"),
    Cause.LIMIT: ("stopped{by} {period}", "{by}停止任务：{period}"),
    Cause.PAUSED: ("paused{by} {period}", "{by}暂停调度器：{period}"),
    Cause.DOWN: ("the daemon {be} down {period}{died}", "守护进程未运行：{period}{died}"),
    Cause.SUSPENDED: ("the host slept {period}", "主机休眠：{period}"),
    Cause.CLOCK_SET: ("the clock was set forward {period}", "时钟被拨快：{period}"),
    Cause.PENDING: ("due, and not claimed yet", "已到时，尚未开始"),
    Cause.BEFORE_HISTORY: ("this is before the history begins, {begins}", "此前没有历史记录（始于 {begins}）"),
}


def verdict(value: Verdict, lang: str) -> str:
    """What became of a fire."""
    return _VERDICTS[value][lang == "zh"]


def counted(counts: Mapping[Verdict, int], lang: str) -> str:
    """`22 succeeded, 1 failed`."""
    if lang == "zh":
        return "，".join(f"{verdict(value, lang)} {count}" for value, count in counts.items())
    return ", ".join(f"{count} {verdict(value, lang)}" for value, count in counts.items())


def reason(answer: Answer, view: View) -> str:
    """Why it became so; empty where there is nothing to say, as of a success."""
    if answer.change is not None:
        return _changed(answer.change, view)
    if answer.verdict is Verdict.NO_RECORD:
        return (
            "没有任何原因阻止触发，也没有记录：记录可能已被清除"
            if view.lang == "zh"
            else "nothing held it back and there is no record: its row may have been deleted"
        )
    held = ("；" if view.lang == "zh" else "; ").join(_held(hold, view) for hold in answer.holds)
    if answer.verdict is Verdict.NOT_YET:
        if not held:
            return ""
        return f"若情况不变则不会触发：{held}" if view.lang == "zh" else f"as things are it will not fire: {held}"
    return held or in_language(answer.reason, view.lang)


def not_due(moment: Moment, gone: bool, created_ms: int, view: View) -> str:  # noqa: FBT001 - a fact, not a switch
    """Why nothing is due at an instant."""
    zh = view.lang == "zh"
    job = moment.job
    if job is None and gone:
        return "任务已被删除，没有该时间的记录" if zh else "the job is gone, and there is no record of this instant"
    if job is None:
        added = view.full(created_ms)
        return f"当时任务尚不存在：添加于 {added}" if zh else f"the job did not exist yet: it was added at {added}"
    if moment.excluded_by:
        return _excluded(moment, job, zh=zh)
    if job.trigger_type is TriggerType.MANUAL:
        return "该任务仅手动执行" if zh else "it is only started by hand"
    schedule = zoned_schedule(job, view)
    if job.trigger_type is TriggerType.INTERVAL:
        period, anchor = in_words(job.interval_s * 1000, view.lang), view.full(job.anchor_ms)
        return f"自 {anchor} 起每 {period}触发一次" if zh else f"it is due every {period}, counted from {anchor}"
    return f"计划为 {schedule}" if zh else f"it is due {schedule}"


def _excluded(moment: Moment, job: Job, *, zh: bool) -> str:
    fields = moment.excluded_by
    days = [field for field in fields if field.field.startswith("day of")]
    either = len(days) == 2
    alone = [_field(field, zh=zh) for field in fields if not (either and field in days)]
    both = [f"{field.zh} `{field.written}`" if zh else f"{field.field} `{field.written}`" for field in days]
    if zh:
        parts = [*alone, *(["、".join(both) + "（两者均不符）"] if either else [])]
        return f"`{job.cron_expr}` 中不符的有：{'，'.join(parts)}"
    neither = f"neither {both[0]} nor {both[1]} matches" if either else ""
    listed = " and ".join(filter(None, [", ".join(alone[:-1]), *alone[-1:]]))
    excluding = f"{listed} {'excludes' if len(alone) == 1 else 'exclude'} it" if alone else ""
    return ", and ".join(filter(None, [excluding, neither]))


def _field(field: Excluding, *, zh: bool) -> str:
    if not field.written:
        return "秒（5 个字段时为 0）" if zh else "the second (0 in an expression of 5 fields)"
    return f"{field.zh}字段 `{field.written}`" if zh else f"the {field.field} field `{field.written}`"


def _held(hold: Hold, view: View) -> str:
    zh = view.lang == "zh"
    cause = "itself" if hold.reason else hold.cause
    text = _HELD[cause][zh].format(
        by=(f"由 {hold.by} " if zh else f" by {hold.by}") if hold.by else "",
        period=_period(hold, view),
        reason=in_language(hold.reason, view.lang),
        died=("（异常退出）" if zh else " (it had died)") if hold.clean is False else "",
        be="is" if hold.to_ms is None else "was",
        begins=shown(hold.to_ms, None, view)[0],
    )
    return text.strip().removesuffix("：").removesuffix("（）").removesuffix(" ()")


def shown(first_ms: int | None, last_ms: int | None, view: View) -> tuple[str, str]:
    """
    Two instants; on a terminal without what is the same: today, the year while it is near, the first one's day again.

    Unlike in lists the time of day stays however long ago it is: it is what was asked for. Empty for None.
    """
    first, last = view.full(first_ms), view.full(last_ms)
    if not view.terminal:
        return first, last
    today = view.full(view.now_ms)[:10]
    near = all(ms is None or abs(view.now_ms - ms) < _NEAR_MS for ms in (first_ms, last_ms))
    start = 5 if near else 0
    began = first[11:] if first[:10] == today else first[start:]
    # Without a day it is that of the first one, or today where there is no first one.
    return began, last[11:] if last[:10] == (first[:10] or today) else last[start:]


def _period(hold: Hold, view: View) -> str:
    first, last = shown(hold.from_ms, hold.to_ms, view)
    if view.lang == "zh":
        return f"{first} 至 {last}" if first and last else f"自 {first} 起" if first else f"至 {last}" if last else ""
    return (
        f"from {first} to {last}" if first and last else f"since {first}" if first else f"until {last}" if last else ""
    )


def _changed(change: ClockChange, view: View) -> str:
    first, last = _wall(change.first_wall), _wall(change.last_wall)
    times = first if change.times == 1 else f"{first} … {last[-8:]}"
    if view.lang == "zh":
        said = f"{change.zone} 的 {times} {'不存在' if change.gap else '出现了两次'}"
        then = "，改在间隙结束时触发" if change.made_good else "，因此不触发" if change.gap else "，仅第一次触发"
        return said + then
    if not change.gap:
        return f"{times} came a second time in {change.zone}: it fires the first time only"
    then = "it is due at the end of the gap instead" if change.made_good else "nothing is due for it"
    return f"{times} did not exist in {change.zone}: {then}"


def _wall(second: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ001 - of a wall clock
