"""
Mode `command`: a shell text in a session of its own, its output written to the spool files by the kernel.

Started by posix_spawn, which costs a third of `subprocess.Popen`; the descriptors of this process are all
close-on-exec (those that it was started with are made so), so nothing is inherited.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import fields
from pathlib import Path

from pyjobs import procs
from pyjobs.clock import from_ms
from pyjobs.commandtext import CommandSpec
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.executors.process import RUN_ID, ProcessAttempt, environment, find_leader, inherit_nothing
from pyjobs.executors.spool import Spool
from pyjobs.jobs import Run
from pyjobs.ports import Launch

__all__ = ["CommandExecutor", "run_environment", "run_variables"]

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
#: Python ignores these; a command must not.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
#: One shell that changes folder and becomes the other one: posix_spawn itself cannot change folder.
_IN_FOLDER = 'cd -- "$1" && exec "$2" -c "$3"'


class CommandExecutor:
    """Runs shell texts: by bash where there is one, else by sh."""

    mode = "command"

    def __init__(self, settings: Settings, spool: Spool) -> None:
        """Take the home whose folder commands start in."""
        self._home = settings.home
        self._at_home = _is_here(settings.home)
        self._spool = spool
        self._exits = settings.run_dir / "exits"
        self._sh = shutil.which("sh") or "/bin/sh"
        self._shell = shutil.which("bash") or self._sh
        self._environment = run_environment(settings)
        inherit_nothing()

    def ready(self) -> bool:
        """Nothing has to be prepared."""
        return True

    def start(self, launch: Launch) -> ProcessAttempt:
        """Start the text. Raises RunFailed when it cannot be started."""
        spec = launch.spec
        assert isinstance(spec, CommandSpec)
        argv = self._argv(spec)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, self._spool.out(launch.exec_id), _APPEND, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, self._spool.err(launch.exec_id), _APPEND, 0o600),
        ]
        try:
            pid = os.posix_spawn(
                argv[0],
                argv,
                {**self._environment, **dict(spec.env), **run_variables(launch)},
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise RunFailed(f"it could not be started: {why}", f"无法启动：{why}") from exc
        return ProcessAttempt(launch.exec_id, pid, procs.start_time(pid), self._exits, child=True)

    def adopt(self, run: Run) -> ProcessAttempt | None:
        """Take over a command that a dead runner started, or what was kept of its end."""
        pid, start = (run.pid, run.pid_start) if run.pid else find_leader(run.exec_id)
        if pid is None or start is None:
            return None
        return ProcessAttempt(run.exec_id, pid, start, self._exits, child=False)

    def close(self) -> None:
        """Nothing is held; commands go on."""

    def _argv(self, spec: CommandSpec) -> list[str]:
        if self._at_home and not spec.workdir:
            return [self._shell, "-c", spec.command]
        # Not Path's own methods: they raise for an unknown user, a name too long, a folder that may not be entered.
        folder = self._home / os.path.expanduser(spec.workdir)  # noqa: PTH111
        if not os.path.isdir(folder):  # noqa: PTH112
            raise RunFailed(f"the working directory `{folder}` is not there", f"工作目录 `{folder}` 不存在")
        return [self._sh, "-c", _IN_FOLDER, "sh", str(folder), self._shell, spec.command]


def _is_here(folder: Path) -> bool:
    try:
        return Path.cwd() == folder
    except OSError:  # the working directory was deleted
        return False


def run_environment(settings: Settings) -> dict[str, str]:
    """What every run's environment starts from: the daemon's, less pyjobs' own settings and secrets."""
    own = {f.name.upper() for f in fields(Settings) if f.metadata.get("bare")}
    own |= {"DB_PASSWORD", "API_SECRET_KEY"}
    own |= {f"{name}_FILE" for name in own}
    base = environment(dict(os.environ), frozenset(own))
    return {**base, "PYTHONUNBUFFERED": "1", "PYJOBS_HOME": str(settings.home)}


def run_variables(launch: Launch) -> dict[str, str]:
    """The variables that name one run."""
    due = "" if launch.scheduled_ms is None else from_ms(launch.scheduled_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {RUN_ID: launch.exec_id, "PYJOBS_JOB_ID": str(launch.job_id or ""), "PYJOBS_SCHEDULED_FOR": due}
