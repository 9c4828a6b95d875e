"""`pyjobs why` over a real store: what is said in both languages, on a terminal, in a pipe and for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, a_run, claimed

from pyjobs.jobs import Job, RunState
from pyjobs.ports import End, Event, EventKind, Start
from pyjobs.store.sqlite import SqliteStore

from .cli_kit import Cli

HOUR = 3_600_000


class Home(Cli):
    """A job that is due at each full hour, added a day before 2030-01-01 00:00 UTC, when it is now."""

    def __init__(self, home: Path, clock: FakeClock) -> None:
        super().__init__(home, clock)
        clock.set_wall(NOW_MS - 24 * HOUR)
        self("job", "add", "backup", "--cron", "0 * * * *", "--command", "true")
        clock.set_wall(NOW_MS)

    def missed(self, first: int, last: int) -> None:
        """Nobody was there for its fires from so many hours ago on."""
        with self.store() as (store, job):
            run = a_run(
                job,
                exec_id=f"{last:02}ab{last:012x}",
                state=RunState.MISSED,
                scheduled_ms=NOW_MS - last * HOUR,
                claimed_ms=NOW_MS - last * HOUR + 20,
                first_ms=NOW_MS - first * HOUR,
                fires=first - last + 1,
            )
            store.claim([claimed(run)], [])

    def fired(self, hours: range, state: RunState = RunState.SUCCESS, error: str = "") -> None:
        """Its fires so many hours ago came to an end."""
        with self.store() as (store, job):
            runs = [
                a_run(job, exec_id=f"{hour:02}ab{hour:012x}", scheduled_ms=NOW_MS - hour * HOUR,
                      claimed_ms=NOW_MS - hour * HOUR + 20)
                for hour in hours
            ]  # fmt: skip
            store.claim([claimed(run) for run in runs], [])
            store.start_runs([Start(exec_id=r.exec_id, attempt=1, started_ms=r.claimed_ms or 0) for r in runs], "me")
            store.end_runs(
                [End(exec_id=run.exec_id, state=state, ended_ms=NOW_MS, duration_ms=1500, error=error) for run in runs],
                "me",
            )

    def note(self, hours: float, kind: EventKind, *, mine: bool = False, **detail: Any) -> None:
        """Something happened so many hours ago."""
        with self.store() as (store, job):
            at = NOW_MS - round(hours * HOUR)
            store.add_event(Event(at_ms=at, kind=kind, job_id=job.id if mine else None, detail=detail))

    def moved_on(self) -> None:
        """A runner claimed all that is due."""
        with self.store() as (store, job):
            store.claim([], [(job.id, job.next_fire_ms or 0, NOW_MS + HOUR)])

    def store(self) -> _Opened:
        return _Opened(self.home)


class _Opened:
    def __init__(self, home: Path) -> None:
        self._store = SqliteStore(home / "data" / "jobs.db")

    def __enter__(self) -> tuple[SqliteStore, Job]:
        job = self._store.job_named("backup")
        assert job is not None
        return self._store, job

    def __exit__(self, *_: object) -> None:
        self._store.close()


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Home:
    """Of the 24 fires of the day 17 succeeded, 2 failed, 3 were missed, 2 fell into a pause."""
    home = Home(tmp_path, clock)
    home.moved_on()
    home.note(24, EventKind.RUNNER_UP)
    home.fired(range(23, 20, -1))
    home.fired(range(20, 18, -1), RunState.FAILED, "exit status 3")
    home.fired(range(18, 12, -1))
    home.missed(12, 10)
    home.note(9.5, EventKind.RUNNER_UP, last_seen_ms=NOW_MS - 12 * HOUR - 500, clean=False)
    home.fired(range(9, 6, -1))
    home.note(6.5, EventKind.PAUSED, by="bob@host")
    home.note(4.5, EventKind.RESUMED, by="bob@host")
    home.fired(range(4, -1, -1))
    return home


class TestTable:
    def test_the_summary_comes_first_then_what_went_wrong(self, cli: Home) -> None:
        done = cli.try_("why", "backup", "--since", "1d")
        assert done.stderr.splitlines() == [
            "24 fires: 17 succeeded, 3 missed, 2 failed, 2 paused", "times in UTC"
        ]  # fmt: skip
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert lines == [
            "WHEN FIRES OUTCOME TOOK EXEC WHY",
            "2029-12-31 04:00:00 … 2029-12-31 05:00:00 2 failed 1.50s exit status 3",
            (
                "2029-12-31 12:00:00 … 2029-12-31 14:00:00 3 missed 10ab00000000000a"
                " the daemon was down from 2029-12-31 11:59:59 to 2029-12-31 14:30:00 (it had died)"
            ),
            (
                "2029-12-31 18:00:00 … 2029-12-31 19:00:00 2 paused"
                " paused by bob@host from 2029-12-31 17:30:00 to 2029-12-31 19:30:00"
            ),
            "2029-12-31 01:00:00 … 2029-12-31 03:00:00 3 succeeded 1.50s",
            "2029-12-31 06:00:00 … 2029-12-31 11:00:00 6 succeeded 1.50s",
            "2029-12-31 15:00:00 … 2029-12-31 17:00:00 3 succeeded 1.50s",
            "2029-12-31 20:00:00 … 2030-01-01 00:00:00 5 succeeded 1.50s",
        ]

    def test_it_is_told_in_chinese(self, cli: Home) -> None:
        done = cli.try_("why", "backup", "--since", "1d", lang="zh")
        assert done.stderr.splitlines() == ["应触发 24 次：成功 17，错过 3，失败 2，已暂停 2", "时区：UTC"]
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert lines[0] == "时间 次数 结果 耗时 执行编号 原因"
        assert lines[1].endswith("2 失败 1.50s 退出状态 3")
        assert lines[2].endswith("守护进程未运行：2029-12-31 11:59:59 至 2029-12-31 14:30:00（异常退出）")
        assert lines[3].endswith("由 bob@host 暂停调度器：2029-12-31 17:30:00 至 2029-12-31 19:30:00")

    def test_a_terminal_shows_short_times_and_the_zone_once(self, cli: Home) -> None:
        out = cli("why", "backup", terminal=True, COLUMNS="120")
        assert out.count("times in UTC") == 1
        missed = r"^12-31 12:00:00 … 14:00:00 +3 .*missed.*10ab0000\S* +the daemon was down from 12-31 11:59:59"
        assert re.search(missed, out, re.MULTILINE)
        assert re.search(r"^12-31 20:00:00 … 01-01 00:00:00 +5 .*succeeded", out, re.MULTILINE)

    def test_each_instant_can_be_told_by_itself(self, cli: Home) -> None:
        done = cli.try_("why", "backup", "--all", "--limit", "6")
        assert done.stderr.splitlines()[-1] == "18 older fires are left out, `--limit` shows more"
        assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == [
            "19:00:00", "20:00:00", "21:00:00", "22:00:00", "23:00:00", "00:00:00",
        ]  # fmt: skip

    def test_where_nothing_was_due_that_is_said(self, cli: Home) -> None:
        done = cli.try_("why", "backup", "--since", "2029-12-31T23:59:59.999+00:00")
        assert done.stderr.startswith("1 fire: 1 succeeded\n")
        cli("job", "add", "hand", "--manual", "--command", "true")
        cli("job", "add", "later", "--at", "2031-01-01", "--command", "true")
        done = cli.try_("why", "hand")
        assert (done.stdout, done.stderr) == ("", "`hand` is only started by hand: nothing is ever due\n")
        assert cli.try_("why", "later").stderr == "nothing was due since 2029-12-31 00:00:00\n"

    def test_a_job_that_is_gone_is_told_from_the_record(self, cli: Home) -> None:
        cli("job", "remove", "backup", "--yes")
        assert cli.try_("why", "backup").stderr.splitlines()[:2] == [
            "`backup` is gone: this is what the record holds of it",
            "22 fires: 17 succeeded, 3 missed, 2 failed",
        ]
        line = cli("why", "backup", "--at", "2029-12-31 04:30")
        assert line == "2029-12-31 04:30:00  not due: the job is gone, and there is no record of this instant\n"

    def test_what_waits_for_a_daemon_is_said(self, tmp_path: Path, clock: FakeClock) -> None:
        home = Home(tmp_path, clock)
        out = home("why", "backup", "--since", "1d").splitlines()[-1]
        assert " ".join(out.split()) == (
            "2029-12-31 01:00:00 … 2030-01-01 00:00:00 24 daemon down the daemon is down"
        )  # fmt: skip
        home("job", "stop", "backup")
        assert "job stopped" not in home("why", "backup", "--since", "1d")


class TestDocument:
    def test_it_has_all_that_is_known(self, cli: Home) -> None:
        document = cli.json("why", "backup", "--since", "1d")
        assert (document["job"], document["fires"], document["left_out"]) == ("backup", 24, 0)
        assert document["summary"] == {"success": 17, "missed": 3, "failed": 2, "paused": 2}
        assert (document["since"], document["until"]) == (
            "2029-12-31T00:00:00.000+00:00", "2030-01-01T00:00:00.000+00:00")  # fmt: skip
        assert document["answers"][3] == {
            "first": "2029-12-31T12:00:00.000+00:00",
            "last": "2029-12-31T14:00:00.000+00:00",
            "fires": 3,
            "verdict": "missed",
            "why": "the daemon was down from 2029-12-31 11:59:59 to 2029-12-31 14:30:00 (it had died)",
            "reason": "",
            "exec_id": "10ab00000000000a",
            "duration_ms": None,
            "lateness_ms": 20,
            "cause": "down",
            "from": "2029-12-31T11:59:59.500+00:00",
            "until": "2029-12-31T14:30:00.000+00:00",
            "by": None,
        }

    def test_other_formats_have_the_same(self, cli: Home) -> None:
        rows = list(csv.DictReader(io.StringIO(cli("why", "backup", "-o", "csv"))))
        assert [row["verdict"] for row in rows].count("success") == 4
        lines = [json.loads(line) for line in cli("why", "backup", "-o", "jsonl").splitlines()]
        assert [line["verdict"] for line in lines] == [row["verdict"] for row in rows]
        assert cli("why", "backup", "-o", "yaml").startswith("schema_version: 1\nanswers:\n- first: ")
        assert cli("why", "backup", "-o", "name").split()[:2] == ["success", "failed"]


class TestInstant:
    @pytest.mark.parametrize(
        ("at", "en", "zh"),
        [
            ("2029-12-31 05:00", "failed, 1.50s (19ab000000000013): exit status 3",
             "失败，1.50s (19ab000000000013)：退出状态 3"),
            ("2029-12-31 18:00",
             "paused: paused by bob@host from 2029-12-31 17:30:00 to 2029-12-31 19:30:00",
             "已暂停：由 bob@host 暂停调度器：2029-12-31 17:30:00 至 2029-12-31 19:30:00"),
            ("2029-12-31 05:10", "not due: the minute field `0` excludes it",
             "非触发时间：`0 * * * *` 中不符的有：分钟字段 `0`"),
            ("2029-12-31 05:10:07",
             "not due: the second (0 in an expression of 5 fields) and the minute field `0` exclude it",
             "非触发时间：`0 * * * *` 中不符的有：秒（5 个字段时为 0），分钟字段 `0`"),
            ("2029-12-30", "not due: the job did not exist yet: it was added at 2029-12-31 00:00:00",
             "非触发时间：当时任务尚不存在：添加于 2029-12-31 00:00:00"),
            ("2030-01-01 01:00", ("not due yet: as things are it will not fire: the daemon is down since"
             " 2030-01-01 00:00:00 (it had died)"),
             "尚未到时：若情况不变则不会触发：守护进程未运行：自 2030-01-01 00:00:00 起（异常退出）"),
        ],
    )  # fmt: skip
    def test_an_instant_is_answered_in_both_languages(self, cli: Home, at: str, en: str, zh: str) -> None:
        for lang, said in (("", en), ("zh", zh)):
            first, *near = cli("why", "backup", "--at", at, lang=lang).splitlines()
            assert first.partition("  ")[2] == said
            assert len(near) == (0 if at == "2029-12-30" else 2)

    def test_the_nearest_instants_are_given(self, cli: Home) -> None:
        out = cli("why", "backup", "--at", "2029-12-31 05:10").splitlines()
        assert out[1:] == [
            "DUE BEFORE  2029-12-31 05:00:00  19 hours ago",
            "DUE AFTER   2029-12-31 06:00:00  18 hours ago",
        ]
        document = cli.json("why", "backup", "--at", "2029-12-31 05:10")
        assert document["instant"] == {
            "job": "backup",
            "at": "2029-12-31T05:10:00.000+00:00",
            "schedule": "0 * * * *",
            "due": False,
            "why": "the minute field `0` excludes it",
            "answers": [],
            "excluded_by": [{"field": "minute", "written": "0"}],
            "before": "2029-12-31T05:00:00.000+00:00",
            "after": "2029-12-31T06:00:00.000+00:00",
        }

    def test_the_schedule_of_then_is_shown_where_it_was_another(self, cli: Home) -> None:
        cli("job", "edit", "backup", "--cron", "30 6 * * *")
        lines = cli("why", "backup", "--at", "2029-12-31 05:10").splitlines()
        assert lines[0].endswith("the minute field `0` excludes it")
        assert lines[-1] == "SCHEDULE THEN  0 * * * *"
        assert "SCHEDULE" not in cli("why", "backup", "--at", "2030-01-05 05:10")

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (("--every", "1h20m"), "not due: it is due every 1 hour 20 minutes, counted from 2030-01-01 00:00:00"),
            (("--at", "2030-02-01"), "not due: it is due at 2030-02-01 00:00:00"),
            (("--manual",), "not due: it is only started by hand"),
            (("--cron", "0 0 1 * MON"),
             "not due: the hour field `0` excludes it, and neither day of month `1` nor day of week `MON` matches"),
            (("--cron", "0 9 15 * MON"), "not due: neither day of month `15` nor day of week `MON` matches"),
        ],
    )  # fmt: skip
    def test_every_kind_of_trigger_says_why_it_is_not_due(self, cli: Home, flags: tuple[str, ...], said: str) -> None:
        cli("job", "add", "other", *flags, "--command", "true")
        assert cli("why", "other", "--at", "2030-01-08 09:00").splitlines()[0] == f"2030-01-08 09:00:00  {said}"

    def test_a_time_that_does_not_exist_is_answered_all_the_same(self, cli: Home) -> None:
        cli("job", "add", "night", "--cron", "30 2 * * *", "--command", "true", PYJOBS_TIMEZONE="Europe/Berlin")
        cli.clock.set_wall(NOW_MS + 180 * 24 * HOUR)  # type: ignore[union-attr]
        args = ("why", "night", "--at", "2030-03-31 02:30")
        out = cli(*args, PYJOBS_TIMEZONE="Europe/Berlin")
        assert "2030-03-31 02:30:00 did not exist in Europe/Berlin: it is due at the end of the gap instead" in out
        zh = cli(*args, lang="zh", PYJOBS_TIMEZONE="Europe/Berlin")
        assert "Europe/Berlin 的 2030-03-31 02:30:00 不存在，改在间隙结束时触发" in zh
        cli("job", "add", "noon", "--cron", "0 12 * * *", "--command", "true")
        err = cli.error("why", "noon", *args[2:], code=2, PYJOBS_TIMEZONE="Europe/Berlin")
        assert err.startswith("error: `--at`: the clock of Europe/Berlin never shows `2030-03-31 02:30`")

    def test_instants_at_the_ends_of_time_are_answered(self, cli: Home) -> None:
        for at in ("1970-01-01", "9998-12-31 23:59:59", "2030-01-01T00:00:00.500+00:00"):
            assert "not due" in cli("why", "backup", "--at", at)
        cli("job", "add", "mondays", "--cron", "* * * * MON", "--command", "true")
        assert "not due" in cli("why", "mondays", "--at", "9997-12-31 12:00")
        assert cli.json("why", "backup", "--since", "999999999999w")["fires"] == 24


class TestRefused:
    def test_an_unknown_job_is_not_found(self, cli: Home) -> None:
        assert cli.error("why", "bakcup", code=3) == "error: there is no job `bakcup`\n\nhint: did you mean `backup`?\n"

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("--at", "nonsense"), "error: `--at`: `nonsense` is not a date and time"),
            (("--since", "soon"), "error: `--since`: `soon` is not a duration"),
            (("--since", "2031-01-01"), "error: `--since`: lies in the future"),
            (("--at", "2030-01-01", "--all"), "error: `--at`: is one instant, it goes with neither"),
        ],
    )
    def test_bad_times_are_named(self, cli: Home, args: tuple[str, ...], said: str) -> None:
        assert (
            cli.error("why", "backup", *args, code=2).replace("` ", "`: ", 1).startswith(said.replace("` ", "`: ", 1))
        )

    def test_it_makes_no_home(self, cli: Home) -> None:
        home = cli.home / "mistyped"
        assert cli.error("--home", str(home), "why", "backup", code=3).startswith(
            f"error: there is nothing at `{home}`"
        )
        assert not home.exists()
