"""The File function: it reads, writes, deletes and lists, inside one folder only."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pyjobs.errors import RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["file"]


def file(context: Context, operation: str, path: str = ".", content: str = "") -> str:
    """Work with files in FILES_DIR: read, write, delete or list; path; content."""
    base = context.settings.path(context.settings.files_dir)
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if operation == "read":
            return _read(base, path)
        if operation == "write":
            return _write(context, base, path, content)
        if operation == "delete":
            return _delete(context, base, path)
        if operation == "list":
            return _list(base, path)
    except OSError as exc:
        raise RunFailed(f"cannot {operation} `{path}`: {exc.strerror}", f"无法处理 `{path}`：{exc.strerror}") from exc
    raise RunFailed(
        f"不支持的文件操作: {operation} (read, write, delete, list)", f"不支持的文件操作: {operation}"
    )  # fmt: skip


def _read(base: Path, path: str) -> str:
    parts = _inside(base, path, follow=True)
    with _folder(base, parts[:-1]) as folder:
        # Without waiting: a FIFO must not hold the run.
        descriptor = os.open(_name(parts, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RunFailed(f"`{path}` is not a file", f"`{path}` 不是文件")
            return opened.read().decode("utf-8", "replace")


def _write(context: Context, base: Path, path: str, content: str) -> str:
    parts = _inside(base, path, follow=True)
    name = _name(parts, path)
    half = f".{name}.{os.getpid()}"
    data = content.encode("utf-8", "surrogateescape")
    with _folder(base, parts[:-1], make=True) as folder:
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(data)
            os.replace(half, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(half, dir_fd=folder)
            raise
    return context.say(f"wrote {len(data)} bytes to {path}", f"写入文件: {path} ({len(data)} 字节)")


def _delete(context: Context, base: Path, path: str) -> str:
    parts = _inside(base, path, follow=False)
    with _folder(base, parts[:-1]) as folder:
        os.unlink(_name(parts, path), dir_fd=folder)
    return context.say(f"deleted {path}", f"删除文件: {path}")


def _list(base: Path, path: str) -> str:
    with _folder(base, _inside(base, path, follow=True)) as folder, os.scandir(folder) as entries:
        return "\n".join(sorted(f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name for e in entries))


def _inside(base: Path, path: str, *, follow: bool) -> tuple[str, ...]:
    """The way from the folder to a path, free of links; `follow` says whether the last part may be one."""
    if "\0" in path:
        raise RunFailed("the path holds a NUL character", "路径含有 NUL 字符")
    root = base.resolve()
    wanted = root / path
    try:
        real = wanted.resolve() if follow else wanted.parent.resolve() / wanted.name
        if wanted.name == "..":
            real = wanted.resolve()
        return real.relative_to(root).parts
    except (ValueError, RuntimeError):
        raise RunFailed(
            f"`{path}` is outside of the folder that the File function may touch",
            f"`{path}` 不在 File 函数允许的目录内",
            hint="see the setting `files_dir`",
            hint_zh="请查看配置项 `files_dir`",
        ) from None


def _name(parts: tuple[str, ...], path: str) -> str:
    if not parts:
        raise RunFailed(f"`{path}` is a folder", f"`{path}` 是目录")
    return parts[-1]


@contextlib.contextmanager
def _folder(base: Path, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder, reached step by step without following a link that was put there meanwhile."""
    descriptor = os.open(base.resolve(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=descriptor)
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)
