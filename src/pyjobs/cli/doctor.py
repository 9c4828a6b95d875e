"""`pyjobs doctor`: what is wrong, why, and the command that mends it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.messages import word
from pyjobs.cli.options import DryRun, Json, Output
from pyjobs.cli.reasons import in_language
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.text import one_line, paint
from pyjobs.cli.times import View
from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Said, Severity
from pyjobs.doctor.mending import mend
from pyjobs.doctor.table import CHECKS, examine
from pyjobs.errors import Exit, PyjobsError

__all__ = ["doctor"]

#: Of one kind, on a page; documents hold all.
_SHOWN = 10
#: What takes longer says what it is at.
_SLOW_S = 0.5
_LANGS = ("en", "zh")
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@examples("pyjobs doctor", "pyjobs doctor --fix --dry-run", "pyjobs doctor --json")
def doctor(
    ctx: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended without harm, and say so.")] = False,
    dry_run: DryRun = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """
    Look for what is wrong, or will be: the store, the daemon, files, the machine, every job.

    Each finding has a code, says why, and names the command that mends it. Exit code 8 when there are errors or
    warnings; notes alone are fine.
    """
    app = app_of(ctx, output, json=json, makes=False)
    findings = _findings(app, fix=fix, dry_run=dry_run)
    _write(app, findings)
    open_ones = [f for f in findings if f.severity is not Severity.NOTE and (f.mended is None or dry_run)]
    app.leave(Exit.FOUND if open_ones else Exit.OK)


def _findings(app: App, *, fix: bool, dry_run: bool) -> list[Finding]:
    try:
        settings, origins = app.loaded
        settings.database  # noqa: B018 - it is checked when it is asked for
    except PyjobsError as exc:
        # No times are shown, and the zone may be what is wrong.
        app.view = View(ZoneInfo("UTC"), app.clock.now_ms(), app.lang, app.terminal)
        return [_bad_settings(exc)]
    facts = Facts(settings, origins, app.clock)
    try:
        with _progress(app) as begun:
            findings = examine(facts, begun=begun)
            return mend(facts, findings, dry_run=dry_run) if fix else findings
    finally:
        facts.close()


def _bad_settings(exc: PyjobsError) -> Finding:
    why, hint = Said("nothing starts until it is right", "修正之前无法启动"), Said(*map(exc.hint, _LANGS))
    return Finding(
        code="bad_setting",
        severity=Severity.ERROR,
        what=Said(*map(exc.text, _LANGS)),
        why=hint if hint.en else why,
        mend="pyjobs config check",
    )


@contextlib.contextmanager
def _progress(app: App) -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is being looked at, when it takes long."""
    if app.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    status = Console(stderr=True).status("")
    timer = threading.Timer(_SLOW_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        numbers = itertools.count(1)
        yield lambda _: status.update(app.text("doctor.checking", number=next(numbers), all=len(CHECKS)))
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def _write(app: App, findings: Sequence[Finding]) -> None:
    counts = Counter(finding.severity for finding in findings)
    if app.format == "table":
        app.write(_page(app, findings))
        _say_how_many(app, counts)
        return
    extra: dict[str, Any] = {"summary": {f"{severity.value}s": counts[severity] for severity in Severity}}
    with contextlib.suppress(PyjobsError):
        extra["home"] = str(app.settings.home)
    render.listing(app, _noun(app), findings, **extra)


def _say_how_many(app: App, counts: Counter[Severity]) -> None:
    if not counts:
        app.say("doctor.fine")
        return
    found = {
        Severity.ERROR: app.text("doctor.errors", count=counts[Severity.ERROR]),
        Severity.WARNING: app.text("doctor.warnings", count=counts[Severity.WARNING]),
        Severity.NOTE: app.text("doctor.notes", count=counts[Severity.NOTE]),
    }
    shown = [text for severity, text in found.items() if counts[severity]]
    app.say("doctor.found", what=", ".join(shown) if app.lang != "zh" else "、".join(shown))


def _page(app: App, findings: Sequence[Finding]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    all_of = Counter(finding.code for finding in findings)
    for finding in findings:
        seen[finding.code] += 1
        if seen[finding.code] <= _SHOWN:
            yield from _lines(app, finding)
        elif seen[finding.code] == all_of[finding.code]:
            more = all_of[finding.code] - _SHOWN
            yield app.text("doctor.more", count=more, code=finding.code)


def _lines(app: App, finding: Finding) -> Iterator[str]:
    on = app.colored(sys.stdout)
    severity = paint(word(finding.severity.value, app.lang), _STYLES[finding.severity], on=on)
    code = paint(finding.code, "dim", on=on)
    yield f"{severity}  {one_line(finding.what.text(app.lang))}  {code}"
    why = _why(app, finding)
    if why:
        yield f"    {one_line(why)}"
    if finding.mended is not None:
        yield f"    {paint(finding.mended.text(app.lang), 'green', on=on)}"
    elif finding.mend:
        yield f"    {paint('$', 'dim', on=on)} {paint(one_line(finding.mend), 'bold', on=on)}"


def _why(app: App, finding: Finding) -> str:
    return in_language(finding.why.text(app.lang), app.lang)


def _noun(app: App) -> Noun[Finding]:
    def document(finding: Finding, _: object) -> dict[str, Any]:
        return {
            "code": finding.code,
            "severity": finding.severity.value,
            "what": finding.what.text(app.lang),
            "why": _why(app, finding),
            "mend": finding.mend,
            "job": finding.job or None,
            "fixable": finding.fix is not None,
            "mended": finding.mended.text(app.lang) if finding.mended is not None else None,
        }

    columns: list[Column[Finding]] = [Column("col.code", lambda finding, _: finding.code)]
    return Noun("finding", "findings", lambda finding: finding.code, document, columns, timed=False)
