"""The Cleanup function: old files of a folder inside home."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pyjobs.config import FILE_NAME
from pyjobs.errors import PyjobsError, RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["cleanup"]

_DAY_MS = 86_400_000


def cleanup(context: Context, folder: str, days: float = 30, pattern: str = "*", dry_run: bool = False) -> str:  # noqa: FBT001, FBT002 - jobs write it by position
    """Delete old files: folder in home, age in days, pattern of names; dry_run=true only lists them."""
    if not days >= 0:
        raise RunFailed(f"days: {days} is not an age", f"days：{days} 不是有效的天数")
    top = _allowed(context, folder)
    before_ms = context.clock.now_ms() - int(days * _DAY_MS)
    lines, size = [], 0
    for directory, name, bytes_ in _old_files(context, top, before_ms, pattern):
        if not dry_run:
            os.unlink(name, dir_fd=directory[1])
        lines.append(str(directory[0] / name))
        size += bytes_
    found = f"{len(lines)} ({size} bytes)"
    what = ("would delete", "将删除") if dry_run else ("deleted", "已删除")
    return "\n".join([*lines, context.say(f"{what[0]}: {found}", f"{what[1]}: {found}")])


def _allowed(context: Context, folder: str) -> Path:
    home = context.settings.home.resolve()
    top = (home / folder).resolve()
    if home not in top.parents:
        raise RunFailed(f"`{folder}` is not a folder inside of {home}", f"`{folder}` 不是 {home} 内的目录")
    for kept in _kept(context):
        if top == kept or kept in top.parents or top in kept.parents:
            raise RunFailed(f"`{folder}` holds what pyjobs needs: {kept}", f"`{folder}` 含有 pyjobs 需要的文件：{kept}")
    if not top.is_dir():
        raise RunFailed(f"there is no folder `{folder}` in {home}", f"{home} 中没有目录 `{folder}`")
    return top


def _kept(context: Context) -> list[Path]:
    """What must never be cleaned: the store, the run directory, the settings, the functions."""
    settings = context.settings
    kept = [settings.home / "data", settings.run_dir, settings.home / FILE_NAME, settings.path(settings.functions_dir)]
    with contextlib.suppress(PyjobsError):
        kept.append(settings.database_path)
    return [path.resolve() for path in kept]


def _old_files(
    context: Context, top: Path, before_ms: int, pattern: str
) -> Iterator[tuple[tuple[Path, int], str, int]]:
    """((folder, its descriptor), name, size) of files that are old enough; links are neither followed nor deleted."""
    home = context.settings.home.resolve()
    for root, _, names, descriptor in os.fwalk(top, follow_symlinks=False):
        for name in sorted(names):
            if not fnmatch.fnmatch(name, pattern):
                continue
            about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(about.st_mode) and about.st_mtime_ns // 1_000_000 <= before_ms:
                yield (Path(root).relative_to(home), descriptor), name, about.st_size
