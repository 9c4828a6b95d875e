"""Starting, stopping and finding the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Home, alive, wait_for


def test_a_second_daemon_leaves_at_once_and_names_the_first(home: Home) -> None:
    first = home.start()
    second = home.try_("daemon", "start")
    assert second.returncode == 6
    assert f"pid {first['pid']}" in second.stderr
    assert "hint:" in second.stderr
    assert home.status()["pid"] == first["pid"]


def test_of_many_starters_at_once_exactly_one_wins(home: Home) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = [done.returncode for done in pool.map(lambda _: home.try_("daemon", "start"), range(8))]
    assert sorted(codes) == [0] + [6] * 7


def test_stop_says_what_it_leaves_running_and_the_next_daemon_goes_on_with_it(home: Home) -> None:
    home.env["PYJOBS_DRAIN"] = "0"
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 3; exit 4")
    home.start()
    exec_id = home.detach("long")
    pid = wait_for(lambda: home.run(exec_id)["pid"], "its pid")
    stopped = home.try_("daemon", "stop")
    assert stopped.returncode == 0
    assert "long" in stopped.stdout + stopped.stderr
    assert home.daemon() is None
    assert alive(pid)
    assert home.try_("status").returncode == 3
    home.start()
    assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 4


def test_stop_waits_for_short_work(home: Home) -> None:
    home.pyjobs("job", "add", "short", "--manual", "--command", "sleep 1; echo whole")
    home.start()
    exec_id = home.detach("short")
    home.wait_for_state(exec_id, "running")
    home.pyjobs("daemon", "stop")
    row = home.run(exec_id)
    assert (row["state"], row["output"]) == ("success", "whole\n")
    wait_for(lambda: home.processes() == [], "the end of all its processes")


def test_a_clean_stop_leaves_one_file_as_the_store(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    home.start()
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs WHERE status = 0"), "a run")
    home.pyjobs("daemon", "stop")
    beside = {path.name for path in (home.path / "data").glob("jobs.db*")}
    assert beside == {"jobs.db", "jobs.db-made", "jobs.db-runner.lock"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_ends_with_0_on_a_signal(home: Home, number: signal.Signals) -> None:
    process = subprocess.Popen(
        home.argv("daemon", "run"), env=home.env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: (s := home.daemon()) and s["runner_pid"], "the runner")
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    wait_for(lambda: home.processes() == [], "the end of all its processes")


def test_the_daemon_ends_when_its_foreground_is_killed(home: Home) -> None:
    process = subprocess.Popen(
        home.argv("daemon", "run"), env=home.env, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    wait_for(lambda: (s := home.daemon()) and s["runner_pid"], "the runner")
    process.kill()
    process.wait()
    wait_for(lambda: home.processes() == [], "the end of all its processes")


def test_a_second_term_is_now(home: Home) -> None:
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 60")
    daemon = home.start()
    exec_id = home.detach("long")
    home.wait_for_state(exec_id, "running")
    os.kill(daemon["pid"], signal.SIGTERM)
    time.sleep(0.2)  # two signals at the same moment are one
    assert alive(daemon["pid"])
    os.kill(daemon["pid"], signal.SIGTERM)
    wait_for(lambda: not alive(daemon["pid"]), "the end", patience_s=5)
    assert home.run(exec_id)["state"] == "running"


def test_a_runner_that_hangs_is_replaced(home: Home) -> None:
    before = home.start()
    os.kill(before["runner_pid"], signal.SIGSTOP)
    after = wait_for(
        lambda: s if (s := home.status())["runner_pid"] not in (None, before["runner_pid"]) else None, "a new runner"
    )
    assert after["restarts"] == 1


def test_a_broken_store_refuses_to_start_and_is_left_as_it_is(home: Home) -> None:
    store = home.path / "data" / "jobs.db"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"this is no database" * 100)
    done = home.try_("daemon", "start")
    assert done.returncode == 5
    assert "a usable pyjobs database" in done.stderr
    assert "Traceback" not in done.stderr
    assert store.read_bytes() == b"this is no database" * 100


def test_a_home_that_cannot_be_made_is_said_plainly(home: Home) -> None:
    home.path.write_text("a file")
    for command in (("daemon", "start"), ("list",)):
        done = home.try_(*command)
        assert done.returncode == 4, done.stderr
        assert "hint:" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_lock_that_is_no_plain_file_is_refused(home: Home, kind: str) -> None:
    lock = home.path / "run" / "daemon.lock"
    lock.parent.mkdir(parents=True)
    victim = home.path / "victim"
    victim.write_text("precious")
    if kind == "link":
        lock.symlink_to(victim)
    else:
        os.mkfifo(lock)
    done = home.try_("daemon", "start")
    assert done.returncode == 4, done.stderr
    assert victim.read_text() == "precious"


def test_nothing_of_a_home_is_readable_for_others_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "echo secret")
        home.start()
    finally:
        os.umask(before)
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs WHERE status = 0"), "a run")
    data = home.path / "data"
    assert data.stat().st_mode & 0o077 == 0
    assert (home.path / "run").stat().st_mode & 0o077 == 0
    for path in (data / "jobs.db", home.path / "run" / "daemon.lock", home.path / "run" / "runner.sock"):
        assert path.stat().st_mode & 0o077 == 0, path
