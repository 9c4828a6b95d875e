"""HTTP runs against peers that are slow, silent, broken or endless (design: commands.md, faults.md)."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Handler, Http, free_port, wait_for
from .test_http_executor import answer, read_head

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


def silent(connection: socket.socket) -> None:
    """Take a request and never answer, until the other side goes."""
    while connection.recv(65536):
        pass


def drip(first: bytes) -> Handler:
    """Send some bytes at once, then one more ten times a second, for as long as somebody reads."""

    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(first)
        connection.settimeout(0.1)
        while True:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    return

    return handler


def thread_of(exec_id: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"http {exec_id}"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestTimeout:
    @pytest.mark.parametrize(
        ("handler", "error"),
        [
            (silent, "no answer within 1 s"),
            (drip(b""), "no answer within 1 s"),
            (drip(b"HTTP/1.1 200 OK\r\nX-A: "), "no answer within 1 s"),
            (drip(HEAD), "no whole answer within 1 s"),
            (drip(b"HTTP/1.1 200 OK\r\n\r\n"), "no whole answer within 1 s"),
        ],
        ids=["silent", "drips its status", "drips its headers", "drips its body", "drips for ever"],
    )
    def test_it_is_for_the_whole_attempt(
        self, http: Http, serve: Callable[[Handler], int], handler: Handler, error: str
    ) -> None:
        ran = http.run(f"http://127.0.0.1:{serve(handler)}/", timeout_s=1)
        assert ran.error == error
        assert ran.seconds < 2
        wait_for(lambda: not thread_of("run0"), "its thread ends")

    def test_it_holds_in_a_tls_handshake(self, http: Http, serve: Callable[[Handler], int]) -> None:
        ran = http.run(f"https://127.0.0.1:{serve(silent)}/", timeout_s=1)
        assert ran.error == "no answer within 1 s"
        assert ran.seconds < 2

    def test_it_holds_while_connecting(self, http: Http) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
            for _ in range(4):  # the queue of a server that never accepts
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            ran = http.run(f"http://127.0.0.1:{full.getsockname()[1]}/", timeout_s=1)
        assert ran.error == "no answer within 1 s"
        assert ran.seconds < 2

    def test_it_holds_while_a_name_is_resolved(self, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
        # A resolver that hangs cannot be had without changing the machine.
        release = threading.Event()
        real = socket.getaddrinfo

        def hanging(host: object, *args: object, **kwargs: object) -> object:
            if host == "slow.example":
                flags = kwargs.get("flags")
                if flags != socket.AI_NUMERICHOST:
                    release.wait(20)
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return real(host, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", hanging)
        ran = http.run("http://slow.example/", timeout_s=1)
        assert ran.error == "no answer within 1 s"
        assert ran.seconds < 2
        before = ran.output
        release.set()
        wait_for(lambda: not thread_of("run0"), "the thread that was left behind ends")
        assert http.output(http.started[0]) == before

    def test_zero_is_no_limit(self, http: Http, target: str) -> None:
        assert http.run(f"{target}/slow?s=1.2", timeout_s=0).outcome.success

    def test_what_came_until_then_is_recorded(self, http: Http, serve: Callable[[Handler], int]) -> None:
        ran = http.run(f"http://127.0.0.1:{serve(drip(HEAD + b'y' * 70000))}/", timeout_s=1)
        assert "HTTP 200 OK" in ran.output
        assert "yyyy" in ran.output

    def test_time_outs_of_many_are_kept_apart(self, http: Http, serve: Callable[[Handler], int]) -> None:
        url = f"http://127.0.0.1:{serve(silent)}/"
        begun = time.monotonic()
        attempts = [http.start(url, timeout_s=seconds) for seconds in (1.5, 0.5, 1)]
        ended = [(http.finish(attempts[i]).error, time.monotonic() - begun) for i in (1, 2, 0)]
        assert [error for error, _ in ended] == [f"no answer within {s} s" for s in (0.5, 1, 1.5)]
        assert [round(at, 0) for _, at in ended] == [round(s + 0.02, 0) for s in (0.5, 1, 1.5)]


class TestStop:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_it_ends_at_once_even_where_the_peer_is_silent(
        self, http: Http, serve: Callable[[Handler], int], scheme: str
    ) -> None:
        reached = threading.Event()

        def handler(connection: socket.socket) -> None:
            reached.set()
            silent(connection)

        attempt = http.start(f"{scheme}://127.0.0.1:{serve(handler)}/", timeout_s=0)
        assert reached.wait(10)
        assert attempt.outcome() is None
        assert not attempt.gone()
        attempt.stop(force=False)
        ran = http.finish(attempt, 1)
        assert ran.error == "stopped before the answer was whole"
        wait_for(lambda: not thread_of("run0"), "its thread ends", 2)

    def test_it_ends_in_the_middle_of_a_body(self, http: Http, serve: Callable[[Handler], int]) -> None:
        attempt = http.start(f"http://127.0.0.1:{serve(drip(HEAD))}/")
        wait_for(lambda: "HTTP 200" in http.output(attempt), "the answer begins")
        attempt.stop(force=True)
        assert not http.finish(attempt, 1).outcome.success
        wait_for(lambda: not thread_of("run0"), "its thread ends", 2)

    def test_after_the_end_it_changes_nothing(self, http: Http, target: str) -> None:
        attempt = http.start(f"{target}/ok")
        http.finish(attempt)
        attempt.stop(force=True)
        assert attempt.outcome() == http.finish(attempt).outcome
        assert http.finish(attempt).outcome.success

    def test_closing_one_that_runs_stops_it(self, http: Http, serve: Callable[[Handler], int]) -> None:
        attempt = http.start(f"http://127.0.0.1:{serve(silent)}/")
        attempt.close()
        assert attempt.gone()
        assert attempt.fileno() == -1
        wait_for(lambda: not thread_of("run0"), "its thread ends", 2)


class TestBrokenConnection:
    def test_a_refused_one_is_told_with_its_address(self, http: Http) -> None:
        port = free_port()
        ran = http.run(f"http://127.0.0.1:{port}/")
        assert ran.error == f"connection refused by 127.0.0.1:{port}"
        assert ran.output == f"GET http://127.0.0.1:{port}/\n\n"

    def test_a_name_that_nobody_knows_is_told(self, http: Http) -> None:
        assert http.run("http://no-such-host.invalid/").error.startswith(
            "no address is known for `no-such-host.invalid`: "
        )

    def test_one_closed_without_an_answer_is_told(self, http: Http, target: str) -> None:
        assert http.run(f"{target}/drop").error == "the connection closed without an answer"

    @pytest.mark.parametrize(
        "data",
        [
            HEAD + b"only this",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
        ids=["short of its length", "no last chunk", "half a chunk", "no chunk"],
    )
    def test_a_body_that_ends_early_is_a_failure(
        self, http: Http, serve: Callable[[Handler], int], data: bytes
    ) -> None:
        ran = http.run(f"http://127.0.0.1:{serve(answer(data))}/", result="abc")
        assert ran.error == "the connection broke before the answer was whole"

    @pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 100_000])
    def test_what_is_not_http_is_told(self, http: Http, serve: Callable[[Handler], int], data: bytes) -> None:
        assert http.run(f"http://127.0.0.1:{serve(answer(data))}/").error == "the answer is not HTTP"


class TestMemory:
    def test_a_huge_body_is_searched_without_being_kept(self, http: Http, serve: Callable[[Handler], int]) -> None:
        piece = b"x" * 65536

        def handler(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(1024):
                connection.sendall(piece)
            connection.sendall(b"NEEDLE")

        port = serve(handler)
        http.run(f"http://127.0.0.1:{port}/", result="NEEDLE")  # what is loaded once is no growth
        tracemalloc.start()
        try:
            ran = http.run(f"http://127.0.0.1:{port}/", result="NEEDLE")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert ran.outcome.success
        assert ran.output.endswith("\n\n" + "x" * 65536 + f"\n… {1024 * 65536 + 6 - 65536} bytes left out …\n")
        assert peak < 2 << 20

    def test_a_packed_one_neither(self, http: Http, serve: Callable[[Handler], int]) -> None:
        data = gzip.compress(b"x" * (64 << 20), 9)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
        port = serve(answer(head, data))
        http.run(f"http://127.0.0.1:{port}/")
        tracemalloc.start()
        try:
            ran = http.run(f"http://127.0.0.1:{port}/")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert ran.outcome.success
        assert peak < 20 << 20

    def test_descriptors_and_threads_are_given_back(
        self, http: Http, target: str, serve: Callable[[Handler], int]
    ) -> None:
        urls = [f"{target}/ok", f"{target}/loop", f"http://127.0.0.1:{free_port()}/", f"{target}/drop"]
        hanging = f"http://127.0.0.1:{serve(silent)}/"
        http.run(urls[0])
        before = descriptors()
        for url in itertools.islice(itertools.cycle(urls), 40):
            http.run(url)
        for _ in range(10):
            attempt = http.start(hanging)
            attempt.stop(force=True)
            attempt.close()
        # The servers of this very process hold some as well, until they notice.
        wait_for(lambda: descriptors() <= before + 2 + 10, "descriptors are given back")
        wait_for(lambda: not any(thread_of(f"run{i}") for i in range(60)), "threads end")
