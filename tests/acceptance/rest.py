"""A daemon's REST API for acceptance tests: its address, and the cases' own client."""

from __future__ import annotations

from typing import Any

from handed_down import module_of_cases

from .conftest import Home

__all__ = ["Rest", "rest_of"]


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
