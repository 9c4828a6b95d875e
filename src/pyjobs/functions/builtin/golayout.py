"""Go's way of saying how a time looks: by how `Mon Jan 2 15:04:05 MST 2006` would. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

__all__ = ["format_time"]

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
#: In the order in which Go looks for them: the longer one of two that start alike comes first.
_TOKEN = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|002|0[1-6]|__2|_2(?!006)|15|[1-5]|PM|pm"
    r"|[-Z]07:00:00|[-Z]07:00|[-Z]0700|[-Z]07|[.,](?:0+|9+)(?![0-9])"
)


def format_time(moment: datetime, layout: str) -> str:
    """A moment in a layout of Go's; what is no part of a time stays as it is."""
    return _TOKEN.sub(lambda match: _part(moment, match[0]), layout)


def _part(moment: datetime, token: str) -> str:
    if token in _PARTS:
        return _PARTS[token](moment)
    if token[0] in ".,":
        return _fraction(moment, token)
    return _offset(moment, token)


def _fraction(moment: datetime, token: str) -> str:
    digits = f"{moment.microsecond:06d}000"[: len(token) - 1].ljust(len(token) - 1, "0")
    if token[1] == "9":
        digits = digits.rstrip("0")
    return token[0] + digits if digits else ""


def _offset(moment: datetime, token: str) -> str:
    delta = moment.utcoffset()
    seconds = int(delta.total_seconds()) if delta is not None else 0
    if token[0] == "Z" and not seconds:
        return "Z"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, minutes = divmod(seconds // 60, 60)
    colon = ":" if ":" in token else ""
    text = f"{sign}{hours:02d}" if token[1:] == "07" else f"{sign}{hours:02d}{colon}{minutes:02d}"
    return f"{text}:{seconds % 60:02d}" if token.endswith(":00:00") else text


_PARTS: Mapping[str, Callable[[datetime], str]] = MappingProxyType(
    {
        "2006": lambda m: f"{m.year:04d}",
        "06": lambda m: f"{m.year % 100:02d}",
        "January": lambda m: _MONTHS[m.month - 1],
        "Jan": lambda m: _MONTHS[m.month - 1][:3],
        "01": lambda m: f"{m.month:02d}",
        "1": lambda m: str(m.month),
        "Monday": lambda m: _DAYS[m.weekday()],
        "Mon": lambda m: _DAYS[m.weekday()][:3],
        "02": lambda m: f"{m.day:02d}",
        "_2": lambda m: f"{m.day:2d}",
        "2": lambda m: str(m.day),
        "002": lambda m: f"{m.timetuple().tm_yday:03d}",
        "__2": lambda m: f"{m.timetuple().tm_yday:3d}",
        "15": lambda m: f"{m.hour:02d}",
        "03": lambda m: f"{(m.hour + 11) % 12 + 1:02d}",
        "3": lambda m: str((m.hour + 11) % 12 + 1),
        "04": lambda m: f"{m.minute:02d}",
        "4": lambda m: str(m.minute),
        "05": lambda m: f"{m.second:02d}",
        "5": lambda m: str(m.second),
        "PM": lambda m: "PM" if m.hour >= 12 else "AM",
        "pm": lambda m: "pm" if m.hour >= 12 else "am",
        "MST": lambda m: m.tzname() or "",
    }
)
