"""The soak in short: random faults against a load, and zeros afterwards; the long form is `nox -s soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from acceptance.conftest import Home
from acceptance.faults.checker import Report
from acceptance.faults.soak import Sample, Soak, conclude

_SOAK = Path(__file__).with_name("soak.py")


def test_random_faults_double_nothing_lose_nothing_and_leave_nothing() -> None:
    argv = [sys.executable, str(_SOAK), "--minutes", "0.2"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=110, env=_environment())
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}


def _watched(home: Home, **last: int) -> Soak:
    soak = Soak(home, seed=1)
    soak.watch.samples = [Sample(float(second), 7, 30_000, 20) for second in range(90)]
    soak.watch.samples[60:] = [sample._replace(**last) for sample in soak.watch.samples[60:]]
    return soak


def test_all_zeros_are_exit_status_0(home: Home) -> None:
    assert conclude(_watched(home), Report(instants=9, launched=9), [], []) == 0


@pytest.mark.parametrize("word", ["double", "missing", "lost", "wrong", "late", "unrecorded"])
def test_what_is_no_zero_is_said_and_the_exit_status_is_1(
    home: Home, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(instants=9, launched=9)
    getattr(report, word).append("the fire of a test")
    assert conclude(_watched(home), report, [], []) == 1
    assert f"{word}: the fire of a test" in capsys.readouterr().out


@pytest.mark.parametrize("last", [{"pss_kib": 40_000}, {"descriptors": 21}, {"pid": 8}], ids=str)
def test_a_runner_that_grows_or_changes_while_it_is_watched_is_exit_status_1(home: Home, last: dict[str, int]) -> None:
    assert conclude(_watched(home, **last), Report(instants=9, launched=9), [], []) == 1


def test_strays_no_load_and_other_problems_are_exit_status_1(home: Home) -> None:
    assert conclude(_watched(home), Report(instants=9, launched=9), ["stray: sleep"], []) == 1
    assert conclude(_watched(home), Report(instants=9, launched=9), [], ["the store is damaged"]) == 1
    assert conclude(_watched(home), Report(), [], []) == 1
