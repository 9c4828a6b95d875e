"""The systemd unit: as systemd itself reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyjobs.unit import Unit, template

from .cli_kit import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home")


PROJECT = Path(__file__).parents[2]


def verify(path: Path, tmp_path: Path, *flags: str) -> str:
    """What `systemd-analyze verify` complains about; nothing when all is well."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("there is no `systemd-analyze`")
        pytest.skip("systemd-analyze is not here")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [program, *flags, "verify", str(path)], capture_output=True, text=True, check=False, timeout=60, env=env
    )
    return done.stdout + done.stderr + (f"exit {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("flags", [(), ("--user",)])
def test_systemd_has_nothing_to_say_about_the_unit(cli: Cli, tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = tmp_path / "pyjobs.service"
    path.write_text(cli("daemon", "install", "--print", *flags), encoding="utf-8")
    assert verify(path, tmp_path, *flags) == ""


def test_a_wrong_unit_is_complained_about(tmp_path: Path) -> None:
    path = tmp_path / "pyjobs.service"
    path.write_text("[Service]\nExecStart=/nowhere/pyjobs\nRestart=perhaps\n", encoding="utf-8")
    assert "perhaps" in verify(path, tmp_path)


def test_awkward_paths_are_read_back_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / 'a b %h "$HOME" \\'
    folder.mkdir()
    program = folder / "python"
    program.symlink_to(sys.executable)
    path = tmp_path / "pyjobs.service"
    path.write_text(Unit(home=folder, command=(str(program), "-m", "py$jobs"), drain_s=1).text(), encoding="utf-8")
    assert verify(path, tmp_path) == ""


def test_the_unit_fits_the_process_tree_and_the_settings(cli: Cli) -> None:
    lines = cli("daemon", "install", "--print", PYJOBS_DRAIN="100").splitlines()
    assert {
        "Type=notify", "NotifyAccess=all", "KillMode=process", "TimeoutStopSec=120", "Restart=on-failure",
        "OOMPolicy=continue", "WantedBy=multi-user.target",
    } <= set(lines)  # fmt: skip
    (start,) = (line for line in lines if line.startswith("ExecStart="))
    assert start.endswith(" daemon run")
    assert Path(start.partition("=")[2].split()[0]).parent == Path(sys.executable).parent


def test_the_template_is_made_by_the_same_code() -> None:
    found = (PROJECT / "scripts" / "pyjobs.service").read_text(encoding="utf-8")
    assert found == template(), "write what `pyjobs.unit.template()` answers into scripts/pyjobs.service"


def test_it_is_written_once_and_never_over_another_one(cli: Cli, tmp_path: Path) -> None:
    cli.env |= {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    unit = tmp_path / "config" / "systemd" / "user" / "pyjobs.service"
    said = cli.try_("daemon", "install", "--user")
    assert said.exit_code == 0, said.stderr
    assert f"wrote {unit}" in said.stderr
    assert "systemctl --user daemon-reload && systemctl --user enable --now pyjobs" in said.stderr
    assert unit.read_text() == cli("daemon", "install", "--user", "--print")
    assert cli.try_("daemon", "install", "--user").exit_code == 0  # the same one
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    refused = cli.error("daemon", "install", "--user", code=6)
    assert "hint: look at it, then add `--yes` to replace it" in refused
    assert "/bin/true" in unit.read_text()
    assert cli.try_("daemon", "install", "--user", "--yes").exit_code == 0
    assert "daemon run" in unit.read_text()
    assert [path.name for path in unit.parent.iterdir()] == ["pyjobs.service"]
