"""What was said by flags as the fields that the service takes; the command text is put together here."""

from __future__ import annotations

import dataclasses
from typing import Any
from zoneinfo import ZoneInfo

from pyjobs import commandtext
from pyjobs.cli.flags import JobFlags
from pyjobs.cli.times import instant, milliseconds, seconds
from pyjobs.errors import Invalid
from pyjobs.jobs import AllowMode, Job
from pyjobs.service.jobs import JobFields

__all__ = ["fields_of"]

#: flag -> tag, by mode.
_TAGS = {
    "http": {"http": "url", "method": "mode", "header": "headers", "data": "data", "cookies": "cookies",
             "proxy": "proxy", "expect": "result"},
    "command": {"command": "command", "workdir": "workdir", "env": "env"},
    "func": {"func": "name", "arg": "arg"},
}  # fmt: skip
_PAIRS = {"header": ":", "env": "="}


def fields_of(flags: JobFlags, zone: ZoneInfo, old: Job | None = None) -> JobFields:
    """
    The fields that `flags` speak of; None in them is "as it was".

    Args:
        flags: what was typed.
        zone: of a time without an offset, where the job has none of its own.
        old: the job that is changed, if one is.

    Raises:
        Invalid: a flag is wrong by itself, or does not fit the others.
    """
    mode, command = _command(flags, old)
    own_zone = _zone(flags, old)
    return JobFields(
        mode=mode,
        command=command,
        desc=flags.desc,
        trigger_type="manual" if flags.manual and _one_trigger(flags) else None,
        cron_expr=flags.cron,
        interval_s=None if flags.every is None else _interval(flags.every),
        at_ms=None if flags.at is None else instant("--at", flags.at, own_zone or zone),
        timezone=flags.timezone,
        dst_gap=flags.dst_gap and flags.dst_gap.value,
        dst_fold=flags.dst_fold and flags.dst_fold.value,
        allow_mode=_allow_mode(flags.allow_mode),
        misfire=flags.misfire and flags.misfire.value,
        catchup_window_s=seconds("--catchup-window", flags.catchup_window),
        max_run_count=flags.max_runs,
        grace_s=seconds("--grace", flags.grace),
    )


def _zone(flags: JobFlags, old: Job | None) -> ZoneInfo | None:
    """The job's own zone, if it has one. Raises Invalid."""
    name = flags.timezone if flags.timezone is not None else old.timezone if old is not None else ""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError) as exc:
        raise Invalid("--timezone", f"there is no time zone `{name}`", f"不存在时区 `{name}`",
                      hint="write an IANA name such as `Europe/Berlin`") from exc  # fmt: skip


def _one_trigger(flags: JobFlags) -> bool:
    given = [f"--{name}" for name in ("cron", "every", "at") if getattr(flags, name) is not None]
    if given:
        raise Invalid("--manual", f"does not go with {', '.join(given)}", f"不能与 {'、'.join(given)} 同时使用")
    return True


def _interval(text: str) -> int:
    whole = seconds("--every", text)
    if not whole:
        raise Invalid("--every", f"`{text}` is shorter than a second", f"`{text}` 不足一秒")
    return whole


def _allow_mode(text: str | None) -> int | None:
    if text is None:
        return None
    names = {mode.name.lower(): int(mode) for mode in AllowMode}
    known = names | {str(number): number for number in names.values()}
    if text.strip().lower() not in known:
        shown = ", ".join(f"{name} ({number})" for name, number in names.items())
        raise Invalid("--allow-mode", f"`{text}` is not one of {shown}", f"`{text}` 无效，可用：{shown}")
    return known[text.strip().lower()]


def _command(flags: JobFlags, old: Job | None) -> tuple[str | None, str | None]:
    """Mode and command text; (None, None) when nothing was said about them."""
    mode = _mode(flags, old)
    if mode is None:
        return None, None
    tags = _tags(flags, mode)
    if flags.raw is not None:
        text = flags.raw
    elif old is not None and old.mode == mode:
        text = old.command
    else:
        text = ""
    if not tags and text:
        return (mode, text) if flags.raw is not None else (None, None)
    return mode, _put_together(mode, text, tags, old)


