"""
Random faults against a load of mixed jobs, and a table that has to hold zeros.

    python tests/acceptance/faults/soak.py --minutes 10 [--seed 7]

First anything may be killed; then, for a third of the time, only what the runner has to outlive, while its memory and
its descriptors are watched. Progress goes to stderr, the table to stdout; exit status 1 when a figure is none that
may be. The same seed gives the same faults in the same order; what they meet depends on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import psutil

if __name__ == "__main__":  # pytest has `tests` on its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from acceptance.conftest import Home, alive, wait_for
from acceptance.faults.checker import (
    FINAL,
    Expected,
    Report,
    check,
    ends,
    every,
    read_rows,
    read_transitions,
    watch_states,
)
from acceptance.faults.ledger import Ledger

__all__ = ["Load", "Sample", "Soak", "Watch", "conclude", "main", "said"]

#: What a runner's memory may differ by between two thirds of its watch: noise of caches, no slope.
_GROWTH_KIB = 2048
#: A supervisor that sees more crashes than these in a minute takes it for trouble of its own: begin anew before.
_KILLS_A_LIFE = 3
_SAYS_WHY = frozenset({"missed", "skipped"})


def said(home: Home) -> dict[str, Any]:
    """What the supervisor wrote into its lock's file: `pid`, `runner`, `api`."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((home.path / "run" / "daemon.lock").read_text(encoding="utf-8"))
        return found
    return {}


class _Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _web_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


class Load:
    """Jobs of all kinds, each with what has to become of it."""

    def __init__(self, home: Home, ledger: Ledger, url: str) -> None:
        """Add them to a home without a daemon."""
        functions = home.path / "functions"
        functions.mkdir(parents=True)
        (functions / "ledger.py").write_text(ledger.function(), encoding="utf-8")
        self._home = home
        self._expected: dict[str, Expected] = {}
        say = ledger.command
        fails, times_out = ends("failed", 7), ends("timeout", None)
        # A request is no process: it ends with a runner that is told to stop at once.
        answered = ends("success", None) | ends("killed", None)
        stubborn = say('trap "" TERM; (setsid sleep 300 &); sleep 300; sleep 300')
        for name, misfire in (("all", "all"), ("once", "once"), ("skip", "skip")):
            self._add(name, 1, ("--command", say(), "--misfire", misfire))
        self._add("fails", 2, ("--command", say("exit 7")), ends=fails)
        self._add("long", 3, ("--command", say("sleep 2; exit 7")), ends=fails)
        serial = ("--command", say("sleep 4"), "--allow-mode", "serial", "--misfire", "all")
        self._add("serial", 3, serial, unlaunched=_SAYS_WHY)
        stray = ("--command", stubborn, "--allow-mode", "serial", "--timeout", "1s", "--grace", "1s")
        self._add("stubborn", 5, stray, ends=times_out, unlaunched=_SAYS_WHY)
        self._add("function", 2, ("--func", "ledger"))
        self._add("http", 2, ("--http", url), ends=answered, ledger=False, dies_with_runner=True)

    def _add(self, name: str, seconds: int, flags: tuple[str, ...], **expected: Any) -> None:
        self._home.pyjobs("job", "add", name, "--cron", f"*/{seconds} * * * * *", *flags)
        self._expected[name] = Expected(due=every(seconds), **expected)

    def expected(self) -> dict[int, Expected]:
        """By job id."""
        return {int(i): self._expected[name] for i, name in self._home.rows("SELECT id, name FROM jobs")}

    def all_fired_after(self, ms: int) -> bool:
        """Whether each job has a row for an instant after this one."""
        sql = "SELECT min(m) FROM (SELECT max(scheduled_for) m FROM job_logs GROUP BY job_id)"
        return bool(self._home.rows(sql)[0][0] > ms)


class Sample(NamedTuple):
    second: float
    pid: int
    pss_kib: int
    #: Less those of processes that run just now.
    descriptors: int


