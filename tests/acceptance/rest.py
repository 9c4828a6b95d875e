"""A daemon's REST API for acceptance tests: its address, and the cases' own client."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .conftest import Home

__all__ = ["CASES", "Rest", "cases", "module_of_cases", "rest_of"]

CASES = Path(__file__).parents[1] / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file, in their order."""
    found: list[dict[str, Any]] = json.loads((CASES / name).read_text(encoding="utf-8"))
    return found


def module_of_cases(name: str) -> ModuleType:
    """A module of the cases' own folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"rest_cases_{name}", CASES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Rest:
    """The API of a daemon that runs."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._replay = module_of_cases("replay")

    def call(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        """(HTTP status, document) of a call; `request` is as in api.json."""
        status, _, body = self._replay.send(self.base, {"method": method, "path": path, **request})
        return status, body

    def data(self, method: str, path: str, **request: Any) -> Any:
        """What a call that must succeed answers."""
        status, body = self.call(method, path, **request)
        assert (status, body["code"]) == (200, 200), body
        return body["data"]


def rest_of(home: Home, **env: str) -> Rest:
    """Start a daemon with its API on a free port."""
    home.env |= {"PORT": "0", **env}
    return Rest(home.start()["api"]["address"])
