"""`pyjobs doctor` beside real daemons: well ones, dead ones, two of them, one whose store was taken away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from typing import Any

import psutil
import pytest

from pyjobs import procs

from .conftest import Home, alive, wait_for


def findings(home: Home, *args: str) -> dict[str, dict[str, Any]]:
    """What it finds, by code."""
    done = home.try_("doctor", "--json", *args)
    assert done.returncode in (0, 8), done.stderr
    return {finding["code"]: finding for finding in json.loads(done.stdout)["findings"]}


def worse_than_notes(home: Home) -> set[str]:
    return {code for code, finding in findings(home).items() if finding["severity"] != "note"}


def test_a_daemon_that_is_well(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    home.start()
    assert worse_than_notes(home) == set()
    home.pyjobs("daemon", "stop")
    assert worse_than_notes(home) == {"no_daemon"}
    assert not {"stale_socket", "stale_lock"} & set(findings(home))


def test_a_daemon_that_was_killed_leaves_what_fix_takes_away(home: Home) -> None:
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 60")
    daemon = home.start()
    exec_id = home.detach("long")
    pid: int = wait_for(lambda: home.run(exec_id)["pid"], "its process")
    # The keeper first: it would keep the exit status of the command. A runner without a supervisor would tidy up.
    supervisor = psutil.Process(daemon["pid"])
    for process in (psutil.Process(supervisor.ppid()), psutil.Process(daemon["runner_pid"]), supervisor):
        process.kill()
    wait_for(lambda: not alive(daemon["pid"]), "the end of the daemon")
    assert {"stale_socket", "stale_lock", "dead_runner_runs"} <= set(findings(home))
    # What still runs is left to the next daemon; what is gone with nobody to see it is recorded.
    assert findings(home, "--fix")["dead_runner_runs"]["mended"] is None
    os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "the end of the command")
    assert findings(home, "--fix")["dead_runner_runs"]["mended"] == "recorded as lost: 1"
    assert home.rows("SELECT state FROM job_logs WHERE exec_id = ?", exec_id) == [("lost",)]
    assert not {"stale_socket", "stale_lock", "dead_runner_runs"} & set(findings(home))
    home.start()


def test_a_store_that_was_taken_away_while_the_daemon_has_it(home: Home) -> None:
    home.pyjobs("job", "add", "a", "--manual", "--command", "true")
    home.start()
    store = home.path / "data" / "jobs.db"
    store.replace(store.with_name("away.db"))
    found = findings(home)
    assert {"store_unusable", "store_replaced"} <= set(found)
    done = home.try_("job", "add", "b", "--manual", "--command", "true")
    assert (done.returncode, store.exists()) == (5, False)
    store.with_name("away.db").replace(store)
    assert "store_replaced" not in findings(home)
    home.pyjobs("daemon", "stop")


def test_a_daemon_does_not_start_where_the_store_is_gone(home: Home) -> None:
    home.pyjobs("job", "add", "a", "--manual", "--command", "true")
    store = home.path / "data" / "jobs.db"
    store.unlink()
    done = home.try_("daemon", "start")
    assert done.returncode == 5
    assert "is gone: there was one here" in done.stderr
    assert f"`rm {store}-made`" in done.stderr
    assert not store.exists()
    store.with_name("jobs.db-made").unlink()
    wait_for(lambda: home.daemon() is None, "the end of the one that failed")
    home.start()


@pytest.mark.skipif(not procs.boot_id(), reason="needs /proc")
def test_a_runner_of_another_home_with_the_same_store(home: Home) -> None:
    home.pyjobs("job", "add", "a", "--cron", "0 3 * * *", "--command", "true")
    second = Home(home.path / "second")
    second.path.mkdir()
    second.env["DATABASE_URL"] = f"sqlite:///{home.path / 'data' / 'jobs.db'}"
    daemon = home.start()
    found = findings(second)
    assert found["other_runner"]["mend"] == f"kill {daemon['runner_pid']}"


def test_a_job_that_another_program_spoilt_is_stopped_at_the_start_and_no_other(home: Home) -> None:
    for name in ("zone", "policy", "good"):
        home.pyjobs("job", "add", name, "--cron", "* * * * * *", "--command", "true")
    with contextlib.closing(sqlite3.connect(home.path / "data" / "jobs.db")) as raw, raw:
        raw.execute("UPDATE jobs SET timezone = 'Mars/Olympus' WHERE name = 'zone'")
        raw.execute("UPDATE jobs SET misfire = 'perhaps' WHERE name = 'policy'")
    home.start()
    log = home.path / "logs" / "pyjobs.log"
    assert "job policy stopped itself: its row in the store cannot be used" in log.read_text()
    assert "job zone stopped itself" in log.read_text()
    ran = "SELECT count(*) FROM job_logs WHERE job_name = 'good' AND state = 'success'"
    wait_for(lambda: home.rows(ran)[0][0], "a run of the good one")
    assert home.rows("SELECT name FROM jobs WHERE state = 2 ORDER BY name") == [("policy",), ("zone",)]
    assert home.rows("SELECT count(*) FROM job_logs WHERE job_name <> 'good'") == [(0,)]
    assert {"broken_row", "stopped_itself"} <= set(findings(home))
