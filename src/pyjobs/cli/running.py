"""`pyjobs run`: a job now, its output as it comes, its own exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.follow import Follower, exit_code, follow, verdict
from pyjobs.cli.options import JobArg, Json, Output, Raw
from pyjobs.cli.times import milliseconds
from pyjobs.cli.views import runs_noun
from pyjobs.errors import DaemonNotRunning, Exit, TimedOut
from pyjobs.jobs import ACTIVE, Job, Run, RunState

__all__ = ["run"]

_POLL_S = 0.05


@examples("pyjobs run backup", "pyjobs run backup --detach", "pyjobs run backup --json --timeout 10m")
def run(
    ctx: typer.Context,
    name: JobArg,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the exec id and do not wait; needs the daemon.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start it whatever its --allow-mode says.")] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            help="Wait no longer, then exit with 7. The run goes on; with no daemon it is ended.",
            show_default=False,
        ),
    ] = None,
    raw: Raw = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """
    Run a job now, show its output as it comes, and exit with the job's own code.

    124: timed out. 137: killed. 125: it could not be started, or got lost. 6: its policy held it back. With no daemon
    running the run is made here. An interrupt ends the run.
    """
    from pyjobs import daemon

    app = app_of(ctx, output, json=json, makes=False)
    app.raw = raw
    job = app.service.jobs.find(name)
    timeout_s = None if timeout is None else milliseconds("--timeout", timeout) / 1000
    served = daemon.status(app.settings) is not None
    if detach:
        _detach(app, job, served=served, force=force)
        return
    show = app.format == "table"
    ended = (
        _served(app, job, timeout_s, force=force, show=show)
        if served
        else _here(app, job, timeout_s, force=force, show=show)
    )
    code, whose = exit_code(ended)
    if show:
        verdict(app, ended)
    else:
        document = {"exit_code_of": whose, "exit": code}
        render.one(app, runs_noun(output=True), ended, list, **document)
    app.leave(code)


def _detach(app: App, job: Job, *, served: bool, force: bool) -> None:
    if not served:
        raise DaemonNotRunning
    started = app.service.runs.start(job.id, force=force)
    if app.format == "table":
        app.write([started.exec_id])
    else:
        render.one(app, runs_noun(), started, list)
    if started.state not in ACTIVE:
        verdict(app, started)
        app.leave(exit_code(started)[0])


def _served(app: App, job: Job, timeout_s: float | None, *, force: bool, show: bool) -> Run:
    """The daemon makes the run; it is followed from here."""
    started = app.service.runs.start(job.id, force=force)
    return started if started.state not in ACTIVE else follow(app, started.exec_id, timeout_s, show=show)


def _here(app: App, job: Job, timeout_s: float | None, *, force: bool, show: bool) -> Run:
    """This process makes the run; a thread shows its output meanwhile. Interrupts end it, by the runner's own rules."""
    from pyjobs.bootstrap import me, run_here, settle_here
    from pyjobs.procs import owner_alive

    active = app.service.runs.active(job.id)
    if any(run.owner is not None and not owner_alive(run.owner, app.service.runs.seen) for run in active):
        settle_here(app.settings, job.id)
    started = app.service.runs.start(job.id, owner=me(), force=force)
    if started.state not in ACTIVE:
        return started
    # One connection a process: SQLite's locks are the process's, and closing one of two files drops the other's.
    app.close()
    over, expired = threading.Event(), threading.Event()
    with contextlib.closing(Follower(app, started.exec_id)) as follower:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s

        def accompany() -> None:
            while not over.wait(_POLL_S):
                if show:
                    follower.pump()
                if deadline is not None and time.monotonic() > deadline and not expired.is_set():
                    expired.set()
                    os.kill(os.getpid(), signal.SIGTERM)

        companion = threading.Thread(target=accompany, daemon=True)
        companion.start()
        try:
            ended = run_here(app.settings, started)
        finally:
            over.set()
            companion.join()
        if show:
            follower.finish(ended)
    if expired.is_set():
        raise TimedOut(
            f"run `{ended.exec_id}` was ended after {timeout_s:g} s",
            f"执行 `{ended.exec_id}` 在 {timeout_s:g} 秒后被终止",
        )
    if ended.state is RunState.KILLED and "SIGINT" in (ended.kill_by or ended.error):
        verdict(app, ended)
        app.leave(Exit.INTERRUPTED)
    return ended
