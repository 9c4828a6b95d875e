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
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from pyjobs import procs
from pyjobs.config import Settings
from pyjobs.errors import Conflict, DaemonNotRunning, Exit, NotAllowed, PyjobsError, RunFailed, TimedOut
from pyjobs.folders import make_private
from pyjobs.supervisor import Given

if TYPE_CHECKING:
    from pyjobs.following import Followed

__all__ = [
    "DaemonStatus",
    "Restart",
    "log_path",
    "reload",
    "reload_settings",
    "run",
    "start",
    "status",
    "stop",
    "tell_reloaded",
]

_POLL_S = 0.02


class Restart(NamedTuple):
    """When and why one of the daemon's processes (`runner`, `API`) had to be started again."""

    at_ms: int
    what: str
    why: str


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
    #: Where the API is; empty when it was left out.
    api_url: str = ""
    #: Its processes; None is one that is being started again.
    api_pids: tuple[int | None, ...] = ()
    api_restarts: int = 0
    #: Safe mode: since when the runner keeps crashing.
    safe_since_ms: int | None = None
    #: When the runner is started again; None while it runs.
    next_start_ms: int | None = None
    last_restart: Restart | None = None
    #: Why the runner starts nothing new just now; empty: it does.
    trouble: str = ""
    keeper_alive: bool = True


class _StartFailed(RunFailed):
    """The runner said why it could not start."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["en"], told["zh"], hint=told["hint"], hint_zh=told["hint_zh"])
        self.code = told["code"]  # type: ignore[misc]  # this one has the code of what it stands for
        self.exit_code = Exit(told["exit_code"])  # type: ignore[misc]


def status(settings: Settings) -> DaemonStatus | None:
    """The daemon of this home; None when it does not run."""
    content = procs.daemon_said(settings.daemon_lock)
    if content is None:
        return None
    try:
        return DaemonStatus(
            supervisor_pid=content["pid"],
            runner_pid=content["runner"],
            keeper_pid=content["keeper"],
            started_ms=content["started_ms"],
            restarts=content["restarts"],
            home=content["home"],
            version=content["version"],
            api_url=content["api_url"],
            api_pids=tuple(content["api"]),
            api_restarts=content["api_restarts"],
            safe_since_ms=content["safe_since_ms"],
            next_start_ms=content["next_start_ms"],
            last_restart=Restart(**content["last_restart"]) if content["last_restart"] else None,
            trouble=content["trouble"],
            keeper_alive=content["keeper_alive"],
        )
    except KeyError:  # written by another version
        return None


def start(settings: Settings, *, api: bool = True, timeout_s: float = 30) -> DaemonStatus:
    """
    Start in the background; returns only when the runner, and the API if it is wanted, are ready.

    Raises:
        Conflict: a daemon runs already, or the API's port is in use; the message says which.
        RunFailed and its kin: why one of them could not start, with the exit code of that.
        TimedOut: they are not ready yet.
    """
    given = _given(settings, "background", api=api)
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready_read)
        _detach(settings, given._replace(ready_fd=ready_write))
    for fd in (ready_write, *given.fds()):
        os.close(fd)
    os.waitpid(child, 0)
    told = _read_words(ready_read, 1 + given.api_workers, timeout_s)
    found = status(settings)
    if told is None:
        raise TimedOut(f"the daemon is not ready after {timeout_s:g} s", f"{timeout_s:g} 秒内守护进程未就绪",
                       hint=f"see `{log_path(settings)}`")  # fmt: skip
    if "en" in told:
        raise _StartFailed(told)
    if not told or found is None:
        raise RunFailed("the daemon ended while it started", "守护进程启动时退出",
                        hint=f"see `{_output_path(settings)}` and `{log_path(settings)}`")  # fmt: skip
    return found


def run(settings: Settings, *, api: bool = True) -> NoReturn:
    """Become the daemon in the foreground; never returns. Raises as `start`, before it becomes one."""
    _become(settings, _given(settings, "front", api=api))


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
    """Have the running daemon read its settings and functions again. Raises DaemonNotRunning."""
    found = status(settings)
    if found is None:
        raise DaemonNotRunning
    _signal(found.supervisor_pid, signal.SIGHUP)


def reload_settings(settings: Settings, timeout_s: float = 10) -> Followed:
    """
    As `reload`; answers what the runner found in the settings.

    Raises:
        DaemonNotRunning: there is none.
        RunFailed: it cannot use them, and goes by the old ones.
        TimedOut: it said nothing.
    """
    from pyjobs.following import Followed

    before = _reloaded(settings)
    reload(settings)
    deadline = time.monotonic() + timeout_s
    while (told := _reloaded(settings)) == before or told is None:
        if time.monotonic() > deadline:
            raise TimedOut(f"the daemon did not say within {timeout_s:g} s what it found",
                           f"守护进程 {timeout_s:g} 秒内没有回应", hint=f"see `{log_path(settings)}`")  # fmt: skip
        time.sleep(_POLL_S)
    if told["en"]:
        raise RunFailed(told["en"], told["zh"])
    return Followed(tuple(told["changed"]), tuple(told["restart"]))


def tell_reloaded(settings: Settings, found: Followed | PyjobsError) -> None:
    """Leave what was found in the settings for `reload_settings`."""
    told: dict[str, Any] = {"at_ns": time.time_ns(), "changed": [], "restart": [], "en": "", "zh": ""}
    if isinstance(found, PyjobsError):
        told |= {"en": found.text("en"), "zh": found.text("zh")}
    else:
        told |= {"changed": found.changed, "restart": found.restart}
    path = _reloaded_path(settings)
    fresh = path.with_suffix(".new")
    with contextlib.suppress(OSError):  # a full disk: whoever waits is told that nothing was said
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(told, file)
        fresh.replace(path)


def _reloaded(settings: Settings) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(_reloaded_path(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told


def _reloaded_path(settings: Settings) -> Path:
    return settings.run_dir / "reloaded"


def log_path(settings: Settings) -> Path:
    """The system log."""
    return settings.path(settings.log_file)


def _output_path(settings: Settings) -> Path:
    """What the daemon's processes write to stderr: nothing, unless something is badly wrong."""
    return settings.home / "logs" / "daemon.out"


