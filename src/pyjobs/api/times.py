"""Instants as the API writes and reads them: RFC 3339 with the zone, or local text without."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pyjobs.clock import to_ms
from pyjobs.config import Settings
from pyjobs.errors import Invalid

__all__ = ["day_bounds", "instant", "local", "rfc3339", "zone_of"]

#: Lists show the same instants again and again.
_KEPT = 16384


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def zone_of(settings: Settings) -> ZoneInfo:
    """The zone that times are shown in."""
    return _zone(settings.zone_name)


@lru_cache(_KEPT)
def rfc3339(ms: int | None, zone: ZoneInfo) -> str | None:
    """`2030-01-01T08:00:00+08:00`."""
    return None if ms is None else datetime.fromtimestamp(ms // 1000, zone).isoformat()


@lru_cache(_KEPT)
def local(ms: int | None, zone: ZoneInfo) -> str | None:
    """`2030-01-01 08:00:00`."""
    return None if ms is None else datetime.fromtimestamp(ms // 1000, zone).isoformat(" ")[:19]


def instant(field: str, text: str, zone: ZoneInfo) -> int:
    """Milliseconds of RFC 3339, or of local text without a zone. Raises Invalid."""
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
        return to_ms(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)
    except (ValueError, OverflowError):
        raise Invalid(
            field, "is no time such as `2030-01-31 09:00:00`", "不是有效的时间，应为 `2030-01-31 09:00:00`"
        ) from None


def day_bounds(field: str, text: str, zone: ZoneInfo) -> tuple[int, int]:
    """[first, end) of a day, in milliseconds. Raises Invalid."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=zone)
        following = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        return to_ms(day), to_ms(following)
    except (ValueError, OverflowError):
        raise Invalid(field, "is no date: YYYY-MM-DD", f"`{text[:20]}` 日期格式错误，应为 YYYY-MM-DD") from None
