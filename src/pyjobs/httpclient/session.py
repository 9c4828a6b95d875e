"""
One HTTP exchange by requests: from the spec to the answer that is to be judged. Imported with the first run only.

requests decides what is sent; which sockets are opened, whom they may reach and what TLS trusts is the wire's.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import socks  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection

from pyjobs import __version__
from pyjobs.commandtext import HttpSpec
from pyjobs.httpclient.text import content_type, cookie_line, header_lines
from pyjobs.httpclient.wire import RequestFailed, Trust, Wire, at
from pyjobs.masking import mask_url

__all__ = ["MAX_REDIRECTS", "Session"]

MAX_REDIRECTS = 10
#: Headers that describe how the body is framed: that is ours to say, and a wrong one would leave the server waiting.
_FRAMING = frozenset({"content-length", "transfer-encoding"})
#: What a job says to one host only.
_FOR_ONE_HOST = ("Authorization", "Proxy-Authorization", "Host")
_SOCKS_PORT = 1080


class Session(requests.Session):
    """What makes one request and follows where it is sent on to."""

    def __init__(self, wire: Wire, trust: Trust) -> None:
        """Take what opens the sockets, and what TLS trusts."""
        super().__init__()
        # With it, ~/.netrc would override the job's own Authorization, and a proxy variable the job's own proxy.
        self.trust_env = False
        self.headers["User-Agent"] = f"pyjobs/{__version__}"
        self._wire = wire
        adapter = _Adapter(wire, trust)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def perform(self, spec: HttpSpec, say: Callable[[str], None]) -> requests.Response:
        """
        Send the request, follow redirects, and answer the last response with its body unread.

        Args:
            spec: of the job.
            say: takes what is to be recorded: each request, each status with its headers.

        Raises:
            RequestFailed: it went wrong in a way that has its own words.
            Exception: any other; `errors.explain` finds the words.
        """
        say(f"{spec.mode} {mask_url(spec.url)}\n{header_lines(_own_headers(spec).items())}\n")
        first = self.prepare_request(_request(spec))
        response = self._send(first, spec.proxy)
        followed = 0
        try:
            say(_head(response))
            while response.next is not None:
                followed += 1
                request = self._onward(first, response.next, spec, followed)
                say(f"{request.method} {mask_url(request.url or '')}\n\n")
                response = self._send(request, spec.proxy)
                say(_head(response))
        except BaseException:
            response.close()
            raise
        return response

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:  # noqa: ARG002 - the inherited signature
        """Leave the proxies as they are: the inherited one shows the target a SOCKS proxy's password."""
        return proxies

    def _send(self, request: requests.PreparedRequest, proxy: str) -> requests.Response:
        url = request.url or ""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise RequestFailed(f"a redirect to `{parts.scheme}:` is not followed")
        self._wire.deny.check_literal(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        proxies = {"http": proxy, "https": proxy} if proxy else get_environ_proxies(url, no_proxy=None)
        request.hooks["response"] = [_drop_redirect_body]
        return self.send(
            request, stream=True, verify=True, timeout=self._wire.remaining(), allow_redirects=False, proxies=proxies
        )

    def _onward(
        self, first: requests.PreparedRequest, request: requests.PreparedRequest, spec: HttpSpec, number: int
    ) -> requests.PreparedRequest:
        """Make the next request fit to be sent: the job's cookies, which requests drops, go to its host."""
        if number > MAX_REDIRECTS:
            raise RequestFailed(f"too many redirects ({MAX_REDIRECTS})")
        if self.should_strip_auth(first.url, request.url):  # type: ignore[no-untyped-call]
            for name in _FOR_ONE_HOST:
                request.headers.pop(name, None)
            return request
        # What it has by now was set by the answers.
        cookies = cookie_line(_own_headers(spec).get("Cookie", ""), str(request.headers.get("Cookie", "")))
        if cookies:
            request.headers["Cookie"] = _encoded(cookies)
        return request


class _Connection(HTTPConnection):
    """A connection whose socket the wire opens; through a SOCKS proxy, names are the proxy's to resolve."""

    def __init__(self, *args: Any, wire: Wire, _socks_options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wire = wire
        self._socks = _socks_options

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host.strip("[]"), self.port
        if not self._socks:
            name = at(host, port)
            return self._wire.connect(host, port, name=f"the proxy {name}" if self.proxy else name)
        options = self._socks
        proxy_host, proxy_port = str(options["proxy_host"]).strip("[]"), int(options["proxy_port"] or _SOCKS_PORT)
        name = f"the proxy {at(proxy_host, proxy_port)}"

        def dial(sock: Any, address: str, number: int) -> None:
            sock.set_proxy(options["socks_version"], address, number, True, options["username"], options["password"])
            try:
                sock.connect((host, port))
            except socks.ProxyError as exc:
                # Its own errors are socket errors too, so that it wraps the one in the other.
                inner = exc
                while isinstance(inner, socks.ProxyError) and inner.socket_err:
                    inner = inner.socket_err
                if isinstance(inner, socks.ProxyError):
                    raise RequestFailed(f"{name} refused: {inner.msg}") from exc
                raise inner from exc

        return self._wire.connect(proxy_host, proxy_port, name=name, make=socks.socksocket, dial=dial)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    """requests' adapter with the wire's sockets, and one TLS context for all."""

    def __init__(self, wire: Wire, trust: Trust) -> None:
        self._wire = wire
        self._trust = trust
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _TlsConnection if pool.scheme == "https" else _Connection
        pool.conn_kw["wire"] = self._wire
        return pool

    def build_connection_pool_key_attributes(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        host, tls = super().build_connection_pool_key_attributes(request, *args, **kwargs)
        if host["scheme"] == "https":
            tls["ssl_context"] = self._trust.context()
        return host, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the inherited one would load a bundle into the shared context, again for each connection."""

    def proxy_manager_for(self, proxy: Any, **proxy_kwargs: Any) -> Any:
        if proxy.lower().startswith("https:"):
            proxy_kwargs["proxy_ssl_context"] = self._trust.context()
        return super().proxy_manager_for(proxy, **proxy_kwargs)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        user, password = get_auth_from_url(proxy)
        return {"Proxy-Authorization": _basic(user, password)} if user else {}


def _request(spec: HttpSpec) -> requests.Request:
    headers = {name: _encoded(value) for name, value in _own_headers(spec).items()}
    data = spec.data.encode("utf-8", "replace") or None
    return requests.Request(spec.mode, spec.url, headers=headers, data=data, auth=_authorise)


def _own_headers(spec: HttpSpec) -> CaseInsensitiveDict[str]:
    """What the job itself says; of a name that comes twice, the last."""
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for name, value in spec.headers:
        if name.lower() not in _FRAMING:
            headers[name] = value
    cookies = cookie_line(headers.get("Cookie", ""), spec.cookies)
    if cookies:
        headers["Cookie"] = cookies
    if spec.data and "Content-Type" not in headers:
        headers["Content-Type"] = content_type(spec.data)
    return headers


def _encoded(value: str) -> Any:
    """A header's value as it goes out: what is not ASCII as UTF-8, where the library knows Latin-1 only."""
    return value if value.isascii() else value.encode("utf-8", "replace")


def _authorise(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Turn user and password of the address into a header; requests' own way fails beyond Latin-1."""
    user, password = get_auth_from_url(request.url or "")
    if user or password:
        request.headers["Authorization"] = _basic(user, password)
    return request


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _head(response: requests.Response) -> str:
    status = f"HTTP {response.status_code} {response.reason or ''}".rstrip()
    return f"{status}\n{header_lines(response.raw.headers.items())}\n"


def _drop_redirect_body(response: requests.Response, *_: Any, **__: Any) -> requests.Response:
    # requests reads such a body to its end, however long it is.
    if response.is_redirect:
        response.raw.close()
    return response
