"""
What a job wants to be told about, as one text: `failures=3,recovery,late=5m,longer=1h,shorter=1s,silent=26h`. Pure.

- `failures=N`: so many of its runs in a row failed, timed out or were lost; `failure` is the first one.
- `late=T`: a run started so long after its instant, or nobody started it at all.
- `longer=T`, `shorter=T`: a run took longer; a successful one was over sooner.
- `silent=T`: no run succeeded for so long.
- `recovery`: the end of each of these is told, too.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache

from pyjobs.durations import parse_duration, shown
from pyjobs.errors import Invalid

__all__ = ["AlertPolicy", "alert_policy", "canonical"]

_FIELD = "alerts"
_DURATIONS = ("late", "longer", "shorter", "silent")
_WORDS = ("failure", "failures", "recovery", *_DURATIONS)
_MOST_FAILURES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """What is told; durations in milliseconds, None and 0 being "not asked for"."""

    failures: int = 0
    late: int | None = None
    longer: int | None = None
    shorter: int | None = None
    silent: int | None = None
    recovery: bool = False


@lru_cache(maxsize=1024)
def alert_policy(text: str) -> AlertPolicy:
    """Read what a job says; an empty text asks for nothing. Raises Invalid."""
    said: dict[str, int | bool] = {}
    for piece in _pieces(text):
        name, has_value, value = (part.strip() for part in piece.partition("="))
        name = name.lower()
        if name not in _WORDS:
            raise _unknown(name)
        key = "failures" if name == "failure" else name
        if key in said:
            raise Invalid(_FIELD, f"`{key}` is said twice", f"`{key}` 重复")
        said[key] = _value(name, value if has_value else None)
    if said and set(said) == {"recovery"}:
        raise Invalid(
            _FIELD,
            "`recovery` is the end of something else that is told",
            "`recovery` 需与其他条件一起使用",
            hint="write `failure,recovery`",
            hint_zh="请写成 `failure,recovery`",
        )
    return AlertPolicy(**said)  # type: ignore[arg-type]  # each name has its own type


def canonical(text: str) -> str:
    """The same as it is stored. Raises Invalid."""
    alert_policy(text)
    return ",".join("=".join(part.strip() for part in piece.lower().split("=")) for piece in _pieces(text))


def _pieces(text: str) -> list[str]:
    return [piece for piece in map(str.strip, text.split(",")) if piece]


def _value(name: str, value: str | None) -> int | bool:
    if name in ("failure", "recovery"):
        if value is not None:
            raise Invalid(_FIELD, f"`{name}` takes no value", f"`{name}` 不带值",
                          hint="`failures=N` waits for N in a row" if name == "failure" else "",
                          hint_zh="连续 N 次请写 `failures=N`" if name == "failure" else "")  # fmt: skip
        return 1 if name == "failure" else True
    if value is None:
        example = "failures=3" if name == "failures" else f"{name}=5m"
        raise Invalid(_FIELD, f"`{name}` needs a value, such as `{example}`", f"`{name}` 需要值，如 `{example}`")
    if name == "failures":
        if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= _MOST_FAILURES):
            raise Invalid(
                _FIELD,
                f"`{shown(value)}` is not usable for `failures`: a number from 1 to {_MOST_FAILURES}",
                f"`failures` 不能为 `{shown(value)}`：应为 1 到 {_MOST_FAILURES} 的数",
            )
        return int(value)
    ms = parse_duration(value, f"{_FIELD}: {name}")
    if not ms:
        raise Invalid(_FIELD, f"`{name}` is zero", f"`{name}` 不能为零")
    return ms


def _unknown(name: str) -> Invalid:
    near = difflib.get_close_matches(name, _WORDS, n=1, cutoff=0.5)
    meant, meant_zh = (f"; did you mean `{near[0]}`?", f"，是否想写 `{near[0]}`？") if near else ("", "")
    return Invalid(
        _FIELD,
        f"`{shown(name)}` is nothing that a job can be watched for{meant}",
        f"`{shown(name)}` 不是可用的告警条件{meant_zh}",
        hint=f"known: {', '.join(_WORDS)}",
        hint_zh=f"可用：{'、'.join(_WORDS)}",
    )
