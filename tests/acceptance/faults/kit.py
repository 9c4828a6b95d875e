"""Faults that several tests inject, and what they need for it."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from acceptance.conftest import Home

__all__ = ["copy_jobs", "locked", "log_of", "store_of"]


def store_of(home: Home) -> Path:
    """The SQLite file of a home."""
    return home.path / "data" / "jobs.db"


def log_of(home: Home) -> str:
    """The system log, of other days too."""
    files = sorted((home.path / "logs").glob("pyjobs.log*"))
    raw = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]
    return b"".join(raw).decode()


def copy_jobs(home: Home, count: int, due_ms: int) -> None:
    """Put `count` copies of job 1 beside it, all due at one instant: by SQL, since a command for each takes long."""
    with contextlib.closing(sqlite3.connect(store_of(home), isolation_level=None)) as store:
        columns = [str(row[1]) for row in store.execute("PRAGMA table_info(jobs)")]
        own = {"id": "?", "name": "?", "next_fire_at": str(due_ms)}
        # What a runner hears of has a new revision.
        own["revision"] = "(SELECT value FROM facts WHERE name = 'revision')"
        copied = ", ".join(own.get(column, f'"{column}"') for column in columns)
        store.execute("BEGIN IMMEDIATE")
        store.execute("UPDATE facts SET value = value + 1 WHERE name = 'revision'")
        store.executemany(
            f"INSERT INTO jobs SELECT {copied} FROM jobs WHERE id = 1", [(n, f"copy{n}") for n in range(2, count + 2)]
        )
        store.execute("COMMIT")


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the write lock."""
    with contextlib.closing(sqlite3.connect(store, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")
