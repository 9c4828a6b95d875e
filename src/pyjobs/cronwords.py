"""A cron expression in words, English or Chinese: through cron-descriptor, put right where that would mislead."""

from __future__ import annotations

import re

from pyjobs.cronexpr import Expression, Field, Term, calendar_of, read
from pyjobs.durations import in_words

__all__ = ["explain"]

_DAY, _MONTH, _WEEK = 3, 4, 5
#: How a term that covers its whole field reads.
_WHOLE = ("0-59", "0-59", "0-23", "1-31", "1-12", "0-7")
#: cron-descriptor leaves these in English in its Chinese texts.
_ZH_NAMES = {
    "Monday": "星期一",
    "Tuesday": "星期二",
    "Wednesday": "星期三",
    "Thursday": "星期四",
    "Friday": "星期五",
    "Saturday": "星期六",
    "Sunday": "星期日",
    "January": "一月",
    "February": "二月",
    "March": "三月",
    "April": "四月",
    "May": "五月",
    "June": "六月",
    "July": "七月",
    "August": "八月",
    "September": "九月",
    "October": "十月",
    "November": "十一月",
    "December": "十二月",
}
_CJK = r"[\u4e00-\u9fff，]"


def explain(expr: str, lang: str = "en") -> str:
    """
    Say what an expression means, in `lang` (`en` or `zh`), on a 24-hour clock.

    Raises:
        BadTrigger: it is none.
    """
    expression = read(expr)
    if expression.every_s:
        period = in_words(expression.every_s * 1000, lang)
        return f"每 {period}" if lang == "zh" else f"Every {period}"
    calendar_of(expression)
    words = [_word(field, at) for at, field in enumerate(expression.fields)]
    text = _described(words, lang) if _describable(expression, words) else _by_parts(expression, words, lang)
    return f"{text} ({expression.zone})" if expression.zone else text


def _word(field: Field, at: int) -> str:
    """Write a field in the plainest form: numbers, no `a/n`, no step that is not taken, Sunday as 0."""
    if field.star and field.terms[0].step == 1:
        return "*"
    return ",".join(dict.fromkeys(_item(term, at) for term in field.terms))


def _item(term: Term, at: int) -> str:
    values = term.values()
    if at == _WEEK and term.step > 1:
        return ",".join(dict.fromkeys(str(n % 7) for n in values))
    if term.step > 1 and (at == _MONTH or len(values) < 3):
        return ",".join(map(str, values))
    if at == _WEEK and term.low == term.high and not term.mark:
        return str(term.low % 7)
    text = str(term)
    return text.replace(_WHOLE[at], "*") if text.startswith(f"{_WHOLE[at]}/") else text


def _describable(expression: Expression, words: list[str]) -> bool:
    """Tell whether cron-descriptor says the right thing about the two day fields."""
    day, week = words[_DAY], words[_WEEK]
    if ("," in day and re.search("[LW]", day)) or ("," in week and re.search("[L#]", week)):
        return False
    either = not (expression.fields[_DAY].star or expression.fields[_WEEK].star)
    return "*" in {day, week} or (either and not re.search("[-L#]", week))


def _by_parts(expression: Expression, words: list[str], lang: str) -> str:
    """Say the time of day in words, and the days as they were written."""
    time = _described([*words[:_DAY], "*", words[_MONTH], "*"], lang)
    zh = lang == "zh"
    either = not (expression.fields[_DAY].star or expression.fields[_WEEK].star)
    names = ("日期", "星期") if zh else ("day of month", "day of week")
    days = [f"{name} {words[at]}" for name, at in zip(names, (_DAY, _WEEK), strict=True) if words[at] != "*"]
    joint = (" 或 " if either else " 且 ") if zh else (" or " if either else " and ")
    return f"{time}{'，' if zh else ', '}{joint.join(days)}"


def _described(words: list[str], lang: str) -> str:
    # It costs 50 ms, which only what explains should pay.
    from cron_descriptor import ExpressionDescriptor, Options  # type: ignore[import-untyped]

    options = Options(use_24hour_time_format=True, locale_code="zh_CN" if lang == "zh" else "en_US")
    try:
        text = str(ExpressionDescriptor(" ".join(words), options).get_description())
    except Exception:
        # An explanation is a courtesy: the expression itself, which is valid, says it too.
        return " ".join(words)
    return _in_chinese(text) if lang == "zh" else text


def _in_chinese(text: str) -> str:
    """Put names of days and months, punctuation and spacing as Chinese has them."""
    text = (
        re.sub("|".join(_ZH_NAMES), lambda match: _ZH_NAMES[match[0]], text).replace(", 和", " 和").replace(", ", "，")
    )
    text = re.sub(rf"(?<={_CJK}) +(?={_CJK})", "", text).strip()
    return re.sub("在(第.个星期.)每月", r"每月的\1", text)
