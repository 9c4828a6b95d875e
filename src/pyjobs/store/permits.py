"""
The part of a store in SQL about who may come in: IP entries, tokens, admins.

What it gives is imported where it is made: few commands need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peewee import IntegrityError

from pyjobs.errors import Conflict
from pyjobs.store.sql import Sql

if TYPE_CHECKING:
    from pyjobs.permits import Admin, ApiToken, IpEntry

__all__ = ["PermitRows"]


class PermitRows(Sql):
    """Methods of ports.Store over the tables `ip_entries`, `api_tokens` and `admins`."""

    def _change(self, sql: str, *values: Any) -> int:
        """How many rows a statement changed, in a transaction of its own."""
        with self.transaction():
            return int(self._execute(sql, values).rowcount)

    # --- IP lists ----------------------------------------------------------------------------------------------

    def ip_entries(self) -> list[IpEntry]:
        """Stored entries of both lists, oldest first."""
        from pyjobs.permits import IpEntry, IpList

        sql = "SELECT list, network, added_at, added_by FROM ip_entries WHERE list IN ('allow', 'deny') ORDER BY id"
        rows = self._rows(sql, [])
        return [IpEntry(list=IpList(name), network=network, added_ms=at, by=by) for name, network, at, by in rows]

    def add_ip_entry(self, entry: IpEntry) -> bool:
        """Store an entry. False when its list has that network already."""
        sql = f"{self._dialect.insert_new} INTO ip_entries (list, network, added_at, added_by) VALUES (?, ?, ?, ?)"
        return self._change(sql, entry.list.value, entry.network, entry.added_ms, entry.by) == 1

    def remove_ip_entry(self, entry: IpEntry) -> bool:
        """Delete the entry of its list and network. False when there was none."""
        sql = "DELETE FROM ip_entries WHERE list = ? AND network = ?"
        return self._change(sql, entry.list.value, entry.network) == 1

    # --- tokens ------------------------------------------------------------------------------------------------

    def api_tokens(self) -> list[ApiToken]:
        """All tokens, oldest first."""
        from pyjobs.permits import ApiToken

        rows = self._rows("SELECT id, name, digest, scopes, created_at, used_at FROM api_tokens ORDER BY id", [])
        return [
            ApiToken(
                id=row_id,
                name=name,
                digest=digest,
                scopes=frozenset(scopes.split()),
                created_ms=created,
                used_ms=used,
            )
            for row_id, name, digest, scopes, created, used in rows
        ]

    def add_api_token(self, token: ApiToken) -> ApiToken:
        """Store a token; answers it with its id. Raises Conflict."""
        sql = "INSERT INTO api_tokens (name, digest, scopes, created_at, used_at) VALUES (?, ?, ?, ?, ?)"
        values = (token.name, token.digest, " ".join(sorted(token.scopes)), token.created_ms, token.used_ms)
        with self.transaction():
            try:
                row_id = self._execute(sql, values).lastrowid
            except IntegrityError:
                raise Conflict(
                    f"there is a token `{token.name}` already",
                    f"令牌 `{token.name}` 已存在",
                    hint=f"choose another name, or `pyjobs api token revoke {token.name}` first",
                    hint_zh=f"请换一个名称，或先执行 `pyjobs api token revoke {token.name}`",
                ) from None
        return replace(token, id=int(row_id))

    def remove_api_token(self, name: str) -> bool:
        """Delete a token. False when there was none."""
        return self._change("DELETE FROM api_tokens WHERE name = ?", name) == 1

    def note_token_use(self, used: Mapping[int, int]) -> None:
        """When tokens were used last: id -> milliseconds."""
        with self.transaction(durable=False):
            rows = [(at, token_id) for token_id, at in used.items()]
            self._many("UPDATE api_tokens SET used_at = ? WHERE id = ?", rows)

    # --- admins ------------------------------------------------------------------------------------------------

    def admins(self) -> list[Admin]:
        """All admins, oldest first."""
        from pyjobs.permits import Admin

        sql = "SELECT id, name, password, active, epoch, created_at, login_at FROM admins ORDER BY id"
        return [
            Admin(
                id=row_id,
                name=name,
                password=password,
                active=bool(active),
                epoch=epoch,
                created_ms=created,
                login_ms=login,
            )
            for row_id, name, password, active, epoch, created, login in self._rows(sql, [])
        ]

    def add_admin(self, admin: Admin) -> Admin:
        """Store an admin; answers it with its id. Raises Conflict."""
        sql = "INSERT INTO admins (name, password, active, epoch, created_at, login_at) VALUES (?, ?, ?, ?, ?, ?)"
        values = (admin.name, admin.password, int(admin.active), admin.epoch, admin.created_ms, admin.login_ms)
        with self.transaction():
            try:
                row_id = self._execute(sql, values).lastrowid
            except IntegrityError:
                raise Conflict(
                    f"there is an admin `{admin.name}` already",
                    f"管理员 `{admin.name}` 已存在",
                    hint="choose another name",
                    hint_zh="请换一个名称",
                ) from None
        return replace(admin, id=int(row_id))

    def update_admin(self, admin: Admin) -> bool:
        """Write all fields but `id`, `name` and `created_ms`. False when it is gone."""
        sql = "UPDATE admins SET password = ?, active = ?, epoch = ?, login_at = ? WHERE id = ?"
        return self._change(sql, admin.password, int(admin.active), admin.epoch, admin.login_ms, admin.id) == 1

    def remove_admin(self, admin_id: int) -> bool:
        """Delete an admin. False when there was none."""
        return self._change("DELETE FROM admins WHERE id = ?", admin_id) == 1
