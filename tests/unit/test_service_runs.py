"""What one does with runs: start by hand, find, end, clear (semantics §5, §9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job, a_run, claimed

from pyjobs.errors import Conflict, Invalid, NameTaken, NotFound
from pyjobs.jobs import AllowMode, Job, JobState, Run, RunState, Source
from pyjobs.ports import End, JobQuery, RunQuery, Start
from pyjobs.service import Service, build
from pyjobs.service.jobs import JobFields


@pytest.fixture
def service(memory: MemoryStore, nudge: FakeNudge, clock: FakeClock) -> Service:
    return build(memory, nudge, clock, "UTC")


def put(store: MemoryStore, job: Job | None = None, *, running: bool = False, **changes: Any) -> Run:
    run = a_run(job, **changes)
    store.claim([claimed(run)], [])
    if running:
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], run.owner or "me")
    found = store.run(run.exec_id)
    assert found is not None
    return found


class TestStartByHand:
    def test_it_is_queued_for_the_runner(self, service: Service, memory: MemoryStore, nudge: FakeNudge) -> None:
        job = memory.add_job(a_job("nightly", command="echo"))
        run = service.runs.start(job.id)
        (row,) = memory.unowned_runs()
        assert replace(row, id=0) == replace(run, id=0)
        assert (run.job_id, run.job_name, run.mode, run.command) == (job.id, "nightly", "command", "echo")
        assert (run.state, run.source, run.owner) == (RunState.QUEUED, Source.MANUAL, None)
        assert (run.scheduled_ms, run.claimed_ms, run.forced) == (None, NOW_MS, False)
        assert nudge.sent == 1

    def test_it_counts_for_nothing_and_works_for_stopped_jobs(self, service: Service, memory: MemoryStore) -> None:
        job = memory.add_job(a_job(state=JobState.STOPPED, max_run_count=1))
        for _ in range(2):
            assert service.runs.start(job.id).state is RunState.QUEUED
        assert service.jobs.get(job.id).run_count == 0

    def test_its_owner_may_be_said(self, service: Service, memory: MemoryStore) -> None:
        job = memory.add_job(a_job())
        assert service.runs.start(job.id, owner="me").owner == "me"
        assert memory.unowned_runs() == []

    def test_an_unknown_job_is_not_found(self, service: Service) -> None:
        with pytest.raises(NotFound):
            service.runs.start(9)

    @pytest.mark.parametrize(
        ("mode", "there", "becomes", "words"),
        [
            (AllowMode.PARALLEL, "running", RunState.QUEUED, ""),
            (AllowMode.PARALLEL, "queued", RunState.QUEUED, ""),
            (AllowMode.SERIAL, "", RunState.QUEUED, ""),
            (AllowMode.SERIAL, "running", RunState.SKIPPED, "is still running"),
            (AllowMode.SERIAL, "queued", RunState.SKIPPED, "still waits for a slot"),
            (AllowMode.IMMEDIATE, "running", RunState.QUEUED, ""),
            (AllowMode.IMMEDIATE, "queued", RunState.QUEUED, ""),
        ],
    )
    def test_it_passes_the_same_gate(
        self, service: Service, memory: MemoryStore, mode: AllowMode, there: str, becomes: RunState, words: str
    ) -> None:
        job = memory.add_job(a_job(allow_mode=mode))
        before = put(memory, job, running=there == "running") if there else None
        run = service.runs.start(job.id)
        assert memory.run(run.exec_id) == replace(run, id=memory.runs(RunQuery())[0].id)
        assert run.state is becomes
        assert words in run.error
        assert bool(run.error) is bool(words)
        assert run.ended_ms == (None if becomes is RunState.QUEUED else NOW_MS)
        if before:
            replaced = mode is AllowMode.IMMEDIATE and there == "queued"
            old = service.runs.get(before.exec_id)
            assert old.state is (RunState.SKIPPED if replaced else before.state)
            assert bool(old.error) is replaced

    @pytest.mark.parametrize("mode", AllowMode)
    def test_force_passes_any_gate(self, service: Service, memory: MemoryStore, mode: AllowMode) -> None:
        job = memory.add_job(a_job(allow_mode=mode))
        before = [put(memory, job, running=True), put(memory, job)]
        run = service.runs.start(job.id, force=True)
        assert (run.state, run.forced) == (RunState.QUEUED, True)
        assert [service.runs.get(r.exec_id).state for r in before] == [RunState.RUNNING, RunState.QUEUED]


class TestFind:
    def test_by_name_or_beginning(self, service: Service, memory: MemoryStore) -> None:
        runs = [put(memory, exec_id=name) for name in ("abc1", "abc", "b1")]
        assert service.runs.find("abc") == runs[1]
        assert service.runs.find("abc1") == runs[0]
        assert service.runs.find("b") == runs[2]
        assert service.runs.get("b1") == runs[2]

    @pytest.mark.parametrize("reference", ["", "x", "%", "ABC"])
    def test_what_is_not_there_is_not_found(self, service: Service, memory: MemoryStore, reference: str) -> None:
        put(memory, exec_id="abc")
        with pytest.raises(NotFound, match="there is no run"):
            service.runs.find(reference)
        with pytest.raises(NotFound, match="there is no run"):
            service.runs.get(reference)

    def test_several_are_named(self, service: Service, memory: MemoryStore) -> None:
        for name in ("ab1", "ab2"):
            put(memory, exec_id=name)
        with pytest.raises(NotFound, match="`ab` could be several runs: `ab2`, `ab1`"):
            service.runs.find("ab")


class TestKill:
    def test_the_owner_is_asked(self, service: Service, memory: MemoryStore, nudge: FakeNudge) -> None:
        run = put(memory, running=True)
        assert service.runs.kill(run.exec_id, "Ann").state is RunState.RUNNING
        assert memory.kill_requests("me") == {run.exec_id: "Ann"}
        assert nudge.sent == 1

    def test_one_that_nobody_owns_ends_here(self, service: Service, memory: MemoryStore) -> None:
        run = put(memory, owner=None)
        killed = service.runs.kill(run.exec_id, "Ann")
        assert (killed.state, killed.error) == (RunState.SKIPPED, "ended by Ann before it was launched")

    def test_one_that_waits_for_a_slot_is_its_owner_s(self, service: Service, memory: MemoryStore) -> None:
        run = put(memory)
        assert service.runs.kill(run.exec_id, "Ann").state is RunState.QUEUED
        assert memory.kill_requests("me") == {run.exec_id: "Ann"}

    def test_what_has_ended_is_a_conflict(self, service: Service, memory: MemoryStore, nudge: FakeNudge) -> None:
        run = put(memory, running=True)
        memory.end_runs([End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=NOW_MS)], "me")
        with pytest.raises(Conflict, match="has ended already: failed"):
            service.runs.kill(run.exec_id, "Ann")
        with pytest.raises(NotFound):
            service.runs.kill("unknown", "Ann")
        assert nudge.sent == 0

    def test_nobody_can_take_it_meanwhile(
        self, service: Service, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = put(memory, owner=None)
        depths: list[int] = []
        for name in ("request_kill", "end_runs"):
            real = getattr(memory, name)

            def noted(*args: Any, real: Any = real) -> Any:
                depths.append(memory._depth)
                return real(*args)

            monkeypatch.setattr(memory, name, noted)
        service.runs.kill(run.exec_id, "Ann")
        assert depths == [1, 1]


class TestLists:
    def test_active_and_all(self, service: Service, memory: MemoryStore) -> None:
        jobs = [memory.add_job(a_job(name)) for name in "ab"]
        first, second = put(memory, jobs[0]), put(memory, jobs[1], running=True)
        memory.end_runs([End(exec_id=put(memory).exec_id, state=RunState.LOST, ended_ms=NOW_MS)], "me")
        assert list(service.runs.active()) == [first, second]
        assert list(service.runs.active(jobs[1].id)) == [second]
        assert len(service.runs.list(RunQuery())) == 3

    def test_clearing_leaves_what_is_active(self, service: Service, memory: MemoryStore) -> None:
        active = put(memory, running=True)
        for n in range(3):
            run = put(memory, claimed_ms=NOW_MS + n)
            memory.end_runs([End(exec_id=run.exec_id, state=RunState.SUCCESS, ended_ms=NOW_MS)], "me")
        assert service.runs.clear(before_ms=NOW_MS + 2) == 2
        assert service.runs.clear() == 1
        assert memory.runs(RunQuery()) == [active]


class TestAddAndStart:
    FIELDS = JobFields(name="once", cron_expr="* * * * * *", mode="command", command="true", state=0)

    def test_the_job_is_stored_stopped_and_started_by_hand(
        self, service: Service, memory: MemoryStore, nudge: FakeNudge
    ) -> None:
        run = service.runs.add_and_start(self.FIELDS)
        job = service.jobs.find("once")
        assert (job.state, job.next_fire_ms) == (JobState.STOPPED, None)
        assert (run.job_id, run.state, run.source) == (job.id, RunState.QUEUED, Source.MANUAL)
        assert memory.facts("cleanup:") == {}
        assert nudge.sent

    def test_a_wrong_job_starts_nothing(self, service: Service, memory: MemoryStore) -> None:
        service.runs.add_and_start(self.FIELDS)
        with pytest.raises(NameTaken):
            service.runs.add_and_start(self.FIELDS, remove_job=True)
        with pytest.raises(Invalid):
            service.runs.add_and_start(replace(self.FIELDS, name="other", mode="x"), remove_log=True)
        assert len(memory.runs(RunQuery())) == 1
        assert memory.facts("cleanup:") == {}

    @pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED, RunState.LOST, RunState.SKIPPED])
    def test_it_is_removed_however_its_run_ends(self, service: Service, memory: MemoryStore, state: RunState) -> None:
        run = service.runs.add_and_start(self.FIELDS, remove_job=True)
        assert service.runs.clean_up() == 0
        memory.end_runs([End(exec_id=run.exec_id, state=state, ended_ms=NOW_MS)], None)
        assert service.runs.clean_up() == 1
        assert memory.jobs(JobQuery()) == []
        kept = memory.run(run.exec_id)
        assert kept is not None
        assert kept.job_id is None
        assert memory.facts("cleanup:") == {}

    def test_its_record_goes_too_when_asked(self, service: Service, memory: MemoryStore) -> None:
        run = service.runs.add_and_start(self.FIELDS, remove_log=True)
        memory.end_runs([End(exec_id=run.exec_id, state=RunState.SUCCESS, ended_ms=NOW_MS)], None)
        assert service.runs.clean_up() == 1
        assert memory.run(run.exec_id) is None
        assert [job.name for job in memory.jobs(JobQuery())] == ["once"]

    def test_who_removes_the_job_first_is_no_problem(self, service: Service, memory: MemoryStore) -> None:
        run = service.runs.add_and_start(self.FIELDS, remove_job=True)
        service.jobs.remove(run.job_id or 0)
        assert service.runs.clean_up() == 1
        assert memory.facts("cleanup:") == {}


class TestOfJob:
    def test_the_newest_one_or_the_one_with_this_name(self, service: Service, memory: MemoryStore) -> None:
        job, other = memory.add_job(a_job("job")), memory.add_job(a_job("other"))
        first, second, foreign = put(memory, job), put(memory, job), put(memory, other)
        assert service.runs.of_job(job.id) == second
        assert service.runs.of_job(job.id, first.exec_id) == first
        assert service.runs.of_job(job.id, foreign.exec_id) is None
        assert service.runs.of_job(job.id, "nope") is None
        assert service.runs.of_job(999) is None

    def test_one_whose_job_is_gone_is_found_by_its_name(self, service: Service, memory: MemoryStore) -> None:
        job = memory.add_job(a_job("job"))
        run = put(memory, job)
        memory.delete_job(job.id)
        found = service.runs.of_job(job.id, run.exec_id)
        assert found is not None
        assert found.job_id is None
