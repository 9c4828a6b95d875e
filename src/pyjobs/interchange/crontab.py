"""
A crontab, as Vixie cron and cronie read it -> what each of its lines is, and the job that does the same.

What cannot be the same is said, by codes: `reboot`, `mail`, `user`, `zone`, `shell`, `random`.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyjobs import commandtext
from pyjobs.commandtext import CommandSpec
from pyjobs.cronexpr import calendar_of, read
from pyjobs.errors import Invalid

__all__ = ["CronLine", "crontab_lines", "name_of"]

_VARIABLE = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z_][^\s=]*))\s*=\s*(.*?)\s*""")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*[$]?")
#: Words of cron that are no expression of ours.
_WORDS = {"@every_minute": "* * * * *"}
_SHELLS = ("/bin/sh", "/usr/bin/sh", "sh", "/bin/bash", "/usr/bin/bash", "bash")
#: What cron takes for itself; all else is for the commands.
_OWN = ("MAILTO", "MAILFROM", "CRON_TZ", "SHELL", "HOME", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "RANDOM_DELAY")
#: First words that say how something is run, not what.
_HOW = {"sudo", "nice", "ionice", "nohup", "exec", "env", "time", "command", "chronic", "setsid", "flock", "timeout",
        "cd", "test", "[", "[[", "if", "then", "sh", "bash", "python", "python3", "perl", "php", "ruby", "node", "root",
        "export", "source", ".", "eval", "run-parts"}  # fmt: skip
#: First words of what only prepares.
_BEFORE = ("cd", "test", "[", "[[", "export", "source", ".")
_LONGEST_NAME = 80
_END = "PYJOBS_STDIN"


@dataclass(frozen=True, slots=True)
class CronLine:
    """A line that says a job, or that nobody can read."""

    number: int
    #: As it stands there.
    line: str
    schedule: str = ""
    #: The zone of CRON_TZ.
    zone: str = ""
    #: Who it runs as, in a system's crontab.
    user: str = ""
    #: What is run, the input after `%` worked in.
    command: str = ""
    #: The command text of a job.
    text: str = ""
    #: The comment above.
    comment: str = ""
    #: What will not be as it was.
    notes: tuple[str, ...] = ()
    mail_to: str = ""
    #: Why it can be no job.
    problem: Invalid | None = None


@dataclass
class _State:
    """What the lines so far mean for the next ones."""

    variables: dict[str, str] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)


def crontab_lines(text: str, *, system: bool, me: str) -> list[CronLine]:
    """
    The lines of a crontab that say jobs, in order; comments and variables are worked in.

    Args:
        text: all of it.
        system: whether there is a column for the user, as in /etc/crontab.
        me: the user that pyjobs runs jobs as.
    """
    state, found = _State(), []
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        variable = _VARIABLE.fullmatch(line)
        if not bare:
            state.comment.clear()
        elif bare.startswith("#"):
            state.comment.append(bare.lstrip("#").strip())
        elif variable:
            state.variables[variable[1] or variable[2] or variable[3]] = _unquoted(variable[4])
            state.comment.clear()
        else:
            found.append(_job_line(number, bare.rstrip("\r"), state, system=system, me=me))
            state.comment.clear()
    return found


def name_of(command: str) -> str:
    """A name for a job, from what its command runs: `/opt/bin/backup.sh --all` gives `backup.sh`."""
    first = command.split("\n", 1)[0].removeprefix("{ ")
    fallback = ""
    for piece in re.split(r"&&|\|\||[;|]", first):
        words = _words(piece)
        for word in words:
            if word in _HOW:
                continue
            if words[0] not in _BEFORE:
                return word[:_LONGEST_NAME]
            fallback = fallback or word
            break
    return fallback[:_LONGEST_NAME] or "job"


