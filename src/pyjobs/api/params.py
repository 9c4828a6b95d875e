"""
What a request says, from wherever it says it: JSON, then form or multipart, then query.

Clients of two older systems send all of these, with numbers as text and raw UTF-8 in the request line; what is
garbage all the same is refused with the name of the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from pyjobs.errors import Invalid

__all__ = [
    "CONTINUE",
    "MAX_BODY",
    "Flag",
    "Id",
    "Int",
    "Number",
    "Page",
    "Params",
    "Size",
    "Text",
    "TooLarge",
    "has_body",
    "parse",
    "read",
]

#: Bytes of a body.
MAX_BODY = 1 << 20
#: In an environment: its body was not read yet, and only the gate is asked; CONTINUE is its leave to read on.
UNREAD, CONTINUE = "pyjobs.unread", 100
_MAX_DEPTH = 64
_MAX_FIELDS = 1000
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_PART_NAME = re.compile(r'[;\s]name="([^"]*)"|[;\s]name=([^;\s]+)', re.IGNORECASE)
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
#: Other names of parameters, where a route has the second one and not the first.
_ALIASES = {
    "cron": "cron_expr",
    "target": "command",
    "job_id": "id",
    "reset_run_count": "reset_count",
    "function": "func",
}
_M = TypeVar("_M", bound=BaseModel)


class TooLarge(Invalid):
    """The body is larger than a request may be."""

    code = "too_large"
    http_status = 413
    body_code = 413


def _whole(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 10**18:
            return value
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    raise PydanticCustomError("whole", "应为整数，而不是 `{value}`", {"value": _shown(value)})


def _flag(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise PydanticCustomError("flag", "应为 true 或 false，而不是 `{value}`", {"value": _shown(value)})


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("text", "应为文本，而不是 `{value}`", {"value": _shown(value)})
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise PydanticCustomError("unicode", "含有无效的 Unicode 字符")
    return value


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


#: A whole number, which may be text.
Int = Annotated[int, BeforeValidator(_whole)]
#: `true`, `false`, or 1, 0 and so on.
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(_text)]
#: The id of a job. 0, negative and unknown ones are nobody's.
Id = Annotated[Int, Field(description="任务 ID（别名 job_id）", examples=[1])]
Number = Annotated[Int, Field(description="页码，从 1 开始", examples=[1])]
Size = Annotated[Int, Field(description="每页条数，1 到 1000", examples=[10])]


class Params(BaseModel):
    """What routes take: unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Params):
    """Which part of a list."""

    page: Number = 1
    size: Size = 10

    @property
    def number(self) -> int:
        """Not below 1."""
        return max(1, self.page)

    @property
    def rows(self) -> int:
        """From 1 to 1000; what is below 1 is 10."""
        return 10 if self.size < 1 else min(self.size, 1000)


def read(environ: Mapping[str, Any], model: type[_M]) -> _M:
    """
    Give the parameters of a request.

    Raises:
        Invalid: something is malformed, missing or wrong; the message names the field.
        TooLarge: the body is over 1 MiB.
    """
    values: dict[str, Any] = {}
    fields = model.model_fields
    sources = [_query(environ.get("QUERY_STRING", ""))]
    if has_body(environ):
        sources.append(parse(_body(environ), environ.get("CONTENT_TYPE", "")))
    for source in sources:
        values.update(_said(source, fields))
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise _refusal(exc) from None


def parse(body: bytes, content_type: str) -> dict[str, Any]:
    """
    Give what a body says.

    A body that starts with `{` is JSON, whatever its content type. Raises Invalid.
    """
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = content_type.partition(";")[0].strip().lower()
    if not start:
        return {}
    if start.startswith(b"{") or kind == "application/json":
        return _json(start)
    if kind == "multipart/form-data":
        return _multipart(body, content_type)
    return _pairs(body)


