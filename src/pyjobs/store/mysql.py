"""
The store in a database of a MySQL or MariaDB server, shared by as many runners on as many hosts as there are.

**Claims.** What service/fires.py decides (overlap, limits, what is missed) holds only if nobody else writes between its
reads and its writes. SQLite gives that by BEGIN IMMEDIATE; here each transaction first counts itself in the one row of
`changes`, and so holds that row's lock until it ends: transactions of pyjobs come one after the other, see all that was
committed before, and cannot deadlock with one another. Locks on the claimed jobs alone would let more of them run at
once, but would leave every other check before a write (names, starts by hand, ends of runs) to itself. The price is one
writer at a time; a tick is one transaction, however many jobs are due. A claim is in any case a comparison with
`next_fire_at` and a row of the unique key (job_id, scheduled_for): a program that does not take the lock cannot double
a fire either.

**Faults.** What reads, and what only begins, is tried again with jitter while patience lasts. Within a transaction an
error of the server (1205, 1213) or a lost connection (2006, 2013) is StoreBusy: nothing was changed, and the runner
does all of it again. After a COMMIT without an answer the row of `changes` says whether it is in: its number is ours
and we are its writer. A client that stops within a transaction (SIGSTOP, a cut cable) loses it after _STALLED_S.

**Durability** is the server's: `innodb_flush_log_at_trx_commit` and `sync_binlog` are its settings, not a session's.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import pymysql
from peewee import IntegrityError, MySQLDatabase, PeeweeException, TextField
from playhouse.pool import MaxConnectionsExceeded, PooledMySQLDatabase
from pymysql.constants import CLIENT, FIELD_TYPE, SERVER_STATUS
from pymysql.converters import conversions

from pyjobs.clock import text
from pyjobs.config import Settings
from pyjobs.database_url import MysqlPlace
from pyjobs.errors import Invalid, PyjobsError, StoreBusy
from pyjobs.jobs import Job, Run
from pyjobs.ports import About
from pyjobs.store import mysql_schema
from pyjobs.store.alerts import AlertRows
from pyjobs.store.events import EventRows
from pyjobs.store.figures import FigureRows
from pyjobs.store.joblists import JobLists
from pyjobs.store.jobrows import JobRows
from pyjobs.store.migrations import LATEST
from pyjobs.store.mysql_errors import LOST, number_of, translate
from pyjobs.store.permits import PermitRows
from pyjobs.store.ranges import RangeRows
from pyjobs.store.runlists import RunLists
from pyjobs.store.runrows import RunRows
from pyjobs.store.spans import SpanRows
from pyjobs.store.sql import Dialect, chunks
from pyjobs.store.tables import KNOWN_WORDS, make_tables

__all__ = ["MysqlStore"]

_T = TypeVar("_T")
_DIALECT = Dialect(
    same="<=>",
    insert_new="INSERT IGNORE",
    # Another program's row has none; the server's own lower() is near to it.
    folded_name="coalesce(name_folded, lower(name))",
    has_next_fire="next_fire_at IS NOT NULL",
    makes_sense=KNOWN_WORDS,
    makes_json=False,
    merges=False,
    page_ids="SELECT id FROM ({ids}) AS page",
    delete_runs="DELETE FROM job_logs WHERE {where} ORDER BY id LIMIT {limit}",
)
#: A transaction whose client says nothing for so long is rolled back by the server, and its lock is free.
_STALLED_S = 10
#: An idle connection is looked at before it is used again: the server closes what is idle for longer than that.
_IDLE_S = 15
#: An answer that takes longer means that the network is gone. A runner's heartbeat must not wait for it.
_ANSWER_S = 60
_RUNNER_ANSWER_S = 8
_CONNECT_S = 3
#: What never leaves this host is not encrypted, where nobody asks for it: reading all certificates takes its time.
_LOCAL = ("localhost", "127.0.0.1", "::1")
#: Between two tries, halved or not by chance.
_TRY_AGAIN_S = 0.1
#: How long an owner of another host counts as alive after it was seen.
_LEASE_S = 30
_FORGET_OWNER_S = 7 * 86_400


class _Now(threading.local):
    """Where this thread is; its connection is its own too (Peewee keeps one a thread)."""

    inside = False
    #: Inside, but each transaction is undone by itself.
    together = False
    #: Its own commits: `data_version` counts those of others.
    commits = 0
    used = 0.0


class MysqlStore(
    JobLists, JobRows, RunLists, RunRows, PermitRows, FigureRows, EventRows, RangeRows, SpanRows, AlertRows
):  # fmt: skip
    """ports.Store over one database of a server."""

    _dialect = _DIALECT

    def __init__(self, place: MysqlPlace, settings: Settings, *, patience_s: float = 5.0) -> None:
        """
        Connect, and bring the schema up to date.

        Raises:
            NotAllowed: the server refuses the user.
            StoreUnusable: there is no such database, or it is one of a newer version.
            StoreBusy: the server cannot be reached.
        """
        self.place = place
        self._patience_s = patience_s
        self._now: _Now = _Now()
        self._me = uuid.uuid4().hex
        self._options = _options(place, patience_s)
        self._db: Any = PooledMySQLDatabase(
            place.database,
            max_connections=settings.database_pool_size + settings.database_max_overflow,
            stale_timeout=settings.database_pool_recycle or None,
            timeout=settings.database_pool_timeout,
            **self._options,
        )
        self._tables = make_tables(self._db)
        self._tables.jobs._meta.add_field("name_folded", TextField(null=True))  # noqa: SLF001 - Peewee's public attribute
        self.upgraded_from = self._persistently(lambda: mysql_schema.version(lambda sql: self._fetch(sql, ())))
        if self.upgraded_from != LATEST:
            self._persistently(self._migrate)

    def _migrate(self) -> None:
        """On a connection of its own: to change a large table may take longer than any other answer."""
        database: Any = MySQLDatabase(
            self.place.database, **{**self._options, "read_timeout": None, "write_timeout": None}
        )
        try:
            connection = database.connection()
            cursor = connection.cursor()

            def execute(sql: str) -> list[tuple[Any, ...]]:
                cursor.execute(sql)
                return list(cursor.fetchall())

            mysql_schema.migrate(execute, connection.get_server_info())
        finally:
            database.close()

    # --- transactions ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:  # noqa: ARG002 - durability is the server's
        """Write lock at once; commit at the end. An inner one joins the outer one."""
        if self._now.together:
            with self._apart():
                yield
            return
        if self._now.inside:
            yield
            return
        number = self._persistently(self._begin)
        self._now.inside = True
        try:
            with self._translated():
                yield
        except BaseException:
            self._now.inside = False
            self._roll_back()
            raise
        self._now.inside = False
        self._commit(number)

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
        connection = self._db.connection()
        if not connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            raise StoreBusy("the transaction around it was rolled back", "外层事务已回滚")
        connection.query("SAVEPOINT apart")
        try:
            yield
        except BaseException:
            try:
                connection.query("ROLLBACK TO SAVEPOINT apart")
                connection.query("RELEASE SAVEPOINT apart")
            except Exception:  # all of it is gone, as after a deadlock: nothing more may be written by itself
                self._forget_connection()
            raise
        connection.query("RELEASE SAVEPOINT apart")

    def _begin(self) -> int:
        """Take the lock; answers this transaction's number."""
        self._refresh()
        connection = self._db.connection()
        try:
            connection.begin()
            cursor = connection.cursor()
            cursor.execute(
                "UPDATE changes SET number = last_insert_id(number + 1), writer = %s WHERE id = 1", (self._me,)
            )
        except BaseException:
            self._roll_back()
            raise
        return int(cursor.lastrowid)

    def _roll_back(self) -> None:
        try:
            self._db.connection().rollback()
        except Exception:  # whatever it is, the server rolls back what a closed connection left
            self._forget_connection()

    def _commit(self, number: int) -> None:
        connection = self._db.connection()
        if not connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            raise StoreBusy(
                f"the store `{self.place.shown}` took a transaction back", f"数据库 `{self.place.shown}` 回滚了事务"
            )
        try:
            with self._translated():
                connection.commit()
        except StoreBusy:
            if not self._persistently(lambda: self._is_in(number)):
                raise
        self._now.commits += 1

    def _is_in(self, number: int) -> bool:
        """Whether the transaction with that number is committed; waits until its connection is gone for certain."""
        connection = self._db.connection()
        connection.begin()
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT number, writer FROM changes WHERE id = 1 FOR UPDATE")
            return bool(cursor.fetchone() == (number, self._me))
        finally:
            self._roll_back()

    # --- connections -------------------------------------------------------------------------------------------

    def _persistently(self, work: Callable[[], _T]) -> _T:
        """Do what may be done twice, again and again while the store is busy and patience lasts."""
        last = time.monotonic() + self._patience_s
        while True:
            try:
                with self._translated():
                    return work()
            except StoreBusy:
                if time.monotonic() > last:
                    raise
                time.sleep(_TRY_AGAIN_S * random.uniform(0.5, 1))  # noqa: S311 - it spreads tries, it keeps no secret

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database as ours. A connection that is lost is not used again."""
        try:
            yield
        except (IntegrityError, pymysql.err.IntegrityError):
            raise
        except (PeeweeException, pymysql.err.Error) as exc:
            if number_of(exc) in LOST:
                self._forget_connection()
            raise self._translate(exc) from exc
        except MaxConnectionsExceeded as exc:
            raise StoreBusy(
                "all connections to the store are in use",
                "数据库连接已全部占用",
                hint="set DATABASE_POOL_SIZE or DATABASE_MAX_OVERFLOW higher",
            ) from exc
        except UnicodeEncodeError as exc:
            raise Invalid("text", "holds bytes that are no UTF-8", "含有无效的 UTF-8 字节") from exc

    def _translate(self, exc: BaseException) -> PyjobsError:
        return translate(exc, self.place)

    def _refresh(self) -> None:
        """Give an idle connection back to the pool, which looks at it, and at its age, before it gives it out."""
        now = time.monotonic()
        if now - self._now.used > _IDLE_S:
            self._db.close()
        self._now.used = now

    def _forget_connection(self) -> None:
        with contextlib.suppress(Exception):  # it is broken already
            self._db.manual_close()

    def quick_check(self) -> None:
        """Nothing: whether its files are whole is the server's to know."""

    def checkpoint(self) -> bool:
        """Nothing: where the server keeps what is its own to know."""
        return True

    def close(self) -> None:
        """Close this thread's connection, and those that nobody uses."""
        self._forget_connection()
        self._db.close_idle()

    # --- statements --------------------------------------------------------------------------------------------

    def _rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._now.inside:
            with self._translated():
                return self._fetch(_formatted(sql), values)
        self._refresh()
        return self._persistently(lambda: self._fetch(_formatted(sql), values))

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = self._db.connection().cursor()
        cursor.execute(sql, tuple(values) or None)
        return list(cursor.fetchall())

    def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        return self._db.execute_sql(_formatted(sql), tuple(values))

    def _executing(self) -> Callable[[str, Sequence[Any]], Any]:
        return self._execute

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        return int(self._db.connection().cursor().executemany(_formatted(sql), list(rows)) or 0)

    def _next_revision(self) -> int:
        sql = "UPDATE facts SET value = last_insert_id(CAST(value AS SIGNED) + 1) WHERE name = 'revision'"
        return int(self._execute(sql, ()).lastrowid)

    # --- what is said in another way ---------------------------------------------------------------------------

    def _job_values(self, job: Job) -> dict[str, Any]:
        return {**super()._job_values(job), "name_folded": job.name.casefold()}

    def _move(self, next_fires: Iterable[tuple[int, int, int | None]]) -> None:
        rows = [(job_id, due, after, None if after is None else text(after)) for job_id, due, after in next_fires]
        self._join(
            rows, "id, due, later, stamp", "jobs.id = news.id AND jobs.next_fire_at = news.due",
            "jobs.next_fire_at = news.later, jobs.next_run_time = news.stamp",
        )  # fmt: skip

    def _count(self, launched: Sequence[Run], counted: set[str]) -> None:
        news: dict[int, tuple[int, int, str]] = {}
        for run in launched:
            if run.job_id is not None:
                before = news.get(run.job_id, (0, 0, ""))[1]
                news[run.job_id] = (run.job_id, before + (run.exec_id in counted), text(run.claimed_ms or 0))
        self._join(
            list(news.values()), "id, launches, stamp", "jobs.id = news.id",
            "jobs.run_count = jobs.run_count + news.launches, jobs.last_run_time = news.stamp",
        )  # fmt: skip

    def _join(self, rows: Sequence[Sequence[Any]], columns: str, on: str, change: str) -> None:
        """Change many jobs by one statement: each of its own would be a way to the server and back."""
        names = columns.split(", ")
        first = "SELECT " + ", ".join(f"? AS {name}" for name in names)
        further = " UNION ALL SELECT " + ", ".join("?" for _ in names)
        for chunk in chunks(rows):
            news = first + further * (len(chunk) - 1)
            values = [value for row in chunk for value in row]
            self._execute(f"UPDATE ({news}) AS news STRAIGHT_JOIN jobs ON {on} SET {change}", values)

    # --- what a runner follows ---------------------------------------------------------------------------------

    def data_version(self) -> int:
        """A number that changes when another connection committed something."""
        return self.version()[0] - self._now.commits

    def version(self) -> tuple[int, int]:
        """A value that is another one once anybody committed anything."""
        return int(self._rows("SELECT number FROM changes WHERE id = 1", ())[0][0]), 0

    # --- owners ------------------------------------------------------------------------------------------------

    def note_seen(self, owner: str) -> None:
        """Say that an owner of runs lives, by the server's clock."""
        sql = (
            "INSERT INTO runners VALUES (?, unix_timestamp()) ON DUPLICATE KEY UPDATE seen_at = unix_timestamp()",
            f"DELETE FROM runners WHERE seen_at < unix_timestamp() - {_FORGET_OWNER_S}",
        )
        self._rows(sql[0], [owner])
        self._rows(sql[1], [])

    def seen(self, owner: str) -> bool:
        """Whether an owner said so within the last 30 s."""
        sql = f"SELECT 1 FROM runners WHERE owner = ? AND seen_at > unix_timestamp() - {_LEASE_S}"
        return bool(self._rows(sql, [owner]))

    # --- about itself ------------------------------------------------------------------------------------------

    def about(self) -> About:
        """What there is to say about the whole."""
        size = self._rows(
            "SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables"
            " WHERE table_schema = database()",
            [],
        )[0][0]
        number, server = self._rows("SELECT max(version), version() FROM schema_version", [])[0]
        return About(
            kind="mysql",
            server=str(server),
            host=self.place.socket or f"{self.place.host}:{self.place.port}",
            database=self.place.database,
            schema=int(number),
            size=int(size),
            upgraded_from=self.upgraded_from,
        )


