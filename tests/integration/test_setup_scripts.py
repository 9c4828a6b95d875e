"""The set-up scripts: what they refuse, and in which words. (What they install comes from a network.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The script, with nobody to answer its question."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "setup_venv.py"), *words],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--venv-name", "../elsewhere"], 2, "is not the name of a folder in the project"),
        (["--venv-name", ".."], 2, "is not the name of a folder in the project"),
        (["--venv-name", "src"], 1, "is there and is no virtual environment"),
        (["--python-version", "2.9"], 1, "there is no `python2.9` here"),
        (["--requirements", "nowhere.txt"], 1, "there is no file `nowhere.txt`"),
        (["--install-test", "--test-requirements", "nowhere.txt"], 1, "there is no file `nowhere.txt`"),
        (["--unknown"], 2, "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(words: list[str], code: int, said: str) -> None:
    before = sorted(SCRIPTS.parent.iterdir())
    done = run(*words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert sorted(SCRIPTS.parent.iterdir()) == before


def test_all_options_of_the_specification_are_there() -> None:
    shown = run("--help").stdout
    for option in ("--venv-name", "--python-version", "--requirements", "--test-requirements", "--install-test",
                   "--test", "--force"):  # fmt: skip
        assert option in shown


def test_the_shell_s_name_for_it_passes_options_on() -> None:
    done = subprocess.run(
        ["sh", str(SCRIPTS / "setup_venv.sh"), "--venv-name", ".."], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is not the name of a folder" in done.stderr
