"""`pyjobs alert …`: what is wrong now, who was told, and whether telling works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pyjobs.alerts import DeliveryState, IncidentState
from pyjobs.cli import render
from pyjobs.cli.command import examples, report
from pyjobs.cli.context import App, app_of
from pyjobs.cli.messages import word
from pyjobs.cli.options import Json, Limit, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.errors import Exit, Invalid, NotFound, PyjobsError
from pyjobs.service.alerts import Told

if TYPE_CHECKING:
    from pyjobs.alerting.channels import Channel
    from pyjobs.alerting.file import Alerting, Problem

__all__ = ["ack", "check", "list_", "send_test"]

IdArgs = Annotated[list[str], typer.Argument(metavar="ID...", help="Alerts, as `alert list` numbers them.")]
ChannelArgs = Annotated[
    list[str] | None, typer.Argument(metavar="[CHANNEL]...", help="Channels of alerting.yml; none: all of them.")
]
_DELIVERED = {
    DeliveryState.WAITING: "not yet",
    DeliveryState.SENT: "sent",
    DeliveryState.GIVEN_UP: "given up",
}
_STYLES = {"open": "red", "acknowledged": "yellow", "closed": "dim"}


@examples("pyjobs alert list", "pyjobs alert list --all --json")
def list_(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", "-a", help="Those that are over, too.")] = False,
    limit: Limit = 100,
    output: Output = None,
    json: Json = False,
) -> None:
    """List what is wrong now, newest first, and what became of telling it."""
    app = app_of(ctx, output, json=json, makes=False)
    told = [] if app.empty else app.service.alerts().list(closed=every, limit=limit)
    render.listing(app, _noun(), told)


@examples("pyjobs alert ack 12", "pyjobs alert ack 12 13")
def ack(ctx: typer.Context, ids: IdArgs) -> None:
    """Say that you look after it: nobody is reminded any more. Its end is told all the same."""
    app = app_of(ctx, makes=False)
    for text in ids:
        if not (text.isascii() and text.isdigit()):
            raise Invalid("ID", f"`{text}` is not a number", f"`{text}` 不是数字", hint="see `pyjobs alert list`",
                          hint_zh="用 `pyjobs alert list` 查看")  # fmt: skip
        incident = app.service.alerts().ack(int(text[:18]), app.by())
        app.say("alert.acked", id=incident.id, title=incident.title)


@examples("pyjobs alert test", "pyjobs alert test ops-mail")
def send_test(ctx: typer.Context, channels: ChannelArgs = None) -> None:
    """Send a test message, now and from here. Exit code 1 when one does not get through."""
    app = app_of(ctx)
    alerting = _read(app)
    chosen = _chosen(alerting, channels or [])
    failed = False
    for channel in chosen:
        error = _sent(app, channel)
        if error is None:
            app.say("alert.got_through", channel=channel.name, target=channel.target)
        else:
            failed = True
            report(app, error)
    app.leave(Exit.FAILED if failed else Exit.OK)


@examples("pyjobs alert check", "pyjobs alert check --json")
def check(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Check the rules and channels of alerting.yml. Exit code 8 when something is wrong."""
    from pyjobs.alerting.file import unreachable

    app = app_of(ctx, output, json=json)
    alerting = _read(app)
    problems = [*alerting.problems, *unreachable(alerting)]
    if app.format == "table":
        app.write(problem.text(app.lang) for problem in problems)
        app.say("alert.counts", rules=len(alerting.rules), channels=len(alerting.channels), bad=len(problems))
        if not alerting.channels:
            app.warn("alert.no_channel")
    else:
        render.listing(app, _problems_noun(app.lang), problems)
    app.leave(Exit.FOUND if problems else Exit.OK)


def _read(app: App) -> Alerting:
    """What `alerting.yml` says. Leaves with 8 when it cannot be read at all."""
    from pyjobs.alerting.file import FILE_NAME, BadAlerting, read

    path = app.settings.home / FILE_NAME
    try:
        found = read(path)
    except BadAlerting as exc:
        report(app, exc)
        app.leave(Exit.FOUND)
    if not path.exists():
        app.say("alert.no_file", path=str(path))
    return found


