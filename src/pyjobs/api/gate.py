"""
Who may come in, outermost first: peer address and lists, Host, Origin, size; after routing token and scope, rate.

What each route needs stands in its declaration (`Route.scope`); nothing here looks at paths.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyjobs.api.params import MAX_BODY
from pyjobs.api.routes import Refusal, Route
from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import PyjobsError
from pyjobs.permits import Address, IpList, Lists, Network, address_of, network_of, split
from pyjobs.service.access import Access, Grants
from pyjobs.service.accounts import Accounts
from pyjobs.service.limits import Limiter

__all__ = ["DoorKeeper", "bearer"]

#: Between two looks at what is stored: a change is effective everywhere within a second.
_LOOK_S = 0.5
#: Last uses of tokens are written this often at most.
_NOTE_S = 60
#: Verdicts on addresses that are kept.
_KNOWN = 1024
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,255}))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://([^/@\s,]{1,270})", re.IGNORECASE)
_NO_ORIGIN = "://"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FROM_HERE = ("", "same-origin", "same-site", "none")
_READING = ("GET", "HEAD")
_REFUSED = {
    IpList.DENY: Refusal(403, "访问被拒绝：IP地址在黑名单中"),
    IpList.ALLOW: Refusal(403, "访问被拒绝：IP地址不在白名单中"),
}
_NO_PEER = Refusal(400, "无法获取客户端IP")
_HOST_UNKNOWN = Refusal(421, "访问被拒绝：Host 不在允许范围内（ALLOWED_HOSTS）")
_ELSEWHERE = Refusal(403, "访问被拒绝：不允许来自其他网站的请求（CORS_ORIGINS）")
_TOO_LARGE = Refusal(413, "请求体超过 1 MiB")
_BAD_LENGTH = Refusal(400, "Content-Length 无效")
_NO_TOKEN = Refusal(401, "未授权：请提供访问令牌", {"WWW-Authenticate": "Bearer"})
_WRONG_TOKEN = Refusal(401, "未授权：令牌无效或已失效", {"WWW-Authenticate": 'Bearer error="invalid_token"'})


@dataclass(slots=True)
class _Known:
    """What is stored, as it was at the last look."""

    revision: str
    lists: Lists
    grants: Grants
    #: REMOTE_ADDR -> verdict.
    verdicts: dict[str, Address | Refusal] = field(default_factory=dict)


class DoorKeeper:
    """The gate (routes.Gate). May be asked by several threads."""

    def __init__(self, settings: Settings, access: Access, accounts: Accounts, clock: Clock) -> None:
        """
        Take what it goes by.

        Raises:
            Invalid, BadSetting: a list cannot be used.
            StoreBusy, StoreUnusable: what is stored cannot be read.
        """
        self._access = access
        self._accounts = accounts
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[int, int] = {}
        self._noted = clock.monotonic()
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on. Raises as the constructor."""
        proxies = tuple(network_of(part, "trusted_proxies") for part in split(settings.trusted_proxies))
        self._access.follow(settings)
        self._known = self._look()
        self._looked = self._clock.monotonic()
        self._proxies: tuple[Network, ...] = proxies
        own = settings.host.lower().rstrip(".")
        self._hosts = {"localhost", own, *(host.lower() for host in split(settings.allowed_hosts))}
        self._origins = {_normal(origin) for origin in split(settings.cors_origins)} - {_NO_ORIGIN}
        self._limiter = Limiter(self._clock, settings.rate_limit)

    # --- before routing ----------------------------------------------------------------------------------------

    def admit(self, environ: Mapping[str, Any]) -> Address | Refusal:
        """Peer address, lists, Host, Origin, size. Answers the address of the client."""
        peer = self._peer(environ)
        if isinstance(peer, Refusal):
            return peer
        host = environ.get("HTTP_HOST", "")
        if not self._serves(host):
            return _HOST_UNKNOWN
        if not self._from_here(environ, host):
            return _ELSEWHERE
        length = environ.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdigit()):
            return _BAD_LENGTH
        return _TOO_LARGE if len(length) > 18 or int(length) > MAX_BODY else peer

    def _peer(self, environ: Mapping[str, Any]) -> Address | Refusal:
        known, remote = self._now(), environ.get("REMOTE_ADDR", "")
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "") if self._proxies else ""
        if forwarded:
            return self._judged(known, self._client(remote, forwarded))
        verdict = known.verdicts.get(remote)
        if verdict is None:
            verdict = self._judged(known, address_of(remote))
            if len(known.verdicts) < _KNOWN:
                known.verdicts[remote] = verdict
        return verdict

    def _client(self, remote: str, forwarded: str) -> Address | None:
        """The right-most hop that is no trusted proxy; None where a hop that counts is no address."""
        address = address_of(remote)
        hops = forwarded.split(",")
        while address is not None and hops and any(address in network for network in self._proxies):
            address = _hop(hops.pop())
        return address

    @staticmethod
    def _judged(known: _Known, address: Address | None) -> Address | Refusal:
        if address is None:
            return _NO_PEER
        refusing = known.lists.refusing(address)
        return address if refusing is None else _REFUSED[refusing]

    def _serves(self, host: str) -> bool:
        """Whether the Host header is one of ours. A literal address always is: rebinding needs a name."""
        match = _HOST.fullmatch(host)
        if not match or int(match[3] or 0) > 65535:
            return False
        if match[1]:
            return address_of(match[1]) is not None
        name = match[2].lower().removesuffix(".")
        if name in self._hosts or address_of(name) is not None:
            return True
        parents = name.split(".")
        return any(f"*.{'.'.join(parents[start:])}" in self._hosts for start in range(1, len(parents)))

    def _from_here(self, environ: Mapping[str, Any], host: str) -> bool:
        """Whether no browser was sent here by a page from elsewhere."""
        origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "")
        if origin is not None:
            normal = _normal(origin)
            if normal in self._origins:
                return True
            scheme, _, authority = normal.partition("://")
            if not authority or authority != host.lower().removesuffix(_DEFAULT_PORTS[scheme]):
                return False
        return site in _FROM_HERE or (origin is None and _is_navigation(environ))

    # --- after routing -----------------------------------------------------------------------------------------

    def authorise(self, route: Route, environ: Mapping[str, Any], peer: Address) -> Refusal | None:
        """Token and scope, then rate. None lets it in."""
        refusal = self._unauthorised(route.scope, environ)
        if refusal is not None:
            return refusal
        wait = self._limiter.wait_s(peer)
        if wait:
            return Refusal(429, f"请求过于频繁，请在 {wait} 秒后重试", {"Retry-After": str(wait)})
        self._limiter.count(peer)
        return None

    def _unauthorised(self, scope: str, environ: Mapping[str, Any]) -> Refusal | None:
        grants = self._now().grants
        if scope == "free" or (scope != "session" and not grants):
            return None
        shown = bearer(environ)
        if not shown:
            return _NO_TOKEN
        if scope == "session":
            return None if self._accounts.session(shown) else _WRONG_TOKEN
        return self._without_grant(scope, grants.match(shown))

    def _without_grant(self, scope: str, found: tuple[int, frozenset[str]] | None) -> Refusal | None:
        if found is None:
            return _WRONG_TOKEN
        token_id, scopes = found
        if scope not in scopes and "admin" not in scopes:
            return Refusal(403, f"访问被拒绝：令牌没有 {scope} 权限")
        self._note(token_id)
        return None

    def _note(self, token_id: int) -> None:
        """Remember the use of a token; it is written once a minute, and not missed where it cannot be."""
        self._used[token_id] = self._clock.now_ms()
        if self._clock.monotonic() - self._noted < _NOTE_S:
            return
        with self._lock:
            self._noted = self._clock.monotonic()
            used, self._used = self._used, {}
        with contextlib.suppress(PyjobsError):
            self._access.note_use(used)

    def close(self) -> None:
        """Write what is still to be written."""
        with contextlib.suppress(PyjobsError):
            self._access.note_use(self._used)

    # --- answers -----------------------------------------------------------------------------------------------

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """CORS headers of every answer to this request: for the pages that the settings name, and no other."""
        if not self._origins:
            return []
        found = [("Vary", "Origin")]
        origin = environ.get("HTTP_ORIGIN", "")
        if _normal(origin) not in self._origins:
            return found
        found += [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", "Retry-After"),
        ]
        if environ.get("REQUEST_METHOD") == "OPTIONS":
            found += [
                ("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"),
                ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
                ("Access-Control-Max-Age", "600"),
            ]
        return found

    # --- what is stored ----------------------------------------------------------------------------------------

    def _now(self) -> _Known:
        """What is stored, not older than a look ago. While the store cannot be read, what was known last holds."""
        if self._clock.monotonic() - self._looked >= _LOOK_S and self._lock.acquire(blocking=False):
            try:
                self._looked = self._clock.monotonic()
                if self._access.revision() != self._known.revision:
                    self._known = self._look()
            except PyjobsError:
                pass
            finally:
                self._lock.release()
        return self._known

    def _look(self) -> _Known:
        # The revision first: what changes meanwhile is seen again at the next look.
        revision = self._access.revision()
        return _Known(revision, self._access.lists(), self._access.grants())


def bearer(environ: Mapping[str, Any]) -> str:
    """The token that a request shows; empty when it shows none."""
    kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer":
        return ""
    raw: str = token.strip()
    return raw if raw.isascii() else raw.encode("latin-1", "replace").decode("utf-8", "replace")


def _hop(text: str) -> Address | None:
    """An entry of X-Forwarded-For; some proxies write the port too."""
    match = _HOST.fullmatch(text.strip())
    return address_of((match[1] or match[2]) if match else text)


def _normal(origin: str) -> str:
    """An origin in lower case and without its scheme's port; `_NO_ORIGIN` for what is none, such as `null`."""
    match = _ORIGIN.fullmatch(origin)
    if not match:
        return _NO_ORIGIN
    scheme = match[1].lower()
    return f"{scheme}://{match[2].lower().removesuffix(_DEFAULT_PORTS[scheme])}"


def _is_navigation(environ: Mapping[str, Any]) -> bool:
    """Whether somebody followed a link: it changes nothing, and the page that it was on sees nothing of the answer."""
    return (
        environ.get("REQUEST_METHOD") in _READING
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        and environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"
    )
