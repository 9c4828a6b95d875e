"""Checks of jobs: whether and when they fire, and how they end."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator

from pyjobs.clock import text
from pyjobs.doctor.facts import LAST_RUNS, Facts
from pyjobs.doctor.finding import Finding, Fix, Said, Severity
from pyjobs.errors import PyjobsError
from pyjobs.jobs import Job, JobState, RunState, TriggerType
from pyjobs.triggers import Trigger, trigger_of

__all__ = ["BROKEN", "always_fail", "crowded", "never", "ref", "schedules", "stopped"]

#: So many jobs in one minute are a crowd in any case.
_CROWD = 20
#: How the reason of a job begins whose row makes no sense.
BROKEN = "its row in the store cannot be used"
_LIMIT = "as often as it may"


def schedules(facts: Facts) -> Iterator[Finding]:
    """Schedules that cannot be used, and next fires that are not what they say."""
    for job in facts.waiting:
        try:
            trigger = trigger_of(job, facts.settings.zone_name)
        except PyjobsError as exc:
            yield _unusable(job, exc, facts)
            continue
        fire = trigger.next_after(facts.now_ms)
        if fire is not None and not _is_right(job.next_fire_ms, trigger, facts):
            stored = _at(job.next_fire_ms)
            yield Finding(
                code="wrong_next_fire",
                severity=Severity.WARNING,
                what=Said(
                    f"the stored next fire of `{job.name}` is {stored}, but its schedule says {_at(fire)}",
                    f"`{job.name}` 保存的下次执行时间为 {stored}，按计划应为 {_at(fire)}",
                ),
                why=Said(
                    "another program changed the row, or the zone's rules changed",
                    "记录被其他程序修改，或时区规则已变化",
                ),
                mend="pyjobs job check",
                job=job.name,
                fix=Fix("recompute"),
            )


def _is_right(stored: int | None, trigger: Trigger, facts: Facts) -> bool:
    """Whether a stored next fire is the next one at some moment while jobs were read, or is due."""
    if stored is None:
        return False
    if stored <= facts.read_ms:
        return True
    # No fire between the moment of reading and the stored one, which is one itself.
    return trigger.count(facts.read_ms, stored) == 1 == trigger.count(stored - 1, stored)


def _unusable(job: Job, exc: PyjobsError, facts: Facts) -> Finding:
    by_zone = getattr(exc, "field", "") == "timezone"
    flag = f"--timezone {shlex.quote(facts.settings.zone_name)}" if by_zone else "--cron '0 3 * * *'"
    return Finding(
        code="unknown_zone" if by_zone else "bad_schedule",
        severity=Severity.ERROR,
        what=Said(
            f"the schedule of `{job.name}` cannot be used: {exc}", f"`{job.name}` 的计划无法使用：{exc.text('zh')}"
        ),
        why=Said("the job stops itself when the daemon sees it", "守护进程发现后会停止该任务"),
        mend=f"pyjobs job edit {ref(job)} {flag}",
        job=job.name,
    )


def never(facts: Facts) -> Iterator[Finding]:
    """Jobs that wait and never fire again."""
    for job in facts.waiting:
        if job.trigger_type is TriggerType.MANUAL:
            continue
        full = bool(job.max_run_count) and job.run_count >= job.max_run_count
        if not full and (job.next_fire_ms is not None or _has_next(job, facts)):
            continue
        once = job.trigger_type is TriggerType.ONCE
        if full:
            why = Said(f"it has run {job.run_count} times, as often as it may", f"已执行 {job.run_count} 次，达到上限")
            mend = f"pyjobs job edit {ref(job)} --max-runs 0"
        elif once:
            why = Said(f"its only instant is over: {_at(job.at_ms)}", f"唯一的执行时间已过：{_at(job.at_ms)}")
            mend = f"pyjobs job remove {ref(job)}"
        else:
            why = Said(f"no instant matches `{job.cron_expr}`", f"没有时间符合 `{job.cron_expr}`")
            mend = f"pyjobs job edit {ref(job)} --cron '0 3 * * *'"
        yield Finding(
            code="never_fires",
            severity=Severity.NOTE if once and job.last_state is not None else Severity.WARNING,
            what=Said(f"`{job.name}` waits, but never fires again", f"`{job.name}` 处于等待状态，但不会再触发"),
            why=why,
            mend=mend,
            job=job.name,
        )


def stopped(facts: Facts) -> Iterator[Finding]:
    """Jobs that stopped themselves."""
    for job in facts.jobs:
        if job.state is not JobState.STOPPED or not job.stop_reason or job.stop_reason.startswith(BROKEN):
            continue
        limit = job.stop_reason.endswith(_LIMIT)
        yield Finding(
            code="stopped_itself",
            severity=Severity.NOTE if limit else Severity.WARNING,
            what=Said(f"`{job.name}` stopped itself", f"`{job.name}` 已自行停止"),
            why=Said(job.stop_reason, job.stop_reason),
            mend=f"pyjobs job start {ref(job)}" + (" --reset-count" if limit else ""),
            job=job.name,
        )


def crowded(facts: Facts) -> Iterator[Finding]:
    """Many jobs that are due in the same minute."""
    minutes: defaultdict[int, list[Job]] = defaultdict(list)
    for job in facts.waiting:
        if job.next_fire_ms is not None and job.next_fire_ms > facts.now_ms:
            minutes[job.next_fire_ms // 60_000].append(job)
    if not minutes:
        return
    minute, jobs = max(minutes.items(), key=lambda item: (len(item[1]), -item[0]))
    limit = facts.settings.max_concurrent_jobs
    if len(jobs) <= max(_CROWD, 2 * limit):
        return
    fixed = next((job for job in jobs if job.cron_expr.split(" ")[0].isdigit()), None)
    first, _, rest = fixed.cron_expr.partition(" ") if fixed else ("", "", "")
    yield Finding(
        code="crowded_minute",
        severity=Severity.WARNING,
        what=Said(f"{len(jobs)} jobs are due in the same minute, at {text(minute * 60_000)[:16]} UTC",
                  f"{len(jobs)} 个任务在同一分钟触发：{text(minute * 60_000)[:16]} UTC"),
        why=Said(f"{limit} run at once (MAX_CONCURRENT_JOBS), the others wait in line; spread them over the hour",
                 f"最多同时执行 {limit} 个（MAX_CONCURRENT_JOBS），其余排队；请将它们错开"),
        mend=f"pyjobs job edit {ref(fixed)} --cron '{(int(first) + 17) % 60} {rest}'" if fixed else "",
    )  # fmt: skip


def always_fail(facts: Facts) -> Iterator[Finding]:
    """Jobs whose last runs all failed."""
    for job in facts.waiting:
        states = facts.last_states.get(job.id, [])
        if len(states) >= LAST_RUNS and RunState.SUCCESS not in states:
            yield Finding(
                code="always_fails",
                severity=Severity.WARNING,
                what=Said(f"the last {len(states)} runs of `{job.name}` all failed",
                          f"`{job.name}` 最近 {len(states)} 次执行全部失败"),
                why=Said("how they ended: " + ", ".join(state.value for state in states),
                         "结果：" + "、".join(state.value for state in states)),
                mend=f"pyjobs logs {ref(job)}",
                job=job.name,
            )  # fmt: skip


def _has_next(job: Job, facts: Facts) -> bool:
    try:
        return trigger_of(job, facts.settings.zone_name).next_after(facts.now_ms) is not None
    except PyjobsError:
        return True  # another check says what is wrong with it


def ref(job: Job) -> str:
    """A job as a shell takes it; its id where its name would be taken for a flag."""
    return str(job.id) if job.name.startswith("-") else shlex.quote(job.name)


def _at(ms: int | None) -> str:
    return "-" if ms is None else f"{text(ms)} UTC"
