"""`pyjobs daemon …`: run what fires the jobs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from pyjobs import daemon, procs
from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Json, Output, Yes
from pyjobs.cli.text import one_line, paint
from pyjobs.cli.times import milliseconds, span
from pyjobs.errors import DaemonNotRunning, Exit, NotFound
from pyjobs.jobs import RunState

__all__ = ["logs", "reload", "restart", "run", "start", "start_daemon", "status", "status_lines", "stop", "stop_daemon"]

_POLL_S = 0.2
Force = Annotated[bool, typer.Option("--force", "-f", help="Do not wait for short work.")]
NoApi = Annotated[bool, typer.Option("--no-api", help="Leave the REST API out.")]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="Wait no longer, then exit with 7.", show_default=False),
]


@examples("pyjobs daemon run", "PYJOBS_HOME=/srv/pyjobs pyjobs daemon run --no-api")
def run(ctx: typer.Context, *, no_api: NoApi = False) -> None:
    """Run in the foreground, for a terminal, a container or a service manager. Ends on an interrupt or SIGTERM."""
    app = app_of(ctx)
    daemon.run(app.settings, api=not no_api)


@examples("pyjobs daemon start", "PORT=9000 pyjobs --home /srv/pyjobs daemon start")
def start(ctx: typer.Context, *, timeout: Timeout = None, no_api: NoApi = False) -> None:
    """Start in the background. Returns when the daemon is ready, or says why it is not."""
    start_daemon(app_of(ctx), timeout, api=not no_api)


@examples("pyjobs daemon stop", "pyjobs daemon stop --force")
def stop(ctx: typer.Context, *, force: Force = False, timeout: Timeout = None, yes: Yes = False) -> None:
    """Stop, and return when the daemon is gone. Short work is waited for; what runs longer goes on, see ON_STOP."""
    stop_daemon(app_of(ctx), timeout, force=force, yes=yes)


@examples("pyjobs daemon restart", "pyjobs daemon restart --force")
def restart(
    ctx: typer.Context, *, force: Force = False, timeout: Timeout = None, yes: Yes = False, no_api: NoApi = False
) -> None:
    """Stop the daemon, if it runs, and start it in the background. Running work goes on and is taken over."""
    app = app_of(ctx)
    if daemon.status(app.settings) is not None:
        stop_daemon(app, timeout, force=force, yes=yes)
    start_daemon(app, timeout, api=not no_api)


@examples("pyjobs daemon status", "pyjobs daemon status --json")
def status(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Show whether the daemon runs. Exit code 3 when it does not."""
    app = app_of(ctx, output, json=json)
    found = daemon.status(app.settings)
    if app.format == "table":
        app.write(render.pairs(app, status_lines(app, found)))
    else:
        render.document(app, {"daemon": status_document(app, found)})
    app.leave(Exit.OK if found else Exit.NOT_FOUND)


@examples("pyjobs daemon reload", "kill -HUP $(pyjobs daemon status --json | jq .daemon.pid)")
def reload(ctx: typer.Context) -> None:
    """Have the daemon read its settings and load the files of functions again. Wrong settings change nothing."""
    app = app_of(ctx)
    found = daemon.reload_settings(app.settings)
    app.say("daemon.reloaded")
    if found.changed:
        app.say("config.changed", names=", ".join(found.changed))
    if found.restart:
        app.warn("config.restart", names=", ".join(found.restart))


@examples("pyjobs daemon logs", "pyjobs daemon logs -n 200 -f")
def logs(
    ctx: typer.Context,
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
) -> None:
    """Show the system log: what the daemon did, not what jobs wrote. Piped, each line is a JSON object."""
    app = app_of(ctx)
    path = daemon.log_path(app.settings)
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            app.write(_shown(app, line) for line in deque(file, maxlen=lines))
            position = file.tell()
    except FileNotFoundError:
        raise NotFound(
            f"there is no log yet at `{path}`",
            f"尚无日志：`{path}`",
            hint="start the daemon with `pyjobs daemon start`",
        ) from None
    if follow:
        _follow(app, path, position)


def start_daemon(app: App, timeout: str | None = None, *, api: bool = True) -> None:
    """Start, and say who runs now."""
    timeout_s = 30.0 if timeout is None else milliseconds("--timeout", timeout) / 1000
    found = daemon.start(app.settings, api=api, timeout_s=timeout_s)
    app.say("daemon.started", pid=found.supervisor_pid, home=str(app.settings.home))
    if found.api_url:
        app.say("daemon.api", address=found.api_url)


