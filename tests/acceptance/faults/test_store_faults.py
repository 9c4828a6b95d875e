"""A store that is locked, full, damaged or half-way through a migration."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.conftest import Home, wait_for
from acceptance.faults.checker import Expected, check, every, read_rows
from acceptance.faults.kit import locked, log_of, store_of
from acceptance.faults.ledger import Ledger

from pyjobs.errors import StoreUnusable
from pyjobs.store.sqlite import SqliteStore


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _first_after(home: Home, ms: int) -> int:
    """When the first row after an instant was written."""
    found = wait_for(lambda: home.rows("SELECT min(claimed_at) FROM job_logs WHERE claimed_at >= ?", ms)[0][0], "a row")
    return int(found)


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_a_write_lock_of_another_process_is_waited_for_and_nothing_is_twice_or_missing(
    home: Home, seconds: int
) -> None:
    ledger = Ledger(home.path / "ledger")
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--misfire", "all", "--command", ledger.command())
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 1; exit 7")
    home.pyjobs("daemon", "start", "--no-api")
    before = home.status()
    exec_id = home.detach("long")
    wait_for(lambda: home.run(exec_id)["pid"], "its pid")
    _first_after(home, since_ms := _now_ms())
    with locked(store_of(home)):
        wait_for(lambda: "locked by another process" in log_of(home), "a word about it")
        started, locked_ms = len(ledger.lines()), _now_ms()
        time.sleep(seconds)  # the fault itself
        assert len(ledger.lines()) - started <= 1, "something was launched that is not recorded"
        freed_ms = _now_ms()
    resumed_ms = _first_after(home, freed_ms - 50)
    print(f"resumed {resumed_ms - freed_ms} ms after a lock of {freed_ms - locked_ms} ms")
    assert resumed_ms - freed_ms < 1000
    assert home.wait_for_state(exec_id, "failed", "lost")["exit_code"] == 7
    assert (home.status()["runner_pid"], home.status()["restarts"]) == (before["runner_pid"], 0)
    _first_after(home, _now_ms() + 1000)
    home.pyjobs("daemon", "stop")
    report = check(read_rows(store_of(home)), ledger.lines(), {1: Expected(due=every(1))}, since_ms, freed_ms + 500)
    assert report.problems() == []
    assert report.lost_at_launch == 0


def test_a_start_waits_for_a_store_that_is_locked_just_now(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    home.pyjobs("daemon", "start", "--no-api")
    before = home.status()
    wait_for(lambda: home.rows("SELECT 1 FROM job_logs"), "a first row")
    with locked(store_of(home)):
        os.kill(before["runner_pid"], signal.SIGKILL)
        after = wait_for(
            lambda: s if (s := home.status())["runner_pid"] not in (None, before["runner_pid"]) else None, "a runner"
        )
        time.sleep(1.5)  # the fault itself: longer than a start takes, and than it tries once
    freed_ms = _now_ms()
    assert _first_after(home, freed_ms) - freed_ms < 2000
    assert (home.status()["runner_pid"], home.status()["restarts"]) == (after["runner_pid"], 1)


@pytest.fixture
def small_disk(home: Home) -> Iterator[Path]:
    """A file system of 3 MiB where the store and the spool are."""
    folder = home.path / "data"
    folder.mkdir(parents=True, mode=0o700)
    if os.geteuid():
        pytest.skip("only root can mount a small tmpfs")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "none", folder], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        home.end()
        subprocess.run(["umount", "-l", folder], check=True)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_on_a_full_disk_nothing_starts_unrecorded_and_all_goes_on_when_there_is_room(
    home: Home, small_disk: Path, seconds: int
) -> None:
    ledger = Ledger(home.path / "ledger")
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--misfire", "all", "--command", ledger.command())
    home.pyjobs("job", "add", "long", "--manual", "--command", "sleep 1; echo out; exit 7")
    home.pyjobs("daemon", "start", "--no-api")
    before = home.status()
    exec_id = home.detach("long")
    wait_for(lambda: home.run(exec_id)["pid"], "its pid")
    _first_after(home, since_ms := _now_ms())
    # What has been allocated to the store's log is written over: only what needs more fails, so it is filled again.
    end = time.monotonic() + 20
    while "cannot be written" not in log_of(home):
        _fill(small_disk / "filler")
        assert time.monotonic() < end, "the disk was never full"
    time.sleep(seconds)  # the fault itself
    recorded = {row[0] for row in home.rows("SELECT exec_id FROM job_logs WHERE started_at IS NOT NULL")}
    assert {line.exec_id for line in ledger.lines()} <= recorded
    freed_ms = _now_ms()
    (small_disk / "filler").unlink()
    resumed_ms = _first_after(home, freed_ms)
    print(f"resumed {resumed_ms - freed_ms} ms after there was room again")
    assert resumed_ms - freed_ms < 5000
    row = home.wait_for_state(exec_id, "failed", "success", "lost")
    assert (row["state"], row["exit_code"]) == ("failed", 7)
    assert (home.status()["runner_pid"], home.status()["restarts"]) == (before["runner_pid"], 0)
    _first_after(home, _now_ms() + 1000)
    home.pyjobs("daemon", "stop")
    report = check(read_rows(store_of(home)), ledger.lines(), {1: Expected(due=every(1))}, since_ms, freed_ms + 500)
    assert report.problems() == []
    assert home.rows("PRAGMA integrity_check") == [("ok",)]


class _Copies:
    """A store with commits in its log, and what it holds after each of them."""

    def __init__(self, folder: Path, commits: int) -> None:
        """Make it; the log is copied before a clean end takes it away."""
        path = folder / "jobs.db"
        SqliteStore(path).close()
        store = SqliteStore(path)
        for number in range(commits):
            store.set_fact(f"fact{number}", "x" * 3000)
        self.last = commits
        #: What refusals said is to be done.
        self.hints: set[str] = set()
        self.folder = folder / "copy"
        self.folder.mkdir()
        self.files = {name: (folder / name).read_bytes() for name in ("jobs.db", "jobs.db-wal")}
        store.close()
        self.path = self.folder / "jobs.db"

    def put(self, **changed: bytes) -> None:
        """Lay the files out as they were, but for those named: `wal` or `db`."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for key, name in (("db", "jobs.db"), ("wal", "jobs.db-wal")):
            (self.folder / name).write_bytes(changed.get(key, self.files[name]))

    def commits(self) -> int | None:
        """How many commits are there, none before one that is there being left out; None: refused as damaged."""
        try:
            with contextlib.closing(SqliteStore(self.path)) as store:
                store.quick_check()
                facts = [number for number in range(self.last) if store.fact(f"fact{number}")]
        except StoreUnusable as refusal:
            self.hints.add(refusal.hint())
            return None
        assert facts == list(range(len(facts))), "a commit is there and one before it is not"
        return len(facts)


