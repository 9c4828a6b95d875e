"""Stores as earlier versions of pyjobs left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from pyjobs.store import migrations

__all__ = ["an_old_store"]


def an_old_store(path: Path, version: int) -> None:
    """Make a store as a version of pyjobs that knew only so many steps left it, with one job."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database: Any = SqliteDatabase(str(path))
    database.execute_sql("CREATE TABLE schema_version (version INTEGER NOT NULL, applied_at TEXT)")
    for number, step in enumerate(migrations._STEPS[:version], start=1):
        for statement in step:
            database.execute_sql(statement)
        database.execute_sql("INSERT INTO schema_version VALUES (?, 'then')", (number,))
    database.execute_sql("INSERT INTO jobs (name, command) VALUES ('old', 'true')")
    database.close()
