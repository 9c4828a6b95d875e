"""What concerns all jobs at once: pause and resume, run all, figures (semantics §6)."""

from __future__ import annotations

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job

from pyjobs.jobs import AllowMode, JobState, RunState, TriggerType
from pyjobs.service import Service, build
from pyjobs.service.system import LastBackup, Paused


@pytest.fixture
def service(memory: MemoryStore, nudge: FakeNudge, clock: FakeClock) -> Service:
    return build(memory, nudge, clock, "UTC")


class TestPause:
    def test_it_says_who_and_since_when(self, service: Service, nudge: FakeNudge) -> None:
        assert service.system.paused() is None
        assert service.system.pause("Ann 张")
        assert service.system.paused() == Paused(by="Ann 张", since_ms=NOW_MS)
        assert nudge.sent == 1

    def test_a_second_one_changes_nothing(self, service: Service, clock: FakeClock, nudge: FakeNudge) -> None:
        service.system.pause("Ann")
        clock.advance(5)
        assert not service.system.pause("Bob")
        assert service.system.paused() == Paused(by="Ann", since_ms=NOW_MS)
        assert nudge.sent == 1

    def test_it_is_in_the_store(self, service: Service, memory: MemoryStore, clock: FakeClock) -> None:
        service.system.pause("Ann")
        assert build(memory, FakeNudge(), clock, "UTC").system.paused() is not None

    def test_paused_time_is_not_missed_time(self, service: Service, memory: MemoryStore, clock: FakeClock) -> None:
        due = memory.add_job(a_job("due"))
        later = memory.add_job(a_job("later", next_fire_ms=NOW_MS + 6_000_000, interval_s=6000))
        service.system.pause("Ann")
        clock.advance(600)
        assert service.system.resume()
        assert service.jobs.get(due.id).next_fire_ms == NOW_MS + 660_000
        assert memory.job(later.id) == later
        assert service.system.paused() is None
        assert not service.system.resume()

    def test_a_job_that_would_run_at_once_waits_for_its_next_fire(
        self, service: Service, memory: MemoryStore, clock: FakeClock
    ) -> None:
        job = memory.add_job(a_job(allow_mode=AllowMode.IMMEDIATE, next_fire_ms=NOW_MS))
        service.system.pause("Ann")
        clock.advance(1)
        service.system.resume()
        assert service.jobs.get(job.id).next_fire_ms == NOW_MS + 60_000

    def test_one_broken_job_does_not_keep_the_others_paused(
        self, service: Service, memory: MemoryStore, clock: FakeClock
    ) -> None:
        broken = memory.add_job(a_job("broken", trigger_type=TriggerType.CRON, cron_expr="x"))
        good = memory.add_job(a_job("good"))
        service.system.pause("Ann")
        clock.advance(600)
        assert service.system.resume()
        assert service.jobs.get(broken.id).state is JobState.STOPPED
        assert service.jobs.get(good.id).next_fire_ms == NOW_MS + 660_000

    def test_starts_by_hand_go_on(self, service: Service, memory: MemoryStore) -> None:
        job = memory.add_job(a_job())
        service.system.pause("Ann")
        assert service.runs.start(job.id).state is RunState.QUEUED


class TestAll:
    def test_all_that_are_not_stopped_are_started(self, service: Service, memory: MemoryStore) -> None:
        for name in "ab":
            memory.add_job(a_job(name))
        memory.add_job(a_job("c", state=JobState.STOPPED))
        memory.add_job(a_job("d", trigger_type=TriggerType.MANUAL))
        started = service.system.run_all(service.runs)
        assert {run.job_name for run in started} == {"a", "b", "d"}
        assert len(memory.unowned_runs()) == 3

    def test_one_that_is_removed_meanwhile_is_passed_over(
        self, service: Service, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, gone = memory.add_job(a_job("a")), memory.add_job(a_job("b"))
        jobs = memory.jobs
        monkeypatch.setattr(memory, "jobs", lambda *args: (jobs(*args), memory.delete_job(gone.id))[0])
        assert [run.job_id for run in service.system.run_all(service.runs)] == [first.id]

    def test_a_check_mends_and_says_what(self, service: Service, memory: MemoryStore) -> None:
        memory.add_job(a_job("right"))
        memory.add_job(a_job("wrong", next_fire_ms=None))
        assert [repair.name for repair in service.system.check()] == ["wrong"]

    def test_figures(self, service: Service, memory: MemoryStore) -> None:
        memory.add_job(a_job())
        assert service.system.figures() == {"jobs": {0: 1}, "runs": {}}


class TestLastBackup:
    def test_there_is_none_before_the_first(self, service: Service) -> None:
        assert service.system.last_backup() == LastBackup()

    def test_a_failure_stands_beside_the_last_one_that_was_made(self, service: Service, memory: MemoryStore) -> None:
        memory.set_fact("backup", '{"at_ms": 5, "path": "/b", "size": 7, "verified": true}')
        memory.set_fact("backup_failed", '{"at_ms": 9, "en": "no room", "zh": "空间不足"}')
        assert service.system.last_backup() == LastBackup(
            made_ms=5, path="/b", size=7, verified=True, failed_ms=9, error={"en": "no room", "zh": "空间不足"}
        )


class TestTogether:
    def test_several_changes_wake_the_runner_once_when_they_are_there(
        self, service: Service, memory: MemoryStore, nudge: FakeNudge
    ) -> None:
        job = memory.add_job(a_job("a"))
        with service.together():
            service.jobs.stop(job.id)
            service.system.pause("Ann")
            assert nudge.sent == 0
        assert nudge.sent == 1
        service.system.resume()
        assert nudge.sent == 2

    def test_where_they_come_to_nothing_it_is_not_woken_and_the_next_one_wakes_it(
        self, service: Service, nudge: FakeNudge
    ) -> None:
        def breaks() -> None:
            with service.together():
                service.system.pause("Ann")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            breaks()
        assert (nudge.sent, service.system.paused()) == (0, None)
        service.system.pause("Ann")
        assert nudge.sent == 1
