"""`pyjobs db backup`, `verify` and `restore`: what is in an archive, what is refused, what becomes of a store."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import NOW_MS, FakeClock, a_job, a_run, claimed

from pyjobs import procs
from pyjobs.errors import BackupUnusable, StoreBusy
from pyjobs.folders import runner_lock
from pyjobs.jobs import Job, JobState, RunState
from pyjobs.ports import End, RunQuery, Start
from pyjobs.runner import lock_store
from pyjobs.store.sqlite import SqliteStore

from .cli_kit import Cli

CANARY = "canary-secret-4711"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    cli = Cli(tmp_path / "home", clock)
    cli("job", "add", "one", "--every", "1m", "--command", "true")
    return cli


@pytest.fixture
def store(cli: Cli) -> Iterator[SqliteStore]:
    """The store, opened beside the command line."""
    opened = SqliteStore(cli.home / "data" / "jobs.db")
    yield opened
    opened.close()


def made(cli: Cli, *args: str) -> Path:
    return Path(cli("db", "backup", *args).strip())


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {info.name: tar.extractfile(info) for info in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive as somebody else would have made it."""
    members = content(path)
    change(members)
    changed = path.with_name("changed.tar.gz")
    with tarfile.open(changed, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return changed


def leftovers(home: Path) -> list[str]:
    return [str(path) for path in home.rglob(".pyjobs-half-*")]


class TestBackup:
    def test_it_holds_the_store_the_files_of_the_home_and_a_manifest(self, cli: Cli) -> None:
        (cli.home / "alerting.yml").write_text("rules: []\n")
        (cli.home / "functions" / "inner").mkdir(parents=True)
        (cli.home / "functions" / "inner" / "_helper.py").write_text("X = 1\n")
        (cli.home / "functions" / "data.bin").write_text("x")
        (cli.home / "data" / "api-secret").write_text(CANARY)
        path = made(cli)
        assert path == cli.home / "backups" / "jobs_20300101_000000.tar.gz"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        members = content(path)
        assert list(members) == ["jobs.db", "home/alerting.yml", "functions/inner/_helper.py", "manifest.json"]
        manifest = json.loads(members["manifest.json"])
        assert (manifest["format"], manifest["created"], manifest["store"]) == (1, "2030-01-01T00:00:00Z", "sqlite")
        assert manifest["counts"]["jobs"] == 1
        assert manifest["members"]["home/alerting.yml"]["size"] == 10
        assert leftovers(cli.home) == []

    def test_files_can_be_left_out_and_the_place_be_chosen(self, cli: Cli, tmp_path: Path) -> None:
        (cli.home / "alerting.yml").write_text("rules: []\n")
        path = made(cli, str(tmp_path / "new" / "b.tar"), "--no-files")
        assert list(content(path)) == ["jobs.db", "manifest.json"]
        assert path.read_bytes()[:7] == b"jobs.db"
        assert made(cli, str(tmp_path / "new"), "--no-compress").name == "jobs_20300101_000000.tar"
        assert "already" in cli.error("db", "backup", str(path), code=6)

    def test_secrets_of_the_settings_stay_at_home(self, cli: Cli) -> None:
        (cli.home / "pyjobs.toml").write_text(
            f'# {CANARY}\nSMTP_PASSWORD = "{CANARY}"\nlang = "en"\nport = 81\n'
            f'[databases]\nx = "mysql://u:{CANARY}@h/d"\n'
        )
        (cli.home / "alerting.yml").write_text(f"webhook: {CANARY}-sms\n")
        done = cli.try_("db", "backup", API_TOKEN=f"{CANARY}-token", SMS_WEBHOOK=f"{CANARY}-sms")
        members = content(Path(done.stdout.strip()))
        assert not [name for name, data in members.items() if CANARY.encode() in data]
        assert members["home/pyjobs.toml"].decode() == (
            '# Secrets were left out of the backup, set them again: SMTP_PASSWORD, databases\nlang = "en"\nport = 81\n'
        )
        assert json.loads(members["manifest.json"])["left_out"] == {
            "home/pyjobs.toml: SMTP_PASSWORD": "secret",
            "home/pyjobs.toml: databases": "secret",
            "home/alerting.yml": "holds a secret of the settings",
        }
        assert "left out: home/alerting.yml" in done.stderr

    def test_it_is_one_instant_while_others_write(self, cli: Cli, store: SqliteStore) -> None:
        """Each transaction writes a job and a run of it: a copy that mixed two would hold more of one."""
        stop, written = threading.Event(), 0

        def write() -> None:
            nonlocal written
            writer = SqliteStore(store.path)
            while not stop.is_set():
                with writer.transaction():
                    job = writer.add_job(a_job(f"w{written}"))
                    run = a_run(job, exec_id=f"r{written}", output="x" * 5000)
                    writer.claim([claimed(run)], [])
                written += 1
            writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            while written < 50:
                assert thread.is_alive()
            paths = [made(cli, "--verify") for _ in range(3)]
            before = written
            while written < before + 5:
                assert thread.is_alive()
        finally:
            stop.set()
            thread.join()
        counts = [json.loads(content(path)["manifest.json"])["counts"] for path in paths]
        assert all(found["job_logs"] >= 50 and found["jobs"] == found["job_logs"] + 1 for found in counts)

    def test_an_open_transaction_of_somebody_else_does_not_hold_it_up(self, cli: Cli, store: SqliteStore) -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM jobs")
            path = made(cli)
        assert json.loads(content(path)["manifest.json"])["counts"]["jobs"] == 1

    def test_old_ones_are_deleted_never_the_newest_and_nothing_else(self, cli: Cli) -> None:
        folder = cli.home / "backups"
        folder.mkdir()
        for name in ("jobs_20200101_000000.tar.gz", "jobs_20200101_000000_2.tar", "mine.tar.gz", "jobs_1.tar.gz"):
            (folder / name).touch()
            os.utime(folder / name, (1, 1))
        document = cli.json("db", "backup", "--keep-days", "7")
        gone = [str(folder / name) for name in ("jobs_20200101_000000.tar.gz", "jobs_20200101_000000_2.tar")]
        assert document["backup"]["deleted"] == gone
        assert sorted(path.name for path in folder.iterdir()) == [
            "jobs_1.tar.gz", "jobs_20300101_000000.tar.gz", "mine.tar.gz",
        ]  # fmt: skip

    def test_what_a_killed_one_left_is_cleared_away_after_a_day(self, cli: Cli) -> None:
        for name, at_s in ((".pyjobs-half-old", 1), (".pyjobs-half-new", NOW_MS // 1000)):
            (cli.home / "backups" / name).mkdir(parents=True)
            os.utime(cli.home / "backups" / name, (at_s, at_s))
        made(cli)
        assert [Path(left).name for left in leftovers(cli.home)] == [".pyjobs-half-new"]

    def test_it_is_noted_in_the_store_and_so_is_a_failure(self, cli: Cli, store: SqliteStore) -> None:
        path = made(cli)
        assert json.loads(store.fact("backup") or "") == {
            "at_ms": NOW_MS, "path": str(path), "size": path.stat().st_size, "verified": False,
        }  # fmt: skip
        (cli.home / "file").touch()
        assert "`" in cli.error("db", "backup", str(cli.home / "file" / "x"), code=4)
        failed = json.loads(store.fact("backup_failed") or "")
        assert (failed["at_ms"], str(cli.home / "file") in failed["zh"]) == (NOW_MS, True)
        assert json.loads(store.fact("backup") or "")["path"] == str(path)
        made(cli)
        assert store.fact("backup_failed") is None

    def test_there_is_nothing_to_back_up_in_an_empty_home(self, tmp_path: Path) -> None:
        cli = Cli(tmp_path / "nowhere")
        assert cli.error("db", "backup", code=3).startswith("error: there is no store at")
        assert not cli.home.exists()


class TestVerify:
    def test_a_good_one(self, cli: Cli) -> None:
        path = made(cli)
        assert "is whole: jobs 1, runs 0" in cli.try_("db", "verify", str(path)).stderr
        assert cli.json("db", "verify", str(path))["backup"]["whole"] is True
        assert "完整" in cli.try_("db", "verify", str(path), lang="zh").stderr

    def test_damage_anywhere_is_found_and_is_8(self, cli: Cli, store: SqliteStore) -> None:
        for number in range(40):
            store.add_job(a_job(f"job{number}"))
        for flag in ("--compress", "--no-compress"):
            whole = made(cli, flag).read_bytes()
            bad = cli.home / "bad"
            for cut in range(0, len(whole) - 11_000, max(len(whole) // 7, 1)):
                bad.write_bytes(whole[:cut])
                assert "is not a usable backup" in cli.error("db", "verify", str(bad), code=8), cut
            for at in range(600, len(whole) - 11_000, max(len(whole) // 7, 1)):
                bad.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
                assert cli.error("db", "verify", str(bad), code=8).startswith("error: `"), at
        assert leftovers(cli.home) == []

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"functions/x.py": b"x"}, "is not what the manifest says"),
            ({"jobs.db": b"x"}, "is not what the manifest says"),
            ({"manifest.json": b"[]"}, "its manifest cannot be read"),
            ({"manifest.json": b'{"format": 99}'}, "made by a newer pyjobs"),
            ({"x": b"x"}, "`x` has no place"),
            ({"manifest.json": None}, "it has no manifest"),
        ],
    )
    def test_an_archive_that_is_not_as_it_was_made(self, cli: Cli, changed: dict[str, bytes | None], said: str) -> None:
        def change(members: dict[str, bytes]) -> None:
            manifest = members.pop("manifest.json")
            last = changed if "manifest.json" in changed else {**changed, "manifest.json": manifest}
            last = {"manifest.json": manifest, "x": b"x"} if "x" in changed else last
            members.update({name: data for name, data in last.items() if data is not None})

        assert said in cli.error("db", "verify", str(rewritten(made(cli), change)), code=8)

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
    def test_links_and_the_like_are_refused(self, cli: Cli, kind: bytes, tmp_path: Path) -> None:
        path = tmp_path / "links.tar"
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo("functions/x.py")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        assert "has no place in a backup" in cli.error("db", "restore", str(path), "--yes", code=1)

    @pytest.mark.parametrize("name", ["../evil", "/evil", "functions/../../evil", "a\\b", "x\x1b[31m", "jobs.db/../x"])
    def test_names_that_lead_out_are_refused(self, cli: Cli, name: str, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "names.tar"
        path.parent.mkdir()
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        assert "has no place in a backup" in cli.error("db", "restore", str(path), "--yes", code=1)
        assert not [found for found in tmp_path.rglob("*") if "evil" in found.name]


class TestRestore:
    def test_it_brings_the_store_back_and_keeps_the_one_that_was(self, cli: Cli, clock: FakeClock) -> None:
        path = made(cli)
        cli("job", "add", "two", "--manual", "--command", "x")
        clock.advance(10)
        done = cli.try_("db", "restore", str(path), "--yes")
        assert done.exit_code == 0, done.output
        aside = cli.home / "data" / "jobs.db.before-restore-20300101_000010"
        assert done.stderr == (
            f"BACKUP  {path}\n        jobs 1, runs 0, schema {self.schema(cli)}; made 2030-01-01 00:00:00\n"
            f"STORE   {cli.home / 'data' / 'jobs.db'}\n        jobs 2, runs 0, schema {self.schema(cli)}; no runs\n"
            f"restored {cli.home / 'data' / 'jobs.db'}\n"
            f"the store as it was: {aside}\n"
            "what has fired since the backup does not fire again; what comes late is up to each job's misfire\n"
        )
        assert [job["name"] for job in cli.json("job", "list")["jobs"]] == ["one"]
        assert (cli.home / "data" / "jobs.db").stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(aside)) as old:
            assert old.execute("SELECT name FROM jobs ORDER BY id").fetchall() == [("one",), ("two",)]
        cli("db", "restore", str(aside), "--yes")
        assert len(cli.json("job", "list")["jobs"]) == 2
        assert leftovers(cli.home) == []

    @staticmethod
    def schema(cli: Cli) -> int:
        with closing(sqlite3.connect(cli.home / "data" / "jobs.db")) as store:
            return int(store.execute("SELECT max(version) FROM schema_version").fetchone()[0])

    def test_a_dry_run_changes_nothing(self, cli: Cli) -> None:
        path = made(cli)
        cli("job", "add", "two", "--manual", "--command", "x")
        document = cli.json("db", "restore", str(path), "--dry-run")["restore"]
        assert (document["done"], document["counts"]["jobs"], document["replaces"]["jobs"]) == (False, 1, 2)
        assert len(cli.json("job", "list")["jobs"]) == 2

    def test_it_asks_and_where_nobody_can_be_asked_needs_a_flag(self, cli: Cli) -> None:
        assert "`--yes`: is needed" in cli.error("db", "restore", str(made(cli)), code=2)

    @pytest.mark.parametrize("packed", [False, True])
    def test_what_cp_makes_is_taken_too(self, cli: Cli, tmp_path: Path, packed: bool) -> None:
        copy = tmp_path / "jobs.db.backup.20240101_120000"
        data = (cli.home / "data" / "jobs.db").read_bytes()
        copy.write_bytes(gzip.compress(data) if packed else data)
        cli("job", "remove", "one", "--yes")
        cli("db", "restore", str(copy), "--yes")
        assert [job["name"] for job in cli.json("job", "list")["jobs"]] == ["one"]

    def test_a_copy_with_its_wal_is_taken_with_it(self, cli: Cli, store: SqliteStore, tmp_path: Path) -> None:
        store.add_job(a_job("in the wal"))
        for end in ("", "-wal"):
            (tmp_path / f"copy.db{end}").write_bytes((cli.home / "data" / f"jobs.db{end}").read_bytes())
        store.close()
        cli("job", "remove", "in the wal", "--yes")
        cli("db", "restore", str(tmp_path / "copy.db"), "--yes")
        assert {job["name"] for job in cli.json("job", "list")["jobs"]} == {"one", "in the wal"}

    def test_a_store_that_is_gone_or_damaged_is_restored(self, cli: Cli) -> None:
        path = made(cli)
        database = cli.home / "data" / "jobs.db"
        database.write_bytes(b"rubbish" * 1000)
        done = cli.try_("db", "restore", str(path), "--yes")
        assert "none, or none that can be read" in done.stderr
        assert "nobody knows what has fired" in done.stderr
        assert [f.read_bytes()[:7] for f in database.parent.glob("*.before-restore-*")] == [b"rubbish"]
        database.unlink()
        assert cli.json("db", "restore", str(path), "--yes")["restore"]["aside"] is None
        assert len(cli.json("job", "list")["jobs"]) == 1

    def test_the_wal_of_the_store_that_was_goes_along_with_it(self, cli: Cli, store: SqliteStore) -> None:
        path = made(cli)
        store.add_job(a_job("late"))
        cli("db", "restore", str(path), "--yes")
        with closing(sqlite3.connect(next(store.path.parent.glob("*.before-restore-*[0-9]")))) as old:
            assert old.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
        with pytest.raises(StoreBusy, match="deleted or replaced"):
            store.add_job(a_job("into the void"))
        assert [job["name"] for job in cli.json("job", "list")["jobs"]] == ["one"]

    def test_a_newer_schema_is_refused(self, cli: Cli, store: SqliteStore) -> None:
        with store.transaction():
            store._db.execute_sql("INSERT INTO schema_version VALUES (99, '')")
        path = made(cli)
        with store.transaction():
            store._db.execute_sql("DELETE FROM schema_version WHERE version = 99")
        before = (cli.home / "data" / "jobs.db").stat().st_ino
        assert cli.error("db", "restore", str(path), "--yes", code=5).startswith("error: the backup has schema 99")
        assert (cli.home / "data" / "jobs.db").stat().st_ino == before

    @pytest.mark.parametrize(
        ("data", "said"),
        [(b"", "is not a usable backup"), (b"hello" * 999, "is not a usable backup"),
         (b"SQLite format 3\0" + b"x" * 5000, "is damaged"),
          (gzip.compress(b"x" * 9999, mtime=0)[:-9], "usable backup")],
    )  # fmt: skip
    def test_what_is_no_backup_is_refused(self, cli: Cli, tmp_path: Path, data: bytes, said: str) -> None:
        (tmp_path / "file").write_bytes(data)
        assert said in cli.error("db", "restore", str(tmp_path / "file"), "--yes", code=1)
        assert [job["name"] for job in cli.json("job", "list")["jobs"]] == ["one"]

    def test_another_database_the_store_itself_and_nothing_are_refused(self, cli: Cli, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "other.db")) as other:
            other.execute("CREATE TABLE x (y)")
        assert "no store of pyjobs" in cli.error("db", "restore", str(tmp_path / "other.db"), "--yes", code=1)
        assert "itself" in cli.error("db", "restore", str(cli.home / "data" / "jobs.db"), "--yes", code=2)
        assert "there is no file" in cli.error("db", "restore", str(tmp_path / "none"), "--yes", code=3)

    def test_it_is_refused_while_a_runner_has_the_store(self, cli: Cli) -> None:
        path = made(cli)
        lock = runner_lock(cli.home / "data" / "jobs.db")
        held = lock_store(lock, "the store")
        try:
            done = cli.try_("db", "restore", str(path), "--yes")
        finally:
            os.close(held)
        assert (done.exit_code, "another runner" in done.stderr) == (6, True)
        assert not procs.lock_held(lock)
        assert list((cli.home / "data").glob("*.before-restore-*")) == []

    def test_files_that_are_missing_come_back_and_others_only_when_told(self, cli: Cli) -> None:
        mine, rules = cli.home / "functions" / "mine.py", cli.home / "alerting.yml"
        mine.parent.mkdir()
        mine.write_text("def mine(): return 1\n")
        rules.write_text("old: 1\n")
        (cli.home / "pyjobs.toml").write_text(f'lang = "en"\nsmtp_password = "{CANARY}"\n')
        path = made(cli)
        mine.unlink()
        rules.write_text("new: 1\n")
        shown = cli.json("db", "restore", str(path), "--yes")["restore"]
        assert shown["written"] == [str(mine)]
        assert shown["kept"] == [str(rules)]
        assert shown["files"][str(cli.home / "pyjobs.toml")] == "same"
        assert mine.read_text() == "def mine(): return 1\n"
        assert mine.stat().st_mode & 0o777 == 0o600
        assert rules.read_text() == "new: 1\n"
        cli("db", "restore", str(path), "--yes", "--files")
        assert rules.read_text() == "old: 1\n"
        assert [old.read_text() for old in cli.home.glob("alerting.yml.before-restore-*")] == ["new: 1\n"]
        assert CANARY in (cli.home / "pyjobs.toml").read_text()


class TestCarriedOver:
    """What the store that is replaced knows of the time since the backup."""

    def test_a_fire_that_ran_since_does_not_come_again(self, cli: Cli, store: SqliteStore) -> None:
        job = store.jobs_by_id([1])[1]
        path = made(cli)
        self.fire(store, job, "since", ends=True)
        cli("db", "restore", str(path), "--yes")
        restored = SqliteStore(store.path)
        now = restored.jobs_by_id([1])[1]
        assert now.next_fire_ms == (job.next_fire_ms or 0) + 60_000
        assert restored.runs(RunQuery()) == []
        restored.close()

    def test_a_job_that_was_scheduled_otherwise_meanwhile_is_left_to_its_policy(
        self, cli: Cli, store: SqliteStore
    ) -> None:
        job = store.jobs_by_id([1])[1]
        path = made(cli)
        cli("job", "edit", "one", "--every", "2h")
        cli("db", "restore", str(path), "--yes")
        restored = SqliteStore(store.path)
        assert restored.jobs_by_id([1])[1].next_fire_ms == job.next_fire_ms
        restored.close()

    def test_a_run_that_ended_since_keeps_its_end_and_one_that_goes_on_its_row(
        self, cli: Cli, store: SqliteStore
    ) -> None:
        job = store.jobs_by_id([1])[1]
        self.fire(store, job, "ended", ends=False)
        path = made(cli)
        store.end_runs([End(exec_id="ended", state=RunState.FAILED, ended_ms=NOW_MS, exit_code=7, output="x")], "me")
        job = store.jobs_by_id([1])[1]
        self.fire(store, job, "going on", ends=False)
        cli("job", "add", "two", "--every", "1m", "--command", "x")
        two = store.jobs_by_id([2])[2]
        self.fire(store, two, "of a job that is gone", ends=False)
        cli("db", "restore", str(path), "--yes")
        restored = SqliteStore(store.path)
        ended = restored.run("ended")
        assert ended is not None
        assert (ended.state, ended.exit_code, ended.output) == (RunState.FAILED, 7, "x")
        goes_on, orphan = restored.run("going on"), restored.run("of a job that is gone")
        assert goes_on is not None
        assert orphan is not None
        assert (goes_on.state, goes_on.job_id, goes_on.pid) == (RunState.RUNNING, 1, 99)
        assert (orphan.state, orphan.job_id, orphan.job_name) == (RunState.RUNNING, None, "two")
        assert restored.jobs_by_id([1])[1].state is JobState.WAITING
        restored.close()

    @staticmethod
    def fire(store: SqliteStore, job: Job, exec_id: str, *, ends: bool) -> None:
        due = job.next_fire_ms or 0
        run = a_run(job, exec_id=exec_id, scheduled_ms=due, owner="me")
        with store.transaction():
            store.claim([claimed(run)], [(job.id, due, due + 60_000)])
        store.start_runs([Start(exec_id=exec_id, attempt=1, started_ms=NOW_MS, pid=99, pid_start=1)], "me")
        if ends:
            store.end_runs([End(exec_id=exec_id, state=RunState.SUCCESS, ended_ms=NOW_MS)], "me")


def test_an_error_of_a_backup_has_a_stable_code() -> None:
    assert (BackupUnusable.code, BackupUnusable.exit_code) == ("backup_unusable", 1)
