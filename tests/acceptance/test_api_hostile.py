"""Requests that mean harm, by real sockets: each gets a clear answer in JSON, and nothing is stored or shown."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from pyjobs.api.app import served_at
from pyjobs.api.table import ROUTES

from .conftest import Home
from .rest import Rest, rest_of
from .sockets import ask, connected, post

JOB = {"name": "x", "mode": "command", "command": "true", "cron_expr": "0 0 * * *"}
PLACES = [(route, path) for route in ROUTES for _, path in served_at(route)]


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    yield rest_of(home)
    home.pyjobs("daemon", "stop")


def statuses(base: str, *headers: str) -> dict[tuple[str, str], tuple[int, Any]]:
    """What each place of the live route table answers: all asked for over one connection."""
    found: dict[tuple[str, str], tuple[int, Any]] = {}
    with connected(base) as [client]:
        for route, path in PLACES:
            head = "\r\n".join([f"{route.method} {path} HTTP/1.1", "Host: localhost", "Content-Length: 0", *headers])
            client.send(f"{head}\r\n\r\n".encode())
            status, about, body = client.answer()
            document = json.loads(body) if body and "json" in about["content-type"] else None
            found[route.method, path] = status, document
    return found


def test_no_route_answers_somebody_without_the_right_token(home: Home) -> None:
    revoked = home.pyjobs("api", "token", "add", "old").strip()
    home.pyjobs("api", "token", "add", "present", "--scope", "read")
    home.pyjobs("api", "token", "revoke", "old")
    base = rest_of(home).base
    guarded = {(route.method, path) for route, path in PLACES if route.scope != "free"}
    for headers in ((), ("Authorization: Bearer wrong",), (f"Authorization: Bearer {revoked}",)):
        found = statuses(base, *headers)
        assert {place for place, (status, _) in found.items() if status == 401} >= guarded
        for place in guarded:
            assert (found[place][1]["code"], found[place][1]["data"]) == (401, None)
    assert home.rows("SELECT count(*) FROM jobs") == [(0,)]
    home.pyjobs("daemon", "stop")


def test_no_route_answers_a_denied_address(home: Home) -> None:
    base = rest_of(home, IP_BLACKLIST="127.0.0.0/8").base
    for forged in ((), ("X-Forwarded-For: ::1", "Forwarded: for=[::1]", "X-Real-IP: ::1")):
        found = statuses(base, *forged)
        assert {(status, document["code"]) for status, document in found.values()} == {(403, 403)}
    with connected(base) as [client]:
        client.send(post("/jobs/add", b"{", stated=1000))
        assert client.document()[0] == 403, "and its body is not waited for"
    home.pyjobs("daemon", "stop")


class Api(Rest):
    """An API that one process answers."""

    def __init__(self, base: str, process: psutil.Process) -> None:
        super().__init__(base)
        self.process = process


BOMB = gzip.compress(b'{"name":"' + b"x" * (64 << 20) + b'"}', mtime=0)
MULTIPART = "Content-Type: multipart/form-data; boundary=x"
GZIP = ("Content-Type: application/json", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BOMB, GZIP),
        (gzip.compress(json.dumps(JOB).encode(), mtime=0), GZIP),
        (b"[" * 100_000, ()),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ()),
        (json.dumps({**JOB, "timeout": float("nan")}).encode(), ()),
        (json.dumps({**JOB, "timeout": float("inf")}).encode(), ()),
        (json.dumps({**JOB, "max_run_count": 10**400}).encode(), ()),
        (json.dumps(JOB).encode().replace(b'"x"', b'"\xff\xfe"'), ()),
        (json.dumps({**JOB, "name": "\ud800"}).encode(), ()),
        (json.dumps({**JOB, "command": "echo \udfff"}).encode(), ()),
        (json.dumps({**JOB, "desc": "a\x1b]52;c;eA==\x07"}).encode(), ()),
        *((json.dumps({**JOB, "name": f"a{char}b"}).encode(), ()) for char in "\n\0\x1b\x9b\u202e\u2028\ufeff"),
        (b"name=%ff%fe&mode=command&command=true&cron_expr=0+0+*+*+*", ()),
        (b"name=" + b"x" * 100_000 + b"&mode=command&command=true&cron_expr=0+0+*+*+*", ()),
        (b"&".join(b"a%d=1" % number for number in range(100_000)), ()),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nx', (MULTIPART,)),
        (json.dumps({**JOB, "mode": "http", "command": "file:///etc/passwd"}).encode(), ()),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_costs_nothing(api: Api, body: bytes, headers: tuple[str, ...]) -> None:
    before = api.process.memory_info().rss
    with connected(api.base) as [client]:
        client.send(post("/jobs/add", body, *headers))
        status, document = client.document()
    assert (status, document["code"], document["data"]) in ((200, 404, None), (413, 413, None), (400, 400, None))
    assert "Traceback" not in document["msg"]
    assert api.process.memory_info().rss - before < 5 << 20
    assert api.data("GET", "/jobs/list") == []


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for all that is refused anyway."""
    home = Home(tmp_path_factory.mktemp("hostile") / "home")
    try:
        found = rest_of(home)
        for _ in range(50):  # what it loads at first use is there
            ask(found.base, post("/jobs/add", json.dumps({**JOB, "mode": "none"}).encode()))
        process = psutil.Process(home.status()["api"]["pids"][0])
        yield Api(found.base, process)
        home.pyjobs("daemon", "stop")
    finally:
        home.end()


