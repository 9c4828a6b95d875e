"""The 【…】 text of a job (commands.md, "Command text")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pyjobs.commandtext import (
    SPECS,
    CommandSpec,
    FuncSpec,
    HttpSpec,
    Spec,
    canonical_mode,
    pairs,
    parse,
    register,
    render,
    retries,
    unknown_tags,
)
from pyjobs.errors import BadCommandText

URL = "http://example.com/x?a=1"


class TestBareForm:
    @pytest.mark.parametrize(
        ("mode", "text", "expected"),
        [
            ("http", URL, HttpSpec(url=URL)),
            ("http", f"  {URL}\r\n", HttpSpec(url=URL)),
            ("command", "echo a\necho b", CommandSpec(command="echo a\necho b")),
            ("command", "echo a\r\necho b\r\n", CommandSpec(command="echo a\necho b")),
            ("command", "echo 【timeout】5", CommandSpec(command="echo 【timeout】5")),
            ("command", "cat <<E\n【timeout】5\nE", CommandSpec(command="cat <<E\n【timeout】5\nE")),
            ("command", "echo '【'", CommandSpec(command="echo '【'")),
            ("func", " Hello ", FuncSpec(name="Hello")),
        ],
    )
    def test_text_without_a_tag_is_the_main_value(self, mode: str, text: str, expected: Spec) -> None:
        assert parse(mode, text) == expected


class TestTags:
    @pytest.mark.parametrize(
        ("line", "field", "value"),
        [
            ("【mode】post", "mode", "post"),
            ("【headers】A: b:c ||| D:", "headers", (("A", "b:c"), ("D", ""))),
            ("【headers】A:1||B:2", "headers", (("A", "1"), ("B", "2"))),
            ('【data】{"a": 1}', "data", '{"a": 1}'),
            ("【cookies】a=b; c=d", "cookies", "a=b; c=d"),
            ("【proxy】socks5h://u:p@h:1080", "proxy", "socks5h://u:p@h:1080"),
            ("【result】a 【b】", "result", "a 【b】"),
            ("【timeout】0", "timeout", 0),
            ("【timeout】", "timeout", None),
            ("【times】3", "times", 3),
            ("【times】0", "times", 0),
            ("【interval】 60 ", "interval", 60),
        ],
    )
    def test_each_http_tag(self, line: str, field: str, value: object) -> None:
        assert parse("http", f"【url】{URL}\n{line}") == HttpSpec(url=URL, **{field: value})  # type: ignore[arg-type]

    def test_each_command_tag(self) -> None:
        text = "【command】echo $A\n【workdir】/tmp\n【env】A=1|||B==2=\n【timeout】5\n【times】2\n【interval】1"
        env = (("A", "1"), ("B", "=2="))
        assert parse("command", text) == CommandSpec(
            command="echo $A", workdir="/tmp", env=env, timeout=5, times=2, interval=1
        )

    def test_each_func_tag(self) -> None:
        text = '【name】Math\n【arg】1, "a,b"\n【timeout】5\n【times】2\n【interval】1'
        assert parse("func", text) == FuncSpec(name="Math", arg='1, "a,b"', timeout=5, times=2, interval=1)

    def test_order_case_and_space_do_not_matter(self) -> None:
        text = f"\n  【TimeOut】 5\r\n\t【 URL 】 {URL} \r\n"
        assert parse("http", text) == HttpSpec(url=URL, timeout=5)

    def test_a_value_goes_on_until_the_next_tag(self) -> None:
        text = "【command】\nset -e\n\n  echo 【x】\n【timeout】5"
        assert parse("command", text) == CommandSpec(command="set -e\n\n  echo 【x】", timeout=5)

    def test_the_last_one_wins(self) -> None:
        assert parse("http", f"【url】http://a\n【times】2\n【url】{URL}\n【times】3") == HttpSpec(url=URL, times=3)

    def test_headers_and_env_add_up(self) -> None:
        headers = parse("http", f"【url】{URL}\n【headers】A:1\n【headers】\n【headers】B:2|||A:3")
        assert headers == HttpSpec(url=URL, headers=(("A", "1"), ("B", "2"), ("A", "3")))
        env = parse("command", "【env】A=|\n【command】x\n【env】B=2")
        assert env == CommandSpec(command="x", env=(("A", "|"), ("B", "2")))


class TestErrors:
    @pytest.mark.parametrize(
        ("mode", "text", "words"),
        [
            ("http", "【ulr】http://a", ["【ulr】", "did you mean `url`?"]),
            ("http", f"【url】{URL}\n【中文】1", ["【中文】", "known are", "url", "interval"]),
            ("command", "【command】x\n【url】http://a", ["【url】"]),
            ("http", "【timeout】5", ["url: is missing"]),
            ("command", "", ["command: is missing"]),
            ("command", "【command】\n \n【timeout】5", ["command: is missing"]),
            ("func", "【arg】1", ["name: is missing"]),
            ("http", "example.com", ["url: `example.com`"]),
            ("http", "ftp://x", ["url: `ftp://x`"]),
            ("http", "http:///x", ["url:"]),
            ("http", "http://a b", ["url:"]),
            ("http", f"【url】{URL}\n【mode】GE T", ["mode: `GE T`"]),
            ("http", f"【url】{URL}\n【proxy】ftp://x", ["proxy: `ftp://x`"]),
            ("http", f"【url】{URL}\n【headers】A", ["headers: `A` is not `NAME:VALUE`"]),
            ("http", f"【url】{URL}\n【headers】:1", ["headers: `:1`"]),
            ("http", f"【url】{URL}\n【headers】A B:1", ["headers: `A B`"]),
            ("http", f"【url】{URL}\n【headers】A:1\nB", ["headers:"]),
            ("command", "【command】x\n【env】1A=2", ["env: `1A`"]),
            ("command", "【command】x\n【env】A-B=2", ["env: `A-B`"]),
            ("command", "【command】x\n【env】A", ["env: `A` is not `NAME=VALUE`"]),
            ("command", "x\0y", ["command: holds a NUL"]),
            ("command", "【command】x\n【env】A=\0", ["env: holds a NUL"]),
            ("http", f"【url】{URL}\n【data】\0", ["data: holds a NUL"]),
        ],
    )
    def test_it_says_what_and_where(self, mode: str, text: str, words: list[str]) -> None:
        with pytest.raises(BadCommandText) as caught:
            parse(mode, text)
        for word in words:
            assert word in str(caught.value)
        assert caught.value.text("zh") != caught.value.text("en")

    @pytest.mark.parametrize("tag", ["timeout", "times", "interval"])
    @pytest.mark.parametrize("number", ["x", "-1", "+1", "1.5", "1e3", "５", "1 0", "99999999", "9" * 30, "5s", "0x1"])
    def test_a_bad_number_is_an_error(self, tag: str, number: str) -> None:
        with pytest.raises(BadCommandText, match=f"{tag}: `") as caught:
            parse("command", f"【command】x\n【{tag}】{number}")
        assert number in str(caught.value)

    def test_an_unknown_mode_names_the_known_ones(self) -> None:
        with pytest.raises(BadCommandText, match="`ftp` is not one of http, command, func"):
            canonical_mode("ftp")

    @pytest.mark.parametrize(
        ("given", "mode"), [("HTTP", "http"), (" Function ", "func"), ("func", "func"), ("Command", "command")]
    )
    def test_a_mode_has_one_stored_name(self, given: str, mode: str) -> None:
        assert canonical_mode(given) == mode


class TestStoredRows:
    def test_unknown_tags_are_ignored_and_named(self) -> None:
        text = f"【url】{URL}\n【retry】3\n【Later】x\n【times】2"
        assert parse("http", text, lenient=True) == HttpSpec(url=URL, times=2)
        assert unknown_tags("http", text) == ["retry", "later"]

    def test_a_known_or_bare_text_has_none(self) -> None:
        assert unknown_tags("http", f"【url】{URL}") == []
        assert unknown_tags("command", "echo 【x】\n【x】") == []

    def test_a_bad_value_is_an_error_all_the_same(self) -> None:
        with pytest.raises(BadCommandText, match="times"):
            parse("http", f"【url】{URL}\n【times】x", lenient=True)


class TestRetries:
    @pytest.mark.parametrize(
        ("text", "again"),
        [
            (URL, 0),
            (f"【url】{URL}", 0),
            (f"【url】{URL}\n【times】0", 0),
            (f"【url】{URL}\n【times】1", 0),
            (f"【url】{URL}\n【times】3", 2),
            (f"【url】{URL}\n 【 Times 】 3 \n【interval】1", 2),
            (f"【times】2\n【times】4\n【url】{URL}", 3),
            (f"【url】{URL}\n【times】many", 0),
            ("bare\n【times】3", 0),
            ("echo 【times】3", 0),
        ],
    )
    def test_they_are_the_attempts_less_the_first_one(self, text: str, again: int) -> None:
        assert retries(text) == again

    @given(st.integers(0, 1000))
    def test_they_are_what_the_spec_says(self, times: int) -> None:
        text = f"【url】{URL}\n【times】{times}"
        assert retries(text) == max(1, parse("http", text).times) - 1


class TestRender:
    @pytest.mark.parametrize(
        ("spec", "text"),
        [
            (CommandSpec(command="echo a\necho b"), "echo a\necho b"),
            (HttpSpec(url=URL, mode="PUT", timeout=0), f"【url】{URL}\n【timeout】0\n【mode】PUT"),
            (
                HttpSpec(url=URL, headers=(("A", "1"), ("B", "x:y"))),
                f"【url】{URL}\n【headers】A:1|||B:x:y",
            ),
            (CommandSpec(command="x", env=(("A", "1"), ("B", "2"))), "【command】x\n【env】A=1|||B=2"),
            (FuncSpec(name="F", arg="1"), "【name】F\n【arg】1"),
        ],
    )
    def test_it_is_bare_where_it_can_be(self, spec: Spec, text: str) -> None:
        assert render(spec) == text
        assert parse(spec.MODE, text) == spec


TEXTS = st.text(st.sampled_from("ab1 \n\r\t|=:【】\x0b\x85\u2028/é\\\"'#"), max_size=25)
TAGS = {
    "http": ["url", "mode", "headers", "data", "cookies", "proxy", "result", "timeout", "times", "interval"],
    "command": ["command", "workdir", "env", "timeout", "times", "interval"],
    "func": ["name", "arg", "timeout", "times", "interval"],
}


@st.composite
def lines(draw: st.DrawFn, mode: str) -> str:
    """One tag with a value that has a chance."""
    tag = draw(st.sampled_from(TAGS[mode]))
    if tag in ("timeout", "times", "interval"):
        value = str(draw(st.integers(0, 1000)))
    elif tag in ("headers", "env"):
        separator = ":" if tag == "headers" else "="
        pair = st.builds(lambda k, v: f"{k}{separator}{v}", st.sampled_from(["A", "B", "|", "X-a"]), TEXTS)
        value = draw(st.sampled_from(["|||", "||", " ||| ", "||||"])).join(draw(st.lists(pair, max_size=3)))
    elif tag == "url":
        value = "http://" + draw(st.text(st.sampled_from("abc/?#|【】"), min_size=1, max_size=9))
    elif tag == "mode":
        value = draw(st.sampled_from(["GET", "post", "X|Y"]))
    elif tag == "proxy":
        value = draw(st.sampled_from(["http://p", "socks5h://u:p@h:1"]))
    else:
        value = draw(TEXTS)
    return f"【{tag}】{value}"


@st.composite
def anything(draw: st.DrawFn) -> tuple[str, str]:
    mode = draw(st.sampled_from(sorted(SPECS)))
    bare = draw(TEXTS if mode != "http" else st.just("http://a【b】"))
    text = draw(st.one_of(st.just(bare), st.lists(lines(mode), max_size=6).map("\n".join)))
    return mode, text


@given(anything())
@example(("command", "echo hi\n【timeout】5"))
@example(("command", "a\r\r\nb"))
@example(("command", "\x0b【】"))
@example(("command", "\u3000【x】y"))
@example(("command", "【command】 【x】y"))
@example(("command", "【command】 【x】y\n【x"))
@example(("command", "【command】x\n【env】A=1| ||| B=2"))
@example(("http", "【url】http://a\n【headers】A:1| ||| |:2"))
@example(("command", "【command】x\n【env】A=a\nb"))
def test_what_is_rendered_is_parsed_to_the_same(given_text: tuple[str, str]) -> None:
    mode, text = given_text
    try:
        spec = parse(mode, text)
    except BadCommandText:
        assume(False)
        return
    assert parse(mode, render(spec)) == spec
    assert render(parse(mode, render(spec))) == render(spec)


@given(st.sampled_from(sorted(SPECS)), st.text(max_size=60))
def test_any_text_is_parsed_or_refused(mode: str, text: str) -> None:
    try:
        spec = parse(mode, text)
    except BadCommandText as exc:
        assert exc.field  # noqa: PT017 - one or the other
    else:
        assert mode == spec.MODE


def test_pairs_are_trimmed_and_empty_pieces_ignored() -> None:
    assert pairs("f", " a = 1 |||  ||| b=2||", "=") == (("a", "1"), ("b", "2"))
    assert pairs("f", "", "=") == ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSpec(Spec):
    MODE: ClassVar[str] = "test-mail"
    to: str


def test_a_mode_from_outside_can_be_registered() -> None:
    try:
        register(MailSpec)
        spec: Any = parse("test-mail", "【to】me\n【times】2")
        assert spec == MailSpec(to="me", times=2)
        assert parse("test-mail", render(spec)) == spec
        assert canonical_mode("Test-Mail") == "test-mail"
    finally:
        del SPECS["test-mail"]


def test_a_command_that_no_system_would_take_is_refused_when_it_is_added() -> None:
    assert parse("command", "true " + "x" * (128 * 1024 - 6))
    with pytest.raises(BadCommandText, match="bytes"):
        parse("command", "true " + "x" * (128 * 1024 - 5))
