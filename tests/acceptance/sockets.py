"""Clients that speak HTTP byte by byte, as badly as a test wants."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Client", "ask", "connected", "post"]


class Client:
    """A connection."""

    def __init__(self, base: str, patience_s: float = 20) -> None:
        parts = urlsplit(base)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=patience_s)

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(raw)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of the next answer; status 0 when the server closed instead."""
        head = self._until(b"\r\n\r\n")
        if not head:
            return 0, {}, b""
        status, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        while len(body) < int(headers.get("content-length", 0)):
            piece = self.socket.recv(65536)
            assert piece, "the answer broke off"
            body += piece
        return int(status.split()[1]), headers, body

    def document(self) -> tuple[int, Any]:
        """(status, document) of the next answer."""
        status, _, body = self.answer()
        return status, json.loads(body) if body else None

    def closed_after_s(self) -> float:
        """For how long the server keeps this connection open."""
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return time.monotonic() - began

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _until(self, end: bytes) -> bytes:
        found = b""
        while not found.endswith(end):
            try:
                piece = self.socket.recv(1)
            except ConnectionError:
                return b""
            if not piece:
                return b""
            found += piece
        return found


@contextlib.contextmanager
def connected(base: str, count: int = 1) -> Iterator[list[Client]]:
    """Several clients, gone afterwards."""
    clients: list[Client] = []
    try:
        clients.extend(Client(base) for _ in range(count))  # those before one that fails are kept
        yield clients
    finally:
        for client in clients:
            client.close()


def post(path: str, body: bytes = b"", *headers: str, stated: int | None = None) -> bytes:
    """A request as bytes; `stated` is what it says of its length."""
    length = len(body) if stated is None else stated
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def ask(base: str, raw: bytes = b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n") -> tuple[int, Any, float]:
    """(status, document, seconds) of one request on a connection of its own."""
    began = time.monotonic()
    with connected(base) as [client]:
        client.send(raw)
        return (*client.document(), time.monotonic() - began)
