"""
What a service manager is told: the protocol of `sd_notify`, one datagram a message. Imports next to nothing.

systemd starts the front and takes messages from all of the unit (`NotifyAccess=all`), since it is the supervisor that
knows. The variables by which systemd says where to are taken out of the environment, so that no job has them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import MutableMapping

__all__ = ["Notifier"]

#: A manager that does not read holds nobody up for longer.
_PATIENCE_S = 1.0
#: A stop that goes on as it should is given so long from then on.
_EXTEND_S = 15


class Notifier:
    """The way to a service manager; without one all methods do nothing."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """Take where to send: a path, or `@` and an abstract name; and how long the watchdog waits, if there is one."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        #: Seconds between signs of life; None where nobody waits for them.
        self.every_s = None if watchdog_s is None or not address else watchdog_s / 4
        self._next = 0.0
        self._last_status = ""

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Notifier:
        """By the variables that systemd sets, which are removed. One that is no manager's is none."""
        address, usec = environ.pop("NOTIFY_SOCKET", ""), environ.pop("WATCHDOG_USEC", "")
        for_pid = environ.pop("WATCHDOG_PID", "")
        wanted = usec.isascii() and usec.isdigit() and int(usec) > 0 and for_pid in ("", str(os.getpid()))
        return cls(address if address[:1] in ("/", "@") else "", int(usec) / 1_000_000 if wanted else None)

    def ready(self, main_pid: int, status: str) -> None:
        """All is up; `main_pid` is the process whose end is the end of all."""
        self._send("READY=1", f"MAINPID={main_pid}", self._status(status))

    def status(self, status: str) -> None:
        """Say in a line how things are; said once."""
        if status != self._last_status:
            self._send(self._status(status))

    def alive(self, now_s: float, *, stopping: bool) -> None:
        """A sign of life, when it is time for one; while stopping also that the stop goes on as it should."""
        if self._address and now_s >= self._next:
            self._next = now_s + (self.every_s or _EXTEND_S / 4)
            watchdog = ["WATCHDOG=1"] if self.every_s is not None else []
            extend = [f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1_000_000}"] if stopping else []
            self._send(*watchdog, *extend)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """The end begins."""
        self._send("STOPPING=1", self._status(status))

    def _status(self, status: str) -> str:
        self._last_status = status
        return "STATUS=" + status.replace("\n", " ")

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        import socket

        # A manager that is gone is no reason to go as well.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(_PATIENCE_S)
            out.sendto("\n".join(lines).encode(errors="replace"), self._address)
