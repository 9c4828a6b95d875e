"""Use cases about incidents: look at them, and say that somebody looks after one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyjobs.alerts import Delivery, Incident, IncidentState
from pyjobs.clock import Clock
from pyjobs.errors import Conflict, NotFound
from pyjobs.ports import Store

__all__ = ["Alerts", "Told"]

#: Variables of one statement.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Told:
    """An incident, and what became of what was told of it."""

    incident: Incident
    deliveries: tuple[Delivery, ...]


class Alerts:
    """Use cases about incidents."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take what they work on."""
        self._store = store
        self._clock = clock

    def list(self, *, closed: bool = False, limit: int = 1000) -> Sequence[Told]:
        """Incidents that are open, newest first; with `closed` those that are over, too. Nobody was told of others."""
        found = [i for i in self._store.incidents(closed=closed, limit=limit) if i.state is not IncidentState.PENDING]
        deliveries: dict[int, list[Delivery]] = {}
        for start in range(0, len(found), _CHUNK):
            ids = [incident.id for incident in found[start : start + _CHUNK]]
            for delivery in self._store.deliveries(incident_ids=ids):
                deliveries.setdefault(delivery.incident_id, []).append(delivery)
        return [Told(incident, tuple(deliveries.get(incident.id, ()))) for incident in found]

    def ack(self, incident_id: int, by: str) -> Incident:
        """
        Note that somebody looks after it: nobody is reminded any more, its end is told all the same.

        Raises:
            NotFound: there is no such incident.
            Conflict: it is over.
        """
        with self._store.transaction():
            incident = self._store.incident(incident_id)
            if incident is None or incident.state is IncidentState.PENDING:
                raise NotFound(f"there is no alert `{incident_id}`", f"没有告警 `{incident_id}`",
                               hint="see `pyjobs alert list`", hint_zh="用 `pyjobs alert list` 查看")  # fmt: skip
            if incident.state is IncidentState.CLOSED:
                raise Conflict(f"alert `{incident_id}` is over already", f"告警 `{incident_id}` 已恢复")
            if incident.acked_ms is not None:
                return incident
            return self._store.save_incident(replace(incident, acked_ms=self._clock.now_ms(), acked_by=by))
