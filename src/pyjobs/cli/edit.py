"""`pyjobs job add`, `edit`, `copy`: what a job is."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.flags import JobFlags, with_job_flags
from pyjobs.cli.jobpage import timeout_of
from pyjobs.cli.options import DryRun, JobArg, Json, Output
from pyjobs.cli.page import fire_lines
from pyjobs.cli.presence import note_if_nothing_fires
from pyjobs.cli.spoken import fields_of, named_as_typed
from pyjobs.cli.text import one_line
from pyjobs.cli.views import JobRow, jobs_noun
from pyjobs.errors import NameTaken
from pyjobs.jobs import Job
from pyjobs.service.jobs import Added

__all__ = ["add", "copy", "edit"]

NewName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the new job.")]
CopyName = Annotated[str, typer.Argument(metavar="NEW-NAME", help="The name of the new job.")]


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
    with named_as_typed(flags):
        added = jobs.check(fields) if dry_run else jobs.add(fields, by=app.by())
    if dry_run and name.strip() in jobs.names(name.strip()):
        raise NameTaken(name.strip())
    _warn_of_function(app, added.job)
    _warn_of_folder(app, added.job)
    _answer(app, added, "job.would_add" if dry_run else "job.added")
    if app.format == "table":
        _say_timeout(app, added.job)
        if added.job.next_fire_ms is not None and not dry_run:
            note_if_nothing_fires(app)


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
    with named_as_typed(flags):
        added = (
            app.service.jobs.check_edit(job.id, fields)
            if dry_run
            else app.service.jobs.edit(job.id, fields, by=app.by())
        )
    if fields.command is not None:
        _warn_of_function(app, added.job)
        _warn_of_folder(app, added.job)
    _answer(app, added, "job.would_edit" if dry_run else "job.edited")
    if job.owned_by:
        app.warn("doc.owned", name=job.name, owner=job.owned_by)


@examples("pyjobs job copy backup backup-2", "pyjobs job copy 3 test && pyjobs job edit test --every 1h")
def copy(ctx: typer.Context, name: JobArg, new: CopyName, *, output: Output = None, json: Json = False) -> None:
    """Make a second job like another one. It is stopped, so that it can be changed first."""
    app = app_of(ctx, output, json=json)
    added = app.service.jobs.copy(app.service.jobs.find(name).id, new, by=app.by())
    _answer(app, added, "job.added")
    app.say("job.copy_stopped", name=added.job.name)


def _answer(app: App, added: Added, key: str) -> None:
    """Its id and its next three fires, in its own zone where it has one."""
    job = added.job
    view = app.view.at(job.timezone)
    zone = app.text("zone", zone=view.zone.key) if added.next_fires_ms else ""

    def lines() -> list[str]:
        shown = app.text(key, id=job.id, name=one_line(job.name))
        fires = [f"  {line}" for line in fire_lines(app, added.next_fires_ms, view)]
        return [shown, *fires, *([f"  {zone}"] if zone and app.terminal else [])]

    extra = {"next_fires": [app.view.iso(ms) for ms in added.next_fires_ms]}
    render.one(app, jobs_noun(), JobRow(job, running=False), lines, **extra)
    if zone and app.format == "table" and not app.terminal:
        app.say("zone", zone=view.zone.key)


def _say_timeout(app: App, job: Job) -> None:
    """Say by what time-out its runs are ended, where the job says nothing about that."""
    if timeout_of(job) is not None:
        return
    seconds = app.settings.job_timeout
    app.say("job.timeout" if seconds else "job.no_timeout", timeout=f"{seconds}s")


def _warn_of_folder(app: App, job: Job) -> None:
    """Say when a command's working directory is not there; it may be made later."""
    import os

    from pyjobs.commandtext import CommandSpec, parse

    spec = parse(job.mode, job.command, lenient=True)
    if isinstance(spec, CommandSpec) and spec.workdir:
        folder = app.settings.home / os.path.expanduser(spec.workdir)  # noqa: PTH111 - as the executor does
        if not folder.is_dir():
            app.warn("job.no_workdir", folder=str(folder))


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
