"""`pyjobs job …`: list, show, act. Adding and changing is in `edit`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import DryRun, JobArg, JobArgs, Json, Output, Yes
from pyjobs.cli.presence import left_alone, note_if_nothing_fires
from pyjobs.cli.reasons import in_language
from pyjobs.cli.text import one_line
from pyjobs.cli.views import JobRow, jobs_noun
from pyjobs.errors import Conflict, Exit, Invalid
from pyjobs.jobs import FINAL, Job, Run, RunState
from pyjobs.ports import JobQuery, RunQuery

__all__ = [
    "check",
    "end_run",
    "kill",
    "list_",
    "next_",
    "remove",
    "restart",
    "resume",
    "rows_of",
    "run_all",
    "show",
    "start",
    "stop",
    "stop_all",
]

_STATES = {"waiting": 0, "running": 1, "stopped": 2}
Count = Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=1000, help="How many instants.")]
ResetCount = Annotated[bool, typer.Option("--reset-count", help="Count its runs from zero again.")]


@examples("pyjobs list", "pyjobs job list --state stopped -o json")
def list_(
    ctx: typer.Context,
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Only names that hold this.")] = None,
    state: Annotated[
        Literal["waiting", "running", "stopped"] | None, typer.Option("--state", help="Only these.")
    ] = None,
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="Only http, command or func.")] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """List jobs: when each is due, and what became of its newest run."""
    app = app_of(ctx, output, json=json, makes=False)
    query = JobQuery(name_part=name, state=None if state is None else _STATES[state], mode=mode)
    jobs = [] if app.empty else app.service.jobs.list(query)
    render.listing(app, jobs_noun(), rows_of(app, reversed(jobs)))
    if app.format != "table":
        return
    if any(job.next_fire_ms is not None for job in jobs):
        note_if_nothing_fires(app)
    if app.empty:
        app.say("no_home", home=str(app.settings.home))
    elif not jobs and query == JobQuery():
        app.say("hint", hint=app.text("add_one"))


@examples("pyjobs job show backup", "pyjobs job show 3 --json")
def show(
    ctx: typer.Context,
    name: JobArg,
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the command text as it is stored, tags and secrets and all.")
    ] = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show everything about a job, its next fires and its newest runs."""
    from pyjobs.cli.jobpage import job_page

    app = app_of(ctx, output, json=json, makes=False)
    job = app.service.jobs.find(name)
    fires = _fires_or_warning(app, job)
    runs = app.service.runs.list(RunQuery(job_id=job.id, limit=5))
    row = rows_of(app, [job])[0]
    extra = {"next_fires": [app.view.iso(ms) for ms in fires]}
    render.one(app, jobs_noun(), row, lambda: job_page(app, row, fires, runs, raw=raw), **extra)
    if app.format == "table":
        app.say("zone", zone=app.view.zone.key)


