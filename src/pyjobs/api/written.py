"""
Jobs as bytes, kept while they stay as they are.

A list changes when one of its jobs does; the others are the same bytes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from pydantic_core import to_json

from pyjobs.api.views import job_view
from pyjobs.jobs import Job
from pyjobs.ports import Active

__all__ = ["Written"]

#: Two full pages of jobs whose commands are no books.
_ENTRIES = 2048
_LONGEST = 2048


class Written:
    """What was made of the texts that a store has for jobs (ports.Store.job_rows)."""

    def __init__(self) -> None:
        """Begin with none."""
        self._zone: ZoneInfo | None = None
        self._kept: dict[str, bytes] = {}

    def array(self, texts: Iterable[str], read: Callable[[str], tuple[Job, Active]], zone: ZoneInfo) -> bytes:
        """A JSON array of these jobs; `read` says what a text means."""
        if zone is not self._zone or len(self._kept) > _ENTRIES:
            self._zone, self._kept = zone, {}
        kept, parts = self._kept, []
        for text in texts:
            part = kept.get(text)
            if part is None:
                job, active = read(text)
                part = to_json(job_view(job, active if any(active) else None, zone))
                if len(text) <= _LONGEST:
                    kept[text] = part
            parts.append(part)
        return b"[" + b",".join(parts) + b"]"
