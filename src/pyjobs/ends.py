"""
The ends of runs on their way into the store.

An end is kept until it is committed, and with it what proves it: the attempt is closed, and its files are forgotten,
only afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pyjobs.clock import Clock
from pyjobs.errors import PyjobsError, StoreBusy
from pyjobs.jobs import Run, RunState
from pyjobs.ports import Attempt, End, Output, Store
from pyjobs.service.losses import start_again

__all__ = ["Ends"]

_log = logging.getLogger(__name__)


class _Ended(NamedTuple):
    """An end that is not recorded yet."""

    end: End
    attempt: Attempt | None
    #: Whether the row holds all of the output.
    whole: bool


class Ends:
    """What is to be recorded next."""

    def __init__(self, store: Store, output: Output, clock: Clock, owner: str) -> None:
        """Take where they go; `owner` is whose runs they are."""
        self._store = store
        self._output = output
        self._clock = clock
        self._owner = owner
        self._ended: list[_Ended] = []

    def __bool__(self) -> bool:
        """Whether something waits to be recorded."""
        return bool(self._ended)

    def knows(self, exec_id: str) -> bool:
        """Whether the end of this run waits to be recorded."""
        return any(ended.end.exec_id == exec_id for ended in self._ended)

    def add(self, end: End, attempt: Attempt | None = None, *, whole: bool = True) -> None:
        """Keep an end; `whole` says that it holds all of the run's output."""
        self._ended.append(_Ended(end, attempt, whole))

    def lose(self, run: Run, reason: str) -> None:
        """Keep the end of a run of mine that nobody knows."""
        now_ms = self._clock.now_ms()
        spooled = self._output.read(run.exec_id)
        end = End(
            exec_id=run.exec_id,
            state=RunState.LOST,
            ended_ms=now_ms,
            duration_ms=None if run.started_ms is None else max(0, now_ms - run.started_ms),
            error=f"lost: {reason}",
            output=spooled.output,
            stderr_at=spooled.stderr_at,
        )
        self.add(end, whole=spooled.whole)
        _log.warning("run %s of job %s is lost: %s", run.exec_id, run.job_name, reason)

    def record(self) -> list[Run]:
        """
        Store all of them in one durable transaction; answers runs to be launched in place of lost ones.

        Raises:
            StoreBusy: they are kept.
        """
        if not self._ended:
            return []
        again = self._record_all()
        recorded, self._ended = self._ended, []
        for ended in recorded:
            if ended.attempt is not None:
                ended.attempt.close()
            self._output.forget(ended.end.exec_id, keep_output=not ended.whole)
        return again

    def _record_all(self) -> list[Run]:
        ends = [ended.end for ended in self._ended]
        try:
            return self._record(ends)
        except StoreBusy:
            raise
        except PyjobsError:
            # What one of them holds must not keep the others from their ends, nor itself from its own.
            _log.exception("some ends could not be recorded at once")
            return [run for end in ends for run in self._record_one(end)]

    def _record_one(self, end: End) -> list[Run]:
        try:
            return self._record([end])
        except StoreBusy:
            raise
        except PyjobsError as exc:
            plain = replace(end, output="", stderr_at=0, error=f"its output could not be recorded: {exc}")
            return self._record([plain])

    def _record(self, ends: Sequence[End]) -> list[Run]:
        """Store ends, and start again what was lost where its job wants that: both, or neither."""
        with self._store.transaction():
            ended = self._store.end_runs(ends, self._owner)
            lost = [e.exec_id for e in ends if e.state is RunState.LOST and e.exec_id in ended]
            return start_again(self._store, lost, self._clock.now_ms(), self._owner) if lost else []
