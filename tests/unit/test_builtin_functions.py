"""The built-in functions that touch nothing: the Go original's texts, and Go's layouts of time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pyjobs.clock import to_ms
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.functions.builtin import BUILT_IN, texts
from pyjobs.functions.builtin.context import Context, language
from pyjobs.functions.builtin.golayout import format_time


class FixedClock:
    """A clock that shows one instant."""

    def now_ms(self) -> int:
        return to_ms(datetime(2024, 2, 9, 15, 4, 5, tzinfo=timezone.utc))

    def monotonic(self) -> float:
        return 0.0


CONTEXT = Context(Settings(home=Path("/nowhere"), timezone="Asia/Shanghai"), FixedClock(), "en")


DAYIN = "Dayin函数执行成功，参数: [1 hello true] - 参数1处理 - 字符串参数: hello - 布尔参数为真"


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (texts.dayin, (), "Dayin函数执行成功，参数: []"),
        (texts.dayin, ("1", "hello", "true"), DAYIN),
        (texts.dayin, ("2", "x", "false"), "Dayin函数执行成功，参数: [2 x false] - 字符串参数: x"),
        (texts.test, ("a", "b"), "Test函数执行成功，参数: [a b]"),
        (texts.hello, (), "Hello, World!"),
        (texts.hello, ("张三",), "Hello, 张三!"),
        (texts.hello, ("张三", "more"), "Hello, 张三!"),
        (texts.time, (), "当前时间: 2024-02-09 23:04:05"),
        (texts.time, ("2006/01/02 15h",), "当前时间: 2024/02/09 23h"),
        (texts.echo, ("a,b", "c,d", 'e"f', "", "g"), 'a,b c,d e"f  g'),
        (texts.math, ("/", "10", "4"), "2.50"),
        (texts.math, ("+", ".5", "1e2"), "100.50"),
        (texts.math, ("-", "-1", "+2."), "-3.00"),
        (texts.math, ("*", "3", "4", "ignored"), "12.00"),
        (texts.math, ("+", "1e300", "inf"), "+Inf"),
        (texts.math, ("-", "0", "Infinity"), "-Inf"),
        (texts.math, ("*", "1e300", "1e300"), "+Inf"),
        (texts.math, ("-", "inf", "inf"), "NaN"),
    ],
)  # fmt: skip
def test_it_answers_as_the_go_original(function: Callable[..., str], args: tuple[str, ...], expected: str) -> None:
    assert function(CONTEXT, *args) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("+", "1"), "Math函数需要至少3个参数: 操作符 数字1 数字2"),
        ((), "Math函数需要至少3个参数: 操作符 数字1 数字2"),
        (("/", "1", "0"), "除数不能为零"),
        (("/", "1", "-0.0"), "除数不能为零"),
        (("^", "1", "2"), "不支持的操作符: ^"),
        (("+", "a", "2"), "参数必须是数字"),
        (("+", "1_0", "2"), "参数必须是数字"),
        (("+", "1e400", "2"), "参数必须是数字"),
        (("+", "", "2"), "参数必须是数字"),
        (("+", "１", "2"), "参数必须是数字"),
    ],
)
def test_math_fails_as_the_go_original(args: tuple[str, ...], expected: str) -> None:
    with pytest.raises(RunFailed) as caught:
        texts.math(CONTEXT, *args)
    assert str(caught.value) == expected
    assert caught.value.text("zh") == expected


MOMENT = datetime(2024, 2, 9, 15, 4, 5, 123_400, tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02 15:04:05", "2024-02-09 15:04:05"),
        ("20060102150405", "20240209150405"),
        ("06-1-2", "24-2-9"),
        ("Jan _2 3:4:5 PM", "Feb  9 3:4:5 PM"),
        ("Monday, January 2 2006 03:04pm", "Friday, February 9 2024 03:04pm"),
        ("Mon Jan 02 15:04:05 -0700 2006", "Fri Feb 09 15:04:05 -0500 2024"),
        ("Mon Jan 02 15:04:05 MST 2006", "Fri Feb 09 15:04:05 EST 2024"),
        ("2006-01-02T15:04:05Z07:00", "2024-02-09T15:04:05-05:00"),
        ("15:04:05.000", "15:04:05.123"),
        ("15:04:05.999999", "15:04:05.1234"),
        ("15:04:05,000000000", "15:04:05,123400000"),
        ("002 __2", "040  40"),
        ("_2006", "_2024"),
        ("-07 -07:00:00", "-05 -05:00:00"),
        ("Month Janet", "Month Janet"),
        ("at h o'clock", "at h o'clock"),
        ("2006年01月02日", "2024年02月09日"),
        ("", ""),
    ],
)
def test_a_time_follows_gos_layout(layout: str, expected: str) -> None:
    assert format_time(MOMENT, layout) == expected


@pytest.mark.parametrize(
    ("hour", "expected"), [(0, "12 AM"), (1, "01 AM"), (11, "11 AM"), (12, "12 PM"), (13, "01 PM"), (23, "11 PM")]
)
def test_twelve_hours_have_no_zero(hour: int, expected: str) -> None:
    assert format_time(MOMENT.replace(hour=hour), "03 PM") == expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (timedelta(0), "Z Z +0000 +00:00"),
        (timedelta(hours=5, minutes=30), "+05:30 +0530 +0530 +05:30"),
        (-timedelta(hours=3, minutes=30), "-03:30 -0330 -0330 -03:30"),
    ],
)
def test_offsets_have_a_sign(offset: timedelta, expected: str) -> None:
    moment = MOMENT.replace(tzinfo=timezone(offset))
    assert format_time(moment, "Z07:00 Z0700 -0700 -07:00") == expected


def test_no_fraction_leaves_no_point() -> None:
    assert format_time(MOMENT.replace(microsecond=0), "05.999") == "05"


def test_there_are_the_fifteen_functions_of_the_go_original() -> None:
    assert sorted(BUILT_IN) == [
        "Backup", "Cleanup", "Database", "Dayin", "Echo", "Email", "File", "Hello", "Math", "Monitor", "Report",
        "SMS", "Test", "Time", "Webhook",
    ]  # fmt: skip
    assert all(function.__doc__ for function in BUILT_IN.values())


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        ("", {}, "en"),
        ("", {"LANG": "zh_CN.UTF-8"}, "zh"),
        ("", {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ("zh", {"LANG": "C"}, "zh"),
        ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_setting_or_the_locale(setting: str, environ: dict[str, str], expected: str) -> None:
    assert language(Settings(home=Path("/nowhere"), lang=setting), environ) == expected
