"""`pyjobs export` and `import`: all jobs, and their runs, as a document and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.messages import word
from pyjobs.cli.options import DryRun, Json, Output
from pyjobs.cli.paths import put, read_bytes
from pyjobs.cli.progress import bar
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.times import View
from pyjobs.errors import BadDocument, Invalid
from pyjobs.interchange import documents
from pyjobs.interchange.documents import Document
from pyjobs.service.transfer import Checked, Imported, OnConflict, Planned, Verdict

__all__ = ["export", "import_", "kind_of"]


class Kind(str, Enum):
    """How a document is written."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"
    CSV = "csv"


_COUNTED = {
    Verdict.ADD: "doc.add",
    Verdict.RENAME: "doc.rename",
    Verdict.REPLACE: "doc.replace",
    Verdict.SKIP: "doc.skip",
}
To = Annotated[
    str, typer.Argument(metavar="[FILE]", help="Where to; its end says the format. `-`: stdout.", show_default=False)
]
From = Annotated[str, typer.Argument(metavar="FILE", help="A document; `-`: stdin.")]
Format = Annotated[
    Kind | None,
    typer.Option("--format", "-f", metavar="FORMAT", help="json, yaml, toml or csv.", show_default=False),
]
Taken = Annotated[OnConflict, typer.Option("--on-conflict", help="What to do with a job whose name is taken.")]


@examples("pyjobs export jobs.json --logs", "pyjobs export --format csv > jobs.csv")
def export(
    ctx: typer.Context,
    file: To = "-",
    *,
    kind: Format = None,
    logs: Annotated[bool, typer.Option("--logs", help="Their runs too; in JSON and YAML.")] = False,
) -> None:
    """Write all jobs as a document. It holds their texts as they are; pyjobs' own settings and tokens are not in it."""
    app = app_of(ctx, makes=False)
    wanted = kind.value if kind else documents.format_of(file) or "json"
    if logs and wanted not in ("json", "yaml"):
        raise Invalid("--logs", f"{wanted} has no place for runs", f"{wanted} 格式不能包含执行记录",
                      hint="write JSON or YAML", hint_zh="请使用 JSON 或 YAML")  # fmt: skip
    transfer = app.service.transfer()
    jobs = transfer.job_rows()
    count = transfer.count_runs() if logs else 0
    with bar(app, "doc.collecting", count) as progress:
        rows: Iterable[Mapping[str, Any]] = transfer.run_rows(progress) if logs else ()
        when = app.view.iso(app.view.now_ms) or ""
        pieces = documents.write(wanted, when, jobs, rows)
        put(file, pieces)
    if file != "-" and logs:
        app.say("doc.exported_runs", jobs=len(jobs), runs=count, path=file)
    elif file != "-":
        app.say("doc.exported", count=len(jobs), path=file)
    app.say("doc.secrets")


@examples("pyjobs import jobs.json --dry-run", "pyjobs import jobs.yaml --on-conflict skip")
def import_(
    ctx: typer.Context,
    file: From,
    *,
    kind: Format = None,
    on_conflict: Taken = OnConflict.FAIL,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Leave runs out.")] = False,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Add the jobs of a document, and their runs: all or none. Counts, times and states are kept, ids are new."""
    app = app_of(ctx, output, json=json)
    wanted = kind_of(file, kind)
    found = documents.read(documents.decoded(read_bytes(file), file), wanted, file)
    if no_logs and found.logs:
        app.say("doc.no_logs", count=len(found.logs))
        found = Document(found.jobs)
    transfer = app.service.transfer()
    with bar(app, "doc.reading", len(found.jobs)) as progress:
        checked = transfer.check(found, progress)
    if checked.unknown:
        app.warn("doc.unknown", columns=", ".join(checked.unknown))
    if dry_run:
        planned = transfer.plan(checked, on_conflict)
        _report(app, planned, checked, None)
        return
    with bar(app, "doc.writing", len(checked.jobs) + len(checked.runs)) as progress:
        done = transfer.carry_out(checked, on_conflict, by=app.by(), progress=progress)
    _report(app, done.jobs, checked, done)


def kind_of(file: str, kind: Kind | None) -> str:
    """The format of a file: as said, by the end of its name, or JSON. Raises BadDocument."""
    found = kind.value if kind else documents.format_of(file)
    if found is None and file != "-":
        raise BadDocument(
            f"`{file}`: its name does not say what it is", f"`{file}`：文件名未表明其格式",
            hint="add `--format json`, `yaml`, `toml` or `csv`; a crontab is for `pyjobs import crontab`",
            hint_zh="请加上 `--format json`、`yaml`、`toml` 或 `csv`；crontab 请用 `pyjobs import crontab`",
        )  # fmt: skip
    return found or "json"


def _report(app: App, planned: Iterable[Planned], checked: Checked, done: Imported | None) -> None:
    """The rows for programs and before an import, a line for people after it."""
    steps = list(planned)
    for step in steps:
        if step.verdict is Verdict.REPLACE and step.job.owned_by:
            app.warn("doc.owned", name=step.job.name, owner=step.job.owned_by)
    counts = Counter(step.verdict for step in steps)
    parts = [app.text(key, count=counts[verdict]) for verdict, key in _COUNTED.items() if counts[verdict]]
    runs = done.runs if done else len(checked.runs)
    parts += [app.text("doc.runs", count=runs)] if runs else []
    parts += [app.text("doc.runs_left", count=done.runs_left)] if done and done.runs_left else []
    if app.format != "table" or done is None:
        render.listing(app, _rows_noun(), steps, imported=done is not None, runs=runs)
    what = ", ".join(parts) or app.text("doc.nothing")
    app.say("doc.imported" if done else "doc.would", what=what)


def _rows_noun() -> Noun[Planned]:
    return Noun(
        singular="row",
        plural="rows",
        name=lambda step: step.job.name,
        document=_step_document,
        columns=(
            Column("col.row", lambda step, _: str(step.row), right=True),
            Column("col.does", lambda step, view: word(step.verdict.value, view.lang)),
            Column("col.name", _shown_name, style="bold", fold=True),
            Column("col.mode", lambda step, _: step.job.mode),
            Column("col.next", lambda step, view: view.when(step.job.next_fire_ms)),
        ),
    )


def _shown_name(step: Planned, _: View) -> str:
    return step.job.name if step.job.name == step.name else f"{step.name} → {step.job.name}"


def _step_document(step: Planned, view: View) -> dict[str, Any]:
    return {
        "row": step.row,
        "verdict": step.verdict.value,
        "name": step.job.name,
        "named": step.name,
        "id": step.job.id or None,
        "next_fire": view.iso(step.job.next_fire_ms),
    }
