"""Which fields of a cron expression keep a time from being due."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.cronexpr import calendar_of, excluding, read


def wall(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


@pytest.mark.parametrize(
    ("expr", "when", "fields"),
    [
        ("*/5 9-17 * * *", "2030-01-01 09:05", []),
        ("*/5 9-17 * * *", "2030-01-01 09:06", ["minute"]),
        ("*/5 9-17 * * *", "2030-01-01 08:06:01", ["second", "minute", "hour"]),
        ("*/10 * * * * *", "2030-01-01 08:06:01", ["second"]),
        ("0 0 * JAN *", "2030-02-01 00:00", ["month"]),
        # 2030-01-01 is a Tuesday: both day fields are restricted, so that either is enough
        ("0 0 1 * MON", "2030-01-01 00:00", []),
        ("0 0 1 * MON", "2030-01-07 00:00", []),
        ("0 0 1 * MON", "2030-01-08 00:00", ["day of month", "day of week"]),
        # one of them begins with a star, so that both must match
        ("0 0 */2 * MON", "2030-01-01 00:00", ["day of week"]),
        ("0 0 */2 * MON", "2030-01-14 00:00", ["day of month"]),
        ("0 0 1 * *", "2030-01-02 00:00", ["day of month"]),
        ("0 0 ? * MON-FRI", "2030-01-05 00:00", ["day of week"]),
        ("0 0 L * *", "2030-01-30 00:00", ["day of month"]),
        ("0 0 15W * *", "2030-06-15 00:00", ["day of month"]),
        ("0 0 15W * *", "2030-06-14 00:00", []),
        ("0 0 * * 1#2", "2030-01-07 00:00", ["day of week"]),
        ("TZ=Asia/Tokyo @daily", "2030-01-01 01:00", ["hour"]),
        ("@every 5m", "2030-01-01 01:01:07", []),
    ],
)
def test_the_fields_that_do_not_match_are_named(expr: str, when: str, fields: list[str]) -> None:
    assert [field.field for field in excluding(expr, wall(when))] == fields


def test_a_field_is_shown_as_it_is_written() -> None:
    found = excluding("TZ=UTC 0 9,10 ? jan MON-FRI", wall("2030-02-02 08:01:05"))
    assert [(field.zh, field.written) for field in found] == [
        ("秒", ""), ("分钟", "0"), ("小时", "9,10"), ("月份", "jan"), ("星期", "MON-FRI"),
    ]  # fmt: skip
    assert [field.written for field in excluding("@DAILY", wall("2030-02-02 08:00"))] == ["0"]


@given(
    st.sampled_from(
        ["*/7 */3 * * *", "0 0 1,15 * MON", "30 * */2 * 5L", "0 0 LW 2 ?", "5 4 29 2 *", "*/20 * * 3W * 1-3", "@weekly"]
    ),
    st.integers(0, 4_000_000_000),
)
def test_none_excludes_exactly_what_the_calendar_has(expr: str, second: int) -> None:
    due = calendar_of(read(expr)).next(second) == second
    assert (excluding(expr, second) == ()) is due
