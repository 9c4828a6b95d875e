"""Runs in flight, with a clock that stands still and attempts that end when the test says so (semantics §5, §8, §9)."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fakes import BAD, NOW_MS, OK, FakeAttempt, FakeClock, FakeExecutor, FakeOutput, MemoryStore, a_job, a_run, claimed

from pyjobs.errors import Invalid, RunFailed, StoreBusy
from pyjobs.jobs import FINAL, AllowMode, Backoff, Job, JobState, OnLost, Run, RunState, Source
from pyjobs.ports import End, Launch, Outcome, RunQuery, Spooled, Start
from pyjobs.slots import Flight, Slots


@dataclass
class World:
    """Slots over fakes."""

    store: MemoryStore
    executor: FakeExecutor
    output: FakeOutput
    clock: FakeClock
    slots: Slots

    def job(self, name: str = "job", **changes: Any) -> Job:
        return self.store.add_job(a_job(name, **changes))

    def queue(self, job: Job | None = None, **changes: Any) -> Run:
        """A claimed run that waits for a slot."""
        run = a_run(job, **changes)
        self.store.claim([claimed(run)], [])
        self.slots.admit([run])
        return run

    def running(self, job: Job | None = None, **changes: Any) -> tuple[Run, FakeAttempt]:
        """A run that was launched just now."""
        run = self.queue(job, **changes)
        self.slots.launch()
        assert self.executor.launched[-1] == run.exec_id
        return run, self.executor.last

    def step(self, seconds: float = 0) -> None:
        """Let time pass, and do what the runner's loop does."""
        self.clock.advance(seconds)
        self.slots.collect(list(self.slots.flights))
        self.slots.enforce()
        self.slots.launch()
        self.slots.flush()

    def row(self, run: Run) -> Run:
        found = self.store.run(run.exec_id)
        assert found is not None
        return found

    def states(self, *runs: Run) -> list[str]:
        return [self.row(run).state.value for run in runs]


Make = Callable[..., World]


@pytest.fixture
def make(memory: MemoryStore, executor: FakeExecutor, output: FakeOutput, clock: FakeClock) -> Make:
    def world(limit: int = 10, default_timeout_s: int = 300) -> World:
        slots = Slots(
            memory, {"command": executor}, output, clock, "me", limit=limit, default_timeout_s=default_timeout_s
        )
        return World(memory, executor, output, clock, slots)

    return world


@pytest.fixture
def world(make: Make) -> World:
    return make()


class TestLaunch:
    def test_a_run_is_running_in_the_store_before_it_is_launched(self, world: World) -> None:
        run = world.queue(world.job())
        seen: list[RunState] = []
        start = world.executor.start

        def watched(launch: Launch) -> FakeAttempt:
            seen.append(world.row(run).state)
            return start(launch)

        world.executor.start = watched  # type: ignore[method-assign]
        world.slots.launch()
        assert seen == [RunState.RUNNING]

    def test_it_is_told_what_to_do(self, world: World) -> None:
        job = world.job("nightly", command="【command】echo\n【timeout】7", allow_mode=AllowMode.PARALLEL)
        run, attempt = world.running(job, scheduled_ms=NOW_MS)
        launch = attempt.launch
        assert launch is not None
        assert (launch.exec_id, launch.job_id, launch.job_name) == (run.exec_id, job.id, "nightly")
        assert (launch.attempt, launch.scheduled_ms, launch.timeout_s) == (1, NOW_MS, 7)

    def test_its_process_is_recorded(self, world: World) -> None:
        run, attempt = world.running()
        row = world.row(run)
        assert (row.pid, row.pid_start, row.attempt, row.started_ms) == (attempt.pid, attempt.pid_start, 1, NOW_MS)

    def test_no_more_than_the_limit_run_at_once_and_in_order(self, make: Make) -> None:
        world = make(limit=2)
        runs = [world.queue() for _ in range(5)]
        names = [run.exec_id for run in runs]
        world.step()
        assert world.executor.launched == names[:2]
        assert not world.slots.pending
        assert world.states(*runs) == ["running", "running", "queued", "queued", "queued"]
        world.executor.attempts[1].end()
        world.step()
        assert world.executor.launched == names[:3]
        world.executor.attempts[0].end()
        world.executor.attempts[2].end()
        world.step()
        assert world.executor.launched == names

    def test_one_that_was_skipped_meanwhile_is_not_launched(self, world: World) -> None:
        run = world.queue()
        world.store.end_runs([_end(run, RunState.SKIPPED)], "me")
        world.step()
        assert world.executor.launched == []
        assert world.slots.idle
        assert not world.slots.pending

    def test_one_that_was_withdrawn_is_not_launched(self, world: World) -> None:
        gone, stays = world.queue(), world.queue()
        world.slots.waiting.withdraw([gone.exec_id])
        world.step()
        assert world.executor.launched == [stays.exec_id]

    def test_one_of_somebody_else_is_not_launched(self, world: World) -> None:
        run = world.queue(owner="other")
        world.step()
        assert world.executor.launched == []
        assert world.states(run) == ["queued"]

    def test_one_whose_executor_is_not_ready_waits_without_losing_its_place(self, world: World) -> None:
        world.executor.is_ready = False
        runs = [world.queue() for _ in range(2)]
        world.step()
        assert world.executor.launched == []
        assert world.slots.deadline() is not None
        world.executor.is_ready = True
        world.step()
        assert world.executor.launched == [run.exec_id for run in runs]

    def test_it_is_watched_until_it_is_over(self, world: World) -> None:
        watched: list[Flight] = []
        world.slots.watch, world.slots.unwatch = watched.append, watched.remove
        _, attempt = world.running()
        assert len(watched) == 1
        attempt.end()
        world.step()
        assert watched == []


