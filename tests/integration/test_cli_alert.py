"""`pyjobs alert …` and what jobs say of alerts, on the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes import NOW_MS, FakeClock

from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerts import Delivery, Finding, Notice
from pyjobs.store.sqlite import SqliteStore

from .cli_kit import Cli

PLACE = Place("server", "/srv/pyjobs", ZoneInfo("UTC"), "en")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path, FakeClock())


@pytest.fixture
def hook() -> Iterator[tuple[str, list[str]]]:
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", got
    server.shutdown()
    server.server_close()


def trouble(cli: Cli) -> None:
    """Open two incidents and close one, as the daemon would."""
    store = SqliteStore(cli.home / "data" / "jobs.db")
    incidents = Incidents(store, PLACE, lambda: ["ops"])
    incidents.found(Finding(cause="job:1:failures", title="backup failed", job_id=1), NOW_MS - 3_600_000)
    incidents.found(Finding(cause="rule:Queue{}", title="the queue is full", severity="page"), NOW_MS - 60_000)
    incidents.over("rule:Queue{}", NOW_MS)
    [delivery] = [d for d in store.deliveries(incident_ids=[1]) if d.notice is Notice.OPENED]
    assert isinstance(delivery, Delivery)
    store.close()


class TestJobs:
    def test_a_job_keeps_what_is_to_be_told(self, cli: Cli) -> None:
        cli("job", "add", "a", "--every", "1h", "--command", "true", "--alert", "failures=3, Recovery")
        assert cli.json("job", "show", "a")["job"]["alerts"] == "failures=3,recovery"
        assert "ALERTS     failures=3,recovery\n" in cli("job", "show", "a")
        cli("job", "copy", "a", "b")
        assert cli.json("job", "show", "b")["job"]["alerts"] == "failures=3,recovery"
        cli("job", "edit", "a", "--alert", "")
        assert cli.json("job", "show", "a")["job"]["alerts"] == ""

    @pytest.mark.parametrize(
        ("alerts", "expected"),
        [
            ("silnt=1h", "`--alert`: `silnt` is nothing that a job can be watched for; did you mean `silent`?"),
            ("late=5", "`--alert late`: `5` has no unit"),
        ],
    )
    def test_what_cannot_be_meant_is_named(self, cli: Cli, alerts: str, expected: str) -> None:
        said = cli.error("job", "add", "a", "--manual", "--command", "true", "--alert", alerts, code=2)
        assert expected in said
        assert cli.json("job", "list")["jobs"] == []


class TestList:
    def test_it_shows_what_is_open_and_who_was_told(self, cli: Cli) -> None:
        cli("job", "add", "backup", "--every", "1h", "--command", "true")
        trouble(cli)
        assert cli("alert", "list").splitlines() == [
            "ID  ALERT          STATE  SEVERITY  SINCE                SEEN  TOLD",
            " 1  backup failed  open   warning   2029-12-31 23:00:00     1  ops: not yet",
        ]
        assert "已恢复" in cli("alert", "list", "--all", lang="zh")
        alerts = cli.json("alert", "list", "--all")["alerts"]
        assert [(alert["id"], alert["state"]) for alert in alerts] == [(2, "closed"), (1, "open")]
        assert [d["notice"] for d in alerts[0]["deliveries"]] == ["opened", "closed"]

    def test_where_nothing_is_nothing_is_wrong(self, cli: Cli) -> None:
        assert cli.json("alert", "list")["alerts"] == []
        assert not (cli.home / "data").exists()

    def test_an_acknowledged_one_says_so(self, cli: Cli) -> None:
        cli("job", "add", "backup", "--every", "1h", "--command", "true")
        trouble(cli)
        assert "alert 1 is acknowledged: backup failed" in cli.try_("alert", "ack", "1").stderr
        [alert] = cli.json("alert", "list")["alerts"]
        assert alert["state"] == "acknowledged"
        assert "@" in alert["acknowledged_by"]
        assert "alert `2` is over already" in cli.error("alert", "ack", "2", code=6)
        assert "there is no alert `99`" in cli.error("alert", "ack", "99", code=3)
        assert "ID: `x` is not a number" in cli.error("alert", "ack", "x", code=2)


class TestCheck:
    def test_a_file_that_is_fine_is_0(self, cli: Cli) -> None:
        (cli.home / "alerting.yml").write_text("rules:\n  - {alert: A, expr: failed_jobs > 5}\n")
        done = cli.try_("alert", "check")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "usable rules: 1, channels: 0; problems: 0" in done.stderr
        assert "there is no channel to tell anybody through" in done.stderr

    def test_what_is_wrong_is_8_with_its_place(self, cli: Cli) -> None:
        (cli.home / "alerting.yml").write_text("rules:\n  - {alert: A, expr: failed_job > 5}\n")
        done = cli.try_("alert", "check")
        expected = "alerting.yml:2:22: rule `A`: there is no metric `failed_job`; did you mean `failed_jobs`?\n"
        assert (done.exit_code, done.stdout) == (8, expected)
        listed = json.loads(cli.try_("alert", "check", "--json").stdout)
        assert listed["problems"] == [
            {"line": 2, "column": 22, "about": "A", "problem": expected.removeprefix("alerting.yml:2:22: ").strip()}
        ]
        assert "没有指标" in cli.try_("alert", "check", lang="zh").stdout
        (cli.home / "alerting.yml").write_text("rules: [")
        assert "alerting.yml: 1:9: is not YAML" in cli.error("alert", "check", code=8)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports
    def test_what_apprise_does_not_know_is_wrong(self, cli: Cli) -> None:
        (cli.home / "alerting.yml").write_text("channels:\n  chat: {type: apprise, url: 'nosuch://token'}\n")
        done = cli.try_("alert", "check")
        assert (done.exit_code, done.stdout) == (8, "alerting.yml:2:1: apprise does not understand `nosuch://******`\n")

    def test_no_file_is_no_mistake(self, cli: Cli) -> None:
        assert "there is no `" in cli.try_("alert", "check").stderr
        assert cli.json("alert", "check")["problems"] == []


class TestTest:
    def test_each_channel_says_how_it_went(self, cli: Cli, hook: tuple[str, list[str]]) -> None:
        url, got = hook
        (cli.home / "alerting.yml").write_text(
            f"channels:\n  good: {{type: webhook, url: '{url}'}}\n"
            "  bad: {type: webhook, url: 'http://127.0.0.1:1/secret-token'}\n"
        )
        done = cli.try_("alert", "test")
        assert done.exit_code == 1
        assert "channel `good`: sent to http://127.0.0.1:" in done.stderr
        assert "error: http://127.0.0.1:1/****** cannot be reached" in done.stderr
        assert "secret-token" not in done.output
        assert json.loads(got[0])["event"] == "test"
        assert cli.try_("alert", "test", "good").exit_code == 0
        assert len(got) == 2

    def test_an_unknown_channel_names_the_nearest(self, cli: Cli) -> None:
        (cli.home / "alerting.yml").write_text("channels:\n  ops-mail: {type: email, to: a@b.c}\n")
        said = cli.error("alert", "test", "opsmail", code=3)
        assert "there is no channel `opsmail`" in said
        assert "did you mean `ops-mail`?" in said
        assert "no mail server is set" in cli.error("alert", "test", code=1)

    def test_without_channels_there_is_nothing_to_test(self, cli: Cli) -> None:
        assert "alerting.yml has no channel that can be used" in cli.error("alert", "test", code=3)
