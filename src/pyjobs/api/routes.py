"""
What a route is. One declaration carries all that the router, the validation, the document, the gate and tests read.

The declarations stand beside their handlers, by noun; `table.py` collects them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from pyjobs.api.times import zone_of
from pyjobs.api.written import Written
from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.following import Followed
from pyjobs.ports import Catalogue, ReloadReport
from pyjobs.service import Service

__all__ = [
    "Address",
    "Answer",
    "Call",
    "Functions",
    "Gate",
    "Handler",
    "Json",
    "PageInfo",
    "Refusal",
    "Route",
    "Scope",
    "Site",
]

Address: TypeAlias = IPv4Address | IPv6Address
#: What a caller must be allowed: nothing at all, one of the scopes of a token, or to be an admin with a session.
Scope: TypeAlias = Literal["free", "read", "run", "edit", "admin", "session"]


class Functions(Catalogue, Protocol):
    """The functions that there are, which can be loaded again."""

    def reload(self) -> ReloadReport:
        """Load the files again; answers what became of each."""

    def follow(self, settings: Settings) -> None:
        """Go by other settings from the next reload on."""


class Gate(Protocol):
    """Who may come in (design: api.md, outermost first). `environ` is WSGI's; nothing in it is decoded yet."""

    def admit(self, environ: Mapping[str, Any]) -> Address | Refusal:
        """Before routing: peer address, lists, Host, Origin. Answers the address of the client."""

    def authorise(self, route: Route, environ: Mapping[str, Any], peer: Address) -> Refusal | None:
        """After routing: token and scope, rate. None lets it in."""

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on. Raises Invalid, and goes by the old ones then."""

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Headers of every answer to this request: CORS."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not come in: an HTTP status, which is `code` in the body too, and what to say."""

    status: int
    msg: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Json:
    """A part of an answer that is written already."""

    text: bytes


@dataclass(slots=True)
class Site:
    """What all calls of one process share. `settings` and `functions` change when they are loaded again."""

    settings: Settings
    service: Service
    functions: Functions
    clock: Clock
    gate: Gate
    #: Read the settings again, and go by them. Raises BadSetting and its kin, and goes by the old ones then.
    reload_settings: Callable[[], Followed]
    #: Have the daemon read settings and functions again; False when there is none.
    reload_daemon: Callable[[], bool]
    #: Whether there is a runner over this store.
    scheduler_alive: Callable[[], bool]
    started_ms: int
    #: Why it fires nothing, or nothing new starts, though the daemon lives; empty when all is well.
    scheduler_trouble: Callable[[], str] = str
    #: Jobs of lists as they were written last.
    written: Written = field(default_factory=Written)
    #: The zone of these settings: to ask the system costs more than most answers.
    _zone: tuple[Settings, ZoneInfo] | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone that times are shown in."""
        if self._zone is None or self._zone[0] is not self.settings:
            self._zone = (self.settings, zone_of(self.settings))
        return self._zone[1]

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on. Raises as the gate does, and goes by the old ones then."""
        self.gate.follow(settings)
        self.functions.follow(settings)
        self.service.follow(settings)
        self.settings = settings


@dataclass(slots=True)
class Call:
    """One request, parsed and validated."""

    site: Site
    #: An instance of the route's `params`.
    params: Any
    peer: Address
    #: The prefix that it came by: empty, or `/api`.
    prefix: str
    environ: Mapping[str, Any]

    @property
    def service(self) -> Service:
        """The use cases."""
        return self.site.service

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.site.settings

    @property
    def zone(self) -> ZoneInfo:
        """The zone that times are shown in."""
        return self.site.zone

    @property
    def functions(self) -> Functions:
        """The functions that there are."""
        return self.site.functions


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Which part of a list the answer holds, and how long the whole is."""

    number: int
    size: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What a handler says.

    In the envelope `data` stands beside `code` and `msg`; a bare route sends `data` as it is, or `body`, which is
    sent as its `content_type` says.
    """

    msg: str = ""
    data: Any = None
    page: PageInfo | None = None
    #: Further keys of the envelope.
    beside: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    code: int = 200
    body: bytes | None = None
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler: TypeAlias = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation. `path` begins with a slash, as do `aliases`; each is served under `/api` too."""

    method: Literal["GET", "POST"]
    path: str
    aliases: tuple[str, ...] = ()
    #: In Chinese, as its users are.
    summary: str
    tag: str
    scope: Scope
    handler: Handler
    #: What it takes; None: nothing, and its body is not read.
    params: type[BaseModel] | None = None
    #: What `data` (of a bare route: the body) looks like; None: anything.
    answer: Any = None
    #: `data` is a list with the keys of a page beside it.
    paged: bool = False
    #: Its answer follows from the store, the query and the settings alone: it is kept until one of them changes.
    steady: bool = False
    #: Quick, and changes nothing but the store: several requests may be one commit.
    together: bool = False
    #: No envelope.
    bare: bool = False
    #: The content type of a bare answer that is no JSON.
    media: str = "application/json"
    #: HTTP statuses that it may answer beside those of the gate.
    statuses: tuple[int, ...] = (200,)
    #: Left out of the document: pages and assets.
    hidden: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Its path and its aliases."""
        return (self.path, *self.aliases)