@pytest.mark.parametrize("commits", [4, pytest.param(100, marks=pytest.mark.soak)])
def test_a_log_that_was_cut_anywhere_gives_the_last_good_commit(tmp_path: Path, commits: int) -> None:
    copies = _Copies(tmp_path, commits)
    wal = copies.files["jobs.db-wal"]
    found: list[int] = []
    for size in [*range(0, len(wal), 512), len(wal)]:
        copies.put(wal=wal[:size])
        there = copies.commits()
        assert there is not None, f"refused when cut at {size}"
        found.append(there)
    assert found == sorted(found)
    assert set(found) == set(range(commits + 1))


@pytest.mark.parametrize("flips", [60, pytest.param(2000, marks=pytest.mark.soak)])
def test_flipped_bits_in_the_log_give_a_good_commit(tmp_path: Path, flips: int) -> None:
    copies, chance = _Copies(tmp_path, 12), random.Random(flips)
    for _ in range(flips):
        copies.put(wal=_flipped(copies.files["jobs.db-wal"], chance))
        assert copies.commits() is not None  # each frame has its checksum


@pytest.mark.parametrize("flips", [60, pytest.param(2000, marks=pytest.mark.soak)])
def test_flipped_bits_in_the_file_are_refused_or_harmless_and_never_a_new_store(tmp_path: Path, flips: int) -> None:
    copies, chance = _Copies(tmp_path, 12), random.Random(flips)
    for _ in range(flips):
        content = _flipped(copies.files["jobs.db"], chance)
        copies.put(db=content, wal=b"")
        refused = copies.commits() is None
        assert copies.path.stat().st_size >= len(content)
        if refused:
            assert copies.path.read_bytes() == content
    assert copies.hints
    assert all("backup" in hint for hint in copies.hints)


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_without_its_index_the_log_is_read_all_the_same(tmp_path: Path) -> None:
    copies = _Copies(tmp_path, 12)
    copies.put()
    assert not (copies.folder / "jobs.db-shm").exists()
    assert copies.commits() == 12
    copies.put()
    (copies.folder / "jobs.db-shm").write_bytes(b"\xa5" * 32768)
    assert copies.commits() == 12


def test_a_store_whose_pages_are_damaged_stops_the_start_with_what_to_do_and_is_left_as_it_is(home: Home) -> None:
    home.pyjobs("job", "add", "tick", "--cron", "* * * * * *", "--command", "true")
    content = bytearray(store_of(home).read_bytes())
    for start in range(4096, len(content), 8192):
        content[start : start + 2048] = b"\xa5" * 2048
    store_of(home).write_bytes(content)
    done = home.try_("daemon", "start", "--no-api")
    assert done.returncode == 5, done.stderr
    assert "backup" in done.stderr
    assert "Traceback" not in done.stderr
    assert store_of(home).read_bytes() == content


#: Makes a store, and dies before the n-th statement of its migrations; prints how many were reached.
_HALF_WAY = """
import os, pathlib, signal, sys
from pyjobs.store.sqlite import SqliteDatabase, SqliteStore

folder, original, whole = pathlib.Path(sys.argv[1]), SqliteDatabase.execute_sql, None

def run(path, last):
    count = 0
    def counted(self, *args, **named):
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **named)
    SqliteDatabase.execute_sql = counted
    SqliteStore(path).close()
    return count

total = run(folder / "whole.db", 0)
for last in range(1, total + 1):
    child = os.fork()
    if child == 0:
        run(folder / f"{last}.db", last)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, last
print(total)
"""


def test_a_migration_that_was_killed_anywhere_goes_on_at_the_next_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HALF_WAY, tmp_path], check=True, capture_output=True, text=True, timeout=60
    )
    total = int(done.stdout)
    assert total > 20
    for name in ("whole", *range(1, total + 1)):
        SqliteStore(tmp_path / f"{name}.db").close()
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    versions = "SELECT version FROM schema_version"
    whole = _rows(tmp_path / "whole.db", schema), _rows(tmp_path / "whole.db", versions)
    for number in range(1, total + 1):
        path = tmp_path / f"{number}.db"
        assert (_rows(path, schema), _rows(path, versions)) == whole, number


def _rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as store:
        return store.execute(sql).fetchall()
