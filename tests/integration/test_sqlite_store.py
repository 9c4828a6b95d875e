"""The SQLite store as a file: modes, damage, locks, other processes, the specification's own SQL, query plans."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, a_job, a_run, claimed

from pyjobs.errors import Invalid, NotAllowed, PyjobsError, StoreBusy, StoreUnusable
from pyjobs.jobs import Job, JobState, RunState, Source
from pyjobs.ports import End, JobQuery, Page, RunQuery, Start
from pyjobs.store.counters import COUNTERS
from pyjobs.store.migrations import _STEPS, LATEST
from pyjobs.store.sqlite import SqliteStore

from .store_kit import an_old_store

ENDING = End(exec_id="x", state=RunState.SUCCESS, ended_ms=NOW_MS)
Python = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


@pytest.fixture
def python() -> Iterator[Python]:
    """Run a Python text in a process of its own, with pipes; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: object) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", text, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for its end and give what it wrote."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class TestFile:
    def test_only_the_owner_may_read_it_whatever_the_umask(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "home" / "data" / "jobs.db"
        before = os.umask(0)
        try:
            store = SqliteStore(path)
            store.add_job(a_job("a"))
            files = sorted(path.parent.iterdir())
            assert [f.name for f in files] == ["jobs.db", "jobs.db-made", "jobs.db-shm", "jobs.db-wal"]
            assert {mode(f) for f in files} == {0o600}
            assert {mode(f) for f in (path.parent, path.parent.parent, tmp_path / "new")} == {0o700}
            store.close()
        finally:
            os.umask(before)

    def test_a_folder_that_is_there_keeps_its_mode(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o750)
        SqliteStore(tmp_path / "jobs.db").close()
        assert mode(tmp_path) == 0o750

    def test_a_clean_close_leaves_the_one_file(self, path: Path) -> None:
        store = SqliteStore(path)
        store.add_job(a_job("a"))
        store.close()
        assert sorted(f.name for f in path.parent.iterdir()) == ["jobs.db", "jobs.db-made"]
        copy = path.with_name("copy.db")
        copy.write_bytes(path.read_bytes())
        again = SqliteStore(copy)
        assert [job.name for job in again.jobs(JobQuery())] == ["a"]
        again.close()

    def test_it_opens_again_with_all_that_was_in_it(self, path: Path) -> None:
        first = SqliteStore(path)
        job = first.add_job(a_job("a"))
        first.close()
        second = SqliteStore(path)
        assert second.job(job.id) == job
        second.quick_check()
        second.close()

    def test_a_second_connection_of_this_process_leaves_the_locks_of_the_first(
        self, store: SqliteStore, path: Path, python: Python
    ) -> None:
        store.add_job(a_job("a"))
        SqliteStore(path).close()
        # The last one to leave removes the WAL: this one must see that it is not the last.
        other = (
            "import sys, pathlib\n"
            "from pyjobs.store.sqlite import SqliteStore\n"
            "SqliteStore(pathlib.Path(sys.argv[1])).close()\n"
        )
        ended(python(other, path))
        assert path.with_name("jobs.db-wal").exists()
        store.add_job(a_job("b"))
        third = SqliteStore(path)
        assert third.count_jobs(JobQuery()) == 2
        third.close()

    def test_another_connection_sees_what_was_committed(self, store: SqliteStore, path: Path) -> None:
        other = SqliteStore(path)
        before = other.data_version()
        job = store.add_job(a_job("a"))
        assert other.data_version() != before
        assert other.job(job.id) == job
        other.close()

    def test_durability_is_a_matter_of_the_transaction(self, store: SqliteStore) -> None:
        def synchronous() -> int:
            return int(store._rows("PRAGMA synchronous", [])[0][0])

        full, normal = 2, 1
        assert synchronous() == full
        with store.transaction(durable=False):
            assert synchronous() == normal
        with store.transaction():
            assert synchronous() == full
        store.start_runs([], "me")
        assert synchronous() == normal
        store.set_fact("x", "y")
        assert synchronous() == full

    def test_each_thread_has_a_transaction_of_its_own(self, path: Path) -> None:
        store = SqliteStore(path, patience_s=0.05)
        found: list[Any] = []

        def other() -> None:
            try:
                found.append(store.fact("x"))
                store.set_fact("x", "2")
            except PyjobsError as exc:
                found.append(type(exc))
            store.close()

        with store.transaction():
            store.set_fact("x", "1")
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        assert found == [None, StoreBusy]
        assert store.fact("x") == "1"
        store.close()

    def test_text_that_is_no_unicode_is_refused_plainly(self, store: SqliteStore) -> None:
        with pytest.raises(Invalid, match="UTF-8"):
            store.job_named("\udcff")
        with pytest.raises(Invalid, match="UTF-8"):
            store.set_fact("x", "\udcff")
        store.set_fact("x", "fine")


class TestWhatIsNoStore:
    @pytest.mark.parametrize(
        "content",
        [b"hello", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"SQLite format 3\0", bytes(4096)],
        ids=["short", "long", "garbage after the header", "header only", "zeros"],
    )
    def test_it_is_refused_and_left_as_it_is(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "jobs.db"
        path.write_bytes(content)
        with pytest.raises(StoreUnusable, match=re.escape(str(path))) as caught:
            SqliteStore(path)
        assert "backup" in caught.value.hint()
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    def test_an_empty_file_is_a_new_store(self, tmp_path: Path) -> None:
        path = tmp_path / "jobs.db"
        path.touch()
        store = SqliteStore(path)
        assert store.count_jobs(JobQuery()) == 0
        store.close()

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnusable, match="folder"):
            SqliteStore(tmp_path)

    def test_a_pipe_is_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "jobs.db")
        with pytest.raises(StoreUnusable, match="no file"):
            SqliteStore(tmp_path / "jobs.db")

    def test_a_file_where_a_folder_should_be_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").touch()
        with pytest.raises(NotAllowed, match="cannot be written"):
            SqliteStore(tmp_path / "data" / "jobs.db")
        with pytest.raises(NotAllowed, match="cannot be written"):
            SqliteStore(tmp_path / "data" / "deep" / "jobs.db")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written_is_said(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(NotAllowed, match="Permission denied"):
                SqliteStore(tmp_path / "jobs.db")
        finally:
            tmp_path.chmod(0o700)

    def test_a_file_that_may_not_be_written_is_said_and_left(self, path: Path, python: Python) -> None:
        SqliteStore(path).close()
        path.chmod(0o444)
        before = path.read_bytes()
        # As somebody without root's powers, where the tests run as root.
        text = (
            "import os, pathlib, sys\n"
            "if os.geteuid() == 0:\n"
            "    for n in (path := pathlib.Path(sys.argv[1])).parents[:2]: n.chmod(0o755)\n"
            "from pyjobs.errors import NotAllowed\n"
            "from pyjobs.store.sqlite import SqliteStore\n"
            "if os.geteuid() == 0: os.chdir(path.parent); os.setuid(65534)\n"
            "try: SqliteStore(pathlib.Path(sys.argv[1] if os.geteuid() != 65534 else 'jobs.db'))\n"
            "except NotAllowed as exc: print('NotAllowed', exc.hint())\n"
        )
        assert ended(python(text, path)).startswith("NotAllowed make the folder writable")
        assert path.read_bytes() == before

    def test_a_newer_schema_is_refused_and_left_as_it_is(self, path: Path) -> None:
        SqliteStore(path).close()
        with sqlite3.connect(path) as raw:
            raw.execute("INSERT INTO schema_version VALUES (?, 'now')", (LATEST + 1,))
        raw.close()
        before = path.read_bytes()
        with pytest.raises(StoreUnusable, match=f"schema {LATEST + 1}") as caught:
            SqliteStore(path)
        assert "upgrade" in caught.value.hint()
        assert path.read_bytes() == before
        assert sorted(f.name for f in path.parent.iterdir()) == ["jobs.db", "jobs.db-made"]

    def test_a_database_of_another_program_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "jobs.db"
        with sqlite3.connect(path) as raw:
            raw.execute("CREATE TABLE jobs (something TEXT)")
        raw.close()
        before = path.read_bytes()
        with pytest.raises(StoreUnusable):
            SqliteStore(path)
        assert path.read_bytes() == before

    def test_a_page_that_was_overwritten_is_found(self, path: Path) -> None:
        store = SqliteStore(path)
        for n in range(200):
            store.add_job(a_job(f"job {n}", desc="x" * 200))
        store.close()
        content = bytearray(path.read_bytes())
        for start in range(8192, len(content) - 4096, 8192):
            content[start : start + 4096] = b"\xa5" * 4096
        path.write_bytes(content)
        with pytest.raises(StoreUnusable) as caught:  # noqa: PT012 - at opening or at the check
            store = SqliteStore(path)
            try:
                store.quick_check()
            finally:
                store.close()
        assert "backup" in caught.value.hint()
        assert path.read_bytes() == content


class TestOtherProcesses:
    HOLDER = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')\n"
        "print('released', flush=True); sys.stdin.readline()\n"
    )

    def test_a_lock_of_another_process_is_busy_and_passes(self, path: Path, python: Python) -> None:
        store = SqliteStore(path, patience_s=0.3)
        job = store.add_job(a_job("a"))
        holder = python(self.HOLDER, path)
        assert line(holder) == "held"
        before = time.monotonic()
        with pytest.raises(StoreBusy, match="locked"):
            store.set_fact("x", "1")
        assert 0.2 <= time.monotonic() - before < 3
        with pytest.raises(StoreBusy), store.transaction():
            pytest.fail("there is no lock")
        assert store.job(job.id) == job  # readers go on
        assert holder.stdin
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert line(holder) == "released"
        store.set_fact("x", "1")
        assert store.fact("x") == "1"
        store.close()

    def test_a_lock_that_goes_within_its_patience_is_waited_for(self, path: Path, python: Python) -> None:
        store = SqliteStore(path, patience_s=20)
        holder = python(self.HOLDER, path)
        assert line(holder) == "held"
        assert holder.stdin
        threading.Timer(0.2, lambda: holder.communicate("\n\n")).start()
        store.set_fact("x", "1")
        assert store.fact("x") == "1"
        store.close()

    def test_many_processes_make_one_store(self, tmp_path: Path, python: Python) -> None:
        text = (
            "import pathlib, sys\n"
            "from fakes import a_job\n"
            "from pyjobs.store.sqlite import SqliteStore\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "store = SqliteStore(pathlib.Path(sys.argv[1]))\n"
            "store.add_job(a_job(sys.argv[2])); store.close()\n"
        )
        text = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n{text}"
        for turn in range(3):
            path = tmp_path / str(turn) / "jobs.db"
            processes = [python(text, path, n) for n in range(4)]
            assert [line(process) for process in processes] == ["ready"] * 4
            for process in processes:
                assert process.stdin
                process.stdin.write("\n")
                process.stdin.flush()
            for process in processes:
                ended(process)
            store = SqliteStore(path)
            assert {job.name for job in store.jobs(JobQuery())} == {"0", "1", "2", "3"}
            assert {job.revision for job in store.jobs(JobQuery())} == {1, 2, 3, 4}
            assert store._rows("SELECT version FROM schema_version", []) == [(n,) for n in range(1, LATEST + 1)]
            store.close()

    def test_a_killed_writer_leaves_the_last_commit(self, path: Path, python: Python) -> None:
        text = (
            "import pathlib, sys\n"
            "from pyjobs.store.sqlite import SqliteStore\n"
            "store = SqliteStore(pathlib.Path(sys.argv[1]))\n"
            "store.set_fact('x', 'committed')\n"
            "with store.transaction():\n"
            "    store.set_fact('x', 'not committed'); print('now', flush=True); sys.stdin.readline()\n"
        )
        writer = python(text, path)
        assert line(writer) == "now"
        writer.kill()
        writer.wait()
        store = SqliteStore(path)
        assert store.fact("x") == "committed"
        store.quick_check()
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "none", folder], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    gc.collect()  # cursors in tracebacks hold the file
    subprocess.run(["umount", folder], check=True)


