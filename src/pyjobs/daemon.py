"""Start, stop and find the daemon of a home: one a home, by an own `flock` that the supervisor holds for life."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pyjobs import procs
from pyjobs.config import Settings
from pyjobs.errors import Conflict, DaemonNotRunning, Exit, NotAllowed, RunFailed, TimedOut
from pyjobs.folders import make_private

__all__ = ["DaemonStatus", "log_path", "reload", "run", "start", "status", "stop"]

_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """Who is running."""

    supervisor_pid: int
    runner_pid: int | None
    keeper_pid: int
    started_ms: int
    restarts: int
    home: str
    version: str


class _StartFailed(RunFailed):
    """The runner said why it could not start."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["en"], told["zh"], hint=told["hint"], hint_zh=told["hint_zh"])
        self.code = told["code"]  # type: ignore[misc]  # this one has the code of what it stands for
        self.exit_code = Exit(told["exit_code"])  # type: ignore[misc]


def status(settings: Settings) -> DaemonStatus | None:
    """The daemon of this home; None when it does not run."""
    try:
        content = json.loads(_lock_path(settings).read_text(encoding="utf-8"))
        alive = procs.start_time(content["pid"]) == content["start"] and not procs.is_zombie(content["pid"])
        if not alive:
            return None
        return DaemonStatus(
            supervisor_pid=content["pid"],
            runner_pid=content["runner"],
            keeper_pid=content["keeper"],
            started_ms=content["started_ms"],
            restarts=content["restarts"],
            home=content["home"],
            version=content["version"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start(settings: Settings, *, timeout_s: float = 30) -> DaemonStatus:
    """
    Start in the background; returns only when the runner is ready.

    Raises:
        Conflict: a daemon runs already; the message names it.
        RunFailed and its kin: why the runner could not start, with the exit code of that.
        TimedOut: it is not ready yet.
    """
    lock_fd = _lock(settings)
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready_read)
        _detach(settings, lock_fd, ready_write)
    os.close(ready_write)
    os.close(lock_fd)
    os.waitpid(child, 0)
    told = _read_line(ready_read, timeout_s)
    found = status(settings)
    if told is None:
        raise TimedOut(f"the runner is not ready after {timeout_s:g} s", f"{timeout_s:g} 秒内执行进程未就绪",
                       hint=f"see `{log_path(settings)}`")  # fmt: skip
    if "en" in told:
        raise _StartFailed(told)
    if not told or found is None:
        raise RunFailed("the daemon ended while it started", "守护进程启动时退出",
                        hint=f"see `{_output_path(settings)}` and `{log_path(settings)}`")  # fmt: skip
    return found


def run(settings: Settings) -> NoReturn:
    """Become the daemon in the foreground; never returns. Raises as `start`, before it becomes one."""
    lock_fd = _lock(settings)
    os.set_inheritable(lock_fd, True)
    _become(settings, lock_fd, -1, "front")


def stop(settings: Settings, *, force: bool = False, timeout_s: float | None = None) -> DaemonStatus:
    """
    Stop the daemon and wait until it is gone; answers who it was.

    Args:
        settings: of its home.
        force: do not wait for short work.
        timeout_s: how long to wait for its end; None: as long as a stop may take.

    Raises:
        DaemonNotRunning: there is none.
        TimedOut: it is still there.
    """
    found = status(settings)
    if found is None:
        raise DaemonNotRunning
    _signal(found.supervisor_pid, signal.SIGTERM)
    if force:
        time.sleep(0.2)  # two signals at the same moment are one
        with contextlib.suppress(DaemonNotRunning):
            _signal(found.supervisor_pid, signal.SIGTERM)
    patience = settings.drain + 15 if timeout_s is None else timeout_s
    deadline = time.monotonic() + patience
    while status(settings) is not None:
        if time.monotonic() > deadline:
            raise TimedOut(f"the daemon (pid {found.supervisor_pid}) still runs after {patience:g} s",
                           f"守护进程（pid {found.supervisor_pid}）{patience:g} 秒后仍在运行",
                           hint="try `pyjobs daemon stop --force`")  # fmt: skip
        time.sleep(_POLL_S)
    return found


def reload(settings: Settings) -> None:
    """Have the running daemon load its functions again. Raises DaemonNotRunning."""
    found = status(settings)
    if found is None:
        raise DaemonNotRunning
    _signal(found.supervisor_pid, signal.SIGHUP)


def log_path(settings: Settings) -> Path:
    """The system log."""
    return settings.path(settings.log_file)


def _output_path(settings: Settings) -> Path:
    """What the daemon's processes write to stderr: nothing, unless something is badly wrong."""
    return settings.home / "logs" / "daemon.out"


def _lock_path(settings: Settings) -> Path:
    return settings.run_dir / "daemon.lock"


def _lock(settings: Settings) -> int:
    """The lock's descriptor. Raises Conflict, NotAllowed."""
    path = _lock_path(settings)
    try:
        make_private(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _unusable(path, "it is not a regular file")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        found = status(settings)
        who = f" (pid {found.supervisor_pid})" if found else ""
        raise Conflict(
            f"a daemon{who} runs already for `{settings.home}`",
            f"`{settings.home}` 的守护进程{who}已在运行",
            hint="see `pyjobs status`; `pyjobs daemon restart` replaces it",
            hint_zh="用 `pyjobs status` 查看，用 `pyjobs daemon restart` 重启",
        ) from None
    return fd


def _unusable(path: Path, why: str | None) -> NotAllowed:
    return NotAllowed(
        f"`{path}` cannot be opened: {why}",
        f"`{path}` 无法打开：{why}",
        hint="make the folder writable and the path a plain file, or set PYJOBS_HOME",
        hint_zh="请确保目录可写且该路径为普通文件，或设置 PYJOBS_HOME",
    )


def _detach(settings: Settings, lock_fd: int, ready_fd: int) -> NoReturn:
    """In a child: become a daemon by python-daemon, then the supervisor. Never returns."""
    code = 1
    try:
        import daemon  # type: ignore[import-untyped]

        output = _output_path(settings)
        make_private(output.parent)
        out_fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        context = daemon.DaemonContext(
            working_directory=str(settings.home),
            umask=_umask(),
            detach_process=True,
            prevent_core=False,  # that limit would be every job's too
            signal_map={},  # what is ignored here would be ignored by every job
            files_preserve=[lock_fd, ready_fd, out_fd],
        )
        context.open()
        os.dup2(out_fd, 1)
        os.dup2(out_fd, 2)
        for fd in (lock_fd, ready_fd):
            os.set_inheritable(fd, True)
        _become(settings, lock_fd, ready_fd, "background")
    except BaseException as exc:  # the parent is told, whatever it is
        message = f"it could not go to the background: {exc}"
        told = {"code": "failed", "exit_code": 1, "en": message, "zh": message, "hint": "", "hint_zh": ""}
        os.write(ready_fd, (json.dumps(told) + "\n").encode())
    finally:
        os._exit(code)


def _become(settings: Settings, lock_fd: int, ready_fd: int, where: str) -> NoReturn:
    os.chdir(settings.home)
    # Settings of a run that starts a daemon are not the daemon's: its id would make it a stray of that run.
    run_only = ("PYJOBS_RUN_ID", "PYJOBS_JOB_ID", "PYJOBS_SCHEDULED_FOR")
    env = {k: v for k, v in os.environ.items() if k not in run_only}
    argv = [sys.executable, "-m", "pyjobs.supervisor", str(settings.home), str(lock_fd), str(ready_fd), where]
    os.execve(sys.executable, argv, env)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def _read_line(fd: int, timeout_s: float) -> dict[str, Any] | None:
    """The first line of a pipe as JSON; {} when it was closed without one; None when nothing came in time."""
    content, deadline = b"", time.monotonic() + timeout_s
    try:
        while not content.endswith(b"\n"):
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            piece = os.read(fd, 65536)
            if not piece:
                return {}
            content += piece
        return dict(json.loads(content))
    finally:
        os.close(fd)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise DaemonNotRunning from None
    except PermissionError as exc:
        raise NotAllowed(
            f"the daemon (pid {pid}) belongs to another user", f"守护进程（pid {pid}）属于其他用户"
        ) from exc
