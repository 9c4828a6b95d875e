"""The cases that were handed down, in `tests/cases`: data, and modules that are no package."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["CASES", "cases", "module_of_cases"]

CASES = Path(__file__).parent / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file, in their order."""
    found: list[dict[str, Any]] = json.loads((CASES / name).read_text(encoding="utf-8"))
    return found


def module_of_cases(name: str) -> ModuleType:
    """A module of the cases' own folder."""
    spec = importlib.util.spec_from_file_location(f"handed_down_{name}", CASES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
