"""The executor's side of a worker process: start it, ask it, let it go. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pyjobs.config import Settings
from pyjobs.functions.userfiles import Entry

__all__ = ["ImportStuck", "WorkerClient", "WorkerGone"]

#: How long a worker may take to start Python and import pyjobs, on a busy machine.
_START_S = 30.0
#: Room for the variable that names a run.
_SLOT_CHARS = 64
_SHOWN_CHARS = 1000


class WorkerGone(Exception):
    """The worker ended, or does not answer; the text says what it left behind."""


class ImportStuck(Exception):
    """A file of user functions took too long to import, or took the worker along."""

    def __init__(self, path: str, why: str, *, old: bool) -> None:
        """Name the file; `old` is whether it was its last good version."""
        super().__init__(path, why)
        self.path = path
        self.why = why
        self.old = old


class WorkerClient:
    """One worker process. Not safe for threads: its owner has a lock."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """
        Start the process.

        Raises:
            OSError: it could not be started.
        """
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._pending = b""
        self._asked = 0
        # What it says before there is a run: for our own message when it does not come up.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `retire`
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pyjobs.functions.worker"],
                    stdin=theirs.fileno(),
                    stdout=self._said,
                    stderr=self._said,
                    env={**environment, "PYJOBS_RUN_ID": "-" * _SLOT_CHARS},
                    # Where pyjobs is, whatever made it importable here; the worker goes home by itself.
                    cwd=Path(__file__).parents[2],
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            self._said.close()
            raise

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def load(
        self, settings: Settings, exits: Path, entries: Sequence[Entry], owners: Mapping[str, str]
    ) -> dict[str, Any]:
        """
        Have everything imported; answers what there is.

        Raises:
            ImportStuck: a file hangs for longer than `import_timeout`, or ends the process.
            WorkerGone: it did not come up.
        """
        values = {f.name: getattr(settings, f.name) for f in fields(settings)}
        self._send(
            {
                "settings": {**values, "home": str(settings.home), "databases": dict(settings.databases)},
                "exits": str(exits),
                "entries": [entry.as_message() for entry in entries],
                "owners": dict(owners),
            }
        )
        patience, current = _START_S, None
        while True:
            try:
                message = self._receive(patience)
            except (TimeoutError, WorkerGone) as exc:
                if current is None:
                    raise WorkerGone(str(exc) or f"it is not ready after {_START_S:g} s") from exc
                timed_out = isinstance(exc, TimeoutError)
                why = f"it is not imported after {settings.import_timeout} s" if timed_out else f"its import {exc}"
                raise ImportStuck(current["loading"], why, old=current["old"]) from exc
            if "loading" not in message:
                return message
            patience, current = float(settings.import_timeout), message

    def alive(self) -> bool:
        """Whether it still listens."""
        if self._process.poll() is not None:
            return False
        try:
            return not select.select([self._socket], [], [], 0)[0] or self._socket.recv(1, socket.MSG_PEEK) != b""
        except (OSError, ValueError):
            return False

    def ask(self, patience_s: float, **message: Any) -> dict[str, Any]:
        """
        Send a message and wait for its answer.

        Raises:
            TimeoutError: there is none in time.
            WorkerGone: it ended before it answered.
        """
        self._asked += 1
        self._send({**message, "id": self._asked})
        return self._answer(patience_s)

    def last_answer(self) -> dict[str, Any] | None:
        """What it said to the last question after all, once it was killed."""
        with contextlib.suppress(TimeoutError, WorkerGone):
            return self._answer(0)
        return None

    def kill(self) -> None:
        """End it at once; its children go on."""
        self._process.kill()
        self._process.wait()

    def retire(self, patience_s: float = 0) -> None:
        """Let it go: it leaves when its last run has ended. Waits for so long, as a worker without runs is quick."""
        self._socket.close()
        self._said.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            # Somebody must be there when it ends, or it stays a zombie.
            threading.Thread(target=self._process.wait, name=f"retired worker {self.pid}", daemon=True).start()

    def _answer(self, patience_s: float) -> dict[str, Any]:
        until = time.monotonic() + patience_s
        while True:
            message = self._receive(max(0.0, until - time.monotonic()))
            if message.get("id") == self._asked:
                return message

    def _send(self, message: Mapping[str, Any]) -> None:
        self._socket.settimeout(_START_S)
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as exc:
            raise WorkerGone(self._last_words()) from exc

    def _receive(self, patience_s: float) -> dict[str, Any]:
        until = time.monotonic() + patience_s
        while b"\n" not in self._pending:
            if not select.select([self._socket], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                raise WorkerGone(self._last_words())
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_words(self) -> str:
        """How it ended, and the last thing that it said."""
        try:
            code: int | None = self._process.wait(1)
        except subprocess.TimeoutExpired:
            code = None
        size = self._said.seek(0, 2)
        self._said.seek(max(0, size - 4 * _SHOWN_CHARS))
        said = self._said.read().decode("utf-8", "replace").strip()[-_SHOWN_CHARS:]
        ended = "closed its connection" if code is None else f"ended the worker (exit status {code})"
        last = said.splitlines()[-1] if said else ""
        return f"{ended}: {last}" if last else ended
