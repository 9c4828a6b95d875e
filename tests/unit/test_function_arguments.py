"""The argument text of function jobs, and what type hints make of it (design: commands.md, func)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.errors import Invalid
from pyjobs.functions.arguments import split
from pyjobs.functions.binding import bind, convert, shape_of


def texts(text: str) -> list[str]:
    return [argument.text for argument in split(text)]


class TestSplit:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("  \t\n", []),
            ("a", ["a"]),
            ("a,b", ["a", "b"]),
            (" a b , c ", ["a b", "c"]),
            ("a,,b", ["a", "", "b"]),
            (",", ["", ""]),
            ("a,", ["a", ""]),
            ('""', [""]),
            ('"",""', ["", ""]),
            ('" a "', [" a "]),
            ('"a,b" , c\\,d, "e\\"f",,  g ', ["a,b", "c,d", 'e"f', "", "g"]),
            ("a\nb,\nc", ["a\nb", "c"]),
            (r"C:\temp\new,\d+", [r"C:\temp\new", r"\d+"]),
            (r"a\\,b", ["a\\", "b"]),
            ("a\\", ["a\\"]),
            (r'"a\\"', ["a\\"]),
            ('"a"b c', ["ab c"]),
            ('say "hi", there', ['say "hi"', "there"]),
            ('{"a": 1, "b": [1, 2]}, x', ['{"a": 1, "b": [1, 2]}', "x"]),
            ('[1,2] ,"{}"', ["[1,2]", "{}"]),
            ("[a,b]", ["[a", "b]"]),
            ('{"a": 1}x', ['{"a": 1}x']),
            ('"{\\"a\\": 1, \\"b\\": 2}"', ['{"a": 1, "b": 2}']),
            ("张三，李四,x", ["张三，李四", "x"]),
            ("x=1, y = 2", ["x=1", "y = 2"]),
            ('x="a,b"', ["x=a,b"]),
        ],
    )
    def test_it_follows_commas_quotes_and_escapes(self, text: str, expected: list[str]) -> None:
        assert texts(text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("x=1", ("x", "1")),
            (' x = "a,b" ', ("x", "a,b")),
            ("x=", ("x", "")),
            ("x==1", ("x", "=1")),
            ('x={"a": [1, 2]}', ("x", '{"a": [1, 2]}')),
            ('"x=1"', ("", "")),
            ("http://a?b=c", ("", "")),
            ("1x=2", ("", "")),
            ("名=值", ("名", "值")),
        ],
    )
    def test_it_sees_what_may_be_a_keyword(self, text: str, expected: tuple[str, str]) -> None:
        (argument,) = split(text)
        assert (argument.name, argument.value) == expected

    @pytest.mark.parametrize("text", ['"a', 'x="', '"a\\"', 'a,"b,c'])
    def test_an_open_quote_is_an_error_in_both_languages(self, text: str) -> None:
        with pytest.raises(Invalid, match="not closed") as caught:
            split(text)
        assert "没有闭合" in caught.value.text("zh")

    @given(st.lists(st.text(), min_size=1))
    def test_what_is_quoted_comes_back(self, arguments: list[str]) -> None:
        quoted = ",".join(
            '"' + a.replace("\\", "\\\\").replace('"', '\\"').replace(",", "\\,") + '"' for a in arguments
        )
        assert texts(quoted) == arguments

    @given(st.text())
    def test_no_text_breaks_it(self, text: str) -> None:
        try:
            found = split(text)
        except Invalid:
            return
        assert bool(found) == bool(text.strip())

    def test_deep_json_is_just_text(self) -> None:
        assert texts("[" * 100_000) == ["[" * 100_000]


class Color(Enum):
    RED = "r"
    GREEN = "RED"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    name: str


#: Both spellings are in use.
MAYBE = Optional[int]  # noqa: UP045
MAYBE_TEXT = Optional[str]  # noqa: UP045
EITHER = Union[int, str]  # noqa: UP007
TEXT_FIRST = Union[str, int]  # noqa: UP007


class TestConvert:
    @pytest.mark.parametrize(
        ("hint", "text", "expected"),
        [
            (str, " 007 ", " 007 "),
            (Any, "5", "5"),
            (int, "5", 5),
            (int, "-5", -5),
            (float, "1e3", 1000.0),
            (Decimal, "1.10", Decimal("1.10")),
            *[(bool, text, True) for text in ("true", "True", "1", "yes", "on")],
            *[(bool, text, False) for text in ("false", "FALSE", "0", "no", "off")],
            (date, "2024-02-29", date(2024, 2, 29)),
            (date, "20240229", date(2024, 2, 29)),
            (datetime, "2024-02-29T12:00:00", datetime(2024, 2, 29, 12)),  # noqa: DTZ001 - as typed
            (datetime, "20240229", datetime(2024, 2, 29)),  # noqa: DTZ001 - as typed
            (timedelta, "PT1H", timedelta(hours=1)),
            (Path, "/a/b", Path("/a/b")),
            (Color, "r", Color.RED),
            (Color, "RED", Color.GREEN),
            (Color, "GREEN", Color.GREEN),
            (Level, "2", Level.HIGH),
            (Level, "high", Level.HIGH),
            (Literal["a", 2], "2", 2),
            (MAYBE, "", None),
            (MAYBE, "none", None),
            (MAYBE, "3", 3),
            (MAYBE_TEXT, "", ""),
            (EITHER, "5", 5),
            (TEXT_FIRST, "5", 5),
            (int | date, "2024-01-01", date(2024, 1, 1)),
            (EITHER, "x", "x"),
            (list, "[1, 2]", [1, 2]),
            (list[int], "[1, 2]", [1, 2]),
            (list[int], "7", [7]),
            (list[str], "a b", ["a b"]),
            (list[dict[str, int]], '{"a": 1}', [{"a": 1}]),
            (list[Color], "r", [Color.RED]),
            (set[int], "[1, 1]", {1}),
            (tuple[int, ...], "[1, 2]", (1, 2)),
            (Sequence[int], "[1]", [1]),
            (dict, '{"a": 1}', {"a": 1}),
            (dict[str, date], '{"a": "2024-01-01"}', {"a": date(2024, 1, 1)}),
            (Point, '{"x": 1}', Point(1)),
            (Model, '{"name": "n"}', Model(name="n")),
            (Annotated[int, pydantic.Field(gt=0)], "1", 1),
        ],
    )
    def test_a_text_becomes_what_the_hint_says(self, hint: Any, text: str, expected: Any) -> None:
        found = convert(hint, text)
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("hint", "text", "why"),
        [
            (int, "x", "integer"),
            (int, "", "integer"),
            (int, "1.5", "integer"),
            (bool, "maybe", "boolean"),
            (date, "2024-02-30", "day"),
            (date, "1234567", "YYYY-MM-DD"),
            (datetime, "5", "YYYY-MM-DD"),
            (Color, "BLUE", "one of RED, GREEN, r"),
            (Literal["a", "b"], "c", "one of a, b"),
            (MAYBE, "x", "integer"),
            (list[int], '["x"]', "0: Input should be a valid integer"),
            (list[int], "x", "integer"),
            (dict, "x", "JSON"),
            (dict[str, int], '{"a": "x"}', "a: Input should be a valid integer"),
            (Point, "{}", "x: Field required"),
            (Annotated[int, pydantic.Field(gt=0)], "0", "greater than 0"),
            (functools.partial, "x", "no text can become a `functools.partial`"),
        ],
    )
    def test_a_text_that_does_not_fit_is_refused_with_the_reason(self, hint: Any, text: str, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            convert(hint, text)


def call(function: Callable[..., Any], text: str) -> Any:
    args, kwargs = bind("f", shape_of(function), text)
    return function(*args, **kwargs)


class TestBind:
    def test_positions_names_and_defaults(self) -> None:
        def f(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
            return (a, b, c)

        assert call(f, "1") == (1, 2, 3)
        assert call(f, "1,5,c=6") == (1, 5, 6)
        assert call(f, "c=6, b=5, a=4") == (4, 5, 6)
        assert call(f, "1, c = 7") == (1, 2, 7)

    def test_a_name_that_is_no_parameter_is_text(self) -> None:
        assert call(lambda a, b="": (a, b), "x=1,b=y=2") == ("x=1", "y=2")

    def test_no_hint_is_text(self) -> None:
        assert call(lambda a: a, "5") == "5"

    def test_args_take_the_rest_and_kwargs_any_name(self) -> None:
        def f(a: int, *rest: int, **named: float) -> tuple[Any, ...]:
            return (a, rest, named)

        assert call(f, "1,2,3,x=4") == (1, (2, 3), {"x": 4.0})
        assert call(lambda *args: args, "") == ()

    def test_a_list_at_the_end_takes_the_rest(self) -> None:
        def f(a: str, many: list[int]) -> tuple[str, list[int]]:
            return (a, many)

        assert call(f, "x,1,2,3") == ("x", [1, 2, 3])
        assert call(f, "x,[1,2]") == ("x", [1, 2])
        assert call(f, "x,1") == ("x", [1])

    def test_positional_only_names_are_text(self) -> None:
        def f(a: str, /) -> str:
            return a

        assert call(f, "a=1") == "a=1"

    @pytest.mark.parametrize(
        ("text", "en", "zh"),
        [
            ("", "`a` missing", "缺少参数 `a`"),
            ("b=1", "`a` missing", "缺少参数 `a`"),
            ("1,2,3", "at most 2 arguments, not 3", "最多 2 个参数，实际 3 个"),
            ("x", "`x` is not usable for `a`", "`x` 不能用于参数 `a`"),
            ("1,b=x", "`x` is not usable for `b`", "`x` 不能用于参数 `b`"),
            ("1,b=1,b=2", "`b` is given twice", "参数 `b` 重复"),
            ("1,a=1", "`a` is given twice", "参数 `a` 重复"),
        ],
    )
    def test_what_does_not_fit_names_the_signature_in_both_languages(self, text: str, en: str, zh: str) -> None:
        def f(a: int, b: int = 2) -> int:
            return a + b

        with pytest.raises(Invalid) as caught:
            bind("add", shape_of(f), text)
        assert en in str(caught.value)
        assert zh in caught.value.text("zh")
        for lang in ("en", "zh"):
            assert "add(a: int, b: int = 2) -> int" in caught.value.text(lang)

    def test_keyword_only_parameters_may_be_missing_too(self) -> None:
        def f(*, a: int) -> int:
            return a

        with pytest.raises(Invalid, match="`a` missing"):
            bind("f", shape_of(f), "")


class TestShape:
    def test_a_hint_that_is_not_there_stays_text_and_spoils_no_other(self) -> None:
        def f(a: Nowhere, b: int) -> Nowhere:  # type: ignore[name-defined] # noqa: F821 - that is the case
            return (a, b)

        assert shape_of(f).text == "(a: Nowhere, b: int) -> Nowhere"
        assert call(f, "1,2") == ("1", 2)

    def test_a_decorated_function_shows_what_it_wraps(self) -> None:
        def f(a: int, b: Optional[Path] = None) -> None:  # noqa: UP045 - both spellings are in use
            del a, b

        @functools.wraps(f)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return (args, kwargs)

        assert "a: int" in shape_of(wrapper).text
        assert call(wrapper, "1") == ((1,), {})

    def test_what_has_no_signature_takes_texts(self) -> None:
        assert shape_of(dict).text == "(*args)"
