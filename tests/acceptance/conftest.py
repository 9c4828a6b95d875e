"""Real processes and real signals: a home, the command line on it, and its daemon, gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

_T = TypeVar("_T")
PATIENCE_S = 30.0


class Home:
    """One home, as somebody at a terminal sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PYJOBS_")}
        self.env |= {"PYJOBS_HOME": str(path), "TZ": "UTC", "PYTHONWARNINGS": "error", "PORT": "0"}
        self.env["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")

    def argv(self, *args: str) -> list[str]:
        """What a shell would start."""
        return [sys.executable, "-m", "pyjobs", *args]

    def try_(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command; its exit code is the caller's to judge."""
        return subprocess.run(
            self.argv(*args),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def pyjobs(self, *args: str) -> str:
        """Run a command that must succeed; answers its stdout."""
        done = self.try_(*args)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def daemon(self) -> dict[str, Any] | None:
        """What `daemon status` says; None when it does not run."""
        found = json.loads(self.try_("daemon", "status", "--json").stdout)
        daemon: dict[str, Any] = found["daemon"]
        return daemon if daemon["running"] else None

    def status(self) -> dict[str, Any]:
        """What `daemon status` says of one that must run."""
        daemon = self.daemon()
        assert daemon is not None
        return daemon

    def start(self) -> dict[str, Any]:
        """Start the daemon; it is ready when this returns."""
        self.pyjobs("daemon", "start")
        return self.status()

    def detach(self, job: str) -> str:
        """Start a job by hand; answers the run's name at once."""
        return self.pyjobs("job", "run", job, "--detach").strip()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the store as the specification's scripts do: with SQLite itself."""
        with contextlib.closing(sqlite3.connect(self.path / "data" / "jobs.db")) as store:
            return store.execute(sql, values).fetchall()

    def run(self, exec_id: str) -> dict[str, Any]:
        """A row of job_logs."""
        with contextlib.closing(sqlite3.connect(self.path / "data" / "jobs.db")) as store:
            store.row_factory = sqlite3.Row
            return dict(store.execute("SELECT * FROM job_logs WHERE exec_id = ?", (exec_id,)).fetchone())

    def wait_for_state(self, exec_id: str, *states: str) -> dict[str, Any]:
        """The row of a run, once it is in one of these states."""
        return wait_for(
            lambda: row if (row := self.run(exec_id))["state"] in states else None, f"{exec_id} in {states}"
        )

    def check_instants(self) -> None:
        """Every second between the first and the last fire of each job has one row, or lies in one missed range."""
        jobs = self.rows("SELECT DISTINCT job_id FROM job_logs WHERE scheduled_for IS NOT NULL")
        assert jobs
        ranges = "SELECT coalesce(first_for, scheduled_for), scheduled_for, fires FROM job_logs WHERE job_id = ?"
        for (job_id,) in jobs:
            covered: list[int] = []
            for first, last, fires in self.rows(ranges, job_id):
                assert last - first == (fires - 1) * 1000
                covered += range(first, last + 1, 1000)
            assert sorted(covered) == list(range(min(covered), max(covered) + 1, 1000)), f"job {job_id}"

    def processes(self) -> list[psutil.Process]:
        """Every process that has this home in its environment: the daemon's, and what it runs."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("PYJOBS_HOME") == str(self.path) and process.pid != os.getpid():
                    found.append(process)
        return found

    def end(self) -> None:
        """End all that was started here, by its pid."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(left, timeout=1)


def wait_for(condition: Callable[[], _T | None], what: str, patience_s: float = PATIENCE_S) -> _T:
    """Poll until `condition` is true, and answer what it gave; never a fixed sleep."""
    deadline = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {patience_s} s in vain: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fresh home."""
    home = Home(tmp_path / "home")
    yield home
    home.end()
