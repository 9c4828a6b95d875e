"""Passwords as they are stored: `scrypt$log2(n)$r$p$salt$key`, the last two in base64."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from pyjobs.errors import Invalid

__all__ = ["checked_password", "hashed", "is_right"]

#: Memory is 128 · n · r = 16 MiB, and p makes up for what more of it would give.
_LOG_N, _R, _P = 14, 8, 5
_SALT_BYTES, _KEY_BYTES = 16, 32
_SHORTEST, _LONGEST = 8, 1024


def checked_password(password: str) -> str:
    """A password that may be set. Raises Invalid."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise Invalid(
            "password",
            f"it has to have {_SHORTEST} to {_LONGEST} characters",
            f"长度应为 {_SHORTEST} 到 {_LONGEST} 个字符",
        )
    return password


def hashed(password: str) -> str:
    """What is stored for a password."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, _LOG_N, _R, _P)
    return "$".join(("scrypt", str(_LOG_N), str(_R), str(_P), _text(salt), _text(key)))


def is_right(password: str, stored: str) -> bool:
    """Whether it is the password; nothing is right where the stored text is none of ours."""
    try:
        kind, log_n, r, p, salt, key = stored.split("$")
        if kind != "scrypt":
            return False
        found = _scrypt(password[: _LONGEST + 1], base64.b64decode(salt), int(log_n), int(r), int(p))
        return hmac.compare_digest(found, base64.b64decode(key))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    memory = 128 * r * ((1 << log_n) + p + 2)
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=1 << log_n, r=r, p=p, maxmem=memory, dklen=_KEY_BYTES
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