class TestFullDisk:
    def test_a_full_disk_is_busy_and_loses_nothing(self, small_disk: Path) -> None:
        with contextlib.closing(SqliteStore(small_disk / "jobs.db", checkpoints=True)) as store:
            self.check(store, small_disk / "ballast")

    def test_without_room_for_a_copy_nothing_is_migrated(self, small_disk: Path) -> None:
        path, ballast = small_disk / "jobs.db", small_disk / "ballast"
        an_old_store(path, 3)
        self.fill(ballast)
        before = path.read_bytes()
        with pytest.raises(StoreBusy) as caught:
            SqliteStore(path, patience_s=0)
        assert "disk space" in caught.value.hint()
        assert path.read_bytes() == before
        assert sorted(file.name for file in small_disk.iterdir()) == ["ballast", "jobs.db"]
        ballast.unlink()
        with contextlib.closing(SqliteStore(path)) as store:
            assert [job.name for job in store.jobs(JobQuery())] == ["old"]

    def check(self, store: SqliteStore, ballast: Path) -> None:
        job = store.add_job(a_job("a"))
        self.fill(ballast)
        with pytest.raises(StoreBusy, match="cannot be written") as caught:
            self.write_until_it_fails(store, job)
        assert "disk space" in caught.value.hint()
        kept = {run.exec_id for run in store.runs(RunQuery(limit=10_000))}
        with pytest.raises(StoreBusy, match="cannot be written"):
            self.write_until_it_fails(store, job)
        ballast.unlink()
        run = a_run(job)
        assert store.claim([claimed(run)], []) == {run.exec_id}
        assert {r.exec_id for r in store.runs(RunQuery(limit=10_000))} >= kept | {run.exec_id}
        assert store.job(job.id) is not None
        store.quick_check()

    @staticmethod
    def fill(ballast: Path) -> None:
        with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:  # noqa: PT012
            while True:
                file.write(b"x" * 4096)

    @staticmethod
    def write_until_it_fails(store: SqliteStore, job: Job) -> None:
        for _ in range(1000):
            run = a_run(job, command="x" * 3000)
            store.claim([claimed(run)], [])
            store.end_runs([replace(ENDING, exec_id=run.exec_id, output="y" * 3000)], "me")


