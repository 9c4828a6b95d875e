"""
`/metrics` for Prometheus: the Go original's names and the specification's, made of the store's own counters.

Nothing is counted in this process: several of them, and a restart, give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric

from pyjobs.api.routes import Answer, Call, Route
from pyjobs.jobs import JobState, RunState
from pyjobs.ports import BUCKETS_MS, Executed
from pyjobs.service.system import System

__all__ = ["ROUTES"]

_LABELS = ("job_id", "job_name", "mode")
_BOUNDS = [*(str(bound / 1000) for bound in BUCKETS_MS), "+Inf"]


class _Figures:
    """What Prometheus' library collects from."""

    def __init__(self, system: System) -> None:
        self._system = system

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        executed, now = self._system.executed(), self._system.figures()
        runs, failed = self._system.executed_lately()
        active = now["runs"]
        yield from _by_job([job for job in executed if job.job_id])
        yield from _all_jobs(executed)
        yield _gauge("jobs_running", "运行中的执行数", active.get(RunState.RUNNING.value, 0))
        yield _gauge("active_jobs", "未停止的任务数", now["jobs"].get(JobState.WAITING, 0))
        yield _gauge("queue_size", "排队等待的执行数", active.get(RunState.QUEUED.value, 0))
        yield _gauge("failed_jobs", "最近一小时失败的执行数", failed)
        yield _gauge("successful_jobs", "最近一小时成功的执行数", runs - failed)


def _by_job(executed: Iterable[Executed]) -> Iterator[Metric]:
    total = CounterMetricFamily("jobs_exec", "任务执行次数", labels=_LABELS)
    fails = CounterMetricFamily("jobs_exec_fail", "任务执行失败次数", labels=_LABELS)
    took = HistogramMetricFamily("jobs_exec_duration_seconds", "任务执行耗时（秒）", labels=_LABELS)
    for job in executed:
        labels = (str(job.job_id), job.name, job.mode)
        total.add_metric(labels, job.runs)
        fails.add_metric(labels, job.failed)
        took.add_metric(labels, _cumulated(job.buckets), job.duration_ms / 1000)
    yield from (total, fails, took)


def _all_jobs(executed: Sequence[Executed]) -> Iterator[Metric]:
    """Deleted jobs are in these: counters do not go back."""
    yield CounterMetricFamily("job_execution", "任务执行总次数", sum(job.runs for job in executed))
    buckets = [sum(column) for column in zip(*(job.buckets for job in executed), strict=True)] or [0] * len(_BOUNDS)
    seconds = sum(job.duration_ms for job in executed) / 1000
    yield HistogramMetricFamily("job_execution_duration", "任务执行耗时（秒）", _cumulated(buckets), seconds)


def _cumulated(buckets: Iterable[int]) -> list[tuple[str, float]]:
    return list(zip(_BOUNDS, map(float, accumulate(buckets)), strict=True))


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _metrics(call: Call) -> Answer:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(call.service.system))
    return Answer(body=generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/metrics", summary="Prometheus 指标", tag="健康检查", scope="read", handler=_metrics,
          bare=True, media="text/plain"),
)  # fmt: skip
