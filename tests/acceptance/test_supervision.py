"""What the supervisor does and says when its processes crash, hang or lose one another; what systemd hears of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import Home, alive, wait_for
from .rest import Rest


class Manager:
    """A service manager's end of `sd_notify`."""

    def __init__(self) -> None:
        self.address = f"@pyjobs-{uuid.uuid4()}"
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:])
        self._socket.setblocking(False)

    def heard(self, word: str, *, times: int = 1) -> bool:
        """Whether messages with this line came."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self._socket.recv(4096).decode())
        return sum(word in message.splitlines() for message in self.messages) >= times

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    manager = Manager()
    yield manager
    manager.close()


@contextlib.contextmanager
def foreground(home: Home, *before: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """`daemon run`, not waited for."""
    process = subprocess.Popen(
        [*before, *home.argv("daemon", "run")], env=home.env | env, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _runs(home: Home) -> dict[str, Any] | None:
    return s if (s := home.daemon()) and s["runner_pid"] else None


def test_systemd_hears_of_start_life_reload_and_stop_and_no_job_knows_the_way(home: Home, manager: Manager) -> None:
    home.pyjobs("job", "add", "env", "--manual", "--command", "env")
    with foreground(home, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000") as process:
        wait_for(lambda: manager.heard("READY=1"), "READY=1")
        assert manager.heard(f"MAINPID={process.pid}")
        ready = home.status()
        assert manager.heard(f"STATUS=runs, API at {ready['api']['address']}")
        wait_for(lambda: manager.heard("WATCHDOG=1", times=3), "signs of life")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: manager.heard("RELOADING=1"), "RELOADING=1")
        wait_for(lambda: manager.heard("READY=1", times=2), "the end of the reload")
        log = home.path / "logs" / "pyjobs.log"
        wait_for(lambda: "functions loaded again" in log.read_text(encoding="utf-8"), "a word about it")
        assert home.status()["runner_pid"] == ready["runner_pid"]
        output = home.wait_for_state(home.detach("env"), "success")["output"]
        assert "PYJOBS_RUN_ID" in output
        assert "NOTIFY_SOCKET" not in output
        assert "WATCHDOG" not in output
        process.terminate()
        assert process.wait(30) == 0
        assert manager.heard("STOPPING=1")


def test_a_supervisor_that_hangs_goes_with_its_front_when_the_watchdog_aborts_that(
    home: Home, manager: Manager
) -> None:
    with foreground(home, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000") as process:
        wait_for(lambda: manager.heard("READY=1"), "READY=1")
        os.kill(home.status()["pid"], signal.SIGSTOP)
        process.send_signal(signal.SIGABRT)
        assert process.wait(30) == 1
    wait_for(lambda: home.processes() == [], "the end of all its processes")
    home.start()


def test_a_runner_that_cannot_start_is_tried_for_ever_said_aloud_and_well_once_the_cause_is_gone(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    first = home.start()
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs"), "a fire before the trouble")
    log = home.path / "logs" / "pyjobs.log"
    log.rename(home.path / "logs" / "before")
    log.mkdir()
    began = time.monotonic()
    os.kill(first["runner_pid"], signal.SIGKILL)
    safe = wait_for(lambda: s if (s := home.status())["safe_mode_since"] else None, "safe mode")
    assert safe["pid"] == first["pid"]
    assert safe["last_restart"]["what"] == "runner"
    assert "pyjobs.log` cannot be written" in safe["last_restart"]["why"]
    assert safe["next_start"]
    page = home.pyjobs("status")
    assert "SAFE MODE" in page
    assert "nothing fires" in page
    assert "the daemon is in trouble: safe mode" in home.try_("list").stderr
    rest = Rest(first["api"]["address"])
    status, health = rest.call("GET", "/health/scheduler")
    assert (status, health["status"]) == (503, "error")
    assert "safe mode" in health["error"]
    assert rest.call("GET", "/jobs/list")[0] == 200
    cost = psutil.Process(first["pid"]).cpu_times()
    assert cost.user + cost.system < 0.05 * (time.monotonic() - began)
    # One start a minute in the long run: less than 5 % of that.
    assert (cost.children_user + cost.children_system) / safe["restarts"] < 3
    log.rmdir()
    newest = home.rows("SELECT max(scheduled_for) FROM job_logs")[0][0]
    wait_for(lambda: home.rows("SELECT max(scheduled_for) FROM job_logs")[0][0] > newest, "a fire", patience_s=60)
    assert home.status()["pid"] == first["pid"]
    said = log.read_text(encoding="utf-8") + (home.path / "logs" / "before").read_text(encoding="utf-8")
    assert "Traceback" not in said


def test_a_store_that_cannot_be_written_just_now_is_said_without_the_store(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    first = home.start()
    store = home.path / "data" / "jobs.db"
    away = store.rename(home.path / "data" / "away.db")
    troubled = wait_for(lambda: s if (s := home.status())["store_trouble"] else None, "a word about it")
    assert "deleted or replaced" in troubled["store_trouble"]
    assert troubled["runner_pid"] == first["runner_pid"]
    status, health = Rest(first["api"]["address"]).call("GET", "/health/scheduler")
    assert (status, health["scheduler"]) == (503, "trouble")
    store.write_bytes(b"this is no database" * 100)
    page = home.try_("status")
    assert page.returncode == 5
    assert "deleted or replaced" in page.stdout
    assert "a usable pyjobs database" in page.stderr
    away.replace(store)
    wait_for(lambda: home.status()["store_trouble"] is None, "that it is over")


def test_a_keeper_that_died_is_said_and_the_daemon_goes_on(home: Home) -> None:
    before = home.start()
    os.kill(before["keeper_pid"], signal.SIGKILL)
    after = wait_for(lambda: s if (s := home.status())["keeper_pid"] is None else None, "a word about it")
    assert (after["pid"], after["runner_pid"]) == (before["pid"], before["runner_pid"])
    assert f"the keeper (pid {before['keeper_pid']}) died" in home.pyjobs("status")
    home.pyjobs("daemon", "stop")


def test_the_foreground_outlives_its_keeper_and_ends_with_its_supervisors_code(home: Home) -> None:
    with foreground(home) as process:
        status = wait_for(lambda: _runs(home), "the runner")
        os.kill(status["keeper_pid"], signal.SIGKILL)
        wait_for(lambda: home.status()["keeper_pid"] is None, "a word about it")
        process.terminate()
        assert process.wait(30) == 0


def test_a_restart_says_why(home: Home) -> None:
    before = home.start()
    os.kill(before["runner_pid"], signal.SIGKILL)
    after = wait_for(lambda: s if (s := home.status())["last_restart"] else None, "a word about it")
    assert (after["last_restart"]["what"], after["last_restart"]["why"]) == ("runner", "SIGKILL")
    log = (home.path / "logs" / "pyjobs.log").read_text(encoding="utf-8")
    assert "the runner ended by SIGKILL; started again in 0.5 s" in log


def test_whoever_looks_on_sees_each_run_in_a_line(home: Home) -> None:
    home.pyjobs("job", "add", "hello", "--manual", "--command", "true")
    with foreground(home) as process:
        wait_for(lambda: _runs(home), "the runner")
        exec_id = home.detach("hello")
        home.wait_for_state(exec_id, "success")
        process.terminate()
        _, said = process.communicate(timeout=30)
    lines = [line.partition(" INFO ")[2] for line in said.splitlines() if exec_id in line]
    assert lines[0] == f"hello starts, run {exec_id}"
    assert lines[1].startswith("hello ended well after ")
    assert len(lines) == 2
    assert "hello" not in (home.path / "logs" / "pyjobs.log").read_text(encoding="utf-8")


def test_in_a_container_what_runs_ends_with_pyjobs_and_its_row_says_so(home: Home) -> None:
    isolate = ["unshare", "--pid", "--fork", "--mount-proc"]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode == 0:
            home.pyjobs("job", "add", "long", "--cron", "* * * * * *", "--command", "sleep 60; true")
            with foreground(home, *isolate) as process:
                find = "SELECT exec_id FROM job_logs WHERE state = 'running' AND pid IS NOT NULL"
                exec_id = wait_for(lambda: home.rows(find), "a run")[0][0]
                (first,) = psutil.Process(process.pid).children()
                first.terminate()
                assert process.wait(30) == 0
            row = home.run(exec_id)
            assert (row["state"], row["error"]) == ("killed", "pyjobs was stopped")
            return
    pytest.skip("no process namespace can be made here")


def test_twenty_running_jobs_are_left_and_taken_over(home: Home) -> None:
    home.env |= {"MAX_CONCURRENT_JOBS": "20", "PYJOBS_DRAIN": "0"}
    home.pyjobs("job", "add", "long", "--manual", "--allow-mode", "parallel", "--command", "sleep 60; true")
    rest = Rest(home.start()["api"]["address"])
    for _ in range(20):
        rest.data("POST", "/jobs/run", query={"id": "1"})
    running = "SELECT exec_id, pid FROM job_logs WHERE state = 'running' AND pid IS NOT NULL"
    wait_for(lambda: len(home.rows(running)) == 20, "twenty runs")
    before = dict(home.rows(running))
    stopped = home.try_("daemon", "stop")
    assert stopped.returncode == 0
    assert "20 runs go on" in stopped.stderr
    assert "Traceback" not in (home.path / "logs" / "daemon.out").read_text(encoding="utf-8")
    assert all(alive(pid) for pid in before.values())
    home.start()
    assert dict(home.rows(running)) == before
    home.pyjobs("job", "kill", "long")
    wait_for(lambda: not any(alive(pid) for pid in before.values()), "the end of all")
    wait_for(lambda: home.rows(running) == [], "all of it recorded")


def test_a_closed_terminal_ends_the_foreground_and_nohup_keeps_it(home: Home) -> None:
    for before, ends in (((), True), (("nohup",), False)):
        ours, its = os.openpty()
        process = subprocess.Popen(
            ["setsid", "--ctty", *before, *home.argv("daemon", "run")], env=home.env,
            stdin=its, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            os.close(its)
            status = wait_for(lambda: _runs(home), "the runner")
            os.close(ours)
            if ends:
                assert process.wait(30) == 0
            else:
                assert home.pyjobs("daemon", "reload") == ""
                assert home.status()["pid"] == status["pid"]
                home.pyjobs("daemon", "stop")
        finally:
            process.kill()
            process.wait()
        wait_for(lambda: home.processes() == [], "the end of all its processes")


STARTERS = """
import os, sys
from pathlib import Path
from pyjobs import bootstrap, daemon
from pyjobs.errors import Conflict
settings, _ = bootstrap.load_settings(Path(sys.argv[1]))
read, write = os.pipe()
children = []
for _ in range(50):
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        try:
            daemon.start(settings, api=False)
        except Conflict:
            os._exit(6)
        except BaseException:
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(write)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(codes.count(0), codes.count(6))
"""


def test_of_fifty_starters_at_the_same_moment_one_is_the_daemon_and_what_it_said_is_whole(home: Home) -> None:
    argv = [*home.argv()[:1], "-c", STARTERS, str(home.path)]
    done = subprocess.run(argv, env=home.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "1 49\n", done.stderr
    status = home.status()
    assert alive(status["pid"])
    assert alive(status["runner_pid"])


@pytest.mark.parametrize("what", ["stale", "foreign", "garbage"])
def test_what_an_older_lock_says_is_no_daemon_and_harms_nobody(home: Home, what: str) -> None:
    lock = home.path / "run" / "daemon.lock"
    lock.parent.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "60"])
    try:
        pid = {"stale": 2**22 - 1, "foreign": other.pid, "garbage": 0}[what]
        lock.write_text(f'{{"pid": {pid}, "start": 1, "runner": {pid}, "home": "x"}}\n' if pid else '{"pid"\0' * 999)
        assert home.try_("daemon", "stop").returncode == 3
        assert home.try_("status").returncode == 3
        home.start()
        home.pyjobs("daemon", "stop")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_second_runner_on_one_store_names_the_first_and_leaves(home: Home, tmp_path: Path) -> None:
    first = home.start()
    other = Home(tmp_path / "other")
    other.env["DATABASE_URL"] = f"sqlite:///{home.path / 'data' / 'jobs.db'}"
    try:
        done = other.try_("daemon", "start")
        assert done.returncode == 6, done.stderr
        assert f"another runner (pid {first['runner_pid']})" in done.stderr
        assert "hint:" in done.stderr
        wait_for(lambda: other.processes() == [], "its end")
    finally:
        other.end()
