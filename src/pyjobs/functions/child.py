"""
What one run does in its own process, forked from a worker: it never returns.

The process is a session of its own, writes to the run's spool files, and says how it ended in the run's result file
and by its exit status.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import json
import logging
import os
import signal
import socket
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pydantic_core

from pyjobs.errors import PyjobsError, RunFailed
from pyjobs.functions.binding import bind, shape_of

__all__ = ["GO", "READY", "EnvironmentSlot", "Order", "perform"]

#: What the child says when it is a session with its files open, and what it waits for before it calls anything.
READY = b"+"
GO = b"!"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_MAX_ERROR_CHARS = 4000
_FIRST_TO_DIE = b"500"
_OURS = os.path.dirname(__file__)  # noqa: PTH120 - compared with file names of frames


class Order:
    """What is to be called, and where its output goes."""

    def __init__(self, message: dict[str, Any]) -> None:
        """Take it as the executor sent it."""
        self.name: str = message["name"]
        self.arg: str = message["arg"]
        self.out: str = message["out"]
        self.err: str = message["err"]
        self.result = Path(message["result"])
        self.variables: dict[str, str] = message["variables"]


class EnvironmentSlot:
    """
    The place of one variable in the memory that the kernel shows as `/proc/PID/environ`.

    A fork keeps its parent's; written over in place, it names the run, and so does that of everything which the
    function forks, however that detaches itself.
    """

    def __init__(self, name: str) -> None:
        """Find the variable; to be called before anything changes the environment."""
        self._size = len(os.environ.get(name, ""))
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        self._address = libc.getenv(name.encode())

    def write(self, value: str) -> None:
        """Put a value in, if it fits."""
        data = value.encode()
        if self._address and len(data) <= self._size:
            ctypes.memmove(self._address, data.ljust(self._size, b"\0"), self._size)


def perform(order: Order, call: Callable[..., Any], lang: str, parent: socket.socket) -> NoReturn:
    """Get ready, wait for the word, call, and end this process."""
    status = 1
    try:
        try:
            _detach(order)
        except OSError as exc:
            parent.sendall(f"{exc.strerror}: {exc.filename}".encode())
            os._exit(1)
        parent.sendall(READY)
        # Without the word the executor does not know of this process: its run must not happen.
        if parent.recv(1) != GO:
            _write_result(order.result, "the worker ended before the function was called")
            os._exit(1)
        parent.close()
        status = _call(order, call, lang)
    except BaseException:  # nothing may climb up into the worker's loop
        traceback.print_exc()
    finally:
        os._exit(status)


def _detach(order: Order) -> None:
    os.setsid()
    for target, path in ((1, order.out), (2, order.err)):
        descriptor = os.open(path, _APPEND, 0o600)
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.update(order.variables)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # When memory runs out, the kernel is to take the function and not the daemon.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_FIRST_TO_DIE)


def _call(order: Order, call: Callable[..., Any], lang: str) -> int:
    """The exit status; output and result are written."""
    error, status = "", 0
    try:
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        args, kwargs = bind(order.name, shape_of(call), order.arg)
        value = call(*args, **kwargs)
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        _write_out(_as_text(value))
    except SystemExit as exc:
        error, status = _left(exc)
    except PyjobsError as exc:
        hint = exc.hint(lang)
        error, status = exc.text(lang), 1
        _write_err(f"{error}\nhint: {hint}\n" if hint else f"{error}\n")
    except BaseException as exc:  # whatever a function raises is its failure
        error, status = _said(exc), 1
        _write_err(_traceback(exc))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _write_result(order.result, error)
    return status


async def _awaited(value: Any) -> Any:
    return await value


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False, default=pydantic_core.to_jsonable_python)
    except Exception as exc:  # values may have any class
        kind = type(value).__name__
        raise RunFailed(
            f"the result, a `{kind}`, cannot be written as JSON: {_said(exc)}",
            f"返回值（`{kind}`）无法转换为 JSON：{_said(exc)}",
        ) from exc


def _left(exc: SystemExit) -> tuple[str, int]:
    """sys.exit() and sys.exit(0) are success; a text is an error, as for any program."""
    if exc.code in (None, 0):
        return "", 0
    if isinstance(exc.code, int):
        return f"the function left with sys.exit({exc.code})", exc.code & 0xFF or 1
    _write_err(f"{exc.code}\n")
    return str(exc.code), 1


def _said(exc: BaseException) -> str:
    try:
        return f"{type(exc).__name__}: {exc}".removesuffix(": ")
    except Exception:  # its own __str__ may fail too
        return type(exc).__name__


def _traceback(exc: BaseException) -> str:
    """The user's part of a traceback: it starts where our own frames, and asyncio's, end."""
    first: types.TracebackType | None = exc.__traceback__
    while first is not None and _is_ours(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return "".join(traceback.TracebackException(type(exc), exc, first, compact=True).format())


def _is_ours(filename: str) -> bool:
    return os.path.dirname(filename) in (_OURS, os.path.dirname(asyncio.__file__))  # noqa: PTH120 - as above


def _write_out(text: str) -> None:
    _write(1, text)


def _write_err(text: str) -> None:
    _write(2, text)


def _write(descriptor: int, text: str) -> None:
    """Past Python's own streams, which the function may have replaced."""
    # Output never changes the verdict: a full disk costs the text, not the run.
    with contextlib.suppress(OSError, ValueError):
        (sys.stdout if descriptor == 1 else sys.stderr).flush()
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _write_result(path: Path, error: str) -> None:
    half = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"error": error[:_MAX_ERROR_CHARS]}, file)
        half.rename(path)
