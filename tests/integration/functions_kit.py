"""A home with user functions, an executor over it, and a way to wait for the end of its runs."""

from __future__ import annotations

import select
import textwrap
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyjobs import procs
from pyjobs.commandtext import FuncSpec
from pyjobs.config import Settings
from pyjobs.executors.func import FuncAttempt, FuncExecutor
from pyjobs.executors.process import ProcessAttempt
from pyjobs.executors.spool import Spool
from pyjobs.jobs import Run, RunState, Source
from pyjobs.ports import Launch, Outcome

LIMIT_S = 30.0


@dataclass
class Ended:
    """How a run ended, and what it wrote."""

    outcome: Outcome
    out: str
    err: str

    @property
    def error(self) -> str:
        return self.outcome.error


class Functions:
    """One home."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.settings = Settings(home=home, lang=settings.pop("lang", "en"), **settings)
        self.spool = Spool(self.settings.spool_dir, keep_bytes=1 << 20, max_bytes=1 << 30)
        self.exits = self.settings.run_dir / "exits"
        # Runs are found by their names on the whole machine, where other tests run too.
        self._prefix = uuid.uuid4().hex
        self._executors: list[FuncExecutor] = []
        self._attempts: list[ProcessAttempt] = []
        self.executor = self.another()

    def another(self) -> FuncExecutor:
        """A further executor over the same home, as a new runner would have."""
        self._executors.append(FuncExecutor(self.settings, self.spool, self.exits))
        return self._executors[-1]

    def write(self, name: str, text: str) -> Path:
        """Put a file of user functions there."""
        path = self.home / "functions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def run_id(self, short: str) -> str:
        """The name of a run, which the methods here take in its short form."""
        return f"{self._prefix}-{short}"

    def start(self, name: str, arg: str = "", exec_id: str = "", **launch: Any) -> FuncAttempt:
        """Start a call, its run named as its function where no other name is given."""
        values: dict[str, Any] = {"job_id": 7, "job_name": "job", "attempt": 1, "scheduled_ms": None, "timeout_s": 0}
        attempt = self.executor.start(
            Launch(exec_id=self.run_id(exec_id or name), spec=FuncSpec(name=name, arg=arg), **{**values, **launch})
        )
        self._attempts.append(attempt)
        return attempt

    def wait(self, attempt: ProcessAttempt) -> Outcome:
        """How it ends."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            outcome = attempt.outcome()
            if outcome is not None:
                return outcome
            # Readable from its end on, also while the worker still writes the status down.
            if attempt.fileno() >= 0:
                select.select([attempt.fileno()], [], [], 0.2)
            time.sleep(0.005)
        raise AssertionError("the run does not end")

    def call(self, name: str, arg: str = "", exec_id: str = "") -> Ended:
        """Call a function and wait for its end."""
        exec_id = exec_id or f"{name}-{len(self._attempts)}"
        outcome = self.wait(self.start(name, arg, exec_id))
        assert outcome.success == (not outcome.error)
        return Ended(outcome, self.out(exec_id), self.err(exec_id))

    def out(self, exec_id: str) -> str:
        path = self.spool.out(self.run_id(exec_id))
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def err(self, exec_id: str) -> str:
        path = self.spool.err(self.run_id(exec_id))
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def worker_pid(self, executor: FuncExecutor | None = None) -> int:
        state = (executor or self.executor)._state
        assert state is not None
        return state.worker.pid

    def names(self) -> set[str]:
        """The user's functions."""
        return {info.name for info in self.executor.functions() if info.origin != "built-in"}

    def adopt(self, executor: FuncExecutor, exec_id: str, pid: int | None, pid_start: int | None) -> FuncAttempt | None:
        run = Run(
            exec_id=self.run_id(exec_id), job_id=7, job_name="job", mode="func", command="", state=RunState.RUNNING,
            source=Source.MANUAL, pid=pid, pid_start=pid_start,
        )  # fmt: skip
        attempt = executor.adopt(run)
        if attempt is not None:
            self._attempts.append(attempt)
        return attempt

    def close(self) -> None:
        for attempt in self._attempts:
            if attempt.pid is not None and procs.start_time(attempt.pid) == attempt.pid_start and alive(attempt.pid):
                attempt.stop(force=True)
            attempt.close()
        for executor in self._executors:
            executor.close()


def until(condition: Any, what: str) -> Any:
    """Poll until something is true; answers it."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not in time: {what}")


def alive(pid: int) -> bool:
    return procs.start_time(pid) is not None and not procs.is_zombie(pid)
