"""
The text of a cron expression -> its fields, checked, and the calendar that they stand for (design: commands.md).

Reading and every message are ours: they name the field, the value and its range. Which days of a month the two day
fields mean (`L`, `LW`, `5L`, `1#2`, either-or) is asked of cronsim, with `nW` added.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim

from pyjobs.durations import parse_interval, shown
from pyjobs.errors import BadTrigger
from pyjobs.walltime import Calendar, month_kind

__all__ = ["Excluding", "Expression", "Field", "Term", "calendar_of", "excluding", "read"]

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MAX_LENGTH = 200
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: n for n, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: n for n, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S*)\s*(.*)")
#: A tab is white space; all other control characters are refused.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_TERM = re.compile(r"(?:\*|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:/([0-9]+))?")
_ANY_MOMENT = datetime(2000, 1, 1)  # noqa: DTZ001 - cronsim wants a start, which matching a day does not use


class _Kind(NamedTuple):
    """What a field may hold."""

    en: str
    zh: str
    low: int
    high: int
    examples: str
    names: dict[str, int]
    #: What only this field knows: a value or nothing, and a mark.
    special: str = "(?!)"


_KINDS = (
    _Kind("second", "秒", 0, 59, "`0`, `*/10` or `0,30`", {}),
    _Kind("minute", "分钟", 0, 59, "`0`, `*/5` or `10-20`", {}),
    _Kind("hour", "小时", 0, 23, "`9`, `*/2` or `9-17`", {}),
    _Kind("day of month", "日期", 1, 31, "`1,15`, `L` or `15W`", {}, r"()(LW?)|([0-9]+)(W)"),
    _Kind("month", "月份", 1, 12, "`1`, `JAN-MAR` or `*/3`", _MONTHS),
    _Kind("day of week", "星期", 0, 7, "`MON-FRI`, `5L` or `1#2`", _WEEKDAYS, r"([0-9]+|[A-Z]{3})(L|#[1-5])"),
)


class Term(NamedTuple):
    """One item of a field's list: low-high/step, or a value and a mark. `low` is -1 where there is no value."""

    low: int
    high: int
    step: int = 1
    #: `L`, `LW` or `W` in a day of month, `L` or `#n` in a day of week.
    mark: str = ""

    def __str__(self) -> str:
        """Write it in numbers only, as every reader of cron takes it."""
        if self.mark:
            return self.mark if self.low < 0 else f"{self.low}{self.mark}"
        if self.low + self.step > self.high:
            return str(self.low)
        return f"{self.low}-{self.high}" + (f"/{self.step}" if self.step > 1 else "")

    def values(self) -> range:
        """Give the numbers that it stands for; none with a mark."""
        return range(0) if self.mark else range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True)
class Field:
    """One of the six fields; `star` when it starts with `*` or is `?`, which means that it restricts nothing."""

    terms: tuple[Term, ...]
    star: bool

    def mask(self) -> int:
        """Bit n is set for each value n."""
        return sum(1 << n for n in {n for term in self.terms for n in term.values()})


@dataclass(frozen=True, slots=True)
class Expression:
    """What was written: a period (`@every`), or six fields from the second to the day of week."""

    #: Of a `TZ=` or `CRON_TZ=` prefix, else empty. Not checked here.
    zone: str
    every_s: int
    fields: tuple[Field, ...]

    @property
    def fixed(self) -> bool:
        """Whether it names times of day, for which gaps and folds are made good (semantics §7)."""
        return not (self.fields[1].star or self.fields[2].star)


def read(expr: str) -> Expression:
    """
    Read any text.

    Raises:
        BadTrigger: it is no cron expression; the message says which field and why.
    """
    body = _checked(expr)
    prefix = _PREFIX.fullmatch(body)
    zone, body = (prefix[1], prefix[2]) if prefix else ("", body)
    if prefix and not (zone and body):
        raise _bad(
            f"`{shown(prefix[0])}` needs a zone and an expression behind it",
            f"`{shown(prefix[0])}` 后面缺少时区或表达式",
            "such as `TZ=Asia/Shanghai 0 9 * * *`",
            "例如 `TZ=Asia/Shanghai 0 9 * * *`",
        )
    if body.startswith("@"):
        name, *rest = body.split(None, 1)
        if name.lower() == "@every":
            return Expression(zone, parse_interval(rest[0] if rest else "", "cron_expr"), ())
        body = _macro(name, rest)
    words = body.split()
    if len(words) not in {5, 6}:
        fields = "1 field" if len(words) == 1 else f"{len(words)} fields"
        raise _bad(
            f"`{shown(body)}` has {fields}; 5 (minute first) or 6 (second first) are needed",
            f"`{shown(body)}` 有 {len(words)} 个字段，应为 5 个（以分钟开头）或 6 个（以秒开头）",
            "such as `*/5 * * * *`: minute, hour, day of month, month, day of week",
            "例如 `*/5 * * * *`：分钟、小时、日期、月份、星期",
        )
    words = ["0", *words] if len(words) == 5 else words
    return Expression(zone, 0, tuple(_field(kind, word) for kind, word in zip(_KINDS, words, strict=True)))


