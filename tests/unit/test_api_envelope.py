"""What goes out: the envelope, errors in it, and bytes."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from pyjobs.api.envelope import body_of, compressed, failure, json_bytes, refused, unexpected, wants_gzip
from pyjobs.api.routes import Answer, Json, PageInfo, Refusal
from pyjobs.errors import BadCommandText, Invalid, NameTaken, NotFound, PyjobsError, StoreBusy


def test_data_is_always_there() -> None:
    assert body_of(Answer(msg="任务停止成功"), bare=False) == '{"code":200,"msg":"任务停止成功","data":null}'.encode()


@pytest.mark.parametrize(
    ("page", "pages"),
    [(PageInfo(1, 10, 0), 0), (PageInfo(1, 10, 10), 1), (PageInfo(2, 10, 11), 2), (PageInfo(9, 1000, 1), 1)],
)
def test_a_list_has_all_the_keys_of_a_page(page: PageInfo, pages: int) -> None:
    found = json.loads(body_of(Answer(data=[], page=page), bare=False))

    assert found == {
        "code": 200, "msg": "", "data": [], "total": page.total, "pages_total": pages, "page_total": pages,
        "pages": pages, "page": page.number, "page_size": page.size, "size": page.size,
    }  # fmt: skip


@pytest.mark.parametrize("page", [None, PageInfo(2, 10, 11)])
@pytest.mark.parametrize("beside", [{}, {"whitelist": []}])
def test_what_is_written_already_looks_as_if_it_were_not(page: PageInfo | None, beside: dict[str, list[str]]) -> None:
    data = [{"name": "夜间"}, None]
    plain, written = (Answer(msg="好", data=d, page=page, beside=beside) for d in (data, Json(json_bytes(data))))

    assert body_of(written, bare=False) == body_of(plain, bare=False)
    assert body_of(written, bare=True) == body_of(plain, bare=True)


def test_keys_may_stand_beside_data() -> None:
    assert json.loads(body_of(Answer(data=1, beside={"whitelist": []}), bare=False))["whitelist"] == []


def test_a_bare_answer_has_no_envelope_but_its_failure_has() -> None:
    assert body_of(Answer(data={"running": True}), bare=True) == b'{"running":true}'
    assert json.loads(body_of(Answer(code=404, msg="x"), bare=True)) == {"code": 404, "msg": "x", "data": None}
    assert body_of(Answer(body=b"text"), bare=True) == b"text"


@pytest.mark.parametrize(
    ("error", "status", "code", "msg"),
    [
        (NotFound("no job", "任务不存在"), 200, 404, "任务不存在"),
        (NameTaken("a"), 200, 404, "任务名称已存在"),
        (Invalid("cron_expr", "bad", "无效"), 200, 404, "参数错误：cron_expr：无效"),
        (BadCommandText("times", "bad", "无效"), 200, 404, "参数错误：command times：无效"),
        (BadCommandText("mode", "bad", "无效"), 200, 404, "参数错误：mode：无效"),
        (StoreBusy("locked", "数据库被锁定"), 500, 500, "数据库被锁定"),
    ],
)
def test_errors_become_answers(error: PyjobsError, status: int, code: int, msg: str) -> None:
    found = failure(error)

    assert (found.status, found.code, found.msg, found.data) == (status, code, msg, None)


def test_what_nobody_expected_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        try:
            raise ZeroDivisionError("a secret")  # noqa: TRY301 - what is handled is what is logged
        except ZeroDivisionError:
            found = unexpected("GET /x")

    assert (found.status, found.code) == (500, 500)
    assert "secret" not in found.msg
    assert "a secret" in caplog.text


def test_a_refusal_has_its_status_in_the_body_too() -> None:
    found = refused(Refusal(429, "请求过于频繁", {"Retry-After": "3"}))

    assert (found.status, found.code, found.headers) == (429, 429, {"Retry-After": "3"})


def test_chinese_is_not_escaped_and_half_characters_do_no_harm() -> None:
    assert json_bytes({"a": "中文😀"}) == '{"a":"中文😀"}'.encode()
    assert json.loads(json_bytes({"a": "x\ud800y"}).decode()) == {"a": "x?y"}


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_gzip_is_for_those_who_ask(accepted: str, wanted: bool) -> None:
    assert wants_gzip({"HTTP_ACCEPT_ENCODING": accepted}) is wanted


def test_small_answers_are_not_worth_compressing() -> None:
    assert compressed(b"x" * 100) == b"x" * 100
    assert gzip.decompress(compressed(b"x" * 5000)) == b"x" * 5000
