"""Whole pages about one thing, and small lists that belong to jobs."""

from __future__ import annotations

from collections.abc import Sequence

from pyjobs.cli.context import App
from pyjobs.cli.messages import word
from pyjobs.cli.presence import left_alone
from pyjobs.cli.reasons import in_language, short
from pyjobs.cli.render import Column, Noun, pairs, terminal_width
from pyjobs.cli.text import cut, one_line
from pyjobs.cli.times import View, span
from pyjobs.cli.views import SHORT, when
from pyjobs.jobs import ACTIVE, Run
from pyjobs.service.jobs import Repair

__all__ = ["fire_lines", "fires_noun", "repairs_noun", "run_lines", "run_page", "state_line"]

#: Of the values on a page, at most.
_INDENT = 18


def fire_lines(app: App, fires: Sequence[int], view: View | None = None) -> list[str]:
    """`2026-11-24 22:15:00  in 2 minutes`, a line each."""
    shown = view or app.view
    return [f"{shown.full(ms)}  {shown.relative(ms)}" for ms in fires]


def fires_noun() -> Noun[int]:
    """Instants."""
    return Noun(
        singular="fire",
        plural="fires",
        name=str,
        document=lambda ms, view: {"at": view.iso(ms), "in_seconds": (ms - view.now_ms) / 1000},
        columns=(),
    )


def repairs_noun() -> Noun[Repair]:
    """Next fires that were wrong in the store."""
    return Noun(
        singular="repair",
        plural="repairs",
        name=lambda repair: repair.name,
        document=lambda repair, view: {
            "id": repair.job_id,
            "name": repair.name,
            "was": view.iso(repair.was_ms),
            "now": view.iso(repair.now_ms),
        },
        columns=(
            Column("col.id", lambda repair, _: str(repair.job_id), right=True),
            Column("col.name", lambda repair, _: repair.name),
            Column("col.was", lambda repair, view: view.when(repair.was_ms)),
            Column("col.now", lambda repair, view: view.when(repair.now_ms)),
        ),
    )


def run_lines(app: App, runs: Sequence[Run], *, named: bool = False) -> list[str]:
    """Runs, a line each: when, whose, how, how long, why; cut to the terminal where there is one."""
    room = terminal_width() - _INDENT if app.terminal else 0
    lines = []
    for run in runs:
        parts = (
            app.view.full(when(run)),
            one_line(run.job_name) if named else "",
            state_line(app, run),
            span(run.duration_ms),
            run.exec_id[:SHORT] if app.terminal else run.exec_id,
            one_line(short(run, app.view)),
        )
        line = "  ".join(filter(None, parts))
        lines.append(cut(line, max(room, _INDENT)) if room else line)
    return lines


def state_line(app: App, run: Run) -> str:
    """The state of a run; of one that nobody makes any more, that too."""
    state = word(run.state.value, app.lang)
    alone = run.state in ACTIVE and left_alone(app, run)
    return f"{state} ({app.text('run.no_runner')})" if alone else state


def run_page(app: App, run: Run) -> list[str]:
    """Everything about a run but its output."""
    view, lang = app.view, app.lang
    fires = f"{view.full(run.first_ms)} … ({run.fires}×)" if run.fires > 1 else ""
    return pairs(
        app,
        [
            ("col.exec", run.exec_id),
            ("col.job", one_line(run.job_name) + (f" ({run.job_id})" if run.job_id is not None else "")),
            ("col.state", state_line(app, run)),
            ("col.reason", in_language(run.error, lang)),
            ("col.source", word(run.source.value, lang)),
            ("f.scheduled", view.full(run.scheduled_ms)),
            ("f.first", fires),
            ("f.started", view.full(run.started_ms)),
            ("f.ended", view.full(run.ended_ms)),
            ("col.took", span(run.duration_ms)),
            ("col.late", span(run.lateness_ms)),
            ("f.attempt", str(run.attempt) if run.attempt > 1 else ""),
            ("f.exit_code", "" if run.exit_code is None else str(run.exit_code)),
            ("f.retry_of", run.retry_of or ""),
            ("f.kill_by", run.kill_by or ""),
            ("col.mode", run.mode),
            ("col.command", run.command),
            ("f.zone", view.zone.key if app.terminal else ""),
        ],
    )
