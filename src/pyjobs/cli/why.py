"""`pyjobs why`: why a job fired or did not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import JobArg, Json, Output
from pyjobs.cli.presence import daemon_runs
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.text import one_line
from pyjobs.cli.times import View, instant, past, span
from pyjobs.cli.views import SHORT, zoned_schedule
from pyjobs.cli.whywords import counted, not_due, reason, shown, verdict
from pyjobs.errors import Invalid
from pyjobs.jobs import Job, TriggerType
from pyjobs.service.inquiry import Told
from pyjobs.service.why import Answer, Moment, Verdict

__all__ = ["why"]

_DAY_MS = 86_400_000
#: What nobody has to worry about comes last.
_FINE = (Verdict.RUNNING, Verdict.QUEUED, Verdict.PENDING, Verdict.NOT_YET, Verdict.SUCCESS, Verdict.GAP, Verdict.FOLD)
_STYLES = {
    Verdict.SUCCESS: "green",
    Verdict.RUNNING: "cyan",
    Verdict.QUEUED: "blue",
    Verdict.PENDING: "blue",
    Verdict.NOT_YET: "blue",
    Verdict.FAILED: "red",
    Verdict.TIMEOUT: "red",
    Verdict.KILLED: "red",
    Verdict.LOST: "red",
    Verdict.GAP: "dim",
    Verdict.FOLD: "dim",
}


@examples("pyjobs why backup --since 7d", "pyjobs why backup --at '2026-11-01 02:00'")
def why(
    ctx: typer.Context,
    name: JobArg,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Only this instant, past or to come, due or not: `2026-11-01 09:00`.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From then on.  [default: 24h]", show_default=False),
    ] = None,
    each: Annotated[bool, typer.Option("--all", help="Every instant by itself, the newest of them.")] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", metavar="N", min=1, max=100_000, help="With --all: how many at most."),
    ] = 1000,
    output: Output = None,
    json: Json = False,
) -> None:
    """Say for each instant at which a job was due what became of it, and why; problems first."""
    app = app_of(ctx, output, json=json, makes=False)
    if at is not None and (since is not None or each):
        raise Invalid("--at", "is one instant, it goes with neither `--since` nor `--all`",
                      "只表示一个时间，不能与 `--since` 或 `--all` 一起使用")  # fmt: skip
    if at is not None:
        _one(app, name, at)
        return
    start = past("--since", since, app.view)
    start = app.view.now_ms - _DAY_MS if start is None else start
    if start > app.view.now_ms:
        raise Invalid("--since", "lies in the future", "是将来的时间", hint="see `--at` for an instant to come",
                      hint_zh="将来的时间请用 `--at`")  # fmt: skip
    inquiry = app.service.inquiry()
    _write(app, inquiry.since(name, start, alive=daemon_runs(app.settings), each=limit if each else None))


def _write(app: App, told: Told) -> None:
    view = app.view
    if app.format != "table":
        summary = {verdict.value: count for verdict, count in told.counts.items()}
        render.listing(app, _answers(), told.answers, job=told.name, since=view.iso(told.since_ms),
                       until=view.iso(told.until_ms), fires=sum(told.counts.values()), summary=summary,
                       left_out=told.left_out)  # fmt: skip
        return
    if told.job is None:
        app.say("why.gone", name=told.name)
    if told.counts:
        app.say("why.summary", count=sum(told.counts.values()), ends=counted(told.counts, app.lang))
    elif told.job is not None and told.job.trigger_type is TriggerType.MANUAL:
        app.say("why.by_hand", name=told.name)
    else:
        app.say("why.nothing", since=view.full(told.since_ms))
    if told.answers:
        render.listing(app, _answers(), sorted(told.answers, key=lambda answer: answer.verdict in _FINE))
    if told.left_out:
        app.say("why.left_out", count=told.left_out)


def _one(app: App, name: str, at: str) -> None:
    """Answer for one instant."""
    at_ms, problem = _instant(app, at)
    name, job, moment = app.service.inquiry().at(
        name, at_ms, alive=daemon_runs(app.settings), length_ms=1 if at_ms % 1000 else 1000
    )
    if problem is not None and not any(answer.verdict is Verdict.GAP for answer in moment.answers):
        raise problem
    render.one(app, _moments(name, job), moment, lambda: _page(app, job, moment))
    if app.format == "table":
        app.say("zone", zone=app.view.zone.key)


def _instant(app: App, text: str) -> tuple[int, Invalid | None]:
    """What was asked for; of a time that the clock jumped over the end of the gap, and what is wrong with it."""
    try:
        return instant("--at", text, app.view.zone), None
    except Invalid as exc:
        ms = _in_gap(app, text)
        if ms is None:
            raise
        return ms, exc


def _in_gap(app: App, text: str) -> int | None:
    from datetime import datetime

    from pyjobs.clock import to_ms
    from pyjobs.walltime import piece_at

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is not None or not 1970 < moment.year < 9990:
        return None
    piece = piece_at(app.view.zone, to_ms(moment.replace(tzinfo=app.view.zone)) // 1000)
    return piece.start * 1000 if piece.offset > piece.before else None


def _page(app: App, job: Job | None, moment: Moment) -> list[str]:
    view = app.view
    lines = [_line(answer, view) for answer in moment.answers]
    if not lines:
        lines = [f"{view.full(moment.at_ms)}  {_said_not_due(job, moment, view)}"]
    near = [("f.before", moment.before_ms), ("f.after", moment.after_ms)]
    rows = [(key, f"{view.full(ms)}  {view.relative(ms)}") for key, ms in near if ms is not None]
    then = zoned_schedule(moment.job, view) if moment.job is not None else ""
    if job is not None and then != zoned_schedule(job, view):
        rows.append(("f.schedule_then", then))
    return [*lines, *render.pairs(app, rows)]


def _line(answer: Answer, view: View) -> str:
    zh = view.lang == "zh"
    outcome = [verdict(answer.verdict, view.lang), span(answer.duration_ms)]
    run = f" ({answer.exec_id[:SHORT] if view.terminal else answer.exec_id})" if answer.exec_id else ""
    told = one_line(reason(answer, view))
    said = ("，" if zh else ", ").join(filter(None, outcome)) + run
    return f"{view.full(answer.first_ms)}  {said}{('：' if zh else ': ') + told if told else ''}"


def _said_not_due(job: Job | None, moment: Moment, view: View) -> str:
    told = not_due(moment, job is None, 0 if job is None else job.created_ms, view)
    return f"非触发时间：{told}" if view.lang == "zh" else f"not due: {told}"


def _answer_document(answer: Answer, view: View) -> dict[str, Any]:
    hold = answer.holds[0] if answer.holds else None
    return {
        "first": view.iso(answer.first_ms),
        "last": view.iso(answer.last_ms),
        "fires": answer.fires,
        "verdict": answer.verdict.value,
        "why": reason(answer, view),
        "reason": answer.reason,
        "exec_id": answer.exec_id or None,
        "duration_ms": answer.duration_ms,
        "lateness_ms": answer.lateness_ms,
        "cause": None if hold is None else hold.cause.value,
        "from": None if hold is None else view.iso(hold.from_ms),
        "until": None if hold is None else view.iso(hold.to_ms),
        "by": None if hold is None else hold.by or None,
    }


def _answers() -> Noun[Answer]:
    """Answers: what `why` shows of them."""
    return Noun(
        singular="answer",
        plural="answers",
        name=lambda answer: answer.verdict.value,
        document=_answer_document,
        columns=(
            Column("col.when", _when),
            Column("col.fires", lambda answer, _: str(answer.fires) if answer.fires else "", right=True),
            Column(
                "col.verdict",
                lambda answer, view: verdict(answer.verdict, view.lang),
                style=lambda answer: _STYLES.get(answer.verdict, "yellow"),
            ),
            Column("col.took", lambda answer, _: span(answer.duration_ms), right=True),
            Column(
                "col.exec",
                lambda answer, view: answer.exec_id[:SHORT] if view.terminal else answer.exec_id,
                style="dim",
            ),
            Column("col.why", reason, fold=True),
        ),
    )


def _when(answer: Answer, view: View) -> str:
    first, last = shown(answer.first_ms, answer.last_ms, view)
    return first if answer.first_ms == answer.last_ms else f"{first} … {last}"


def _moments(name: str, job: Job | None) -> Noun[Moment]:
    """One instant."""
    return Noun(
        singular="instant",
        plural="instants",
        name=lambda moment: moment.answers[0].verdict.value if moment.answers else "not_due",
        document=lambda moment, view: {
            "job": name,
            "at": view.iso(moment.at_ms),
            "schedule": None if moment.job is None else zoned_schedule(moment.job, view),
            "due": any(answer.fires for answer in moment.answers),
            "why": "" if moment.answers else not_due(moment, job is None, 0 if job is None else job.created_ms, view),
            "answers": [_answer_document(answer, view) for answer in moment.answers],
            "excluded_by": [{"field": field.field, "written": field.written} for field in moment.excluded_by],
            "before": view.iso(moment.before_ms),
            "after": view.iso(moment.after_ms),
        },
        columns=(),
    )
