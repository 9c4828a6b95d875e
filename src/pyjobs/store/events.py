"""The part of a store in SQL about what happened beside the runs."""

from __future__ import annotations

import json
from typing import Any

from pyjobs.ports import Event, EventKind
from pyjobs.store.sql import Sql

__all__ = ["EventRows"]

_KINDS = {kind.value: kind for kind in EventKind}


class EventRows(Sql):
    """Methods of ports.Store over the table `events`."""

    def add_event(self, event: Event) -> None:
        """Note it, in the transaction that it belongs to."""
        values = (event.at_ms, event.kind.value, event.job_id, json.dumps(dict(event.detail), ensure_ascii=False))
        with self.transaction():
            self._execute("INSERT INTO events (at, kind, job_id, detail) VALUES (?, ?, ?, ?)", values)

    def events(
        self, since_ms: int | None = None, until_ms: int | None = None, *, job_id: int | None = None
    ) -> list[Event]:
        """Events in [since, until), oldest first: those of all jobs at once, and those of one job (None: of each)."""
        where: list[str] = []
        values: list[Any] = []
        for sign, bound in ((">=", since_ms), ("<", until_ms)):
            if bound is not None:
                where.append(f"at {sign} ?")
                values.append(bound)
        if job_id is not None:
            where.append("(job_id = ? OR job_id IS NULL)")
            values.append(job_id)
        wanted = f" WHERE {' AND '.join(where)}" if where else ""
        rows = self._rows(f"SELECT at, kind, job_id, detail FROM events{wanted} ORDER BY at, id", values)
        # A newer version may have written kinds that this one does not know.
        return [
            Event(at_ms=at, kind=_KINDS[kind], job_id=of_job, detail=json.loads(detail))
            for at, kind, of_job, detail in rows
            if kind in _KINDS
        ]

    def forget_events(self, before_ms: int) -> int:
        """Delete those before an instant; answers how many."""
        with self.transaction():
            return int(self._execute("DELETE FROM events WHERE at < ?", (before_ms,)).rowcount)
