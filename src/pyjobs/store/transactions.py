"""A transaction of SQLite that says why it failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["immediate"]


@contextlib.contextmanager
def immediate(database: Any) -> Iterator[None]:
    """Take the write lock at once; commit at the end, roll back on an exception."""
    database.begin("IMMEDIATE")
    try:
        yield
        database.commit()
    except BaseException:
        # On a full disk SQLite has rolled back already; Peewee's own transaction would complain about that instead.
        if database.connection().in_transaction:
            database.rollback()
        raise