def _chosen(alerting: Alerting, names: Sequence[str]) -> Sequence[Channel]:
    """Channels by name, or all. Raises NotFound, with the nearest one."""
    import difflib

    known = {channel.name: channel for channel in alerting.channels}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint, hint_zh = (f"did you mean `{near[0]}`?", f"是否想写 `{near[0]}`？") if near else (
                "see `pyjobs alert check`", "用 `pyjobs alert check` 检查 alerting.yml")  # fmt: skip
            raise NotFound(f"there is no channel `{name}`", f"没有渠道 `{name}`", hint=hint, hint_zh=hint_zh)
    if not known:
        raise NotFound("alerting.yml has no channel that can be used", "alerting.yml 中没有可用的渠道",
                       hint="`pyjobs alert check` says what is wrong",
                       hint_zh="用 `pyjobs alert check` 查看问题")  # fmt: skip
    return [known[name] for name in names] or list(known.values())


def _sent(app: App, channel: Channel) -> PyjobsError | None:
    """Send the test message; why it did not get through, if so."""
    from pyjobs.alerting.post import try_now

    title, text = app.text("alert.test_title"), app.text("alert.test_text", home=str(app.settings.home))
    return try_now(channel, app.settings, title, text)


def _noun() -> Noun[Told]:
    return Noun(
        singular="alert",
        plural="alerts",
        name=lambda told: str(told.incident.id),
        document=lambda told, view: {
            "id": told.incident.id,
            "cause": told.incident.cause,
            "title": told.incident.title,
            "text": told.incident.text,
            "state": _state(told),
            "severity": told.incident.severity,
            "labels": dict(told.incident.labels),
            "job_id": told.incident.job_id,
            "count": told.incident.count,
            "since": view.iso(told.incident.since_ms),
            "opened": view.iso(told.incident.opened_ms),
            "reminded": view.iso(told.incident.told_ms),
            "acknowledged": view.iso(told.incident.acked_ms),
            "acknowledged_by": told.incident.acked_by,
            "closed": view.iso(told.incident.closed_ms),
            "deliveries": [
                {
                    "channel": d.channel, "notice": d.notice.value, "state": d.state.value, "attempts": d.attempts,
                    "next_try": view.iso(d.next_ms) if d.state is DeliveryState.WAITING else None,
                    "sent": view.iso(d.sent_ms), "error": d.error,
                }
                for d in told.deliveries
            ],
        },
        columns=(
            Column("col.id", lambda told, _: str(told.incident.id), right=True),
            Column("col.alert", lambda told, _: told.incident.title, style="bold", fold=True),
            Column("col.state", lambda told, view: word(_state(told), view.lang), style=_style),
            Column("col.severity", lambda told, _: told.incident.severity),
            Column("col.since", lambda told, view: view.when(told.incident.since_ms)),
            Column("col.count", lambda told, _: str(told.incident.count), right=True),
            Column("col.told", lambda told, view: _told(told, view.lang), fold=True),
        ),
    )  # fmt: skip


def _state(told: Told) -> str:
    if told.incident.state is IncidentState.CLOSED:
        return "closed"
    return "acknowledged" if told.incident.acked_ms is not None else "open"


def _style(told: Told) -> str:
    return _STYLES[_state(told)]


def _told(told: Told, lang: str) -> str:
    """The newest delivery of each channel."""
    newest = {delivery.channel: delivery for delivery in told.deliveries}
    shown = []
    for channel, delivery in newest.items():
        why = f" ({delivery.error})" if delivery.error else ""
        shown.append(f"{channel}: {word(_DELIVERED[delivery.state], lang)}{why}")
    return ", ".join(shown)


def _problems_noun(lang: str) -> Noun[Problem]:
    return Noun(
        singular="problem",
        plural="problems",
        name=lambda problem: problem.about,
        document=lambda problem, _: {
            "line": problem.line,
            "column": problem.column,
            "about": problem.about,
            "problem": problem.zh if lang == "zh" else problem.en,
        },
        columns=(),
        timed=False,
    )
