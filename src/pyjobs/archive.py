"""
The format of a backup: a tar, gzipped or not, of a copy of the store, files of the home and, last, a manifest.

The manifest is last because it holds the checksums of what was written before it; so an archive that was cut off
anywhere has none, and is no backup.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from pyjobs.errors import BackupUnusable, StoreBusy

__all__ = ["FORMAT", "MANIFEST", "Manifest", "Source", "is_gzip", "pack", "unpack"]

#: Of the archive; a newer one is refused.
FORMAT = 1
MANIFEST = "manifest.json"
_BLOCK = 1 << 20
#: Bytes between two syncs of an archive that is being written.
_SYNCED = 32 << 20
_MOST_MEMBERS = 20_000
_LONGEST_MANIFEST = 16 << 20
#: Fast: one that compresses better takes four times as long and saves a seventh.
_LEVEL = 1
_GZIP = b"\x1f\x8b"

#: A member's name, and its content or the file that holds it, which is deleted once it was read.
Source = tuple[str, "bytes | Path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive says of itself."""

    format: int = FORMAT
    #: The version that made it.
    pyjobs: str
    #: `YYYY-MM-DDTHH:MM:SSZ`.
    created: str
    #: The kind of store.
    store: str
    schema: int
    #: Rows by table.
    counts: dict[str, int]
    #: name -> {"size": bytes, "sha256": in hex}.
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What of the home did not come along -> why.
    left_out: dict[str, str] = field(default_factory=dict)


def pack(
    path: Path, sources: Sequence[Source], about: Manifest, *, compress: bool, progress: Callable[[int], None]
) -> Manifest:
    """
    Write a new archive, for its owner only, and bring it to the disk; answers `about` with the members in it.

    Args:
        path: where none is yet.
        sources: what goes into it, in this order.
        about: the manifest, without members.
        compress: whether it is gzipped.
        progress: told how many bytes were read since the last time.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    members: dict[str, dict[str, Any]] = {}
    with os.fdopen(descriptor, "wb") as file, ThreadPoolExecutor(2) as threads:
        synced = _Synced(descriptor, threads, progress)
        with (
            _packing(file, compress=compress) as out,
            tarfile.open(
                fileobj=cast("IO[bytes]", out), mode="w", format=tarfile.PAX_FORMAT, copybufsize=_BLOCK
            ) as tar,  # type: ignore[call-overload, unused-ignore]
        ):
            for name, source in sources:
                members[name] = _add(tar, name, source, synced.note)
                if isinstance(source, Path):
                    # It takes as long as a third of its copying did: not while somebody waits.
                    threads.submit(source.unlink)
            manifest = Manifest(**{**asdict(about), "members": members})
            _add(tar, MANIFEST, (json.dumps(asdict(manifest), ensure_ascii=False, indent=1) + "\n").encode(), progress)
        file.flush()
        os.fsync(descriptor)
    return manifest


def unpack(path: Path, into: Path, progress: Callable[[int, int], None]) -> Manifest:
    """
    Take an archive apart into an empty folder, and check it while that is done.

    Args:
        path: the archive.
        into: nothing is ever written outside of it, whatever the archive says.
        progress: told how many bytes of the archive were read, and of how many.

    Raises:
        BackupUnusable: it is none, damaged, cut off, made by a newer version, or holds what none of ours would.
    """
    found: dict[str, dict[str, Any]] = {}
    told: bytes | None = None
    try:
        with path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            plain = gzip.GzipFile(fileobj=raw) if is_gzip(path) else raw
            with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|", bufsize=_BLOCK) as tar:
                for info in tar:
                    _check_member(path, info, found, last=told is None)
                    content = tar.extractfile(info)
                    assert content is not None
                    if info.name == MANIFEST:
                        told = content.read(_LONGEST_MANIFEST + 1)
                    else:
                        found[info.name] = _take(
                            content, into / info.name, info.size, lambda: progress(raw.tell(), size)
                        )
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise _damaged(path, str(exc) or type(exc).__name__) from exc
    if told is None:
        raise _damaged(
            path,
            "it has no manifest: it was cut off, or is none of pyjobs",
            "没有清单：文件被截断，或不是 pyjobs 的备份",
        )
    manifest = _manifest(path, told)
    _compare(path, manifest, found)
    return manifest


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


class _Synced:
    """Brings a growing file to the disk now and then, so that there is little left to wait for at its end."""

    def __init__(self, descriptor: int, thread: ThreadPoolExecutor, progress: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._thread = thread
        self._progress = progress
        self._since = 0
        self._last: Future[None] | None = None

    def note(self, count: int) -> None:
        self._progress(count)
        self._since += count
        if self._since > _SYNCED and (self._last is None or self._last.done()):
            self._since = 0
            self._last = self._thread.submit(os.fsync, self._descriptor)


class _Packed:
    """A stream that is gzipped in blocks by several threads: each is a member of its own, which gzip reads as one."""

    def __init__(self, out: IO[bytes], threads: ThreadPoolExecutor, most: int) -> None:
        self._out = out
        self._threads = threads
        self._most = most
        self._pending = bytearray()
        self._done: deque[Future[bytes]] = deque()
        self._position = 0

    def write(self, data: bytes) -> int:
        self._pending += data
        self._position += len(data)
        if len(self._pending) >= _BLOCK:
            self._hand_over()
        return len(data)

    def tell(self) -> int:
        return self._position

    def finish(self) -> None:
        self._hand_over()
        self._settle(0)

    def _hand_over(self) -> None:
        block, self._pending = bytes(self._pending), bytearray()
        self._done.append(self._threads.submit(gzip.compress, block, _LEVEL, mtime=0))
        self._settle(self._most)

    def _settle(self, left: int) -> None:
        while len(self._done) > left:
            self._out.write(self._done.popleft().result())


@contextmanager
def _packing(file: IO[bytes], *, compress: bool) -> Iterator[IO[bytes] | _Packed]:
    if not compress:
        yield file
        return
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as threads:
        packed = _Packed(file, threads, 2 * workers)
        yield packed
        packed.finish()


class _Hashed(io.RawIOBase):
    """A source that is hashed in another thread while it is read."""

    def __init__(self, file: IO[bytes], thread: ThreadPoolExecutor, progress: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._thread = thread
        self._progress = progress
        self._hash = hashlib.sha256()
        self._last: Future[None] | None = None

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(size)
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(self._hash.update, block)
        self._progress(len(block))
        return block

    def hexdigest(self) -> str:
        if self._last is not None:
            self._last.result()
        return self._hash.hexdigest()


def _add(tar: tarfile.TarFile, name: str, source: bytes | Path, progress: Callable[[int], None]) -> dict[str, Any]:
    """Add a member as a plain file of nobody's; answers its size and checksum."""
    with (
        io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
        ThreadPoolExecutor(1) as thread,
    ):
        info = tarfile.TarInfo(name)
        info.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        info.mode = 0o600
        hashed = _Hashed(cast("IO[bytes]", file), thread, progress)
        tar.addfile(info, cast("IO[bytes]", hashed))
        return {"size": info.size, "sha256": hashed.hexdigest()}


