"""
The 【…】 text of a job <-> HttpSpec, CommandSpec, FuncSpec.

Lines that start with a full-width bracketed tag hold one value each; text without a tag is the bare form of its
mode. The only place that knows this format (design: commands.md).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from pyjobs.errors import BadCommandText

__all__ = [
    "SPECS",
    "CommandSpec",
    "FuncSpec",
    "HttpSpec",
    "Spec",
    "canonical_mode",
    "pairs",
    "parse",
    "register",
    "render",
    "retries",
    "unknown_tags",
]

_TAG = re.compile(r"^[ \t]*【([^】\n]*)】(.*)$")
_BARS = re.compile(r"\|{2,3}")
_LINE_END = re.compile(r"\r+\n")
_MAX_SECONDS = 366 * 24 * 3600
_MAX_TIMES = 1000
#: Linux' limit for one argument of a program, the NUL at its end included.
_MAX_ARGUMENT = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What every mode has. Subclasses add one field a tag, the first one being the bare form."""

    MODE: ClassVar[str] = ""
    #: Tags whose values add up over several lines.
    ADDS_UP: ClassVar[frozenset[str]] = frozenset()

    #: Seconds for one attempt; None: nothing said, 0: no limit.
    timeout: int | None = field(default=None, metadata={"max": _MAX_SECONDS})
    #: Attempts at most, 0 being 1; stops at the first success.
    times: int = field(default=1, metadata={"max": _MAX_TIMES})
    #: Seconds between attempts.
    interval: int = field(default=0, metadata={"max": _MAX_SECONDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSpec(Spec):
    """One HTTP request."""

    MODE: ClassVar[str] = "http"
    ADDS_UP: ClassVar[frozenset[str]] = frozenset({"headers"})

    url: str
    #: The method, sent as it is but in capitals.
    mode: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), metadata={"split": ":"})
    data: str = ""
    cookies: str = ""
    proxy: str = ""
    #: Text that the body must hold for success.
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec(Spec):
    """One shell text."""

    MODE: ClassVar[str] = "command"
    ADDS_UP: ClassVar[frozenset[str]] = frozenset({"env"})

    command: str
    workdir: str = ""
    env: tuple[tuple[str, str], ...] = field(default=(), metadata={"split": "="})


@dataclass(frozen=True, slots=True, kw_only=True)
class FuncSpec(Spec):
    """One call of a registered function."""

    MODE: ClassVar[str] = "func"

    name: str
    #: The arguments as they stand in the text; `functions.arguments` splits them.
    arg: str = ""


SPECS: dict[str, type[Spec]] = {spec.MODE: spec for spec in (HttpSpec, CommandSpec, FuncSpec)}
_ALIASES = {"function": "func"}
_S = TypeVar("_S", bound=Spec)
#: Checks that one spec type needs beyond types and ranges.
_EXTRA_CHECKS: dict[str, Callable[[Any], None]] = {}


def register(spec: type[_S]) -> type[_S]:
    """Make a further mode known; executors from outside call it (entry points `pyjobs.executors`)."""
    SPECS[spec.MODE] = spec
    return spec


def canonical_mode(mode: str) -> str:
    """
    The name of a mode as it is stored: `HTTP` gives `http`, `function` gives `func`.

    Raises:
        BadCommandText: there is no such mode.
    """
    name = mode.strip().lower()
    name = _ALIASES.get(name, name)
    if name not in SPECS:
        known = ", ".join(SPECS)
        raise BadCommandText(
            "mode",
            f"`{mode}` is not one of {known}",
            f"`{mode}` 不是有效的执行模式，可用：{known}",
            hint="see `pyjobs job add --help`",
        )
    return name


def parse(mode: str, text: str, *, lenient: bool = False) -> Spec:
    """
    The spec of a command text.

    Args:
        mode: as `canonical_mode` gives it.
        text: tagged or bare.
        lenient: ignore unknown tags, as for a row that is stored already; `unknown_tags` names them.

    Raises:
        BadCommandText: a tag is unknown, missing or has a bad value; the message names it.
    """
    kind = SPECS[mode]
    known = _tags(kind)
    values: dict[str, str] = {}
    found = _lines(text)
    if found is None:
        # No more than `_TAG` takes for space: another kind in front may be why a text is no tag.
        values[_main_tag(kind)] = _LINE_END.sub("\n", text).strip(" \t\r\n")
    else:
        for tag, value in found:
            if tag not in known:
                if lenient:
                    continue
                raise _unknown(tag, known)
            adds_up = tag in kind.ADDS_UP and values.get(tag)
            values[tag] = f"{values[tag]} ||| {value}" if adds_up else value
    for tag, value in values.items():
        if "\0" in value:
            raise BadCommandText(tag, "holds a NUL character", "含有 NUL 字符")
    given: dict[str, Any] = {tag: _convert(known[tag], value) for tag, value in values.items() if value}
    spec = kind(**{_main_tag(kind): "", **given})
    _check(spec)
    return spec


def unknown_tags(mode: str, text: str) -> list[str]:
    """The tags in a stored text that its mode does not have."""
    if "【" not in text:
        return []
    known = _tags(SPECS[mode])
    return [tag for tag, _ in _lines(text) or [] if tag not in known]


def retries(text: str) -> int:
    """How often a stored text has a failed attempt tried again; for lists, which cannot parse each of their rows."""
    if "【" not in text or "times" not in text.lower():
        return 0
    said = dict(_lines(text) or []).get("times", "")
    return max(0, int(said) - 1) if re.fullmatch(r"[0-9]{1,9}", said) else 0


