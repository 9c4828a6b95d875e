"""`pyjobs stats`: what ran in the last days, how long it took, how often it failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.messages import word
from pyjobs.cli.options import Json, MaybeJob, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.text import paint, width
from pyjobs.cli.times import View, past, span
from pyjobs.errors import Invalid
from pyjobs.ports import Tally
from pyjobs.service.statistics import Summary, failed, failure_rate, mean_ms

__all__ = ["stats"]

_WEEK_MS = 7 * 86_400_000
#: Cells of the longest bar.
_BAR = 40
#: Days that a terminal shows one by one.
_SHOWN_DAYS = 31
_FULL, _PARTS = "█", " ▏▎▍▌▋▊▉"


class By(str, Enum):
    """What the list of jobs begins with."""

    RATE = "rate"
    SLOWEST = "slowest"
    RUNS = "runs"
    NAME = "name"


_ORDERS: dict[By, Callable[[Tally], tuple[Any, ...]]] = {
    By.RATE: lambda tally: (-(failure_rate(tally) or 0), -failed(tally), tally.name),
    By.SLOWEST: lambda tally: (-(mean_ms(tally) or 0), tally.name),
    By.RUNS: lambda tally: (-tally.ended, tally.name),
    By.NAME: lambda tally: (tally.name,),
}


@examples("pyjobs stats --since 30d --by slowest", "pyjobs stats backup --save backup.svg")
def stats(
    ctx: typer.Context,
    name: MaybeJob = None,
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on.  [default: 7d]", show_default=False)
    ] = None,
    by: Annotated[By, typer.Option("--by", help="Which jobs come first.", show_default=False)] = By.RATE,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many jobs at most.")] = 10,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Draw it by day to a .png or .svg file.", show_default=False),
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Sum up what ran: totals, by day, and by job."""
    app = app_of(ctx, output, json=json, makes=False)
    start = past("--since", since, app.view)
    start = app.view.now_ms - _WEEK_MS if start is None else start
    if start > app.view.now_ms:
        raise Invalid("--since", "lies in the future", "是将来的时间")
    summary = app.service.statistics().summary(start, app.view.zone, name)
    jobs = sorted(summary.jobs, key=_ORDERS[by])[:limit]
    if save is not None:
        _save(app, summary, save)
    if app.format == "table":
        _page(app, summary, jobs)
    else:
        render.listing(
            app, _noun(), jobs, since=app.view.iso(summary.since_ms), until=app.view.iso(summary.until_ms),
            total=_document(summary.total, app.view),
            days=[{"day": day.isoformat(), **_figures(tally)} for day, tally in summary.days],
        )  # fmt: skip


def _page(app: App, summary: Summary, jobs: list[Tally]) -> None:
    total = summary.total
    app.write(
        render.pairs(
            app,
            [
                ("st.period", f"{app.view.full(summary.since_ms)} … {app.view.full(summary.until_ms)}"),
                ("st.runs", str(total.succeeded + failed(total))),
                ("st.succeeded", str(total.succeeded)),
                ("st.failed", _failed(app, total)),
                ("st.skipped", str(total.skipped) if total.skipped else ""),
                ("st.missed", str(total.missed) if total.missed else ""),
                ("st.mean", span(mean_ms(total))),
                ("st.longest", span(total.longest_ms) if total.ended else ""),
                ("st.latest", span(total.latest_ms)),
            ],
        )
    )
    if app.terminal and len(summary.days) > 1:
        app.write(["", *_bars(app, summary.days[-_SHOWN_DAYS:]), ""])
    if jobs:
        render.listing(app, _noun(), jobs)


def _failed(app: App, total: Tally) -> str:
    rate = failure_rate(total)
    parts = [(total.timed_out, "timeout"), (total.killed, "killed"), (total.lost, "lost")]
    named = [f"{count} {word(state, app.lang)}" for count, state in parts if count]
    inside = ", ".join([*([f"{rate:.1%}"] if rate else []), *named])
    return f"{failed(total)} ({inside})" if inside else str(failed(total))


