"""`pyjobs db backup`, `verify` and `restore`: the store and what belongs to it, copied out and put back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples, report
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import DryRun, Json, Output, Yes
from pyjobs.errors import BackupUnusable, Conflict, Exit, NotFound, StoreUnusable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pyjobs.ports import Contents, Progress
    from pyjobs.service.restores import Plan, Restored

__all__ = ["backup", "restore", "verify"]

To = Annotated[
    Path | None,
    typer.Argument(metavar="[PATH]", help="The file to make, or a folder to make one in.  [default: backups in home]"),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A backup, or a copy of the database file.")]
KeepDays = Annotated[
    int,
    typer.Option("--keep-days", metavar="N", min=0, max=36500,
                 help="Delete older backups in that folder, never the newest; 0: none."),
]  # fmt: skip
Verify = Annotated[
    bool, typer.Option("--verify", help="Restore it into a scratch folder and compare, before it gets its name.")
]
NoFiles = Annotated[bool, typer.Option("--no-files", help="Leave settings, alert rules and user functions out.")]
Compress = Annotated[
    bool | None,
    typer.Option("--compress/--no-compress", show_default=False,
                 help="Whether it is gzipped.  [default: up to 64 MiB, or as the name says]"),
]  # fmt: skip
Pause = Annotated[bool, typer.Option("--pause-daemon", help="Stop the daemon for it, and start it again.")]
Files = Annotated[
    bool, typer.Option("--files", help="Replace settings and functions that differ, too; the old ones are kept.")
]


@examples("pyjobs db backup --keep-days 30 --verify", "pyjobs db backup /srv/backup/jobs.tar.gz --no-files")
def backup(
    ctx: typer.Context,
    path: To = None,
    *,
    keep_days: KeepDays = 0,
    verify: Verify = False,
    no_files: NoFiles = False,
    compress: Compress = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """
    Back the store up into one file, while the daemon goes on. Prints its path.

    It holds the store as it was at one instant, settings without their secrets, alert rules and user functions. What
    jobs say is in the store, secrets included: the file is for its owner only.
    """
    from pyjobs.bootstrap import build_backups
    from pyjobs.cli.times import span
    from pyjobs.service.backups import Wanted

    app = app_of(ctx, output, json=json)
    if app.empty:
        raise NotFound(f"there is no store at `{app.settings.database_shown}`",
                       f"数据库不存在：`{app.settings.database_shown}`", hint="see `pyjobs config path`")  # fmt: skip
    wanted = Wanted(keep_days=keep_days, compress=compress, files=not no_files, verify=verify)
    began = app.clock.monotonic()
    with _bar(app) as progress:
        made = build_backups(app.settings, app.clock).make(_given(path) if path is not None else None, wanted, progress)
    took_ms = int((app.clock.monotonic() - began) * 1000)
    rows = sum(made.manifest.counts.values())
    app.say("db.made", rows=rows, count=rows, path=str(made.path), size=_size(made.size), took=span(took_ms))
    for name, why in made.manifest.left_out.items():
        app.warn("db.left_out", name=name, why=why)
    if made.verified:
        app.say("db.verified")
    if made.gone:
        app.say("db.gone", count=len(made.gone))
    if app.format == "table":
        app.write([str(made.path)])
        return
    render.document(app, {"backup": {
        "path": str(made.path), "size": made.size, "created": made.manifest.created, "schema": made.manifest.schema,
        "counts": made.manifest.counts, "left_out": made.manifest.left_out, "verified": made.verified,
        "deleted": [str(gone) for gone in made.gone],
    }})  # fmt: skip


@examples("pyjobs db verify backups/jobs_20261101_030000.tar.gz", "pyjobs db verify /srv/backup/jobs.tar.gz --json")
def verify(ctx: typer.Context, file: File, *, output: Output = None, json: Json = False) -> None:
    """Restore a backup to a scratch place, look at every page, compare counts and checksums. Exit code 8: it is bad."""
    from pyjobs.bootstrap import build_restores

    app = app_of(ctx, output, json=json)
    try:
        restores = build_restores(app.settings, app.clock)
        with _bar(app) as progress, restores.prepared(_given(file), progress, only_look=True) as plan:
            pass
    except (BackupUnusable, StoreUnusable) as exc:
        report(app, exc)
        app.leave(Exit.FOUND)
    if app.format != "table":
        render.document(app, {"backup": {"path": str(file), "whole": True, **_plan_document(app, plan)}})
        return
    if plan.manifest is None:
        app.warn("db.bare", path=str(file))
    jobs, runs = _counts(plan.incoming)
    app.say("db.fine", path=str(file), jobs=jobs, runs=runs, made=app.view.when(plan.made_ms))


@examples("pyjobs db restore backups/jobs_20261101_030000.tar.gz --dry-run",
          "pyjobs db restore backups/jobs_20261101_030000.tar.gz --pause-daemon")  # fmt: skip
def restore(
    ctx: typer.Context,
    file: File,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    pause_daemon: Pause = False,
    files: Files = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """
    Check a backup, then put it in the place of the store, which is kept beside it.

    What has fired since the backup does not fire again; what nobody was there for is up to each job's misfire policy.
    Tokens, admins and address lists are those of the backup: revoke again what was revoked since.
    """
    from pyjobs import daemon
    from pyjobs.bootstrap import build_restores

    app = app_of(ctx, output, json=json)
    running = daemon.status(app.settings)
    if running is not None and not pause_daemon and not dry_run:
        raise Conflict(
            f"the daemon (pid {running.supervisor_pid}) has the store",
            f"守护进程（pid {running.supervisor_pid}）正在使用数据库",
            hint="add `--pause-daemon`, which starts it again, or stop it with `pyjobs daemon stop`",
            hint_zh="加 `--pause-daemon`（完成后会重新启动），或先执行 `pyjobs daemon stop`",
        )
    path, restores = _given(file), build_restores(app.settings, app.clock)
    with contextlib.ExitStack() as stack:
        with _bar(app) as progress:
            plan = stack.enter_context(restores.prepared(path, progress))
        document = _plan_document(app, plan)
        _show(app, path, plan, files=files)
        if not dry_run:
            app.confirm(app.text("db.ask_restore"), yes=yes)
            with _without_daemon(app, yes=yes):
                done = restores.carry_out(plan, files=files)
                _tell(app, done)
            document |= _done_document(done)
    if app.format != "table":
        render.document(app, {"restore": {"path": str(path), "done": not dry_run, **document}})


@contextlib.contextmanager
def _bar(app: App) -> Iterator[Progress]:
    """What shows how far it is: a bar on a terminal, nothing elsewhere. Gone when it is done."""
    if app.quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr, no_color=not app.colored(sys.stderr))
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(app.text(f"p.stage_{stage}"), total=total or None)
            bar.update(tasks[stage], completed=done, total=total or None)

        yield progress


@contextlib.contextmanager
def _without_daemon(app: App, *, yes: bool) -> Iterator[None]:
    """Stop the daemon if it runs, and start it again as it was, whatever happens meanwhile."""
    from pyjobs import daemon
    from pyjobs.cli.daemon import start_daemon, stop_daemon

    found = daemon.status(app.settings)
    if found is None:
        yield
        return
    try:
        stop_daemon(app, yes=yes)
    except StoreUnusable:
        # It cannot be asked what runs: that is why it is restored.
        daemon.stop(app.settings)
    # The store is another one afterwards.
    app.close()
    try:
        yield
    finally:
        # Its manager may have started it already.
        if daemon.status(app.settings) is None:
            start_daemon(app, api=bool(found.api_url))


def _show(app: App, path: Path, plan: Plan, *, files: bool) -> None:
    """Say what will be replaced by what."""
    rows = [("p.backup", str(path))]
    rows.append(("", _holds(app, plan.incoming, app.text("db.made_at", when=app.view.when(plan.made_ms)))))
    rows.append(("p.database", app.settings.database_shown))
    if plan.current is None:
        rows.append(("", app.text("db.no_store")))
    else:
        newest = plan.current.newest_ms
        age = app.text("db.newest", when=app.view.when(newest)) if newest else app.text("db.no_runs")
        rows.append(("", _holds(app, plan.current, age)))
    for number, file in enumerate(plan.files):
        key = "replaced" if files and file.here == "differs" else file.here
        rows.append(("" if number else "p.files", app.text(f"p.file_{key}", path=str(file.to))))
    if not app.quiet:
        sys.stderr.write("".join(line + "\n" for line in render.pairs(app, rows)))


def _holds(app: App, contents: Contents, age: str) -> str:
    jobs, runs = _counts(contents)
    return app.text("db.holds", jobs=jobs, runs=runs, schema=contents.schema, age=age)


def _tell(app: App, done: Restored) -> None:
    app.say("db.restored", path=app.settings.database_shown)
    if done.aside is not None:
        app.say("db.aside", path=str(done.aside))
        if done.carried:
            app.say("db.carried")
        else:
            app.say("db.not_carried")


def _plan_document(app: App, plan: Plan) -> dict[str, object]:
    manifest = plan.manifest
    return {
        "created": app.view.iso(plan.made_ms),
        "pyjobs": manifest.pyjobs if manifest else None,
        "schema": plan.incoming.schema,
        "counts": plan.incoming.counts,
        "left_out": manifest.left_out if manifest else {},
        "replaces": None if plan.current is None else plan.current.counts,
        "files": {str(file.to): file.here for file in plan.files},
    }


def _done_document(done: Restored) -> dict[str, object]:
    return {
        "aside": str(done.aside) if done.aside else None,
        "carried_over": done.carried,
        "written": [str(path) for path in done.written],
        "kept": [str(path) for path in done.kept],
    }


def _counts(contents: Contents) -> tuple[int, int]:
    return contents.counts.get("jobs", 0), contents.counts.get("job_logs", 0)


def _size(size: int) -> str:
    import humanize

    return humanize.naturalsize(size, binary=True)


def _given(path: Path) -> Path:
    return path.expanduser().absolute()