def _lock(settings: Settings) -> int:
    """The lock's descriptor. Raises Conflict, NotAllowed."""
    path = settings.daemon_lock
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


def _given(settings: Settings, where: str, *, api: bool) -> Given:
    """What the supervisor is told; the lock is taken, and the API's socket opened. Raises as `start`."""
    lock_fd = _lock(settings)
    given = Given(settings.home, lock_fd, -1, where, -1, "", 0, str(log_path(settings)))
    if not api:
        return given
    from pyjobs.listener import address_of, open_listener

    try:
        listener = open_listener(settings)
    except BaseException:
        os.close(lock_fd)
        raise
    url = address_of(listener, settings)
    return given._replace(api_fd=listener.detach(), api_url=url, api_workers=settings.api_workers)


def _detach(settings: Settings, given: Given) -> NoReturn:
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
            files_preserve=[*given.fds(), out_fd],
        )
        context.open()
        os.dup2(out_fd, 1)
        os.dup2(out_fd, 2)
        _become(settings, given)
    except BaseException as exc:  # the parent is told, whatever it is
        message = f"it could not go to the background: {exc}"
        told = {"code": "failed", "exit_code": 1, "en": message, "zh": message, "hint": "", "hint_zh": ""}
        os.write(given.ready_fd, (json.dumps(told) + "\n").encode())
    finally:
        os._exit(code)


def _become(settings: Settings, given: Given) -> NoReturn:
    os.chdir(settings.home)
    for fd in given.fds():
        os.set_inheritable(fd, True)
    # Settings of a run that starts a daemon are not the daemon's: its id would make it a stray of that run.
    run_only = ("PYJOBS_RUN_ID", "PYJOBS_JOB_ID", "PYJOBS_SCHEDULED_FOR")
    env = {k: v for k, v in os.environ.items() if k not in run_only}
    os.execve(sys.executable, [sys.executable, "-m", "pyjobs.keeper", *given.argv()], env)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def _read_words(fd: int, count: int, timeout_s: float) -> dict[str, Any] | None:
    """
    What so many processes say of themselves, each in a line of JSON, through one pipe.

    Answers the first word that is none of readiness, else the last one; {} when the pipe was closed before that;
    None when not all came in time.
    """
    content, deadline = b"", time.monotonic() + timeout_s
    try:
        while True:
            lines = content.split(b"\n")[:-1]
            words = [dict(json.loads(line)) for line in lines]
            bad = [word for word in words if "en" in word]
            if bad or len(words) >= count:
                return (bad or words[-1:])[0]
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            piece = os.read(fd, 65536)
            if not piece:
                return {}
            content += piece
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
