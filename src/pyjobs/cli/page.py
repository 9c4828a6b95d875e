"""Whole pages about one thing, and small lists that belong to jobs."""

from __future__ import annotations

from collections.abc import Sequence

from pyjobs.cli.context import App
from pyjobs.cli.messages import word
from pyjobs.cli.render import Column, Noun, pairs, terminal_width
from pyjobs.cli.text import cut, one_line
from pyjobs.cli.times import View, span
from pyjobs.cli.views import SHORT, JobRow, schedule, state_of
from pyjobs.jobs import Fold, Gap, Misfire, Run, TriggerType
from pyjobs.service.jobs import Repair

__all__ = ["fire_lines", "fires_noun", "job_page", "repairs_noun", "run_lines", "run_page"]

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


def job_page(app: App, row: JobRow, fires: Sequence[int], runs: Sequence[Run]) -> list[str]:
    """Everything about a job; what is as it always is stays away."""
    job, view, lang = row.job, app.view, app.lang
    state = word(state_of(row), lang)
    limit = f"{job.run_count} / {job.max_run_count}" if job.max_run_count else str(job.run_count)
    zone = job.timezone or f"{view.zone.key} ({app.text('by_default')})"
    lines = pairs(
        app,
        [
            ("col.name", one_line(job.name)),
            ("col.id", str(job.id)),
            ("f.desc", job.desc),
            ("col.state", f"{state}: {job.stop_reason}" if job.stop_reason else state),
            ("col.mode", job.mode),
            ("col.command", job.command),
            ("col.schedule", schedule(job, view)),
            ("", _in_words(row, app)),
            ("f.zone", zone if job.trigger_type is TriggerType.CRON else ""),
            ("f.dst", _dst(row)),
            ("f.allow", f"{word(job.allow_mode.name.lower(), lang)} ({int(job.allow_mode)})"),
            ("f.misfire", "" if job.misfire is Misfire.ONCE else job.misfire.value),
            ("f.window", "" if job.catchup_window_s == 3600 else span(job.catchup_window_s * 1000, whole=True)),
            ("f.timeout", "" if job.timeout_s is None else f"{job.timeout_s}s"),
            ("f.grace", "" if job.grace_s == 10 else f"{job.grace_s}s"),
            ("f.count", limit),
            ("f.created", view.full(job.created_ms)),
            ("f.updated", view.full(job.updated_ms) if job.updated_ms != job.created_ms else ""),
            *[("col.next" if n == 0 else "", line) for n, line in enumerate(fire_lines(app, fires))],
            *[("f.runs" if n == 0 else "", line) for n, line in enumerate(run_lines(app, runs))],
        ],
    )
    return [*lines, app.text("zone", zone=view.zone.key)] if app.terminal else lines


def run_lines(app: App, runs: Sequence[Run], *, named: bool = False) -> list[str]:
    """Runs, a line each: when, whose, how, how long, why; cut to the terminal where there is one."""
    room = terminal_width() - _INDENT if app.terminal else 0
    lines = []
    for run in runs:
        parts = (
            app.view.full(run.scheduled_ms or run.claimed_ms),
            one_line(run.job_name) if named else "",
            word(run.state.value, app.lang),
            span(run.duration_ms),
            run.exec_id[:SHORT] if app.terminal else run.exec_id,
            one_line(run.error),
        )
        line = "  ".join(filter(None, parts))
        lines.append(cut(line, max(room, _INDENT)) if room else line)
    return lines


def run_page(app: App, run: Run) -> list[str]:
    """Everything about a run but its output."""
    view, lang = app.view, app.lang
    fires = f"{view.full(run.first_ms)} … ({run.fires}×)" if run.fires > 1 else ""
    return pairs(
        app,
        [
            ("col.exec", run.exec_id),
            ("col.job", one_line(run.job_name) + (f" ({run.job_id})" if run.job_id is not None else "")),
            ("col.state", word(run.state.value, lang)),
            ("col.reason", run.error),
            ("col.source", word(run.source.value, lang)),
            ("f.scheduled", view.full(run.scheduled_ms)),
            ("f.first", fires),
            ("f.started", view.full(run.started_ms)),
            ("f.ended", view.full(run.ended_ms)),
            ("col.took", span(run.duration_ms)),
            ("col.late", span(run.lateness_ms)),
            ("f.attempt", str(run.attempt) if run.attempt > 1 else ""),
            ("f.exit_code", "" if run.exit_code is None else str(run.exit_code)),
            ("f.kill_by", run.kill_by or ""),
            ("col.mode", run.mode),
            ("col.command", run.command),
            ("f.zone", view.zone.key if app.terminal else ""),
        ],
    )


def _in_words(row: JobRow, app: App) -> str:
    if row.job.trigger_type is not TriggerType.CRON:
        return ""
    from pyjobs.cronwords import explain
    from pyjobs.errors import BadTrigger

    try:
        return explain(row.job.cron_expr, app.lang)
    except BadTrigger:
        return ""


def _dst(row: JobRow) -> str:
    gap, fold = row.job.dst_gap, row.job.dst_fold
    said = [
        f"gap {gap.value}" if gap is not Gap.RUN_AFTER else "",
        f"fold {fold.value}" if fold is not Fold.FIRST else "",
    ]
    return ", ".join(filter(None, said))
