"""`pyjobs cron …`: understand expressions. Needs no store."""

from __future__ import annotations

import dataclasses
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output, zone_names
from pyjobs.cli.page import fire_lines, fires_noun
from pyjobs.cli.times import View, instant

__all__ = ["explain", "next_"]

Expression = Annotated[
    str, typer.Argument(metavar="EXPR", help="5 or 6 fields in quotes, or `@daily`, `@every 1h30m` …")
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Its zone, such as `Europe/Berlin`.",
        show_default=False,
        autocompletion=zone_names,
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=1000, help="How many instants.")]


@examples("pyjobs cron explain '*/15 9-17 * * MON-FRI'", "pyjobs cron explain '0 0 L * ?' --timezone Asia/Shanghai")
def explain(
    ctx: typer.Context, expression: Expression, *, timezone: Zone = None, output: Output = None, json: Json = False
) -> None:
    """Say in words what an expression means, and when it is due next."""
    from pyjobs.cronwords import explain as in_words

    app = app_of(ctx, output, json=json)
    fires, view = _fires(app, expression, timezone, app.clock.now_ms(), 3)
    words = in_words(expression, app.lang)
    if app.format == "table":
        app.write([words, *(f"  {line}" for line in fire_lines(app, fires, view))])
        _say_zone(app, view)
        return
    render.document(app, {"expression": expression, "words": words, "timezone": view.zone.key,
                          "next": [view.iso(ms) for ms in fires]})  # fmt: skip


@examples(
    "pyjobs cron next '30 2 * * *' -n 10 --timezone Europe/Berlin", "pyjobs cron next @hourly --after 2026-12-31 --json"
)
def next_(
    ctx: typer.Context,
    expression: Expression,
    *,
    count: Count = 5,
    timezone: Zone = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="TIME", help="From then on, not from now.", show_default=False)
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show the next instants at which an expression is due."""
    app = app_of(ctx, output, json=json)
    zone = _zone(app, timezone)
    start = app.clock.now_ms() if after is None else instant("--after", after, zone)
    fires, view = _fires(app, expression, timezone, start, count)
    if app.format == "table":
        app.write(fire_lines(app, fires, view))
        _say_zone(app, view)
        return
    render.listing(dataclasses_view(app, view), fires_noun(), fires, expression=expression, timezone=view.zone.key)


def dataclasses_view(app: App, view: View) -> App:
    """The same call, showing times as `view` does."""
    shown = dataclasses.replace(app)
    shown.__dict__["view"] = view
    return shown


def _zone(app: App, name: str | None) -> ZoneInfo:
    from pyjobs.triggers import parse_cron

    if name is not None:
        parse_cron("* * * * *", name)
        return ZoneInfo(name)
    return app.view.zone


def _fires(app: App, expression: str, timezone: str | None, after_ms: int, count: int) -> tuple[list[int], View]:
    """The next fires, and how to show them: in the expression's own zone, where it names one."""
    from pyjobs.cronexpr import read
    from pyjobs.triggers import parse_cron

    zone = _zone(app, timezone)
    trigger = parse_cron(expression, zone.key, anchor_ms=after_ms)
    own = read(expression).zone
    fires: list[int] = []
    fire = trigger.next_after(after_ms)
    while fire is not None and len(fires) < count:
        fires.append(fire)
        fire = trigger.next_after(fire)
    return fires, dataclasses.replace(app.view, zone=ZoneInfo(own) if own else zone)


def _say_zone(app: App, view: View) -> None:
    app.say("zone", zone=view.zone.key)
