"""What ran in the last days: totals, by job and by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from zoneinfo import ZoneInfo

from pyjobs.clock import Clock
from pyjobs.errors import Invalid
from pyjobs.ports import Store, Tally
from pyjobs.service.jobs import Jobs

__all__ = ["Statistics", "Summary", "failed", "failure_rate", "mean_ms"]

#: Days that are told one by one.
MOST_DAYS = 400
_NONE = Tally(None, "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Ends of runs in [since, until)."""

    since_ms: int
    until_ms: int
    total: Tally
    #: By name.
    jobs: Sequence[Tally]
    #: Each day of the zone, the oldest first.
    days: Sequence[tuple[date, Tally]]


class Statistics:
    """Use cases about what ran."""

    def __init__(self, store: Store, clock: Clock, jobs: Jobs) -> None:
        """Take what they work on."""
        self._store = store
        self._clock = clock
        self._jobs = jobs

    def summary(self, since_ms: int, zone: ZoneInfo, reference: str | None = None) -> Summary:
        """
        Sum up what was claimed since then; of one job, or of all.

        Raises:
            Invalid: more days than are told.
            NotFound: there is no such job.
        """
        now_ms = self._clock.now_ms()
        job_id = None if reference is None else self._jobs.find(reference).id
        days = list(_days(since_ms, now_ms + 1, zone))
        if len(days) > MOST_DAYS:
            raise Invalid("since", f"reaches back over {MOST_DAYS} days", f"超过 {MOST_DAYS} 天")
        told = [(day, self._store.tallies(start, end, job_id)) for day, start, end in days]
        by_job: dict[object, Tally] = {}
        for _, tallies in told:
            for tally in tallies:
                key = tally.job_id if tally.job_id is not None else tally.name
                by_job[key] = added(by_job.get(key, _NONE), tally)
        return Summary(
            since_ms=since_ms,
            until_ms=now_ms,
            total=_sum(by_job.values()),
            jobs=sorted(by_job.values(), key=lambda tally: tally.name),
            days=[(day, _sum(tallies)) for day, tallies in told],
        )


def failed(tally: Tally) -> int:
    """Launched runs that did not succeed."""
    return tally.failed + tally.timed_out + tally.killed + tally.lost


def failure_rate(tally: Tally) -> float | None:
    """From 0 to 1, of those that were launched and ended; None where none was."""
    launched = tally.succeeded + failed(tally)
    return failed(tally) / launched if launched else None


def mean_ms(tally: Tally) -> int | None:
    """How long one took on average; None where none ended."""
    return round(tally.duration_ms / tally.ended) if tally.ended else None


def added(one: Tally, other: Tally) -> Tally:
    """Both together, under the name of the second one."""
    return Tally(
        job_id=other.job_id,
        name=other.name,
        succeeded=one.succeeded + other.succeeded,
        failed=one.failed + other.failed,
        timed_out=one.timed_out + other.timed_out,
        killed=one.killed + other.killed,
        lost=one.lost + other.lost,
        skipped=one.skipped + other.skipped,
        missed=one.missed + other.missed,
        duration_ms=one.duration_ms + other.duration_ms,
        ended=one.ended + other.ended,
        longest_ms=max(one.longest_ms, other.longest_ms),
        latest_ms=max(one.latest_ms, other.latest_ms),
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    return reduce(added, tallies, _NONE)._replace(job_id=None, name="")


def _days(since_ms: int, until_ms: int, zone: ZoneInfo) -> Iterable[tuple[date, int, int]]:
    """(day, from, to) of each day of a zone in [since, until); a day may have 23 or 25 hours."""
    day = datetime.fromtimestamp(since_ms / 1000, zone).date()
    start = since_ms
    while start < until_ms:
        day_after = day + timedelta(days=1)
        midnight = datetime(day_after.year, day_after.month, day_after.day, tzinfo=zone)
        end = min(int(midnight.timestamp() * 1000), until_ms)
        yield day, start, end
        day, start = day_after, end
