"""
A process of the API: `python -m pyjobs.serve_api HOME front|background`, started by the supervisor.

`pyjobs api serve` runs the same in the foreground, without a supervisor.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pyjobs import bootstrap, logs
from pyjobs.api.rsgi import AppThread, Together
from pyjobs.api.server import serve
from pyjobs.bootstrap import Api
from pyjobs.config import Settings
from pyjobs.errors import PyjobsError
from pyjobs.link import Link

__all__ = ["main", "run"]

#: The runner comes first where both want a processor: no load of clients makes fires late.
_NICER = 10
#: Its name is `__main__` when it is run.
_log = logging.getLogger("pyjobs.serve_api")


def main(home: Path, where: str) -> int:
    """Answer requests until told to stop; answer the exit code. What prevents a start is told to the supervisor."""
    link = Link()
    os.nice(_NICER)
    os.chdir(home)
    try:
        settings, _ = bootstrap.load_settings(home)
        logs.set_up(settings, to_stderr=where == "front", rotate=False)
        listen_fd = link.listen_fd
        assert listen_fd is not None
        run(settings, listen_fd, link, ready=_nothing, stopped=_nothing)
    except PyjobsError as exc:
        _log.error("the API cannot start: %s", exc)
        link.failed(exc)
        return int(exc.exit_code)


def run(
    settings: Settings,
    listen_fd: int,
    link: Link,
    ready: Callable[[], None],
    stopped: Callable[[], None],
) -> NoReturn:
    """
    Answer requests from a socket that listens, until told to stop; then the process ends.

    Calls `ready` when it begins, and `stopped` when it has ended.

    Raises:
        PyjobsError: it cannot begin.
    """
    built: list[Api] = []

    def build() -> tuple[Any, Callable[[], None]]:
        api = bootstrap.build_api(settings)
        built.append(api)
        return api.app, api.close

    app = AppThread(build)
    app.start()
    following, reloading = built[0].following, built[0].reloading
    app.together = Together(built[0].together_paths, built[0].together)
    if link.life_fd is not None:
        following.renew = link.renew

    def begun() -> None:
        _log.info("the API is ready")
        link.ready()
        ready()

    def beat() -> None:
        link.beat()
        app.submit(following.look)
        reloading.look()

    def reload() -> None:
        reloading.ask()
        following.ask()
        app.submit(following.look)

    def ended() -> None:
        _log.info("the API stopped")
        stopped()

    serve(
        app,
        listen_fd,
        settings,
        ready=begun,
        beat=beat,
        reload=reload,
        stopped=ended,
        life_fd=link.life_fd,
    )


def _nothing() -> None:
    """There is nobody to tell."""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
