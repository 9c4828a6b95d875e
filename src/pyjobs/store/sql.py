"""What every part of a store in SQL stands on: statements, transactions, lists of values."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pyjobs.store.tables import Tables

__all__ = ["ACTIVE", "MOST_VALUES", "Dialect", "Sql", "chunks", "marks"]

ACTIVE = "state IN ('queued', 'running')"
#: SQLite's limit of variables in one statement was that for long.
MOST_VALUES = 999
_CHUNK = 500


class Dialect(NamedTuple):
    """What databases say differently. Placeholders are `?` and names may stand in `"` everywhere."""

    #: A comparison in which NULL is the same as NULL.
    same: str
    #: An INSERT that leaves out rows whose key is taken.
    insert_new: str
    #: The name of a job as Python's `casefold` gives it.
    folded_name: str
    #: Whether a job's next fire is a number.
    has_next_fire: str
    #: Whether a row of `jobs` makes sense.
    makes_sense: str
    #: Whether JSON of many rows, in their order, is made by one statement.
    makes_json: bool
    #: Whether a page of several ordered parts is read without reading all of them.
    merges: bool
    #: The ids of a page, as what stands in `IN (…)`; holds `{ids}`, a statement with a LIMIT.
    page_ids: str
    #: Delete so many runs; holds `{where}` and `{limit}`.
    delete_runs: str


class Sql(ABC):
    """A database whose statements are shared by all stores."""

    _db: Any
    _dialect: Dialect
    _tables: Tables
    #: Where this thread is: `inside` of a transaction, or of several `together`.
    _now: Any

    @abstractmethod
    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """As in ports.Store."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """One durable commit for all transactions inside, each of which is undone by itself."""
        with self.transaction():
            self._now.together = True
            try:
                yield
            finally:
                self._now.together = False

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """A transaction inside of `together`."""
        self._now.together = False
        try:
            with self._translated(), self._savepoint():
                yield
        finally:
            self._now.together = True

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Errors of the database as ours."""

    @abstractmethod
    def _savepoint(self) -> AbstractContextManager[None]:
        """A part of a transaction that is undone by itself."""

    @abstractmethod
    def _rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What a statement answers."""

    @abstractmethod
    def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        """The cursor of a statement; inside a transaction. It counts the rows that were found, changed or not."""

    @abstractmethod
    def _executing(self) -> Callable[[str, Sequence[Any]], Any]:
        """What executes many statements in a row, as `_execute` does."""

    @abstractmethod
    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute a statement with each of several values; inside a transaction. Answers how many rows it changed."""

    @abstractmethod
    def _next_revision(self) -> int:
        """Count a change of a job; inside a transaction."""


def marks(values: Iterable[Any]) -> str:
    """Placeholders for them; what none of the values is equal to, where there are none."""
    return ", ".join("?" for _ in values) or "NULL"


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many of them at a time as one statement takes."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
