"""When jobs are due (semantics §7, commands.md "Triggers")."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyjobs.clock import from_ms, to_ms
from pyjobs.errors import BadTrigger
from pyjobs.jobs import Fold, Gap, Job, TriggerType
from pyjobs.triggers import (
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    OnceTrigger,
    Trigger,
    parse_cron,
    trigger_of,
)

CASES_FILE = Path(__file__).parents[1] / "cases" / "cron.json"
SHARED_FILE = Path(__file__).parents[2].parent / "shared" / "cases" / "cron.json"
CASES: list[dict[str, Any]] = json.loads(CASES_FILE.read_text(encoding="utf-8"))
YEAR_MS = 366 * 86_400_000


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text.replace("Z", "+00:00")))


def utc(fires: list[int]) -> list[str]:
    return [from_ms(fire).strftime("%Y-%m-%dT%H:%M:%SZ") for fire in fires]


def upcoming(trigger: Trigger, after: int, limit: int) -> list[int]:
    fires: list[int] = []
    fire = trigger.next_after(after)
    while fire is not None and len(fires) < limit:
        fires.append(fire)
        fire = trigger.next_after(fire)
    return fires


def job(**changes: Any) -> Job:
    return Job(**{"name": "j", "mode": "command", "command": "true", "trigger_type": TriggerType.CRON, **changes})


def cpu_ms(call: Any) -> float:
    """CPU milliseconds of the best of three calls: what a busy machine does to the others does not count."""
    spent = []
    for _ in range(3):
        before = time.thread_time()
        call()
        spent.append((time.thread_time() - before) * 1000)
    return min(spent)


class TestCases:
    @pytest.mark.parametrize("case", [c for c in CASES if "next" in c], ids=lambda c: f"{c['expr']} {c['tz']}")
    def test_the_next_five_instants_are_right(self, case: dict[str, Any]) -> None:
        start = ms(case["from"])

        trigger = parse_cron(case["expr"], case["tz"], anchor_ms=start)

        assert utc(upcoming(trigger, start, 5)) == case["next"]

    @pytest.mark.parametrize("case", [c for c in CASES if "next" in c], ids=lambda c: f"{c['expr']} {c['tz']}")
    def test_count_and_newest_agree_with_them(self, case: dict[str, Any]) -> None:
        start = ms(case["from"])
        trigger = parse_cron(case["expr"], case["tz"], anchor_ms=start)
        fires = [ms(text) for text in case["next"]]

        assert trigger.count(start, fires[-1]) == 5
        assert trigger.count(fires[0], fires[-1]) == 4
        assert trigger.count(start, fires[-1] - 1) == 4
        assert trigger.newest(start, fires[-1], 3) == fires[-3:]
        assert trigger.newest(start, fires[-1], 9) == fires

    @pytest.mark.parametrize("case", [c for c in CASES if "error" in c], ids=lambda c: f"{c['expr']!r} {c['tz']}")
    def test_what_cannot_be_used_is_refused_in_both_languages(self, case: dict[str, Any]) -> None:
        with pytest.raises(BadTrigger) as caught:
            parse_cron(case["expr"], case["tz"])

        for word in [case["error"], *case.get("also", [])]:
            assert word in str(caught.value)
        assert caught.value.text("zh") != caught.value.text("en")

    def test_the_copy_of_the_cases_is_current(self) -> None:
        if not SHARED_FILE.exists():
            pytest.skip("the shared cases are not beside this checkout")
        assert json.loads(SHARED_FILE.read_text(encoding="utf-8")) == CASES


class TestRefusals:
    @pytest.mark.parametrize(
        ("expr", "field", "words"),
        [
            ("* * * * * 1#0", "cron_expr", ["day of week", "1#0", "0 to 7"]),
            ("* * ?/2 * *", "cron_expr", ["day of month", "?/2"]),
            ("* ? * * *", "cron_expr", ["hour", "?"]),
            ("0 0 L/2 * *", "cron_expr", ["day of month", "L/2"]),
            ("0 0 L-3 * *", "cron_expr", ["day of month", "L-3"]),
            ("0 0 * * L", "cron_expr", ["day of week", "L"]),
            ("0 0 0W * *", "cron_expr", ["day of month", "0W", "1 to 31"]),
            ("0 0 1 jan-foo *", "cron_expr", ["month", "FOO", "jan-foo", "JAN to DEC"]),
            ("0 0 * * ſun", "cron_expr", ["day of week", "ſun"]),
            ("*/ * * * *", "cron_expr", ["minute", "*/"]),
            ("1-2-3 * * * *", "cron_expr", ["minute", "1-2-3"]),
            ("0 0\n* * *", "cron_expr", ["control character", "\\n"]),
            ("0 0 * * *\0", "cron_expr", ["control character", "\\x00"]),
            ("1," * 100 + "1 * * * *", "cron_expr", ["200 characters"]),
            ("@reboot", "cron_expr", ["@reboot"]),
            ("@daily 5", "cron_expr", ["@daily"]),
            ("@every", "cron_expr", ["duration"]),
            ("@every 500ms", "cron_expr", ["500ms", "1 s"]),
            ("@every 0s", "cron_expr", ["0s", "1 s"]),
            ("@every 5", "cron_expr", ["5", "unit"]),
            ("@every 1h-5m", "cron_expr", ["1h-5m"]),
            ("TZ= 0 0 * * *", "cron_expr", ["TZ="]),
            ("TZ=../../etc/hostname 0 0 * * *", "cron_expr", ["../../etc/hostname"]),
            ("TZ=America 0 0 * * *", "cron_expr", ["America"]),
            ("0 0 31W 2 *", "cron_expr", ["never"]),
            ("0 0 30 2 ?", "cron_expr", ["never"]),
            ("0 0 31 4 */2", "cron_expr", ["never"]),
        ],
    )
    def test_the_message_says_where_and_what(self, expr: str, field: str, words: list[str]) -> None:
        with pytest.raises(BadTrigger) as caught:
            parse_cron(expr, "UTC")

        assert caught.value.field == field
        for word in words:
            assert word in str(caught.value)

    def test_an_unknown_zone_of_the_job_is_its_field(self) -> None:
        with pytest.raises(BadTrigger) as caught:
            parse_cron("0 0 * * *", "Nowhere/City")
        assert caught.value.field == "timezone"
        assert "Asia/Shanghai" in caught.value.hint()

    @pytest.mark.parametrize("expr", ["0 0 29 2 *", "0 0 31 2 1", "0 0 31,1W 2 *", "0 0 30W 4 *", "0 0 * 2 0#5"])
    def test_what_fires_seldom_is_accepted(self, expr: str) -> None:
        assert parse_cron(expr, "UTC").next_after(0) is not None

    @given(
        st.text(max_size=30)
        | st.text("0123456789*/,-?LW#@ \tMONJAN", max_size=40)
        | st.lists(
            st.sampled_from(
                ["*", "*/2", "1", "1-5", "?", "L", "LW", "15W", "1#2", "5L", "MON", "99", "-1", "1/0", "a"]
            ),
            min_size=4,
            max_size=7,
        ).map(" ".join)
    )
    @example("0 0 " + "1W," * 60 + "LW * " + "1#1," * 3 + "5L")
    @example("*/" + "9" * 180 + " * * * *")
    @example("\ud800 * * * *")
    @example("TZ=\ud800 * * * * *")
    @settings(deadline=None)
    def test_any_text_is_a_trigger_or_refused_at_once(self, text: str) -> None:
        def attempt() -> None:
            try:
                parse_cron(text, "Asia/Shanghai")
            except BadTrigger as exc:
                exc.text("zh").encode()

        assert cpu_ms(attempt) < 10


class TestClockChanges:
    def test_a_fixed_time_in_the_gap_can_be_left_out(self) -> None:
        trigger = parse_cron("30 2 * * *", "America/New_York", gap=Gap.SKIP)

        fires = upcoming(trigger, ms("2026-03-07T00:00:00Z"), 3)

        assert utc(fires) == ["2026-03-07T07:30:00Z", "2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]

    def test_a_fixed_time_in_the_repeated_hour_can_run_twice(self) -> None:
        trigger = parse_cron("30 1 * * *", "America/New_York", fold=Fold.BOTH)

        fires = upcoming(trigger, ms("2026-11-01T00:00:00Z"), 3)

        assert utc(fires) == ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"]

    @pytest.mark.parametrize(("expr", "second"), [("*/30 1 1 11 *", "06:00"), ("30 1 1 11 *", "06:30")])
    def test_the_second_pass_is_found_when_the_fire_after_it_is_a_year_away(self, expr: str, second: str) -> None:
        trigger = parse_cron(expr, "America/New_York", fold=Fold.BOTH)

        fires = upcoming(trigger, ms("2026-11-01T05:30:00Z"), 1)

        assert utc(fires) == [f"2026-11-01T{second}:00Z"]

    def test_the_weekday_nearest_to_a_saturday_the_first_is_the_third(self) -> None:
        trigger = parse_cron("0 0 1W 8 *", "UTC")

        assert utc(upcoming(trigger, ms("2026-01-01T00:00:00Z"), 1)) == ["2026-08-03T00:00:00Z"]

    def test_a_gap_at_midnight_moves_the_daily_run_to_its_end(self) -> None:
        trigger = parse_cron("@daily", "America/Sao_Paulo")

        fires = upcoming(trigger, ms("2018-11-03T12:00:00Z"), 2)

        assert utc(fires) == ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]

    def test_a_wildcard_hour_that_never_exists_again_has_no_next_instant(self) -> None:
        trigger = parse_cron("*/30 2 * 3 0#2", "America/New_York")

        assert trigger.next_after(ms("2026-01-01T00:00:00Z")) is None

    def test_an_instant_before_1970_counts_as_before_all_fires(self) -> None:
        assert parse_cron("* * * * *", "UTC").next_after(-(10**15)) == 0

    def test_nothing_fires_at_the_end_of_time(self) -> None:
        trigger = parse_cron("* * * * *", "Asia/Shanghai")

        assert trigger.next_after(10**18) is None
        assert trigger.count(10**17, 10**18) == 0


class TestCost:
    """Figures of the design, taken in CPU time."""

    @pytest.mark.parametrize("years", [1, 10])
    def test_counting_a_per_second_job_over_years_is_computed(self, years: int) -> None:
        trigger = parse_cron("* * * * * *", "America/New_York")
        start = ms("2026-01-01T00:00:00Z")

        assert trigger.count(start, start + years * YEAR_MS) == years * YEAR_MS // 1000
        assert cpu_ms(lambda: trigger.count(start, start + years * YEAR_MS)) < 20

    def test_the_newest_hundred_of_a_year_are_found_without_walking(self) -> None:
        trigger = parse_cron("* * * * * *", "Europe/London")
        end = ms("2026-12-01T00:00:00Z")

        assert trigger.newest(end - YEAR_MS, end, 100) == [end - k * 1000 for k in range(99, -1, -1)]
        assert cpu_ms(lambda: trigger.newest(end - YEAR_MS, end, 100)) < 20

    @pytest.mark.parametrize("expr", ["*/5 * * * *", "0 0 29 2 *", "*/30 2 * 3 0#2", "0 0 * 2 0#5"])
    def test_the_next_instant_takes_no_time(self, expr: str) -> None:
        trigger = parse_cron(expr, "America/New_York")

        assert cpu_ms(lambda: trigger.next_after(ms("2026-03-08T05:00:00Z"))) < 5


class TestInterval:
    def test_it_fires_at_anchor_and_whole_periods(self) -> None:
        trigger = IntervalTrigger(90_000, 1_000_123)

        assert upcoming(trigger, 1_000_123, 3) == [1_090_123, 1_180_123, 1_270_123]

    def test_it_never_fires_before_its_anchor(self) -> None:
        trigger = IntervalTrigger(60_000, 10_000_000)

        assert trigger.next_after(0) == 10_060_000
        assert trigger.count(0, 10_000_000) == 0
        assert trigger.newest(0, 10_059_999, 5) == []

    def test_a_reversed_range_is_empty(self) -> None:
        trigger = IntervalTrigger(1000, 0)

        assert trigger.count(9000, 4000) == 0
        assert trigger.newest(9000, 4000, 5) == []

    @given(st.integers(1, 99), st.integers(-500, 500), st.integers(-900, 900), st.integers(0, 900), st.integers(0, 9))
    def test_count_and_newest_are_those_of_a_list(
        self, period: int, anchor: int, after: int, width: int, n: int
    ) -> None:
        trigger = IntervalTrigger(period, anchor)
        fires = [anchor + k * period for k in range(1, 2000)]
        fires = [fire for fire in fires if after < fire <= after + width]

        assert trigger.count(after, after + width) == len(fires)
        assert trigger.newest(after, after + width, n) == fires[len(fires) - min(n, len(fires)) :]


class TestOnceAndManual:
    def test_once_is_due_at_its_instant_only(self) -> None:
        trigger = OnceTrigger(5000)

        assert [trigger.next_after(at) for at in (4999, 5000)] == [5000, None]
        assert [trigger.count(4999, 5000), trigger.count(5000, 6000)] == [1, 0]
        assert [trigger.newest(0, 5000, 1), trigger.newest(0, 5000, 0), trigger.newest(0, 4999, 1)] == [[5000], [], []]

    def test_manual_is_never_due(self) -> None:
        trigger = ManualTrigger()

        assert (trigger.next_after(0), trigger.count(0, 10**15), trigger.newest(0, 10**15, 5)) == (None, 0, [])


class TestTriggerOfJob:
    @pytest.mark.parametrize("expr", ["0 3 * * *", "@daily"])
    def test_equal_definitions_share_one_trigger(self, expr: str) -> None:
        first = trigger_of(job(id=1, cron_expr=expr, anchor_ms=1), "Asia/Shanghai")
        second = trigger_of(job(id=2, cron_expr=expr, anchor_ms=2), "Asia/Shanghai")

        assert isinstance(first, CronTrigger)
        assert first is second

    def test_the_zone_of_the_job_wins_over_the_default(self) -> None:
        assert trigger_of(job(cron_expr="0 9 * * *", timezone="Asia/Tokyo"), "UTC") == parse_cron(
            "0 9 * * *", "Asia/Tokyo"
        )
        assert trigger_of(job(cron_expr="0 9 * * *"), "Asia/Tokyo") == parse_cron("0 9 * * *", "Asia/Tokyo")

    def test_policies_of_the_job_are_used(self) -> None:
        changed = job(cron_expr="30 2 * * *", dst_gap=Gap.SKIP, dst_fold=Fold.BOTH)

        assert trigger_of(changed, "UTC") == parse_cron("30 2 * * *", "UTC", gap=Gap.SKIP, fold=Fold.BOTH)

    def test_a_period_counts_from_the_anchor_of_the_job(self) -> None:
        every = job(cron_expr="@every 90s", anchor_ms=7)
        interval = job(trigger_type=TriggerType.INTERVAL, interval_s=90, anchor_ms=7)

        assert trigger_of(every, "UTC") == trigger_of(interval, "UTC") == IntervalTrigger(90_000, 7)

    def test_once_and_manual(self) -> None:
        assert trigger_of(job(trigger_type=TriggerType.ONCE, at_ms=5), "UTC") == OnceTrigger(5)
        assert trigger_of(job(trigger_type=TriggerType.MANUAL), "UTC") == ManualTrigger()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"trigger_type": TriggerType.INTERVAL, "interval_s": 0}, "interval_seconds"),
            ({"trigger_type": TriggerType.INTERVAL, "interval_s": 10**10}, "interval_seconds"),
            ({"trigger_type": TriggerType.ONCE}, "at"),
            ({"trigger_type": TriggerType.ONCE, "at_ms": 10**18}, "at"),
            ({"cron_expr": ""}, "cron_expr"),
            ({"cron_expr": "0 0 * * *", "timezone": "Mars/Base"}, "timezone"),
        ],
    )
    def test_what_cannot_be_used_names_the_field(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(BadTrigger) as caught:
            trigger_of(job(**changes), "UTC")
        assert caught.value.field == field
