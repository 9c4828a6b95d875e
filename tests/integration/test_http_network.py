"""Whom HTTP runs reach and trust: TLS, proxies, the deny list (design: commands.md, dependencies.md, faults.md)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from handed_down import module_of_cases

from pyjobs import config
from pyjobs.errors import BadSetting

from .conftest import Handler, Http, Proxy, free_port
from .test_http_executor import answer, read_head, sent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def tls_target(authority: trustme.CA) -> Iterator[str]:
    """Address of an http_target that speaks TLS, with a certificate for 127.0.0.1."""
    module = module_of_cases("http_target")
    server = module.Server(("127.0.0.1", 0), module.Target)
    server.socket = serving(authority, "127.0.0.1").wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trust the authority, by the environment."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


class TestTls:
    @pytest.mark.usefixtures("trusted")
    def test_a_certificate_of_a_trusted_authority_is_accepted(self, http: Http, tls_target: str) -> None:
        assert http.run(f"{tls_target}/ok", result="ok").outcome.success

    def test_one_that_nobody_vouches_for_is_refused(self, http: Http, tls_target: str) -> None:
        ran = http.run(f"{tls_target}/ok")
        assert ran.error.startswith("TLS: certificate not accepted: ")
        assert "self-signed" in ran.error or "local issuer" in ran.error

    @pytest.mark.usefixtures("trusted")
    def test_one_for_another_name_is_refused(
        self, http: Http, authority: trustme.CA, serve: Callable[[Handler], int]
    ) -> None:
        context = serving(authority, "other.example")

        def handler(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                answer(OK)(tls)

        ran = http.run(f"https://127.0.0.1:{serve(handler)}/")
        assert ran.error.startswith("TLS: certificate not accepted: ")
        assert "127.0.0.1" in ran.error

    def test_a_peer_that_speaks_no_tls_is_told(self, http: Http, target: str) -> None:
        assert http.run(target.replace("http:", "https:")).error.startswith("TLS: ")

    def test_a_bundle_that_is_not_there_is_told(
        self, http: Http, tls_target: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        ran = http.run(f"{tls_target}/ok")
        assert ran.error == "TLS: the certificates in `/no/such/bundle.pem` (REQUESTS_CA_BUNDLE) cannot be read"

    def test_plain_http_needs_no_bundle(self, http: Http, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        assert http.run(f"{target}/ok").outcome.success


class TestHttpProxy:
    def test_a_request_goes_through_it(self, http: Http, target: str, tinyproxy: Callable[..., Proxy]) -> None:
        proxy = tinyproxy()
        ran = http.run(f"{target}/ok", proxy=f"http://{proxy.address}", result="ok")
        assert ran.outcome.success
        assert f"{target}/ok" in proxy.log.read_text()

    @pytest.mark.usefixtures("trusted")
    def test_a_tls_request_is_tunnelled(self, http: Http, tls_target: str, tinyproxy: Callable[..., Proxy]) -> None:
        proxy = tinyproxy()
        assert http.run(f"{tls_target}/ok", proxy=f"http://{proxy.address}", result="ok").outcome.success
        assert "CONNECT 127.0.0.1" in proxy.log.read_text()

    def test_it_is_used_for_redirects_and_whatever_no_proxy_says(
        self, http: Http, target: str, tinyproxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("no_proxy", "*")
        proxy = tinyproxy()
        assert http.run(f"{target}/redirect?n=2", proxy=f"http://{proxy.address}").outcome.success
        assert f"{target}/ok" in proxy.log.read_text()

    @pytest.mark.usefixtures("trusted")
    def test_it_gets_user_and_password(self, http: Http, tls_target: str, target: str, tinyproxy: Any) -> None:
        proxy = tinyproxy("me", "pass-canary")
        for url in (f"{target}/ok", f"{tls_target}/ok"):
            ran = http.run(url, proxy=f"http://me:pass-canary@{proxy.address}", result="ok")
            assert ran.outcome.success
            assert "canary" not in ran.output

    @pytest.mark.usefixtures("trusted")
    def test_a_refusal_is_told(self, http: Http, tls_target: str, target: str, tinyproxy: Any) -> None:
        proxy = tinyproxy("me", "right")
        wrong = f"http://me:wrong-canary@{proxy.address}"
        # tinyproxy says 401 where a login is wrong, and 407 where there is none.
        assert http.run(f"{target}/ok", proxy=wrong).error == "HTTP status 401"
        assert http.run(f"{target}/ok", proxy=f"http://{proxy.address}").error == "HTTP status 407"
        error = http.run(f"{tls_target}/ok", proxy=wrong).error
        assert error.startswith("the proxy refused: 401 ")
        assert "canary" not in error

    def test_a_password_beyond_latin1_is_sent_in_utf8(self, http: Http, serve: Callable[[Handler], int]) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            asked.append(read_head(connection))
            connection.sendall(OK)

        ran = http.run("http://example.invalid/", proxy=f"http://me:密码@127.0.0.1:{serve(handler)}")
        assert ran.outcome.success
        assert b"Proxy-Authorization: Basic bWU65a+G56CB\r\n" in asked[0]

    def test_a_dead_one_is_told_and_not_gone_around(self, http: Http, target: str) -> None:
        port = free_port()
        ran = http.run(f"{target}/ok", proxy=f"http://127.0.0.1:{port}")
        assert ran.error == f"connection refused by the proxy 127.0.0.1:{port}"

    def test_that_of_the_environment_is_used_where_the_job_names_none(
        self, http: Http, tinyproxy: Callable[..., Proxy], target: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = tinyproxy()
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert http.run(f"{target}/ok").outcome.success
        assert f"{target}/ok" in proxy.log.read_text()

    @pytest.mark.usefixtures("trusted")
    def test_one_that_speaks_tls_is_verified_and_used(
        self, http: Http, tls_target: str, authority: trustme.CA, serve: Callable[[Handler], int]
    ) -> None:
        proxy = f"https://127.0.0.1:{serve(tls_proxy(serving(authority, '127.0.0.1')))}"
        assert http.run(f"{tls_target}/ok", proxy=proxy, result="ok").outcome.success
        assert http.run("http://example.invalid/p", proxy=tls_target).output.endswith(
            "PROXIED http://example.invalid/p"
        )
        other = f"https://127.0.0.1:{serve(tls_proxy(serving(authority, 'other.example')))}"
        assert http.run(f"{tls_target}/ok", proxy=other).error.startswith("TLS: certificate not accepted: ")


def tls_proxy(context: ssl.SSLContext) -> Handler:
    """Take a CONNECT over TLS, and pass bytes on both ways until one side ends."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def handler(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            host, _, port = read_head(tls).split(b" ")[1].decode().partition(":")
            with socket.create_connection((host, int(port))) as onward:
                tls.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
                back = threading.Thread(target=pump, args=(onward, tls))
                back.start()
                pump(tls, onward)
                back.join()

    return handler


