"""Backups of a home: made while everything goes on, checked, and forgotten when they are old."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from pyjobs import __version__, archive, homefiles
from pyjobs.archive import Manifest
from pyjobs.clock import Clock, from_ms
from pyjobs.config import Settings
from pyjobs.errors import BackupUnusable, Conflict, Invalid, NotAllowed, PyjobsError, StoreBusy
from pyjobs.folders import make_private
from pyjobs.ports import Contents, Dump, Progress

__all__ = ["FAILED", "FOLDER", "MADE", "Backups", "Made", "Wanted", "check_kind", "compare", "scratch", "system_errors"]

FOLDER = "backups"
#: Facts: the last backup that was made, and the last one that failed since.
MADE, FAILED = "backup", "backup_failed"
_NAME = re.compile(r"jobs_\d{8}_\d{6}(_\d+)?\.(tar|tar\.gz|db\.gz)")
_HALF = ".pyjobs-half-"
_DAY_MS = 86_400_000
#: Larger stores are compressed only on demand: gzip takes ten times as long as the copy.
_COMPRESSED_UP_TO = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a backup is made."""

    #: Delete backups in its folder that are older; 0 keeps all. Never the newest one.
    keep_days: int = 0
    #: None: what the name says, else where the store is not too large to wait for.
    compress: bool | None = None
    #: Take settings, alert rules and user functions along.
    files: bool = True
    #: Restore it into a scratch folder and compare, before it gets its name.
    verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was just made."""

    path: Path
    size: int
    manifest: Manifest
    verified: bool
    #: Older ones that were deleted.
    gone: list[Path]


class Backups:
    """Use cases about backups. They need no store that can be opened, and no daemon."""

    def __init__(self, settings: Settings, dump: Dump, clock: Clock) -> None:
        """Take what they work on."""
        self._settings = settings
        self._dump = dump
        self._clock = clock

    def make(self, path: Path | None, wanted: Wanted, progress: Progress) -> Made:
        """
        Back the store up, and note that in it.

        Args:
            path: the file to make, or the folder to make one in; None: `backups` in home.
            wanted: how.
            progress: told how far it is.

        Raises:
            Invalid, Conflict, NotFound, NotAllowed, StoreBusy, StoreUnusable, BackupUnusable.
        """
        if wanted.keep_days < 0:
            raise Invalid("keep_days", f"{wanted.keep_days} is below 0", f"{wanted.keep_days} 小于 0")
        try:
            with system_errors():
                made = self._make(path, wanted, progress)
        except PyjobsError as exc:
            texts = {"at_ms": self._clock.now_ms(), "en": exc.text("en"), "zh": exc.text("zh")}
            self._note({FAILED: json.dumps(texts, ensure_ascii=False)})
            raise
        about = {"at_ms": self._clock.now_ms(), "path": str(made.path), "size": made.size, "verified": wanted.verify}
        self._note({MADE: json.dumps(about, ensure_ascii=False), FAILED: None})
        return made

    def _make(self, path: Path | None, wanted: Wanted, progress: Progress) -> Made:
        folder, name = self._place(path)
        make_private(folder)
        with scratch(folder, self._clock) as half:
            copy, packed = half / self._dump.member, half / "packed"
            contents = self._dump.dump(copy, progress)
            squeezed = _compressed(name, wanted, copy)
            manifest = self._pack(copy, packed, contents, files=wanted.files, compress=squeezed, progress=progress)
            if wanted.verify:
                self._verified(packed, half / "restored", progress)
            final = _put(packed, folder, name or f"{self._stem()}.tar{'.gz' if squeezed else ''}", exact=bool(name))
        before_ms = self._clock.now_ms() - wanted.keep_days * _DAY_MS
        gone = _drop_old(folder, final, before_ms) if wanted.keep_days else []
        return Made(path=final, size=final.stat().st_size, manifest=manifest, verified=wanted.verify, gone=gone)

    def _place(self, path: Path | None) -> tuple[Path, str]:
        """(folder, name of the file; empty: one of ours)."""
        if path is None:
            return self._settings.home / FOLDER, ""
        if path.is_dir():
            return path, ""
        if path.exists() or path.is_symlink():
            raise Conflict(
                f"`{path}` exists already", f"`{path}` 已存在",
                hint="name another file, or a folder", hint_zh="请指定其他文件名或目录",
            )  # fmt: skip
        return path.parent, path.name

    def _stem(self) -> str:
        return (
            from_ms(self._clock.now_ms()).astimezone(ZoneInfo(self._settings.zone_name)).strftime("jobs_%Y%m%d_%H%M%S")
        )

    def _pack(
        self, copy: Path, packed: Path, contents: Contents, *, files: bool, compress: bool, progress: Progress
    ) -> Manifest:
        along = homefiles.collect(self._settings) if files else homefiles.Collected({}, {})
        about = Manifest(
            pyjobs=__version__,
            created=from_ms(self._clock.now_ms()).strftime("%Y-%m-%dT%H:%M:%SZ"),
            store=self._dump.kind,
            schema=contents.schema,
            counts=contents.counts,
            left_out=along.left_out,
        )
        sources: list[archive.Source] = [(self._dump.member, copy), *along.files.items()]
        total, done = copy.stat().st_size + sum(map(len, along.files.values())), 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            progress("pack", done, total)

        return archive.pack(packed, sources, about, compress=compress, progress=report)

    def _verified(self, path: Path, folder: Path, progress: Progress) -> Manifest:
        folder.mkdir(mode=0o700, exist_ok=True)
        manifest = archive.unpack(path, folder, lambda done, total: progress("check", done, total))
        check_kind(manifest, self._dump, path)
        contents = self._dump.examine(folder / self._dump.member, progress)
        compare(manifest, contents)
        return manifest

    def _note(self, facts: dict[str, str | None]) -> None:
        # That it cannot be noted makes a backup no worse, and an error no better.
        with contextlib.suppress(PyjobsError, OSError):
            self._dump.note(facts)


def check_kind(manifest: Manifest, dump: Dump, path: Path) -> None:
    """Raise BackupUnusable when an archive is of another kind of store, or holds none."""
    if manifest.store != dump.kind or dump.member not in manifest.members:
        raise BackupUnusable(
            f"`{path}` is a backup of a {manifest.store} store, this home has {dump.kind}",
            f"`{path}` 是 {manifest.store} 数据库的备份，而此主目录使用 {dump.kind}",
            hint="see DATABASE_URL; between kinds of stores go `pyjobs db export` and `pyjobs db import`",
        )


def compare(manifest: Manifest, contents: Contents) -> None:
    """Raise BackupUnusable when a restored copy does not hold what was counted when it was made."""
    if (contents.schema, contents.counts) != (manifest.schema, manifest.counts):
        raise BackupUnusable("the copy does not hold the rows that were counted", "副本的行数与备份时的计数不符")


@contextlib.contextmanager
def scratch(beside: Path, clock: Clock) -> Iterator[Path]:
    """A folder of this process's own, gone afterwards; on the same file system as what it is made for."""
    make_private(beside)
    _drop_halves(beside, clock.now_ms() - _DAY_MS)
    folder = Path(tempfile.mkdtemp(prefix=_HALF, dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Errors of the file system as ours."""
    try:
        yield
    except OSError as exc:
        what, why = exc.filename2 or exc.filename or "?", exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreBusy(f"there is no room for it: {why}", f"空间不足：{why}", hint="free some disk space",
                            hint_zh="请清理磁盘空间") from exc  # fmt: skip
        raise NotAllowed(f"`{what}`: {why}") from exc


def _compressed(name: str, wanted: Wanted, copy: Path) -> bool:
    if wanted.compress is not None:
        return wanted.compress
    if name.endswith((".gz", ".tgz")):
        return True
    return not name.endswith(".tar") and copy.stat().st_size <= _COMPRESSED_UP_TO


def _put(packed: Path, folder: Path, name: str, *, exact: bool) -> Path:
    """Give the finished file a name that no other one has, on the disk too."""
    stem, dot, end = name.partition(".tar")
    number = 1
    while True:
        final = folder / (name if number == 1 else f"{stem}_{number}{dot}{end}")
        try:
            os.link(packed, final)
        except FileExistsError:
            if exact:
                raise
            number += 1
        else:
            break
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return final


def _drop_old(folder: Path, newest: Path, before_ms: int) -> list[Path]:
    old = [
        path
        for path in sorted(folder.iterdir())
        if path != newest and _NAME.fullmatch(path.name) and path.lstat().st_mtime_ns // 1_000_000 < before_ms
    ]
    for path in old:
        path.unlink()
    return old


def _drop_halves(folder: Path, before_ms: int) -> None:
    """Delete what one that was killed left behind."""
    for path in folder.glob(f"{_HALF}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime_ns // 1_000_000 < before_ms:
                shutil.rmtree(path)
