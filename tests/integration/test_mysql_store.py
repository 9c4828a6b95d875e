"""What a real server does to the store: lost connections, restarts, deadlocks, lost answers, other runners."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, a_job, a_run, claimed
from mariadb_server import PASSWORD, Database, Mariadb
from waiting import wait_for

from pyjobs.alerter import Alerter, place_of
from pyjobs.config import Settings, load
from pyjobs.errors import NotAllowed, PyjobsError, StoreBusy, StoreUnusable
from pyjobs.jobs import Job, RunState
from pyjobs.ports import End, JobQuery, RunQuery, Start
from pyjobs.service.fires import claim_due
from pyjobs.store import mysql_schema, open_store
from pyjobs.store.migrations import LATEST
from pyjobs.store.mysql import MysqlStore

from .cli_kit import Cli

DUE_MS = NOW_MS + 60_000
Open = Callable[..., MysqlStore]


@pytest.fixture
def open_(mysql: Database, tmp_path: Path) -> Iterator[Open]:
    """Open the store of the test's database; closed afterwards."""
    opened: list[MysqlStore] = []

    def make(url: str = mysql.url, **options: Any) -> MysqlStore:
        store = open_store(Settings(home=tmp_path, database_url=url), **options)
        assert isinstance(store, MysqlStore)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_: Open) -> MysqlStore:
    return open_()


def names(store: MysqlStore) -> list[str]:
    return sorted(job.name for job in store.jobs(JobQuery()))


class TestConnections:
    def test_a_killed_connection_is_made_anew_by_whatever_comes_next(self, store: MysqlStore, mysql: Database) -> None:
        store.add_job(a_job("a"))
        assert mysql.kill_connections() >= 1
        assert names(store) == ["a"]
        mysql.kill_connections()
        store.add_job(a_job("b"))
        assert names(store) == ["a", "b"]

    def test_one_killed_in_a_transaction_takes_all_of_it_back(self, store: MysqlStore, mysql: Database) -> None:
        def add_two() -> None:
            with store.transaction():
                store.add_job(a_job("a"))
                mysql.kill_connections()
                store.add_job(a_job("b"))

        with pytest.raises(StoreBusy, match="cannot be reached"):
            add_two()
        assert names(store) == []
        store.add_job(a_job("c"))
        assert names(store) == ["c"]

    def test_one_killed_before_the_commit_takes_all_of_it_back(self, store: MysqlStore, mysql: Database) -> None:
        def add() -> None:
            with store.transaction():
                store.add_job(a_job("a"))
                mysql.kill_connections()

        with pytest.raises(StoreBusy):
            add()
        assert names(store) == []

    def test_a_restarted_server_is_found_again(self, open_: Open, mysql: Database) -> None:
        store, hasty = open_(), open_(patience_s=0.2)
        store.add_job(a_job("a"))
        mysql.server.stop()
        with pytest.raises(StoreBusy, match="cannot be reached"):
            hasty.add_job(a_job("b"))
        with ThreadPoolExecutor() as pool:
            adding = pool.submit(store.add_job, a_job("c"))  # it waits for the server
            mysql.server.start()
            back = time.monotonic()
            adding.result(timeout=30)
        assert time.monotonic() - back < 5
        assert names(hasty) == ["a", "c"]

    def test_the_pool_has_as_many_connections_as_the_settings_say(self, mysql: Database, tmp_path: Path) -> None:
        settings = Settings(
            home=tmp_path, database_url=mysql.url, database_pool_size=1, database_max_overflow=0,
            database_pool_timeout=1,
        )  # fmt: skip
        store = open_store(settings, patience_s=0)
        with ThreadPoolExecutor() as pool, pytest.raises(StoreBusy, match="connections"):
            pool.submit(store.jobs, JobQuery()).result()
        store.close()

    def test_a_client_that_stops_within_a_transaction_loses_it(self, store: MysqlStore) -> None:
        assert store._rows("SELECT @@idle_write_transaction_timeout", []) == [(10,)]