class TestTheSpecificationsSql:
    INDICES = """
   CREATE INDEX idx_jobs_state ON jobs(state);
   CREATE INDEX idx_jobs_next_run ON jobs(next_run_time);
   CREATE INDEX idx_logs_job_id ON job_logs(job_id);
   CREATE INDEX idx_logs_start_time ON job_logs(start_time);
"""
    STATISTICS = """
SELECT 
    COUNT(*) as total_jobs,
    SUM(CASE WHEN status = 0 THEN 1 ELSE 0 END) as successful_jobs,
    SUM(CASE WHEN status = 1 THEN 1 ELSE 0 END) as failed_jobs,
    AVG((julianday(end_time) - julianday(start_time)) * 24 * 3600) as avg_execution_time
FROM job_logs 
WHERE start_time >= datetime('now', '-7 days');
"""  # noqa: W291 - word for word
    SLOWEST = """
SELECT 
    j.name,
    AVG((julianday(l.end_time) - julianday(l.start_time)) * 24 * 3600) as avg_time
FROM job_logs l
JOIN jobs j ON l.job_id = j.id
WHERE l.start_time >= datetime('now', '-7 days')
GROUP BY j.id
ORDER BY avg_time DESC
LIMIT 10;
"""  # noqa: W291 - word for word
    FAILING = """
SELECT 
    j.name,
    COUNT(*) as total_executions,
    SUM(CASE WHEN l.status = 1 THEN 1 ELSE 0 END) as failed_executions,
    ROUND(SUM(CASE WHEN l.status = 1 THEN 1 ELSE 0 END) * 100.0 / COUNT(*), 2) as failure_rate
FROM job_logs l
JOIN jobs j ON l.job_id = j.id
WHERE l.start_time >= datetime('now', '-7 days')
GROUP BY j.id
HAVING total_executions > 5
ORDER BY failure_rate DESC
LIMIT 10;
"""  # noqa: W291 - word for word

    @pytest.fixture
    def raw(self, store: SqliteStore, path: Path) -> Iterator[sqlite3.Connection]:
        """The file, as `sqlite3` on a terminal opens it, with six runs of one job: 4 succeeded, 2 failed, 10 s each."""
        job = store.add_job(a_job("nightly"))
        now = time.time_ns() // 1_000_000
        for n in range(6):
            run = a_run(job, claimed_ms=now)
            store.claim([claimed(run)], [])
            store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=now - 20_000)], "me")
            state = RunState.FAILED if n % 3 == 0 else RunState.SUCCESS
            store.end_runs([End(exec_id=run.exec_id, state=state, ended_ms=now - 10_000, duration_ms=10_000)], "me")
        connection = sqlite3.connect(path)
        yield connection
        connection.close()

    def test_its_indices_can_be_made(self, raw: sqlite3.Connection) -> None:
        raw.executescript(self.INDICES)
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        assert {"idx_jobs_state", "idx_jobs_next_run", "idx_logs_job_id", "idx_logs_start_time"} < names

    def test_its_analysis_tells_the_truth(self, raw: sqlite3.Connection) -> None:
        total, good, failed, took = raw.execute(self.STATISTICS).fetchone()
        assert (total, good, failed, round(took)) == (6, 4, 2, 10)
        assert [(name, round(took)) for name, took in raw.execute(self.SLOWEST)] == [("nightly", 10)]
        assert raw.execute(self.FAILING).fetchall() == [("nightly", 6, 2, 33.33)]

    def test_its_columns_are_there_in_its_order(self, raw: sqlite3.Connection) -> None:
        def columns(table: str) -> list[str]:
            return [about[0] for about in raw.execute(f"SELECT * FROM {table}").description]

        assert " ".join(columns("jobs")).startswith(
            "id name desc cron_expr mode command allow_mode max_run_count run_count state last_run_time next_run_time"
            " created_at updated_at "
        )
        assert columns("job_logs")[:6] == ["id", "job_id", "start_time", "end_time", "status", "output"]

    def test_a_job_that_its_sql_inserts_is_a_job(self, raw: sqlite3.Connection, store: SqliteStore) -> None:
        with raw:
            raw.execute(
                "INSERT INTO jobs (name, cron_expr, mode, command, state, next_fire_at)"
                " VALUES ('by hand', '0 3 * * *', 'command', 'true', 0, 5)"
            )
        job = store.job_named("by hand")
        assert job is not None
        assert job.cron_expr == "0 3 * * *"
        assert (job.id, 5) in store.due_changes(0)[1]


