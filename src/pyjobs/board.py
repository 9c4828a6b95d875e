"""
What the supervisor says: to whoever asks, in the file of its lock, and aloud. Imports next to nothing.

It cannot use the store or the settings: why the runner does not come up may lie in these.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

__all__ = ["Board"]

#: What is written is of one length: no reader ever finds the end of an older, longer one.
_PAGE = 4096


class Board:
    """What is known of the daemon, readable by `procs.daemon_said`."""

    def __init__(self, lock_fd: int, log: Path, facts: dict[str, object]) -> None:
        """Take the lock's descriptor, the system log, and what does not change."""
        self._lock_fd = lock_fd
        self._log = log
        self._facts = facts

    def show(self, **facts: object) -> None:
        """Say what changed."""
        self._facts |= facts
        content = json.dumps(self._facts, ensure_ascii=False).encode(errors="replace") + b"\n"
        content = content.ljust(-len(content) // _PAGE * -_PAGE)
        with contextlib.suppress(OSError):  # a full disk: `status` says what it said before
            os.pwrite(self._lock_fd, content, 0)
            os.ftruncate(self._lock_fd, len(content))

    def say(self, level: str, message: str) -> None:
        """Say something on stderr and in the system log, in the form of `pyjobs.logs`."""
        # A terminal may be gone, and a disk full: no reason to go as well.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"pyjobs supervisor: {message}\n")
            sys.stderr.flush()
        line = {"level": level, "time": _now(), "caller": "pyjobs.supervisor", "msg": message}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            log_fd = os.open(self._log, flags, 0o600)
            try:
                os.write(log_fd, (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="replace"))
            finally:
                os.close(log_fd)


def _now() -> str:
    """As `datetime.isoformat` of the local time, in milliseconds."""
    seconds, ms = divmod(time.time_ns() // 1_000_000, 1000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{ms:03}{zone[:3]}:{zone[3:]}"
