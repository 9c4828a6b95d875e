"""What an HTTP run writes and reads as text: masks, content types, the body. Pure: no network, no clock."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Iterable

from pyjobs.masking import MASK, is_secret_header, mask_url

__all__ = ["Body", "content_type", "cookie_line", "header_lines"]

_FORM = re.compile(r"[^\s=&]+=[^\n&]*(?:&[^\s=&]+=[^\n&]*)*")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_ADDRESS_HEADERS = frozenset({"location", "content-location", "referer", "refresh"})
#: What says so is often its larger sibling in truth, as browsers know.
_CHARSETS = {"gb2312": "gb18030", "gbk": "gb18030"}


class Body:
    """
    A body that goes by in chunks: its head is recorded, all of it is searched, none of it is kept.

    Attributes:
        found: whether the wanted text was in what went by; True when nothing is wanted.
        left_out: bytes beyond the limit.
    """

    def __init__(self, content_type: str, *, wanted: str, limit: int) -> None:
        """Take the answer's Content-Type, the text to search for (may be empty), and the bytes to record."""
        charset = _charset(content_type)
        self._shown = _Decoder(charset)
        self._searched = _Decoder(charset)
        self._wanted = wanted
        self._tail = ""
        self._room = limit
        self.found = not wanted
        self.left_out = 0

    def feed(self, chunk: bytes) -> str:
        """Take the next piece; answers the text of it that is to be recorded."""
        self._search(self._searched.decode(chunk) if not self.found else "")
        shown = chunk[: self._room]
        self._room -= len(shown)
        self.left_out += len(chunk) - len(shown)
        return self._shown.decode(shown) if shown else ""

    def finish(self) -> str:
        """Take note that there is no more; answers what is still to be recorded."""
        self._search(self._searched.decode(b"", final=True) if not self.found else "")
        if self.left_out:
            return f"\n… {self.left_out} bytes left out …\n"
        return self._shown.decode(b"", final=True)

    def _search(self, text: str) -> None:
        if self.found:
            return
        text = self._tail + text
        self.found = self._wanted in text
        self._tail = text[max(0, len(text) - len(self._wanted) + 1) :]


def content_type(data: str) -> str:
    """
    What data without a Content-Type is sent as.

    JSON when it parses as such, a form when it looks like `k=v&k=v`, else plain text in UTF-8.
    """
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        pass
    else:
        return "application/json"
    return "application/x-www-form-urlencoded" if _FORM.fullmatch(data) else "text/plain; charset=utf-8"


def cookie_line(*texts: str) -> str:
    """Several `a=1; b=2`, each perhaps over many lines, as the value of one Cookie header."""
    pieces = (line.strip().strip(";").strip() for text in texts for line in text.splitlines())
    return "; ".join(filter(None, pieces))


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """`Name: value` lines, secrets masked; each ends in a newline."""
    return "".join(f"{name}: {_shown_value(name, value)}\n" for name, value in headers)


def _shown_value(name: str, value: str) -> str:
    if is_secret_header(name):
        return MASK
    # The HTTP library reads headers as Latin-1; who sends more than ASCII means UTF-8.
    with contextlib.suppress(UnicodeError):
        value = value.encode("latin-1").decode("utf-8")
    return mask_url(value) if name.lower() in _ADDRESS_HEADERS else value


def _charset(content_type: str) -> str:
    match = _CHARSET.search(content_type)
    name = match[1].lower() if match else "utf-8"
    return _CHARSETS.get(name, name)


class _Decoder:
    """Decodes as it comes, replacing what cannot be read; UTF-8 where a charset is unknown, or fails altogether."""

    def __init__(self, charset: str) -> None:
        try:
            b"\0\0\0\0".decode(charset)
            self._decoder = codecs.getincrementaldecoder(charset)(errors="replace")
        except (LookupError, ValueError):
            self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def decode(self, data: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(data, final)
        except ValueError:
            # UTF-16 without its mark, or a codec that replaces nothing.
            self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            return self._decoder.decode(data, final)