class TestSocksProxy:
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS5"])
    def test_a_request_goes_through_it(
        self, http: Http, target: str, microsocks: Callable[..., Proxy], scheme: str
    ) -> None:
        proxy = microsocks()
        assert http.run(f"{target}/redirect?n=1", proxy=f"{scheme}://{proxy.address}", result="ok").outcome.success

    @pytest.mark.usefixtures("trusted")
    def test_so_does_tls_with_user_and_password(self, http: Http, tls_target: str, microsocks: Any) -> None:
        proxy = microsocks("me", "p:ss")
        ran = http.run(f"{tls_target}/ok", proxy=f"socks5://me:p%3Ass@{proxy.address}", result="ok")
        assert ran.outcome.success

    @pytest.mark.parametrize("login", ["", "me:wrong-canary@"])
    def test_a_refusal_is_told(self, http: Http, target: str, microsocks: Any, login: str) -> None:
        proxy = microsocks("me", "right")
        error = http.run(f"{target}/ok", proxy=f"socks5://{login}{proxy.address}").error
        assert error.startswith(f"the proxy {proxy.address} refused: ")
        assert "canary" not in error

    def test_a_target_that_it_cannot_reach_is_told(self, http: Http, microsocks: Callable[..., Proxy]) -> None:
        proxy = microsocks()
        error = http.run(f"http://127.0.0.1:{free_port()}/", proxy=f"socks5://{proxy.address}").error
        assert error.startswith(f"the proxy {proxy.address} refused: ")

    def test_its_password_is_not_shown_to_the_target(self, http: Http, target: str, microsocks: Any) -> None:
        proxy = microsocks("me", "canary")
        redirect = f"{target}/redirect?n=1"
        ran = http.run(redirect, proxy=f"socks5://me:canary@{proxy.address}")
        assert ran.outcome.success
        got = sent(http.run(f"{target}/echo", proxy=f"socks5://me:canary@{proxy.address}").output)
        assert "proxy-authorization" not in got["headers"]

    def test_after_a_redirect_neither(
        self, http: Http, target: str, serve: Callable[[Handler], int], microsocks: Any
    ) -> None:
        proxy = microsocks("me", "canary")
        head = f"HTTP/1.1 302 Found\r\nLocation: {target}/echo\r\nContent-Length: 0\r\n\r\n".encode()
        first = f"http://127.0.0.1:{serve(answer(head))}/"
        got = sent(http.run(first, proxy=f"socks5://me:canary@{proxy.address}").output)
        assert "proxy-authorization" not in got["headers"]

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    def test_names_are_its_to_resolve(self, http: Http, serve: Callable[[Handler], int], scheme: str) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(b"\x05\x00")
            asked.append(connection.recv(300))
            connection.sendall(b"\x05\x04\x00\x01\0\0\0\0\0\0")

        port = serve(handler)
        ran = http.run("http://only-there.invalid:81/", proxy=f"{scheme}://127.0.0.1:{port}")
        assert ran.error == f"the proxy 127.0.0.1:{port} refused: 0x04: Host unreachable"
        assert b"only-there.invalid" in asked[0]

    def test_a_dead_one_is_told_and_not_gone_around(self, http: Http, serve: Callable[[Handler], int]) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            asked.append(read_head(connection))

        url, port = f"http://127.0.0.1:{serve(handler)}/", free_port()
        for scheme in ("socks5", "socks5h"):
            ran = http.run(url, proxy=f"{scheme}://127.0.0.1:{port}")
            assert ran.error == f"connection refused by the proxy 127.0.0.1:{port}"
        assert asked == []

    def test_a_silent_one_ends_with_the_time_out(
        self, http: Http, target: str, serve: Callable[[Handler], int]
    ) -> None:
        def handler(connection: socket.socket) -> None:
            while connection.recv(100):
                pass

        ran = http.run(f"{target}/ok", proxy=f"socks5://127.0.0.1:{serve(handler)}", timeout_s=1)
        assert ran.error == "no answer within 1 s"
        assert ran.seconds < 2