def test_a_name_that_is_not_registered_is_no_function(home: Home, rest: Rest) -> None:
    for name in ("os.system", "builtins.exec", "__import__", "Echo.__init__"):
        fields = {**JOB, "name": name, "mode": "func", "command": f"【name】{name}\n【arg】id"}
        job = rest.data("POST", "/jobs/add", json=fields)
        run = rest.data("POST", "/jobs/run", json={"id": job["id"]})
        assert f"there is no function `{name}`" in home.wait_for_state(run["exec_id"], "failed")["error"]


@pytest.mark.parametrize(
    "text",
    ["' OR '1'='1", "'; DROP TABLE jobs; --", '" OR 1=1 --', "%", "_", "\\", "../../etc/passwd", "\0", "%00", "${x}"],
)  # fmt: skip
def test_a_filter_is_text(api: Api, text: str) -> None:
    for method, path, name in (
        ("GET", "/jobs/list", "name"), ("GET", "/jobs/list", "sort"), ("GET", "/jobs/list", "mode"),
        ("GET", "/jobs/read", "id"), ("GET", "/jobs/execs", "exec_id"), ("POST", "/jobs/logs", "date"),
        ("POST", "/jobs/logs", "status"), ("POST", "/jobs/logs", "order"), ("GET", "/jobs/zapLogs", "date"),
        ("GET", "/jobs/zapLogs", "level"), ("GET", "/jobs/zapLogs", "keyword"), ("POST", "/jobs/logs/clear", "date"),
    ):  # fmt: skip
        more = {"id": "1"} if path in ("/jobs/execs", "/jobs/logs", "/jobs/logs/clear") else {}
        status, found = api.call(method, path, query={**more, "type": "job", name: text})
        assert status == 200, (path, name)
        assert found["code"] in (200, 404)
        assert not found["data"] or path in ("/jobs/zapLogs", "/jobs/logs/clear")
        assert "root:" not in json.dumps(found)
    assert api.call("POST", "/jobs/logs/clear", query={"type": "zap", "date": text})[1]["code"] == 404
    assert api.data("GET", "/jobs/list") == []


def test_a_request_that_is_no_http_ends_with_400_and_no_words(rest: Rest) -> None:
    """Granian's own answer, before anything of ours is asked: it has no body (as its document says)."""
    for raw in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"POST /jobs/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ):
        with connected(rest.base) as [client]:
            client.send(raw)
            status, headers, body = client.answer()
            assert (status, body, "content-type" in headers) == (400, b"", False)
    assert ask(rest.base)[0] == 200


