"""When what crashed is started again, by a clock that stands still."""

from __future__ import annotations

import itertools

import pytest

from pyjobs.backoff import Backoff


def crash_for(backoff: Backoff, seconds: float, *, lives_s: float = 0.0, from_s: float = 0.0) -> list[float]:
    """Crash at every start for so long; answers the instants of the starts."""
    now_s, starts = from_s, []
    while now_s < from_s + seconds:
        starts.append(now_s)
        now_s += lives_s
        now_s += backoff.crashed(now_s, lives_s)
    return starts


def test_pauses_double_up_to_a_minute() -> None:
    backoff = Backoff()
    pauses = [backoff.crashed(0, 0) for _ in range(10)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.restarts == 10


def test_it_is_tried_at_least_once_a_minute_for_ever_and_hardly_more_often() -> None:
    starts = crash_for(Backoff(), 7 * 86400)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert max(gaps) == 60
    # A start costs well under a second of processor time: under 2 % of it in the long run.
    assert len(starts) < 7 * 1440 + 20


def test_a_minute_of_health_begins_anew() -> None:
    backoff = Backoff()
    crash_for(backoff, 3)
    assert backoff.crashed(100, 59.9) == 4
    assert backoff.crashed(200, 60) == 0.5


def test_five_crashes_within_a_minute_are_safe_mode_and_four_are_not() -> None:
    backoff = Backoff()
    for now_s in (0, 15, 30, 45):
        backoff.crashed(now_s, 1)
        assert not backoff.safe
    backoff.crashed(60, 1)
    assert backoff.safe


def test_five_crashes_in_more_than_a_minute_are_not() -> None:
    backoff = Backoff()
    for now_s in range(0, 16 * 50, 16):
        backoff.crashed(now_s, 1)
    assert not backoff.safe


@pytest.mark.parametrize("hours", [1, 24])
def test_safe_mode_goes_on_while_it_crashes_and_ends_with_a_minute_of_health(hours: int) -> None:
    backoff = Backoff()
    crash_for(backoff, hours * 3600)
    assert backoff.safe
    assert not backoff.is_well(59)
    assert backoff.safe
    assert backoff.is_well(60)
    assert not backoff.safe
    assert not backoff.is_well(61)  # said once


def test_crashes_before_a_minute_of_health_count_no_more() -> None:
    backoff = Backoff()
    for now_s in (0, 1, 2, 3):
        backoff.crashed(now_s, 0)
    backoff.crashed(3, 60)
    assert not backoff.safe
