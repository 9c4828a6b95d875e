"""What each check makes of the facts, and that one that fails is one finding."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, a_job, a_run

from pyjobs.config import Settings
from pyjobs.daemon import DaemonStatus
from pyjobs.doctor.checks import daemon, host, jobs, store, work
from pyjobs.doctor.facts import Facts, NoStore
from pyjobs.doctor.finding import Finding, Severity
from pyjobs.doctor.table import CHECKS, Check, examine
from pyjobs.errors import StoreUnusable
from pyjobs.jobs import Job, JobState, RunState, TriggerType
from pyjobs.permits import Lists
from pyjobs.ports import Event, EventKind
from pyjobs.walltime import LIMIT

HOME = Path("/nowhere")
MINUTE = 60_000
DAEMON = DaemonStatus(
    supervisor_pid=1, runner_pid=2, keeper_pid=3, started_ms=0, restarts=0, home="/nowhere", version="1"
)


def facts(settings: dict[str, Any] | None = None, **known: Any) -> Facts:
    """Facts of which only these are known."""
    made = Facts(Settings(home=HOME, **{"timezone": "UTC", **(settings or {})}), {}, FakeClock())
    made.__dict__.update(known)
    return made


def codes(found: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in found]


def cron(name: str, expr: str, **changes: Any) -> Job:
    values = {"trigger_type": TriggerType.CRON, "cron_expr": expr, "interval_s": 0, "next_fire_ms": None}
    return a_job(name, **{**values, **changes})


def networks(*texts: str) -> Lists:
    return Lists(tuple(ipaddress.ip_network(text) for text in texts), ())


class TestStore:
    def test_one_that_cannot_be_opened_is_the_finding_with_the_command_of_its_hint(self) -> None:
        error = StoreUnusable("it is gone", "不见了", hint="do `this`, or `that`", hint_zh="请执行 `this`")
        (found,) = store.opens(facts(opened=error))
        assert (found.code, found.severity, found.what.zh, found.mend) == (
            "store_unusable",
            Severity.ERROR,
            "不见了",
            "this",
        )
        assert codes(store.opens(facts(opened=None))) == []

    def test_damage_is_told(self) -> None:
        assert codes(store.sound(facts(damage=StoreUnusable("page 7")))) == ["store_damaged"]
        assert codes(store.sound(facts(damage=None))) == []

    def test_a_lock_names_its_holder(self) -> None:
        (found,) = store.lock(facts(locked=True, lock_holders=["sqlite3 (pid 77)"]))
        assert "sqlite3 (pid 77)" in found.what.en
        assert found.mend == "kill 77"
        (unknown,) = store.lock(facts(locked=True, lock_holders=[]))
        assert unknown.mend.startswith("fuser -v ")
        assert codes(store.lock(facts(locked=False))) == []

    def test_a_long_wal_is_moved_only_when_no_daemon_runs(self) -> None:
        (down,) = store.wal(facts(wal_bytes=100 << 20, daemon=None))
        (up,) = store.wal(facts(wal_bytes=100 << 20, daemon=DAEMON))
        assert (down.fix is not None, up.fix, up.mend) == (True, None, "pyjobs daemon restart")
        assert codes(store.wal(facts(wal_bytes=1 << 20, daemon=None))) == []

    def test_a_broken_row_is_found_by_its_reason(self) -> None:
        reason = "its row in the store cannot be used: 'perhaps'"
        bad = a_job("bad", id=7, state=JobState.STOPPED, stop_reason=reason)
        (found,) = store.broken_rows(facts(jobs=[a_job("good"), bad]))
        assert (found.job, found.mend) == ("bad", "pyjobs job remove 7")


class TestDaemon:
    def test_jobs_that_wait_for_none(self) -> None:
        waiting = [a_job("a"), a_job("late", next_fire_ms=NOW_MS - 1), a_job("by hand", next_fire_ms=None)]
        (found,) = daemon.missing(facts(daemon=None, jobs=waiting))
        assert "2 jobs wait for it, 1 overdue" in found.what.en
        assert codes(daemon.missing(facts(daemon=None, jobs=waiting[2:]))) == []
        assert codes(daemon.missing(facts(daemon=DAEMON, jobs=waiting))) == []

    @pytest.mark.parametrize(
        ("runners", "holder", "expected"),
        [
            ([2], 2, []),
            ([2, 9], 2, ["second_daemon"]),
            ([2], 9, ["other_runner"]),
            ([2], 0, ["other_runner"]),
            ([], None, []),
        ],
    )
    def test_a_second_one(self, runners: list[int], holder: int | None, expected: list[str]) -> None:
        given = facts(daemon=DAEMON, runners=runners, runner_lock_pid=holder)
        assert codes([*daemon.second(given), *daemon.other_home(given)]) == expected

    def test_what_a_dead_one_left(self) -> None:
        socket = HOME / "run" / "runner.sock"
        left = facts(daemon=None, runners=[], sockets=[socket], daemon_lock="dead")
        assert codes(daemon.leftovers(left)) == ["stale_socket", "stale_lock"]
        stopped = facts(daemon=None, runners=[], sockets=[], daemon_lock="dead")
        assert codes(daemon.leftovers(stopped)) == []
        assert codes(daemon.leftovers(facts(daemon=DAEMON, runners=[2], sockets=[socket]))) == []

    @pytest.mark.parametrize(("state", "count"), [("odd", 1), ("held", 1), ("dead", 0), ("none", 0), ("free", 0)])
    def test_something_in_the_place_of_its_lock(self, state: str, count: int) -> None:
        assert len(list(daemon.lock(facts(daemon=None, daemon_lock=state)))) == count

    def test_runs_of_a_dead_runner(self) -> None:
        runs = [a_run(a_job("a"), state=RunState.RUNNING), a_run(a_job("b"))]
        (found,) = daemon.dead_runs(facts(daemon=None, dead_runs=runs))
        assert "2 runs of `a`, `b` have an owner that is dead (1 running)" in found.what.en
        assert codes(daemon.dead_runs(facts(daemon=DAEMON, dead_runs=runs))) == []

    def test_jobs_that_a_runner_does_not_fire(self) -> None:
        late = a_job("late", next_fire_ms=NOW_MS - 2 * MINUTE)
        assert codes(daemon.overdue(facts(daemon=DAEMON, paused_by="", jobs=[late, a_job("a")]))) == ["overdue"]
        assert codes(daemon.overdue(facts(daemon=DAEMON, paused_by="me", jobs=[late]))) == []
        assert codes(daemon.overdue(facts(daemon=DAEMON, paused_by="", jobs=[a_job("a", next_fire_ms=None)]))) == []

    def test_jumps_of_the_clock_and_sleep(self) -> None:
        small = Event(at_ms=NOW_MS, kind=EventKind.CLOCK_SET, detail={"by_ms": -3000})
        large = Event(at_ms=NOW_MS, kind=EventKind.CLOCK_SET, detail={"by_ms": 7_200_000})
        slept = Event(at_ms=NOW_MS, kind=EventKind.SUSPENDED, detail={"for_ms": 600_000})
        (note,) = daemon.clock_jumps(facts(events=[small, slept]))
        (warning,) = daemon.clock_jumps(facts(events=[small, large]))
        assert (note.severity, warning.severity) == (Severity.NOTE, Severity.WARNING)
        assert "-3.0 s" in note.what.en
        assert "2 times" in warning.what.en
        (sleep,) = daemon.sleeps(facts(events=[small, slept]))
        assert "10 min in all" in sleep.what.en

    def test_crashes(self) -> None:
        died = Event(at_ms=NOW_MS, kind=EventKind.RUNNER_UP, detail={"clean": False})
        fine = Event(at_ms=NOW_MS, kind=EventKind.RUNNER_UP, detail={"clean": True})
        assert codes(daemon.crashes(facts(events=[died, fine], daemon=None))) == ["crashes"]
        assert codes(daemon.crashes(facts(events=[fine], daemon=DAEMON))) == []
        assert codes(daemon.crashes(facts(events=[], daemon=replace(DAEMON, restarts=2)))) == ["crashes"]


class TestSchedules:
    def test_a_next_fire_that_the_schedule_does_not_say(self) -> None:
        wrong = cron("wrong", "0 3 * * *", next_fire_ms=NOW_MS + 5)
        (found,) = jobs.schedules(facts(jobs=[a_job("right"), wrong]))
        assert (found.code, found.mend, found.fix is not None) == ("wrong_next_fire", "pyjobs job check", True)

    def test_what_is_due_is_not_wrong(self) -> None:
        assert codes(jobs.schedules(facts(jobs=[a_job("due", next_fire_ms=NOW_MS - 1)]))) == []

    def test_a_zone_that_is_gone_and_an_expression_that_is_none(self) -> None:
        given = facts(jobs=[cron("zone", "0 3 * * *", timezone="Mars/Olympus"), cron("expr", "99 * * * *")])
        zone, expr = jobs.schedules(given)
        assert (zone.code, zone.mend) == ("unknown_zone", "pyjobs job edit zone --timezone UTC")
        assert (expr.code, expr.mend) == ("bad_schedule", "pyjobs job edit expr --cron '0 3 * * *'")

    @pytest.mark.parametrize(
        ("job", "severity", "mend"),
        [
            (
                a_job("x", trigger_type=TriggerType.ONCE, at_ms=NOW_MS - 1, next_fire_ms=None),
                Severity.WARNING,
                "pyjobs job remove x",
            ),
            (
                a_job("x", trigger_type=TriggerType.ONCE, at_ms=1, next_fire_ms=None, last_state=RunState.SUCCESS),
                Severity.NOTE,
                "pyjobs job remove x",
            ),
            (
                a_job("--odd", id=7, max_run_count=3, run_count=3),
                Severity.WARNING,
                "pyjobs job edit 7 --max-runs 0",
            ),
        ],
        ids=["past", "done", "limit"],
    )
    def test_jobs_that_never_fire_again(self, job: Job, severity: Severity, mend: str) -> None:
        (found,) = jobs.never(facts(jobs=[job]))
        assert (found.code, found.severity, found.mend) == ("never_fires", severity, mend)

    def test_a_schedule_that_has_come_to_its_end(self) -> None:
        given = facts(jobs=[cron("my job", "0 3 * * *")])
        given.now_ms = LIMIT * 1000
        (found,) = jobs.never(given)
        assert (found.code, found.mend) == ("never_fires", "pyjobs job edit 'my job' --cron '0 3 * * *'")

    def test_jobs_that_do(self) -> None:
        by_hand = a_job("by hand", trigger_type=TriggerType.MANUAL, next_fire_ms=None)
        stopped = a_job("off", state=JobState.STOPPED, next_fire_ms=None)
        assert codes(jobs.never(facts(jobs=[a_job("a"), by_hand, stopped]))) == []

    def test_jobs_that_stopped_themselves(self) -> None:
        limit = "it has run 3 times, as often as it may"
        given = [
            a_job("full", state=JobState.STOPPED, stop_reason=limit),
            a_job("zone", state=JobState.STOPPED, stop_reason="its schedule cannot be used any more: x"),
            a_job("by me", state=JobState.STOPPED),
        ]
        full, zone = jobs.stopped(facts(jobs=given))
        assert (full.severity, full.mend) == (Severity.NOTE, "pyjobs job start full --reset-count")
        assert (zone.severity, zone.mend) == (Severity.WARNING, "pyjobs job start zone")

    def test_a_crowd(self) -> None:
        crowd = [cron(f"job {n}", "5 3 * * *", next_fire_ms=NOW_MS + MINUTE + n) for n in range(21)]
        (found,) = jobs.crowded(facts(jobs=[*crowd, a_job("alone", next_fire_ms=NOW_MS + 9 * MINUTE)]))
        assert found.what.en == "21 jobs are due in the same minute, at 2030-01-01 00:01 UTC"
        assert found.mend == "pyjobs job edit 'job 0' --cron '22 3 * * *'"
        assert codes(jobs.crowded(facts(jobs=crowd[:20]))) == []
        assert codes(jobs.crowded(facts({"max_concurrent_jobs": 50}, jobs=crowd))) == []

    def test_jobs_that_only_fail(self) -> None:
        failing, mixed = a_job("failing", id=1), a_job("mixed", id=2)
        states = {1: [RunState.FAILED, RunState.TIMEOUT, RunState.LOST], 2: [RunState.FAILED] * 2 + [RunState.SUCCESS]}
        (found,) = jobs.always_fail(facts(jobs=[failing, mixed], last_states=states))
        assert (found.job, found.mend) == ("failing", "pyjobs logs failing")


class TestWork:
    def test_jobs_without_a_time_out(self) -> None:
        given = [
            a_job("own", timeout_s=0),
            a_job("text", command="【command】true\n【timeout】0"),
            a_job("text wins", command="【command】true\n【timeout】5", timeout_s=0),
            a_job("setting"),
        ]
        (found,) = work.unlimited(facts(jobs=given))
        assert found.what.en == "2 jobs have no time-out: `own`, `text`"
        (all_,) = work.unlimited(facts({"job_timeout": 0}, jobs=given))
        assert "3 jobs" in all_.what.en

    @pytest.mark.parametrize(
        ("shells", "expected"),
        [(("/bin/bash", "/bin/sh"), []), (("", "/bin/sh"), ["no_bash"]), (("", ""), ["no_shell"])],
    )
    def test_shells(self, shells: tuple[str, str], expected: list[str]) -> None:
        assert codes(work.shells(facts(jobs=[a_job("a")], shells=shells))) == expected
        assert codes(work.shells(facts(jobs=[a_job("a", mode="http")], shells=shells))) == []

    @pytest.mark.parametrize(
        "text",
        ["true", "cd /nosuch", "nosuch | cat", "$NOSUCH x", "nosuch; true", "[ -f x ]", "A=1 nosuch", "sh -c nosuch"],
    )
    def test_what_only_a_shell_knows_is_not_judged(self, text: str) -> None:
        assert codes(work.programs(facts(jobs=[a_job(command=text)], daemon_environ={"PATH": "/usr/bin:/bin"}))) == []

    @pytest.mark.parametrize("text", ["nosuch", "nosuch --flag x", "/nosuch/program", "./nosuch", "sub/nosuch x"])
    def test_a_program_that_is_certainly_missing(self, text: str) -> None:
        (found,) = work.programs(facts(jobs=[a_job(command=text)], daemon_environ={"PATH": "/usr/bin:/bin"}))
        assert (found.code, found.severity) == ("program_missing", Severity.WARNING)
        name = text.split(maxsplit=1)[0].rpartition("/")[2]
        assert found.mend == f"pyjobs job edit job --command '/FULL/PATH/TO/{name}'"

    def test_one_that_only_this_shell_does_not_know_is_a_note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BASH_ENV", raising=False)
        (found,) = work.programs(facts(jobs=[a_job(command="nosuch")], daemon_environ=None))
        assert found.severity is Severity.NOTE

    def test_the_path_of_the_job_counts(self) -> None:
        job = a_job(command="【command】sh x\n【env】PATH=/nowhere")
        assert codes(work.programs(facts(jobs=[job], daemon_environ={"PATH": "/bin"}))) == ["program_missing"]

    def test_words_that_bash_may_learn_at_its_start_are_not_judged(self) -> None:
        environ = {"PATH": "/bin", "BASH_FUNC_nosuch%%": "() { :; }"}
        assert codes(work.programs(facts(jobs=[a_job(command="nosuch")], daemon_environ=environ))) == []

    def test_folders(self) -> None:
        job = a_job(command="【command】true\n【workdir】my folder")
        (found,) = work.folders(facts(jobs=[job, a_job("b", command="【command】true\n【workdir】/")]))
        assert (found.code, found.mend) == ("workdir_missing", "mkdir -p '/nowhere/my folder'")

    def test_functions(self) -> None:
        given = [a_job("here", mode="func", command="Hello"), a_job("gone", mode="func", command="Nope")]
        known = (frozenset({"Hello"}), {"bad.py": "SyntaxError"})
        found = list(work.functions(facts(jobs=given, functions=known)))
        assert [(f.code, f.job) for f in found] == [("function_missing", "gone"), ("function_file", "")]
        assert codes(work.functions(facts(jobs=[a_job("a")]))) == []  # nothing is loaded for nothing

    def test_texts(self) -> None:
        given = [
            a_job("tags", command="【command】true\n【colour】red"),
            a_job("value", command="【command】true\n【timeout】soon"),
            a_job("mode", mode="moon"),
            a_job("good"),
        ]
        (tags,) = work.tags(facts(jobs=given))
        assert (tags.job, "【colour】" in tags.what.en) == ("tags", True)
        assert [f.job for f in work.texts(facts(jobs=given))] == ["value", "mode"]


class TestHost:
    def test_modes(self) -> None:
        (found,) = host.modes(facts(open_places=[(Path("/a b"), 0o755, 0o700)]))
        assert (found.code, found.mend, "(0755)" in found.what.en) == ("open_mode", "chmod 700 '/a b'", True)

    def test_disks(self) -> None:
        given = [(Path("/full"), 1 << 20), (Path("/low"), 100 << 20), (Path("/fine"), 1 << 40)]
        assert codes(host.disk(facts(disks=given))) == ["disk_full", "disk_low"]

    @pytest.mark.parametrize(
        ("settings", "allowed", "token", "expected"),
        [
            ({}, ["0.0.0.0/0"], False, []),
            ({"host": "::1"}, ["::/0"], False, []),
            ({"host": "localhost"}, ["::/0"], False, []),
            ({"host": "0.0.0.0"}, ["127.0.0.1/32", "::1/128"], False, []),
            ({"host": "0.0.0.0"}, ["127.0.0.1/32", "0.0.0.0/0"], False, ["api_open", "api_plain"]),
            ({"host": "::"}, ["::/0"], True, ["api_plain"]),
            ({"host": "0.0.0.0"}, ["10.0.0.0/8"], False, ["api_plain"]),
            ({"host": "0.0.0.0", "trusted_proxies": "10.0.0.1"}, ["0.0.0.0/0"], True, []),
            ({"host": "0.0.0.0", "ssl_certfile": "c", "ssl_keyfile": "k"}, ["0.0.0.0/0"], True, []),
        ],
    )
    def test_the_listener(self, settings: dict[str, str], allowed: list[str], token: bool, expected: list[str]) -> None:
        given = facts(settings, daemon=None, lists=networks(*allowed), asks_for_token=token)
        assert codes(host.listener(given)) == expected

    def test_a_daemon_without_an_api_is_not_exposed(self) -> None:
        assert codes(host.listener(facts({"host": "0.0.0.0"}, daemon=DAEMON))) == []

    def test_files_in_the_future(self) -> None:
        assert codes(host.clock(facts(files_ahead_s=3600.0))) == ["clock_behind_files"]
        assert codes(host.clock(facts(files_ahead_s=1.0))) == []

    def test_what_the_system_lacks_is_a_note_that_says_what_is_done_instead(self) -> None:
        found = list(host.system(facts(weaker=["pidfd", "subreaper", "proc"])))
        assert codes(found) == ["no_pidfd", "no_subreaper", "no_proc"]
        assert {f.severity for f in found} == {Severity.NOTE}
        assert all("the weaker way is taken" in f.why.en and "较弱" in f.why.zh for f in found)


class TestExamine:
    def test_a_check_that_fails_is_a_finding_and_no_others_trouble(self) -> None:
        def fails(_: Facts) -> Iterable[Finding]:
            raise ZeroDivisionError("by nothing")

        checks: dict[str, Check] = {"first": fails, "paused": daemon.paused}
        found = examine(facts(paused_by="me"), checks)
        assert codes(found) == ["check_failed", "paused"]
        assert "`first`" in found[0].what.en
        assert found[0].why.en == "ZeroDivisionError: by nothing"

    def test_without_a_store_what_needs_one_is_left_out(self) -> None:
        def needs(given: Facts) -> Iterable[Finding]:
            given.store.quick_check()
            return []

        error = StoreUnusable("gone")
        given = facts(opened=error)
        with pytest.raises(NoStore):
            needs(given)
        assert codes(examine(given, {"open": store.opens, "needs": needs})) == ["store_unusable"]

    def test_the_worst_comes_first_and_each_check_is_announced(self) -> None:
        begun: list[str] = []
        checks: dict[str, Check] = {"a": daemon.paused, "b": store.opens}
        found = examine(facts(paused_by="me", opened=StoreUnusable("gone")), checks, begun=begun.append)
        assert codes(found) == ["store_unusable", "paused"]
        assert begun == ["a", "b"]

    def test_every_check_of_the_modules_is_in_the_table(self) -> None:
        made = {
            check for module in (daemon, host, jobs, store, work) for check in map(module.__dict__.get, _names(module))
        }
        assert made == set(CHECKS.values())


def _names(module: Any) -> list[str]:
    return [name for name in module.__all__ if name not in ("BROKEN", "ref")]
