"""`pyjobs export crontab` and `export systemd`: jobs in other schedulers' words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.paths import put, write_text
from pyjobs.interchange.cronlines import CannotSay, crontab_of
from pyjobs.interchange.units import units_of
from pyjobs.jobs import Job
from pyjobs.ports import JobQuery

__all__ = ["export_crontab", "export_systemd"]

_HEAD = (
    "# Jobs of pyjobs. Before these lines are used, stop the jobs there, or both will run them.",
    "# Output is mailed as cron does it; what was missed while the machine was off is not made good.",
    "# Time-outs are kept where a job names one. CRON_TZ is known to cronie, not to every cron.",
    "SHELL=/bin/bash",
    "",
)
To = Annotated[str, typer.Argument(metavar="[FILE]", help="Where to; `-`: stdout.", show_default=False)]


@examples("pyjobs export crontab", "pyjobs export crontab jobs.cron")
def export_crontab(ctx: typer.Context, file: To = "-") -> None:
    """Write jobs as lines of a crontab; what a crontab cannot say is a comment with the reason."""
    app = app_of(ctx, makes=False)
    lines = [
        *_HEAD,
        *(line for job in _jobs(app) for line in crontab_of(job, app.settings.zone_name, app.settings.home)),
    ]
    put(file, (f"{line}\n" for line in lines))
    app.say("doc.secrets")


@examples("pyjobs export systemd", "pyjobs export systemd --output ~/.config/systemd/user")
def export_systemd(
    ctx: typer.Context,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="A folder for the files, else stdout.", show_default=False),
    ] = None,
) -> None:
    """Write jobs as timers and services of systemd. What it cannot say is left out, and told."""
    app = app_of(ctx, makes=False)
    files = dict(_units(app))
    if output is None:
        put("-", (f"# {name}\n{text}\n" for name, text in files.items()))
    else:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(output / name, [text])
        app.say("crontab.units", count=len(files), path=str(output))
    app.say("doc.secrets")


def _jobs(app: App) -> list[Job]:
    return list(app.service.jobs.list(JobQuery(order="name")))


def _units(app: App) -> Iterator[tuple[str, str]]:
    for job in _jobs(app):
        try:
            units = units_of(job, app.settings.zone_name, app.settings.home, app.settings.job_timeout)
        except CannotSay as exc:
            app.warn("crontab.no_unit", name=job.name, why=str(exc))
            continue
        for note in units.notes:
            app.warn("crontab.unit_note", name=job.name, why=note)
        yield from units.files.items()
