"""Every test that README.md names is there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_TESTS = _HERE.parents[1]
_NAMED = re.findall(r"`([a-z/_]+\.py)::(test_\w+)`", (_HERE / "README.md").read_text(encoding="utf-8"))


@lru_cache
def _tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("file", "name"), _NAMED)
def test_a_named_test_is_there(file: str, name: str) -> None:
    assert name in _tests(_TESTS / file)


def test_each_row_names_one() -> None:
    rows = [line for line in (_HERE / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "what is done" not in row]
    assert len(rows) > 20
    assert all("::test_" in row for row in rows)
