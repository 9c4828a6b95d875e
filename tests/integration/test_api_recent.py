"""Answers that are kept are never older than the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyjobs.ports import JobQuery
from pyjobs.service.jobs import Jobs
from pyjobs.store import open_store

from .api_kit import Api, an_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[JobQuery]:
    """Lists that were really made."""
    made: list[JobQuery] = []
    real = Jobs.rows

    def counted(self: Jobs, query: JobQuery, *rest: Any) -> Any:
        made.append(query)
        return real(self, query, *rest)

    monkeypatch.setattr(Jobs, "rows", counted)
    return made


def names(api: Api, query: str = "") -> list[str]:
    return [job["name"] for job in api.get("/jobs/list", query).data]


def test_the_same_question_is_answered_once(api: Api, looks: list[JobQuery]) -> None:
    api.add("a")

    assert [api.get("/jobs/list").body for _ in range(3)] == [api.get("/api/jobs/list").body] * 3
    assert len(looks) == 2, "one for each prefix"
    assert names(api, "page=2") == []
    assert len(looks) == 3


def test_a_list_says_of_each_job_what_the_job_itself_says(api: Api) -> None:
    for number, state in enumerate((0, 2, 0, 2)):
        api.add(f'任务 \\ "{number}"', state=state, desc="一\n二")
    listed = api.get("/jobs/list").data
    for job in listed[:2]:
        assert api.post("/jobs/run", {"id": job["id"]}).data["skipped"] is False
    for _ in range(2):
        again = api.get("/jobs/list").data
        assert again == [api.get("/jobs/read", {"id": job["id"]}).data for job in listed]
        assert [job["state"] for job in again] == [1, 0, 2, 0]
        assert again[2:] == listed[2:]


def test_what_this_process_changes_is_seen_at_once(api: Api) -> None:
    for number in range(5):
        api.add(f"job {number}")
        assert len(names(api)) == number + 1
    (job, *_) = api.get("/jobs/list").data
    api.post("/jobs/stop", {"id": job["id"]})
    assert api.get("/jobs/list").data[0]["state"] == 2
    assert api.get("/jobs/read", {"id": job["id"]}).data["state"] == 2


def test_what_another_process_changes_is_seen_at_once(api: Api) -> None:
    job = api.add("a")
    other = open_store(api.site.settings)
    for number in range(5):
        found = other.job(job)
        assert found is not None
        other.update_job(replace(found, name=f"name {number}"))
        assert names(api) == [f"name {number}"]
    other.delete_job(job)
    assert names(api) == []
    assert api.get("/jobs/read", {"id": job}).json["code"] == 404
    other.close()


def test_other_settings_make_another_answer(api: Api) -> None:
    job = api.add("a")
    before = api.get("/jobs/read", {"id": job}).data["created_at"]
    api.load_settings = lambda: replace(api.site.settings, timezone="America/New_York")

    api.post("/jobs/reload-config")

    assert before.endswith("+08:00")
    assert api.get("/jobs/read", {"id": job}).data["created_at"].endswith(("-05:00", "-04:00"))


def test_each_thread_has_answers_of_its_own(api: Api) -> None:
    """What a version says holds for one connection, and each thread has its own."""
    seen: list[list[str]] = []
    names(api)
    api.add("a")

    def look() -> None:
        seen.append(names(api))
        api.site.service.close()

    for _ in range(2):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [["a"], ["a"]]
    assert names(api) == ["a"]


def test_many_questions_are_forgotten_again(api: Api) -> None:
    api.add("a")
    for page in range(300):
        names(api, f"page={page}")

    assert names(api, "page=1") == ["a"]


def test_a_question_with_a_body_is_read_whole(api: Api) -> None:
    api.add("a")
    api.add("b")
    assert names(api) == ["b", "a"]

    reply = api.call("GET", "/jobs/list", body=b'{"name": "a"}', kind="application/json")

    assert [job["name"] for job in reply.data] == ["a"]
