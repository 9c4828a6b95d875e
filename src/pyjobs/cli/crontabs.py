"""`pyjobs import crontab`: what each line is, and the jobs that do the same."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.messages import word
from pyjobs.cli.options import DryRun, Json, Output
from pyjobs.cli.paths import read_bytes
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.times import View
from pyjobs.errors import Exit, Invalid, NotFound, RunFailed
from pyjobs.interchange.crontab import crontab_lines
from pyjobs.interchange.documents import decoded
from pyjobs.service.crontabs import PlannedLine, Verdict

__all__ = ["import_crontab"]

_STYLES = {Verdict.ADD: "green", Verdict.SKIP: "dim", Verdict.BAD: "red"}
_COUNTED = {Verdict.ADD: "doc.add", Verdict.SKIP: "doc.skip", Verdict.BAD: "crontab.bad"}
_NOTES = {
    "reboot": "crontab.reboot",
    "mail": "crontab.mail",
    "user": "crontab.user",
    "random": "crontab.random",
    "shell": "crontab.shell",
}
From = Annotated[str | None, typer.Argument(metavar="[FILE]", help="A crontab; `-`: stdin.", show_default=False)]


@examples("pyjobs import crontab --user --check", "pyjobs import crontab /etc/crontab --dry-run")
def import_crontab(
    ctx: typer.Context,
    file: From = None,
    *,
    user: Annotated[bool, typer.Option("--user", help="Your own crontab, as `crontab -l` shows it.")] = False,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            help="Lines name a user.  [default: in /etc/crontab, /etc/cron.d]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what each line is; 8 when one can be no job.")
    ] = False,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Add the jobs of a crontab, all or none. What will differ is said; output is kept, not mailed."""
    app = app_of(ctx, output, json=json)
    name, content = _content(file, user=user)
    is_system = (
        system if system is not None else bool(re.match(r"/etc/(crontab$|cron\.d/)", str(Path(name).absolute())))
    )
    lines = crontab_lines(decoded(content, name), system=is_system, me=getpass.getuser())
    crontabs = app.service.crontabs()
    only_look = check or dry_run
    planned = crontabs.plan(lines) if only_look else crontabs.carry_out(lines, by=app.by())
    render.listing(app, _lines_noun(app), planned)
    counts = Counter(step.verdict for step in planned)
    parts = [app.text(key, count=counts[verdict]) for verdict, key in _COUNTED.items() if counts[verdict]]
    app.say("doc.would" if only_look else "doc.imported", what=", ".join(parts) or app.text("doc.nothing"))
    if check and counts[Verdict.BAD]:
        app.leave(Exit.FOUND)


def _content(file: str | None, *, user: bool) -> tuple[str, bytes]:
    if (file is None) is not user:
        raise Invalid("FILE", "name a file, or give `--user`, not both", "请指定文件或 `--user` 之一")
    if file is not None:
        return file, read_bytes(file)
    try:
        done = subprocess.run(["crontab", "-l"], capture_output=True, check=False)
    except FileNotFoundError as exc:
        raise NotFound("there is no program `crontab` here", "没有 `crontab` 程序", hint="name a file") from exc
    if done.returncode:
        raise RunFailed(f"`crontab -l`: {done.stderr.decode('utf-8', 'replace').strip()}")
    return "crontab", done.stdout


def _lines_noun(app: App) -> Noun[PlannedLine]:
    return Noun(
        singular="line",
        plural="lines",
        name=lambda step: step.job.name if step.job else str(step.line.number),
        document=lambda step, view: _document(app, step, view),
        columns=(
            Column("col.line", lambda step, _: str(step.line.number), right=True),
            Column("col.does", lambda step, view: word(step.verdict.value, view.lang),
                   style=lambda step: _STYLES[step.verdict]),
            Column("col.name", lambda step, _: step.job.name if step.job else "", style="bold", fold=True),
            Column("col.schedule", lambda step, _: f"{step.line.schedule} {step.line.zone}".strip(), fold=True),
            Column("col.next", lambda step, view: view.when(step.job.next_fire_ms) if step.job else ""),
            Column("col.command", lambda step, _: step.line.command or step.line.line, cut=True),
            Column("col.differs", lambda step, _: _why(app, step), fold=True),
        ),
    )  # fmt: skip


def _why(app: App, step: PlannedLine) -> str:
    if step.problem:
        return step.problem.text(app.lang)
    said = [app.text(_NOTES[note], user=step.line.user, mail=step.line.mail_to) for note in step.line.notes]
    return "; ".join(said)


def _document(app: App, step: PlannedLine, view: View) -> dict[str, Any]:
    job = step.job
    return {
        "line": step.line.number,
        "text": step.line.line,
        "verdict": step.verdict.value,
        "name": job.name if job else None,
        "id": job.id or None if job else None,
        "cron_expr": step.line.schedule,
        "timezone": step.line.zone,
        "user": step.line.user,
        "command": step.line.command,
        "differences": list(step.line.notes),
        "why": _why(app, step),
        "next_fire": view.iso(job.next_fire_ms) if job else None,
    }
