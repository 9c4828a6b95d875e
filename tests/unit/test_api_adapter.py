"""The adapter between Granian and the app, with a protocol that the test holds in its hands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pyjobs.api.params import CONTINUE, MAX_BODY, UNREAD
from pyjobs.api.rsgi import Adapter, AppThread, Together, environ_of


class Headers:
    """A list of headers, as Granian gives it."""

    def __init__(self, *items: tuple[str, str]) -> None:
        self._items = items

    def items(self) -> Iterable[tuple[str, str]]:
        return self._items


@dataclass
class Scope:
    """A request's head."""

    method: str = "POST"
    path: str = "/x"
    query_string: str = ""
    client: str = "127.0.0.1:5"
    server: str = "127.0.0.1:8000"
    http_version: str = "1.1"
    authority: str | None = None
    headers: Headers = field(default_factory=Headers)


#: A piece that is not there at once.
LATER = b"(later)"


class Proto:
    """A request's body, as pieces; `None` waits for ever. Keeps the answer."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = pieces
        self.status = 0
        self.body = b""
        self.headers: list[tuple[str, str]] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                await asyncio.Event().wait()
                raise AssertionError
            if piece is LATER:
                await asyncio.sleep(0.03)
            else:
                yield piece

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def response_empty(self, status: int, _: list[tuple[str, str]]) -> None:
        self.status = status


class App:
    """A WSGI app that remembers what came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.lengths: list[str | None] = []
        self.closed = False
        self.error: Exception | None = None
        #: What the next call does before anything else.
        self.first: Callable[[], object] | None = None
        #: What a gate says before a body is read.
        self.leave = CONTINUE

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        first, self.first = self.first, None
        if first is not None:
            first()
        if self.error is not None:
            raise self.error
        if UNREAD in environ:
            start_response(f"{self.leave} x", [])
            return [b"no"]
        self.bodies.append(environ["wsgi.input"].read())
        self.lengths.append(environ.get("CONTENT_LENGTH"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hel", b"lo"]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def thread(app: App) -> Iterator[AppThread]:
    thread = AppThread(lambda: (app, app.close))
    thread.start()
    yield thread
    thread.close(5)
    assert app.closed


@pytest.fixture
def adapter(thread: AppThread) -> Adapter:
    return Adapter(thread, body_timeout_s=0.05)


def say(adapter: Adapter, scope: Scope, *pieces: bytes | None) -> Proto:
    proto = Proto(*pieces)
    asyncio.run(adapter.__rsgi__(scope, proto))
    assert adapter.in_flight == 0
    assert adapter._held == 0
    return proto


def stating(length: int) -> Scope:
    return Scope(headers=Headers(("content-length", str(length))))


CHUNKED = Scope(headers=Headers(("transfer-encoding", "chunked")))


def test_a_request_without_a_body_is_answered(adapter: Adapter, app: App) -> None:
    proto = say(adapter, Scope(method="GET"))
    assert (proto.status, proto.body, app.bodies) == (200, b"hello", [b""])


def test_a_body_comes_whole(adapter: Adapter, app: App) -> None:
    say(adapter, stating(5), b"ab", b"cde", b"")
    say(adapter, CHUNKED, b"ab", b"cde", b"")
    assert app.bodies == [b"abcde", b"abcde"]
    assert app.lengths == ["5", "5"]


@pytest.mark.parametrize("scope", [stating(3), stating(1), CHUNKED], ids=["short", "long", "chunks"])
def test_a_body_that_is_not_whole_reaches_nobody(adapter: Adapter, app: App, scope: Scope) -> None:
    assert say(adapter, scope, b"ab", b"", b"").status == 400
    assert app.bodies == []


@pytest.mark.parametrize("scope", [stating(3), CHUNKED], ids=["stated", "chunks"])
def test_a_slow_body_ends_in_408(adapter: Adapter, app: App, scope: Scope) -> None:
    proto = say(adapter, scope, b"ab", None)
    assert proto.status == 408
    assert json.loads(proto.body)["code"] == 408
    assert app.bodies == []


def test_a_body_of_somebody_who_may_not_come_in_is_not_waited_for(adapter: Adapter, app: App) -> None:
    app.leave = 403
    proto = say(adapter, stating(5), b"he", None)
    assert (proto.status, proto.body, app.bodies) == (403, b"no", [])
    assert ("connection", "close") in proto.headers


def test_a_body_that_comes_in_pieces_is_taken_from_somebody_who_may(adapter: Adapter, app: App) -> None:
    assert say(adapter, stating(5), b"he", LATER, b"llo").status == 200
    assert app.bodies == [b"hello"]


def test_a_body_that_is_stated_as_too_large_is_left_to_the_gate_unread(adapter: Adapter, app: App) -> None:
    say(adapter, stating(MAX_BODY + 1), None)
    assert (app.bodies, app.lengths) == ([b""], [str(MAX_BODY + 1)])


def test_a_body_that_grows_too_large_is_cut_short(adapter: Adapter, app: App) -> None:
    proto = say(adapter, CHUNKED, *[b"x" * (MAX_BODY // 4)] * 4, b"x", None)
    assert (proto.status, app.bodies) == (413, [])


def test_the_bodies_of_all_clients_together_are_bounded(adapter: Adapter, app: App) -> None:
    async def many() -> list[Proto]:
        protos = [Proto(b"x" * MAX_BODY, None) for _ in range(70)]
        await asyncio.gather(*(adapter.__rsgi__(CHUNKED, proto) for proto in protos))
        return protos

    assert {proto.status for proto in asyncio.run(many())} == {408, 503}
    assert adapter._held == 0


def test_an_app_that_fails_is_a_500_and_the_next_request_is_answered(adapter: Adapter, app: App) -> None:
    app.error = ValueError("secret")
    proto = say(adapter, Scope(method="GET"))
    assert proto.status == 500
    assert b"secret" not in proto.body
    app.error = None
    assert say(adapter, Scope(method="GET")).status == 200


def test_a_client_that_leaves_is_no_fault_and_its_request_is_not_begun(adapter: Adapter, app: App) -> None:
    hold, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        hold.wait()

    async def leave() -> None:
        app.first = wait
        other = asyncio.ensure_future(adapter.__rsgi__(Scope(method="GET"), Proto()))
        await asyncio.sleep(0)
        assert begun.wait(5)
        task = asyncio.ensure_future(adapter.__rsgi__(Scope(method="GET"), Proto()))
        await asyncio.sleep(0)
        task.cancel()
        await task
        hold.set()
        await other

    asyncio.run(leave())
    assert adapter.in_flight == 0
    assert say(adapter, Scope(method="GET")).status == 200
    assert len(app.bodies) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_all_who_wait_together_are_answered(adapter: Adapter, app: App, method: str) -> None:
    async def many() -> list[Proto]:
        begun, protos = threading.Event(), [Proto() for _ in range(12)]
        app.first = lambda: begun.wait(5)
        asked = [asyncio.ensure_future(adapter.__rsgi__(Scope(method=method), proto)) for proto in protos]
        await asyncio.sleep(0)
        begun.set()
        await asyncio.wait_for(asyncio.gather(*asked), 10)
        return protos

    assert [proto.status for proto in asyncio.run(many())] == [200] * 12
    assert len(app.bodies) == 12


def test_while_it_stops_only_reads_are_answered(adapter: Adapter, app: App) -> None:
    adapter.stopping = True
    statuses = {method: say(adapter, Scope(method=method)).status for method in ("GET", "HEAD", "OPTIONS", "POST", "X")}
    assert statuses == {"GET": 200, "HEAD": 200, "OPTIONS": 200, "POST": 503, "X": 503}
    assert len(app.bodies) == 3


def test_what_a_builder_raises_is_raised_by_start() -> None:
    def build() -> Any:
        raise LookupError("no store")

    with pytest.raises(LookupError, match="no store"):
        AppThread(build).start()


class TestEnviron:
    def test_text_is_bytes_in_latin_1(self) -> None:
        environ = environ_of(Scope(path="/中", query_string="a=文"), "http")
        assert environ["PATH_INFO"].encode("latin-1").decode() == "/中"
        assert environ["QUERY_STRING"].encode("latin-1").decode() == "a=文"

    @pytest.mark.parametrize(("client", "address"), [("127.0.0.1:5", "127.0.0.1"), ("[::1]:5", "::1")])
    def test_the_peer_is_an_address(self, client: str, address: str) -> None:
        assert environ_of(Scope(client=client), "http")["REMOTE_ADDR"] == address

    def test_a_name_in_the_request_line_goes_before_host(self) -> None:
        scope = Scope(authority="evil", headers=Headers(("host", "localhost")))
        assert environ_of(scope, "http")["HTTP_HOST"] == "evil"

    def test_headers_that_come_twice_are_both_there(self) -> None:
        scope = Scope(headers=Headers(("host", "a"), ("host", "b"), ("content-type", "c")))
        environ = environ_of(scope, "http")
        assert (environ["HTTP_HOST"], environ["CONTENT_TYPE"]) == ("a,b", "c")

    def test_a_header_cannot_pass_for_another_one(self) -> None:
        scope = Scope(headers=Headers(("x_forwarded_for", "evil")))
        assert "HTTP_X_FORWARDED_FOR" not in environ_of(scope, "http")


class Commits:
    """Counts; `fails` makes the next one fail at its end."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.fails = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        self.sizes.append(0)
        yield
        if self.fails:
            self.fails = False
            raise OSError("the disk is full")


def _ask_all(adapter: Adapter, app: App, *scopes: Scope) -> list[Proto]:
    """Requests that come while the app is at another one."""
    protos = [Proto(b"body") for _ in scopes]

    async def ask() -> None:
        held = threading.Event()
        app.first = lambda: held.wait(5)
        first = asyncio.ensure_future(adapter.__rsgi__(Scope(method="GET"), Proto()))
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(adapter.__rsgi__(s, p)) for s, p in zip(scopes, protos, strict=True)]
        # It is at the first one, and the others wait; a queue between threads has nothing to wait for.
        while app.first is not None or adapter._app._queue.qsize() < len(scopes):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        held.set()
        await asyncio.gather(first, *rest)

    asyncio.run(ask())
    return protos


def _add(path: str = "/jobs/add") -> Scope:
    return Scope(path=path, headers=Headers(("content-length", "4")))


def test_changes_that_wait_together_are_one_commit(adapter: Adapter, app: App, thread: AppThread) -> None:
    commits = Commits()
    thread.together = Together(frozenset({"/jobs/add"}), commits)
    protos = _ask_all(adapter, app, _add(), _add(), _add("/other"), _add())
    assert [proto.status for proto in protos] == [200] * 4
    assert len(commits.sizes) == 1  # the first two; the last one is behind another and by itself
    assert app.bodies[1:] == [b"body"] * 4


def test_where_the_commit_fails_each_is_asked_again_by_itself(adapter: Adapter, app: App, thread: AppThread) -> None:
    commits = Commits()
    commits.fails = True
    thread.together = Together(frozenset({"/jobs/add"}), commits)
    protos = _ask_all(adapter, app, _add(), _add())
    assert [proto.status for proto in protos] == [200, 200]
    assert app.bodies[1:] == [b"body"] * 4


def test_an_answer_is_handed_over_though_work_of_the_process_itself_waits_behind_it(
    adapter: Adapter, app: App, thread: AppThread
) -> None:
    proto, began, over = Proto(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert over.wait(5)

    async def ask() -> None:
        held = threading.Event()
        app.first = lambda: held.wait(5)
        asked = asyncio.ensure_future(adapter.__rsgi__(Scope(method="GET"), proto))
        while app.first is not None:  # noqa: ASYNC110 - what the other thread does has no event here
            await asyncio.sleep(0.001)
        thread.submit(work)
        held.set()
        await asyncio.wait_for(asked, 5)
        assert began.wait(5)

    try:
        asyncio.run(ask())
    finally:
        over.set()
    assert (proto.status, proto.body) == (200, b"hello")
