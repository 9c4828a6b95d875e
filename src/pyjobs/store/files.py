"""The SQLite file as a file: made once, marked as made, copied before a migration, and how to get it back."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sqlite3
import stat
from pathlib import Path
from typing import Any

from pyjobs import procs
from pyjobs.errors import NotAllowed, StoreBusy, StoreUnusable
from pyjobs.folders import made_mark, make_private

__all__ = ["backups", "keep_before", "lost", "mark", "prepare", "restoring", "starting_anew"]

_MARK = """\
pyjobs made its store `{name}` in this folder. While this file is here and the store is not, pyjobs says that the store
is gone, and does not begin with an empty one. To begin anew on purpose, delete this file too.
"""
#: What SQLite puts beside its file.
_BESIDE = ("-wal", "-shm", "-journal")
#: SQLITE_BUSY and SQLITE_LOCKED, which Python names from 3.11 on only.
_LOCKED = (5, 6)


def prepare(path: Path) -> bool:
    """
    Make the file where there is none, for its owner only; answers whether a store was made here before.

    One that is there is not opened: to close it would release the locks of all other connections of this process.

    Raises:
        StoreUnusable: it is no file, or it is gone.
        NotAllowed: it cannot be made or written.
    """
    try:
        # Looked at before the file: whoever makes the store at this moment writes its mark last.
        made_before = made_mark(path).exists() or (not path.exists() and _has_wal(path))
        make_private(path.parent)
        if not path.exists():
            if made_before:
                raise lost(path)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        mode = path.stat().st_mode
    except OSError as exc:
        raise _forbidden(path, exc.strerror or str(exc)) from exc
    if stat.S_ISDIR(mode):
        raise StoreUnusable(f"`{path}` is a folder, not a database", f"`{path}` 是目录，不是数据库")
    if not stat.S_ISREG(mode):
        raise StoreUnusable(f"`{path}` is no file", f"`{path}` 不是普通文件")
    if not os.access(path, os.R_OK | os.W_OK):
        raise _forbidden(path, os.strerror(errno.EACCES))
    return made_before


def mark(path: Path) -> None:
    """Write down that there is a store now; without room for that the next one who opens it does."""
    place = made_mark(path)
    if place.exists():
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_MARK.format(name=path.name))


def lost(path: Path) -> StoreUnusable:
    """The error for a store that was here, and is gone or empty."""
    return StoreUnusable(
        f"the store `{path}` is gone: there was one here",
        f"数据库 `{path}` 不见了：此处曾有数据库",
        hint=f"{restoring(path)}; to begin with an empty store: `{starting_anew(path)}`",
        hint_zh=f"{restoring(path, 'zh')}；若要以空数据库重新开始：`{starting_anew(path)}`",
    )


def starting_anew(path: Path) -> str:
    """The command after which an empty store is made."""
    there = [made_mark(path), *(_beside(path, end) for end in _BESIDE if _beside(path, end).exists())]
    return " ".join(["rm", *(shlex.quote(str(place)) for place in there)])


def restoring(path: Path, lang: str = "en", *, damaged: bool = False) -> str:
    """How to put the newest backup in the place of a store; `damaged`: one is there and is put aside."""
    store, found = shlex.quote(str(path)), backups(path)
    steps = [f"mv {store} {shlex.quote(f'{path}.damaged')}"] if damaged else []
    steps.append("rm -f " + " ".join(shlex.quote(str(_beside(path, end))) for end in _BESIDE[:2]))
    if not found:
        command = " && ".join([*steps, f"cp BACKUP {store}"])
        if lang == "zh":
            return f"旁边没有备份；若有备份，请先停止守护进程，再执行 `{command}`（BACKUP 为备份文件）"
        return f"no backup lies beside it; with one, stop the daemon, then `{command}`"
    newest = shlex.quote(str(found[0]))
    if ".tar" in found[0].name:  # made by `pyjobs db backup`, which knows how to put it back
        if lang == "zh":
            return f"请先停止守护进程，再用最新的备份替换：`pyjobs db restore --yes {newest}`"
        return f"stop the daemon and put the newest backup in its place: `pyjobs db restore --yes {newest}`"
    steps.append(f"gunzip -c {newest} > {store}" if found[0].suffix == ".gz" else f"cp {newest} {store}")
    command = " && ".join(steps)
    if lang == "zh":
        return f"请先停止守护进程，再用最新的备份替换：`{command}`"
    return f"stop the daemon and put the newest backup in its place: `{command}`"


def backups(path: Path) -> list[Path]:
    """Copies of a store that lie where pyjobs and its users put them, newest first."""
    found: list[tuple[float, Path]] = []
    for folder, pattern in (
        (path.parent, f"{path.name}.before-v*"),
        (path.parent, f"{path.name}.backup*"),
        (path.parent.parent / "backups", "jobs_*.db*"),
        (path.parent.parent / "backups", "jobs_*.tar*"),
    ):
        with contextlib.suppress(OSError):
            found += [(copy.stat().st_mtime, copy) for copy in folder.glob(pattern) if _is_copy(copy)]
    return [copy for _, copy in sorted(found, reverse=True)]


def keep_before(source: sqlite3.Connection, path: Path, version: int) -> None:
    """
    Copy a store before it is brought to a schema version; only the newest such copy is kept.

    A migration that was broken off and goes on keeps the copy from before it began. Of two processes that migrate at
    once neither can put a copy of what the other has begun in the place of a better one: that has a higher version.

    Raises:
        StoreBusy: the disk is full.
        NotAllowed: the folder cannot be written.
    """
    try:
        _keep_before(source, path, path.with_name(f"{path.name}.before-v{version}"))
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise _forbidden(path.parent, exc.strerror or str(exc)) from exc
        raise StoreBusy(
            f"there is no room for a copy of `{path}`, which is made before a migration",
            f"没有空间在升级数据库结构之前备份 `{path}`",
            hint="free some disk space",
            hint_zh="请清理磁盘空间",
        ) from exc


def _keep_before(source: sqlite3.Connection, path: Path, final: Path) -> None:
    half = path.with_name(f"{path.name}.before-half-{os.getpid()}")
    try:
        os.close(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(half)) as target:
            source.backup(target, progress=_give_up)
            # A copy stands alone: no -wal beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        kept = _version(final)
        if kept is None or _version(half) in range(1, kept + 1):
            half.replace(final)
            _sync(path.parent)
    finally:
        for place in (half, *(_beside(half, end) for end in _BESIDE)):
            place.unlink(missing_ok=True)
    for other in path.parent.glob(f"{path.name}.before-*"):
        if other != final and not _being_made(other):
            other.unlink(missing_ok=True)


def _give_up(status: int, _remaining: int, _total: int) -> None:
    """Let the caller's patience decide, not sqlite3's, which has no end."""
    if status in _LOCKED:
        raise sqlite3.OperationalError("database is locked")


def _being_made(copy: Path) -> bool:
    """Whether a live process writes this copy; what a dead one left is of no use."""
    pid = copy.name.rpartition(".before-half-")[2].partition("-")[0]
    return ".before-half-" in copy.name and pid.isdigit() and procs.start_time(int(pid)) is not None


def _version(copy: Path) -> int | None:
    """The schema version of a copy; None where there is none, or it cannot be read."""
    if not copy.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row: Any = database.execute("SELECT max(version) FROM schema_version").fetchone()
            return int(row[0])
    except (sqlite3.Error, TypeError):
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_wal(path: Path) -> bool:
    """Whether a WAL with something in it lies there, which SQLite would throw away with an empty file beside it."""
    wal = _beside(path, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _is_copy(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(_BESIDE)


def _forbidden(path: Path, why: str) -> NotAllowed:
    return NotAllowed(
        f"`{path}` cannot be written: {why}",
        f"`{path}` 无法写入：{why}",
        hint="make the folder writable, or set PYJOBS_HOME to one that is",
        hint_zh="请使该目录可写，或将 PYJOBS_HOME 设为可写目录",
    )
