"""One suite for all stores (ports.Store). A further store joins by one more entry in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, MemoryStore, a_job, a_run, claimed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mariadb_server import Database

from pyjobs.alerts import Delivery, DeliveryState, Incident, IncidentState, Notice
from pyjobs.config import Settings
from pyjobs.errors import Conflict, NameTaken, NotFound
from pyjobs.jobs import (
    FINAL,
    AllowMode,
    Backoff,
    Fold,
    Gap,
    Job,
    JobState,
    Misfire,
    OnLost,
    Run,
    RunState,
    Source,
    TriggerType,
)
from pyjobs.permits import Admin, ApiToken, IpEntry, IpList
from pyjobs.ports import BUCKETS_MS, End, Event, EventKind, Executed, JobQuery, Page, RunQuery, Start, Store
from pyjobs.store.sqlite import SqliteStore

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "jobs.db"),
}
EVERYTHING = JobQuery()
#: A new example in the same store is fine: each makes names of its own.
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def mysql_store(database: Database, folder: Path) -> Store:
    from pyjobs.store import open_store

    return open_store(Settings(home=folder, database_url=database.url))


@pytest.fixture(params=[*sorted(STORES), "mysql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "mysql":
        opened = mysql_store(request.getfixturevalue("mysql"), tmp_path)
    else:
        opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def put(store: Store, run: Run, *, counts: bool = True) -> Run:
    """Write one run as a claim does; answers it as the store has it."""
    store.claim([claimed(run, counts=counts)], [])
    return got(store, run.exec_id)


def got(store: Store, exec_id: str) -> Run:
    found = store.run(exec_id)
    assert found is not None
    return found


def job_of(store: Store, job_id: int) -> Job:
    found = store.job(job_id)
    assert found is not None
    return found


def end(run: Run, state: RunState = RunState.SUCCESS, **values: Any) -> End:
    return End(exec_id=run.exec_id, state=state, ended_ms=NOW_MS + 5000, **values)


def ended(store: Store, run: Run, state: RunState = RunState.SUCCESS, **values: Any) -> Run:
    """Write a run and its end."""
    put(store, run)
    assert store.end_runs([end(run, state, **values)], run.owner) == {run.exec_id}
    return got(store, run.exec_id)


class TestJobs:
    def test_a_job_is_read_as_it_was_stored(self, store: Store) -> None:
        job = a_job(
            "Ünïcode 任务 🎉 ' \" % _",
            desc="two\nlines",
            trigger_type=TriggerType.CRON,
            cron_expr="*/5 * * * *",
            interval_s=7,
            at_ms=NOW_MS + 123,
            anchor_ms=NOW_MS - 77,
            timezone="Asia/Shanghai",
            dst_gap=Gap.SKIP,
            dst_fold=Fold.BOTH,
            mode="http",
            command="【url】http://x\n【times】3",
            allow_mode=AllowMode.IMMEDIATE,
            misfire=Misfire.ALL,
            catchup_window_s=0,
            max_run_count=9,
            timeout_s=0,
            grace_s=3,
            retry_backoff=Backoff.EXPONENTIAL,
            retry_on="75,timeout",
            on_lost=OnLost.RETRY,
            alerts="failures=3,recovery",
            state=JobState.STOPPED,
            stop_reason="why",
            next_fire_ms=NOW_MS + 1,
        )
        added = store.add_job(job)
        assert added == replace(job, id=added.id, revision=added.revision)
        assert added.id > 0
        assert added.revision > 0
        assert store.job(added.id) == added
        assert store.job_named(job.name) == added

    def test_ids_are_never_given_again(self, store: Store) -> None:
        first = store.add_job(a_job("a"))
        store.delete_job(first.id)
        assert store.add_job(a_job("a")).id > first.id

    def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert store.job(1) is None
        assert store.job_named("") is None
        assert store.jobs(EVERYTHING) == []
        assert store.jobs_by_id([1, 2]) == {}

    def test_a_name_can_be_taken_once(self, store: Store) -> None:
        store.add_job(a_job("a"))
        with pytest.raises(NameTaken):
            store.add_job(a_job("a"))
        other = store.add_job(a_job("A"))
        with pytest.raises(NameTaken):
            store.update_job(replace(other, name="a"))
        assert [job.name for job in store.jobs(EVERYTHING)] == ["A", "a"]

    def test_a_refused_job_leaves_the_revision(self, store: Store) -> None:
        store.add_job(a_job("a"))
        before, _ = store.due_changes(0)
        with pytest.raises(NameTaken):
            store.add_job(a_job("a"))
        assert store.due_changes(0)[0] == before

    def test_an_update_writes_all_fields_and_has_a_new_revision(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        changed = store.update_job(replace(job, name="b", desc="d", grace_s=99, next_fire_ms=None))
        assert changed.revision > job.revision
        assert store.job(job.id) == changed == replace(job, **_of(changed, "name desc grace_s next_fire_ms revision"))

    def test_an_update_of_an_old_revision_is_a_conflict(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        newer = store.update_job(replace(job, desc="1"))
        with pytest.raises(Conflict):
            store.update_job(replace(job, desc="2"))
        assert store.job(job.id) == newer

    def test_an_update_of_an_unknown_job_is_not_found(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        store.delete_job(job.id)
        with pytest.raises(NotFound):
            store.update_job(job)

    def test_an_update_does_not_touch_what_runs_say(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        ended(store, a_run(job), duration_ms=12)
        store.update_job(replace(job, run_count=50, last_run_ms=1, last_state=None))
        found = job_of(store, job.id)
        assert (found.run_count, found.last_run_ms, found.last_state, found.last_duration_ms) == (
            1,
            NOW_MS,
            RunState.SUCCESS,
            12,
        )

    def test_names_are_found_by_their_beginning(self, store: Store) -> None:
        ids = {name: store.add_job(a_job(name)).id for name in ("ab", "abc", "b", "a%", "a_b", "任务一", "任务二")}
        assert store.names_starting("ab", 9) == [(ids["ab"], "ab"), (ids["abc"], "abc")]
        assert store.names_starting("a%", 9) == [(ids["a%"], "a%")]
        assert store.names_starting("a_", 9) == [(ids["a_b"], "a_b")]
        assert store.names_starting("任务", 9) == [(ids["任务一"], "任务一"), (ids["任务二"], "任务二")]
        assert store.names_starting("", 3) == [(ids[n], n) for n in ("a%", "a_b", "ab")]
        assert store.names_starting("x", 9) == []

    def test_pages_are_newest_first_and_complete(self, store: Store) -> None:
        names = [store.add_job(a_job(f"j{n}")).name for n in range(7)]
        pages = [[job.name for job in store.jobs(EVERYTHING, Page(number=n, size=3))] for n in (1, 2, 3, 4)]
        assert pages == [["j6", "j5", "j4"], ["j3", "j2", "j1"], ["j0"], []]
        assert store.count_jobs(EVERYTHING) == len(names)

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ("BACK", {"backup"}),
            ("up", {"backup", "UPPER"}),
            ("%", {"50%"}),
            ("_", {"a_b"}),
            ("ärger", {"ÄRGER"}),
            ("", {"backup", "UPPER", "50%", "a_b", "ÄRGER"}),
            ("nothing", set()),
        ],
    )
    def test_a_part_of_a_name_is_literal_and_ignores_case(self, store: Store, part: str, expected: set[str]) -> None:
        for name in ("backup", "UPPER", "50%", "a_b", "ÄRGER"):
            store.add_job(a_job(name))
        query = JobQuery(name_part=part)
        assert {job.name for job in store.jobs(query)} == expected
        assert store.count_jobs(query) == len(expected)

    def test_filters_join(self, store: Store) -> None:
        store.add_job(a_job("a", mode="http"))
        store.add_job(a_job("b", state=JobState.STOPPED))
        running = store.add_job(a_job("c"))
        run = put(store, a_run(running))

        def names(**query: Any) -> list[str]:
            return [job.name for job in store.jobs(JobQuery(**query))]

        assert names(mode="http") == ["a"]
        assert names(state=2) == ["b"]
        assert names(state=0) == ["c", "a"]
        assert names(state=0, mode="http", name_part="A") == ["a"]
        assert names(state=1) == []  # it is queued
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        assert names(state=1) == ["c"]
        assert store.count_jobs(JobQuery(state=1)) == 1
        store.end_runs([end(run)], "me")
        assert names(state=1) == []

    def test_deleting_a_job_keeps_its_runs(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        run = ended(store, a_run(job, scheduled_ms=NOW_MS), output="kept")
        active = put(store, a_run(job, scheduled_ms=NOW_MS + 1))
        assert store.delete_job(job.id)
        assert not store.delete_job(job.id)
        assert got(store, run.exec_id) == replace(run, job_id=None)
        assert got(store, active.exec_id) == replace(active, job_id=None)
        assert store.end_runs([end(active)], "me") == {active.exec_id}

    def test_the_count_can_start_again(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        put(store, a_run(job))
        store.reset_run_count(job.id)
        assert job_of(store, job.id).run_count == 0

    def test_a_job_stops_itself_for_a_reason(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        store.stop_job_itself(job.id, "limit reached", NOW_MS + 9000)
        found = job_of(store, job.id)
        assert (found.state, found.stop_reason, found.next_fire_ms) == (JobState.STOPPED, "limit reached", None)
        assert found.updated_ms == NOW_MS + 9000
        assert found.revision > job.revision

    @SHARED
    @given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
    def test_any_text_is_kept(self, store: Store, name: str) -> None:
        job = store.job_named(name) or store.add_job(a_job(name, desc=name, command=name))
        assert store.job(job.id) == store.job_named(name) == job
        assert (job.id, name) in store.names_starting(name, 1000)
        assert job in store.jobs(JobQuery(name_part=name))


def _of(job: Job, names: str) -> dict[str, Any]:
    return {name: getattr(job, name) for name in names.split()}


class TestChanges:
    def test_a_runner_hears_of_what_changed_since(self, store: Store) -> None:
        first, second = store.add_job(a_job("a")), store.add_job(a_job("b"))
        newest, changes = store.due_changes(0)
        assert newest == second.revision
        assert sorted(changes) == [(first.id, first.next_fire_ms), (second.id, second.next_fire_ms)]
        assert store.due_changes(newest) == (newest, [])
        changed = store.update_job(replace(first, next_fire_ms=NOW_MS + 1))
        assert store.due_changes(newest) == (changed.revision, [(first.id, NOW_MS + 1)])

    def test_a_stopped_job_has_no_next_fire(self, store: Store) -> None:
        job, other = store.add_job(a_job("a")), store.add_job(a_job("b"))
        store.stop_job_itself(job.id, "why", NOW_MS)
        assert store.due_changes(other.revision)[1] == [(job.id, None)]
        assert store.due_changes(0)[1] == [(other.id, other.next_fire_ms)]

    def test_a_stopped_job_with_a_next_fire_has_none(self, store: Store) -> None:
        before = store.add_job(a_job("x")).revision
        job = store.add_job(a_job("a", state=JobState.STOPPED, next_fire_ms=NOW_MS))
        assert store.due_changes(before)[1] == [(job.id, None)]

    def test_jobs_are_read_at_once(self, store: Store) -> None:
        jobs = [store.add_job(a_job(f"j{n}")) for n in range(3)]
        assert store.jobs_by_id([jobs[0].id, jobs[2].id, 999, jobs[0].id]) == {
            jobs[0].id: jobs[0],
            jobs[2].id: jobs[2],
        }
        assert store.jobs_by_id([]) == {}

    def test_many_ids_are_no_problem(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        run = put(store, a_run(job))
        ids = [*range(10_000, 12_500), job.id]
        assert list(store.jobs_by_id(ids)) == [job.id]
        assert store.active_runs(ids) == [run]


class TestZones:
    def test_those_of_jobs_that_are_not_stopped_each_once(self, store: Store) -> None:
        for name, zone in (("a", "Europe/Berlin"), ("b", "Europe/Berlin"), ("c", ""), ("d", "Asia/Tokyo")):
            store.add_job(a_job(name, timezone=zone))
        store.add_job(a_job("e", timezone="America/Lima", state=JobState.STOPPED))
        assert sorted(store.job_zones()) == ["Asia/Tokyo", "Europe/Berlin"]

    def test_what_is_stored_here_makes_sense(self, store: Store) -> None:
        store.add_job(a_job("a"))
        assert store.broken_jobs() == []


class TestTransactions:
    def test_an_exception_takes_everything_back(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012 - what is taken back
            store.add_job(a_job("b"))
            store.update_job(replace(job, desc="changed"))
            store.set_fact("f", "1")
            put(store, a_run(job))
            raise ZeroDivisionError
        assert store.jobs(EVERYTHING) == [job]
        assert store.fact("f") is None
        assert store.runs(RunQuery()) == []
        assert store.due_changes(0)[0] == job.revision

    def test_an_inner_one_joins_the_outer_one(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012 - what is taken back
            with store.transaction(durable=False):
                store.add_job(a_job("a"))
            raise ZeroDivisionError
        assert store.jobs(EVERYTHING) == []
        with store.transaction(), store.transaction():
            store.add_job(a_job("a"))
        assert store.count_jobs(EVERYTHING) == 1

    def test_an_error_that_was_handled_inside_takes_nothing_back(self, store: Store) -> None:
        with store.transaction():
            store.add_job(a_job("a"))
            with pytest.raises(NameTaken):
                store.add_job(a_job("a"))
            store.add_job(a_job("b"))
        assert store.count_jobs(EVERYTHING) == 2

    def test_after_a_rollback_it_goes_on(self, store: Store) -> None:
        for durable in (True, False, True):
            with pytest.raises(KeyError), store.transaction(durable=durable):
                raise KeyError
        assert store.add_job(a_job("a")).id

    def test_the_writer_sees_its_own_writes(self, store: Store) -> None:
        with store.transaction():
            job = store.add_job(a_job("a"))
            assert store.job(job.id) == job


class TestClaims:
    def test_a_claim_writes_rows_and_moves_its_job(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        run = a_run(job, scheduled_ms=NOW_MS + 60_000, claimed_ms=NOW_MS + 60_003)
        with store.transaction():
            assert store.claim([claimed(run)], [(job.id, NOW_MS + 60_000, NOW_MS + 120_000)]) == {run.exec_id}
        found = got(store, run.exec_id)
        assert found == replace(run, id=found.id)
        moved = job_of(store, job.id)
        assert moved.next_fire_ms == NOW_MS + 120_000
        assert moved.run_count == 1
        assert moved.last_run_ms == NOW_MS + 60_000
        assert moved.revision == job.revision

    def test_the_same_fire_is_claimed_once(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        first = a_run(job, scheduled_ms=NOW_MS)
        assert store.claim([claimed(first)], [(job.id, NOW_MS + 60_000, NOW_MS + 120_000)]) == {first.exec_id}
        before = store.job(job.id)
        again = a_run(job, scheduled_ms=NOW_MS, owner="somebody else")
        assert store.claim([claimed(again)], [(job.id, NOW_MS + 60_000, NOW_MS + 180_000)]) == set()
        assert store.run(again.exec_id) is None
        assert store.job(job.id) == before

    def test_the_same_rows_are_claimed_once(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        row = claimed(a_run(job, scheduled_ms=NOW_MS))
        store.claim([row], [])
        assert store.claim([row], []) == set()
        assert job_of(store, job.id).run_count == 1

    def test_of_several_rows_only_the_new_ones_are_answered(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        put(store, a_run(job, scheduled_ms=NOW_MS))
        rows = [claimed(a_run(job, scheduled_ms=NOW_MS + n)) for n in range(3)]
        assert store.claim(rows, []) == {rows[1].run.exec_id, rows[2].run.exec_id}
        assert job_of(store, job.id).run_count == 3

    def test_starts_by_hand_have_no_instant_and_do_not_collide(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        rows = [claimed(a_run(job, source=Source.MANUAL, owner=None), counts=False) for _ in range(2)]
        assert len(store.claim(rows, [])) == 2
        assert job_of(store, job.id).run_count == 0
        assert job_of(store, job.id).last_run_ms == NOW_MS

    def test_the_same_instant_of_two_jobs_is_two_fires(self, store: Store) -> None:
        rows = [claimed(a_run(store.add_job(a_job(n)), scheduled_ms=NOW_MS)) for n in "ab"]
        assert len(store.claim(rows, [])) == 2

    @pytest.mark.parametrize("state", [RunState.SKIPPED, RunState.MISSED])
    def test_what_is_born_final_counts_for_nothing(self, store: Store, state: RunState) -> None:
        job = store.add_job(a_job("a"))
        run = a_run(
            job, state=state, scheduled_ms=NOW_MS, first_ms=NOW_MS - 5, fires=3, ended_ms=NOW_MS, error="because"
        )
        found = put(store, run, counts=False)
        assert found == replace(run, id=found.id)
        assert found.state.status is None
        unchanged = job_of(store, job.id)
        assert (unchanged.run_count, unchanged.last_run_ms, unchanged.last_state) == (0, None, None)

    def test_a_job_that_was_changed_meanwhile_is_not_moved(self, store: Store) -> None:
        job = store.add_job(a_job("a", next_fire_ms=NOW_MS + 7))
        store.claim([], [(job.id, NOW_MS + 6, NOW_MS + 60_000), (999, 1, 2)])
        assert store.job(job.id) == job

    def test_the_last_fire_leaves_no_next_one(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        store.claim([], [(job.id, NOW_MS + 60_000, None)])
        assert job_of(store, job.id).next_fire_ms is None

    def test_an_empty_claim_is_fine(self, store: Store) -> None:
        assert store.claim([], []) == set()

    def test_many_rows_at_once(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        old = [claimed(a_run(job, scheduled_ms=NOW_MS + n)) for n in range(0, 1200, 2)]
        store.claim(old, [])
        rows = [claimed(a_run(job, scheduled_ms=NOW_MS + n)) for n in range(1200)]
        assert store.claim(rows, []) == {row.run.exec_id for row in rows[1::2]}
        assert job_of(store, job.id).run_count == 1200

    def test_names_of_runs_are_fresh(self, store: Store) -> None:
        names = store.next_exec_ids(300) + store.next_exec_ids(1)
        assert len(set(names)) == 301
        assert {len(name) for name in names} == {16}
        assert store.next_exec_ids(0) == []


class TestOwners:
    def test_a_run_is_taken_from_whom_one_expects(self, store: Store) -> None:
        mine, nobodys = put(store, a_run(owner="x")), put(store, a_run(owner=None))
        names = [mine.exec_id, nobodys.exec_id, "unknown"]
        assert store.take(names, "me", None) == {nobodys.exec_id}
        assert store.take(names, "me", "y") == set()
        assert store.take(names, "me", "x") == {mine.exec_id}
        assert {run.owner for run in store.active_runs()} == {"me"}
        assert store.take([], "me", None) == set()

    def test_a_final_run_is_not_taken(self, store: Store) -> None:
        run = ended(store, a_run(owner=None))
        assert store.take([run.exec_id], "me", None) == set()

    def test_unowned_are_queued_runs_without_owner(self, store: Store) -> None:
        first, second = put(store, a_run(owner=None)), put(store, a_run(owner=None))
        put(store, a_run(owner="me"))
        ended(store, a_run(owner=None))
        assert store.unowned_runs() == [first, second]
        store.take([first.exec_id], "me", None)
        assert store.unowned_runs() == [second]

    def test_active_runs_are_oldest_first(self, store: Store) -> None:
        jobs = [store.add_job(a_job(name)) for name in "ab"]
        runs = [put(store, a_run(jobs[n % 2])) for n in range(4)]
        ended(store, a_run(jobs[0]))
        assert store.active_runs() == runs
        assert store.active_runs([jobs[1].id]) == [runs[1], runs[3]]
        assert store.active_runs([jobs[1].id, jobs[0].id]) == runs
        assert store.active_runs([]) == []


class TestStarts:
    def test_a_queued_run_is_started_by_its_owner(self, store: Store) -> None:
        run = put(store, a_run())
        start = Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS + 50)
        assert store.start_runs([start], "other") == set()
        assert store.start_runs([start], "me") == {run.exec_id}
        assert got(store, run.exec_id) == replace(
            run, state=RunState.RUNNING, attempt=1, started_ms=NOW_MS + 50, pid=None
        )

    def test_a_later_attempt_keeps_the_start(self, store: Store) -> None:
        run = put(store, a_run())
        for attempt in (1, 2):
            start = Start(
                exec_id=run.exec_id, attempt=attempt, started_ms=NOW_MS + attempt, pid=attempt, pid_start=2**40
            )
            store.start_runs([start], "me")
        found = got(store, run.exec_id)
        assert (found.attempt, found.started_ms, found.pid, found.pid_start) == (2, NOW_MS + 1, 2, 2**40)

    def test_what_is_final_or_unknown_is_not_started(self, store: Store) -> None:
        run = ended(store, a_run())
        starts = [Start(exec_id=e, attempt=1, started_ms=NOW_MS) for e in (run.exec_id, "unknown")]
        assert store.start_runs(starts, "me") == set()
        assert got(store, run.exec_id) == run
        assert store.start_runs([], "me") == set()


class TestEnds:
    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_an_end_is_written_once(self, store: Store, state: RunState) -> None:
        run = put(store, a_run())
        first = end(run, state, duration_ms=1, exit_code=2, signal=3, error="e", output="oe", stderr_at=1)
        assert store.end_runs([first], "me") == {run.exec_id}
        found = got(store, run.exec_id)
        assert found == replace(
            run,
            state=state,
            ended_ms=NOW_MS + 5000,
            duration_ms=1,
            exit_code=2,
            signal=3,
            error="e",
            output="oe",
            stderr_at=1,
        )
        for other in FINAL - {state}:
            assert store.end_runs([end(run, other)], "me") == set()
        assert got(store, run.exec_id) == found

    def test_only_the_owner_ends_a_run(self, store: Store) -> None:
        run, unowned = put(store, a_run(owner="me")), put(store, a_run(owner=None))
        assert store.end_runs([end(run), end(unowned)], "other") == set()
        assert store.end_runs([end(run), end(unowned)], None) == {unowned.exec_id}
        assert store.end_runs([end(run), end(unowned)], "me") == {run.exec_id}

    def test_an_unknown_run_has_no_end(self, store: Store) -> None:
        assert store.end_runs([End(exec_id="unknown", state=RunState.LOST, ended_ms=NOW_MS)], "me") == set()
        assert store.end_runs([], "me") == set()

    def test_the_job_knows_its_last_end(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        ended(store, a_run(job), RunState.FAILED, duration_ms=40)
        assert (job_of(store, job.id).last_state, job_of(store, job.id).last_duration_ms) == (RunState.FAILED, 40)
        ended(store, a_run(job), RunState.LOST)
        assert (job_of(store, job.id).last_state, job_of(store, job.id).last_duration_ms) == (RunState.LOST, 40)

    @pytest.mark.parametrize(
        ("source", "left"), [(Source.CRON, 0), (Source.CATCHUP, 0), (Source.MANUAL, 1), (Source.RETRY, 1)]
    )
    def test_what_was_claimed_but_skipped_does_not_count(self, store: Store, source: Source, left: int) -> None:
        job = store.add_job(a_job("a"))
        ended(store, a_run(job, source=source), RunState.SKIPPED)
        found = job_of(store, job.id)
        assert found.run_count == left
        assert found.last_state is None

    def test_the_count_never_falls_below_zero(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        run = put(store, a_run(job))
        store.reset_run_count(job.id)
        store.end_runs([end(run, RunState.SKIPPED)], "me")
        assert job_of(store, job.id).run_count == 0

    def test_several_ends_at_once_answer_those_that_changed(self, store: Store) -> None:
        runs = [put(store, a_run()) for _ in range(3)]
        store.end_runs([end(runs[0])], "me")
        assert store.end_runs([end(run) for run in runs], "me") == {runs[1].exec_id, runs[2].exec_id}

    @SHARED
    @given(
        out=st.text(st.characters(exclude_categories=["Cs"])),
        err=st.text(st.characters(exclude_categories=["Cs"])),
        error=st.text(st.characters(exclude_categories=["Cs"])),
    )
    def test_any_output_is_kept(self, store: Store, out: str, err: str, error: str) -> None:
        run = ended(store, a_run(), RunState.FAILED, output=out + err, stderr_at=len(out), error=error)
        assert (run.stdout, run.stderr, run.error) == (out, err, error)

    @pytest.mark.parametrize("piece", ["x", "\0", "🎉", "é\n", "\x1b[31m", "\r\n"])
    def test_long_output_is_kept(self, store: Store, piece: str) -> None:
        text = piece * 65536
        run = ended(store, a_run(), output=text + "err", stderr_at=len(text))
        assert run.stdout == text
        assert run.stderr == "err"
        assert store.runs(RunQuery(limit=1)) == [run]


def executed(store: Store, job: Job, state: RunState = RunState.SUCCESS, **values: Any) -> None:
    """A run that was launched, and how it ended."""
    run = put(store, a_run(job))
    store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
    store.end_runs([end(run, state, **values)], "me")


class TestCounters:
    def test_each_job_has_what_it_executed(self, store: Store) -> None:
        assert store.executed() == []
        one, two = store.add_job(a_job("one")), store.add_job(a_job("two", mode="http"))
        executed(store, one, duration_ms=BUCKETS_MS[0])
        executed(store, one, RunState.FAILED, duration_ms=BUCKETS_MS[0] + 1)
        executed(store, one, RunState.TIMEOUT, duration_ms=BUCKETS_MS[-1] + 1)
        executed(store, two, RunState.KILLED, duration_ms=0)
        nothing = [0] * (len(BUCKETS_MS) + 1)
        assert store.executed() == [
            Executed(
                job_id=one.id,
                name="one",
                mode=one.mode,
                runs=3,
                failed=2,
                duration_ms=2 * BUCKETS_MS[0] + BUCKETS_MS[-1] + 2,
                buckets=(1, 1, *nothing[3:], 1),
            ),
            Executed(
                job_id=two.id, name="two", mode="http", runs=1, failed=1, duration_ms=0, buckets=(1, *nothing[1:])
            ),
        ]

    @pytest.mark.parametrize("state", [RunState.SKIPPED, RunState.LOST, RunState.KILLED])
    def test_what_was_never_launched_is_not_executed(self, store: Store, state: RunState) -> None:
        ended(store, a_run(store.add_job(a_job())), state)
        assert store.executed() == []

    def test_a_run_is_counted_once_and_stays_counted_without_its_row(self, store: Store) -> None:
        job = store.add_job(a_job())
        run = put(store, a_run(job))
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        assert store.executed() == []
        for _ in range(2):
            store.end_runs([end(run)], "me")
        store.clear_runs(None, None)
        assert [(found.job_id, found.runs) for found in store.executed()] == [(job.id, 1)]

    def test_what_deleted_jobs_executed_is_job_0(self, store: Store) -> None:
        for name in ("a", "b"):
            job = store.add_job(a_job(name))
            executed(store, job, RunState.FAILED, duration_ms=7)
            run = put(store, a_run(job))
            store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
            store.delete_job(job.id)
            store.end_runs([end(run, duration_ms=1)], "me")
        [deleted] = store.executed()
        assert (deleted.job_id, deleted.name, deleted.runs, deleted.failed) == (0, "", 4, 2)
        assert deleted.duration_ms == 16
        assert deleted.buckets[:2] == (2, 2)

    def test_ends_are_counted_by_minute(self, store: Store) -> None:
        job, minute = store.add_job(a_job()), NOW_MS // 60_000
        for ago, state in ((0, RunState.SUCCESS), (1, RunState.FAILED), (59, RunState.SUCCESS), (60, RunState.LOST)):
            run = put(store, a_run(job))
            store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
            store.end_runs([replace(end(run, state), ended_ms=NOW_MS - ago * 60_000)], "me")
        assert store.executed_since(minute - 59) == (3, 1)
        assert store.executed_since(minute) == (1, 0)
        assert store.executed_since(minute + 1) == (0, 0)

    def test_what_is_rolled_back_is_not_counted(self, store: Store) -> None:
        job = store.add_job(a_job())

        def lose() -> None:
            with store.transaction():
                executed(store, job)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            lose()
        assert store.executed() == []


class TestKillRequests:
    def test_the_owner_hears_who_asked(self, store: Store) -> None:
        run, other = put(store, a_run()), put(store, a_run(owner="other"))
        assert store.request_kill(run.exec_id, "Ann O'Neil 张")
        assert store.request_kill(other.exec_id, "you")
        assert store.kill_requests("me") == {run.exec_id: "Ann O'Neil 张"}
        assert got(store, run.exec_id).kill_by == "Ann O'Neil 张"

    def test_after_its_end_nothing_is_asked(self, store: Store) -> None:
        run = put(store, a_run())
        store.request_kill(run.exec_id, "me")
        store.end_runs([end(run, RunState.KILLED)], "me")
        assert store.kill_requests("me") == {}
        assert not store.request_kill(run.exec_id, "me")
        assert not store.request_kill("unknown", "me")


class TestFindingRuns:
    def test_a_run_is_found_by_its_beginning(self, store: Store) -> None:
        names = ["aa11", "aa22", "ab%_", "b"]
        for name in names:
            put(store, a_run(exec_id=name))
        assert [r.exec_id for r in store.runs_starting("aa", 9)] == ["aa22", "aa11"]
        assert [r.exec_id for r in store.runs_starting("a", 2)] == ["ab%_", "aa22"]
        assert store.runs_starting("a%", 9) == store.runs_starting("a_", 9) == []
        assert store.run("aa") is None

    def test_runs_are_newest_first_and_paged_by_key(self, store: Store) -> None:
        runs = [put(store, a_run()) for _ in range(5)]
        first = store.runs(RunQuery(limit=2))
        second = store.runs(RunQuery(limit=2, before_id=first[-1].id))
        last = store.runs(RunQuery(limit=2, before_id=second[-1].id))
        assert [*first, *second, *last] == runs[::-1]
        assert store.runs(RunQuery(limit=2, before_id=last[-1].id)) == []

    def test_filters_join(self, store: Store) -> None:
        jobs = [store.add_job(a_job(name)) for name in "ab"]
        made = [
            ended(store, a_run(jobs[n % 2], claimed_ms=NOW_MS + n * 1000), state)
            for n, state in enumerate([RunState.SUCCESS, RunState.FAILED, RunState.FAILED, RunState.LOST])
        ]
        made.append(put(store, a_run(jobs[0], claimed_ms=NOW_MS + 4000, source=Source.MANUAL)))

        def found(**query: Any) -> list[int]:
            return [made.index(run) for run in store.runs(RunQuery(**query))]

        assert found(job_id=jobs[0].id) == [4, 2, 0]
        assert found(job_name=jobs[0].name) == [4, 2, 0]
        assert found(job_name="nobody") == []
        assert found(states=frozenset({RunState.FAILED, RunState.LOST})) == [3, 2, 1]
        assert found(states=frozenset()) == []
        assert found(source=Source.MANUAL) == [4]
        assert found(since_ms=NOW_MS + 1000, until_ms=NOW_MS + 3000) == [2, 1]
        assert found(since_ms=NOW_MS + 1000, job_id=jobs[0].id, states=frozenset({RunState.FAILED})) == [2]
        assert found(since_ms=NOW_MS + 9000) == []
        assert found(until_ms=NOW_MS) == []
        assert found(since_ms=0, before_id=made[1].id) == [0]

    def test_a_clock_that_was_set_back_hides_no_run(self, store: Store) -> None:
        early = put(store, a_run(claimed_ms=NOW_MS))
        late = put(store, a_run(claimed_ms=NOW_MS - 50_000))
        assert store.runs(RunQuery(since_ms=NOW_MS - 60_000)) == [late, early]
        assert store.runs(RunQuery(since_ms=NOW_MS - 1)) == [early]


class TestClearing:
    def test_active_runs_are_never_deleted(self, store: Store) -> None:
        queued, running = put(store, a_run()), put(store, a_run())
        store.start_runs([Start(exec_id=running.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        for state in FINAL:
            ended(store, a_run(), state)
        assert store.clear_runs(None, None) == len(FINAL)
        assert {r.exec_id for r in store.runs(RunQuery())} == {queued.exec_id, running.exec_id}
        assert store.clear_runs(None, None) == 0

    def test_of_one_job_and_before_an_instant(self, store: Store) -> None:
        jobs = [store.add_job(a_job(name)) for name in "ab"]
        runs = [ended(store, a_run(jobs[n % 2], claimed_ms=NOW_MS + n)) for n in range(6)]
        assert store.clear_runs(jobs[0].id, NOW_MS + 4) == 2
        assert store.runs(RunQuery()) == [runs[n] for n in (5, 4, 3, 1)]
        assert store.clear_runs(None, NOW_MS + 4) == 2
        assert store.clear_runs(jobs[1].id, None) == 1
        assert store.runs(RunQuery()) == [runs[4]]

    def test_more_than_one_batch(self, store: Store) -> None:
        runs = [a_run(state=RunState.SKIPPED, ended_ms=NOW_MS) for _ in range(1100)]
        store.claim([claimed(run, counts=False) for run in runs], [])
        assert store.clear_runs(None, None) == 1100
        assert store.runs(RunQuery()) == []


class TestPermits:
    """Who may come in."""

    def test_each_list_has_a_network_once_and_keeps_the_order(self, store: Store) -> None:
        first = IpEntry(list=IpList.ALLOW, network="2001:db8::/32", added_ms=NOW_MS, by="me@测试")
        second = IpEntry(list=IpList.ALLOW, network="10.1.2.3", added_ms=NOW_MS + 1)
        denied = IpEntry(list=IpList.DENY, network="10.1.2.3", added_ms=NOW_MS + 2, by="x")
        assert [store.add_ip_entry(e) for e in (first, second, denied)] == [True] * 3
        assert not store.add_ip_entry(replace(first, by="somebody else"))
        assert store.ip_entries() == [first, second, denied]

    def test_an_entry_is_removed_from_its_own_list(self, store: Store) -> None:
        allowed = IpEntry(list=IpList.ALLOW, network="10.1.2.3", added_ms=NOW_MS)
        denied = replace(allowed, list=IpList.DENY)
        store.add_ip_entry(allowed)
        assert not store.remove_ip_entry(denied)
        store.add_ip_entry(denied)
        assert store.remove_ip_entry(allowed)
        assert not store.remove_ip_entry(allowed)
        assert store.ip_entries() == [denied]

    def test_a_token_is_read_as_it_was_stored(self, store: Store) -> None:
        token = ApiToken(name="ci 测试", digest="ab" * 32, scopes=frozenset({"run", "read"}), created_ms=NOW_MS)
        stored = store.add_api_token(token)
        assert stored == replace(token, id=stored.id)
        assert stored.id > 0
        other = store.add_api_token(replace(token, name="other"))
        assert store.api_tokens() == [stored, other]
        with pytest.raises(Conflict):
            store.add_api_token(token)
        store.note_token_use({other.id: NOW_MS + 7, 999: NOW_MS})
        assert store.api_tokens() == [stored, replace(other, used_ms=NOW_MS + 7)]
        assert (store.remove_api_token("other"), store.remove_api_token("other")) == (True, False)
        assert store.api_tokens() == [stored]

    def test_an_admin_is_added_changed_and_removed(self, store: Store) -> None:
        admin = store.add_admin(Admin(name="ops", password="scrypt$…", created_ms=NOW_MS))
        assert store.admins() == [admin]
        with pytest.raises(Conflict):
            store.add_admin(admin)
        changed = replace(admin, password="other", active=False, epoch=3, login_ms=NOW_MS + 5)
        assert store.update_admin(replace(changed, name="ignored", created_ms=0))
        assert store.admins() == [changed]
        assert not store.update_admin(replace(changed, id=admin.id + 1))
        assert (store.remove_admin(admin.id), store.remove_admin(admin.id)) == (True, False)
        assert store.admins() == []

    def test_a_transaction_that_fails_leaves_them_as_they_were(self, store: Store) -> None:
        token = ApiToken(name="ci", digest="x", scopes=frozenset({"read"}))

        def change() -> None:
            with store.transaction():
                store.add_ip_entry(IpEntry(list=IpList.DENY, network="10.0.0.0/8", added_ms=NOW_MS))
                store.add_api_token(token)
                store.add_admin(Admin(name="ops", password="p"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            change()
        assert (store.ip_entries(), store.api_tokens(), store.admins()) == ([], [], [])


class TestFacts:
    def test_a_fact_is_kept_changed_and_forgotten(self, store: Store) -> None:
        assert store.fact("paused") is None
        store.set_fact("paused", "是 ' %")
        assert store.fact("paused") == "是 ' %"
        store.set_fact("paused", "")
        assert store.fact("paused") == ""
        store.set_fact("paused", None)
        store.set_fact("paused", None)
        assert store.fact("paused") is None

    def test_figures_count_by_state(self, store: Store) -> None:
        assert store.figures() == {"jobs": {}, "runs": {}}
        job = store.add_job(a_job("a"))
        store.add_job(a_job("b", state=JobState.STOPPED))
        store.add_job(a_job("c"))
        put(store, a_run(job))
        run = put(store, a_run(job))
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        ended(store, a_run(job))
        assert store.figures() == {"jobs": {0: 2, 2: 1}, "runs": {"queued": 1, "running": 1}}

    def test_the_version_stays_while_nobody_else_writes(self, store: Store) -> None:
        before = store.data_version()
        store.set_fact("x", "y")
        assert store.data_version() == before


class TestTogether:
    """Several transactions that are one commit."""

    def test_one_that_fails_is_undone_by_itself(self, store: Store) -> None:
        def fails() -> None:
            with store.transaction():
                store.add_job(a_job("half"))
                store.add_job(a_job("first"))

        with store.together():
            store.add_job(a_job("first"))
            with pytest.raises(NameTaken):
                fails()
            store.add_job(a_job("last"))
        assert [job.name for job in store.jobs(JobQuery(order="name"))] == ["first", "last"]
        with pytest.raises(NameTaken):
            fails()
        assert len(store.jobs(EVERYTHING)) == 2

    def test_all_are_undone_when_it_does_not_come_to_its_end(self, store: Store) -> None:
        def breaks() -> None:
            with store.together():
                store.add_job(a_job("a"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            breaks()
        assert store.jobs(EVERYTHING) == []
        store.add_job(a_job("a"))

    def test_what_is_inside_of_one_of_them_joins_it(self, store: Store) -> None:
        with store.together(), store.transaction():
            first = store.add_job(a_job("a"))
            store.update_job(replace(first, desc="x"))
        assert [job.desc for job in store.jobs(EVERYTHING)] == ["x"]


class TestTallies:
    def test_ends_are_summed_up_by_job(self, store: Store) -> None:
        one, other = store.add_job(a_job("one")), store.add_job(a_job("other"))
        ends = [(one, RunState.SUCCESS, 100), (one, RunState.FAILED, 300), (one, RunState.TIMEOUT, 50),
                (one, RunState.LOST, None), (other, RunState.KILLED, 7)]  # fmt: skip
        for number, (job, state, took) in enumerate(ends):
            run = put(store, a_run(job, scheduled_ms=NOW_MS - 1000 * number, claimed_ms=NOW_MS + number))
            store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
            store.end_runs([End(exec_id=run.exec_id, state=state, ended_ms=NOW_MS, duration_ms=took)], "me")
        put(store, a_run(one, state=RunState.MISSED, scheduled_ms=NOW_MS - 9000, first_ms=NOW_MS - 99_000, fires=10))
        put(store, a_run(one, state=RunState.SKIPPED, scheduled_ms=NOW_MS - 500))
        put(store, a_run(one, scheduled_ms=NOW_MS - 600))
        first, second = store.tallies(NOW_MS, NOW_MS + 1000)
        assert first._replace(ended=0) == (one.id, "one", 1, 1, 1, 0, 1, 1, 10, 450, 0, 300, 3003)
        assert first.ended in (3, 4)  # a lost one may have no duration
        assert second == (other.id, "other", 0, 0, 0, 1, 0, 0, 0, 7, 1, 7, 4004)
        assert store.tallies(NOW_MS, NOW_MS + 1000, other.id) == [second]
        assert store.tallies(NOW_MS + 1, NOW_MS + 2)[0][2:5] == (0, 1, 0)
        assert store.tallies(NOW_MS + 1000, NOW_MS + 2000) == []

    def test_runs_of_jobs_that_are_gone_are_told_by_their_names(self, store: Store) -> None:
        for name in ("a", "b"):
            job = store.add_job(a_job(name))
            put(store, a_run(job, state=RunState.SKIPPED))
            store.delete_job(job.id)
        assert [(t.job_id, t.name, t.skipped) for t in store.tallies(NOW_MS, NOW_MS + 1)] == [
            (None, "a", 1), (None, "b", 1),
        ]  # fmt: skip


class TestWhole:
    def test_it_says_what_it_is(self, store: Store) -> None:
        about = store.about()
        assert about.kind in {"memory", "sqlite", "mysql"}
        assert about.schema > 0
        assert (about.size > 0) == (about.kind != "memory")
        assert (about.host == "") == (about.kind != "mysql")

    def test_an_owner_that_was_never_noted_was_never_seen(self, store: Store) -> None:
        store.note_seen("elsewhere/1/2")
        assert not store.seen("elsewhere/3/4")
        # What one host has for itself needs nobody to say so.
        assert store.seen("elsewhere/1/2") == (store.about().kind != "sqlite")


class TestEvents:
    def test_they_come_back_oldest_first_of_one_job_and_of_all(self, store: Store) -> None:
        mine, other = store.add_job(a_job("a")).id, store.add_job(a_job("b")).id
        for at, kind, job_id in ((3, EventKind.JOB_STOPPED, mine), (1, EventKind.PAUSED, None),
                                 (2, EventKind.JOB_STOPPED, other)):  # fmt: skip
            store.add_event(Event(at_ms=at, kind=kind, job_id=job_id, detail={"by": "我", "n": 1}))
        assert [event.at_ms for event in store.events()] == [1, 2, 3]
        assert [event.at_ms for event in store.events(job_id=mine)] == [1, 3]
        assert [event.at_ms for event in store.events(2, 3)] == [2]
        assert store.events(1, 2) == [Event(at_ms=1, kind=EventKind.PAUSED, detail={"by": "我", "n": 1})]

    def test_those_of_a_job_go_with_it_and_old_ones_when_told(self, store: Store) -> None:
        job = store.add_job(a_job("a"))
        store.add_event(Event(at_ms=5, kind=EventKind.JOB_ADDED, job_id=job.id))
        store.add_event(Event(at_ms=6, kind=EventKind.PAUSED))
        store.add_event(Event(at_ms=7, kind=EventKind.RESUMED))
        store.delete_job(job.id)
        assert [event.at_ms for event in store.events()] == [6, 7]
        assert store.forget_events(7) == 1
        assert [event.at_ms for event in store.events()] == [7]

    def test_one_noted_in_a_transaction_that_fails_did_not_happen(self, store: Store) -> None:
        def note_and_fail() -> None:
            with store.transaction():
                store.add_event(Event(at_ms=5, kind=EventKind.PAUSED))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            note_and_fail()
        assert store.events() == []


class TestAlerts:
    def test_ends_of_watched_jobs_are_marked_in_their_order(self, store: Store) -> None:
        watched = store.add_job(a_job("a", alerts="failure"))
        other = store.add_job(a_job("b"))
        assert [job.name for job in store.watched_jobs()] == ["a"]
        first, second = put(store, a_run(watched)), put(store, a_run(watched))
        for run in (second, put(store, a_run(other)), first):
            store.end_runs([end(run, RunState.FAILED)], run.owner)
        marks = store.marks(10)
        assert [mark.exec_id for mark in marks] == [second.exec_id, first.exec_id]
        assert store.marks(1) == marks[:1]
        store.forget_marks(marks[0].id)
        assert store.marks(10) == marks[1:]

    @pytest.mark.parametrize("state", [RunState.KILLED, RunState.SKIPPED])
    def test_what_somebody_ended_is_no_end_to_look_at(self, store: Store, state: RunState) -> None:
        ended(store, a_run(store.add_job(a_job(alerts="failure"))), state)
        assert store.marks(10) == []

    def test_an_incident_is_read_as_it_was_stored(self, store: Store) -> None:
        incident = Incident(cause="job:1:late", job_id=1, title="späť 晚", text="x\ny", severity="page",
                            labels={"a": "b"}, state=IncidentState.OPEN, tell_end=False, count=3, since_ms=NOW_MS,
                            opened_ms=NOW_MS + 1, told_ms=NOW_MS + 2, acked_ms=NOW_MS + 3, acked_by="me")  # fmt: skip
        stored = store.save_incident(incident)
        assert stored.id
        assert store.incident(stored.id) == store.live_incident("job:1:late") == replace(incident, id=stored.id)
        closed = store.save_incident(replace(stored, state=IncidentState.CLOSED, closed_ms=NOW_MS + 9))
        assert store.live_incident("job:1:late") is None
        assert (store.incidents(), store.incidents(closed=True)) == ([], [closed])
        assert store.forget_incidents(NOW_MS + 9) == 0
        assert store.forget_incidents(NOW_MS + 10) == 1
        assert store.incident(stored.id) is None

    def test_a_delivery_waits_until_it_is_sent(self, store: Store) -> None:
        incident = store.save_incident(Incident(cause="c", title="t", since_ms=NOW_MS))
        assert store.alerts_wanted()
        delivery = store.save_delivery(
            Delivery(incident_id=incident.id, channel="ops", notice=Notice.OPENED, title="t", text="x",
                     fields={"n": 1}, created_ms=NOW_MS, next_ms=NOW_MS + 5)
        )  # fmt: skip
        assert store.deliveries(due_ms=NOW_MS + 4) == []
        assert store.deliveries(due_ms=NOW_MS + 5) == store.deliveries(incident_ids=[incident.id]) == [delivery]
        assert store.last_sent_ms("ops") is None
        store.save_delivery(replace(delivery, state=DeliveryState.SENT, sent_ms=NOW_MS + 6, attempts=1))
        assert store.deliveries(due_ms=NOW_MS + 99) == []
        assert store.last_sent_ms("ops") == NOW_MS + 6
        store.drop_incident(incident.id)
        assert store.deliveries(incident_ids=[incident.id]) == []
        assert not store.alerts_wanted()

    def test_a_watched_job_wants_alerts(self, store: Store) -> None:
        assert not store.alerts_wanted()
        job = store.add_job(a_job(alerts="failure"))
        assert store.alerts_wanted()
        store.update_job(replace(job, alerts=""))
        assert not store.alerts_wanted()


class TestBroughtHere:
    def test_a_job_with_its_history(self, store: Store) -> None:
        job = a_job(
            run_count=7, last_run_ms=NOW_MS, last_state=RunState.FAILED, last_duration_ms=5, owned_by="/etc/jobs.toml"
        )
        there = store.restore_job(job)
        assert there == replace(job, id=there.id, revision=there.revision)
        assert job_of(store, there.id) == there
        assert store.due_changes(there.revision - 1)[1] == [(there.id, job.next_fire_ms)]
        with pytest.raises(NameTaken):
            store.restore_job(job)

    def test_runs_that_ended(self, store: Store) -> None:
        job = store.add_job(a_job())
        run = a_run(
            job, state=RunState.FAILED, scheduled_ms=NOW_MS, started_ms=NOW_MS + 1, ended_ms=NOW_MS + 9, duration_ms=8,
            attempt=2, exit_code=3, signal=9, error="why", output="ab", stderr_at=1, kill_by="me", owner=None,
        )  # fmt: skip
        other = a_run(None, state=RunState.SUCCESS, ended_ms=NOW_MS + 9, owner=None)
        assert store.restore_runs([run, other]) == {run.exec_id, other.exec_id}
        assert replace(got(store, run.exec_id), id=0) == run
        again = replace(run, exec_id="another")
        assert store.restore_runs([run, again]) == set()
        assert [found.exec_id for found in store.runs(RunQuery(oldest_first=True))] == [run.exec_id, other.exec_id]

    def test_they_are_counted_as_all_others_are(self, store: Store) -> None:
        job = store.restore_job(a_job())
        ended = [a_run(job, state=RunState.SUCCESS, claimed_ms=NOW_MS + n, owner=None) for n in range(120)]
        assert store.restore_runs(ended) == {run.exec_id for run in ended}
        store.restore_runs([*ended[:70], a_run(None, state=RunState.FAILED, owner=None)])
        assert [run.exec_id for run in store.runs(RunQuery(oldest_first=True, limit=120))] == [r.exec_id for r in ended]
        counted = [RunQuery(), RunQuery(job_id=job.id), RunQuery(states=frozenset({RunState.FAILED}))]
        assert [store.count_runs(query) for query in counted] == [121, 120, 1]
        assert (store.count_jobs(JobQuery()), store.count_jobs(JobQuery(mode=job.mode))) == (1, 1)
        assert store.active_counts() == {}
