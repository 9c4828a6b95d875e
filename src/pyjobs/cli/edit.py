"""`pyjobs job add`, `edit`, `copy`: what a job is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.flags import JobFlags, with_job_flags
from pyjobs.cli.options import DryRun, JobArg, Json, Output
from pyjobs.cli.page import fire_lines
from pyjobs.cli.spoken import fields_of
from pyjobs.cli.text import one_line
from pyjobs.cli.views import JobRow, jobs_noun
from pyjobs.errors import NameTaken
from pyjobs.jobs import Job
from pyjobs.service.jobs import Added

__all__ = ["add", "copy", "edit"]

NewName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the new job.")]


@examples(
    "pyjobs job add backup --cron '0 3 * * *' --command 'tar czf /backup/home.tgz /home'",
    "pyjobs job add ping --every 30s --http https://example.org/health --expect ok --retries 2",
    "pyjobs job add report --cron '0 0 9 * * MON' --func Report --arg weekly --timezone Asia/Shanghai",
)
@with_job_flags
def add(
    ctx: typer.Context,
    name: NewName,
    *,
    flags: JobFlags,
    stopped: Annotated[bool, typer.Option("--stopped", help="Do not fire it until it is started.")] = False,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Add a job: one flag says when, one says what."""
    app = app_of(ctx, output, json=json)
    fields = dataclasses.replace(fields_of(flags, app.view.zone), name=name, state=2 if stopped else None)
    jobs = app.service.jobs
    if dry_run:
        added = jobs.check(fields)
        if name.strip() in jobs.names(name.strip()):
            raise NameTaken(name.strip())
    else:
        added = jobs.add(fields)
    _warn_of_function(app, added.job)
    _answer(app, added, "job.would_add" if dry_run else "job.added")


@examples("pyjobs job edit backup --cron '30 2 * * *'", "pyjobs job edit ping --method HEAD --header 'Accept: */*'")
@with_job_flags
def edit(
    ctx: typer.Context,
    name: JobArg,
    *,
    flags: JobFlags,
    new_name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Its new name.", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Change what is said, and nothing else. --header and --env replace all there were; '' clears."""
    app = app_of(ctx, output, json=json)
    job = app.service.jobs.find(name)
    fields = dataclasses.replace(fields_of(flags, app.view.zone, job), name=new_name)
    if all(value is None for value in dataclasses.asdict(fields).values()):
        app.say("job.nothing_said")
        return
    added = app.service.jobs.check_edit(job.id, fields) if dry_run else app.service.jobs.edit(job.id, fields)
    if fields.command is not None:
        _warn_of_function(app, added.job)
    _answer(app, added, "job.would_edit" if dry_run else "job.edited")


@examples("pyjobs job copy backup backup-2", "pyjobs job copy 3 test && pyjobs job edit test --every 1h")
def copy(ctx: typer.Context, name: JobArg, new: NewName, *, output: Output = None, json: Json = False) -> None:
    """Make a second job like another one. It is stopped, so that it can be changed first."""
    app = app_of(ctx, output, json=json)
    added = app.service.jobs.copy(app.service.jobs.find(name).id, new)
    _answer(app, added, "job.added")
    app.say("job.copy_stopped", name=added.job.name)


def _answer(app: App, added: Added, key: str) -> None:
    """Its id and its next three fires."""
    job = added.job

    def lines() -> list[str]:
        shown = app.text(key, id=job.id, name=one_line(job.name))
        zone = [f"  {app.text('zone', zone=app.view.zone.key)}"] if app.terminal and added.next_fires_ms else []
        return [shown, *(f"  {line}" for line in fire_lines(app, added.next_fires_ms)), *zone]

    extra = {"next_fires": [app.view.iso(ms) for ms in added.next_fires_ms]}
    render.one(app, jobs_noun(), JobRow(job, running=False), lines, **extra)


def _warn_of_function(app: App, job: Job) -> None:
    """Say when a call of its function would fail as things are now; it may be loaded later."""
    if job.mode != "func":
        return
    from pyjobs.bootstrap import build_functions
    from pyjobs.commandtext import FuncSpec, parse

    spec = parse(job.mode, job.command, lenient=True)
    assert isinstance(spec, FuncSpec)
    functions = build_functions(app.settings)
    try:
        names = [function.name for function in functions.functions()]
        if spec.name not in names:
            import difflib

            near = difflib.get_close_matches(spec.name, names, n=1)
            app.warn("func.unknown_near" if near else "func.unknown", name=spec.name, near=near[0] if near else "")
            return
        problem = functions.check_arguments(spec.name, spec.arg)
        if problem:
            app.warn("func.bad_arguments", name=spec.name, problem=problem)
    finally:
        functions.close()
