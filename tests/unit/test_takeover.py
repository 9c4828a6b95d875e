"""What a dead runner left (semantics §8, §10), with owners that are dead because no such process lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fakes import NOW_MS, OK, FakeAttempt, FakeClock, FakeExecutor, FakeOutput, MemoryStore, a_job, a_run, claimed

from pyjobs import procs
from pyjobs.jobs import Job, JobState, Run, RunState, Source
from pyjobs.ports import Event, EventKind, RunQuery, Start
from pyjobs.slots import Slots
from pyjobs.takeover import Takeover

ME = procs.owner_name()
HOUR_MS = 3600 * 1000


def dead(number: int = 1) -> str:
    """An owner of this boot whose process is gone: no process has start time 0."""
    return f"{procs.boot_id()}/{number}/0"


@dataclass
class Left:
    """A store with what dead runners left, and who takes over."""

    store: MemoryStore
    executor: FakeExecutor
    clock: FakeClock
    slots: Slots
    takeover: Takeover

    def put(self, job: Job, state: RunState, owner: str, **started: Any) -> Run:
        run = a_run(job, owner=owner)
        self.store.claim([claimed(run)], [])
        if state is RunState.RUNNING:
            values = {"attempt": 1, "started_ms": self.clock.now_ms(), "pid": 7, "pid_start": 70, **started}
            self.store.start_runs([Start(exec_id=run.exec_id, **values)], owner)
        return self.row(run)

    def row(self, run: Run) -> Run:
        found = self.store.run(run.exec_id)
        assert found is not None
        return found

    def came_up(self, owner: str, at_ms: int, *, left_ms: int | None = None) -> None:
        self.store.add_event(Event(at_ms=at_ms, kind=EventKind.RUNNER_UP, detail={"owner": owner}))
        if left_ms is not None:
            self.store.add_event(Event(at_ms=left_ms, kind=EventKind.RUNNER_DOWN, detail={"owner": owner}))

    def sweep(self) -> None:
        self.takeover.sweep()
        self.slots.collect(list(self.slots.flights))
        self.slots.enforce()
        self.slots.launch()
        self.slots.flush()


Make = Callable[..., Left]


@pytest.fixture
def make(memory: MemoryStore, executor: FakeExecutor, output: FakeOutput, clock: FakeClock) -> Make:
    def left(quarantine_crashes: int = 3) -> Left:
        slots = Slots(memory, {"command": executor}, output, clock, ME, limit=10, default_timeout_s=0)
        takeover = Takeover(memory, {"command": executor}, slots, clock, ME, quarantine_crashes=quarantine_crashes)
        return Left(memory, executor, clock, slots, takeover)

    return left


@pytest.fixture
def left(make: Make) -> Left:
    return make()


class TestRuns:
    def test_what_still_runs_goes_on(self, left: Left) -> None:
        run = left.put(left.store.add_job(a_job()), RunState.RUNNING, dead())
        attempt = left.executor.adoptable[run.exec_id] = FakeAttempt(pid=7)
        left.sweep()
        assert (left.row(run).state, left.row(run).owner) == (RunState.RUNNING, ME)
        attempt.end(OK)
        left.sweep()
        assert left.row(run).state is RunState.SUCCESS

    def test_what_was_not_launched_is_launched(self, left: Left) -> None:
        run = left.put(left.store.add_job(a_job()), RunState.QUEUED, dead())
        left.sweep()
        assert left.executor.launched == [run.exec_id]

    @pytest.mark.parametrize(
        ("owner", "started", "words"),
        [
            (dead(), {}, "lost: the runner died while it ran"),
            (dead(), {"pid": None}, "lost: the runner died, and nobody knows how far it had come"),
            ("another-boot/1/2", {}, "lost: the machine went down"),
        ],
    )
    def test_what_nobody_finds_is_lost(self, left: Left, owner: str, started: dict[str, Any], words: str) -> None:
        run = left.put(left.store.add_job(a_job()), RunState.RUNNING, owner, **started)
        left.sweep()
        assert (left.row(run).state, left.row(run).error) == (RunState.LOST, words)
        assert left.executor.attempts == []

    def test_what_belongs_to_a_host_that_says_that_it_is_there_is_left_to_it(self, left: Left) -> None:
        run = left.put(left.store.add_job(a_job()), RunState.RUNNING, "elsewhere/1/2")
        left.store.note_seen("elsewhere/1/2")
        left.sweep()
        assert (left.row(run).state, left.row(run).owner) == (RunState.RUNNING, "elsewhere/1/2")

    def test_what_paused_between_two_attempts_goes_on_even_after_a_boot(self, left: Left) -> None:
        job = left.store.add_job(a_job(command="【command】x\n【times】2"))
        run = left.put(job, RunState.RUNNING, "another-boot/1/2", pid=None, retry_ms=NOW_MS + 5000)
        left.sweep()
        assert left.executor.attempts == []
        left.clock.advance(5)
        left.sweep()
        launch = left.executor.last.launch
        assert launch is not None
        assert (launch.exec_id, launch.attempt) == (run.exec_id, 2)

    def test_those_of_a_live_owner_are_left_alone(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        run = left.put(job, RunState.RUNNING, f"{procs.boot_id()}/1/{procs.start_time(1)}")
        left.sweep()
        assert left.row(run) == run


class TestSettle:
    """Without a daemon only what is certain is said."""

    def test_one_that_nothing_is_left_of_ends(self, left: Left) -> None:
        job, other = left.store.add_job(a_job("a")), left.store.add_job(a_job("b"))
        gone, elsewhere = left.put(job, RunState.RUNNING, dead()), left.put(other, RunState.RUNNING, dead())
        left.takeover.settle(job.id)
        left.slots.flush()
        assert (left.row(gone).state, left.row(elsewhere).state) == (RunState.LOST, RunState.RUNNING)

    def test_one_that_runs_waits_or_pauses_is_left_for_a_daemon(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        runs = [
            left.put(job, RunState.RUNNING, dead()),
            left.put(job, RunState.QUEUED, dead()),
            left.put(job, RunState.RUNNING, dead(), pid=None, retry_ms=NOW_MS),
        ]
        left.executor.adoptable[runs[0].exec_id] = FakeAttempt()
        left.takeover.settle(job.id)
        left.slots.flush()
        assert [left.row(run) for run in runs] == runs


class TestQuarantine:
    """Semantics §10: in flight in three crashes within 72 h."""

    def crash(self, left: Left, job: Job, number: int, *, clean: bool = False) -> Run:
        """A runner comes up, launches the job, and dies; the next one takes over."""
        left.came_up(dead(number), left.clock.now_ms())
        left.clock.advance(60)
        run = left.put(job, RunState.RUNNING, dead(number))
        left.clock.advance(60)
        if clean:
            left.came_up(dead(number), left.clock.now_ms(), left_ms=left.clock.now_ms())
        left.sweep()
        return run

    def stopped(self, left: Left, job: Job) -> str:
        found = left.store.job(job.id)
        assert found is not None
        return found.stop_reason if found.state is JobState.STOPPED else ""

    def test_the_third_crash_stops_the_job_and_says_why(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        for number in (1, 2):
            self.crash(left, job, number)
            assert self.stopped(left, job) == ""
        self.crash(left, job, 3)
        assert self.stopped(left, job) == "quarantined: it was in flight in 3 crashes of the runner within 72 h"
        kinds = [event.kind for event in left.store.events(job_id=job.id) if event.job_id]
        assert kinds == [EventKind.CRASHED] * 3 + [EventKind.JOB_STOPPED]

    def test_older_crashes_do_not_count(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        for number in range(1, 6):
            self.crash(left, job, number)
            left.clock.advance(37 * 3600)
        assert self.stopped(left, job) == ""

    def test_a_runner_that_left_by_itself_did_not_crash(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        for number in range(1, 6):
            self.crash(left, job, number, clean=True)
        assert self.stopped(left, job) == ""

    def test_several_runs_in_one_crash_are_one(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        left.came_up(dead(), NOW_MS)
        for _ in range(5):
            left.put(job, RunState.RUNNING, dead())
        left.sweep()
        assert self.stopped(left, job) == ""

    def test_what_outlived_a_runner_before_is_no_suspect(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        run = left.put(job, RunState.RUNNING, dead(1))
        left.executor.adoptable[run.exec_id] = FakeAttempt(pid=7)
        for number in range(2, 7):
            left.clock.advance(60)
            left.came_up(dead(number), left.clock.now_ms())
            left.store.take([run.exec_id], dead(number), left.row(run).owner)
            for flight in list(left.slots.flights):
                left.slots._release(flight)
            left.sweep()
        assert self.stopped(left, job) == ""
        assert left.row(run).state is RunState.RUNNING

    def test_none_where_it_is_switched_off(self, make: Make) -> None:
        left = make(quarantine_crashes=0)
        job = left.store.add_job(a_job())
        for number in range(1, 6):
            self.crash(left, job, number)
        assert self.stopped(left, job) == ""

    def test_another_limit_is_followed_from_the_next_crash_on(self, make: Make) -> None:
        left = make(quarantine_crashes=0)
        job = left.store.add_job(a_job())
        self.crash(left, job, 1)
        left.takeover.follow(quarantine_crashes=2)
        assert self.stopped(left, job) == ""
        self.crash(left, job, 2)
        assert self.stopped(left, job).startswith("quarantined")

    def test_a_start_by_hand_counts_as_well(self, left: Left) -> None:
        job = left.store.add_job(a_job())
        for number in (1, 2, 3):
            left.came_up(dead(number), left.clock.now_ms())
            run = a_run(job, owner=dead(number), source=Source.MANUAL)
            left.store.claim([claimed(run, counts=False)], [])
            start = Start(exec_id=run.exec_id, attempt=1, started_ms=left.clock.now_ms())
            left.store.start_runs([start], dead(number))
            left.sweep()
        assert self.stopped(left, job).startswith("quarantined")
        assert len(left.store.runs(RunQuery(states=frozenset({RunState.LOST})))) == 3
