"""A backup put in the place of the store: checked whole first, the store as it was kept beside it."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pyjobs import archive, homefiles
from pyjobs.archive import Manifest
from pyjobs.clock import Clock, from_ms, to_ms
from pyjobs.config import Settings
from pyjobs.errors import BackupUnusable, Invalid, NotFound, PyjobsError
from pyjobs.folders import make_private
from pyjobs.ports import Contents, Dump, Progress
from pyjobs.service.backups import check_kind, compare, scratch, system_errors

__all__ = ["FilePlan", "Plan", "Restored", "Restores"]

_DATABASE = b"SQLite format 3\0"
_BLOCK = 1 << 20


class FilePlan(NamedTuple):
    """A file of the home that came along."""

    name: str
    unpacked: Path
    to: Path
    #: What there is in its place.
    here: Literal["missing", "same", "differs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a restore would do. It is checked, and nothing was changed."""

    #: None: a copy of the database without one.
    manifest: Manifest | None
    made_ms: int
    incoming: Contents
    #: What is replaced; None: there is no store, or none that can be read.
    current: Contents | None
    files: list[FilePlan]
    database: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    #: The store as it was; None: there was none.
    aside: Path | None
    #: Whether the store as it was could say what has fired since the backup.
    carried: bool
    written: list[Path]
    #: Files that differ from those of the backup and were left as they are.
    kept: list[Path]


class Restores:
    """Use cases about restoring. They need no store that can be opened."""

    def __init__(
        self, settings: Settings, dump: Dump, clock: Clock, hold: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Take what they work on; `hold` keeps every runner away meanwhile, or raises Conflict."""
        self._settings = settings
        self._dump = dump
        self._clock = clock
        self._hold = hold

    @contextlib.contextmanager
    def prepared(self, path: Path, progress: Progress, *, only_look: bool = False) -> Iterator[Plan]:
        """
        Take a backup apart beside the store and check all of it; gone afterwards, unless it was carried out.

        Args:
            path: an archive, or a copy of the database file as `cp` makes it, gzipped or not.
            progress: told how far it is.
            only_look: it will not be carried out, so that it need not lie beside the store.

        Raises:
            NotFound, BackupUnusable, StoreUnusable, StoreBusy, NotAllowed: and nothing was changed.
        """
        with system_errors():
            if not path.is_file():
                raise NotFound(
                    f"there is no file `{path}`", f"文件不存在：`{path}`", hint="backups lie in `backups` of the home",
                    hint_zh="备份位于主目录的 `backups` 中",
                )  # fmt: skip
            if self._dump.is_store(path):
                raise Invalid("FILE", "is the store itself", "就是当前的数据库")
            beside = _somewhere(path) if only_look else self._dump.folder
            with scratch(beside, self._clock) as folder:
                yield self._plan(path, folder, progress)

    def carry_out(self, plan: Plan, *, files: bool = False) -> Restored:
        """
        Put it in place. Fires of the time since the backup: see `ports.Dump.carry_over`, then each job's `misfire`.

        Args:
            plan: what `prepared` gave.
            files: replace files of the home that differ, too; the old ones are kept beside them.

        Raises:
            Conflict: a runner has the store.
            NotAllowed, StoreBusy: and the store is as it was.
        """
        with system_errors(), self._hold():
            carried = plan.current is not None and self._carried(plan.database)
            store = Path(self._dump.where)
            aside = self._aside(store)
            there = store.exists()
            self._dump.replace(plan.database, aside)
            written, kept = self._put_files(plan.files, replace=files)
        return Restored(aside=aside if there else None, carried=carried, written=written, kept=kept)

    def _plan(self, path: Path, folder: Path, progress: Progress) -> Plan:
        database = folder / self._dump.member
        if _is_database(path):
            _copy_database(path, database)
            manifest, made_ms = None, path.stat().st_mtime_ns // 1_000_000
        else:
            manifest = archive.unpack(path, folder, lambda done, total: progress("check", done, total))
            check_kind(manifest, self._dump, path)
            made_ms = to_ms(datetime.fromisoformat(manifest.created.replace("Z", "+00:00")))
        incoming = self._dump.examine(database, progress)
        if manifest is not None:
            compare(manifest, incoming)
        return Plan(
            manifest=manifest,
            made_ms=made_ms,
            incoming=incoming,
            current=self._dump.contents(),
            files=self._files(manifest, folder),
            database=database,
        )

    def _files(self, manifest: Manifest | None, folder: Path) -> list[FilePlan]:
        plans = []
        # As they would come along now: the settings' file here has its secrets.
        now = homefiles.collect(self._settings).files if manifest is not None else {}
        for name in manifest.members if manifest is not None else ():
            to = homefiles.belongs_at(self._settings, name)
            if to is not None:
                unpacked = folder / name
                here: Literal["missing", "same", "differs"] = "missing"
                if to.exists() or to.is_symlink():
                    here = "same" if now.get(name) == unpacked.read_bytes() else "differs"
                plans.append(FilePlan(name, unpacked, to, here))
        return plans

    def _carried(self, copy: Path) -> bool:
        try:
            self._dump.carry_over(copy)
        except PyjobsError:
            return False
        return True

    def _aside(self, path: Path) -> Path:
        """A free name beside a file for what it was before."""
        stamp = from_ms(self._clock.now_ms()).strftime("%Y%m%d_%H%M%S")
        number = 1
        while True:
            found = path.with_name(f"{path.name}.before-restore-{stamp}{'' if number == 1 else f'_{number}'}")
            if not found.exists() and not found.is_symlink():
                return found
            number += 1

    def _put_files(self, plans: list[FilePlan], *, replace: bool) -> tuple[list[Path], list[Path]]:
        written, kept = [], []
        for plan in plans:
            if plan.here == "same":
                continue
            if plan.here == "differs":
                if not replace:
                    kept.append(plan.to)
                    continue
                plan.to.rename(self._aside(plan.to))
            make_private(plan.to.parent)
            shutil.move(plan.unpacked, plan.to)
            plan.to.chmod(0o600)
            written.append(plan.to)
        return written, kept


def _somewhere(path: Path) -> Path:
    """Where there is room to take a file apart: beside it, else where temporary files go."""
    import tempfile

    return path.parent if os.access(path.parent, os.W_OK) else Path(tempfile.gettempdir())


def _is_database(path: Path) -> bool:
    """Whether a file is a bare copy of the database, gzipped or not."""
    try:
        with gzip.open(path) if archive.is_gzip(path) else path.open("rb") as file:
            return file.read(len(_DATABASE)) == _DATABASE
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False


def _copy_database(path: Path, to: Path) -> None:
    """Copy a bare one, with the -wal that lies beside it. Raises BackupUnusable."""
    wal = path.with_name(path.name + "-wal")
    copied = [(path, to), *([(wal, to.with_name(to.name + "-wal"))] if wal.is_file() else [])]
    for source, target in copied:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            try:
                with gzip.open(source) if archive.is_gzip(source) else source.open("rb") as content:
                    shutil.copyfileobj(content, file, _BLOCK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
                raise BackupUnusable(
                    f"`{path}` is damaged: {exc}", f"`{path}` 已损坏：{exc}", hint="take another one"
                ) from exc
