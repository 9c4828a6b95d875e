"""The part of a store in SQL about single facts of the whole."""

from __future__ import annotations

from typing import Any

from pyjobs.store.counters import ALL_JOBS
from pyjobs.store.sql import ACTIVE, Sql

__all__ = ["FactRows"]


class FactRows(Sql):
    """Methods of ports.Store over the table `facts`, and counts of states."""

    def fact(self, name: str) -> str | None:
        """A stored fact."""
        found = self._rows("SELECT value FROM facts WHERE name = ?", [name])
        return str(found[0][0]) if found else None

    def facts(self, prefix: str) -> dict[str, str]:
        """All facts whose names start so."""
        sql = "SELECT name, value FROM facts WHERE name >= ? AND name < ?"
        return {str(name): str(value) for name, value in self._rows(sql, [prefix, prefix + "\U0010ffff"])}

    def set_fact(self, name: str, value: str | None) -> None:
        """Store or forget a fact."""
        table = self._tables.facts
        with self.transaction():
            table.delete().where(table.name == name).execute()
            if value is not None:
                table.insert(name=name, value=value).execute()

    def figures(self) -> dict[str, Any]:
        """Counts: jobs by state, active runs by state."""
        jobs = self._rows("SELECT state, sum(jobs) FROM job_counts GROUP BY state HAVING sum(jobs)", [])
        sql = f"SELECT state, sum(runs) FROM run_counts WHERE job_id = ? AND {ACTIVE} GROUP BY state HAVING sum(runs)"
        active = self._rows(sql, [ALL_JOBS])
        return {"jobs": {int(k): int(n) for k, n in jobs}, "runs": {str(k): int(n) for k, n in active}}
