"""`pyjobs logs`: what a job's runs wrote."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.follow import Follower, watch
from pyjobs.cli.messages import word
from pyjobs.cli.options import JobArg, Json, Output, Raw
from pyjobs.cli.page import state_line
from pyjobs.cli.presence import daemon_runs
from pyjobs.cli.reasons import in_language
from pyjobs.cli.text import one_line, paint
from pyjobs.cli.times import span
from pyjobs.cli.views import run_style, runs_noun, when
from pyjobs.jobs import FINAL, Run, RunState
from pyjobs.ports import RunQuery

__all__ = ["logs", "output_of", "write_output"]

_POLL_S = 0.2
#: The states of what was launched, or will be.
_RAN = frozenset(RunState) - {RunState.SKIPPED, RunState.MISSED}


@examples("pyjobs logs backup", "pyjobs logs backup -n 5", "pyjobs logs backup -f")
def logs(
    ctx: typer.Context,
    name: JobArg,
    *,
    count: Annotated[
        int, typer.Option("-n", "--runs", metavar="N", min=1, max=10_000, help="Of how many runs, the newest ones.")
    ] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All that was kept, not head and tail only.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Rows of what never ran, too: missed and skipped fires.")
    ] = False,
    raw: Raw = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """
    Show what a job's newest runs wrote: stdout, then stderr.

    A line about each run stands above it on a terminal, and wherever there are several. Piped, one run's output comes
    as it was written, and nothing else. For a table of runs see `pyjobs runs list --job NAME`.
    """
    app = app_of(ctx, output, json=json, makes=False)
    app.raw = raw
    job = app.service.jobs.find(name)
    query = RunQuery(job_id=job.id, states=None if everything else _RAN, limit=count)
    runs = app.service.runs.list(query)[::-1]
    if app.format != "table":
        render.listing(app, runs_noun(output=True), runs)
        return
    if not runs and not follow:
        app.say("job.no_runs", name=job.name)
    headed = app.terminal or count > 1 or follow
    for run in runs:
        if headed:
            _head(app, run)
        if run.state in FINAL or not follow:
            write_output(app, run, full=full)
        else:
            _live(app, run)
    if follow:
        if not daemon_runs(app.settings):
            app.say("run.by_hand_only")
        _follow(app, dataclasses.replace(query, limit=20), runs[-1].id if runs else 0)


def write_output(app: App, run: Run, *, full: bool = False) -> None:
    """A run's output to stdout; on a terminal stderr is colored and the last line is always ended."""
    out, err = output_of(app, run, full=full)
    colored = app.colored(sys.stdout) and not app.raw
    shown = app.shown(out) + "\n".join(paint(line, "red", on=colored) for line in app.shown(err).split("\n"))
    sys.stdout.write(shown)
    if app.terminal and shown and not shown.endswith("\n"):
        sys.stdout.write("\n")
    sys.stdout.flush()


def output_of(app: App, run: Run, *, full: bool = False) -> tuple[str, str]:
    """(stdout, stderr) as the row keeps them; of an active run, or with `full`, from the spool while it is there."""
    from pyjobs.bootstrap import build_spool

    if run.state in FINAL and not full:
        return run.stdout, run.stderr
    spool = build_spool(app.settings)
    found = []
    for path, kept in ((spool.out(run.exec_id), run.stdout), (spool.err(run.exec_id), run.stderr)):
        try:
            found.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            found.append(kept)
    return found[0], found[1]


def _head(app: App, run: Run) -> None:
    view, on = app.view, app.colored(sys.stdout)
    late = run.lateness_ms
    parts = [
        view.full(when(run)),
        paint(state_line(app, run), run_style(run), on=on),
        word(run.source.value, app.lang),
        app.text("log.took", took=span(run.duration_ms)) if run.duration_ms is not None else "",
        app.text("log.late", late=span(late)) if late is not None and late > 0 else "",
        paint(run.exec_id, "dim", on=on),
    ]
    app.write([f"{paint('==>', 'bold', on=on)} {'  '.join(filter(None, parts))}"])
    if run.error:
        app.write([f"    {one_line(in_language(run.error, app.lang))}"])
    sys.stdout.flush()


def _live(app: App, run: Run) -> None:
    with contextlib.closing(Follower(app, run.exec_id, merged=True)) as follower:
        ended = watch(app, run.exec_id, follower)
    if ended.error:
        app.write([f"    {one_line(in_language(ended.error, app.lang))}"])
        sys.stdout.flush()


def _follow(app: App, query: RunQuery, newest: int) -> None:
    """Runs that come, one after the other, until an interrupt."""
    while True:
        runs = [run for run in app.service.runs.list(query) if run.id > newest]
        for run in reversed(runs):
            newest = run.id
            _head(app, run)
            if run.state in FINAL:
                write_output(app, run)
            else:
                _live(app, run)
        time.sleep(_POLL_S)
