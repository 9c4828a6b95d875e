"""`pyjobs ip …`: which addresses the API answers."""

from __future__ import annotations

from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.permits import LOOPBACK, IpEntry, IpList

__all__ = ["allow_add", "allow_remove", "deny_add", "deny_remove", "status"]

IpArg = Annotated[str, typer.Argument(metavar="IP", help="An address or a network, such as `10.0.0.0/8`.")]
Force = Annotated[bool, typer.Option("--force", help="Even if the API answers this machine no more.")]


@examples("pyjobs ip status", "pyjobs ip status --json")
def status(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Show both lists: what the settings say, then what was added. The blacklist wins."""
    app = app_of(ctx, output, json=json)
    access = app.service.access()
    render.listing(app, _noun(), [entry for which in IpList for entry in access.entries(which)])


@examples("pyjobs ip allow add 192.168.1.0/24", "pyjobs ip allow add 2001:db8::/32")
def allow_add(ctx: typer.Context, ip: IpArg) -> None:
    """Let an address or network use the API. Effective everywhere within a second."""
    _add(app_of(ctx), IpList.ALLOW, ip, force=False)


@examples("pyjobs ip allow remove 192.168.1.0/24", "pyjobs ip allow remove 127.0.0.0/8 --force")
def allow_remove(ctx: typer.Context, ip: IpArg, *, force: Force = False) -> None:
    """Take an address or network from the whitelist."""
    _remove(app_of(ctx), IpList.ALLOW, ip, force=force)


@examples("pyjobs ip deny add 203.0.113.7", "pyjobs ip deny add 127.0.0.0/8 --force")
def deny_add(ctx: typer.Context, ip: IpArg, *, force: Force = False) -> None:
    """Keep an address or network out, whatever the whitelist says. Effective everywhere within a second."""
    _add(app_of(ctx), IpList.DENY, ip, force=force)


@examples("pyjobs ip deny remove 203.0.113.7", "pyjobs ip deny remove 2001:db8::/32")
def deny_remove(ctx: typer.Context, ip: IpArg) -> None:
    """Take an address or network from the blacklist."""
    _remove(app_of(ctx), IpList.DENY, ip, force=False)


def _add(app: App, which: IpList, ip: str, *, force: bool) -> None:
    entry = app.service.access().add(which, ip, app.by(), me=LOOPBACK, force=force)
    app.say("ip.added", ip=entry.network, list=app.text(f"list.{which.value}"))


def _remove(app: App, which: IpList, ip: str, *, force: bool) -> None:
    entry = app.service.access().remove(which, ip, me=LOOPBACK, force=force)
    app.say("ip.removed", ip=entry.network, list=app.text(f"list.{which.value}"))


def _noun() -> Noun[IpEntry]:
    return Noun(
        singular="entry",
        plural="entries",
        name=lambda entry: entry.network,
        document=lambda entry, view: {
            "list": entry.list.value,
            "network": entry.network,
            "added_at": view.iso(entry.added_ms),
            "by": entry.by,
            "origin": "settings" if entry.added_ms is None else "stored",
        },
        columns=(
            Column("col.list", lambda entry, _: entry.list.value, style="bold"),
            Column("col.network", lambda entry, _: entry.network),
            Column(
                "col.added",
                lambda entry, view: view.when(entry.added_ms),
                style="dim",
            ),
            Column("col.by", lambda entry, _: entry.by or entry.list.setting, style="dim", fold=True),
        ),
    )
