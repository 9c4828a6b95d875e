"""Whether and when a failed attempt is made again (semantics §9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.errors import Invalid
from pyjobs.jobs import Backoff
from pyjobs.retries import LONGEST_PAUSE_S, pause_s, retry_on


class TestWhichFailuresAreRetried:
    @pytest.mark.parametrize(
        ("text", "timed_out", "number", "wanted"),
        [
            ("", False, 1, True),
            ("", True, None, True),
            ("", False, None, True),
            ("timeout", True, 143, True),
            ("timeout", False, 1, False),
            ("75", False, 75, True),
            ("75", False, 74, False),
            ("500-599", False, 500, True),
            ("500-599", False, 599, True),
            ("500-599", False, 600, False),
            ("500-599", False, None, False),
            ("error", False, None, True),
            ("error", False, 1, False),
            # A time-out has a number too, that of its signal: it is a time-out all the same.
            ("143", True, 143, False),
            (" Timeout , 1-2,error", False, 2, True),
        ],
    )
    def test_a_failure_is_one_of_these_or_not(
        self, text: str, number: int | None, *, timed_out: bool, wanted: bool
    ) -> None:
        assert retry_on(text).wants(timed_out=timed_out, number=number) is wanted

    @pytest.mark.parametrize("text", ["never", "5-", "-5", "9-3", "1.5", "5xx", "1 2", "１"])
    def test_what_makes_no_sense_is_named(self, text: str) -> None:
        with pytest.raises(Invalid, match=r"retry_on: .*is not one of"):
            retry_on(f"timeout,{text}")


class TestPause:
    @given(st.floats(0, 1000), st.integers(1, 1000), st.floats(0, 1))
    def test_a_fixed_one_is_always_the_same(self, interval: float, attempt: int, chance: float) -> None:
        assert pause_s(Backoff.FIXED, interval, attempt, chance) == interval

    @given(st.floats(0, 1000), st.integers(1, 1000), st.floats(0, 1))
    def test_a_growing_one_never_passes_its_cap(self, interval: float, attempt: int, chance: float) -> None:
        assert 0 <= pause_s(Backoff.EXPONENTIAL, interval, attempt, chance) <= LONGEST_PAUSE_S

    def test_its_limit_doubles_with_each_attempt(self) -> None:
        limits = [pause_s(Backoff.EXPONENTIAL, 10, attempt, 1.0) for attempt in (1, 2, 3, 4, 5, 6)]
        assert limits == [10, 20, 40, 80, 160, 300]

    def test_without_an_interval_it_grows_from_a_second(self) -> None:
        assert [pause_s(Backoff.EXPONENTIAL, 0, attempt, 1.0) for attempt in (1, 2, 3)] == [1, 2, 4]

    def test_it_is_spread_evenly(self) -> None:
        assert pause_s(Backoff.EXPONENTIAL, 10, 3, 0.25) == 10
