"""A client that costs little: many connections in one loop over raw sockets, each asking again once it is answered."""

from __future__ import annotations

import math
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Load", "request", "run"]


@dataclass(frozen=True)
class Load:
    """What one load gave: answers a second, and milliseconds until an answer."""

    rate: float
    p50_ms: float
    p99_ms: float


@dataclass
class _Client:
    socket: socket.socket
    asked: float = 0.0
    answer: bytearray = field(default_factory=bytearray)
    #: Length of the whole answer, once its head is there.
    length: int = 0


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """A request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
    about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{head}{about}\r\n".encode() + body


def run(base: str, requests: Callable[[int], bytes], clients: int, seconds: float) -> Load:
    """Ask for so long; `requests` gives the bytes of the n-th request. Every answer has to be a success."""
    parts = urlsplit(base)
    waits: list[float] = []
    with selectors.DefaultSelector() as selector:
        asking = []
        for _ in range(clients):
            client = _Client(socket.create_connection((parts.hostname, parts.port)))
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.socket, selectors.EVENT_READ, client)
            asking.append(client)
        began = time.perf_counter()
        for number, client in enumerate(asking):
            _ask(client, requests(number))
        number = clients
        while time.perf_counter() - began < seconds:
            for key, _ in selector.select(seconds):
                if _answered(key.data):
                    waits.append(time.perf_counter() - key.data.asked)
                    _ask(key.data, requests(number))
                    number += 1
        took = time.perf_counter() - began
        for client in asking:
            client.socket.close()
    waits.sort()
    middle, most = (1000 * waits[math.ceil(share * len(waits)) - 1] for share in (0.5, 0.99))
    return Load(len(waits) / took, middle, most)


def _ask(client: _Client, raw: bytes) -> None:
    client.asked = time.perf_counter()
    client.socket.sendall(raw)


def _answered(client: _Client) -> bool:
    """Take what came; whether the answer is whole."""
    client.answer += client.socket.recv(262_144)
    if not client.length:
        end = client.answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(client.answer[:end]).lower()
        assert head.startswith(b"http/1.1 200"), head
        start = head.index(b"content-length:") + 15
        client.length = end + 4 + int(head[start : (head.find(b"\r", start) + len(head) + 1) % (len(head) + 1)])
    if len(client.answer) < client.length:
        return False
    client.answer.clear()
    client.length = 0
    return True