def _said(source: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a source says about these fields; empty and null mean absent."""
    found: dict[str, Any] = {}
    for alias, name in _ALIASES.items():
        if name in fields and alias not in fields and source.get(alias) not in (None, ""):
            found[name] = source[alias]
    for name in fields:
        if (value := source.get(name)) is not None and value != "":
            found[name] = value
    return found


def _refusal(exc: ValidationError) -> Invalid:
    problem = exc.errors(include_url=False)[0]
    field = str(problem["loc"][0]) if problem["loc"] else "body"
    if problem["type"] == "missing":
        return Invalid(field, "is missing", "不能为空")
    if problem["type"] == "literal_error":
        known = problem["ctx"]["expected"].replace(" or ", ", ")
        return Invalid(field, f"is not one of {known}", f"无效，可用：{known}")
    return Invalid(field, problem["msg"])


def _query(raw: str) -> dict[str, Any]:
    # WSGI hands bytes over as latin-1; clients send raw UTF-8.
    return _pairs(raw.encode("latin-1", "replace")) if raw else {}


def _pairs(raw: bytes) -> dict[str, Any]:
    """`a=1&b=2`; a `%` without two digits is itself, the last one of several wins."""
    try:
        text = raw.decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS))
    except UnicodeDecodeError:
        raise Invalid("body", "is no UTF-8", "不是有效的 UTF-8") from None
    except ValueError:
        raise Invalid("body", f"has over {_MAX_FIELDS} fields", f"字段超过 {_MAX_FIELDS} 个") from None


def has_body(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes with a body."""
    return bool(environ.get("CONTENT_LENGTH")) or bool(environ.get("wsgi.input_terminated"))


def _body(environ: Mapping[str, Any]) -> bytes:
    stated = environ.get("CONTENT_LENGTH") or ""
    if stated and not (stated.isascii() and stated.isdigit()):
        raise Invalid("Content-Length", "is not a number", "不是有效的数字")
    length = int(stated[:19]) if stated else MAX_BODY + 1
    if stated and length > MAX_BODY:
        raise TooLarge("body", "is over 1 MiB", "请求体超过 1 MiB")
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) > MAX_BODY:
        raise TooLarge("body", "is over 1 MiB", "请求体超过 1 MiB")
    if stated and len(body) < length:
        raise Invalid("body", "is shorter than its Content-Length", "比 Content-Length 短")
    return body


def _json(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("body", "is no UTF-8", "不是有效的 UTF-8") from None
    if text.count("{") + text.count("[") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        raise Invalid("body", f"is nested over {_MAX_DEPTH} levels", f"JSON 嵌套超过 {_MAX_DEPTH} 层")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        where = f"{exc.lineno}:{exc.colno}"
        raise Invalid("body", f"is no JSON ({exc.msg}, at {where})", f"不是有效的 JSON（{where}）") from None
    except (ValueError, RecursionError):
        raise Invalid("body", "is no usable JSON", "不是可用的 JSON") from None
    if not isinstance(value, dict):
        raise Invalid("body", "is no JSON object", "应为 JSON 对象")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in re.findall(r"[][{}]", _STRING.sub("", text)):
        depth += 1 if char in "[{" else -1
        deepest = max(deepest, depth)
        if deepest > _MAX_DEPTH:
            break
    return deepest


def _multipart(body: bytes, content_type: str) -> dict[str, Any]:
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        raise Invalid("Content-Type", "has no boundary", "缺少 boundary")
    values: dict[str, Any] = {}
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1", "replace"), _MAX_FIELDS)
    if len(pieces) < 2:
        raise Invalid("body", "is no multipart form", "不是有效的 multipart 表单")
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        head, found, value = piece.partition(b"\r\n\r\n")
        try:
            name = _PART_NAME.search(head.decode("utf-8"))
            if found and name:
                values[name[1] or name[2] or ""] = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Invalid("body", "is no UTF-8", "不是有效的 UTF-8") from None
    return values
