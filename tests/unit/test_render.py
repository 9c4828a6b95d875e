"""Text, times and tables: what a terminal shows and what a pipe gets."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from fakes import NOW_MS, FakeClock, a_run
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.cli import render
from pyjobs.cli.context import App
from pyjobs.cli.messages import MESSAGES, message, word
from pyjobs.cli.reasons import in_language, short
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.text import columns, cut, one_line, safe, width
from pyjobs.cli.times import View, instant, milliseconds, past, seconds, span
from pyjobs.cli.views import when
from pyjobs.errors import Invalid
from pyjobs.jobs import RunState, Source

SHANGHAI = View(ZoneInfo("Asia/Shanghai"), NOW_MS)
BERLIN = ZoneInfo("Europe/Berlin")


class Pet(NamedTuple):
    name: str
    age: int


PETS: Noun[Pet] = Noun(
    singular="pet",
    plural="jobs",
    name=lambda pet: pet.name,
    document=lambda pet, _: {"name": pet.name, "age": pet.age},
    columns=(
        Column("col.name", lambda pet, _: pet.name, style="bold"),
        Column("col.id", lambda p, _: str(p.age), right=True),
    ),
)


class Screen(io.StringIO):
    """A stream that claims to be a terminal, or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write pets in a format; answers what came out."""

    def write(pets: Sequence[Pet], format_: str = "table", *, terminal: bool = False, **env: str) -> str:
        monkeypatch.setenv("COLUMNS", env.pop("COLUMNS", "80"))
        for name, value in ({"NO_COLOR": "1", "TERM": "xterm", "PYJOBS_TIMEZONE": "UTC"} | env).items():
            monkeypatch.setenv(name, value)
        out = Screen(terminal=terminal)
        monkeypatch.setattr(sys, "stdout", out)
        app = App(home=Path("nowhere"), format=format_, given_clock=FakeClock())
        render.listing(app, PETS, pets)
        return out.getvalue()

    return write


class TestWidth:
    @pytest.mark.parametrize(
        ("text", "cells"), [("abc", 3), ("备份", 4), ("é", 1), ("e\N{COMBINING ACUTE ACCENT}", 1), ("カ", 2), ("", 0)]
    )
    def test_east_asian_wide_characters_take_two_cells(self, text: str, cells: int) -> None:
        assert width(text) == cells

    @given(st.text(), st.integers(min_value=1, max_value=20))
    def test_what_is_cut_fits(self, text: str, limit: int) -> None:
        assert width(cut(text, limit)) <= max(limit, 1)

    @given(
        st.lists(
            st.tuples(st.text("ab备份é", max_size=6), st.text("x字", min_size=1, max_size=4)), min_size=1, max_size=5
        )
    )
    def test_columns_are_aligned_in_cells(self, rows: list[tuple[str, str]]) -> None:
        lines = columns(("A", "B"), rows)
        starts = {width(line) - width(row[1]) for line, row in zip(lines[1:], rows, strict=True)}
        assert len(starts) == 1

    def test_columns_to_the_right_end_in_the_same_cell(self) -> None:
        assert columns(("N", "名"), [("5", "x"), ("500", "字")], right=frozenset({0})) == [
            "  N  名",
            "  5  x",
            "500  字",
        ]

    def test_a_limit_cuts_the_widest_column(self) -> None:
        assert columns(("A", "B"), [("short", "a very long text that goes on")], limit=22) == [
            "A      B",
            "short  a very long te…",
        ]


class TestControlCharacters:
    def test_a_terminal_is_not_made_to_obey(self) -> None:
        assert safe("a\x1b[31mb\x07\x9b\u202e\U000e0001") == "a\\x1b[31mb\\x07\\x9b\\u202e\\U000e0001"

    def test_lines_and_tabs_stay_in_text_but_not_in_cells(self) -> None:
        assert safe("a\n\tb") == "a\n\tb"
        assert one_line("a\n\tb") == "a\\n\\tb"

    @given(st.text())
    def test_nothing_that_is_obeyed_is_left(self, text: str) -> None:
        assert re.sub("[\n\t]", "", safe(text)).isprintable() or not re.search(
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", safe(text)
        )


class TestTimes:
    @pytest.mark.parametrize(
        ("ms", "text"),
        [
            (0, "0ms"),
            (999, "999ms"),
            (1240, "1.24s"),
            (125_000, "2m05s"),
            (3_900_000, "1h05m"),
            (183_600_000, "2d03h"),
            (None, ""),
        ],
    )
    def test_a_duration_has_its_two_largest_units(self, ms: int | None, text: str) -> None:
        assert span(ms) == text

    def test_times_are_shown_in_the_zone_of_the_view(self) -> None:
        assert SHANGHAI.full(NOW_MS) == "2030-01-01 08:00:00"
        assert SHANGHAI.iso(NOW_MS + 250) == "2030-01-01T08:00:00.250+08:00"

    def test_a_terminal_leaves_out_what_is_the_same_today(self) -> None:
        view = View(ZoneInfo("UTC"), NOW_MS, terminal=True)
        day = 86_400_000
        assert [view.when(NOW_MS + d) for d in (1000, 2 * day, 400 * day)] == ["00:00:01", "01-03 00:00", "2031-02-05"]

    def test_relative_times_come_in_both_languages(self) -> None:
        chinese = View(ZoneInfo("UTC"), NOW_MS, "zh")
        assert (SHANGHAI.relative(NOW_MS + 240_000), SHANGHAI.relative(NOW_MS - 7_200_000)) == (
            "in 4 minutes",
            "2 hours ago",
        )
        assert (chinese.relative(NOW_MS + 240_000), chinese.relative(NOW_MS - 7_200_000)) == ("4 分钟后", "2 小时前")
        assert SHANGHAI.relative(NOW_MS + 240_000) == "in 4 minutes"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(1, "in 1 second"), (90, "in 90 seconds"), (119, "in 119 seconds"), (150, "in 3 minutes"),
         (7140, "in 119 minutes"), (10_440, "in 3 hours"), (97_200, "in 27 hours"), (1_400_000, "in 16 days"),
         (-86_400 * 40, "40 days ago")],
    )  # fmt: skip
    def test_a_distance_is_in_the_largest_unit_that_leaves_two(self, seconds: int, text: str) -> None:
        assert SHANGHAI.relative(NOW_MS + seconds * 1000) == text

    def test_another_zone_shows_other_clocks(self) -> None:
        assert SHANGHAI.at("UTC").full(NOW_MS) == "2030-01-01 00:00:00"
        assert SHANGHAI.at("") is SHANGHAI.at("Mars/Base") is SHANGHAI

    def test_what_is_due_for_long_is_overdue(self) -> None:
        assert [SHANGHAI.left(NOW_MS + ms) for ms in (90_000, 0, -60_000)] == ["1m30s", "now", "overdue"]
        assert [SHANGHAI.due(NOW_MS + ms) for ms in (90_000, 0, -60_000)] == ["in 90 seconds", "now", "overdue"]

    @pytest.mark.parametrize(
        ("text", "ms"), [("90", 90_000), ("1h30m", 5_400_000), ("500ms", 500), (" 5 ", 5000), ("0", 0)]
    )
    def test_durations_are_units_or_plain_seconds(self, text: str, ms: int) -> None:
        assert milliseconds("--timeout", text) == ms

    @pytest.mark.parametrize("text", ["", "-5", "1.5h", "abc", "5 parsecs", "１２"])
    def test_a_wrong_duration_names_its_flag(self, text: str) -> None:
        with pytest.raises(Invalid, match=r"^--timeout: ") as caught:
            milliseconds("--timeout", text)
        assert caught.value.text("zh").startswith("--timeout：")

    def test_parts_of_a_second_are_refused_where_seconds_are_needed(self) -> None:
        with pytest.raises(Invalid, match="whole number of seconds"):
            seconds("--grace", "500ms")

    @pytest.mark.parametrize(
        ("text", "iso"),
        [
            ("2026-12-24 18:00", "2026-12-24T18:00:00.000+01:00"),
            ("2026-07-01T18:00:00.250", "2026-07-01T18:00:00.250+02:00"),
            ("2026-07-01T18:00:00Z", "2026-07-01T20:00:00.000+02:00"),
            ("2026-07-01T18:00:00+08:00", "2026-07-01T12:00:00.000+02:00"),
        ],
    )
    def test_an_instant_without_an_offset_is_in_the_zone(self, text: str, iso: str) -> None:
        assert View(BERLIN, NOW_MS).iso(instant("--at", text, BERLIN)) == iso

    def test_an_instant_that_the_clock_never_shows_is_refused(self) -> None:
        # The clocks of Berlin jump from 02:00 to 03:00 on 2027-03-28.
        with pytest.raises(Invalid, match="never shows `2027-03-28 02:30`"):
            instant("--at", "2027-03-28 02:30", BERLIN)

    def test_the_past_is_an_instant_or_a_duration_ago(self) -> None:
        view = View(ZoneInfo("UTC"), NOW_MS)
        assert past("--since", "24h", view) == NOW_MS - 86_400_000
        assert past("--since", "2029-12-31", view) == NOW_MS - 86_400_000
        assert past("--since", None, view) is None


class TestFormats:
    PETS = (Pet("Rex", 3), Pet("小黑", 12))

    def test_a_pipe_gets_plain_columns(self, shown: Any) -> None:
        assert shown(self.PETS) == "NAME  ID\nRex    3\n小黑  12\n"

    def test_nothing_is_cut_off_in_a_pipe(self, shown: Any) -> None:
        name = "n" * 300
        assert name in shown([Pet(name, 1)], COLUMNS="40")

    def test_an_empty_list_has_its_heading_in_a_pipe(self, shown: Any) -> None:
        assert shown([]) == "NAME  ID\n"

    def test_a_terminal_gets_a_table_and_the_zone_once(self, shown: Any) -> None:
        assert shown(self.PETS, terminal=True) == "NAME  ID\n────────\nRex    3\n小黑  12\ntimes in UTC\n"

    def test_a_long_table_fits_the_terminal(self, shown: Any) -> None:
        out = shown([Pet("n" * 200, number) for number in range(150)], terminal=True, COLUMNS="40")
        assert {width(line) for line in out.splitlines()[1:-1]} == {40}

    def test_json_is_one_versioned_document(self, shown: Any) -> None:
        assert json.loads(shown(self.PETS, "json")) == {
            "schema_version": 1,
            "jobs": [{"name": "Rex", "age": 3}, {"name": "小黑", "age": 12}],
        }

    def test_jsonl_is_one_versioned_object_a_line(self, shown: Any) -> None:
        lines = [json.loads(line) for line in shown(self.PETS, "jsonl").splitlines()]
        assert lines[0] == {"schema_version": 1, "name": "Rex", "age": 3}

    def test_csv_quotes_what_needs_it(self, shown: Any) -> None:
        assert shown([Pet('a,"b"', 1)], "csv") == 'name,age\n"a,""b""",1\n'

    def test_yaml_keeps_the_order_and_the_characters(self, shown: Any) -> None:
        assert shown([Pet("小黑", 12)], "yaml") == "schema_version: 1\njobs:\n- name: 小黑\n  age: 12\n"

    def test_names_stand_alone(self, shown: Any) -> None:
        assert shown(self.PETS, "name") == "Rex\n小黑\n"

    def test_colour_is_for_terminals_without_no_color(self, shown: Any) -> None:
        assert "\x1b[" in shown(self.PETS, terminal=True, NO_COLOR="")
        assert "\x1b[" not in shown(self.PETS, terminal=True)
        assert "\x1b[" not in shown(self.PETS, terminal=True, NO_COLOR="", TERM="dumb")
        assert "\x1b[" not in shown(self.PETS, NO_COLOR="")


