"""`pyjobs import crontab`, `export crontab` and `export systemd`: real files, systemd's own tools."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from fakes import NOW_MS, FakeClock, a_job

from pyjobs.clock import UTC, from_ms
from pyjobs.interchange.cronlines import CannotSay
from pyjobs.interchange.crontab import crontab_lines
from pyjobs.interchange.units import units_of
from pyjobs.jobs import TriggerType
from pyjobs.triggers import trigger_of

from .cli_kit import Cli

TAB = """\
MAILTO=ops@example.org
# nightly
0 3 * * * /opt/backup.sh --all
@reboot /usr/bin/foo
"""


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """A home at 2030-01-01 00:00:00 UTC."""
    return Cli(tmp_path / "home", clock)


@pytest.fixture
def tab(tmp_path: Path) -> Path:
    path = tmp_path / "tab"
    path.write_text(TAB, encoding="utf-8")
    return path


def systemd_analyze(*args: str) -> str:
    if shutil.which("systemd-analyze") is None:
        reason = "systemd-analyze is not installed (Debian package systemd)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestImport:
    def test_each_line_has_a_verdict(self, cli: Cli, tab: Path) -> None:
        done = cli.try_("import", "crontab", str(tab))
        assert (done.exit_code, done.stderr) == (0, "times in UTC\nimported: 2 added\n")
        lines = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines()]
        assert lines == [
            ["LINE", "DOES", "NAME", "SCHEDULE", "NEXT", "COMMAND", "DIFFERS"],
            ["3", "add", "backup.sh", "0 3 * * *", "2030-01-01 03:00:00", "/opt/backup.sh --all",
             "output is kept, not mailed to ops@example.org"],
            ["4", "add", "foo", "/usr/bin/foo",
             "by hand only: nothing starts it at boot; output is kept, not mailed to ops@example.org"],
        ]  # fmt: skip
        assert cli.json("job", "show", "backup.sh")["job"]["desc"] == "nightly"
        assert cli.try_("import", "crontab", str(tab), lang="zh").stderr.endswith("已导入：保持不变 2 个\n")

    def test_a_check_stores_nothing_and_fails_for_what_can_be_no_job(self, cli: Cli, tab: Path) -> None:
        cli("import", "crontab", str(tab), "--check")
        tab.write_text(TAB + "99 * * * * x\n", encoding="utf-8")
        done = cli.try_("import", "crontab", str(tab), "--check")
        assert (done.exit_code, done.stderr) == (8, "times in UTC\nwould import: 2 added, 1 that can be no job\n")
        assert "minute field: `99` is out of range" in done.stdout
        assert cli.try_("import", "crontab", str(tab), "--dry-run").exit_code == 0
        error = cli.error("import", "crontab", str(tab), code=2)
        assert error.startswith("error: 1 of 3 entries cannot be used, nothing was stored:\n  line 5: cron_expr: ")
        assert cli.json("job", "list")["jobs"] == []

    def test_a_system_crontab_names_users(self, cli: Cli, tab: Path) -> None:
        tab.write_text("0 3 * * * nobody-known /bin/x\n")
        document = cli.json("import", "crontab", str(tab), "--system", "--check") if os.getuid() == 0 else None
        if document is not None:
            assert document["lines"][0]["user"] == "nobody-known"
            assert document["lines"][0]["differences"] == ["user"]
        assert cli.json("import", "crontab", str(tab), "--check")["lines"][0]["command"] == "nobody-known /bin/x"

    def test_ones_own_is_asked_of_crontab(self, cli: Cli, tmp_path: Path) -> None:
        program = tmp_path / "bin" / "crontab"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n[ $1 = -l ] && echo '0 3 * * * /opt/mine'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        path = f"{program.parent}:/bin:/usr/bin"
        cli("import", "crontab", "--user", PATH=path)
        assert cli.json("job", "show", "mine")["job"]["cron_expr"] == "0 3 * * *"
        program.write_text("#!/bin/sh\necho no crontab for you >&2\nexit 1\n")
        assert "no crontab for you" in cli.error("import", "crontab", "--user", code=1, PATH=path)
        assert "no program `crontab`" in cli.error("import", "crontab", "--user", code=3, PATH=str(tmp_path))

    def test_what_is_refused(self, cli: Cli, tab: Path) -> None:
        assert "not both" in cli.error("import", "crontab", code=2)
        assert "not both" in cli.error("import", "crontab", str(tab), "--user", code=2)
        tab.write_bytes(b"# ok\n0 3 * * * echo " + "备份".encode("gb18030"))
        assert f"`{tab}:2`: the byte 0xb1 is no UTF-8" in cli.error("import", "crontab", str(tab), code=2)


class TestExport:
    @pytest.fixture
    def full(self, cli: Cli, tab: Path) -> Cli:
        cli("import", "crontab", str(tab))
        cli("job", "add", "备份", "--cron", "30 2 1,15 * MON-FRI", "--timezone", "Asia/Shanghai", "--command",
            "echo \"$HOME\" 50% \\; 'x'\nsecond", "--env", 'A=b c"%$', "--desc", "100% sure")  # fmt: skip
        cli("job", "add", "ping", "--every", "1m", "--http", "http://x/")
        cli("job", "add", "tick", "--every", "90s", "--command", "date", "--retries", "1")
        cli("job", "add", "once", "--at", "2031-02-03 04:05", "--command", "date")
        return cli

    def test_a_crontab_can_be_read_again(self, full: Cli, tmp_path: Path, clock: FakeClock) -> None:
        file = tmp_path / "out"
        full("export", "crontab", str(file))
        text = file.read_text(encoding="utf-8")
        for reason in ("at(1)", "started by hand", "no period of 90 s", "no command, but http"):
            assert re.search(rf"^# left out: .*{re.escape(reason)}", text, re.MULTILINE)
        other = Cli(tmp_path / "other", clock)
        rows = other.json("import", "crontab", str(file))["lines"]
        assert [(row["cron_expr"], row["timezone"]) for row in rows] == [
            ("0 3 * * *", "UTC"), ("30 2 1,15 * 1-5", "Asia/Shanghai"),
        ]  # fmt: skip
        assert full("export", "crontab") == text

    def test_a_line_does_what_its_job_does(self, cli: Cli, tmp_path: Path) -> None:
        text = "printf '%s|' \"$A\" \\\\ 'it'\\''s' \"$PWD\"\n# 备份\necho end; exit 3"
        flags = ("--env", "A=b 'c' %", "--workdir", str(tmp_path))
        cli("job", "add", "odd", "--cron", "* * * * *", "--command", text, *flags)
        ours = cli.try_("run", "odd")
        file = tmp_path / "out"
        cli("export", "crontab", str(file))
        line = crontab_lines(file.read_text(encoding="utf-8"), system=False, me="x")[0]
        done = subprocess.run(["bash", "-c", line.command], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == (ours.stdout, ours.exit_code)
        assert done.stdout == f"b 'c' %|\\|it's|{tmp_path}|end\n"

    def test_systemd_takes_the_units(self, full: Cli, tmp_path: Path) -> None:
        folder = tmp_path / "units"
        done = full.try_("export", "systemd", "--output", str(folder))
        assert "warning: `ping` is left out: it is no command, but http" in done.stderr
        assert "warning: `tick`: not kept: 1 retries" in done.stderr
        assert "warning: `foo`: it is only started by hand: there is no timer" in done.stderr
        names = sorted(path.name for path in folder.iterdir())
        assert names == [
            "pyjobs-backup.sh.service", "pyjobs-backup.sh.timer", "pyjobs-foo.service", "pyjobs-job-3.service",
            "pyjobs-job-3.timer", "pyjobs-once.service", "pyjobs-once.timer", "pyjobs-tick.service",
            "pyjobs-tick.timer",
        ]  # fmt: skip
        assert f"wrote {len(names)} units to {folder}" in done.stderr
        service = (folder / "pyjobs-job-3.service").read_text(encoding="utf-8")
        assert r'''ExecStart=/bin/bash -c "echo \"$$HOME\" 50%% \\; 'x'\nsecond"''' in service
        assert r'''Environment="A=b c\"%%$"''' in service
        assert "Description=100%% sure" in service
        assert full("export", "systemd").startswith("# pyjobs-backup.sh.service\n[Unit]\n")
        systemd_analyze("verify", *(str(path) for path in folder.iterdir()))

    @pytest.mark.parametrize(
        "expr",
        ["*/5 * * * *", "0 9 * * MON-FRI", "0 0 1,15 * *", "30 6 * * 0", "0 12 */10 * *", "15 3 1 * FRI", "0 0 L * *",
         "0-23 5 * * *", "10 5 * * * *", "0 0 29 2 *", "@weekly", "1 2 */2 * 7", "0 8 1-7 3,6 *"],
    )  # fmt: skip
    def test_its_calendar_is_ours(self, expr: str, tmp_path: Path) -> None:
        job = a_job(trigger_type=TriggerType.CRON, cron_expr=expr)
        files = units_of(job, "UTC", tmp_path, 0).files
        moments = re.findall(r"^OnCalendar=(.*)$", files["pyjobs-job.timer"], re.MULTILINE)
        theirs: set[int] = set()
        for moment in moments:
            out = systemd_analyze("calendar", f"--base-time=@{NOW_MS // 1000}", "--iterations=6", moment)
            found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", out)
            theirs |= {int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) for text in found}
        ours: list[int] = []
        trigger, at = trigger_of(job, "UTC"), NOW_MS
        while len(ours) < 6:
            fire = trigger.next_after(at)
            assert fire is not None
            at = fire
            ours.append(fire)
        assert [str(from_ms(ms)) for ms in sorted(theirs)[:6]] == [str(from_ms(ms)) for ms in ours]

    @pytest.mark.parametrize("expr", ["0 0 15W * *", "0 0 * * 5L", "0 0 * * 1#2", "0 0 LW * *"])
    def test_what_it_cannot_say(self, expr: str, tmp_path: Path) -> None:
        with pytest.raises(CannotSay, match="systemd has no"):
            units_of(a_job(trigger_type=TriggerType.CRON, cron_expr=expr), "UTC", tmp_path, 0)
