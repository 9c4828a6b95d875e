"""`pyjobs job …` over a real store: what is stored, what is said, in both languages, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from fakes import FakeClock

from .cli_kit import Cli

DAILY = ("--cron", "0 3 * * *")
ONE_WHEN = "give only one of `--cron`, `--every`, `--at`, `--manual`"
ONE_WHAT = "give only one of `--command`, `--http`, `--func`, `--raw`"
DOWN = "nothing fires while the daemon is down: `pyjobs daemon start`\n"
TIMEOUT = "each run is ended after 300s, the default time-out; `--timeout` sets another\n"


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """A home at 2030-01-01 00:00:00 UTC."""
    return Cli(tmp_path, clock)


class TestAdd:
    def test_it_answers_the_id_and_the_next_three_fires(self, cli: Cli) -> None:
        assert cli("job", "add", "backup", *DAILY, "--command", "true") == (
            "added job 1 `backup`\n"
            "  2030-01-01 03:00:00  in 3 hours\n"
            "  2030-01-02 03:00:00  in 27 hours\n"
            "  2030-01-03 03:00:00  in 2 days\n"
        )

    def test_it_answers_in_chinese(self, cli: Cli) -> None:
        assert cli("job", "add", "备份", "--every", "1h30m", "--command", "true", lang="zh") == (
            "已添加任务 1 `备份`\n"
            "  2030-01-01 01:30:00  90 分钟后\n"
            "  2030-01-01 03:00:00  3 小时后\n"
            "  2030-01-01 04:30:00  5 小时后\n"
        )

    def test_as_a_document_it_has_the_job_and_the_fires(self, cli: Cli) -> None:
        document = cli.json("job", "add", "backup", *DAILY, "--command", "true")
        assert document["job"]["name"] == "backup"
        assert document["next_fires"][0] == "2030-01-01T03:00:00.000+00:00"

    def test_a_terminal_says_the_zone_once(self, cli: Cli) -> None:
        out = cli("job", "add", "backup", *DAILY, "--command", "true", terminal=True)
        assert out.count("times in UTC") == 1

    @pytest.mark.parametrize(
        ("flags", "mode", "text"),
        [
            (("--command", " echo hi "), "command", "echo hi"),
            (
                ("--command", "make", "--workdir", "/srv", "--env", "A=1", "-e", "B=x=y", "--timeout", "5m",
                 "--retries", "2"),
                "command",
                "【command】make\n【timeout】300\n【times】3\n【workdir】/srv\n【env】A=1|||B=x=y",
            ),
            (
                ("--http", "http://x/", "-X", "POST", "-H", "A: b", "-d", "{}", "--expect", "ok",
                 "--retry-interval", "2s"),
                "http",
                "【url】http://x/\n【interval】2\n【mode】POST\n【headers】A:b\n【data】{}\n【result】ok",
            ),
            (("--http", "http://x/", "--cookies", "a=1", "--proxy", "socks5h://p:1"), "http",
             "【url】http://x/\n【cookies】a=1\n【proxy】socks5h://p:1"),
            (("--func", "Echo", "--arg", "a,b"), "func", "【name】Echo\n【arg】a,b"),
            (("--raw", "【command】true\r\n【times】2", "--mode", "COMMAND"), "command",
             "【command】true\r\n【times】2"),
            (("--raw", "【command】true", "--mode", "command", "--timeout", "0"), "command",
             "【command】true\n【timeout】0"),
        ],
    )  # fmt: skip
    def test_flags_become_the_command_text(self, cli: Cli, flags: tuple[str, ...], mode: str, text: str) -> None:
        job = cli.json("job", "add", "a", "--manual", *flags)["job"]
        assert (job["mode"], job["command"]) == (mode, text)

    def test_every_policy_is_a_flag(self, cli: Cli) -> None:
        job = cli.json(
            "job", "add", "a", *DAILY, "--command", "true", "--allow-mode", "serial", "--misfire", "skip",
            "--catchup-window", "2h", "--max-runs", "7", "--timezone", "Asia/Shanghai", "--dst-gap", "skip",
            "--dst-fold", "both", "--grace", "3s", "--desc", "what for", "--stopped",
        )["job"]  # fmt: skip
        expected = {
            "allow_mode": 1, "misfire": "skip", "catchup_window_seconds": 7200, "max_run_count": 7, "dst_gap": "skip",
            "timezone": "Asia/Shanghai", "dst_fold": "both", "grace_seconds": 3, "desc": "what for", "state": "stopped",
        }  # fmt: skip
        assert expected.items() <= job.items()

    @pytest.mark.parametrize(
        ("given", "number"), [("0", 0), ("parallel", 0), ("Serial", 1), ("2", 2), ("immediate", 2)]
    )
    def test_the_allow_mode_is_a_number_or_a_word(self, cli: Cli, given: str, number: int) -> None:
        assert (
            cli.json("job", "add", "a", *DAILY, "--command", "x", "--allow-mode", given)["job"]["allow_mode"] == number
        )

    def test_a_time_without_an_offset_is_in_the_jobs_own_zone(self, cli: Cli) -> None:
        flags = ("--at", "2030-06-01 12:00:00.250", "--timezone", "Europe/Berlin")
        assert cli.json("job", "add", "a", *flags, "--command", "x")["job"]["at"] == "2030-06-01T10:00:00.250+00:00"

    def test_it_says_the_time_out_and_that_nothing_fires(self, cli: Cli) -> None:
        add = ("job", "add", "a", *DAILY, "--command", "x")
        assert cli.try_(*add, "--dry-run").stderr == f"times in UTC\n{TIMEOUT}"
        assert cli.try_("-q", *add).stderr == ""
        assert cli.try_("list").stderr == f"times in UTC\n{DOWN}"
        assert cli.try_("list", "--json").stderr == cli.try_("-q", "list").stderr == ""
        assert cli.try_("job", "add", "b", "--manual", "--command", "x", "--timeout", "0").stderr == ""
        assert cli.try_("job", "add", "c", "--manual", "--command", "x", JOB_TIMEOUT="0").stderr == (
            "its runs have no time-out by default; `--timeout` sets one\n"
        )
        cli("job", "stop-all")
        paused = cli.try_("list").stderr.splitlines()[2]
        assert re.fullmatch(r"paused by \S+ since 2030-01-01 00:00:00: nothing fires until `pyjobs job resume`", paused)

    def test_a_folder_that_is_not_there_is_a_warning(self, cli: Cli) -> None:
        add = ("job", "add", "a", "--manual", "--command", "x", "--timeout", "1", "--workdir")
        message = "warning: the working directory `/no/such` is not there, runs will fail until it is\n"
        assert cli.try_(*add, "/no/such", "--dry-run").stderr == message
        (cli.home / "sub").mkdir()
        assert cli.try_(*add, "sub").stderr == ""

    def test_a_zone_of_its_own_is_shown(self, cli: Cli) -> None:
        done = cli.try_("job", "add", "a", "--at", "2030-06-01 12:00", "--timezone", "Europe/Berlin", "--command", "x")
        assert (done.stdout.splitlines()[1], done.stderr.splitlines()[0]) == (
            "  2030-06-01 12:00:00  in 151 days",
            "times in Europe/Berlin",
        )
        cli("job", "add", "b", *DAILY, "--timezone", "Asia/Tokyo", "--command", "x")
        out = cli("list")
        assert " at 2030-06-01 12:00:00 (Europe/Berlin)  2030-06-01 10:00:00 " in out
        assert " 0 3 * * * (Asia/Tokyo) " in out
        assert cli.json("job", "show", "b")["job"]["schedule"] == "0 3 * * *"

    def test_a_dry_run_stores_nothing(self, cli: Cli) -> None:
        assert cli("job", "add", "a", *DAILY, "--command", "x", "--dry-run").startswith(
            "would add job `a`\n  2030-01-01 03"
        )
        assert cli.json("list") == {"jobs": []}

    def test_a_dry_run_tells_a_name_that_is_taken(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert "exists already" in cli.error("job", "add", "a", *DAILY, "--command", "x", "--dry-run", code=6)

    def test_an_unknown_function_is_a_warning(self, cli: Cli) -> None:
        done = cli.try_("job", "add", "a", "--manual", "--func", "Ecko")
        assert (done.exit_code, done.stdout) == (0, "added job 1 `a`\n")
        assert done.stderr == (
            "warning: there is no function `Ecko` now, its runs will fail; did you mean `Echo`?\n" + TIMEOUT
        )

    def test_arguments_that_would_fail_are_a_warning(self, cli: Cli) -> None:
        done = cli.try_("job", "add", "a", "--manual", "--func", "SMS", "--arg", "1")
        assert done.exit_code == 0
        assert done.stderr.startswith("warning: a call of `SMS` would fail: ")


class TestBadInput:
    def test_a_name_that_is_taken(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        again = ("job", "add", "a", *DAILY, "--command", "x")
        assert cli.error(*again, code=6) == (
            "error: a job named `a` exists already\n\n"
            "hint: choose another name, or change that job with `pyjobs job edit`\n"
        )
        assert cli.error(*again, code=6, lang="zh") == (
            "错误：任务名称已存在：`a`\n\n提示：请换一个名称，或用 `pyjobs job edit` 修改原任务\n"
        )

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ((*DAILY,), "error: say what the job does: `--command`, `--http` or `--func`\n"),
            (("--command", "x"), "error: say when it runs: `--cron`, `--every`, `--at`, or `--manual`"),
            ((), "error: say what the job does: `--command`, `--http` or `--func`; and when it runs: `--cron`"),
            (("--raw", "【timeout】x", "--mode", "command", "--manual"), "error: 【timeout】: `x` is not a whole"),
            (("--http", "http://x", "--method", "A B", "--manual"), "error: `--method`: `A B` is not an HTTP method"),
            (("--command", "x", "--cron", "0 9 * * FOO"), "error: `--cron`: day of week field: `FOO` is not a name"),
            (("--command", "x", "--cron", "@reboot"), "error: `--cron`: there is no `@reboot`: "),
            (("--command", "x", "--cron", "61 * * * *"), "error: `--cron`: minute field: `61`"),
            (("--command", "x", "--cron", "0 0 30 2 *"), "error: `--cron`: it never fires"),
            (("--command", "x", *DAILY, "--every", "1h"), f"error: {ONE_WHEN}, not `--cron` and `--every`"),
            (("--command", "x", *DAILY, "--manual"), f"error: {ONE_WHEN}, not `--cron` and `--manual`"),
            (("--command", "x", "--every", "0s"), "error: `--every`: `0s` is shorter than a second"),
            (("--command", "x", "--every", "-1h"), "error: `--every`: `-1h` is not a duration"),
            (("--command", "x", "--at", "tomorrow"), "error: `--at`: `tomorrow` is not a date and time"),
            (("--command", "x", "--at", "2029-12-31"), "error: `--at`: lies in the past"),
            (("--command", "x", "--manual", "--timezone", "Mars/Base"), "error: `--timezone`: there is no time zone"),
            (("--command", " ", "--manual"), "error: `--command`: is missing or empty"),
            (("--command", "x", "--http", "http://x", "--manual"), f"error: {ONE_WHAT}, not `--command` and `--http`"),
            (("--http", "ftp://x", "--manual"), "error: `--http`: `ftp://x` is not"),
            (("--http", "http://x", "--manual", "-H", "nonsense"), "error: `--header`: `nonsense` is not `NAME:VALUE`"),
            (("--http", "http://x", "--manual", "--env", "A=1"), "error: `--env`: belongs to command jobs"),
            (("--command", "x", "--manual", "--env", "A=1|||B=2"), "error: `--command`: holds what a command text"),
            (("--raw", "【comand】x", "--mode", "command", "--manual"), "error: `--raw`: unknown tag `【comand】`"),
            (("--raw", "x", "--manual"), "error: `--mode`: is missing"),
            (("--raw", "x", "--mode", "ftp", "--manual"), "error: `--mode`: `ftp` is not one of"),
            (("--command", "x", "--mode", "http", "--manual"), "error: `--mode`: `http` does not go with `--command`"),
            (("--mode", "http", "--manual"), "error: `--mode`: goes with `--raw` only"),
            (("--command", "x", "--manual", "--retries", "-1"), "error: `--retries`: `-1` is negative"),
            (("--command", "x", "--manual", "--max-runs", "-1"), "error: `--max-runs`: `-1` is not a number"),
            (("--command", "x", "--manual", "--timeout", "-1"), "error: `--timeout`: `-1` is not a duration"),
            (("--command", "x", "--manual", "--allow-mode", "4"), "error: `--allow-mode`: `4` is not one of"),
            (("--command", "x", "--manual", "--misfire", "foo"), "error: Invalid value for '--misfire'"),
            (("--command", "x", "--manual", "--comand", "y"), "error: No such option: --comand"),
        ],
    )  # fmt: skip
    def test_each_is_named_and_nothing_is_stored(self, cli: Cli, args: tuple[str, ...], message: str) -> None:
        assert cli.error("job", "add", "a", *args, code=2).startswith(message)
        assert cli.json("list") == {"jobs": []}

    @pytest.mark.parametrize("name", ["", "a\tb", "a\x1b[31m", "a\u202eb", "n" * 200])
    def test_a_name_must_be_one_that_can_be_shown(self, cli: Cli, name: str) -> None:
        err = cli.error("job", "add", name, *DAILY, "--command", "x", code=2)
        assert err.startswith("error: name: ")
        assert "\x1b" not in err

    def test_an_error_is_one_document_where_the_data_would_have_been(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert json.loads(cli.error("job", "show", "nobody", "--json", code=3)) == {
            "schema_version": 1,
            "code": "not_found",
            "message": "there is no job `nobody`",
            "hint": "see `pyjobs list`",
        }
        assert json.loads(cli.error("job", "show", "--json", code=2))["code"] == "usage"


class TestFind:
    def test_a_job_is_named_by_name_id_or_beginning(self, cli: Cli) -> None:
        for name in ("backup", "2", "ping"):
            cli("job", "add", name, *DAILY, "--command", "x")
        found = [cli.json("job", "show", reference)["job"]["id"] for reference in ("backup", "back", "1", "2", "3")]
        assert found == [1, 1, 1, 2, 3]

    def test_a_beginning_that_several_have_names_them(self, cli: Cli) -> None:
        for name in ("backup-1", "backup-2"):
            cli("job", "add", name, *DAILY, "--command", "x")
        assert cli.error("job", "show", "back", code=3).startswith(
            "error: `back` could be several jobs: `backup-1`, `backup-2`\n"
        )

    def test_an_unknown_one_suggests_the_nearest(self, cli: Cli) -> None:
        cli("job", "add", "backup", *DAILY, "--command", "x")
        assert cli.error("job", "show", "bakcup", code=3) == (
            "error: there is no job `bakcup`\n\nhint: did you mean `backup`?\n"
        )
        assert cli.error("job", "show", "bakcup", code=3, lang="zh") == (
            "错误：任务不存在：`bakcup`\n\n提示：是否想写 `backup`？\n"
        )


class TestList:
    def test_a_pipe_gets_aligned_columns(self, cli: Cli) -> None:
        cli("job", "add", "backup", *DAILY, "--command", "x")
        cli("job", "add", "清理", "--every", "90s", "--command", "x", "--stopped")
        cli("job", "add", "once", "--at", "2030-01-01 12:00", "--http", "http://x/")
        assert cli("list") == (
            "ID  NAME    MODE     SCHEDULE                NEXT                   LEFT  LAST  RESULT  TOOK\n"
            " 1  backup  command  0 3 * * *               2030-01-01 03:00:00   3h00m\n"
            " 2  清理    command  every 1m30s             stopped\n"
            " 3  once    http     at 2030-01-01 12:00:00  2030-01-01 12:00:00  12h00m\n"
        )

    def test_chinese_has_chinese_headings_and_words(self, cli: Cli) -> None:
        cli("job", "add", "清理", "--every", "90s", "--command", "x", "--stopped")
        assert cli("list", lang="zh") == (
            "ID  名称  模式     计划             下次执行  剩余  上次执行  结果  耗时\n"
            " 1  清理  command  每 1 分钟 30 秒  已停止\n"
        )

    def test_a_terminal_gets_a_table(self, cli: Cli) -> None:
        cli("job", "add", "backup", *DAILY, "--command", "x")
        lines = cli("list", terminal=True, NO_COLOR="1").splitlines()
        assert [line.rstrip() for line in lines] == [
            "ID  NAME    MODE     SCHEDULE   NEXT       LEFT  LAST  RESULT  TOOK",
            "───────────────────────────────────────────────────────────────────",
            " 1  backup  command  0 3 * * *  03:00:00  3h00m",
            "times in UTC",
        ]

    def test_it_filters_by_state_mode_and_name(self, cli: Cli) -> None:
        cli("job", "add", "a1", *DAILY, "--command", "x")
        cli("job", "add", "a2", *DAILY, "--command", "x", "--stopped")
        cli("job", "add", "b", *DAILY, "--http", "http://x/")
        for flags, names in (
            (("--state", "stopped"), "a2\n"),
            (("--mode", "http"), "b\n"),
            (("--name", "a"), "a1\na2\n"),
            (("--state", "running"), ""),
        ):
            assert cli("list", *flags, "-o", "name") == names

    def test_csv_can_be_read_back(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", 'echo "1,2"\necho 3')
        (row,) = csv.DictReader(io.StringIO(cli("list", "-o", "csv")))
        assert (row["name"], row["command"]) == ("a", 'echo "1,2"\necho 3')

    def test_nothing_is_no_error(self, cli: Cli) -> None:
        assert cli("list", "-o", "jsonl") == ""
        done = cli.try_("list", terminal=True)
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr.startswith("no jobs\nthere is nothing at ")
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert cli.try_("list", "--name", "b", terminal=True).stderr == "no jobs\n"
        cli("job", "remove", "a", "--yes")
        assert cli.try_("list", terminal=True).stderr == "no jobs\nhint: add one, see `pyjobs job add --help`\n"


class TestShow:
    def test_a_page_says_what_is_special_about_a_job(self, cli: Cli) -> None:
        cli("job", "add", "backup", *DAILY, "--command", "echo a\necho b", "--allow-mode", "1", "--desc", "nightly")
        assert cli("job", "show", "backup") == (
            "NAME         backup\n"
            "ID           1\n"
            "DESCRIPTION  nightly\n"
            "STATE        waiting\n"
            "MODE         command\n"
            "COMMAND      echo a\n"
            "             echo b\n"
            f"WORKDIR      {cli.home} (by default)\n"
            "SCHEDULE     0 3 * * *\n"
            "             At 03:00\n"
            "ZONE         UTC (by default)\n"
            "OVERLAP      serial (1)\n"
            "MISFIRE      once\n"
            "CATCH-UP     1h00m\n"
            "TIMEOUT      300s (by default)\n"
            "RETRIES      0\n"
            "GRACE        10s\n"
            "RUN COUNT    0\n"
            "CREATED      2030-01-01 00:00:00\n"
            "NEXT         2030-01-01 03:00:00  in 3 hours\n"
            "             2030-01-02 03:00:00  in 27 hours\n"
            "             2030-01-03 03:00:00  in 2 days\n"
        )

    def test_what_it_does_is_shown_as_rows_without_secrets(self, cli: Cli) -> None:
        cli("job", "add", "a", "--manual", "--http", "http://me:pw@x/", "-X", "post", "-H", "Authorization: Bearer s3",
            "-H", "A: b", "--cookies", "k=s3", "--expect", "ok", "--timeout", "0", "--retries", "2",
            "--retry-interval", "5s")  # fmt: skip
        page = re.sub(" {2,}", "  ", cli("job", "show", "a"))
        for line in ("METHOD  post", "URL  http://me:***@x/", "HEADERS  Authorization: ***", "  A: b",
                     "COOKIES  ***", "EXPECT  ok", "TIMEOUT  none", "RETRIES  2, 5s apart"):  # fmt: skip
            assert f"\n{line}\n" in page
        assert "s3" not in page
        assert "【headers】Authorization:Bearer s3|||A:b" in cli("job", "show", "a", "--raw")
        cli("job", "add", "b", "--manual", "--command", "x", "--env", "A=1", "--env", "MY_TOKEN=s3", "--timeout", "5")
        assert re.search(r"ENV +A=1\n +MY_TOKEN=\*{3}\n", cli("job", "show", "b"))
        cli("job", "add", "c", "--manual", "--func", "Echo", "--arg", "1,2")
        assert re.search(r"FUNCTION +Echo\nARGUMENTS +1,2\n", cli("job", "show", "c"))

    def test_a_fire_that_should_have_come_is_overdue(self, cli: Cli, clock: FakeClock) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        clock.advance(4 * 3600)
        assert re.search(r"^NEXT +2030-01-01 03:00:00  overdue\n +2030-01-02", cli("job", "show", "a"), re.MULTILINE)
        assert "2030-01-01 03:00:00  overdue  a\n" in cli.try_("status").stdout

    def test_a_command_is_not_obeyed_by_a_terminal_but_whole_in_a_pipe(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "printf '\x1b[31m'")
        assert "printf '\\x1b[31m'" in cli("job", "show", "a", terminal=True, NO_COLOR="1")
        assert "printf '\x1b[31m'" in cli("job", "show", "a")

    def test_the_next_fires_can_be_counted(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert cli("job", "next", "a", "-n", "2").splitlines() == [
            "2030-01-01 03:00:00  in 3 hours",
            "2030-01-02 03:00:00  in 27 hours",
        ]
        assert cli.json("job", "next", "a", "-n", "1")["fires"] == [
            {"at": "2030-01-01T03:00:00.000+00:00", "in_seconds": 10800.0}
        ]


class TestEdit:
    def test_it_changes_what_is_said_and_nothing_else(self, cli: Cli) -> None:
        flags = ("--http", "http://x/", "-X", "POST", "-H", "A: b", "--timeout", "5", "--desc", "what for")
        cli("job", "add", "a", *DAILY, *flags)
        before = cli.json("job", "show", "a")["job"]
        after = cli.json("job", "edit", "a", "--data", "hello", "--cron", "0 4 * * *")["job"]
        assert {name for name in after if after[name] != before[name]} == {
            "command",
            "cron_expr",
            "schedule",
            "next_fire",
        }
        assert after["command"] == "【url】http://x/\n【timeout】5\n【mode】POST\n【headers】A:b\n【data】hello"

    def test_an_empty_value_clears_a_tag(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x", "--workdir", "/srv", "--env", "A=1")
        assert cli.json("job", "edit", "a", "--workdir", "", "--env", "")["job"]["command"] == "x"

    def test_another_mode_keeps_timeout_and_attempts(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--http", "http://x/", "-H", "A: b", "--timeout", "5", "--retries", "1")
        job = cli.json("job", "edit", "a", "--command", "true")["job"]
        assert (job["mode"], job["command"]) == ("command", "【command】true\n【timeout】5\n【times】2")

    def test_another_trigger_replaces_the_first(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        for flags, schedule in (
            (("--every", "1h"), "every 1h"),
            (("--at", "2030-02-01"), "at 2030-02-01 00:00:00"),
            (("--manual",), "manual"),
            (DAILY, "0 3 * * *"),
        ):
            assert cli.json("job", "edit", "a", *flags)["job"]["schedule"] == schedule

    def test_a_new_name_is_checked_like_the_first(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        cli("job", "add", "b", *DAILY, "--command", "x")
        assert "exists already" in cli.error("job", "edit", "a", "--name", "b", code=6)
        assert cli("job", "edit", "a", "--name", "c").startswith("changed job 1 `c`\n")

    def test_a_dry_run_changes_nothing(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert cli("job", "edit", "a", "--every", "1h", "--dry-run").startswith(
            "would change job 1 `a`\n  2030-01-01 01:00"
        )
        assert cli.json("job", "show", "a")["job"]["schedule"] == "0 3 * * *"

    def test_a_refused_edit_changes_nothing(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        before = cli("job", "show", "a", "--json")
        cli.error("job", "edit", "a", "--desc", "new", "--cron", "61 * * * *", code=2)
        assert cli("job", "show", "a", "--json") == before

    def test_saying_nothing_says_so(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        done = cli.try_("job", "edit", "a")
        assert (done.exit_code, done.stderr) == (0, "nothing to change: no flag says anything\n")

    def test_a_copy_is_stopped(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x", "--timeout", "5")
        done = cli.try_("job", "copy", "a", "b")
        assert (done.stdout, done.stderr) == (
            "added job 2 `b`\n",
            "it is stopped; start it with `pyjobs job start b`\n",
        )
        assert cli.json("job", "show", "b")["job"]["command"] == cli.json("job", "show", "a")["job"]["command"]


class TestState:
    def test_stop_and_start_say_what_they_did(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        said = [
            cli.try_("job", *args).stderr
            for args in (("stop", "a"), ("stop", "a"), ("start", "a"), ("restart", "a"), ("resume",), ("stop-all",))
        ]
        assert said == [
            "stopped `a`\n",
            "`a` was stopped already\n",
            f"started `a`\nnext at 2030-01-01 03:00:00, in 3 hours\n{DOWN}",
            f"started `a`\nnext at 2030-01-01 03:00:00, in 3 hours\n{DOWN}",
            "it was not paused\n",
            "paused: nothing fires until `pyjobs job resume`\n",
        ]

    def test_quiet_says_nothing(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        done = cli.try_("-q", "job", "stop", "a")
        assert (done.exit_code, done.output) == (0, "")

    def test_several_jobs_are_all_found_before_one_is_stopped(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        cli.error("job", "stop", "a", "nobody", code=3)
        assert cli.json("job", "show", "a")["job"]["state"] == "waiting"

    def test_run_all_starts_what_is_not_stopped_and_resumes(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        cli("job", "add", "b", *DAILY, "--command", "x", "--stopped")
        cli("job", "stop-all")
        assert [job["name"] for job in cli.json("job", "run-all", "--dry-run")["jobs"]] == ["a"]
        done = cli.try_("job", "run-all", "--json")
        assert [run["job"] for run in json.loads(done.stdout)["runs"]] == ["a"]
        assert done.stderr == (
            "resumed: jobs fire again from now on\n"
            "warning: the daemon is not running: these wait until it does, `pyjobs daemon start`\n"
        )

    def test_check_finds_nothing_wrong(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        done = cli.try_("job", "check")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "every next fire is right\n")


class TestRemove:
    def test_it_shows_what_it_hits_and_needs_a_yes(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert cli.error("job", "remove", "a", code=2) == (
            "job 1 `a`, 0 active runs\n"
            "error: `--yes`: is needed where nobody can be asked\n\nhint: look first with `--dry-run`\n"
        )
        assert cli.try_("job", "remove", "a", "--dry-run").stderr == "job 1 `a`, 0 active runs\n"
        assert cli.json("list")["jobs"] != []
        assert cli.try_("job", "remove", "a", "--yes").stderr == "job 1 `a`, 0 active runs\nremoved `a`\n"
        assert cli.json("list") == {"jobs": []}

    def test_kill_of_nothing_is_a_conflict(self, cli: Cli) -> None:
        cli("job", "add", "a", *DAILY, "--command", "x")
        assert cli.error("job", "kill", "a", code=6).startswith("error: no run of `a` is active\n")
