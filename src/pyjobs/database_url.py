"""
What `DATABASE_URL` says: a SQLite file, or a database of a MySQL server.

No message here shows a piece of it but the scheme: where it is written wrongly, any piece may be one of the password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyjobs.errors import BadSetting

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["MysqlPlace", "SqlitePlace", "parse", "shown"]

_SCHEMES = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")
_OPTIONS = ("charset", "unix_socket", "ssl_ca")
_PASSWORD = re.compile(r"(://[^:/@\s]*):.*@")
_PORT = 3306
_HINT = (
    "write `mysql://USER:PASSWORD@HOST:3306/NAME`; in it, `@ : / ? # %` of a password are written as `%40` and so on"
)
_HINT_ZH = "格式为 `mysql://用户:密码@主机:3306/库名`；密码中的 `@ : / ? # %` 须写成 `%40` 等形式"


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """A file; relative to the home where it is relative."""

    path: str
    kind = "sqlite"


@dataclass(frozen=True, slots=True)
class MysqlPlace:
    """A database of a server."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    #: A path of a Unix socket, which is then used instead of host and port.
    socket: str = ""
    #: Certificates (PEM) that the server's one must come from; empty: TLS is not asked for.
    ssl_ca: str = ""
    kind = "mysql"

    @property
    def shown(self) -> str:
        """Where it is, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{self.user}@{host}:{self.port}/{self.database}"


def parse(url: str, password: str = "") -> SqlitePlace | MysqlPlace:
    """
    Read an address.

    Args:
        url: as it was set.
        password: of the server's user, where the address has none.

    Raises:
        BadSetting: it names the part that is wrong, and shows nothing of it.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        match = re.fullmatch(r"sqlite:///(.+)", url)
        if match:
            return SqlitePlace(match[1])
    if scheme not in _SCHEMES:
        raise BadSetting(
            "database_url",
            f"`{scheme}` is not served by this version",
            f"本版本不支持 `{scheme}`",
            hint="write `sqlite:///./data/jobs.db`, `sqlite:////absolute/path.db` or `mysql://USER:PASSWORD@HOST/NAME`",
            hint_zh="请写 `sqlite:///./data/jobs.db`、`sqlite:////绝对路径.db` 或 `mysql://用户:密码@主机/库名`",
        )
    return _server(url, password)


def shown(url: str) -> str:
    """The address with its password masked, whether it can be used or not."""
    return _PASSWORD.sub(r"\1:***@", url)


def _server(url: str, password: str) -> MysqlPlace:
    from urllib.parse import unquote, urlsplit  # a SQLite store needs none of it

    try:
        parts = urlsplit(url)
        host = unquote(parts.hostname or "")
    except ValueError:
        raise _wrong("the host is not usable", "主机名无效") from None
    port = _port(parts)
    database = unquote(parts.path.removeprefix("/"))
    options = _options(parts)
    if not parts.username:
        raise _wrong("it names no user", "缺少用户名")
    if not host and "unix_socket" not in options:
        raise _wrong("it names no host", "缺少主机名")
    if not database:
        raise _wrong("it names no database", "缺少数据库名")
    if re.search(r"[/\\.`\s]", database) or len(database) > 64:
        raise _wrong("the name of the database is not usable", "数据库名无效")
    return MysqlPlace(
        host=host or "localhost",
        port=port,
        user=unquote(parts.username),
        database=database,
        password=unquote(parts.password or "") or password,
        socket=options.get("unix_socket", ""),
        ssl_ca=options.get("ssl_ca", ""),
    )


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _wrong("the port is not a number from 1 to 65535", "端口应为 1 到 65535 的数")
    return _PORT if port is None else port


def _options(parts: SplitResult) -> dict[str, str]:
    from urllib.parse import parse_qsl

    if parts.fragment:
        raise _wrong("it holds a `#` that is not written as `%23`", "其中的 `#` 须写成 `%23`")
    found = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not set(found) <= set(_OPTIONS):
        known = ", ".join(f"`{name}`" for name in _OPTIONS)
        raise _wrong(f"an option behind `?` is none of {known}", f"`?` 后的选项只能是 {known}")
    if found.get("charset", "utf8mb4").lower() != "utf8mb4":
        raise _wrong("the charset has to be `utf8mb4`", "字符集只能是 `utf8mb4`")
    return found


def _wrong(en: str, zh: str) -> BadSetting:
    return BadSetting("database_url", en, zh, hint=_HINT, hint_zh=_HINT_ZH)
