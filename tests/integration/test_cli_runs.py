"""`pyjobs run`, `logs`, `runs …` and `status` with no daemon: real commands, real rows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import pytest
from fakes import NOW_MS, a_run, claimed

from pyjobs import bootstrap
from pyjobs.jobs import RunState
from pyjobs.ports import RunQuery
from pyjobs.store import open_store

from .cli_kit import Cli

SRC = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def add(cli: Cli, name: str, command: str, *flags: str) -> None:
    cli("job", "add", name, "--manual", "--command", command, *flags)


def started(cli: Cli, *args: str) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYJOBS_")} | cli.env
    env |= {"PYJOBS_HOME": str(cli.home), "PYTHONPATH": SRC}
    return subprocess.Popen(
        [sys.executable, "-m", "pyjobs", *args],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


class TestRun:
    def test_output_goes_where_the_job_wrote_it_and_its_code_is_ours(self, cli: Cli) -> None:
        add(cli, "a", "echo out; echo err >&2; exit 3")
        done = cli.try_("run", "a")
        assert (done.exit_code, done.stdout) == (3, "out\n")
        assert re.fullmatch(r"err\nrun [0-9a-f]{16}: failed: exit status 3, took \d+ms\n", done.stderr)

    def test_it_is_recorded_as_started_by_hand(self, cli: Cli) -> None:
        add(cli, "a", "true")
        cli("run", "a")
        (run,) = cli.json("runs", "list")["runs"]
        assert (run["job"], run["state"], run["status"], run["source"], run["exit_code"]) == (
            "a",
            "success",
            0,
            "manual",
            0,
        )

    def test_large_output_comes_whole_and_unchanged(self, cli: Cli) -> None:
        add(cli, "a", r"seq 1 50000; printf '\377\000\033[31m'")
        done = cli.try_("run", "a")
        assert done.stdout_bytes == "".join(f"{n}\n" for n in range(1, 50001)).encode() + b"\xff\x00\x1b[31m"

    def test_a_terminal_is_not_made_to_obey_and_the_line_is_ended(self, cli: Cli) -> None:
        add(cli, "a", r"printf 'a\033[31mb'")
        assert cli("run", "a", terminal=True) == "a\\x1b[31mb\n"
        assert cli("run", "a", "--raw", terminal=True) == "a\x1b[31mb"

    @pytest.mark.parametrize(
        ("command", "flags", "code", "state"),
        [
            ("sleep 60", ("--timeout", "1"), 124, "timeout"),
            ("kill -9 $$", (), 137, "failed"),
            ("true", ("--workdir", "/no/such/folder"), 125, "failed"),
        ],
    )
    def test_what_the_job_did_not_end_by_itself_has_its_own_code(
        self, cli: Cli, command: str, flags: tuple[str, ...], code: int, state: str
    ) -> None:
        add(cli, "a", command, *flags)
        assert cli.try_("run", "a").exit_code == code
        assert cli.json("runs", "list")["runs"][0]["state"] == state

    def test_a_document_says_whose_code_it_was(self, cli: Cli) -> None:
        add(cli, "a", "echo out; exit 3")
        done = cli.try_("run", "a", "--json")
        document = json.loads(done.stdout)
        assert (done.exit_code, document["exit"], document["exit_code_of"]) == (3, 3, "job")
        assert (document["run"]["stdout"], done.stderr) == ("out\n", "")

    def test_a_function_runs_like_a_command(self, cli: Cli) -> None:
        cli("job", "add", "f", "--manual", "--func", "Echo", "--arg", "hello,you")
        assert "hello" in cli("run", "f")

    def test_a_stopped_job_can_be_run(self, cli: Cli) -> None:
        add(cli, "a", "echo here", "--stopped")
        assert cli("run", "a") == "here\n"

    def test_waiting_for_no_longer_ends_the_run(self, cli: Cli) -> None:
        add(cli, "a", "echo begun; sleep 60")
        done = cli.try_("run", "a", "--timeout", "300ms")
        assert (done.exit_code, done.stdout) == (7, "begun\n")
        assert done.stderr.endswith("was ended after 0.3 s\n")
        assert cli.json("runs", "list")["runs"][0]["state"] == "killed"

    def test_detaching_needs_the_daemon(self, cli: Cli) -> None:
        add(cli, "a", "true")
        assert cli.error("run", "a", "--detach", code=3) == (
            "error: the daemon is not running\n\nhint: start it with `pyjobs daemon start`\n"
        )
        assert cli.json("runs", "list") == {"runs": []}


class TestRunProcess:
    def test_output_is_shown_while_the_job_runs_and_an_interrupt_ends_it(self, cli: Cli) -> None:
        add(cli, "a", "echo one; sleep 60")
        with started(cli, "run", "a") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "killed" in err
        assert "Traceback" not in err
        assert cli.json("runs", "list")["runs"][0]["state"] == "killed"

    def test_a_second_one_is_held_back_by_the_policy_unless_forced(self, cli: Cli) -> None:
        add(cli, "a", "echo begun; sleep 60", "--allow-mode", "serial")
        with started(cli, "run", "a") as first:
            assert first.stdout is not None
            first.stdout.readline()
            held = cli.try_("run", "a")
            assert (held.exit_code, held.stdout) == (6, "")
            assert re.fullmatch(r"run [0-9a-f]{16}: skipped: run [0-9a-f]{8} is still running\n", held.stderr)
            assert cli.try_("run", "a", "--force", "--timeout", "300ms").exit_code == 7
            first.send_signal(signal.SIGTERM)
            first.communicate(timeout=30)
        states = [run["state"] for run in cli.json("runs", "list", "--job", "a")["runs"]]
        assert states == ["killed", "skipped", "killed"]

    def test_runs_can_be_followed_waited_for_and_ended_from_elsewhere(self, cli: Cli) -> None:
        add(cli, "a", "echo one; sleep 60")
        with started(cli, "run", "a") as process:
            assert process.stdout is not None
            process.stdout.readline()
            (run,) = cli.json("runs", "list", "--state", "running")["runs"]
            assert cli.json("list")["jobs"][0]["state"] == "running"
            assert cli.error("runs", "wait", run["exec_id"], "--timeout", "100ms", code=7).startswith("error: run ")
            with started(cli, "runs", "follow", run["exec_id"][:6]) as follower:
                assert follower.stdout is not None
                assert follower.stdout.readline() == "one\n"
                killed = cli.try_("runs", "kill", run["exec_id"], "--wait")
                _, followed = follower.communicate(timeout=30)
            process.communicate(timeout=30)
        assert killed.exit_code == 0
        assert killed.stderr.startswith(f"asked run {run['exec_id']} of `a` to end\nrun {run['exec_id']}: killed")
        assert (process.returncode, follower.returncode) == (137, 137)
        assert "killed" in followed

    def test_an_interrupt_of_whoever_follows_leaves_the_run_alone(self, cli: Cli) -> None:
        add(cli, "a", "echo one; sleep 60")
        with started(cli, "run", "a") as process:
            assert process.stdout is not None
            process.stdout.readline()
            exec_id = cli("runs", "list", "-o", "name").strip()
            with started(cli, "runs", "follow", exec_id) as follower:
                assert follower.stdout is not None
                follower.stdout.readline()
                follower.send_signal(signal.SIGINT)
                _, err = follower.communicate(timeout=30)
            assert (follower.returncode, err.splitlines()[0]) == (130, f"run {exec_id} goes on")
            assert cli("runs", "list", "--state", "running", "-o", "name").strip() == exec_id
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)

    def test_attempts_that_fail_alike_are_told_once(self, cli: Cli) -> None:
        add(cli, "a", "exit 3", "--retries", "2")
        assert ": failed: exit status 3 (3 attempts), took " in cli.try_("run", "a").stderr
        assert "  exit status 3 (3 attempts)\n" in cli("runs", "list")
        assert cli.json("runs", "list")["runs"][0]["reason"].startswith("attempt 1: exit status 3; ")

    def test_logs_follow_the_run_that_is_going_on(self, cli: Cli) -> None:
        add(cli, "a", "echo one; sleep 60")
        with started(cli, "run", "a") as process, started(cli, "logs", "a", "-f") as follower:
            assert follower.stdout is not None
            lines = _lines(follower.stdout, lambda found: "one\n" in found)
            follower.send_signal(signal.SIGINT)
            follower.communicate(timeout=30)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert lines[0].startswith("==> ")
        assert follower.returncode == 130

    def test_a_reader_that_leaves_is_no_error(self, cli: Cli) -> None:
        add(cli, "a", "seq 1 100000")
        cli("run", "a")
        with started(cli, "logs", "a", "--full") as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == ""


class TestLogs:
    def test_a_pipe_gets_the_newest_output_as_it_was_written(self, cli: Cli) -> None:
        add(cli, "a", r"printf 'out\033[1m'; printf err >&2")
        cli.try_("run", "a")
        assert cli("logs", "a") == "out\x1b[1merr"

    def test_several_runs_have_a_line_about_each(self, cli: Cli) -> None:
        add(cli, "a", "echo hi; exit 3")
        cli.try_("run", "a")
        cli.try_("run", "a")
        first, reason, output = cli("logs", "a", "-n", "2").splitlines()[:3]
        assert re.fullmatch(r"==> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  failed  manual  took \d+ms  [0-9a-f]{16}", first)
        assert (reason, output) == ("    exit status 3", "hi")

    def test_a_terminal_shows_escapes_and_ends_the_line(self, cli: Cli) -> None:
        add(cli, "a", r"printf 'a\033[1m'; printf err >&2")
        cli.try_("run", "a")
        assert cli("logs", "a", terminal=True, NO_COLOR="1").splitlines()[1:] == ["a\\x1b[1merr"]
        assert "\x1b[31merr\x1b[0m" in cli("logs", "a", terminal=True)

    def test_a_job_that_never_ran_says_so(self, cli: Cli) -> None:
        add(cli, "a", "true")
        done = cli.try_("logs", "a")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "`a` has not run yet\n")

    def test_head_and_tail_by_default_and_all_on_demand(self, cli: Cli) -> None:
        add(cli, "a", "seq 1 20000")
        cli("run", "a")
        assert "bytes left out" in cli("logs", "a")
        assert cli("logs", "a", "--full").splitlines() == [str(n) for n in range(1, 20001)]


class TestRuns:
    def test_a_run_is_named_by_a_unique_beginning(self, cli: Cli) -> None:
        add(cli, "a", "echo hi")
        cli("run", "a")
        exec_id = cli("runs", "list", "-o", "name").strip()
        page = cli("runs", "show", exec_id[:5])
        assert page.startswith(f"EXEC       {exec_id}\nJOB        a (1)\nSTATE      success\nSOURCE     manual\n")
        assert page.endswith("\n\nhi\n")
        assert cli.json("runs", "show", exec_id)["run"]["stdout"] == "hi\n"
        assert cli.error("runs", "show", "zzz", code=3).startswith("error: there is no run `zzz`\n")

    def test_a_list_filters_and_pages(self, cli: Cli) -> None:
        add(cli, "good", "true")
        add(cli, "bad", "false")
        for name in ("good", "bad", "good"):
            cli.try_("run", name)
        everything = cli("runs", "list", "-o", "name").split()
        assert len(everything) == 3
        assert cli("runs", "list", "--state", "failed", "-o", "name").split() == everything[1:2]
        assert cli("runs", "list", "--job", "good", "-o", "name").split() == everything[::2]
        assert cli("runs", "list", "-n", "1", "--before", everything[0], "-o", "name").split() == everything[1:2]
        assert cli("runs", "list", "--since", "1h", "--source", "manual", "-o", "name").split() == everything
        assert cli("runs", "list", "--until", "1h", "-o", "name") == ""

    def test_a_terminal_cuts_the_reason_and_a_pipe_does_not(self, cli: Cli) -> None:
        add(cli, "a", "true", "--workdir", "/no/such/" + "folder/" * 30)
        cli.try_("run", "a")
        reason = cli.json("runs", "list")["runs"][0]["reason"]
        shown = cli("runs", "list", terminal=True, NO_COLOR="1").splitlines()
        assert shown[2].rstrip().endswith("…")
        assert max(map(len, shown)) <= 100
        assert reason in cli("runs", "list")

    def test_waiting_for_several_fails_unless_all_succeeded(self, cli: Cli) -> None:
        add(cli, "good", "true")
        add(cli, "bad", "exit 9")
        cli.try_("run", "good")
        cli.try_("run", "bad")
        bad, good = cli("runs", "list", "-o", "name").split()
        codes = [cli.try_("runs", "wait", *ids).exit_code for ids in ((good,), (bad,), (good, bad))]
        assert codes == [0, 9, 1]

    def test_ending_what_has_ended_is_a_conflict(self, cli: Cli) -> None:
        add(cli, "a", "true")
        cli("run", "a")
        exec_id = cli("runs", "list", "-o", "name").strip()
        assert "has ended already: success" in cli.error("runs", "kill", exec_id, code=6)

    def test_clearing_says_what_it_hits_and_needs_a_yes(self, cli: Cli) -> None:
        add(cli, "a", "true")
        cli("run", "a")
        cli("run", "a")
        assert cli.error("runs", "clear", code=2).startswith("error: `--before`: say how old, or `--all`")
        assert cli.try_("runs", "clear", "--before", "1h").stderr.startswith(
            "0 records of ended runs of all jobs, older than "
        )
        assert cli.try_("runs", "clear", "--all", "--dry-run").stderr == (
            "2 records of ended runs of all jobs, of any age\n"
        )
        assert "--yes" in cli.error("runs", "clear", "--all", code=2)
        assert len(cli.json("runs", "list")["runs"]) == 2
        assert cli.try_("runs", "clear", "--job", "a", "--all", "-y").stderr.endswith("deleted 2 records\n")
        assert cli.json("runs", "list") == {"runs": []}


class TestNobodyThere:
    """No daemon runs, and whoever made a run is gone or never was."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pyjobs.cli.follow._PATIENCE_S", 0.1)

    def test_waiting_for_a_run_whose_maker_died_says_what_will_become_of_it(self, cli: Cli) -> None:
        add(cli, "a", "echo one; exec sleep 60")
        with started(cli, "run", "a") as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        store = open_store(bootstrap.load_settings(cli.home)[0])
        (run,) = store.runs(RunQuery())
        store.close()
        assert run.pid is not None
        try:
            what = f"run `{run.exec_id}` of `a` has nobody who sees how it ends"
            error = (
                f"error: the daemon is not running: {what}\n\n"
                "hint: start it with `pyjobs daemon start`: it takes it over, or records what became of it\n"
            )
            assert cli.error("runs", "wait", run.exec_id, code=5) == error
            for args in (("runs", "follow", run.exec_id), ("logs", "a", "-f")):
                done = cli.try_(*args)
                assert (done.exit_code, done.stdout.endswith("one\n")) == (5, True)
                assert done.stderr.endswith(error)
            assert re.search(r" running \(no runner\)$", cli("list"), re.MULTILINE)
            assert re.search(r"^STATE +running \(no runner\)$", cli("job", "show", "a"), re.MULTILINE)
            later = f"run {run.exec_id} of `a` will be ended when a daemon runs again: nobody is there to do it now\n"
            assert cli.try_("job", "kill", "a").stderr == cli.try_("runs", "kill", run.exec_id).stderr == later
        finally:
            os.kill(run.pid, signal.SIGKILL)

    def test_what_is_queued_for_a_daemon_waits_for_one(self, cli: Cli) -> None:
        add(cli, "a", "true")
        cli("job", "run-all")
        exec_id = cli("runs", "list", "-o", "name").strip()
        assert cli.error("runs", "wait", exec_id, code=5).startswith(
            f"error: the daemon is not running: run `{exec_id}` of `a` is queued until it does\n"
        )
        assert cli.error("runs", "wait", exec_id, "--timeout", "0s", code=7).startswith("error: run ")
        killed = cli.try_("job", "kill", "a").stderr
        assert re.fullmatch(
            rf"run {exec_id} of `a` will not be launched: ended by \S+ before it was launched\n", killed
        )


