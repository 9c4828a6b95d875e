"""The socket that the API listens on: opened before anything else is started, so that a port in use is said at once."""

from __future__ import annotations

import errno
import os
import socket
import time

from pyjobs.config import Settings
from pyjobs.errors import BadSetting, Conflict, NotAllowed, PyjobsError

__all__ = ["BACKLOG", "address_of", "open_listener"]

#: Connections that the kernel keeps while the API is busy or is started again.
BACKLOG = 1024
#: How long processes of a daemon that was killed may take to leave.
_PATIENCE_S = 1.0
_POLL_S = 0.05


def open_listener(settings: Settings) -> socket.socket:
    """
    Listen on HOST and PORT; no other program can have the same port then, not even one of the same user.

    Raises:
        Conflict: the port is in use.
        NotAllowed: the system does not let this user have it.
        BadSetting: HOST is no address of this machine.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _listening(settings)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise _explained(settings, exc) from exc
        time.sleep(_POLL_S)


def address_of(listener: socket.socket, settings: Settings) -> str:
    """Where it can be reached: `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _listening(settings: Settings) -> socket.socket:
    # IPv4 first: what `localhost` is for most clients.
    found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by what is accepted: an answer is not held back for the acknowledgement of the one before it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _explained(settings: Settings, exc: OSError) -> PyjobsError:
    host, port = settings.host, settings.port
    if exc.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} of `{host}` is in use by another program",
            f"`{host}` 的端口 {port} 已被其他程序占用",
            hint="name another one by PORT (0 takes a free one), or leave the API out with `--no-api`",
            hint_zh="请用 PORT 指定其他端口（0 表示自动选择），或用 `--no-api` 不启动 API",
        )
    if isinstance(exc, PermissionError):
        return NotAllowed(
            f"port {port} of `{host}` is not for this user: {exc.strerror}",
            f"当前用户不能使用 `{host}` 的端口 {port}：{exc.strerror}",
            hint="name one above 1023 by PORT",
            hint_zh="请用 PORT 指定大于 1023 的端口",
        )
    why = exc.strerror or os.strerror(exc.errno or 0)
    return BadSetting(
        "host",
        f"`{host}` cannot be listened on: {why}",
        f"无法监听 `{host}`：{why}",
        hint="HOST is an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        hint_zh="HOST 应为本机地址，例如 127.0.0.1 或 0.0.0.0",
    )
