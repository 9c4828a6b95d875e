"""What an HTTP run reads and writes as text (design: commands.md, http)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.httpclient.text import Body, content_type, cookie_line, header_lines
from pyjobs.masking import mask_url


def read(chunks: list[bytes], *, kind: str = "text/plain", wanted: str = "", limit: int = 1 << 20) -> tuple[str, Body]:
    body = Body(kind, wanted=wanted, limit=limit)
    text = "".join(body.feed(chunk) for chunk in chunks)
    return text + body.finish(), body


class TestBody:
    @pytest.mark.parametrize(
        ("kind", "data", "text"),
        [
            ("text/plain; charset=gbk", "中文".encode("gbk"), "中文"),
            ("text/html; charset=GB2312", "镕".encode("gbk"), "镕"),
            ('text/html; Charset="UTF-8"', "中文".encode(), "中文"),
            ("text/html; charset=iso-8859-1", b"\xe9", "é"),
            ("text/plain", "中文".encode(), "中文"),
            ("", "中文".encode(), "中文"),
            ("text/plain; charset=no-such-charset", "中".encode(), "中"),
            ("text/plain; charset=hex", b"6161", "6161"),
            ("text/plain; charset=idna", "é".encode(), "é"),
            ("text/plain; charset=undefined", b"abc", "abc"),
            ("text/plain; charset=unicode_escape", b"\\u4e2d", "中"),
            ("text/plain; charset=utf-16", "中".encode("utf-16"), "中"),
            ("text/plain; charset=utf-16", b"abc", "abc"),
            ("text/plain", b"a\xff\x80b", "a��b"),
        ],
    )
    def test_it_honours_the_charset_and_falls_back_to_utf8(self, kind: str, data: bytes, text: str) -> None:
        assert read([data], kind=kind)[0] == text

    def test_it_decodes_characters_that_are_split_between_chunks(self) -> None:
        data = "中文".encode()
        assert read([data[i : i + 1] for i in range(len(data))])[0] == "中文"

    def test_it_marks_a_character_that_never_ended(self) -> None:
        assert read(["中".encode()[:2]])[0] == "�"

    def test_it_finds_a_text_across_chunks(self) -> None:
        _, body = read([b"xxNEE", b"D", b"LE-7yy"], wanted="NEEDLE-7")
        assert body.found

    def test_it_finds_a_text_beyond_what_it_records(self) -> None:
        text, body = read([b"x" * 1000, b"NEEDLE"], wanted="NEEDLE", limit=10)
        assert body.found
        assert text == "x" * 10 + "\n… 996 bytes left out …\n"

    def test_it_does_not_find_what_is_not_there(self) -> None:
        assert not read([b"NEED", b"-LE"], wanted="NEEDLE")[1].found

    def test_it_says_how_many_bytes_it_left_out(self) -> None:
        text, body = read([b"abcdef", b"gh"], limit=4)
        assert text == "abcd\n… 4 bytes left out …\n"
        assert body.left_out == 4

    def test_it_records_a_body_of_just_the_limit_whole(self) -> None:
        assert read([b"abcd"], limit=4)[0] == "abcd"

    def test_it_records_nothing_with_a_limit_of_zero(self) -> None:
        assert read([b"abcd"], limit=0)[0] == "\n… 4 bytes left out …\n"

    @given(st.text(max_size=60), st.text(min_size=1, max_size=4), st.lists(st.integers(1, 9)))
    def test_searching_in_pieces_is_searching_the_whole(self, text: str, wanted: str, cuts: list[int]) -> None:
        data, chunks, at = text.encode("utf-8", "replace"), [], 0
        for cut in cuts:
            chunks.append(data[at : at + cut])
            at += cut
        whole = data.decode("utf-8", "replace")
        recorded, body = read([*chunks, data[at:]], wanted=wanted)
        assert recorded == whole
        assert body.found == (wanted in whole)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"k": "v 中"}', "application/json"),
        ("[1, 2]", "application/json"),
        ("12", "application/json"),
        ("a=1", "application/x-www-form-urlencoded"),
        ("a=1&b=two words&c=", "application/x-www-form-urlencoded"),
        ("zzz", "text/plain; charset=utf-8"),
        ("line1\nline2", "text/plain; charset=utf-8"),
        ("{broken", "text/plain; charset=utf-8"),
        ("x = 1", "text/plain; charset=utf-8"),
        ("[" * 100_000, "text/plain; charset=utf-8"),
    ],
)
def test_data_without_a_content_type_is_sent_as_what_it_looks_like(data: str, kind: str) -> None:
    assert content_type(data) == kind


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["sid=1; u=2"], "sid=1; u=2"),
        (["a=1;", "b=2"], "a=1; b=2"),
        (["a=1\r\nb=2;\n\n"], "a=1; b=2"),
        (["", ""], ""),
    ],
)
def test_cookies_become_one_line(texts: list[str], line: str) -> None:
    assert cookie_line(*texts) == line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/p?a=1", "http://h/p?a=1"),
        ("http://u:pw@h:1/p", "http://u:***@h:1/p"),
        ("http://u:p@w@h/", "http://u:***@h/"),
        ("https://ghp_token@h/", "https://***@h/"),
        ("//u:pw@h/", "//u:***@h/"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h/?token=x&page=2", "http://h/?token=***&page=2"),
        ("http://h/?api_key=x&Access-Token=y&PASSWORD=z#f", "http://h/?api_key=***&Access-Token=***&PASSWORD=***#f"),
        ("http://h/?%74oken=x", "http://h/?%74oken=***"),
        ("http://h/?keyword=x&monkey=y", "http://h/?keyword=x&monkey=y"),
        ("http://[::1/", "http://[::1/"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    "name",
    ["Authorization", "proxy-authorization", "Cookie", "SET-COOKIE", "X-Api-Key", "X-Auth", "X-CSRF-Token",
     "Client-Secret", "X-Password", "X-Amz-Signature"],
)  # fmt: skip
def test_headers_that_carry_secrets_are_masked(name: str) -> None:
    assert header_lines([(name, "canary")]) == f"{name}: ***\n"


def test_other_headers_are_shown_one_a_line() -> None:
    shown = header_lines([("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic"), ("X-A", "b:c")])
    assert shown == "Content-Type: text/plain\nWWW-Authenticate: Basic\nX-A: b:c\n"


def test_an_address_in_a_header_is_masked_like_any_other() -> None:
    assert header_lines([("Location", "http://u:pw@h/?token=x")]) == "Location: http://u:***@h/?token=***\n"


def test_headers_in_utf8_are_readable() -> None:
    assert header_lines([("X-Name", "中".encode().decode("latin-1"))]) == "X-Name: 中\n"
