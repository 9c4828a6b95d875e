"""Admins of the API: who they are, how they log in, and the sessions that a log-in gives (JSON web tokens)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import Conflict, NotAllowed, NotFound
from pyjobs.folders import make_private
from pyjobs.permits import Address, Admin
from pyjobs.ports import Store
from pyjobs.service.access import checked_name
from pyjobs.service.limits import Limiter
from pyjobs.service.passwords import checked_password, hashed, is_right

__all__ = ["SESSION_S", "Accounts", "Session", "secret_of"]

#: How long a log-in lasts.
SESSION_S = 12 * 3600
#: Wrong passwords a minute from one client.
_TRIES = 5
_ALGORITHM = "HS256"
_SECRET_BYTES = 32
#: Of nobody; a log-in as nobody takes as long as a wrong password.
_NOBODY = "scrypt$14$8$5$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@dataclass(frozen=True, slots=True)
class Session:
    """What a log-in gives."""

    admin: Admin
    token: str
    expires_ms: int


class Accounts:
    """Use cases about admins."""

    def __init__(self, store: Store, clock: Clock, secret: Callable[[], bytes]) -> None:
        """Take what they work on; `secret` signs sessions and is asked for at first use."""
        self._store = store
        self._clock = clock
        self._secret = secret
        self._failures = Limiter(clock, _TRIES)

    def all(self) -> Sequence[Admin]:
        """All admins, oldest first."""
        return self._store.admins()

    def add(self, name: str, password: str) -> Admin:
        """
        Add an admin.

        Raises:
            Invalid: the name or the password is not usable.
            Conflict: there is one of this name.
        """
        now = self._clock.now_ms()
        password = hashed(checked_password(password))
        return self._store.add_admin(Admin(name=checked_name(name, "username"), password=password, created_ms=now))

    def set_password(self, name: str, password: str) -> Admin:
        """Give an admin another password and let them in again; sessions end. Raises Invalid, NotFound."""
        stored = hashed(checked_password(password))
        with self._store.transaction():
            admin = self._named(name)
            changed = replace(admin, password=stored, active=True, epoch=admin.epoch + 1)
            self._store.update_admin(changed)
        return changed

    def set_active(self, admin_id: int, *, active: bool, me: Admin) -> Admin:
        """Let an admin log in or not; sessions end at once. Raises NotFound, NotAllowed (oneself)."""
        with self._store.transaction():
            admin = self._other(admin_id, me)
            changed = replace(admin, active=active, epoch=admin.epoch + (not active))
            self._store.update_admin(changed)
        return changed

    def remove(self, admin_id: int, *, me: Admin) -> Admin:
        """Delete an admin; sessions end at once. Raises NotFound, NotAllowed (oneself)."""
        with self._store.transaction():
            admin = self._other(admin_id, me)
            self._store.remove_admin(admin_id)
        return admin

    def wait_s(self, peer: Address) -> int:
        """Seconds until a client may try to log in again: it was wrong too often. 0: now."""
        return self._failures.wait_s(peer)

    def log_in(self, name: str, password: str, peer: Address) -> Session | None:
        """Open a session; None when name and password do not fit, or the admin may not."""
        import jwt

        found = next((admin for admin in self._store.admins() if admin.name == name), None)
        right = is_right(password, found.password if found else _NOBODY)
        if found is None or not right or not found.active:
            self._failures.count(peer)
            return None
        now = self._clock.now_ms()
        admin = replace(found, login_ms=now)
        self._store.update_admin(admin)
        expires = now // 1000 + SESSION_S
        claims = {"sub": admin.name, "uid": admin.id, "epoch": admin.epoch, "iat": now // 1000, "exp": expires}
        return Session(admin, jwt.encode(claims, self._key(), _ALGORITHM), expires * 1000)

    def session(self, token: str) -> Admin | None:
        """The admin whose valid session this is; None when it is none, or over."""
        import jwt

        # Ages are judged by our own clock, as all others are.
        options = {"require": ["sub", "exp", "uid", "epoch"], "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key(), algorithms=[_ALGORITHM], options=options)  # type: ignore[arg-type, unused-ignore]
        except jwt.PyJWTError:
            return None
        if not isinstance(claims["exp"], int) or claims["exp"] * 1000 <= self._clock.now_ms():
            return None
        for admin in self._store.admins():
            if (admin.id, admin.name, admin.epoch) == (claims["uid"], claims["sub"], claims["epoch"]) and admin.active:
                return admin
        return None

    def _key(self) -> bytes:
        return hashlib.sha256(b"pyjobs admin session\0" + self._secret()).digest()

    def _named(self, name: str) -> Admin:
        for admin in self._store.admins():
            if admin.name == name:
                return admin
        raise NotFound(f"there is no admin `{name}`", f"管理员不存在：`{name}`")

    def _other(self, admin_id: int, me: Admin) -> Admin:
        for admin in self._store.admins():
            if admin.id == admin_id:
                break
        else:
            raise NotFound(f"there is no admin with id `{admin_id}`", "管理员不存在")
        if admin.id == me.id:
            raise NotAllowed("one cannot lock oneself out", "不能停用或删除自己")
        return admin


def secret_of(settings: Settings) -> bytes:
    """
    What signs sessions: `api_secret_key`, or a file of this home that is made at first use, for its owner only.

    Raises:
        NotAllowed: the file is none that only its owner can read.
    """
    if settings.api_secret_key:
        return settings.api_secret_key.encode()
    path = settings.home / "data" / "api-secret"
    for _ in range(2):
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
    raise Conflict(f"`{path}` comes and goes", f"`{path}` 无法稳定读取")


def _make(path: Path) -> None:
    """Make it whole or not at all: of two that start at once, the second takes what the first made."""
    make_private(path.parent)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise _unusable(path, "others than its owner can read it")
        found = file.read(_SECRET_BYTES + 1)
    if len(found) != _SECRET_BYTES:
        raise _unusable(path, "it does not hold 32 bytes")
    return found


def _unusable(path: Path, why: str) -> NotAllowed:
    return NotAllowed(
        f"`{path}` is not usable: {why}",
        f"`{path}` 不可用：{why}",
        hint="remove it: another one is made, and admins log in again",
        hint_zh="请删除该文件：将重新生成，管理员需重新登录",
    )
