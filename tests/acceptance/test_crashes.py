"""What survives kill -9: each test kills for real, by process id, and reads the rows afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from .conftest import Home, alive, wait_for


def _long_job(home: Home, text: str = "sleep 2; echo done; exit 7", *flags: str) -> str:
    home.pyjobs("job", "add", "long", "--manual", "--command", text, *flags)
    home.start()
    exec_id = home.detach("long")
    wait_for(lambda: home.run(exec_id)["pid"], "the command's pid in its row")
    return exec_id


def test_the_true_exit_status_is_found_when_the_runner_was_killed_meanwhile(home: Home) -> None:
    exec_id = _long_job(home)
    before = home.status()
    os.kill(before["runner_pid"], signal.SIGKILL)
    row = home.wait_for_state(exec_id, "success", "failed", "lost")
    assert (row["state"], row["exit_code"], row["output"]) == ("failed", 7, "done\n")
    after = home.status()
    assert after["pid"] == before["pid"]
    assert after["runner_pid"] != before["runner_pid"]
    assert after["restarts"] == 1


def test_a_run_that_ended_while_no_runner_was_there_has_its_exit_status(home: Home) -> None:
    exec_id = _long_job(home, "sleep 0.2; exit 9")
    daemon = home.status()
    os.kill(daemon["runner_pid"], signal.SIGSTOP)
    wait_for(lambda: not alive(home.run(exec_id)["pid"]), "the end of the command")
    os.kill(daemon["runner_pid"], signal.SIGKILL)
    assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 9


def test_the_true_exit_status_is_found_when_supervisor_and_runner_were_killed_together(home: Home) -> None:
    exec_id = _long_job(home, "sleep 1; exit 7")
    daemon, pid = home.status(), home.run(exec_id)["pid"]
    os.kill(daemon["pid"], signal.SIGKILL)
    os.kill(daemon["runner_pid"], signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid), "the end of the command, reaped")
    home.start()
    row = home.wait_for_state(exec_id, "failed", "lost")
    assert (row["state"], row["exit_code"]) == ("failed", 7)


def test_a_command_that_outlives_both_is_adopted_while_it_runs(home: Home) -> None:
    exec_id = _long_job(home, "sleep 3; exit 5")
    daemon = home.status()
    os.kill(daemon["pid"], signal.SIGKILL)
    os.kill(daemon["runner_pid"], signal.SIGKILL)
    home.start()
    assert home.run(exec_id)["state"] == "running"
    assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 5


def test_a_function_outlives_the_runner_too(home: Home) -> None:
    functions = home.path / "functions"
    functions.mkdir(parents=True)
    (functions / "slow.py").write_text("import time\n\ndef slow() -> str:\n    time.sleep(2)\n    return 'slept'\n")
    home.pyjobs("job", "add", "slow", "--manual", "--func", "slow")
    home.start()
    exec_id = home.detach("slow")
    wait_for(lambda: home.run(exec_id)["pid"], "the function's pid in its row")
    os.kill(home.status()["runner_pid"], signal.SIGKILL)
    row = home.wait_for_state(exec_id, "success", "failed", "lost")
    assert (row["state"], row["output"]) == ("success", "slept")


def test_an_http_run_is_lost_with_its_runner_and_says_so(home: Home) -> None:
    # Connects to a listener that never answers.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        home.pyjobs("job", "add", "silent", "--manual", "--http", url)
        home.start()
        exec_id = home.detach("silent")
        home.wait_for_state(exec_id, "running")
        os.kill(home.status()["runner_pid"], signal.SIGKILL)
        row = home.wait_for_state(exec_id, "lost", "failed", "success")
    assert (row["state"], row["status"]) == ("lost", 1)
    assert row["error"].startswith("lost: ")


def test_twenty_kills_under_load_double_nothing_and_lose_no_instant(home: Home) -> None:
    ledger = home.path / "ledger"
    home.path.mkdir()
    text = f'echo "$PYJOBS_RUN_ID $PYJOBS_JOB_ID $PYJOBS_SCHEDULED_FOR" >> "{ledger}"'
    for number in range(5):
        home.pyjobs("job", "add", f"j{number}", "--cron", "* * * * * *", "--misfire", "all", "--command", text)
    home.start()
    for kill in range(20):
        runner = wait_for(lambda: home.status()["runner_pid"], "a runner")
        time.sleep(0.05 * (kill % 7))  # moments that differ: this is the fault, not a wait
        if alive(runner):
            os.kill(runner, signal.SIGKILL)
        supervisor = home.status()["pid"]
        if kill % 4 == 3:  # the pause before the next start has grown: begin anew
            os.kill(supervisor, signal.SIGTERM)
            wait_for(lambda pid=supervisor: not alive(pid), "the end of the supervisor")  # type: ignore[misc]
            home.start()
    started = home.rows("SELECT max(scheduled_for) FROM job_logs")[0][0]
    newest = "SELECT min(m) FROM (SELECT max(scheduled_for) m FROM job_logs GROUP BY job_id)"
    wait_for(lambda: home.rows(newest)[0][0] > started, "a further fire of each job")
    home.pyjobs("daemon", "stop")
    _check_ledger(home, ledger.read_text(encoding="utf-8").splitlines())


def _check_ledger(home: Home, lines: list[str]) -> None:
    launches = [line.split()[0] for line in lines]
    assert len(launches) == len(set(launches)), "a run was launched twice"
    fires = [tuple(line.split()[1:]) for line in lines]
    assert len(fires) == len(set(fires)), "a fire was launched twice"
    home.check_instants()
    assert home.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("text", ["trap '' TERM; sleep 60 & wait; sleep 60", "(setsid sleep 60 &) ; sleep 60"])
def test_a_killed_run_leaves_no_process(home: Home, text: str) -> None:
    exec_id = _long_job(home, text, "--grace", "1")
    wait_for(lambda: any("sleep" in p.name() for p in home.processes()), "the sleeps")
    home.pyjobs("runs", "kill", exec_id)
    row = home.wait_for_state(exec_id, "killed", "failed", "success")
    assert row["state"] == "killed"
    assert [p for p in home.processes() if p.name() in ("bash", "sh", "sleep")] == []


def test_a_kill_that_was_asked_for_while_no_daemon_ran_is_done_when_one_does(home: Home) -> None:
    home.env["MAX_CONCURRENT_JOBS"] = "1"
    running = _long_job(home, "sleep 60; true")
    waiting = home.detach("long")
    home.pyjobs("daemon", "stop", "--force")
    home.pyjobs("runs", "kill", running)
    home.pyjobs("runs", "kill", waiting)
    home.start()
    assert home.wait_for_state(running, "killed", "success", "failed")["state"] == "killed"
    row = home.wait_for_state(waiting, "skipped", "success", "failed", "killed")
    assert (row["state"], row["started_at"]) == ("skipped", None)


def test_an_error_text_that_is_no_utf_8_costs_its_run_only(home: Home) -> None:
    functions = home.path / "functions"
    functions.mkdir(parents=True)
    (functions / "bad.py").write_text('def bad() -> None:\n    raise ValueError("file \\udcff")\n')
    home.pyjobs("job", "add", "bad", "--manual", "--func", "bad")
    before = home.start()
    row = home.wait_for_state(home.detach("bad"), "failed", "lost")
    assert "file ?" in row["error"]
    assert home.status()["runner_pid"] == before["runner_pid"]


def test_a_store_that_is_deleted_while_it_runs_is_said_and_nothing_runs_unrecorded(home: Home) -> None:
    ledger = home.path / "ledger"
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", f"echo >> '{ledger}'")
    home.start()
    wait_for(ledger.exists, "a first run")
    store = home.path / "data" / "jobs.db"
    away = store.rename(home.path / "data" / "away.db")
    log = home.path / "logs" / "pyjobs.log"
    wait_for(lambda: "deleted or replaced" in log.read_text(), "a word about it")
    away.rename(store)
    wait_for(lambda: "can be written again" in log.read_text(), "a word about that")
    home.pyjobs("daemon", "stop")
    runs = home.rows("SELECT count(*) FROM job_logs WHERE state = 'success'")[0][0]
    assert len(ledger.read_text().splitlines()) == runs


def test_runs_by_hand_without_a_daemon_wait_their_turn_too(home: Home) -> None:
    text = "mkdir mine || echo overlap; sleep 0.5; rmdir mine"
    home.pyjobs("job", "add", "turn", "--manual", "--allow-mode", "immediate", "--command", text)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: home.try_("run", "turn"), range(2)))
    assert sorted(done.returncode for done in both) in ([0, 0], [0, 6])  # both, or the newer one instead of the older
    assert all("overlap" not in done.stdout for done in both)


def test_a_run_that_pauses_between_two_attempts_goes_on_after_a_crash(home: Home) -> None:
    text = "【command】echo try >> tries; test $(wc -l < tries) -ge 2\n【times】3\n【interval】2"
    home.pyjobs("job", "add", "again", "--manual", "--mode", "command", "--raw", text)
    home.start()
    exec_id = home.detach("again")
    wait_for(lambda: home.run(exec_id)["retry_at"], "the pause in its row")
    os.kill(home.status()["runner_pid"], signal.SIGKILL)
    row = home.wait_for_state(exec_id, "success", "failed", "lost")
    assert (row["state"], row["attempt"]) == ("success", 2)
    assert (home.path / "tries").read_text() == "try\ntry\n"


def test_a_lost_run_is_started_again_where_its_job_asks_for_it(home: Home) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        home.pyjobs("job", "add", "silent", "--manual", "--http", url, "--on-lost", "retry")
        home.start()
        exec_id = home.detach("silent")
        home.wait_for_state(exec_id, "running")
        os.kill(home.status()["runner_pid"], signal.SIGKILL)
        home.wait_for_state(exec_id, "lost")
        again = "SELECT exec_id FROM job_logs WHERE retry_of = ? AND source = 'retry'"
        ((name,),) = wait_for(lambda: home.rows(again, exec_id), "a run in its place")
        home.wait_for_state(name, "running")


def test_a_job_that_was_in_flight_in_three_crashes_is_quarantined(home: Home) -> None:
    home.pyjobs("job", "add", "deadly", "--every", "1s", "--command", "sleep 30", "--misfire", "skip")
    home.start()
    active = "SELECT count(*) FROM job_logs WHERE state = 'running' AND started_at > ?"
    up = "SELECT max(at), count(*) FROM events WHERE kind = 'runner_up'"
    for crash in range(3):
        since, starts = home.rows(up)[0]
        assert starts == crash + 1
        wait_for(lambda since=since: home.rows(active, since)[0][0], "a run of this runner")  # type: ignore[misc]
        os.kill(home.status()["runner_pid"], signal.SIGKILL)
        wait_for(lambda starts=starts: home.rows(up)[0][1] > starts, "the next runner")  # type: ignore[misc]
    (reason,) = wait_for(lambda: home.rows("SELECT stop_reason FROM jobs WHERE state = 2"), "the job to be stopped")[0]
    assert reason == "quarantined: it was in flight in 3 crashes of the runner within 72 h"


def test_a_newer_fire_replaces_what_runs(home: Home) -> None:
    home.pyjobs("job", "add", "newest", "--every", "2s", "--command", "sleep 60", "--allow-mode", "replace")
    home.start()
    killed = wait_for(
        lambda: home.rows("SELECT exec_id, error FROM job_logs WHERE state = 'killed'"), "one to be replaced"
    )
    assert killed[0][1] == "killed by a newer fire of the job"
    running = "SELECT count(*) FROM job_logs WHERE state = 'running'"
    wait_for(lambda: home.rows(running) == [(1,)], "the newer one to run")
    assert len([p for p in home.processes() if p.name() == "sleep"]) <= 1


def test_a_run_by_hand_that_died_with_its_terminal_holds_nothing_back(home: Home) -> None:
    home.pyjobs("job", "add", "one", "--manual", "--command", "sleep 0.3; echo ok", "--allow-mode", "serial")
    terminal = subprocess.Popen(
        home.argv("run", "one"), env=home.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ((pid,),) = wait_for(lambda: home.rows("SELECT pid FROM job_logs WHERE pid IS NOT NULL"), "the run")
    terminal.kill()
    terminal.wait()
    wait_for(lambda: not alive(pid), "the end of the command")
    assert "ok" in home.pyjobs("run", "one")
    assert [s for (s,) in home.rows("SELECT state FROM job_logs ORDER BY id")] == ["lost", "success"]
