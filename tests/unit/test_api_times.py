"""Instants as the API writes and reads them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from pyjobs.api.times import day_bounds, instant, local, rfc3339
from pyjobs.errors import Invalid

SHANGHAI, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/London")
#: 2030-01-01 00:00:00 UTC.
NEW_YEAR = 1_893_456_000_000


def test_an_instant_is_shown_in_the_zone() -> None:
    assert rfc3339(NEW_YEAR, SHANGHAI) == "2030-01-01T08:00:00+08:00"
    assert local(NEW_YEAR + 999, SHANGHAI) == "2030-01-01 08:00:00"
    assert (rfc3339(None, SHANGHAI), local(None, SHANGHAI)) == (None, None)


@pytest.mark.parametrize(
    "text", ["2030-01-01T08:00:00+08:00", "2030-01-01T00:00:00Z", "2030-01-01 08:00:00", " 2030-01-01 08:00 "]
)
def test_an_instant_is_read_with_or_without_a_zone(text: str) -> None:
    assert instant("run_at", text, SHANGHAI) == NEW_YEAR


@pytest.mark.parametrize("text", ["soon", "2030-13-01", "", "９"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="run_at"):
        instant("run_at", text, LONDON)


def test_a_day_is_as_long_as_its_zone_says() -> None:
    first, end = day_bounds("date", "2030-03-31", LONDON)

    assert end - first == 23 * 3_600_000


@pytest.mark.parametrize("text", ["2020", "2020-13-45", "2020-02-30", "../../x", "9999-12-31", "2020-01-01T00:00:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="date"):
        day_bounds("date", text, SHANGHAI)
