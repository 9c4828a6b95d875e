"""The checker finds what is planted, each under its word, and nothing where nothing is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from acceptance.faults.checker import Expected, Report, Row, check, every
from acceptance.faults.ledger import Ledger, Line

_START = 1_700_000_000_000


def _row(number: int) -> Row:
    ms = _START + number * 1000
    return Row(f"run{number}", 1, "success", "cron", ms, None, 1, ms + 3, 0, 100 + number)


def _line(number: int) -> Line:
    ms = _START + number * 1000
    return Line(f"run{number}", 1, ms, ms + 9, 100 + number)


Rows: TypeAlias = list[Row]
Lines: TypeAlias = list[Line]


def _checked(plant: Callable[[Rows, Lines], object] = lambda *_: None, **expected: object) -> Report:
    rows, lines = [_row(n) for n in range(10)], [_line(n) for n in range(10)]
    # A range of three that nobody was there for.
    rows[3:6] = [_row(5)._replace(state="missed", first_ms=_row(3).scheduled_ms, fires=3, started_ms=None, pid=None)]
    del lines[3:6]
    plant(rows, lines)
    jobs = {1: Expected(due=every(1), **expected)}  # type: ignore[arg-type]
    return check(rows, lines, jobs, _START, _START + 9000)


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    report = _checked()
    assert report.problems() == []
    assert (report.launched, report.instants) == (7, 10)


def _again(row: Row) -> Row:
    return row._replace(exec_id="other")


PLANTED: dict[str, tuple[str, Callable[[Rows, Lines], object]]] = {
    "a run launched twice": ("double", lambda _, lines: lines.append(lines[0])),
    "a fire launched twice": ("double", lambda _, lines: lines.append(lines[0]._replace(exec_id="run1"))),
    "a fire with two rows": ("double", lambda rows, _: rows.append(_again(rows[0]))),
    "a fire that ran and is missed too": ("double", lambda rows, _: rows.append(_row(4))),
    "a fire without a row": ("missing", lambda rows, lines: (rows.pop(1), lines.pop(1))),
    "a range that says too few": ("wrong", lambda rows, _: rows.append(rows.pop(3)._replace(fires=2))),
    "a last fire without a row": ("missing", lambda rows, lines: (rows.pop(), lines.pop())),
    "a launch without a row": ("unrecorded", lambda rows, _: rows.pop(1)),
    "a run that never ended": ("lost", lambda rows, _: rows.append(rows.pop()._replace(state="running"))),
    "an end that was lost": ("lost", lambda rows, _: rows.append(rows.pop()._replace(state="lost"))),
    "a failure that was a success": ("wrong", lambda rows, _: rows.append(rows.pop()._replace(state="failed"))),
    "another exit status": ("wrong", lambda rows, _: rows.append(rows.pop()._replace(exit_code=7))),
    "a success that never started": ("wrong", lambda _, lines: lines.pop()),
    "skipped, and launched": (
        "wrong",
        lambda rows, _: rows.append(rows.pop()._replace(state="missed", started_ms=None)),
    ),
    "told another instant": ("wrong", lambda _, lines: lines.append(lines.pop()._replace(scheduled_ms=None))),
    "late": ("late", lambda _, lines: _move(lines, 99_000)),
    "before its instant": ("late", lambda _, lines: _move(lines, 0)),
}


def _move(lines: Lines, by_ms: int) -> Line:
    moved = lines.pop()._replace(start_ms=_START + by_ms)
    lines.append(moved)
    return moved


@pytest.mark.parametrize("planted", PLANTED)
def test_it_finds_what_is_planted(planted: str) -> None:
    word, plant = PLANTED[planted]
    report = _checked(plant)
    assert getattr(report, word), report.problems()


def test_an_instant_beside_the_rule_is_wrong() -> None:
    rows = [_row(0), _row(1)]
    report = check(rows, [_line(0), _line(1)], {1: Expected(due=every(2))}, _START, _START + 1000)
    assert [p.split(":")[0] for p in report.problems()] == ["wrong"]


def test_what_died_before_it_was_known_to_be_launched_is_counted_apart() -> None:
    def die(rows: Rows, lines: Lines) -> None:
        rows.append(rows.pop()._replace(state="lost", pid=None))
        lines.pop()

    report = _checked(die)
    assert (report.problems(), report.lost_at_launch) == ([], 1)


def test_what_cannot_outlive_the_runner_may_be_lost() -> None:
    report = _checked(lambda rows, _: rows.append(rows.pop()._replace(state="lost")), dies_with_runner=True)
    assert report.problems() == []


def test_the_command_writes_what_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "with blank")
    env = {"PYJOBS_RUN_ID": "abc", "PYJOBS_JOB_ID": "7", "PYJOBS_SCHEDULED_FOR": "2023-11-14T22:13:20Z"}
    for due in (env["PYJOBS_SCHEDULED_FOR"], ""):
        done = subprocess.run(
            ["bash", "-c", ledger.command("exit 3")], env={**env, "PYJOBS_SCHEDULED_FOR": due}, check=False
        )
        assert done.returncode == 3
    first, second = ledger.lines()
    assert first[:3] == ("abc", 7, _START)
    assert second.scheduled_ms is None
    assert first.start_ms <= second.start_ms
    assert first.start_ms > _START


def test_a_torn_line_is_an_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.path.write_text("abc 7 - 12")
    with pytest.raises(ValueError):
        ledger.lines()


def test_no_file_is_no_start(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "none").lines() == []
