"""Why a request failed, in plain words: what requests and urllib3 raise is nested, long, and may hold secrets."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import requests.exceptions
import urllib3.exceptions

from pyjobs.httpclient.wire import RequestFailed

__all__ = ["explain"]

_NO_ADDRESS = "the address cannot be used"
_ENCODING = re.compile(r"content-encoding: ([\w, -]+),")


def explain(exc: BaseException, *, began: bool) -> str:
    """
    Find the words for an exception; never the representation of nested ones, never an address or a header.

    Args:
        exc: what a request raised.
        began: whether its answer had begun.
    """
    chain = list(_causes(exc, set()))
    for kinds, words in _WORDS:
        for cause in chain:
            text = words(cause) if isinstance(cause, kinds) else ""
            if text:
                return text
    if any(isinstance(cause, _BROKEN) for cause in chain):
        return (
            "the connection broke before the answer was whole" if began else "the connection closed without an answer"
        )
    if any(isinstance(cause, http.client.HTTPException) for cause in chain):
        return "the answer is not HTTP"
    if not began and any(isinstance(cause, ValueError) for cause in chain):
        return _NO_ADDRESS
    told = [cause.strerror for cause in chain if isinstance(cause, OSError) and cause.strerror]
    return f"the request failed: {told[-1] if told else type(exc).__name__}"


def _causes(exc: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """An exception and all that it wraps, by whatever way."""
    if id(exc) in seen:
        return
    seen.add(id(exc))
    yield exc
    wrapped = [exc.__cause__, exc.__context__, getattr(exc, "reason", None), *exc.args]
    for inner in wrapped:
        if isinstance(inner, BaseException):
            yield from _causes(inner, seen)


def _certificate(exc: Any) -> str:
    return f"TLS: certificate not accepted: {exc.verify_message or exc.reason}"


def _tunnel(exc: Any) -> str:
    _, found, answer = str(exc).partition("Tunnel connection failed: ")
    return f"the proxy refused: {answer}" if found else ""


def _tls(exc: Any) -> str:
    reason = str(exc.reason or "the connection broke").replace("_", " ").lower()
    return f"TLS: {reason}"


def _decoding(exc: Any) -> str:
    match = _ENCODING.search(str(exc))
    return f"the body cannot be decoded as {match[1] if match else 'its Content-Encoding'}"


def _says(text: str) -> Callable[[Any], str]:
    return lambda _: text


#: What means that the other side went away.
_BROKEN = (
    requests.exceptions.ChunkedEncodingError,
    ConnectionError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    urllib3.exceptions.IncompleteRead,
    urllib3.exceptions.InvalidChunkLength,
    ssl.SSLEOFError,
)
#: First match wins, over the whole chain.
_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], str]], ...] = (
    (RequestFailed, str),
    (ssl.SSLCertVerificationError, _certificate),
    (OSError, _tunnel),
    (ssl.SSLError, lambda exc: "" if isinstance(exc, ssl.SSLEOFError) else _tls(exc)),
    ((TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout), _says("no answer in time")),
    (urllib3.exceptions.DecodeError, _decoding),
    (requests.exceptions.InvalidProxyURL, _says("the proxy's address cannot be used")),
    (requests.exceptions.InvalidHeader, _says("a header's name or value cannot be sent")),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationParseError,
            http.client.InvalidURL,
        ),
        _says(_NO_ADDRESS),
    ),
)
