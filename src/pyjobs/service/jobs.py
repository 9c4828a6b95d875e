"""What one does with jobs: add, edit, find, list, stop, start, copy, remove."""

from __future__ import annotations

import dataclasses
import difflib
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from pyjobs import commandtext
from pyjobs.clock import Clock
from pyjobs.errors import Invalid, NotFound, PyjobsError
from pyjobs.jobs import AllowMode, Backoff, Fold, Gap, Job, JobState, Misfire, OnLost, RunState, TriggerType
from pyjobs.ports import Active, End, Event, EventKind, JobQuery, Nudge, Page, Store
from pyjobs.retries import retry_on

if TYPE_CHECKING:
    from pyjobs.triggers import Trigger

__all__ = ["Added", "JobFields", "Jobs", "Repair", "redefined", "validated"]

_E = TypeVar("_E", bound=Enum)
_MAX_NAME = 100
_MAX_DESC = 500
_MAX_COMMAND = 1 << 20
_MAX_COUNT = 2**31 - 1
_MAX_SECONDS = 366 * 24 * 3600
#: What makes a job due: a change of one of them makes its next fire anew, from now on.
_SCHEDULE = ("trigger_type", "cron_expr", "interval_s", "at_ms", "timezone", "dst_gap", "dst_fold")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFields:
    """What somebody says about a job, not checked yet; None is "nothing said". Names and units are Job's."""

    name: str | None = None
    desc: str | None = None
    trigger_type: str | None = None
    cron_expr: str | None = None
    interval_s: int | None = None
    at_ms: int | None = None
    timezone: str | None = None
    dst_gap: str | None = None
    dst_fold: str | None = None
    mode: str | None = None
    command: str | None = None
    allow_mode: int | None = None
    misfire: str | None = None
    catchup_window_s: int | None = None
    max_run_count: int | None = None
    timeout_s: int | None = None
    grace_s: int | None = None
    retry_backoff: str | None = None
    retry_on: str | None = None
    on_lost: str | None = None
    alerts: str | None = None
    state: int | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A job that was stored, and what is worth knowing about it."""

    job: Job
    next_fires_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repair:
    """A next fire that was wrong in the store."""

    job_id: int
    name: str
    was_ms: int | None
    now_ms: int | None


class Jobs:
    """Use cases about jobs. Every change is in the store before the runner is nudged."""

    def __init__(self, store: Store, nudge: Nudge, clock: Clock, default_zone: str) -> None:
        """Take what they work on; `default_zone` is the zone of jobs without one."""
        self._store = store
        self._nudge = nudge
        self._clock = clock
        self.default_zone = default_zone

    def check(self, fields: JobFields) -> Added:
        """What `add` would store and when it would fire, storing nothing. Raises as `add`, but not NameTaken."""
        now = self._clock.now_ms()
        job = validated(fields, now, self.default_zone)
        return Added(job, self.next_fires(job, 3, now))

    def add(self, fields: JobFields, *, by: str = "") -> Added:
        """
        Store a new job; `by` is who did it, for `why`.

        Raises:
            Invalid: a field is missing or wrong.
            NameTaken: there is a job with this name.
        """
        now = self._clock.now_ms()
        with self._store.transaction():
            job = self._store.add_job(validated(fields, now, self.default_zone))
            self._note(EventKind.JOB_ADDED, job.id, now, by)
        self._nudge.send()
        return Added(job, self.next_fires(job, 3, now))

    def bulk(self) -> AbstractContextManager[None]:
        """All changes inside become one transaction: all of them, or none."""
        return self._store.transaction()

    def edit(self, job_id: int, fields: JobFields, *, by: str = "") -> Added:
        """
        Change what was said; a failed edit changes nothing. An edit never fires for the past.

        Raises:
            NotFound, Invalid, NameTaken, Conflict.
        """
        now = self._clock.now_ms()
        with self._store.transaction():
            old = self.get(job_id)
            job = self._changed(old, _edited(old, fields, now, self.default_zone), now, by)
        self._nudge.send()
        return Added(job, self.next_fires(job, 3, now))

    def redefine(self, job_id: int, wanted: Job, *, by: str = "") -> Job:
        """
        Say everything that somebody says about a job anew, as `redefined` does. Its runs and their count stay.

        Raises:
            NotFound, Invalid, NameTaken, Conflict.
        """
        now = self._clock.now_ms()
        with self._store.transaction():
            old = self.get(job_id)
            job = self._changed(old, redefined(old, wanted, now, self.default_zone), now, by)
        self._nudge.send()
        return job

    def _changed(self, old: Job, new: Job, now_ms: int, by: str) -> Job:
        job = self._store.update_job(new)
        self._note_edit(old, job, now_ms, by)
        if job.state is JobState.STOPPED:
            self._drop_queued(job.id, "the job was stopped before its turn came", now_ms)
        return job

    def check_edit(self, job_id: int, fields: JobFields) -> Added:
        """What `edit` would store and when it would fire, storing nothing. Raises as `edit`, but not NameTaken."""
        now = self._clock.now_ms()
        job = _edited(self.get(job_id), fields, now, self.default_zone)
        return Added(job, self.next_fires(job, 3, now))

    def get(self, job_id: int) -> Job:
        """The job with this id. Raises NotFound."""
        job = self._store.job(job_id)
        if job is None:
            raise NotFound(f"there is no job with id `{job_id}`", "任务不存在", hint="see `pyjobs list`")
        return job

    def find(self, reference: str) -> Job:
        """
        The job meant by an exact name, an id, or a unique beginning of a name, in this order.

        Raises:
            NotFound: none, or several; the nearest names are suggested.
        """
        job = self._store.job_named(reference)
        if job is None and reference.isascii() and reference.isdigit():
            job = self._store.job(int(reference[:18]))
        if job is not None:
            return job
        begun = self._store.names_starting(reference, 5) if reference else []
        if len(begun) == 1:
            return self.get(begun[0][0])
        raise self._unknown(reference, [name for _, name in begun])

    def list(self, query: JobQuery, page: Page | None = None) -> Sequence[Job]:
        """Jobs, newest first unless the query says otherwise."""
        return self._store.jobs(query, page)

    def rows(self, query: JobQuery, page: Page) -> tuple[int, Sequence[str]]:
        """How many `list` gives without a page, and a text for each job of the page: the same for the same job."""
        return self._store.job_rows(query, page)

    def in_row(self, text: str) -> tuple[Job, Active]:
        """The job in such a text, and its active runs."""
        return self._store.job_in(text)

    def active(self, job_ids: Sequence[int] | None = None) -> dict[int, Active]:
        """How many runs of each job are queued and running now; jobs without any are left out."""
        return self._store.active_counts(job_ids)

    def count(self, query: JobQuery) -> int:
        """How many jobs `list` gives without a page."""
        return self._store.count_jobs(query)

    def names(self, prefix: str, limit: int = 200) -> Sequence[str]:
        """Names that start so; for completion."""
        return [name for _, name in self._store.names_starting(prefix, limit)]

    def next_fires(self, job: Job, count: int, after_ms: int | None = None) -> tuple[int, ...]:
        """The next instants at which a job is due; empty when it is stopped or has none."""
        if job.state is JobState.STOPPED:
            return ()
        trigger = _trigger(job, self.default_zone)
        fires: Sequence[int] = ()
        moment = self._clock.now_ms() if after_ms is None else after_ms
        while len(fires) < count:
            fire = trigger.next_after(moment)
            if fire is None:
                break
            moment, fires = fire, (*fires, fire)
        return tuple(fires)

    def stop(self, job_id: int, *, by: str = "") -> bool:
        """No more fires; what is queued is skipped, what runs goes on. False when it was stopped already."""
        with self._store.transaction():
            job = self.get(job_id)
            if job.state is JobState.STOPPED:
                return False
            now = self._clock.now_ms()
            self._store.update_job(
                dataclasses.replace(job, state=JobState.STOPPED, next_fire_ms=None, stop_reason="", updated_ms=now)
            )
            self._note(EventKind.JOB_STOPPED, job_id, now, by)
            self._drop_queued(job_id, "the job was stopped before its turn came", now)
        self._nudge.send()
        return True

    def start(self, job_id: int, *, reset_count: bool = False, by: str = "") -> Job:
        """Fire again from now on, never for the past; a job that is not stopped goes on as it is."""
        now = self._clock.now_ms()
        with self._store.transaction():
            if reset_count:
                self._store.reset_run_count(job_id)
            job = self.get(job_id)
            if job.state is JobState.WAITING:
                return job
            if job.max_run_count and job.run_count >= job.max_run_count:
                raise Invalid(
                    "max_run_count",
                    f"it has run {job.run_count} times, its limit is {job.max_run_count}",
                    f"已执行 {job.run_count} 次，达到上限 {job.max_run_count}",
                    hint="count again with `--reset-count`, or raise the limit with `pyjobs job edit --max-runs`",
                )
            job = dataclasses.replace(job, state=JobState.WAITING, stop_reason="", updated_ms=now)
            job = dataclasses.replace(job, next_fire_ms=_first_fire(job, now, self.default_zone, added=True))
            job = self._store.update_job(job)
            self._note(EventKind.JOB_STARTED, job_id, now, by)
        self._nudge.send()
        return job

    def copy(self, job_id: int, name: str, *, by: str = "") -> Added:
        """A second job like this one, stopped, under another name."""
        old, now = self.get(job_id), self._clock.now_ms()
        fields = JobFields(**{f.name: getattr(old, f.name) for f in dataclasses.fields(JobFields)})
        copied = validated(dataclasses.replace(fields, name=name, state=2), now, self.default_zone)
        with self._store.transaction():
            job = self._store.add_job(copied)
            self._note(EventKind.JOB_ADDED, job.id, now, by)
        self._nudge.send()
        return Added(job, ())

    def remove(self, job_id: int, *, kill: bool = False, by: str = "job removed") -> Job:
        """Delete a job; its runs stay readable. What is queued is skipped, what runs goes on, or is killed."""
        with self._store.transaction():
            job = self.get(job_id)
            self._drop_queued(job_id, "the job was removed before its turn came", self._clock.now_ms())
            for run in self._store.active_runs([job_id]):
                if kill:
                    self._store.request_kill(run.exec_id, by)
            self._store.delete_job(job_id)
        self._nudge.send()
        return job

    def recompute(self, *, only: Callable[[Job], bool] = lambda _: True, again: bool = False) -> Sequence[Repair]:
        """
        Make the next fires of waiting jobs anew, from now on; answers those that were different.

        A fire that is due but not claimed yet stays due, but with `again`. A job whose schedule cannot be used is
        stopped, with the reason.
        """
        now, repairs = self._clock.now_ms(), []
        with self._store.transaction():
            for job in self._store.jobs(JobQuery(state=JobState.WAITING)):
                due = job.next_fire_ms is not None and job.next_fire_ms <= now
                if not only(job) or (due and not again):
                    continue
                fire, problem = self._next_or_problem(job, now)
                if problem:
                    self._stop_itself(job.id, problem, now)
                elif fire != job.next_fire_ms:
                    self._store.update_job(dataclasses.replace(job, next_fire_ms=fire))
                if problem or fire != job.next_fire_ms:
                    repairs.append(Repair(job.id, job.name, job.next_fire_ms, fire))
        if repairs:
            self._nudge.send()
        return repairs

    def disable_unusable(self) -> Sequence[tuple[str, str]]:
        """
        Stop jobs whose row makes no sense or whose zone is gone; answers (name, why) of each.

        What another program wrote, or another version of tzdata took away, is one job's trouble and no other's.
        """
        gone = {zone for zone in self._store.job_zones() if not _is_zone(zone)}
        broken = self._store.broken_jobs()
        if not gone and not broken:
            return []
        now = self._clock.now_ms()
        with self._store.transaction():
            found = self._store.jobs_by_id(broken).values()
            stopped = [(job, job.stop_reason) for job in found if job.stop_reason]
            for job in self._store.jobs(JobQuery(state=JobState.WAITING)) if gone else ():
                problem = self._next_or_problem(job, now)[1] if job.timezone in gone else ""
                stopped += [(job, problem)] if problem else []
            for job, reason in stopped:
                self._stop_itself(job.id, reason, now)
        return [(job.name, reason) for job, reason in stopped]

    def _stop_itself(self, job_id: int, reason: str, now_ms: int) -> None:
        self._store.stop_job_itself(job_id, reason, now_ms)
        event = Event(at_ms=now_ms, kind=EventKind.JOB_STOPPED, job_id=job_id, detail={"reason": reason})
        self._store.add_event(event)

    def _next_or_problem(self, job: Job, now_ms: int) -> tuple[int | None, str]:
        if job.state is JobState.STOPPED:  # what its row says makes no sense
            return None, job.stop_reason
        try:
            return _trigger(job, self.default_zone).next_after(now_ms), ""
        except PyjobsError as exc:
            return None, f"its schedule cannot be used any more: {exc}"

    def _note(self, kind: EventKind, job_id: int, now_ms: int, by: str) -> None:
        self._store.add_event(Event(at_ms=now_ms, kind=kind, job_id=job_id, detail={"by": by} if by else {}))

    def _note_edit(self, old: Job, new: Job, now_ms: int, by: str) -> None:
        """Note what `why` needs to tell about the past: how it was scheduled, and since when it is stopped or not."""
        before = {name: getattr(old, name) for name in _SCHEDULE}
        if before != {name: getattr(new, name) for name in _SCHEDULE}:
            detail = {**before, "anchor_ms": old.anchor_ms, "by": by}
            self._store.add_event(Event(at_ms=now_ms, kind=EventKind.JOB_RESCHEDULED, job_id=new.id, detail=detail))
        if new.state is not old.state:
            stopped = new.state is JobState.STOPPED
            self._note(EventKind.JOB_STOPPED if stopped else EventKind.JOB_STARTED, new.id, now_ms, by)

    def _drop_queued(self, job_id: int, reason: str, now_ms: int) -> None:
        for run in self._store.active_runs([job_id]):
            if run.state is RunState.QUEUED:
                end = End(exec_id=run.exec_id, state=RunState.SKIPPED, ended_ms=now_ms, error=reason)
                self._store.end_runs([end], run.owner)

    def _unknown(self, reference: str, begun: Sequence[str]) -> NotFound:
        if begun:
            shown = ", ".join(f"`{name}`" for name in begun)
            return NotFound(
                f"`{reference}` could be several jobs: {shown}",
                f"`{reference}` 对应多个任务：{shown}",
                hint="write more of the name, or the id",
                hint_zh="请写出更完整的名称或任务 id",
            )
        near = difflib.get_close_matches(reference, self.names("", 2000), n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else "see `pyjobs list`"
        hint_zh = f"是否想写 `{near[0]}`？" if near else "用 `pyjobs list` 查看"
        return NotFound(f"there is no job `{reference}`", f"任务不存在：`{reference}`", hint=hint, hint_zh=hint_zh)


def validated(fields: JobFields, now_ms: int, default_zone: str) -> Job:
    """
    A new job of what was said.

    Raises:
        Invalid: a field is missing or wrong; the message names it.
    """
    if fields.name is None or fields.mode is None or fields.command is None:
        missing = next(n for n in ("name", "mode", "command") if getattr(fields, n) is None)
        raise Invalid(missing, "is missing", "不能为空")
    blank = Job(name="", trigger_type=TriggerType.MANUAL, mode="", command="", created_ms=now_ms, anchor_ms=now_ms)
    job = _with(blank, fields)
    job = dataclasses.replace(job, trigger_type=_trigger_type(fields), updated_ms=now_ms)
    return dataclasses.replace(job, next_fire_ms=_first_fire(job, now_ms, default_zone, added=True))


def _edited(old: Job, fields: JobFields, now_ms: int, default_zone: str) -> Job:
    job = dataclasses.replace(_with(old, fields), updated_ms=now_ms)
    if any(getattr(fields, n) is not None for n in ("trigger_type", "cron_expr", "interval_s", "at_ms")):
        job = dataclasses.replace(job, trigger_type=_trigger_type(fields))
    return _settled(old, job, now_ms, default_zone)


def redefined(old: Job, wanted: Job, now_ms: int, default_zone: str) -> Job:
    """
    What `old` is, with everything that somebody says about a job, and its owner, as in `wanted`.

    Raises:
        Invalid: it would never fire.
    """
    said = {about.name: getattr(wanted, about.name) for about in dataclasses.fields(JobFields)}
    job = dataclasses.replace(old, **said, owned_by=wanted.owned_by, updated_ms=now_ms)
    return _settled(old, job, now_ms, default_zone)


def _settled(old: Job, job: Job, now_ms: int, default_zone: str) -> Job:
    """A changed job with the next fire that follows from the change."""
    rescheduled = any(getattr(job, n) != getattr(old, n) for n in _SCHEDULE) or job.state != old.state
    if job.interval_s != old.interval_s or job.trigger_type != old.trigger_type:
        job = dataclasses.replace(job, anchor_ms=now_ms)
    if job.state != old.state:
        job = dataclasses.replace(job, stop_reason="")
    if rescheduled:
        enabled = old.state is JobState.STOPPED
        job = dataclasses.replace(job, next_fire_ms=_first_fire(job, now_ms, default_zone, added=enabled))
    return job


def _first_fire(job: Job, now_ms: int, default_zone: str, *, added: bool) -> int | None:
    """The next fire of a job that was added, enabled or edited now; checks its trigger on the way."""
    fire = _trigger(job, default_zone).next_after(now_ms)
    if job.trigger_type is TriggerType.ONCE and fire is None and job.state is JobState.WAITING:
        raise Invalid("at", "lies in the past", "该时间已过", hint="give an instant that is still to come")
    if job.state is JobState.STOPPED:
        return None
    at_once = added and job.allow_mode is AllowMode.IMMEDIATE and job.trigger_type is not TriggerType.MANUAL
    return now_ms if at_once else fire


def _trigger(job: Job, default_zone: str) -> Trigger:
    from pyjobs.triggers import trigger_of  # a tenth of the time of a command that only lists

    return trigger_of(job, default_zone)


def _is_zone(name: str) -> bool:
    from pyjobs.triggers import check_zone

    try:
        check_zone(name)
    except PyjobsError:
        return False
    return True


def _trigger_type(fields: JobFields) -> TriggerType:
    """What was said, or what follows from the one trigger that was given."""
    if fields.trigger_type:
        return _choice("trigger_type", TriggerType, fields.trigger_type)
    given = [
        kind
        for kind, value in (
            (TriggerType.CRON, fields.cron_expr),
            (TriggerType.INTERVAL, fields.interval_s),
            (TriggerType.ONCE, fields.at_ms),
        )
        if value not in (None, "")
    ]
    if len(given) == 1:
        return given[0]
    if not given:
        raise Invalid(
            "cron_expr",
            "is missing: a job needs a trigger",
            "不能为空：任务需要触发方式",
            hint="give `--cron`, `--every`, `--at`, or `--manual` for a job that is only started by hand",
            hint_zh="请用 `--cron`、`--every`、`--at` 之一；仅手动执行的任务用 `--manual`",
        )
    names = ", ".join(kind.value for kind in given)
    raise Invalid("trigger_type", f"only one trigger is possible, not {names}", f"只能有一种触发方式，而不是 {names}")


def _with(job: Job, fields: JobFields) -> Job:
    """A job with what was said, each field checked by itself; then what only makes sense together."""
    changes: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        value = getattr(fields, name)
        if value is not None:
            changes[name] = check(value)
    job = dataclasses.replace(job, **changes)
    if "mode" in changes or "command" in changes:
        commandtext.parse(job.mode, job.command)
    return job


def _clean(field: str, value: str, longest: int) -> str:
    for char in value:
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise Invalid(
                field,
                f"holds the control character U+{ord(char):04X}",
                f"含有控制字符 U+{ord(char):04X}",
                hint="write it without line breaks, tabs and invisible characters",
            )
    if len(value) > longest:
        raise Invalid(field, f"is longer than {longest} characters", f"长度超过 {longest} 个字符")
    return value.strip()


def _name(value: str) -> str:
    name = _clean("name", value, _MAX_NAME)
    if not name:
        raise Invalid("name", "is empty", "不能为空")
    return name


def _desc(value: str) -> str:
    # Line breaks are fine in a description; what a terminal would obey is not.
    lines = value.replace("\r\n", "\n").replace("\t", " ").split("\n")
    return "\n".join(_clean("desc", line, _MAX_DESC) for line in lines)


def _command(value: str) -> str:
    if not value.strip():
        raise Invalid("command", "is empty", "不能为空")
    if len(value) > _MAX_COMMAND:
        raise Invalid("command", f"is longer than {_MAX_COMMAND} characters", f"长度超过 {_MAX_COMMAND} 个字符")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise Invalid("command", "holds a NUL character or a lone surrogate", "含有 NUL 字符或无效的 Unicode 字符")
    return value


def _timezone(value: str) -> str:
    """A zone that there is, whether its trigger asks for one or not; empty: the configured one."""
    name = _clean("timezone", value, 64)
    if name:
        from pyjobs.triggers import check_zone

        check_zone(name)
    return name


def _number(field: str, low: int, high: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Invalid(
                field, f"`{value}` is not a number from {low} to {high}", f"`{value}` 不在 {low} 到 {high} 之间"
            )
        return value

    return check


def _choice(field: str, kind: type[_E], value: object) -> _E:
    try:
        return kind(value.lower() if isinstance(value, str) else value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise Invalid(field, f"`{value}` is not one of {known}", f"`{value}` 无效，可用：{known}") from None


def _retry_on(value: str) -> str:
    retry_on(value)
    return ",".join(filter(None, (part.strip() for part in value.split(","))))


def _alerts(value: str) -> str:
    from pyjobs.alertpolicy import canonical  # few jobs say something

    return canonical(value) if value else ""


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "desc": _desc,
    "cron_expr": lambda value: _clean("cron_expr", value.replace("\t", " "), 200),
    "interval_s": _number("interval_seconds", 0, _MAX_SECONDS),
    "at_ms": _number("at", 0, 253402300799000),
    "timezone": _timezone,
    "dst_gap": lambda value: _choice("dst_gap", Gap, value),
    "dst_fold": lambda value: _choice("dst_fold", Fold, value),
    "mode": commandtext.canonical_mode,
    "command": _command,
    "allow_mode": lambda value: _choice("allow_mode", AllowMode, value),
    "misfire": lambda value: _choice("misfire", Misfire, value),
    "catchup_window_s": _number("catchup_window", 0, _MAX_SECONDS),
    "max_run_count": _number("max_run_count", 0, _MAX_COUNT),
    "timeout_s": _number("timeout", 0, _MAX_SECONDS),
    "grace_s": _number("grace", 0, 3600),
    "retry_backoff": lambda value: _choice("retry_backoff", Backoff, value),
    "retry_on": _retry_on,
    "on_lost": lambda value: _choice("on_lost", OnLost, value),
    "alerts": _alerts,
    "state": lambda value: _choice("state", JobState, value),
}
