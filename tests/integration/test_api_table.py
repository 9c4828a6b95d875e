"""The live route table: every route is declared whole, guarded, documented, and answers as its declaration says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import bottle
import pytest
from pydantic import BaseModel, TypeAdapter

from pyjobs.api.app import PREFIXES, served_at
from pyjobs.api.routes import Refusal, Route, Scope
from pyjobs.api.table import ROUTES

from .api_kit import Api, an_api

BY_PATH = [pytest.param(route, id=route.path) for route in ROUTES]
#: GET changes nothing, ever: these are asked with what makes them do something.
JOB = {"name": "a", "cron_expr": "0 0 0 1 1 *", "mode": "func", "command": "Echo"}


def answers(route: Route) -> bool:
    """Whether it answers JSON to anybody; those under /admin need a login."""
    return route.media == "application/json" and not route.hidden and not route.path.startswith("/admin")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


def test_what_is_served_is_what_is_declared(api: Api) -> None:
    declared = {(path, route.method) for route in ROUTES for _, path in served_at(route)}
    assert isinstance(api.app, bottle.Bottle)

    served = {(route.rule, route.method) for route in api.app.routes}

    assert {pair for pair in served if pair[1] != "OPTIONS"} == declared
    assert {path for path, method in served if method == "OPTIONS"} == {path for path, _ in declared}


def test_no_two_routes_have_a_path_and_method() -> None:
    places = [(path, route.method) for route in ROUTES for path in route.paths]

    assert len(places) == len(set(places))


@pytest.mark.parametrize("route", BY_PATH)
def test_every_route_says_all_of_itself(route: Route) -> None:
    assert route.scope in get_args(Scope)
    assert route.summary
    assert route.tag
    assert route.path.startswith("/")
    assert route.scope not in ("edit", "run") or route.method == "POST", "GET changes nothing"
    assert route.scope != "free" or not route.path.startswith("/jobs"), "what concerns jobs needs a token"
    assert route.params is None or issubclass(route.params, BaseModel)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("route", BY_PATH)
def test_no_handler_runs_without_the_gates_leave(api: Api, route: Route, prefix: str) -> None:
    api.gate.forbidden = Refusal(401, "未授权", {"WWW-Authenticate": "Bearer"})
    for path in route.paths:
        reply = api.call(route.method, prefix + path, body=json.dumps(JOB).encode(), kind="application/json")

        assert (reply.status, reply.json) == (401, {"code": 401, "msg": "未授权", "data": None})
        assert reply.headers["Www-Authenticate"] == "Bearer"
    assert set(api.gate.asked) == {route.path}
    api.gate.forbidden = None
    assert api.get("/jobs/list").data == []


@pytest.mark.parametrize("path", ["/jobs/list", "/docs", "/metrics", "/nope", "/", "/api/x", "/jobs/list/"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "TRACE"])
def test_who_may_not_come_in_learns_nothing_of_paths(api: Api, method: str, path: str) -> None:
    api.gate.closed = Refusal(403, "访问被拒绝：IP地址不在白名单中")

    reply = api.call(method, path)

    assert reply.status == 403
    assert method == "HEAD" or reply.json == {"code": 403, "msg": "访问被拒绝：IP地址不在白名单中", "data": None}


@pytest.mark.parametrize(
    "path",
    [
        "/Jobs/list", "/jobs//list", "//jobs/list", "/jobs/./list", "/./jobs/list", "/jobs/../jobs/list",
        "/jobs/list;x", "/jobs/list\x00", "/jobs/list%2f", "/jobs%2flist", "/jobs/list//", "/api/api/jobs/list",
        "/apijobs/list", "jobs", "/jobs/li\udcffst",
    ],
)  # fmt: skip
def test_a_path_that_is_spelt_otherwise_is_another_path(api: Api, path: str) -> None:
    raw = path.encode("utf-8", "surrogateescape").decode("latin-1")
    said: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": raw, "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}
    body = b"".join(api.app(environ, lambda status, head, _=None: said.append((status, dict(head)))))

    assert said[0][0].startswith("404")
    assert json.loads(body) == {"code": 404, "msg": "请求路径不存在", "data": None}
    assert api.gate.asked == []


@pytest.mark.parametrize("header", ["X_HTTP_METHOD_OVERRIDE", "X_METHOD_OVERRIDE", "X_HTTP_METHOD"])
def test_a_header_makes_no_other_method(api: Api, header: str) -> None:
    assert api.call("GET", "/jobs/stopAll", headers={header: "POST"}).status == 404
    assert api.call("GET", "/jobs/add", query={**JOB, "_method": "POST"}).status == 404
    assert api.get("/jobs/jobStatus").json["running"] is True


@pytest.mark.parametrize("route", [r for r in BY_PATH if r.values[0].method == "GET"])  # type: ignore[union-attr]
def test_get_changes_nothing(api: Api, route: Route) -> None:
    job = api.add("a")
    store = api.site.settings.database_path

    def rows() -> str:
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(store)) as connection:
            return "\n".join(connection.iterdump())

    before = rows()
    for query in ("", f"id={job}&run=true&reset_count=true&type=job&ip=10.0.0.1&name=b"):
        api.get(route.path, query)

    assert rows() == before


@pytest.mark.parametrize("route", [pytest.param(route, id=route.path) for route in ROUTES if answers(route)])
def test_answers_have_the_shape_that_is_declared(api: Api, route: Route) -> None:
    job = api.add("b", command="Echo")
    api.post("/jobs/run", {"id": job})
    if route.path.endswith("/remove"):
        api.post(route.path.replace("remove", "add"), {"ip": "10.0.0.1"})
    asked = {**JOB, "id": job, "type": "job", "ip": "10.0.0.1"}
    if route.path == "/jobs/edit":
        asked["name"] = "c"

    reply = api.get(route.path, {"id": job}) if route.method == "GET" else api.post(route.path, asked)

    assert reply.status in route.statuses
    found = reply.json
    data = found if route.bare else found["data"]
    assert route.bare or found["code"] == 200, found
    assert isinstance(data, list) or not route.paged or "total" in found
    if route.answer is not None:
        TypeAdapter(route.answer).validate_python(data, strict=True)


def test_options_name_the_methods(api: Api) -> None:
    reply = api.call("OPTIONS", "/jobs/list")

    assert (reply.status, reply.headers["Allow"], reply.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert api.call("OPTIONS", "/api/jobs/add/").headers["Allow"] == "POST, OPTIONS"
    assert api.call("OPTIONS", "/nope").status == 404


def test_head_answers_without_a_body(api: Api) -> None:
    reply, whole = api.call("HEAD", "/jobs/list"), api.get("/jobs/list")

    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.body))
    assert api.call("HEAD", "/jobs/add").status == 404


def test_gzip_once_when_asked(api: Api) -> None:
    for number in range(10):
        api.add(f"job {number}")

    packed, plain = api.get("/jobs/list", accept_encoding="gzip, br"), api.get("/jobs/list")

    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Length"] == str(len(packed.body))
    assert len(packed.body) < len(plain.body) / 3
    assert packed.json == plain.json
    assert "Content-Encoding" not in api.get("/health", accept_encoding="gzip").headers
    assert "Content-Encoding" not in plain.headers


def test_headers_of_the_gate_are_on_every_answer(api: Api) -> None:
    api.gate.extra = [("Access-Control-Allow-Origin", "https://a.example"), ("Vary", "Origin")]

    for reply in (api.get("/jobs/list"), api.get("/nope"), api.call("OPTIONS", "/jobs/list")):
        assert reply.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_a_bug_is_a_500_that_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("canary-71f0")

    monkeypatch.setattr(type(api.site.service.system), "figures", broken)
    reply = api.get("/jobs/jobState")

    assert (reply.status, reply.json) == (500, {"code": 500, "msg": "服务器内部错误", "data": None})


def test_a_gate_with_a_bug_lets_nobody_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("canary-71f0")

    monkeypatch.setattr(api.gate, "admit", broken)
    for path in ("/jobs/list", "/nope"):
        reply = api.get(path)
        assert (reply.status, reply.json["code"]) == (500, 500)
        assert b"canary" not in reply.body


def test_a_body_over_a_mebibyte_is_refused(api: Api) -> None:
    body = json.dumps({**JOB, "desc": "x" * (1 << 20)}).encode()

    reply = api.post("/jobs/add", body=body)

    assert (reply.status, reply.json["code"]) == (413, 413)
    assert api.get("/jobs/list").data == []


def test_the_root_is_the_documentation_for_a_browser(api: Api) -> None:
    assert api.get("/").json == {"code": 200, "msg": "小胡专用定时任务系统", "data": None}
    reply = api.get("/", accept="text/html,application/xhtml+xml")
    assert (reply.status, reply.headers["Location"]) == (302, "/docs")
    assert api.get("/api", accept="text/html").headers["Location"] == "/api/docs"
