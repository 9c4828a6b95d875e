"""`pyjobs runs …`: look at runs and act on them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.follow import Follower, exit_code, verdict, watch
from pyjobs.cli.job import end_run
from pyjobs.cli.logs import write_output
from pyjobs.cli.options import DryRun, Json, Limit, OneJob, Output, Raw, RunArg, RunArgs, Yes
from pyjobs.cli.page import run_page
from pyjobs.cli.times import milliseconds, past
from pyjobs.cli.views import runs_noun
from pyjobs.errors import Invalid, NotFound
from pyjobs.jobs import FINAL, Run, RunState, Source
from pyjobs.ports import RunQuery

__all__ = ["clear", "follow", "kill", "list_", "show", "wait"]

#: `runs clear` counts what it would delete up to here.
_COUNTED = 1000
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only from then on: `24h`, `2026-11-01`.", show_default=False),
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="Wait no longer, then exit with 7.", show_default=False),
]


@examples("pyjobs runs list --state failed --since 24h", "pyjobs runs list --job backup -n 100 -o csv")
def list_(
    ctx: typer.Context,
    *,
    job: OneJob = None,
    state: Annotated[
        list[RunState] | None, typer.Option("--state", "-s", help="Only in this state; may be repeated.")
    ] = None,
    source: Annotated[Source | None, typer.Option("--source", help="Only what this made.", show_default=False)] = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only before then.", show_default=False)
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="EXEC", help="The next page: older than this run.", show_default=False),
    ] = None,
    limit: Limit = 20,
    output: Output = None,
    json: Json = False,
) -> None:
    """List runs, newest first: what each was due for, and what became of it."""
    app = app_of(ctx, output, json=json, makes=False)
    if app.empty and job is None and before is None:
        render.listing(app, runs_noun(), [])
        app.say("no_home", home=str(app.settings.home))
        return
    job_id, job_name = _of(app, job)
    query = RunQuery(
        job_id=job_id,
        job_name=job_name,
        states=frozenset(state) if state else None,
        source=source,
        since_ms=past("--since", since, app.view),
        until_ms=past("--until", until, app.view),
        before_id=app.service.runs.find(before).id if before is not None else None,
        limit=limit,
    )
    render.listing(app, runs_noun(), app.service.runs.list(query))


@examples("pyjobs runs show 3f2a", "pyjobs runs show 3f2a91c07be4d815 --json")
def show(ctx: typer.Context, exec_id: RunArg, *, raw: Raw = False, output: Output = None, json: Json = False) -> None:
    """Show everything about a run, its output included."""
    app = app_of(ctx, output, json=json, makes=False)
    app.raw = raw
    run = app.service.runs.find(exec_id)
    render.one(app, runs_noun(output=True), run, lambda: run_page(app, run))
    if app.format == "table" and (run.output or run.state not in FINAL):
        app.write([""])
        write_output(app, run)


@examples("pyjobs runs follow 3f2a", "pyjobs runs follow $(pyjobs run backup --detach)")
def follow(ctx: typer.Context, exec_id: RunArg, *, raw: Raw = False) -> None:
    """Show a run's output as it comes. Exits as `pyjobs run` does; an interrupt leaves the run alone."""
    app = app_of(ctx, makes=False)
    app.raw = raw
    run = app.service.runs.find(exec_id)
    with contextlib.closing(Follower(app, run.exec_id)) as follower, _left(app, [run]):
        ended = watch(app, run.exec_id, follower)
    verdict(app, ended)
    app.leave(exit_code(ended)[0])


@examples("pyjobs runs wait 3f2a", "pyjobs runs wait 3f2a 77c1 --timeout 10m")
def wait(
    ctx: typer.Context, exec_ids: RunArgs, *, timeout: Timeout = None, output: Output = None, json: Json = False
) -> None:
    """Wait until runs have ended. One: exits as `pyjobs run` does. Several: 1 unless all succeeded."""
    app = app_of(ctx, output, json=json, makes=False)
    runs = _find(app, exec_ids)
    deadline = None if timeout is None else app.clock.monotonic() + milliseconds("--timeout", timeout) / 1000
    with _left(app, runs):
        ended = [
            watch(app, run.exec_id, None, None if deadline is None else max(0.0, deadline - app.clock.monotonic()))
            for run in runs
        ]
    if app.format == "table":
        for run in ended:
            verdict(app, run)
    else:
        render.listing(app, runs_noun(output=True), ended)
    failed = any(run.state is not RunState.SUCCESS for run in ended)
    app.leave(exit_code(ended[0])[0] if len(ended) == 1 else int(failed))


@examples("pyjobs runs kill 3f2a", "pyjobs runs kill 3f2a 77c1 --wait")
def kill(
    ctx: typer.Context,
    exec_ids: RunArgs,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they have ended.")] = False,
    timeout: Timeout = None,
) -> None:
    """End runs that are active now: politely, after the job's grace by force."""
    app = app_of(ctx, makes=False)
    runs = _find(app, exec_ids)
    for run in runs:
        end_run(app, run)
    for run in runs if wait else []:
        verdict(
            app, watch(app, run.exec_id, None, None if timeout is None else milliseconds("--timeout", timeout) / 1000)
        )


@examples("pyjobs runs clear --before 90d", "pyjobs runs clear --job backup --all --yes")
def clear(
    ctx: typer.Context,
    *,
    job: OneJob = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="TIME", help="What is older: `90d`, `2026-11-01`.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of any age.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete records of runs that have ended. What is active stays."""
    app = app_of(ctx, makes=False)
    if (before is None) is not everything:
        raise Invalid("--before", "say how old, or `--all`, not both", "请指定时间或 `--all`（二选一）",
                      hint="for example `pyjobs runs clear --before 90d`")  # fmt: skip
    before_ms = past("--before", before, app.view)
    found = app.service.jobs.find(job) if job is not None else None
    job_id = None if found is None else found.id
    query = RunQuery(job_id=job_id, states=FINAL, until_ms=before_ms, limit=_COUNTED + 1)
    count = len(app.service.runs.list(query))
    shown = f"{_COUNTED}+" if count > _COUNTED else str(count)
    whose = app.text("run.of_job", name=found.name) if found else app.text("run.of_all")
    age = app.text("run.any_age") if before_ms is None else app.text("run.older", before=app.view.full(before_ms))
    app.say("run.would_clear", count=shown, whose=whose, age=age)
    if dry_run or not count:
        return
    app.confirm(app.text("run.ask_clear", count=shown), yes=yes)
    app.say("run.cleared", count=app.service.runs.clear(job_id, before_ms))
    sys.stdout.flush()


def _of(app: App, job: str | None) -> tuple[int | None, str | None]:
    """(id, name) to ask for the runs of a job by: the name where only its runs are left. Raises NotFound."""
    if job is None:
        return None, None
    try:
        return app.service.jobs.find(job).id, None
    except NotFound:
        if app.empty or not app.service.runs.list(RunQuery(job_name=job, limit=1)):
            raise
        return None, job


@contextlib.contextmanager
def _left(app: App, runs: Sequence[Run]) -> Iterator[None]:
    """Say on an interrupt that the runs go on."""
    try:
        yield
    except KeyboardInterrupt:
        for run in runs:
            if app.service.runs.get(run.exec_id).state not in FINAL:
                app.say("run.goes_on", exec_id=run.exec_id)
        raise


def _find(app: App, exec_ids: Sequence[str]) -> list[Run]:
    """All of them, before anything is done to one."""
    return list({run.exec_id: run for run in map(app.service.runs.find, exec_ids)}.values())
