"""Jobs as timers and services of systemd (systemd.timer(5), systemd.time(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyjobs.clock import from_ms
from pyjobs.cronexpr import Expression, Field, read
from pyjobs.errors import PyjobsError
from pyjobs.interchange.cronlines import CannotSay, folder_of, losses, spec_of
from pyjobs.jobs import Job, JobState, Misfire, TriggerType

__all__ = ["Units", "unit_name", "units_of"]

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Units:
    """The files of one job by name, and what they do not keep."""

    files: dict[str, str]
    notes: tuple[str, ...]


def units_of(job: Job, zone: str, home: Path, timeout_s: int) -> Units:
    """
    A service and, where it is due at times, a timer.

    Args:
        job: the job.
        zone: that of jobs without one of their own.
        home: the folder of jobs that say none.
        timeout_s: of jobs that say nothing of it; 0 is none.

    Raises:
        CannotSay: it is no command, or due at times that systemd cannot say.
    """
    spec = spec_of(job)
    timer = list(_when(job, zone))
    name = unit_name(job)
    seconds = next((s for s in (spec.timeout, job.timeout_s) if s is not None), timeout_s)
    service = [
        "[Unit]", f"Description={_plain(job.desc.splitlines()[0] if job.desc else job.name)}", "",
        "[Service]", "Type=oneshot", f"ExecStart=/bin/bash -c {_quoted(spec.command, dollar=True)}",
        *(f"Environment={_quoted(f'{key}={value}')}" for key, value in spec.env),
        f"WorkingDirectory={_plain(folder_of(spec, home))}",
        f"TimeoutStartSec={seconds or 'infinity'}", f"TimeoutStopSec={job.grace_s}", "",
    ]  # fmt: skip
    files = {f"{name}.service": "\n".join(service)}
    if timer:
        persistent = "false" if job.misfire is Misfire.SKIP else "true"
        lines = ["[Unit]", f"Description={_plain(job.name)}", "", "[Timer]", *timer, "AccuracySec=1s"]
        # Only what is due at times of the calendar can be made good.
        lines += [f"Persistent={persistent}"] if any(line.startswith("OnCalendar=") for line in timer) else []
        files[f"{name}.timer"] = "\n".join([*lines, "", "[Install]", "WantedBy=timers.target", ""])
    return Units(files, tuple(_notes(job, has_timer=bool(timer))))


def unit_name(job: Job) -> str:
    """A name of a unit, which knows ASCII only; the id keeps two jobs apart."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", job.name).strip("-.")
    return f"pyjobs-{plain}" if plain == job.name else f"pyjobs-{plain or 'job'}-{job.id}"


def _notes(job: Job, *, has_timer: bool) -> Iterator[str]:
    yield from (f"not kept: {loss}" for loss in losses(job))
    if job.state is JobState.STOPPED:
        yield "it is stopped: do not enable its timer"
    if not has_timer:
        yield "it is only started by hand: there is no timer"


def _when(job: Job, zone: str) -> Iterator[str]:
    if job.trigger_type is TriggerType.INTERVAL:
        yield from _period(job.interval_s)
    elif job.trigger_type is TriggerType.ONCE:
        yield f"OnCalendar={from_ms(job.at_ms or 0).strftime('%Y-%m-%d %H:%M:%S')} UTC"
    elif job.trigger_type is TriggerType.CRON:
        try:
            expression = read(job.cron_expr)
        except PyjobsError as exc:
            raise CannotSay(str(exc)) from exc
        if expression.every_s:
            yield from _period(expression.every_s)
        else:
            own = expression.zone or job.timezone or zone
            yield from (f"OnCalendar={moment} {own}" for moment in _calendar(expression))


def _period(seconds: int) -> tuple[str, str]:
    return f"OnActiveSec={seconds}s", f"OnUnitActiveSec={seconds}s"


def _calendar(expression: Expression) -> Iterator[str]:
    """Days of a month or of a week, when both are restricted, are two lines: systemd takes both, cron either."""
    second, minute, hour, day, month, week = expression.fields
    time = ":".join((_numbers(hour, 0, 23), _numbers(minute, 0, 59), _numbers(second, 0, 59)))
    months = _numbers(month, 1, 12)
    days, weekdays = list(_days_of_month(day, months)), _weekdays(week)
    every = f"*-{months}-*"
    if day.star or week.star:
        for date in days:
            yield f"{weekdays}{date} {time}"
        return
    for date in days:
        yield f"{date} {time}"
    yield f"{weekdays}{every} {time}"


def _days_of_month(day: Field, months: str) -> Iterator[str]:
    plain = sorted({number for term in day.terms for number in term.values()})
    for term in day.terms:
        if term.mark == "L":
            yield f"*-{months}~01"
        elif term.mark:
            raise CannotSay(f"systemd has no {term.mark} in a day of month")
    if plain:
        shown = "*" if len(plain) == 31 else ",".join(f"{number:02}" for number in plain)
        yield f"*-{months}-{shown}"


def _weekdays(week: Field) -> str:
    if any(term.mark for term in week.terms):
        raise CannotSay("systemd has no L and # in a day of week")
    numbers = sorted({number % 7 for term in week.terms for number in term.values()})
    return "" if len(numbers) == 7 else ",".join(_DAYS[number] for number in numbers) + " "


def _numbers(part: Field, low: int, high: int) -> str:
    """A list of numbers, or a star when it is all from `low` to `high`."""
    numbers = sorted({number for term in part.terms for number in term.values()})
    return "*" if len(numbers) == high - low + 1 else ",".join(f"{number:02}" for number in numbers)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).replace("%", "%%")


def _quoted(text: str, *, dollar: bool = False) -> str:
    """One word of a unit's line; `$` is for the shell, not for systemd."""
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("%", "%%")
    )
    return f'"{escaped.replace("$", "$$") if dollar else escaped}"'