def _formatted(sql: str) -> str:
    """Our placeholders as PyMySQL's."""
    return sql.replace("%", "%%").replace("?", "%s")


def _options(place: MysqlPlace, patience_s: float) -> dict[str, Any]:
    """What PyMySQL connects with."""
    answer_s = _RUNNER_ANSWER_S if patience_s < 1 else _ANSWER_S
    decoders = {k: v for k, v in conversions.items() if k not in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)}
    found = {
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password,
        "charset": "utf8mb4",
        "sql_mode": None,
        "connect_timeout": _CONNECT_S,
        "read_timeout": answer_s,
        "write_timeout": answer_s,
        # An UPDATE counts the rows that it found, as SQLite does, not only those that it changed.
        "client_flag": CLIENT.FOUND_ROWS,
        # Times are kept as text; sums come back as numbers, not as Decimals.
        "conv": {**decoders, FIELD_TYPE.NEWDECIMAL: _number},
        "init_command": (
            "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',"
            f" innodb_lock_wait_timeout = {max(1, int(patience_s))}"
            f" /*M!100300 , idle_write_transaction_timeout = {_STALLED_S} */"
            f" /*!50701 , wait_timeout = {3 * _STALLED_S} */"
        ),
    }
    if place.socket or place.host in _LOCAL:
        found["ssl_disabled"] = not place.ssl_ca
    if place.socket:
        found["unix_socket"] = place.socket
    if place.ssl_ca:
        found["ssl_ca"] = place.ssl_ca
    return found


def _number(stored: str) -> int | float:
    return float(stored) if "." in stored else int(stored)
