"""Documents into the store: which rows are taken, what becomes of taken names; all or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore

from pyjobs.errors import BadDocument, Conflict
from pyjobs.interchange.documents import Document
from pyjobs.jobs import JobState, RunState
from pyjobs.ports import EventKind, JobQuery, RunQuery
from pyjobs.service.jobs import JobFields, Jobs
from pyjobs.service.transfer import Imported, OnConflict, Transfer, Verdict

NAMES = JobQuery(order="name")
LOG: dict[str, Any] = {"id": 1, "job_id": 9, "start_time": "2029-12-01 00:00:00", "end_time": "2029-12-01 00:00:01",
                       "status": 0, "result": "hi", "error": ""}  # fmt: skip


@pytest.fixture
def jobs(memory: MemoryStore, nudge: FakeNudge, clock: FakeClock) -> Jobs:
    return Jobs(memory, nudge, clock, "UTC")


@pytest.fixture
def transfer(memory: MemoryStore, nudge: FakeNudge, clock: FakeClock, jobs: Jobs) -> Transfer:
    return Transfer(memory, nudge, clock, jobs)


def a_row(name: str = "a", **columns: Any) -> dict[str, Any]:
    return {"name": name, "cron_expr": "0 3 * * *", "mode": "command", "command": "true", **columns}


def bring(
    transfer: Transfer, *rows: dict[str, Any], logs: tuple[dict[str, Any], ...] = (), how: str = "fail"
) -> Imported:
    return transfer.carry_out(transfer.check(Document(rows, logs)), OnConflict(how), by="me")


class TestJobs:
    def test_a_job_comes_with_its_history(self, transfer: Transfer, memory: MemoryStore, nudge: FakeNudge) -> None:
        row = a_row(
            run_count=5, last_run_time="2029-12-31 03:00:00", last_state="failed", created_at="2029-01-01 00:00:00",
            updated_at="2029-02-01 00:00:00", id=77,
        )  # fmt: skip
        done = bring(transfer, row)
        job = memory.jobs(NAMES)[0]
        assert done.jobs[0].job == job
        assert (job.id, job.run_count, job.last_state, job.state) == (1, 5, RunState.FAILED, JobState.WAITING)
        assert job.last_run_ms == NOW_MS - 21 * 3_600_000
        assert job.next_fire_ms == NOW_MS + 3 * 3_600_000
        assert job.updated_ms - job.created_ms == 31 * 86_400_000
        assert [(e.kind, e.job_id, e.detail) for e in memory.events()] == [(EventKind.JOB_ADDED, 1, {"by": "me"})]
        assert nudge.sent == 1

    def test_a_stopped_one_stays_so_with_its_reason(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row(state=2, stop_reason="why"))
        job = memory.jobs(NAMES)[0]
        assert (job.state, job.stop_reason, job.next_fire_ms) == (JobState.STOPPED, "why", None)

    def test_nothing_is_due_because_it_was_brought_here(self, transfer: Transfer, memory: MemoryStore) -> None:
        past: dict[str, Any] = {"cron_expr": None, "trigger_type": "once", "run_at": NOW_MS - 5}
        bring(transfer, a_row(allow_mode=2), a_row("b", **past))
        immediate, once = memory.jobs(NAMES)
        assert immediate.next_fire_ms == NOW_MS + 3 * 3_600_000
        assert (once.next_fire_ms, once.state, once.at_ms) == (None, JobState.WAITING, NOW_MS - 5)

    def test_an_interval_keeps_its_beat(self, transfer: Transfer, memory: MemoryStore) -> None:
        every: dict[str, Any] = {
            "cron_expr": "",
            "trigger_type": "interval",
            "interval_seconds": 60,
            "anchor_at": NOW_MS - 59_000,
        }
        bring(transfer, a_row(**every))
        assert memory.jobs(NAMES)[0].next_fire_ms == NOW_MS + 1000

    def test_what_was_exported_comes_back_the_same(self, transfer: Transfer, memory: MemoryStore, jobs: Jobs) -> None:
        jobs.add(JobFields(name="x", interval_s=60, mode="http", command="http://x/", desc="d", timeout_s=9))
        rows = transfer.job_rows()
        was = memory.jobs(NAMES)[0]
        jobs.remove(was.id)
        bring(transfer, *rows)
        now = memory.jobs(NAMES)[0]
        assert {n for n in was.__slots__ if getattr(was, n) != getattr(now, n)} == {"id", "revision"}


class TestBadRows:
    def test_all_are_named_and_nothing_is_stored(self, transfer: Transfer, memory: MemoryStore) -> None:
        rows = [
            a_row(), a_row("b", cron_expr="61 * * * *"), a_row(""), a_row("c", run_count=-1), a_row("d", mode="ftp"),
            {"mode": "command", "command": "x", "interval_seconds": 5}, a_row("e", timeout="soon"),
        ]  # fmt: skip
        with pytest.raises(BadDocument) as caught:
            bring(transfer, *rows, logs=({"start_time": "never"}, {"start_time": "2040-01-01", "status": 0},
                                         {"start_time": "2026-01-01", "exec_id": "../../x"}))  # fmt: skip
        lines = str(caught.value).splitlines()
        assert lines[0] == "9 of 10 entries cannot be used, nothing was stored:"
        assert [line.split(": ")[:2] for line in lines[1:]] == [
            ["  job 2 `b`", "cron_expr"], ["  job 3", "name"], ["  job 4 `c`", "run_count"], ["  job 5 `d`", "mode"],
            ["  job 6", "name"], ["  job 7 `e`", "timeout"], ["  log 1", "start_time"], ["  log 2", "start_time"],
            ["  log 3", "exec_id"],
        ]  # fmt: skip
        assert "无法使用" in caught.value.text("zh")
        assert memory.jobs(NAMES) == []

    def test_a_long_list_of_them_is_cut(self, transfer: Transfer) -> None:
        with pytest.raises(BadDocument) as caught:
            transfer.check(Document([a_row(mode="ftp")] * 30))
        assert str(caught.value).splitlines()[-1] == "  and 10 more"

    def test_a_name_may_stand_there_once(self, transfer: Transfer) -> None:
        with pytest.raises(BadDocument, match="job 2 `a`: name: is that of job 1 too"):
            bring(transfer, a_row(), a_row(), how="skip")


class TestTakenNames:
    def test_by_default_nothing_is_stored(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row())
        with pytest.raises(Conflict, match="1 names are taken, nothing was stored: `a`"):
            bring(transfer, a_row("b"), a_row())
        assert [job.name for job in memory.jobs(NAMES)] == ["a"]

    def test_skip_leaves_the_one_that_is_there(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row())
        done = bring(transfer, a_row(command="other"), a_row("b"), how="skip")
        assert [step.verdict for step in done.jobs] == [Verdict.SKIP, Verdict.ADD]
        assert [job.command for job in memory.jobs(NAMES)] == ["true", "true"]

    def test_replace_redefines_it_and_keeps_what_it_ran(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row(run_count=5, timeout=3))
        done = bring(transfer, a_row(command="other", cron_expr="0 4 * * *", run_count=1), how="replace")
        job = memory.jobs(NAMES)[0]
        assert done.jobs[0].verdict is Verdict.REPLACE
        assert (job.id, job.command, job.run_count, job.timeout_s) == (1, "other", 5, None)
        assert job.next_fire_ms == NOW_MS + 4 * 3_600_000
        assert [event.kind for event in memory.events()] == [EventKind.JOB_ADDED, EventKind.JOB_RESCHEDULED]

    def test_rename_finds_a_free_name(self, transfer: Transfer, memory: MemoryStore) -> None:
        long = "x" * 100
        bring(transfer, a_row(), a_row("a-2"), a_row(long))
        done = bring(transfer, a_row(), a_row(), a_row(long), how="rename")
        assert [step.job.name for step in done.jobs] == ["a-3", "a-4", "x" * 98 + "-2"]
        assert memory.count_jobs(JobQuery()) == 6

    def test_a_plan_stores_nothing(self, transfer: Transfer, memory: MemoryStore, nudge: FakeNudge) -> None:
        checked = transfer.check(Document([a_row()]))
        assert [step.verdict for step in transfer.plan(checked, OnConflict.FAIL)] == [Verdict.ADD]
        assert (memory.jobs(NAMES), nudge.sent) == ([], 0)


class TestRuns:
    def test_they_follow_their_jobs(self, transfer: Transfer, memory: MemoryStore) -> None:
        later = {**LOG, "start_time": "2029-12-02 00:00:00", "exec_id": "abc", "job_id": 5, "job_name": "gone"}
        done = bring(transfer, a_row(id=9), logs=(later, LOG))
        first, second = memory.runs(RunQuery(oldest_first=True))
        assert (done.runs, done.runs_left) == (2, 0)
        assert (first.job_id, first.job_name, first.mode, first.command) == (1, "a", "command", "true")
        assert (first.state, first.output, first.duration_ms) == (RunState.SUCCESS, "hi", 1000)
        assert first.exec_id
        assert (second.exec_id, second.job_id, second.job_name) == ("abc", None, "gone")

    def test_those_of_a_job_that_is_left_alone_are_left_out(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row())
        done = bring(transfer, a_row(id=9), logs=(LOG,), how="skip")
        assert (done.runs, done.runs_left, memory.runs(RunQuery())) == (0, 1, [])

    def test_the_same_document_twice_changes_nothing(self, transfer: Transfer, memory: MemoryStore) -> None:
        rows, logs = [a_row(id=9)], ({**LOG, "exec_id": "abc"},)
        bring(transfer, *rows, logs=logs)
        done = bring(transfer, *rows, logs=logs, how="replace")
        assert (done.runs, done.runs_left, len(memory.runs(RunQuery()))) == (0, 1, 1)

    def test_older_ones_than_there_are_cannot_come(self, transfer: Transfer, memory: MemoryStore) -> None:
        bring(transfer, a_row(id=9), logs=(LOG,))
        old = {**LOG, "start_time": "2028-01-01 00:00:00"}
        with pytest.raises(Conflict, match="newer than the oldest one of the file") as caught:
            bring(transfer, a_row("b", id=9), logs=(old,))
        assert "--no-logs" in caught.value.hint()
        assert memory.count_jobs(JobQuery()) == 1

    def test_all_are_exported_newest_first(self, transfer: Transfer) -> None:
        logs = tuple({**LOG, "start_time": f"2029-12-01 {n // 60:02}:{n % 60:02}:00"} for n in range(700))
        bring(transfer, a_row(id=9), logs=logs)
        pages: list[int] = []
        times = [row["start_time"] for row in transfer.run_rows(pages.append)]
        assert times == sorted(times, reverse=True)
        assert (len(times), pages, transfer.count_runs()) == (700, [500, 200], 700)
