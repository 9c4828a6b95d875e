"""Flags and arguments that several commands share."""

from __future__ import annotations

import contextlib
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DryRun",
    "Format",
    "JobArg",
    "JobArgs",
    "Json",
    "Limit",
    "MaybeJob",
    "OneJob",
    "Output",
    "Raw",
    "RunArg",
    "RunArgs",
    "Yes",
    "function_names",
    "zone_names",
]

#: Runs that completion offers.
_NEWEST = 20


class Format(str, Enum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    YAML = "yaml"
    NAME = "name"


def _job_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of jobs that begin so, from the store; nothing at all when anything is wrong."""
    from pyjobs.cli.context import App

    home = ctx.find_root().params.get("home")
    app = App(home=Path(home).absolute() if home else None)
    try:
        # Completion makes no store where there is none.
        return list(app.service.jobs.names(incomplete, 100)) if not app.empty else []
    except Exception:
        return []
    finally:
        app.close()


def _run_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Exec ids of the newest runs that begin so, with what each was; nothing at all when anything is wrong."""
    from pyjobs.cli.context import App
    from pyjobs.ports import RunQuery

    home = ctx.find_root().params.get("home")
    app = App(home=Path(home).absolute() if home else None)
    try:
        runs = app.service.runs.list(RunQuery(limit=_NEWEST)) if not app.empty else []
        return [(r.exec_id, f"{r.job_name} {r.state.value}") for r in runs if r.exec_id.startswith(incomplete)]
    except Exception:
        return []
    finally:
        app.close()


def zone_names(incomplete: str) -> list[str]:
    """Names of zones that begin so."""
    from zoneinfo import available_timezones

    return sorted(name for name in available_timezones() if name.startswith(incomplete))


def function_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of functions that begin so; nothing at all when anything is wrong."""
    from pyjobs.bootstrap import build_functions
    from pyjobs.cli.context import App

    home = ctx.find_root().params.get("home")
    app = App(home=Path(home).absolute() if home else None)
    try:
        if app.empty:
            from pyjobs.functions.builtin import BUILT_IN

            return sorted(name for name in BUILT_IN if name.startswith(incomplete))
        with contextlib.closing(build_functions(app.settings)) as functions:
            return [function.name for function in functions.functions() if function.name.startswith(incomplete)]
    except Exception:
        return []


Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", metavar="FORMAT", help="table, json, jsonl, csv, yaml or name.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="The same as `-o json`.")]
JobArg = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A job: its name, id, or a unique beginning.", autocompletion=_job_names),
]
JobArgs = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Jobs: names, ids, or unique beginnings.", autocompletion=_job_names),
]
MaybeJob = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Only this job.", show_default=False, autocompletion=_job_names),
]
OneJob = Annotated[
    str | None,
    typer.Option("--job", "-j", metavar="NAME", help="Only runs of this job.", autocompletion=_job_names),
]
RunArg = Annotated[
    str, typer.Argument(metavar="EXEC", help="A run: its exec id, or a unique beginning.", autocompletion=_run_ids)
]
RunArgs = Annotated[
    list[str],
    typer.Argument(metavar="EXEC...", help="Runs: exec ids, or unique beginnings.", autocompletion=_run_ids),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=100_000, help="How many at most.")]
Raw = Annotated[bool, typer.Option("--raw", help="Show control characters on a terminal as they are.")]
