"""All checks, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyjobs.doctor.checks import daemon, host, jobs, store, work
from pyjobs.doctor.facts import Facts, NoStore
from pyjobs.doctor.finding import Finding, Said, Severity

__all__ = ["CHECKS", "Check", "examine"]

Check = Callable[[Facts], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "wal": store.wal,
    "store": store.opens,
    "integrity": store.sound,
    "lock": store.lock,
    "replaced": store.replaced,
    "rows": store.broken_rows,
    "backups": store.backups,
    "daemon": daemon.missing,
    "second daemon": daemon.second,
    "other home": daemon.other_home,
    "daemon lock": daemon.lock,
    "leftovers": daemon.leftovers,
    "dead runs": daemon.dead_runs,
    "overdue": daemon.overdue,
    "paused": daemon.paused,
    "crashes": daemon.crashes,
    "clock jumps": daemon.clock_jumps,
    "sleeps": daemon.sleeps,
    "schedules": jobs.schedules,
    "never": jobs.never,
    "stopped": jobs.stopped,
    "time-outs": work.unlimited,
    "crowd": jobs.crowded,
    "shells": work.shells,
    "programs": work.programs,
    "folders": work.folders,
    "functions": work.functions,
    "tags": work.tags,
    "texts": work.texts,
    "failures": jobs.always_fail,
    "modes": host.modes,
    "disks": host.disk,
    "listener": host.listener,
    "clock": host.clock,
    "system": host.system,
}
_ORDER = list(Severity)


def examine(
    facts: Facts, checks: dict[str, Check] | None = None, *, begun: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """
    Make all checks; answers what they found, the worst first.

    One that fails is itself a finding, and no other's trouble; `begun` is called with the name of each.
    """
    found: list[Finding] = []
    for name, check in (CHECKS if checks is None else checks).items():
        begun(name)
        try:
            found += check(facts)
        except NoStore:
            continue  # why there is none is said once
        except Exception as exc:
            found.append(_failed(name, exc))
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _failed(name: str, exc: Exception) -> Finding:
    reason = f"{type(exc).__name__}: {exc}"
    return Finding(
        code="check_failed",
        severity=Severity.WARNING,
        what=Said(f"the check `{name}` could not be made", f"检查项 `{name}` 无法完成"),
        why=Said(reason, reason),
        mend="pyjobs -v doctor",
    )
