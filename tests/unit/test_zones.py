"""
A daily job in every zone, 2011 to 2030, against a rule that shares nothing with the triggers (semantics §7).

The rule asks the library's own clock (PEP 495) day by day: is the time there, is it there twice, is it left out.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from importlib import resources
from pathlib import Path

import pytest

from pyjobs.triggers import parse_cron

_UTC = timezone.utc
_FIRST, _LAST = date(2011, 1, 1), date(2031, 1, 1)
#: Times at which clocks are changed somewhere, and one at which they are nowhere.
_TIMES = (time(0, 0), time(0, 30), time(1, 30), time(2, 0), time(2, 30), time(3, 0), time(23, 59))


@lru_cache
def _distinct() -> dict[tuple[tuple[datetime, timedelta], ...], str]:
    """One zone of each table of changes: some 600 names are some 150 tables."""
    files = {_file(name): name for name in sorted(zoneinfo.available_timezones(), reverse=True)}
    return {_changes(zoneinfo.ZoneInfo(name)): name for name in sorted(files.values(), reverse=True)}


def _file(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def _changes(zone: zoneinfo.ZoneInfo) -> tuple[tuple[datetime, timedelta], ...]:
    """(instant, offset from then on), to the second. Nothing is changed and changed back within two days."""
    low, last = _midnight(_FIRST), _midnight(_LAST)
    found = [(low, _offset(low, zone))]
    while low < last:
        high = low + timedelta(days=2)
        offset = _offset(high, zone)
        if offset != found[-1][1]:
            found.append((_jump(low, high, zone), offset))
        low = high
    return tuple(found)


def _jump(low: datetime, high: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """The second between two instants from which on the later one's offset holds."""
    offset = _offset(high, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (low, middle) if _offset(middle, zone) == offset else (middle, high)
    return high


def _offset(instant: datetime, zone: zoneinfo.ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _UTC)


def _fires(name: str, at: time) -> Iterator[int]:
    """The instants in ms of a daily job, by the text of the semantics."""
    zone = zoneinfo.ZoneInfo(name)
    for number in range((_LAST - _FIRST) // timedelta(days=1)):
        wall = datetime.combine(_FIRST + timedelta(days=number), at)
        instant = wall.replace(tzinfo=zone).astimezone(_UTC)  # of a time that comes twice, the first
        if instant.astimezone(zone).replace(tzinfo=None) != wall:
            instant, gap = _end_of_gap(wall, zone)
            if gap > timedelta(hours=3):
                continue
        yield int(instant.timestamp()) * 1000


def _end_of_gap(wall: datetime, zone: zoneinfo.ZoneInfo) -> tuple[datetime, timedelta]:
    """(when the clock jumps over this time, by how much)."""
    old, new = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    after = (wall - old).replace(tzinfo=_UTC)
    return _jump(after - timedelta(days=1), after, zone), new - old


def _check(name: str, at: time) -> None:
    expected = list(_fires(name, at))
    trigger = parse_cron(f"{at.minute} {at.hour} * * *", name)
    found, fire = [], trigger.next_after(expected[0] - 1)
    while fire is not None and fire <= expected[-1]:
        found.append(fire)
        fire = trigger.next_after(fire)
    assert found == expected, f"{name}, {at}: {sorted(set(found) ^ set(expected))[:5]}"
    assert trigger.count(expected[0] - 1, expected[-1]) == len(expected)


def test_the_rule_knows_what_clocks_did() -> None:
    new_york = list(_fires("America/New_York", time(2, 30)))
    assert len(new_york) == 7305
    assert int(datetime(2026, 3, 8, 7, 0, tzinfo=_UTC).timestamp()) * 1000 in new_york  # 03:00, the end of the gap
    lord_howe = list(_fires("Australia/Lord_Howe", time(2, 15)))
    assert int(datetime(2026, 10, 3, 15, 30, tzinfo=_UTC).timestamp()) * 1000 in lord_howe  # half an hour is left out
    apia = list(_fires("Pacific/Apia", time(12, 0)))
    assert len(apia) == 7304  # 30 December 2011 never was


@pytest.mark.parametrize("part", range(4))
def test_a_daily_job_fires_once_a_day_in_zones_of_all_kinds(part: int) -> None:
    zones = sorted(name for changes, name in _distinct().items() if len(changes) > 1)[part::4]
    assert len(zones) > 10
    for number, name in enumerate(zones):
        _check(name, _TIMES[(number + part) % len(_TIMES)])
    if part == 0:
        for name in ("America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "UTC"):
            _check(name, time(2, 15))


@pytest.mark.soak
@pytest.mark.parametrize("at", _TIMES, ids=str)
def test_a_daily_job_fires_once_a_day_in_every_zone_at_every_time(at: time) -> None:
    for name in _distinct().values():
        _check(name, at)
