"""The store in one SQLite file: WAL, foreign keys, a write lock taken at once, durable where semantics §11 says so."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from peewee import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SqliteDatabase,
)

from pyjobs.clock import SystemClock, text
from pyjobs.errors import Conflict, Invalid, NameTaken, NotAllowed, NotFound, StoreBusy, StoreUnusable
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.ports import Active, Claimed, End, Start
from pyjobs.store.alerts import AlertRows
from pyjobs.store.counters import ALL_JOBS
from pyjobs.store.events import EventRows
from pyjobs.store.figures import FigureRows
from pyjobs.store.files import keep_before, lost, mark, prepare, restoring
from pyjobs.store.joblists import JOBS_SQL, JobLists
from pyjobs.store.migrations import LATEST, check, migrate
from pyjobs.store.permits import PermitRows
from pyjobs.store.ranges import RangeRows
from pyjobs.store.runlists import RunLists
from pyjobs.store.spans import SpanRows
from pyjobs.store.tables import (
    MAKES_SENSE,
    RUN_COLUMNS,
    ended_run_values,
    job_history,
    job_of,
    job_values,
    make_tables,
    run_of,
    run_values,
)
from pyjobs.store.transactions import apart, immediate

__all__ = ["SqliteStore"]

_Values = Callable[[Run], tuple[tuple[str, ...], tuple[Any, ...]]]
_ACTIVE = "state IN ('queued', 'running')"
_RUNS_SQL = f"SELECT {', '.join(RUN_COLUMNS)} FROM job_logs"
#: SQLite's limit of variables in one statement was that for long.
_VARIABLES = 999
_CHUNK = 500
#: Rows that one statement inserts: what it does not have to undo by itself, it need not note before each of them.
_TOGETHER = 50
#: Rows that `clear_runs` deletes in one transaction, so that no claim waits for long.
_BATCH = 500
#: Between two tries to open a store that another process is making.
_TRY_AGAIN_S = 0.02


class _Now(threading.local):
    """Where this thread is; its connection is its own too (Peewee keeps one a thread)."""

    inside = False
    #: Inside, but each transaction is undone by itself.
    together = False
    durable = True


class SqliteStore(JobLists, RunLists, PermitRows, FigureRows, EventRows, RangeRows, SpanRows, AlertRows):
    """ports.Store over one SQLite file."""

    def __init__(self, path: Path, *, patience_s: float = 5.0, checkpoints: bool = False) -> None:
        """
        Open `path`, making it and its folder where there is none.

        Raises:
            NotAllowed: it cannot be made or written.
            StoreUnusable: it is no database, or one of a newer version.
        """
        self.path = path
        self._now = _Now()
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
                    self._ready(check(self._db))
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
        self._now.together = False
        try:
            with self._translated(), apart(self._db):
                yield
        finally:
            self._now.together = True

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

    # --- jobs --------------------------------------------------------------------------------------------------

    def add_job(self, job: Job) -> Job:
        """Store a new job; answers it with its id and revision. Raises NameTaken."""
        with self.transaction():
            revision = self._next_revision()
            values = {**job_values(job), "run_count": 0, "revision": revision}
            columns = ", ".join(f'"{column}"' for column in values)
            try:  # Peewee takes longer for its words than SQLite for the row
                sql = f"INSERT INTO jobs ({columns}) VALUES ({_marks(values)})"
                job_id = self._db.execute_sql(sql, list(values.values())).lastrowid
            except IntegrityError:
                raise NameTaken(job.name) from None
        return replace(job, id=int(job_id), revision=revision)

    def restore_job(self, job: Job) -> Job:
        """As `add_job`, with what its runs said about it elsewhere."""
        with self.transaction():
            revision = self._next_revision()
            values = {**job_values(job), **job_history(job), "revision": revision}
            columns = ", ".join(f'"{name}"' for name in values)
            sql = f"INSERT INTO jobs ({columns}) VALUES ({_marks(values)})"
            try:
                job_id = self._db.execute_sql(sql, tuple(values.values())).lastrowid
            except IntegrityError:
                raise NameTaken(job.name) from None
        return replace(job, id=int(job_id), revision=revision)

    def job(self, job_id: int) -> Job | None:
        """The job with this id."""
        found = self._rows(f"{JOBS_SQL} WHERE id = ?", [job_id])
        return job_of(found[0]) if found else None

    def job_named(self, name: str) -> Job | None:
        """The job with exactly this name."""
        found = self._rows(f"{JOBS_SQL} WHERE name = ?", [name])
        return job_of(found[0]) if found else None

    def names_starting(self, prefix: str, limit: int) -> list[tuple[int, str]]:
        """Ids and names of jobs whose names start so, by name."""
        # A range, not LIKE: it uses the index, and `%` and `_` are letters.
        sql = "SELECT id, name FROM jobs WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
        return [(int(i), str(n)) for i, n in self._rows(sql, [prefix, prefix + "\U0010ffff", limit])]

    def update_job(self, job: Job) -> Job:
        """Write all fields but what its runs say about it. Raises Conflict, NameTaken, NotFound."""
        table = self._tables.jobs
        with self.transaction():
            revision = self._next_revision()
            try:
                changed = (
                    table.update(**job_values(job), revision=revision)
                    .where(table.id == job.id, table.revision == job.revision)
                    .execute()
                )
            except IntegrityError:
                raise NameTaken(job.name) from None
            if not changed:
                if self.job(job.id) is None:
                    raise NotFound(f"there is no job with id `{job.id}`", "任务不存在")
                raise Conflict(
                    f"the job `{job.name}` was changed by somebody else meanwhile",
                    f"任务 `{job.name}` 已被其他人修改",
                    hint="look at it and try again",
                )
        return replace(job, revision=revision)

    def reset_run_count(self, job_id: int) -> None:
        """Count launches of this job from zero again."""
        table = self._tables.jobs
        with self.transaction():
            table.update(run_count=0).where(table.id == job_id).execute()

    def delete_job(self, job_id: int) -> bool:
        """Delete a job; its runs stay, without it. False when there was none."""
        table = self._tables.jobs
        with self.transaction():
            return bool(table.delete().where(table.id == job_id).execute())

    def stop_job_itself(self, job_id: int, reason: str, now_ms: int) -> None:
        """Stop a job for a reason of its own."""
        table = self._tables.jobs
        with self.transaction():
            table.update(
                state=int(JobState.STOPPED), stop_reason=reason, next_fire_at=None, next_run_time=None,
                updated_at=text(now_ms), revision=self._next_revision(),
            ).where(table.id == job_id).execute()  # fmt: skip

    def job_zones(self) -> list[str]:
        """Zones that jobs which are not stopped name, each once."""
        return [str(zone) for (zone,) in self._rows("SELECT DISTINCT timezone FROM jobs WHERE state <> 2", []) if zone]

    def broken_jobs(self) -> list[int]:
        """Ids of jobs whose rows say that they wait, and make no sense otherwise."""
        return [int(row[0]) for row in self._rows(f"SELECT id FROM jobs WHERE state = 0 AND NOT ({MAKES_SENSE})", [])]

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
        newest = int(self.fact("revision") or 0)
        due = "state <> 2 AND typeof(next_fire_at) = 'integer'"
        sql = f"SELECT id, CASE WHEN {due} THEN next_fire_at END FROM jobs WHERE "
        # A row that somebody else's program wrote has no revision, and is due all the same.
        sql += "revision > ?" if since_revision else due
        changes = self._rows(sql, [since_revision] if since_revision else [])
        if not since_revision:
            # All rows were read once: their pages are of no use to a runner that then sleeps.
            self._rows("PRAGMA shrink_memory", [])
        return newest, changes

    def jobs_by_id(self, ids: Sequence[int]) -> dict[int, Job]:
        """Several jobs at once."""
        found: dict[int, Job] = {}
        for chunk in _chunks(ids):
            for row in self._rows(f"{JOBS_SQL} WHERE id IN ({_marks(chunk)})", chunk):
                found[row[0]] = job_of(row)
        return found

    def active_runs(self, job_ids: Sequence[int] | None = None) -> list[Run]:
        """Queued and running runs, oldest first; of some jobs, or all."""
        if job_ids is None:
            rows = self._rows(f"{_RUNS_SQL} WHERE {_ACTIVE} ORDER BY id", [])
        else:
            rows = []
            for chunk in _chunks(job_ids):
                rows += self._rows(f"{_RUNS_SQL} WHERE {_ACTIVE} AND job_id IN ({_marks(chunk)})", chunk)
            rows.sort(key=lambda row: row[0])
        return [run_of(row) for row in rows]

    def active_counts(self, job_ids: Sequence[int] | None = None) -> dict[int, Active]:
        """How many runs are queued and running now, by job; of some jobs, or all."""
        sql = f"SELECT job_id, sum(state = 'queued'), sum(state = 'running') FROM job_logs WHERE {_ACTIVE}"
        found: list[tuple[Any, ...]] = []
        if job_ids is None:
            found = self._rows(f"{sql} AND job_id IS NOT NULL GROUP BY job_id", [])
        else:
            for chunk in _chunks(job_ids):
                found += self._rows(f"{sql} AND job_id IN ({_marks(chunk)}) GROUP BY job_id", chunk)
        return {int(job_id): Active(int(queued), int(running)) for job_id, queued, running in found}

    def unowned_runs(self) -> list[Run]:
        """Queued runs that nobody owns, oldest first."""
        sql = f"{_RUNS_SQL} WHERE {_ACTIVE} AND state = 'queued' AND owner IS NULL ORDER BY id"
        return [run_of(row) for row in self._rows(sql, [])]

    def kill_requests(self, owner: str) -> dict[str, str]:
        """exec id -> who asked, of this owner's active runs whose end was asked for."""
        sql = f"SELECT exec_id, kill_by FROM job_logs WHERE {_ACTIVE} AND owner = ? AND kill_by IS NOT NULL"
        return {str(exec_id): str(by) for exec_id, by in self._rows(sql, [owner])}

    def next_exec_ids(self, count: int) -> list[str]:
        """Fresh names for runs: 64 random bits each."""
        digits = os.urandom(8 * count).hex()
        return [digits[i : i + 16] for i in range(0, 16 * count, 16)]

    def claim(self, rows: Sequence[Claimed], next_fires: Iterable[tuple[int, int, int | None]]) -> set[str]:
        """Write the rows of one tick and move their jobs on; answers the exec ids whose row is new."""
        with self.transaction():
            new = self._insert_runs([claimed.run for claimed in rows])
            cursor = self._db.cursor()
            cursor.executemany(
                "UPDATE jobs SET next_fire_at = ?, next_run_time = ? WHERE id = ? AND next_fire_at = ?",
                [(after, None if after is None else text(after), job_id, due) for job_id, due, after in next_fires],
            )
            launched = [c.run for c in rows if c.run.exec_id in new and c.run.state is RunState.QUEUED]
            counted = {c.run.exec_id for c in rows if c.counts}
            cursor.executemany(
                "UPDATE jobs SET run_count = run_count + ?, last_run_time = ? WHERE id = ?",
                [(int(r.exec_id in counted), text(r.claimed_ms or 0), r.job_id) for r in launched],
            )
        return new

    def restore_runs(self, runs: Sequence[Run]) -> set[str]:
        """Store runs that ended elsewhere, in this order; answers the exec ids whose row is new."""
        with self.transaction():
            return self._insert_runs(runs, ended_run_values)

    def _insert_runs(self, runs: Sequence[Run], values_of: _Values = run_values) -> set[str]:
        if not runs:
            return set()
        columns = values_of(runs[0])[0]
        newest = int(self._rows("SELECT coalesce(max(id), 0) FROM job_logs", [])[0][0])
        inserted = 0
        step = min(_TOGETHER, _VARIABLES // len(columns))
        for start in range(0, len(runs), step):
            together = [values_of(run)[1] for run in runs[start : start + step]]
            rows = ", ".join([f"({_marks(columns)})"] * len(together))
            sql = f"INSERT OR IGNORE INTO job_logs ({', '.join(columns)}) VALUES {rows}"
            inserted += self._db.execute_sql(sql, list(chain.from_iterable(together))).rowcount
        names = [run.exec_id for run in runs]
        if inserted == len(runs):
            return set(names)
        found: set[str] = set()
        for chunk in _chunks(names):
            sql = f"SELECT exec_id FROM job_logs WHERE exec_id IN ({_marks(chunk)}) AND id > ?"
            found.update(row[0] for row in self._rows(sql, [*chunk, newest]))
        return found

    # --- runs --------------------------------------------------------------------------------------------------

    def take(self, exec_ids: Sequence[str], owner: str, expected: str | None) -> set[str]:
        """Make active runs mine that had this owner (None: nobody); answers those that were."""
        sql = f"UPDATE job_logs SET owner = ? WHERE exec_id = ? AND {_ACTIVE} AND owner IS ?"
        with self.transaction():
            return {e for e in exec_ids if self._db.execute_sql(sql, (owner, e, expected)).rowcount}

    def start_runs(self, starts: Sequence[Start], owner: str) -> set[str]:
        """queued -> running, or a new attempt or pid of a running one; answers those that had this owner and state."""
        sql = (
            "UPDATE job_logs SET state = 'running', attempt = ?, pid = ?, pid_start = ?, retry_at = ?,"
            " started_at = coalesce(started_at, ?), start_time = coalesce(start_time, ?)"
            f" WHERE exec_id = ? AND {_ACTIVE} AND owner = ?"
        )
        with self.transaction(durable=False):
            execute = self._db.cursor().execute
            return {
                s.exec_id
                for s in starts
                if execute(
                    sql, (s.attempt, s.pid, s.pid_start, s.retry_ms, s.started_ms, text(s.started_ms), s.exec_id, owner)
                ).rowcount
            }

    def end_runs(self, ends: Sequence[End], owner: str | None) -> set[str]:
        """Give runs their final state, if they are active and have this owner; answers those that changed."""
        run_sql = (
            "UPDATE job_logs SET state = ?, status = ?, ended_at = ?, end_time = ?, duration_ms = ?, exit_code = ?,"
            f" signal = ?, error = ?, output = ?, stderr_at = ? WHERE exec_id = ? AND {_ACTIVE} AND owner IS ?"
        )
        job_sql = (
            "UPDATE jobs SET last_state = ?, last_duration_ms = coalesce(?, last_duration_ms)"
            " WHERE id = (SELECT job_id FROM job_logs WHERE exec_id = ?)"
        )
        # What was claimed for its trigger but never launched does not count (rulings 3).
        uncount_sql = (
            "UPDATE jobs SET run_count = max(run_count - 1, 0) WHERE id = (SELECT job_id FROM job_logs"
            " WHERE exec_id = ? AND source IN ('cron', 'catchup'))"
        )
        changed = set()
        with self.transaction():
            execute = self._db.cursor().execute
            for e in ends:
                values = (
                    e.state.value, e.state.status, e.ended_ms, text(e.ended_ms), e.duration_ms, e.exit_code, e.signal,
                    e.error, e.output, e.stderr_at, e.exec_id, owner,
                )  # fmt: skip
                if not execute(run_sql, values).rowcount:
                    continue
                changed.add(e.exec_id)
                if e.state is RunState.SKIPPED:
                    execute(uncount_sql, (e.exec_id,))
                else:
                    execute(job_sql, (e.state.value, e.duration_ms, e.exec_id))
        return changed

    def request_kill(self, exec_id: str, by: str) -> bool:
        """Ask the owner of an active run to end it. False when it is not active."""
        table = self._tables.runs
        with self.transaction():
            states = [RunState.QUEUED.value, RunState.RUNNING.value]
            changed = table.update(kill_by=by).where(table.exec_id == exec_id, table.state.in_(states)).execute()
        return bool(changed)

    def run(self, exec_id: str) -> Run | None:
        """The run with this name."""
        found = self._rows(f"{_RUNS_SQL} WHERE exec_id = ?", [exec_id])
        return run_of(found[0]) if found else None

    def runs_starting(self, prefix: str, limit: int) -> list[Run]:
        """Runs whose exec id starts so, newest first."""
        sql = f"{_RUNS_SQL} WHERE exec_id >= ? AND exec_id < ? ORDER BY id DESC LIMIT ?"
        return [run_of(row) for row in self._rows(sql, [prefix, prefix + "\U0010ffff", limit])]

    def clear_runs(self, job_id: int | None, before_ms: int | None, since_ms: int | None = None) -> int:
        """Delete final runs, of one job or all, claimed before and not before an instant; answers how many."""
        where, values = [f"NOT {_ACTIVE}"], []
        if job_id is not None:
            where.append("job_id = ?")
            values.append(job_id)
        if before_ms is not None:
            where.append("claimed_at < ?")
            values.append(before_ms)
        if since_ms is not None:
            where.append("claimed_at >= ?")
            values.append(since_ms)
        inner = f"SELECT id FROM job_logs WHERE {' AND '.join(where)} LIMIT {_BATCH}"
        total = 0
        while True:
            with self.transaction():
                deleted = self._db.execute_sql(f"DELETE FROM job_logs WHERE id IN ({inner})", values).rowcount
            total += int(deleted)
            if deleted < _BATCH:
                return total

    # --- facts about the whole ---------------------------------------------------------------------------------

    def fact(self, name: str) -> str | None:
        """A stored fact."""
        found = self._rows("SELECT value FROM facts WHERE name = ?", [name])
        return str(found[0][0]) if found else None

    def facts(self, prefix: str) -> dict[str, str]:
        """All facts whose names start so."""
        sql = "SELECT name, value FROM facts WHERE name >= ? AND name < ?"
        return {str(name): str(value) for name, value in self._rows(sql, [prefix, prefix + "\U0010ffff"])}

    def set_fact(self, name: str, value: str | None) -> None:
        """Store or forget a fact."""
        table = self._tables.facts
        with self.transaction():
            table.delete().where(table.name == name).execute()
            if value is not None:
                table.insert(name=name, value=value).execute()

    def figures(self) -> dict[str, Any]:
        """Counts: jobs by state, active runs by state."""
        jobs = self._rows("SELECT state, sum(jobs) FROM job_counts GROUP BY state HAVING sum(jobs)", [])
        sql = f"SELECT state, sum(runs) FROM run_counts WHERE job_id = ? AND {_ACTIVE} GROUP BY state HAVING sum(runs)"
        active = self._rows(sql, [ALL_JOBS])
        return {"jobs": {int(k): int(n) for k, n in jobs}, "runs": {str(k): int(n) for k, n in active}}

    def close(self) -> None:
        """Release files; the last one to leave checkpoints and removes the WAL."""
        self._db.close()

    # --- helpers -----------------------------------------------------------------------------------------------

    def _rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._translated():
            return list(self._db.execute_sql(sql, values).fetchall())

    def _next_revision(self) -> int:
        self._db.execute_sql("UPDATE facts SET value = value + 1 WHERE name = 'revision'")
        return int(self.fact("revision") or 0)


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