class TestOneAtATime:
    """Jobs with allow_mode 2: a run waits its turn."""

    def test_the_next_one_waits_until_the_first_has_ended(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        first, attempt = world.running(job)
        second, other = world.queue(job), world.queue()
        world.step()
        assert world.executor.launched == [first.exec_id, other.exec_id]
        assert not world.slots.pending
        attempt.end()
        world.step()
        assert world.executor.launched == [first.exec_id, other.exec_id, second.exec_id]

    def test_two_that_are_admitted_together_do_not_overlap(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        runs = [world.queue(job), world.queue(job, source=Source.MANUAL)]
        world.step()
        assert world.states(*runs) == ["running", "queued"]
        world.executor.last.end()
        world.step()
        assert world.states(*runs) == ["success", "running"]

    def test_one_that_another_process_runs_is_waited_for(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        elsewhere = a_run(job, owner="another")
        world.store.claim([claimed(elsewhere)], [])
        world.store.start_runs([Start(exec_id=elsewhere.exec_id, attempt=1, started_ms=NOW_MS)], "another")
        run = world.queue(job)
        world.step()
        assert world.states(run) == ["queued"]
        assert world.slots.deadline() is not None  # it asks again by itself
        world.store.end_runs([_end(elsewhere, RunState.SUCCESS)], "another")
        world.step()
        assert world.states(run) == ["running"]

    def test_a_newer_one_stands_where_the_one_stood_that_it_takes_the_place_of(self, make: Make) -> None:
        world = make(limit=1)
        world.running()
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        old, other = world.queue(job), world.queue()
        new = a_run(job)
        world.store.claim([claimed(new)], [])
        world.slots.waiting.supersede([old.exec_id], [new])
        for _ in range(2):
            world.executor.last.end()
            world.step()
        assert world.executor.launched[1:] == [new.exec_id, other.exec_id]

    def test_none_of_several_that_wait_is_forgotten(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        runs = [world.running(job)[0]]
        for _ in range(3):
            runs.append(world.queue(job))
            world.step()
        for n in range(4):
            assert world.states(*runs) == ["success"] * n + ["running"] + ["queued"] * (3 - n)
            world.executor.last.end()
            world.step()
        assert world.slots.idle

    def test_a_forced_one_does_not_wait(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        world.running(job)
        forced = world.queue(job, forced=True)
        later = world.queue(job)
        world.step()
        assert world.states(forced, later) == ["running", "queued"]
        world.executor.attempts[0].end()
        world.step()
        assert world.states(later) == ["queued"]  # the forced one is still there
        world.executor.attempts[1].end()
        world.step()
        assert world.states(later) == ["running"]

    def test_what_waits_is_held_runs_or_is_not_recorded_yet_is_known(self, world: World) -> None:
        running, attempt = world.running(job := world.job(allow_mode=AllowMode.IMMEDIATE))
        held, ended = world.queue(job), a_run()
        world.slots.launch()
        waiting = world.queue()
        known = [world.slots.knows(run.exec_id) for run in (running, held, waiting, ended)]
        assert known == [True, True, True, False]
        attempt.end()
        world.slots.collect(list(world.slots.flights))
        assert world.slots.knows(running.exec_id)
        world.slots.flush()
        assert not world.slots.knows(running.exec_id)

    def test_one_that_waits_can_be_withdrawn_or_killed(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        _, attempt = world.running(job)
        withdrawn, killed, stays = (world.queue(job) for _ in range(3))
        world.step()
        world.slots.waiting.withdraw([withdrawn.exec_id])
        world.slots.kill({killed.exec_id: "Ann"})
        attempt.end()
        world.step()
        assert world.states(withdrawn, killed, stays) == ["queued", "skipped", "running"]
        assert world.row(killed).error == "ended by Ann before it was launched"

    def test_one_whose_turn_never_came_frees_the_next(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        first, second = world.queue(job), world.queue(job)
        world.store.end_runs([_end(first, RunState.SKIPPED)], "me")
        world.step()
        world.step()
        assert world.executor.launched == [second.exec_id]

    def test_one_that_cannot_be_started_frees_the_next(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        first, second = world.queue(job), world.queue(job)
        world.executor.failing.append(RunFailed("no"))
        world.step()
        world.step()
        assert world.states(first, second) == ["failed", "running"]

    def test_an_adopted_one_is_waited_for_too(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        attempt = _adopted(world, job)
        second = world.queue(job)
        world.step()
        assert world.states(second) == ["queued"]
        attempt.end()
        world.step()
        assert world.states(second) == ["running"]

    def test_after_a_lock_none_is_lost_and_none_overlaps(self, world: World) -> None:
        job = world.job(allow_mode=AllowMode.IMMEDIATE)
        runs = [world.queue(job) for _ in range(3)]
        start_runs, failing = world.store.start_runs, [True]

        def locked_once(starts: Sequence[Start], owner: str) -> set[str]:
            if failing and failing.pop():
                raise StoreBusy("locked")
            return start_runs(starts, owner)

        world.store.start_runs = locked_once  # type: ignore[method-assign]
        with pytest.raises(StoreBusy):
            world.slots.launch()
        assert world.executor.launched == []
        for n in range(3):
            world.step()
            assert world.executor.launched == [run.exec_id for run in runs[: n + 1]]
            world.executor.last.end()
        world.step()
        assert world.states(*runs) == ["success"] * 3


class TestEnd:
    def test_success(self, world: World) -> None:
        job = world.job()
        run, attempt = world.running(job)
        world.output.written[run.exec_id] = Spooled("outerr", 3, whole=True)
        world.step(2.5)
        attempt.end(OK)
        world.step()
        row = world.row(run)
        assert (row.state, row.exit_code, row.signal, row.error) == (RunState.SUCCESS, 0, None, "")
        assert (row.stdout, row.stderr) == ("out", "err")
        assert (row.ended_ms, row.duration_ms) == (NOW_MS + 2500, 2500)
        assert attempt.closed
        assert world.output.forgotten == {run.exec_id: False}
        assert world.slots.idle

    def test_failure_says_why(self, world: World) -> None:
        run, attempt = world.running()
        attempt.end(BAD)
        world.step()
        row = world.row(run)
        assert (row.state, row.exit_code, row.error) == (RunState.FAILED, 3, "exit status 3")

    def test_what_no_database_takes_is_not_in_the_reason(self, world: World) -> None:
        run, attempt = world.running()
        attempt.end(Outcome(success=False, exit_code=1, error="bad file \udcff"))
        world.step()
        assert world.row(run).error == "bad file ?"

    def test_an_end_that_cannot_be_recorded_keeps_no_other_from_its_own(self, world: World) -> None:
        (bad, first), (good, second) = world.running(), world.running()
        world.output.written[bad.exec_id] = Spooled("\udcff", 1, whole=True)
        record = world.store.end_runs

        def refusing(ends: Sequence[End], owner: str | None) -> set[str]:
            if any("\udcff" in end.output for end in ends):
                raise Invalid("text", "holds bytes that are no UTF-8")
            return record(ends, owner)

        world.store.end_runs = refusing  # type: ignore[method-assign]
        first.end()
        second.end()
        world.step()
        assert world.states(bad, good) == ["success", "success"]
        assert "could not be recorded" in world.row(bad).error

    def test_one_that_ended_before_anybody_looked_took_as_long_as_it_took(self, world: World) -> None:
        run, attempt = world.running()
        world.clock.advance(100)
        attempt.end(Outcome(success=True, exit_code=0, ended_ms=NOW_MS + 6000))
        world.step()
        assert (world.row(run).ended_ms, world.row(run).duration_ms) == (NOW_MS + 6000, 6000)

    def test_lost_says_why(self, world: World) -> None:
        run, attempt = world.running()
        attempt.end(Outcome(success=False, lost=True, error="nobody knows"))
        world.step()
        assert (world.row(run).state, world.row(run).error) == (RunState.LOST, "nobody knows")

    def test_output_that_does_not_fit_into_the_row_stays_on_disk(self, world: World) -> None:
        run, attempt = world.running()
        world.output.written[run.exec_id] = Spooled("head tail", 9, whole=False)
        attempt.end()
        world.step()
        assert world.output.forgotten == {run.exec_id: True}

    def test_one_that_cannot_be_started_fails_with_125(self, world: World) -> None:
        run = world.queue()
        world.executor.failing.append(RunFailed("the working directory is not there"))
        world.step()
        row = world.row(run)
        assert (row.state, row.exit_code, row.error) == (RunState.FAILED, 125, "the working directory is not there")

    def test_an_executor_that_breaks_costs_that_run_only(self, world: World) -> None:
        broken, good = world.queue(), world.queue()
        world.executor.failing.append(KeyError("oops"))
        world.step()
        assert world.states(broken, good) == ["failed", "running"]
        assert world.row(broken).error == "it could not be started: KeyError: 'oops'"

    def test_an_unknown_mode_fails(self, world: World) -> None:
        run = world.queue(mode="func", command="x")
        world.step()
        assert (world.row(run).state, world.row(run).error) == (RunState.FAILED, "nothing here runs mode `func`")

    @pytest.mark.parametrize(
        ("mode", "command", "words"),
        [("command", "【times】x", "times"), ("ftp", "x", "ftp"), ("http", "【url】", "url")],
    )
    def test_a_text_that_cannot_be_read_fails_and_says_so(
        self, world: World, mode: str, command: str, words: str
    ) -> None:
        run, good = world.queue(mode=mode, command=command), world.queue()
        world.step()
        assert world.states(run, good) == ["failed", "running"]
        assert words in world.row(run).error
        assert world.row(run).exit_code == 125

    def test_unknown_tags_of_a_stored_text_are_named_when_it_fails(self, world: World) -> None:
        run, attempt = world.running(command="【command】x\n【colour】red")
        attempt.end(BAD)
        world.step()
        assert world.row(run).error == "ignored unknown tags: colour; exit status 3"

    def test_the_job_knows(self, world: World) -> None:
        job = world.job()
        _, attempt = world.running(job)
        attempt.end(BAD)
        world.step(1)
        found = world.store.job(job.id)
        assert found is not None
        assert (found.last_state, found.last_duration_ms) == (RunState.FAILED, 1000)


class TestTimeOut:
    @pytest.mark.parametrize(
        ("text", "job_s", "seconds"), [("x", None, 300), ("x", 20, 20), ("【command】x\n【timeout】5", 20, 5)]
    )
    def test_the_text_covers_the_job_which_covers_the_setting(
        self, world: World, text: str, job_s: int | None, seconds: int
    ) -> None:
        run, attempt = world.running(world.job(timeout_s=job_s, command=text))
        world.step(seconds - 0.1)
        assert attempt.stops == []
        world.step(0.1)
        assert attempt.stops == [False]
        attempt.end(Outcome(success=False, exit_code=143, signal=15, error="ended by SIGTERM"))
        world.step()
        row = world.row(run)
        assert (row.state, row.exit_code, row.signal) == (RunState.TIMEOUT, 143, 15)
        assert row.error == f"timed out after {seconds} s"

    @pytest.mark.parametrize(("text", "job_s"), [("x", 0), ("【command】x\n【timeout】0", 5)])
    def test_0_is_no_limit(self, world: World, text: str, job_s: int) -> None:
        _, attempt = world.running(world.job(timeout_s=job_s, command=text))
        assert world.slots.deadline() is None
        world.step(1e7)
        assert attempt.stops == []

    def test_what_does_not_go_within_its_grace_is_killed(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10, grace_s=3))
        world.step(10)
        world.step(2.9)
        assert attempt.stops == [False]
        world.step(0.1)
        assert attempt.stops == [False, True]
        row = world.row(run)
        assert (row.state, row.signal, row.exit_code, row.duration_ms) == (RunState.TIMEOUT, 9, 137, 13_000)

    def test_a_clean_exit_after_the_time_out_is_a_time_out(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10))
        world.step(10)
        attempt.end(OK)
        world.step(0.1)
        assert world.states(run) == ["timeout"]

    def test_what_ended_by_itself_before_it_was_noticed_did_not_time_out(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10))
        attempt.end(OK)
        world.clock.advance(60)
        world.slots.enforce()
        world.slots.flush()
        assert world.states(run) == ["success"]
        assert attempt.stops == []

    def test_strays_are_pressed_until_nothing_is_left(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10, grace_s=3))
        attempt.obeys, attempt.stray = True, True
        world.step(10)
        assert world.states(run) == ["running"]
        world.step(1)
        assert world.states(run) == ["running"]
        world.step(2)
        assert attempt.stops == [False, True]
        world.step(0.1)
        assert world.states(run) == ["timeout"]

    def test_a_stray_that_cannot_be_killed_is_said_after_a_while(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10, grace_s=0))
        attempt.obeys = True
        attempt.gone = lambda: False  # type: ignore[method-assign]
        world.step(10)
        world.step(1)
        assert world.states(run) == ["running"]
        for _ in range(12):
            world.step(1)
        assert world.states(run) == ["timeout"]
        assert world.row(run).error == "timed out after 10 s; some of its processes could not be ended"

    def test_a_run_that_ends_by_itself_leaves_its_strays_alone(self, world: World) -> None:
        run, attempt = world.running()
        attempt.stray = True
        attempt.end(OK)
        world.step()
        assert world.states(run) == ["success"]
        assert attempt.stops == []

    def test_the_wall_clock_has_no_say(self, world: World) -> None:
        _, attempt = world.running(world.job(timeout_s=10))
        world.clock.set_wall(NOW_MS + 10**10)
        world.step(1)
        assert attempt.stops == []


class TestRetries:
    TEXT = "【command】x\n【times】3\n【interval】60"

    def test_it_is_tried_again_after_its_interval(self, world: World) -> None:
        run, first = world.running(command=self.TEXT)
        first.end(BAD)
        world.step()
        assert first.closed
        assert world.states(run) == ["running"]
        world.step(59.9)
        assert len(world.executor.attempts) == 1
        world.step(0.1)
        second = world.executor.last
        assert second is not first
        assert second.launch is not None
        assert second.launch.attempt == 2
        row = world.row(run)
        assert (row.attempt, row.pid, row.started_ms) == (2, second.pid, NOW_MS)
        second.end(OK)
        world.step()
        row = world.row(run)
        assert (row.state, row.error, row.attempt) == (RunState.SUCCESS, "", 2)

    def test_after_the_last_one_all_reasons_are_said(self, world: World) -> None:
        run = world.running(command=self.TEXT)[0]
        for _ in range(3):
            world.executor.last.end(BAD)
            world.step()
            world.step(60)
        assert len(world.executor.attempts) == 3
        row = world.row(run)
        assert row.state is RunState.FAILED
        assert row.error == "attempt 1: exit status 3; attempt 2: exit status 3; attempt 3: exit status 3"

    @pytest.mark.parametrize("times", ["0", "1"])
    def test_one_attempt_is_the_least(self, world: World, times: str) -> None:
        run, attempt = world.running(command=f"【command】x\n【times】{times}")
        attempt.end(BAD)
        world.step()
        assert world.row(run).error == "exit status 3"

    def test_each_attempt_has_its_whole_time(self, world: World) -> None:
        run, first = world.running(world.job(command=self.TEXT, timeout_s=100, grace_s=1))
        first.obeys = True
        world.step(100)
        assert first.stops == [False]
        assert world.states(run) == ["running"]
        world.step(60)
        second = world.executor.last
        world.step(99)
        assert second.stops == []
        second.end(OK)
        world.step()
        assert world.states(run) == ["success"]

    def test_it_says_when_it_goes_on_before_its_process_is_forgotten(self, world: World) -> None:
        run, first = world.running(command=self.TEXT)
        first.end(BAD)
        world.slots.collect(list(world.slots.flights))
        assert not first.closed
        world.slots.flush()
        assert first.closed
        row = world.row(run)
        assert (row.state, row.attempt, row.pid, row.retry_ms) == (RunState.RUNNING, 1, None, NOW_MS + 60_000)
        assert row.error == "attempt 1: exit status 3"
        world.step(60)
        row = world.row(run)
        assert (row.attempt, row.pid, row.retry_ms) == (2, world.executor.last.pid, None)

    def test_the_pause_grows_by_chance_where_the_job_wants_that(self, world: World) -> None:
        job = world.job(
            command="【command】x\n【times】6\n【interval】10",
            retry_backoff=Backoff.EXPONENTIAL,
            allow_mode=AllowMode.PARALLEL,
        )
        pauses: list[list[int]] = [[] for _ in range(5)]
        for _ in range(20):
            run = world.running(job)[0]
            for attempt in range(5):
                world.executor.last.end(BAD)
                world.step()
                pauses[attempt].append((world.row(run).retry_ms or 0) - world.clock.now_ms())
                world.step(300)
            world.executor.last.end(OK)
            world.step()
        for attempt, limit_ms in enumerate((10_000, 20_000, 40_000, 80_000, 160_000)):
            assert all(0 <= pause <= limit_ms for pause in pauses[attempt])
            assert len(set(pauses[attempt])) > 10

    @pytest.mark.parametrize(
        ("wanted", "outcome", "tried"),
        [
            ("3", BAD, True),
            ("4-9", BAD, False),
            ("500-599", Outcome(success=False, error="HTTP status 503", number=503), True),
            ("500-599", Outcome(success=False, error="HTTP status 404", number=404), False),
            ("error", Outcome(success=False, error="no answer"), True),
            ("timeout", BAD, False),
        ],
    )
    def test_only_failures_that_the_job_names_are_tried_again(
        self, world: World, wanted: str, outcome: Outcome, *, tried: bool
    ) -> None:
        run, first = world.running(world.job(command=self.TEXT, retry_on=wanted))
        first.end(outcome)
        world.step()
        assert world.states(run) == ["running" if tried else "failed"]

    def test_a_time_out_is_tried_again_where_the_job_names_it(self, world: World) -> None:
        job = world.job(command=self.TEXT, timeout_s=5, retry_on="timeout")
        run, first = world.running(job)
        first.obeys = True
        world.step(5)
        assert world.states(run) == ["running"]
        world.step(60)
        world.executor.last.end(BAD)
        world.step()
        assert world.states(run) == ["failed"]

    def test_one_that_is_not_ours_any_more_is_not_launched_again(self, world: World) -> None:
        run, first = world.running(command=self.TEXT)
        first.end(BAD)
        world.step()
        world.store.take([run.exec_id], "other", "me")
        world.step(60)
        assert world.executor.attempts == [first]
        assert world.slots.idle

    def test_it_keeps_its_slot_between_two_attempts(self, make: Make) -> None:
        world = make(limit=1)
        run, first = world.running(command=self.TEXT)
        waiting = world.queue()
        first.end(BAD)
        world.step()
        assert world.states(run, waiting) == ["running", "queued"]

    def test_one_that_cannot_be_started_is_tried_again(self, world: World) -> None:
        world.executor.failing.append(RunFailed("no"))
        run = world.queue(command=self.TEXT)
        world.step()
        assert world.states(run) == ["running"]
        world.step(60)
        world.executor.last.end(OK)
        world.step()
        assert world.states(run) == ["success"]

    def test_a_lost_one_is_not_tried_again(self, world: World) -> None:
        run, attempt = world.running(command=self.TEXT)
        attempt.end(Outcome(success=False, lost=True, error="?"))
        world.step()
        assert world.states(run) == ["lost"]

    def test_it_can_be_killed_between_two_attempts(self, world: World) -> None:
        run, first = world.running(command=self.TEXT)
        first.end(BAD)
        world.step()
        world.slots.kill({run.exec_id: "Ann"})
        world.step(1000)
        row = world.row(run)
        assert (row.state, row.error) == (RunState.KILLED, "attempt 1: exit status 3; killed by Ann")
        assert len(world.executor.attempts) == 1

    def test_a_time_out_that_comes_with_the_end_is_none(self, world: World) -> None:
        run, first = world.running(world.job(command=self.TEXT, timeout_s=10))
        first.end(BAD)
        world.clock.advance(10)
        world.slots.enforce()
        world.step(60)
        world.executor.last.end(OK)
        world.step()
        assert world.states(run) == ["success"]


class TestKill:
    def test_term_grace_kill(self, world: World) -> None:
        run, attempt = world.running(world.job(grace_s=4))
        world.slots.kill({run.exec_id: "Ann"})
        world.slots.kill({run.exec_id: "Ann"})
        assert attempt.stops == [False]
        world.step(3.9)
        assert attempt.stops == [False]
        world.step(0.1)
        assert attempt.stops == [False, True]
        row = world.row(run)
        assert (row.state, row.signal, row.error) == (RunState.KILLED, 9, "killed by Ann")

    def test_one_that_obeys_ends_at_once(self, world: World) -> None:
        run, attempt = world.running()
        attempt.obeys = True
        world.slots.kill({run.exec_id: "Ann"})
        world.slots.flush()
        assert (world.row(run).state, world.row(run).signal) == (RunState.KILLED, 15)

    def test_one_that_had_ended_already_was_not_killed(self, world: World) -> None:
        run, attempt = world.running()
        attempt.end(OK)
        world.slots.kill({run.exec_id: "Ann"})
        world.slots.flush()
        assert world.states(run) == ["success"]
        assert attempt.stops == []

    def test_one_that_waits_is_skipped(self, make: Make) -> None:
        world = make(limit=1)
        world.running()
        run = world.queue()
        world.slots.kill({run.exec_id: "Ann"})
        world.slots.kill({run.exec_id: "Ann"})
        world.step()
        assert (world.row(run).state, world.row(run).error) == (
            RunState.SKIPPED,
            "ended by Ann before it was launched",
        )

    def test_no_further_attempt_is_made(self, world: World) -> None:
        run, attempt = world.running(command="【command】x\n【times】9")
        attempt.obeys = True
        world.slots.kill({run.exec_id: "Ann"})
        world.step(1000)
        assert world.states(run) == ["killed"]
        assert len(world.executor.attempts) == 1

    def test_a_kill_covers_a_time_out_that_is_under_way(self, world: World) -> None:
        run, attempt = world.running(world.job(timeout_s=10, grace_s=60, command="【command】x\n【times】9"))
        world.step(10)
        world.slots.kill({run.exec_id: "Ann"})
        attempt.end(BAD)
        world.step()
        assert world.states(run) == ["killed"]
        assert world.row(run).error == "timed out after 10 s; killed by Ann"

    def test_what_was_killed_is_not_lost(self, world: World) -> None:
        run, attempt = world.running()
        world.slots.kill({run.exec_id: "Ann"})
        attempt.end(Outcome(success=False, lost=True, error="nobody saw it"))
        world.step()
        assert world.states(run) == ["killed"]

    def test_an_unknown_run_is_nobody_s_business(self, world: World) -> None:
        world.slots.kill({"unknown": "Ann"})
        world.step()

    def test_all_can_be_ended_or_some(self, world: World) -> None:
        first, second = world.running(), world.running()
        world.slots.end_all(RunState.KILLED, "pyjobs was stopped", only=lambda f: f.attempt is first[1])
        assert [first[1].stops, second[1].stops] == [[False], []]
        world.slots.end_all(RunState.KILLED, "pyjobs was stopped")
        assert [first[1].stops, second[1].stops] == [[False], [False]]
        world.step(10)
        assert world.states(first[0], second[0]) == ["killed", "killed"]
        assert world.row(first[0]).error == "pyjobs was stopped"


class TestBusyStore:
    def test_nothing_is_launched_and_nothing_lost(self, world: World) -> None:
        runs = [world.queue() for _ in range(3)]
        world.store.busy = True
        for _ in range(2):
            with pytest.raises(StoreBusy):
                world.slots.launch()
        assert world.executor.launched == []
        assert world.slots.pending
        world.store.busy = False
        world.step()
        assert world.executor.launched == [run.exec_id for run in runs]

    def test_ends_are_kept_with_their_exit_statuses(self, world: World) -> None:
        run, attempt = world.running()
        attempt.end(BAD)
        world.store.busy = True
        world.slots.collect(list(world.slots.flights))
        for _ in range(2):
            with pytest.raises(StoreBusy):
                world.slots.flush()
        assert not attempt.closed
        assert not world.slots.idle
        assert world.output.forgotten == {}
        deadline = world.slots.deadline()
        assert deadline is not None
        assert deadline <= world.clock.monotonic() + 1
        world.store.busy = False
        world.slots.flush()
        assert attempt.closed
        assert world.states(run) == ["failed"]
        assert world.slots.idle

    def test_time_outs_go_on(self, world: World) -> None:
        _, attempt = world.running(world.job(timeout_s=10, grace_s=1))
        world.store.busy = True
        world.clock.advance(10)
        world.slots.enforce()
        world.clock.advance(1)
        world.slots.enforce()
        assert attempt.stops == [False, True]

    def test_a_next_attempt_waits_until_it_can_be_recorded(self, world: World) -> None:
        run, first = world.running(command="【command】x\n【times】2")
        first.end(BAD)
        world.store.busy = True
        world.slots.collect(list(world.slots.flights))
        world.slots.enforce()
        assert world.executor.attempts == [first]
        assert not first.closed
        world.store.busy = False
        world.step(1)
        assert (world.row(run).attempt, world.row(run).pid) == (2, world.executor.last.pid)
        assert first.closed


class TestAdoption:
    def test_it_goes_on_to_its_end(self, world: World) -> None:
        attempt = _adopted(world, ran_s=100)
        world.step(1)
        attempt.end(BAD)
        world.step()
        (row,) = world.store.runs(RunQuery())
        assert (row.state, row.exit_code, row.duration_ms) == (RunState.FAILED, 3, 101_000)
        assert attempt.closed

    def test_its_time_out_goes_on(self, world: World) -> None:
        attempt = _adopted(world, world.job(timeout_s=150), ran_s=100)
        world.step(49)
        assert attempt.stops == []
        world.step(1)
        assert attempt.stops == [False]

    def test_a_time_out_that_passed_meanwhile_is_due_at_once(self, world: World) -> None:
        attempt = _adopted(world, world.job(timeout_s=50), ran_s=100)
        world.step()
        assert attempt.stops == [False]

    @pytest.mark.parametrize(("signal", "state"), [(15, "killed"), (None, "failed")])
    def test_what_the_dead_runner_was_asked_to_kill_was_killed_and_leaves_no_stray(
        self, world: World, signal: int | None, state: str
    ) -> None:
        ended = Outcome(success=False, exit_code=143, signal=signal, error="it ended")
        attempt = _adopted(world, ended=ended, stray=signal is not None, kill_by="Ann")
        world.step()
        world.step(1)
        (row,) = world.store.runs(RunQuery())
        assert (row.state.value, attempt.stray) == (state, False)
        assert row.error == ("killed by Ann" if signal else "it ended")

    @pytest.mark.parametrize(
        ("ended_after_s", "signal", "state"),
        [(50.1, 9, "timeout"), (49, 9, "failed"), (60, None, "failed")],
        ids=["ended by us", "killed before", "ended by itself"],
    )
    def test_what_the_dead_runner_was_ending_timed_out_and_leaves_no_stray(
        self, world: World, ended_after_s: float, signal: int | None, state: str
    ) -> None:
        ended_ms = NOW_MS - round((100 - ended_after_s) * 1000)
        outcome = Outcome(success=False, exit_code=137, signal=signal, error="?", ended_ms=ended_ms)
        attempt = _adopted(world, world.job(timeout_s=50), ran_s=100, ended=outcome, stray=True)
        for _ in range(3):
            world.slots.collect(list(world.slots.flights))
            world.step(0.1)
        assert [run.state for run in world.store.runs(RunQuery())] == [state]
        assert attempt.stops == ([True] if state == "timeout" else [])

    def test_a_later_attempt_is_never_cut_short(self, world: World) -> None:
        attempt = _adopted(world, world.job(timeout_s=150), ran_s=149, attempt=2)
        world.step(149)
        assert attempt.stops == []
        world.step(1)
        assert attempt.stops == [False]

    def test_its_retries_go_on(self, world: World) -> None:
        attempt = _adopted(world, command="【command】x\n【times】3\n【interval】5", attempt=2)
        attempt.end(BAD)
        world.step()
        world.step(5)
        launch = world.executor.last.launch
        assert launch is not None
        assert launch.attempt == 3
        world.executor.last.end(BAD)
        world.step()
        assert [run.state for run in world.store.runs(RunQuery())] == [RunState.FAILED]

    def test_one_that_paused_goes_on_when_its_pause_is_over(self, world: World) -> None:
        run = a_run(command="【command】x\n【times】2")
        world.store.claim([claimed(run)], [])
        start = Start(
            exec_id=run.exec_id, attempt=1, started_ms=NOW_MS, retry_ms=NOW_MS + 10_000, error="attempt 1: it rained"
        )
        world.store.start_runs([start], "me")
        world.slots.resume(world.row(run))
        world.step(9)
        assert world.executor.attempts == []
        world.step(1)
        launch = world.executor.last.launch
        assert launch is not None
        assert (launch.exec_id, launch.attempt) == (run.exec_id, 2)
        world.executor.last.end(BAD)
        world.step()
        assert (world.row(run).state, world.row(run).duration_ms) == (RunState.FAILED, 10_000)
        assert world.row(run).error == "attempt 1: it rained; attempt 2: exit status 3"

    def test_it_takes_a_slot(self, make: Make) -> None:
        world = make(limit=1)
        _adopted(world)
        run = world.queue()
        world.step()
        assert world.states(run) == ["queued"]

    def test_a_lock_does_not_leave_one_that_paused_to_nobody(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = world.job(command="【command】x\n【times】2")
        run = a_run(job)
        world.store.claim([claimed(run)], [])
        world.store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS, retry_ms=NOW_MS)], "me")

        def locked(_: int) -> Job:
            raise StoreBusy("locked")

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "job", locked)
            world.slots.resume(world.row(run))
        world.step()
        world.executor.last.end(OK)
        world.step()
        assert world.states(run) == ["success"]

    def test_a_lock_does_not_leave_it_to_nobody(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        job = world.job()

        def locked(_: int) -> Job:
            raise StoreBusy("locked")

        monkeypatch.setattr(world.store, "job", locked)
        attempt = _adopted(world, job)
        attempt.end(OK)
        world.step()
        assert [run.state for run in world.store.runs(RunQuery())] == [RunState.SUCCESS]


def _end(run: Run, state: RunState) -> End:
    return End(exec_id=run.exec_id, state=state, ended_ms=NOW_MS)


def _adopted(
    world: World, job: Job | None = None, *, ran_s: float = 0, attempt: int = 1,
    ended: Outcome | None = None, stray: bool = False, kill_by: str = "", **changes: Any,
) -> FakeAttempt:  # fmt: skip
    """A run that a dead runner started `ran_s` seconds ago."""
    run = a_run(job, **changes)
    world.store.claim([claimed(run)], [])
    world.store.start_runs(
        [Start(exec_id=run.exec_id, attempt=attempt, started_ms=NOW_MS - round(ran_s * 1000), pid=5, pid_start=6)], "me"
    )
    if kill_by:
        world.store.request_kill(run.exec_id, kill_by)
    found = FakeAttempt(pid=5, pid_start=6, ended=ended, stray=stray)
    world.slots.adopt(world.row(run), found)
    return found


class Chance:
    """Ends, kills, locks, retries and time as a seed drives them."""

    TEXT = "【command】x\n【times】2\n【interval】3"
    OUTCOMES = (OK, BAD, Outcome(success=False, lost=True, error="?"))

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.jobs = [world.job(m.name, allow_mode=m, timeout_s=20, grace_s=2, command=self.TEXT) for m in AllowMode]
        self.runs: list[Run] = []
        self.ends: list[str] = []
        end_runs = world.store.end_runs

        def counted(ends: Sequence[End], owner: str | None) -> set[str]:
            changed = end_runs(ends, owner)
            self.ends.extend(changed)
            return changed

        world.store.end_runs = counted  # type: ignore[method-assign]

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    def turn(self) -> None:
        self.world.store.busy = False
        if self.happens(0.4):
            self.runs.append(self.world.queue(self.random.choice(self.jobs)))
        if self.runs and self.happens(0.15):
            self.world.slots.kill({self.random.choice(self.runs).exec_id: "chance"})
        if self.happens(0.2):
            self.world.executor.failing.append(RunFailed("chance"))
        for attempt in self.world.executor.attempts:
            if self.happens(0.2):
                self.end(attempt, self.random.choice(self.OUTCOMES), stray=self.happens(0.3))
        self.world.store.busy = self.happens(0.3)
        self.step(self.random.choice([0, 0.1, 1, 5]))

    def end(self, attempt: FakeAttempt, outcome: Outcome, *, stray: bool = False) -> None:
        if attempt.ended is None and not attempt.closed:
            attempt.stray = stray
            attempt.end(outcome)

    def step(self, seconds: float) -> None:
        slots = self.world.slots
        self.world.clock.advance(seconds)
        slots.collect(list(slots.flights))
        slots.enforce()
        for write in (slots.launch, slots.flush):
            with contextlib.suppress(StoreBusy):
                write()
        one_at_a_time = self.jobs[AllowMode.IMMEDIATE].id
        assert len([flight for flight in slots.flights if flight.run.job_id == one_at_a_time]) <= 1
        assert len(list(slots.flights)) <= 3

    def finish(self) -> None:
        self.world.store.busy = False
        self.world.executor.failing.clear()
        for _ in range(400):
            for attempt in self.world.executor.attempts:
                self.end(attempt, OK)
            self.step(5)
            if not self.world.store.active_runs():
                return
        pytest.fail(f"still there: {self.world.store.active_runs()}")


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_run_has_one_end_and_nothing_is_left(make: Make, seed: int) -> None:
    world = make(limit=3)
    chance = Chance(world, seed)
    for _ in range(60):
        chance.turn()
    chance.finish()
    assert {world.row(run).state for run in chance.runs} <= FINAL
    assert sorted(chance.ends) == sorted(run.exec_id for run in chance.runs)
    assert world.slots.idle
    assert not world.slots.pending
    assert all(attempt.closed for attempt in world.executor.attempts)


class TestLost:
    """Semantics §2, rulings 2."""

    LOST = Outcome(success=False, lost=True, error="nobody saw it")

    def test_it_is_a_new_run_that_points_to_the_first_one(self, world: World) -> None:
        job = world.job(on_lost=OnLost.RETRY, command="one")
        run, attempt = world.running(job, scheduled_ms=NOW_MS)
        before = world.store.job(job.id)
        attempt.end(self.LOST)
        world.step()
        world.step()
        again = world.store.runs(RunQuery())[0]
        assert (again.state, again.source, again.scheduled_ms) == (RunState.RUNNING, Source.RETRY, None)
        assert (again.retry_of, again.owner, again.command) == (run.exec_id, "me", "one")
        assert world.states(run) == ["lost"]
        after = world.store.job(job.id)
        assert before is not None
        assert after is not None
        assert after.run_count == before.run_count
        world.executor.last.end(self.LOST)
        world.step()
        world.step()
        third = world.store.runs(RunQuery())[0]
        assert (third.source, third.retry_of) == (Source.RETRY, run.exec_id)
        assert third.exec_id != again.exec_id

    @pytest.mark.parametrize("changes", [{}, {"on_lost": OnLost.RETRY, "state": JobState.STOPPED}])
    def test_none_where_the_job_does_not_ask_for_it_or_is_stopped(self, world: World, changes: dict[str, Any]) -> None:
        _, attempt = world.running(world.job(**changes))
        attempt.end(self.LOST)
        world.step()
        world.step()
        assert [run.state for run in world.store.runs(RunQuery())] == [RunState.LOST]

    def test_one_at_a_time_stays_one_at_a_time(self, world: World) -> None:
        job = world.job(on_lost=OnLost.RETRY, allow_mode=AllowMode.SERIAL)
        _, attempt = world.running(job)
        _, other = world.running(job, forced=True)
        attempt.end(self.LOST)
        world.step()
        again = world.store.runs(RunQuery())[0]
        assert (again.state, again.error) == (RunState.SKIPPED, "another run of the job is there")
        other.end(OK)

    def test_neither_is_stored_while_the_store_is_locked(self, world: World) -> None:
        run, attempt = world.running(world.job(on_lost=OnLost.RETRY))
        attempt.end(self.LOST)
        world.slots.collect(list(world.slots.flights))
        world.store.busy = True
        with pytest.raises(StoreBusy):
            world.slots.flush()
        assert world.states(run) == ["running"]
        world.store.busy = False
        world.slots.flush()
        assert world.states(run) == ["lost"]
        assert len(world.store.runs(RunQuery())) == 2