SECRETS = ("SMTP_PASSWORD", "SMS_WEBHOOK", "API_TOKEN", "API_SECRET_KEY")
CANARY = "canary-7d1f0c3a"


def test_secrets_are_nowhere_but_where_they_were_written(home: Home) -> None:
    home.path.mkdir()
    settings = f'[databases]\nshop = "mysql://u:{CANARY}@127.0.0.1:1/x"\n'
    (home.path / "pyjobs.toml").write_text(settings, encoding="utf-8")
    rest = rest_of(home, LOG_LEVEL="DEBUG", **dict.fromkeys(SECRETS, f"https://{CANARY}.example/"))
    token = {"Authorization": f"Bearer https://{CANARY}.example/"}
    commands = {
        "web": ("http", f"【url】http://u:{CANARY}@127.0.0.1:1/\n【headers】X-Key:{CANARY}\n【cookies】a={CANARY}"),
        "proxied": ("http", f"【url】http://example.invalid/\n【proxy】http://u:{CANARY}@127.0.0.1:1"),
        "shop": ("func", "【name】Database\n【arg】shop,query,SELECT 1"),
        "mail": ("func", "【name】Email\n【arg】a@example.invalid,subject,body"),
        "shell": ("command", f"【command】exit 3\n【env】KEY={CANARY}"),
    }
    shown: list[Any] = []
    for name, (mode, command) in commands.items():
        job = {"name": name, "mode": mode, "command": command, "trigger_type": "manual"}
        added = rest.data("POST", "/jobs/add", json=job, headers=token)
        run = rest.data("POST", "/jobs/run", json={"id": added["id"]}, headers=token)
        home.wait_for_state(run["exec_id"], "failed")
        shown.append(rest.call("POST", "/jobs/logs", json={"id": added["id"]}, headers=token))
    for route in ROUTES:
        if route.media == "application/json":
            shown.append(rest.call("GET", route.path, headers=token))
            shown.append(rest.call("GET", route.path, headers={"Authorization": f"Bearer wrong {CANARY}"}))
    shown.append(rest.call("POST", "/admin/login", json={"username": "a", "password": CANARY}))
    (home.path / "pyjobs.toml").write_text(settings + f'smtp_password = ["{CANARY}"]\n', encoding="utf-8")
    shown.append(rest.call("POST", "/jobs/reload-config", headers=token))
    assert shown[-1][1]["code"] == 404

    for answer in shown:
        assert CANARY not in json.dumps(without_commands(answer))
    for process in home.processes():
        assert CANARY not in " ".join(process.cmdline())
    for place in ("logs", "run"):
        for path in (home.path / place).rglob("*"):
            if path.is_file():
                assert CANARY not in path.read_text(encoding="utf-8", errors="replace"), path
    (home.path / "pyjobs.toml").unlink()
    home.pyjobs("daemon", "stop")


def without_commands(value: Any) -> Any:
    """A document without the texts of jobs, which hold what somebody wrote into them."""
    if isinstance(value, dict):
        return {key: without_commands(inner) for key, inner in value.items() if key != "command"}
    return [without_commands(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def test_whatever_the_umask_what_it_makes_is_its_owners(home: Home) -> None:
    before = os.umask(0)
    try:
        home.pyjobs("api", "token", "add", "a")
        home.env |= {"SSL_CERTFILE": "", "PYJOBS_DRAIN": "1"}
        home.pyjobs("job", "add", "a", "--manual", "--command", "echo hi")
        home.start()
        home.wait_for_state(home.detach("a"), "success")
        home.pyjobs("config", "reload")
    finally:
        os.umask(before)
    made = {path: path.lstat().st_mode for path in home.path.rglob("*")}
    assert {stat.S_IFMT(mode) for mode in made.values()} >= {stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK}
    assert {str(path): oct(mode) for path, mode in made.items() if mode & 0o077} == {}
    home.pyjobs("daemon", "stop")