def render(spec: Spec) -> str:
    """
    The text of a spec: bare when only its main value is set, else tagged.

    `parse(spec.MODE, render(spec)) == spec` for every spec that `parse` gives.
    """
    kind = type(spec)
    main = _main_tag(kind)
    value = getattr(spec, main)
    others = [
        (tag, getattr(spec, tag))
        for tag, about in _tags(kind).items()
        if tag != main and getattr(spec, tag) != about.default
    ]
    if not others and _lines(value) is None:
        return str(value)
    lines = [f"【{main}】{value}"]
    for tag, other in others:
        split = _tags(kind)[tag].metadata.get("split")
        lines.append(f"【{tag}】{_joined(other, split) if split else other}")
    return "\n".join(lines)


def _joined(entries: tuple[tuple[str, str], ...], separator: str) -> str:
    pieces = [f"{name}{separator}{value}" for name, value in entries]
    # A piece that begins or ends with a bar would run into those between the pieces.
    return (" ||| " if any("|" in piece for piece in pieces) else "|||").join(pieces)


def pairs(field_name: str, text: str, separator: str) -> tuple[tuple[str, str], ...]:
    """
    `A:1|||B:2` as pairs, split at the first separator, trimmed. Two bars are taken for three.

    Raises:
        BadCommandText: a piece without the separator or without a name.
    """
    result = []
    for piece in _BARS.split(text):
        if not piece.strip():
            continue
        name, found, value = piece.partition(separator)
        if not found or not name.strip():
            raise BadCommandText(
                field_name,
                f"`{piece.strip()}` is not `NAME{separator}VALUE`",
                f"`{piece.strip()}` 的格式应为 `名称{separator}值`",
                hint=f"separate several entries with `|||`, as in `A{separator}1|||B{separator}2`",
            )
        result.append((name.strip(), value.strip()))
    return tuple(result)


def _lines(text: str) -> list[tuple[str, str]] | None:
    """(tag, value) in the order of the text; None when no line starts with a tag."""
    if "【" not in text:
        return None
    found: list[tuple[str, list[str]]] = []
    for line in _LINE_END.sub("\n", text).split("\n"):
        match = _TAG.match(line)
        if match:
            found.append((match[1].strip().lower(), [match[2]]))
        elif found:
            found[-1][1].append(line)
        elif line.strip():
            return None
    return [(tag, "\n".join(value).strip()) for tag, value in found] or None


def _tags(kind: type[Spec]) -> dict[str, Any]:
    return _tags_of(kind.MODE)


@lru_cache
def _tags_of(mode: str) -> dict[str, Any]:
    return {f.name: f for f in fields(SPECS[mode])}


def _main_tag(kind: type[Spec]) -> str:
    return next(name for name, about in _tags(kind).items() if about.default is MISSING)


def _unknown(tag: str, known: dict[str, Any]) -> BadCommandText:
    near = difflib.get_close_matches(tag, known, n=1, cutoff=0.5)
    names = ", ".join(known)
    nearest = f"; did you mean `{near[0]}`?" if near else f"; known are {names}"
    nearest_zh = f"，是否想写 `{near[0]}`？" if near else f"，可用标签：{names}"
    return BadCommandText("command", f"unknown tag `【{tag}】`{nearest}", f"未知标签 `【{tag}】`{nearest_zh}")


def _convert(about: Any, value: str) -> object:
    if "split" in about.metadata:
        return pairs(about.name, value, about.metadata["split"])
    if "max" not in about.metadata:
        return value
    low, high = about.metadata.get("min", 0), about.metadata["max"]
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise BadCommandText(
            about.name,
            f"`{value}` is not a whole number from {low} to {high}",
            f"`{value}` 不是 {low} 到 {high} 之间的整数",
        )
    return int(value)


def _check(spec: Spec) -> None:
    main = _main_tag(type(spec))
    value = getattr(spec, main)
    if not value:
        raise BadCommandText(main, "is missing or empty", "不能为空", hint=f"write it bare, or as `【{main}】…`")
    check = _EXTRA_CHECKS.get(spec.MODE)
    if check:
        check(spec)


def _check_http(spec: HttpSpec) -> None:
    if not re.match(r"https?://[^\s/?#]", spec.url, re.IGNORECASE) or re.search(r"\s", spec.url):
        raise BadCommandText(
            "url",
            f"`{spec.url}` is not an http:// or https:// address",
            f"`{spec.url}` 不是有效的 http:// 或 https:// 地址",
        )
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", spec.mode):
        raise BadCommandText("mode", f"`{spec.mode}` is not an HTTP method", f"`{spec.mode}` 不是有效的 HTTP 方法")
    if spec.proxy and not re.match(r"(https?|socks5h?)://[^\s/]", spec.proxy, re.IGNORECASE):
        raise BadCommandText(
            "proxy",
            f"`{spec.proxy}` is not an http://, https://, socks5:// or socks5h:// address",
            f"`{spec.proxy}` 不是有效的 http://、https://、socks5:// 或 socks5h:// 代理地址",
        )
    for name, value in spec.headers:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n]", value):
            raise BadCommandText("headers", f"`{name}` is not a header's name", f"`{name}` 不是有效的请求头名称")


def _check_command(spec: CommandSpec) -> None:
    if len(spec.command.encode("utf-8", "replace")) >= _MAX_ARGUMENT:
        raise BadCommandText(
            "command",
            f"is longer than the {_MAX_ARGUMENT} bytes that a system takes as one argument",
            f"超过系统单个参数的上限 {_MAX_ARGUMENT} 字节",
            hint="put it into a file and run that",
            hint_zh="请写入脚本文件后执行该文件",
        )
    for name, _ in spec.env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise BadCommandText("env", f"`{name}` is not a variable's name", f"`{name}` 不是有效的环境变量名")


_EXTRA_CHECKS["http"] = _check_http
_EXTRA_CHECKS["command"] = _check_command
