"""pyjobs' own store, for built-in functions that only read it: opened anew, and not to be written through."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from pyjobs.config import Settings
from pyjobs.database_url import MysqlPlace
from pyjobs.errors import RunFailed

__all__ = ["Ask", "open_own"]

_WAIT_S = 30
Ask: TypeAlias = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


@contextlib.contextmanager
def open_own(settings: Settings) -> Iterator[Ask]:
    """
    What answers queries, with `?` for values.

    Raises:
        RunFailed: the store cannot be read.
    """
    place = settings.database
    try:
        with _mysql(place) if isinstance(place, MysqlPlace) else _sqlite(settings) as ask:
            yield ask
    except RunFailed:
        raise
    except Exception as exc:  # each driver has errors of its own
        raise RunFailed(f"the store cannot be read: {exc}", f"无法读取数据库：{exc}") from exc


@contextlib.contextmanager
def _sqlite(settings: Settings) -> Iterator[Ask]:
    uri = f"{settings.database_path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as opened:
        yield lambda sql, values: opened.execute(sql, values).fetchall()


@contextlib.contextmanager
def _mysql(place: MysqlPlace) -> Iterator[Ask]:
    import pymysql

    opened = pymysql.connect(
        host=place.host,
        port=place.port,
        user=place.user,
        password=place.password,
        database=place.database,
        unix_socket=place.socket or None,
        charset="utf8mb4",
        connect_timeout=_WAIT_S,
        init_command="SET SESSION TRANSACTION READ ONLY",
        **({"ssl_ca": place.ssl_ca} if place.ssl_ca else {}),
    )
    with contextlib.closing(opened), opened.cursor() as cursor:

        def ask(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            cursor.execute(sql.replace("?", "%s"), tuple(values))
            return list(cursor.fetchall())

        yield ask
