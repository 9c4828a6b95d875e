"""`pyjobs status`: how everything is doing, on one page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from pyjobs import daemon
from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.daemon import status_document, status_lines
from pyjobs.cli.messages import word
from pyjobs.cli.options import Json, Output
from pyjobs.cli.page import run_lines
from pyjobs.cli.presence import left_alone
from pyjobs.cli.text import one_line, paint
from pyjobs.cli.views import JobRow, run_document, state_of
from pyjobs.errors import Exit, PyjobsError
from pyjobs.jobs import Job, Run, RunState
from pyjobs.ports import JobQuery, RunQuery
from pyjobs.service.system import Paused

__all__ = ["status"]

_SHOWN = 5
_FAILED = frozenset({RunState.FAILED, RunState.TIMEOUT, RunState.KILLED, RunState.LOST})


@examples("pyjobs status", "pyjobs status --json")
def status(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Show how everything is doing: the daemon, jobs, what runs, what comes next, what failed last."""
    app = app_of(ctx, output, json=json, makes=False)
    found = daemon.status(app.settings)
    if app.format == "table":
        _need_store(app, found)
    jobs: Sequence[Job] = [] if app.empty else app.service.jobs.list(JobQuery())
    active: Sequence[Run] = [] if app.empty else app.service.runs.active()
    failed: Sequence[Run] = [] if app.empty else app.service.runs.list(RunQuery(states=_FAILED, limit=_SHOWN))
    if app.format == "table":
        app.write(_page(app, found, jobs, active, failed))
    else:
        render.document(app, _document(app, found, jobs, active, failed))
    app.leave(Exit.OK if found else Exit.NOT_FOUND)


def _need_store(app: App, found: daemon.DaemonStatus | None) -> None:
    """Say how the daemon is before what of the store is wrong; that is raised."""
    try:
        if not app.empty:
            app.service.system.paused()
    except PyjobsError:
        app.write(render.pairs(app, status_lines(app, found)))
        raise


def _page(
    app: App, found: daemon.DaemonStatus | None, jobs: Sequence[Job], active: Sequence[Run], failed: Sequence[Run]
) -> list[str]:
    view, counts = app.view, _counts(jobs, active)
    paused = _paused(app)
    upcoming = [
        f"{view.full(job.next_fire_ms)}  {view.due(job.next_fire_ms)}  {one_line(job.name)}"
        for job in _upcoming(jobs)
        if job.next_fire_ms is not None
    ]
    waits = app.text("status.paused", by=paused.by, since=view.full(paused.since_ms)) if paused else ""
    rows = [
        *status_lines(app, found),
        ("f.paused", waits),
        ("f.jobs", ", ".join(f"{number} {word(state, app.lang)}" for state, number in counts.items() if number) or "0"),
        *_headed("f.running", _active_lines(app, active)),
        *_headed("f.upcoming", upcoming if not paused else []),
        *_headed("f.failures", run_lines(app, failed, named=True)),
        ("p.home", str(app.settings.home)),
        ("p.database", app.settings.database_shown),
        ("f.zone", view.zone.key),
    ]
    lines = render.pairs(app, rows)
    if found is None and jobs:
        lines.append(paint(app.text("status.nothing_fires"), "yellow", on=app.colored(sys.stdout)))
    return [*lines, app.text("no_home", home=str(app.settings.home))] if app.empty else lines


def _paused(app: App) -> Paused | None:
    return None if app.empty else app.service.system.paused()


def _headed(key: str, lines: list[str]) -> list[tuple[str, str]]:
    return [(key if number == 0 else "", line) for number, line in enumerate(lines)]


def _active_lines(app: App, active: Sequence[Run]) -> list[str]:
    shown = run_lines(app, active[:_SHOWN], named=True)
    return [*shown, f"… +{len(active) - _SHOWN}"] if len(active) > _SHOWN else shown


def _counts(jobs: Sequence[Job], active: Sequence[Run]) -> dict[str, int]:
    running = {run.job_id for run in active if run.state is RunState.RUNNING}
    counts = {"waiting": 0, "running": 0, "stopped": 0}
    for job in jobs:
        counts[state_of(JobRow(job, running=job.id in running))] += 1
    return counts


def _upcoming(jobs: Sequence[Job]) -> list[Job]:
    waiting = [job for job in jobs if job.next_fire_ms is not None]
    return sorted(waiting, key=lambda job: job.next_fire_ms or 0)[:_SHOWN]


def _document(
    app: App, found: daemon.DaemonStatus | None, jobs: Sequence[Job], active: Sequence[Run], failed: Sequence[Run]
) -> dict[str, Any]:
    paused, view = _paused(app), app.view
    return {
        "daemon": status_document(app, found),
        "paused": None if paused is None else {"by": paused.by, "since": view.iso(paused.since_ms)},
        "jobs": _counts(jobs, active),
        "active": [run_document(run, view, output=False) | {"no_runner": left_alone(app, run)} for run in active],
        "upcoming": [{"name": job.name, "next_fire": view.iso(job.next_fire_ms)} for job in _upcoming(jobs)],
        "failures": [run_document(run, view, output=False) for run in failed],
        "home": str(app.settings.home),
        "database": app.settings.database_shown,
        "timezone": view.zone.key,
    }
