"""What a check found: a code for programs, words for people, the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

__all__ = ["Finding", "Fix", "Said", "Severity"]


class Severity(str, Enum):
    """How bad it is; what is worse comes first."""

    #: Something does not work, or anybody can come in.
    ERROR = "error"
    #: Something will not do what was probably meant.
    WARNING = "warning"
    #: Good to know; all may be as it was meant.
    NOTE = "note"


class Said(NamedTuple):
    """A sentence in both languages."""

    en: str
    zh: str

    def text(self, lang: str) -> str:
        """It in `lang` (`en` or `zh`)."""
        return self.zh if lang == "zh" else self.en


class Fix(NamedTuple):
    """What `--fix` does about it; `target` is a path, where it is about one."""

    kind: Literal["chmod", "unlink", "empty_lock", "checkpoint", "recompute", "settle"]
    target: str = ""
    mode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that somebody should know."""

    code: str
    severity: Severity
    what: Said
    why: Said
    #: A command to type; empty where there is none.
    mend: str = ""
    #: The name of the job that it is about, if it is about one.
    job: str = ""
    #: None: `--fix` leaves it to people.
    fix: Fix | None = None
    #: What was done about it, or would be.
    mended: Said | None = None
