"""What runs out (descriptors, processes), what is too much (output), and functions that misbehave."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from acceptance.conftest import Home, wait_for
from acceptance.faults.checker import Expected, check, every, read_rows
from acceptance.faults.kit import copy_jobs, log_of, store_of
from acceptance.faults.ledger import Ledger

from pyjobs import bootstrap
from pyjobs.service.jobs import JobFields

_NOBODY = 65534


def _ended(home: Home) -> dict[str, int]:
    """Count the runs by state, once all have ended."""
    active = "SELECT 1 FROM job_logs WHERE state IN ('queued', 'running')"
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs") and not home.rows(active), "all ends", patience_s=60)
    return dict(home.rows("SELECT state, count(*) FROM job_logs GROUP BY state"))


def test_with_64_descriptors_each_run_ends_well_or_says_why_not_and_the_runner_lives(home: Home) -> None:
    home.env["MAX_CONCURRENT_JOBS"] = "100"
    home.pyjobs("job", "add", "j", "--cron", "0 0 1 1 *", "--command", "sleep 1; true")
    before = home.start()
    resource.prlimit(before["runner_pid"], resource.RLIMIT_NOFILE, (64, 64))
    copy_jobs(home, 100, time.time_ns() // 1_000_000)
    states = _ended(home)
    assert sum(states.values()) == 100
    assert set(states) <= {"success", "failed"}
    assert states["success"] > 30
    for error, code in home.rows("SELECT error, exit_code FROM job_logs WHERE state = 'failed'"):
        assert "Too many open files" in error
        assert code == 125
    exec_id = home.detach("j")
    assert home.wait_for_state(exec_id, "success", "failed")["state"] == "success"
    assert home.status()["runner_pid"] == before["runner_pid"]


@pytest.fixture
def open_home() -> Iterator[Home]:
    """A home that another user can reach."""
    with tempfile.TemporaryDirectory(prefix="pyjobs-") as folder:
        Path(folder).chmod(0o755)
        home = Home(Path(folder) / "home")
        home.path.mkdir()
        os.chown(home.path, _NOBODY, -1)
        try:
            yield home
        finally:
            home.end()


@pytest.fixture
def as_nobody() -> list[str]:
    """What to put before a command so that the limit of processes counts for it, which root does not heed."""
    if os.geteuid() or not (shutil.which("setpriv") and shutil.which("prlimit")):
        pytest.skip("another user's daemon can be started by root with setpriv only")
    caps = "+dac_override,+chown,+fowner"  # this interpreter may be where only root may read
    argv = ["setpriv", f"--reuid={_NOBODY}", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"]
    if subprocess.run([*argv, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no other user can be had here")
    return argv


def test_where_no_process_can_be_had_the_run_fails_with_the_reason_and_the_next_goes_well(
    open_home: Home, as_nobody: list[str]
) -> None:
    home = open_home
    home.env |= {"HOME": str(home.path)}

    def pyjobs(*args: str) -> str:
        argv = [*as_nobody, *home.argv(*args)]
        done = subprocess.run(argv, env=home.env, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    pyjobs("job", "add", "j", "--manual", "--command", "true && true")
    pyjobs("daemon", "start", "--no-api")
    before = home.status()
    assert psutil.Process(before["runner_pid"]).uids().real == _NOBODY
    limits = Path(f"/proc/{before['runner_pid']}/limits").read_text()
    usual = next(line.split()[2] for line in limits.splitlines() if line.startswith("Max processes"))
    # Asked for by that user: root may lack the capability.
    limit = [*as_nobody, "prlimit", f"--pid={before['runner_pid']}"]
    subprocess.run([*limit, "--nproc=1:"], check=True)
    refused = home.wait_for_state(pyjobs("job", "run", "j", "--detach").strip(), "failed", "success")
    assert (refused["state"], refused["exit_code"]) == ("failed", 125)
    assert "Resource temporarily unavailable" in refused["error"]
    subprocess.run([*limit, f"--nproc={usual}:"], check=True)
    row = home.wait_for_state(pyjobs("job", "run", "j", "--detach").strip(), "failed", "success")
    assert row["state"] == "success"
    assert home.status()["runner_pid"] == before["runner_pid"]


_OUTPUT = {
    "100,000 lines": "seq 100000",
    "one line": "head -c {size} /dev/zero | tr '\\0' x",
    "NULs": "head -c {size} /dev/zero",
    "noise": "head -c {size} /dev/urandom",
}


@pytest.mark.parametrize("mebibytes", [32, pytest.param(1024, marks=pytest.mark.soak)])
def test_output_without_end_is_kept_bounded_grows_no_runner_and_delays_no_other_job(home: Home, mebibytes: int) -> None:
    ledger = Ledger(home.path / "ledger")
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", ledger.command())
    for name, text in _OUTPUT.items():
        home.pyjobs("job", "add", name, "--manual", "--command", text.format(size=mebibytes << 20))
    home.pyjobs("daemon", "start", "--no-api")
    runner = psutil.Process(home.status()["runner_pid"])
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs WHERE state = 'success'"), "a first run")
    since_ms, pss = time.time_ns() // 1_000_000, runner.memory_full_info().pss
    runs = [home.detach(name) for name in _OUTPUT]
    peak = pss
    while home.rows("SELECT 1 FROM job_logs WHERE state IN ('queued', 'running') AND source = 'manual'"):
        peak = max(peak, runner.memory_full_info().pss)
        time.sleep(0.02)
    print(f"the runner's memory grew by {(peak - pss) >> 10} KiB")
    assert peak - pss < 20 << 20
    for exec_id in runs:
        row = home.run(exec_id)
        assert row["state"] == "success"
        assert "bytes left out" in row["output"]
        assert len(row["output"]) < 70_000
    spool = home.path / "data" / "spool"
    assert sum(path.stat().st_blocks * 512 for path in spool.iterdir()) < 4 * (11 << 20)
    until_ms = time.time_ns() // 1_000_000 - 1000
    home.pyjobs("daemon", "stop")
    report = check(read_rows(store_of(home)), ledger.lines(), {1: Expected(due=every(1))}, since_ms, until_ms)
    assert report.problems() == []


_FUNCTIONS = """
import os
import signal
import sys
import threading
import time


