"""What the API asks of a store: lists in an order and by page, counts, days that are cleared. For all stores."""

from __future__ import annotations

import pytest
from fakes import NOW_MS, a_job, a_run, claimed

from pyjobs.jobs import Job, JobState, RunState
from pyjobs.ports import Active, End, FireRange, JobOrder, JobQuery, Page, RunQuery, Start, Store

from .test_store import store

__all__ = ["store"]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("newest", ["d", "c", "a", "b"]),
        ("oldest", ["b", "a", "c", "d"]),
        ("name", ["a", "b", "c", "d"]),
        ("next", ["c", "b", "a", "d"]),
        ("last", ["b", "d", "c", "a"]),
    ],
)
def test_jobs_come_in_the_order_that_is_asked_for(store: Store, order: JobOrder, names: list[str]) -> None:
    for name, fire in (("b", NOW_MS + 2000), ("a", NOW_MS + 2000), ("c", NOW_MS), ("d", None)):
        store.add_job(a_job(name, next_fire_ms=fire))
    (job,) = store.jobs(JobQuery(name_part="b"))
    store.claim([claimed(a_run(job, scheduled_ms=NOW_MS))], [])

    assert [job.name for job in store.jobs(JobQuery(order=order))] == names
    assert [job.name for job in store.jobs(JobQuery(order=order), Page(number=2, size=3))] == names[3:]


def test_runs_that_have_not_ended_are_counted_by_job(store: Store) -> None:
    one, two, three = (store.add_job(a_job(name)) for name in ("one", "two", "three"))
    runs = [a_run(one), a_run(one), a_run(one), a_run(two), a_run(three, state=RunState.SKIPPED), a_run()]
    store.claim([claimed(run) for run in runs], [])
    store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS) for run in runs[:2]], "me")

    assert store.active_counts() == {one.id: Active(1, 2), two.id: Active(1, 0)}
    assert store.active_counts([two.id, three.id, 999]) == {two.id: Active(1, 0)}
    assert store.active_counts([]) == {}


def test_runs_come_by_page_from_either_end(store: Store) -> None:
    job, other = store.add_job(a_job("job")), store.add_job(a_job("other"))
    names = [a_run(job, exec_id=f"{number:016x}") for number in range(5)]
    store.claim([claimed(run) for run in [*names, a_run(other)]], [])
    ids = [run.exec_id for run in names]

    def found(**asked: int | bool) -> list[str]:
        return [run.exec_id for run in store.runs(RunQuery(job_id=job.id, **asked))]  # type: ignore[arg-type]

    assert found(limit=2, offset=2) == [ids[2], ids[1]]
    assert found(limit=2, offset=1, oldest_first=True) == ids[1:3]
    assert found(limit=9, offset=9) == []
    assert store.count_runs(RunQuery(job_id=job.id, limit=1, offset=3)) == 5
    assert store.count_runs(RunQuery(states=frozenset({RunState.QUEUED}))) == 6
    assert store.count_runs(RunQuery(states=frozenset({RunState.LOST}))) == 0


def test_a_range_of_time_can_be_cleared(store: Store) -> None:
    runs = [a_run(state=RunState.SKIPPED, claimed_ms=NOW_MS + ms) for ms in (-1, 0, 999, 1000)]
    store.claim([claimed(run) for run in runs], [])

    assert store.clear_runs(None, NOW_MS + 1000, NOW_MS) == 2

    assert {run.exec_id for run in store.runs(RunQuery())} == {runs[0].exec_id, runs[3].exec_id}


def test_facts_are_found_by_the_beginning_of_their_names(store: Store) -> None:
    for name in ("cleanup:a", "cleanup:b", "cleanu", "cleanup;"):
        store.set_fact(name, name[-1])

    assert store.facts("cleanup:") == {"cleanup:a": "a", "cleanup:b": "b"}
    assert store.facts("nothing") == {}


def test_stopped_jobs_are_told_from_waiting_ones_in_any_order(store: Store) -> None:
    store.add_job(a_job("a", state=JobState.STOPPED, next_fire_ms=None))
    store.add_job(a_job("b"))

    assert [job.name for job in store.jobs(JobQuery(state=0, order="next"))] == ["b"]


def test_the_version_is_another_one_after_each_change(store: Store) -> None:
    seen = [store.version(), store.version()]
    assert seen[0] == seen[1]
    store.add_job(a_job("a"))
    store.set_fact("paused", "1")
    seen.append(store.version())
    store.claim([claimed(a_run())], [])
    seen.append(store.version())
    assert len(set(seen)) == 3
    store.jobs(JobQuery())
    assert store.version() == seen[-1]


