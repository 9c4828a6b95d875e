"""Wait for conditions, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

__all__ = ["wait_for"]

_T = TypeVar("_T")
_LIMIT_S = 20.0


def wait_for(condition: Callable[[], _T], what: str, limit_s: float = _LIMIT_S) -> _T:
    """Poll until something is true; answers it. Fails the test after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"not within {limit_s} s: {what}")
        time.sleep(0.01)
