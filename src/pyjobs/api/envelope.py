"""What goes out: the envelope, errors in it, JSON, gzip. The one place where errors become answers."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from pyjobs.api.routes import Answer, Json, PageInfo, Refusal
from pyjobs.errors import BadCommandText, Invalid, NameTaken, PyjobsError

__all__ = ["JSON", "NO_ROUTE", "body_of", "compressed", "failure", "json_bytes", "refused", "unexpected", "wants_gzip"]

JSON = "application/json; charset=utf-8"
NO_ROUTE = Answer(status=404, code=404, msg="请求路径不存在")
#: Smaller answers fit into one packet anyway.
_GZIP_FROM = 1000
_log = logging.getLogger(__name__)


def body_of(answer: Answer, *, bare: bool) -> bytes:
    """Give the bytes of an answer; a failure of a bare route has the envelope all the same."""
    if answer.body is not None:
        return answer.body
    content = {"code": answer.code, "msg": answer.msg, "data": answer.data}
    rest = {**({} if answer.page is None else _page_keys(answer.page)), **answer.beside}
    if isinstance(answer.data, Json):
        written = answer.data.text
        return written if bare else _around(written, {"code": answer.code, "msg": answer.msg}, rest)
    return json_bytes(answer.data if bare and answer.code == 200 else content | rest)


def failure(exc: PyjobsError) -> Answer:
    """Give the answer that says what is wrong, in Chinese as the clients expect."""
    if isinstance(exc, NameTaken):
        msg = "任务名称已存在"
    elif isinstance(exc, Invalid):
        # The fields of a command text are no parameters of their own.
        inside = isinstance(exc, BadCommandText) and exc.field not in ("mode", "command")
        msg = f"参数错误：{'command ' if inside else ''}{exc.text('zh')}"
    else:
        msg = exc.text("zh")
    if exc.http_status >= 500:
        _log.error("answered %d: %s", exc.http_status, exc)
    return Answer(status=exc.http_status, code=exc.body_code, msg=msg)


def unexpected(where: str) -> Answer:
    """Log the exception that is being handled; the client learns only that it is our fault."""
    _log.exception("%s failed", where)
    return Answer(status=500, code=500, msg="服务器内部错误")


def refused(refusal: Refusal) -> Answer:
    """Give the answer of the gate."""
    return Answer(status=refusal.status, code=refusal.status, msg=refusal.msg, headers=refusal.headers)


def json_bytes(value: Any) -> bytes:
    """Give UTF-8 with Chinese as it is; what is no Unicode becomes `?`."""
    try:
        return to_json(value)
    except (PydanticSerializationError, UnicodeEncodeError, ValueError):
        return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace")


def wants_gzip(environ: Mapping[str, Any]) -> bool:
    """Whether the client takes gzip."""
    for piece in environ.get("HTTP_ACCEPT_ENCODING", "").lower().split(","):
        name, _, weight = piece.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def compressed(body: bytes) -> bytes:
    """Give gzip of it, or itself where that is not worth it."""
    if len(body) < _GZIP_FROM:
        return body
    packer = zlib.compressobj(4, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _around(data: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> bytes:
    """The envelope of what is written already."""
    end = json_bytes(after)[1:] if after else b"}"
    return b"".join((json_bytes(before)[:-1], b',"data":', data, b"," if after else b"", end))


def _page_keys(page: PageInfo) -> dict[str, int]:
    pages = -(-page.total // page.size)
    return {
        "total": page.total, "pages_total": pages, "page_total": pages, "pages": pages,
        "page": page.number, "page_size": page.size, "size": page.size,
    }  # fmt: skip
