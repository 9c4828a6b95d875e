"""Clients that are slow, silent or wrong, each by a real socket; the others must not notice."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import trustme

from .conftest import Home, wait_for
from .rest import rest_of
from .sockets import Client, ask, connected, post

ADD = b'{"name":"%s","mode":"command","command":"true","cron_expr":"0 0 * * *"}'
CHUNKED = b"POST /jobs/add HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
#: What others may wait at most while somebody misbehaves; far above what they do wait.
OTHERS_S = 1.0


@pytest.fixture
def base(home: Home) -> Iterator[str]:
    yield rest_of(home, API_HEADER_TIMEOUT="3", API_BODY_TIMEOUT="3").base
    home.pyjobs("daemon", "stop", "--force")


def others_wait_s(base: str) -> float:
    """The slowest of some ordinary requests."""
    asked = [ask(base) for _ in range(20)]
    assert {status for status, _, _ in asked} == {200}
    return max(seconds for _, _, seconds in asked)


def jobs(base: str) -> int:
    status, document, _ = ask(base)
    assert status == 200
    return int(document["total"])


def test_half_open_clients_hold_up_nobody_and_are_let_go(base: str) -> None:
    with connected(base, 200) as clients:
        for number, client in enumerate(clients):
            client.send(b"GET /jobs/list HTTP/1.1\r\nHost: loc"[: number % 30])
        assert others_wait_s(base) < OTHERS_S
        assert clients[-1].closed_after_s() < 10


def test_idle_connections_hold_up_nobody(base: str) -> None:
    with connected(base, 500) as clients:
        for client in clients[:50]:
            client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert {client.document()[0] for client in clients[:50]} == {200}
        assert others_wait_s(base) < OTHERS_S


def test_bodies_of_a_byte_a_second_hold_up_nobody_and_end_in_408(base: str) -> None:
    done = threading.Event()

    def trickle(clients: list[Client]) -> None:
        while not done.wait(1):
            for client in clients:
                try:
                    client.send(b"x")
                except OSError:
                    return

    with connected(base, 200) as clients:
        for client in clients:
            client.send(post("/jobs/add", b"{", stated=1000))
        thread = threading.Thread(target=trickle, args=(clients,))
        thread.start()
        try:
            assert others_wait_s(base) < OTHERS_S
            assert {clients[0].document()[0], clients[-1].document()[0]} == {408}
        finally:
            done.set()
            thread.join()
    assert jobs(base) == 0


def test_a_gibibyte_that_is_announced_is_refused_before_it_comes(base: str, home: Home) -> None:
    before = psutil.Process(home.status()["api"]["pids"][0]).memory_info().rss
    with connected(base) as [client]:
        client.send(post("/jobs/add", b"x" * 1000, stated=1 << 30))
        status, document = client.document()
    assert (status, document["code"], document["data"]) == (413, 413, None)
    after = psutil.Process(home.status()["api"]["pids"][0]).memory_info().rss
    assert after - before < 5 << 20


def test_a_body_without_a_stated_length_is_refused_when_it_grows_too_large(base: str) -> None:
    with connected(base) as [client]:
        client.send(CHUNKED)
        try:
            for _ in range(32):
                client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass  # it did not want to hear more
        assert client.document()[0] in (413, 0)
    assert others_wait_s(base) < OTHERS_S


@pytest.mark.parametrize(
    "raw",
    [
        post("/jobs/add", ADD % b"short", stated=20),
        post("/jobs/add", ADD % b"double", "Content-Length: 3"),
        post("/jobs/add", ADD % b"both", "Transfer-Encoding: chunked"),
        post("/jobs/add", ADD % b"text").replace(b"Content-Length: ", b"Content-Length: x"),
        post("/jobs/add", ADD % b"minus").replace(b"Content-Length: ", b"Content-Length: -"),
    ],
    ids=["too short", "twice", "with chunks", "no number", "negative"],
)
def test_a_wrong_length_adds_nothing(base: str, raw: bytes) -> None:
    with connected(base) as [client]:
        client.send(raw)
        assert client.answer()[0] in (200, 400)
    assert jobs(base) == 0


@pytest.mark.parametrize(
    "raw",
    [
        post("/jobs/add", (ADD % b"cut")[:-1], stated=len(ADD % b"cut")),
        CHUNKED + b"40\r\nname=cut&mode=command&cron_expr=*%20*%20*%20*%20*&command=rm%20-r\r\n",
    ],
    ids=["stated length", "chunks"],
)
def test_a_body_that_breaks_off_adds_nothing(base: str, raw: bytes) -> None:
    with connected(base) as [client]:
        client.send(raw)
    time.sleep(0.1)
    assert jobs(base) == 0


def test_a_whole_body_in_chunks_is_taken(base: str) -> None:
    body = ADD % b"chunks"
    with connected(base) as [client]:
        client.send(CHUNKED)
        client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert client.document()[1]["code"] == 200
    assert jobs(base) == 1


def test_head_has_the_headers_and_no_body_and_the_connection_goes_on(base: str) -> None:
    with connected(base) as [client]:
        client.send(b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, wanted, body = client.answer()
        client.send(b"HEAD /jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = client._until(b"\r\n\r\n")
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.document()[0] == 200
    assert f"content-length: {len(body)}\r\n".encode() in head
    assert wanted["content-type"].encode() in head


@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://evil.example/jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /jobs/list HTTP/1.1\r\nX_Host: localhost\r\nHost: evil.example\r\n\r\n",
    ],
    ids=["in the request line", "twice", "by another name"],
)
def test_another_host_is_misdirected(base: str, raw: bytes) -> None:
    assert ask(base, raw)[0] == 421


def test_raw_text_in_the_request_line_is_read(base: str) -> None:
    assert ask(base, post("/jobs/add", ADD % "中文".encode()))[1]["code"] == 200
    for path in ("/jobs/list?name=中", "/jobs/list?name=%E4%B8%AD", "/api/jobs/list?name=中&x=%"):
        _, document, _ = ask(base, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert [job["name"] for job in document["data"]] == ["中文"], path


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return ca


@pytest.fixture
def https(home: Home, authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    yield rest_of(home, SSL_CERTFILE=str(tmp_path / "cert.pem"), SSL_KEYFILE=str(tmp_path / "key.pem")).base
    home.pyjobs("daemon", "stop", "--force")


def test_tls_clients_that_never_speak_hold_up_nobody(https: str, authority: trustme.CA) -> None:
    import ssl

    assert https.startswith("https://")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    waits = []
    with connected(https, 200):
        for _ in range(10):
            began = time.monotonic()
            client = Client(https)
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            client.send(b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.document()[0] == 200
            client.close()
            waits.append(time.monotonic() - began)
    assert statistics.median(waits) < OTHERS_S


@pytest.mark.parametrize(
    ("certificate", "key"),
    [("cert.pem", "cert.pem"), ("none.pem", "key.pem"), ("cert.pem", ""), ("cert.pem", "locked")],
)
def test_a_certificate_that_cannot_be_used_is_said_at_the_start(
    home: Home, authority: trustme.CA, tmp_path: Path, certificate: str, key: str
) -> None:
    (tmp_path / "locked").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n")
    home.env |= {"SSL_CERTFILE": str(tmp_path / certificate), "SSL_KEYFILE": key and str(tmp_path / key)}
    done = home.try_("daemon", "start")
    assert done.returncode == 2, done.stderr
    assert "ssl_" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    wait_for(lambda: home.processes() == [], "the end of all that was started")
