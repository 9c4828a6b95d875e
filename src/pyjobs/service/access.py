"""Who may come in: the lists of addresses and the tokens. Settings are a base that what is stored joins."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import Conflict, Invalid, NotAllowed, NotFound
from pyjobs.permits import SCOPES, Address, ApiToken, IpEntry, IpList, Lists, network_of, split, written
from pyjobs.ports import Store

__all__ = ["Access", "Grants", "checked_name", "digest_of"]

_REVISION = "access_revision"
_LONGEST_NAME = 64
#: So that a secret scanner knows what it found.
_PREFIX = "pj_"
#: Of the token in the settings, which has no row.
_FROM_SETTINGS = 0


@dataclass(frozen=True, slots=True)
class Grants:
    """The tokens that there are, and what each is good for."""

    tokens: tuple[tuple[int, bytes, frozenset[str]], ...]

    def __bool__(self) -> bool:
        """Whether a token has to be shown at all."""
        return bool(self.tokens)

    def match(self, shown: str) -> tuple[int, frozenset[str]] | None:
        """(id, scopes) of a token; None when there is none like it. Takes as long whichever it is."""
        digest, found = digest_of(shown).encode(), None
        for token_id, known, scopes in self.tokens:
            if hmac.compare_digest(known, digest):
                found = (token_id, scopes)
        return found


class Access:
    """Use cases about addresses and tokens."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        """
        Take what they work on.

        Raises:
            BadSetting: an entry of the settings' lists is no address.
        """
        self._store = store
        self._clock = clock
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Take other settings as the base."""
        self._base = {
            IpList.ALLOW: _base(settings.ip_whitelist, "ip_whitelist"),
            IpList.DENY: _base(settings.ip_blacklist, "ip_blacklist"),
        }
        self._own_token = digest_of(settings.api_token) if settings.api_token else ""

    def revision(self) -> str:
        """A text that changes with every change of what is stored here."""
        return self._store.fact(_REVISION) or ""

    # --- lists -------------------------------------------------------------------------------------------------

    def entries(self, which: IpList) -> list[IpEntry]:
        """One list: what the settings say, then what is stored, oldest first."""
        base = [IpEntry(list=which, network=network) for network in self._base[which]]
        return base + [e for e in self._store.ip_entries() if e.list is which and e.network not in self._base[which]]

    def lists(self) -> Lists:
        """Both lists as they hold now."""
        stored = self._store.ip_entries()
        allow, deny = (
            tuple(network_of(n) for n in (*self._base[which], *(e.network for e in stored if e.list is which)))
            for which in (IpList.ALLOW, IpList.DENY)
        )
        return Lists(allow, deny)

    def add(self, which: IpList, text: str, by: str, *, me: Iterable[Address], force: bool = False) -> IpEntry:
        """
        Add an address or network to a list.

        Args:
            which: the list.
            text: address or CIDR.
            by: who asks, for the record.
            me: addresses of who asks; none of them may be locked out.
            force: even so.

        Raises:
            Invalid: the text is neither.
            Conflict: it is there already.
            NotAllowed: it would lock out who asks.
        """
        entry = IpEntry(list=which, network=written(network_of(text.strip())), added_ms=self._clock.now_ms(), by=by)
        with self._store.transaction():
            before = self.lists()
            if entry.network in self._base[which] or not self._store.add_ip_entry(entry):
                raise Conflict(f"{entry.network} is there already", f"IP {entry.network} 已在{which.zh}中")
            self._stay_in(before, me, force=force)
            self._changed()
        return entry

    def remove(self, which: IpList, text: str, *, me: Iterable[Address], force: bool = False) -> IpEntry:
        """
        Take an address or network from a list. Arguments as of `add`.

        Raises:
            Invalid: the text is neither.
            NotFound: it is not there.
            NotAllowed: it would lock out who asks, or comes from the settings.
        """
        entry = IpEntry(list=which, network=written(network_of(text.strip())))
        if entry.network in self._base[which]:
            raise NotAllowed(
                f"{entry.network} comes from {which.setting}",
                f"IP {entry.network} 由配置 {which.setting} 给出",
                hint=f"change {which.setting} in the settings",
                hint_zh=f"请修改配置 {which.setting}",
            )
        with self._store.transaction():
            before = self.lists()
            if not self._store.remove_ip_entry(entry):
                raise NotFound(
                    f"{entry.network} is not there",
                    f"IP {entry.network} 不在{which.zh}中",
                    hint="see `pyjobs ip status`",
                )
            self._stay_in(before, me, force=force)
            self._changed()
        return entry

    def _stay_in(self, before: Lists, me: Iterable[Address], *, force: bool) -> None:
        after = self.lists()
        for address in me:
            if not force and before.refusing(address) is None and after.refusing(address) is not None:
                raise NotAllowed(
                    f"this would lock out {address}, where you come from",
                    f"这会使当前地址 {address} 无法访问",
                    hint="with `force` it is done all the same",
                    hint_zh="如确需执行，请加上 force",
                )

    # --- tokens ------------------------------------------------------------------------------------------------

    def grants(self) -> Grants:
        """All tokens, the settings' own included, which is good for everything."""
        own = [(_FROM_SETTINGS, self._own_token.encode(), frozenset(SCOPES))] if self._own_token else []
        stored = [(token.id, token.digest.encode(), token.scopes) for token in self._store.api_tokens()]
        return Grants((*own, *stored))

    def tokens(self) -> Sequence[ApiToken]:
        """Stored tokens, oldest first."""
        return self._store.api_tokens()

    def add_token(self, name: str, scopes: Iterable[str]) -> tuple[ApiToken, str]:
        """
        Make a token. Answers it and its text, which cannot be had again.

        Raises:
            Invalid: the name or a scope is none.
            Conflict: there is one of this name.
        """
        wanted = frozenset(scopes)
        for scope in sorted(wanted - set(SCOPES)):
            known = ", ".join(SCOPES)
            raise Invalid("scope", f"there is no `{scope}`, but {known}", f"没有 `{scope}`，可用：{known}")
        if not wanted:
            raise Invalid("scope", "at least one is needed", "至少需要一个")
        text = _PREFIX + secrets.token_urlsafe(32)
        token = ApiToken(
            name=checked_name(name), digest=digest_of(text), scopes=wanted, created_ms=self._clock.now_ms()
        )
        with self._store.transaction():
            stored = self._store.add_api_token(token)
            self._changed()
        return stored, text

    def revoke_token(self, name: str) -> None:
        """Make a token worthless. Raises NotFound."""
        with self._store.transaction():
            if not self._store.remove_api_token(name):
                raise NotFound(
                    f"there is no token `{name}`", f"令牌不存在：`{name}`", hint="see `pyjobs api token list`"
                )
            self._changed()

    def note_use(self, used: Mapping[int, int]) -> None:
        """When tokens were used last: id -> milliseconds."""
        stored = {token_id: at for token_id, at in used.items() if token_id != _FROM_SETTINGS}
        if stored:
            self._store.note_token_use(stored)

    def _changed(self) -> None:
        self._store.set_fact(_REVISION, secrets.token_hex(8))


def digest_of(token: str) -> str:
    """SHA-256 of a token: its 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def checked_name(name: str, field: str = "name") -> str:
    """A name of a token or an admin. Raises Invalid."""
    if not name or name != name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(
            field,
            f"`{name[:_LONGEST_NAME]}` is not usable: 1 to {_LONGEST_NAME} printable characters",
            f"`{name[:_LONGEST_NAME]}` 不可用：应为 1 到 {_LONGEST_NAME} 个可打印字符",
        )
    return name


def _base(text: str, field: str) -> dict[str, None]:
    """The entries of a setting as they are shown, each once, in order."""
    return dict.fromkeys(written(network_of(part, field)) for part in split(text))
