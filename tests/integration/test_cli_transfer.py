"""`pyjobs export` and `import` over a real store: what is written, what is taken, what is refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
from pathlib import Path

import pytest
from fakes import FakeClock

from .cli_kit import Cli

SECRETS = "it holds the commands as they are, secrets in them too\n"


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """A home at 2030-01-01 00:00:00 UTC with two jobs."""
    made = Cli(tmp_path / "home", clock)
    made("job", "add", "backup", "--cron", "0 3 * * *", "--command", "tar czf /b.tgz /home", "--desc", "a\nb")
    made("job", "add", "备份", "--every", "1h30m", "--http", "http://x/", "--header", "Authorization: canary-1")
    return made


@pytest.fixture
def other(tmp_path: Path, clock: FakeClock) -> Cli:
    """Another home, with nothing in it."""
    return Cli(tmp_path / "other", clock)


class TestRoundTrip:
    @pytest.mark.parametrize("end", ["json", "yaml", "toml", "csv"])
    def test_jobs_go_from_home_to_home(self, cli: Cli, other: Cli, tmp_path: Path, end: str) -> None:
        file = str(tmp_path / f"jobs.{end}")
        done = cli.try_("export", file)
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr == f"exported 2 jobs to {file}\n{SECRETS}"
        done = other.try_("import", file)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "imported: 2 added\n")
        assert other.json("job", "list") == cli.json("job", "list")

    def test_stdout_and_stdin(self, cli: Cli, other: Cli) -> None:
        text = cli("export", "-f", "yaml")
        assert "Authorization:canary-1" in text
        assert other.try_("import", "-", "-f", "yaml").exit_code == 2  # an empty stdin holds no jobs

    def test_the_groups_of_the_store_have_them_too(self, cli: Cli, other: Cli, tmp_path: Path) -> None:
        file = tmp_path / "jobs"
        file.write_text(cli("db", "export"), encoding="utf-8")
        other("db", "import", str(file), "--format", "json")
        assert json.loads(other("export", "jobs"))["jobs"][0]["name"] == "backup"

    def test_runs_come_along_where_they_are_asked_for(self, cli: Cli, other: Cli, tmp_path: Path) -> None:
        cli("job", "add", "echo", "--manual", "--command", "echo hello; exit 3")
        cli.try_("run", "echo")
        file = str(tmp_path / "all.json")
        assert "exported 3 jobs and 1 runs" in cli.try_("export", file, "--logs").stderr
        assert other.try_("import", file).stderr == "imported: 3 added, 1 run\n"
        assert other.json("runs", "list") == cli.json("runs", "list")
        assert "hello" in other("logs", "echo")
        assert "csv has no place for runs" in cli.error("export", "-f", "csv", "--logs", code=2)

    def test_the_file_is_for_its_owner_and_whole(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "jobs.json"
        file.write_text("old", encoding="utf-8")
        cli("export", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["jobs.json"]
        assert cli.error("export", str(tmp_path / "none" / "x.json"), code=1).startswith("error: ")

    def test_settings_and_tokens_are_not_in_it(self, cli: Cli) -> None:
        token = cli("api", "token", "add", "canary-name").strip()
        text = cli("export", "--logs", API_SECRET_KEY="canary-2-is-a-long-one", SMTP_PASSWORD="canary-3")
        assert [secret for secret in ("canary-name", token, "canary-2", "canary-3") if secret in text] == []
        assert "canary-1" in text


class TestImport:
    @pytest.fixture
    def file(self, cli: Cli, tmp_path: Path) -> str:
        path = str(tmp_path / "jobs.json")
        cli("export", path)
        return path

    def test_a_dry_run_says_what_it_would_do(self, cli: Cli, other: Cli, file: str) -> None:
        assert other("import", file, "--dry-run") == (
            "ROW  DOES  NAME    MODE     NEXT\n"
            "  1  add   backup  command  2030-01-01 03:00:00\n"
            "  2  add   备份    http     2030-01-01 01:30:00\n"
        )
        assert other.json("job", "list")["jobs"] == []
        done = cli.try_("import", file, "--on-conflict", "rename", "--dry-run", lang="zh")
        assert "backup → backup-2" in done.stdout
        assert done.stderr.splitlines()[-1] == "将导入：改名添加 2 个"

    def test_taken_names(self, cli: Cli, file: str) -> None:
        assert cli.error("import", file, code=6) == (
            "error: 2 names are taken, nothing was stored: `backup`, `备份`\n\n"
            "hint: say what to do with them: `--on-conflict skip`, `replace` or `rename`\n"
        )
        assert cli.try_("import", file, "--on-conflict", "skip").stderr == "imported: 2 left as they are\n"
        assert cli.try_("import", file, "--on-conflict", "replace").stderr == "imported: 2 replaced\n"
        document = cli.json("import", file, "--on-conflict", "rename")
        assert [row["name"] for row in document["rows"]] == ["backup-2", "备份-2"]
        assert (document["imported"], document["runs"]) == (True, 0)

    def test_bad_rows_are_named_and_nothing_is_stored(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "bad.csv"
        file.write_text("name,cron,mode,target\nok,* * * * *,command,true\nodd,99 * * * *,command,true\n")
        error = cli.error("import", str(file), code=2)
        assert error.startswith("error: 1 of 2 entries cannot be used, nothing was stored:\n  job 2 `odd`: cron_expr: ")
        assert "有 1 个无法使用" in cli.error("import", str(file), code=2, lang="zh")
        assert [job["name"] for job in cli.json("job", "list")["jobs"]] == ["backup", "备份"]

    def test_the_specifications_own_document(self, other: Cli, tmp_path: Path) -> None:
        file = tmp_path / "spec.json"
        job = {"id": 4, "name": "old", "cron": "0 0 * * *", "mode": "http", "target": "http://x/", "timeout": 30,
               "state": 0, "next_run_time": None, "created_at": "2025-01-01 00:00:00",
               "updated_at": "2025-01-01 00:00:00", "colour": 1}  # fmt: skip
        log = {"id": 1, "job_id": 4, "start_time": "2025-01-02 00:00:00", "end_time": "2025-01-02 00:00:01",
               "status": 1, "result": "", "error": "refused"}  # fmt: skip
        file.write_text(json.dumps({"export_time": "2025-01-03T00:00:00", "jobs": [job], "logs": [log]}))
        done = other.try_("import", str(file))
        assert done.stderr == ("warning: columns that nothing knows are left out: colour\nimported: 1 added, 1 run\n")
        found = other.json("job", "show", "old")["job"]
        assert (found["timeout_seconds"], found["created"]) == (30, "2025-01-01T00:00:00.000+00:00")
        assert other.json("runs", "list")["runs"][0]["reason"] == "refused"

    def test_what_its_own_script_exports_comes_in(self, cli: Cli, other: Cli, tmp_path: Path) -> None:
        """The script reads the file with `SELECT *`, whatever columns there are."""
        cli("job", "add", "once", "--at", "2031-01-01 00:00", "--func", "Echo")
        cli("job", "add", "echo", "--manual", "--command", "echo hello")
        cli("run", "echo")
        with contextlib.closing(sqlite3.connect(cli.home / "data" / "jobs.db")) as store:
            store.row_factory = sqlite3.Row
            jobs, logs = (
                [dict(row) for row in store.execute(f"SELECT * FROM {name}")] for name in ("jobs", "job_logs")
            )
        file = tmp_path / "script.json"
        file.write_text(json.dumps({"export_time": "2030-01-01T00:00:00", "jobs": jobs, "logs": logs}))
        assert other.try_("import", str(file)).stderr == "imported: 4 added, 1 run\n"
        assert other.json("job", "list") == cli.json("job", "list")
        assert other.json("runs", "list") == cli.json("runs", "list")

    def test_what_is_no_document_is_said(self, cli: Cli, tmp_path: Path) -> None:
        assert "there is no file" in cli.error("import", str(tmp_path / "none.json"), code=3)
        assert "cannot be read" in cli.error("import", str(tmp_path) + "/", "-f", "json", code=2)
        file = tmp_path / "crontab"
        file.write_bytes("* * * * * echo 备份\n".encode("gb18030"))
        assert "does not say what it is" in cli.error("import", str(file), code=2)
        assert f"`{file}:1`: the byte 0xb1 is no UTF-8" in cli.error("import", str(file), "-f", "json", code=2)
