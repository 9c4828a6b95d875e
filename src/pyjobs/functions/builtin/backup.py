"""The Backup function: a checked, compressed copy of the store, made while it is in use."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pyjobs.errors import RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["backup"]

_NAME = re.compile(r"jobs_\d{8}_\d{6}(_\d+)?\.db\.gz")
_DAY_MS = 86_400_000


def backup(context: Context, keep_days: int = 0) -> str:
    """Back the store up into `backups`; keep_days deletes older ones (0 keeps all)."""
    if keep_days < 0:
        raise RunFailed(f"keep_days: {keep_days} is below 0", f"keep_days：{keep_days} 小于 0")
    store = context.settings.database_path
    if not store.is_file():
        raise RunFailed(f"there is no store at {store}", f"数据库不存在：{store}")
    folder = context.settings.home / "backups"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = folder / f".half-{os.getpid()}.db"
    packed = copy.with_suffix(".gz")
    try:
        _copy(store, copy)
        _pack(copy, packed)
        final = _put(packed, folder, context.now().strftime("jobs_%Y%m%d_%H%M%S"))
    except (OSError, sqlite3.Error) as exc:
        raise RunFailed(f"the backup failed: {exc}", f"备份失败：{exc}") from exc
    finally:
        for path in (copy, Path(f"{copy}-journal"), packed):
            with contextlib.suppress(OSError):
                path.unlink()
    gone = _drop_old(folder, final, context.clock.now_ms() - keep_days * _DAY_MS) if keep_days else 0
    said = f"{final} ({final.stat().st_size} bytes)"
    return said + context.say(f"; {gone} old ones deleted", f"；已删除 {gone} 个旧备份") if gone else said


def _copy(store: Path, copy: Path) -> None:
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as source:
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            # A copy stands alone: no -wal beside it.
            target.execute("PRAGMA journal_mode = DELETE")
            found = target.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise RunFailed(f"the copy is damaged: {found}", f"备份校验失败：{found}")


def _pack(copy: Path, packed: Path) -> None:
    descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with copy.open("rb") as source, gzip.GzipFile("jobs.db", "wb", 6, file) as target:
            shutil.copyfileobj(source, target)
        file.flush()
        os.fsync(file.fileno())


def _put(packed: Path, folder: Path, stem: str) -> Path:
    """Give the finished file a name that no other backup has."""
    number = 1
    while True:
        final = folder / (f"{stem}.db.gz" if number == 1 else f"{stem}_{number}.db.gz")
        try:
            os.link(packed, final)
        except FileExistsError:
            number += 1
        else:
            return final


def _drop_old(folder: Path, newest: Path, before_ms: int) -> int:
    gone = 0
    for path in folder.iterdir():
        if path != newest and _NAME.fullmatch(path.name) and path.lstat().st_mtime_ns // 1_000_000 < before_ms:
            path.unlink()
            gone += 1
    return gone
