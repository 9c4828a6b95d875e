"""The store in one SQLite file: WAL, foreign keys, a write lock taken at once, durable where semantics §11 says so."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from peewee import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SqliteDatabase,
)

from pyjobs.clock import SystemClock
from pyjobs.errors import Invalid, NotAllowed, StoreBusy, StoreUnusable
from pyjobs.ports import About
from pyjobs.store.alerts import AlertRows
from pyjobs.store.events import EventRows
from pyjobs.store.figures import FigureRows
from pyjobs.store.files import keep_before, lost, mark, prepare, restoring
from pyjobs.store.joblists import JobLists
from pyjobs.store.jobrows import JobRows
from pyjobs.store.migrations import LATEST, check, migrate
from pyjobs.store.permits import PermitRows
from pyjobs.store.ranges import RangeRows
from pyjobs.store.runlists import RunLists
from pyjobs.store.runrows import RunRows
from pyjobs.store.spans import SpanRows
from pyjobs.store.sql import Dialect
from pyjobs.store.tables import MAKES_SENSE, make_tables
from pyjobs.store.transactions import apart, immediate

__all__ = ["SqliteStore"]

_DIALECT = Dialect(
    same="IS",
    insert_new="INSERT OR IGNORE",
    folded_name="folded(name)",  # SQLite's own lower() knows ASCII only
    has_next_fire="typeof(next_fire_at) = 'integer'",  # any value may be in any column
    makes_sense=MAKES_SENSE,
    makes_json=True,
    merges=True,
    page_ids="{ids}",
    delete_runs="DELETE FROM job_logs WHERE id IN (SELECT id FROM job_logs WHERE {where} LIMIT {limit})",
)
#: Between two tries to open a store that another process is making.
_TRY_AGAIN_S = 0.02


class _Now(threading.local):
    """Where this thread is; its connection is its own too (Peewee keeps one a thread)."""

    inside = False
    #: Inside, but each transaction is undone by itself.
    together = False
    durable = True


class SqliteStore(
    JobLists, JobRows, RunLists, RunRows, PermitRows, FigureRows, EventRows, RangeRows, SpanRows, AlertRows
):  # fmt: skip
    """ports.Store over one SQLite file."""

    _dialect = _DIALECT

    def __init__(self, path: Path, *, patience_s: float = 5.0, checkpoints: bool = False) -> None:
        """
        Open `path`, making it and its folder where there is none.

        Raises:
            NotAllowed: it cannot be made or written.
            StoreUnusable: it is no database, or one of a newer version.
        """
        self.path = path
        self._now: _Now = _Now()
        self._made_before = prepare(path)
        pragmas = {
            "foreign_keys": 1,
            "busy_timeout": int(patience_s * 1000),
            "synchronous": "full",
            # What a statement may have to undo goes there: with triggers that is more than fits before a file is made.
            "temp_store": "memory",
            "wal_autocheckpoint": 1000 if checkpoints else 0,
        }
        self._db: Any = SqliteDatabase(str(path), pragmas=pragmas, timeout=patience_s)
        self._db.register_function(str.casefold, "folded", 1, deterministic=True)
        self._tables = make_tables(self._db)
        self.upgraded_from = 0
        self._open(patience_s)
        about = path.stat()
        self._place = (about.st_dev, about.st_ino)

    def _open(self, patience_s: float) -> None:
        """Connect, and bring the file up to date; nothing is written to one that is not ours."""
        clock = SystemClock()
        last = clock.monotonic() + patience_s
        while True:
            try:
                with self._translated():
                    self.upgraded_from = check(self._db)
                    self._ready(self.upgraded_from)
                    # Kept in the file. SQLite waits for no lock here: two that make a store at once get in each
                    # other's way, and have to try again.
                    self._db.execute_sql("PRAGMA journal_mode = wal")
                    migrate(self._db)
                mark(self.path)
            except StoreBusy:
                self._db.close()
                if clock.monotonic() > last:
                    raise
                time.sleep(_TRY_AGAIN_S)
            except BaseException:
                self._db.close()
                raise
            else:
                return

    def _ready(self, version: int) -> None:
        """See to it that nothing is lost by going on with a file of this schema version."""
        if not version and self._made_before:
            raise lost(self.path)
        if 0 < version < LATEST:
            keep_before(self._db.connection(), self.path, LATEST)

    # --- transactions ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Write lock at once; commit at the end. An inner one joins the outer one."""
        if self._now.together:
            with self._apart():
                yield
            return
        if self._now.inside:
            yield
            return
        self._check_place()
        with self._translated():
            self._set_durable(durable=durable)
            self._now.inside = True
            try:
                with immediate(self._db):
                    yield
            finally:
                self._now.inside = False

    def _savepoint(self) -> AbstractContextManager[None]:
        """A part of a transaction that is undone by itself."""
        return apart(self._db)

    def _check_place(self) -> None:
        """Raise StoreBusy when the file was deleted or another one put in its place: what is written now were lost."""
        try:
            here = os.stat(self.path)  # noqa: PTH116 - once a transaction, and a Path costs as much
        except OSError:
            here = None
        if here is None or (here.st_dev, here.st_ino) != self._place:
            raise StoreBusy(
                f"the store `{self.path}` was deleted or replaced while it was open",
                f"数据库 `{self.path}` 在使用中被删除或替换",
                hint="put the file back, or, if it is another one on purpose, `pyjobs daemon restart`",
                hint_zh="请恢复该文件；若是有意替换，请执行 `pyjobs daemon restart`",
            )

    def _set_durable(self, *, durable: bool) -> None:
        if durable != self._now.durable:
            self._db.execute_sql(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._now.durable = durable

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database as ours."""
        try:
            yield
        except (OperationalError, InterfaceError, sqlite3.OperationalError, sqlite3.InterfaceError) as exc:
            raise self._operational(exc) from exc
        except (IntegrityError, sqlite3.IntegrityError):
            raise
        except (DatabaseError, sqlite3.DatabaseError) as exc:
            raise self._corrupt(exc) from exc
        except UnicodeDecodeError as exc:  # SQLite's own words about a damaged schema, quoting it
            raise self._corrupt(exc) from exc
        except UnicodeEncodeError as exc:
            raise Invalid("text", "holds bytes that are no UTF-8", "含有无效的 UTF-8 字节") from exc

    def _operational(self, exc: Exception) -> Exception:
        message = str(exc)
        if any(word in message for word in ("locked", "busy")):
            return StoreBusy(
                f"the store `{self.path}` is locked by another process",
                f"数据库 `{self.path}` 被其他进程锁定",
                hint="try again; `fuser` on the file shows who holds it",
            )
        if any(word in message for word in ("full", "disk I/O error")):
            return StoreBusy(
                f"the store `{self.path}` cannot be written: {message}",
                f"数据库 `{self.path}` 无法写入：{message}",
                hint="free some disk space",
                hint_zh="请清理磁盘空间",
            )
        if "readonly" in message or "unable to open" in message:
            return NotAllowed(
                f"the store `{self.path}` cannot be opened for writing",
                f"数据库 `{self.path}` 无法写入",
                hint="check the owner and the mode of the file and its folder, or set PYJOBS_HOME",
                hint_zh="请检查文件与目录的所有者和权限，或设置 PYJOBS_HOME",
            )
        return self._corrupt(exc)

    def _corrupt(self, exc: Exception) -> StoreUnusable:
        return StoreUnusable(
            f"`{self.path}` is not a usable pyjobs database: {exc}",
            f"`{self.path}` 不是可用的 pyjobs 数据库：{exc}",
            hint=f"nothing was changed; {restoring(self.path, damaged=True)}, or name another file by DATABASE_URL",
            hint_zh=f"文件未被改动；{restoring(self.path, 'zh', damaged=True)}，或用 DATABASE_URL 指定其他文件",
        )

    def quick_check(self) -> None:
        """Raise StoreUnusable when the file is damaged."""
        with self._translated():
            found = self._db.execute_sql("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._corrupt(ValueError(found))

    def checkpoint(self) -> bool:
        """Move the WAL into the file and empty it; False when somebody reads or writes meanwhile."""
        return not self._rows("PRAGMA wal_checkpoint(TRUNCATE)", [])[0][0]

    # --- what a runner follows ---------------------------------------------------------------------------------

    def data_version(self) -> int:
        """A number that changes when another connection committed something."""
        return int(self._rows("PRAGMA data_version", [])[0][0])

    def version(self) -> tuple[int, int]:
        """A value that is another one, to the thread that asks, once anybody committed anything."""
        with self._translated():
            connection = self._db.connection()
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), int(connection.total_changes)

    def due_changes(self, since_revision: int) -> tuple[int, list[tuple[int, int | None]]]:
        """(newest revision, (job id, next fire or None) of jobs changed after a revision); 0 gives all active ones."""
        found = super().due_changes(since_revision)
        if not since_revision:
            # All rows were read once: their pages are of no use to a runner that then sleeps.
            self._rows("PRAGMA shrink_memory", [])
        return found

    def note_seen(self, owner: str) -> None:
        """Nothing: all that use a file are processes of one host, and can be looked at."""

    def seen(self, owner: str) -> bool:  # noqa: ARG002 - nobody is elsewhere
        """Never."""
        return False

    def about(self) -> About:
        """What there is to say about the whole."""
        return About(
            kind="sqlite",
            server=f"SQLite {sqlite3.sqlite_version}",
            host="",
            database=str(self.path),
            schema=check(self._db),
            upgraded_from=self.upgraded_from,
            size=sum(path.stat().st_size for path in (self.path, Path(f"{self.path}-wal")) if path.exists()),
        )

    def close(self) -> None:
        """Release files; the last one to leave checkpoints and removes the WAL."""
        self._db.close()

    # --- helpers -----------------------------------------------------------------------------------------------

    def _rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            return list(self._db.execute_sql(sql, values).fetchall())

    def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        return self._db.execute_sql(sql, values)

    def _executing(self) -> Callable[[str, Sequence[Any]], Any]:
        execute: Callable[[str, Sequence[Any]], Any] = self._db.cursor().execute
        return execute

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        return int(self._db.cursor().executemany(sql, rows).rowcount)

    def _next_revision(self) -> int:
        self._db.execute_sql("UPDATE facts SET value = value + 1 WHERE name = 'revision'")
        return int(self.fact("revision") or 0)
