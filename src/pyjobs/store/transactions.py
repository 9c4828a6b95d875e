"""A transaction of SQLite that says why it failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pyjobs.errors import StoreBusy

__all__ = ["apart", "immediate"]


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


@contextlib.contextmanager
def apart(database: Any) -> Iterator[None]:
    """A part of a transaction that is undone by itself on an exception. Raises StoreBusy: there is none any more."""
    if not database.connection().in_transaction:
        raise StoreBusy("the transaction around it was rolled back", "外层事务已回滚")
    database.execute_sql("SAVEPOINT apart")
    try:
        yield
    except BaseException:
        if database.connection().in_transaction:
            database.execute_sql("ROLLBACK TO apart")
            database.execute_sql("RELEASE apart")
        raise
    database.execute_sql("RELEASE apart")
