"""What the built-in functions know about the place where they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pyjobs.clock import Clock, from_ms
from pyjobs.config import Settings

__all__ = ["Context", "language"]


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, clock and language of one worker."""

    settings: Settings
    clock: Clock
    #: `en` or `zh`.
    lang: str

    def now(self) -> datetime:
        """The present in the configured zone."""
        return from_ms(self.clock.now_ms()).astimezone(ZoneInfo(self.settings.zone_name))

    def say(self, en: str, zh: str) -> str:
        """The one of both that is in the configured language."""
        return zh if self.lang == "zh" else en


def language(settings: Settings, environ: Mapping[str, str]) -> str:
    """`zh` or `en`: the setting, else the locale's."""
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return settings.lang or ("zh" if locale.startswith("zh") else "en")
