"""
Between Granian and the WSGI app: a request reaches the app when it is whole, and the app has one thread.

Whoever sends a body slowly waits on the event loop, where waiting costs nothing, and never in the app's thread.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from pyjobs.api.params import CONTINUE, MAX_BODY, UNREAD

__all__ = ["Adapter", "AppThread", "Response", "Together", "Wsgi", "environ_of"]

Wsgi: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
#: HTTP status, headers, body.
Response: TypeAlias = "tuple[int, list[tuple[str, str]], bytes]"
#: Bytes of bodies that are held for all clients together.
_HELD_MAX = 64 << 20
#: Quick answers that are handed over together while others wait, and what is quick.
_TOGETHER, _SOON_S = 4, 0.0005
#: Requests that are one commit with another one: a fire waits for the lock no longer than they take.
_COMMITTED = 15
_Asked: TypeAlias = "tuple[dict[str, Any], asyncio.Future[Response], asyncio.AbstractEventLoop]"
#: A body that is not there by then is asked for: its client may be one that is refused anyway.
_AT_ONCE_S = 0.02
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_BODILESS = frozenset({204, 304})
_log = logging.getLogger(__name__)


def _answer(status: int, msg: str, *headers: tuple[str, str]) -> Response:
    """What the adapter itself says; the connection ends with it, as the rest of a body may still be on its way."""
    body = json.dumps({"code": status, "msg": msg, "data": None}, ensure_ascii=False).encode()
    return status, [("content-type", "application/json; charset=utf-8"), ("connection", "close"), *headers], body


_CUT = _answer(400, "请求体不完整")
_TOO_SLOW = _answer(408, "请求超时：请求体发送过慢")
_TOO_LARGE = _answer(413, "请求体超过 1 MiB")
_FAILED = _answer(500, "服务器内部错误")
_FULL = _answer(503, "服务器繁忙，请稍后重试", ("retry-after", "1"))
_STOPPING = _answer(503, "服务正在停止，暂不接受修改", ("retry-after", "5"))


class _Refused(Exception):
    """A body is not taken; the answer says why."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class Together(NamedTuple):
    """Which requests may be one commit, and what makes them one."""

    paths: frozenset[str]
    commit: Callable[[], AbstractContextManager[None]]