def calendar_of(expression: Expression) -> Calendar:
    """
    Work out the wall clock times that six fields stand for.

    Raises:
        BadTrigger: there are none, such as 31 February.
    """
    second, minute, hour, day, month, week = expression.fields
    months = month.mask()
    days = _days(day.terms, week.terms, both=day.star or week.star)
    lengths = {0 if n == 2 else 2 + (n in {1, 3, 5, 7, 8, 10, 12}) for n in range(1, 13) if months >> n & 1}
    if not any(any(days[at * 7 : at * 7 + (14 if at == 0 else 7)]) for at in lengths):
        raise _bad(
            "it never fires: no month that it names has such a day",
            "永远不会触发：所选月份没有这样的日期",
            "see the day of month and month fields",
            "请检查日期和月份字段",
        )
    return Calendar(second.mask(), minute.mask(), hour.mask(), months, days)


class Excluding(NamedTuple):
    """A field that a wall clock time does not match, and what is written there; empty where it is left out."""

    field: str
    zh: str
    written: str


def excluding(expr: str, wall: int) -> tuple[Excluding, ...]:
    """
    Which fields of an expression a wall second does not match; none when it is due, or has a period for fields.

    Where day of month and day of week are both restricted, either of them is enough: they exclude only together.

    Raises:
        BadTrigger: it is no cron expression.
    """
    expression = read(expr)
    if expression.every_s:
        return ()
    moment = datetime(1970, 1, 1) + timedelta(seconds=wall)  # noqa: DTZ001 - what the clock on the wall shows
    second, minute, hour, day, month, week = expression.fields
    rule = _DayRule(day.terms, week.terms, both=day.star or week.star)
    off_day, off_week = not rule.match_dom(moment), not rule.match_dow(moment)
    if not rule.day_and:
        off_day = off_week = off_day and off_week
    numbers = ((second, moment.second), (minute, moment.minute), (hour, moment.hour))
    off = [not field.mask() >> value & 1 for field, value in numbers]
    off += [off_day, not month.mask() >> moment.month & 1, off_week]
    written = _written(expr)
    return tuple(Excluding(kind.en, kind.zh, word) for kind, word, out in zip(_KINDS, written, off, strict=True) if out)


def _written(expr: str) -> list[str]:
    """The six fields of an expression that was read, as they are written; a macro's are those that it stands for."""
    body = _checked(expr)
    prefix = _PREFIX.fullmatch(body)
    body = prefix[2] if prefix else body
    words = _MACROS.get(body.lower(), body).split()
    return ["", *words] if len(words) == 5 else words


def _checked(expr: str) -> str:
    """Strip the text, if it can be an expression at all."""
    if len(expr) > _MAX_LENGTH:
        raise _bad(f"longer than {_MAX_LENGTH} characters", f"超过 {_MAX_LENGTH} 个字符")
    if match := _CONTROL.search(expr):
        raise _bad(f"holds the control character {match[0]!r}", f"含有控制字符 {match[0]!r}")
    if not expr.strip():
        raise _bad("is empty", "不能为空", "such as `*/5 * * * *`", "例如 `*/5 * * * *`")
    return expr.strip()


def _macro(name: str, rest: list[str]) -> str:
    if rest:
        raise _bad(f"nothing may follow `{shown(name)}`", f"`{shown(name)}` 后面不能有其他内容")
    if name.lower() == "@reboot":
        raise _bad(
            "there is no `@reboot`: a job fires at times, not when the machine starts",
            "不支持 `@reboot`：任务按时间触发，而不是在开机时触发",
            "have the daemon start at boot, by `@reboot pyjobs daemon start` in your own crontab",
            "如需开机启动守护进程，请在系统 crontab 中加入 `@reboot pyjobs daemon start`",
        )
    if name.lower() not in _MACROS:
        known = ", ".join([*_MACROS, "@every 1h30m"])
        raise _bad(f"there is no `{shown(name)}`", f"不支持 `{shown(name)}`", f"there are {known}", f"可用：{known}")
    return _MACROS[name.lower()]


