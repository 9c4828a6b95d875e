"""What the machine says: processes, locks, files, disks. Nothing here judges, and nothing is changed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyjobs import procs
from pyjobs.config import FILE_NAME, Origin, Settings
from pyjobs.folders import made_mark

__all__ = [
    "disks",
    "environ_of",
    "holds_another",
    "lacking",
    "lock_state",
    "newest_mtime_ms",
    "open_places",
    "pid_in",
    "runners_of",
    "sockets_in",
    "write_lock_holders",
]

#: Where SQLite's write lock stands in the `-shm` file.
_WRITE_LOCK_BYTE = 120
_PR_GET_CHILD_SUBREAPER = 37


def write_lock_holders(shm: Path) -> list[str]:
    """`NAME (pid N)` of each process that holds SQLite's write lock; empty where the system does not tell."""
    try:
        inode = shm.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120
        words = line.split()
        if len(words) < 8 or words[1] == "->" or words[3] != "WRITE" or words[5].rpartition(":")[2] != str(inode):
            continue
        end = float("inf") if words[7] == "EOF" else int(words[7])
        if int(words[6]) <= _WRITE_LOCK_BYTE <= end and int(words[4]) > 0:
            found.append(f"{_name_of(int(words[4]))} (pid {words[4]})")
    return found


def runners_of(home: Path) -> list[int]:
    """Processes that run `pyjobs.serve` for a home."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:3] == ["-m", "pyjobs.serve"] and words[3:4] == [str(home)]:
            found.append(process.pid)
    return sorted(found)


def pid_in(path: Path) -> int:
    """The number that a lock's file begins with; 0 where it has none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii").split()[0])
    return 0


def lock_state(path: Path) -> str:
    """`none`, `odd` (no plain file), `held` by somebody, `dead` (it names one who is no more), or `free`."""
    try:
        about = path.lstat()
    except OSError:
        return "none"
    if not stat.S_ISREG(about.st_mode):
        return "odd"
    if procs.lock_held(path):
        return "held"
    return "dead" if about.st_size else "free"


def environ_of(pid: int) -> dict[str, str] | None:
    """The environment that a process was started with; None where it cannot be read."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def holds_another(pid: int, path: Path) -> bool:
    """Whether a process has a store open, but not the file that is in its place now."""
    try:
        about = path.stat()
        now = (about.st_dev, about.st_ino)
    except OSError:
        now = None
    # A file that was moved away has another name; its WAL, which is still open, has not.
    names = {f"{path.resolve()}{end}" for end in ("", "-wal", "-shm")}
    found = False
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                about = descriptor.stat()
                if (about.st_dev, about.st_ino) == now:
                    return False
                found = found or str(descriptor.readlink()).removesuffix(" (deleted)") in names
    return found


def sockets_in(folder: Path) -> list[Path]:
    """The sockets in a folder."""
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if stat.S_ISSOCK(path.lstat().st_mode))
    return []


def open_places(settings: Settings, origins: Mapping[str, Origin]) -> list[tuple[Path, int, int]]:
    """(path, its mode, the mode that it should have) of what others than its owner can get at."""
    found = []
    for path, wanted in _private(settings, origins):
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            expected = stat.S_ISDIR(mode) if wanted == 0o700 else stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
            if expected and stat.S_IMODE(mode) & 0o077:
                found.append((path, stat.S_IMODE(mode), wanted))
    return found


def disks(places: Iterable[Path]) -> list[tuple[Path, int]]:
    """(folder, bytes free to us), each file system once; a folder that is not there yet stands for the one above it."""
    found: dict[int, tuple[Path, int]] = {}
    for place in places:
        there = next((path for path in (place, *place.parents) if path.is_dir()), None)
        if there is not None:
            about = os.statvfs(there)
            found.setdefault(there.stat().st_dev, (there, about.f_bavail * about.f_frsize))
    return list(found.values())


def newest_mtime_ms(paths: Iterable[Path]) -> int:
    """When the newest of these was changed, by the file system's clock; 0 when none is there."""
    newest = 0
    for path in paths:
        with contextlib.suppress(OSError):
            newest = max(newest, path.stat().st_mtime_ns // 1_000_000)
    return newest


def lacking() -> list[str]:
    """What this system lacks of `pidfd`, `subreaper` and `proc`."""
    import ctypes

    missing = []
    descriptor = procs.open_pidfd(os.getpid())
    if descriptor < 0:
        missing.append("pidfd")
    else:
        os.close(descriptor)
    try:
        answer = ctypes.c_int()
        if ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) != 0:
            missing.append("subreaper")
    except (OSError, AttributeError):
        missing.append("subreaper")
    if not Path("/proc/self/stat").exists():
        missing.append("proc")
    return missing


def _private(settings: Settings, origins: Mapping[str, Origin]) -> list[tuple[Path, int]]:
    """What only its owner should get at: (path, mode)."""
    home = settings.home
    folders = [settings.run_dir, settings.exits_dir, settings.spool_dir, home / "backups"]
    files = [settings.runner_lock, home / "data" / "api-secret", settings.daemon_lock]
    if settings.database.kind == "sqlite":
        store = settings.database_path
        if home in store.parent.parents:  # a folder of somebody else's may be open for a reason
            folders.append(store.parent)
        files += [store.with_name(store.name + end) for end in ("", "-wal", "-shm", "-journal")]
        files.append(made_mark(store))
        with contextlib.suppress(OSError):
            files += store.parent.glob(f"{store.name}.before-v*")
    with contextlib.suppress(OSError):
        files += (home / "backups").glob("*")
    files += sockets_in(settings.run_dir)
    file = home / FILE_NAME
    if any(origin.secret and origin.source == str(file) for origin in origins.values()):
        files.append(file)
    return [(path, 0o700) for path in folders] + [(path, 0o600) for path in files]


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"
