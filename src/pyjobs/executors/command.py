"""
Mode `command`: a shell text in a session of its own, its output written to the spool files by the kernel.

A text of plain words is executed without a shell, which would only do the same at twice the price. Started by
posix_spawn, which costs a third of `subprocess.Popen`; the descriptors of this process are all
close-on-exec (those that it was started with are made so), so nothing is inherited.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import fields
from pathlib import Path

from pyjobs import procs
from pyjobs.clock import from_ms
from pyjobs.commandtext import CommandSpec
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.executors.launched import Launched
from pyjobs.executors.process import RUN_ID, ProcessAttempt, environment, find_leader, inherit_nothing
from pyjobs.executors.spool import Spool
from pyjobs.jobs import Run
from pyjobs.ports import Launch

__all__ = ["CommandExecutor", "program_of", "run_environment", "run_variables"]

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
#: Python ignores these; a command must not.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
#: Words that mean to a shell what they say: nothing to expand, to assign or to redirect.
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+(?: +[A-Za-z0-9_./:@%+,=-]+)*")
#: First words that bash does not look for in PATH; `true` and `false` are left out, being the same anywhere.
_SHELLS_OWN = frozenset(  # the words as text: a literal list of them is a page long
    ". : alias bg bind break builtin caller case cd command compgen complete compopt continue coproc "  # noqa: SIM905
    "declare "
    "dirs disown do done echo elif else enable esac eval exec exit export fc fg fi for function getopts hash "
    "help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly "
    "return select set shift shopt source suspend test then time times trap type typeset ulimit umask unalias "
    "unset until wait while".split()
)
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
        self._exits = settings.exits_dir
        self._launched = Launched(settings.run_dir)
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
        env = {**self._environment, **dict(spec.env), **run_variables(launch)}
        try:
            try:
                pid = self._launch(launch.exec_id, spec, env)
            except FileNotFoundError:
                self._spool.prepare()  # somebody may have deleted its folder
                pid = self._launch(launch.exec_id, spec, env)
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise RunFailed(f"it could not be started: {why}", f"无法启动：{why}") from exc
        start = procs.start_time(pid)
        if start is not None:
            self._launched.note(launch.exec_id, pid, start)
        return ProcessAttempt(launch.exec_id, pid, start, self._exits, child=True)

    def _launch(self, exec_id: str, spec: CommandSpec, env: dict[str, str]) -> int:
        pid = self._spawn_directly(exec_id, spec, env)
        if pid is None:
            argv = self._argv(spec)
            pid = self._spawn(exec_id, argv[0], argv, env)
        return pid

    def adopt(self, run: Run) -> ProcessAttempt | None:
        """Take over a command that a dead runner started, or what was kept of its end."""
        # Before the row, which may still name the attempt before.
        noted = self._launched.find(run.exec_id)
        pid, start = noted or ((run.pid, run.pid_start) if run.pid else find_leader(run.exec_id))
        if pid is None or start is None:
            return None
        return ProcessAttempt(run.exec_id, pid, start, self._exits, child=False)

    def close(self) -> None:
        """Commands go on."""
        self._launched.close()

    def _spawn_directly(self, exec_id: str, spec: CommandSpec, env: dict[str, str]) -> int | None:
        """The process of a text that needs no shell; None when it does, or when a shell would know better."""
        if spec.workdir or not self._at_home or not _PLAIN.fullmatch(spec.command):
            return None
        words = spec.command.split()
        # What a shell reads when it starts may give any word another meaning.
        if words[0] in _SHELLS_OWN or "BASH_ENV" in env or any(name.startswith("BASH_FUNC_") for name in env):
            return None
        program = shutil.which(words[0], path=env.get("PATH", os.defpath))
        if program is None:
            return None
        try:
            return self._spawn(exec_id, program, words, env)
        except OSError:  # a script without its first line, a foreign binary: the shell runs it, or says why not
            return None

    def _spawn(self, exec_id: str, program: str, argv: list[str], env: dict[str, str]) -> int:
        return os.posix_spawn(
            program,
            argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self._spool.out(exec_id), _APPEND, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, self._spool.err(exec_id), _APPEND, 0o600),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )

    def _argv(self, spec: CommandSpec) -> list[str]:
        if self._at_home and not spec.workdir:
            return [self._shell, "-c", spec.command]
        # Not Path's own methods: they raise for an unknown user, a name too long, a folder that may not be entered.
        folder = self._home / os.path.expanduser(spec.workdir)  # noqa: PTH111
        if not os.path.isdir(folder):  # noqa: PTH112
            raise RunFailed(f"the working directory `{folder}` is not there", f"工作目录 `{folder}` 不存在")
        return [self._sh, "-c", _IN_FOLDER, "sh", str(folder), self._shell, spec.command]


def program_of(text: str) -> str | None:
    """The program that a text of plain words starts; None where a shell decides what it means."""
    first = text.split(maxsplit=1)[0] if _PLAIN.fullmatch(text) else None
    return None if first in _SHELLS_OWN | {"true", "false"} else first


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