@examples("pyjobs job remove backup", "pyjobs job remove old-1 old-2 --yes")
def remove(
    ctx: typer.Context,
    names: JobArgs,
    *,
    kill: Annotated[bool, typer.Option("--kill", help="End what runs, too; else it goes on.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Remove jobs. Their runs stay readable; what is queued is skipped, what runs goes on."""
    app = app_of(ctx, makes=False)
    jobs = _find(app, names)
    for job in jobs:
        count = len(app.service.runs.active(job.id))
        app.say("job.would_remove", name=job.name, id=job.id, count=count)
    if dry_run:
        return
    app.confirm(app.text("job.ask_remove", count=len(jobs)), yes=yes)
    for job in jobs:
        app.service.jobs.remove(job.id, kill=kill, by=app.by())
        app.say("job.removed", name=job.name)


@examples("pyjobs job stop backup", "pyjobs job stop 3 4 5")
def stop(ctx: typer.Context, names: JobArgs) -> None:
    """Fire jobs no more until they are started. What is queued is skipped, what runs goes on."""
    app = app_of(ctx, makes=False)
    for job in _find(app, names):
        changed = app.service.jobs.stop(job.id, by=app.by())
        app.say("job.stopped" if changed else "job.was_stopped", name=job.name)


@examples("pyjobs job start backup", "pyjobs job start backup --reset-count")
def start(ctx: typer.Context, names: JobArgs, *, reset_count: ResetCount = False) -> None:
    """Fire stopped jobs again, from now on; never for the past."""
    app = app_of(ctx, makes=False)
    _started(app, [app.service.jobs.start(job.id, reset_count=reset_count, by=app.by()) for job in _find(app, names)])


@examples("pyjobs job restart backup", "pyjobs job restart 3 --reset-count")
def restart(ctx: typer.Context, names: JobArgs, *, reset_count: ResetCount = False) -> None:
    """Stop and start jobs: what is queued is skipped, and they fire from now on."""
    app = app_of(ctx, makes=False)
    jobs = _find(app, names)
    for job in jobs:
        app.service.jobs.stop(job.id, by=app.by())
    _started(app, [app.service.jobs.start(job.id, reset_count=reset_count, by=app.by()) for job in jobs])


@examples("pyjobs job kill backup", "pyjobs job kill backup --dry-run")
def kill(ctx: typer.Context, names: JobArgs, *, dry_run: DryRun = False) -> None:
    """End the runs of jobs that are active now: politely, after the job's grace by force."""
    app = app_of(ctx, makes=False)
    jobs = _find(app, names)
    runs = [run for job in jobs for run in app.service.runs.active(job.id)]
    if not runs:
        shown = ", ".join(f"`{one_line(job.name)}`" for job in jobs)
        raise Conflict(f"no run of {shown} is active", f"{shown} 没有正在进行的执行", hint="see `pyjobs runs list`")
    for run in runs:
        if dry_run:
            app.say("run.would_kill", exec_id=run.exec_id, name=run.job_name)
        else:
            end_run(app, run)


@examples("pyjobs job next backup", "pyjobs job next backup -n 10 -o json")
def next_(ctx: typer.Context, name: JobArg, *, count: Count = 5, output: Output = None, json: Json = False) -> None:
    """Show when a job fires next; nothing for one that is stopped or only started by hand."""
    from pyjobs.cli.page import fire_lines, fires_noun

    app = app_of(ctx, output, json=json, makes=False)
    job = app.service.jobs.find(name)
    fires = app.service.jobs.next_fires(job, count)
    if not fires:
        app.say("job.no_fires", name=job.name)
    if app.format == "table":
        app.write(fire_lines(app, fires))
        return
    render.listing(app, fires_noun(), fires, job=job.name)


@examples("pyjobs job stop-all", "pyjobs job stop-all && pyjobs status")
def stop_all(ctx: typer.Context) -> None:
    """Pause the scheduler: nothing fires until `job resume`. Jobs keep their states, starts by hand go on."""
    app = app_of(ctx)
    changed = app.service.system.pause(app.by())
    app.say("system.paused" if changed else "system.was_paused")


@examples("pyjobs job resume", "pyjobs job resume && pyjobs list")
def resume(ctx: typer.Context) -> None:
    """Let a paused scheduler fire again, from now on: paused time is not missed time."""
    app = app_of(ctx)
    app.say("system.resumed" if app.service.system.resume(app.by()) else "system.was_not_paused")


@examples("pyjobs job run-all", "pyjobs job run-all --dry-run")
def run_all(ctx: typer.Context, *, dry_run: DryRun = False, output: Output = None, json: Json = False) -> None:
    """Resume a paused scheduler and start every job that is not stopped once; the daemon makes the runs."""
    from pyjobs import daemon
    from pyjobs.cli.views import runs_noun

    app = app_of(ctx, output, json=json)
    if dry_run:
        jobs = app.service.jobs.list(JobQuery(state=0))
        render.listing(app, jobs_noun(), rows_of(app, reversed(jobs)))
        return
    if app.service.system.resume(app.by()):
        app.say("system.resumed")
    runs = app.service.system.run_all(app.service.runs)
    render.listing(app, runs_noun(), runs)
    if daemon.status(app.settings) is None:
        app.warn("daemon.needed_for_runs")


@examples("pyjobs job check", "pyjobs job check -o json")
def check(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Compare every waiting job's next fire with its trigger and mend what is wrong. Exit code 8 when something was."""
    from pyjobs.cli.page import repairs_noun

    app = app_of(ctx, output, json=json, makes=False)
    repairs = app.service.system.check()
    if not repairs:
        app.say("job.all_right")
    if repairs or app.format != "table":
        render.listing(app, repairs_noun(), repairs)
    app.leave(Exit.FOUND if repairs else Exit.OK)


def end_run(app: App, run: Run) -> None:
    """Ask for the end of an active run, and say what will come of that."""
    asked = app.service.runs.kill(run.exec_id, app.by())
    if asked.state in FINAL:
        reason = in_language(asked.error, app.lang)
        app.say("run.not_queued", exec_id=run.exec_id, name=run.job_name, reason=reason)
    else:
        alone = left_alone(app, asked)
        app.say("run.kill_later" if alone else "run.killing", exec_id=run.exec_id, name=run.job_name)


def rows_of(app: App, jobs: Iterable[Job]) -> list[JobRow]:
    """Jobs with what runs of them now."""
    listed = list(jobs)
    active = app.service.runs.active() if listed else []
    running = {run.job_id: run for run in active if run.state is RunState.RUNNING}
    alone = {job_id for job_id, run in running.items() if left_alone(app, run)}
    return [JobRow(job, running=job.id in running, alone=job.id in alone) for job in listed]


def _fires_or_warning(app: App, job: Job) -> Sequence[int]:
    """The next fires of a job that is shown whatever another program wrote into its row."""
    try:
        return app.service.jobs.next_fires(job, 3)
    except Invalid as exc:
        app.warn("job.bad_schedule", name=job.name, why=exc.text(app.lang))
        return ()


def _find(app: App, names: Sequence[str]) -> list[Job]:
    """All of them, before anything is done to one."""
    return list({job.id: job for job in map(app.service.jobs.find, names)}.values())


def _started(app: App, jobs: Sequence[Job]) -> None:
    for job in jobs:
        app.say("job.started", name=job.name)
        fires = app.service.jobs.next_fires(job, 1)
        if fires:
            app.say("job.next_fire", when=app.view.full(fires[0]), relative=app.view.relative(fires[0]))
    if any(job.next_fire_ms is not None for job in jobs):
        note_if_nothing_fires(app)