def stop_daemon(app: App, timeout: str | None = None, *, force: bool = False, yes: bool = False) -> None:
    """Stop, and say what goes on without it."""
    if daemon.status(app.settings) is None:
        raise DaemonNotRunning
    running = [run for run in app.service.runs.active() if run.state is RunState.RUNNING]
    kills = procs.kills_on_stop(app.settings.on_stop)
    for one in running:
        app.say("run.is_running", exec_id=one.exec_id, name=one.job_name)
    if running and kills:
        app.confirm(app.text("daemon.ask_stop", count=len(running)), yes=yes)
    timeout_s = None if timeout is None else milliseconds("--timeout", timeout) / 1000
    if running and not force:
        app.say("daemon.stopping", drain=span(app.settings.drain * 1000, whole=True))
    found = daemon.stop(app.settings, force=force, timeout_s=timeout_s)
    app.say("daemon.stopped", pid=found.supervisor_pid)
    left = [run for run in app.service.runs.active() if run.state is RunState.RUNNING]
    if left:
        app.say("daemon.left_running", count=len(left))


def status_lines(app: App, found: daemon.DaemonStatus | None) -> list[tuple[str, str]]:
    """The daemon's part of a status page."""
    if found is None:
        return [("f.daemon", app.text("daemon.down"))]
    up = span(app.view.now_ms - found.started_ms, whole=True)
    runner = str(found.runner_pid) if found.runner_pid else app.text("daemon.no_runner")
    return [
        ("f.daemon", app.text("daemon.up", up=up, pid=found.supervisor_pid, runner=runner)),
        *(("", line) for line in _warnings(app, found)),
        ("f.api", _api_line(app, found)),
        ("f.restarts", str(found.restarts) if found.restarts else ""),
        ("f.api_restarts", str(found.api_restarts) if found.api_restarts else ""),
        ("f.last_restart", _last_restart(app, found.last_restart)),
        ("f.version", found.version),
    ]


def status_document(app: App, found: daemon.DaemonStatus | None) -> dict[str, object]:
    """The same for programs."""
    if found is None:
        return {"running": False}
    return {
        "running": True,
        "pid": found.supervisor_pid,
        "runner_pid": found.runner_pid,
        "started": app.view.iso(found.started_ms),
        "restarts": found.restarts,
        "safe_mode_since": app.view.iso(found.safe_since_ms),
        "next_start": app.view.iso(found.next_start_ms),
        "last_restart": None
        if (last := found.last_restart) is None
        else {"at": app.view.iso(last.at_ms), "what": last.what, "why": last.why},
        "store_trouble": found.trouble or None,
        "keeper_pid": found.keeper_pid if found.keeper_alive else None,
        "home": found.home,
        "version": found.version,
        "api": None
        if not found.api_url
        else {"address": found.api_url, "pids": list(found.api_pids), "restarts": found.api_restarts},
    }


def _warnings(app: App, found: daemon.DaemonStatus) -> list[str]:
    """What is not well, in words that stand out."""
    said = []
    if found.safe_since_ms is not None:
        said.append(app.text("daemon.safe_mode", since=app.view.full(found.safe_since_ms)))
    if found.runner_pid is None and found.next_start_ms is not None:
        wait = span(max(0, found.next_start_ms - app.view.now_ms), whole=True)
        said.append(app.text("daemon.next_start", wait=wait))
    if found.trouble:
        said.append(app.text("daemon.trouble", why=one_line(found.trouble)))
    if not found.keeper_alive:
        said.append(app.text("daemon.no_keeper", pid=found.keeper_pid))
    return [paint(line, "yellow", on=app.colored(sys.stdout)) for line in said]


def _last_restart(app: App, last: daemon.Restart | None) -> str:
    if last is None:
        return ""
    return app.text("daemon.last_restart", what=last.what, at=app.view.full(last.at_ms), why=one_line(last.why))


def _api_line(app: App, found: daemon.DaemonStatus) -> str:
    if not found.api_url:
        return app.text("api.none")
    pids = ", ".join(str(pid) if pid else app.text("daemon.no_runner") for pid in found.api_pids)
    return app.text("api.up", address=found.api_url, pids=pids)


def _shown(app: App, line: str) -> str:
    """A line of the log: as it is, and for a person without the braces."""
    line = line.rstrip("\n")
    if not app.terminal:
        return line
    import json as decoder

    try:
        entry = decoder.loads(line)
        text = f"{entry['time'][:19].replace('T', ' ')}  {entry['level'].upper():7}  {entry['msg']}"
        trace = entry.get("stacktrace", "")
    except (ValueError, KeyError, TypeError):
        return app.shown(line)
    return app.shown(f"{text}\n{trace}" if trace else text)


def _follow(app: App, path: Path, position: int) -> None:
    """What is added to a file; goes on with the new one when the log was rotated."""
    inode = path.stat().st_ino
    while True:
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != inode or found.st_size < position:
                inode, position = found.st_ino, 0
            file.seek(position)
            app.write(_shown(app, line) for line in file.read().splitlines())
            sys.stdout.flush()
            position = file.tell()
        time.sleep(_POLL_S)
