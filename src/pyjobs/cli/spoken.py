"""What was said by flags as the fields that the service takes; the command text is put together here."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from pyjobs import commandtext
from pyjobs.cli.flags import JobFlags
from pyjobs.cli.times import instant, milliseconds, seconds
from pyjobs.errors import BadCommandText, Invalid, PyjobsError
from pyjobs.jobs import AllowMode, Job
from pyjobs.service.jobs import JobFields

__all__ = ["fields_of", "named_as_typed"]

#: flag -> tag, by mode.
_TAGS = {
    "http": {"http": "url", "method": "mode", "header": "headers", "data": "data", "cookies": "cookies",
             "proxy": "proxy", "expect": "result"},
    "command": {"command": "command", "workdir": "workdir", "env": "env"},
    "func": {"func": "name", "arg": "arg"},
}  # fmt: skip
_WHEN = ("cron", "every", "at", "manual")
_WHAT = ("command", "http", "func", "raw")
_SAY_WHAT = ("what the job does: `--command`, `--http` or `--func`", "任务要做什么：`--command`、`--http` 或 `--func`")
_SAY_WHEN = ("when it runs: `--cron`, `--every`, `--at`, or `--manual` for only by hand",
             "何时执行：`--cron`、`--every`、`--at`，仅手动执行则用 `--manual`")  # fmt: skip
#: tag or field of the service -> the flag that says it.
_BY_TAG = {tag: f"--{flag}" for tags in _TAGS.values() for flag, tag in tags.items()} | {
    "timeout": "--timeout",
    "times": "--retries",
    "interval": "--retry-interval",
}
_BY_FIELD = {
    "cron_expr": "--cron",
    "interval_seconds": "--every",
    "at": "--at",
    "max_run_count": "--max-runs",
    "alerts": "--alert",
} | {name: f"--{name.replace('_', '-')}" for name in (
    "desc", "timezone", "dst_gap", "dst_fold", "allow_mode", "misfire", "catchup_window", "timeout", "grace",
    "retry_backoff", "retry_on", "on_lost"
)}  # fmt: skip
_PAIRS = {"header": ":", "env": "="}


class _Misspoken(Invalid):
    """Flags that do not make a job together."""

    def __init__(self, en: str, zh: str, *, hint: str = "", hint_zh: str = "") -> None:
        """Name no field: it is about several."""
        PyjobsError.__init__(self, en, zh, hint=hint, hint_zh=hint_zh)
        self.field = ""


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
    _complete(flags, old)
    with named_as_typed(flags):
        mode, command = _command(flags, old)
    own_zone = _zone(flags, old)
    return JobFields(
        mode=mode,
        command=command,
        desc=flags.desc,
        trigger_type="manual" if flags.manual else None,
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
        retry_backoff=flags.retry_backoff and flags.retry_backoff.value,
        retry_on=flags.retry_on,
        on_lost=flags.on_lost and flags.on_lost.value,
        alerts=flags.alert,
    )


def _zone(flags: JobFlags, old: Job | None) -> ZoneInfo | None:
    """The job's own zone, if it has one. Raises Invalid."""
    name = flags.timezone if flags.timezone is not None else old.timezone if old is not None else ""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError) as exc:
        raise Invalid("--timezone", f"there is no time zone `{name}`", f"不存在时区 `{name}`",
                      hint="write an IANA name such as `Europe/Berlin`") from exc  # fmt: skip


def _complete(flags: JobFlags, old: Job | None) -> None:
    """Raise when there is no flag, or more than one, that says when, or that says what."""
    when = [name for name in _WHEN if getattr(flags, name) not in (None, False)]
    what = [name for name in _WHAT if getattr(flags, name) is not None]
    for given, names in ((when, _WHEN), (what, _WHAT)):
        if len(given) > 1:
            both, both_zh = (sign.join(f"`--{name}`" for name in given) for sign in (" and ", " 和 "))
            raise _Misspoken(
                f"give only one of {_flags(names)}, not {both}",
                f"{_flags(names, '、')} 只能使用其中之一，而不是 {both_zh}",
            )
    if old is not None:
        return
    missing = [] if what or flags.mode is not None else [_SAY_WHAT]
    missing += [] if when else [_SAY_WHEN]
    if missing:
        english, chinese = zip(*missing, strict=True)
        raise _Misspoken(
            f"say {'; and '.join(english)}", f"请说明{'，以及'.join(chinese)}",
            hint="for example `pyjobs job add NAME --every 1h --command 'echo hello'`",
            hint_zh="例如 `pyjobs job add NAME --every 1h --command 'echo hello'`",
        )  # fmt: skip


def _flags(names: tuple[str, ...], separator: str = ", ") -> str:
    return separator.join(f"`--{name}`" for name in names)


@contextlib.contextmanager
def named_as_typed(flags: JobFlags) -> Iterator[None]:
    """Errors about fields and tags become errors about the flags that they were given by."""
    try:
        yield
    except BadCommandText as exc:
        if flags.raw is None and exc.field in _BY_TAG:
            exc.rename(_BY_TAG[exc.field])
        elif flags.raw is not None and not exc.field.startswith("-"):
            exc.rename("--raw" if exc.field == "command" else f"【{exc.field}】")
        raise
    except Invalid as exc:
        if exc.field.startswith("alerts: "):
            exc.rename(f"--alert {exc.field.removeprefix('alerts: ')}")
        if exc.field in _BY_FIELD:
            exc.rename(_BY_FIELD[exc.field])
        raise


def _canonical(mode: str) -> str:
    try:
        return commandtext.canonical_mode(mode)
    except BadCommandText as exc:
        exc.rename("--mode")
        raise


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
    given = [name for name in _WHAT if getattr(flags, name) is not None]
    if given and given[0] != "raw":
        if flags.mode is not None and _canonical(flags.mode) != given[0]:
            raise Invalid(
                "--mode", f"`{flags.mode}` does not go with `--{given[0]}`", f"`{flags.mode}` 与 `--{given[0]}` 不符"
            )
        return given[0]
    if flags.mode is not None:
        if not given:
            raise Invalid("--mode", "goes with `--raw` only", "只能与 `--raw` 一起使用")
        return _canonical(flags.mode)
    if old is not None:
        return old.mode
    raise Invalid("--mode", "is missing: `--raw` does not say which mode its text is for",
                  "不能为空：`--raw` 没有说明其文本的模式",
                  hint="add `--mode command`, `--mode http` or `--mode func`",
                  hint_zh="请加上 `--mode command`、`--mode http` 或 `--mode func`")  # fmt: skip


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
        raise Invalid(f"--{mode}", "holds what a command text cannot say, such as `|||` inside a value",
                      "含有命令文本无法表示的内容，例如值中的 `|||`")  # fmt: skip
    return written
