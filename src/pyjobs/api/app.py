"""The Bottle app: every route of the table under two prefixes, and JSON whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import bottle

from pyjobs.api import params
from pyjobs.api.envelope import (
    JSON,
    NO_ROUTE,
    body_of,
    compressed,
    failure,
    refused,
    unexpected,
    wants_gzip,
)
from pyjobs.api.recent import Recent
from pyjobs.api.routes import Answer, Call, Refusal, Route, Site
from pyjobs.errors import PyjobsError

__all__ = ["PREFIXES", "make_app", "served_at", "together_paths"]

#: The second one is the web page's.
PREFIXES = ("", "/api")
_PEER = "pyjobs.peer"


def served_at(route: Route) -> list[tuple[str, str]]:
    """(prefix, path) of all places where a route is."""
    return [(prefix, f"{prefix}{path}".rstrip("/") or "/") for prefix in PREFIXES for path in route.paths]


def together_paths() -> frozenset[str]:
    """Where requests may be one commit with others."""
    from pyjobs.api.table import ROUTES

    return frozenset(path for route in ROUTES if route.together for _, path in served_at(route))


def make_app(site: Site, routes: Iterable[Route] | None = None) -> bottle.Bottle:
    """Put the app together over what its calls share."""
    if routes is None:
        from pyjobs.api.table import ROUTES

        routes = ROUTES
    app = bottle.Bottle()
    app.config["json.enable"] = False
    app.default_error_handler = lambda error: _sent(site, _of_bottle(error))
    app.add_hook("before_request", lambda: _admit(site))
    allowed: dict[str, list[str]] = {}
    recent = Recent()
    for route in routes:
        for prefix, path in served_at(route):
            app.route(path, route.method, _callback(site, route, prefix, recent))
            allowed.setdefault(path, []).extend(["GET", "HEAD"] if route.method == "GET" else ["POST"])
    for path, methods in allowed.items():
        app.route(path, "OPTIONS", _options(site, ", ".join([*methods, "OPTIONS"])))
    return app


def _admit(site: Site) -> None:
    """Before routing, for every path: who is it, and may they come in."""
    environ = bottle.request.environ
    peer = site.gate.admit(environ)
    if isinstance(peer, Refusal):
        body = _sent(site, refused(peer))
        refusal = bottle.response.copy(bottle.HTTPResponse)  # what is raised takes the place of the response
        refusal.body = body
        raise refusal
    if params.UNREAD in environ:
        raise bottle.HTTPResponse(status=params.CONTINUE)
    environ[_PEER] = peer
    path = environ["PATH_INFO"]
    if path.encode("utf-8", "replace") != environ["bottle.raw_path"].encode("latin-1", "replace"):
        # Bottle leaves out bytes that are no UTF-8: the rest must not become another path.
        environ["PATH_INFO"] = "/\ufffd"
    elif len(path) > 1 and path.endswith("/"):
        environ["PATH_INFO"] = path[:-1]


def _callback(site: Site, route: Route, prefix: str, recent: Recent) -> Callable[[], bytes]:
    def answer() -> bytes:
        environ = bottle.request.environ
        refusal = site.gate.authorise(route, environ, environ[_PEER])
        return _sent(site, refused(refusal) if refusal else _handled(site, route, prefix, environ, recent), route)

    return answer


def _handled(site: Site, route: Route, prefix: str, environ: dict[str, Any], recent: Recent) -> Answer:
    try:
        if route.steady and not params.has_body(environ):
            key = (route.path, prefix, environ.get("QUERY_STRING", ""))
            return recent.answer(site, key, lambda: _asked(site, route, prefix, environ))
        return _asked(site, route, prefix, environ)
    except PyjobsError as exc:
        return failure(exc)
    except Exception:
        return unexpected(f"{route.method} {route.path}")


def _asked(site: Site, route: Route, prefix: str, environ: dict[str, Any]) -> Answer:
    given = params.read(environ, route.params) if route.params else None
    return route.handler(Call(site, given, environ[_PEER], prefix, environ))


def _options(site: Site, methods: str) -> Callable[[], bytes]:
    answer = Answer(status=204, body=b"", content_type="text/plain", headers={"Allow": methods})
    return lambda: _sent(site, answer)


def _of_bottle(error: bottle.HTTPError) -> Answer:
    """404, 405: there is no such route. Anything else is our fault, and Bottle has written the traceback."""
    return NO_ROUTE if error.status_code in (404, 405) else Answer(status=500, code=500, msg="服务器内部错误")


def _sent(site: Site, answer: Answer, route: Route | None = None) -> bytes:
    """Put status and headers into Bottle's response; answers the body."""
    environ, response = bottle.request.environ, bottle.response
    body = body_of(answer, bare=route is not None and route.bare)
    response.status = answer.status
    response.content_type = answer.content_type or JSON
    response.set_header("X-Content-Type-Options", "nosniff")
    response.set_header("Cache-Control", "no-store")
    response.set_header("Vary", "Accept-Encoding")
    for name, value in site.gate.headers(environ):
        response.add_header(name, value)
    for name, value in answer.headers.items():
        response.set_header(name, value)
    if len(body) >= 1000 and "Content-Encoding" not in answer.headers and wants_gzip(environ):
        body = compressed(body)
        response.set_header("Content-Encoding", "gzip")
    return body