class TestRowsThatMakeNoSense:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("trigger_type", "sometimes"),
            ("allow_mode", 7),
            ("state", 1),
            ("misfire", ""),
            ("dst_gap", "x"),
            ("interval_seconds", "soon"),
            ("next_fire_at", "tomorrow"),
            ("grace", 1.5),
            ("cron_expr", b"\xff"),
            ("created_at", "long ago"),
        ],
    )
    def test_one_is_a_stopped_job_that_says_so(
        self, store: SqliteStore, path: Path, column: str, value: object
    ) -> None:
        broken, good = store.add_job(a_job("broken")), store.add_job(a_job("good"))
        with sqlite3.connect(path) as raw:
            raw.execute(f"UPDATE jobs SET {column} = ? WHERE id = ?", (value, broken.id))
        raw.close()
        found = store.jobs_by_id([broken.id, good.id])
        assert found[good.id] == good
        assert found[broken.id].state is JobState.STOPPED
        assert "cannot be used" in found[broken.id].stop_reason
        assert found[broken.id].next_fire_ms is None
        assert [job.name for job in store.jobs(JobQuery())] == ["good", "broken"]
        total, texts = store.job_rows(JobQuery(), Page())
        assert (total, store.job_in(texts[0])[0]) == (2, good)
        assert "cannot be used" in store.job_in(texts[1])[0].stop_reason
        assert (good.id, good.next_fire_ms) in store.due_changes(0)[1]
        assert all(isinstance(due, int) for _, due in store.due_changes(0)[1])
        mended = store.update_job(replace(broken, revision=found[broken.id].revision))
        assert store.job(broken.id) == mended

    def test_a_run_with_unknown_words_is_shown(self, store: SqliteStore, path: Path) -> None:
        run = a_run()
        store.claim([claimed(run)], [])
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE job_logs SET state = 'dreaming', source = 'moon'")
        raw.close()
        found = store.run(run.exec_id)
        assert found is not None
        assert (found.state, found.source) == (RunState.LOST, Source.CRON)


