"""
What a process under the supervisor says to it, and hears of it.

Three descriptors with fixed numbers: one takes a line as a sign of life, one takes a line of JSON when the process is
ready or cannot be, one becomes readable when the supervisor has died. A process that nobody supervises has none.
"""

from __future__ import annotations

import contextlib
import json
import os

from pyjobs.children import HEARTBEAT_FD, LIFE_FD, LISTEN_FD, READY_FD, RENEW
from pyjobs.errors import PyjobsError

__all__ = ["Link"]

#: Characters; so much goes through a pipe as a whole.
_LONGEST_WORD = 500


class Link:
    """The way to the supervisor, if there is one."""

    def __init__(self) -> None:
        """Keep the descriptors from the processes that this one starts."""
        for fd in (HEARTBEAT_FD, READY_FD, LIFE_FD, LISTEN_FD):
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)
        if _is_open(HEARTBEAT_FD):
            os.set_blocking(HEARTBEAT_FD, False)

    @property
    def life_fd(self) -> int | None:
        """Readable when the supervisor has died; None when there is none."""
        return LIFE_FD if _is_open(LIFE_FD) else None

    @property
    def listen_fd(self) -> int | None:
        """The socket that the API accepts from; None when nobody handed one over."""
        return LISTEN_FD if _is_open(LISTEN_FD) else None

    def ready(self) -> None:
        """Say that work has begun; the first sign of life comes with it."""
        self.beat()
        _tell({"ready": True})

    def failed(self, exc: PyjobsError) -> None:
        """Say why it cannot begin, to whoever waits and to the supervisor."""
        _sign("!", str(exc))
        _tell({"code": exc.code, "exit_code": int(exc.exit_code), "en": exc.text("en"), "zh": exc.text("zh"),
               "hint": exc.hint("en"), "hint_zh": exc.hint("zh")})  # fmt: skip

    def beat(self, trouble: str = "") -> None:
        """Give a sign of life, and say what cannot be done just now; empty: all is well."""
        _sign("+", trouble)

    def renew(self) -> None:
        """Give a sign of life that asks for another process in the place of this one."""
        _sign(RENEW, "")


def _sign(kind: str, text: str) -> None:
    line = kind + " ".join(text.split())[:_LONGEST_WORD] + "\n"
    with contextlib.suppress(OSError):
        os.write(HEARTBEAT_FD, line.encode(errors="replace"))


def _tell(message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        os.write(READY_FD, (json.dumps(message, ensure_ascii=False) + "\n").encode())
        os.close(READY_FD)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
