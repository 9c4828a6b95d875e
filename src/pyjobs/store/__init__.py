"""Where jobs and runs are kept. `open_store` answers the store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyjobs.config import Settings
from pyjobs.database_url import MysqlPlace

if TYPE_CHECKING:
    from pyjobs.store.mysql import MysqlStore
    from pyjobs.store.sqlite import SqliteStore

__all__ = ["open_store"]


def open_store(settings: Settings, *, patience_s: float = 5.0, checkpoints: bool = False) -> SqliteStore | MysqlStore:
    """
    Open the store of a home, making or migrating it where that is needed.

    Args:
        settings: its `database_url` names the store.
        patience_s: how long a call waits for a lock before it raises StoreBusy.
        checkpoints: whether this process is the one that moves the WAL into the file.

    Raises:
        BadSetting, StoreUnusable, NotAllowed, StoreBusy.
    """
    place = settings.database
    if isinstance(place, MysqlPlace):
        return _mysql(place, settings, patience_s)
    from pyjobs.store.sqlite import SqliteStore

    return SqliteStore(settings.database_path, patience_s=patience_s, checkpoints=checkpoints)


def _mysql(place: MysqlPlace, settings: Settings, patience_s: float) -> MysqlStore:
    try:
        from pyjobs.store.mysql import MysqlStore
    except ModuleNotFoundError as exc:
        if exc.name != "pymysql":
            raise
        from pyjobs.errors import StoreUnusable

        raise StoreUnusable(
            "a store on MySQL needs PyMySQL, which is not installed",
            "使用 MySQL 需要 PyMySQL，但尚未安装",
            hint="pip install 'pyjobs[mysql]'",
        ) from None
    return MysqlStore(place, settings, patience_s=patience_s)