class TestRowsThatNeverRan:
    @pytest.fixture
    def missed(self, cli: Cli) -> str:
        """A job that ran once and then missed four fires; answers the exec id of that row."""
        add(cli, "a", "echo hi")
        cli("run", "a")
        settings, _ = bootstrap.load_settings(cli.home)
        store = open_store(settings)
        run = a_run(
            store.job(1), state=RunState.MISSED, fires=4, first_ms=NOW_MS, scheduled_ms=NOW_MS + 3 * 3_600_000,
            claimed_ms=NOW_MS + 9 * 3_600_000, error="4 fires missed: nobody was there in time (noticed x UTC)",
        )  # fmt: skip
        store.claim([claimed(run, counts=False)], [])
        store.close()
        return run.exec_id

    def test_logs_show_the_last_real_run_unless_all_are_wanted(self, cli: Cli, missed: str) -> None:
        assert cli("logs", "a") == "hi\n"
        assert cli("logs", "a", "--all") == ""
        assert missed in cli("logs", "a", "--all", "-n", "2")

    def test_a_list_shows_when_fires_were_missed_and_when_that_was_noticed(self, cli: Cli, missed: str) -> None:
        row = re.split(" {2,}", cli("runs", "list").splitlines()[1])
        assert row == [
            missed, "a", "cron", "2030-01-01 09:00:00", "missed", "6h00m",
            "4 fires missed, due 2030-01-01 00:00:00 … 2030-01-01 03:00:00",
        ]  # fmt: skip

    def test_runs_of_a_removed_job_are_found_by_its_name(self, cli: Cli, missed: str) -> None:
        cli("job", "remove", "a", "--yes")
        assert cli("runs", "list", "--job", "a", "-o", "name").split()[0] == missed
        assert "there is no job `b`" in cli.error("runs", "list", "--job", "b", code=3)


