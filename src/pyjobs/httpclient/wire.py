"""
The sockets of HTTP runs: who may be reached, whom to trust, and how to cut a connection from another thread.

Standard library only, and nothing heavy at import: the requests library comes with the first run.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyjobs.config import Settings

if TYPE_CHECKING:
    import ssl

__all__ = ["DenyList", "RequestFailed", "Trust", "Wire", "at"]

#: Makes a socket of a family, kind and protocol.
Maker = Callable[[int, int, int], socket.socket]
#: Connects a fresh socket to a resolved address.
Dial = Callable[[socket.socket, str, int], None]


class RequestFailed(Exception):
    """A request that failed for a reason that is already told in plain words."""


@dataclass(frozen=True, slots=True)
class DenyList:
    """
    Addresses that jobs may not reach, asked with what a socket is about to connect to.

    Attributes:
        networks: refused at any port.
        listener: (host, port) of pyjobs' own API; None where its port is not known.
    """

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    listener: tuple[str, int] | None

    @classmethod
    def of(cls, settings: Settings) -> DenyList:
        """The list that the settings describe."""
        named = (text.strip() for text in settings.http_deny_networks.split(","))
        networks = tuple(ipaddress.ip_network(text, strict=False) for text in named if text)
        return cls(networks, (settings.host, settings.port) if settings.port else None)

    def check(self, address: str, port: int) -> None:
        """
        Look at one numeric address.

        Raises:
            RequestFailed: it may not be reached.
        """
        ip = _plain(address)
        if any(ip in network for network in self.networks):
            raise RequestFailed(f"{ip} may not be reached (setting `http_deny_networks`)")
        if self.listener and port == self.listener[1] and self._is_listener(ip):
            raise RequestFailed(f"{at(str(ip), port)} is pyjobs' own API, which jobs may not call")

    def check_literal(self, host: str, port: int) -> None:
        """
        Look at a host that may be a proxy's to resolve: only a literal address (`2852039166` is one) is judged.

        Raises:
            RequestFailed: it may not be reached.
        """
        # The one name whose meaning needs no asking.
        known = host.rstrip(".").lower() == "localhost"
        for entry in _resolved(host, port, 0 if known else socket.AI_NUMERICHOST):
            self.check(str(entry[4][0]), port)

    def _is_listener(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        host, port = self.listener or ("", 0)
        own = [_plain(str(entry[4][0]), keep_any=True) for entry in _resolved(host.strip("[]"), port)]
        return ip in own or (any(address.is_unspecified for address in own) and _is_here(ip))


class Trust:
    """The one TLS context of all runs: loading a bundle of certificates costs more than most requests."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the environment, which may name a bundle of its own."""
        self._environ = environ
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """
        A context that verifies certificates and names, always.

        Raises:
            RequestFailed: the bundle cannot be read.
        """
        import ssl

        with self._lock:
            if self._context is None:
                source, path = self._bundle()
                folder = Path(path).is_dir()
                try:
                    self._context = ssl.create_default_context(
                        cafile=None if folder else path, capath=path if folder else None
                    )
                except OSError as exc:
                    raise RequestFailed(f"TLS: the certificates in `{path}` ({source}) cannot be read") from exc
            return self._context

    def _bundle(self) -> tuple[str, str]:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            if self._environ.get(name):
                return name, self._environ[name]
        import certifi

        return "certifi", certifi.where()


class Wire:
    """Opens the sockets of one attempt, and cuts them when another thread says so."""

    def __init__(self, deny: DenyList, remaining: Callable[[], float | None]) -> None:
        """Take whom not to reach, and what tells the seconds left (None: no limit)."""
        self.deny = deny
        self.remaining = remaining
        self._lock = threading.Lock()
        self._cut = False
        self._held: list[socket.socket] = []

    def connect(
        self, host: str, port: int, *, name: str, make: Maker = socket.socket, dial: Dial | None = None
    ) -> socket.socket:
        """
        Connect to the first address of a host that answers; what is checked is what is connected to.

        Args:
            host: a name or an address without brackets.
            port: of the host.
            name: the other side, as an error shall call it.
            make: makes the socket.
            dial: connects it to `(address, port)`, where that is more than a plain connect.

        Raises:
            RequestFailed: it may not be reached, or refused.
            TimeoutError: no answer in the time that was left.
        """
        problem: OSError | None = None
        for family, kind, protocol, _, address in _resolved_for_people(host, port):
            self.deny.check(str(address[0]), port)
            sock = make(family, kind, protocol)
            try:
                self._hold(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.remaining())
                if dial:
                    dial(sock, str(address[0]), port)
                else:
                    sock.connect(address)
            except OSError as exc:
                sock.close()
                problem = exc
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise _unreachable(name, problem) from problem

    def cut(self) -> None:
        """End all that goes over it now, and whatever would be opened later; safe from any thread."""
        with self._lock:
            self._cut = True
            for sock in self._held:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give its own descriptors back, once nothing is left to cut."""
        with self._lock:
            for sock in self._held:
                sock.close()
            self._held.clear()

    def _hold(self, sock: socket.socket) -> None:
        # A copy: TLS takes the descriptor away from the socket object, and closing one is no way to wake its reader.
        with self._lock:
            if self._cut:
                raise RequestFailed("stopped")
            self._held.append(socket.socket(fileno=os.dup(sock.fileno())))


def at(host: str, port: int) -> str:
    """`host:port`, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolved(host: str, port: int, flags: int = 0) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return []


def _resolved_for_people(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no valid name"
        raise RequestFailed(f"no address is known for `{host}`: {reason}") from exc


def _unreachable(name: str, problem: OSError | None) -> Exception:
    if isinstance(problem, TimeoutError):
        return problem
    if isinstance(problem, ConnectionRefusedError):
        return RequestFailed(f"connection refused by {name}")
    return RequestFailed(f"no connection to {name}: {(problem and problem.strerror) or problem or 'no address'}")


def _plain(address: str, *, keep_any: bool = False) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as what it really reaches: `::ffff:1.2.3.4` is 1.2.3.4, and `0.0.0.0` is this machine."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_unspecified and not keep_any:
        return ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return ip


def _is_here(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of this machine's own."""
    if ip.is_loopback:
        return True
    with contextlib.suppress(OSError), socket.socket(_family(ip), socket.SOCK_DGRAM) as probe:
        # Sends nothing: it asks the kernel which address it would come from.
        probe.connect((str(ip), 9))
        return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == ip
    return False


def _family(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> socket.AddressFamily:
    return socket.AF_INET if ip.version == 4 else socket.AF_INET6
