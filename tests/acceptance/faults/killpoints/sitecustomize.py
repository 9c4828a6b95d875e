"""
Read by every interpreter of a daemon under test: ends its runner by kill -9 at the point that FAULT_AT names, once.

The file FAULT_ONCE is there as long as the fault is still to come.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

__all__: list[str] = []


def _die() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.environ["FAULT_ONCE"])  # noqa: PTH108 - who deletes it is the one
        os.kill(os.getpid(), signal.SIGKILL)


def _kill(owner: Any, name: str, *, after: bool, when: Callable[..., bool] = lambda *_: True) -> None:
    """Have a function of the runner be its last one, before or after it is done."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def last(*args: Any, **named: Any) -> Any:
        due = when(*args)
        if due and not after:
            _die()
        done = original(*args, **named)
        if due and after:
            _die()
        return done

    setattr(owner, name, last)


def _arm(point: str) -> None:
    from pyjobs import ends, runner
    from pyjobs.executors.command import CommandExecutor
    from pyjobs.store.sqlite import SqliteStore

    if point == "before the claim":
        _kill(SqliteStore, "claim", after=False, when=lambda _, rows, *__: bool(rows))
    elif point == "after the claim":
        _kill(runner, "claim_due", after=True)
    elif point == "before the launch":
        _kill(CommandExecutor, "start", after=False)
    elif point == "at the launch":
        _kill(CommandExecutor, "_spawn", after=True)
    elif point == "after the launch":
        _kill(CommandExecutor, "start", after=True)
    elif point == "after its pid was recorded":
        _kill(SqliteStore, "start_runs", after=True, when=lambda _, starts, *__: any(start.pid for start in starts))
    elif point == "before its end is recorded":
        _kill(ends.Ends, "_record_all", after=False)
    elif point == "after its end was recorded":
        _kill(ends.Ends, "_record_all", after=True)


if "pyjobs.serve" in sys.orig_argv:
    _arm(os.environ.get("FAULT_AT", ""))
