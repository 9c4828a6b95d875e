"""
Processes: who one is, how it ended, and who keeps that when nobody asked yet.

Imports the standard library's small modules only, as the supervisor lives on it.

A process is named by pid and start time, since a pid alone may be given again. Whoever is the parent of an ended
process that it did not start (the supervisor and its keeper as subreapers, the parent of function runs) writes the
exit status to `exits/PID.START` before it reaps it, so that a runner that comes later can still read it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Ended",
    "alive",
    "become_subreaper",
    "boot_id",
    "daemon_said",
    "daemon_trouble",
    "describe_signal",
    "forget_exit",
    "is_here",
    "is_zombie",
    "keep_exits",
    "kept_exit",
    "kept_since",
    "kills_on_stop",
    "lock_held",
    "open_pidfd",
    "owner_alive",
    "owner_name",
    "peek",
    "start_time",
]

_PR_SET_CHILD_SUBREAPER = 36
#: Process 1 of containers that were started with one.
_CONTAINER_INITS = (b"tini", b"docker-init", b"dumb-init", b"catatonit", b"podman-init")


class Ended(NamedTuple):
    """How a process ended: an exit status, or the signal that ended it."""

    exit_code: int | None
    signal: int | None


def boot_id() -> str:
    """A text that differs after each boot; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def lock_held(path: Path) -> bool:
    """Whether somebody has the `flock` on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def start_time(pid: int) -> int | None:
    """Start time of a process, zombies included, in clock ticks since boot; None when there is no such process."""
    try:
        return int(_stat(pid)[19])
    except (OSError, IndexError, ValueError):
        if os.path.isdir("/proc/self"):  # noqa: PTH112
            return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None


def alive(pid: int, start: int | None) -> bool:
    """Whether that very process runs; a zombie does not. Without a start time any process of this pid counts."""
    found = start_time(pid)
    return found is not None and (start is None or found == start) and not is_zombie(pid)


def owner_name() -> str:
    """What this process writes into the rows that it owns."""
    return f"{boot_id()}/{os.getpid()}/{start_time(os.getpid())}"


def is_here(owner: str) -> bool:
    """Whether the process that wrote this owner is, or was, one of this host since it was booted."""
    return owner.partition("/")[0] == boot_id()


def owner_alive(owner: str, seen: Callable[[str], bool] | None = None) -> bool:
    """
    Whether the process that wrote this owner still lives.

    One of this host is looked at; of one elsewhere `seen` says it, and where nobody does it is dead.
    """
    if seen is not None and not is_here(owner):
        return seen(owner)
    _, pid, start = (*owner.split("/"), "", "")[:3]
    return is_here(owner) and pid.isdigit() and start.isdigit() and alive(int(pid), int(start))


def daemon_said(lock: Path) -> dict[str, Any] | None:
    """What the supervisor wrote into its lock's file, if it is alive; None else, whatever lies in that place."""
    import json
    import stat

    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            said = json.loads(os.read(descriptor, 65536))
        finally:
            os.close(descriptor)
        pid, start = said["pid"], said["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    here = isinstance(pid, int) and isinstance(start, int) and alive(pid, start)
    return dict(said) if here else None


def daemon_trouble(lock: Path) -> str:
    """Why the runner of a daemon that is alive fires nothing, or is likely not to; empty when all is well."""
    said = daemon_said(lock) or {}
    if said.get("safe_since_ms") is not None:
        return "safe mode: the runner keeps crashing"
    return str(said.get("trouble", ""))


def kills_on_stop(on_stop: str) -> bool:
    """
    Whether a stop ends what still runs; `auto` does where the kernel would do it anyway.

    With process 1 of a container all others end; it is pyjobs itself, or one of the small ones that start it.
    """
    if on_stop != "auto":
        return on_stop == "kill"
    try:
        words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.path.basename(words[0]) in _CONTAINER_INITS or b"pyjobs.keeper" in words[:4]  # noqa: PTH119


def open_pidfd(pid: int) -> int:
    """A descriptor that is readable once the process ended; -1 where there are none. Raises ProcessLookupError."""
    if hasattr(os, "pidfd_open"):
        try:
            return os.pidfd_open(pid)
        except OSError as exc:
            # Without one a process is looked at now and then: better than not to know it, which is running already.
            if exc.errno not in (errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE):
                raise
    return -1


def peek(pid: int) -> Ended | None:
    """
    How a child ended, leaving it to be reaped; None while it runs.

    Raises:
        ChildProcessError: it is no child of ours.
    """
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return _ended(found) if found is not None else None


def keep_exits(folder: Path, spare: frozenset[int] | set[int] = frozenset()) -> list[tuple[int, Ended]]:
    """
    Write down and reap every ended child; those in `spare` are reaped but not written. Answers (pid, how it ended).

    The file is whole and on disk before the process is reaped: a crash in between leaves a zombie for the next
    subreaper, never a process that nobody knows the end of.
    """
    ended = []
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            break
        if found is None:
            break
        how = _ended(found)
        if found.si_pid not in spare:
            _write_exit(folder, found.si_pid, how)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, 0)
        ended.append((found.si_pid, how))
    return ended


def kept_exit(folder: Path, pid: int, start: int) -> Ended | None:
    """The exit status that was kept for a process, if one was."""
    try:
        content = (folder / f"{pid}.{start}").read_text(encoding="ascii")
    except OSError:
        return None
    kind, _, number = content.strip().partition(" ")
    if not content.endswith("\n") or not number.isdigit():
        return None
    return Ended(int(number), None) if kind == "exit" else Ended(None, int(number))


def kept_since(folder: Path, pid: int, start: int) -> int | None:
    """When a status was written down, milliseconds since the epoch: all but exactly the end of the process."""
    try:
        return (folder / f"{pid}.{start}").stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def forget_exit(folder: Path, pid: int, start: int) -> None:
    """Delete a kept exit status whose run has its end in the store."""
    with contextlib.suppress(OSError):
        (folder / f"{pid}.{start}").unlink()


def become_subreaper() -> bool:
    """Inherit the orphans of all descendants; False where the system cannot."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def describe_signal(number: int) -> str:
    """`SIGKILL` for 9; `signal 99` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stat(pid: int) -> list[bytes]:
    """What the kernel says of a process, from its state (the third field) on; read once a run, so without buffers."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1024).rpartition(b")")[2].split()
    finally:
        os.close(descriptor)


def _ended(found: os.waitid_result) -> Ended:
    if found.si_code == os.CLD_EXITED:
        return Ended(found.si_status, None)
    return Ended(None, found.si_status)


def _write_exit(folder: Path, pid: int, how: Ended) -> None:
    start = start_time(pid)
    if start is None:
        return
    line = f"exit {how.exit_code}\n" if how.signal is None else f"signal {how.signal}\n"
    final = folder / f"{pid}.{start}"
    half = folder / f".{pid}.{start}"
    # A full disk must not end the supervisor; that run is then `lost`.
    with contextlib.suppress(OSError):
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, line.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        half.rename(final)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits to be reaped."""
    try:
        return _stat(pid)[0] == b"Z"
    except (OSError, IndexError):
        return False
