"""`pyjobs api …`: serve the REST API by itself, and its document."""

from __future__ import annotations

import sys

import typer

from pyjobs.cli.command import examples
from pyjobs.cli.context import app_of

__all__ = ["openapi", "serve"]


@examples("pyjobs api serve", "PORT=0 pyjobs api serve")
def serve(ctx: typer.Context) -> None:
    """
    Serve the API in the foreground, without a daemon.

    Nothing fires by it: what it starts waits for a daemon. `pyjobs daemon start` serves the API anyway.
    """
    from pyjobs import logs
    from pyjobs.link import Link
    from pyjobs.listener import address_of, open_listener
    from pyjobs.serve_api import run

    app = app_of(ctx)
    settings = app.settings
    listener = open_listener(settings)
    address = address_of(listener, settings)
    logs.set_up(settings, rotate=False)
    run(
        settings,
        listener.detach(),
        Link(),
        ready=lambda: app.say("api.ready", address=address),
        stopped=lambda: app.say("api.stopped"),
    )


@examples("pyjobs api openapi", "pyjobs api openapi > openapi.json")
def openapi(ctx: typer.Context) -> None:
    """Print the OpenAPI 3.1 document of the API."""
    from pyjobs.api.openapi import document_bytes

    app_of(ctx)
    sys.stdout.write(document_bytes("").decode() + "\n")
