"""
Cron triggers against a walk over the minutes, written from semantics §7 and sharing nothing with the triggers.

The walk looks at every minute (or second) of a few days, asks what the clock on the wall shows, and decides by the
text of the semantics alone.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pyjobs.errors import BadTrigger
from pyjobs.jobs import Fold, Gap
from pyjobs.triggers import Trigger, parse_cron

#: (zone, day in UTC): gaps and folds, a Sunday the 31st, a Saturday the 1st, a leap day.
PLACES = [
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 4, 4)),
    ("Australia/Lord_Howe", date(2026, 10, 3)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Apia", date(2012, 3, 31)),
    ("Pacific/Apia", date(2012, 9, 29)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("Asia/Shanghai", date(2026, 5, 30)),
    ("UTC", date(2026, 8, 2)),
    ("UTC", date(2028, 2, 29)),
]


@dataclass(frozen=True)
class Part:
    """One generated field: its text, and what it means."""

    text: str
    means: Callable[[datetime], bool] = field(repr=False)

    @property
    def star(self) -> bool:
        return self.text[0] in "*?"


@dataclass(frozen=True)
class Expr:
    """A generated expression: second, minute, hour, day, month, week."""

    parts: tuple[Part, ...]
    six: bool

    @property
    def text(self) -> str:
        return " ".join(part.text for part in self.parts[0 if self.six else 1 :])

    @property
    def fixed(self) -> bool:
        return not self.parts[1].star and not self.parts[2].star

    def matches(self, wall: datetime) -> bool:
        second, minute, hour, day, month, week = self.parts
        if not (second.means(wall) and minute.means(wall) and hour.means(wall) and month.means(wall)):
            return False
        if day.star or week.star:
            return day.means(wall) and week.means(wall)
        return day.means(wall) or week.means(wall)


def number(name: str, wall: datetime) -> int:
    return wall.isoweekday() % 7 if name == "week" else int(getattr(wall, name))


@st.composite
def items(draw: st.DrawFn, name: str, low: int, high: int, likely: list[int]) -> tuple[str, frozenset[int]]:
    """One item of a list: text, and the values that it stands for."""
    first = draw(st.sampled_from(likely) | st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, max(2, high // 2)))
    text, values = draw(
        st.sampled_from(
            [
                ("*", range(low, high + 1)),
                (f"*/{step}", range(low, high + 1, step)),
                (f"{first}", range(first, first + 1)),
                (f"{first}-{last}", range(first, last + 1)),
                (f"{first}/{step}", range(first, high + 1, step)),
                (f"{first}-{last}/{step}", range(first, last + 1, step)),
            ]
        )
    )
    return text, frozenset(n % 7 for n in values) if name == "week" else frozenset(values)


@st.composite
def lists(draw: st.DrawFn, name: str, low: int, high: int, likely: list[int]) -> Part:
    found = draw(st.lists(items(name, low, high, likely), min_size=1, max_size=3))
    values = frozenset[int]().union(*(values for _, values in found))
    return Part(",".join(text for text, _ in found), lambda wall: number(name, wall) in values)


@st.composite
def fixed(draw: st.DrawFn, name: str, likely: list[int]) -> Part:
    """Values where something happens, one by one."""
    values = draw(st.lists(st.sampled_from(likely), min_size=1, max_size=3, unique=True))
    return Part(",".join(map(str, values)), lambda wall: number(name, wall) in values)


def last_day(wall: datetime) -> int:
    return calendar.monthrange(wall.year, wall.month)[1]


def nearest(day: int, wall: datetime) -> bool:
    """Whether `wall` is on the weekday nearest to `day` of its month: by trying all of them."""
    if day > last_day(wall):
        return False
    weekdays = [n for n in range(1, last_day(wall) + 1) if wall.replace(day=n).isoweekday() < 6]
    return wall.day == min(weekdays, key=lambda n: (abs(n - day), n))


def last_weekday(wall: datetime) -> bool:
    return wall.day == max(n for n in range(1, last_day(wall) + 1) if wall.replace(day=n).isoweekday() < 6)


@st.composite
def special_days(draw: st.DrawFn, likely: list[int]) -> Part:
    n = draw(st.sampled_from(likely) | st.integers(1, 31))
    return draw(
        st.sampled_from(
            [
                Part("?", lambda _: True),
                Part("L", lambda wall: wall.day == last_day(wall)),
                Part("LW", last_weekday),
                Part(f"{n}W", lambda wall: nearest(n, wall)),
                Part(f"{n},L", lambda wall: wall.day in {n, last_day(wall)}),
                Part(f"{n}W,{n}", lambda wall: wall.day == n or nearest(n, wall)),
            ]
        )
    )


@st.composite
def special_weeks(draw: st.DrawFn) -> Part:
    n = draw(st.integers(0, 7))
    nth = draw(st.integers(1, 5))
    name = ["Sun", "MON", "tue", "WED", "thu", "FRI", "sat", "SUN"][n]
    return draw(
        st.sampled_from(
            [
                Part("?", lambda _: True),
                Part(name, lambda wall: wall.isoweekday() % 7 == n % 7),
                Part(f"{n}#{nth}", lambda wall: wall.isoweekday() % 7 == n % 7 and (wall.day + 6) // 7 == nth),
                Part(f"{n}L", lambda wall: wall.isoweekday() % 7 == n % 7 and wall.day + 7 > last_day(wall)),
            ]
        )
    )


@st.composite
def expressions(draw: st.DrawFn, day: date, *, six: bool) -> Expr:
    near = [(day + timedelta(days=n)).day for n in (-1, 0, 1)]
    any_day, any_week, any_month = (Part("*", lambda _: True) for _ in range(3))
    second = draw(lists("second", 0, 59, [0, 30])) if six else Part("0", lambda wall: wall.second == 0)
    return Expr(
        (
            second,
            draw(fixed("minute", [0, 15, 30, 45, 59]) | lists("minute", 0, 59, [0, 30])),
            draw(fixed("hour", [0, 1, 2, 3]) | lists("hour", 0, 23, [0, 1, 2, 3])),
            draw(st.just(any_day) | fixed("day", near) | lists("day", 1, 31, near) | special_days(near)),
            draw(st.just(any_month) | fixed("month", [day.month]) | lists("month", 1, 12, [day.month])),
            draw(st.just(any_week) | lists("week", 0, 7, [day.isoweekday()]) | special_weeks()),
        ),
        six,
    )


@lru_cache(maxsize=64)
def walls(zone: str, start: datetime, end: datetime, step_s: int) -> list[tuple[int, datetime]]:
    """(instant in ms, what the clock shows) for each step."""
    at, info = int(start.timestamp()), ZoneInfo(zone)
    return [
        (s * 1000, datetime.fromtimestamp(s, info).replace(tzinfo=None, fold=0))
        for s in range(at, int(end.timestamp()), step_s)
    ]


def walk(expr: Expr, steps: list[tuple[int, datetime]], gap: Gap, fold: Fold) -> list[int]:
    """The fires of all steps, from the text of the semantics."""
    step = timedelta(milliseconds=steps[1][0] - steps[0][0])
    seen: set[datetime] = set()
    fires: list[int] = []
    previous = steps[0][1] - step
    for instant, wall in steps:
        due = expr.matches(wall)
        if expr.fixed and fold is Fold.FIRST and wall in seen:
            due = False
        hole = wall - previous - step
        if expr.fixed and gap is Gap.RUN_AFTER and timedelta(0) < hole <= timedelta(hours=3):
            due = due or any(expr.matches(previous + step * n) for n in range(1, hole // step + 1))
        if due:
            fires.append(instant)
        seen.add(wall)
        previous = wall
    return fires


def enumerated(trigger: Trigger, after: int, until: int) -> list[int]:
    fires: list[int] = []
    fire = trigger.next_after(after)
    while fire is not None and fire <= until:
        assert fire > (fires[-1] if fires else after)
        fires.append(fire)
        fire = trigger.next_after(fire)
    return fires


def trigger_for(expr: Expr, zone: str, gap: Gap, fold: Fold) -> Trigger:
    try:
        return parse_cron(expr.text, zone, gap=gap, fold=fold)
    except BadTrigger as exc:
        assert "never" in str(exc)  # noqa: PT017 - all other refusals are failures
        assume(condition=False)
        raise


def check(expr: Expr, zone: str, steps: list[tuple[int, datetime]], since: int, data: st.DataObject) -> None:
    gap, fold = data.draw(st.sampled_from(Gap), "gap"), data.draw(st.sampled_from(Fold), "fold")
    trigger = trigger_for(expr, zone, gap, fold)
    until = steps[-1][0]
    expected = [fire for fire in walk(expr, steps, gap, fold) if fire > since]

    assert enumerated(trigger, since, until) == expected

    low = data.draw(st.integers(since, until), "low")
    high = data.draw(st.integers(low, until), "high")
    limit = data.draw(st.integers(0, 20), "limit")
    inside = [fire for fire in expected if low < fire <= high]
    assert trigger.count(low, high) == len(inside)
    assert trigger.newest(low, high, limit) == inside[len(inside) - min(limit, len(inside)) :]
    assert trigger.next_after(low) == next((f for f in expected if f > low), trigger.next_after(until))


@pytest.mark.parametrize(("zone", "day"), PLACES, ids=str)
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_five_fields_fire_as_the_walk_over_the_minutes_says(zone: str, day: date, data: st.DataObject) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
    steps = walls(zone, noon - timedelta(days=2), noon + timedelta(days=2), 60)
    expr = data.draw(expressions(day, six=False), "expr")

    # A day of run-up: the walk must know what the clock has shown before.
    check(expr, zone, steps, steps[1440][0], data)


@pytest.mark.parametrize(
    ("zone", "jump"),
    [
        ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=timezone.utc)),
        ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=timezone.utc)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=timezone.utc)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=timezone.utc)),
    ],
    ids=str,
)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_six_fields_fire_as_the_walk_over_the_seconds_says(zone: str, jump: datetime, data: st.DataObject) -> None:
    steps = walls(zone, jump - timedelta(hours=2), jump + timedelta(hours=1, minutes=30), 1)
    expr = data.draw(expressions(jump.date(), six=True), "expr")

    check(expr, zone, steps, steps[3600][0], data)


@given(
    data=st.data(),
    zone=st.sampled_from([zone for zone, _ in PLACES] + ["Africa/Casablanca", "Asia/Kathmandu", "America/Nuuk"]),
    day=st.dates(date(1970, 1, 3), date(2150, 1, 1)),
    six=st.booleans(),
)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_count_and_newest_are_those_of_the_enumeration(data: st.DataObject, zone: str, day: date, six: bool) -> None:
    expr = data.draw(expressions(day, six=six), "expr")
    trigger = trigger_for(expr, zone, data.draw(st.sampled_from(Gap)), data.draw(st.sampled_from(Fold)))
    after = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()) * 1000 + data.draw(
        st.integers(0, 86_400_000)
    )

    fires: list[int] = []
    fire = trigger.next_after(after)
    while fire is not None and len(fires) < 50:
        assert fire > (fires[-1] if fires else after)
        fires.append(fire)
        fire = trigger.next_after(fire)

    for n, at in enumerate(fires):
        assert trigger.count(after, at) == n + 1
        assert trigger.count(at, fires[-1]) == len(fires) - n - 1
    if fires:
        assert trigger.newest(after, fires[-1], 10) == fires[-10:]