class TestDenyList:
    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "https://169.254.1.1/",
        ],
    )
    def test_link_local_is_refused_however_it_is_written(self, http: Http, url: str) -> None:
        ran = http.run(url)
        assert ran.error.endswith(" may not be reached (setting `http_deny_networks`)")
        assert ran.seconds < 2

    def test_a_redirect_there_is_refused(self, http: Http, serve: Callable[[Handler], int]) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/x\r\nContent-Length: 0\r\n\r\n"
        ran = http.run(f"http://127.0.0.1:{serve(answer(head))}/")
        assert ran.error == "169.254.169.254 may not be reached (setting `http_deny_networks`)"

    def test_a_name_is_judged_by_where_it_leads(self, make_http: Callable[..., Http], target: str) -> None:
        http = make_http(http_deny_networks="127.0.0.0/8, ::1/128")
        ran = http.run(target.replace("127.0.0.1", "localhost"))
        assert ran.error.endswith(" may not be reached (setting `http_deny_networks`)")

    @pytest.mark.parametrize("scheme", ["http", "socks5"])
    def test_a_proxy_neither_is_there_nor_leads_there(
        self, http: Http, serve: Callable[[Handler], int], scheme: str
    ) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            asked.append(read_head(connection))

        refused = "169.254.169.254 may not be reached (setting `http_deny_networks`)"
        proxy = f"{scheme}://127.0.0.1:{serve(handler)}"
        assert http.run("http://169.254.169.254/", proxy=proxy).error == refused
        assert http.run("http://example.invalid/", proxy=f"{scheme}://169.254.169.254:80").error == refused
        assert asked == []

    @pytest.mark.parametrize(
        ("host", "urls"),
        [
            ("127.0.0.1", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "[::ffff:127.0.0.1]"]),
            ("localhost", ["127.0.0.1", "localhost", "0.0.0.0"]),
            ("0.0.0.0", ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0"]),
            ("::", ["127.0.0.1", "localhost", "[::1]", "[::]"]),
            ("::1", ["[::1]", "[::]"]),
        ],
    )
    def test_our_own_api_is_refused(
        self, make_http: Callable[..., Http], serve: Callable[[Handler], int], host: str, urls: list[str]
    ) -> None:
        asked: list[bytes] = []

        def handler(connection: socket.socket) -> None:
            asked.append(read_head(connection))

        port = serve(handler)
        http = make_http(host=host, port=port, http_deny_networks="")
        for url in urls:
            error = http.run(f"http://{url}:{port}/jobs/jobs/").error
            assert error.endswith("is pyjobs' own API, which jobs may not call"), f"{url}: {error}"
        assert asked == []

    def test_other_ports_and_other_machines_are_not(
        self, make_http: Callable[..., Http], target: str, serve: Callable[[Handler], int]
    ) -> None:
        assert make_http(port=free_port()).run(f"{target}/ok").outcome.success
        # The listener's port on an address that is not the listener's.
        port = serve(answer(OK))
        assert make_http(host="127.0.0.2", port=port).run(f"http://127.0.0.1:{port}/").outcome.success

    def test_our_own_api_is_not_reached_through_a_proxy_or_a_redirect(
        self, make_http: Callable[..., Http], serve: Callable[[Handler], int], tinyproxy: Callable[..., Proxy]
    ) -> None:
        port = free_port()
        http = make_http(port=port)
        refused = f"127.0.0.1:{port} is pyjobs' own API, which jobs may not call"
        proxy = f"http://{tinyproxy().address}"
        assert http.run(f"http://127.0.0.1:{port}/", proxy=proxy).error == refused
        assert http.run(f"http://localhost:{port}/", proxy=proxy).error.endswith(refused.partition(" ")[2])
        head = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode()
        assert http.run(f"http://127.0.0.1:{serve(answer(head))}/").error == refused

    def test_a_setting_that_is_no_network_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadSetting, match=r"PYJOBS_HTTP_DENY_NETWORKS: `10\.0\.0\.0/99` is not a network"):
            config.load(tmp_path, {"PYJOBS_HTTP_DENY_NETWORKS": "10.0.0.0/8, 10.0.0.0/99"})
        settings, _ = config.load(tmp_path, {"HTTP_DENY_NETWORKS": "10.0.0.0/8,fd00::/8"})
        assert settings.http_deny_networks == "10.0.0.0/8,fd00::/8"