class TestLocks:
    def test_whoever_writes_meanwhile_is_waited_for(self, open_: Open, mysql: Database) -> None:
        store, hasty = open_(), open_(patience_s=0.2)
        with ThreadPoolExecutor() as pool:
            with contextlib.closing(mysql.server.connect(mysql.name)) as other, other.cursor() as cursor:
                other.begin()
                cursor.execute("UPDATE changes SET writer = 'other'")
                waiting = pool.submit(store.add_job, a_job("a"))
                with pytest.raises(StoreBusy, match="locked"):
                    hasty.add_job(a_job("b"))
                assert not waiting.done()
                other.rollback()
            waiting.result(timeout=10)
        assert names(hasty) == ["a"]

    def test_the_loser_of_a_deadlock_changed_nothing_and_does_it_again(
        self, store: MysqlStore, mysql: Database
    ) -> None:
        job = store.add_job(a_job("a", next_fire_ms=DUE_MS))

        def tick() -> int:
            return len(claim_due(store, [(job.id, DUE_MS)], DUE_MS, "me", "UTC").launch)

        other = mysql.server.connect(mysql.name)
        with ThreadPoolExecutor() as pool, contextlib.closing(other), other.cursor() as cursor:
            other.begin()
            # The server takes back whoever changed less.
            cursor.executemany("INSERT INTO facts VALUES (%s, '')", [(f"x{n}",) for n in range(500)])
            cursor.execute("SELECT * FROM jobs FOR UPDATE")
            losing = pool.submit(tick)
            waits = "SELECT 1 FROM information_schema.processlist WHERE user = %s AND info LIKE 'INSERT%%job_logs%%'"
            wait_for(lambda: mysql.execute(waits, mysql.name), "the claim waits for the job")
            cursor.execute("UPDATE changes SET writer = 'other'")
            with pytest.raises(StoreBusy, match="1213"):
                losing.result(timeout=10)
            other.rollback()
        assert store.runs(RunQuery()) == []
        assert tick() == 1
        assert len(store.runs(RunQuery())) == 1


