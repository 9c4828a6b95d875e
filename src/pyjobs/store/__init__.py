"""Where jobs and runs are kept. `open_store` answers the store that the settings name."""

from __future__ import annotations

from pyjobs.config import Settings
from pyjobs.store.sqlite import SqliteStore

__all__ = ["open_store"]


def open_store(settings: Settings, *, patience_s: float = 5.0, checkpoints: bool = False) -> SqliteStore:
    """
    Open the store of a home, making or migrating it where that is needed.

    Args:
        settings: its `database_url` names the store.
        patience_s: how long a call waits for a lock before it raises StoreBusy.
        checkpoints: whether this process is the one that moves the WAL into the file.

    Raises:
        StoreUnusable, NotAllowed, StoreBusy.
    """
    return SqliteStore(settings.database_path, patience_s=patience_s, checkpoints=checkpoints)
