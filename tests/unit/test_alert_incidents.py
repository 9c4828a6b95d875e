"""Incidents: one a cause, opened once, reminded of, closed once."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from fakes import NOW_MS, FakeClock, MemoryStore

from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerts import Finding, IncidentState, Notice
from pyjobs.errors import Conflict, NotFound
from pyjobs.service.alerts import Alerts

PLACE = Place("server", "/srv/pyjobs", ZoneInfo("UTC"), "en")
TROUBLE = Finding(cause="rule:Trouble{}", title="there is trouble", text="a lot", labels={"alertname": "Trouble"})
MINUTE = 60_000


@pytest.fixture
def incidents(memory: MemoryStore) -> Incidents:
    return Incidents(memory, PLACE, lambda: ["ops"])


def told(store: MemoryStore) -> list[tuple[Notice, str]]:
    return [(d.notice, d.title) for d in store.deliveries()]


def test_a_cause_is_told_once_however_often_it_shows_itself(memory: MemoryStore, incidents: Incidents) -> None:
    for second in range(1000):
        incidents.found(TROUBLE, NOW_MS + second * 1000)
    assert told(memory) == [(Notice.OPENED, "[pyjobs] there is trouble")]
    [incident] = memory.incidents()
    assert (incident.state, incident.count, incident.since_ms) == (IncidentState.OPEN, 1000, NOW_MS)


def test_it_is_closed_once_and_may_come_again(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.found(TROUBLE, NOW_MS)
    incidents.over(TROUBLE.cause, NOW_MS + 1)
    incidents.over(TROUBLE.cause, NOW_MS + 2)
    incidents.found(TROUBLE, NOW_MS + 3)
    assert [notice for notice, _ in told(memory)] == [Notice.OPENED, Notice.CLOSED, Notice.OPENED]
    assert [i.state for i in memory.incidents(closed=True)] == [IncidentState.OPEN, IncidentState.CLOSED]
    assert told(memory)[1][1] == "[pyjobs] over: there is trouble"


def test_nobody_is_told_before_it_was_there_often_enough(memory: MemoryStore, incidents: Incidents) -> None:
    for number in range(2):
        incidents.found(replace(TROUBLE, needed=3), NOW_MS + number)
    assert told(memory) == []
    incidents.found(replace(TROUBLE, needed=3), NOW_MS + 2)
    assert len(told(memory)) == 1


def test_what_is_over_before_anybody_was_told_leaves_nothing(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.found(replace(TROUBLE, for_ms=5 * MINUTE), NOW_MS)
    incidents.over(TROUBLE.cause, NOW_MS + MINUTE)
    assert (memory.incidents(closed=True), told(memory)) == ([], [])


def test_nobody_is_told_before_it_was_there_long_enough(memory: MemoryStore, incidents: Incidents) -> None:
    finding = replace(TROUBLE, for_ms=5 * MINUTE)
    for minute in range(5):
        incidents.settle("rule:", [finding], NOW_MS + minute * MINUTE)
    assert told(memory) == []
    incidents.settle("rule:", [finding], NOW_MS + 5 * MINUTE)
    incidents.settle("rule:", [finding], NOW_MS + 6 * MINUTE)
    assert len(told(memory)) == 1
    incidents.settle("rule:", [], NOW_MS + 7 * MINUTE)
    assert [notice for notice, _ in told(memory)] == [Notice.OPENED, Notice.CLOSED]


def test_what_goes_on_writes_nothing(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.settle("rule:", [TROUBLE], NOW_MS)
    [before] = memory.incidents()
    incidents.settle("rule:", [replace(TROUBLE, text="other figures")], NOW_MS + MINUTE)
    assert memory.incidents() == [before]


def test_a_source_says_nothing_of_another_ones_incidents(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.found(replace(TROUBLE, cause="job:1:late"), NOW_MS)
    incidents.found(replace(TROUBLE, cause="rule:Broken{a=b}"), NOW_MS)
    incidents.settle("rule:", [], NOW_MS, keep=["rule:Broken{"])
    assert len(memory.incidents()) == 2


def test_it_is_reminded_of_until_somebody_looks_after_it(
    memory: MemoryStore, incidents: Incidents, clock: FakeClock
) -> None:
    incidents.found(TROUBLE, NOW_MS)
    every = 60 * MINUTE
    for minute in (0, 30, 59, 61, 90, 125):
        incidents.remind(every, NOW_MS + minute * MINUTE)
    assert [notice for notice, _ in told(memory)] == [Notice.OPENED, Notice.REMINDER, Notice.REMINDER]
    assert told(memory)[1][1] == "[pyjobs] still: there is trouble"
    [incident] = memory.incidents()
    acked = Alerts(memory, clock).ack(incident.id, "me")
    assert (acked.acked_ms, acked.acked_by) == (clock.now_ms(), "me")
    assert Alerts(memory, clock).ack(incident.id, "you") == acked
    incidents.remind(every, NOW_MS + 600 * MINUTE)
    assert len(told(memory)) == 3
    incidents.over(TROUBLE.cause, NOW_MS + 601 * MINUTE)
    assert told(memory)[-1][0] is Notice.CLOSED
    with pytest.raises(Conflict):
        Alerts(memory, clock).ack(incident.id, "me")


def test_nobody_is_reminded_where_that_is_not_wanted(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.found(TROUBLE, NOW_MS)
    incidents.remind(0, NOW_MS + 10**9)
    assert len(told(memory)) == 1


def test_an_end_that_nobody_wants_to_know_is_not_told(memory: MemoryStore, incidents: Incidents) -> None:
    incidents.found(replace(TROUBLE, tell_end=False), NOW_MS)
    incidents.over(TROUBLE.cause, NOW_MS)
    incidents.found(TROUBLE, NOW_MS)
    incidents.over(TROUBLE.cause, NOW_MS, quiet=True)
    assert [notice for notice, _ in told(memory)] == [Notice.OPENED, Notice.OPENED]


def test_what_is_only_suspected_is_not_listed(memory: MemoryStore, incidents: Incidents, clock: FakeClock) -> None:
    incidents.found(replace(TROUBLE, needed=2), NOW_MS)
    alerts = Alerts(memory, clock)
    assert alerts.list() == []
    with pytest.raises(NotFound):
        alerts.ack(memory.incidents()[0].id, "me")
    incidents.found(replace(TROUBLE, needed=2), NOW_MS)
    [shown] = alerts.list()
    assert [delivery.channel for delivery in shown.deliveries] == ["ops"]


def test_a_notice_says_what_since_when_and_where(memory: MemoryStore) -> None:
    zh = Incidents(memory, replace(PLACE, lang="zh"), lambda: ["ops"])
    zh.found(replace(TROUBLE, job_id=3, labels={"job_name": "备份"}, cause="job:3:failures"), NOW_MS)
    [delivery] = memory.deliveries()
    assert delivery.text == (
        "a lot\n开始于 2030-01-01 00:00:00\n级别 warning\njob_name=备份\n"
        f"告警 {delivery.incident_id}，server 上的 /srv/pyjobs"
    )
    assert delivery.fields == {
        "event": "opened", "alert": "failures", "severity": "warning", "job": "备份", "job_id": "3",
        "incident": delivery.incident_id, "count": 1, "since": "2030-01-01 00:00:00", "host": "server",
        "home": "/srv/pyjobs",
    }  # fmt: skip
