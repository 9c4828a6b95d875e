"""`pyjobs apply` and `diff`: jobs as a file says them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.jobpage import differing_rows
from pyjobs.cli.messages import word
from pyjobs.cli.options import DryRun, Json, Output, Yes
from pyjobs.cli.paths import read_bytes
from pyjobs.cli.saidinfile import fields_in
from pyjobs.cli.text import one_line, paint
from pyjobs.errors import BadDocument, Exit, Invalid
from pyjobs.interchange import documents, jobfiles
from pyjobs.jobs import Job
from pyjobs.service.jobs import JobFields
from pyjobs.service.manifests import Change, Difference, Verdict

__all__ = ["apply", "diff"]

_STYLES = {Verdict.ADD: "green", Verdict.CHANGE: "yellow", Verdict.REMOVE: "red", Verdict.SAME: "dim"}
_COUNTED = {
    Verdict.ADD: "apply.add",
    Verdict.CHANGE: "apply.change",
    Verdict.REMOVE: "apply.remove",
    Verdict.SAME: "apply.same",
}
_KEYS = {"cron_expr": "cron", "interval_s": "every", "at_ms": "at", "max_run_count": "max_runs", "trigger_type": "when"}
_INDENT = " " * 4
File = Annotated[str, typer.Argument(metavar="FILE", help="A TOML or YAML file of jobs; `-`: TOML on stdin.")]
Owner = Annotated[
    str | None,
    typer.Option("--owner", metavar="TEXT", help="Whose the jobs are.  [default: the file's path]", show_default=False),
]
Prune = Annotated[bool, typer.Option("--prune", help="Remove jobs that came from this file and are not in it now.")]


@examples("pyjobs apply jobs.toml --diff", "pyjobs apply jobs.yaml --prune --dry-run")
def apply(
    ctx: typer.Context,
    file: File,
    *,
    show: Annotated[bool, typer.Option("--diff", help="Show what differs, and the next fires.")] = False,
    prune: Prune = False,
    owner: Owner = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Make the jobs what a file says, all or none. Its keys are the flags of `job add`; each has its default."""
    app = app_of(ctx, output, json=json)
    wanted, whose = _wanted(app, file, owner)
    manifests = app.service.manifests()
    changes = manifests.plan(wanted, whose, prune=prune)
    if not dry_run:
        gone = [change.job.name for change in changes if change.verdict is Verdict.REMOVE]
        if gone:
            shown = ", ".join(f"`{one_line(name)}`" for name in gone)
            app.confirm(app.text("apply.ask_remove", count=len(gone), names=shown), yes=yes)
        changes = manifests.apply(wanted, whose, prune=prune, by=app.by())
    _write(app, changes, whole=show or dry_run)
    app.say("apply.would" if dry_run else "apply.applied", what=_counted(app, changes))
    if not prune:
        _say_forgotten(app, wanted, whose)


