"""
Wakes the runner after a commit in another process: a datagram on a Unix socket in the run directory.

It carries nothing and may be lost: the runner looks for changes every second anyway.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from pyjobs.folders import make_private

__all__ = ["Receiver", "SocketNudge"]

_NAME = "runner.sock"


class SocketNudge:
    """The sender."""

    def __init__(self, run_dir: Path) -> None:
        """Take the run directory; it need not exist."""
        self._run_dir = run_dir

    def send(self) -> None:
        """Wake the runner, if there is one."""
        with (
            contextlib.suppress(OSError),
            _short(self._run_dir) as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(b"!", f"{folder}/{_NAME}")


class Receiver:
    """The runner's end. It is a Nudge itself, that of somebody who is awake."""

    def __init__(self, run_dir: Path) -> None:
        """Bind the socket, in place of what a dead runner left."""
        make_private(run_dir)
        self._path = run_dir / _NAME
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with _short(run_dir) as folder:
            self._socket.bind(f"{folder}/{_NAME}")
        self._path.chmod(0o600)

    def fileno(self) -> int:
        """Readable when somebody nudged."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Forget all nudges so far: one look serves them all."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def send(self) -> None:
        """Do nothing: the runner's own changes need no waking."""

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name of a folder that fits into a socket's address (108 bytes), however deep the folder lies."""
    if len(os.fsencode(folder)) < 80 or not os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
