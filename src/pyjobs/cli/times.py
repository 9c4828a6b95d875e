"""Instants and durations as people write and read them. Everything inside is milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from pyjobs.cli.messages import word
from pyjobs.clock import from_ms, to_ms
from pyjobs.errors import Invalid

__all__ = ["View", "instant", "milliseconds", "past", "seconds", "span"]

#: What came due so long ago is being launched; what is older, nobody launches.
_JUST_MS = 5000
#: (seconds, what one is called)
_DISTANCES = ((86400, "day", "天"), (3600, "hour", "小时"), (60, "minute", "分钟"), (1, "second", "秒"))


@dataclass(frozen=True, slots=True)
class View:
    """What it takes to show a time: the zone, the present, the language, and whether a person looks at it."""

    zone: ZoneInfo
    now_ms: int
    lang: str = "en"
    #: On a terminal times are short; in a pipe they are whole.
    terminal: bool = False

    def full(self, ms: int | None) -> str:
        """`2026-11-24 22:12:05`; empty for None."""
        return "" if ms is None else self._local(ms).strftime("%Y-%m-%d %H:%M:%S")

    def when(self, ms: int | None) -> str:
        """As `full`; on a terminal without what is the same today."""
        if ms is None or not self.terminal:
            return self.full(ms)
        moment, now = self._local(ms), self._local(self.now_ms)
        if moment.date() == now.date():
            return moment.strftime("%H:%M:%S")
        return moment.strftime("%m-%d %H:%M" if moment.year == now.year else "%Y-%m-%d")

    def iso(self, ms: int | None) -> str | None:
        """`2026-11-24T22:12:05.250+08:00`, for programs."""
        return None if ms is None else self._local(ms).isoformat(timespec="milliseconds")

    def left(self, ms: int | None) -> str:
        """How long until an instant: `4m32s`; `now` when it has come, `overdue` when that is a while ago."""
        if ms is None:
            return ""
        if ms > self.now_ms:
            return span(ms - self.now_ms, whole=True)
        return word("now" if ms > self.now_ms - _JUST_MS else "overdue", self.lang)

    def relative(self, ms: int) -> str:
        """`in 4 minutes`, `30 hours ago`, in the language of this view: rounded, in a unit that leaves two at least."""
        ahead = ms - self.now_ms
        seconds = round(abs(ahead) / 1000)
        size, english, chinese = next(unit for unit in _DISTANCES if seconds >= 2 * unit[0] or unit[0] == 1)
        number = (seconds + size // 2) // size
        if self.lang == "zh":
            return f"{number} {chinese}{'后' if ahead >= 0 else '前'}"
        distance = f"{number} {english}{'' if number == 1 else 's'}"
        return f"in {distance}" if ahead >= 0 else f"{distance} ago"

    def due(self, ms: int) -> str:
        """As `relative`; of what should have come already `now` or `overdue`."""
        return self.relative(ms) if ms > self.now_ms else self.left(ms)

    def at(self, zone: str) -> View:
        """The same in another zone, where there is one of this name."""
        try:
            return replace(self, zone=ZoneInfo(zone)) if zone else self
        except (ValueError, KeyError, OSError):
            return self

    def _local(self, ms: int) -> datetime:
        return from_ms(ms).astimezone(self.zone)


def span(ms: int | None, *, whole: bool = False) -> str:
    """`850ms`, `1.24s`, `2m05s`, `3h05m`, `2d03h`: a duration in its largest units; `whole` drops parts of a second."""
    if ms is None:
        return ""
    if ms < 1000:
        return "<1s" if whole else f"{ms}ms"
    if ms < 60_000:
        return f"{ms // 1000}s" if whole else f"{ms / 1000:.2f}s"
    total = ms // 1000
    if total < 3600:
        return f"{total // 60}m{total % 60:02}s"
    if total < 86400:
        return f"{total // 3600}h{total // 60 % 60:02}m"
    return f"{total // 86400}d{total // 3600 % 24:02}h"


def milliseconds(field: str, text: str) -> int:
    """Milliseconds of `1h30m`, `500ms` or plain seconds. Raises Invalid, naming the field."""
    from pyjobs.durations import parse_duration

    if text.strip().isascii() and text.strip().isdigit():
        return int(text.strip()[:12]) * 1000
    try:
        return parse_duration(text)
    except Invalid as exc:
        raise Invalid(
            field,
            f"`{text}` is not a duration",
            f"`{text}` 不是有效的时长",
            hint="write seconds, or a duration such as `90s`, `5m` or `1h30m`",
            hint_zh="请写秒数，或 `90s`、`5m`、`1h30m` 这样的时长",
        ) from exc


def seconds(field: str, text: str | None) -> int | None:
    """Whole seconds of a duration; None when nothing was said."""
    if text is None:
        return None
    ms = milliseconds(field, text)
    if ms % 1000:
        raise Invalid(field, f"`{text}` is not a whole number of seconds", f"`{text}` 不是整秒数")
    return ms // 1000


#: Instants that every zone can show.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def instant(field: str, text: str, zone: ZoneInfo) -> int:
    """
    An ISO 8601 instant such as `2026-12-24 18:00`; without an offset it is in `zone`.

    Raises:
        Invalid: it is none, or the zone's clock never shows it.
    """
    written = text.strip()
    if written.endswith(("Z", "z")):
        written = written[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as exc:
        raise Invalid(
            field,
            f"`{text}` is not a date and time",
            f"`{text}` 不是有效的日期时间",
            hint="write it like `2026-12-24 18:00` or `2026-12-24T18:00:00+08:00`",
            hint_zh="格式如 `2026-12-24 18:00` 或 `2026-12-24T18:00:00+08:00`",
        ) from exc
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise Invalid(
            field,
            f"`{text}` is not between {_FIRST_YEAR} and {_LAST_YEAR}",
            f"`{text}` 不在 {_FIRST_YEAR} 年到 {_LAST_YEAR} 年之间",
        )
    if moment.tzinfo is not None:
        return to_ms(moment)
    ms = to_ms(moment.replace(tzinfo=zone))
    if from_ms(ms).astimezone(zone).replace(tzinfo=None) != moment.replace(
        microsecond=moment.microsecond // 1000 * 1000
    ):
        raise Invalid(
            field,
            f"the clock of {zone.key} never shows `{text}`: it is skipped when the clock is set forward",
            f"时区 {zone.key} 中不存在 `{text}`：拨快时钟时跳过了该时间",
            hint="give another time, or one with an offset such as `+02:00`",
            hint_zh="请换一个时间，或写明时差，如 `+02:00`",
        )
    return ms


def past(field: str, text: str | None, view: View) -> int | None:
    """An instant, or a duration before now: `24h`, `2026-11-01`. None when nothing was said."""
    if text is None:
        return None
    if text[:4].isdigit() and text[4:5] == "-":
        return instant(field, text, view.zone)
    return max(0, view.now_ms - milliseconds(field, text))