@examples("pyjobs diff jobs.toml", "pyjobs diff jobs.toml --prune --json")
def diff(
    ctx: typer.Context,
    file: File,
    *,
    prune: Prune = False,
    owner: Owner = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show what `apply` would change; the exit code is 1 when that is anything."""
    app = app_of(ctx, output, json=json)
    wanted, whose = _wanted(app, file, owner)
    changes = app.service.manifests().plan(wanted, whose, prune=prune)
    _write(app, changes, whole=True)
    if not prune:
        _say_forgotten(app, wanted, whose)
    if any(change.verdict is not Verdict.SAME for change in changes):
        app.leave(Exit.FAILED)


def _wanted(app: App, file: str, owner: str | None) -> tuple[list[JobFields], str]:
    kind = "toml" if file == "-" else documents.format_of(file)
    if kind not in ("toml", "yaml"):
        raise BadDocument(
            f"`{file}`: its name ends neither in .toml nor in .yaml", f"`{file}`：扩展名应为 .toml 或 .yaml"
        )
    if file == "-" and not owner:
        raise Invalid("--owner", "is needed for what comes from stdin", "从标准输入读取时需要该参数")
    content = documents.mapping_of(documents.decoded(read_bytes(file), file), kind, file)
    whose = owner or str(Path(file).resolve())
    return fields_in(jobfiles.listed(content, file), app.view.zone), whose


def _say_forgotten(app: App, wanted: Sequence[JobFields], owner: str) -> None:
    names = app.service.manifests().forgotten(wanted, owner)
    if names:
        app.warn("apply.forgotten", count=len(names), names=", ".join(f"`{name}`" for name in names))


def _counted(app: App, changes: Sequence[Change]) -> str:
    counts = Counter(change.verdict for change in changes)
    parts = [app.text(key, count=counts[verdict]) for verdict, key in _COUNTED.items() if counts[verdict]]
    return ", ".join(parts) or app.text("doc.nothing")


def _write(app: App, changes: Sequence[Change], *, whole: bool) -> None:
    if app.format != "table":
        render.document(app, {"changes": [_document(app, change) for change in changes]})
        return
    on = app.colored(sys.stdout)
    for change in changes:
        if change.verdict is Verdict.SAME:
            continue
        head = paint(word(change.verdict.value, app.lang), _STYLES[change.verdict], on=on)
        app.write([f"{head} {one_line(change.job.name)}"])
        if whole:
            app.write(f"{_INDENT}{line}" for line in _lines(app, change))


def _lines(app: App, change: Change) -> Iterator[str]:
    """What differs, and when it fires before and after."""
    for difference in change.differences:
        if difference.field == "command" and change.old and change.new:
            for name, old, new in differing_rows(app, change.old, change.new):
                yield from _difference(app, name, old, new)
        elif difference.field != "mode":
            yield from _difference(app, _key(difference.field), *map(_shown, _pair(app, difference)))
    before, after = _fires(app, change.old, change.fires_before), _fires(app, change.new, change.fires_after)
    if before and before != after:
        yield f"{app.text('apply.before')}  {before}"
    if after and before != after:
        yield f"{app.text('apply.after')}  {after}"
    if before and before == after:
        yield f"{app.text('apply.fires_same')}  {after}"


def _fires(app: App, job: Job | None, fires: Sequence[int]) -> str:
    """Instants in the zone of a job, which is said."""
    view = app.view.at(job.timezone) if job else app.view
    return f"{', '.join(view.full(ms) for ms in fires)} ({view.zone.key})" if fires else ""


def _key(field: str) -> str:
    """What a file calls a field of Job."""
    return _KEYS.get(field, field.removesuffix("_s"))


def _pair(app: App, difference: Difference) -> tuple[object, object]:
    pair = (difference.old, difference.new)
    if difference.field == "at_ms":
        return tuple(map(app.view.iso, pair))  # type: ignore[return-value]
    if difference.field.endswith("_s"):
        return tuple(f"{seconds}s" if seconds else None for seconds in pair)  # type: ignore[return-value]
    return pair


def _shown(value: object) -> str:
    if value is None or value == "":
        return "-"
    return value.name.lower() if isinstance(value, Enum) else str(value)


def _difference(app: App, name: str, old: str, new: str) -> Iterator[str]:
    if "\n" not in old and "\n" not in new:
        yield f"{name}: {one_line(old)} → {one_line(new)}"
        return
    import difflib

    yield f"{name}:"
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    yield from (f"  {app.shown(line)}" for line in lines if not line.startswith("?"))


def _document(app: App, change: Change) -> dict[str, Any]:
    return {
        "name": change.job.name,
        "id": change.job.id or None,
        "verdict": change.verdict.value,
        "differences": [{"field": d.field, "old": _plain(d.old), "new": _plain(d.new)} for d in change.differences],
        "next_fires_before": [app.view.iso(ms) for ms in change.fires_before],
        "next_fires": [app.view.iso(ms) for ms in change.fires_after],
    }


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
