"""Rules of alerting.yml, judged over what was executed."""

from __future__ import annotations

import logging
from zoneinfo import ZoneInfo

import pytest
from fakes import NOW_MS, FakeClock, MemoryStore, a_job, a_run, claimed

from pyjobs.alerting.expression import parse
from pyjobs.alerting.file import Rule
from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerting.rules import RuleJudge
from pyjobs.alerting.tree import Figures, Selector, Vector
from pyjobs.jobs import RunState
from pyjobs.ports import End, Start

PLACE = Place("server", "/srv/pyjobs", ZoneInfo("UTC"), "en")


def rule(name: str, expr: str, **changes: object) -> Rule:
    return Rule(name=name, expr=expr, node=parse(expr), **changes)  # type: ignore[arg-type]


def fail(store: MemoryStore, name: str, times: int = 1) -> None:
    job = store.job_named(name) or store.add_job(a_job(name))
    for _ in range(times):
        run = a_run(job)
        store.claim([claimed(run)], [])
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        store.end_runs([End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=NOW_MS, duration_ms=1)], "me")


@pytest.fixture
def judge(memory: MemoryStore) -> RuleJudge:
    return RuleJudge(memory, Incidents(memory, PLACE, lambda: ["ops"]))


def told(store: MemoryStore) -> list[str]:
    return [delivery.title.removeprefix("[pyjobs] ") for delivery in store.deliveries()]


def test_a_rule_opens_and_closes_its_incident(memory: MemoryStore, judge: RuleJudge, clock: FakeClock) -> None:
    judge.use(
        [
            rule(
                "Failed",
                "failed_jobs > 1",
                labels={"severity": "page"},
                annotations={"summary": "{{ $value }} failed", "description": "more than 1, {{$labels.severity}}"},
            )
        ],
        NOW_MS,
    )
    judge.look(NOW_MS)
    fail(memory, "a", 2)
    judge.look(NOW_MS)
    judge.look(NOW_MS)
    assert told(memory) == ["2 failed"]
    assert memory.deliveries()[0].text.startswith("more than 1, page\nfailed_jobs > 1 (2)\n")
    assert memory.incidents()[0].severity == "page"
    clock.advance(2 * 3600)
    judge.look(clock.now_ms())
    assert told(memory) == ["2 failed", "over: 2 failed"]


def test_each_job_that_it_holds_for_is_an_incident_of_its_own(memory: MemoryStore, judge: RuleJudge) -> None:
    judge.use([rule("Failed", "jobs_exec_fail_total > 0")], NOW_MS)
    for name in ("a", "b"):
        fail(memory, name)
    judge.look(NOW_MS)
    assert sorted(told(memory)) == ["Failed (a)", "Failed (b)"]


def test_what_holds_for_very_many_is_told_of_some(memory: MemoryStore, judge: RuleJudge) -> None:
    judge.use([rule("Failed", "jobs_exec_fail_total > 0")], NOW_MS)
    for number in range(60):
        fail(memory, f"j{number}")
    judge.look(NOW_MS)
    assert len(told(memory)) == 50


def test_a_rule_that_is_gone_is_over_without_a_word(memory: MemoryStore, judge: RuleJudge) -> None:
    judge.use([rule("Failed", "failed_jobs > 0")], NOW_MS)
    fail(memory, "a")
    judge.look(NOW_MS)
    judge.use([], NOW_MS)
    assert (told(memory), memory.incidents()) == (["Failed"], [])


class _Broken:
    def value(self, figures: Figures) -> Vector:  # noqa: ARG002 - the protocol's parameter
        raise OverflowError("too large")

    def selectors(self) -> list[Selector]:
        return []


def test_a_rule_that_fails_is_said_once_and_the_others_go_on(
    memory: MemoryStore, judge: RuleJudge, caplog: pytest.LogCaptureFixture
) -> None:
    fail(memory, "a")
    broken = Rule(name="Broken", expr="?", node=_Broken())  # type: ignore[arg-type]
    judge.use([broken, rule("Failed", "failed_jobs > 0")], NOW_MS)
    with caplog.at_level(logging.ERROR):
        judge.look(NOW_MS)
        judge.look(NOW_MS)
    assert [record.getMessage() for record in caplog.records] == ["rule `Broken` failed: too large"]
    assert told(memory) == ["Failed"]
