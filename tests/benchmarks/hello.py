"""The floor of the API: a Bottle app with one route behind the same server and adapter. `python hello.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bottle

from pyjobs.api.rsgi import AppThread
from pyjobs.api.server import serve
from pyjobs.config import Settings
from pyjobs.listener import address_of, open_listener

__all__ = ["main"]


def main(folder: str) -> None:
    """Serve, and print the address."""
    settings = Settings(home=Path(folder), port=0)
    app = AppThread(lambda: (_app(), lambda: None))
    app.start()
    listener = open_listener(settings)
    address = address_of(listener, settings)

    def nothing() -> None:
        """There is nobody to tell."""

    serve(
        app,
        listener.detach(),
        settings,
        ready=lambda: print(address, flush=True),
        beat=nothing,
        reload=nothing,
        stopped=nothing,
    )


def _app() -> Any:
    app = bottle.Bottle()

    @app.get("/hello")  # type: ignore[untyped-decorator]
    def hello() -> bytes:
        bottle.response.content_type = "application/json"
        return b'{"hello": "world"}'

    return app


if __name__ == "__main__":
    main(sys.argv[1])
