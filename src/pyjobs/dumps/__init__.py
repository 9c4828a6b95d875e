"""Stores as something that is copied out and put back whole: one module a kind, none of them needs Peewee."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyjobs.errors import StoreUnusable

if TYPE_CHECKING:
    from pyjobs.config import Settings
    from pyjobs.dumps.sqlite import SqliteDump

__all__ = ["dump_of"]


def dump_of(settings: Settings, *, newest_schema: int | None = None) -> SqliteDump:
    """The store of a home. Raises StoreUnusable: it is a database of a server, which has tools of its own for that."""
    if settings.database.kind != "sqlite":
        raise StoreUnusable(
            "the store is on a MySQL server, which pyjobs does not back up",
            "数据库位于 MySQL 服务器，pyjobs 不负责其备份",
            hint="use `mariadb-dump --single-transaction` or `mysqldump --single-transaction`",
            hint_zh="请使用 `mariadb-dump --single-transaction` 或 `mysqldump --single-transaction`",
        )
    from pyjobs.dumps.sqlite import SqliteDump

    return SqliteDump(settings.database_path, newest_schema=newest_schema)
