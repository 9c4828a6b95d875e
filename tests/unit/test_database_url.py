"""What DATABASE_URL says, and how it is said what is wrong in it."""

from __future__ import annotations

import pytest

from pyjobs.database_url import MysqlPlace, SqlitePlace, parse, shown
from pyjobs.errors import BadSetting


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///./data/jobs.db", SqlitePlace("./data/jobs.db")),
        ("sqlite:////abs/x.db", SqlitePlace("/abs/x.db")),
        ("mysql://u:p@h/db", MysqlPlace("h", 3306, "u", "db", "p")),
        ("mysql+pymysql://u:p@h:3307/db?charset=utf8mb4", MysqlPlace("h", 3307, "u", "db", "p")),
        ("mariadb://u@[::1]:1/db", MysqlPlace("::1", 1, "u", "db", "given")),
        ("mysql://u%40x:a%40%2Fb%25@h/db", MysqlPlace("h", 3306, "u@x", "db", "a@/b%")),
        ("mysql://u:p@/db?unix_socket=/run/s", MysqlPlace("localhost", 3306, "u", "db", "p", "/run/s")),
        ("mysql://u:p@h/db?ssl_ca=/etc/ca.pem", MysqlPlace("h", 3306, "u", "db", "p", "", "/etc/ca.pem")),
    ],
)
def test_an_address_is_read(url: str, place: SqlitePlace | MysqlPlace) -> None:
    assert parse(url, "given") == place


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mysql://h/db", "it names no user"),
        ("mysql:root:hush@h/x", "it names no user"),
        ("mysql://u:hush@/db", "it names no host"),
        ("mysql://u:hush@h", "it names no database"),
        ("mysql://u:hush@h/", "it names no database"),
        ("mysql://u:hush@h/a/b", "the name of the database is not usable"),
        ("mysql://u:hush@h/a.b", "the name of the database is not usable"),
        ("mysql://u:hush@h:x/db", "the port is not a number"),
        ("mysql://u:hush@h:99999/db", "the port is not a number"),
        ("mysql://u:hush@h:0/db", "the port is not a number"),
        ("mysql://u:hu/hush@h/db", "the port is not a number"),
        ("mysql://u:hu?hush@h/db", "the port is not a number"),
        ("mysql://u:p@h/db#hush", "`#`"),
        ("mysql://u:12#hush@h/db", "`#`"),
        ("mysql://u:hush@[::1/db", "the host is not usable"),
        ("mysql://u:hush@h/db?hush=1", "an option"),
        ("mysql://u:hush@h/db?charset=latin1", "the charset"),
        ("postgres://u:hush@h/db", "`postgres` is not served"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(url: str, part: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse(url)
    assert part in str(caught.value)
    for lang in ("en", "zh"):
        assert "hush" not in caught.value.text(lang) + caught.value.hint(lang)
        assert caught.value.hint(lang)


def test_the_password_is_in_no_text_of_a_place() -> None:
    place = parse("mysql://u:hush@h:3307/db")
    assert isinstance(place, MysqlPlace)
    assert place.shown == "mysql://u@h:3307/db"
    assert "hush" not in repr(place) + place.shown


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("mysql://u:hush@h/db", "mysql://u:***@h/db"),
        ("mysql://u:a@hush@h/db", "mysql://u:***@h/db"),
        ("mysql://u:a/hush@h/db", "mysql://u:***@h/db"),
        ("mysql://u@h/db", "mysql://u@h/db"),
        ("sqlite:///./data/jobs.db", "sqlite:///./data/jobs.db"),
    ],
)
def test_a_password_is_masked_whatever_is_in_it(url: str, masked: str) -> None:
    assert shown(url) == masked
