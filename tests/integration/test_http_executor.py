"""One HTTP request a run (design: commands.md, http): what is sent, what is judged, what is recorded."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Handler, Http, wait_for


def sent(output: str) -> dict[str, Any]:
    """What /echo says that it got."""
    body: dict[str, Any] = json.loads(output.rpartition("\n\n")[2])
    return body


def answer(*pieces: bytes) -> Handler:
    """Read a request's head, send some bytes, and close."""

    def handler(connection: socket.socket) -> None:
        read_head(connection)
        for piece in pieces:
            connection.sendall(piece)

    return handler


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


class TestRequest:
    def test_it_is_a_get_by_default(self, http: Http, target: str) -> None:
        ran = http.run(f"{target}/echo?a=1")
        assert ran.outcome.success
        assert ran.outcome.exit_code is None
        got = sent(ran.output)
        assert (got["method"], got["path"], got["body"]) == ("GET", "/echo?a=1", "")
        assert got["headers"]["user-agent"].startswith("pyjobs/")

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"])
    def test_every_method_takes_data(self, http: Http, target: str, method: str) -> None:
        got = sent(http.run(f"{target}/echo", mode=method, data="zzz 中").output)
        assert (got["method"], got["body"]) == (method, "zzz 中")

    def test_headers_and_cookies_are_sent(self, http: Http, target: str) -> None:
        headers = (("X-A", "b:c"), ("X-B", "1"), ("x-b", "2"), ("Cookie", "a=1"))
        got = sent(http.run(f"{target}/echo", headers=headers, cookies="sid=1;\nu=2").output)["headers"]
        assert (got["x-a"], got["x-b"], got["cookie"]) == ("b:c", "2", "a=1; sid=1; u=2")

    def test_json_is_sent_as_json_unless_the_job_says_otherwise(self, http: Http, target: str) -> None:
        data = '{"k": "v 中"}'
        got = sent(http.run(f"{target}/echo", mode="POST", data=data).output)
        assert (got["headers"]["content-type"], got["body"]) == ("application/json", data)
        said = (("content-type", "text/x-mine"),)
        got = sent(http.run(f"{target}/echo", mode="POST", data=data, headers=said).output)
        assert got["headers"]["content-type"] == "text/x-mine"

    def test_headers_beyond_latin1_go_out_as_utf8(self, http: Http, target: str) -> None:
        got = sent(http.run(f"{target}/echo", headers=(("X-A", "中é"),), cookies="n=名").output)["headers"]
        assert got["x-a"].encode("latin-1").decode() == "中é"
        assert got["cookie"].encode("latin-1").decode() == "n=名"

    def test_a_job_cannot_frame_its_body_wrongly(self, http: Http, target: str) -> None:
        headers = (("Content-Length", "99999"), ("Transfer-Encoding", "chunked"))
        got = sent(http.run(f"{target}/echo", mode="POST", data="abc", headers=headers).output)
        assert (got["body"], got["headers"]["content-length"]) == ("abc", "3")
        assert "transfer-encoding" not in got["headers"]

    def test_raw_characters_in_an_address_are_escaped(self, http: Http, target: str) -> None:
        got = sent(http.run(f"{target}/echo/中?q=a b").output)
        assert got["path"] == "/echo/%E4%B8%AD?q=a%20b"

    def test_user_and_password_of_the_address_are_used_but_not_shown(self, http: Http, target: str) -> None:
        ran = http.run(target.replace("//", "//me:pässwört@") + "/echo")
        assert sent(ran.output)["headers"]["authorization"] == "Basic bWU6cMOkc3N3w7ZydA=="
        assert "pässwört" not in ran.output
        assert "//me:***@127.0.0.1" in ran.output

    def test_netrc_does_not_replace_what_the_job_says(
        self, http: Http, target: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        got = sent(http.run(f"{target}/echo", headers=(("Authorization", "Bearer mine"),)).output)
        assert got["headers"]["authorization"] == "Bearer mine"


class TestVerdict:
    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_2xx_is_success(self, http: Http, target: str, status: int) -> None:
        ran = http.run(f"{target}/status/{status}")
        assert ran.outcome.success
        assert f"HTTP {status}" in ran.output

    @pytest.mark.parametrize("status", [300, 302, 304, 400, 404, 500, 503])
    def test_any_other_status_is_a_failure_that_says_so(self, http: Http, target: str, status: int) -> None:
        ran = http.run(f"{target}/status/{status}")
        assert ran.error == f"HTTP status {status}"
        assert f"HTTP {status}" in ran.output

    def test_result_decides_whatever_the_status(self, http: Http, target: str) -> None:
        assert http.run(f"{target}/status/500", result="status 5").outcome.success
        ran = http.run(f"{target}/json", result="FAIL")
        assert ran.error == "`FAIL` is not in the answer"
        assert "success" in ran.output

    def test_result_is_searched_in_the_charset_of_the_answer(self, http: Http, target: str) -> None:
        ran = http.run(f"{target}/gbk", result="中文")
        assert ran.outcome.success
        assert ran.output.endswith("\n\n中文")

    @pytest.mark.parametrize("size", [3_000_000, 65536 - 4, 131072 - 1])
    def test_result_is_searched_in_the_whole_body(self, http: Http, target: str, size: int) -> None:
        ran = http.run(f"{target}/big?n={size}&end=NEEDLE-7", result="NEEDLE-7")
        assert ran.outcome.success

    def test_a_body_is_unpacked(self, http: Http, serve: Callable[[Handler], int]) -> None:
        data = gzip.compress("packed 中".encode())
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
        ran = http.run(f"http://127.0.0.1:{serve(answer(head, data))}/", result="packed 中")
        assert ran.outcome.success
        assert ran.output.endswith("packed 中")

    def test_a_body_that_cannot_be_unpacked_is_a_failure(self, http: Http, serve: Callable[[Handler], int]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"
        ran = http.run(f"http://127.0.0.1:{serve(answer(head))}/")
        assert ran.error == "the body cannot be decoded as gzip"


class TestRedirects:
    def test_they_are_followed_and_told(self, http: Http, target: str) -> None:
        ran = http.run(f"{target}/redirect?n=10", result="ok")
        assert ran.outcome.success
        assert ran.output.count("HTTP 302") == 10
        assert f"GET {target}/ok\n\nHTTP 200 OK" in ran.output

    @pytest.mark.parametrize("path", ["/redirect?n=11", "/loop"])
    def test_more_than_ten_are_a_failure(self, http: Http, target: str, path: str) -> None:
        assert http.run(target + path).error == "too many redirects (10)"

    @pytest.mark.parametrize(("status", "method"), [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
    def test_a_post_becomes_a_get_where_browsers_do_so(
        self, http: Http, target: str, serve: Callable[[Handler], int], status: int, method: str
    ) -> None:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {target}/echo\r\nContent-Length: 0\r\n\r\n".encode()
        got = sent(http.run(f"http://127.0.0.1:{serve(answer(head))}/", mode="POST", data="a=1").output)
        assert (got["method"], got["body"]) == (method, "a=1" if method == "POST" else "")

    def test_what_is_for_one_host_is_not_shown_to_another(
        self, http: Http, target: str, serve: Callable[[Handler], int]
    ) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {target}/echo\r\nContent-Length: 0\r\n\r\n".encode()
        headers = (("Authorization", "Bearer x"), ("Host", "first.example"), ("X-A", "1"))
        ran = http.run(f"http://127.0.0.1:{serve(answer(head))}/", headers=headers, cookies="sid=1")
        got = sent(ran.output)["headers"]
        assert "authorization" not in got
        assert "cookie" not in got
        assert (got["host"], got["x-a"]) == (target.removeprefix("http://"), "1")

    def test_cookies_stay_with_their_host_and_join_those_it_sets(
        self, http: Http, serve: Callable[[Handler], int]
    ) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            asked.append(read_head(connection))
            if len(asked) == 1:
                connection.sendall(b"HTTP/1.1 302 Found\r\nSet-Cookie: b=2\r\nLocation: /next\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        assert http.run(f"http://127.0.0.1:{serve(handler)}/", cookies="a=1").outcome.success
        assert b"Cookie: a=1; b=2\r\n" in asked[1]

    def test_the_body_of_a_redirect_is_not_read(self, http: Http, target: str, serve: Callable[[Handler], int]) -> None:
        def handler(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {target}/ok\r\n\r\n".encode())
            while True:
                connection.sendall(b"x" * 65536)

        assert http.run(f"http://127.0.0.1:{serve(handler)}/").outcome.success

    @pytest.mark.parametrize(
        ("location", "error"),
        [
            ("file:///etc/passwd", "a redirect to `file:` is not followed"),
            ("ftp://127.0.0.1/", "a redirect to `ftp:` is not followed"),
            ("http://[::1/", "the address cannot be used"),
            ("http://127.0.0.1:99999/", "the address cannot be used"),
        ],
    )
    def test_nowhere_but_to_http(self, http: Http, serve: Callable[[Handler], int], location: str, error: str) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        assert http.run(f"http://127.0.0.1:{serve(answer(head))}/").error == error


class TestOutput:
    def test_it_holds_request_status_headers_and_body(self, http: Http, target: str) -> None:
        ran = http.run(f"{target}/ok", mode="POST", data="a=1", headers=(("X-A", "1"),))
        request, response, body = ran.output.split("\n\n")
        assert request == f"POST {target}/ok\nX-A: 1\nContent-Type: application/x-www-form-urlencoded"
        assert response.startswith("HTTP 200 OK\n")
        assert "\nContent-Length: 2" in response
        assert body == "ok"

    def test_secrets_in_headers_and_cookies_are_masked(self, http: Http, serve: Callable[[Handler], int]) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=canary-1\r\nSet-Cookie: t=canary-2\r\nX-Auth-Token: canary-3\r\n"
            b"Location: http://u:canary-4@h/\r\nContent-Length: 0\r\n\r\n"
        )
        headers = (("Authorization", "Bearer canary-5"), ("X-Api-Key", "canary-6"), ("X-Plain", "shown"))
        ran = http.run(
            f"http://u:canary-7@127.0.0.1:{serve(answer(head))}/?token=canary-8", headers=headers, cookies="s=canary-9"
        )
        assert ran.outcome.success
        assert "canary" not in ran.output
        for line in ("Set-Cookie: ***", "Authorization: ***", "X-Api-Key: ***", "Cookie: ***", "X-Plain: shown"):
            assert line in ran.output

    def test_the_body_is_recorded_up_to_the_limit(self, make_http: Callable[..., Http], target: str) -> None:
        http = make_http(http_response_max_bytes=100)
        ran = http.run(f"{target}/big?n=5000")
        assert ran.outcome.success
        assert ran.output.endswith("\n\n" + "x" * 100 + "\n… 4900 bytes left out …\n")

    def test_what_cannot_be_written_does_not_change_the_verdict(self, http: Http, target: str) -> None:
        http.spool.out("run0").mkdir()
        assert http.run(f"{target}/ok").outcome.success

    def test_it_is_recorded_as_it_comes(self, http: Http, serve: Callable[[Handler], int]) -> None:
        def handler(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            connection.recv(1)

        attempt = http.start(f"http://127.0.0.1:{serve(handler)}/")
        wait_for(lambda: "first" in http.output(attempt), "the first piece is recorded")
        assert attempt.outcome() is None


class TestExecutor:
    def test_its_library_comes_with_the_first_request_only(self) -> None:
        code = "import sys, pyjobs.executors.http; print('requests' in sys.modules, 'urllib3' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False False\n"

    def test_a_request_is_no_process_and_is_not_adopted(self, http: Http, target: str) -> None:
        attempt = http.start(f"{target}/ok")
        assert (attempt.pid, attempt.pid_start, http.executor.mode) == (None, None, "http")
        assert http.executor.adopt(None) is None  # type: ignore[arg-type]
        http.finish(attempt)

    def test_many_at_once_end_each_with_its_own_answer(self, http: Http, target: str) -> None:
        attempts = [http.start(f"{target}/slow?s=0.3", result="slow") for _ in range(20)]
        assert all(attempt.outcome() is None for attempt in attempts)
        ran = [http.finish(attempt) for attempt in attempts]
        assert all(one.outcome.success for one in ran)