class Deaf:
    """A way to the server that can be cut when a COMMIT comes: before it is passed on, or before its answer is."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.cut = ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._connect, args=(client,)))
            self._threads[-1].start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            answers = threading.Thread(target=self._copy, args=(server, client))
            answers.start()
            self._ask(client, server)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.cut and b"COMMIT" in data:
                    where, self.cut = self.cut, ""
                    if where == "answer":
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                        server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with contextlib.suppress(OSError):
                    target.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


class TestUnknownCommits:
    """The answer to a COMMIT never comes: it is in, or it is not."""

    @pytest.fixture
    def way(self, mysql: Database) -> Iterator[Deaf]:
        deaf = Deaf(mysql.server.port)
        yield deaf
        deaf.close()

    @pytest.fixture
    def behind(self, way: Deaf, mysql: Database, tmp_path: Path) -> Iterator[MysqlStore]:
        url = mysql.url.replace(f":{mysql.server.port}/", f":{way.port}/")
        store = open_store(Settings(home=tmp_path, database_url=url))
        assert isinstance(store, MysqlStore)
        yield store
        store.close()

    def test_one_that_is_in_is_read_back(self, way: Deaf, behind: MysqlStore) -> None:
        way.cut = "answer"
        added = behind.add_job(a_job("a"))
        assert way.cut == ""
        assert behind.jobs(JobQuery()) == [added]
        assert behind.add_job(a_job("b")).revision == added.revision + 1

    def test_one_that_is_not_is_said(self, way: Deaf, behind: MysqlStore) -> None:
        way.cut = "question"
        with pytest.raises(StoreBusy):
            behind.add_job(a_job("a"))
        assert way.cut == ""
        assert names(behind) == []


class TestSeveralRunners:
    def test_each_of_some_hundred_instants_has_one_winner(self, open_: Open) -> None:
        stores = [open_(patience_s=20), open_(patience_s=20)]
        jobs = [stores[0].add_job(a_job(f"j{n}", interval_s=1, next_fire_ms=DUE_MS)) for n in range(10)]
        instants = range(DUE_MS, DUE_MS + 30_000, 1000)
        together = threading.Barrier(2)

        def run(number: int) -> list[tuple[int | None, int | None]]:
            store, won = stores[number], []
            for now_ms in instants:
                together.wait()
                claims = claim_due(store, [(job.id, now_ms) for job in jobs], now_ms, f"runner {number}", "UTC")
                won += [(found.job_id, found.scheduled_ms) for found in claims.launch]
            return won

        with ThreadPoolExecutor() as pool:
            first, second = pool.map(run, (0, 1))
        assert sorted(first + second) == sorted((job.id, ms) for job in jobs for ms in instants)
        rows = stores[0].runs(RunQuery(limit=1000))
        assert {(row.job_id, row.scheduled_ms, row.owner) for row in rows} == {
            *((*fire, "runner 0") for fire in first), *((*fire, "runner 1") for fire in second)
        }  # fmt: skip
        assert [job.run_count for job in stores[0].jobs(JobQuery())] == [30] * 10

    def test_what_runs_elsewhere_holds_a_serial_job_back_here_too(self, open_: Open) -> None:
        stores = [open_(), open_()]
        jobs = [stores[0].add_job(a_job(f"j{n}", max_run_count=1, next_fire_ms=DUE_MS)) for n in range(20)]

        def run(store: MysqlStore) -> int:
            return len(claim_due(store, [(job.id, DUE_MS) for job in jobs], DUE_MS, "me", "UTC").launch)

        with ThreadPoolExecutor() as pool:
            assert sum(pool.map(run, stores)) == 20
        assert all(job.run_count == 1 for job in stores[0].jobs(JobQuery()))

    def test_the_writes_of_one_whose_runs_were_taken_over_are_refused(self, open_: Open) -> None:
        from pyjobs.jobs import RunState
        from pyjobs.ports import End, Start

        sleeper, other = open_(), open_()
        run = a_run(sleeper.add_job(a_job("a")), owner="sleeper")
        sleeper.claim([claimed(run)], [])
        assert other.take([run.exec_id], "other", "sleeper") == {run.exec_id}
        assert sleeper.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "sleeper") == set()
        end = End(exec_id=run.exec_id, state=RunState.SUCCESS, ended_ms=NOW_MS)
        assert sleeper.end_runs([end], "sleeper") == set()
        found = other.run(run.exec_id)
        assert found is not None
        assert (found.owner, found.state) == ("other", RunState.QUEUED)

    def test_others_hear_of_a_commit(self, open_: Open) -> None:
        mine, other = open_(), open_()
        before = mine.data_version(), mine.version()
        mine.add_job(a_job("a"))
        assert mine.data_version() == before[0]
        other.add_job(a_job("b"))
        assert mine.data_version() != before[0]
        assert mine.version() != before[1]

    def test_an_owner_counts_as_there_for_half_a_minute(self, store: MysqlStore, mysql: Database) -> None:
        assert not store.seen("host/1/2")
        store.note_seen("host/1/2")
        assert store.seen("host/1/2")
        mysql.execute("UPDATE runners SET seen_at = seen_at - 31")
        assert not store.seen("host/1/2")
        store.note_seen("host/1/2")
        assert store.seen("host/1/2")


def make_up_to(database: Database, last: int) -> None:
    """Take the steps up to one."""
    database.execute("CREATE TABLE schema_version (version INT NOT NULL PRIMARY KEY, applied_at DATETIME NULL)")
    with contextlib.closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        for number in range(min(mysql_schema.STEPS), last + 1):
            for statement in mysql_schema.STEPS[number]:
                cursor.execute(statement.replace("{collation}", "utf8mb4_nopad_bin"))
            cursor.execute("INSERT INTO schema_version VALUES (%s, NULL)", (number,))


class TestSchema:
    @pytest.fixture
    def fresh(self, mariadb: Mariadb) -> Iterator[Database]:
        yield Database(mariadb, "fresh")
        mariadb.execute("DROP DATABASE fresh")

    @pytest.mark.parametrize("half", sorted(mysql_schema.STEPS))
    def test_one_that_was_left_half_done_is_gone_on_with(self, fresh: Database, open_: Open, half: int) -> None:
        make_up_to(fresh, half)
        fresh.execute("DELETE FROM schema_version WHERE version = %s", half)
        store = open_(fresh.url)
        before = 0 if half == min(mysql_schema.STEPS) else half - 1
        assert (store.upgraded_from, store.about().schema) == (before, LATEST)
        assert store.add_job(a_job("a")).id

    def test_rows_that_were_there_before_their_counters_are_counted(self, fresh: Database, open_: Open) -> None:
        make_up_to(fresh, 6)
        fresh.execute("INSERT INTO jobs (name, command) VALUES ('a', 'true'), ('b', 'true')")
        fresh.execute(
            "INSERT INTO job_logs (job_id, exec_id, state, source) VALUES (1, 'x', 'success', 'cron'),"
            " (1, 'y', 'failed', 'cron'), (NULL, 'z', 'success', 'manual')"
        )
        store = open_(fresh.url)
        assert store.count_jobs(JobQuery()) == 2
        assert [store.count_runs(RunQuery(job_id=job_id)) for job_id in (1, 2, None)] == [2, 0, 3]
        store.delete_job(1)
        assert [store.count_runs(RunQuery(job_id=job_id)) for job_id in (1, None)] == [0, 3]
        assert store.clear_runs(None, None) == 3
        assert (store.count_runs(RunQuery()), store.count_jobs(JobQuery())) == (0, 1)

    def test_it_says_the_same_as_that_of_sqlite(self) -> None:
        first = min(mysql_schema.STEPS)
        assert sorted(mysql_schema.STEPS) == list(range(first, LATEST + 1))

    def test_several_that_make_it_at_once_make_it_once(self, fresh: Database, tmp_path: Path) -> None:
        def make(number: int) -> None:
            store = open_store(Settings(home=tmp_path, database_url=fresh.url))
            store.add_job(a_job(f"j{number}"))
            store.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(make, range(4)))
        assert fresh.execute("SELECT count(*) FROM jobs") == [(4,)]
        assert fresh.execute("SELECT count(*) FROM schema_version") == [(len(mysql_schema.STEPS),)]

    def test_a_newer_one_and_somebody_elses_are_refused(self, fresh: Database, open_: Open) -> None:
        open_(fresh.url)
        fresh.execute("INSERT INTO schema_version VALUES (999, NULL)")
        with pytest.raises(StoreUnusable, match="999"):
            open_(fresh.url)
        fresh.execute("DROP TABLE schema_version")
        with pytest.raises(StoreUnusable, match="another program"):
            open_(fresh.url)

    def test_names_are_told_apart_as_on_sqlite(self, store: MysqlStore) -> None:
        for name in ("a", "A", "a ", "ä", "🎉", "🎈"):
            store.add_job(a_job(name))
        assert names(store) == sorted(["a", "A", "a ", "ä", "🎉", "🎈"])

    @pytest.mark.parametrize(
        ("server", "collation"),
        [
            ("5.5.5-10.11.6-MariaDB-log", "utf8mb4_nopad_bin"),
            ("8.0.36", "utf8mb4_0900_bin"),
            ("8.4.0-commercial", "utf8mb4_0900_bin"),
            ("8.0.16", "utf8mb4_bin"),
            ("5.7.44-log", "utf8mb4_bin"),
        ],
    )
    def test_each_server_has_its_best_collation(self, server: str, collation: str) -> None:
        assert mysql_schema.collation(server) == collation

    def test_a_row_of_another_program_is_a_job_all_the_same(self, store: MysqlStore, mysql: Database) -> None:
        mysql.execute("INSERT INTO jobs (name, cron_expr, command) VALUES ('Theirs', '0 0 * * *', 'true')")
        mysql.execute("INSERT INTO job_logs (exec_id, state, source, status) VALUES ('e', 'success', 'cron', 0)")
        [job] = store.jobs(JobQuery(name_part="theirs"))
        assert (job.name, job.desc, job.stop_reason) == ("Theirs", "", "")
        [run] = store.runs(RunQuery())
        assert (run.output, run.error, run.command) == ("", "", "")


class TestErrors:
    """Each says what is wrong, and none shows the password."""

    def check(self, exc: PyjobsError) -> None:
        shown = "\n".join(
            [exc.text("en"), exc.text("zh"), exc.hint("en"), exc.hint("zh"), *traceback.format_exception(exc)]
        )
        assert PASSWORD not in shown
        assert "4711" not in shown

    def test_of_a_user_who_is_refused(self, open_: Open, mysql: Database) -> None:
        with pytest.raises(NotAllowed, match="refuses its user") as caught:
            open_(mysql.url.replace(":canary-", ":wrong-"))
        self.check(caught.value)

    def test_of_a_database_that_is_not_there(self, open_: Open, mysql: Database) -> None:
        mysql.server.execute(f"GRANT ALL ON nowhere.* TO '{mysql.name}'@'127.0.0.1'")
        with pytest.raises(StoreUnusable, match="there is no database `nowhere`") as caught:
            open_(mysql.url.replace("/pyjobs", "/nowhere").replace("//nowhere", "//pyjobs"))
        assert "CREATE DATABASE `nowhere`" in caught.value.hint()
        self.check(caught.value)

    def test_of_a_server_that_is_not_there(self, open_: Open, mysql: Database) -> None:
        with contextlib.closing(socket.socket()) as nobody:
            nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
            url = mysql.url.replace(f":{mysql.server.port}/", f":{nobody.getsockname()[1]}/")
            with pytest.raises(StoreBusy, match="cannot be reached") as caught:
                open_(url, patience_s=0.2)
        self.check(caught.value)

    def test_of_a_text_that_is_too_long(self, store: MysqlStore) -> None:
        job = store.add_job(a_job("a"))
        with pytest.raises(PyjobsError, match="does not take it"):
            store.update_job(replace(job, desc="x" * 6000))
        assert store.job(job.id) == job


class TestCommandLine:
    @pytest.fixture
    def cli(self, tmp_path: Path, mysql: Database) -> Cli:
        cli = Cli(tmp_path / "home")
        cli.env |= {"DATABASE_URL": mysql.url.replace(":canary-4711%40%2F%3A%23@", "@"), "DB_PASSWORD": PASSWORD}
        return cli

    def test_jobs_are_kept_on_the_server(self, cli: Cli, mysql: Database) -> None:
        cli("job", "add", "a", "--manual", "--command", "echo here")
        assert [job["name"] for job in cli.json("list")["jobs"]] == ["a"]
        assert mysql.execute("SELECT name FROM jobs") == [("a",)]
        assert not (cli.home / "data" / "jobs.db").exists()

    def test_db_status_says_what_the_store_is(self, cli: Cli, mysql: Database) -> None:
        cli("job", "add", "a", "--manual", "--command", "true")
        found = cli.json("db", "status")
        assert found["type"] == "mysql"
        assert (found["host"], found["database"]) == (f"127.0.0.1:{mysql.server.port}", "pyjobs")
        assert "MariaDB" in found["server"]
        assert (found["schema"], found["counts"]) == (LATEST, {"jobs": 1, "runs": 0, "active": 0})
        assert found["size"] > 0
        assert f"127.0.0.1:{mysql.server.port}" in cli("db", "status")
        assert cli.json("db", "upgrade") == {"schema": LATEST, "from": LATEST}

    def test_the_doctor_looks_for_no_file(self, cli: Cli) -> None:
        cli("job", "add", "a", "--manual", "--command", "true")
        found = cli.json("doctor")["findings"]
        assert {"check_failed", "store_unusable", "no_backup"} & {finding["code"] for finding in found} == set()
        assert "store" not in "".join(finding["code"] for finding in found)

    def test_a_backup_is_the_servers_affair(self, cli: Cli, tmp_path: Path) -> None:
        for words in (["db", "backup"], ["db", "restore", str(tmp_path / "none"), "--yes"]):
            assert "mariadb-dump" in cli.error(*words, code=5)

    def test_nothing_shows_the_password(self, cli: Cli) -> None:
        cli("job", "add", "a", "--manual", "--command", "true")
        for words in (["config", "show"], ["config", "path"], ["status"], ["db", "status"], ["list"]):
            for more in ([], ["--json"]):
                done = cli.try_(*words, *more)
                assert "4711" not in done.output

    def test_a_database_url_that_is_wrong_is_told_by_its_part(self, cli: Cli) -> None:
        err = cli.error("list", code=2, DATABASE_URL="mysql://u:canary/4711@h/db")
        assert "database_url: the port is not a number" in err
        assert "4711" not in err


def test_of_several_hosts_one_tells_alerts(
    open_: Open, mysql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alerter(owner: str) -> tuple[Alerter, FakeClock]:
        monkeypatch.setattr("pyjobs.procs.owner_name", lambda: owner)
        settings, clock = Settings(home=tmp_path, database_url=mysql.url, timezone="UTC"), FakeClock()
        return Alerter(settings, open_(), clock, place_of(settings)), clock

    def step(one: tuple[Alerter, FakeClock]) -> None:
        one[1].advance(10)
        one[0].step()

    store = open_()
    job = store.add_job(a_job("watched", alerts="failures=1"))
    first, second = alerter("host/1/1"), alerter("other/1/1")
    step(first)
    step(second)
    run = a_run(job, owner="me")
    store.claim([claimed(run)], [])
    store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
    store.end_runs([End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=NOW_MS)], "me")
    step(second)
    assert len(store.marks(10)) == 1
    mysql.execute("UPDATE runners SET seen_at = seen_at - 31")
    step(second)
    assert store.marks(10) == []
    assert len(store.incidents()) == 1


def test_the_password_comes_from_a_file_too(mysql: Database, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{PASSWORD}\n")
    url = f"mysql://{mysql.name}@127.0.0.1:{mysql.server.port}/{mysql.name}"
    settings, _ = load(tmp_path, {"DATABASE_URL": url, "DB_PASSWORD_FILE": str(file)})
    store = open_store(settings)
    assert store.add_job(a_job("a")) == store.job_named("a")
    store.close()
    assert PASSWORD not in repr(settings.database)


def test_jobs_are_moved_and_counted_many_at_a_time(store: MysqlStore) -> None:
    jobs: list[Job] = [store.add_job(a_job(f"j{n}", next_fire_ms=DUE_MS)) for n in range(3)]
    jobs.append(store.add_job(a_job("once", next_fire_ms=DUE_MS)))
    runs = [a_run(job, scheduled_ms=DUE_MS + n) for job in jobs for n in range(2)]
    moves = [(job.id, DUE_MS, DUE_MS + 1000) for job in jobs[:3]] + [(jobs[3].id, DUE_MS, None)]
    store.claim([claimed(run, counts=run.job_id != jobs[0].id) for run in runs], moves)
    found = {job.name: job for job in store.jobs(JobQuery())}
    assert [found[f"j{n}"].next_fire_ms for n in range(3)] == [DUE_MS + 1000] * 3
    assert found["once"].next_fire_ms is None
    assert [found[f"j{n}"].run_count for n in range(3)] == [0, 2, 2]
    assert all(job.last_run_ms == NOW_MS for job in found.values())