class TestFireRanges:
    """Of a job: two successes, a failure, a success, 3 missed fires up to second 9, a success."""

    @pytest.fixture
    def job(self, store: Store) -> Job:
        job, other = store.add_job(a_job("job")), store.add_job(a_job("other"))
        ends = {0: "", 1: "", 2: "exit status 3", 3: "", 10: ""}
        runs = [a_run(job, exec_id=f"r{at}", scheduled_ms=NOW_MS + at * 1000, claimed_ms=NOW_MS + at * 1000 + 7)
                for at in ends]  # fmt: skip
        missed = a_run(job, exec_id="m", state=RunState.MISSED, error="3 fires missed", scheduled_ms=NOW_MS + 9000,
                       first_ms=NOW_MS + 7000, fires=3, claimed_ms=NOW_MS + 10_000)  # fmt: skip
        by_hand = a_run(job, scheduled_ms=None)
        store.claim([claimed(run) for run in [*runs, missed, by_hand, a_run(other, scheduled_ms=NOW_MS)]], [])
        store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS) for run in runs], "me")
        store.end_runs(
            [
                End(exec_id=f"r{at}", state=RunState.FAILED if error else RunState.SUCCESS, ended_ms=NOW_MS,
                    duration_ms=100 + at, error=error)
                for at, error in ends.items()
            ],
            "me",
        )  # fmt: skip
        return job

    @staticmethod
    def told(ranges: list[FireRange]) -> list[tuple[int, int, int, str, str]]:
        return [
            ((r.first_ms - NOW_MS) // 1000, (r.last_ms - NOW_MS) // 1000, r.fires, r.state.value, r.exec_id)
            for r in ranges
        ]

    def test_neighbours_of_one_end_are_one(self, store: Store, job: Job) -> None:
        ranges = store.fire_ranges(job.id, "", NOW_MS - 1, NOW_MS + 60_000, folding="neighbours", limit=9)
        assert self.told(ranges) == [
            (0, 1, 2, "success", ""),
            (2, 2, 1, "failed", "r2"),
            (3, 3, 1, "success", "r3"),
            (7, 9, 3, "missed", "m"),
            (10, 10, 1, "success", "r10"),
        ]
        assert [r.error for r in ranges] == ["", "exit status 3", "", "3 fires missed", ""]
        assert [r.duration_ms for r in ranges] == [101, 102, 103, None, 110]
        assert [r.lateness_ms for r in ranges] == [7, 7, 7, 1000, 7]

    def test_none_or_all_of_one_end_are_one(self, store: Store, job: Job) -> None:
        each = store.fire_ranges(job.id, "", NOW_MS, NOW_MS + 3000, folding="none", limit=9)
        assert [r.exec_id for r in each] == ["r1", "r2", "r3"]
        whole = store.fire_ranges(job.id, "", NOW_MS, NOW_MS + 60_000, folding="all", limit=9)
        assert self.told(whole) == [
            (2, 2, 1, "failed", "r2"),
            (7, 9, 3, "missed", "m"),
            (1, 10, 3, "success", ""),
        ]

    def test_a_limit_leaves_the_newest(self, store: Store, job: Job) -> None:
        found = store.fire_ranges(job.id, "", NOW_MS - 1, NOW_MS + 60_000, folding="neighbours", limit=2)
        assert [r.exec_id for r in found] == ["m", "r10"]

    def test_missed_fires_that_reach_over_the_end_belong_to_it(self, store: Store, job: Job) -> None:
        for until, names in ((NOW_MS + 6999, ["r3"]), (NOW_MS + 7000, ["r3", "m"]), (NOW_MS + 9000, ["r3", "m"])):
            found = store.fire_ranges(job.id, "", NOW_MS + 2000, until, folding="neighbours", limit=9)
            assert [r.exec_id for r in found] == names

    def test_a_job_that_is_gone_is_found_by_its_name(self, store: Store, job: Job) -> None:
        assert store.fire_ranges(None, "job", NOW_MS - 1, NOW_MS + 9, folding="none", limit=9) == []
        store.delete_job(job.id)
        found = store.fire_ranges(None, "job", NOW_MS - 1, NOW_MS + 9, folding="none", limit=9)
        assert [r.exec_id for r in found] == ["r0"]
        assert store.fire_ranges(None, "another", NOW_MS - 1, NOW_MS + 9, folding="none", limit=9) == []
