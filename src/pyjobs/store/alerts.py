"""The part of a store in SQL about what is told of trouble. Triggers write the marks (migrations.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyjobs.jobs import Job
from pyjobs.store.joblists import JOBS_SQL
from pyjobs.store.sql import Sql, marks
from pyjobs.store.tables import job_of

if TYPE_CHECKING:  # imported where they are made: most processes tell nothing
    from pyjobs.alerts import Delivery, Incident, Mark

__all__ = ["AlertRows"]

_INCIDENT = (
    "id", "cause", "job_id", "title", "text", "severity", "labels", "state", "tell_end", "count", "since_at",
    "opened_at", "told_at", "acked_at", "acked_by", "closed_at",
)  # fmt: skip
_DELIVERY = (
    "id", "incident_id", "channel", "notice", "title", "text", "fields", "state", "attempts", "created_at", "next_at",
    "sent_at", "error",
)  # fmt: skip
_MOST = 1000


class AlertRows(Sql):
    """Methods of ports.Store over `alert_marks`, `alert_incidents` and `alert_deliveries`."""

    def watched_jobs(self) -> list[Job]:
        """Jobs that say what is to be told about them, by id."""
        return [job_of(row) for row in self._rows(f"{JOBS_SQL} WHERE alerts <> '' ORDER BY id", [])]

    def alerts_wanted(self) -> bool:
        """Whether anything is watched, open or on its way; the cost does not depend on how much there is."""
        sql = (
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE alerts <> '')"
            " OR EXISTS (SELECT 1 FROM alert_incidents WHERE state <> 'closed')"
            " OR EXISTS (SELECT 1 FROM alert_deliveries WHERE state = 'waiting')"
        )
        return bool(self._rows(sql, [])[0][0])

    # --- marks -------------------------------------------------------------------------------------------------

    def marks(self, limit: int) -> list[Mark]:
        """Ends of runs of watched jobs that nobody has looked at yet, oldest first."""
        from pyjobs.alerts import Mark

        return [Mark(*row) for row in self._rows("SELECT id, exec_id FROM alert_marks ORDER BY id LIMIT ?", [limit])]

    def forget_marks(self, up_to: int) -> None:
        """Delete those that have been looked at."""
        with self.transaction():
            self._execute("DELETE FROM alert_marks WHERE id <= ?", (up_to,))

    # --- incidents ---------------------------------------------------------------------------------------------

    def live_incident(self, cause: str) -> Incident | None:
        """The one of this cause that is not closed."""
        found = self._incidents("WHERE cause = ? AND state <> 'closed'", [cause])
        return found[0] if found else None

    def incidents(self, *, closed: bool = False, limit: int = 1000) -> list[Incident]:
        """Those that are not closed, newest first; with `closed` all of them."""
        # `+id` sorts the few that are live; plain `id` would make SQLite walk over all that ever were.
        where = "ORDER BY id" if closed else "WHERE state <> 'closed' ORDER BY +id"
        return self._incidents(f"{where} DESC LIMIT ?", [limit])

    def incident(self, incident_id: int) -> Incident | None:
        """The one with this id."""
        found = self._incidents("WHERE id = ?", [incident_id])
        return found[0] if found else None

    def save_incident(self, incident: Incident) -> Incident:
        """Store it: a new one (id 0) gets its id, another one is replaced."""
        values = (
            incident.cause, incident.job_id, incident.title, incident.text, incident.severity,
            _json(incident.labels), incident.state.value, int(incident.tell_end), incident.count, incident.since_ms,
            incident.opened_ms, incident.told_ms, incident.acked_ms, incident.acked_by, incident.closed_ms,
        )  # fmt: skip
        return replace(incident, id=self._save("alert_incidents", _INCIDENT, incident.id, values))

    def drop_incident(self, incident_id: int) -> None:
        """Delete one, with its deliveries."""
        with self.transaction():
            self._execute("DELETE FROM alert_incidents WHERE id = ?", (incident_id,))

    def forget_incidents(self, before_ms: int) -> int:
        """Delete those that were closed before an instant, with their deliveries; answers how many."""
        with self.transaction():
            sql = "DELETE FROM alert_incidents WHERE state = 'closed' AND closed_at < ?"
            return int(self._execute(sql, (before_ms,)).rowcount)

    # --- deliveries --------------------------------------------------------------------------------------------

    def save_delivery(self, delivery: Delivery) -> Delivery:
        """Store it: a new one (id 0) gets its id, another one is replaced."""
        values = (
            delivery.incident_id, delivery.channel, delivery.notice.value, delivery.title, delivery.text,
            _json(delivery.fields), delivery.state.value, delivery.attempts, delivery.created_ms, delivery.next_ms,
            delivery.sent_ms, delivery.error,
        )  # fmt: skip
        return replace(delivery, id=self._save("alert_deliveries", _DELIVERY, delivery.id, values))

    def deliveries(self, *, incident_ids: Sequence[int] | None = None, due_ms: int | None = None) -> list[Delivery]:
        """Those of some incidents, or those that wait and are due by an instant, oldest first; at most 1000."""
        from pyjobs.alerts import Delivery, DeliveryState, Notice

        where, values = ["1"], list[Any]()
        if incident_ids is not None:
            where.append(f"incident_id IN ({marks(incident_ids)})")
            values += incident_ids
        if due_ms is not None:
            where.append("state = 'waiting' AND next_at <= ?")
            values.append(due_ms)
        sql = (
            f"SELECT {', '.join(_DELIVERY)} FROM alert_deliveries WHERE {' AND '.join(where)}"
            f" ORDER BY +id LIMIT {_MOST}"  # as in `incidents`
        )
        return [
            Delivery(
                id=row[0], incident_id=row[1], channel=row[2], notice=Notice(row[3]), title=row[4], text=row[5],
                fields=json.loads(row[6]), state=DeliveryState(row[7]), attempts=row[8], created_ms=row[9],
                next_ms=row[10], sent_ms=row[11], error=row[12],
            )
            for row in self._rows(sql, values)
        ]  # fmt: skip

    def last_sent_ms(self, channel: str) -> int | None:
        """When something went through a channel last."""
        found = self._rows("SELECT max(sent_at) FROM alert_deliveries WHERE channel = ?", [channel])[0][0]
        return None if found is None else int(found)

    # --- helpers -----------------------------------------------------------------------------------------------

    def _save(self, table: str, columns: Sequence[str], row_id: int, values: Sequence[Any]) -> int:
        with self.transaction():
            if row_id:
                sets = ", ".join(f"{column} = ?" for column in columns[1:])
                self._execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*values, row_id))
                return row_id
            sql = f"INSERT INTO {table} ({', '.join(columns[1:])}) VALUES ({marks(values)})"
            return int(self._execute(sql, tuple(values)).lastrowid)

    def _incidents(self, where: str, values: Sequence[Any]) -> list[Incident]:
        from pyjobs.alerts import Incident, IncidentState

        return [
            Incident(
                id=row[0], cause=row[1], job_id=row[2], title=row[3], text=row[4], severity=row[5],
                labels=json.loads(row[6]), state=IncidentState(row[7]), tell_end=bool(row[8]), count=row[9],
                since_ms=row[10], opened_ms=row[11], told_ms=row[12], acked_ms=row[13], acked_by=row[14],
                closed_ms=row[15],
            )
            for row in self._rows(f"SELECT {', '.join(_INCIDENT)} FROM alert_incidents {where}", values)
        ]  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
