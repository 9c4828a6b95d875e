"""What is remembered of launches that the store does not know yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyjobs.executors import launched
from pyjobs.executors.launched import Launched


def test_the_last_process_of_a_run_is_found_by_whoever_comes_next(tmp_path: Path) -> None:
    first = Launched(tmp_path)
    first.note("a", 10, 100)
    first.note("b", 11, 101)
    first.note("a", 12, 102)  # a further attempt
    first.close()
    second = Launched(tmp_path)
    assert second.find("a") == (12, 102)
    assert second.find("b") == (11, 101)
    second.note("c", 13, 103)
    second.close()
    assert Launched(tmp_path).find("a") == (12, 102)
    assert Launched(tmp_path).find("c") == (13, 103)


def test_what_was_never_noted_or_only_half_is_not_found(tmp_path: Path) -> None:
    assert Launched(tmp_path).find("a") is None
    (tmp_path / "launched").write_bytes(b"a 10 100\nb 11\nc 12 x\n\xff\xfe 1 2\na 1")
    assert Launched(tmp_path).find("a") == (10, 100)
    assert Launched(tmp_path).find("b") is None
    assert Launched(tmp_path).find("c") is None


def test_it_stays_small_and_never_forgets_the_last_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched, "_LINES", 10)
    noted = Launched(tmp_path)
    for number in range(95):
        noted.note(f"run{number}", number, number)
        assert all(noted.find(f"run{n}") == (n, n) for n in range(max(0, number - 9), number + 1))
    noted.close()
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) <= 20


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    noted = Launched(tmp_path / "none")
    noted.note("a", 1, 2)
    assert noted.find("a") is None
    noted.close()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    noted = Launched(tmp_path)
    noted.note("a", 1, 2)
    noted.close()
    assert (tmp_path / "launched").stat().st_mode & 0o077 == 0
