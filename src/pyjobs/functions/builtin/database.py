"""The Database function: SQL over a connection that the settings name, never over pyjobs' own store."""

from __future__ import annotations

import importlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyjobs.config import Settings
from pyjobs.errors import PyjobsError, RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["database"]

_WAIT_S = 30


def database(context: Context, operation: str, connection: str, sql: str, *params: str) -> list[dict[str, Any]] | str:
    """Run SQL: query or execute; a name from the setting `databases`; one statement; values for its placeholders."""
    if operation not in ("query", "execute"):
        raise RunFailed(f"不支持的数据库操作: {operation} (query, execute)", f"不支持的数据库操作: {operation}")
    opened = _connect(context.settings, connection, write=operation == "execute")
    try:
        with closing(opened):
            cursor = opened.cursor()
            cursor.execute(sql, params)
            if operation == "query":
                return _rows(cursor)
            opened.commit()
            return context.say(f"{max(cursor.rowcount, 0)} rows affected", f"影响行数: {max(cursor.rowcount, 0)}")
    except Exception as exc:  # every driver has errors of its own
        raise RunFailed(f"`{connection}`: {_reason(exc)}", f"`{connection}`：{_reason(exc)}") from exc


def _connect(settings: Settings, name: str, *, write: bool) -> Any:
    url = settings.databases.get(name)
    if url is None:
        known = ", ".join(settings.databases) or "-"
        raise RunFailed(
            f"no database is named `{name}` in the settings; there are: {known}",
            f"配置中没有名为 `{name}` 的数据库连接，可用：{known}",
            hint='write `[databases]` and `NAME = "sqlite:///…"` into pyjobs.toml',
            hint_zh='请在 pyjobs.toml 的 `[databases]` 中写入 `名称 = "sqlite:///…"`',
        )
    match = re.fullmatch(r"sqlite:///(.+)", url)
    if match:
        return _connect_sqlite(settings, name, settings.path(match[1]), write=write)
    if url.startswith(("mysql://", "mysql+pymysql://")):
        return _connect_mysql(settings, name, url)
    scheme = url.partition("://")[0] if "://" in url else "?"
    raise RunFailed(
        f"`{name}`: `{scheme}` is not served", f"`{name}`：不支持 `{scheme}`", hint="sqlite:/// or mysql://"
    )


def _connect_sqlite(settings: Settings, name: str, path: Path, *, write: bool) -> sqlite3.Connection:
    if _is_store(settings, path):
        raise _refused(name)
    try:
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        opened = sqlite3.connect(uri, uri=True, timeout=_WAIT_S)
    except sqlite3.Error as exc:
        raise RunFailed(f"`{name}`: {exc}: {path}", f"`{name}`：{exc}：{path}") from exc
    opened.set_authorizer(_authorize)
    return opened


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    """Refuse to attach files: that would be a way round to the store. VACUUM attaches a nameless one."""
    if action == sqlite3.SQLITE_ATTACH and first not in ("", ":memory:"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _connect_mysql(settings: Settings, name: str, url: str) -> Any:
    wanted, own = urlsplit(url), urlsplit(settings.database_url)
    if own.scheme.startswith(("mysql", "mariadb")) and _place(wanted) == _place(own):
        raise _refused(name)
    try:
        driver: Any = importlib.import_module("pymysql")
    except ImportError as exc:
        raise RunFailed(
            f"`{name}` needs PyMySQL, which is not installed",
            f"`{name}` 需要 PyMySQL，但尚未安装",
            hint="pip install 'PyMySQL[rsa]'",
        ) from exc
    try:
        return driver.connect(
            host=wanted.hostname or "127.0.0.1",
            port=wanted.port or 3306,
            user=unquote(wanted.username or ""),
            password=unquote(wanted.password or ""),
            database=wanted.path.lstrip("/") or None,
            charset="utf8mb4",
            connect_timeout=10,
        )
    except Exception as exc:  # the driver's own hierarchy
        raise RunFailed(f"`{name}`: {_reason(exc)}", f"`{name}`：{_reason(exc)}") from exc


def _place(url: Any) -> tuple[str, int, str]:
    host = url.hostname or "localhost"
    return ("localhost" if host in ("127.0.0.1", "::1") else host, url.port or 3306, url.path.lstrip("/"))


def _is_store(settings: Settings, path: Path) -> bool:
    try:
        store = settings.database_path
    except PyjobsError:
        return False
    try:
        return path.resolve() == store.resolve() or path.samefile(store)
    except OSError:
        return False


def _refused(name: str) -> RunFailed:
    return RunFailed(
        f"`{name}` is pyjobs' own store, which functions may not touch", f"`{name}` 是 pyjobs 自己的数据库，不允许访问"
    )


def _rows(cursor: Any) -> list[dict[str, Any]]:
    names = [about[0] for about in cursor.description or ()]
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, (bytes, bytearray)) else value


def _reason(exc: BaseException) -> str:
    parts: Sequence[object] = exc.args or (type(exc).__name__,)
    return ": ".join(str(part) for part in parts)