def _words(piece: str) -> list[str]:
    """The words of a simple command that could be a name: no flags, no numbers, no variables; paths are cut."""
    try:
        words = shlex.split(piece)
    except ValueError:
        words = piece.split()
    found = []
    for before, word in zip(["", *words], words, strict=False):
        base = word if word in _HOW else re.sub(r"[^\w.+-]", "", word.rstrip("/").rsplit("/", 1)[-1])
        # What follows `sudo -u` is a user.
        odd = word.startswith(("-", "$", ">", "<", "!")) or "=" in word or before in ("-u", "-g")
        if base and not base.isdigit() and not odd:
            found.append(base)
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _job_line(number: int, line: str, state: _State, *, system: bool, me: str) -> CronLine:
    variables = dict(state.variables)
    mail = variables.get("MAILTO", "")
    found = CronLine(number, line, zone=variables.get("CRON_TZ", ""), comment=" ".join(filter(None, state.comment)),
                     mail_to=mail)  # fmt: skip
    parts = line.removeprefix("-").split(None, 1 if line.startswith("@") else 5)
    wanted = 2 if line.startswith("@") else 6
    if len(parts) < wanted:
        return dataclasses.replace(found, problem=Invalid(
            "schedule", "is no line of a crontab: five fields and a command are needed",
            "不是 crontab 行：需要五个字段和一条命令",
        ))  # fmt: skip
    try:
        schedule, rest, user = " ".join(parts[:-1]), parts[-1], ""
        if system:
            user, rest = _user_and_rest(rest)
        schedule, reboot = _schedule(schedule)
        command = _stdin(rest)
        text = commandtext.render(_spec(_wrapped(command, variables, user, me), variables))
        commandtext.parse("command", text)
    except Invalid as exc:
        return dataclasses.replace(found, problem=exc)
    notes = [
        "reboot" if reboot else "",
        "mail" if mail else "",
        "user" if user and user != me else "",
        "random" if "RANDOM_DELAY" in variables else "",
        "shell" if variables.get("SHELL", "/bin/sh") not in _SHELLS else "",
    ]
    return dataclasses.replace(
        found, schedule=schedule, user=user, command=command, text=text, notes=tuple(filter(None, notes))
    )


def _user_and_rest(rest: str) -> tuple[str, str]:
    user, command = [*rest.split(None, 1), ""][:2]
    if not _USER.fullmatch(user) or not command:
        raise Invalid(
            "user",
            f"`{user}` is no user: /etc/crontab and /etc/cron.d have one before the command",
            f"`{user}` 不是用户名：/etc/crontab 和 /etc/cron.d 在命令前有用户一列",
        )
    return user, command


def _schedule(schedule: str) -> tuple[str, bool]:
    """(the expression, empty for `@reboot`; whether it is that). Raises Invalid."""
    if schedule.lower() == "@reboot":
        return "", True
    schedule = _WORDS.get(schedule.lower(), schedule)
    if "~" in schedule:
        raise Invalid(
            "schedule",
            "`~` (a random time) has no counterpart: write a time",
            "没有与 `~`（随机时间）对应的写法，请写明时间",
        )
    calendar_of(read(schedule))
    return schedule, False


def _stdin(rest: str) -> str:
    r"""A command and its input: a bare `%` ends it, and the following ones are ends of lines; `\%` is a `%`."""
    command, *lines = (piece.replace(r"\%", "%") for piece in re.split(r"(?<!\\)%", rest))
    if not lines:
        return command.strip()
    end = _END
    while end in lines:
        end += "_"
    return "\n".join([f"{{ {command.strip()}", f"}} <<'{end}'", *lines, end])


def _wrapped(command: str, variables: Mapping[str, str], user: str, me: str) -> str:
    """The command by the shell and the user that it ran by."""
    shell = variables.get("SHELL", "/bin/sh")
    if user and user != me:
        if me != "root":
            raise Invalid(
                "user",
                f"it runs as `{user}`, pyjobs here as `{me}`",
                f"以 `{user}` 身份运行，而此处 pyjobs 的用户为 `{me}`",
            )
        return f"runuser -u {shlex.quote(user)} -- {shlex.quote(shell)} -c {shlex.quote(command)}"
    if shell not in _SHELLS:
        return f"exec {shlex.quote(shell)} -c {shlex.quote(command)}"
    return command


def _spec(command: str, variables: Mapping[str, str]) -> CommandSpec:
    env = tuple((name, value) for name, value in variables.items() if name not in _OWN)
    if any("|||" in value or "\n" in value for _, value in env):
        raise Invalid("variable", "holds `|||`", "含有 `|||`")
    # cron ends no run by itself, and starts it in the home of its user.
    return CommandSpec(command=command, env=env, workdir=variables.get("HOME", "") or "~", timeout=0)
