"""The specification's own commands: `start [-d] [-f]`, `stop [-f]`, `restart`, `reload-funcs`."""

from __future__ import annotations

from typing import Annotated

import typer

from pyjobs import daemon
from pyjobs.cli.command import examples
from pyjobs.cli.context import app_of
from pyjobs.cli.daemon import start_daemon, stop_daemon
from pyjobs.cli.funcs import reload

__all__ = ["reload_funcs", "restart", "start", "stop"]


@examples("pyjobs start", "pyjobs start -d -f")
def start(
    ctx: typer.Context,
    *,
    background: Annotated[bool, typer.Option("-d", "--daemon", help="In the background.")] = False,
    guarded: Annotated[
        bool, typer.Option("-f", "--force", help="Taken and not needed: it is always supervised.")
    ] = False,
) -> None:
    """Start the daemon, in the foreground unless -d is given. The same as `daemon run` and `daemon start`."""
    del guarded
    app = app_of(ctx)
    if background:
        start_daemon(app)
    else:
        daemon.run(app.settings)


@examples("pyjobs stop", "pyjobs stop -f")
def stop(
    ctx: typer.Context,
    *,
    force: Annotated[bool, typer.Option("-f", "--force", help="Do not wait for short work.")] = False,
) -> None:
    """Stop the daemon. The same as `daemon stop`."""
    stop_daemon(app_of(ctx), force=force, yes=True)


@examples("pyjobs restart", "pyjobs restart && pyjobs status")
def restart(ctx: typer.Context) -> None:
    """Restart the daemon. The same as `daemon restart`."""
    app = app_of(ctx)
    if daemon.status(app.settings) is not None:
        stop_daemon(app, yes=True)
    start_daemon(app)


@examples("pyjobs reload-funcs", "python cli.py reload-funcs")
def reload_funcs(ctx: typer.Context) -> None:
    """Load the files of functions again. The same as `funcs reload`."""
    reload(ctx)