CALLS: dict[str, Callable[[SqliteStore], object]] = {
    "active runs": lambda s: s.active_runs(),
    "active runs of jobs": lambda s: s.active_runs([1, 2, 3]),
    "unowned runs": lambda s: s.unowned_runs(),
    "kill requests": lambda s: s.kill_requests("me"),
    "runs of a job": lambda s: s.runs(RunQuery(job_id=3)),
    "later page of runs of a job": lambda s: s.runs(RunQuery(job_id=3, before_id=500)),
    "runs by state": lambda s: s.runs(RunQuery(states=frozenset({RunState.FAILED}))),
    "first page of failed runs of a job": lambda s: s.runs(RunQuery(job_id=3, states=frozenset({RunState.FAILED}))),
    "last page of runs of a job": lambda s: s.runs(RunQuery(job_id=3, limit=5, offset=15)),
    "last page of runs": lambda s: s.runs(RunQuery(offset=950)),
    "how many runs": lambda s: s.count_runs(RunQuery()),
    "how many failed runs of a job": lambda s: s.count_runs(RunQuery(job_id=3, states=frozenset({RunState.FAILED}))),
    "runs on a day": lambda s: s.runs(RunQuery(job_id=3, since_ms=NOW_MS, until_ms=NOW_MS + 9)),
    "runs since": lambda s: s.runs(RunQuery(since_ms=NOW_MS)),
    "runs that begin so": lambda s: s.runs_starting("00", 3),
    "run": lambda s: s.run("x"),
    "job": lambda s: s.job(1),
    "job named": lambda s: s.job_named("job 7"),
    "names that start so": lambda s: s.names_starting("job", 5),
    "jobs by id": lambda s: s.jobs_by_id([1, 2]),
    "a page of jobs": lambda s: s.jobs(JobQuery(), Page()),
    "a page of jobs as texts": lambda s: s.job_rows(JobQuery(), Page()),
    "running jobs": lambda s: s.jobs(JobQuery(state=1)),
    "due changes": lambda s: s.due_changes(5),
    "claim": lambda s: s.claim([claimed(a_run(s.job(1)))], [(1, NOW_MS, NOW_MS + 1)]),
    "take": lambda s: s.take(["x"], "me", None),
    "start runs": lambda s: s.start_runs([Start(exec_id="x", attempt=1, started_ms=1)], "me"),
    "end runs": lambda s: s.end_runs([ENDING], "me"),
    "request a kill": lambda s: s.request_kill("x", "me"),
    "delete a job": lambda s: s.delete_job(2),
    "update a job": lambda s: s.update_job(replace(_first(s), desc="x")),
    "clear a job's runs": lambda s: s.clear_runs(3, None),
    "fact": lambda s: s.fact("x"),
    "watched jobs": lambda s: s.watched_jobs(),
    "alerts wanted": lambda s: s.alerts_wanted(),
    "marks": lambda s: s.marks(5),
    "forget marks": lambda s: s.forget_marks(5),
    "live incident": lambda s: s.live_incident("x"),
    "live incidents": lambda s: s.incidents(),
    "forget incidents": lambda s: s.forget_incidents(5),
    "deliveries that are due": lambda s: s.deliveries(due_ms=5),
    "deliveries of incidents": lambda s: s.deliveries(incident_ids=[1, 2]),
    "last sent": lambda s: s.last_sent_ms("ops"),
}


