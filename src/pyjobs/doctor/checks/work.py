"""Checks of what jobs do: whether what they need is there."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from pyjobs import commandtext
from pyjobs.commandtext import CommandSpec, FuncSpec, Spec
from pyjobs.doctor.checks.jobs import BROKEN, ref
from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Said, Severity
from pyjobs.errors import PyjobsError
from pyjobs.executors.command import program_of
from pyjobs.jobs import Job

__all__ = ["folders", "functions", "programs", "shells", "tags", "texts", "unlimited"]


def unlimited(facts: Facts) -> Iterator[Finding]:
    """Jobs without a time-out."""
    found = [job for job, spec in _specs(facts) if _timeout(job, spec, facts.settings.job_timeout) == 0]
    if found:
        names = _some([job.name for job in found])
        yield Finding(
            code="no_timeout",
            severity=Severity.NOTE,
            what=Said(f"{len(found)} {'job has' if len(found) == 1 else 'jobs have'} no time-out: {names}",
                      f"{len(found)} 个任务没有超时限制：{names}"),
            why=Said("a run that hangs hangs for ever, and holds back a job that runs one at a time",
                     "挂起的执行将永远不会结束，串行任务会因此停滞"),
            mend=f"pyjobs job edit {ref(found[0])} --timeout 1h",
        )  # fmt: skip


def shells(facts: Facts) -> Iterator[Finding]:
    """A shell for commands."""
    bash, sh = facts.shells
    if bash or not any(job.mode == "command" for job in facts.jobs):
        return
    yield Finding(
        code="no_bash" if sh else "no_shell",
        severity=Severity.NOTE if sh else Severity.ERROR,
        what=Said("there is no bash" if sh else "there is neither bash nor sh",
                  "没有 bash" if sh else "没有 bash 和 sh"),
        why=Said("commands are run by sh" if sh else "commands cannot be run",
                 "命令将由 sh 执行" if sh else "命令无法执行"),
        mend="apt-get install bash",
    )  # fmt: skip


def programs(facts: Facts) -> Iterator[Finding]:
    """Programs that are not in the PATH of the daemon; where no daemon says its own, that of this call."""
    known = facts.daemon_environ is not None
    environ = facts.daemon_environ or dict(os.environ)
    if "BASH_ENV" in environ or any(name.startswith("BASH_FUNC_") for name in environ):
        return  # what bash reads when it starts may give any word a meaning
    for job, spec in _specs(facts):
        if not isinstance(spec, CommandSpec):
            continue
        word = program_of(spec.command)
        if word is None or _is_program(word, spec, facts, environ.get("PATH", os.defpath)):
            continue
        yield Finding(
            code="program_missing",
            severity=Severity.WARNING if known or "/" in word else Severity.NOTE,
            what=Said(f"`{job.name}` runs `{word}`, which is not there", f"`{job.name}` 执行的 `{word}` 不存在"),
            why=Said("it is not in the PATH of the daemon" if known else "it is not in the PATH of this shell",
                     "守护进程的 PATH 中没有它" if known else "当前 Shell 的 PATH 中没有它"),
            mend=f"pyjobs job edit {ref(job)} --command '/FULL/PATH/TO/{word.rpartition('/')[2]}'",
            job=job.name,
        )  # fmt: skip


def folders(facts: Facts) -> Iterator[Finding]:
    """Working directories that are not there."""
    for job, spec in _specs(facts):
        if isinstance(spec, CommandSpec) and spec.workdir and not _folder(spec, facts).is_dir():
            folder = _folder(spec, facts)
            yield Finding(
                code="workdir_missing",
                severity=Severity.WARNING,
                what=Said(f"the working directory `{folder}` of `{job.name}` is not there",
                          f"`{job.name}` 的工作目录 `{folder}` 不存在"),
                why=Said("its runs fail until it is", "创建之前执行会失败"),
                mend=f"mkdir -p {shlex.quote(str(folder))}",
                job=job.name,
            )  # fmt: skip


def functions(facts: Facts) -> Iterator[Finding]:
    """Functions that are not there, and files that could not be loaded."""
    calls = [(job, spec) for job, spec in _specs(facts) if isinstance(spec, FuncSpec)]
    if not calls and not facts.settings.path(facts.settings.functions_dir).is_dir():
        return
    names, problems = facts.functions
    for job, spec in calls:
        if spec.name not in names:
            yield Finding(
                code="function_missing",
                severity=Severity.WARNING,
                what=Said(f"`{job.name}` calls `{spec.name}`, which is no function here",
                          f"`{job.name}` 调用的函数 `{spec.name}` 不存在"),
                why=Said("its runs fail until it is", "在其可用之前执行会失败"),
                mend="pyjobs funcs list",
                job=job.name,
            )  # fmt: skip
    for file, problem in sorted(problems.items()):
        yield Finding(
            code="function_file",
            severity=Severity.WARNING,
            what=Said(f"`{file}` is not used", f"`{file}` 未被加载"),
            why=Said(problem, problem),
            mend="pyjobs funcs reload",
        )


def tags(facts: Facts) -> Iterator[Finding]:
    """Command texts with tags that nobody knows."""
    for job in facts.jobs:
        unknown = commandtext.unknown_tags(job.mode, job.command) if _readable(job) else []
        if unknown:
            shown = ", ".join(f"【{tag}】" for tag in unknown)
            yield Finding(
                code="unknown_tags",
                severity=Severity.WARNING,
                what=Said(f"the text of `{job.name}` has tags that are ignored: {shown}",
                          f"`{job.name}` 的命令文本中有被忽略的标签：{shown}"),
                why=Said(f"mode {job.mode} knows no such tags", f"{job.mode} 模式没有这样的标签"),
                mend=f"pyjobs job show {ref(job)} --raw",
                job=job.name,
            )  # fmt: skip


def texts(facts: Facts) -> Iterator[Finding]:
    """Command texts that cannot be used."""
    for job in facts.jobs:
        if job.stop_reason.startswith(BROKEN):
            continue
        if _readable(job):
            error = _problem(job)
            if error is None:
                continue
            why = Said(str(error), error.text("zh"))
        else:
            why = Said(f"nothing here runs mode `{job.mode}`", f"没有可以执行 `{job.mode}` 模式的组件")
        yield Finding(
            code="bad_command",
            severity=Severity.ERROR,
            what=Said(f"what `{job.name}` does cannot be read", f"`{job.name}` 的命令文本无法使用"),
            why=why,
            mend=f"pyjobs job show {ref(job)} --raw",
            job=job.name,
        )


def _specs(facts: Facts) -> Iterator[tuple[Job, Spec]]:
    """Jobs that are not stopped, and what each does; without those that say nothing that can be read."""
    for job in facts.waiting:
        if _readable(job) and _problem(job) is None:
            yield job, commandtext.parse(job.mode, job.command, lenient=True)


def _readable(job: Job) -> bool:
    """Whether its mode is one that is known here."""
    return job.mode in commandtext.SPECS and not job.stop_reason.startswith(BROKEN)


def _problem(job: Job) -> PyjobsError | None:
    try:
        commandtext.parse(job.mode, job.command, lenient=True)
    except PyjobsError as exc:
        return exc
    return None


def _timeout(job: Job, spec: Spec, default_s: int) -> int:
    if spec.timeout is not None:
        return spec.timeout
    return default_s if job.timeout_s is None else job.timeout_s


def _folder(spec: CommandSpec, facts: Facts) -> Path:
    return facts.settings.home / os.path.expanduser(spec.workdir)  # noqa: PTH111 - Path's own raises for unknown users


def _is_program(word: str, spec: CommandSpec, facts: Facts, path: str) -> bool:
    if "/" in word:
        place = _folder(spec, facts) / word
        return os.access(place, os.X_OK) and not place.is_dir()
    # Entries that are relative are so to the folder that the command runs in.
    path = dict(spec.env).get("PATH", path)
    folders = [str(_folder(spec, facts) / entry) for entry in path.split(os.pathsep)]
    return shutil.which(word, path=os.pathsep.join(folders)) is not None


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown + (f" … +{len(names) - 5}" if len(names) > 5 else "")
