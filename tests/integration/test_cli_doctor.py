"""`pyjobs doctor` over real homes: what it finds, what it says, what `--fix` does."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock

from pyjobs import procs
from pyjobs.doctor import host

from .cli_kit import Cli


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    home = Cli(tmp_path / "home", clock)
    home("job", "add", "a", "--cron", "0 3 * * *", "--command", "true", "--stopped")
    return home


def sql(cli: Cli, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(cli.home / "data" / "jobs.db")) as raw, raw:
        return raw.execute(statement, values).fetchall()


def findings(cli: Cli, *args: str, code: int | None = None, **env: Any) -> dict[str, dict[str, Any]]:
    """What it finds, by code; the last of each."""
    done = cli.try_("doctor", "--json", *args, **env)
    assert code is None or done.exit_code == code, done.output
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    open_ones = [
        f for f in document["findings"] if f["severity"] != "note" and (f["mended"] is None or "--dry-run" in args)
    ]
    assert done.exit_code == (8 if open_ones else 0)
    return {finding["code"]: finding for finding in document["findings"]}


class TestAnswers:
    def test_a_home_that_is_all_right(self, cli: Cli) -> None:
        done = cli.try_("doctor")
        assert done.exit_code == 0, done.output
        assert "note  no backup of the store lies beside it  no_backup\n" in done.stdout
        assert done.stderr == "found 1 note\n"

    def test_a_home_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        cli = Cli(tmp_path / "new")
        done = cli.try_("doctor", "--fix")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "all is well\n")
        assert not cli.home.exists()

    def test_a_finding_says_what_why_and_what_to_type(self, cli: Cli) -> None:
        cli("job", "start", "a")
        done = cli.try_("doctor")
        assert done.exit_code == 8
        assert done.stdout.startswith(
            "warning  the daemon is not running, and 1 job waits for it  no_daemon\n"
            "    nothing fires while it is down\n"
            "    $ pyjobs daemon start\n"
        )
        assert done.stderr == "found 1 warning, 1 note\n"

    def test_it_speaks_chinese(self, cli: Cli) -> None:
        cli("job", "start", "a")
        done = cli.try_("doctor", lang="zh")
        assert done.stdout.startswith(
            "警告  守护进程未运行，1 个任务在等待  no_daemon\n    守护进程不运行就不会触发任务\n"
        )
        assert done.stderr == "发现 1 个警告、1 条提示\n"
        assert findings(cli, PYJOBS_LANG="zh")["no_daemon"]["why"] == "守护进程不运行就不会触发任务"

    @pytest.mark.parametrize("shape", ["json", "jsonl", "csv", "yaml", "name"])
    def test_every_format(self, cli: Cli, shape: str) -> None:
        done = cli.try_("doctor", "-o", shape)
        assert (done.exit_code, "no_backup" in done.stdout, done.stderr) == (0, True, "")

    def test_json_counts_and_names_the_home(self, cli: Cli) -> None:
        document = json.loads(cli.try_("doctor", "--json").stdout)
        assert document["summary"] == {"errors": 0, "warnings": 0, "notes": 1}
        assert document["home"] == str(cli.home)

    def test_many_of_one_kind_are_cut_on_the_page_only(self, cli: Cli) -> None:
        for number in range(12):
            cli("job", "add", f"f{number}", "--manual", "--func", "Nope")
        page = cli.try_("doctor").stdout
        assert page.count("  function_missing\n") == 10
        assert "… 2 more of `function_missing`: `--json` shows all\n" in page
        document = json.loads(cli.try_("doctor", "--json").stdout)
        assert sum(f["code"] == "function_missing" for f in document["findings"]) == 12

    def test_a_terminal_obeys_no_name(self, cli: Cli) -> None:
        sql(cli, "UPDATE jobs SET name = ?, state = 0, misfire = 'perhaps'", "a\x1b[31m")
        done = cli.try_("doctor", terminal=True)
        assert "\\x1b[31m" in done.stdout
        assert "\x1b[31m`" not in done.stdout

    @pytest.mark.parametrize(
        ("env", "words"),
        [({"TIMEZONE": "Mars/Olympus"}, "Mars/Olympus"), ({"DATABASE_URL": "postgres://u:p@h/d"}, "postgres")],
    )
    @pytest.mark.parametrize("shape", ["table", "json", "csv"])
    def test_wrong_settings_are_a_finding(self, cli: Cli, env: dict[str, Any], words: str, shape: str) -> None:
        done = cli.try_("doctor", "-o", shape, **{"PYJOBS_TIMEZONE": "", **env})
        assert done.exit_code == 8, done.output
        assert "bad_setting" in done.stdout
        assert words in done.stdout


class TestStore:
    def test_one_that_is_gone(self, cli: Cli) -> None:
        store = cli.home / "data" / "jobs.db"
        store.unlink()
        found = findings(cli, code=8)
        assert set(found) == {"store_unusable"}
        assert "is gone" in found["store_unusable"]["what"]
        assert not store.exists()

    def test_one_that_is_none(self, cli: Cli) -> None:
        store = cli.home / "data" / "jobs.db"
        store.write_bytes(b"garbage" * 1000)
        found = findings(cli, "--fix", code=8)
        assert set(found) == {"store_unusable"}
        assert found["store_unusable"]["mend"].startswith(f"mv {store} {store}.damaged && rm -f ")
        assert store.read_bytes() == b"garbage" * 1000

    def test_damaged_pages(self, cli: Cli) -> None:
        for number in range(100):
            cli("job", "add", f"job {number}", "--manual", "--command", "true", "--desc", "x" * 200)
        store = cli.home / "data" / "jobs.db"
        content = bytearray(store.read_bytes())
        content[-8192:] = b"\xa5" * 8192
        store.write_bytes(content)
        assert {"store_damaged", "store_unusable"} & set(findings(cli, code=8))

    @pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs /proc/locks")
    def test_a_lock_and_who_holds_it(self, cli: Cli) -> None:
        text = (
            "import sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.readline()\n"
        )
        command = [sys.executable, "-c", text, str(cli.home / "data" / "jobs.db")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            holder.stdout.readline()
            found = findings(cli, code=8)["store_locked"]
            assert found["mend"] == f"kill {holder.pid}"
            holder.kill()

    def test_a_wal_that_was_left_is_moved_into_the_file(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pyjobs.doctor.checks.store._LONG_WAL", 1000)
        store = cli.home / "data" / "jobs.db"
        with contextlib.closing(sqlite3.connect(store)) as reader:
            reader.execute("SELECT 1 FROM jobs").fetchall()
            cli("job", "add", "b", "--manual", "--command", "true")
            assert findings(cli, code=8)["wal_large"]["mend"] == "pyjobs doctor --fix"
            assert findings(cli, "--fix")["wal_large"]["mended"] == "it was moved into the file"
            assert store.with_name("jobs.db-wal").stat().st_size == 0

    def test_a_broken_row(self, cli: Cli) -> None:
        cli("job", "add", "bad", "--cron", "0 3 * * *", "--command", "true")
        sql(cli, "UPDATE jobs SET allow_mode = 'x' WHERE name = 'bad'")
        found = findings(cli, code=8)
        assert set(found) == {"broken_row", "no_backup"}
        assert found["broken_row"]["job"] == "bad"
        cli(*found["broken_row"]["mend"].split()[1:], "--yes")
        assert set(findings(cli, code=0)) == {"no_backup"}

    def test_a_zone_that_is_gone(self, cli: Cli) -> None:
        cli("job", "add", "bad", "--cron", "0 3 * * *", "--command", "true")
        sql(cli, "UPDATE jobs SET timezone = 'Mars/Olympus' WHERE name = 'bad'")
        found = findings(cli, code=8)["unknown_zone"]
        cli(*found["mend"].split()[1:])
        assert "unknown_zone" not in findings(cli)


class TestMending:
    def test_modes(self, cli: Cli) -> None:
        data = cli.home / "data"
        data.chmod(0o755)
        (data / "jobs.db").chmod(0o644)
        found = findings(cli, code=8)["open_mode"]
        assert found["fixable"]
        assert found["mend"].startswith(f"chmod 600 {data / 'jobs.db'}")  # or what SQLite puts beside it
        assert findings(cli, "--fix", "--dry-run", code=8)["open_mode"]["mended"] == "its mode would be changed"
        assert data.stat().st_mode & 0o777 == 0o755
        assert findings(cli, "--fix", code=0)["open_mode"]["mended"] == "its mode is 600 now"
        assert (data.stat().st_mode & 0o777, (data / "jobs.db").stat().st_mode & 0o777) == (0o700, 0o600)
        assert "open_mode" not in findings(cli, code=0)

    def test_a_file_with_secrets(self, cli: Cli) -> None:
        file = cli.home / "pyjobs.toml"
        file.write_text("port = 0\n")
        file.chmod(0o644)
        assert "open_mode" not in findings(cli)
        file.write_text("smtp_password = 'secret'\n")
        assert findings(cli, "--fix")["open_mode"]["mended"]
        assert file.stat().st_mode & 0o777 == 0o600

    def test_a_socket_and_a_lock_that_a_dead_daemon_left(self, cli: Cli) -> None:
        run = cli.home / "run"
        run.mkdir(mode=0o700)
        lock = run / "daemon.lock"
        lock.write_text('{"pid": 999999999, "start": 1}')
        lock.chmod(0o600)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as left:
            before = Path.cwd()
            os.chdir(run)
            try:
                left.bind("runner.sock")
            finally:
                os.chdir(before)
        (run / "runner.sock").chmod(0o600)
        assert {"stale_socket", "stale_lock"} <= set(findings(cli, code=0))
        found = findings(cli, "--fix", code=0)
        assert (found["stale_socket"]["mended"], found["stale_lock"]["mended"]) == ("it was deleted", "it was emptied")
        assert [path.name for path in run.iterdir()] == ["daemon.lock"]
        assert lock.read_text() == ""

    def test_a_next_fire_that_is_wrong(self, cli: Cli) -> None:
        cli("job", "add", "b", "--cron", "0 3 * * *", "--command", "true")
        right = sql(cli, "SELECT next_fire_at FROM jobs WHERE name = 'b'")
        sql(cli, "UPDATE jobs SET next_fire_at = ? WHERE name = 'b'", NOW_MS + 12345)
        assert "wrong_next_fire" in findings(cli, code=8)
        assert findings(cli, "--fix")["wrong_next_fire"]["mended"] == "the next fires were made anew"
        assert sql(cli, "SELECT next_fire_at FROM jobs WHERE name = 'b'") == right

    def test_what_cannot_be_mended_stays_a_finding(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuses(*_: object, **__: object) -> None:
            raise PermissionError

        (cli.home / "data" / "jobs.db").chmod(0o644)
        monkeypatch.setattr("os.chmod", refuses)
        assert findings(cli, "--fix", code=8)["open_mode"]["mended"] is None


class TestDeadRuns:
    OWNER = "/999999999/1"

    @pytest.fixture
    def run(self, cli: Cli) -> Any:
        def insert(exec_id: str, **values: object) -> None:
            row = {
                "exec_id": exec_id, "job_id": 1, "job_name": "a", "mode": "command", "command": "true", "claimed_at": 1,
                "state": "running", "source": "cron", "started_at": NOW_MS - 5000,
                "owner": procs.boot_id() + self.OWNER, "pid": 999_999_998, "pid_start": 1, **values,
            }  # fmt: skip
            sql(cli, f"INSERT INTO job_logs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())

        return insert

    def state(self, cli: Cli, exec_id: str) -> tuple[str, str]:
        ((state, error),) = sql(cli, "SELECT state, error FROM job_logs WHERE exec_id = ?", exec_id)
        return state, error

    def test_those_that_nothing_is_left_of_are_lost(self, cli: Cli, run: Any) -> None:
        run("gone")
        run("other-boot", owner=f"before{self.OWNER}", state="queued", pid=None)
        assert findings(cli, code=8)["dead_runner_runs"]["mend"] == "pyjobs daemon start"
        assert findings(cli, "--fix", code=0)["dead_runner_runs"]["mended"] == "recorded as lost: 2"
        assert self.state(cli, "gone") == ("lost", "lost: the runner died while it ran")
        assert self.state(cli, "other-boot") == ("lost", "lost: the machine went down")
        assert "dead_runner_runs" not in findings(cli)

    def test_those_that_the_next_daemon_may_go_on_with_are_left(self, cli: Cli, run: Any) -> None:
        run("queued", state="queued", pid=None)
        run("alive", pid=os.getpid(), pid_start=procs.start_time(os.getpid()))
        run("kept", pid=999_999_997)
        run("function", mode="func", pid=999_999_996)
        exits = cli.home / "run" / "exits"
        exits.mkdir(parents=True, mode=0o700)
        (cli.home / "run").chmod(0o700)
        (exits / "999999997.1").write_text("exit 7\n")
        assert findings(cli, "--fix", code=8)["dead_runner_runs"]["mended"] is None
        assert {self.state(cli, e)[0] for e in ("alive", "kept", "function")} == {"running"}
        assert self.state(cli, "queued")[0] == "queued"

    def test_those_of_a_job_that_wants_another_try_are_left(self, cli: Cli, run: Any) -> None:
        sql(cli, "UPDATE jobs SET on_lost = 'retry'")
        run("again")
        findings(cli, "--fix", code=8)
        assert self.state(cli, "again")[0] == "running"

    def test_jobs_that_only_fail(self, cli: Cli, run: Any) -> None:
        cli("job", "start", "a")
        for number in range(3):
            run(f"f{number}", state="failed", ended_at=NOW_MS)
        sql(cli, "UPDATE jobs SET last_state = 'failed'")
        assert findings(cli, code=8)["always_fails"]["mend"] == "pyjobs logs a"


class TestHost:
    def test_lock_files(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        assert host.lock_state(path) == "none"
        path.touch()
        assert host.lock_state(path) == "free"
        path.write_text("x")
        assert host.lock_state(path) == "dead"
        path.unlink()
        path.symlink_to("/dev/null")
        assert host.lock_state(path) == "odd"
        path.unlink()
        os.mkfifo(path)
        assert host.lock_state(path) == "odd"

    def test_disks_are_those_of_the_nearest_folder_and_each_once(self, tmp_path: Path) -> None:
        ((folder, free),) = host.disks([tmp_path / "not" / "there", tmp_path])
        assert (folder, free > 0) == (tmp_path, True)

    def test_a_symbolic_link_is_not_followed(self, cli: Cli, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir(mode=0o755)
        (cli.home / "backups").symlink_to(other)
        findings(cli, "--fix")
        assert other.stat().st_mode & 0o777 == 0o755
