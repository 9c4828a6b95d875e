"""The API as a WSGI callable over a real store, and a client that speaks to it without a socket."""

from __future__ import annotations

import contextlib
import gzip
import io
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fakes import FakeNudge

from pyjobs.api.app import make_app
from pyjobs.api.routes import Address, Refusal, Route, Site
from pyjobs.clock import SystemClock
from pyjobs.config import Settings
from pyjobs.following import Following
from pyjobs.ports import FunctionInfo, ReloadReport
from pyjobs.service import build
from pyjobs.store import open_store

__all__ = ["Api", "OpenGate", "Reply", "an_api"]


class OpenGate:
    """A gate that lets everybody in, unless the test says otherwise."""

    def __init__(self) -> None:
        self.closed: Refusal | None = None
        self.forbidden: Refusal | None = None
        self.asked: list[str] = []
        self.extra: list[tuple[str, str]] = []

    def admit(self, environ: Mapping[str, Any]) -> Address | Refusal:
        """Let in, or say what the test says."""
        return self.closed or ipaddress.ip_address(environ["REMOTE_ADDR"])

    def authorise(self, route: Route, environ: Mapping[str, Any], peer: Address) -> Refusal | None:  # noqa: ARG002
        """Note the route."""
        self.asked.append(route.path)
        return self.forbidden

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:  # noqa: ARG002
        """Give what the test says."""
        return self.extra

    def follow(self, settings: Settings) -> None:
        """Nothing changes."""


class SomeFunctions:
    """Two functions."""

    def functions(self) -> list[FunctionInfo]:
        """Give them, in no order."""
        about = {"description": "它的说明", "signature": "(a: str) -> str", "origin": "built-in"}
        return [FunctionInfo(name=name, **about) for name in ("Echo", "Dayin")]

    def problems(self) -> dict[str, str]:
        """None."""
        return {}

    def check_arguments(self, name: str, arg: str) -> str:  # noqa: ARG002
        """All are right."""
        return ""

    def follow(self, settings: Settings) -> None:
        """Nothing changes."""

    def reload(self) -> ReloadReport:
        """Something changed."""
        return ReloadReport(added=["x"], changed=[], removed=[], refused={"bad.py": "syntax"})


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its document."""
        assert self.headers["Content-Type"].startswith("application/json"), self.headers
        body = gzip.decompress(self.body) if self.headers.get("Content-Encoding") == "gzip" else self.body
        return json.loads(body.decode("utf-8"))

    @property
    def msg(self) -> str:
        """What it says."""
        said: str = self.json["msg"]
        return said

    @property
    def data(self) -> Any:
        """What it holds; it must have succeeded."""
        assert self.json["code"] == 200, self.json
        return self.json["data"]


@dataclass
class Api:
    """The app of one home."""

    site: Site
    gate: OpenGate
    app: Callable[..., Any]
    #: What a reload of the settings reads.
    load_settings: Callable[[], Settings]
    alive: bool = True
    reloads: list[str] = field(default_factory=list)

    def get(self, path: str, query: Mapping[str, Any] | str = "", **headers: str) -> Reply:
        """GET."""
        return self.call("GET", path, query=query, headers=headers)

    def post(self, path: str, document: Any = None, **more: Any) -> Reply:
        """POST a JSON document, or what else is said."""
        if document is not None:
            more = {"body": json.dumps(document, ensure_ascii=False).encode(), "kind": "application/json", **more}
        return self.call("POST", path, **more)

    def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | str = "", body: bytes = b"", kind: str = "",
        headers: Mapping[str, str] | None = None, peer: str = "127.0.0.1",
    ) -> Reply:  # fmt: skip
        """Call the app as a server would."""
        text = query if isinstance(query, str) else urlencode(query)
        environ = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": text.encode().decode("latin-1"), "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000",
            "HTTP_HOST": "127.0.0.1:8000", "REMOTE_ADDR": peer, "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body)) if body else "", "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
            **{f"HTTP_{name.upper()}": value for name, value in (headers or {}).items()},
        }  # fmt: skip
        said: list[Any] = []
        chunks = self.app(environ, lambda status, head, _exc=None: said.extend([status, head]))
        return Reply(int(said[0][:3]), dict(said[1]), b"".join(chunks))

    def add(self, name: str, **more: Any) -> int:
        """Add a job that fires once a year; answers its id."""
        job = {"name": name, "cron_expr": "0 0 0 1 1 *", "mode": "func", "command": "【name】Echo\n【arg】x"}
        added: int = self.post("/jobs/add", {**job, **more}).data["id"]
        return added


@contextlib.contextmanager
def an_api(home: Path, **changes: Any) -> Iterator[Api]:
    """Open a store in `home` and put an app over it."""
    settings = Settings(home=home, **{"timezone": "Asia/Shanghai", **changes})
    clock, gate = SystemClock(), OpenGate()
    service = build(open_store(settings), FakeNudge(), clock, settings.zone_name, settings)
    following = Following(settings, lambda: api.load_settings(), lambda new: site.follow(new))  # noqa: PLW0108 - later
    site = Site(
        settings=settings, service=service, functions=SomeFunctions(), clock=clock, gate=gate,
        reload_settings=following.now, reload_daemon=lambda: True,
        scheduler_alive=lambda: api.alive, started_ms=clock.now_ms(),
    )  # fmt: skip
    api = Api(site, gate, make_app(site), lambda: replace(settings, job_timeout=7))
    try:
        yield api
    finally:
        service.close()
