"""Kill -9 at exactly the worst moments, and restarts while much runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from acceptance.conftest import Home, alive, wait_for
from acceptance.faults.checker import Expected, check, ends, every, read_rows, read_transitions, watch_states
from acceptance.faults.kit import copy_jobs, store_of
from acceptance.faults.ledger import Ledger

from pyjobs import bootstrap
from pyjobs.errors import PyjobsError

#: How many runs are lost when the runner dies there: one that may have been launched, and never was.
POINTS = {
    "before the claim": 0,
    "after the claim": 0,
    "before the launch": 1,
    "after the launch": 0,
    "after its pid was recorded": 0,
    "before its end is recorded": 0,
    "after its end was recorded": 0,
}


def _arm(home: Home, point: str) -> Path:
    """Have the runner die there, once; the file that this answers is gone when it did."""
    once = home.path / "once"
    home.path.mkdir()
    once.touch()
    home.env |= {"FAULT_AT": point, "FAULT_ONCE": str(once), "PYTHONWARNINGS": "default"}
    home.env["MAX_CONCURRENT_JOBS"] = "1"  # several are marked at once, and would share the fate of the first
    home.env["PYTHONPATH"] = f"{Path(__file__).parent / 'killpoints'}:{home.env['PYTHONPATH']}"
    return once


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_each_fire_is_launched_at_most_once_and_its_exit_status_found(home: Home, point: str) -> None:
    once, ledger = _arm(home, point), Ledger(home.path / "ledger")
    text = ledger.command("sleep 0.4; exit 7")
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--misfire", "all", "--command", text)
    since_ms = time.time_ns() // 1_000_000
    home.pyjobs("daemon", "start", "--no-api")
    wait_for(lambda: not once.exists(), "the kill")
    killed_ms = time.time_ns() // 1_000_000
    fired = "SELECT 1 FROM job_logs WHERE scheduled_for > ?"
    wait_for(lambda: home.rows(fired, killed_ms), "a later fire")
    wait_for(lambda: not home.rows("SELECT 1 FROM job_logs WHERE state = 'queued'"), "the turn of those that waited")
    home.pyjobs("daemon", "stop")
    jobs = {1: Expected(due=every(1), ends=ends("failed", 7))}
    report = check(read_rows(store_of(home)), ledger.lines(), jobs, since_ms, killed_ms)
    assert report.problems() == []
    assert report.lost_at_launch == POINTS[point]
    launched = {line.exec_id for line in ledger.lines()}
    assert not launched & {row.exec_id for row in read_rows(store_of(home)) if row.state == "lost"}


@pytest.mark.parametrize(
    ("point", "state"),
    [("at the launch", "lost"), ("after the launch", "failed"), ("before its end is recorded", "failed")],
)
def test_what_ended_before_the_next_runner_came_has_its_output_and_is_never_launched_again(
    home: Home, point: str, state: str
) -> None:
    once, ledger = _arm(home, point), Ledger(home.path / "ledger")
    home.pyjobs("job", "add", "brief", "--manual", "--command", ledger.command("echo done; exit 7"))
    home.pyjobs("daemon", "start", "--no-api")
    exec_id = home.detach("brief")
    row = home.wait_for_state(exec_id, "lost", "success", "failed")
    assert not once.exists()
    assert (row["state"], row["output"]) == (state, "done\n")
    assert row["error"].startswith("lost: ") or row["exit_code"] == 7
    home.pyjobs("daemon", "stop")
    assert [line.exec_id for line in ledger.lines()] == [exec_id]
    assert list((home.path / "data" / "spool").iterdir()) == []


def test_an_end_that_nobody_saw_is_recorded_within_two_seconds_of_the_restart(home: Home) -> None:
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 1; exit 7")
    home.pyjobs("daemon", "start", "--no-api")
    exec_id = home.detach("long")
    pid = wait_for(lambda: home.run(exec_id)["pid"], "its pid")
    daemon = home.status()
    for victim in (daemon["pid"], daemon["runner_pid"]):
        os.kill(victim, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid), "its end, reaped")
    began = time.monotonic()
    home.pyjobs("daemon", "start", "--no-api")
    row = home.wait_for_state(exec_id, "failed", "success", "lost")
    took_s = time.monotonic() - began
    assert (row["state"], row["exit_code"]) == ("failed", 7)
    assert took_s < 2.0 + 2.0  # of which the start of two interpreters is a part that grows with the load
    print(f"noticed {took_s:.2f} s after `daemon start` was typed")


@pytest.mark.parametrize("restarts", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_restarts_while_fifty_jobs_run_orphan_none_and_start_none_again(home: Home, restarts: int) -> None:
    home.env |= {"MAX_CONCURRENT_JOBS": "60", "PYJOBS_DRAIN": "0"}
    ledger, gate = Ledger(home.path / "ledger"), home.path / "gate"
    home.path.mkdir()
    os.mkfifo(gate)
    text = ledger.command(f"read -r _ < '{gate}'; exit 7")
    home.pyjobs("job", "add", "j", "--cron", "0 0 1 1 *", "--command", text)
    due_ms = time.time_ns() // 1_000_000_000 * 1000
    copy_jobs(home, 50, due_ms)
    home.pyjobs("daemon", "start", "--no-api")
    wait_for(lambda: len(ledger.lines()) == 50, "all starts")
    for number in range(restarts):
        daemon = home.status()
        if number % 2:
            os.kill(daemon["pid"], signal.SIGKILL)
            os.kill(daemon["runner_pid"], signal.SIGKILL)
        else:
            home.pyjobs("daemon", "stop")
        wait_for(lambda pid=daemon["pid"]: not alive(pid), "the end of the daemon")  # type: ignore[misc]
        home.pyjobs("daemon", "start", "--no-api")
    assert home.rows("SELECT DISTINCT state FROM job_logs") == [("running",)]
    gate.write_text("go\n")  # opened by all fifty: its end is the end of what each of them reads
    wait_for(lambda: not home.rows("SELECT 1 FROM job_logs WHERE state = 'running'"), "all ends")
    jobs = {n: Expected(due=lambda s: s * 1000 == due_ms, ends=ends("failed", 7)) for n in range(2, 52)}
    rows = read_rows(store_of(home))
    report = check(rows, ledger.lines(), jobs, due_ms, due_ms)
    assert report.problems() == []
    assert report.lost_at_launch == 0
    assert {row.exec_id: row.pid for row in rows} == {line.exec_id: line.pid for line in ledger.lines()}
    home.pyjobs("daemon", "stop")
    wait_for(lambda: home.processes() == [], "the end of all processes")


def test_a_kill_at_the_launch_or_at_the_very_end_leaves_one_final_state(home: Home) -> None:
    home.env["MAX_CONCURRENT_JOBS"] = "20"
    home.pyjobs("job", "add", "brief", "--manual", "--command", "sleep 0.05; true", "--grace", "1")
    watch_states(store_of(home))
    home.pyjobs("daemon", "start", "--no-api")
    service = bootstrap.build_service(bootstrap.load_settings(home.path)[0])
    try:
        job = service.jobs.find("brief")
        started = []
        for number in range(60):
            started.append(service.runs.start(job.id).exec_id)
            time.sleep(0.003 * (number % 20))  # from before its launch to after its end: this is the fault
            try:
                service.runs.kill(started[-1], by="a test")
            except PyjobsError as exc:
                assert exc.code == "conflict"  # noqa: PT017 - it had ended
    finally:
        service.close()
    active = "SELECT 1 FROM job_logs WHERE state IN ('queued', 'running')"
    wait_for(lambda: not home.rows(active), "all ends")
    transitions = read_transitions(store_of(home))
    finals = [exec_id for exec_id, _, new in transitions if new not in ("queued", "running")]
    assert sorted(finals) == sorted(started)
    assert all(old in ("queued", "running") for _, old, _ in transitions)
    states = {state for (state,) in home.rows("SELECT DISTINCT state FROM job_logs")}
    assert states <= {"success", "killed", "skipped"}
    assert "killed" in states
