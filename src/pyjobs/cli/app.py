"""The root of the command line."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from pyjobs.cli.command import RootGroup
from pyjobs.cli.context import App
from pyjobs.cli.tree import ROOT

__all__ = ["main", "root"]


def _version(value: bool) -> None:  # noqa: FBT001 - Typer's shape
    if value:
        from pyjobs import __version__

        typer.echo(f"pyjobs {__version__}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    *,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="The home to work on. (env: PYJOBS_HOME)")
    ] = None,
    lang: Annotated[
        Literal["en", "zh"] | None,
        typer.Option("--lang", is_eager=True, help="Language of messages. (env: PYJOBS_LANG, LC_ALL, LANG)"),
    ] = None,
    color: Annotated[
        Literal["auto", "always", "never"],
        typer.Option("--color", help="When to use colour. (env: NO_COLOR)", show_default=False),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say what caused an error.", show_default=False)
    ] = 0,
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    app = ctx.obj if isinstance(ctx.obj, App) else App()
    app.home = home.expanduser().absolute() if home is not None else app.home
    app.lang_flag = lang or app.lang_flag
    app.color = color if color != "auto" else app.color
    app.quiet = quiet or app.quiet
    app.verbose = verbose or app.verbose
    ctx.obj = app


def root() -> typer.Typer:
    """The command line as a Typer application."""

    class Root(RootGroup):
        def __init__(self, **attrs: Any) -> None:
            super().__init__(branch=ROOT, **{**attrs, "commands": None})

    app = typer.Typer(
        name="pyjobs",
        cls=Root,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    return app


def main() -> None:
    """Run the command line on this process's arguments."""
    # Imports make many objects and no garbage.
    gc.set_threshold(50_000)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if "_PYJOBS_COMPLETE" in os.environ:
        from pyjobs.cli.completing import prepare

        prepare()
    code: object = 0
    try:
        root()(prog_name="pyjobs")
    except SystemExit as exc:
        code = exc.code
    _leave(code if isinstance(code, int) else int(code is not None))


def _leave(code: int) -> NoReturn:
    """Exit without taking every module apart first, which takes as long as many a command."""
    atexit._run_exitfuncs()  # noqa: SLF001 - what others registered is run all the same
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    os._exit(code)
