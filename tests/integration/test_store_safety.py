"""A store is never silently begun anew, is copied before a migration, and one broken row is one job's trouble."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, a_job

from pyjobs.errors import StoreBusy, StoreUnusable
from pyjobs.folders import made_mark
from pyjobs.jobs import JobState
from pyjobs.ports import EventKind, JobQuery
from pyjobs.service import build
from pyjobs.store import migrations
from pyjobs.store.files import backups
from pyjobs.store.migrations import LATEST
from pyjobs.store.sqlite import SqliteStore

from .cli_kit import Cli
from .store_kit import an_old_store


class Silent:
    """Nobody is there to be woken."""

    def send(self) -> None:
        """Wake nobody."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "jobs.db"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home", FakeClock())


def sql(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        return raw.execute(statement, values).fetchall()


def version(path: Path) -> int:
    return int(sql(path, "SELECT max(version) FROM schema_version")[0][0])


def sh(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def command_of(hint: str) -> str:
    """What stands between the first two backticks."""
    return hint.split("`")[1]


class TestAStoreThatIsGone:
    def test_it_is_not_made_anew(self, path: Path) -> None:
        SqliteStore(path).close()
        path.unlink()
        with pytest.raises(StoreUnusable, match="is gone: there was one here"):
            SqliteStore(path)
        assert not path.exists()

    def test_an_empty_file_in_its_place_is_refused_too(self, path: Path) -> None:
        SqliteStore(path).close()
        os.truncate(path, 0)
        with pytest.raises(StoreUnusable, match="is gone"):
            SqliteStore(path)
        assert path.stat().st_size == 0

    def test_a_wal_that_was_left_alone_is_not_thrown_away(self, path: Path) -> None:
        store = SqliteStore(path)
        store.add_job(a_job("a"))
        made_mark(path).unlink()
        away = path.rename(path.with_name("away"))
        with pytest.raises(StoreUnusable, match="is gone"):
            SqliteStore(path)
        away.rename(path)
        store.close()
        again = SqliteStore(path)
        assert [job.name for job in again.jobs(JobQuery())] == ["a"]
        again.close()

    def test_the_command_of_the_hint_begins_anew(self, path: Path) -> None:
        SqliteStore(path).close()
        path.unlink()
        with pytest.raises(StoreUnusable) as caught:
            SqliteStore(path)
        sh(caught.value.hint().rpartition(": `")[2].rstrip("`"))
        store = SqliteStore(path)
        assert store.jobs(JobQuery()) == []
        store.close()

    def test_a_whole_folder_may_be_moved_or_deleted(self, path: Path) -> None:
        store = SqliteStore(path)
        store.add_job(a_job("a"))
        store.close()
        moved = path.parent.rename(path.parent.with_name("moved"))
        SqliteStore(path).close()
        store = SqliteStore(moved / path.name)
        assert len(store.jobs(JobQuery())) == 1
        store.close()

    def test_a_store_of_an_older_version_is_marked_when_it_is_opened(self, path: Path) -> None:
        SqliteStore(path).close()
        made_mark(path).unlink()
        SqliteStore(path).close()
        assert "delete this file" in made_mark(path).read_text()
        assert made_mark(path).stat().st_mode & 0o777 == 0o600

    def test_what_a_killed_first_start_left_is_new(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.touch()
        SqliteStore(path).close()

    def test_no_command_makes_one(self, cli: Cli) -> None:
        cli("job", "add", "a", "--manual", "--command", "true")
        store = cli.home / "data" / "jobs.db"
        store.unlink()
        shown = cli.try_("status")  # which says how the daemon is before that
        assert (shown.exit_code, "is gone: there was one here" in shown.stderr) == (5, True)
        for words in (["list"], ["job", "add", "b", "--manual", "--command", "true"], ["job", "stop-all"]):
            said = cli.error(*words, code=5)
            assert f"the store `{store}` is gone" in said
            assert f"`rm {store}-made`" in said
        assert not store.exists()
        assert "不见了" in cli.error("list", code=5, lang="zh")

    def test_its_folder_is_still_the_home(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        cli("job", "add", "a", "--manual", "--command", "true")
        (cli.home / "data" / "jobs.db").unlink()
        monkeypatch.chdir(cli.home)
        from pyjobs.config import find_home

        assert find_home({}, Path.cwd()) == cli.home


class TestRestoring:
    @pytest.mark.parametrize("kind", ["plain", "packed"])
    def test_the_command_of_the_hint_puts_the_newest_backup_back(self, path: Path, kind: str) -> None:
        store = SqliteStore(path)
        store.add_job(a_job("kept"))
        store.close()
        if kind == "plain":
            path.with_name("jobs.db.backup.20240101_120000").write_bytes(path.read_bytes())
        else:
            import gzip

            folder = path.parent.parent / "backups"
            folder.mkdir()
            (folder / "jobs_20240101_120000.db.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.write_bytes(b"\0garbage" * 1000)
        path.with_name("jobs.db-wal").write_bytes(b"of the damaged one")
        with pytest.raises(StoreUnusable) as caught:
            SqliteStore(path)
        assert command_of(caught.value.hint()) == command_of(caught.value.hint("zh"))
        sh(command_of(caught.value.hint()))
        store = SqliteStore(path)
        assert [job.name for job in store.jobs(JobQuery())] == ["kept"]
        store.close()
        assert path.with_name("jobs.db.damaged").read_bytes().startswith(b"\0garbage")

    @pytest.mark.parametrize("damage", [b"\0garbage" * 1000, None], ids=["damaged", "gone"])
    def test_the_command_of_the_hint_restores_what_db_backup_made(self, cli: Cli, damage: bytes | None) -> None:
        cli("job", "add", "kept", "--manual", "--command", "true")
        cli("db", "backup")
        store = cli.home / "data" / "jobs.db"
        store.unlink() if damage is None else store.write_bytes(damage)
        hint = cli.error("list", code=5)
        words = shlex.split(next(piece for piece in hint.split("`") if piece.startswith("pyjobs db restore")))
        cli(*words[1:])
        assert "kept" in cli("list")

    def test_without_a_backup_it_says_so(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0garbage" * 1000)
        with pytest.raises(StoreUnusable) as caught:
            SqliteStore(path)
        assert "no backup lies beside it" in caught.value.hint()
        assert shlex.quote(str(path)) in caught.value.hint()
        assert "旁边没有备份" in caught.value.hint("zh")


class TestMigration:
    def test_the_store_is_copied_before(self, path: Path) -> None:
        an_old_store(path, 3)
        SqliteStore(path).close()
        (copy,) = backups(path)
        assert copy.name == f"jobs.db.before-v{LATEST}"
        assert copy.stat().st_mode & 0o777 == 0o600
        assert (version(copy), sql(copy, "SELECT name FROM jobs")) == (3, [("old",)])
        assert version(path) == LATEST

    def test_a_new_store_and_one_of_this_version_are_not(self, path: Path) -> None:
        SqliteStore(path).close()
        SqliteStore(path).close()
        assert backups(path) == []

    def test_only_the_newest_copy_is_kept(self, path: Path) -> None:
        an_old_store(path, 4)
        for name in ("jobs.db.before-v2", "jobs.db.before-half-999999999", "jobs.db.before-half-999999999-journal"):
            path.with_name(name).write_bytes(b"old")
        mine = path.with_name("jobs.db.backup")
        mine.write_bytes(b"somebody's own")
        SqliteStore(path).close()
        assert {copy.name for copy in path.parent.glob("jobs.db.b*")} == {f"jobs.db.before-v{LATEST}", mine.name}

    def test_a_copy_of_an_earlier_upgrade_is_replaced(self, path: Path) -> None:
        an_old_store(path, 3)
        copy = path.with_name(f"jobs.db.before-v{LATEST}")
        copy.write_bytes(path.read_bytes())
        sql(path, "UPDATE jobs SET name = 'newer'")
        SqliteStore(path).close()
        assert sql(copy, "SELECT name FROM jobs") == [("newer",)]

    def test_a_locked_store_is_busy_and_not_waited_for_without_end(self, path: Path) -> None:
        an_old_store(path, 3)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreBusy):
                SqliteStore(path, patience_s=0.1)
        SqliteStore(path).close()
        assert version(path) == LATEST

    #: Stops before the n-th statement of the migration, until it is killed.
    MIGRATES = (
        "import pathlib, sys\n"
        "from pyjobs.store import migrations\n"
        "from pyjobs.store.sqlite import SqliteStore\n"
        "places = [sql for step in migrations._STEPS[3:] for sql in step]\n"
        "there = places[int(sys.argv[2])]\n"
        "from peewee import SqliteDatabase\n"
        "real = SqliteDatabase.execute_sql\n"
        "def paused(self, sql, *args, **kwargs):\n"
        "    if sql == there:\n"
        "        print('there', flush=True); sys.stdin.readline()\n"
        "    return real(self, sql, *args, **kwargs)\n"
        "SqliteDatabase.execute_sql = paused\n"
        "SqliteStore(pathlib.Path(sys.argv[1]))\n"
    )

    @pytest.mark.parametrize("number", range(sum(map(len, migrations._STEPS[3:]))))
    def test_one_that_was_killed_half_way_goes_on(self, path: Path, number: int) -> None:
        an_old_store(path, 3)
        command = [sys.executable, "-c", self.MIGRATES, str(path), str(number)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"there\n"
            process.send_signal(signal.SIGKILL)
        assert 3 <= version(path) < LATEST
        store = SqliteStore(path)
        store.quick_check()
        assert [job.name for job in store.jobs(JobQuery())] == ["old"]
        store.close()
        assert version(path) == LATEST
        (copy,) = backups(path)
        assert version(copy) == 3  # from before all of it, not from half-way


class TestRowsOfOthers:
    @pytest.fixture
    def store(self, path: Path) -> Iterator[SqliteStore]:
        opened = SqliteStore(path)
        yield opened
        opened.close()

    @pytest.mark.parametrize(
        ("column", "value", "reason"),
        [
            ("timezone", "Mars/Olympus", "there is no time zone `Mars/Olympus`"),
            ("timezone", "../etc/passwd", "there is no time zone"),
            ("misfire", "perhaps", "its row in the store cannot be used"),
            ("allow_mode", 9, "its row in the store cannot be used"),
            ("on_lost", "cry", "its row in the store cannot be used"),
            ("retry_backoff", "random", "its row in the store cannot be used"),
            ("dst_gap", "jump", "its row in the store cannot be used"),
            ("catchup_window", "long", "its row in the store cannot be used"),
            ("timeout", "soon", "its row in the store cannot be used"),
            ("cron_expr", b"\xff", "its row in the store cannot be used"),
            ("owned_by", b"\xff", "its row in the store cannot be used"),
        ],
    )
    def test_that_job_alone_is_disabled_with_the_reason(
        self, store: SqliteStore, path: Path, column: str, value: object, reason: str
    ) -> None:
        bad, good = store.add_job(a_job("bad")), store.add_job(a_job("good", timezone="Europe/Berlin"))
        sql(path, "UPDATE jobs SET trigger_type = 'cron', cron_expr = '* * * * *' WHERE id = ?", bad.id)
        sql(path, f"UPDATE jobs SET {column} = ? WHERE id = ?", value, bad.id)
        jobs = build(store, Silent(), FakeClock(), "UTC").jobs
        ((name, why),) = jobs.disable_unusable()
        assert name == "bad"
        assert reason in why
        stopped = store.job(bad.id)
        assert stopped is not None
        assert stopped.state is JobState.STOPPED
        assert reason in stopped.stop_reason
        (event,) = store.events(job_id=bad.id)
        assert (event.kind, event.at_ms, event.detail["reason"]) == (EventKind.JOB_STOPPED, NOW_MS, why)
        assert jobs.disable_unusable() == []
        assert store.job(good.id) == good

    def test_a_zone_that_an_interval_does_not_need_is_no_reason(self, store: SqliteStore, path: Path) -> None:
        job = store.add_job(a_job("every minute"))
        sql(path, "UPDATE jobs SET timezone = 'Mars/Olympus' WHERE id = ?", job.id)
        assert build(store, Silent(), FakeClock(), "UTC").jobs.disable_unusable() == []

    def test_one_whose_zone_is_gone_is_shown_all_the_same(self, cli: Cli) -> None:
        cli("job", "add", "bad", "--cron", "0 3 * * *", "--command", "true")
        sql(cli.home / "data" / "jobs.db", "UPDATE jobs SET timezone = 'Mars/Olympus'")
        done = cli.try_("job", "show", "bad")
        assert (done.exit_code, "Mars/Olympus" in done.stdout) == (0, True)
        assert "warning: the schedule of `bad` cannot be used: timezone: there is no time zone" in done.stderr

    def test_the_command_line_shows_the_others(self, cli: Cli) -> None:
        for name in ("bad", "good"):
            cli("job", "add", name, "--cron", "0 3 * * *", "--command", "true")
        sql(cli.home / "data" / "jobs.db", "UPDATE jobs SET misfire = 'perhaps' WHERE name = 'bad'")
        jobs = {job["name"]: job for job in cli.json("list")["jobs"]}
        assert (jobs["bad"]["state"], jobs["good"]["state"]) == ("stopped", "waiting")
