"""The gate before routing, as tables: peer and proxies, lists, Host, Origin, size; CORS; what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import FakeClock, MemoryStore

from pyjobs.api.gate import DoorKeeper
from pyjobs.api.routes import Answer, Refusal, Route, Scope
from pyjobs.config import Settings
from pyjobs.errors import Invalid, StoreBusy
from pyjobs.permits import LOOPBACK, IpEntry, IpList
from pyjobs.service.access import Access
from pyjobs.service.accounts import Accounts

EVERYBODY = "0.0.0.0/0,::/0"
HERE = ip_address("127.0.0.1")


def request(**headers: str) -> dict[str, Any]:
    """What a browser or program at this machine sends, less and more as said."""
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000", "REQUEST_METHOD": "GET"} | headers
    return {name: value for name, value in environ.items() if value != "absent"}


class Kit:
    """A gate over a store in memory, and the use cases that change what is stored."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.store = FakeClock(), MemoryStore()
        self.settings = Settings(home=Path("/nowhere"), **settings)
        self.access = Access(self.store, self.clock, self.settings)
        self.accounts = Accounts(self.store, self.clock, lambda: b"s" * 32)
        self.gate = DoorKeeper(self.settings, self.access, self.accounts, self.clock)

    def admit(self, **headers: str) -> str:
        """The address that a request is taken for, or the status that it is refused with."""
        found = self.gate.admit(request(**headers))
        return str(found.status) if isinstance(found, Refusal) else str(found)

    def ask(self, scope: str, token: str = "", **headers: str) -> int:
        """The status of a request to a route that needs `scope`; 200 when it is let in."""
        route = Route(
            method="GET", path="/x", summary="x", tag="x", scope=cast(Scope, scope), handler=lambda _: Answer()
        )
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
        found = self.gate.authorise(route, request(**bearer, **headers), HERE)
        return found.status if found else 200


class TestPeer:
    @pytest.mark.parametrize(
        ("remote", "verdict"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),  # a listener on `::` sees IPv4 so
            ("::ffff:7f00:1", "127.0.0.1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("127.0.0.2", "403"),
            ("10.0.0.1", "403"),
            ("::ffff:10.0.0.1", "403"),
            ("fe80::1%eth0", "403"),
            ("0177.0.0.1", "400"),  # octal
            ("0x7f.0.0.1", "400"),
            ("2130706433", "400"),
            ("127.1", "400"),
            ("127.0.0.1, 10.0.0.1", "400"),
            ("localhost", "400"),
            ("", "400"),
            ("absent", "400"),
        ],
    )
    def test_by_default_only_this_machine_comes_in(self, remote: str, verdict: str) -> None:
        assert Kit().admit(REMOTE_ADDR=remote) == verdict

    @pytest.mark.parametrize("header", ["X_FORWARDED_FOR", "X_REAL_IP", "FORWARDED", "CLIENT_IP", "X_CLIENT_IP"])
    @pytest.mark.parametrize("value", ["127.0.0.1", "::1", "for=127.0.0.1", "127.0.0.1, 127.0.0.1"])
    def test_nobody_becomes_another_by_a_header(self, header: str, value: str) -> None:
        assert Kit().admit(REMOTE_ADDR="10.9.9.9", **{f"HTTP_{header}": value}) == "403"
        proxied = Kit(ip_whitelist="127.0.0.1", trusted_proxies="10.0.0.0/24")
        assert proxied.admit(REMOTE_ADDR="10.9.9.9", **{f"HTTP_{header}": value}) == "403"

    @pytest.mark.parametrize(
        ("remote", "forwarded", "verdict"),
        [
            ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "127.0.0.1, 192.0.2.7", "192.0.2.7"),  # what the client itself wrote stands on the left
            ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("10.0.0.1", "192.0.2.7,10.0.0.2,10.0.0.3", "192.0.2.7"),
            ("10.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "absent", "10.0.0.1"),
            ("10.0.0.1", "192.0.2.7:5123", "192.0.2.7"),
            ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
            ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
            ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "203.0.113.9", "403"),  # on the blacklist
            ("10.0.0.1", "unknown", "400"),
            ("10.0.0.1", "192.0.2.7, unknown", "400"),
            ("10.0.0.1", "0300.0.2.7", "400"),
            ("10.0.0.1", "192.0.2.7,", "400"),
            ("172.16.0.1", "192.0.2.7", "172.16.0.1"),  # no proxy of ours
        ],
    )
    def test_a_trusted_proxy_says_who_it_is(self, remote: str, forwarded: str, verdict: str) -> None:
        kit = Kit(ip_whitelist=EVERYBODY, ip_blacklist="203.0.113.0/24", trusted_proxies="10.0.0.0/24")
        assert kit.admit(REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded) == verdict


