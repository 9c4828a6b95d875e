"""Durations as typed, and expressions in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyjobs.cronwords import explain
from pyjobs.durations import check_interval, in_words, parse_duration, parse_interval, shown
from pyjobs.errors import BadTrigger


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1m500ms", 60_500),
            ("2w1d", 15 * 86_400_000),
            (" 1H0m5S ", 3_605_000),
            ("0s", 0),
        ],
    )
    def test_units_add_up(self, text: str, expected: int) -> None:
        assert parse_duration(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "1h-5m", "-1h", "1.5h", "1.5", "1m1h", "1h1h", "h", "1 h", "1y", "٣s", "1h5", "+1s"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(BadTrigger, match=re.escape(f"`{text}`")):
            parse_duration(text)

    def test_a_bare_number_is_asked_for_its_unit(self) -> None:
        with pytest.raises(BadTrigger, match="every: `5` has no unit") as caught:
            parse_duration("5", "every")
        assert "`5s`, `5m` or `5h`" in caught.value.hint()

    def test_an_interval_is_whole_seconds(self) -> None:
        assert parse_interval("1m30s") == 90
        for text, reason in [("500ms", "range"), ("0s", "range"), ("1s500ms", "whole"), ("5300w", "range")]:
            with pytest.raises(BadTrigger, match=reason):
                parse_interval(text, "every")

    def test_the_longest_interval_is_a_hundred_years(self) -> None:
        assert check_interval(36525 * 86400) == 36525 * 86400
        with pytest.raises(BadTrigger, match="interval_seconds"):
            check_interval(36525 * 86400 + 1)

    @given(st.integers(1, 10**11))
    def test_the_words_of_a_duration_say_all_of_it(self, ms: int) -> None:
        letters = re.sub(
            r" ?(milli)?(day|hour|minute|second)s?", lambda m: ("m" if m[1] else "") + m[2][0], in_words(ms, "en")
        )
        assert parse_duration(letters.replace("mms", "ms").replace(" ", "")) == ms

    def test_words_in_chinese(self) -> None:
        assert in_words(5_400_000, "zh") == "1 小时 30 分钟"

    def test_what_is_shown_in_messages_can_be_printed(self) -> None:
        assert shown("\ud800\n") == "\\ud800\\n"
        assert len(shown("x" * 500)) == 60


class TestExplain:
    @pytest.mark.parametrize(
        ("expr", "en", "zh"),
        [
            ("*/5 * * * *", "Every 5 minutes", "每 5 分钟"),
            ("0 9 * * MON-FRI", "At 09:00, Monday through Friday", "在 09:00，星期一到星期五"),
            ("0 15 * * 7", "At 15:00, only on Sunday", "在 15:00，仅在星期日"),
            ("0 0 * * 0,7", "At 00:00, only on Sunday", "在 00:00，仅在星期日"),
            ("0 10 * * 1#2", "At 10:00, on the second Monday of the month", "在 10:00，每月的第二个星期一"),
            (
                "0 0 LW 5 ?",
                "At 00:00, on the last weekday of the month, only in May",
                "在 00:00，每月的最后一个平日，仅在五月",
            ),
            (
                "0 0 15W * *",
                "At 00:00, on the weekday nearest day 15 of the month",
                "在 00:00，每月的最接近 15 号的平日",
            ),
            ("0 0 13 * 5", "At 00:00, on day 13 of the month, or on Friday", "在 00:00，每月的 13 号，或星期五"),
            ("@hourly", "Every hour", "每小时"),
            ("@every 1h30m", "Every 1 hour 30 minutes", "每 1 小时 30 分钟"),
            ("TZ=Asia/Tokyo 30 0 9 * * *", "At 09:00:30 (Asia/Tokyo)", "在 09:00:30 (Asia/Tokyo)"),
        ],
    )
    def test_in_words(self, expr: str, en: str, zh: str) -> None:
        assert (explain(expr), explain(expr, "zh")) == (en, zh)

    @pytest.mark.parametrize(
        ("expr", "en", "zh"),
        [
            ("0 0 1W,15W * *", "At 00:00, day of month 1W,15W", "在 00:00，日期 1W,15W"),
            ("0 0 1,L * *", "At 00:00, day of month 1,L", "在 00:00，日期 1,L"),
            ("0 0 * * 2#2,4#4", "At 00:00, day of week 2#2,4#4", "在 00:00，星期 2#2,4#4"),
            ("0 0 */2 * 1", "At 00:00, day of month */2 and day of week 1", "在 00:00，日期 */2 且 星期 1"),
            ("0 0 1 * 5L", "At 00:00, day of month 1 or day of week 5L", "在 00:00，日期 1 或 星期 5L"),
        ],
    )
    def test_days_that_the_library_would_get_wrong_are_shown_as_they_are(self, expr: str, en: str, zh: str) -> None:
        assert (explain(expr), explain(expr, "zh")) == (en, zh)

    def test_steps_that_are_not_taken_are_not_told(self) -> None:
        assert explain("*/90 * * * *") == "Every hour"
        assert explain("*/45 * * * *") == "At 0 and 45 minutes past the hour"
        assert explain("5/15 * * * *") == "Every 15 minutes, minutes 5 through 59 past the hour"

    def test_what_is_no_expression_is_refused(self) -> None:
        with pytest.raises(BadTrigger):
            explain("0 0 31 2 *")

    @given(
        st.lists(
            st.sampled_from(
                [
                    "*",
                    "*/2",
                    "*/7",
                    "1",
                    "1-5",
                    "1-5/2",
                    "2/3",
                    "1,3,*/2",
                    "?",
                    "L",
                    "LW",
                    "15W",
                    "1W,L",
                    "1#2",
                    "5L",
                    "MON",
                    "FEB",
                    "0",
                    "7",
                    "0-7",
                    "5-7",
                ]
            ),
            min_size=5,
            max_size=6,
        ).map(" ".join),
        st.sampled_from(["en", "zh"]),
    )
    @settings(deadline=None)
    def test_every_expression_has_words(self, expr: str, lang: str) -> None:
        try:
            words = explain(expr, lang)
        except BadTrigger:
            return
        assert words
        if lang == "zh":
            assert not re.search("[A-KM-VX-Z]|[a-z]{3}", words)
