"""The Report function: what the store says about a period."""

from __future__ import annotations

from typing import Any

from pyjobs import clock
from pyjobs.durations import parse_duration
from pyjobs.functions.builtin.context import Context
from pyjobs.functions.builtin.own import open_own

__all__ = ["report"]

_WORDS = {"daily": "1d", "weekly": "7d", "monthly": "30d"}
_LINES = 10

_COUNTS = """
SELECT count(*), coalesce(sum(status = 0), 0), coalesce(sum(status = 1), 0), avg(duration_ms)
FROM job_logs WHERE start_time >= ?
"""
_FAILURES = """
SELECT job_name, count(*), max(start_time) FROM job_logs WHERE start_time >= ? AND status = 1
GROUP BY job_name ORDER BY 2 DESC, 1 LIMIT ?
"""
_SLOWEST = """
SELECT job_name, max(duration_ms), count(*) FROM job_logs WHERE start_time >= ? AND duration_ms IS NOT NULL
GROUP BY job_name ORDER BY 2 DESC, 1 LIMIT ?
"""


def report(context: Context, period: str = "daily") -> str:
    """Sum up runs, failures and the slowest jobs of a period such as `7d`, `12h`, daily, weekly or monthly."""
    since = clock.text(context.clock.now_ms() - parse_duration(_WORDS.get(period, period), "period"))
    with open_own(context.settings) as ask:
        counts = ask(_COUNTS, (since,))[0]
        failures = ask(_FAILURES, (since, _LINES))
        slowest = ask(_SLOWEST, (since, _LINES))
    return "\n".join(_lines(context, since, counts, failures, slowest))


def _lines(context: Context, since: str, counts: tuple[Any, ...], failures: list[Any], slowest: list[Any]) -> list[str]:
    runs, good, bad, mean = counts
    say = context.say
    lines = [
        say(f"since {since} UTC", f"自 {since} UTC 起"),
        say(f"runs: {runs}, succeeded: {good}, failed: {bad}", f"执行: {runs}，成功: {good}，失败: {bad}"),
    ]
    if mean is not None:
        lines.append(say(f"mean duration: {mean / 1000:.1f} s", f"平均耗时: {mean / 1000:.1f} 秒"))
    if failures:
        lines.append(say("failures:", "失败："))
        lines += [f"  {name}: {number} ({last})" for name, number, last in failures]
    if slowest:
        lines.append(say("slowest:", "最慢："))
        lines += [f"  {name}: {longest / 1000:.1f} s" for name, longest, _ in slowest]
    return lines
