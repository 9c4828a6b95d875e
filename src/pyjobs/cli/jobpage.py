"""Everything about a job on one page, what it does as rows that can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyjobs import commandtext
from pyjobs.cli.context import App
from pyjobs.cli.messages import word
from pyjobs.cli.page import fire_lines, run_lines
from pyjobs.cli.render import pairs
from pyjobs.cli.text import one_line
from pyjobs.cli.times import span
from pyjobs.cli.views import JobRow, state_of, zoned_schedule
from pyjobs.commandtext import CommandSpec, FuncSpec, HttpSpec, Spec
from pyjobs.errors import BadTrigger, PyjobsError
from pyjobs.jobs import Backoff, Fold, Gap, Job, OnLost, Run, TriggerType
from pyjobs.masking import MASK, is_secret_header, mask_url

__all__ = ["differing_rows", "job_page", "timeout_of"]

_Rows = Iterator[tuple[str, str]]


def job_page(app: App, row: JobRow, fires: Sequence[int], runs: Sequence[Run], *, raw: bool = False) -> list[str]:
    """Everything about a job; `raw` shows its command text as it is stored."""
    job, view, lang = row.job, app.view, app.lang
    spec = _spec(job)
    state = word(state_of(row), lang)
    state = f"{state} ({app.text('run.no_runner')})" if row.alone else state
    return pairs(
        app,
        [
            ("col.name", one_line(job.name)),
            ("col.id", str(job.id)),
            ("f.desc", job.desc),
            ("col.state", f"{state}: {_reason(job, lang)}" if job.stop_reason else state),
            ("col.mode", job.mode),
            *([("col.command", job.command)] if raw or spec is None else _said(app, job, spec)),
            ("col.schedule", zoned_schedule(job, view)),
            ("", _in_words(job, lang)),
            ("f.zone", job.timezone or f"{view.zone.key} ({app.text('by_default')})"),
            ("f.dst", _dst(job)),
            ("f.allow", f"{word(job.allow_mode.name.lower(), lang)} ({int(job.allow_mode)})"),
            ("f.misfire", job.misfire.value),
            ("f.window", span(job.catchup_window_s * 1000, whole=True)),
            ("f.timeout", _timeout(app, job, spec)),
            ("f.retries", _retries(app, spec)),
            ("f.backoff", job.retry_backoff.value if job.retry_backoff is not Backoff.FIXED else ""),
            ("f.retry_on", job.retry_on),
            ("f.on_lost", job.on_lost.value if job.on_lost is not OnLost.RECORD else ""),
            ("f.alerts", job.alerts),
            ("f.grace", f"{job.grace_s}s"),
            ("f.count", f"{job.run_count} / {job.max_run_count}" if job.max_run_count else str(job.run_count)),
            ("f.owner", job.owned_by),
            ("f.created", view.full(job.created_ms)),
            ("f.updated", view.full(job.updated_ms) if job.updated_ms != job.created_ms else ""),
            *[("col.next" if n == 0 else "", line) for n, line in enumerate(_next(app, job, fires))],
            *[("f.runs" if n == 0 else "", line) for n, line in enumerate(run_lines(app, runs))],
        ],
    )


def timeout_of(job: Job) -> int | None:
    """Seconds that a job says for one attempt; None when the setting decides."""
    return _own_timeout(job, _spec(job))


def differing_rows(app: App, old: Job, new: Job) -> list[tuple[str, str, str]]:
    """What two jobs do, where it differs: heading, old, new; a secret that changed is masked on both sides."""
    before, after = (_all_said(app, job) for job in (old, new))
    found = [
        (app.text(key), before.get(key) or "-", after.get(key) or "-")
        for key in {**before, **after}
        if before.get(key, "") != after.get(key, "")
    ]
    shown = {heading for heading, _, _ in found}
    specs = [_spec(job) for job in (old, new)]
    for name in ("headers", "env", "cookies"):
        heading = app.text(f"f.{name}")
        if heading not in shown and getattr(specs[0], name, "") != getattr(specs[1], name, ""):
            found.append((heading, MASK, MASK))
    return found


def _all_said(app: App, job: Job) -> dict[str, str]:
    spec = _spec(job)
    if spec is None:
        return {"col.command": job.command}
    return {
        "col.mode": job.mode,
        **dict(_said(app, job, spec)),
        "f.timeout": _timeout(app, job, spec),
        "f.retries": _retries(app, spec),
    }


def _own_timeout(job: Job, spec: Spec | None) -> int | None:
    return spec.timeout if spec is not None and spec.timeout is not None else job.timeout_s


def _spec(job: Job) -> Spec | None:
    """What its text says; None when it cannot be read any more."""
    try:
        return commandtext.parse(job.mode, job.command, lenient=True)
    except (PyjobsError, KeyError):
        return None


def _reason(job: Job, lang: str) -> str:
    from pyjobs.cli.reasons import in_language

    return in_language(job.stop_reason, lang)


def _said(app: App, job: Job, spec: Spec) -> _Rows:
    """What it does, a row for each thing that is said."""
    if isinstance(spec, HttpSpec):
        yield "f.method", spec.mode
        yield "f.url", mask_url(spec.url)
        yield "f.headers", _lines(spec.headers, ": ")
        yield "f.data", spec.data
        yield "f.cookies", MASK if spec.cookies else ""
        yield "f.proxy", mask_url(spec.proxy)
        yield "f.result", spec.result
    elif isinstance(spec, CommandSpec):
        yield "col.command", spec.command
        yield "f.workdir", spec.workdir or f"{app.settings.home} ({app.text('by_default')})"
        yield "f.env", _lines(spec.env, "=")
    elif isinstance(spec, FuncSpec):
        yield "f.func", spec.name
        yield "f.arg", spec.arg
    else:
        yield "col.command", job.command
    yield "f.unknown", ", ".join(commandtext.unknown_tags(job.mode, job.command))


def _lines(entries: Sequence[tuple[str, str]], separator: str) -> str:
    return "\n".join(f"{name}{separator}{MASK if is_secret_header(name) else value}" for name, value in entries)


def _timeout(app: App, job: Job, spec: Spec | None) -> str:
    own = _own_timeout(job, spec)
    seconds = app.settings.job_timeout if own is None else own
    shown = f"{seconds}s" if seconds else app.text("f.none")
    return f"{shown} ({app.text('by_default')})" if own is None else shown


def _retries(app: App, spec: Spec | None) -> str:
    times = str(max(spec.times - 1, 0)) if spec is not None else ""
    if spec is None or spec.times < 2 or not spec.interval:
        return times
    return app.text("job.retry_interval", times=times, interval=f"{spec.interval}s")


def _next(app: App, job: Job, fires: Sequence[int]) -> list[str]:
    """Its next fires, the one before them when that should have come already."""
    view, due = app.view, job.next_fire_ms
    late = [f"{view.full(due)}  {view.due(due)}"] if due is not None and due <= view.now_ms else []
    return [*late, *fire_lines(app, fires)]


def _in_words(job: Job, lang: str) -> str:
    if job.trigger_type is not TriggerType.CRON:
        return ""
    from pyjobs.cronwords import explain

    try:
        return explain(job.cron_expr, lang)
    except BadTrigger:
        return ""


def _dst(job: Job) -> str:
    said = [
        f"gap {job.dst_gap.value}" if job.dst_gap is not Gap.RUN_AFTER else "",
        f"fold {job.dst_fold.value}" if job.dst_fold is not Fold.FIRST else "",
    ]
    return ", ".join(filter(None, said))
