"""What jobs are watched for, judged by their runs."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from fakes import NOW_MS, FakeClock, MemoryStore, a_job, a_run, claimed

from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerting.judge import JobJudge
from pyjobs.alerts import Notice
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.ports import End, Start

PLACE = Place("server", "/srv/pyjobs", ZoneInfo("UTC"), "en")


class Watched:
    """One job that is watched, and what becomes of its runs."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.judge = JobJudge(store, Incidents(store, PLACE, lambda: ["ops"]), PLACE)
        self.job = a_job()
        self._fires = 0

    def says(self, alerts: str, **changes: object) -> Watched:
        self.job = self.store.add_job(a_job("backup", alerts=alerts, **changes))
        self.judge.learn(self.clock.now_ms())
        return self

    def edit(self, **changes: object) -> None:
        current = self.store.job(self.job.id)
        assert current
        self.job = self.store.update_job(replace(current, **changes))  # type: ignore[arg-type]
        self.judge.learn(self.clock.now_ms())

    def begin(self, *, late_s: float = 0, started: bool = True) -> Run:
        now = self.clock.now_ms()
        self._fires += 1  # no two runs of a job have the same instant
        run = a_run(self.job, scheduled_ms=now - round(late_s * 1000) + self._fires, claimed_ms=now)
        self.store.claim([claimed(run)], [])
        if started:
            self.store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=now)], "me")
        return run

    def end(self, run: Run, state: RunState, took_s: float = 1) -> None:
        now = self.clock.now_ms()
        end = End(exec_id=run.exec_id, state=state, ended_ms=now, duration_ms=round(took_s * 1000), error="why")
        self.store.end_runs([end], "me")

    def runs(self, *states: RunState, late_s: float = 0, took_s: float = 1) -> None:
        for state in states:
            self.end(self.begin(late_s=late_s), state, took_s)
        self.look()

    def look(self, *, paused: bool = False) -> None:
        while self.judge.look_at_ends(self.clock.now_ms()):
            pass
        self.judge.look_at_time(self.clock.now_ms(), paused=paused)

    @property
    def told(self) -> list[str]:
        return [delivery.title.removeprefix("[pyjobs] ") for delivery in self.store.deliveries()]


@pytest.fixture
def watched(memory: MemoryStore, clock: FakeClock) -> Watched:
    return Watched(memory, clock)


WELL, BAD = RunState.SUCCESS, RunState.FAILED


class TestFailures:
    def test_so_many_in_a_row_are_told_and_their_end(self, watched: Watched) -> None:
        watched.says("failures=3,recovery")
        watched.runs(BAD, RunState.TIMEOUT, WELL, BAD, BAD)
        assert watched.told == []
        watched.runs(RunState.LOST)
        assert watched.told == ["backup failed 3 times in a row"]
        watched.runs(BAD, WELL)
        assert watched.told == ["backup failed 3 times in a row", "over: backup failed 3 times in a row"]

    def test_a_thousand_are_one_incident(self, watched: Watched) -> None:
        watched.says("failure").runs(*[BAD] * 1000)
        assert watched.told == ["backup failed"]
        assert watched.store.incidents()[0].count == 1000
        assert watched.store.marks(1) == []

    def test_what_somebody_ended_says_nothing(self, watched: Watched) -> None:
        watched.says("failures=2").runs(BAD, RunState.KILLED, BAD)
        assert watched.told == ["backup failed 2 times in a row"]

    def test_the_end_is_told_only_where_it_is_wanted(self, watched: Watched) -> None:
        watched.says("failure").runs(BAD, WELL, BAD)
        assert watched.told == ["backup failed", "backup failed"]

    def test_runs_of_other_jobs_do_not_count(self, watched: Watched) -> None:
        other = watched.store.add_job(a_job("other"))
        watched.says("failures=2").runs(BAD)
        run = a_run(other)
        watched.store.claim([claimed(run)], [])
        watched.end(run, BAD)
        watched.look()
        assert watched.told == []

    def test_a_job_that_is_watched_no_more_leaves_nothing_open(self, watched: Watched) -> None:
        watched.says("failure,recovery,longer=1h").runs(BAD)
        watched.edit(alerts="longer=1h")
        assert (watched.store.incidents(), watched.told) == ([], ["backup failed"])

    def test_a_job_that_is_gone_leaves_nothing_open(self, watched: Watched) -> None:
        watched.says("failure,recovery").runs(BAD)
        watched.end(watched.begin(), BAD)
        watched.store.delete_job(watched.job.id)
        watched.judge.learn(NOW_MS)
        watched.look()
        assert (watched.store.incidents(), watched.told, watched.store.marks(1)) == ([], ["backup failed"], [])