def _field(kind: _Kind, word: str) -> Field:
    upper = word.upper()
    if upper == "?" and kind.en.startswith("day"):
        upper = "*"
    if not word.isascii():
        raise _bad_item(kind, word, word, "is not ASCII", "不是 ASCII 字符")
    return Field(tuple(_term(kind, term, word) for term in upper.split(",")), upper.startswith("*"))


def _term(kind: _Kind, term: str, word: str) -> Term:
    if match := re.fullmatch(kind.special, term):
        value, mark = (group for group in match.groups() if group is not None)
        number = _number(kind, value, word) if value else -1
        return Term(number, number, 1, mark)
    match = _TERM.fullmatch(term)
    if not match:
        raise _bad_item(kind, term, word, "is no value, range or step", "不是有效的值、范围或步长")
    low, high, step = match.groups()
    first = _number(kind, low, word) if low else kind.low
    last = _number(kind, high, word) if high else first if low and not step else kind.high
    if last < first:
        raise _bad_item(kind, term, word, "runs backwards", "的起点大于终点")
    if step and not int(step):
        raise _bad_item(kind, term, word, "has a step of 0", "的步长不能为 0")
    return Term(first, last, int(step or 1))


def _number(kind: _Kind, value: str, word: str) -> int:
    number = kind.names.get(value, int(value) if value.isdigit() else -1)
    if not kind.low <= number <= kind.high:
        if value.isdigit():
            raise _bad_item(kind, value, word, "is out of range", "超出范围")
        if not kind.names:
            raise _bad_item(kind, value, word, "is not a number", "不是数字")
        month = kind.names is _MONTHS
        what, what_zh = ("month", "月份") if month else ("day", "星期")
        raise _bad_item(kind, value, word, f"is not a name of a {what}", f"不是有效的{what_zh}名称")
    return number


def _bad_item(kind: _Kind, item: str, word: str, en: str, zh: str) -> BadTrigger:
    """Name the field, what was typed there (`item`, in `word`), and what may stand there."""
    names = list(kind.names)
    where = "" if item == word.upper() else f" `{shown(word)}`"
    also = f" or {names[0]} to {names[-1]}" if names else ""
    also_zh = f" 或 {names[0]} 到 {names[-1]}" if names else ""
    return _bad(
        f"{kind.en} field{where}: `{shown(item)}` {en}; values are {kind.low} to {kind.high}{also}",
        f"{kind.zh}字段{where}：`{shown(item)}` {zh}；取值为 {kind.low} 到 {kind.high}{also_zh}",
        f"such as {kind.examples}",
        f"例如 {kind.examples}",
    )


def _bad(en: str, zh: str, hint: str = "", hint_zh: str = "") -> BadTrigger:
    return BadTrigger("cron_expr", en, zh, hint=hint, hint_zh=hint_zh)


class _DayRule(CronSim):
    """cronsim's matching of days, and the weekday nearest to a day."""

    def __init__(self, day: tuple[Term, ...], week: tuple[Term, ...], *, both: bool) -> None:
        plain = [str(term) for term in day if term.mark != "W"]
        super().__init__(f"0 0 {','.join(plain) or '1'} * {','.join(map(str, week))}", _ANY_MOMENT)
        if not plain:
            self.days = set()
        # cronsim looks at the text, where the star is gone by now.
        self.day_and = both
        self._near = [term.low for term in day if term.mark == "W"]

    def match_dom(self, d: date) -> bool:
        """Whether the day of month matches."""
        return super().match_dom(d) or any(d.day == _nearest_weekday(d.year, d.month, day) for day in self._near)


def _nearest_weekday(year: int, month: int, day: int) -> int | None:
    """Find the Monday to Friday nearest to a day, in the same month; None when the month has no such day."""
    last = calendar.monthrange(year, month)[1]
    if day > last:
        return None
    weekday = date(year, month, day).weekday()
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day


@lru_cache(maxsize=1024)
def _days(day: tuple[Term, ...], week: tuple[Term, ...], *, both: bool) -> tuple[int, ...]:
    """Mask, for each of the 28 kinds of month, the days that match; `both`: both fields must match, not either."""
    rule = _DayRule(day, week, both=both)
    masks = []
    for year, month, length in _one_month_of_each_kind():
        masks.append(sum(1 << n for n in range(1, length + 1) if rule.match_day(date(year, month, n))))
    return tuple(masks)


@lru_cache(maxsize=1)
def _one_month_of_each_kind() -> tuple[tuple[int, int, int], ...]:
    """List (year, month, length) for each kind of month; 28 years in a row have them all."""
    found = {}
    for year in range(2000, 2028):
        for month in range(1, 13):
            first_weekday, length = calendar.monthrange(year, month)
            found[month_kind(length, int(first_weekday))] = (year, month, length)
    return tuple(found[kind] for kind in range(28))