def _check_member(path: Path, info: tarfile.TarInfo, found: Mapping[str, object], *, last: bool) -> None:
    """Raise BackupUnusable for what none of our archives holds: links, devices, names that lead out of the folder."""
    name = info.name
    parts = PurePosixPath(name).parts
    safe = name.isprintable() and "\\" not in name and not name.startswith("/") and name == "/".join(parts)
    if not info.isreg() or not safe or ".." in parts or len(name) > 1000 or name in found or not last:
        shown = name if name.isprintable() else repr(name)
        raise _damaged(path, f"`{shown}` has no place in a backup", f"`{shown}` 不应出现在备份中")
    if len(found) > _MOST_MEMBERS or (name == MANIFEST and info.size > _LONGEST_MANIFEST):
        raise _damaged(path, "it holds too much", "内容过多")


def _take(content: IO[bytes], to: Path, size: int, progress: Callable[[], None]) -> dict[str, Any]:
    """Write one member; answers its size and checksum. Raises StoreBusy: there is no room for it."""
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(to.parent).free
    if size > free:
        raise StoreBusy(
            f"there is no room at `{to.parent}`: {size >> 20} MiB are needed, {free >> 20} are free",
            f"`{to.parent}` 空间不足：需要 {size >> 20} MiB，可用 {free >> 20} MiB",
            hint="free some disk space",
            hint_zh="请清理磁盘空间",
        )
    hashed = hashlib.sha256()
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        while block := content.read(_BLOCK):
            hashed.update(block)
            file.write(block)
            progress()
    return {"size": to.stat().st_size, "sha256": hashed.hexdigest()}


def _manifest(path: Path, told: bytes) -> Manifest:
    try:
        values = json.loads(told)
        number = values["format"]
        if isinstance(number, int) and number > FORMAT:
            raise BackupUnusable(
                f"`{path}` was made by a newer pyjobs ({values.get('pyjobs')})",
                f"`{path}` 由更新版本的 pyjobs（{values.get('pyjobs')}）创建",
                hint="upgrade pyjobs",
                hint_zh="请升级 pyjobs",
            )
        manifest = Manifest(**values)
        int(manifest.schema)
        _ = {str(name): int(count) for name, count in manifest.counts.items()}
        _ = {name: (int(about["size"]), str(about["sha256"])) for name, about in manifest.members.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _damaged(path, "its manifest cannot be read", "清单无法读取") from exc
    return manifest


def _compare(path: Path, manifest: Manifest, found: Mapping[str, Mapping[str, Any]]) -> None:
    for name in sorted({*manifest.members, *found}):
        if found.get(name) != manifest.members.get(name):
            raise _damaged(path, f"`{name}` is not what the manifest says", f"`{name}` 与清单不符（校验和错误）")


def _damaged(path: Path, why: str, why_zh: str = "") -> BackupUnusable:
    return BackupUnusable(
        f"`{path}` is not a usable backup: {why}",
        f"`{path}` 不是可用的备份：{why_zh or why}",
        hint="nothing was changed; take another one, see `ls backups`",
        hint_zh="未作任何改动；请换一个备份，参见 `ls backups`",
    )
