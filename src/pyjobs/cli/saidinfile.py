"""What a file of jobs says, as the fields that the service takes: the same flags, read the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from pyjobs.cli.flags import JobFlags
from pyjobs.cli.spoken import fields_of, named_as_typed
from pyjobs.errors import Invalid
from pyjobs.interchange import jobfiles
from pyjobs.interchange.jobfiles import Listed
from pyjobs.jobs import Backoff, Fold, Gap, Misfire, OnLost
from pyjobs.service.jobs import JobFields
from pyjobs.service.transfer import problem_list

__all__ = ["fields_in"]

_NUMBERS = ("retries", "max_runs")
_LISTS = {"header": ": ", "env": "="}
_CHOICES: dict[str, type[Enum]] = {
    "retry_backoff": Backoff,
    "on_lost": OnLost,
    "misfire": Misfire,
    "dst_gap": Gap,
    "dst_fold": Fold,
}
_KEYS = (*(about.name for about in dataclasses.fields(JobFlags)), "stopped")


def fields_in(jobs: Sequence[Listed], zone: ZoneInfo) -> list[JobFields]:
    """
    The fields of all jobs of a file; `zone` is that of times without an offset, in jobs without a zone of their own.

    Raises:
        BadDocument: jobs cannot be used; it names them.
    """
    found, problems = [], []
    for number, job in enumerate(jobs, 1):
        try:
            found.append(_fields(job, zone))
        except Invalid as exc:
            if exc.field.startswith("-"):
                exc.rename(exc.field.lstrip("-").replace("-", "_"))
            problems.append((f"job {number} `{job.name}`", exc))
    if problems:
        raise problem_list(problems, len(jobs))
    return found


def _fields(job: Listed, zone: ZoneInfo) -> JobFields:
    jobfiles.check_keys(job.table, _KEYS)
    said = dict(job.table)
    stopped = said.pop("stopped", None)
    flags = JobFlags(**{key: _value(key, value) for key, value in said.items()})
    with named_as_typed(flags):
        fields = fields_of(flags, zone)
    state = None if stopped is None else 2 if jobfiles.switch("stopped", stopped) else 0
    return dataclasses.replace(fields, name=job.name, state=state)


def _value(key: str, value: object) -> Any:
    if key == "manual":
        return jobfiles.switch(key, value)
    if key in _NUMBERS:
        return jobfiles.number(key, value)
    if key in _LISTS:
        return jobfiles.texts(key, value, _LISTS[key])
    if key in _CHOICES:
        return _choice(key, value, _CHOICES[key])
    return jobfiles.text(key, value)


def _choice(key: str, value: object, kind: type[Enum]) -> Enum:
    known: Mapping[str, Enum] = {str(member.value): member for member in kind}
    if value not in known:
        names = ", ".join(known)
        raise Invalid(key, f"`{value}` is not one of {names}", f"`{value}` 无效，可用：{names}")
    return known[str(value)]