@dataclass
class Watch:
    """Memory and descriptors of the runner over time."""

    samples: list[Sample]

    def look(self, home: Home) -> None:
        pid = said(home).get("runner")
        with contextlib.suppress(psutil.Error, OSError, TypeError):
            pss = psutil.Process(pid).memory_full_info().pss // 1024
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH115, PTH208
            held = sum(1 for link in links if "pidfd" not in link)
            self.samples.append(Sample(time.monotonic(), int(pid or 0), pss, held))

    def thirds(self) -> tuple[list[Sample], list[Sample]]:
        """The second and the last third; the first is for warming up."""
        third = max(1, len(self.samples) // 3)
        return self.samples[third : 2 * third], self.samples[-third:]

    def growth_kib(self) -> int:
        early, late = self.thirds()
        return round(statistics.median(s.pss_kib for s in late) - statistics.median(s.pss_kib for s in early))

    def slope_kib_a_minute(self) -> float:
        late = [*self.thirds()[0], *self.thirds()[1]]
        return statistics.linear_regression([s.second / 60 for s in late], [s.pss_kib for s in late]).slope

    def descriptors_grown(self) -> int:
        early, late = self.thirds()
        return min(s.descriptors for s in late) - min(s.descriptors for s in early)


class Soak:
    """One home under fire."""

    def __init__(self, home: Home, seed: int) -> None:
        """Take the home; `seed` decides about the faults."""
        self.home = home
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.watch = Watch([])
        self._kills = 0
        self._began = time.monotonic()

    def fire(self, seconds: float, faults: list[Callable[[], None]], *, watch: bool = False) -> None:
        """Do random ones of these faults for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fault = self.random.choice(faults)
            name = fault.__name__.replace("_", " ")
            self.done[name] += 1
            print(f"[{time.monotonic() - self._began:6.1f} s] {name}", file=sys.stderr, flush=True)
            fault()
            self._rest(self.random.uniform(0.1, 1.5), watch=watch)

    def _rest(self, seconds: float, *, watch: bool = False) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if watch:
                self.watch.look(self.home)
            time.sleep(min(left, 0.2))

    # --- faults ------------------------------------------------------------------------------------------------

    def kill_the_runner(self) -> None:
        """Kill -9; the supervisor has to start the next one."""
        pid = wait_for(lambda: said(self.home).get("runner"), "a runner")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: said(self.home).get("runner") not in (None, pid), "the next runner", 60)
        self._kills += 1
        if self._kills >= _KILLS_A_LIFE:
            self.restart()

    def kill_the_supervisor(self) -> None:
        """Kill -9; its runner has to leave, and the next daemon to go on."""
        pid = said(self.home)["pid"]
        os.kill(pid, signal.SIGKILL)
        self._start_after(pid)

    def kill_supervisor_and_runner(self) -> None:
        """Kill -9 both at once."""
        about = said(self.home)
        for pid in (about["pid"], about["runner"]):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._start_after(about["pid"])

    def kill_the_api(self) -> None:
        """Kill -9; no fire may notice."""
        for pid in said(self.home).get("api", []):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop_and_continue_the_runner(self) -> None:
        """SIGSTOP for a while, shorter than a hang."""
        pid = wait_for(lambda: said(self.home).get("runner"), "a runner")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self.random.uniform(0.1, 3))
            os.kill(pid, signal.SIGCONT)

    def lock_the_store(self) -> None:
        """Hold the write lock."""
        with contextlib.closing(sqlite3.connect(self.home.path / "data" / "jobs.db", timeout=30)) as store:
            store.execute("BEGIN IMMEDIATE")
            time.sleep(self.random.uniform(0.1, 4))
            store.execute("ROLLBACK")

    def restart(self) -> None:
        """Restart as planned, leaving what runs."""
        self.home.pyjobs("daemon", "stop", "--force")
        self._start_after(0)

    def start_a_job_by_hand(self) -> None:
        """One more run, from another process."""
        self.home.try_("job", "run", self.random.choice(["all", "fails", "function"]), "--detach")

    def _start_after(self, pid: int) -> None:
        wait_for(lambda: not pid or not alive(pid), "the end of the supervisor")
        self._kills = 0
        self.home.pyjobs("daemon", "start")

    def deadly(self) -> list[Callable[[], None]]:
        """All of them."""
        return [self.kill_the_runner, self.kill_the_runner, self.kill_the_supervisor, self.kill_supervisor_and_runner,
                self.restart, *self.harmless()]  # fmt: skip

    def harmless(self) -> list[Callable[[], None]]:
        """Those that the runner outlives."""
        return [self.kill_the_api, self.stop_and_continue_the_runner, self.lock_the_store, self.start_a_job_by_hand]


class _Line(NamedTuple):
    """A line of the table."""

    name: str
    value: object
    wrong: bool


def _table(soak: Soak, report: Report, strays: int, problems: list[str]) -> list[_Line]:
    watch, left = soak.watch, _left_in_the_spool(soak.home)
    restarts = len({s.pid for s in watch.samples}) - 1
    words = ("double", "missing", "lost", "wrong", "late", "unrecorded")
    return [
        _Line("instants", report.instants, not report.instants),
        _Line("starts in the ledger", report.launched, not report.launched),
        _Line("lost at launch, and said", report.lost_at_launch, wrong=False),
        *(_Line(word, len(getattr(report, word)), bool(getattr(report, word))) for word in words),
        _Line("other problems", len(problems), bool(problems)),
        _Line("stray processes", strays, bool(strays)),
        _Line("runs with files left", left, left > soak.done.total()),
        _Line("restarts while watched", restarts, bool(restarts)),
        _Line("memory growth, KiB", watch.growth_kib(), watch.growth_kib() > _GROWTH_KIB),
        _Line("memory slope, KiB a minute", round(watch.slope_kib_a_minute()), wrong=False),
        _Line("memory (PSS), KiB", max(s.pss_kib for s in watch.samples), wrong=False),
        _Line("descriptors grown", watch.descriptors_grown(), watch.descriptors_grown() > 0),
    ]


def _other_problems(home: Home) -> list[str]:
    store = home.path / "data" / "jobs.db"
    found = [f"final state changed: {e} {old} -> {new}" for e, old, new in read_transitions(store) if old in FINAL]
    intact = home.rows("PRAGMA integrity_check")
    found += [] if intact == [("ok",)] else [f"the store is damaged: {intact}"]
    logs = [home.path / "logs" / name for name in ("pyjobs.log", "daemon.out")]
    found += [f"a traceback in {log.name}" for log in logs if log.exists() and "Traceback" in log.read_text()]
    return found


def _left_in_the_spool(home: Home) -> int:
    """Runs that have ended and left files: a kill between the record of an end and what follows it does that."""
    return len({path.stem for path in (home.path / "data" / "spool").glob("*")})


def run(home: Home, seconds: float, seed: int) -> int:
    """Soak a fresh home; answers the exit status."""
    # Every job is in flight in some crash: that is the fault, and none is to be stopped for it.
    home.env |= {"MAX_CONCURRENT_JOBS": "40", "PYJOBS_DRAIN": "20", "QUARANTINE_CRASHES": "0"}
    ledger, soak = Ledger(home.path / "ledger"), Soak(home, seed)
    with _web_server() as url:
        load = Load(home, ledger, url)
        store = home.path / "data" / "jobs.db"
        watch_states(store)
        since_ms = time.time_ns() // 1_000_000
        home.pyjobs("daemon", "start")
        soak.fire(seconds * 2 / 3, soak.deadly())
        soak.restart()
        soak.fire(seconds / 3, soak.harmless(), watch=True)
        until_ms = time.time_ns() // 1_000_000
        wait_for(lambda: load.all_fired_after(until_ms), "a further fire of each job", 60)
        home.pyjobs("daemon", "stop")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not home.processes(), "the end of all processes", 10)
    report = check(read_rows(store), ledger.lines(), load.expected(), since_ms, until_ms)
    print(f"seed {seed}; " + ", ".join(f"{count} × {name}" for name, count in soak.done.most_common()))
    return conclude(soak, report, [f"stray: {process}" for process in home.processes()], _other_problems(home))


def conclude(soak: Soak, report: Report, strays: list[str], others: list[str]) -> int:
    """Print the table, and what is wrong in words; answers the exit status."""
    table = _table(soak, report, len(strays), others)
    for line in table:
        print(f"{line.name:28}{line.value!s:>10}{'  <-- wrong' if line.wrong else ''}")
    for problem in [*report.problems(), *others, *strays][:50]:
        print(problem)
    return int(any(line.wrong for line in table))


def main(argv: list[str]) -> int:
    """Parse the arguments and run; answer the exit status."""
    parser = argparse.ArgumentParser(description="Random faults against a load of jobs; the table must hold zeros.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="which faults; printed")
    parser.add_argument("--keep", type=Path, help="a folder that does not exist yet, for the home; it is kept")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="pyjobs-soak-") as folder:
        home = Home((given.keep or Path(folder)).absolute() / "home")
        try:
            return run(home, given.minutes * 60, given.seed)
        finally:
            home.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
