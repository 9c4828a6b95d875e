"""Daemons whose store is a real MariaDB: they fire, answer, share it, and outlive its faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mariadb_server import Database

from .conftest import Home, wait_for
from .rest import rest_of
from .test_main_job import EVERY_SECOND, server

__all__ = ["server"]

#: A runner alone, on a host of its own: what tells hosts apart is the boot id.
_RUNNER = """
import sys
from pathlib import Path
from pyjobs import procs
procs.boot_id = lambda: sys.argv[2]
from pyjobs.serve import main
sys.exit(main(Path(sys.argv[1]), "front"))
"""


@pytest.fixture
def homes(tmp_path: Path, mysql: Database) -> Iterator[list[Home]]:
    """Two homes with one store."""
    made = [Home(tmp_path / name) for name in ("one", "two")]
    for home in made:
        home.env["DATABASE_URL"] = mysql.url
    yield made
    for home in made:
        home.end()


def count(mysql: Database, where: str) -> int:
    return int(mysql.execute(f"SELECT count(*) FROM job_logs WHERE {where}")[0][0])


def check_instants(mysql: Database) -> None:
    """Every second from the first to the last row of each job has one row, or lies in one missed range."""
    rows = mysql.execute("SELECT job_id, coalesce(first_for, scheduled_for), scheduled_for FROM job_logs"
                         " WHERE scheduled_for IS NOT NULL")  # fmt: skip
    assert rows
    for job_id in {row[0] for row in rows}:
        covered = [ms for found, first, last in rows if found == job_id for ms in range(first, last + 1, 1000)]
        assert sorted(covered) == list(range(min(covered), max(covered) + 1, 1000)), f"job {job_id}"


def test_the_three_modes_fire_and_the_api_answers(homes: list[Home], mysql: Database, server: str) -> None:
    home = homes[0]
    functions = home.path / "functions"
    functions.mkdir(parents=True)
    (functions / "mine.py").write_text('def greet(who: str) -> str:\n    """Greet."""\n    return f"hello {who}"\n')
    home.pyjobs("job", "add", "web", "--cron", EVERY_SECOND, "--http", f"{server}/ping")
    home.pyjobs("job", "add", "shell", "--cron", EVERY_SECOND, "--command", "echo out; echo err >&2")
    home.pyjobs("job", "add", "python", "--cron", EVERY_SECOND, "--func", "greet", "--arg", "you")
    rest = rest_of(home)
    for name, piece in (("web", "pong"), ("shell", "out"), ("python", "hello you")):
        good = f"job_name = '{name}' AND state = 'success' AND output LIKE '%{piece}%'"
        wait_for(lambda good=good: count(mysql, good) >= 2, f"two runs of {name}")  # type: ignore[misc]
    assert {job["name"] for job in rest.data("GET", "/jobs/list")} == {"web", "shell", "python"}
    about = rest.data("GET", "/jobs/dbinfo")
    assert (about["type"], about["database"], about["counts"]["jobs"]) == ("mysql", "pyjobs", 3)
    assert about["host"] == f"127.0.0.1:{mysql.server.port}"
    assert rest.call("GET", "/health/db")[1]["database"] == "mysql"
    said = home.pyjobs("status") + str(about) + "".join(p.read_text() for p in (home.path / "logs").iterdir())
    assert "4711" not in said
    assert not any("4711" in word for process in home.processes() for word in process.cmdline())
    home.pyjobs("daemon", "stop")
    check_instants(mysql)


def test_two_daemons_share_the_instants_whatever_happens_to_the_server(homes: list[Home], mysql: Database) -> None:
    for number in range(10):
        homes[0].pyjobs("job", "add", f"tick{number}", "--cron", EVERY_SECOND, "--command", "true")
    for home in homes:
        home.start()
    owners = "SELECT count(DISTINCT owner) FROM job_logs"
    wait_for(lambda: mysql.execute(owners) == [(2,)], "both runners claim")
    mysql.kill_connections()
    before = count(mysql, "state = 'success'")
    wait_for(lambda: count(mysql, "state = 'success'") > before + 20, "runs after their connections were killed")
    mysql.server.stop()
    mysql.server.start()
    before = count(mysql, "state = 'success'")
    wait_for(lambda: count(mysql, "state = 'success'") > before + 20, "runs after the server was restarted")
    for home in homes:
        assert home.status()["restarts"] == 0
        home.pyjobs("daemon", "stop")
    check_instants(mysql)
    assert count(mysql, "state IN ('queued', 'running', 'lost')") == 0


@pytest.fixture
def hosts(homes: list[Home]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Runners that were started; ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_a_sleeper_whose_runs_were_taken_over_writes_nothing(
    homes: list[Home], hosts: list[subprocess.Popen[bytes]], mysql: Database, tmp_path: Path
) -> None:
    def start(home: Home, host: str) -> subprocess.Popen[bytes]:
        home.path.mkdir(exist_ok=True)
        argv = [sys.executable, "-c", _RUNNER, str(home.path), host]
        hosts.append(subprocess.Popen(argv, env=home.env, stderr=subprocess.DEVNULL))
        return hosts[-1]

    done = tmp_path / "done"
    homes[0].pyjobs("job", "add", "long", "--manual", "--command", f"sleep 1; echo late > {done}")
    sleeper = start(homes[0], "host-a")
    wait_for(lambda: mysql.execute("SELECT 1 FROM runners WHERE owner LIKE 'host-a/%'"), "the first host is seen")
    mysql.execute(
        "INSERT INTO job_logs (exec_id, job_id, job_name, mode, command, state, source, claimed_at)"
        " SELECT 'e1', id, name, mode, command, 'queued', 'manual', 0 FROM jobs"
    )
    mysql.execute("UPDATE changes SET number = number + 1")
    wait_for(lambda: count(mysql, "state = 'running' AND pid IS NOT NULL") == 1, "it runs")
    os.kill(sleeper.pid, signal.SIGSTOP)
    other = start(homes[1], "host-b")
    wait_for(lambda: mysql.execute("SELECT 1 FROM runners WHERE owner LIKE 'host-b/%'"), "the second host is seen")
    assert count(mysql, "owner LIKE 'host-a/%' AND state = 'running'") == 1  # it was seen lately: it counts as alive
    other.terminate()
    assert other.wait(timeout=30) == 0
    mysql.execute("UPDATE runners SET seen_at = seen_at - 60 WHERE owner LIKE 'host-a/%'")
    start(homes[1], "host-b")
    wait_for(lambda: count(mysql, "owner LIKE 'host-b/%' AND state = 'lost'") == 1, "the other host takes it over")
    before = mysql.execute("SELECT * FROM job_logs")
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_for(done.exists, "the command ends all the same")
    sleeper.terminate()
    assert sleeper.wait(timeout=30) == 0
    assert mysql.execute("SELECT * FROM job_logs") == before
