"""The Monitor function: figures of the machine against thresholds."""

from __future__ import annotations

import os

from pyjobs.errors import RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["monitor"]

_UNITS = {"cpu": " %", "disk": " %", "memory": " %", "load": "", "process": ""}
_SAMPLE_S = 0.5


def monitor(
    context: Context, what: str = "system", threshold: float | None = None, target: str = "", least: float | None = None
) -> str:
    """Watch cpu, disk, memory, load or process: what, threshold; target (a folder or a name); least."""
    if what == "system":
        return "\n".join(_shown(name, _measure(context, name, "")) for name in _UNITS)
    if what not in _UNITS:
        known = ", ".join((*_UNITS, "system"))
        raise RunFailed(f"`{what}` cannot be watched: one of {known}", f"不支持的监控目标: {what}，可用：{known}")
    value = _measure(context, what, target)
    said = _shown(f"{what} {target}" if target else what, value)
    if threshold is not None and value > threshold:
        raise RunFailed(f"{said} is over {threshold:g}", f"{said} 超过阈值 {threshold:g}")
    if least is not None and value < least:
        raise RunFailed(f"{said} is below {least:g}", f"{said} 低于下限 {least:g}")
    return said


def _measure(context: Context, what: str, target: str) -> float:
    import psutil

    if what == "cpu":
        return float(psutil.cpu_percent(_SAMPLE_S))
    if what == "memory":
        return float(psutil.virtual_memory().percent)
    if what == "load":
        return os.getloadavg()[0]
    if what == "process":
        return sum(1 for process in psutil.process_iter(["name"]) if not target or process.info["name"] == target)
    try:
        return float(psutil.disk_usage(str(context.settings.path(target or "."))).percent)
    except OSError as exc:
        raise RunFailed(f"disk `{target}`: {exc.strerror}", f"磁盘 `{target}`：{exc.strerror}") from exc


def _shown(name: str, value: float) -> str:
    unit = _UNITS[name.partition(" ")[0]]
    return f"{name}: {value:.0f}" if name.startswith("process") else f"{name}: {value:.1f}{unit}"
