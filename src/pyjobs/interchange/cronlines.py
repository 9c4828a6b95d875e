"""Jobs as lines of a crontab. What a crontab cannot say is a comment with the reason."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pyjobs import commandtext
from pyjobs.commandtext import CommandSpec
from pyjobs.cronexpr import Field, read
from pyjobs.errors import PyjobsError
from pyjobs.jobs import AllowMode, Job, JobState, TriggerType

__all__ = ["CannotSay", "command_of", "cron_of", "crontab_of", "folder_of", "losses", "spec_of"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Of a command in a crontab.
_LONGEST = 998


class CannotSay(Exception):
    """Why a job cannot be said in another scheduler's words."""


def crontab_of(job: Job, zone: str, home: Path) -> list[str]:
    """The lines of one job; `zone` and `home` are those of jobs without a zone and a folder of their own."""
    head = [f"# {job.name}", *(f"# {line}" for line in job.desc.splitlines() if line)]
    try:
        schedule, own_zone = cron_of(job)
        line = f"{schedule} {_one_line(command_of(job, home))}"
    except CannotSay as exc:
        return [*head, f"# left out: {exc}", ""]
    notes = [f"# not kept: {loss}" for loss in losses(job)]
    if job.state is JobState.STOPPED:
        return [*head, *notes, "# it is stopped", f"#{line}", ""]
    return [*head, *notes, f"CRON_TZ={own_zone or job.timezone or zone}", line, ""]


def cron_of(job: Job) -> tuple[str, str]:
    """
    (five fields, the zone that the expression itself names or an empty text).

    Raises:
        CannotSay: nothing that cron knows is due at the same times.
    """
    if job.trigger_type is TriggerType.MANUAL:
        raise CannotSay("it is only started by hand")
    if job.trigger_type is TriggerType.ONCE:
        raise CannotSay("it runs once, which is a matter of at(1)")
    if job.trigger_type is TriggerType.INTERVAL:
        return _period(job.interval_s), ""
    try:
        expression = read(job.cron_expr)
    except PyjobsError as exc:
        raise CannotSay(str(exc)) from exc
    if expression.every_s:
        return _period(expression.every_s), expression.zone
    second, *rest = expression.fields
    if second.mask() != 1:
        raise CannotSay("cron has no seconds")
    if any(term.mark for part in rest for term in part.terms):
        raise CannotSay("cron has no L, W and #")
    return " ".join(map(_field, rest)), expression.zone


def command_of(job: Job, home: Path) -> str:
    """
    A shell text that does what the job does, in any shell's words.

    Raises:
        CannotSay: it is no command.
    """
    spec = spec_of(job)
    folder = folder_of(spec, home)
    return "".join([
        *(f"export {name}={shlex.quote(value)}; " for name, value in spec.env),
        f"cd {folder if folder == '~' else shlex.quote(folder)} || exit; ",
        _limited(spec, job),
    ])  # fmt: skip


def spec_of(job: Job) -> CommandSpec:
    """What a command job does. Raises CannotSay: it is no command."""
    try:
        spec = commandtext.parse(job.mode, job.command, lenient=True)
    except (PyjobsError, KeyError) as exc:
        raise CannotSay(str(exc)) from exc
    if not isinstance(spec, CommandSpec):
        raise CannotSay(f"it is no command, but {job.mode}")
    return spec


def folder_of(spec: CommandSpec, home: Path) -> str:
    """Where a command runs: `~`, or a whole path."""
    return "~" if spec.workdir in ("~", "~/") else str(home / spec.workdir)


def losses(job: Job) -> Iterator[str]:
    """What neither cron nor a plain command knows of what the job says."""
    spec = commandtext.parse(job.mode, job.command, lenient=True)
    if spec.times > 1:
        yield f"{spec.times - 1} retries"
    if job.allow_mode is not AllowMode.PARALLEL:
        yield f"what happens while one still runs ({job.allow_mode.name.lower()})"
    if job.max_run_count:
        yield f"the limit of {job.max_run_count} runs"
    if job.trigger_type is TriggerType.INTERVAL or "@every" in job.cron_expr.lower():
        yield "where its interval counts from"


def _limited(spec: CommandSpec, job: Job) -> str:
    seconds = job.timeout_s if spec.timeout is None else spec.timeout
    if not seconds:
        return spec.command
    return f"timeout -k {job.grace_s} {seconds} bash -c {shlex.quote(spec.command)}"


def _one_line(command: str) -> str:
    """One line of a crontab, where a `%` would end it. Its shell is bash."""
    if "\n" in command:
        escaped = command.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        command = f"eval $'{escaped}'"
    line = command.replace("%", r"\%")
    if len(line) > _LONGEST:
        raise CannotSay(f"cron takes no command of more than {_LONGEST} characters")
    return line


def _period(seconds: int) -> str:
    if seconds % _MINUTE == 0 and _HOUR % seconds == 0:
        step = seconds // _MINUTE
        return "0 * * * *" if step == 60 else "* * * * *" if step == 1 else f"*/{step} * * * *"
    if seconds % _HOUR == 0 and _DAY % seconds == 0:
        step = seconds // _HOUR
        return "0 0 * * *" if step == 24 else f"0 */{step} * * *"
    raise CannotSay(f"cron has no period of {seconds} s")


def _field(part: Field) -> str:
    """A field in numbers; a star stays one, since it decides how days are matched."""
    if not part.star:
        return ",".join(map(str, part.terms))
    first, *others = part.terms
    return ",".join(["*" if first.step == 1 else f"*/{first.step}", *map(str, others)])