class TestDurations:
    def test_too_short_is_about_successes(self, watched: Watched) -> None:
        watched.says("shorter=2s,recovery").runs(BAD, took_s=0.5)
        assert watched.told == []
        watched.runs(WELL, took_s=0.5)
        assert watched.told == ["backup was over in less than 2 seconds"]
        watched.runs(WELL, took_s=2)
        assert watched.told[1:] == ["over: backup was over in less than 2 seconds"]

    def test_too_long_is_told_while_it_runs(self, watched: Watched) -> None:
        run = watched.says("longer=1h,recovery").begin()
        watched.clock.advance(3600)
        watched.look()
        assert watched.told == []
        watched.clock.advance(1)
        watched.look()
        watched.look()
        assert watched.told == ["backup takes longer than 1 hour"]
        watched.end(run, WELL, 3601)
        watched.look()
        assert len(watched.told) == 1
        watched.runs(WELL, took_s=5)
        assert watched.told[1:] == ["over: backup takes longer than 1 hour"]

    def test_a_short_run_does_not_end_what_another_one_still_is(self, watched: Watched) -> None:
        watched.says("longer=1h,recovery").begin()
        watched.clock.advance(4000)
        watched.runs(WELL)
        watched.runs(WELL)
        assert watched.told == ["backup takes longer than 1 hour"]


class TestLateness:
    def test_a_late_start_is_told_and_its_end(self, watched: Watched) -> None:
        watched.says("late=5m,recovery").runs(WELL, late_s=300)
        assert watched.told == []
        watched.runs(WELL, late_s=301)
        assert watched.told == ["backup is more than 5 minutes late"]
        watched.runs(WELL)
        assert watched.told[1:] == ["over: backup is more than 5 minutes late"]

    def test_a_run_that_waits_for_too_long_is_late(self, watched: Watched) -> None:
        watched.says("late=5m", next_fire_ms=None).begin(started=False)
        watched.clock.advance(301)
        watched.look()
        assert watched.told == ["backup is more than 5 minutes late"]

    def test_a_fire_that_nobody_claims_is_late_but_not_while_paused(self, watched: Watched) -> None:
        watched.says("late=5m", next_fire_ms=NOW_MS)
        watched.clock.advance(301)
        watched.look(paused=True)
        assert watched.told == []
        watched.look()
        assert watched.told == ["backup is more than 5 minutes late"]

    def test_nothing_is_expected_of_a_stopped_job(self, watched: Watched) -> None:
        watched.says("late=5m,recovery", next_fire_ms=NOW_MS)
        watched.clock.advance(301)
        watched.look()
        watched.edit(state=JobState.STOPPED, next_fire_ms=None)
        watched.look()
        assert (len(watched.told), watched.store.incidents()) == (1, [])

    def test_what_a_runner_claimed_meanwhile_is_not_late(self, watched: Watched) -> None:
        watched.says("late=5m", next_fire_ms=NOW_MS)
        watched.clock.advance(301)
        job = watched.store.job(watched.job.id)
        assert isinstance(job, Job)
        watched.store.update_job(replace(job, next_fire_ms=watched.clock.now_ms() + 1))
        watched.look()
        assert watched.told == []


class TestSilence:
    def test_no_success_for_so_long_is_told(self, watched: Watched) -> None:
        watched.says("silent=26h,recovery", next_fire_ms=None).runs(WELL)
        watched.clock.advance(26 * 3600)
        watched.runs(BAD)
        assert watched.told == []
        watched.clock.advance(1)
        watched.look()
        watched.look()
        assert watched.told == ["backup has not succeeded for 1 day 2 hours"]
        watched.runs(WELL)
        assert watched.told[1:] == ["over: backup has not succeeded for 1 day 2 hours"]

    def test_after_a_restart_the_store_says_when_it_was_well_last(self, watched: Watched) -> None:
        watched.says("silent=1h", created_ms=NOW_MS - 10**9, next_fire_ms=None).runs(WELL)
        again = Watched(watched.store, watched.clock)
        again.judge.learn(NOW_MS)
        again.look()
        assert again.told == []

    def test_a_new_job_has_its_time(self, watched: Watched) -> None:
        watched.says("silent=1h", next_fire_ms=None)
        watched.clock.advance(3600)
        watched.look()
        assert watched.told == []
        watched.clock.advance(1)
        watched.look()
        assert len(watched.told) == 1


def test_every_notice_is_one_that_was_opened_or_closed(watched: Watched) -> None:
    watched.says("failure,recovery,shorter=5s").runs(BAD, WELL)
    assert [d.notice for d in watched.store.deliveries()] == [Notice.OPENED, Notice.CLOSED, Notice.OPENED]
