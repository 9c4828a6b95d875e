"""A clock that jumps under a running daemon (libfaketime), and a daemon that was away."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest
from acceptance.conftest import Home, wait_for
from acceptance.faults.checker import Expected, Row, check, every, read_rows
from acceptance.faults.kit import copy_jobs, log_of, store_of
from acceptance.faults.ledger import Ledger

_LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
_HOUR, _DAY, _YEAR = 3600, 86400, 365 * 86400
_LEAP = 3  # days more in ten years


class FakeTime:
    """The wall clock of a daemon and of what it starts; elapsed time is the true one."""

    def __init__(self, home: Home) -> None:
        """Set it right."""
        if _LIBRARY is None:
            if os.environ.get("CI"):
                pytest.fail("libfaketime is missing: scripts/system_packages.sh installs it")
            pytest.skip("libfaketime is not installed")
        self._file = home.path / "faketime"
        self.ahead_s = 0
        self.set(0)
        self._home = home
        self._env = {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def start(self) -> None:
        """Start the daemon under this clock; the command line stays under the true one."""
        before = dict(self._home.env)
        self._home.env |= self._env
        self._home.pyjobs("daemon", "start", "--no-api")
        self._home.env = before

    def set(self, ahead_s: int) -> None:
        """Let the clock be so many seconds ahead of the true one."""
        half = self._file.with_suffix(".half")
        half.write_text(f"{ahead_s:+d}\n")
        half.rename(self._file)
        self.ahead_s = ahead_s

    def now_ms(self) -> int:
        """What the processes see."""
        return time.time_ns() // 1_000_000 + self.ahead_s * 1000


def _start(home: Home, clock: FakeTime, ledger: Ledger) -> None:
    for name, cron in (("second", "* * * * * *"), ("minute", "* * * * *"), ("hour", "0 * * * *")):
        home.pyjobs("job", "add", name, "--cron", cron, "--command", ledger.command())
    clock.start()


def _fires_after(home: Home, ms: int) -> bool:
    return bool(home.rows("SELECT 1 FROM job_logs WHERE job_id = 1 AND scheduled_for > ? AND state = 'success'", ms))


def _problems(home: Home, ledger: Ledger, since_ms: int, until_ms: int) -> list[str]:
    rules = {1: every(1), 2: every(60), 3: every(_HOUR)}
    jobs = {job_id: Expected(due=due) for job_id, due in rules.items()}
    report = check(read_rows(store_of(home)), ledger.lines(), jobs, since_ms, until_ms)
    # A command that starts while the clock jumps says so: late, and not by us.
    return [problem for problem in report.problems() if not problem.startswith("late")]


def test_a_clock_set_forward_is_downtime_one_run_a_job_and_no_instant_without_a_row(home: Home) -> None:
    home.path.mkdir()
    clock, ledger = FakeTime(home), Ledger(home.path / "ledger")
    _start(home, clock, ledger)
    since_ms = clock.now_ms()
    for jump_s in (30, 2 * _HOUR, _DAY):
        wait_for(lambda: _fires_after(home, clock.now_ms() - 2000), "fires")
        clock.set(clock.ahead_s + jump_s)
        after_ms, began = clock.now_ms(), time.monotonic()
        wait_for(lambda ms=after_ms: _fires_after(home, ms), "a fire after the jump")  # type: ignore[misc]
        assert time.monotonic() - began < 3, "the jump was not noticed within a second"
    # What fires meanwhile may be running just now; what is wrong stays wrong.
    wait_for(lambda: not _problems(home, ledger, since_ms, after_ms), "no problem", patience_s=15)
    before_ms = _newest(home)
    clock.set(clock.ahead_s + 10 * _YEAR + _LEAP * _DAY)
    after_ms = clock.now_ms()
    wait_for(lambda: _fires_after(home, after_ms), "a fire ten years later")
    home.pyjobs("daemon", "stop")
    (missed,) = [row for row in read_rows(store_of(home)) if row.fires > 10**8]
    assert missed.first_ms is not None
    assert missed.first_ms - before_ms <= 2000
    assert missed.scheduled_ms == (missed.first_ms or 0) + (missed.fires - 1) * 1000
    ran = "SELECT count(*) FROM job_logs WHERE source = 'catchup' AND state = 'success' GROUP BY job_id, claimed_at"
    assert {count for (count,) in home.rows(ran)} == {1}
    assert len({line.exec_id for line in ledger.lines()}) == len(ledger.lines())
    assert log_of(home).count("the clock was set by +") == 4
    assert "Traceback" not in log_of(home)


def _newest(home: Home) -> int:
    return int(home.rows("SELECT max(scheduled_for) FROM job_logs WHERE job_id = 1")[0][0])


def test_a_clock_set_back_fires_nothing_again_and_goes_on_where_it_was(home: Home) -> None:
    home.path.mkdir()
    clock, ledger = FakeTime(home), Ledger(home.path / "ledger")
    _start(home, clock, ledger)
    since_ms = clock.now_ms()
    for number, jump_s in enumerate((-30, -59 * 60, -_DAY), start=1):
        wait_for(lambda: _fires_after(home, clock.now_ms() - 2000), "fires")
        clock.set(jump_s)
        wait_for(lambda n=number: log_of(home).count("set by -") == n, "a word about it")  # type: ignore[misc]
        wait_for(lambda: not home.rows("SELECT 1 FROM job_logs WHERE state IN ('queued', 'running')"), "quiet")
        rows = home.rows("SELECT count(*) FROM job_logs")
        time.sleep(1.2)  # nothing is to happen; more than a period is what it would happen in
        assert home.rows("SELECT count(*) FROM job_logs") == rows
        clock.set(0)
    after_ms = clock.now_ms()
    wait_for(lambda: _fires_after(home, after_ms), "fires")
    home.pyjobs("daemon", "stop")
    assert _problems(home, ledger, since_ms, after_ms) == []


def _expected_runs(row_claimed_ms: int, due_ms: int, misfire: str) -> tuple[set[int], set[int]]:
    """(late ones that run, ones on time) of a per-second job, from the text of semantics §6."""
    instants = range(-(-due_ms // 1000) * 1000, row_claimed_ms + 1, 1000)
    on_time = {ms for ms in instants[-6:] if row_claimed_ms - ms <= 5000}
    late = [ms for ms in instants[-4000:] if row_claimed_ms - 3600_000 <= ms and ms not in on_time]
    allowed = {"skip": 0, "once": 0 if on_time else 1, "all": 100}[misfire]
    return set(late[len(late) - min(allowed, len(late)) :]), on_time


def test_after_a_minute_an_hour_a_year_away_each_policy_does_what_it_promises(home: Home) -> None:
    home.env["MAX_CONCURRENT_JOBS"] = "8"
    about: dict[int, tuple[int, str]] = {}
    for away_s in (60, _HOUR, _YEAR):
        for misfire in ("skip", "once", "all"):
            home.pyjobs("job", "add", f"{misfire}-{away_s}", "--cron", "* * * * * *", "--misfire", misfire,
                        "--command", "true")  # fmt: skip
            about[len(about) + 1] = (away_s, misfire)
    now_ms = time.time_ns() // 1_000_000_000 * 1000
    with contextlib.closing(sqlite3.connect(store_of(home))) as store, store:
        for job_id, (away_s, _) in about.items():
            store.execute("UPDATE jobs SET next_fire_at = ? WHERE id = ?", (now_ms - away_s * 1000, job_id))
    began = time.monotonic()
    home.pyjobs("daemon", "start", "--no-api")
    took_s = time.monotonic() - began
    wait_for(lambda: len(home.rows("SELECT DISTINCT job_id FROM job_logs")) == len(about), "the first claims")
    claimed = dict(home.rows("SELECT job_id, min(claimed_at) FROM job_logs GROUP BY job_id"))
    home.pyjobs("daemon", "stop", "--force")
    print(f"`daemon start` took {took_s:.2f} s; claimed {min(claimed.values()) - now_ms} ms after it was typed")
    assert took_s < 2.0 + 2.0  # of which two interpreters' starts are a part that grows with the load
    for job_id, (away_s, misfire) in about.items():
        rows = [row for row in read_rows(store_of(home)) if row.job_id == job_id]
        _check_policy(rows, claimed[job_id], now_ms - away_s * 1000, misfire)


def _check_policy(rows: list[Row], claimed_ms: int, due_ms: int, misfire: str) -> None:
    late, on_time = _expected_runs(claimed_ms, due_ms, misfire)
    assert {row.scheduled_ms for row in rows if row.source == "catchup"} == late
    assert on_time <= {row.scheduled_ms for row in rows if row.source == "cron" and row.state != "missed"}
    last = min(late | on_time) - 1000
    ranges = [(row.first_ms, row.scheduled_ms, row.fires) for row in rows if row.state == "missed"]
    assert ranges == ([(due_ms, last, (last - due_ms) // 1000 + 1)] if last >= due_ms else [])


@pytest.mark.parametrize("wait_for_all", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_ten_thousand_jobs_due_in_one_second_are_all_claimed_and_none_is_missed(
    home: Home, *, wait_for_all: bool
) -> None:
    home.pyjobs("job", "add", "j", "--cron", "0 0 1 1 *", "--command", "true")
    home.pyjobs("daemon", "start", "--no-api")
    due_ms = (time.time_ns() // 1_000_000_000 + 2) * 1000
    copy_jobs(home, 10_000, due_ms)
    wait_for(lambda: home.rows("SELECT count(*) FROM job_logs") == [(10_000,)], "all claims")
    print(f"all 10,000 were claimed {time.time_ns() // 1_000_000 - due_ms} ms after their instant")
    if wait_for_all:
        done = "SELECT count(*) FROM job_logs WHERE state = 'success'"
        wait_for(lambda: home.rows(done)[0][0] == 10_000, "all ends", patience_s=100)
        print(f"all had run after {(home.rows('SELECT max(ended_at) FROM job_logs')[0][0] - due_ms) / 1000:.1f} s")
    home.pyjobs("daemon", "stop", "--force")
    assert not home.rows("SELECT 1 FROM job_logs WHERE state NOT IN ('queued', 'running', 'success')")
    assert home.rows("SELECT count(DISTINCT job_id) FROM job_logs WHERE scheduled_for = ?", due_ms) == [(10_000,)]
