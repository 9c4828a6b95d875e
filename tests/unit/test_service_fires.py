"""What becomes of fires that are due: overlap, limits, lateness (semantics §2 to §6)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fakes import NOW_MS, MemoryStore, a_job, a_run, claimed
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.errors import StoreBusy
from pyjobs.jobs import ACTIVE, AllowMode, Job, JobState, Misfire, Run, RunState, Source, TriggerType
from pyjobs.ports import End, RunQuery, Start
from pyjobs.service.fires import Absence, Claims, claim_due

DUE_MS = NOW_MS + 60_000
NOTHING, QUEUED, RUNNING = "nothing", "queued", "running"


@dataclass
class Ticks:
    """A store, and what a tick does to it."""

    store: MemoryStore

    def job(self, name: str = "job", **changes: Any) -> Job:
        """A job that is due at DUE_MS, by interval every minute."""
        return self.store.add_job(a_job(name, **changes))

    def put(self, job: Job, state: str, **changes: Any) -> Run | None:
        """A run of the job that is still there."""
        if state == NOTHING:
            return None
        run = a_run(job, **changes)
        self.store.claim([claimed(run, counts=run.source is not Source.MANUAL)], [])
        if state == RUNNING:
            self.store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], run.owner or "me")
        return self.store.run(run.exec_id)

    def tick(self, *jobs: Job, late_s: float = 0) -> Claims:
        now_ms = DUE_MS + round(late_s * 1000)
        return claim_due(self.store, [(job.id, DUE_MS) for job in jobs], now_ms, "me", "UTC")

    def rows(self, job: Job) -> list[Run]:
        """All runs of the job, oldest first."""
        return self.store.runs(RunQuery(job_id=job.id, limit=1000))[::-1]

    def now(self, job: Job) -> Job:
        found = self.store.job(job.id)
        assert found is not None
        return found


@pytest.fixture
def ticks(memory: MemoryStore) -> Ticks:
    return Ticks(memory)


class TestOnTime:
    def test_a_fire_is_one_queued_row_that_is_launched(self, ticks: Ticks) -> None:
        job = ticks.job()
        claims = ticks.tick(job)
        (row,) = ticks.rows(job)
        assert claims.launch == [replace(row, id=0)]
        assert (row.state, row.source, row.owner) == (RunState.QUEUED, Source.CRON, "me")
        assert (row.scheduled_ms, row.claimed_ms, row.lateness_ms) == (DUE_MS, DUE_MS, 0)
        assert (row.job_name, row.mode, row.command, row.forced) == (job.name, job.mode, job.command, False)
        assert claims.next_fires == {job.id: DUE_MS + 60_000}
        assert ticks.now(job).next_fire_ms == DUE_MS + 60_000
        assert ticks.now(job).run_count == 1
        assert claims.superseded == []
        assert claims.stopped == []

    def test_many_jobs_are_claimed_at_once(self, ticks: Ticks) -> None:
        jobs = [ticks.job(f"j{n}") for n in range(20)]
        claims = ticks.tick(*jobs)
        assert [run.job_id for run in claims.launch] == [job.id for job in jobs]
        assert len({run.exec_id for run in claims.launch}) == 20

    def test_a_last_fire_leaves_none(self, ticks: Ticks) -> None:
        job = ticks.job(trigger_type=TriggerType.ONCE, at_ms=DUE_MS, next_fire_ms=DUE_MS)
        claims = ticks.tick(job)
        assert len(claims.launch) == 1
        assert claims.next_fires == {job.id: None}
        assert ticks.now(job).next_fire_ms is None
        assert ticks.now(job).state is JobState.WAITING

    def test_the_same_fire_is_claimed_once_by_many(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.tick(job)
        # Another runner, that had read the job before.
        again = claim_due(ticks.store, [(job.id, DUE_MS)], DUE_MS, "other", "UTC")
        assert again.launch == []
        assert again.next_fires == {job.id: DUE_MS + 60_000}
        assert len(ticks.rows(job)) == 1

    def test_a_row_that_is_there_already_is_not_launched_again(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.put(job, QUEUED, scheduled_ms=DUE_MS, owner="other")
        assert ticks.tick(job).launch == []
        assert len(ticks.rows(job)) == 1

    def test_nothing_due_is_nothing_done(self, ticks: Ticks) -> None:
        assert ticks.tick() == Claims()


class TestOverlap:
    @pytest.mark.parametrize(
        ("mode", "there", "becomes", "words"),
        [
            (AllowMode.PARALLEL, NOTHING, RunState.QUEUED, ""),
            (AllowMode.PARALLEL, QUEUED, RunState.QUEUED, ""),
            (AllowMode.PARALLEL, RUNNING, RunState.QUEUED, ""),
            (AllowMode.SERIAL, NOTHING, RunState.QUEUED, ""),
            (AllowMode.SERIAL, QUEUED, RunState.SKIPPED, "the run before it still waits for a slot (run "),
            (AllowMode.SERIAL, RUNNING, RunState.SKIPPED, "still running since 2030-01-01 00:00:00 UTC (run "),
            (AllowMode.IMMEDIATE, NOTHING, RunState.QUEUED, ""),
            (AllowMode.IMMEDIATE, QUEUED, RunState.QUEUED, ""),
            (AllowMode.IMMEDIATE, RUNNING, RunState.QUEUED, ""),
            (AllowMode.REPLACE, NOTHING, RunState.QUEUED, ""),
            (AllowMode.REPLACE, QUEUED, RunState.QUEUED, ""),
            (AllowMode.REPLACE, RUNNING, RunState.QUEUED, ""),
        ],
    )
    def test_table(self, ticks: Ticks, mode: AllowMode, there: str, becomes: RunState, words: str) -> None:
        job = ticks.job(allow_mode=mode)
        before = ticks.put(job, there)
        claims = ticks.tick(job)
        row = ticks.rows(job)[-1]
        assert row.state is becomes
        assert row.error.startswith(words)
        assert bool(row.error) is bool(words)
        assert len(claims.launch) == (becomes is RunState.QUEUED)
        assert row.ended_ms == (None if becomes is RunState.QUEUED else DUE_MS)
        replaced = mode.queues and there == QUEUED
        killed = mode is AllowMode.REPLACE and there == RUNNING
        assert list(claims.replaced) == ([before.exec_id] if before and killed else [])
        assert claims.superseded == ([before.exec_id] if before and replaced else [])
        if before:
            old = ticks.store.run(before.exec_id)
            assert old is not None
            assert old.state is (RunState.SKIPPED if replaced else before.state)
            assert old.kill_by == ("a newer fire of the job" if killed else None)
            assert old.error == ("a newer fire took its place" if replaced else "")

    def test_all_that_run_are_replaced_by_the_newest_of_several_fires(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.REPLACE, misfire=Misfire.ALL, catchup_window_s=300)
        running = [ticks.put(job, RUNNING), ticks.put(job, RUNNING, owner="other")]
        claims = ticks.tick(job, late_s=120)
        assert len(claims.launch) == 1
        assert list(claims.replaced) == [run.exec_id for run in running if run]
        assert [r.state for r in ticks.rows(job)[2:]] == [RunState.SKIPPED, RunState.SKIPPED, RunState.QUEUED]

    def test_a_run_of_another_job_does_not_matter(self, ticks: Ticks) -> None:
        job, other = ticks.job("a", allow_mode=AllowMode.SERIAL), ticks.job("b")
        ticks.put(other, RUNNING)
        assert len(ticks.tick(job).launch) == 1

    def test_one_waits_beside_the_one_that_runs(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.IMMEDIATE)
        running, waiting = ticks.put(job, RUNNING), ticks.put(job, QUEUED)
        claims = ticks.tick(job)
        assert waiting is not None
        assert running is not None
        assert claims.superseded == [waiting.exec_id]
        assert [run.state for run in ticks.rows(job)] == [RunState.RUNNING, RunState.SKIPPED, RunState.QUEUED]

    def test_a_start_by_hand_that_waits_keeps_its_place(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.IMMEDIATE)
        ticks.put(job, QUEUED, source=Source.MANUAL)
        claims = ticks.tick(job)
        assert claims.superseded == []
        assert len(claims.launch) == 1

    def test_what_another_owner_has_is_left_alone(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.IMMEDIATE)
        ticks.put(job, QUEUED, owner="other")
        assert ticks.tick(job).superseded == []

    def test_what_was_replaced_does_not_count(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.IMMEDIATE, max_run_count=3)
        ticks.put(job, RUNNING)
        ticks.put(job, QUEUED)
        claims = ticks.tick(job)
        assert ticks.now(job).run_count == 2
        assert claims.stopped == []
        assert ticks.now(job).state is JobState.WAITING

    def test_a_skipped_fire_moves_its_job_on_and_does_not_count(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.SERIAL)
        ticks.put(job, RUNNING, source=Source.MANUAL)
        claims = ticks.tick(job)
        assert claims.next_fires == {job.id: DUE_MS + 60_000}
        assert ticks.now(job).next_fire_ms == DUE_MS + 60_000
        assert ticks.now(job).run_count == 0


class TestLimit:
    def test_the_last_run_is_launched_and_stops_the_job(self, ticks: Ticks) -> None:
        job = ticks.job(max_run_count=2)
        ticks.put(job, RUNNING)
        claims = ticks.tick(job)
        assert len(claims.launch) == 1
        assert [(j.name, reason) for j, reason in claims.stopped] == [("job", "it has run 2 times, as often as it may")]
        assert claims.next_fires == {job.id: None}
        stopped = ticks.now(job)
        assert (stopped.state, stopped.next_fire_ms, stopped.run_count) == (JobState.STOPPED, None, 2)
        assert stopped.stop_reason == "it has run 2 times, as often as it may"

    def test_before_that_it_goes_on(self, ticks: Ticks) -> None:
        job = ticks.job(max_run_count=2)
        assert ticks.tick(job).stopped == []
        assert ticks.now(job).state is JobState.WAITING

    def test_a_limit_that_was_lowered_is_noticed_at_the_next_fire(self, ticks: Ticks) -> None:
        job = ticks.job()
        for _ in range(3):
            ticks.put(job, QUEUED)
        job = ticks.store.update_job(replace(job, max_run_count=2))
        claims = ticks.tick(job)
        assert claims.launch == []
        row = ticks.rows(job)[-1]
        assert (row.state, row.error) == (RunState.SKIPPED, "limit reached: it has run 2 times")
        assert ticks.now(job).state is JobState.STOPPED

    def test_starts_by_hand_do_not_count(self, ticks: Ticks) -> None:
        job = ticks.job(max_run_count=1)
        ticks.put(job, RUNNING, source=Source.MANUAL)
        assert len(ticks.tick(job).launch) == 1

    def test_of_several_late_fires_no_more_run_than_may(self, ticks: Ticks) -> None:
        job = ticks.job(max_run_count=2, misfire=Misfire.ALL)
        claims = ticks.tick(job, late_s=300)
        assert len(claims.launch) == 2
        states = [run.state for run in ticks.rows(job)]
        assert states == [RunState.QUEUED] * 2 + [RunState.SKIPPED] * 4
        assert len(claims.stopped) == 1


class TestLate:
    def summary(self, ticks: Ticks, job: Job) -> list[tuple[str, str, int, int]]:
        """(state, source, minutes after DUE_MS, fires) of each row, by instant."""
        rows = sorted(ticks.rows(job), key=lambda run: run.scheduled_ms or 0)
        return [(r.state.value, r.source.value, ((r.scheduled_ms or 0) - DUE_MS) // 60_000, r.fires) for r in rows]

    def test_within_five_seconds_it_is_on_time(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.SKIP)
        ticks.tick(job, late_s=5)
        assert self.summary(ticks, job) == [("queued", "cron", 0, 1)]

    def test_once_runs_the_newest(self, ticks: Ticks) -> None:
        job = ticks.job()
        claims = ticks.tick(job, late_s=190)
        assert self.summary(ticks, job) == [("missed", "cron", 2, 3), ("queued", "catchup", 3, 1)]
        missed = next(run for run in ticks.rows(job) if run.state is RunState.MISSED)
        assert (missed.first_ms, missed.scheduled_ms) == (DUE_MS, DUE_MS + 120_000)
        assert missed.error == "3 fires missed: nobody was there in time (noticed 2030-01-01 00:04:10 UTC)"
        assert claims.next_fires == {job.id: DUE_MS + 240_000}
        assert ticks.now(job).run_count == 1

    def test_once_runs_only_the_one_that_is_on_time(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.tick(job, late_s=180)
        assert self.summary(ticks, job) == [("missed", "cron", 2, 3), ("queued", "cron", 3, 1)]

    def test_skip_runs_none(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.SKIP)
        claims = ticks.tick(job, late_s=10)
        assert claims.launch == []
        assert self.summary(ticks, job) == [("missed", "cron", 0, 1)]
        assert ticks.rows(job)[0].error.startswith("1 fire missed: ")

    def test_all_runs_all(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.ALL)
        claims = ticks.tick(job, late_s=190)
        assert self.summary(ticks, job) == [("queued", "catchup", n, 1) for n in range(4)]
        assert [run.scheduled_ms for run in claims.launch] == [DUE_MS + n * 60_000 for n in range(4)]

    def test_the_window_bounds_it(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.ALL, catchup_window_s=100)
        ticks.tick(job, late_s=190)
        assert self.summary(ticks, job) == [
            ("missed", "cron", 1, 2),
            ("queued", "catchup", 2, 1),
            ("queued", "catchup", 3, 1),
        ]

    def test_a_serial_job_runs_one_of_them(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.ALL, allow_mode=AllowMode.SERIAL)
        ticks.tick(job, late_s=190)
        assert [state for state, *_ in self.summary(ticks, job)] == ["queued", "skipped", "skipped", "skipped"]

    def test_a_job_that_takes_turns_runs_the_newest(self, ticks: Ticks) -> None:
        job = ticks.job(misfire=Misfire.ALL, allow_mode=AllowMode.IMMEDIATE)
        claims = ticks.tick(job, late_s=190)
        assert [state for state, *_ in self.summary(ticks, job)] == ["skipped", "skipped", "skipped", "queued"]
        assert [run.scheduled_ms for run in claims.launch] == [DUE_MS + 180_000]
        assert {r.error for r in ticks.rows(job) if r.state is RunState.SKIPPED} == {"a newer fire took its place"}

    @given(
        late_s=st.floats(0, 4000),
        misfire=st.sampled_from(Misfire),
        mode=st.sampled_from(AllowMode),
        limit=st.integers(0, 4),
        window=st.integers(0, 5000),
        there=st.sampled_from([NOTHING, QUEUED, RUNNING]),
    )
    def test_every_fire_is_in_exactly_one_row(
        self, late_s: float, misfire: Misfire, mode: AllowMode, limit: int, window: int, there: str
    ) -> None:
        ticks = Ticks(MemoryStore())
        job = ticks.job(misfire=misfire, allow_mode=mode, max_run_count=limit, catchup_window_s=window)
        before = ticks.put(job, there)
        claims = ticks.tick(job, late_s=late_s)
        rows = [run for run in ticks.rows(job) if run.scheduled_ms is not None]
        fires = (round(late_s * 1000)) // 60_000 + 1
        assert sum(run.fires for run in rows) == fires
        covered = sorted((run.first_ms or run.scheduled_ms or 0, run.scheduled_ms or 0) for run in rows)
        assert covered[0][0] == DUE_MS
        assert covered[-1][1] == DUE_MS + (fires - 1) * 60_000
        assert all(left[1] < right[0] for left, right in itertools.pairwise(covered))
        assert {run.exec_id for run in claims.launch} == {r.exec_id for r in rows if r.state is RunState.QUEUED}
        if limit:
            assert ticks.now(job).run_count <= max(limit, int(before is not None))
        if mode is AllowMode.SERIAL:
            assert len([run for run in ticks.rows(job) if run.state in ACTIVE]) == 1 or fires == 0 or not claims.launch
        assert all(run.error for run in rows if run.state not in ACTIVE)


class TestChangedMeanwhile:
    def test_a_stopped_job_does_not_fire(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.store.update_job(replace(job, state=JobState.STOPPED, next_fire_ms=None))
        claims = ticks.tick(job)
        assert claims.launch == []
        assert claims.next_fires == {job.id: None}
        assert ticks.rows(job) == []

    def test_a_deleted_job_does_not_fire(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.store.delete_job(job.id)
        assert ticks.tick(job).next_fires == {job.id: None}

    def test_an_edited_job_fires_at_its_new_instant(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.store.update_job(replace(job, next_fire_ms=DUE_MS + 1))
        claims = ticks.tick(job)
        assert claims.launch == []
        assert claims.next_fires == {job.id: DUE_MS + 1}

    def test_a_clock_that_was_set_back_fires_nothing(self, ticks: Ticks) -> None:
        job = ticks.job()
        claims = ticks.tick(job, late_s=-30)
        assert claims.launch == []
        assert claims.next_fires == {job.id: DUE_MS}
        assert ticks.rows(job) == []


class TestTrouble:
    @pytest.mark.parametrize(
        "broken",
        [
            {"trigger_type": TriggerType.CRON, "cron_expr": "every day"},
            {"trigger_type": TriggerType.CRON, "cron_expr": "0 0 * * *", "timezone": "Mars/Base"},
            {"interval_s": 0},
            {"trigger_type": TriggerType.ONCE, "at_ms": None},
        ],
    )
    def test_a_broken_job_is_one_stopped_job(self, ticks: Ticks, broken: dict[str, Any]) -> None:
        good, bad, also_good = ticks.job("a"), ticks.job("b", **broken), ticks.job("c")
        claims = ticks.tick(good, bad, also_good)
        assert [run.job_name for run in claims.launch] == ["a", "c"]
        stopped = ticks.now(bad)
        assert stopped.state is JobState.STOPPED
        assert stopped.stop_reason.startswith("its schedule cannot be used any more: ")
        assert [(job.name, reason) for job, reason in claims.stopped] == [("b", stopped.stop_reason)]
        assert claims.next_fires[bad.id] is None
        assert ticks.tick(bad).launch == []

    def test_a_busy_store_changes_nothing(self, ticks: Ticks) -> None:
        job = ticks.job()
        ticks.store.busy = True
        with pytest.raises(StoreBusy):
            ticks.tick(job)
        ticks.store.busy = False
        assert ticks.rows(job) == []
        assert len(ticks.tick(job).launch) == 1

    def test_after_its_run_has_ended_a_serial_job_fires_again(self, ticks: Ticks) -> None:
        job = ticks.job(allow_mode=AllowMode.SERIAL)
        run = ticks.put(job, RUNNING)
        assert run is not None
        ticks.store.end_runs([End(exec_id=run.exec_id, state=RunState.SUCCESS, ended_ms=NOW_MS)], "me")
        assert len(ticks.tick(job).launch) == 1


class TestWhyNobodyWasThere:
    """A row of missed fires says what is known about that time."""

    @pytest.mark.parametrize(
        ("since", "until", "words"),
        [
            (-100, 200, "the daemon was down from 2029-12-31 23:59:20 to 2030-01-01 00:04:20 UTC"),
            (90, 100, "the daemon was down from 2030-01-01 00:02:30 to 2030-01-01 00:02:40 UTC"),
            # Over before the first one was due; began after the last one.
            (-100, -1, "nobody was there in time (noticed 2030-01-01 00:05:00 UTC)"),
            (181, 200, "nobody was there in time (noticed 2030-01-01 00:05:00 UTC)"),
        ],
    )
    def test_an_absence_is_named_where_it_lies_in_that_time(
        self, ticks: Ticks, since: int, until: int, words: str
    ) -> None:
        job = ticks.job()
        absence = Absence("the daemon was down", DUE_MS + since * 1000, DUE_MS + until * 1000)
        now_ms = DUE_MS + 240_000
        claim_due(ticks.store, [(job.id, DUE_MS)], now_ms, "me", "UTC", [absence])
        missed, ran = sorted(ticks.rows(job), key=lambda row: row.state.value)
        assert (missed.state, ran.state) == (RunState.MISSED, RunState.QUEUED)
        assert missed.error == f"4 fires missed: {words}"
