"""What is due when, and what becomes of late fires (semantics §6)."""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyjobs.jobs import Misfire
from pyjobs.timetable import Fire, Missed, Plan, Timetable, plan
from pyjobs.triggers import IntervalTrigger, ManualTrigger, OnceTrigger, Trigger, parse_cron

HOUR_MS = 3_600_000
#: A round instant: 2026-03-03 10:00:00 UTC.
NOW = 1_772_532_000_000


class TestTimetable:
    def test_it_is_empty_at_first(self) -> None:
        table = Timetable()

        assert (len(table), table.next_ms(), table.pop_due(10**15)) == (0, None, [])

    def test_what_is_due_comes_out_oldest_first(self) -> None:
        table = Timetable()
        for job_id, at in [(1, 300), (2, 100), (3, 200), (4, 301)]:
            table.set(job_id, at)

        assert table.next_ms() == 100
        assert table.pop_due(300) == [(2, 100), (3, 200), (1, 300)]
        assert (len(table), table.next_ms()) == (1, 301)

    def test_a_job_that_came_out_is_out_until_it_is_set_again(self) -> None:
        table = Timetable()
        table.set(1, 100)
        table.pop_due(100)

        assert table.pop_due(100) == []
        table.set(1, 100)
        assert table.pop_due(100) == [(1, 100)]

    def test_the_last_instant_that_was_set_counts(self) -> None:
        table = Timetable()
        for at in (100, 50, 200, 50, 200):
            table.set(1, at)

        assert table.next_ms() == 200
        assert table.pop_due(199) == []
        assert table.pop_due(200) == [(1, 200)]
        assert table.pop_due(10**15) == []

    def test_a_job_can_be_taken_out(self) -> None:
        table = Timetable()
        table.set(1, 100)
        table.set(2, 200)
        table.discard(1)
        table.set(2, None)
        table.discard(3)

        assert (len(table), table.next_ms(), table.pop_due(10**15)) == (0, None, [])

    def test_changes_without_end_do_not_grow_it(self) -> None:
        table = Timetable()
        for at in range(10_000):
            table.set(1, 10**12 + at)

        assert len(table._heap) < 100

    def test_ten_thousand_jobs_take_at_most_two_and_a_half_mebibytes(self) -> None:
        shuffled = random.Random(1)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            table = Timetable()
            for _ in range(3):
                for job_id in range(1, 10_001):
                    table.set(job_id, NOW + shuffled.randrange(HOUR_MS))
            used = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

        assert len(table) == 10_000
        assert used <= 2.5 * 1024 * 1024

    @given(
        st.lists(
            st.tuples(st.sampled_from(["set", "set", "discard", "pop"]), st.integers(0, 8), st.integers(-5, 30)),
            max_size=80,
        )
    )
    def test_it_behaves_as_a_dictionary_that_is_searched(self, steps: list[tuple[str, int, int]]) -> None:
        table, model = Timetable(), dict[int, int]()
        for what, job_id, at in steps:
            if what == "set":
                table.set(job_id, at)
                model[job_id] = at
            elif what == "discard":
                table.discard(job_id)
                model.pop(job_id, None)
            else:
                due = sorted((ms, job) for job, ms in model.items() if ms <= at)
                assert table.pop_due(at) == [(job, ms) for ms, job in due]
                model = {job: ms for job, ms in model.items() if ms > at}
            assert len(table) == len(model)
            assert table.next_ms() == min(model.values(), default=None)


