"""
A SQLite store copied out while it is written, and put back.

Only by SQLite's own means: to open and close the file of a store would release the locks that this process has on it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pyjobs.errors import BackupUnusable, NotAllowed, NotFound, PyjobsError, RunFailed, StoreBusy, StoreUnusable
from pyjobs.ports import Contents, Progress

__all__ = ["SqliteDump"]

#: Pages that one step copies: a few milliseconds.
_STEP = 2048
_ACTIVE = "state IN ('queued', 'running')"
#: How a job is scheduled: only where that is the same does a later store speak of the same instants.
_SCHEDULE = ("trigger_type", "cron_expr", "interval_seconds", "run_at", "anchor_at", "timezone")
#: Instructions of SQLite between two reports of a check.
_BEAT = 100_000
_NOTE_MS = 2000


class SqliteDump:
    """ports.Dump over one SQLite file."""

    kind = "sqlite"
    member = "jobs.db"

    def __init__(self, path: Path, *, newest_schema: int | None = None, patience_s: float = 30) -> None:
        """
        Take the file.

        Args:
            path: of the store; it need not be there.
            newest_schema: the newest that this program knows; None where copies are only made.
            patience_s: how long to wait for a lock.
        """
        self._path = path
        self._newest = newest_schema
        self._patience_s = patience_s

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def folder(self) -> Path:
        """Where a copy has to lie to be put in the place of the store."""
        return self._path.parent

    def is_store(self, path: Path) -> bool:
        """Whether a file is the store itself."""
        return path.exists() and self._path.exists() and path.samefile(self._path)

    def dump(self, to: Path, progress: Progress) -> Contents:
        """Copy the store as it is at one instant to a new file; writers go on."""
        if not self._path.is_file():
            raise NotFound(f"there is no store at `{self._path}`", f"数据库不存在：`{self._path}`")
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with _translated(self._path), closing(self._open(self._path)) as source, closing(self._open(to)) as target:
            # A snapshot that is held: writers do not wait for it, and their writes do not make the copy start anew.
            # Read where the system has it already: a tenth less time.
            source.execute(f"PRAGMA mmap_size = {1 << 40}")
            source.execute("BEGIN")
            contents = _contents(source)
            target.execute("PRAGMA synchronous = OFF")
            target.execute("PRAGMA journal_mode = OFF")
            source.backup(target, pages=_STEP, progress=lambda _, left, all_: progress("copy", all_ - left, all_))
            source.execute("COMMIT")
            # A copy stands alone: no -wal beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        return contents

    def examine(self, copy: Path, progress: Progress) -> Contents:
        """Look at every page of a copy."""
        try:
            with _translated(copy), closing(self._open(copy)) as opened:
                # What lies in a -wal beside it belongs to it.
                opened.execute("PRAGMA journal_mode = DELETE")
                _check_integrity(opened, progress)
                contents = _contents(opened)
        except (StoreUnusable, RunFailed) as exc:
            raise BackupUnusable(
                f"the copy of the store is damaged: {exc}", f"数据库副本已损坏：{exc.text('zh')}"
            ) from exc
        if not contents.schema or "job_logs" not in contents.counts:
            raise BackupUnusable("it holds no store of pyjobs", "其中没有 pyjobs 的数据库")
        if self._newest is not None and contents.schema > self._newest:
            raise StoreUnusable(
                f"the backup has schema {contents.schema}, this version of pyjobs knows {self._newest}",
                f"备份的数据库结构版本为 {contents.schema}，本版本只支持到 {self._newest}",
                hint="upgrade pyjobs, then restore",
                hint_zh="请先升级 pyjobs 再恢复",
            )
        return contents

    def contents(self) -> Contents | None:
        """What the store holds now; None when there is none, or none that can be read."""
        if not self._path.is_file():
            return None
        try:
            with _translated(self._path), closing(self._open(self._path)) as opened:
                return _contents(opened)
        except PyjobsError:
            return None

    def carry_over(self, copy: Path) -> None:
        """Tell a copy, before it replaces the store, what became of fires and runs since it was made."""
        with _translated(copy), closing(self._open(copy)) as opened:
            opened.execute("ATTACH ? AS later", (str(self._path),))
            opened.execute("BEGIN IMMEDIATE")
            _carry_jobs(opened)
            _carry_runs(opened)
            _carry_presence(opened)
            opened.execute("COMMIT")
            opened.execute("DETACH later")

    def replace(self, copy: Path, aside: Path) -> None:
        """Put a copy in the place of the store, in one step; the store as it was goes to `aside`."""
        path, folder = self._path, self._path.parent
        wal, shm = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        if path.exists():
            # With nobody else there this leaves no -wal; in a store that is damaged it stays, and goes along.
            with contextlib.suppress(sqlite3.Error), closing(self._open(path)) as opened:
                opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            os.link(path, aside)
            # One that belongs to another file would be taken for this one's.
            if wal.exists():
                wal.rename(aside.with_name(aside.name + "-wal"))
        shm.unlink(missing_ok=True)
        copy.replace(path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def note(self, facts: Mapping[str, str | None]) -> None:
        """Store or forget facts."""
        with _translated(self._path), closing(self._open(self._path)) as opened:
            # It is worth no long wait: a backup is no worse for want of a note.
            opened.execute(f"PRAGMA busy_timeout = {_NOTE_MS}")
            opened.execute("BEGIN IMMEDIATE")
            for name, value in facts.items():
                opened.execute("DELETE FROM facts WHERE name = ?", (name,))
                if value is not None:
                    opened.execute("INSERT INTO facts (name, value) VALUES (?, ?)", (name, value))
            opened.execute("COMMIT")

    def _open(self, path: Path) -> sqlite3.Connection:
        """A connection to a file that is there; it makes none."""
        uri = f"{path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=self._patience_s, isolation_level=None)


def _contents(opened: sqlite3.Connection) -> Contents:
    tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    counts = {
        name: int(opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
        for name in tables
        if re.fullmatch(r"\w+", name) and not name.startswith("sqlite_")
    }
    schema = (
        opened.execute("SELECT max(version) FROM schema_version").fetchone()[0] if "schema_version" in counts else 0
    )
    newest = opened.execute("SELECT max(claimed_at) FROM job_logs").fetchone()[0] if schema else None
    return Contents(int(schema or 0), counts, newest)


def _check_integrity(opened: sqlite3.Connection, progress: Progress) -> None:
    beats = 0

    def beat() -> int:
        nonlocal beats
        beats += 1
        progress("examine", beats, 0)
        return 0

    opened.set_progress_handler(beat, _BEAT)
    try:
        found = [row[0] for row in opened.execute("PRAGMA integrity_check(1)")]
    except sqlite3.OperationalError as exc:
        if "interrupted" in str(exc):
            # Whoever did that did it inside of `beat`, and SQLite has swallowed it.
            raise KeyboardInterrupt from None
        raise
    opened.set_progress_handler(None, 0)
    if found != ["ok"]:
        raise StoreUnusable(str(found[0]) if found else "integrity_check says nothing")


def _columns(opened: sqlite3.Connection, table: str) -> list[str]:
    """Columns that both stores have: the copy may be one of an older version."""
    here, later = (
        [row[1] for row in opened.execute(f"PRAGMA {schema}.table_info({table})")] for schema in ("main", "later")
    )
    return [name for name in here if name in later]


def _carry_jobs(opened: sqlite3.Connection) -> None:
    """The next fire of a job is that of the later store, where the job is scheduled as it was."""
    columns = set(_columns(opened, "jobs"))
    same = " AND ".join(f"l.{name} IS j.{name}" for name in _SCHEDULE if name in columns)
    further = "(l.next_fire_at > j.next_fire_at OR (l.next_fire_at IS NULL AND l.trigger_type = 'once'))"
    later = opened.execute(
        "SELECT l.next_fire_at, l.next_run_time, l.run_count, j.id FROM main.jobs j JOIN later.jobs l ON l.id = j.id"
        f" WHERE j.next_fire_at IS NOT NULL AND {further} AND {same}"
    ).fetchall()
    opened.executemany(
        "UPDATE main.jobs SET next_fire_at = ?, next_run_time = ?, run_count = max(run_count, ?) WHERE id = ?", later
    )


def _carry_presence(opened: sqlite3.Connection) -> None:
    """When runners came and left since, else the one that was stopped for this would be taken for one that died."""
    kept = "name = 'runner' OR name GLOB 'backup*'"
    opened.execute(f"INSERT OR REPLACE INTO main.facts SELECT * FROM later.facts WHERE {kept}")
    both = "SELECT count(*) FROM {}.sqlite_master WHERE name = 'events'"
    if all(opened.execute(both.format(schema)).fetchone()[0] for schema in ("main", "later")):
        opened.execute(
            "INSERT INTO main.events (at, kind, job_id, detail) SELECT at, kind, job_id, detail FROM later.events"
            " WHERE job_id IS NULL AND id > (SELECT coalesce(max(id), 0) FROM main.events) ORDER BY id"
        )


def _carry_runs(opened: sqlite3.Connection) -> None:
    """Active rows of the copy get the state that they have now; what is active now and not in the copy is added."""
    columns = [name for name in _columns(opened, "job_logs") if name != "id"]
    known = f"SELECT exec_id FROM later.job_logs WHERE exec_id IN (SELECT exec_id FROM main.job_logs WHERE {_ACTIVE})"
    changed = [name for name in columns if name not in ("exec_id", "job_id", "scheduled_for")]
    opened.execute(
        f"UPDATE main.job_logs SET ({', '.join(changed)}) ="
        f" (SELECT {', '.join(changed)} FROM later.job_logs l WHERE l.exec_id = main.job_logs.exec_id)"
        f" WHERE {_ACTIVE} AND exec_id IN ({known})"
    )
    values = [
        "CASE WHEN job_id IN (SELECT id FROM main.jobs) THEN job_id END" if name == "job_id" else name
        for name in columns
    ]
    opened.execute(
        f"INSERT OR IGNORE INTO main.job_logs ({', '.join(columns)}) SELECT {', '.join(values)}"
        f" FROM later.job_logs WHERE {_ACTIVE}"
    )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Errors of SQLite as ours."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _error(path, exc) from exc


def _error(path: Path, exc: sqlite3.Error) -> Exception:
    message: Any = str(exc)
    if "locked" in message or "busy" in message:
        return StoreBusy(f"`{path}` is locked by another process", f"`{path}` 被其他进程锁定", hint="try again")
    if "full" in message or "disk I/O" in message:
        return StoreBusy(
            f"`{path}`: {message}", hint="free some disk space in the folder of the backup",
            hint_zh="请清理备份目录所在磁盘的空间",
        )  # fmt: skip
    if "readonly" in message or "unable to open" in message:
        return NotAllowed(f"`{path}` cannot be opened: {message}", f"`{path}` 无法打开：{message}")
    return StoreUnusable(f"`{path}`: {message}")
