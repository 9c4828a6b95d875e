"""
Secrets made unreadable before text is shown or written. Pure.

By form: the password in an address, what answers a challenge, values beside names such as `token`. By value: secrets
that are known, such as those of the settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_plus

__all__ = ["MASK", "Masker", "is_secret_header", "mask_url"]

MASK = "***"
#: A challenge (`WWW-Authenticate`) is no secret; what answers it is.
_SECRET_HEADER = re.compile(
    r"auth(?!enticat)|cookie|token|secret|key|passw|pwd|session|credential|signature", re.IGNORECASE
)
#: Narrower than for headers: `keyword=…` in an address is worth reading.
_SECRET_PARAMETER = re.compile(
    r"token|secret|passw|pwd|signature|credential|(?:^|[-_.])(?:api)?key$|apikey|accesskey|^sig$", re.IGNORECASE
)
_USER_INFO = re.compile(r"^([a-z][a-z0-9+.-]*:)?//([^/?#]*)@", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;])([^=&;#]+)=([^&;#]*)")
#: An address in running text: its user and password end at the last `@` before its host ends.
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>|`]+", re.IGNORECASE)
_ANSWER = re.compile(r"\b(Bearer|Basic|Digest)(\s+)[^\s\"',;]+", re.IGNORECASE)
#: A name that tells, `=` or `:`, and a value in quotes or up to what ends one.
_PAIR = re.compile(
    r"(?P<name>[A-Za-z0-9_.-]{0,40}(?:token|secret|passw|pwd|signature|credential|(?:api|access|private)[-_.]?key)"
    r"[A-Za-z0-9_.-]{0,40})(?P<sign>[\"']?\s*[=:]\s*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&\"']+)",
    re.IGNORECASE,
)
#: A shorter one would be found by chance in any text.
_SHORTEST = 6


def is_secret_header(name: str) -> bool:
    """Whether a header, or a variable, of this name carries a secret."""
    return bool(_SECRET_HEADER.search(name))


def mask_url(url: str) -> str:
    """An address with its password, or a user that stands alone, and secret parameters masked."""

    def user_info(match: re.Match[str]) -> str:
        user, colon, _ = match[2].partition(":")
        return f"{match[1] or ''}//{user + ':' + MASK if colon else MASK}@"

    def parameter(match: re.Match[str]) -> str:
        secret = _SECRET_PARAMETER.search(unquote_plus(match[2]))
        return f"{match[1]}{match[2]}={MASK}" if secret else match[0]

    return _PARAMETER.sub(parameter, _USER_INFO.sub(user_info, url))


class Masker:
    """Masks running text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take secrets that are known by value; those under six characters are masked by form only."""
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these too from now on."""
        known = {secret for secret in secrets if len(secret) >= _SHORTEST}
        forms = self._forms | known | {quote(secret, safe="") for secret in known}
        forms |= {json.dumps(secret)[1:-1] for secret in known} | {
            json.dumps(s, ensure_ascii=False)[1:-1] for s in known
        }
        self._forms = forms
        # The longest first: one may be part of another.
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def mask(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if "://" in text:
            text = _ADDRESS.sub(lambda match: mask_url(match[0]), text)
        text = _ANSWER.sub(rf"\1\2{MASK}", text)
        return _PAIR.sub(_pair, text) if "=" in text or ":" in text else text


def _pair(match: re.Match[str]) -> str:
    value = match["value"]
    if value.lower() in ("bearer", "basic", "digest"):
        return match[0]
    mark = value[0] if value[0] in "\"'" else ""
    return f"{match['name']}{match['sign']}{mark}{MASK}{mark}"