def _mode(flags: JobFlags, old: Job | None) -> str | None:
    given = [name for name in ("http", "command", "func", "raw") if getattr(flags, name) is not None]
    if len(given) > 1:
        names = ", ".join(f"--{name}" for name in given)
        raise Invalid("command", f"only one of them is possible: {names}", f"只能使用其中之一：{names}")
    if given and given[0] != "raw":
        if flags.mode is not None and commandtext.canonical_mode(flags.mode) != given[0]:
            raise Invalid(
                "--mode", f"`{flags.mode}` does not go with --{given[0]}", f"`{flags.mode}` 与 --{given[0]} 不符"
            )
        return given[0]
    if flags.mode is not None:
        if not given:
            raise Invalid("--mode", "goes with --raw only", "只能与 --raw 一起使用")
        return commandtext.canonical_mode(flags.mode)
    if old is not None:
        return old.mode
    if given:
        raise Invalid("--mode", "is missing: --raw does not say which mode its text is for", "不能为空",
                      hint="add `--mode command`, `--mode http` or `--mode func`")  # fmt: skip
    raise Invalid("command", "is missing: say what the job does", "不能为空：请说明任务要做什么",
                  hint="give `--command`, `--http` or `--func`",
                  hint_zh="请用 `--command`、`--http` 或 `--func`")  # fmt: skip


def _tags(flags: JobFlags, mode: str) -> dict[str, Any]:
    """Tags that were said, by their names in the spec."""
    own = _TAGS.get(mode, {})
    for other in _TAGS.values():
        for name in other:
            if name not in own and getattr(flags, name) is not None:
                wanted = next(m for m, names in _TAGS.items() if name in names)
                raise Invalid(
                    f"--{name}",
                    f"belongs to {wanted} jobs, this is a {mode} job",
                    f"仅用于 {wanted} 任务，本任务为 {mode}",
                )
    said: dict[str, Any] = {}
    for name, tag in own.items():
        value = getattr(flags, name)
        if value is not None:
            said[tag] = _pairs(f"--{name}", value, _PAIRS[name]) if name in _PAIRS else value.strip()
    if flags.timeout is not None:
        said["timeout"] = seconds("--timeout", flags.timeout)
    if flags.retries is not None:
        if flags.retries < 0:
            raise Invalid("--retries", f"`{flags.retries}` is negative", f"`{flags.retries}` 为负数")
        said["times"] = flags.retries + 1
    if flags.retry_interval is not None:
        said["interval"] = -(-milliseconds("--retry-interval", flags.retry_interval) // 1000)
    return said


def _pairs(field: str, values: list[str], separator: str) -> tuple[tuple[str, str], ...]:
    found = []
    for value in filter(None, values):
        name, there, content = value.partition(separator)
        if not there or not name.strip():
            raise Invalid(
                field, f"`{value}` is not `NAME{separator}VALUE`", f"`{value}` 的格式应为 `名称{separator}值`"
            )
        found.append((name.strip(), content.strip()))
    return tuple(found)


def _put_together(mode: str, text: str, tags: dict[str, Any], old: Job | None) -> str:
    kind: Any = commandtext.SPECS[mode]
    if text:
        spec = dataclasses.replace(commandtext.parse(mode, text), **tags)
    else:
        if old is not None and old.command:
            was = commandtext.parse(old.mode, old.command, lenient=True)
            tags = {name: getattr(was, name) for name in ("timeout", "times", "interval")} | tags
        spec = kind(**tags)
    written = commandtext.render(spec)
    if commandtext.parse(mode, written) != spec:
        raise Invalid("command", "holds what a command text cannot say, such as `|||` inside a value",
                      "含有命令文本无法表示的内容，例如值中的 `|||`")  # fmt: skip
    return written
