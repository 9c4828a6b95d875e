"""Flags and arguments that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DryRun", "Format", "JobArg", "JobArgs", "Json", "Limit", "Output", "Raw", "RunArg", "RunArgs", "Yes"]


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
        return list(app.service.jobs.names(incomplete, 100)) if app.settings.database_path.exists() else []
    except Exception:
        return []
    finally:
        app.close()


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
OneJob = Annotated[
    str | None,
    typer.Option("--job", "-j", metavar="NAME", help="Only runs of this job.", autocompletion=_job_names),
]
RunArg = Annotated[str, typer.Argument(metavar="EXEC", help="A run: its exec id, or a unique beginning.")]
RunArgs = Annotated[list[str], typer.Argument(metavar="EXEC...", help="Runs: exec ids, or unique beginnings.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")]
Raw = Annotated[bool, typer.Option("--raw", help="Show control characters on a terminal as they are.")]
