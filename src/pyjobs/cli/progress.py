"""A bar on stderr for what takes long, where a person looks at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from pyjobs.cli.context import App

__all__ = ["bar"]

#: What has fewer steps is done before a bar could be read.
_WORTH = 1000


@contextlib.contextmanager
def bar(app: App, key: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told of steps done; it draws nothing with `--quiet`, in a pipe, or for few steps."""
    if app.quiet or total < _WORTH or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr, no_color=not app.colored(sys.stderr))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(app.text(key), total=total)
        yield lambda steps: progress.advance(task, steps)
