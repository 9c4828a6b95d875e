"""Alerts by a real daemon, through a real mail server and a real web server, with crashes in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
from aiosmtpd.controller import Controller

from .conftest import Home, wait_for


class Mails:
    """Subjects of what a real SMTP server got."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - aiosmtpd calls it so
        self.subjects.append(str(message_from_bytes(envelope.content, policy=default)["Subject"]))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def smtp() -> Iterator[Callable[[int], Mails]]:
    started: list[Controller] = []

    def start(port: int) -> Mails:
        mails = Mails()
        started.append(Controller(mails, hostname="127.0.0.1", port=port))
        started[-1].start()
        return mails

    yield start
    for controller in started:
        controller.stop()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", got
    server.shutdown()
    server.server_close()


def alerter(home: Home) -> psutil.Process | None:
    """The process that tells, if there is one."""
    found = [p for p in home.processes() if "pyjobs.alerter" in p.cmdline()]
    assert len(found) < 2
    return found[0] if found else None


def mail_settings(home: Home, port: int) -> None:
    home.path.mkdir(exist_ok=True)
    home.env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "none", "SMTP_FROM": "p@example.org"}


def log(home: Home) -> str:
    return (home.path / "logs" / "pyjobs.log").read_text(encoding="utf-8")


def test_without_a_rule_or_a_policy_nothing_is_there(home: Home) -> None:
    home.pyjobs("job", "add", "a", "--every", "1s", "--command", "false")
    home.start()
    wait_for(lambda: len(home.rows("SELECT 1 FROM job_logs WHERE state = 'failed'")) > 3, "some runs failed")
    assert alerter(home) is None
    assert home.rows("SELECT count(*) FROM alert_marks") == [(0,)]


def test_a_failing_job_is_told_once_and_its_recovery_once(
    home: Home, smtp: Callable[[int], Mails], hook: tuple[str, list[dict[str, Any]]]
) -> None:
    port, (url, got) = free_port(), hook
    mail_settings(home, port)
    mails = smtp(port)
    (home.path / "alerting.yml").write_text(
        "group: 0s\nrules:\n"
        "  - {alert: Wrong, expr: failed_job > 1}\n"
        "  - {alert: TooMany, expr: 'increase(jobs_exec_fail_total[5m]) > 1000'}\n"
        f"channels:\n  mail: {{type: email, to: ops@example.org}}\n  hook: {{type: webhook, url: '{url}'}}\n"
    )
    flag = home.path / "well"
    home.pyjobs("job", "add", "a", "--every", "1s", "--command", f"test -e {flag}", "--alert", "failures=2,recovery")
    home.start()
    wait_for(lambda: mails.subjects and got, "both channels were told")
    wait_for(lambda: len(home.rows("SELECT 1 FROM job_logs WHERE state = 'failed'")) > 4, "it goes on failing")
    flag.touch()
    wait_for(lambda: len(mails.subjects) > 1 and len(got) > 1, "the recovery was told")
    assert mails.subjects == ["[pyjobs] a failed 2 times in a row", "[pyjobs] over: a failed 2 times in a row"]
    assert [(said["event"], said["job"], said["alert"]) for said in got] == [
        ("opened", "a", "failures"),
        ("closed", "a", "failures"),
    ]
    text = log(home)
    assert text.count("there is no metric `failed_job`; did you mean `failed_jobs`?") == 1
    assert "secret-token" not in text
    home.pyjobs("daemon", "stop")
    wait_for(lambda: not home.processes(), "nothing is left")
    assert (home.path / "logs" / "daemon.out").read_text() == ""


def test_what_could_not_be_told_is_told_after_crashes(home: Home, smtp: Callable[[int], Mails]) -> None:
    port = free_port()
    mail_settings(home, port)
    (home.path / "alerting.yml").write_text("channels: {mail: {type: email, to: ops@example.org}}\n")
    home.pyjobs("job", "add", "a", "--manual", "--command", "false", "--alert", "failure")
    daemon = home.start()
    home.detach("a")
    wait_for(lambda: "refused" in log(home), "nobody could be told")
    first = alerter(home)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: "what tells alerts ended with -9" in log(home), "the runner noticed")
    os.kill(daemon["runner_pid"], signal.SIGKILL)
    mails = smtp(port)
    home.detach("a")
    wait_for(lambda: mails.subjects, "it was told after all")
    wait_for(lambda: home.rows("SELECT state FROM alert_deliveries") == [("sent",)], "that is recorded")
    assert mails.subjects == ["[pyjobs] a failed"]


def test_a_mail_server_that_hangs_delays_no_run(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        mail_settings(home, silent.getsockname()[1])
        (home.path / "alerting.yml").write_text("channels: {mail: {type: email, to: ops@example.org}}\n")
        home.pyjobs("job", "add", "a", "--every", "1s", "--command", "false", "--alert", "failure")
        home.start()
        wait_for(lambda: home.rows("SELECT 1 FROM alert_deliveries WHERE attempts = 1"), "it is being told")
        before = home.rows("SELECT count(*) FROM job_logs WHERE state = 'failed'")[0][0]
        more = "SELECT 1 FROM job_logs WHERE state = 'failed'"
        wait_for(lambda: len(home.rows(more)) >= before + 3, "runs go on")
        late = "SELECT max(started_at - scheduled_for) FROM job_logs WHERE state = 'failed'"
        assert home.rows(late)[0][0] < 1000
        home.check_instants()
        home.pyjobs("daemon", "stop")
        wait_for(lambda: not home.processes(), "nothing is left")


def test_the_file_is_read_again_when_it_changes(home: Home, smtp: Callable[[int], Mails]) -> None:
    port = free_port()
    mail_settings(home, port)
    mails = smtp(port)
    home.pyjobs("job", "add", "a", "--every", "1s", "--command", "false")
    home.start()
    assert alerter(home) is None
    file = home.path / "alerting.yml"
    rule = "rules: [{alert: Failing, expr: job_execution_total > 0}]\n"
    file.write_text(f"group: 0s\n{rule}channels: {{mail: {{type: email, to: ops@example.org}}}}\n")
    wait_for(lambda: mails.subjects == ["[pyjobs] Failing"], "the rule holds")
    file.write_text("rules: [")
    wait_for(lambda: "what it said before still holds" in log(home), "the new one is refused")
    assert json.loads(home.pyjobs("alert", "list", "--json"))["alerts"][0]["state"] == "open"
    file.unlink()
    wait_for(lambda: json.loads(home.pyjobs("alert", "list", "--json"))["alerts"] == [], "nothing is watched")
    wait_for(lambda: alerter(home) is None, "the process that tells is gone")
