"""The gate from outside: a served API, and clients that write their requests byte by byte."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

from pyjobs.api.app import served_at
from pyjobs.api.table import ROUTES

PROJECT = Path(__file__).parents[2]
ADD = b'{"name":"from elsewhere","cron_expr":"0 0 0 1 1 *","mode":"func","command":"\xe3\x80\x90name\xe3\x80\x91Echo"}'


def environment(home: Path, **settings: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYJOBS_", "LC_"))}
    return clean | {"PYJOBS_HOME": str(home), "PYTHONPATH": str(PROJECT / "src"), "LANG": "C.UTF-8", **settings}


def pyjobs(home: Path, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pyjobs", *args], env=environment(home, **settings), capture_output=True, text=True,
        check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@dataclass(frozen=True)
class Served:
    """A served API."""

    home: Path
    port: int

    def send(self, raw: bytes) -> tuple[int, Any]:
        """Send these bytes; answers status and document, (0, None) where the server just hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(raw)
            answer = HTTPResponse(connection)
            try:
                answer.begin()
            except (OSError, HTTPException):
                return 0, None
            body = answer.read()
            kind = answer.getheader("Content-Type") or ""
            assert "html" not in kind
            return answer.status, json.loads(body) if "json" in kind and body else None

    def ask(self, method: str = "GET", path: str = "/jobs/list", *headers: str, body: bytes = b"") -> int:
        """The status of a request with these header lines; a Host is added where none is among them."""
        lines = list(headers)
        if not any(line.lower().startswith("host:") for line in lines):
            lines.append(f"Host: 127.0.0.1:{self.port}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""])
        return self.send(head.encode() + body)[0]

    def jobs(self) -> list[Any]:
        """What is stored, as the command line sees it."""
        found: list[Any] = json.loads(pyjobs(self.home, "job", "list", "--json").stdout)["jobs"]
        return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serve an API of its own, with settings as keywords."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> Served:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = int(free.getsockname()[1])
        environ = environment(tmp_path, PORT=str(port), **settings)
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-m", "pyjobs", "api", "serve"], env=environ, stdin=quiet, stdout=quiet, stderr=quiet
        )
        started.append(process)

        def answers() -> bool:
            assert process.poll() is None, f"it ended with {process.returncode}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_for(answers, "it listens")
        return Served(tmp_path, port)

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


class TestHost:
    def test_a_name_that_is_not_ours_is_misdirected_before_any_handler(self, serve: Callable[..., Served]) -> None:
        api = serve()
        for host in ("evil.example", "127.0.0.1.nip.io", f"127.0.0.1.nip.io:{api.port}", "localhost.evil.example"):
            assert api.ask("POST", "/jobs/add", f"Host: {host}", body=ADD) == 421
        assert api.ask("POST", "/jobs/add", "Host: localhost", "Host: evil.example", body=ADD) in (400, 421)
        assert api.ask("POST", "/jobs/add", "Host: evil.example", "Host: localhost", body=ADD) in (400, 421)
        assert api.ask("POST", "/jobs/add", "Host:", body=ADD) in (400, 421)
        for version in ("1.1", "1.0"):
            request = f"POST /jobs/add HTTP/{version}\r\nContent-Length: {len(ADD)}\r\nConnection: close\r\n\r\n"
            assert api.send(request.encode() + ADD)[0] in (400, 421)
        assert api.ask("POST", "http://evil.example/jobs/add", body=ADD) == 421
        assert api.ask("GET", "/jobs/list", "Host: localhost") == 200
        assert api.jobs() == []


