"""What `why` tells: each verdict from record and history, and every due instant in exactly one answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job, a_run, claimed
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.errors import NotFound
from pyjobs.jobs import Fold, Gap, Job, JobState, Run, RunState, TriggerType
from pyjobs.ports import Event, EventKind, FireRange
from pyjobs.service import build
from pyjobs.service.history import Cause, Hold, Scheduled
from pyjobs.service.inquiry import Told
from pyjobs.service.why import Answer, Moment, Past, Verdict, explain, unfold
from pyjobs.triggers import trigger_of

MINUTE = 60_000
HOUR = 60 * MINUTE
START = NOW_MS - HOUR
SUMMER = 1_774_746_000_000  # 2026-03-29 01:00 UTC: Berlin's clock goes from 02:00 to 03:00
WINTER = 1_792_890_000_000  # 2026-10-25 01:00 UTC: Berlin's clock goes from 03:00 to 02:00


class Home:
    """A job that is due every minute, added an hour ago; a runner is there since."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.service = build(self.store, FakeNudge(), self.clock, "UTC")
        self.job = self.add(next_fire_ms=NOW_MS + MINUTE)
        self.note(START, EventKind.JOB_ADDED, by="ann")
        self.note(START, EventKind.RUNNER_UP, mine=False)

    def add(self, **changes: Any) -> Job:
        return self.store.add_job(a_job(**{"anchor_ms": START, "created_ms": START, **changes}))

    def change(self, **changes: Any) -> None:
        self.job = self.store.update_job(replace(self.store.jobs_by_id([self.job.id])[self.job.id], **changes))

    def note(self, at_ms: int, kind: EventKind, /, *, mine: bool = True, **detail: Any) -> None:
        self.store.add_event(Event(at_ms=at_ms, kind=kind, job_id=self.job.id if mine else None, detail=detail))

    def fired(self, *minutes: int, state: RunState = RunState.SUCCESS, **changes: Any) -> list[Run]:
        rows = [
            a_run(self.job, state=state, scheduled_ms=START + n * MINUTE, claimed_ms=START + n * MINUTE + 50, **changes)
            for n in minutes
        ]
        self.store.claim([claimed(row) for row in rows], [])
        return rows

    def told(self, since_ms: int = START, *, alive: bool = True, each: int | None = None) -> Told:
        return self.service.inquiry().since("job", since_ms, alive=alive, each=each)

    def lines(self, since_ms: int = START, *, alive: bool = True) -> list[tuple[str, int, int, int]]:
        """(verdict, first minute, last minute, fires)"""
        return [
            (a.verdict.value, (a.first_ms - START) // MINUTE, (a.last_ms - START) // MINUTE, a.fires)
            for a in self.told(since_ms, alive=alive).answers
        ]

    def at(self, at_ms: int, *, alive: bool = True) -> Moment:
        return self.service.inquiry().at("job", at_ms, alive=alive)[2]


@pytest.fixture
def home() -> Home:
    return Home()


class TestRecord:
    def test_neighbours_that_came_to_the_same_end_are_one(self, home: Home) -> None:
        home.fired(*range(1, 31))
        home.fired(31, 32, state=RunState.FAILED, error="exit status 3")
        home.fired(*range(33, 61))
        assert home.lines() == [("success", 1, 30, 30), ("failed", 31, 32, 2), ("success", 33, 60, 28)]
        assert home.told().counts == {Verdict.SUCCESS: 58, Verdict.FAILED: 2}

    @pytest.mark.parametrize(
        "state", [RunState.TIMEOUT, RunState.KILLED, RunState.LOST, RunState.QUEUED, RunState.SKIPPED]
    )
    def test_a_row_says_what_became_of_its_fire(self, home: Home, state: RunState) -> None:
        home.fired(*range(1, 60))
        (row,) = home.fired(60, state=state, error="why")
        last = home.told().answers[-1]
        assert (last.verdict.value, last.exec_id, last.reason, last.lateness_ms) == (
            state.value, row.exec_id, "why", 50)  # fmt: skip

    def test_a_fire_beyond_the_limit_says_so(self, home: Home) -> None:
        home.fired(*range(1, 60))
        home.fired(60, state=RunState.SKIPPED, error="limit reached: it has run 59 times")
        assert home.lines()[-1] == ("limit", 60, 60, 1)

    def test_missed_fires_name_what_they_were_missed_for(self, home: Home) -> None:
        home.fired(*range(1, 11), *range(41, 61))
        home.fired(40, state=RunState.MISSED, first_ms=START + 11 * MINUTE, fires=30)
        home.note(START + 40 * MINUTE + 9, EventKind.RUNNER_UP, mine=False,
                  last_seen_ms=START + 10 * MINUTE + 9, clean=False)  # fmt: skip
        answer = home.told().answers[1]
        assert (answer.verdict, answer.fires) == (Verdict.MISSED, 30)
        assert answer.holds == (
            Hold(cause=Cause.DOWN, from_ms=START + 10 * MINUTE + 9, to_ms=START + 40 * MINUTE + 9, clean=False),
        )
        part = home.told(START + 30 * MINUTE).answers[0]
        assert (part.verdict, part.first_ms, part.fires) == (Verdict.MISSED, START + 30 * MINUTE, 11)
        assert home.at(START + 20 * MINUTE).answers[0].verdict is Verdict.MISSED

    @pytest.mark.parametrize(
        ("kind", "detail", "cause"),
        [
            (EventKind.SUSPENDED, {"for_ms": 10 * MINUTE}, Cause.SUSPENDED),
            (EventKind.CLOCK_SET, {"by_ms": 10 * MINUTE}, Cause.CLOCK_SET),
        ],
    )
    def test_a_sleep_and_a_clock_that_was_set_are_named(
        self, home: Home, kind: EventKind, detail: dict[str, int], cause: Cause
    ) -> None:
        home.fired(*range(1, 51))
        home.fired(60, state=RunState.MISSED, first_ms=START + 51 * MINUTE, fires=10)
        home.note(START + 60 * MINUTE, kind, mine=False, **detail)
        assert [hold.cause for hold in home.told().answers[-1].holds] == [cause]

    def test_a_fire_that_is_none_of_the_schedule_is_told_too(self, home: Home) -> None:
        home.fired(*range(1, 61))
        home.store.claim([claimed(a_run(home.job, state=RunState.SUCCESS, scheduled_ms=START))], [])
        assert home.told().counts == {Verdict.SUCCESS: 61}


class TestHistory:
    def test_who_paused_is_named(self, home: Home) -> None:
        home.fired(*range(1, 11), *range(21, 61))
        home.note(START + 10 * MINUTE + 500, EventKind.PAUSED, mine=False, by="bob")
        home.note(START + 20 * MINUTE + 500, EventKind.RESUMED, mine=False, by="eve")
        assert home.lines() == [("success", 1, 10, 10), ("paused", 11, 20, 10), ("success", 21, 60, 40)]
        assert home.told().answers[1].holds[0].by == "bob"

    def test_a_pause_that_goes_on_is_named(self, home: Home) -> None:
        home.fired(*range(1, 31))
        home.clock.set_wall(START + 30 * MINUTE + 500)
        home.service.system.pause("bob")
        home.clock.set_wall(NOW_MS)
        assert home.lines()[-1] == ("paused", 31, 60, 30)
        assert home.told().answers[-1].holds[0] == Hold(
            cause=Cause.PAUSED, from_ms=START + 30 * MINUTE + 500, to_ms=None, by="bob"
        )

    def test_who_stopped_the_job_is_named(self, home: Home) -> None:
        home.fired(*range(1, 11), *range(21, 31))
        home.note(START + 10 * MINUTE + 500, EventKind.JOB_STOPPED, by="bob")
        home.note(START + 20 * MINUTE + 500, EventKind.JOB_STARTED, by="bob")
        home.note(START + 30 * MINUTE + 500, EventKind.JOB_STOPPED, reason="its row in the store cannot be used: x")
        home.change(state=JobState.STOPPED, next_fire_ms=None)
        assert [line[0] for line in home.lines()] == ["success", "stopped", "success", "stopped"]
        first, second = (a.holds[0] for a in home.told().answers if a.verdict is Verdict.STOPPED)
        assert (first.by, second.by, second.reason[:7], second.to_ms) == ("bob", "", "its row", None)

    def test_a_job_that_reached_its_limit_says_so(self, home: Home) -> None:
        home.fired(*range(1, 4))
        home.note(START + 3 * MINUTE, EventKind.JOB_STOPPED, reason="it has run 3 times, as often as it may")
        home.change(state=JobState.STOPPED, next_fire_ms=None)
        assert home.lines() == [("success", 1, 3, 3), ("limit", 4, 60, 57)]

    def test_a_job_that_was_added_stopped_never_was_due(self, home: Home) -> None:
        home.change(state=JobState.STOPPED, next_fire_ms=None)
        assert home.lines() == [("stopped", 1, 60, 60)]
        home.change(state=JobState.WAITING, next_fire_ms=NOW_MS + MINUTE)
        home.note(START + 30 * MINUTE, EventKind.JOB_STARTED)
        home.fired(*range(31, 61))
        assert home.lines() == [("stopped", 1, 30, 30), ("success", 31, 60, 30)]

    def test_what_waits_for_a_runner_is_down_and_what_has_one_is_pending(self, home: Home) -> None:
        home.fired(*range(1, 51))
        home.change(next_fire_ms=START + 51 * MINUTE)
        home.note(START + 50 * MINUTE + 900, EventKind.RUNNER_DOWN, mine=False)
        assert home.lines(alive=False) == [("success", 1, 50, 50), ("down", 51, 60, 10)]
        hold = home.told(alive=False).answers[-1].holds[0]
        assert (hold.from_ms, hold.to_ms, hold.clean) == (START + 50 * MINUTE + 900, None, True)
        home.note(NOW_MS - 1, EventKind.RUNNER_UP, mine=False)
        home.fired(*range(51, 60))
        home.change(next_fire_ms=NOW_MS)
        assert home.lines()[-1] == ("pending", 60, 60, 1)

    def test_a_runner_that_died_without_a_word_is_down_since_it_claimed_last(self, home: Home) -> None:
        home.fired(*range(1, 31))
        hold = home.told(alive=False).answers[-1].holds[0]
        assert (hold.cause, hold.from_ms, hold.clean) == (Cause.DOWN, START + 30 * MINUTE + 50, False)

    def test_an_instant_just_before_a_stop_belongs_to_it(self, home: Home) -> None:
        home.fired(*range(1, 10))
        home.note(START + 10 * MINUTE + 3, EventKind.JOB_STOPPED, by="bob")
        home.change(state=JobState.STOPPED, next_fire_ms=None)
        assert home.lines() == [("success", 1, 9, 9), ("stopped", 10, 60, 51)]

    def test_what_nothing_held_back_and_has_no_row_is_said_to_have_none(self, home: Home) -> None:
        home.fired(*range(1, 21), *range(23, 61))
        assert home.lines() == [("success", 1, 60, 58), ("no_record", 21, 22, 2)]

    def test_before_the_history_nothing_is_guessed(self, home: Home) -> None:
        home.store.forget_events(START + 1)
        home.note(START + 30 * MINUTE + 1, EventKind.RUNNER_UP, mine=False)
        home.fired(5, *range(31, 61))
        assert home.lines() == [
            ("before_history", 1, 4, 4), ("success", 5, 5, 1), ("before_history", 6, 30, 25),
            ("success", 31, 60, 30),
        ]  # fmt: skip

    def test_the_schedule_of_then_says_what_was_due(self, home: Home) -> None:
        changed = START + 30 * MINUTE + 5
        home.fired(*range(1, 31))
        home.note(changed, EventKind.JOB_RESCHEDULED, trigger_type="interval", interval_s=60, anchor_ms=START, by="bob",
                  cron_expr="", at_ms=None, timezone="", dst_gap="skip", dst_fold="both")  # fmt: skip
        home.change(trigger_type=TriggerType.CRON, cron_expr="*/10 * * * *")
        home.fired(40, 50, 60)
        assert home.told().counts == {Verdict.SUCCESS: 33}
        assert home.at(START + 7 * MINUTE).answers[0].verdict is Verdict.SUCCESS
        before = home.at(START + 7 * MINUTE + 5000)
        assert before.job is not None
        assert (before.job.trigger_type, before.job.dst_gap, before.job.dst_fold) == (
            TriggerType.INTERVAL, Gap.SKIP, Fold.BOTH)  # fmt: skip
        assert before.after_ms == START + 8 * MINUTE

    def test_an_unusable_schedule_is_no_end(self, home: Home) -> None:
        home.change(trigger_type=TriggerType.CRON, cron_expr="nonsense", state=JobState.STOPPED, stop_reason="broken")
        assert home.lines() == []
        assert home.at(NOW_MS).answers == []


class TestGone:
    def test_its_record_is_told_by_its_name(self, home: Home) -> None:
        home.fired(1, 2, 3)
        home.store.delete_job(home.job.id)
        told = home.told()
        assert (told.job, told.name, told.counts) == (None, "job", {Verdict.SUCCESS: 3})
        assert home.at(START + MINUTE).answers[0].verdict is Verdict.SUCCESS
        assert (home.at(START).answers, home.at(START).job) == ([], None)

    def test_a_name_that_nothing_ever_had_is_not_found(self, home: Home) -> None:
        with pytest.raises(NotFound):
            home.service.inquiry().since("nope", START, alive=True)


class TestInstant:
    def test_a_second_is_enough_to_name_one(self, home: Home) -> None:
        home.change(anchor_ms=START + 250)
        assert home.at(START + 60 * MINUTE).answers[0].first_ms == START + 60 * MINUTE + 250
        assert home.at(START + 60 * MINUTE + 1000).answers == []

    def test_the_nearest_due_instants_are_given(self, home: Home) -> None:
        moment = home.at(START + 90_000)
        assert (moment.answers, moment.before_ms, moment.after_ms) == ([], START + MINUTE, START + 2 * MINUTE)

    def test_one_that_is_rare_has_its_neighbours_too(self, home: Home) -> None:
        home.change(trigger_type=TriggerType.CRON, cron_expr="0 0 29 2 *")
        moment = home.at(START + MINUTE)
        assert (moment.before_ms, moment.after_ms) == (1_835_395_200_000, 1_961_625_600_000)
        assert [field.field for field in moment.excluded_by] == ["minute", "hour", "day of month", "month"]

    def test_one_to_come_says_what_would_hold_it_back(self, home: Home) -> None:
        (answer,) = home.at(NOW_MS + MINUTE).answers
        assert (answer.verdict, answer.holds) == (Verdict.NOT_YET, ())
        home.service.system.pause("bob")
        (answer,) = home.at(NOW_MS + MINUTE, alive=False).answers
        assert [hold.cause for hold in answer.holds] == [Cause.PAUSED, Cause.DOWN]
        assert home.at(NOW_MS + 1000).answers == []

    def test_before_it_was_added_there_was_no_job(self, home: Home) -> None:
        moment = home.at(START - MINUTE)
        assert (moment.job, moment.answers) == (None, [])

    @pytest.mark.parametrize("kind", [TriggerType.MANUAL, TriggerType.ONCE])
    def test_what_is_due_never_or_once_has_few_neighbours(self, home: Home, kind: TriggerType) -> None:
        home.change(trigger_type=kind, at_ms=START + 5 * MINUTE)
        moment = home.at(START + 7 * MINUTE)
        assert (moment.answers, moment.excluded_by) == ([], ())
        assert moment.before_ms == (START + 5 * MINUTE if kind is TriggerType.ONCE else None)


class TestClockChanges:
    @pytest.fixture
    def berlin(self) -> Callable[..., Home]:
        def make(now_ms: int, **changes: Any) -> Home:
            home = Home()
            home.clock.set_wall(now_ms)
            daily = {"trigger_type": TriggerType.CRON, "cron_expr": "30 2 * * *", "timezone": "Europe/Berlin"}
            home.job = home.add(name="b", created_ms=0, next_fire_ms=now_ms + HOUR, **daily, **changes)
            home.note(1, EventKind.JOB_ADDED)
            return home

        return make

    @pytest.mark.parametrize(("gap", "good"), [(Gap.RUN_AFTER, True), (Gap.SKIP, False)])
    def test_a_time_that_did_not_exist_is_named(self, berlin: Callable[..., Home], gap: Gap, good: bool) -> None:
        home = berlin(SUMMER + 12 * HOUR, dst_gap=gap)
        answers = home.service.inquiry().since("b", SUMMER - HOUR, alive=True).answers
        (change,) = [answer for answer in answers if answer.verdict is Verdict.GAP]
        assert change.change is not None
        assert (change.first_ms, change.fires, change.change.made_good, change.change.times) == (SUMMER, 0, good, 1)
        assert (change.change.first_wall, change.change.zone) == (SUMMER // 1000 + 5400, "Europe/Berlin")
        assert sum(answer.fires for answer in answers) == good

    def test_a_time_that_came_twice_is_named(self, berlin: Callable[..., Home]) -> None:
        home = berlin(WINTER + 12 * HOUR)
        inquiry = home.service.inquiry()
        answers = inquiry.since("b", WINTER - HOUR, alive=True).answers
        assert [(a.verdict, a.first_ms, a.fires) for a in answers if a.change] == [
            (Verdict.FOLD, WINTER + 30 * MINUTE, 0)
        ]
        (again,) = inquiry.at("b", WINTER + 30 * MINUTE, alive=True)[2].answers
        assert again.verdict is Verdict.FOLD
        both = berlin(WINTER + 12 * HOUR, dst_fold=Fold.BOTH).service.inquiry().since("b", WINTER - HOUR, alive=True)
        assert ([a.change for a in both.answers], sum(both.counts.values())) == ([None], 2)

    def test_what_follows_elapsed_time_knows_neither(self, berlin: Callable[..., Home]) -> None:
        home = berlin(WINTER + 12 * HOUR)
        home.change(cron_expr="30 * * * *")
        told = home.service.inquiry().since("b", WINTER - HOUR, alive=True)
        assert all(answer.change is None for answer in told.answers)


class TestMany:
    def test_each_instant_is_told_by_itself_up_to_a_limit(self, home: Home) -> None:
        home.fired(*range(1, 51))
        home.note(START + 50 * MINUTE + 500, EventKind.JOB_STOPPED, by="bob")
        home.change(state=JobState.STOPPED, next_fire_ms=None)
        told = home.told(each=15)
        assert [a.fires for a in told.answers] == [1] * 15
        assert [a.verdict for a in told.answers] == [Verdict.SUCCESS] * 5 + [Verdict.STOPPED] * 10
        assert (told.left_out, told.answers[0].first_ms) == (45, START + 46 * MINUTE)
        assert home.told(each=100).left_out == 0

    def test_a_year_of_seconds_costs_next_to_nothing(self, home: Home) -> None:
        year = 366 * 24 * HOUR
        job = home.add(name="fast", interval_s=1, anchor_ms=NOW_MS - year, created_ms=NOW_MS - year,
                       state=JobState.STOPPED, next_fire_ms=None)  # fmt: skip
        home.store.add_event(Event(at_ms=NOW_MS - year, kind=EventKind.JOB_ADDED, job_id=job.id))
        began = time.process_time()
        told = home.service.inquiry().since("fast", NOW_MS - year, alive=True)
        assert time.process_time() - began < 1
        assert told.counts == {Verdict.STOPPED: year // 1000}
        assert len(told.answers) == 1


TRIGGERS = st.one_of(
    st.builds(lambda s: {"trigger_type": TriggerType.INTERVAL, "interval_s": s}, st.integers(1, 7)),
    st.builds(
        lambda e: {"trigger_type": TriggerType.CRON, "cron_expr": e},
        st.sampled_from(["* * * * * *", "*/3 * * * * *", "0 * * * *", "7,8,30 * * * * *"]),
    ),
)
HOLDS = st.builds(
    lambda cause, start, length: Hold(
        cause=cause, from_ms=START + start * 500, to_ms=START + (start + length) * 500, by="x"
    ),
    st.sampled_from([Cause.STOPPED, Cause.PAUSED, Cause.DOWN]),
    st.integers(-5, 150),
    st.integers(1, 60),
)


@given(first=TRIGGERS, second=TRIGGERS, changed=st.integers(0, 140), holds=st.lists(HOLDS, max_size=3), data=st.data())
def test_every_due_instant_is_in_exactly_one_answer(
    first: dict[str, Any], second: dict[str, Any], changed: int, holds: list[Hold], data: st.DataObject
) -> None:
    edge, end = START + changed * 500, START + 70_000
    schedules = [
        Scheduled(START - 1, edge, a_job(anchor_ms=START, **first)),
        Scheduled(edge, 1 << 60, a_job(anchor_ms=START, **second)),
    ]
    due = [
        ms
        for scheduled in schedules
        for ms in trigger_of(scheduled.job, "UTC").newest(scheduled.from_ms, min(scheduled.to_ms, end), 10_000)
    ]
    states = data.draw(st.lists(st.sampled_from([RunState.SUCCESS, RunState.FAILED, None]),
                                min_size=len(due), max_size=len(due)))  # fmt: skip
    rows = {ms: state for ms, state in zip(due, states, strict=True) if state is not None}

    def each(after: int, until: int) -> list[FireRange]:
        found = ((ms, state) for ms, state in rows.items() if after < ms <= until)
        return [FireRange(first_ms=ms, last_ms=ms, fires=1, state=state) for ms, state in found]

    def folded(after: int, until: int) -> list[FireRange]:
        found: list[FireRange] = []
        for row in each(after, until):
            if found and found[-1].state is row.state:
                found[-1] = replace(found[-1], last_ms=row.last_ms, fires=found[-1].fires + 1)
            else:
                found.append(row)
        return found

    past = Past(schedules=schedules, holds=holds, default_zone="UTC", rows=each)
    alone = unfold(past, explain(past, START - 1, end, fold=False), 100_000)
    assert sorted(answer.first_ms for answer in alone) == due
    for answer in alone:
        expected = rows.get(answer.first_ms)
        assert answer.first_ms == answer.last_ms
        if expected is not None:
            assert answer.verdict.value == expected.value
        elif any(hold.covers(answer.first_ms) for hold in holds):
            assert answer.holds[0].covers(answer.first_ms)

    told = explain(replace(past, rows=folded), START - 1, end)
    assert _counts(told) == _counts(alone)
    assert all(START <= answer.first_ms <= answer.last_ms <= end for answer in told)


def _counts(answers: list[Answer]) -> dict[Verdict, int]:
    counts: dict[Verdict, int] = {}
    for answer in answers:
        counts[answer.verdict] = counts.get(answer.verdict, 0) + answer.fires
    return counts
