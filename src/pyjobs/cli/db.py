"""`pyjobs db …`: the store itself."""

from __future__ import annotations

from typing import Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output
from pyjobs.ports import About, RunQuery

__all__ = ["status", "upgrade"]


@examples("pyjobs db status", "pyjobs db status --json")
def status(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Show what the store is: its kind, place, schema, size, and how much is in it."""
    app = app_of(ctx, output, json=json, makes=False)
    about, counts = app.service.system.store(), _counts(app)
    if app.format != "table":
        render.document(app, _document(about, counts))
        return
    import humanize

    rows = [
        ("f.kind", about.server),
        ("f.host", about.host),
        ("p.database", about.database),
        ("f.schema", str(about.schema)),
        ("f.size", humanize.naturalsize(about.size, binary=True, format="%.1f")),
        ("f.jobs", str(counts["jobs"])),
        ("f.records", str(counts["runs"])),
        ("f.running", str(counts["active"])),
    ]
    app.write(render.pairs(app, rows))


@examples("pyjobs db upgrade", "pyjobs db upgrade --json")
def upgrade(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Bring the schema of the store up to date, making the store where there is none."""
    app = app_of(ctx, output, json=json)
    about = app.service.system.store()
    if app.format != "table":
        render.document(app, {"schema": about.schema, "from": about.upgraded_from})
    elif about.upgraded_from == about.schema:
        app.say("db.latest", schema=about.schema)
    else:
        app.say("db.upgraded", before=about.upgraded_from, schema=about.schema)


def _counts(app: App) -> dict[str, int]:
    figures = app.service.system.figures()
    return {
        "jobs": sum(figures["jobs"].values()),
        "runs": app.service.runs.count(RunQuery()),
        "active": sum(figures["runs"].values()),
    }


def _document(about: About, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "type": about.kind,
        "server": about.server,
        "host": about.host,
        "database": about.database,
        "schema": about.schema,
        "size": about.size,
        "counts": counts,
    }