class TestStatus:
    def test_it_says_that_nothing_fires_and_exits_with_3(self, cli: Cli) -> None:
        cli("job", "add", "next", "--every", "1h", "--command", "true")
        add(cli, "bad", "exit 4")
        cli.try_("run", "bad")
        done = cli.try_("status")
        assert done.exit_code == 3
        lines = done.stdout.splitlines()
        assert lines[:2] == ["DAEMON         not running", "JOBS           2 waiting"]
        assert lines[-1] == "nothing fires while the daemon is down: `pyjobs daemon start`"
        assert re.search(r"^NEXT .* in 60 minutes  next$", done.stdout, re.MULTILINE)
        assert re.search(r"^LAST FAILURES .*  bad  failed  .*  exit status 4$", done.stdout, re.MULTILINE)

    def test_a_pause_is_shown(self, cli: Cli) -> None:
        cli("job", "stop-all")
        assert "`pyjobs job resume` lets it fire again" in cli.try_("status").stdout
        assert json.loads(cli.try_("status", "--json").stdout)["paused"]["by"]

    def test_the_document_has_everything(self, cli: Cli) -> None:
        document = json.loads(cli.try_("status", "--json").stdout)
        assert document["daemon"] == {"running": False}
        assert document["jobs"] == {"waiting": 0, "running": 0, "stopped": 0}
        assert document["database"] == str(cli.home / "data" / "jobs.db")

    def test_what_runs_is_shown(self, cli: Cli) -> None:
        add(cli, "a", "sleep 60")
        settings, _ = bootstrap.load_settings(cli.home)
        service = bootstrap.build_service(settings)
        run = service.runs.start(1)
        service.close()
        assert run.state is RunState.QUEUED
        assert f"  a  queued (no runner)  {run.exec_id}" in cli.try_("status").stdout
        (active,) = json.loads(cli.try_("status", "--json").stdout)["active"]
        assert (active["exec_id"], active["no_runner"]) == (run.exec_id, True)


def _lines(stream: IO[str], enough: object) -> list[str]:
    """Lines of a stream until there are enough, at most for half a minute."""
    found: list[str] = []
    assert callable(enough)

    def read() -> None:
        while not enough(found):
            found.append(stream.readline())

    thread = threading.Thread(target=read, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"after {time.monotonic() - began:.0f} s: {found}"
    return found
