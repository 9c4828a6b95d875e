"""Backup and restore with a real daemon: nothing stands still for it, nothing fires twice afterwards."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Home, wait_for


def ledger(path: Path) -> Counter[str]:
    """How often each instant was launched."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


def test_a_backup_while_jobs_fire_restored_under_a_running_daemon_fires_nothing_twice(home: Home) -> None:
    launched = home.path / "ledger"
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--misfire", "all",
                "--command", f'echo "$PYJOBS_SCHEDULED_FOR" | tr -d " " >> {launched}')  # fmt: skip
    first = home.start()
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs WHERE status = 0"), "a run")
    path = home.pyjobs("db", "backup", "--verify").strip()
    since = len(ledger(launched))
    wait_for(lambda: len(ledger(launched)) > since + 2, "runs that the backup does not know")
    home.pyjobs("job", "add", "later", "--manual", "--command", "true")

    refused = home.try_("db", "restore", path, "--yes")
    assert (refused.returncode, "--pause-daemon" in refused.stderr) == (6, True)
    done = json.loads(home.pyjobs("db", "restore", path, "--yes", "--pause-daemon", "--json"))["restore"]
    assert done["carried_over"] is True

    assert home.status()["pid"] != first["pid"]
    assert home.rows("SELECT name FROM jobs") == [("tick",)]
    before = len(ledger(launched))
    wait_for(lambda: len(ledger(launched)) > before + 2, "fires of the restored store")
    home.pyjobs("daemon", "stop")
    assert set(ledger(launched).values()) == {1}


def test_a_run_that_goes_on_over_a_restore_is_taken_over(home: Home) -> None:
    home.env["PYJOBS_DRAIN"] = "0"
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 2; exit 4")
    home.start()
    path = home.pyjobs("db", "backup").strip()
    exec_id = home.detach("long")
    home.wait_for_state(exec_id, "running")
    home.pyjobs("db", "restore", path, "--yes", "--pause-daemon")
    assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 4
    # The runner that was stopped for it had left by itself: nobody crashed.
    came = [json.loads(detail) for (detail,) in home.rows("SELECT detail FROM events WHERE kind = 'runner_up'")]
    assert [detail.get("clean") for detail in came] == [None, True]
    assert home.rows("SELECT 1 FROM events WHERE kind = 'crashed'") == []


def test_a_job_of_the_api_makes_a_real_backup(home: Home) -> None:
    home.pyjobs("job", "add", "nightly", "--manual", "--func", "Backup", "--arg", "30")
    home.start()
    exec_id = home.detach("nightly")
    row = home.wait_for_state(exec_id, "success", "failed", "lost")
    assert row["state"] == "success", row["error"]
    (path,) = (home.path / "backups").iterdir()
    assert str(path) in row["output"]
    assert json.loads(home.pyjobs("db", "verify", str(path), "--json"))["backup"]["whole"] is True


@pytest.mark.parametrize("stage", ["jobs.db", "packed", "restored/jobs.db"])
def test_one_that_is_interrupted_leaves_nothing(home: Home, stage: str) -> None:
    home.pyjobs("job", "add", "one", "--manual", "--command", "true")
    with closing(sqlite3.connect(home.path / "data" / "jobs.db")) as store, store:
        store.executemany(
            "INSERT INTO job_logs (exec_id, state, source, output) VALUES (?, 'success', 'cron', hex(randomblob(500)))",
            [(f"{number:016x}",) for number in range(60_000)],
        )
    argv = home.argv("db", "backup", "--verify", "--compress")
    process = subprocess.Popen(argv, env=home.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    folder = home.path / "backups"
    wait_for(lambda: process.poll() is not None or list(folder.glob(f".pyjobs-half-*/{stage}")), stage)
    process.send_signal(signal.SIGINT)
    assert (process.communicate()[1], process.returncode) == (b"", 130)
    assert list(folder.iterdir()) == []
