"""What requests say: where it may stand, what is taken for absent, and what is refused by name."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.api.params import MAX_BODY, Flag, Id, Int, Page, Params, Text, TooLarge, parse, read
from pyjobs.errors import Invalid

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Job(Params):
    id: Id | None = None
    name: Text | None = None
    cron_expr: Text | None = None
    state: Int = 0
    run: Flag = True


class Needs(Params):
    id: Id


def request(query: str = "", body: bytes | str = b"", kind: str = "", **more: Any) -> dict[str, Any]:
    """Give an environ, as a server makes it."""
    raw = body.encode() if isinstance(body, str) else body
    return {
        "QUERY_STRING": query.encode().decode("latin-1"),
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(raw)) if raw else "",
        "wsgi.input": io.BytesIO(raw),
        **more,
    }


def multipart(**fields: str) -> bytes:
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return ("".join(part.format(*item) for item in fields.items()) + "--b--\r\n").encode()


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        ("name=备份&state=2", "", ""),
        ("name=%E5%A4%87%E4%BB%BD&state=+2", "", ""),
        ("", "name=%E5%A4%87%E4%BB%BD&state=2", FORM),
        ("", "name=备份&state=2", ""),
        ("", multipart(name="备份", state="2"), "multipart/form-data; boundary=b"),
        ("", multipart(name="备份", state="2"), 'multipart/form-data; boundary="b"'),
        ("", '{"name": "备份", "state": 2}', JSON),
        ("", '{"name": "\\u5907\\u4efd", "state": "2"}', f"{JSON}; charset=utf-8"),
        ("", '  {"name": "备份", "state": 2}', FORM),
        ("", '{"name": "备份", "state": 2}', "text/plain"),
        ("", b'\xef\xbb\xbf{"name": "\xe5\xa4\x87\xe4\xbb\xbd", "state": 2}', ""),
        ("name=x&state=1", '{"name": "备份", "state": 2}', JSON),
        ("name=x&state=1", "name=备份&state=2", FORM),
        ("state=2", '{"name": "备份", "state": null}', JSON),
        ("state=2", '{"name": "备份", "state": ""}', JSON),
    ],
)
def test_parameters_may_stand_anywhere(query: str, body: bytes | str, kind: str) -> None:
    found = read(request(query, body, kind), Job)

    assert (found.name, found.state) == ("备份", 2)


@pytest.mark.parametrize("body", ["", "  ", "{}", '{"colour": "red", "state": null, "name": ""}'])
def test_empty_null_and_unknown_mean_absent(body: str) -> None:
    assert read(request(body=body, kind=JSON), Job) == Job()


def test_a_lone_percent_sign_is_itself() -> None:
    assert read(request("name=50%&cron=100%zz"), Job).name == "50%"


@pytest.mark.parametrize("document", [{"job_id": 3, "cron": "@daily"}, {"job_id": "3", "id": None, "cron": "@daily"}])
def test_other_names_are_taken(document: dict[str, Any]) -> None:
    found = read(request("id=9", json.dumps(document), JSON), Job)

    assert (found.id, found.cron_expr) == (3, "@daily")


def test_the_name_itself_goes_before_its_alias() -> None:
    assert read(request(body='{"id": 1, "job_id": 2}', kind=JSON), Needs).id == 1


@pytest.mark.parametrize("value", [1.0, 1.5, True, "1x", "1.0", "0x1", "１", "1 2", [], {}, "9" * 19, 10**18, "--1"])
def test_a_number_is_whole_or_refused_by_name(value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        read(request(body=json.dumps({"state": value}), kind=JSON), Job)

    assert caught.value.field == "state"
    assert "整数" in caught.value.text("zh")


@pytest.mark.parametrize(("value", "number"), [("-1", -1), (" 7 ", 7), ("007", 7), (0, 0)])
def test_numbers_may_be_text(value: Any, number: int) -> None:
    assert read(request(body=json.dumps({"state": value}), kind=JSON), Job).state == number


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), ("true", True), ("1", True), (1, True), ("off", False), (0, False), ("NO", False)]
)
def test_flags_may_be_words(value: Any, flag: bool) -> None:
    assert read(request(body=json.dumps({"run": value}), kind=JSON), Job).run is flag


@pytest.mark.parametrize("value", ["maybe", 2, 1.0, []])
def test_other_words_are_no_flags(value: Any) -> None:
    with pytest.raises(Invalid, match="run"):
        read(request(body=json.dumps({"run": value}), kind=JSON), Job)


@pytest.mark.parametrize("value", [1, True, [], {"a": 1}])
def test_a_text_is_text(value: Any) -> None:
    with pytest.raises(Invalid, match="name"):
        read(request(body=json.dumps({"name": value}), kind=JSON), Job)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(Invalid, match="name"):
        read(request(body=b'{"name": "\\ud800"}', kind=JSON), Job)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        read(request(), Needs)

    assert caught.value.text("zh") == "id：不能为空"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"name":', JSON),
        ("{", ""),
        ("[]", JSON),
        ('"text"', JSON),
        ("1", JSON),
        ('{"a": NaN}', JSON),
        ('{"a": Infinity}', JSON),
        ('{"a": ' + "1" * 5000 + "}", JSON),
        ('{"name": "\xff"}'.encode("latin-1"), JSON),
        (b"name=\xff", FORM),
        ("name=%ff", FORM),
        ('{"a":' + "[" * 65 + "]" * 65 + "}", JSON),
        ('{"a":' * 100_000, JSON),
        ("[" * 100_000, JSON),
        ("&".join(f"a{n}=1" for n in range(1500)), FORM),
        ("no boundary", "multipart/form-data"),
        ("no parts", "multipart/form-data; boundary=b"),
        (multipart(name="x").replace(b"x", b"\xff"), "multipart/form-data; boundary=b"),
    ],
)
def test_what_is_malformed_is_refused(body: bytes | str, kind: str) -> None:
    with pytest.raises(Invalid):
        read(request(body=body, kind=kind), Job)


def test_brackets_inside_texts_nest_nothing() -> None:
    name = '[{"\\' * 100

    assert read(request(body=json.dumps({"name": name}), kind=JSON), Job).name == name


def test_sixty_four_levels_are_fine() -> None:
    assert parse(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", JSON)


@pytest.mark.parametrize("stated", ["x", "-1", "1e3", "٣"])
def test_a_length_that_is_no_number_is_refused(stated: str) -> None:
    with pytest.raises(Invalid, match="Content-Length"):
        read(request(body="a=1", CONTENT_LENGTH=stated), Job)


def test_a_body_over_a_mebibyte_is_too_large() -> None:
    environ = request(body=b"{" + b" " * MAX_BODY + b"}", kind=JSON)

    with pytest.raises(TooLarge) as caught:
        read(environ, Job)

    assert caught.value.http_status == 413
    assert environ["wsgi.input"].tell() == 0, "it was read all the same"


def test_a_body_of_unknown_length_is_bounded_too() -> None:
    body = b"name=" + b"x" * MAX_BODY
    environ = {**request(body=body), "CONTENT_LENGTH": "", "wsgi.input_terminated": True}

    with pytest.raises(TooLarge):
        read(environ, Job)


def test_a_body_that_ends_early_is_refused() -> None:
    with pytest.raises(Invalid, match="Content-Length"):
        read(request(body="a=1", CONTENT_LENGTH="10"), Job)


@pytest.mark.parametrize(
    ("query", "page"),
    [("", (1, 10)), ("page=0&size=-5", (1, 10)), ("page=3&size=5000", (3, 1000)), ("page=&size=0", (1, 10))],
)
def test_pages_are_kept_in_bounds(query: str, page: tuple[int, int]) -> None:
    found = read(request(query), Page)

    assert (found.number, found.rows) == page


@given(st.binary(max_size=200), st.sampled_from([JSON, FORM, "", "multipart/form-data; boundary=b", "text/plain"]))
def test_whatever_comes_is_understood_or_refused(body: bytes, kind: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(read(request(body=body, kind=kind), Job), Job)


@given(st.text(max_size=60))
def test_whatever_the_query_holds_is_understood_or_refused(query: str) -> None:
    environ = {**request(), "QUERY_STRING": query.encode("utf-8", "replace").decode("latin-1")}
    with contextlib.suppress(Invalid):
        assert isinstance(read(environ, Job), Job)
