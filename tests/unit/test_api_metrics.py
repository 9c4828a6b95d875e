"""What Prometheus reads, over a store in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job, a_run, claimed
from prometheus_client.parser import text_string_to_metric_families

from pyjobs.api.metrics import ROUTES
from pyjobs.jobs import JobState, RunState
from pyjobs.ports import End, Start
from pyjobs.service import build


def scraped(store: MemoryStore) -> dict[str, float]:
    """Every sample: `name{labels}` -> value."""
    service = build(store, FakeNudge(), FakeClock(), "UTC")
    call: Any = SimpleNamespace(service=service)
    answer = ROUTES[0].handler(call)
    assert answer.body is not None
    assert answer.content_type.startswith("text/plain")
    samples = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}"] = sample.value
    return samples


def run(store: MemoryStore, job_id: int, state: RunState, duration_ms: int) -> None:
    job = store.job(job_id)
    assert job is not None
    one = a_run(job)
    store.claim([claimed(one)], [])
    store.start_runs([Start(exec_id=one.exec_id, attempt=1, started_ms=NOW_MS)], "me")
    store.end_runs([End(exec_id=one.exec_id, state=state, ended_ms=NOW_MS, duration_ms=duration_ms)], "me")


def test_a_store_without_runs_has_all_figures_at_zero() -> None:
    samples = scraped(MemoryStore())
    names = ("active_jobs", "failed_jobs", "successful_jobs", "queue_size", "jobs_running", "job_execution_total")
    assert {name: samples[f"{name}{{}}"] for name in names} == dict.fromkeys(names, 0)
    assert samples["job_execution_duration_bucket{le=+Inf}"] == 0


def test_both_sets_of_names_say_what_was_executed() -> None:
    store = MemoryStore()
    job, gone = store.add_job(a_job('quo"te\n中')), store.add_job(a_job("gone"))
    store.add_job(a_job("stopped", state=JobState.STOPPED))
    run(store, job.id, RunState.SUCCESS, 40)
    run(store, job.id, RunState.FAILED, 2000)
    run(store, gone.id, RunState.TIMEOUT, 4_000_000)
    store.claim([claimed(a_run(job))], [])
    store.delete_job(gone.id)

    samples = scraped(store)
    of_job = f"job_id={job.id},job_name={job.name},mode={job.mode}"
    assert samples[f"jobs_exec_total{{{of_job}}}"] == 2
    assert samples[f"jobs_exec_fail_total{{{of_job}}}"] == 1
    assert samples[f"jobs_exec_duration_seconds_count{{{of_job}}}"] == 2
    assert samples[f"jobs_exec_duration_seconds_sum{{{of_job}}}"] == 2.04
    head, tail = f"job_id={job.id},job_name={job.name}", f"mode={job.mode}"
    bounds = ("0.025", "0.05", "1.0", "2.5", "+Inf")
    by_bound = {le: samples[f"jobs_exec_duration_seconds_bucket{{{head},le={le},{tail}}}"] for le in bounds}
    assert by_bound == {"0.025": 0, "0.05": 1, "1.0": 1, "2.5": 2, "+Inf": 2}
    assert not any("gone" in name for name in samples)
    assert samples["job_execution_total{}"] == 3
    assert samples["job_execution_duration_bucket{le=3600.0}"] == 2
    assert samples["job_execution_duration_bucket{le=+Inf}"] == 3
    assert (samples["failed_jobs{}"], samples["successful_jobs{}"]) == (2, 1)
    assert (samples["active_jobs{}"], samples["queue_size{}"], samples["jobs_running{}"]) == (1, 1, 0)