class TestPages:
    def test_a_page_elsewhere_changes_nothing(self, serve: Callable[..., Served]) -> None:
        api = serve()
        form = b"name=x&cron_expr=0+0+0+1+1+*&mode=func&command=Echo"
        for headers, body in (
            (("Origin: https://evil.example", "Content-Type: application/x-www-form-urlencoded"), form),
            (("Origin: null", "Content-Type: application/x-www-form-urlencoded"), form),
            (("Origin: https://evil.example", "Content-Type: text/plain"), ADD),
            (("Sec-Fetch-Site: cross-site", "Content-Type: text/plain"), ADD),
            ((f"Origin: http://localhost:{api.port}", "Content-Type: text/plain"), ADD),
        ):
            assert api.ask("POST", "/jobs/add", *headers, body=body) == 403
        assert api.ask("GET", "/jobs/list", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image") == 403
        assert api.ask("GET", f"/jobs/add?{form.decode()}") == 404
        assert api.jobs() == []


class TestPeer:
    def test_a_header_makes_nobody_somebody_else(self, serve: Callable[..., Served]) -> None:
        api = serve(IP_WHITELIST="10.0.0.0/8")
        for header in ("X-Forwarded-For: 10.0.0.1", "x_forwarded_for: 10.0.0.1", "X-Real-IP: 10.0.0.1",
                       "Forwarded: for=10.0.0.1", "Remote-Addr: 10.0.0.1", "REMOTE_ADDR: 10.0.0.1"):  # fmt: skip
            for path in ("/jobs/list", "/docs", "/health", "/openapi.json", "/nope", "/"):
                assert api.ask("GET", path, header) == 403

    def test_a_trusted_proxy_says_who_it_is(self, serve: Callable[..., Served]) -> None:
        api = serve(IP_WHITELIST="10.0.0.0/8", TRUSTED_PROXIES="127.0.0.1,192.0.2.0/24")
        assert api.ask() == 403
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 10.0.0.1") == 200
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 10.0.0.1, 11.0.0.1") == 403
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 11.0.0.1") == 403
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 11.0.0.1", "X-Forwarded-For: 10.0.0.1, 192.0.2.9") == 200
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 10.0.0.1, what") == 400
        assert api.ask("GET", "/jobs/list", "X-Forwarded-For: 11.0.0.1", "x_forwarded_for: 10.0.0.1") == 403


class TestTokens:
    def test_no_route_and_no_spelling_of_it_answers_without_one(self, serve: Callable[..., Served]) -> None:
        api = serve(API_TOKEN="the token")
        for route in ROUTES:
            for _, path in served_at(route):
                if route.scope != "free":
                    assert api.ask(route.method, path) == 401
        for spelling in (
            "/JOBS/add", "//jobs/add", "/jobs//add", "/./jobs/add", "/jobs/x/../add", "/jobs%2fadd", "/jobs/add%00",
            "/jobs/add;x", "/jobs/%61dd", "/jobs/add%20", "/jobs/add%0a", "/jobs%5cadd", "/jobs/add%ff", "/jobs/add/",
            "/api/api/jobs/add", "/health/../jobs/add", "/jobs/add?x=1", "/jobs/add%3f",
        ):  # fmt: skip
            for override in ((), ("X-HTTP-Method-Override: POST",)):
                for method in ("POST", "GET"):
                    assert api.ask(method, spelling, *override, body=ADD) in (400, 401, 404), spelling
        assert api.jobs() == []
        assert api.ask("GET", "/jobs/list", "Authorization: Bearer the token") == 200
        assert api.ask("GET", "/health") == 200


class TestStored:
    def test_what_the_command_line_changes_holds_within_a_second(self, serve: Callable[..., Served]) -> None:
        api = serve()

        def becomes(status: int, *headers: str) -> None:
            begun = time.monotonic()
            wait_for(lambda: api.ask("GET", "/jobs/list", *headers) == status, f"it answers {status}", 5)
            assert time.monotonic() - begun < 1

        assert api.ask() == 200
        assert pyjobs(api.home, "ip", "deny", "add", "127.0.0.1", "--force").returncode == 0
        becomes(403)
        assert pyjobs(api.home, "ip", "deny", "remove", "127.0.0.1").returncode == 0
        becomes(200)
        text = pyjobs(api.home, "api", "token", "add", "ci").stdout.strip()
        becomes(401)
        assert api.ask("GET", "/jobs/list", f"Authorization: Bearer {text}") == 200
        assert api.ask("POST", "/jobs/add", f"Authorization: Bearer {text}", body=ADD) == 403
        assert pyjobs(api.home, "api", "token", "add", "other").returncode == 0
        assert pyjobs(api.home, "api", "token", "revoke", "ci").returncode == 0
        becomes(401, f"Authorization: Bearer {text}")
        assert api.jobs() == []

    @pytest.mark.parametrize("setting", ["IP_WHITELIST", "IP_BLACKLIST", "TRUSTED_PROXIES"])
    def test_a_list_that_is_none_refuses_to_start(self, tmp_path: Path, setting: str) -> None:
        done = pyjobs(tmp_path, "api", "serve", **{setting: "127.0.0.1,300.1.1.1"})
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {setting}: `300.1.1.1` is not a network")
