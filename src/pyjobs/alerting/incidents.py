"""From findings to incidents: each cause is opened once, reminded of, and closed once; what is told is on its way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from pyjobs.alerts import Delivery, Finding, Incident, IncidentState, Notice
from pyjobs.clock import from_ms
from pyjobs.ports import Store

__all__ = ["Incidents", "Place"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where this is, for whoever reads a notice, and in which language and zone."""

    host: str
    home: str
    zone: ZoneInfo
    #: `en` or `zh`.
    lang: str

    def say(self, en: str, zh: str) -> str:
        """The one of both that is in the language."""
        return zh if self.lang == "zh" else en

    def time(self, ms: int) -> str:
        """An instant in the zone."""
        return from_ms(ms).astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")


class Incidents:
    """The incidents of a store. Every method is part of the caller's transaction, or one of its own."""

    def __init__(self, store: Store, place: Place, channels: Callable[[], Iterable[str]]) -> None:
        """Take where they are kept; `channels` names those that notices go through now."""
        self._store = store
        self._place = place
        self._channels = channels

    def found(self, finding: Finding, now_ms: int, *, again: bool = True) -> None:
        """
        Something is wrong.

        Args:
            finding: what.
            now_ms: the present.
            again: whether this is a further sign of it, to be counted, or the same one seen once more.
        """
        with self._store.transaction():
            live = self._store.live_incident(finding.cause)
            incident = live or Incident(
                cause=finding.cause, title="", since_ms=now_ms if finding.since_ms is None else finding.since_ms
            )
            opened = incident.state is IncidentState.OPEN
            if again or live is None:
                incident = replace(incident, count=incident.count + 1)
            if not opened or again:
                incident = _described(incident, finding)
            ripe = incident.count >= finding.needed and now_ms - incident.since_ms >= finding.for_ms
            if not opened and ripe:
                incident = replace(incident, state=IncidentState.OPEN, opened_ms=now_ms, told_ms=now_ms)
            if incident != live:
                incident = self._store.save_incident(incident)
            if not opened and ripe:
                self._tell(incident, Notice.OPENED, now_ms)

    def over(self, cause: str, now_ms: int, *, quiet: bool = False) -> None:
        """It is wrong no more; `quiet`: because nobody watches it any longer."""
        with self._store.transaction():
            incident = self._store.live_incident(cause)
            if incident is not None:
                self._close(incident, now_ms, quiet=quiet)

    def settle(self, source: str, findings: Sequence[Finding], now_ms: int, *, keep: Iterable[str] = ()) -> None:
        """
        A source said all that is wrong now: what it says no more is over.

        Args:
            source: what the causes of the source begin with.
            findings: what is wrong.
            now_ms: the present.
            keep: beginnings of causes that nothing can be said about now.
        """
        kept = tuple(keep)
        with self._store.transaction():
            for finding in findings:
                self.found(finding, now_ms, again=False)
            there = {finding.cause for finding in findings}
            for incident in self._store.incidents(limit=100_000):
                cause = incident.cause
                if cause.startswith(source) and cause not in there and not (kept and cause.startswith(kept)):
                    self._close(incident, now_ms, quiet=False)

    def remind(self, every_ms: int, now_ms: int) -> None:
        """Tell again of what is open for so long and nobody acknowledged; 0: never."""
        due = [
            incident
            for incident in (self._store.incidents(limit=100_000) if every_ms else [])
            if incident.state is IncidentState.OPEN
            and incident.acked_ms is None
            and now_ms - (incident.told_ms or now_ms) >= every_ms
        ]
        if not due:
            return
        with self._store.transaction():
            for incident in due:
                self._tell(self._store.save_incident(replace(incident, told_ms=now_ms)), Notice.REMINDER, now_ms)

    def _close(self, incident: Incident, now_ms: int, *, quiet: bool) -> None:
        if incident.state is IncidentState.PENDING:
            self._store.drop_incident(incident.id)
            return
        closed = self._store.save_incident(replace(incident, state=IncidentState.CLOSED, closed_ms=now_ms))
        if incident.tell_end and not quiet:
            self._tell(closed, Notice.CLOSED, now_ms)
        else:
            _log.info("alert %d is over: %s", closed.id, closed.title)

    def _tell(self, incident: Incident, notice: Notice, now_ms: int) -> None:
        title, text = self._words(incident, notice, now_ms)
        level = logging.INFO if notice is Notice.CLOSED else logging.WARNING
        _log.log(level, "alert %d %s: %s", incident.id, notice.value, incident.title)
        for channel in self._channels():
            delivery = Delivery(
                incident_id=incident.id, channel=channel, notice=notice, title=title, text=text,
                fields=self._fields(incident, notice), created_ms=now_ms, next_ms=now_ms,
            )  # fmt: skip
            self._store.save_delivery(delivery)

    def _words(self, incident: Incident, notice: Notice, now_ms: int) -> tuple[str, str]:
        """Title and text."""
        place = self._place
        head = {
            Notice.OPENED: "",
            Notice.REMINDER: place.say("still: ", "仍未恢复："),
            Notice.CLOSED: place.say("over: ", "已恢复："),
        }[notice]
        since, severity = place.time(incident.since_ms), incident.severity
        lines = [incident.text, place.say(f"since {since}", f"开始于 {since}")]
        if notice is Notice.CLOSED:
            lines[1] += place.say(f", over at {place.time(now_ms)}", f"，恢复于 {place.time(now_ms)}")
        if incident.count > 1:
            lines.append(place.say(f"seen {incident.count} times", f"共出现 {incident.count} 次"))
        labels = ", ".join(
            f"{name}={value}" for name, value in incident.labels.items() if name not in ("severity", "alertname")
        )
        lines += [place.say(f"severity {severity}", f"级别 {severity}"), labels]
        lines.append(place.say(f"alert {incident.id} of {place.home} on {place.host}",
                               f"告警 {incident.id}，{place.host} 上的 {place.home}"))  # fmt: skip
        return f"[pyjobs] {head}{incident.title}", "\n".join(filter(None, lines))

    def _fields(self, incident: Incident, notice: Notice) -> dict[str, Any]:
        return {
            "event": notice.value,
            "alert": incident.labels.get("alertname") or incident.cause.rpartition(":")[2],
            "severity": incident.severity,
            "job": incident.labels.get("job_name", ""),
            "job_id": "" if incident.job_id is None else str(incident.job_id),
            "incident": incident.id,
            "count": incident.count,
            "since": self._place.time(incident.since_ms),
            "host": self._place.host,
            "home": self._place.home,
        }


def _described(incident: Incident, finding: Finding) -> Incident:
    return replace(
        incident,
        title=finding.title,
        text=finding.text,
        severity=finding.severity,
        labels=dict(finding.labels),
        job_id=finding.job_id,
        tell_end=finding.tell_end,
    )
