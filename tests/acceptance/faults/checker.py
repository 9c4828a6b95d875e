"""
Compares the ledger and the store with the instants that had to be.

The instants come from a rule that shares nothing with pyjobs: every second of a range is asked. What is found is put
under one of six words; of a correct scheduler all six lists are empty.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from acceptance.faults.ledger import Line

__all__ = [
    "FINAL",
    "Expected",
    "Report",
    "Row",
    "check",
    "ends",
    "every",
    "read_rows",
    "read_transitions",
    "watch_states",
]

FINAL = frozenset({"success", "failed", "timeout", "killed", "lost", "skipped", "missed"})
#: States of a run that its process ended by itself.
_RAN = frozenset({"success", "failed"})
#: A start within 5 s of its instant is on time (semantics §6); so much more may the machine take for it.
_LATE_MS = 5000 + 3000


class Row(NamedTuple):
    """What the store says of a run; instants in milliseconds."""

    exec_id: str
    job_id: int
    state: str
    source: str
    scheduled_ms: int | None
    #: The first of a range of missed fires.
    first_ms: int | None
    fires: int
    started_ms: int | None
    exit_code: int | None
    pid: int | None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What had to become of one job."""

    #: Whether a job is due in this second; the seconds of the range are asked one by one.
    due: Callable[[int], bool]
    #: How a run of it may end that was launched, such as ("failed", 7); None is any exit status.
    ends: frozenset[tuple[str, int | None]] = frozenset({("success", 0)})
    #: Whether its starts stand in the ledger.
    ledger: bool = True
    #: States that a row of it may have without a launch.
    unlaunched: frozenset[str] = frozenset({"missed"})
    #: Whether its process cannot be adopted, so that a crash loses it: mode http.
    dies_with_runner: bool = False


@dataclass
class Report:
    """What is wrong, in words, and what is no error but worth counting."""

    double: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    #: Runs that died with the runner before anybody knew whether they were launched; never launched again, and said.
    lost_at_launch: int = 0
    launched: int = 0
    instants: int = 0

    def problems(self) -> list[str]:
        """All lines that should not be there, each with its word."""
        words = [f.name for f in fields(self) if isinstance(getattr(self, f.name), list)]
        return [f"{word}: {text}" for word in words for text in getattr(self, word)]


def every(seconds: int, anchor_s: int = 0) -> Callable[[int], bool]:
    """The rule of a job that is due every so many seconds."""
    return lambda second: (second - anchor_s) % seconds == 0


def ends(state: str, exit_code: int | None) -> frozenset[tuple[str, int | None]]:
    """The one end that a run may have; None is any exit status."""
    return frozenset({(state, exit_code)})


def check(
    rows: Sequence[Row], lines: Sequence[Line], jobs: dict[int, Expected], since_ms: int, until_ms: int
) -> Report:
    """
    Compare. Instants in [since_ms, until_ms] must all have their row; rows beside it are judged all the same.

    All runs must have ended, and nothing may be running any more.
    """
    report = Report()
    _check_ledger(report, rows, lines)
    for job_id, expected in jobs.items():
        mine = [row for row in rows if row.job_id == job_id]
        _check_instants(report, job_id, expected, mine, since_ms, until_ms)
        _check_rows(report, expected, mine, {line.exec_id: line for line in lines if line.job_id == job_id})
    return report


def _check_ledger(report: Report, rows: Iterable[Row], lines: Sequence[Line]) -> None:
    report.launched = len(lines)
    for exec_id, count in Counter(line.exec_id for line in lines).items():
        if count > 1:
            report.double.append(f"run {exec_id} was launched {count} times")
    fires = Counter((line.job_id, line.scheduled_ms) for line in lines if line.scheduled_ms is not None)
    for (job_id, ms), count in fires.items():
        if count > 1:
            report.double.append(f"the fire {ms} of job {job_id} was launched {count} times")
    known = {row.exec_id: row for row in rows}
    for line in lines:
        row = known.get(line.exec_id)
        if row is None:
            report.unrecorded.append(f"run {line.exec_id} of job {line.job_id} was launched and has no row")
        elif row.scheduled_ms != line.scheduled_ms or row.job_id != line.job_id:
            report.wrong.append(f"run {line.exec_id} was told another instant or job than its row says")


