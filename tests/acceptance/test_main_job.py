"""The main job: add a job, it runs on time, see what became of it. One of each mode, by the real daemon."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import Home, wait_for

EVERY_SECOND = "* * * * * *"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"pong")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def _successes(home: Home, name: str, at_least: int) -> list[tuple[int, str]] | None:
    found = home.rows("SELECT status, output FROM job_logs WHERE job_name = ? AND state = 'success'", name)
    return [(status, output) for status, output in found] if len(found) >= at_least else None


def test_three_jobs_one_of_each_mode_fire_on_time_and_leave_their_records(home: Home, server: str) -> None:
    functions = home.path / "functions"
    functions.mkdir(parents=True)
    (functions / "mine.py").write_text('def greet(who: str) -> str:\n    """Greet."""\n    return f"hello {who}"\n')
    home.pyjobs("job", "add", "web", "--cron", EVERY_SECOND, "--http", f"{server}/ping")
    home.pyjobs("job", "add", "shell", "--cron", EVERY_SECOND, "--command", "echo out; echo err >&2")
    home.pyjobs("job", "add", "python", "--cron", EVERY_SECOND, "--func", "greet", "--arg", "you")
    home.start()
    for name, piece in (("web", "pong"), ("shell", "out\nerr"), ("python", "hello you")):
        rows: list[tuple[int, str]] = wait_for(functools.partial(_successes, home, name, 3), f"three runs of {name}")
        assert all(status == 0 and piece in output for status, output in rows)
    assert home.rows("SELECT count(*) FROM job_logs WHERE status = 1") == [(0,)]
    twice = "SELECT job_id, scheduled_for FROM job_logs GROUP BY 1, 2 HAVING count(*) > 1"
    assert home.rows(twice) == []
    listed = json.loads(home.pyjobs("list", "--json"))["jobs"]
    assert {job["name"] for job in listed} == {"web", "shell", "python"}
    assert "hello you" in home.pyjobs("logs", "python")


def test_every_instant_between_two_has_exactly_one_row(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", EVERY_SECOND, "--command", "true")
    home.start()
    wait_for(lambda: len(home.rows("SELECT 1 FROM job_logs WHERE state = 'success'")) >= 4, "four runs")
    home.pyjobs("daemon", "stop")
    home.check_instants()


def test_a_change_made_in_another_process_wakes_the_runner(home: Home) -> None:
    """Without the nudge it would be noticed at the next look, up to a second later."""
    home.pyjobs("job", "add", "now", "--manual", "--command", "true")
    home.start()
    waits = []
    for _ in range(5):
        row = home.wait_for_state(home.detach("now"), "success")
        waits.append(row["started_at"] - row["claimed_at"])
    assert sorted(waits)[2] < 200, waits


def test_everything_but_the_daemon_works_with_no_daemon_running(home: Home) -> None:
    home.pyjobs("job", "add", "once", "--manual", "--command", "echo here; exit 7")
    done = home.try_("run", "once")
    assert (done.returncode, done.stdout) == (7, "here\n")
    assert home.rows("SELECT state, exit_code, source FROM job_logs") == [("failed", 7, "manual")]
    home.pyjobs("job", "stop", "once")
    home.pyjobs("job", "start", "once")
    home.pyjobs("job", "remove", "once", "--yes")
    assert home.rows("SELECT job_id, job_name FROM job_logs") == [(None, "once")]


def test_a_run_asked_for_while_the_daemon_runs_is_the_daemons_and_its_output_comes_back(home: Home) -> None:
    home.pyjobs("job", "add", "talk", "--manual", "--command", "echo a; echo b >&2; exit 3")
    home.start()
    done = home.try_("run", "talk")
    assert done.returncode == 3
    assert "a\n" in done.stdout
    assert "b\n" in done.stdout + done.stderr
    assert home.processes() != []


def test_whoever_waits_for_a_run_that_waits_for_a_slot_is_told_so(home: Home) -> None:
    home.env["MAX_CONCURRENT_JOBS"] = "1"
    for name in ("long", "short"):
        home.pyjobs("job", "add", name, "--manual", "--command", "sleep 60" if name == "long" else "true")
    home.start()
    home.wait_for_state(home.detach("long"), "running")
    done = home.try_("run", "short", "--timeout", "4s")
    assert done.returncode == 7
    assert "waits: all 1 slots are taken" in done.stderr
