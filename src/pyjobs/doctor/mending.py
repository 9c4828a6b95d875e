"""What `--fix` does: only what cannot make anything worse."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pyjobs import procs
from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Fix, Said
from pyjobs.errors import Conflict, PyjobsError
from pyjobs.jobs import OnLost, Run, RunState
from pyjobs.ports import End

__all__ = ["mend"]


def mend(facts: Facts, findings: Sequence[Finding], *, dry_run: bool) -> list[Finding]:
    """Mend what may be; answers the same findings, those that were (or would be) mended with what was done."""
    done: dict[Fix, Said | None] = {}
    for finding in findings:
        fix = finding.fix
        if fix is not None and fix not in done:
            done[fix] = _WOULD[fix.kind] if dry_run else _done(facts, fix)
    return [replace(f, mended=done[f.fix]) if f.fix is not None and done[f.fix] else f for f in findings]


def _done(facts: Facts, fix: Fix) -> Said | None:
    """What was done; None where it could not be."""
    try:
        return _BY_KIND[fix.kind](facts, fix)
    except (OSError, PyjobsError):
        return None


def _chmod(_: Facts, fix: Fix) -> Said:
    # Not by name: somebody may put a link in its place.
    descriptor = os.open(fix.target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC) if hasattr(os, "O_PATH") else -1
    try:
        if descriptor >= 0 and Path("/proc/self/fd").is_dir():
            os.chmod(f"/proc/self/fd/{descriptor}", fix.mode)  # noqa: PTH101 - a name of a descriptor
        else:
            Path(fix.target).chmod(fix.mode)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return Said(f"its mode is {fix.mode:o} now", f"权限已改为 {fix.mode:o}")


def _unlink(facts: Facts, fix: Fix) -> Said | None:
    path = Path(fix.target)
    if facts.daemon is not None or not stat.S_ISSOCK(path.lstat().st_mode):
        return None
    path.unlink()
    return Said("it was deleted", "已删除")


def _empty_lock(_: Facts, fix: Fix) -> Said:
    # Emptied, not deleted: two daemons could have a lock on two files of one name.
    descriptor = os.open(fix.target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    return Said("it was emptied", "已清空")


def _checkpoint(facts: Facts, _: Fix) -> Said | None:
    return Said("it was moved into the file", "已合并到数据库文件") if facts.store.checkpoint() else None


def _recompute(facts: Facts, _: Fix) -> Said:
    facts.service.jobs.recompute()
    return Said("the next fires were made anew", "已重新计算下次执行时间")


def _settle(facts: Facts, _: Fix) -> Said | None:
    """Record runs of dead owners as lost, as the next runner would; those that may go on are left to it."""
    from pyjobs.runner import lock_store

    try:
        lock = lock_store(facts.settings.runner_lock, facts.settings.database_shown)
    except Conflict:
        return None
    try:
        count = sum(_lose(facts, run) for run in facts.dead_runs)
    finally:
        os.close(lock)
    left = len(facts.dead_runs) - count
    if not count:
        return None
    rest, rest_zh = (f"; {left} left to the next daemon", f"，其余 {left} 个留给下一个守护进程") if left else ("", "")
    return Said(f"recorded as lost: {count}{rest}", f"已记为丢失：{count} 个{rest_zh}")


def _lose(facts: Facts, run: Run) -> bool:
    """Give a run its end, if nothing of it is left and nothing was kept for who comes next."""
    from pyjobs.bootstrap import build_spool

    same_boot = (run.owner or "").partition("/")[0] == procs.boot_id()
    job = facts.store.job(run.job_id) if run.job_id is not None else None
    if (job is not None and job.on_lost is OnLost.RETRY) or (same_boot and _may_go_on(facts, run)):
        return False
    me = procs.owner_name()
    if not facts.store.take([run.exec_id], me, run.owner):
        return False
    spooled = build_spool(facts.settings).read(run.exec_id)
    reason = "the runner died while it ran" if same_boot else "the machine went down"
    end = End(
        exec_id=run.exec_id,
        state=RunState.LOST,
        ended_ms=facts.now_ms,
        duration_ms=None if run.started_ms is None else max(0, facts.now_ms - run.started_ms),
        error=f"lost: {reason}",
        output=spooled.output,
        stderr_at=spooled.stderr_at,
    )
    return bool(facts.store.end_runs([end], me))


def _may_go_on(facts: Facts, run: Run) -> bool:
    """Whether a runner that comes next may launch it, take it over, or know how it ended."""
    if run.mode == "http" and run.state is RunState.RUNNING:
        return False
    if run.state is RunState.QUEUED or run.mode != "command" or run.pid is None:
        return True  # never launched; or only its executor knows
    if procs.kept_exit(facts.settings.exits_dir, run.pid, run.pid_start or 0) is not None:
        return True
    if procs.start_time(run.pid) != run.pid_start:
        return False
    # One that has ended is about to have its exit status written down, but by an init that reaps nothing.
    return not procs.is_zombie(run.pid) or _parent(run.pid) != 1


def _parent(pid: int) -> int:
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 1


_BY_KIND: dict[str, Callable[[Facts, Fix], Said | None]] = {
    "chmod": _chmod,
    "unlink": _unlink,
    "empty_lock": _empty_lock,
    "checkpoint": _checkpoint,
    "recompute": _recompute,
    "settle": _settle,
}
_WOULD = {
    "chmod": Said("its mode would be changed", "将修改其权限"),
    "unlink": Said("it would be deleted", "将删除它"),
    "empty_lock": Said("it would be emptied", "将清空它"),
    "checkpoint": Said("it would be moved into the file", "将合并到数据库文件"),
    "recompute": Said("the next fires would be made anew", "将重新计算下次执行时间"),
    "settle": Said("those that nothing is left of would be recorded as lost", "将把已无残留的执行记为丢失"),
}
