"""The API as processes of their own: started, found, restarted, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from .conftest import Home, alive, wait_for
from .rest import rest_of
from .sockets import ask, connected, post

ADD = b'{"name":"%s","mode":"command","command":"true","cron_expr":"0 0 * * *"}'


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_status_says_where_the_api_is_and_who(home: Home) -> None:
    base = rest_of(home).base
    api = home.status()["api"]
    assert api == {"address": base, "pids": api["pids"], "restarts": 0}
    assert psutil.Process(api["pids"][0]).ppid() == home.status()["pid"]
    for command in ("status", "daemon status"):
        assert f"{base}, pid {api['pids'][0]}" in home.pyjobs(*command.split())


def test_a_port_in_use_is_said_plainly_and_nothing_is_left(home: Home) -> None:
    with taken_port() as port:
        home.env["PORT"] = str(port)
        for command in (("daemon", "start"), ("daemon", "run"), ("api", "serve")):
            done = home.try_(*command)
            assert done.returncode == 6, done.stderr
            assert f"port {port} of `127.0.0.1` is in use" in done.stderr
            assert "hint: name another one by PORT" in done.stderr
    assert home.daemon() is None
    home.start()


def test_two_daemons_cannot_share_a_port(home: Home) -> None:
    base = rest_of(home).base
    other = Home(home.path.parent / "other")
    other.env["PORT"] = base.rpartition(":")[2]
    assert other.try_("daemon", "start").returncode == 6


def test_a_host_that_is_not_here_is_said_plainly(home: Home) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        home.env["HOST"] = host
        done = home.try_("daemon", "start")
        assert done.returncode == 2, done.stderr
        assert f"`{host}` cannot be listened on" in done.stderr


def test_without_the_api_there_is_neither_its_process_nor_its_port(home: Home) -> None:
    with taken_port() as port:
        home.env["PORT"] = str(port)
        home.pyjobs("daemon", "start", "--no-api")
        assert home.status()["api"] is None
        assert len(home.processes()) == 3  # keeper, supervisor, runner
        home.pyjobs("daemon", "stop")


def test_the_api_comes_back_after_a_kill_and_the_runner_does_not_notice(home: Home) -> None:
    base = rest_of(home).base
    before = home.status()
    os.kill(before["api"]["pids"][0], signal.SIGKILL)
    # Nobody is refused meanwhile: whoever comes waits for the next one.
    assert ask(base)[0] == 200
    after = home.status()
    assert after["runner_pid"] == before["runner_pid"]
    assert (after["restarts"], after["api"]["restarts"]) == (0, 1)
    assert after["api"]["pids"] != before["api"]["pids"]


def test_the_runner_comes_back_after_a_kill_and_the_api_does_not_notice(home: Home) -> None:
    base = rest_of(home).base
    before = home.status()
    os.kill(before["runner_pid"], signal.SIGKILL)
    assert ask(base)[0] == 200
    after = wait_for(lambda: s if (s := home.status())["runner_pid"] else None, "a new runner")
    assert after["api"] == before["api"]
    assert after["restarts"] == 1
    wait_for(lambda: ask(base, b"GET /health/scheduler HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200, "its health")


def test_an_api_that_hangs_is_replaced(home: Home) -> None:
    base = rest_of(home).base
    before = home.status()
    os.kill(before["api"]["pids"][0], signal.SIGSTOP)
    wait_for(lambda: home.status()["api"]["restarts"] == 1, "a new one")
    assert ask(base)[0] == 200
    assert home.status()["runner_pid"] == before["runner_pid"]


def test_both_end_with_a_supervisor_that_was_killed_and_their_port_is_free(home: Home) -> None:
    base = rest_of(home).base
    daemon = home.status()
    os.kill(daemon["pid"], signal.SIGKILL)
    home.env["PORT"] = base.rpartition(":")[2]
    assert home.start()["api"]["address"] == base
    wait_for(lambda: not alive(daemon["api"]["pids"][0]), "the end of the old one")


def test_the_port_is_free_while_the_keeper_stays_for_what_runs_on(home: Home) -> None:
    home.env["PYJOBS_DRAIN"] = "0"
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 30")
    base = rest_of(home).base
    home.wait_for_state(home.detach("long"), "running")
    home.pyjobs("daemon", "stop")
    with pytest.raises(ConnectionRefusedError):
        ask(base)
    home.env["PORT"] = base.rpartition(":")[2]
    home.start()


def test_while_it_stops_reads_are_answered_changes_refused_and_what_is_in_flight_is_finished(home: Home) -> None:
    home.pyjobs("job", "add", "short", "--manual", "--command", "sleep 2")
    base = rest_of(home).base
    daemon = home.status()
    home.wait_for_state(home.detach("short"), "running")
    body = ADD % b"begun"
    with connected(base, 2) as [begun, late]:
        begun.send(post("/jobs/add", body[:10], stated=len(body)))
        assert ask(base)[0] == 200  # so the one before is in
        os.kill(daemon["pid"], signal.SIGTERM)
        wait_for(lambda: ask(base, post("/nowhere"))[0] == 503, "changes are refused")
        assert ask(base)[0] == 200
        late.send(post("/jobs/run?id=1"))
        status, headers, answer = late.answer()
        assert (status, headers["retry-after"]) == (503, "5")
        assert '"data": null' in answer.decode()
        begun.send(body[10:])
        status, document = begun.document()
        assert (status, document["code"]) == (200, 200)
    wait_for(lambda: home.processes() == [], "the end")
    assert home.rows("SELECT name FROM jobs ORDER BY id") == [("short",), ("begun",)]


def test_half_open_clients_do_not_delay_a_stop(home: Home) -> None:
    base = rest_of(home).base
    with connected(base, 50) as clients:
        for client in clients:
            client.send(b"GET /jobs/list HTTP/1.1\r\nHo")
        assert ask(base)[0] == 200
        home.pyjobs("daemon", "stop", "--timeout", "5s")
    assert home.processes() == []


def test_several_workers_answer_and_each_is_replaced_alone(home: Home) -> None:
    base = rest_of(home, API_WORKERS="2").base
    before = home.status()["api"]["pids"]
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    assert {ask(base)[0] for _ in range(20)} == {200}
    after = wait_for(lambda: p if None not in (p := home.status()["api"]["pids"]) else None, "both")
    assert after[1] == before[1]
    assert after[0] != before[0]


def test_what_is_added_by_the_api_runs(home: Home) -> None:
    rest = rest_of(home)
    fields = {"name": "x", "mode": "command", "command": "echo hi", "cron": "0 0 * * *"}
    job = rest.data("POST", "/jobs/add", json=fields)
    run = rest.data("POST", "/jobs/run", json={"id": job["id"]})
    assert home.wait_for_state(run["exec_id"], "success")["output"] == "hi\n"
    _, metrics = rest.call("GET", "/metrics")
    assert 'jobs_exec_total{job_id="1",job_name="x",mode="command"} 1.0' in metrics


def test_served_by_itself_it_answers_and_ends_on_an_interrupt(home: Home) -> None:
    process = subprocess.Popen(
        home.argv("api", "serve"), env=home.env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("API at http://127.0.0.1:"), line
        base = line.split()[2].rstrip(";")
        assert ask(base)[0] == 200
        assert ask(base, b"GET /health/scheduler HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 503
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_any_wsgi_server_can_have_the_app(home: Home) -> None:
    code = (
        "import wsgiref.util, sys, pyjobs.api.wsgi as w; assert 'bottle' not in sys.modules;"
        "e = {'REMOTE_ADDR': '::1'};"
        "wsgiref.util.setup_testing_defaults(e); e['PATH_INFO'] = '/health'; e['HTTP_HOST'] = 'localhost';"
        "print(b''.join(w.app(e, lambda *a: print(a[0]))).decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=home.env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("200 OK\n"), done.stderr
    assert '"status":"ok"' in done.stdout


def test_the_document_is_printed(home: Home) -> None:
    import json

    assert json.loads(home.pyjobs("api", "openapi"))["openapi"].startswith("3.1")


def test_changes_of_many_clients_at_once_are_each_answered_truly(home: Home) -> None:
    rest = rest_of(home)

    def add(number: int) -> tuple[str, int, str]:
        # Every name comes twice, and every tenth job is none.
        name = f"j{number // 2}"
        cron = "not cron" if number % 20 == 0 else "0 0 1 1 *"
        _, body = rest.call(
            "POST", "/jobs/add", json={"name": name, "cron_expr": cron, "mode": "command", "command": "true"}
        )
        return name, body["code"], body["msg"]

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(add, range(200)))
    added = [name for name, code, _ in answers if code == 200]
    assert sorted(added) == sorted({f"j{n}" for n in range(100)})
    refused = [msg for _, code, msg in answers if code != 200]
    assert len(refused) == 100
    assert all(msg == "任务名称已存在" or "cron_expr" in msg for msg in refused)
    assert sorted(name for (name,) in home.rows("SELECT name FROM jobs")) == sorted(added)
    assert home.rows("SELECT count(*) FROM events WHERE kind = 'job_added'") == [(100,)]
