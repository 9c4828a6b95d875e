"""
The argument text of a function job, split into arguments. Pure.

Commas separate, `"` quotes, a backslash takes its meaning from `,`, `"` and itself; elsewhere it is just a backslash,
so that paths and patterns need no care. An argument that is a JSON array or object stays whole, commas and quotes
included.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from pyjobs.errors import Invalid

__all__ = ["Argument", "split"]

_KEYWORD = re.compile(r"\s*([^\W\d]\w*)\s*=\s*")
_SPACE = re.compile(r"\s*")
_ESCAPED = ',"\\'


class Argument(NamedTuple):
    """One argument: as a whole, and as `name=value` where it looks like that."""

    text: str
    name: str = ""
    value: str = ""


def split(text: str) -> list[Argument]:
    """
    The arguments of a text, white space around them trimmed; empty ones are kept, an empty text has none.

    Raises:
        Invalid: a quote is not closed.
    """
    if not text.strip():
        return []
    found, at = [], 0
    while True:
        argument, at = _argument(text, at)
        found.append(argument)
        if at >= len(text):
            return found
        at += 1


def _argument(text: str, at: int) -> tuple[Argument, int]:
    match = _KEYWORD.match(text, at)
    if match is None:
        value, end = _value(text, at)
        return Argument(value), end
    value, end = _value(text, match.end())
    return Argument(match[0].lstrip() + value if value else match[0].strip(), match[1], value), end


def _value(text: str, at: int) -> tuple[str, int]:
    """A value, and where the comma after it is, or the end."""
    at = _skip(text, at)
    if text[at : at + 1] in ("{", "["):
        end = _json_end(text, at)
        if end:
            return text[at:end], _skip(text, end)
    quoted = ""
    if text[at : at + 1] == '"':
        quoted, at = _until(text, at + 1, '"')
        if at >= len(text):
            raise Invalid(
                "arg",
                'a `"` is not closed',
                '引号 `"` 没有闭合',
                hint='write `\\"` for a quotation mark that is meant literally',
                hint_zh='若需要引号本身，请写成 `\\"`',
            )
        at += 1
    plain, at = _until(text, at, ",")
    return quoted + plain.rstrip(), at


def _until(text: str, at: int, stop: str) -> tuple[str, int]:
    pieces = []
    while at < len(text) and text[at] != stop:
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in _ESCAPED:
            at += 1
        pieces.append(text[at])
        at += 1
    return "".join(pieces), at


def _json_end(text: str, at: int) -> int:
    """Where a JSON value ends that fills an argument; 0 when there is none."""
    try:
        _, end = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return 0
    return end if text[_skip(text, end) :][:1] in ("", ",") else 0


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