def leave() -> None:
    sys.exit(3)


def vanish() -> None:
    os._exit(4)


def loop() -> None:
    while True:
        pass


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def eat() -> None:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(2 << 30)


def thread() -> str:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return "left"


def unserialisable() -> object:
    return object()


def good() -> str:
    return "good"
"""
#: name -> (state, a word of its reason)
_ENDS = {
    "leave": ("failed", "3"),
    "vanish": ("failed", "4"),
    "loop": ("timeout", "timed out after 1 s"),
    "crash": ("failed", "SIGSEGV"),
    "eat": ("failed", "MemoryError"),
    "thread": ("success", ""),
    "unserialisable": ("failed", "object"),
    "good": ("success", ""),
}


def test_functions_that_misbehave_cost_their_own_run_and_never_the_runner(home: Home) -> None:
    functions = home.path / "functions"
    functions.mkdir(parents=True)
    Path(functions / "bad.py").write_text(_FUNCTIONS, encoding="utf-8")
    home.pyjobs("daemon", "start", "--no-api")
    before = home.status()
    service = bootstrap.build_service(bootstrap.load_settings(home.path)[0])
    runs: dict[str, str] = {}
    for name in _ENDS:
        timeout_s = 1 if name == "loop" else 60
        fields = JobFields(
            name=name, trigger_type="manual", mode="func", command=f"【name】{name}", timeout_s=timeout_s
        )
        runs[name] = service.runs.start(service.jobs.add(fields).job.id).exec_id
    service.close()
    _ended(home)
    for name, (state, word) in _ENDS.items():
        row = home.run(runs[name])
        assert (name, row["state"]) == (name, state), row["error"]
        assert word in row["error"]
    assert (home.status()["runner_pid"], home.status()["restarts"]) == (before["runner_pid"], 0)
    home.pyjobs("daemon", "stop")
    wait_for(lambda: home.processes() == [], "the end of all processes")


def test_a_terminal_that_is_closed_or_hangs_up_ends_no_run_and_leaves_no_process(home: Home) -> None:
    home.env["PYJOBS_DRAIN"] = "0"
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 2; exit 7")
    ours, theirs = os.openpty()
    argv = home.argv("daemon", "run", "--no-api")
    front = subprocess.Popen(argv, env=home.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        wait_for(lambda: (s := home.daemon()) and s["runner_pid"], "the runner")
        exec_id = home.detach("long")
        wait_for(lambda: home.run(exec_id)["pid"], "its pid")
        os.close(ours)  # as a terminal window does; and the kernel's SIGHUP, which goes to who leads the session
        front.send_signal(signal.SIGHUP)
        assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 7
        if home.daemon() is not None:
            home.pyjobs("daemon", "stop")
        front.wait(30)
    finally:
        front.kill()
        front.wait()
    wait_for(lambda: home.processes() == [], "the end of all processes")
    assert "Traceback" not in log_of(home)
