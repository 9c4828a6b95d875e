"""Addresses, tokens and admins as use cases."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
import pytest
from fakes import FakeClock, MemoryStore

from pyjobs.config import Settings
from pyjobs.errors import Conflict, Invalid, NotAllowed, NotFound
from pyjobs.permits import LOOPBACK, SCOPES, IpList, address_of, network_of, written
from pyjobs.service.access import Access, digest_of
from pyjobs.service.accounts import SESSION_S, Accounts
from pyjobs.service.passwords import hashed, is_right

HERE = LOOPBACK[0]
PASSWORD = "a long password"


@pytest.fixture
def access(memory: MemoryStore, clock: FakeClock) -> Access:
    return Access(memory, clock, Settings(home=Path("/nowhere"), ip_blacklist="192.0.2.0/24"))


@pytest.fixture
def accounts(memory: MemoryStore, clock: FakeClock) -> Accounts:
    return Accounts(memory, clock, lambda: b"s" * 32)


def shown(access: Access, which: IpList) -> list[str]:
    return [entry.network for entry in access.entries(which)]


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("::1", "::1"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("fe80::1%eth0", "fe80::1"),
        ],
    )
    def test_one_form_of_each_is_kept(self, text: str, kept: str) -> None:
        assert written(network_of(text)) == kept

    @pytest.mark.parametrize(
        "text", ["", " ", "300.1.1.1", "1.2.3", "1", "01.2.3.4", "1.2.3.4/33", "::1/129", "a", "*", "1.2.3.4/8/8", "/8"]
    )
    def test_what_is_none_is_named(self, text: str) -> None:
        with pytest.raises(Invalid, match="ip: "):
            network_of(text)

    def test_digits_of_another_script_are_none(self) -> None:
        assert address_of("١٢٧.0.0.1") is None


class TestLists:
    def test_what_is_stored_joins_the_settings(self, access: Access, clock: FakeClock) -> None:
        entry = access.add(IpList.ALLOW, " 10.9.9.9/8 ", "me", me=LOOPBACK)
        assert (entry.network, entry.added_ms, entry.by) == ("10.0.0.0/8", clock.now_ms(), "me")
        assert shown(access, IpList.ALLOW) == ["127.0.0.1", "::1", "10.0.0.0/8"]
        assert shown(access, IpList.DENY) == ["192.0.2.0/24"]

    @pytest.mark.parametrize("ip", ["10.0.0.0/8", "127.0.0.1", "127.0.0.1/32"])
    def test_nothing_is_there_twice(self, access: Access, ip: str) -> None:
        access.add(IpList.ALLOW, "10.0.0.0/8", "me", me=LOOPBACK)
        revision = access.revision()
        with pytest.raises(Conflict):
            access.add(IpList.ALLOW, ip, "me", me=LOOPBACK)
        assert access.revision() == revision

    def test_what_the_settings_say_is_changed_there(self, access: Access) -> None:
        with pytest.raises(NotAllowed, match="comes from IP_BLACKLIST") as caught:
            access.remove(IpList.DENY, "192.0.2.0/24", me=LOOPBACK, force=True)
        assert caught.value.hint() == "change IP_BLACKLIST in the settings"
        with pytest.raises(NotAllowed, match="IP_WHITELIST"):
            access.remove(IpList.ALLOW, "127.0.0.1", me=LOOPBACK, force=True)

    def test_what_is_not_there_cannot_be_removed(self, access: Access) -> None:
        with pytest.raises(NotFound):
            access.remove(IpList.DENY, "10.0.0.1", me=LOOPBACK)

    @pytest.mark.parametrize("ip", ["127.0.0.0/8", "::1", "0.0.0.0/0", "::ffff:127.0.0.1"])
    def test_one_cannot_lock_oneself_out(self, access: Access, ip: str) -> None:
        with pytest.raises(NotAllowed, match="lock out"):
            access.add(IpList.DENY, ip, "me", me=LOOPBACK)
        assert shown(access, IpList.DENY) == ["192.0.2.0/24"]
        access.add(IpList.DENY, ip, "me", me=LOOPBACK, force=True)
        assert any(access.lists().refusing(address) is IpList.DENY for address in LOOPBACK)
        access.remove(IpList.DENY, ip, me=LOOPBACK)

    def test_who_is_out_already_is_not_locked_out(self, access: Access) -> None:
        outside = [ip_address("10.0.0.1")]
        access.add(IpList.DENY, "10.0.0.1", "me", me=outside)
        access.remove(IpList.DENY, "10.0.0.1", me=outside)

    def test_every_change_has_another_revision(self, access: Access) -> None:
        seen = {access.revision()}
        changes: list[Callable[[], Any]] = [
            lambda: access.add(IpList.ALLOW, "10.0.0.1", "me", me=LOOPBACK),
            lambda: access.remove(IpList.ALLOW, "10.0.0.1", me=LOOPBACK),
            lambda: access.add_token("t", ["read"]),
            lambda: access.revoke_token("t"),
        ]
        for change in changes:
            change()
            seen.add(access.revision())
        assert len(seen) == 5


class TestTokens:
    def test_only_a_digest_is_kept(self, access: Access, memory: MemoryStore) -> None:
        token, text = access.add_token("ci", ["run", "read", "run"])
        assert text.startswith("pj_")
        assert len(text) > 40
        assert memory.api_tokens() == [token]
        assert text not in repr(memory.api_tokens())
        assert (token.digest, token.scopes) == (digest_of(text), frozenset({"run", "read"}))
        assert access.grants().match(text) == (token.id, frozenset({"run", "read"}))
        assert access.grants().match(f"{text}x") is None

    @pytest.mark.parametrize(
        ("name", "scopes"),
        [("", ["read"]), (" x", ["read"]), ("a\nb", ["read"]), ("x" * 65, ["read"]), ("x", []), ("x", ["write"])],
    )
    def test_what_is_not_usable_is_refused(self, access: Access, name: str, scopes: list[str]) -> None:
        with pytest.raises(Invalid):
            access.add_token(name, scopes)
        assert access.tokens() == []

    def test_a_name_is_taken_once_and_free_again_after_it_is_revoked(self, access: Access) -> None:
        _, first = access.add_token("ci", ["read"])
        with pytest.raises(Conflict):
            access.add_token("ci", ["admin"])
        access.revoke_token("ci")
        with pytest.raises(NotFound):
            access.revoke_token("ci")
        _, second = access.add_token("ci", ["read"])
        assert access.grants().match(first) is None
        assert access.grants().match(second) is not None

    def test_the_one_of_the_settings_is_good_for_everything_and_has_no_row(
        self, memory: MemoryStore, clock: FakeClock
    ) -> None:
        access = Access(memory, clock, Settings(home=Path("/nowhere"), api_token="secret"))
        found = access.grants().match("secret")
        assert found is not None
        assert found[1] == set(SCOPES)
        access.note_use({found[0]: 5})
        assert access.tokens() == []


class TestPasswords:
    def test_a_password_fits_its_own_text_only(self) -> None:
        first, second = hashed(PASSWORD), hashed(PASSWORD)
        assert first != second, "each has a salt of its own"
        assert [is_right(p, first) for p in (PASSWORD, PASSWORD + " ", "", "密码密码密码密码")] == [True] + [False] * 3

    @pytest.mark.parametrize("stored", ["", "x", "plain", "md5$1$1$1$a$b", "scrypt$x$8$5$AA==$AA==", "scrypt$14$8$5"])
    def test_nothing_fits_what_is_no_hash(self, stored: str) -> None:
        assert not is_right("", stored)
        assert not is_right(stored, stored)


class TestAccounts:
    def test_a_log_in_lasts_its_time(self, accounts: Accounts, clock: FakeClock) -> None:
        added = accounts.add("ops", PASSWORD)
        session = accounts.log_in("ops", PASSWORD, HERE)
        assert session
        assert (session.admin.id, session.admin.login_ms) == (added.id, clock.now_ms())
        clock.advance(SESSION_S - 1)
        found = accounts.session(session.token)
        assert found is not None
        assert found.name == "ops"
        clock.advance(1)
        assert accounts.session(session.token) is None

    def test_who_does_not_know_the_password_has_to_wait(self, accounts: Accounts, clock: FakeClock) -> None:
        accounts.add("ops", PASSWORD)
        for name in ("ops", "nobody", "ops", "OPS", "ops"):
            assert accounts.log_in(name, "wrong password", HERE) is None
        assert accounts.wait_s(HERE) == 12
        assert accounts.wait_s(LOOPBACK[1]) == 0
        clock.advance(12)
        assert accounts.wait_s(HERE) == 0

    def test_a_session_ends_with_what_it_rests_on(self, accounts: Accounts) -> None:
        me, other = accounts.add("me", PASSWORD), accounts.add("other", PASSWORD)
        ends: list[Callable[[], Any]] = [
            lambda: accounts.set_password("other", "another password"),
            lambda: accounts.set_active(other.id, active=False, me=me),
            lambda: accounts.remove(other.id, me=me),
        ]
        for password, end in zip((PASSWORD, "another password", "another password"), ends, strict=True):
            session = accounts.log_in("other", password, HERE) or accounts.log_in(
                accounts.set_active(other.id, active=True, me=me).name, password, HERE
            )
            assert session
            end()
            assert accounts.session(session.token) is None
        assert accounts.log_in("other", "another password", HERE) is None

    def test_nobody_stops_or_removes_themselves(self, accounts: Accounts) -> None:
        me = accounts.add("me", PASSWORD)
        with pytest.raises(NotAllowed):
            accounts.set_active(me.id, active=False, me=me)
        with pytest.raises(NotAllowed):
            accounts.remove(me.id, me=me)
        with pytest.raises(NotFound):
            accounts.remove(me.id + 1, me=me)

    @pytest.mark.parametrize("password", ["", "short", "x" * 1025])
    def test_a_password_has_to_have_a_length(self, accounts: Accounts, password: str) -> None:
        with pytest.raises(Invalid, match="password: "):
            accounts.add("ops", password)
        assert list(accounts.all()) == []

    def test_a_name_is_taken_once(self, accounts: Accounts) -> None:
        accounts.add("ops", PASSWORD)
        with pytest.raises(Conflict):
            accounts.add("ops", PASSWORD)
        with pytest.raises(NotFound):
            accounts.set_password("nobody", PASSWORD)

    def test_a_forged_session_is_none(self, accounts: Accounts, clock: FakeClock) -> None:
        admin = accounts.add("ops", PASSWORD)
        session = accounts.log_in("ops", PASSWORD, HERE)
        assert session
        claims: dict[str, Any] = {
            "sub": admin.name, "uid": admin.id, "epoch": admin.epoch, "exp": clock.now_ms() // 1000 + 60,
        }  # fmt: skip
        head, body, signature = session.token.split(".")
        forged = [
            "",
            "x",
            "a.b.c",
            f"{head}.{body}.",
            f"{head}.{body}.{signature[::-1]}",
            jwt.encode(claims, "", "none"),
            jwt.encode(claims, "s" * 32, "HS256"),
            jwt.encode(claims, accounts._key() + bytes(32), "HS512"),  # HMAC adds such zeros itself
        ]
        forged += [
            jwt.encode({k: v for k, v in claims.items() if k != gone}, accounts._key(), "HS256") for gone in claims
        ]
        forged += [
            jwt.encode({**claims, **other}, accounts._key(), "HS256")
            for other in ({"uid": 99}, {"sub": "admin"}, {"epoch": 1}, {"exp": 1}, {"exp": True}, {"uid": None})
        ]
        for token in forged:
            assert accounts.session(token) is None, token
        assert accounts.session(jwt.encode(claims, accounts._key(), "HS256")) is not None
