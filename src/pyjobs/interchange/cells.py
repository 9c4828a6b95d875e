"""Values of a document, which another program or a person may have written, as the values that a Job has."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from pyjobs.clock import UTC, from_ms, to_ms
from pyjobs.errors import Invalid

__all__ = ["instant", "moment", "moment_text", "text", "whole"]

#: Seconds since the epoch are smaller, milliseconds since then larger, in every year from 1973 to 5138.
_MS_FROM = 100_000_000_000


def text(field: str, value: object) -> str:
    """A text; a number is one too. Raises Invalid."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise _wrong(field, value, "a text: put it in quotes", "文本：请加引号")


def whole(field: str, value: object) -> int:
    """A whole number, also written as text. Raises Invalid."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip(), re.ASCII):
        return int(value)
    raise _wrong(field, value, "a whole number", "整数")


def instant(field: str, value: object) -> int:
    """
    Milliseconds since the epoch of a number, a text of ISO 8601 or a date; without an offset it is UTC.

    Raises:
        Invalid: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str, date)):
        raise _wrong(field, value, "a time", "时间")
    if isinstance(value, int) or re.fullmatch(r"[0-9]{9,18}", value if isinstance(value, str) else ""):
        number = whole(field, value)
        return number if abs(number) >= _MS_FROM else number * 1000
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(_iso(str(value)))
    except ValueError:
        raise _wrong(
            field, value, "a time such as `2026-11-24 17:18:42`", "时间，格式如 `2026-11-24 17:18:42`"
        ) from None
    return to_ms(found if found.tzinfo else found.replace(tzinfo=UTC))


def moment(ms: int | None) -> str | None:
    """An instant whose milliseconds count: `2026-11-24T17:18:42.250Z`."""
    return None if ms is None else from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_text(ms: int | None) -> str | None:
    """An instant as the store keeps it: `2026-11-24 17:18:42`, UTC."""
    return None if ms is None else from_ms(ms).isoformat(" ", "seconds")[:19]


def _iso(written: str) -> str:
    """What `fromisoformat` reads on every version of Python: no `Z`, three or six digits of a second."""
    short = re.sub(r"[zZ]$", "+00:00", written.strip())
    return re.sub(r"\.([0-9]+)", lambda found: "." + found[1][:6].ljust(6, "0"), short)


def _wrong(field: str, value: Any, wanted: str, wanted_zh: str) -> Invalid:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:59]}…"
    return Invalid(field, f"`{shown}` is not {wanted}", f"`{shown}` 不是{wanted_zh}")
