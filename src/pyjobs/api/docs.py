"""
The document and the page that shows it: Swagger UI, from files that come with pyjobs.

They hold no data, and a browser that opens a page has no token to show: so they need none. What is tried from the
page sends the one that was given to its "Authorize".
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pyjobs.api.envelope import NO_ROUTE, wants_gzip
from pyjobs.api.routes import Answer, Call, Route

__all__ = ["CSP", "ROUTES"]

_TAG = "文档"
_STATIC = Path(__file__).parent / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}


@lru_cache
def _file(name: str, prefix: str) -> tuple[str, bytes, bytes]:
    """(ETag, content, the same compressed) of a file that comes with pyjobs."""
    folder = _STATIC / "swagger-ui" if name.startswith("swagger-ui") else _STATIC
    content = (folder / name).read_bytes()
    if name.endswith(".html"):
        content = content.replace(b"{prefix}", prefix.encode())
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"', content, gzip.compress(content, 6, mtime=0)


def _served(call: Call, name: str, content_type: str) -> Answer:
    if call.settings.docs != "on":
        return NO_ROUTE
    tag, plain, packed = _file(name, call.prefix if name.endswith(".html") else "")
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CSP,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    if tag in call.environ.get("HTTP_IF_NONE_MATCH", ""):
        return Answer(status=304, body=b"", content_type=content_type, headers=headers)
    if wants_gzip(call.environ):
        return Answer(body=packed, content_type=content_type, headers={**headers, "Content-Encoding": "gzip"})
    return Answer(body=plain, content_type=content_type, headers=headers)


def _page(call: Call) -> Answer:
    return _served(call, "docs.html", "text/html; charset=utf-8")


def _go_page(call: Call) -> Answer:
    if call.settings.docs != "on":
        return NO_ROUTE
    return Answer(status=302, body=b"", content_type="text/plain", headers={"Location": f"{call.prefix}/docs"})


def _asset(name: str, content_type: str) -> Callable[[Call], Answer]:
    return lambda call: _served(call, name, content_type)


def _document(call: Call) -> Answer:
    if call.settings.docs != "on":
        return NO_ROUTE
    from pyjobs.api.openapi import document_bytes

    return Answer(body=document_bytes(call.prefix))


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/openapi.json", aliases=("/swagger/doc.json",), summary="OpenAPI 文档", tag=_TAG,
          scope="free", handler=_document, bare=True, statuses=(200, 404), hidden=True),
    Route(method="GET", path="/docs", summary="文档页面", tag=_TAG, scope="free", handler=_page, bare=True,
          media="text/html", statuses=(200, 304, 404), hidden=True),
    Route(method="GET", path="/swagger/index.html", summary="文档页面", tag=_TAG, scope="free", handler=_go_page,
          bare=True, media="text/plain", statuses=(302, 404), hidden=True),
    *(
        Route(method="GET", path=f"/docs/{name}", summary="文档页面的文件", tag=_TAG, scope="free",
              handler=_asset(name, kind), bare=True, media=kind.partition(";")[0], statuses=(200, 304, 404),
              hidden=True)
        for name, kind in _ASSETS.items()
    ),
)  # fmt: skip
