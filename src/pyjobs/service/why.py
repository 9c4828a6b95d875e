"""
Why a job fired or did not: for every due instant from the record where there is one, else by computation.

`explain` and `look_at` are pure: rows come through a function. Nothing loops over instants, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise

from pyjobs.cronexpr import Excluding, excluding
from pyjobs.errors import BadTrigger
from pyjobs.jobs import Job, RunState
from pyjobs.ports import FireRange
from pyjobs.service.clockchanges import ClockChange, clock_changes
from pyjobs.service.history import Cause, Hold, Scheduled
from pyjobs.timetable import ON_TIME_MS
from pyjobs.triggers import CronTrigger, ManualTrigger, Trigger, trigger_of
from pyjobs.walltime import LIMIT, piece_at

__all__ = ["Answer", "Moment", "Past", "Verdict", "explain", "look_at", "unfold"]

_SECOND_MS = 1000
#: How far back the instant before one is looked for, in steps: most jobs are due within a day.
_BACK_MS = tuple(days * 86_400_000 for days in (1, 35, 400, 4000, 40_000))
#: What may come between an instant and its claim.
_SUDDEN = frozenset({Cause.STOPPED, Cause.LIMIT, Cause.PAUSED, Cause.DOWN})


class Verdict(str, Enum):
    """What became of a due instant. Those of the record are the states of runs."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    LOST = "lost"
    RUNNING = "running"
    QUEUED = "queued"
    SKIPPED = "skipped"
    MISSED = "missed"
    #: Computed, by what held it back.
    STOPPED = "stopped"
    LIMIT = "limit"
    PAUSED = "paused"
    DOWN = "down"
    SUSPENDED = "suspended"
    CLOCK_SET = "clock_set"
    PENDING = "pending"
    BEFORE_HISTORY = "before_history"
    #: Nothing held it back, and there is no row.
    NO_RECORD = "no_record"
    NOT_YET = "not_yet"
    #: A wall clock time that did not exist, or came a second time: no due instant of its own.
    GAP = "gap"
    FOLD = "fold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Due instants in [first, last] with one verdict."""

    verdict: Verdict
    first_ms: int
    last_ms: int
    #: How many; 0 for wall clock times that are no instants.
    fires: int
    #: What the record says.
    reason: str = ""
    exec_id: str = ""
    #: The longest of them.
    duration_ms: int | None = None
    lateness_ms: int | None = None
    #: What held them back; of missed ones what they were missed for.
    holds: tuple[Hold, ...] = ()
    change: ClockChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What there is to tell from."""

    #: As it was scheduled when; empty for a job that is gone.
    schedules: Sequence[Scheduled]
    #: The plainest cause first.
    holds: Sequence[Hold]
    default_zone: str
    #: The rows of the fires in (after, until].
    rows: Callable[[int, int], Sequence[FireRange]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there is to say about one instant."""

    at_ms: int
    answers: Sequence[Answer]
    #: The job as it was scheduled then; None: it did not exist, or is gone.
    job: Job | None = None
    excluded_by: tuple[Excluding, ...] = ()
    #: The nearest due instants, by the schedule of then.
    before_ms: int | None = None
    after_ms: int | None = None
    #: What holds a future instant back as things are now.
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Instants in (after, until] for which everything is the same."""

    after: int
    until: int
    trigger: Trigger
    hold: Hold | None = field(default=None)


def explain(past: Past, after_ms: int, until_ms: int, *, fold: bool = True) -> list[Answer]:
    """
    Answer for every due instant in (after, until], which is past: each is in one answer, oldest first.

    Neighbours with the same verdict for the same reason are one answer; without `fold`, rows stay by themselves.
    """
    rows = past.rows(after_ms, until_ms)
    missed = [row for row in rows if row.state is RunState.MISSED]
    others = [row for row in rows if row.state is not RunState.MISSED]
    answers = [_missed(past, row, after_ms, until_ms) for row in missed]
    for stretch in _stretches(past, missed, after_ms, until_ms):
        answers += _of_stretch(past, stretch, _within(past, others, stretch))
    answers += _changes(past, after_ms, until_ms)
    answers.sort(key=lambda answer: (answer.first_ms, answer.last_ms, answer.fires))
    return _folded(answers) if fold else answers


def look_at(past: Past, at_ms: int, now_ms: int, *, length_ms: int = _SECOND_MS) -> Moment:
    """Answer for what is due within a second (or `length_ms`) from `at_ms` on, or say why nothing is."""
    after, until = at_ms - 1, at_ms + length_ms - 1
    scheduled = next((s for s in past.schedules if s.from_ms < at_ms <= s.to_ms), None)
    answers = explain(past, after, min(until, now_ms)) if after < now_ms else []
    if scheduled is None:
        return Moment(at_ms=at_ms, answers=answers)
    trigger = _trigger(scheduled.job, past.default_zone)
    due = trigger.next_after(max(after, now_ms))
    holds: tuple[Hold, ...] = ()
    if due is not None and due <= until:
        holds = tuple(h for h in past.holds if h.to_ms is None and h.cause is not Cause.PENDING)
        ahead = trigger.count(due - 1, until)
        answers = [*answers, Answer(verdict=Verdict.NOT_YET, first_ms=due, last_ms=until, fires=ahead, holds=holds)]
    answers = answers or list(_again(scheduled.job, trigger, at_ms))
    return Moment(
        at_ms=at_ms,
        answers=answers,
        job=scheduled.job,
        excluded_by=() if answers else _excluded(scheduled.job, trigger, at_ms),
        before_ms=_before(trigger, at_ms),
        after_ms=trigger.next_after(until),
        holds=holds,
    )


def unfold(past: Past, answers: Sequence[Answer], limit: int) -> list[Answer]:
    """Give each computed instant an answer of its own, the newest `limit`; rows come unfolded if they are read so."""
    found: list[Answer] = []
    for answer in reversed(answers):
        if len(found) >= limit:
            break
        instants = _instants(past, answer, limit - len(found)) if answer.fires > 1 else []
        each = [replace(answer, first_ms=ms, last_ms=ms, fires=1) for ms in reversed(instants)]
        found += each or [answer]
    return found[::-1]


def _instants(past: Past, answer: Answer, limit: int) -> list[int]:
    found: list[int] = []
    for scheduled in reversed(past.schedules):
        after, until = max(answer.first_ms - 1, scheduled.from_ms), min(answer.last_ms, scheduled.to_ms)
        if after < until and len(found) < limit:
            trigger = _trigger(scheduled.job, past.default_zone)
            found = [*trigger.newest(after, until, limit - len(found)), *found]
    return found


# --- stretches -------------------------------------------------------------------------------------------------


def _stretches(past: Past, missed: Sequence[FireRange], after: int, until: int) -> Iterator[_Stretch]:
    """Cut (after, until] where anything changes, leaving out ranges of missed fires."""
    edges = {after, until}
    for hold in past.holds:
        # What comes within an instant of a stop was not claimed any more: it is asked about on its own.
        starts = [] if hold.from_ms is None else [hold.from_ms, hold.from_ms - ON_TIME_MS]
        # A job that runs at once has a fire just then, which is none of its schedule.
        edges.update(starts if hold.to_ms is None else [*starts, hold.to_ms - 1, hold.to_ms])
    for scheduled in past.schedules:
        edges.update((scheduled.from_ms, scheduled.from_ms - 1, scheduled.to_ms))
    for row in missed:
        edges.update((row.first_ms - 1, row.last_ms))
    cuts = sorted(edge for edge in edges if after <= edge <= until)
    for low, high in pairwise(cuts):
        if not any(row.first_ms <= high <= row.last_ms for row in missed):
            yield _Stretch(low, high, _trigger_at(past, high), _hold_at(past, high))


def _trigger_at(past: Past, ms: int) -> Trigger:
    scheduled = next((s for s in past.schedules if s.from_ms < ms <= s.to_ms), None)
    return ManualTrigger() if scheduled is None else _trigger(scheduled.job, past.default_zone)


def _trigger(job: Job, default_zone: str) -> Trigger:
    try:
        return trigger_of(job, default_zone)
    except BadTrigger:  # the job is stopped for it, and says so
        return ManualTrigger()


def _hold_at(past: Past, ms: int) -> Hold | None:
    """What held back a fire at this instant, or came so soon after it that it was not claimed any more."""
    found = next((hold for hold in past.holds if hold.covers(ms)), None)
    soon = (hold for hold in past.holds if hold.cause in _SUDDEN and hold.covers(ms + ON_TIME_MS - 1))
    return found or next(soon, None)


def _within(past: Past, rows: Sequence[FireRange], stretch: _Stretch) -> Sequence[FireRange]:
    """The rows of a stretch; what reaches over its ends is asked for anew."""
    met = [row for row in rows if row.first_ms <= stretch.until and row.last_ms > stretch.after]
    if all(row.first_ms > stretch.after and row.last_ms <= stretch.until for row in met):
        return met
    return [row for row in past.rows(stretch.after, stretch.until) if row.state is not RunState.MISSED]


def _of_stretch(past: Past, stretch: _Stretch, rows: Sequence[FireRange]) -> Iterator[Answer]:
    """What the rows say, and what follows for the instants without one."""
    yield from (_recorded(row) for row in rows)
    trigger, cursor = stretch.trigger, stretch.after
    ordered = sorted(rows, key=lambda row: row.first_ms)
    if any(one.last_ms >= other.first_ms for one, other in pairwise(ordered)):
        # Too many to be told one after the other: only how many are left is known.
        yield from _without(stretch, cursor, stretch.until, sum(row.fires for row in rows))
        return
    for row in ordered:
        yield from _without(stretch, cursor, row.first_ms - 1, 0)
        if row.fires > 1 and trigger.count(row.first_ms - 1, row.last_ms) > row.fires:
            yield from _between(past, stretch, row)
        cursor = row.last_ms
    yield from _without(stretch, cursor, stretch.until, 0)


def _between(past: Past, stretch: _Stretch, row: FireRange) -> Iterator[Answer]:
    """Instants between rows of the same end that have none themselves; the first and the last by halving."""

    def missing(after: int, until: int) -> int:
        rows = past.rows(after, until)
        return stretch.trigger.count(after, until) - sum(part.fires for part in rows if part.first_ms > after)

    ends = []
    for first in (True, False):
        low, high = row.first_ms - 1, row.last_ms
        while high - low > 1:
            middle = (low + high) // 2
            if first:
                low, high = (low, middle) if missing(low, middle) > 0 else (middle, high)
            else:
                low, high = (middle, high) if missing(middle, high) > 0 else (low, middle)
        ends.append(high)
    for answer in _without(stretch, row.first_ms - 1, row.last_ms, row.fires):
        yield replace(answer, first_ms=ends[0], last_ms=ends[1])


def _without(stretch: _Stretch, after: int, until: int, recorded: int) -> Iterator[Answer]:
    """The instants in (after, until] without a row, when so many have one."""
    trigger, hold = stretch.trigger, stretch.hold
    fires = trigger.count(after, until) - recorded if until > after else 0
    first = trigger.next_after(after)
    if fires > 0 and first is not None:
        last = trigger.newest(after, until, 1)[0]
        verdict = Verdict.NO_RECORD if hold is None else Verdict(hold.cause.value)
        holds = () if hold is None else (hold,)
        yield Answer(verdict=verdict, first_ms=first, last_ms=last, fires=fires, holds=holds)


# --- answers ---------------------------------------------------------------------------------------------------


def _recorded(row: FireRange) -> Answer:
    limit = row.state is RunState.SKIPPED and row.error.startswith("limit reached")
    return Answer(
        verdict=Verdict.LIMIT if limit else Verdict(row.state.value),
        first_ms=row.first_ms,
        last_ms=row.last_ms,
        fires=row.fires,
        reason=row.error,
        exec_id=row.exec_id,
        duration_ms=row.duration_ms,
        lateness_ms=row.lateness_ms,
    )


def _missed(past: Past, row: FireRange, after: int, until: int) -> Answer:
    """A range of missed fires, as far as it is asked about, and what it was missed for."""
    answer = _recorded(row)
    first, last = max(row.first_ms, after + 1), min(row.last_ms, until)
    if (first, last) != (row.first_ms, row.last_ms):
        inside = sum(
            _trigger(s.job, past.default_zone).count(max(first - 1, s.from_ms), min(last, s.to_ms))
            for s in past.schedules
            if max(first - 1, s.from_ms) < min(last, s.to_ms)
        )
        answer = replace(answer, first_ms=first, last_ms=last, fires=inside)
    away = (Cause.DOWN, Cause.SUSPENDED, Cause.CLOCK_SET)
    return replace(answer, holds=tuple(h for h in past.holds if h.cause in away and h.meets(first, last)))


def _changes(past: Past, after: int, until: int) -> Iterator[Answer]:
    """Wall clock times that the clock left out or showed twice."""
    for scheduled in past.schedules:
        low, high = max(after, scheduled.from_ms), min(until, scheduled.to_ms)
        trigger = _trigger(scheduled.job, past.default_zone)
        if low < high and isinstance(trigger, CronTrigger):
            for change in clock_changes(scheduled.job.cron_expr, trigger, low, high):
                verdict = Verdict.GAP if change.gap else Verdict.FOLD
                yield Answer(verdict=verdict, first_ms=change.at_ms, last_ms=change.at_ms, fires=0, change=change)


def _folded(answers: Sequence[Answer]) -> list[Answer]:
    """Put neighbours together that say the same."""
    found: list[Answer] = []
    for answer in answers:
        last = found[-1] if found else None
        if last is None or not _alike(last, answer):
            found.append(answer)
            continue
        longest = [ms for ms in (last.duration_ms, answer.duration_ms) if ms is not None]
        latest = [ms for ms in (last.lateness_ms, answer.lateness_ms) if ms is not None]
        found[-1] = replace(
            last,
            last_ms=max(last.last_ms, answer.last_ms),
            fires=last.fires + answer.fires,
            exec_id="",
            duration_ms=max(longest, default=None),
            lateness_ms=max(latest, default=None),
        )
    return found


def _alike(one: Answer, other: Answer) -> bool:
    same = (one.verdict, one.reason, one.holds) == (other.verdict, other.reason, other.holds)
    return same and one.change is other.change is None and one.verdict is not Verdict.MISSED


def _again(job: Job, trigger: Trigger, at_ms: int) -> Iterator[Answer]:
    """Tell of a time that an expression names and that is not due: the clock shows it for the second time."""
    if isinstance(trigger, CronTrigger) and 0 <= at_ms < LIMIT * 1000 and not _excluded(job, trigger, at_ms):
        start = piece_at(trigger.zone, at_ms // 1000).start * 1000
        for change in clock_changes(job.cron_expr, trigger, start - 1, start):
            yield Answer(verdict=Verdict.FOLD, first_ms=at_ms, last_ms=at_ms, fires=0, change=change)


def _excluded(job: Job, trigger: Trigger, at_ms: int) -> tuple[Excluding, ...]:
    if not isinstance(trigger, CronTrigger):
        return ()
    second = min(max(at_ms // 1000, 0), LIMIT - 1)
    return excluding(job.cron_expr, second + piece_at(trigger.zone, second).offset)


def _before(trigger: Trigger, at_ms: int) -> int | None:
    for back in _BACK_MS:
        found = trigger.newest(max(at_ms - 1 - back, -1), at_ms - 1, 1)
        if found:
            return found[0]
    return None
