"""What the API asks of a store: lists in an order and by page, counts, days that are cleared. For all stores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import NOW_MS, a_job, a_run, claimed

from pyjobs.jobs import Job, JobState, RunState, Source
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


SOME = (RunState.SUCCESS, RunState.FAILED, RunState.QUEUED)
ASKED: dict[str, RunQuery] = {
    "all": RunQuery(),
    "of a job": RunQuery(job_id=1),
    "in a state": RunQuery(states=frozenset({RunState.SUCCESS})),
    "in two states": RunQuery(states=frozenset({RunState.FAILED, RunState.QUEUED})),
    "in none": RunQuery(states=frozenset()),
    "of a job in two states": RunQuery(job_id=2, states=frozenset({RunState.FAILED, RunState.SUCCESS})),
    "by hand": RunQuery(source=Source.MANUAL),
    "by hand, of a job": RunQuery(job_id=1, source=Source.MANUAL),
    "of a name": RunQuery(job_name="job 2"),
    "on a day": RunQuery(since_ms=NOW_MS + 10, until_ms=NOW_MS + 25),
    "on a day, of a job in a state": RunQuery(
        job_id=1, states=frozenset({RunState.SUCCESS}), since_ms=NOW_MS + 3, until_ms=NOW_MS + 30
    ),
    "on no day": RunQuery(job_id=1, since_ms=NOW_MS + 1000, until_ms=NOW_MS + 2000),
    "since": RunQuery(job_id=2, since_ms=NOW_MS + 10),
    "until": RunQuery(until_ms=NOW_MS + 10),
    "nobody's": RunQuery(job_id=0),
    "of no id": RunQuery(job_id=-1),
    "of an unknown job": RunQuery(job_id=77),
}


def many_runs(store: Store) -> None:
    """Forty runs of two jobs and of none, in three states, every third of them started by hand."""
    jobs = [store.add_job(a_job("job 1")), store.add_job(a_job("job 2")), None]
    sources = (Source.MANUAL, Source.CRON, Source.CRON)
    runs = [a_run(jobs[n % 7 % 3], source=sources[n % 3], claimed_ms=NOW_MS + n) for n in range(40)]
    store.claim([claimed(run) for run in runs], [])
    ends = [End(exec_id=r.exec_id, state=SOME[n % 4 % 3], ended_ms=NOW_MS) for n, r in enumerate(runs) if n % 4 % 3 < 2]
    store.end_runs(ends, "me")


@pytest.mark.parametrize("name", sorted(ASKED))
def test_pages_are_the_list_and_the_total_its_length(store: Store, name: str) -> None:
    many_runs(store)
    asked = ASKED[name]
    everything = [run.id for run in store.runs(RunQuery())]
    for oldest_first in (False, True):
        query = replace(asked, oldest_first=oldest_first)
        whole = [run.id for run in store.runs(replace(query, limit=100))]

        assert whole == [i for i in (sorted(everything) if oldest_first else everything) if i in whole]
        assert store.count_runs(query) == len(whole)
        for size in (1, 3, 7, 50):
            pages = [store.runs(replace(query, limit=size, offset=at)) for at in range(0, len(whole) + size, size)]
            assert [[run.id for run in page] for page in pages] == [
                whole[at : at + size] for at in range(0, len(whole) + size, size)
            ]
        for before in (1, 20, 41):
            later = store.runs(replace(query, before_id=before, limit=100))
            assert [run.id for run in later] == [i for i in whole if i < before]


def test_totals_follow_whatever_becomes_of_runs(store: Store) -> None:
    def totals(**asked: Any) -> tuple[int, int]:
        query = RunQuery(**asked)
        return store.count_runs(query), len(store.runs(replace(query, limit=100)))

    def same() -> None:
        for asked in ASKED.values():
            assert store.count_runs(asked) == len(store.runs(replace(asked, limit=100))), asked

    many_runs(store)
    assert totals() == (40, 40)
    assert store.count_runs(RunQuery(job_id=1)) == 17
    store.delete_job(1)
    same()
    assert (totals(job_id=1), totals()) == ((0, 0), (40, 40))
    taken = {run.exec_id for run in store.active_runs()}
    store.start_runs([Start(exec_id=exec_id, attempt=1, started_ms=NOW_MS) for exec_id in taken], "me")
    same()
    assert totals(states=frozenset({RunState.RUNNING})) == (len(taken), len(taken))
    assert store.claim([claimed(a_run(exec_id=next(iter(taken))))], []) == set()
    same()
    store.clear_runs(None, NOW_MS + 20)
    same()
    store.clear_runs(None, None)
    assert totals() == (len(taken), len(taken))


def test_jobs_come_as_texts_that_are_the_same_for_the_same_job(store: Store) -> None:
    jobs = [store.add_job(a_job(name)) for name in ("a", "b", "c 100%_")]
    waiting = store.add_job(a_job("stopped", state=JobState.STOPPED, next_fire_ms=None, mode="http"))
    store.claim([claimed(a_run(jobs[0])), claimed(a_run(jobs[0]))], [])
    total, texts = store.job_rows(JobQuery(), Page(size=3))

    assert total == 4
    assert [store.job_in(text) for text in texts] == [
        (store.job(job.id), Active(0, 0)) for job in (waiting, jobs[2], jobs[1])
    ]
    assert store.job_rows(JobQuery(order="oldest"), Page(size=1))[1] != texts
    ((total, (text,)),) = [store.job_rows(JobQuery(name_part="A"), Page())]
    assert (total, store.job_in(text)) == (1, (store.job(1), Active(2, 0)))
    again = store.job_rows(JobQuery(), Page(size=3))[1]
    assert again == texts
    store.reset_run_count(jobs[1].id)
    store.update_job(replace(jobs[1], desc="换行\n与“引号”"))
    changed = store.job_rows(JobQuery(), Page(size=3))[1]
    assert [one == other for one, other in zip(texts, changed, strict=True)] == [True, True, False]
    assert store.job_in(changed[2])[0] == store.job(jobs[1].id)


@pytest.mark.parametrize(
    ("query", "total"),
    [
        (JobQuery(), 3),
        (JobQuery(state=0), 2),
        (JobQuery(state=2), 1),
        (JobQuery(state=1), 1),
        (JobQuery(mode="http"), 1),
        (JobQuery(mode="http", state=2), 0),
        (JobQuery(mode="func"), 0),
        (JobQuery(name_part="b"), 1),
    ],
)
def test_totals_of_jobs_follow_what_becomes_of_them(store: Store, query: JobQuery, total: int) -> None:
    one, two, three, four = (store.add_job(a_job(name)) for name in "abcd")
    store.delete_job(four.id)
    store.update_job(replace(two, mode="http"))
    store.stop_job_itself(three.id, "why", NOW_MS)
    run = a_run(one)
    store.claim([claimed(run)], [])
    store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")

    assert (store.count_jobs(query), len(store.jobs(query)), store.job_rows(query, Page())[0]) == (total,) * 3
    assert store.job_rows(query, Page(number=9)) == (total, [])


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