def _bars(app: App, days: Sequence[tuple[date, Tally]]) -> Iterator[str]:
    """A bar a day: what succeeded, and what failed behind it."""
    most = max((tally.succeeded + failed(tally) for _, tally in days), default=0) or 1
    colored = app.colored(sys.stdout)
    counts = [str(tally.succeeded + failed(tally)) for _, tally in days]
    wide = max(map(width, counts))
    for (day, tally), count in zip(days, counts, strict=True):
        good = _bar(tally.succeeded / most)
        bad = _bar(failed(tally) / most) or ("▏" if failed(tally) else "")
        said = f"  {app.text('st.of_them_failed', count=failed(tally))}" if failed(tally) else ""
        bar = f"{paint(good, 'green', on=colored)}{paint(bad, 'red', on=colored)}"
        yield f"{day.isoformat()}  {count.rjust(wide)}  {bar}{said}".rstrip()


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    return (_FULL * (eighths // 8) + _PARTS[eighths % 8]).rstrip()


def _noun() -> Noun[Tally]:
    return Noun(
        singular="job",
        plural="jobs",
        name=lambda tally: tally.name,
        document=_document,
        timed=False,
        columns=(
            Column("col.name", lambda tally, _: tally.name, style="bold", fold=True),
            Column("st.runs", lambda tally, _: str(tally.succeeded + failed(tally)), right=True),
            Column("st.failed", lambda tally, _: str(failed(tally)), right=True, style=_alarming),
            Column("st.rate", _rate, right=True, style=_alarming),
            Column("st.skipped", lambda tally, _: str(tally.skipped), right=True),
            Column("st.missed", lambda tally, _: str(tally.missed), right=True),
            Column("st.mean", lambda tally, _: span(mean_ms(tally)), right=True),
            Column("st.longest", lambda tally, _: span(tally.longest_ms) if tally.ended else "", right=True),
            Column("st.latest", lambda tally, _: span(tally.latest_ms), right=True),
        ),
    )


def _alarming(tally: Tally) -> str:
    return "red" if failed(tally) else ""


def _rate(tally: Tally, _: View) -> str:
    rate = failure_rate(tally)
    return "" if rate is None else f"{rate:.1%}"


def _document(tally: Tally, _: View) -> dict[str, Any]:
    return {"job_id": tally.job_id, "job": tally.name, **_figures(tally)}


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "runs": tally.succeeded + failed(tally),
        "succeeded": tally.succeeded,
        "failed": failed(tally),
        "timed_out": tally.timed_out,
        "killed": tally.killed,
        "lost": tally.lost,
        "skipped": tally.skipped,
        "missed": tally.missed,
        "failure_rate": failure_rate(tally),
        "mean_ms": mean_ms(tally),
        "longest_ms": tally.longest_ms if tally.ended else None,
        "latest_ms": tally.latest_ms,
    }


def _save(app: App, summary: Summary, path: Path) -> None:
    """Draw runs and failures by day."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise Invalid(
            "--save", f"`{path.name}` ends neither in .png nor in .svg", f"`{path.name}` 应以 .png 或 .svg 结尾"
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Invalid(
            "--save", "needs matplotlib", "需要 matplotlib",
            hint="install it: `pip install 'pyjobs[plots]'`", hint_zh="请安装：`pip install 'pyjobs[plots]'`",
        ) from None  # fmt: skip
    days = [day.isoformat()[5:] for day, _ in summary.days]
    good = [tally.succeeded for _, tally in summary.days]
    bad = [failed(tally) for _, tally in summary.days]
    figure = Figure(figsize=(max(6.0, 0.3 * len(days)), 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(days, good, color="#2e8b57", label="succeeded")
    axes.bar(days, bad, bottom=good, color="#c0392b", label="failed")
    axes.set_ylabel("runs")
    axes.tick_params(axis="x", rotation=90 if len(days) > 10 else 0)
    axes.legend(frameon=False, loc="upper left")
    try:
        figure.savefig(path)
    except OSError as exc:
        raise Invalid(
            "--save", f"`{path}` cannot be written: {exc.strerror}", f"`{path}` 无法写入：{exc.strerror}"
        ) from exc
    app.say("st.saved", path=str(path))
