"""Runs that wait: for a slot, for their executor, or for their turn after another run of their job."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterable

from pyjobs.jobs import Run

__all__ = ["WaitList"]


class WaitList:
    """Claimed runs that have no slot yet, in the order in which they came."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[Run] = deque()
        #: By job: runs whose turn comes when the one that is running has ended.
        self._held: dict[int, list[Run]] = {}

    def __bool__(self) -> bool:
        """Whether anything waits for a slot."""
        return bool(self._waiting)

    def knows(self, exec_id: str) -> bool:
        """Whether a run waits here."""
        return any(run.exec_id == exec_id for run in itertools.chain(self._waiting, *self._held.values()))

    def admit(self, runs: Iterable[Run]) -> None:
        """Queue runs."""
        self._waiting.extend(runs)

    def put_back(self, runs: Iterable[Run]) -> None:
        """Queue runs before all others: they were taken and could not go."""
        self._waiting.extendleft(reversed(list(runs)))

    def hold(self, run: Run) -> None:
        """Keep a run until its job is free."""
        self._held.setdefault(run.job_id or 0, []).append(run)

    def freed(self, busy: Container[int]) -> list[int]:
        """Jobs whose next run need not be held any more."""
        return [job_id for job_id in self._held if job_id not in busy]

    def release(self, busy: Container[int]) -> None:
        """Queue what was held and need not be any more, before all others."""
        for job_id in self.freed(busy):
            self.put_back(self._held.pop(job_id))

    def supersede(self, old: Iterable[str], new: Iterable[Run]) -> None:
        """Queue runs; one whose job had a waiting run that it takes the place of stands where that one stood."""
        gone, fresh = set(old), {run.job_id: run for run in new}
        places = {r.job_id: fresh[r.job_id] for r in self._waiting if r.exec_id in gone and r.job_id in fresh}
        self._waiting = deque(
            places.pop(r.job_id, r) if r.exec_id in gone else r
            for r in self._waiting
            if r.exec_id not in gone or r.job_id in places
        )
        self.withdraw(gone)
        placed = {r.exec_id for r in self._waiting}
        self.admit(run for run in new if run.exec_id not in placed)

    def withdraw(self, exec_ids: Iterable[str]) -> bool:
        """Forget runs that got their end in the store; answers whether any of them waited here."""
        gone = set(exec_ids)
        known = any(r.exec_id in gone for r in (*self._waiting, *itertools.chain(*self._held.values())))
        if known:
            self._waiting = deque(r for r in self._waiting if r.exec_id not in gone)
            held = {job_id: [r for r in runs if r.exec_id not in gone] for job_id, runs in self._held.items()}
            self._held = {job_id: runs for job_id, runs in held.items() if runs}
        return known

    def take(self, most: int, ready: Callable[[str], bool]) -> tuple[list[Run], bool]:
        """
        Take out the first runs whose mode is ready.

        Answers them, and whether one of another mode was passed over.
        """
        batch: list[Run] = []
        unready: list[Run] = []
        while self._waiting and len(batch) < most:
            run = self._waiting.popleft()
            (batch if ready(run.mode) else unready).append(run)
        self.put_back(unready)
        return batch, bool(unready)