class TestLists:
    @pytest.mark.parametrize(
        ("allow", "deny", "remote", "verdict"),
        [
            ("192.168.1.0/24", "", "192.168.1.255", "192.168.1.255"),
            ("192.168.1.0/24", "", "192.168.2.0", "403"),
            ("192.168.1.7/24", "", "192.168.1.255", "192.168.1.255"),  # bits after the prefix are dropped
            ("192.168.1.0/24", "", "127.0.0.1", "403"),
            ("192.168.1.0/24", "192.168.1.100", "192.168.1.100", "403"),  # the blacklist wins
            ("192.168.1.0/24", "192.168.1.100", "::ffff:192.168.1.100", "403"),
            ("192.168.1.100", "192.168.0.0/16", "192.168.1.100", "403"),
            ("::ffff:10.0.0.0/104", "", "10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "", "10.1.2.3", "10.1.2.3"),
            ("2001:db8::/32", "", "2001:db8:ffff::1", "2001:db8:ffff::1"),
            ("2001:db8::/32", "", "2001:db9::1", "403"),
            ("0.0.0.0/0", "", "::1", "403"),  # all of IPv4 is none of IPv6
            (EVERYBODY, "::/0", "::1", "403"),
            (" 10.0.0.1 , ,127.0.0.1 ", "", "127.0.0.1", "127.0.0.1"),
        ],
    )
    def test_who_may(self, allow: str, deny: str, remote: str, verdict: str) -> None:
        assert Kit(ip_whitelist=allow, ip_blacklist=deny).admit(REMOTE_ADDR=remote) == verdict

    def test_the_answer_says_which_list(self) -> None:
        kit = Kit(ip_blacklist="10.0.0.0/8")
        denied = kit.gate.admit(request(REMOTE_ADDR="10.0.0.1"))
        assert denied == Refusal(403, "访问被拒绝：IP地址在黑名单中")
        assert kit.gate.admit(request(REMOTE_ADDR="11.0.0.1")) == Refusal(403, "访问被拒绝：IP地址不在白名单中")

    @pytest.mark.parametrize("name", ["ip_whitelist", "ip_blacklist", "trusted_proxies"])
    @pytest.mark.parametrize("text", ["300.1.1.1", "10.0.0.0/33", "010.0.0.1", "localhost", "10.0.0.1;11.0.0.1", "*"])
    def test_a_list_that_is_none_is_no_gate(self, name: str, text: str) -> None:
        with pytest.raises(Invalid, match=f"{name}: `"):
            Kit(**{name: text})

    def test_addresses_without_end_are_not_remembered(self) -> None:
        kit = Kit()
        for number in range(5000):
            assert kit.admit(REMOTE_ADDR=f"10.0.{number // 250}.{number % 250}") == "403"
        assert len(kit.gate._known.verdicts) <= 1024


class TestHost:
    @pytest.mark.parametrize(
        ("host", "verdict"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:8000", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("LOCALHOST:8000", "127.0.0.1"),
            ("localhost.", "127.0.0.1"),
            ("[::1]:8000", "127.0.0.1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("192.168.1.5:8000", "127.0.0.1"),  # rebinding needs a name
            ("jobs.example.com", "127.0.0.1"),
            ("Jobs.Example.com:443", "127.0.0.1"),
            ("a.b.intern.example.com", "127.0.0.1"),
            ("intern.example.com", "421"),
            ("evil.example", "421"),
            ("127.0.0.1.nip.io", "421"),
            ("127.0.0.1.nip.io:8000", "421"),
            ("localhost.evil.example", "421"),
            ("evil.example:127.0.0.1", "421"),
            ("xintern.example.com", "421"),
            ("jobs.example.com.evil.example", "421"),
            ("2130706433", "421"),
            ("0177.0.0.1", "421"),
            ("127.1", "421"),
            ("127.0.0.1,evil.example", "421"),  # twice, as servers join them
            ("127.0.0.1, 127.0.0.1", "421"),
            ("user@127.0.0.1", "421"),
            ("127.0.0.1/", "421"),
            ("127.0.0.1:", "421"),
            ("127.0.0.1:99999", "421"),
            ("127.0.0.1:80:80", "421"),
            ("[::1", "421"),
            ("[localhost]", "421"),
            ("::1", "421"),
            ("127.0.0.1\n", "421"),
            (" localhost", "421"),
            ("ｌocalhost", "421"),
            ("", "421"),
            ("absent", "421"),
        ],
    )
    def test_which_names_are_served(self, host: str, verdict: str) -> None:
        kit = Kit(allowed_hosts="Jobs.example.com, *.intern.example.com")
        assert kit.admit(HTTP_HOST=host) == verdict

    def test_the_name_that_it_listens_on_is_served(self) -> None:
        assert Kit(host="box.lan").admit(HTTP_HOST="box.lan:8000") == "127.0.0.1"

    def test_the_address_is_looked_at_first(self) -> None:
        assert Kit().admit(REMOTE_ADDR="10.0.0.1", HTTP_HOST="evil.example") == "403"

    def test_another_name_in_another_header_helps_nobody(self) -> None:
        assert Kit().admit(HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="localhost") == "421"


NAVIGATION = {
    "HTTP_SEC_FETCH_SITE": "cross-site",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}


class TestOrigin:
    @pytest.mark.parametrize(
        ("headers", "comes_in"),
        [
            ({}, True),  # a program
            ({"HTTP_ORIGIN": "http://127.0.0.1:8000"}, True),
            ({"HTTP_ORIGIN": "HTTP://127.0.0.1:8000"}, True),
            ({"HTTP_ORIGIN": "http://127.0.0.1:8000", "HTTP_SEC_FETCH_SITE": "same-origin"}, True),
            ({"HTTP_ORIGIN": "http://localhost", "HTTP_HOST": "localhost:80"}, True),
            ({"HTTP_ORIGIN": "https://localhost:443", "HTTP_HOST": "localhost"}, True),
            ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
            ({"HTTP_SEC_FETCH_SITE": "none"}, True),  # typed by its user
            (NAVIGATION, True),  # a link that was followed
            ({"HTTP_ORIGIN": "https://evil.example"}, False),
            ({"HTTP_ORIGIN": "http://127.0.0.1:3000"}, False),  # another program at this machine
            ({"HTTP_ORIGIN": "http://127.0.0.1"}, False),
            ({"HTTP_ORIGIN": "http://localhost:8000"}, False),  # the same place by another name is another origin
            ({"HTTP_ORIGIN": "http://127.0.0.1:8000.evil.example"}, False),
            ({"HTTP_ORIGIN": "http://127.0.0.1:8000, https://evil.example"}, False),
            ({"HTTP_ORIGIN": "null"}, False),
            ({"HTTP_ORIGIN": ""}, False),
            ({"HTTP_ORIGIN": "://"}, False),
            ({"HTTP_ORIGIN": "file://"}, False),
            ({"HTTP_ORIGIN": "chrome-extension://127.0.0.1:8000"}, False),
            ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),  # <img>, <script>
            ({"HTTP_SEC_FETCH_SITE": "cross-site, none"}, False),
            ({"HTTP_SEC_FETCH_SITE": "Cross-Site"}, False),
            ({"HTTP_ORIGIN": "http://127.0.0.1:8000", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
            ({**NAVIGATION, "HTTP_SEC_FETCH_DEST": "iframe"}, False),
            ({**NAVIGATION, "HTTP_SEC_FETCH_MODE": "no-cors"}, False),
            ({**NAVIGATION, "REQUEST_METHOD": "POST"}, False),
            ({**NAVIGATION, "HTTP_ORIGIN": "null"}, False),
        ],
    )
    def test_what_a_page_elsewhere_may_not(self, headers: Mapping[str, str], comes_in: bool) -> None:
        assert Kit().admit(**headers) == ("127.0.0.1" if comes_in else "403")
        if "REQUEST_METHOD" not in headers and headers != NAVIGATION:
            assert Kit().admit(**headers, REQUEST_METHOD="POST") == ("127.0.0.1" if comes_in else "403")

    def test_a_page_that_the_settings_name_may(self) -> None:
        kit = Kit(cors_origins="https://Ops.example.com, http://localhost:3000")
        for origin in ("https://ops.example.com", "https://ops.example.com:443", "http://localhost:3000"):
            found = kit.admit(HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE="cross-site", REQUEST_METHOD="POST")
            assert found == "127.0.0.1"
        for origin in ("http://ops.example.com", "https://ops.example.com:444", "https://x.ops.example.com", "null"):
            assert kit.admit(HTTP_ORIGIN=origin) == "403"

    def test_cors_headers_are_for_those_pages_only(self) -> None:
        kit = Kit(cors_origins="https://ops.example.com")
        for origin in ("https://evil.example", "null", "http://127.0.0.1:8000", "absent"):
            assert kit.gate.headers(request(HTTP_ORIGIN=origin)) == [("Vary", "Origin")]
        headers = dict(kit.gate.headers(request(HTTP_ORIGIN="https://ops.example.com")))
        assert headers["Access-Control-Allow-Origin"] == "https://ops.example.com"
        assert "Access-Control-Allow-Methods" not in headers
        preflight = dict(kit.gate.headers(request(HTTP_ORIGIN="https://ops.example.com", REQUEST_METHOD="OPTIONS")))
        assert preflight["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
        assert Kit().gate.headers(request(HTTP_ORIGIN="https://ops.example.com")) == []

    @pytest.mark.parametrize("nothing", ["*", "null", "example.com"])
    def test_a_setting_that_names_no_origin_names_nobody(self, nothing: str) -> None:
        kit = Kit(cors_origins=nothing)
        for origin in (nothing, "null", "https://evil.example"):
            assert kit.admit(HTTP_ORIGIN=origin) == "403"
            assert kit.gate.headers(request(HTTP_ORIGIN=origin)) == []


class TestSize:
    @pytest.mark.parametrize(
        ("length", "verdict"),
        [
            ("absent", "127.0.0.1"),
            ("", "127.0.0.1"),
            ("0", "127.0.0.1"),
            (str(1 << 20), "127.0.0.1"),
            (str((1 << 20) + 1), "413"),
            ("9" * 5000, "413"),
            ("-1", "400"),
            ("+5", "400"),
            ("5, 5", "400"),
            ("0x10", "400"),
            ("٣", "400"),
        ],
    )
    def test_a_body_that_is_announced_too_large_is_not_read(self, length: str, verdict: str) -> None:
        assert Kit().admit(CONTENT_LENGTH=length, REQUEST_METHOD="POST") == verdict


class TestTokens:
    def test_without_any_token_nobody_needs_one_but_for_a_session(self) -> None:
        kit = Kit()
        for scope in ("free", "read", "run", "edit", "admin"):
            assert kit.ask(scope) == 200
        assert (kit.ask("session"), kit.ask("session", "whatever")) == (401, 401)

    @pytest.mark.parametrize(
        ("scopes", "may"),
        [
            (["read"], {"read"}),
            (["run"], {"run"}),
            (["edit"], {"edit"}),
            (["read", "run"], {"read", "run"}),
            (["admin"], {"read", "run", "edit", "admin"}),
        ],
    )
    def test_a_token_is_good_for_its_scopes(self, scopes: list[str], may: set[str]) -> None:
        kit = Kit()
        _, text = kit.access.add_token("t", scopes)
        kit.clock.advance(1)
        for scope in ("read", "run", "edit", "admin"):
            assert kit.ask(scope, text) == (200 if scope in may else 403)
            assert kit.ask(scope) == 401
        assert kit.ask("free") == 200
        assert kit.ask("session", text) == 401

    def test_the_token_of_the_settings_is_good_for_everything(self) -> None:
        kit = Kit(api_token="geheim-密钥")
        raw = "geheim-密钥".encode().decode("latin-1")  # as a server hands a header over
        assert [kit.ask("admin", t) for t in (raw, "geheim", "GEHEIM-密钥", "")] == [200, 401, 401, 401]

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("Bearer {}", 200),
            ("bearer  {} ", 200),
            ("Basic {}", 401),
            ("Token {}", 401),
            ("{}", 401),
            ("Bearer", 401),
            ("Bearer {} {}", 401),
            ("Bearer {}, Bearer {}", 401),
            ("Bearer \udcff", 401),
        ],
    )
    def test_it_is_shown_as_a_bearer_token_only(self, header: str, status: int) -> None:
        kit = Kit(api_token="the token")
        assert kit.ask("read", HTTP_AUTHORIZATION=header.replace("{}", "the token")) == status

    def test_a_revoked_one_is_worthless_within_a_second(self) -> None:
        kit = Kit(api_token="so that one is needed")
        _, text = kit.access.add_token("t", ["read"])
        kit.clock.advance(0.5)
        assert kit.ask("read", text) == 200
        kit.access.revoke_token("t")
        kit.clock.advance(0.5)
        assert kit.ask("read", text) == 401

    def test_its_last_use_is_written_now_and_then(self) -> None:
        kit = Kit()
        token, text = kit.access.add_token("t", ["read"])
        kit.clock.advance(1)
        assert kit.ask("read", text) == 200
        assert kit.access.tokens() == [token]
        kit.clock.advance(60)
        assert kit.ask("read", text) == 200
        assert kit.access.tokens()[0].used_ms == kit.clock.now_ms()
        kit.clock.advance(5)
        kit.ask("read", text)
        kit.gate.close()
        assert kit.access.tokens()[0].used_ms == kit.clock.now_ms()

    def test_a_session_opens_what_needs_one_until_it_ends(self) -> None:
        kit = Kit()
        kit.accounts.add("ops", "a long password")
        session = kit.accounts.log_in("ops", "a long password", HERE)
        assert session
        assert kit.ask("session", session.token) == 200
        kit.accounts.set_password("ops", "another password")
        assert kit.ask("session", session.token) == 401


class TestRate:
    def test_more_than_the_limit_has_to_wait(self) -> None:
        kit = Kit(rate_limit=60)
        assert [kit.ask("read") for _ in range(61)] == [200] * 60 + [429]
        kit.clock.advance(1)
        assert [kit.ask("read") for _ in range(2)] == [200, 429]

    def test_the_answer_says_how_long(self) -> None:
        kit = Kit(rate_limit=6)
        route = Route(method="GET", path="/x", summary="x", tag="x", scope="free", handler=lambda _: Answer())
        for _ in range(6):
            assert kit.gate.authorise(route, request(), HERE) is None
        refusal = kit.gate.authorise(route, request(), HERE)
        assert refusal == Refusal(429, "请求过于频繁，请在 10 秒后重试", {"Retry-After": "10"})
        assert kit.gate.authorise(route, request(), LOOPBACK[1]) is None

    def test_one_network_of_ipv6_is_one_client(self) -> None:
        kit = Kit(rate_limit=1)
        route = Route(method="GET", path="/x", summary="x", tag="x", scope="free", handler=lambda _: Answer())
        found = [kit.gate.authorise(route, request(), ip_address(f"2001:db8::{n}")) for n in range(1, 3)]
        assert [refusal is None for refusal in found] == [True, False]
        assert kit.gate.authorise(route, request(), ip_address("2001:db8:0:1::1")) is None

    def test_clients_without_end_are_not_remembered(self) -> None:
        kit = Kit(rate_limit=10)
        for number in range(12_000):
            kit.gate._limiter.count(ip_address(number))
        assert len(kit.gate._limiter._left) == 10_000


class TestStored:
    def test_a_change_is_effective_within_a_second(self) -> None:
        kit = Kit()
        assert kit.admit(REMOTE_ADDR="10.1.2.3") == "403"
        kit.access.add(IpList.ALLOW, "10.0.0.0/8", "me", me=LOOPBACK)
        kit.clock.advance(0.5)
        assert kit.admit(REMOTE_ADDR="10.1.2.3") == "10.1.2.3"
        kit.access.add(IpList.DENY, "10.1.0.0/16", "me", me=LOOPBACK)
        kit.clock.advance(0.5)
        assert kit.admit(REMOTE_ADDR="10.1.2.3") == "403"
        kit.access.remove(IpList.DENY, "10.1.0.0/16", me=LOOPBACK)
        kit.access.remove(IpList.ALLOW, "10.0.0.0/8", me=LOOPBACK)
        kit.clock.advance(0.5)
        assert kit.admit(REMOTE_ADDR="10.1.2.3") == "403"

    def test_while_the_store_cannot_be_read_what_was_known_last_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kit = Kit(ip_blacklist="10.0.0.0/8")

        def busy() -> str:
            raise StoreBusy("locked by the test")

        with monkeypatch.context() as patched:
            patched.setattr(kit.store, "fact", lambda _: busy())
            kit.clock.advance(60)
            assert (kit.admit(), kit.admit(REMOTE_ADDR="10.0.0.1")) == ("127.0.0.1", "403")
        kit.access.add(IpList.DENY, "::1", "me", me=())
        kit.clock.advance(0.5)
        assert kit.admit(REMOTE_ADDR="::1") == "403"

    def test_a_stored_row_that_makes_no_sense_opens_nothing(self) -> None:
        kit = Kit()
        kit.store.add_ip_entry(IpEntry(list=IpList.ALLOW, network="everybody"))
        kit.store.set_fact("access_revision", "changed by hand")
        kit.clock.advance(0.5)
        assert (kit.admit(), kit.admit(REMOTE_ADDR="10.0.0.1")) == ("127.0.0.1", "403")
        with pytest.raises(Invalid, match="everybody"):
            DoorKeeper(kit.settings, kit.access, kit.accounts, kit.clock)

    def test_other_settings_are_gone_by_from_then_on(self) -> None:
        kit = Kit()
        assert kit.admit(REMOTE_ADDR="10.1.2.3", HTTP_HOST="jobs.lan") == "403"
        kit.gate.follow(Settings(home=Path("/nowhere"), ip_whitelist="10.0.0.0/8", allowed_hosts="jobs.lan"))
        assert kit.admit(REMOTE_ADDR="10.1.2.3", HTTP_HOST="jobs.lan") == "10.1.2.3"
        assert kit.admit() == "403"
