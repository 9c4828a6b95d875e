"""The command line as a whole: help, usage, settings, functions, cron, completion, and what it imports."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock

import pyjobs
from pyjobs.cli import chinese, completions
from pyjobs.cli.messages import MESSAGES
from pyjobs.cli.tree import ROOT, Branch, Entry
from pyjobs.functions.builtin import BUILT_IN

from .cli_kit import Cli

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """A home at 2030-01-01 00:00:00 UTC."""
    return Cli(tmp_path, clock)


def walk(branch: Branch, *path: str) -> Iterator[tuple[tuple[str, ...], Entry | Branch]]:
    """Every command and group below a branch."""
    for name, node in branch.entries.items():
        yield (*path, name), node
        if isinstance(node, Branch):
            yield from walk(node, *path, name)


COMMANDS = {path: node for path, node in walk(ROOT) if isinstance(node, Entry)}
GROUPS = {path: node for path, node in walk(ROOT) if isinstance(node, Branch)}


def process(home: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYJOBS_", "LC_"))}
    clean |= {"PYJOBS_HOME": str(home), "PYTHONPATH": str(PROJECT / "src"), "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, *args], env=clean | env, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


class TestHelp:
    @pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
    def test_every_command_has_help_and_two_examples_that_name_it(self, cli: Cli, path: tuple[str, ...]) -> None:
        help_text = cli(*path, "--help")
        described, _, listed = help_text.partition("\nExamples:\n")
        assert re.search(rf"^Usage: pyjobs {' '.join(path)}\b", described)
        assert len(described.splitlines()[2].strip()) > 10
        lines = listed.strip().splitlines()
        assert len(lines) >= 2
        assert any("pyjobs" in line and path[-1] in line for line in lines)

    @pytest.mark.parametrize("path", [(), *GROUPS], ids=" ".join)
    def test_every_group_lists_its_commands_in_both_languages(self, cli: Cli, path: tuple[str, ...]) -> None:
        node = GROUPS.get(path, ROOT)
        for lang in ("en", "zh"):
            out = cli("--lang", lang, *path, "--help")
            for name, entry in node.entries.items():
                hidden = isinstance(entry, Entry) and entry.hidden
                assert bool(re.search(rf"^  {name} +{re.escape(entry.help(lang))}", out, re.MULTILINE)) is not hidden

    def test_a_call_without_a_command_shows_the_help(self, cli: Cli) -> None:
        done = cli.try_()
        assert done.exit_code == 2
        assert done.stderr.startswith("Usage: pyjobs ")

    def test_every_key_that_the_code_uses_is_in_the_catalogue(self) -> None:
        used: set[str] = set()
        for path in (PROJECT / "src" / "pyjobs" / "cli").glob("*.py"):
            source = path.read_text(encoding="utf-8")
            used |= set(re.findall(r"(?:text|say|warn)\(\s*[\"']([a-z_]+(?:\.[a-z_]+)?)[\"']", source))
            used |= set(
                re.findall(r"\"((?:col|f|st|job|run|func|daemon|system|status|doc|apply|crontab)\.[a-z_]+)\"", source)
            )
        used.discard("daemon.lock")  # a file
        assert used - MESSAGES.keys() == set()
        dynamic = ("noun.", "p.", "list.")
        assert {key for key in MESSAGES.keys() - used if not key.startswith(dynamic)} == set()


class TestChinese:
    @pytest.mark.parametrize("path", [*COMMANDS, *GROUPS, ()], ids=" ".join)
    def test_every_flag_has_a_chinese_help(self, cli: Cli, path: tuple[str, ...]) -> None:
        out = cli("--lang", "zh", *path, "--help")
        assert out.startswith("用法：pyjobs")
        listed = re.sub(r"^(示例|命令):\n(  .*\n)*", "", out, flags=re.MULTILINE).partition("选项:\n")[2]
        helps = re.sub(r"^  (-.*?)(?:  +|$)", "", listed, flags=re.MULTILINE).splitlines()
        assert [line for line in helps if line.strip() and not re.search(r"[\u4e00-\u9fff]|^ +immediate", line)] == []
        assert not re.search(r"^(Usage|Options|Commands|Examples|Arguments)|default: |required", out, re.MULTILINE)

    def test_every_setting_and_every_built_in_function_has_a_chinese_meaning(self, cli: Cli) -> None:
        settings = {setting["name"] for setting in cli.json("config", "show")["settings"]}
        assert settings - chinese.SETTINGS.keys() == set()
        assert chinese.FUNCTIONS.keys() == BUILT_IN.keys()
        assert re.search(r"^Echo .* 重复输出参数。", cli("funcs", "list", lang="zh"), re.MULTILINE)

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("jbo",), "没有命令 `jbo`，是否想写 `job`？"),
            (("list", "--nmae"), "没有选项 `--nmae`，是否想写：--mode, --name, --state"),
            (("job", "show"), "缺少参数 `NAME`"),
            (("list", "--name"), "选项 `--name` 需要一个值"),
            (("job", "show", "a", "b"), "多余的参数：b"),
            (("logs", "a", "-n", "0"), "`-n` / `--runs` 的值无效：`0` 超出范围 1<=x<=10000"),
            (("logs", "a", "-n", "x"), "`-n` / `--runs` 的值无效：`x` 不是整数"),
            (
                ("runs", "list", "--source", "x"),
                "`--source` 的值无效：`x` 无效，可用：`cron`, `manual`, `catchup`, `retry`",
            ),
        ],
    )
    def test_the_parsers_errors_are_chinese(self, cli: Cli, args: tuple[str, ...], message: str) -> None:
        first = cli.error("--lang", "zh", *args, code=2).splitlines()[0]
        assert first == f"错误：{message}"


class TestUsage:
    def test_help_has_no_parsers_words(self, cli: Cli) -> None:
        for path in COMMANDS:
            usage, out = cli(*path, "--help").split("\n", 1)
            assert not re.search(r"[{}<>]", usage)
            assert "<int" not in out

    def test_an_unknown_command_suggests_one(self, cli: Cli) -> None:
        assert cli.error("jbo", code=2) == (
            "error: No such command 'jbo'. Did you mean 'job'?\n\nhint: see `pyjobs --help`\n"
        )
        assert cli.error("job", "lsit", code=2).startswith("error: No such command 'lsit'. Did you mean 'list'?\n")

    def test_a_global_flag_after_the_command_says_where_it_belongs(self, cli: Cli) -> None:
        assert cli.error("list", "--lang", "zh", code=2) == (
            "error: No such option: --lang\n\nhint: write `--lang` before the command: `pyjobs --lang … COMMAND`\n"
        )

    def test_a_wrong_global_flag_is_a_usage_error(self, cli: Cli) -> None:
        assert cli.error("--colour", "never", "list", code=2).startswith("error: No such option: --colour")

    def test_the_language_is_the_flag_then_the_setting_then_the_environment(self, cli: Cli) -> None:
        assert cli.error("job", "show", "x", code=3, LANG="zh_CN.UTF-8").startswith("错误：")
        assert cli.error("job", "show", "x", code=3, LANG="zh_CN.UTF-8", LC_ALL="en_US.UTF-8").startswith("error: ")
        (cli.home / "pyjobs.toml").write_text('lang = "zh"\n', encoding="utf-8")
        assert cli.error("job", "show", "x", code=3).startswith("错误：")
        assert cli.error("--lang", "en", "job", "show", "x", code=3).startswith("error: ")

    def test_colour_can_be_forced_and_forbidden(self, cli: Cli) -> None:
        assert "\x1b[31merror: " in cli.error("--color", "always", "job", "show", "x", code=3)
        assert "\x1b[" not in cli("--color", "never", "config", "path", terminal=True)

    def test_a_name_cannot_make_a_terminal_obey(self, cli: Cli) -> None:
        assert "\x1b" not in cli.error("job", "show", "\x1b[31m", code=3)

    def test_what_went_wrong_below_is_told_on_demand(self, cli: Cli) -> None:
        args = ("job", "add", "a", "--at", "nonsense", "--command", "x")
        assert "caused by ValueError" not in cli.error(*args, code=2)
        assert "caused by ValueError: " in cli.error("-v", *args, code=2)

    def test_a_defect_is_a_sentence_and_a_traceback_only_on_demand(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            msg = "boom"
            raise ZeroDivisionError(msg)

        monkeypatch.setattr("pyjobs.bootstrap.load_settings", broken)
        err = cli.error("config", "path", code=1)
        assert err.startswith("error: internal error: ZeroDivisionError: boom\n")
        assert "Traceback" not in err
        assert "Traceback" in cli.error("-v", "config", "path", code=1)


class TestSettings:
    def test_a_wrong_variable_is_named_and_check_finds_it(self, cli: Cli) -> None:
        message = "error: PYJOBS_PORT: `abc` is not usable for `port`"
        assert cli.error("list", code=2, PYJOBS_PORT="abc").startswith(message)
        assert cli.error("config", "check", code=8, PYJOBS_PORT="abc").startswith(message)
        fine = f"the settings of {cli.home} are fine\n"
        assert cli.try_("config", "check").stderr == (
            f"there is no `{cli.home / 'pyjobs.toml'}`: settings come from the environment and the defaults\n{fine}"
        )
        (cli.home / "pyjobs.toml").write_text("", encoding="utf-8")
        assert cli.try_("config", "check").stderr == fine

    def test_check_names_variables_that_are_no_settings(self, cli: Cli) -> None:
        assert cli.error("config", "check", code=8, PYJOBS_PROT="1", PYJOBS_ZZZZZZ="1").splitlines()[1:] == [
            "warning: PYJOBS_PROT is no variable of pyjobs; did you mean PYJOBS_PORT?",
            "warning: PYJOBS_ZZZZZZ is no variable of pyjobs",
        ]
        secret = cli.home / "secret"
        secret.write_text("x", encoding="utf-8")
        done = cli.try_("config", "check", PYJOBS_HOME=str(cli.home), PYJOBS_SMTP_PASSWORD_FILE=str(secret))
        assert done.exit_code == 0

    def test_sizes_and_meanings_are_for_people(self, cli: Cli) -> None:
        assert re.search(r"^run_output_bytes +64 KiB +head and tail", cli("config", "show"), re.MULTILINE)
        assert re.search(r"^run_output_bytes +1500B ", cli("config", "show", RUN_OUTPUT_BYTES="1500"), re.MULTILINE)
        assert re.search(r"^drain +25s +停止时等待", cli("config", "show", lang="zh"), re.MULTILINE)

    def test_origins_are_told_and_secrets_are_masked(self, cli: Cli) -> None:
        (cli.home / "pyjobs.toml").write_text('drain = "1m"\nsmtp_password = "hunter2"\n', encoding="utf-8")
        settings = {s["name"]: s for s in cli.json("config", "show", "--origin")["settings"]}
        assert (settings["drain"]["value"], settings["drain"]["origin"]) == (60, str(cli.home / "pyjobs.toml"))
        assert (settings["timezone"]["value"], settings["timezone"]["origin"]) == ("UTC", "PYJOBS_TIMEZONE")
        assert settings["port"]["origin"] == "default"
        assert settings["smtp_password"]["value"] == "***"
        assert "hunter2" not in cli("config", "show", "--origin")

    def test_paths_are_those_of_the_home(self, cli: Cli, tmp_path: Path) -> None:
        other = tmp_path / "other"
        assert cli.json("--home", str(other), "config", "path")["database"] == str(other / "data" / "jobs.db")

    def test_a_home_that_cannot_be_is_refused(self, cli: Cli) -> None:
        (cli.home / "file").write_text("", encoding="utf-8")
        home = str(cli.home / "file" / "home")
        add = ("job", "add", "a", "--manual", "--command", "x")
        for args, code in ((add, 4), (("funcs", "list"), 1), (("daemon", "start"), 4)):
            err = cli.error("--home", home, *args, code=code)
            assert err.startswith(f"error: `{cli.home}/file")

    def test_commands_that_look_make_no_home(self, cli: Cli) -> None:
        home = cli.home / "mistyped"
        at = ("--home", str(home))
        done = cli.try_(*at, "list")
        assert (done.exit_code, done.stderr) == (
            0,
            f"there is nothing at `{home}` yet: `pyjobs job add` makes a home there\n",
        )
        assert cli(*at, "list", "-o", "name") == cli(*at, "runs", "list", "-o", "name") == ""
        status = cli.try_(*at, "status")
        assert (status.exit_code, status.stdout.splitlines()[-1]) == (3, done.stderr.strip())
        gone = f"error: there is nothing at `{home}` yet\n\nhint: check `--home` and PYJOBS_HOME;"
        for args in (("run", "a"), ("logs", "a"), ("job", "show", "a"), ("job", "kill", "a"), ("runs", "show", "x")):
            assert cli.error(*at, *args, code=3).startswith(gone)
        assert not home.exists()

    def test_a_store_that_is_none_is_refused_and_left_alone(self, cli: Cli) -> None:
        path = cli.home / "data" / "jobs.db"
        path.parent.mkdir()
        path.write_text("not a database, whatever its name says", encoding="utf-8")
        assert cli.error("list", code=5).startswith(f"error: `{path}` is not ")
        assert path.read_text(encoding="utf-8").startswith("not a database")


class TestFunctions:
    def test_user_functions_are_listed_with_the_built_in_ones(self, cli: Cli) -> None:
        folder = cli.home / "functions"
        folder.mkdir()
        (folder / "mine.py").write_text(
            'def greet(name: str) -> str:\n    """Say hello."""\n    return f"hello {name}"\n'
        )
        (folder / "broken.py").write_text("def f(:\n")
        done = cli.try_("funcs", "list", "--json")
        functions = {f["name"]: f for f in json.loads(done.stdout)["functions"]}
        assert (functions["greet"]["description"], functions["Echo"]["origin"]) == ("Say hello.", "built-in")
        assert re.match(r"warning: `.*broken\.py` is not used: ", done.stderr)
        assert cli("funcs", "call", "greet", "you") == "hello you"
        assert cli("funcs", "show", "greet").startswith("NAME         greet\nARGUMENTS    (name: str) -> str\n")
        assert "broken.py" in next(iter(cli.json("funcs", "reload")["refused"]))

    def test_a_call_that_fails_says_why(self, cli: Cli) -> None:
        assert "error: `SMS` failed: " in cli.try_("funcs", "call", "SMS").stderr
        assert cli.error("funcs", "call", "Ecko", code=3).endswith("hint: did you mean `Echo`?\n")

    def test_a_call_that_takes_too_long_is_ended(self, cli: Cli) -> None:
        folder = cli.home / "functions"
        folder.mkdir()
        (folder / "slow.py").write_text("import time\n\n\ndef slow() -> None:\n    time.sleep(60)\n")
        assert (
            cli.error("funcs", "call", "slow", "--timeout", "300ms", code=7) == "error: `slow` was ended after 0.3 s\n"
        )


class TestCron:
    def test_an_expression_is_explained_in_both_languages(self, cli: Cli) -> None:
        done = cli.try_("cron", "explain", "0 9 * * MON-FRI")
        assert done.stdout.splitlines()[:2] == ["At 09:00, Monday through Friday", "  2030-01-01 09:00:00  in 9 hours"]
        assert done.stderr == "times in UTC\n"
        assert cli("cron", "explain", "0 9 * * MON-FRI", lang="zh").splitlines()[0] == "在 09:00，星期一到星期五"

    def test_the_next_instants_are_in_the_zone_that_was_named(self, cli: Cli) -> None:
        args = ("cron", "next", "0 9 * * *", "-n", "1")
        assert cli(*args, "--timezone", "Asia/Tokyo") == "2030-01-02 09:00:00  in 24 hours\n"
        assert cli.json(*args, "--after", "2031-05-05")["fires"][0]["at"] == "2031-05-05T09:00:00.000+00:00"
        in_text = cli.json("cron", "next", "TZ=Asia/Tokyo 0 9 * * *", "-n", "1")
        assert (in_text["timezone"], in_text["fires"][0]["at"]) == ("Asia/Tokyo", "2030-01-02T09:00:00.000+09:00")

    def test_it_needs_no_store(self, cli: Cli) -> None:
        cli("cron", "next", "@daily")
        assert list(cli.home.iterdir()) == []

    def test_a_wrong_one_is_named(self, cli: Cli) -> None:
        assert "minute field: `61`" in cli.error("cron", "explain", "61 * * * *", code=2)
        assert "Mars/Base" in cli.error("cron", "next", "@daily", "--timezone", "Mars/Base", code=2)


class TestDaemon:
    def test_without_one_each_command_says_so(self, cli: Cli) -> None:
        gone = "error: the daemon is not running\n\nhint: start it with `pyjobs daemon start`\n"
        for args in (("daemon", "stop"), ("daemon", "reload"), ("stop",), ("stop", "-f")):
            assert cli.error(*args, code=3) == gone
        assert cli.error("daemon", "stop", code=3, lang="zh") == (
            "错误：守护进程未运行\n\n提示：用 `pyjobs daemon start` 启动\n"
        )
        done = cli.try_("daemon", "status")
        assert (done.exit_code, done.stdout) == (3, "DAEMON  not running\n")

    def test_its_log_is_shown_from_the_end(self, cli: Cli) -> None:
        assert cli.error("daemon", "logs", code=3).startswith("error: there is no log yet at ")
        path = cli.home / "logs" / "pyjobs.log"
        path.parent.mkdir()
        path.write_text("".join(f"line {n}\n" for n in range(9)) + "\x1b[31m\n", encoding="utf-8")
        assert cli("daemon", "logs", "-n", "2", terminal=True) == "line 8\n\\x1b[31m\n"


class TestCompletion:
    @staticmethod
    def complete(home: Path, *words: str) -> list[str]:
        done = process(
            home, "-m", "pyjobs",
            _PYJOBS_COMPLETE="complete_bash", COMP_WORDS="\n".join(("pyjobs", *words)), COMP_CWORD=str(len(words)),
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    def test_names_of_jobs_come_from_the_store(self, cli: Cli) -> None:
        for name in ("backup", "备份", "ping"):
            cli("job", "add", name, "--manual", "--command", "x")
        assert self.complete(cli.home, "job", "show", "b") == ["backup"]
        assert self.complete(cli.home, "logs", "备") == ["备份"]
        assert self.complete(cli.home, "runs", "list", "--job", "p") == ["ping"]
        assert self.complete(cli.home, "job", "st") == ["stop", "start", "stop-all"]
        assert self.complete(cli.home, "runs", "list", "--state", "mi") == ["missed"]
        assert self.complete(cli.home, "re") == []

    def test_runs_functions_and_zones_are_completed(self, cli: Cli) -> None:
        assert self.complete(cli.home, "job", "add", "x", "--func", "E") == ["Echo", "Email"]
        assert list(cli.home.iterdir()) == []
        cli("job", "add", "a", "--manual", "--command", "true")
        cli("job", "run-all")
        exec_id = cli("runs", "list", "-o", "name").strip()
        assert self.complete(cli.home, "runs", "show", exec_id[:2]) == [exec_id]
        assert self.complete(cli.home, "runs", "wait", "zz") == []
        assert self.complete(cli.home, "job", "add", "x", "--func", "E") == ["Echo", "Email"]
        assert self.complete(cli.home, "cron", "next", "--timezone", "Europe/Berl") == ["Europe/Berlin"]

    def test_zsh_shows_an_apostrophe(self, tmp_path: Path) -> None:
        zsh = shutil.which("zsh")
        if zsh is None:
            pytest.skip("zsh is not here")
        done = process(tmp_path, "-m", "pyjobs", _PYJOBS_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="pyjobs runs f")
        shown = subprocess.run(
            [zsh, "-f", "-c", f"_arguments() {{ print -r -- $1 }}; eval $(print -r -- {shlex.quote(done.stdout)})"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert shown.stdout == '*: :(("follow":"Show a run\'s output as it comes"))\n'

    def test_it_is_silent_where_there_is_no_store_and_makes_none(self, cli: Cli) -> None:
        assert self.complete(cli.home, "job", "show", "b") == []
        (cli.home / "pyjobs.toml").write_text("nonsense", encoding="utf-8")
        assert self.complete(cli.home, "job", "show", "b") == []
        assert [path.name for path in cli.home.iterdir()] == ["pyjobs.toml"]

    def test_the_scripts_in_the_project_are_the_generated_ones(self, tmp_path: Path) -> None:
        assert completions.main(["--check", str(PROJECT / "completions")]) == 0
        assert completions.main(["--check", str(tmp_path)]) == 1
        assert completions.main([str(tmp_path)]) == 0
        assert completions.main(["--check", str(tmp_path)]) == 0

    @pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
    def test_a_script_is_one_that_its_shell_takes(self, cli: Cli, shell: str, check: str, tmp_path: Path) -> None:
        path = tmp_path / "script"
        path.write_text(cli("completion", shell), encoding="utf-8")
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not here")
        assert subprocess.run([shell, check, str(path)], check=False, capture_output=True).returncode == 0


class TestProcess:
    def test_the_version_imports_next_to_nothing(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.argv[1:] = ['--version']\n"
            "from pyjobs.__main__ import main\nmain()\nprint(len(sys.modules))"
        )
        bare = process(tmp_path, "-c", "import sys; print(len(sys.modules))")
        done = process(tmp_path, "-c", code)
        version, modules = done.stdout.splitlines()
        assert version == f"pyjobs {pyjobs.__version__}"
        assert int(modules) - int(bare.stdout) <= 3

    @pytest.mark.parametrize("args", [("--help",), ("job", "list"), ("runs", "list"), ("job", "add", "--help")])
    def test_no_command_imports_what_it_does_not_use(self, tmp_path: Path, args: tuple[str, ...]) -> None:
        code = (
            f"import atexit, sys; sys.argv[1:] = {list(args)!r}\n"
            "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
            "from pyjobs.__main__ import main\nmain()"
        )
        done = process(tmp_path, "-c", code)
        assert done.returncode == 0, done.stderr
        loaded = set(done.stderr.split())
        assert "typer" in loaded
        heavy = {
            "requests",
            "bottle",
            "pydantic",
            "rich",
            "humanize",
            "psutil",
            "schedule",
            "yaml",
            "watchfiles",
            "ctypes",
        }
        assert loaded & heavy == set()
        if "--help" in args:
            assert loaded & {"peewee", "sqlite3"} == set()

    def test_a_shell_gets_the_exit_code(self, tmp_path: Path) -> None:
        assert process(tmp_path, "-m", "pyjobs", "job", "show", "x").returncode == 3

    def test_the_specifications_name_works_from_anywhere(self, tmp_path: Path) -> None:
        done = process(tmp_path, str(PROJECT / "cli.py"), "status", PYTHONPATH="")
        assert (done.returncode, done.stdout.splitlines()[0]) == (3, "DAEMON  not running")

    def test_characters_that_the_terminal_lacks_are_written_out(self, tmp_path: Path) -> None:
        done = process(
            tmp_path, "-m", "pyjobs", "job", "add", "备份", "--manual", "--command", "x", PYTHONIOENCODING="ascii"
        )
        assert (done.returncode, done.stdout) == (0, "added job 1 `\\u5907\\u4efd`\n")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_that_the_shell_closed_is_no_error(tmp_path: Path, closed: str) -> None:
    redirect = {"stdout": ">&-", "stderr": "2>&-"}[closed]
    env = {**os.environ, "PYJOBS_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m pyjobs job list {redirect}', sys.executable],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr


def test_a_lock_that_is_no_file_is_no_daemon_and_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "home" / "run").mkdir(parents=True)
    os.mkfifo(tmp_path / "home" / "run" / "daemon.lock")
    env = {**os.environ, "PYJOBS_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "pyjobs", "status"], env=env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 3


@pytest.mark.parametrize("at", ["9999-12-31 23:59:59", "0001-01-01T00:00:00+08:00"])
def test_an_instant_that_no_zone_can_show_is_refused(tmp_path: Path, at: str) -> None:
    env = {**os.environ, "PYJOBS_HOME": str(tmp_path / "home")}
    argv = [sys.executable, "-m", "pyjobs", "job", "add", "x", "--at", at, "--timezone", "America/New_York"]
    done = subprocess.run(
        [*argv, "--command", "true"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "1970" in done.stderr
