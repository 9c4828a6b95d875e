"""What one does with jobs: add, edit, find, stop, start, copy, remove (semantics §5, §6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job, a_run, claimed

from pyjobs.errors import Invalid, NameTaken, NotFound, PyjobsError, StoreBusy
from pyjobs.jobs import AllowMode, Fold, Gap, Job, JobState, Misfire, Run, RunState, TriggerType
from pyjobs.ports import JobQuery, Page, Start
from pyjobs.service.jobs import JobFields, Jobs

MINUTE_MS = 60_000
DAY_MS = 86_400_000


def fields(name: str = "job", **changes: Any) -> JobFields:
    """A job by cron, every minute."""
    return JobFields(**{"name": name, "mode": "command", "command": "true", "cron_expr": "* * * * *", **changes})


def every(seconds: int, **changes: Any) -> JobFields:
    return fields(**{"cron_expr": None, "interval_s": seconds, **changes})


@pytest.fixture
def jobs(memory: MemoryStore, nudge: FakeNudge, clock: FakeClock) -> Jobs:
    return Jobs(memory, nudge, clock, "UTC")


def put(store: MemoryStore, job: Job, **changes: Any) -> Run:
    run = a_run(job, **changes)
    store.claim([claimed(run)], [])
    return run


def state(store: MemoryStore, run: Run) -> tuple[str, str]:
    found = store.run(run.exec_id)
    assert found is not None
    return found.state.value, found.error


class TestAdd:
    def test_it_is_stored_and_the_runner_is_woken(self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
        added = jobs.add(
            fields(
                " nightly ",
                desc=" two\r\nlines\tx ",
                timezone="Asia/Shanghai",
                dst_gap="skip",
                dst_fold="BOTH",
                mode="Command",
                allow_mode=1,
                misfire="all",
                catchup_window_s=5,
                max_run_count=9,
                timeout_s=0,
                grace_s=1,
            )
        )
        job = added.job
        assert memory.job(job.id) == job
        assert (job.name, job.desc, job.mode, job.command) == ("nightly", "two\nlines x", "command", "true")
        assert (job.trigger_type, job.cron_expr, job.timezone) == (TriggerType.CRON, "* * * * *", "Asia/Shanghai")
        assert (job.dst_gap, job.dst_fold) == (Gap.SKIP, Fold.BOTH)
        assert (job.allow_mode, job.misfire, job.catchup_window_s) == (AllowMode.SERIAL, Misfire.ALL, 5)
        assert (job.max_run_count, job.timeout_s, job.grace_s) == (9, 0, 1)
        assert (job.state, job.created_ms, job.updated_ms) == (JobState.WAITING, NOW_MS, NOW_MS)
        assert job.next_fire_ms == NOW_MS + MINUTE_MS
        assert added.next_fires_ms == tuple(NOW_MS + n * MINUTE_MS for n in (1, 2, 3))
        assert nudge.sent == 1

    def test_an_interval_counts_from_now(self, jobs: Jobs, clock: FakeClock) -> None:
        clock.advance(7)
        job = jobs.add(every(90)).job
        assert (job.trigger_type, job.anchor_ms) == (TriggerType.INTERVAL, NOW_MS + 7000)
        assert job.next_fire_ms == NOW_MS + 97_000

    def test_once(self, jobs: Jobs) -> None:
        added = jobs.add(fields(cron_expr=None, at_ms=NOW_MS + 5))
        assert (added.job.trigger_type, added.job.next_fire_ms) == (TriggerType.ONCE, NOW_MS + 5)
        assert added.next_fires_ms == (NOW_MS + 5,)

    def test_manual_must_be_said(self, jobs: Jobs) -> None:
        added = jobs.add(fields(cron_expr=None, trigger_type="manual", allow_mode=2))
        assert (added.job.trigger_type, added.job.next_fire_ms) == (TriggerType.MANUAL, None)
        with pytest.raises(Invalid, match="a job needs a trigger") as caught:
            jobs.add(fields("b", cron_expr=None))
        assert "--manual" in caught.value.hint()

    def test_the_zone_of_the_job_counts(self, jobs: Jobs) -> None:
        job = jobs.add(fields(cron_expr="0 12 * * *", timezone="Asia/Shanghai")).job
        assert job.next_fire_ms == NOW_MS + 4 * 3_600_000

    def test_a_job_that_takes_turns_is_due_at_once(self, jobs: Jobs) -> None:
        assert jobs.add(fields(allow_mode=2)).job.next_fire_ms == NOW_MS
        assert jobs.add(fields("b", allow_mode=2, state=2)).job.next_fire_ms is None

    def test_a_stopped_one_has_no_next_fire(self, jobs: Jobs) -> None:
        added = jobs.add(fields(state=2))
        assert (added.job.state, added.job.next_fire_ms, added.next_fires_ms) == (JobState.STOPPED, None, ())

    def test_a_name_is_free_once(self, jobs: Jobs, memory: MemoryStore) -> None:
        jobs.add(fields())
        with pytest.raises(NameTaken, match="`job` exists already"):
            jobs.add(fields())
        assert memory.count_jobs(JobQuery()) == 1

    def test_a_check_stores_nothing(self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
        added = jobs.check(fields())
        assert added.next_fires_ms == tuple(NOW_MS + n * MINUTE_MS for n in (1, 2, 3))
        assert memory.count_jobs(JobQuery()) == 0
        assert nudge.sent == 0
        with pytest.raises(Invalid):
            jobs.check(fields(name=""))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"name": None}, "name: is missing"),
            ({"mode": None}, "mode: is missing"),
            ({"command": None}, "command: is missing"),
            ({"name": "  "}, "name: is empty"),
            ({"name": "x" * 101}, "name: is longer than 100"),
            ({"name": "a\nb"}, "name: holds the control character U+000A"),
            ({"name": "a\x1b[31m"}, "U+001B"),
            ({"name": "a\u202eb"}, "U+202E"),
            ({"name": "a\udcff"}, "U+DCFF"),
            ({"desc": "a\x07"}, "desc: holds the control character U+0007"),
            ({"desc": "x" * 501}, "desc: is longer than 500"),
            ({"command": " \n"}, "command: is empty"),
            ({"command": "a\0b"}, "command: holds a NUL"),
            ({"command": "a\udcff"}, "command: holds a NUL character or a lone surrogate"),
            ({"command": "x" * (1 << 20) + "x"}, "command: is longer than"),
            ({"command": "【times】x"}, "times: `x`"),
            ({"command": "【tims】2"}, "did you mean `times`?"),
            ({"mode": "ftp"}, "mode: `ftp`"),
            ({"mode": "http"}, "url: `true`"),
            ({"cron_expr": "61 * * * *"}, "cron_expr: "),
            ({"cron_expr": ""}, "a job needs a trigger"),
            ({"cron_expr": "0 0 31 2 *"}, "cron_expr: "),
            ({"interval_s": 5}, "only one trigger is possible, not cron, interval"),
            ({"trigger_type": "sometimes"}, "trigger_type: `sometimes` is not one of cron, interval, once, manual"),
            ({"trigger_type": "interval"}, "interval"),
            ({"cron_expr": None, "interval_s": 0}, "interval"),
            ({"cron_expr": None, "interval_s": -1}, "interval_seconds: `-1` is not a number from 0"),
            ({"cron_expr": None, "interval_s": 1.5}, "interval_seconds: `1.5`"),
            ({"cron_expr": None, "at_ms": NOW_MS}, "at: lies in the past"),
            ({"cron_expr": None, "at_ms": -1}, "at: "),
            ({"timezone": "Mars/Base"}, "timezone: "),
            ({"timezone": "Mars/Base", "cron_expr": None, "trigger_type": "manual"}, "timezone: "),
            ({"timezone": "Mars/Base", "cron_expr": None, "interval_s": 60}, "timezone: "),
            ({"timezone": "Mars/Base", "cron_expr": None, "at_ms": NOW_MS + 60_000}, "timezone: "),
            ({"dst_gap": "jump"}, "dst_gap: `jump` is not one of run_after, skip"),
            ({"allow_mode": 4}, "allow_mode: `4` is not one of 0, 1, 2, 3"),
            ({"retry_backoff": "wild"}, "retry_backoff: `wild` is not one of fixed, exponential"),
            ({"retry_on": "75, sometimes"}, "retry_on: `sometimes` is not one of timeout, error, a number"),
            ({"on_lost": "cry"}, "on_lost: `cry` is not one of record, retry"),
            ({"misfire": "never"}, "misfire: `never` is not one of once, skip, all"),
            ({"catchup_window_s": -1}, "catchup_window: `-1`"),
            ({"max_run_count": -1}, "max_run_count: `-1`"),
            ({"max_run_count": True}, "max_run_count: `True`"),
            ({"timeout_s": 10**9}, "timeout: "),
            ({"grace_s": 3601}, "grace: `3601` is not a number from 0 to 3600"),
            ({"state": 1}, "state: `1` is not one of 0, 2"),
        ],
    )
    def test_what_is_wrong_is_named(self, jobs: Jobs, memory: MemoryStore, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(Invalid) as caught:
            jobs.add(fields(**changes))
        assert words in str(caught.value)
        assert caught.value.text("zh")
        assert memory.count_jobs(JobQuery()) == 0


class TestEdit:
    def test_only_what_was_said_changes(self, jobs: Jobs, clock: FakeClock, nudge: FakeNudge) -> None:
        old = jobs.add(fields(desc="old", max_run_count=3)).job
        clock.advance(10)
        edited = jobs.edit(old.id, JobFields(desc="new", grace_s=1)).job
        assert edited == replace(old, desc="new", grace_s=1, updated_ms=NOW_MS + 10_000, revision=edited.revision)
        assert nudge.sent == 2

    def test_a_change_that_is_none_of_the_schedule_keeps_a_fire_that_is_due(self, jobs: Jobs, clock: FakeClock) -> None:
        old = jobs.add(fields()).job
        clock.advance(61)
        assert jobs.edit(old.id, JobFields(desc="new")).job.next_fire_ms == NOW_MS + MINUTE_MS

    def test_a_new_schedule_counts_from_now_and_never_fires_for_the_past(self, jobs: Jobs, clock: FakeClock) -> None:
        old = jobs.add(fields(allow_mode=2)).job
        clock.advance(200)
        edited = jobs.edit(old.id, JobFields(cron_expr="*/5 * * * *")).job
        assert edited.next_fire_ms == NOW_MS + 5 * MINUTE_MS

    def test_another_trigger_takes_the_place_of_the_old_one(self, jobs: Jobs, clock: FakeClock) -> None:
        old = jobs.add(fields()).job
        clock.advance(7)
        edited = jobs.edit(old.id, JobFields(interval_s=100)).job
        assert (edited.trigger_type, edited.next_fire_ms) == (TriggerType.INTERVAL, NOW_MS + 107_000)
        edited = jobs.edit(old.id, JobFields(trigger_type="manual")).job
        assert (edited.trigger_type, edited.next_fire_ms) == (TriggerType.MANUAL, None)
        edited = jobs.edit(old.id, JobFields(cron_expr="0 0 * * *")).job
        assert (edited.trigger_type, edited.next_fire_ms) == (TriggerType.CRON, NOW_MS + DAY_MS)

    def test_the_zone_is_part_of_the_schedule(self, jobs: Jobs) -> None:
        old = jobs.add(fields(cron_expr="0 12 * * *")).job
        edited = jobs.edit(old.id, JobFields(timezone="Asia/Shanghai")).job
        assert edited.next_fire_ms == NOW_MS + 4 * 3_600_000

    def test_a_job_that_ran_once_may_be_renamed(self, jobs: Jobs, memory: MemoryStore, clock: FakeClock) -> None:
        old = jobs.add(fields(cron_expr=None, at_ms=NOW_MS + 5)).job
        memory.claim([], [(old.id, NOW_MS + 5, None)])
        clock.advance(10)
        assert jobs.edit(old.id, JobFields(name="other")).job.name == "other"
        with pytest.raises(Invalid, match="lies in the past"):
            jobs.edit(old.id, JobFields(at_ms=NOW_MS + 6))

    def test_stopping_by_an_edit_is_stopping(self, jobs: Jobs, memory: MemoryStore) -> None:
        job = jobs.add(fields()).job
        run = put(memory, job)
        edited = jobs.edit(job.id, JobFields(state=2)).job
        assert (edited.state, edited.next_fire_ms) == (JobState.STOPPED, None)
        assert state(memory, run) == ("skipped", "the job was stopped before its turn came")

    def test_enabling_by_an_edit_is_starting(self, jobs: Jobs, memory: MemoryStore, clock: FakeClock) -> None:
        job = jobs.add(fields()).job
        memory.stop_job_itself(job.id, "limit", NOW_MS)
        clock.advance(61)
        edited = jobs.edit(job.id, JobFields(state=0)).job
        assert (edited.state, edited.stop_reason) == (JobState.WAITING, "")
        assert edited.next_fire_ms == NOW_MS + 2 * MINUTE_MS
        turns = jobs.add(fields("b", allow_mode=2, state=2)).job
        assert jobs.edit(turns.id, JobFields(state=0)).job.next_fire_ms == clock.now_ms()

    def test_a_failed_edit_changes_nothing(self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
        job, other = jobs.add(fields()).job, jobs.add(fields("other")).job
        for wrong, error in (
            (JobFields(name="other"), NameTaken),
            (JobFields(desc="x", cron_expr="x"), Invalid),
            (JobFields(desc="x", command="【times】x"), Invalid),
            (JobFields(mode="http"), Invalid),
        ):
            with pytest.raises(error):
                jobs.edit(job.id, wrong)
        assert memory.jobs(JobQuery()) == [other, job]
        assert nudge.sent == 2
        with pytest.raises(NotFound):
            jobs.edit(99, JobFields(desc="x"))

    def test_a_check_of_an_edit_stores_nothing(self, jobs: Jobs, memory: MemoryStore) -> None:
        job = jobs.add(fields()).job
        assert jobs.check_edit(job.id, every(30, name=None)).next_fires_ms[0] == NOW_MS + 30_000
        assert memory.job(job.id) == job


class TestFind:
    @pytest.fixture
    def ids(self, jobs: Jobs) -> dict[str, int]:
        return {name: jobs.add(fields(name)).job.id for name in ("backup", "backup-db", "report", "7", "a%b", "axb")}

    @pytest.mark.parametrize(
        ("reference", "name"),
        [("backup", "backup"), ("backup-", "backup-db"), ("rep", "report"), ("7", "7"), ("a%", "a%b")],
    )
    def test_an_exact_name_then_an_id_then_a_beginning(
        self, jobs: Jobs, ids: dict[str, int], reference: str, name: str
    ) -> None:
        assert jobs.find(reference).id == ids[name]

    def test_an_id(self, jobs: Jobs, ids: dict[str, int]) -> None:
        assert jobs.find(str(ids["report"])).name == "report"

    @pytest.mark.usefixtures("ids")
    def test_several_are_named(self, jobs: Jobs) -> None:
        with pytest.raises(NotFound, match="`back` could be several jobs: `backup`, `backup-db`"):
            jobs.find("back")

    @pytest.mark.parametrize("reference", ["bakcup", "BACKUP", "report2"])
    @pytest.mark.usefixtures("ids")
    def test_the_nearest_is_suggested(self, jobs: Jobs, reference: str) -> None:
        with pytest.raises(NotFound, match=f"there is no job `{reference}`") as caught:
            jobs.find(reference)
        assert caught.value.hint()

    @pytest.mark.parametrize("reference", ["", "9" * 40, "²", "-1", "zzzz"])
    @pytest.mark.usefixtures("ids")
    def test_nonsense_is_not_found(self, jobs: Jobs, reference: str) -> None:
        with pytest.raises(NotFound):
            jobs.find(reference)


class TestStopAndStart:
    def test_stopping_skips_what_waits_and_leaves_what_runs(
        self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge
    ) -> None:
        job = jobs.add(fields()).job
        running, waiting, by_hand = put(memory, job), put(memory, job), put(memory, job, owner=None)
        memory.start_runs([Start(exec_id=running.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        assert jobs.stop(job.id)
        stopped = jobs.get(job.id)
        assert (stopped.state, stopped.next_fire_ms) == (JobState.STOPPED, None)
        assert state(memory, running) == ("running", "")
        for run in (waiting, by_hand):
            assert state(memory, run) == ("skipped", "the job was stopped before its turn came")
        assert nudge.sent == 2
        assert not jobs.stop(job.id)
        assert jobs.next_fires(stopped, 3) == ()

    def test_starting_fires_from_now_on(self, jobs: Jobs, memory: MemoryStore, clock: FakeClock) -> None:
        job = jobs.add(fields()).job
        memory.stop_job_itself(job.id, "why", NOW_MS)
        clock.advance(600)
        started = jobs.start(job.id)
        assert (started.state, started.stop_reason) == (JobState.WAITING, "")
        assert started.next_fire_ms == NOW_MS + 660_000

    def test_starting_a_job_that_takes_turns_runs_it_at_once(self, jobs: Jobs, clock: FakeClock) -> None:
        job = jobs.add(fields(allow_mode=2, state=2)).job
        clock.advance(5)
        assert jobs.start(job.id).next_fire_ms == NOW_MS + 5000

    @pytest.mark.parametrize("mode", AllowMode)
    def test_starting_one_that_was_not_stopped_changes_nothing(
        self, jobs: Jobs, memory: MemoryStore, clock: FakeClock, mode: AllowMode
    ) -> None:
        job = jobs.add(fields(allow_mode=int(mode))).job
        clock.advance(61)  # a fire is due that nobody claimed yet
        assert jobs.start(job.id) == job
        assert memory.job(job.id) == job

    def test_at_its_limit_it_is_not_started_unless_counted_again(self, jobs: Jobs, memory: MemoryStore) -> None:
        job = jobs.add(fields(max_run_count=1)).job
        put(memory, job)
        memory.stop_job_itself(job.id, "limit", NOW_MS)
        with pytest.raises(Invalid, match="it has run 1 times, its limit is 1") as caught:
            jobs.start(job.id)
        assert "--reset-count" in caught.value.hint()
        assert jobs.get(job.id).state is JobState.STOPPED
        started = jobs.start(job.id, reset_count=True)
        assert (started.state, started.run_count) == (JobState.WAITING, 0)

    def test_one_whose_only_fire_has_passed_is_not_started(self, jobs: Jobs, clock: FakeClock) -> None:
        job = jobs.add(fields(cron_expr=None, at_ms=NOW_MS + 5, state=2)).job
        clock.advance(10)
        with pytest.raises(Invalid, match="lies in the past"):
            jobs.start(job.id)

    def test_an_unknown_one_is_not_found(self, jobs: Jobs) -> None:
        for call in (jobs.stop, jobs.start, jobs.remove, jobs.get):
            with pytest.raises(NotFound, match="there is no job with id `9`"):
                call(9)


class TestCopyAndRemove:
    def test_a_copy_is_stopped_and_has_no_past(self, jobs: Jobs, memory: MemoryStore, clock: FakeClock) -> None:
        old = jobs.add(every(90, desc="d", allow_mode=1, max_run_count=5, misfire="skip", timezone="Asia/Tokyo")).job
        put(memory, old)
        clock.advance(10)
        copied = jobs.copy(old.id, "copy").job
        assert copied == replace(
            old,
            id=copied.id,
            name="copy",
            state=JobState.STOPPED,
            next_fire_ms=None,
            anchor_ms=clock.now_ms(),
            created_ms=clock.now_ms(),
            updated_ms=clock.now_ms(),
            revision=copied.revision,
        )
        with pytest.raises(NameTaken):
            jobs.copy(old.id, "job")

    @pytest.mark.parametrize("trigger", [{"at_ms": NOW_MS + 5}, {"trigger_type": "manual"}, {"cron_expr": "@daily"}])
    def test_every_kind_of_job_can_be_copied(self, jobs: Jobs, clock: FakeClock, trigger: dict[str, Any]) -> None:
        old = jobs.add(fields(**{"cron_expr": None, **trigger})).job
        clock.advance(10)
        assert jobs.copy(old.id, "copy").job.trigger_type is old.trigger_type

    def test_removing_keeps_its_runs(self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
        job = jobs.add(fields()).job
        running, waiting = put(memory, job), put(memory, job)
        memory.start_runs([Start(exec_id=running.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        assert jobs.remove(job.id).name == "job"
        assert memory.job(job.id) is None
        assert state(memory, running) == ("running", "")
        assert state(memory, waiting) == ("skipped", "the job was removed before its turn came")
        assert memory.kill_requests("me") == {}
        assert nudge.sent == 2

    def test_what_runs_can_be_killed_with_it(self, jobs: Jobs, memory: MemoryStore) -> None:
        job = jobs.add(fields()).job
        run = put(memory, job)
        memory.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=NOW_MS)], "me")
        jobs.remove(job.id, kill=True, by="Ann")
        assert memory.kill_requests("me") == {run.exec_id: "Ann"}


class TestRecompute:
    def test_wrong_next_fires_are_mended(self, jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
        right, wrong = jobs.add(fields("right")).job, jobs.add(fields("wrong")).job
        stopped = jobs.add(fields("stopped", state=2)).job
        memory.update_job(replace(wrong, next_fire_ms=NOW_MS + 5 * DAY_MS))
        before = nudge.sent
        (repair,) = jobs.recompute()
        assert (repair.name, repair.was_ms, repair.now_ms) == ("wrong", NOW_MS + 5 * DAY_MS, NOW_MS + MINUTE_MS)
        assert jobs.get(wrong.id).next_fire_ms == NOW_MS + MINUTE_MS
        assert memory.job(right.id) == right
        assert memory.job(stopped.id) == stopped
        assert nudge.sent == before + 1
        assert list(jobs.recompute()) == []
        assert nudge.sent == before + 1

    def test_a_fire_that_is_due_stays_due(self, jobs: Jobs, clock: FakeClock) -> None:
        job = jobs.add(fields()).job
        clock.advance(61)
        assert list(jobs.recompute()) == []
        (repair,) = jobs.recompute(again=True)
        assert (repair.job_id, repair.now_ms) == (job.id, NOW_MS + 2 * MINUTE_MS)

    def test_a_schedule_that_cannot_be_used_stops_that_job_only(self, jobs: Jobs, memory: MemoryStore) -> None:
        broken = memory.add_job(a_job("broken", trigger_type=TriggerType.CRON, cron_expr="x"))
        wrong = memory.add_job(a_job("wrong", next_fire_ms=None))
        assert {repair.name: repair.now_ms for repair in jobs.recompute()} == {
            "broken": None,
            "wrong": NOW_MS + MINUTE_MS,
        }
        assert jobs.get(broken.id).stop_reason.startswith("its schedule cannot be used any more: cron_expr")
        assert jobs.get(wrong.id).state is JobState.WAITING
        assert list(jobs.recompute()) == []


class TestLists:
    def test_pages_and_counts(self, jobs: Jobs) -> None:
        for n in range(5):
            jobs.add(fields(f"j{n}"))
        assert [job.name for job in jobs.list(JobQuery(), Page(number=2, size=2))] == ["j2", "j1"]
        assert jobs.count(JobQuery(name_part="J")) == 5
        assert list(jobs.names("j", 2)) == ["j0", "j1"]

    def test_next_fires_end_where_there_are_no_more(self, jobs: Jobs) -> None:
        once = jobs.add(fields("once", cron_expr=None, at_ms=NOW_MS + 5)).job
        assert jobs.next_fires(once, 9) == (NOW_MS + 5,)
        assert jobs.next_fires(once, 9, NOW_MS + 5) == ()


def test_several_changes_are_all_or_none(jobs: Jobs, memory: MemoryStore) -> None:
    with pytest.raises(PyjobsError), jobs.bulk():  # noqa: PT012 - what is taken back
        jobs.add(fields("a"))
        jobs.add(fields("a"))
    assert memory.count_jobs(JobQuery()) == 0


def test_a_busy_store_is_said(jobs: Jobs, memory: MemoryStore, nudge: FakeNudge) -> None:
    memory.busy = True
    with pytest.raises(StoreBusy):
        jobs.add(fields())
    assert nudge.sent == 0


def test_the_state_of_a_run_has_a_number() -> None:
    assert [(s.value, s.status) for s in RunState if s.status != 1] == [
        ("queued", None),
        ("running", None),
        ("success", 0),
        ("skipped", None),
        ("missed", None),
    ]