class TestRuns:
    LATE = NOW_MS + 9_000_000

    @pytest.mark.parametrize(
        ("changes", "ms"),
        [
            ({"scheduled_ms": NOW_MS}, NOW_MS),
            ({"source": Source.MANUAL}, LATE),
            ({"scheduled_ms": NOW_MS, "source": Source.CATCHUP}, LATE),
            ({"scheduled_ms": NOW_MS, "state": RunState.MISSED}, LATE),
            ({"scheduled_ms": NOW_MS, "state": RunState.SKIPPED}, NOW_MS),
        ],
    )
    def test_a_run_is_shown_at_the_instant_that_keeps_the_order(self, changes: dict[str, Any], ms: int) -> None:
        assert when(a_run(claimed_ms=self.LATE, **changes)) == ms

    @pytest.mark.parametrize(
        ("error", "english", "chinese"),
        [
            ("", "", ""),
            ("exit status 3", "exit status 3", "退出状态 3"),
            ("attempt 1: exit status 3; attempt 2: exit status 3", "exit status 3 (2 attempts)",
             "退出状态 3（2 次尝试）"),
            ("timed out after 1 s; timed out after 1 s", "timed out after 1 s (2 attempts)",
             "超过 1 秒，超时（2 次尝试）"),
            ("attempt 1: exit status 3; attempt 2: ended by SIGTERM",
             "attempt 1: exit status 3; attempt 2: ended by SIGTERM",
             "第 1 次尝试：退出状态 3；第 2 次尝试：被信号 SIGTERM 结束"),
            ("lost: the machine went down", "lost: the machine went down", "丢失：机器重启或断电"),
            ("killed by me@here", "killed by me@here", "被 me@here 终止"),
            ("ended by me before it was launched", "ended by me before it was launched", "启动前被 me 终止"),
            ("still running since 2030-01-01 00:00:00 UTC (run 12ab)",
             "still running since 2030-01-01 00:00:00 UTC (run 12ab)",
             "自 2030-01-01 00:00:00 UTC 起的执行 12ab 仍在进行"),
            ("a newer fire took its place", "a newer fire took its place", "已被更新的一次触发取代"),
            ("limit reached: it has run 5 times", "limit reached: it has run 5 times", "已达到次数上限：已执行 5 次"),
            ("ValueError: a; b", "ValueError: a; b", "ValueError: a; b"),
        ],
    )  # fmt: skip
    def test_a_reason_is_short_and_in_the_language(self, error: str, english: str, chinese: str) -> None:
        run = a_run(state=RunState.FAILED, error=error)
        views = (View(ZoneInfo("UTC"), NOW_MS, lang) for lang in ("en", "zh"))
        assert tuple(short(run, view) for view in views) == (english, chinese)

    def test_missed_fires_are_told_in_the_zone_of_the_view(self) -> None:
        error = "1 fire missed: nobody was there in time (noticed 2030-01-01 02:30:00 UTC)"
        run = a_run(state=RunState.MISSED, scheduled_ms=NOW_MS, error=error)
        assert short(run, SHANGHAI) == "1 fire missed, due 2030-01-01 08:00:00"
        assert in_language(error, "zh") == "错过 1 次触发：当时守护进程未运行（发现于 2030-01-01 02:30:00 UTC）"


class TestMessages:
    def test_a_count_of_one_is_singular(self) -> None:
        assert [message("run.cleared", "en", count=count) for count in (0, 1, "1000+")] == [
            "deleted 0 records",
            "deleted 1 record",
            "deleted 1000+ records",
        ]
        assert "1 run goes on; the next daemon takes it over" in message("daemon.left_running", "en", count=1)

    @pytest.mark.parametrize("key", sorted(MESSAGES))
    def test_both_languages_take_the_same_values(self, key: str) -> None:
        english, chinese = (set(re.findall(r"\{(\w+)\}", text)) for text in MESSAGES[key])
        assert english == chinese

    def test_states_are_words_in_both_languages(self) -> None:
        assert (word("failed", "en"), word("failed", "zh"), word("unheard-of", "zh")) == (
            "failed",
            "失败",
            "unheard-of",
        )
        assert message("job.added", "zh", id=1, name="a") == "已添加任务 1 `a`"
