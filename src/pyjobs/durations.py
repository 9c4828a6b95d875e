"""Durations as people write them, `1h30m`, strictly. Nothing here is ever negative, fractional or without a unit."""

from __future__ import annotations

import re

from pyjobs.errors import BadTrigger

__all__ = ["MAX_INTERVAL_S", "check_interval", "in_words", "parse_duration", "parse_interval", "shown"]

#: A hundred years: what is further away than that is a typing error.
MAX_INTERVAL_S = 36525 * 86400
#: (unit, milliseconds, Chinese name, English name), the order in which they may follow one another.
_UNITS = (
    ("w", 604_800_000, "周", "week"),
    ("d", 86_400_000, "天", "day"),
    ("h", 3_600_000, "小时", "hour"),
    ("m", 60_000, "分钟", "minute"),
    ("s", 1000, "秒", "second"),
    ("ms", 1, "毫秒", "millisecond"),
)
_DURATION = re.compile("".join(f"(?:([0-9]{{1,12}}){unit})?" for unit, *_ in _UNITS), re.IGNORECASE | re.ASCII)


def parse_duration(text: str, field: str = "duration") -> int:
    """
    Read milliseconds from a text such as `90s`, `1h30m` or `500ms`: units from w to ms, each once, the largest first.

    Raises:
        BadTrigger: anything else; `field` names the value in the message.
    """
    match = _DURATION.fullmatch(text.strip())
    if match and match[0]:
        return sum(int(number) * unit[1] for number, unit in zip(match.groups(), _UNITS, strict=True) if number)
    if re.fullmatch(r"[0-9]+", text.strip(), re.ASCII):
        number = shown(text.strip())
        raise BadTrigger(
            field,
            f"`{number}` has no unit",
            f"`{number}` 缺少单位",
            hint=f"write `{number}s`, `{number}m` or `{number}h`",
            hint_zh=f"请写成 `{number}s`、`{number}m` 或 `{number}h`",
        )
    raise BadTrigger(
        field,
        f"`{shown(text)}` is not a duration",
        f"`{shown(text)}` 不是有效的时长",
        hint="whole numbers with the units w, d, h, m, s, the largest first, such as `90s` or `1h30m`",
        hint_zh="请用整数加单位 w、d、h、m、s，由大到小，如 `90s` 或 `1h30m`",
    )


def parse_interval(text: str, field: str = "interval_seconds") -> int:
    """
    Read seconds from a duration that can be the period of a job.

    Raises:
        BadTrigger: no duration, below one second, not whole seconds, or above 100 years.
    """
    ms = parse_duration(text, field)
    if ms % 1000 and ms > 1000:
        raise BadTrigger(
            field,
            f"`{shown(text)}` is not a whole number of seconds",
            f"`{shown(text)}` 不是整数秒",
            hint="drop the ms",
        )
    return check_interval(ms // 1000, field, text)


def check_interval(seconds: int, field: str = "interval_seconds", text: str = "") -> int:
    """
    Give `seconds` back, if a period may be that long; `text` is what was typed.

    Raises:
        BadTrigger: below one second or above 100 years.
    """
    if 1 <= seconds <= MAX_INTERVAL_S:
        return seconds
    typed = shown(text or str(seconds))
    raise BadTrigger(
        field,
        f"`{typed}` is out of range: from 1 s to 100 years",
        f"`{typed}` 超出范围：1 秒到 100 年",
        hint="the shortest interval is `1s`",
        hint_zh="最短间隔为 `1s`",
    )


def in_words(ms: int, lang: str) -> str:
    """Write `1 hour 30 minutes`, or the same in Chinese."""
    parts = []
    for _, size, zh, en in _UNITS[1:]:
        number, ms = divmod(ms, size)
        if number:
            parts.append(f"{number} {zh}" if lang == "zh" else f"{number} {en}{'s' if number > 1 else ''}")
    return " ".join(parts)


def shown(text: str) -> str:
    """Make what somebody typed safe and short enough to be printed inside a message."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 60 else f"{text[:59]}…"
