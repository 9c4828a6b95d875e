"""`pyjobs config …`: look at the settings."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples, report
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.config import FILE_NAME
from pyjobs.errors import BadSetting, Exit
from pyjobs.masking import MASK

__all__ = ["check", "path", "reload", "show"]

#: Variables that are no settings: of homes, of runs, and of what builds and tests pyjobs.
_OTHERS = ("HOME", "RUN_ID", "JOB_ID", "SCHEDULED_FOR", "PYTHON", "ALL_PYTHONS", "NO_SYSTEM_PACKAGES")


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    value: Any
    source: str
    doc: str
    unit: str


@examples("pyjobs config show", "pyjobs config show --origin -o json")
def show(
    ctx: typer.Context,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show all settings with what they mean. Secrets are masked."""
    from dataclasses import fields

    from pyjobs.config import Settings

    app = app_of(ctx, output, json=json)
    about = {field.name: field.metadata for field in fields(Settings)}
    settings = []
    for name, found in app.loaded[1].items():
        secret = found.secret and found.value and found.source != "default"
        value = MASK if secret else found.value
        settings.append(_Setting(name, value, found.source, about[name]["doc"], about[name]["unit"]))
    if app.lang == "zh" and app.format == "table":
        from pyjobs.cli.chinese import SETTINGS

        settings = [replace(setting, doc=SETTINGS.get(setting.name, setting.doc)) for setting in settings]
    render.listing(app, _noun(origin=origin), settings, home=str(app.settings.home))


@examples("pyjobs config path", "sqlite3 $(pyjobs config path --json | jq -r .database) .tables")
def path(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Show where everything is: the home, the store, the log, the functions."""
    app = app_of(ctx, output, json=json)
    settings = app.settings
    found = {
        "home": settings.home,
        "settings": settings.home / FILE_NAME,
        "database": settings.database_shown,
        "log": settings.path(settings.log_file),
        "functions": settings.path(settings.functions_dir),
        "output": settings.spool_dir,
        "run": settings.run_dir,
    }
    if app.format == "table":
        app.write(render.pairs(app, [(f"p.{name}", str(place)) for name, place in found.items()]))
    else:
        render.document(app, {name: str(place) for name, place in found.items()})


@examples("pyjobs config check", "PYJOBS_HOME=/srv/pyjobs pyjobs config check")
def check(ctx: typer.Context) -> None:
    """Check the settings of the environment and the file. Exit code 8 when something is wrong."""
    app = app_of(ctx)
    try:
        app.settings.database  # noqa: B018 - it is checked when it is asked for
    except BadSetting as exc:
        report(app, exc)
        app.leave(Exit.FOUND)
    path = app.settings.home / FILE_NAME
    if not path.exists():
        app.say("config.no_file", path=str(path))
    if _unknown_variables(app):
        app.leave(Exit.FOUND)
    app.say("config.fine", home=str(app.settings.home))


@examples("pyjobs config reload", "pyjobs config check && pyjobs config reload")
def reload(ctx: typer.Context) -> None:
    """
    Have the daemon read the settings again, as it does by itself when their file changed.

    Says which changed, and which need a restart. Wrong settings change nothing. Functions are loaded again too.
    """
    from pyjobs import daemon

    app = app_of(ctx)
    found = daemon.reload_settings(app.settings)
    if found.changed:
        app.say("config.changed", names=", ".join(found.changed))
    else:
        app.say("config.same")
    if found.restart:
        app.warn("config.restart", names=", ".join(found.restart))


def _unknown_variables(app: App) -> bool:
    """Name the variables that look like settings and are none; whether there are any."""
    import difflib

    about = app.loaded[1]
    known = [f"PYJOBS_{name.upper()}" for name in (*about, *_OTHERS)]
    known += [f"PYJOBS_{name.upper()}_FILE" for name, origin in about.items() if origin.secret]
    unknown = sorted(name for name in os.environ if name.startswith("PYJOBS_") and name not in known)
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        if near:
            app.warn("config.unknown_near", variable=name, near=near[0])
        else:
            app.warn("config.unknown", variable=name)
    return bool(unknown)


def _noun(*, origin: bool) -> Noun[_Setting]:
    columns: list[Column[_Setting]] = [
        Column("col.name", lambda setting, _: setting.name, style="bold"),
        Column("col.value", lambda setting, _: _shown(setting), fold=True),
        Column("col.meaning", lambda setting, _: setting.doc, style="dim", fold=True),
    ]
    if origin:
        columns.insert(2, Column("col.origin", lambda setting, _: setting.source, fold=True))
    return Noun(
        singular="setting",
        plural="settings",
        name=lambda setting: setting.name,
        document=lambda setting, _: {
            "name": setting.name,
            "value": setting.value,
            "unit": setting.unit,
            "origin": setting.source,
            "doc": setting.doc,
        },
        columns=columns,
        timed=False,
    )


def _shown(setting: _Setting) -> str:
    if setting.value in ("", {}):
        return ""
    if setting.unit == "B" and setting.value and setting.value % 1024 == 0:
        import humanize

        return humanize.naturalsize(setting.value, binary=True, format="%g")
    # Seconds and bytes say so; what is shown is what may be written.
    return f"{setting.value}{setting.unit}" if setting.unit in ("s", "B") else str(setting.value)