def runs(result: Plan) -> list[tuple[int, bool]]:
    """(seconds before now, late) of each fire that runs."""
    return [((NOW - fire.ms) // 1000, fire.late) for fire in result.run]


def missed(result: Plan) -> tuple[int, int, int] | None:
    """(seconds before now of the first, of the last, how many)."""
    if result.missed is None:
        return None
    return (NOW - result.missed.first_ms) // 1000, (NOW - result.missed.last_ms) // 1000, result.missed.count


SECONDLY = parse_cron("* * * * * *", "UTC")
MINUTELY = parse_cron("* * * * *", "UTC")
HOURLY = parse_cron("0 * * * *", "UTC")
#: On the half hour, so that nothing is on time at NOW.
HALF_PAST = parse_cron("30 * * * *", "UTC")


class TestPlan:
    @pytest.mark.parametrize("misfire", list(Misfire))
    def test_a_fire_on_time_runs_whatever_the_policy(self, misfire: Misfire) -> None:
        for ago in (0, 1, 4999, 5000):
            result = plan(OnceTrigger(NOW - ago), NOW - ago, NOW, misfire, 0)

            assert result == Plan(run=(Fire(NOW - ago, late=False),), missed=None, next_ms=None)

    @pytest.mark.parametrize("misfire", list(Misfire))
    def test_a_per_second_job_whose_tick_is_late_runs_each_fire(self, misfire: Misfire) -> None:
        result = plan(SECONDLY, NOW - 3000, NOW, misfire, 3600)

        assert runs(result) == [(3, False), (2, False), (1, False), (0, False)]
        assert result.missed is None
        assert result.next_ms == NOW + 1000

    @pytest.mark.parametrize(
        ("trigger", "ago_s", "misfire", "window_s", "run", "gone"),
        [
            # once: the newest runs, the others are missed
            (HALF_PAST, 1800, Misfire.ONCE, 3600, [(1800, True)], None),
            (HALF_PAST, 5400, Misfire.ONCE, 3600, [(1800, True)], (5400, 5400, 1)),
            (HALF_PAST, 12600, Misfire.ONCE, 3600, [(1800, True)], (12600, 5400, 3)),
            # … unless one is on time
            (HOURLY, 7200, Misfire.ONCE, 36000, [(0, False)], (7200, 3600, 2)),
            # … and within the window
            (HALF_PAST, 5400, Misfire.ONCE, 1800, [(1800, True)], (5400, 5400, 1)),
            (HALF_PAST, 5400, Misfire.ONCE, 1799, [], (5400, 1800, 2)),
            (HALF_PAST, 5400, Misfire.ONCE, 0, [], (5400, 1800, 2)),
            # skip: none that is late
            (HALF_PAST, 5400, Misfire.SKIP, 3600, [], (5400, 1800, 2)),
            (HOURLY, 3600, Misfire.SKIP, 3600, [(0, False)], (3600, 3600, 1)),
            # all: those within the window
            (HALF_PAST, 9000, Misfire.ALL, 3600, [(1800, True)], (9000, 5400, 2)),
            (HALF_PAST, 9000, Misfire.ALL, 36000, [(9000, True), (5400, True), (1800, True)], None),
            (HOURLY, 7200, Misfire.ALL, 36000, [(7200, True), (3600, True), (0, False)], None),
            (
                MINUTELY,
                6060,
                Misfire.ALL,
                36000,
                [(60 * k, True) for k in range(100, 0, -1)] + [(0, False)],
                (6060, 6060, 1),
            ),
        ],
    )
    def test_late_fires_go_by_the_policy(
        self,
        trigger: Trigger,
        ago_s: int,
        misfire: Misfire,
        window_s: int,
        run: list[tuple[int, bool]],
        gone: tuple[int, int, int] | None,
    ) -> None:
        result = plan(trigger, NOW - ago_s * 1000, NOW, misfire, window_s)

        assert runs(result) == run
        assert missed(result) == gone
        assert result.next_ms == trigger.next_after(NOW)

    def test_what_is_older_than_five_seconds_is_late(self) -> None:
        result = plan(OnceTrigger(NOW - 5001), NOW - 5001, NOW, Misfire.ONCE, 3600)

        assert result.run == (Fire(NOW - 5001, late=True),)

    def test_the_due_instant_is_a_fire_even_when_the_trigger_has_been_changed(self) -> None:
        result = plan(ManualTrigger(), NOW - 1, NOW, Misfire.ONCE, 3600)
        assert result == Plan(run=(Fire(NOW - 1, late=False),), missed=None, next_ms=None)

        result = plan(HOURLY, NOW - 1_000_000, NOW - 500_000, Misfire.SKIP, 3600)
        assert result.missed == Missed(NOW - 1_000_000, NOW - 1_000_000, 1)

    def test_a_clock_set_back_fires_nothing(self) -> None:
        assert plan(HOURLY, NOW, NOW - 1, Misfire.ALL, 3600) == Plan(run=(), missed=None, next_ms=NOW)

    @pytest.mark.parametrize("misfire", list(Misfire))
    @pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
    def test_a_per_second_job_that_slept_for_a_year_is_planned_at_once(self, misfire: Misfire, zone: str) -> None:
        trigger = parse_cron("* * * * * *", zone)
        year_s = 365 * 86400
        before = time.thread_time()

        result = plan(trigger, NOW - year_s * 1000, NOW, misfire, year_s)

        assert (time.thread_time() - before) * 1000 < 50
        assert result.missed is not None
        assert result.missed.count + len(result.run) == year_s + 1


@dataclass(frozen=True)
class Listed:
    """A trigger whose fires are a list: by brute force."""

    fires: tuple[int, ...]

    def next_after(self, ms: int) -> int | None:
        return next((fire for fire in self.fires if fire > ms), None)

    def count(self, after: int, until: int) -> int:
        return len([fire for fire in self.fires if after < fire <= until])

    def newest(self, after: int, until: int, limit: int) -> list[int]:
        found = [fire for fire in self.fires if after < fire <= until]
        return found[len(found) - min(limit, len(found)) :]


class TestPlanByBruteForce:
    @given(
        ago=st.sets(st.integers(-8000, 30_000), min_size=1, max_size=140),
        misfire=st.sampled_from(Misfire),
        window_s=st.integers(0, 40),
    )
    @settings(deadline=None)
    def test_every_fire_runs_or_is_missed_and_none_does_both(
        self, ago: set[int], misfire: Misfire, window_s: int
    ) -> None:
        fires = sorted(NOW - ms for ms in ago)
        due = [fire for fire in fires if fire <= NOW]
        if not due:
            return

        result = plan(Listed(tuple(fires)), due[0], NOW, misfire, window_s)

        on_time = [fire for fire in due if fire >= NOW - 5000]
        late = [fire for fire in due if NOW - window_s * 1000 <= fire < NOW - 5000]
        if misfire is Misfire.SKIP or (misfire is Misfire.ONCE and on_time):
            late = []
        elif misfire is Misfire.ONCE:
            late = late[-1:]
        late = late[-100:]
        gone = [fire for fire in due if fire not in {*late, *on_time}]
        assert result.run == (*(Fire(ms, late=True) for ms in late), *(Fire(ms, late=False) for ms in on_time))
        assert result.missed == (Missed(gone[0], gone[-1], len(gone)) if gone else None)
        assert result.next_ms == next((fire for fire in fires if fire > NOW), None)

    @given(
        trigger=st.sampled_from([SECONDLY, MINUTELY, HALF_PAST, IntervalTrigger(7000, NOW - 10**7)]),
        slept_ms=st.integers(0, 3 * HOUR_MS),
        misfire=st.sampled_from(Misfire),
        window_s=st.integers(0, 3 * 3600),
    )
    @settings(deadline=None)
    def test_real_triggers_lose_no_fire(self, trigger: Trigger, slept_ms: int, misfire: Misfire, window_s: int) -> None:
        due = trigger.next_after(NOW)
        assert due is not None
        now = due + slept_ms

        result = plan(trigger, due, now, misfire, window_s)

        gone = result.missed.count if result.missed else 0
        assert gone + len(result.run) == trigger.count(due - 1, now)
        if result.missed and result.run:
            assert result.missed.last_ms < result.run[0].ms
            assert trigger.next_after(result.missed.last_ms) == result.run[0].ms
        assert result.next_ms is not None
        assert result.next_ms > now