def _check_instants(
    report: Report, job_id: int, expected: Expected, rows: Iterable[Row], since_ms: int, until_ms: int
) -> None:
    """Each instant stands in one row, or in one range of missed ones; and no other instant does."""
    ranges = [row for row in rows if row.scheduled_ms is not None]
    covered: Counter[int] = Counter()
    for row in ranges:
        last = row.scheduled_ms or 0
        seconds = range((row.first_ms or last) // 1000, last // 1000 + 1)
        inside = [second * 1000 for second in seconds if expected.due(second)]
        covered.update(inside)
        if len(inside) != row.fires or not expected.due(last // 1000):
            report.wrong.append(f"run {row.exec_id}: {row.fires} fires up to {last}, which are {len(inside)}")
    for ms, count in covered.items():
        if count > 1:
            report.double.append(f"the fire {ms} of job {job_id} has {count} rows")
    due = [s * 1000 for s in range(-(-since_ms // 1000), until_ms // 1000 + 1) if expected.due(s)]
    report.instants += len(due)
    report.missing += [f"the fire {ms} of job {job_id} has no row" for ms in due if ms not in covered]


def _check_rows(report: Report, expected: Expected, rows: Iterable[Row], lines: dict[str, Line]) -> None:
    for row in rows:
        line = lines.get(row.exec_id)
        if row.state not in FINAL:
            report.lost.append(f"run {row.exec_id} is still {row.state}")
        elif row.state == "lost":
            _check_lost(report, expected, row, line)
        elif row.state in expected.unlaunched and row.started_ms is None:
            if line is not None:
                report.wrong.append(f"run {row.exec_id} is {row.state} and was launched")
        elif not {(row.state, row.exit_code), (row.state, None)} & expected.ends:
            report.wrong.append(f"run {row.exec_id} of job {row.job_id} is {row.state}, exit status {row.exit_code}")
        elif line is None and expected.ledger and row.state in _RAN:
            report.wrong.append(f"run {row.exec_id} is {row.state} and never started")
        elif row.source == "cron" and row.started_ms is not None and row.scheduled_ms is not None:
            began = row.started_ms if line is None else line.start_ms
            if not -1000 < began - row.scheduled_ms < _LATE_MS:
                report.late.append(f"run {row.exec_id} began {began - row.scheduled_ms} ms after its instant")


def _check_lost(report: Report, expected: Expected, row: Row, line: Line | None) -> None:
    if row.pid is None and not expected.dies_with_runner:
        report.lost_at_launch += 1
    elif not expected.dies_with_runner:
        where = "was launched" if line is not None else "was known to run"
        report.lost.append(f"run {row.exec_id} of job {row.job_id} {where}, and its end is lost")


def read_rows(store: Path) -> list[Row]:
    """All rows of a store, read with SQLite itself."""
    sql = (
        "SELECT exec_id, job_id, state, source, scheduled_for, first_for, fires, started_at, exit_code, pid"
        " FROM job_logs WHERE job_id IS NOT NULL ORDER BY id"
    )
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database:
        return [Row(*row) for row in database.execute(sql)]


def watch_states(store: Path) -> None:
    """Have the store itself write down each change of a run's state, whoever makes it."""
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database:
        database.executescript(
            "CREATE TABLE seen (exec_id TEXT, old TEXT, new TEXT);"
            "CREATE TRIGGER see AFTER UPDATE OF state ON job_logs WHEN old.state <> new.state BEGIN"
            " INSERT INTO seen VALUES (new.exec_id, old.state, new.state); END;"
        )


def read_transitions(store: Path) -> list[tuple[str, str, str]]:
    """What `watch_states` saw: (run, state before, state after)."""
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database:
        return [(str(e), str(o), str(n)) for e, o, n in database.execute("SELECT exec_id, old, new FROM seen")]
