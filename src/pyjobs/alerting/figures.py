"""The figures that rules are judged over: those of `/metrics`, from the store's own counters, and how they grew."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pyjobs.alerting.tree import NO_LABELS, Selector, Vector
from pyjobs.jobs import JobState, RunState
from pyjobs.ports import Store

__all__ = ["StoreFigures"]

#: How many samples a range is known by, at most and about.
_SAMPLES = 120
_COUNTED = ("jobs_exec_", "job_execution")


class StoreFigures:
    """
    Figures of one moment, with the samples that `increase` and `rate` need of the moments before.

    Samples are kept in memory: after a restart a range begins anew.
    """

    def __init__(self, store: Store) -> None:
        """Take where the counters are."""
        self._store = store
        self._now_ms = 0
        self._cache: dict[str, Vector] = {}
        self._samples: dict[Selector, deque[tuple[int, Vector]]] = {}

    def look(self, now_ms: int, selectors: Iterable[Selector]) -> None:
        """Begin a new moment; take samples of what has a range, and forget those of selectors that are gone."""
        self._now_ms = now_ms
        self._cache = {}
        ranged = {selector for selector in selectors if selector.range_ms}
        self._samples = {selector: self._samples.get(selector, deque()) for selector in ranged}
        for selector, samples in self._samples.items():
            if samples and samples[-1][0] > now_ms:  # the clock was set back
                samples.clear()
            if not samples or now_ms - samples[-1][0] >= selector.range_ms / _SAMPLES:
                samples.append((now_ms, self.now(selector)))
            while len(samples) > 1 and samples[1][0] <= now_ms - selector.range_ms:
                samples.popleft()

    def now(self, selector: Selector) -> Vector:
        """Values at this moment."""
        if selector.metric not in self._cache:
            self._read(selector.metric)
        found = self._cache[selector.metric]
        return {labels: value for labels, value in found.items() if selector.takes(dict(labels))}

    def increase(self, selector: Selector) -> tuple[Vector, float]:
        """How much they grew within the selector's range, and over how many seconds that was seen."""
        samples = self._samples.get(selector, deque())
        now = self.now(selector)
        if not samples:
            return dict.fromkeys(now, 0.0), 0.0
        grown = dict.fromkeys(now, 0.0)
        first_ms, before = samples[0]
        for _, values in [*list(samples)[1:], (self._now_ms, now)]:
            for labels, value in values.items():
                was = before.get(labels, 0.0)
                # What has become less began anew: the store was replaced.
                grown[labels] = grown.get(labels, 0.0) + (value - was if value >= was else value)
            before = values
        return grown, (self._now_ms - first_ms) / 1000

    def _read(self, metric: str) -> None:
        if metric.startswith(_COUNTED):
            self._read_executed()
        elif metric in ("failed_jobs", "successful_jobs"):
            runs, failed = self._store.executed_since(self._now_ms // 60_000 - 59)
            self._cache |= {"failed_jobs": _one(failed), "successful_jobs": _one(runs - failed)}
        else:
            figures = self._store.figures()
            self._cache |= {
                "jobs_running": _one(figures["runs"].get(RunState.RUNNING.value, 0)),
                "queue_size": _one(figures["runs"].get(RunState.QUEUED.value, 0)),
                "active_jobs": _one(figures["jobs"].get(JobState.WAITING, 0)),
            }

    def _read_executed(self) -> None:
        """What was executed, of each job that is there, and of all that ever were."""
        executed = self._store.executed()
        runs, took = sum(job.runs for job in executed), sum(job.duration_ms for job in executed) / 1000
        total, fails, seconds = Vector(), Vector(), Vector()
        for job in executed:
            if job.job_id:
                labels = frozenset({("job_id", str(job.job_id)), ("job_name", job.name), ("mode", job.mode)})
                total[labels], fails[labels] = float(job.runs), float(job.failed)
                seconds[labels] = job.duration_ms / 1000
        self._cache |= {
            "jobs_exec_total": total,
            "jobs_exec_fail_total": fails,
            "jobs_exec_duration_seconds_count": total,
            "jobs_exec_duration_seconds_sum": seconds,
            "job_execution_total": _one(runs),
            "job_execution_duration_count": _one(runs),
            "job_execution_duration_sum": {NO_LABELS: took},
        }


def _one(value: int) -> Vector:
    return {NO_LABELS: float(value)}
