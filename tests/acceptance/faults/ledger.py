"""
The ledger: what jobs themselves say about their starts, beside what the store says.

Each start appends one line, `exec_id job scheduled_for start pid`, with one O_APPEND write; so lines of many
processes neither mix nor get lost, whatever becomes of pyjobs.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

__all__ = ["Ledger", "Line"]

#: bash's `printf` writes one line at once; EPOCHREALTIME costs no process, as `date` would.
_COMMAND = (
    'printf "%s %s %s %s %s\\n" "$PYJOBS_RUN_ID" "$PYJOBS_JOB_ID" "${{PYJOBS_SCHEDULED_FOR:--}}" '
    '"$((${{EPOCHREALTIME/[.,]/}} / 1000))" "$$" >> {path}'
)
_FUNCTION = """
import os
import time


def ledger() -> None:
    due = os.environ["PYJOBS_SCHEDULED_FOR"] or "-"
    said = (os.environ["PYJOBS_RUN_ID"], os.environ["PYJOBS_JOB_ID"], due, time.time_ns() // 1_000_000, os.getpid())
    descriptor = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (" ".join(map(str, said)) + "\\n").encode())
    os.close(descriptor)
"""


class Line(NamedTuple):
    """One start; instants in milliseconds since the epoch. `scheduled_ms` is None for a start by hand."""

    exec_id: str
    job_id: int
    scheduled_ms: int | None
    start_ms: int
    pid: int


class Ledger:
    """One file of starts."""

    def __init__(self, path: Path) -> None:
        """Take the file, which need not be there."""
        self.path = path

    def command(self, then: str = "true") -> str:
        """A shell text that says its start and goes on with `then`, which decides about its end."""
        return f"{_COMMAND.format(path=shlex.quote(str(self.path)))}; {then}"

    def function(self) -> str:
        """The text of a file of user functions that defines `ledger`."""
        return _FUNCTION.format(path=str(self.path))

    def lines(self) -> list[Line]:
        """All starts, in the order in which they were written. Raises ValueError when a line is not whole."""
        if not self.path.exists():
            return []
        return [_line(text) for text in self.path.read_text(encoding="ascii").splitlines()]


def _line(text: str) -> Line:
    exec_id, job_id, due, start_ms, pid = text.split(" ")
    return Line(exec_id, int(job_id), None if due == "-" else _ms(due), int(start_ms), int(pid))


def _ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 1000
