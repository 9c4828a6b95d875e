"""The expressions of alert rules: what they mean, and how they are refused."""

from __future__ import annotations

import pytest
from fakes import NOW_MS, FakeClock, MemoryStore, a_job, a_run, claimed
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.alerting.expression import BadExpression, parse
from pyjobs.alerting.figures import StoreFigures
from pyjobs.alerting.tree import Selector, Vector
from pyjobs.jobs import RunState
from pyjobs.ports import End, Start


def labels(**said: str) -> frozenset[tuple[str, str]]:
    return frozenset(said.items())


class Figures:
    """What the test says."""

    def __init__(self) -> None:
        self.values: dict[str, Vector] = {
            "failed_jobs": {labels(): 6.0},
            "successful_jobs": {labels(): 4.0},
            "queue_size": {labels(): 0.0},
            "jobs_exec_fail_total": {labels(job_name="a"): 1.0, labels(job_name="b"): 5.0},
            "jobs_exec_total": {labels(job_name="a"): 10.0, labels(job_name="b"): 10.0},
        }

    def now(self, selector: Selector) -> Vector:
        found = self.values.get(selector.metric, {})
        return {key: value for key, value in found.items() if selector.takes(dict(key))}

    def increase(self, selector: Selector) -> tuple[Vector, float]:
        return self.now(selector), 10.0


def holds(text: str) -> list[str]:
    """The names of the jobs that it holds for; an empty name is the whole."""
    found = parse(text).value(Figures())
    assert isinstance(found, dict)
    return sorted(dict(key).get("job_name", "") for key in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("failed_jobs > 5", [""]),
        ("failed_jobs > 6", []),
        ("5 < failed_jobs", [""]),
        ("failed_jobs >= 6 and successful_jobs == 4", [""]),
        ("failed_jobs > 6 or successful_jobs != 3", [""]),
        ("failed_jobs > 6 or queue_size > 1 and queue_size < 9", []),
        ("(failed_jobs > 6 or queue_size <= 0) and queue_size < 9", [""]),
        ("failed_jobs / (failed_jobs + successful_jobs) > 0.5", [""]),
        ("failed_jobs / queue_size > 1e9", [""]),
        ("queue_size / queue_size >= 0", []),
        ("1 + 2 * 3 == 7", [""]),
        ("(1 + 2) * 3 == 9", [""]),
        ("10 - 3 - 2 == 5", [""]),
        ("7 % 4 == 3", [""]),
        ("-failed_jobs < -5", [""]),
        ("jobs_exec_fail_total > 2", ["b"]),
        ("jobs_exec_fail_total / jobs_exec_total > 0.05", ["a", "b"]),
        ('jobs_exec_fail_total{job_name="a"} > 0', ["a"]),
        ('jobs_exec_fail_total{job_name!="a"} > 0', ["b"]),
        ("jobs_exec_fail_total{job_name=~'a|c.*'} > 0", ["a"]),
        ("jobs_exec_fail_total{job_name!~'a|c.*',} > 0", ["b"]),
        ("sum(jobs_exec_fail_total) > 5", [""]),
        ("max(jobs_exec_fail_total) - min(jobs_exec_fail_total) == 4", [""]),
        ("count(jobs_exec_fail_total > 2) == 1", [""]),
        ("avg(jobs_exec_fail_total) == 3", [""]),
        ("rate(jobs_exec_fail_total[1m]) > 0.2", ["b"]),
        ("increase( jobs_exec_fail_total { } [ 1h30m ] ) > 1", ["b"]),
        ("jobs_exec_fail_total > 0 and failed_jobs > 5", ["a", "b"]),
        ("jobs_exec_fail_total > 0 and failed_jobs > 6", []),
        ("failed_jobs > 5  # too many\n and queue_size < 1", [""]),
    ],
)
def test_an_expression_holds_for_what_it_says(text: str, expected: list[str]) -> None:
    assert holds(text) == expected


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("", 0, "the end where a metric or a number should be"),
        ("failed_jobs", 0, "it compares nothing, so it would always hold"),
        ("failed_jobs + 1", 0, "it compares nothing, so it would always hold"),
        ("failed_job > 5", 0, "there is no metric `failed_job`; did you mean `failed_jobs`?"),
        ("failed_jobs > ", 14, "the end where a metric or a number should be"),
        ("failed_jobs > 5 )", 16, "`)` is not expected here"),
        ("(failed_jobs > 5", 16, "the end where `)` should be"),
        ("failed_jobs > 1 > 2", 16, "`>` is not expected here"),
        ("failed_jobs => 5", 12, "`=` is not expected here"),
        ("failed_jobs > 5 & 1", 16, "`&` is nothing that can be read"),
        ("failed_jobs > 5m", 14, "`5` is nothing that can be read"),
        ("rat(jobs_exec_total[5m]) > 1", 0, "there is no function `rat`; did you mean `rate`?"),
        ("rate(jobs_exec_total) > 1", 20, "`)` where a range such as `[5m]` should be"),
        ("rate(jobs_exec_total[5x]) > 1", 21, "`5x` is not a duration"),
        ("rate(jobs_exec_total[9d]) > 1", 20, "`[9d]` is not from 1s to 24h"),
        ("rate(failed_jobs[5m]) > 1", 5, "rate() is for what only grows, `failed_jobs` goes up and down"),
        ("jobs_exec_total[5m] > 1", 15, "`[5m]` belongs into rate() or increase()"),
        ('jobs_exec_total{job="a"} > 1', 16, "there is no label `job`; did you mean `job_id`?"),
        ("jobs_exec_total{job_name=a} > 1", 25, "`a` where a text in quotes should be"),
        ('jobs_exec_total{job_name=~"("} > 1', 26, "`(` is no regular expression"),
        ("(" * 60 + "1", 50, "it is nested too deeply"),
        ("-" * 60 + "1", 50, "it is nested too deeply"),
        ("1 == 1" + " + 1" * 200, 6 + 298 * 2 - 1, "it has too many parts"),
        ("1" * 3000, 0, "it is longer than 2000 characters"),
    ],
)
def test_what_cannot_be_understood_says_where(text: str, offset: int, expected: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(text)
    assert str(caught.value).startswith(f"expr: {expected}")
    assert caught.value.text("zh").startswith("expr：")
    assert caught.value.text("zh") != caught.value.text("en")
    assert caught.value.offset == offset or "many parts" in expected


@given(st.text(st.sampled_from("failed_jobs>5()[]{}=~\"'\\ andor+-*/%1e.,m#\n中\0"), max_size=40))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    offset, node = 0, None
    try:
        node = parse(text)
    except BadExpression as exc:
        offset = exc.offset
    assert 0 <= offset <= len(text)
    assert node is None or isinstance(node.value(Figures()), dict)


def _fail(store: MemoryStore, name: str, *, times: int, at_ms: int) -> None:
    job = store.job_named(name) or store.add_job(a_job(name))
    for _ in range(times):
        run = a_run(job)
        store.claim([claimed(run)], [])
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=at_ms)], "me")
        store.end_runs([End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=at_ms, duration_ms=500)], "me")