class AppThread:
    """The thread that the app is built, called and closed in; so its connection to the store is one."""

    def __init__(self, build: Callable[[], tuple[Wsgi, Callable[[], None]]]) -> None:
        """Take what gives the app, and what closes it."""
        self._build = build
        self._queue: SimpleQueue[_Asked | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="app", daemon=True)
        self._built = threading.Event()
        self._error: BaseException | None = None
        self._busy_since: float | None = None
        self._app: Wsgi
        self._answered: deque[tuple[asyncio.Future[Response], Response]] = deque()
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Taken out of the queue already, and not looked at yet.
        self._ahead: deque[_Asked | Callable[[], None] | None] = deque()
        #: None: each request is by itself.
        self.together: Together | None = None

    def start(self) -> None:
        """Build the app. Raises what its builder raises."""
        self._thread.start()
        self._built.wait()
        if self._error is not None:
            raise self._error

    def submit(self, work: Callable[[], None]) -> None:
        """Do something between two calls of the app."""
        self._queue.put(work)

    async def call(self, environ: dict[str, Any]) -> Response:
        """Call the app when it is free."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Response] = loop.create_future()
        self._queue.put((environ, waiting, loop))
        return await waiting

    def _hand_over(self) -> None:
        """In the loop: give the answers that there are to those who wait for them."""
        self._told = False  # first: what comes from now on is handed over now, or told again
        while self._answered:
            waiting, response = self._answered.popleft()
            if not waiting.done():  # its client has gone
                waiting.set_result(response)

    def stuck_for_s(self) -> float:
        """For how long the app has been at the same call."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self, timeout_s: float) -> None:
        """Close the app when it is free."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._app, close = self._build()
        except BaseException as exc:  # told by `start`, in the thread that can say it
            self._error = exc
            return
        finally:
            self._built.set()
        while (asked := self._next()) is not None:
            if not isinstance(asked, tuple):
                self._tell()  # nobody waits for work that is nobody's request
                _logged(asked)
                continue
            environ = asked[0]
            self._loop = asked[2]
            self._busy_since = began = time.monotonic()
            if environ["REQUEST_METHOD"] not in _READING:  # it may take long: nobody else waits for it
                self._tell()
            self._answer(asked)
            if self._queue.empty() or len(self._answered) >= _TOGETHER or time.monotonic() - began > _SOON_S:
                self._tell()
            self._busy_since = None
        self._tell()
        close()

    def _next(self) -> _Asked | Callable[[], None] | None:
        return self._ahead.popleft() if self._ahead else self._queue.get()

    def _answer(self, asked: _Asked) -> None:
        """Answer a request, and those behind it that can be one commit with it. Who has gone would hear nothing."""
        batch = [one for one in (asked, *self._more(asked)) if not one[1].cancelled()]
        environs = [environ for environ, _, _ in batch]
        responses = self._respond_together(environs) if len(batch) > 1 else list(map(self._respond, environs))
        self._answered.extend((waiting, response) for (_, waiting, _), response in zip(batch, responses, strict=True))

    def _more(self, asked: _Asked) -> list[_Asked]:
        """What waits behind a request and can be one commit with it; nothing where it cannot itself."""
        more: list[_Asked] = []
        most = _COMMITTED if self._joins(asked) else 0
        while len(more) < most and not self._queue.empty():
            further = self._queue.get()
            if not isinstance(further, tuple) or not self._joins(further):
                self._ahead.append(further)
                break
            more.append(further)
        return more

    def _joins(self, asked: _Asked) -> bool:
        environ = asked[0]
        return (
            self.together is not None
            and environ["REQUEST_METHOD"] == "POST"
            and environ["PATH_INFO"] in self.together.paths
        )

    def _respond_together(self, environs: list[dict[str, Any]]) -> list[Response]:
        assert self.together is not None
        try:
            with self.together.commit():
                return list(map(self._respond, environs))
        except Exception as exc:
            # Nothing of it is stored: each is asked again by itself, and hears by itself why it fails.
            _log.warning("%d requests could not be one commit: %s", len(environs), exc)
            for environ in environs:
                environ["wsgi.input"].seek(0)
            return list(map(self._respond, environs))

    def _tell(self) -> None:
        """Have the loop hand the answers over. To wake it costs as much as a quick answer: it is told once."""
        if self._answered and not self._told and self._loop is not None:
            self._told = True
            self._loop.call_soon_threadsafe(self._hand_over)

    def _respond(self, environ: dict[str, Any]) -> Response:
        said: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            said[:] = [int(status[:3]), headers]

        try:
            pieces = self._app(environ, start_response)
            try:
                body = b"".join(pieces)
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
        except Exception:
            # Whatever the app did not expect: this client gets a sentence, the others their answers.
            _log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return _FAILED
        return said[0], said[1], body


class Adapter:
    """An RSGI application around a WSGI one."""

    def __init__(self, app: AppThread, *, body_timeout_s: float, scheme: str = "http") -> None:
        """Take the app, and how long a body may take."""
        self._app = app
        self._body_timeout_s = body_timeout_s
        self._scheme = scheme
        self._held = 0
        #: Requests that have no answer yet.
        self.in_flight = 0
        #: Whether only requests that change nothing are answered.
        self.stopping = False

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer a request."""
        method = scope.method
        self.in_flight += 1
        try:
            if self.stopping and method not in _READING:
                status, headers, body = _STOPPING
            else:
                status, headers, body = await self._answered(scope, proto)
            if method == "HEAD" or status in _BODILESS:
                proto.response_empty(status, headers)
            else:
                proto.response_bytes(status, headers, body)
        except asyncio.CancelledError:
            # Granian cancels when the client has gone, and would log what is raised as a fault of ours.
            return
        finally:
            self.in_flight -= 1

    async def _answered(self, scope: Any, proto: Any) -> Response:
        environ = environ_of(scope, self._scheme)
        stated = environ.get("CONTENT_LENGTH")
        if stated in (None, "0") and "HTTP_TRANSFER_ENCODING" not in environ:
            return await self._app.call(environ)
        if stated is not None and int(stated) > MAX_BODY:
            # Not read at all. The app's gate says so, to those whom it tells anything.
            return await self._app.call(environ)
        return await self._with_body(environ, proto, None if stated is None else int(stated))

    async def _with_body(self, environ: dict[str, Any], proto: Any, stated: int | None) -> Response:
        """Whoever has not sent all of it at once is asked for the rest only when the gate lets them in."""
        held = [0]
        reading = asyncio.ensure_future(self._body(proto, held, stated))
        reading.add_done_callback(_heard)
        try:
            if not (await asyncio.wait({reading}, timeout=_AT_ONCE_S))[0]:
                status, headers, said = await self._app.call({**environ, UNREAD: True})
                if status != CONTINUE:
                    return status, [*headers, ("connection", "close")], said
            body = await asyncio.wait_for(reading, self._body_timeout_s)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            return await self._app.call(environ)
        except (asyncio.TimeoutError, TimeoutError):
            return _TOO_SLOW
        except _Refused as refused:
            return refused.answer
        finally:
            reading.cancel()
            self._held -= held[0]

    async def _body(self, proto: Any, held: list[int], stated: int | None) -> bytes:
        """The whole body. `held` says how much of it there is, also when it never comes to its end."""
        pieces, ends = [], 0
        async for piece in proto:
            ends += not piece
            held[0] += len(piece)
            self._held += len(piece)
            if held[0] > MAX_BODY:
                raise _Refused(_TOO_LARGE)
            if self._held > _HELD_MAX:
                raise _Refused(_FULL)
            pieces.append(piece)
        # Granian ends a body with one empty piece, and one that broke off with two.
        if held[0] != stated if stated is not None else ends > 1:
            raise _Refused(_CUT)
        return b"".join(pieces)


def environ_of(scope: Any, scheme: str) -> dict[str, Any]:
    """The WSGI environment of a request whose body is still to come."""
    peer, _, _ = scope.client.rpartition(":")
    name, _, port = scope.server.rpartition(":")
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": _bytes_as_text(scope.path),
        "QUERY_STRING": _bytes_as_text(scope.query_string),
        "REMOTE_ADDR": peer.strip("[]"),
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for header, value in scope.headers.items():
        if "_" in header:  # `x_forwarded_for` would pass for `x-forwarded-for`
            continue
        key = header.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if scope.authority:  # `GET http://name/path`: that name counts
        environ["HTTP_HOST"] = scope.authority
    return environ


def _bytes_as_text(text: str) -> str:
    """What WSGI takes for text: one character a byte."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def _heard(reading: asyncio.Future[bytes]) -> None:
    """Why a body is not taken is of no interest when its client was refused meanwhile."""
    if not reading.cancelled():
        reading.exception()


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # the thread is the app's, and must outlive it
        _log.exception("%r failed", work)
