"""Granian in this process: it accepts from a socket that is open already, and stops without cutting answers off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from pyjobs.api.rsgi import Adapter, AppThread
from pyjobs.api.tls import tls_options
from pyjobs.config import Settings
from pyjobs.listener import BACKLOG

__all__ = ["serve"]

#: How long what is in flight may take when the server stops, and its last bytes after that.
_GRACE_S, _LAST_BYTES_S = 10.0, 1.0
#: A call of the app that takes longer is a hang: the supervisor starts another process.
_STUCK_S = 60.0
_BEAT_S = 1.0
#: Descriptors that are not for connections.
_OWN_FDS = 256
_MOST_CONNECTIONS = 65_536
#: Between two threads of Python; the usual 5 ms is what a request takes.
_SWITCH_S = 0.0005
_log = logging.getLogger(__name__)


class _Granian(Server):
    """Granian's embedded server, but with a socket that somebody else opened."""

    def __init__(self, listen_fd: int, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listen_fd = listen_fd

    def end(self) -> None:
        """Accept no more, and let `serve` return when all connections have ended."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def _init_shared_socket(self) -> None:
        extra = (BACKLOG,) if sys.platform.startswith(("linux", "freebsd")) else ()
        holder: Any = SocketHolder  # typed for no platform in particular
        self._shd = holder(self._listen_fd, False, *extra)


def serve(
    app: AppThread,
    listen_fd: int,
    settings: Settings,
    *,
    ready: Callable[[], None],
    beat: Callable[[], None],
    reload: Callable[[], None],
    stopped: Callable[[], None],
    life_fd: int | None = None,
) -> NoReturn:
    """
    Answer requests until SIGTERM or SIGINT; a second one ends it at once, as does the end of `life_fd`'s other side.

    Ends the process, after a call of `stopped`.

    SIGUSR1 has changes refused from then on, SIGHUP calls `reload`. `beat` is called each second while all is well.

    Raises:
        BadSetting: the certificate or its key cannot be used.
    """
    tls = tls_options(settings)
    sys.setswitchinterval(_SWITCH_S)
    adapter = Adapter(app, body_timeout_s=settings.api_body_timeout, scheme="https" if tls else "http")
    server = _Granian(
        listen_fd,
        adapter,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.api_header_timeout * 1000),
        websockets=False,
        backlog=BACKLOG,
        backpressure=_connections(),
        log_enabled=False,
        **tls,
    )
    _say_in_our_log()
    code = 1
    try:
        asyncio.run(_until_told(server, adapter, app, ready, beat, reload, life_fd))
        app.close(_LAST_BYTES_S)
        stopped()
        code = 0
    except Exception:
        _log.exception("the server failed")
    finally:
        # Granian's threads may still be at work, or held by clients that say nothing. An interpreter that goes down
        # under them aborts: it is not taken down.
        for handler in logging.getLogger("pyjobs").handlers:
            handler.flush()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


async def _until_told(
    server: _Granian,
    adapter: Adapter,
    app: AppThread,
    ready: Callable[[], None],
    beat: Callable[[], None],
    reload: Callable[[], None],
    life_fd: int | None,
) -> None:
    """Serve until told to stop, and a moment longer for those who are being answered."""
    loop = asyncio.get_running_loop()
    stop, now = asyncio.Event(), asyncio.Event()

    def told() -> None:
        (now if stop.is_set() else stop).set()

    def orphaned() -> None:
        assert life_fd is not None
        loop.remove_reader(life_fd)
        stop.set()
        now.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    loop.add_signal_handler(signal.SIGUSR1, _refuse_changes, adapter)
    loop.add_signal_handler(signal.SIGHUP, reload)
    if life_fd is not None:
        loop.add_reader(life_fd, orphaned)
    serving = loop.create_task(server.serve())
    beating = loop.create_task(_beat(app, beat))
    ready()
    stopped = loop.create_task(stop.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():  # it never ends by itself, unless it fails
        await serving
        raise RuntimeError("the server ended")
    _refuse_changes(adapter)
    await _in_time(_idle(adapter), now, _GRACE_S)
    server.end()
    await _in_time(serving, now, _LAST_BYTES_S)
    if not serving.done():
        # It is cancelled with this loop, and Granian's own end then finds that out aloud.
        loop.set_exception_handler(lambda *_: None)
    beating.cancel()


async def _in_time(work: Any, now: asyncio.Event, seconds: float) -> None:
    """Wait for something, but not for long, and not when told to end now."""
    task, hurry = asyncio.ensure_future(work), asyncio.ensure_future(now.wait())
    await asyncio.wait({task, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()


async def _idle(adapter: Adapter) -> None:
    while adapter.in_flight:  # noqa: ASYNC110 - once a process; an event would cost each request
        await asyncio.sleep(0.01)


async def _beat(app: AppThread, beat: Callable[[], None]) -> None:
    while True:
        if app.stuck_for_s() < _STUCK_S:
            beat()
        await asyncio.sleep(_BEAT_S)


def _refuse_changes(adapter: Adapter) -> None:
    adapter.stopping = True


def _connections() -> int:
    """How many connections this process may have open; it takes as many descriptors as it is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OWN_FDS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return max(128, (allowed if soft == resource.RLIM_INFINITY else soft) - _OWN_FDS)


def _say_in_our_log() -> None:
    """What Granian has to complain about goes where everything goes."""
    theirs = logging.getLogger("_granian")
    theirs.handlers[:] = logging.getLogger("pyjobs").handlers
    theirs.setLevel(logging.ERROR)
    theirs.propagate = False