def _first(store: SqliteStore) -> Job:
    job = store.job(1)
    assert job is not None
    return job


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Fifty jobs, a thousand runs that ended, ten that did not."""
    store = SqliteStore(tmp_path_factory.mktemp("filled") / "jobs.db")
    jobs = [store.add_job(a_job(f"job {n}")) for n in range(50)]
    runs = [a_run(jobs[n % 50], claimed_ms=NOW_MS + n) for n in range(1010)]
    store.claim([claimed(run) for run in runs], [])
    states = (RunState.SUCCESS, RunState.SUCCESS, RunState.FAILED)
    ends = [replace(ENDING, exec_id=run.exec_id, state=states[n % 3]) for n, run in enumerate(runs[:1000])]
    store.end_runs(ends, "me")
    yield store
    store.close()


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.xdist_group("plans")
def test_no_query_scans_a_table(filled: SqliteStore, name: str) -> None:
    said: list[str] = []
    connection = filled._db.connection()
    connection.set_trace_callback(said.append)
    try:
        CALLS[name](filled)
    finally:
        connection.set_trace_callback(None)
    queries = [sql for sql in said if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)", sql)]
    assert queries
    for sql in queries:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        for step in plan:
            # An index that holds few rows of many, or the primary key of a query that stops at its limit.
            few = any(name in step for name in ("job_logs_active", "jobs_alerts", "alert_incidents_live", "_waiting"))
            limited = (
                re.search(r"FROM (jobs|job_logs|alert_marks) ORDER BY id( DESC)? LIMIT", sql) and "USING" not in step
            )
            fine = few or limited or step == "SCAN job_counts"
            assert fine or not step.startswith("SCAN") or "CONSTANT ROW" in step, (sql, plan)


def test_a_store_from_before_the_counters_is_counted_once(path: Path) -> None:
    before = _STEPS.index(COUNTERS)
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        for statement in (statement for step in _STEPS[:before] for statement in step):
            raw.execute(statement)
        raw.execute("CREATE TABLE schema_version (version INTEGER NOT NULL, applied_at TEXT)")
        raw.executemany("INSERT INTO schema_version VALUES (?, 'then')", [(n + 1,) for n in range(before)])
        raw.execute("INSERT INTO jobs (name, command) VALUES ('a', 'true'), ('b', 'true')")
        for number, job_id, state in ((1, 1, "success"), (2, 1, "failed"), (3, None, "success"), (4, 2, "running")):
            values = (job_id, str(number), state)
            raw.execute("INSERT INTO job_logs (job_id, exec_id, state, source) VALUES (?, ?, ?, 'cron')", values)
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.count_runs(RunQuery()) == len(store.runs(RunQuery())) == 4
        assert store.count_runs(RunQuery(job_id=1)) == len(store.runs(RunQuery(job_id=1))) == 2
        assert store.count_runs(RunQuery(states=frozenset({RunState.SUCCESS}))) == 2
        assert store.count_jobs(JobQuery()) == 2
        assert store.figures() == {"jobs": {0: 2}, "runs": {"running": 1}}


def test_what_another_program_writes_is_counted(store: SqliteStore, path: Path) -> None:
    job = store.add_job(a_job())
    store.claim([claimed(a_run(job)) for _ in range(3)], [])
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:  # with foreign keys off, as in SQLite's own shell
        raw.execute("DELETE FROM jobs")
        raw.execute("UPDATE job_logs SET state = 'lost' WHERE id = 1")
        raw.execute("DELETE FROM job_logs WHERE id = 2")
    assert (store.count_jobs(JobQuery()), store.figures()["jobs"]) == (0, {})
    assert store.count_runs(RunQuery(job_id=job.id)) == len(store.runs(RunQuery(job_id=job.id))) == 2
    assert store.count_runs(RunQuery(states=frozenset({RunState.LOST}))) == 1


def test_a_job_that_is_deleted_leaves_no_counts(store: SqliteStore) -> None:
    job = store.add_job(a_job())
    store.claim([claimed(a_run(job)) for _ in range(3)], [])
    store.delete_job(job.id)
    assert store.count_runs(RunQuery()) == 3
    assert store._rows("SELECT job_id, runs FROM run_counts ORDER BY job_id", []) == [(-1, 3), (0, 3)]


@pytest.mark.parametrize("by", ["nothing", "another file"])
def test_a_file_that_is_replaced_while_it_is_open_is_not_written_to(tmp_path: Path, by: str) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    away = path.rename(tmp_path / "away.db")
    if by == "another file":
        SqliteStore(tmp_path / "other.db").close()
        (tmp_path / "other.db").rename(path)
    with pytest.raises(StoreBusy, match="deleted or replaced"):
        store.add_job(a_job())
    if by == "nothing":
        away.rename(path)
        assert store.add_job(a_job()).id == 1
    store.close()