class TestFigures:
    def test_they_are_the_stores(self, memory: MemoryStore) -> None:
        _fail(memory, "a", times=2, at_ms=NOW_MS)
        figures = StoreFigures(memory)
        figures.look(NOW_MS, [])
        for text in (
            "failed_jobs == 2 and successful_jobs == 0",
            "active_jobs == 1 and jobs_running == 0 and queue_size == 0",
            "job_execution_total == 2 and job_execution_duration_count == 2 and job_execution_duration_sum == 1",
            'jobs_exec_fail_total{job_name="a",job_id="1",mode="command"} == 2',
            "jobs_exec_duration_seconds_sum / jobs_exec_duration_seconds_count == 0.5 and jobs_exec_total == 2",
        ):
            assert parse(text).value(figures), text

    def test_what_is_older_than_the_range_does_not_count(self, memory: MemoryStore, clock: FakeClock) -> None:
        node = parse("increase(jobs_exec_fail_total[1m]) >= 3")
        figures = StoreFigures(memory)

        def look() -> bool:
            figures.look(clock.now_ms(), node.selectors())
            return bool(node.value(figures))

        _fail(memory, "a", times=10, at_ms=NOW_MS)
        assert not look()  # how it came to that is not known
        clock.advance(15)
        _fail(memory, "a", times=2, at_ms=NOW_MS)
        assert not look()
        clock.advance(15)
        _fail(memory, "a", times=1, at_ms=NOW_MS)
        assert look()
        clock.advance(75)
        assert not look()

    def test_a_job_that_ran_for_the_first_time_grew_from_nothing(self, memory: MemoryStore, clock: FakeClock) -> None:
        node = parse("rate(jobs_exec_fail_total[1m]) > 0.1")
        figures = StoreFigures(memory)
        figures.look(clock.now_ms(), node.selectors())
        clock.advance(10)
        _fail(memory, "new", times=5, at_ms=NOW_MS)
        figures.look(clock.now_ms(), node.selectors())
        assert node.value(figures)
