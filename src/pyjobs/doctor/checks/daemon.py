"""Checks of the daemon and of what dead ones left behind."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyjobs.clock import text
from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Fix, Said, Severity
from pyjobs.jobs import RunState
from pyjobs.ports import EventKind

__all__ = [
    "clock_jumps",
    "crashes",
    "dead_runs",
    "leftovers",
    "lock",
    "missing",
    "other_home",
    "overdue",
    "paused",
    "second",
    "sleeps",
]

#: A fire that is older than this while a runner is there is not being fired.
_OVERDUE_MS = 60_000
#: A clock that was set by less is one that is kept right.
_SET_MS = 60_000


def missing(facts: Facts) -> Iterator[Finding]:
    """Nobody is there to fire jobs that wait."""
    waiting = [job.next_fire_ms for job in facts.waiting if job.next_fire_ms is not None]
    if facts.daemon is not None or not waiting:
        return
    late = sum(ms <= facts.now_ms for ms in waiting)
    yield Finding(
        code="no_daemon",
        severity=Severity.WARNING,
        what=Said(
            f"the daemon is not running, and {_count(len(waiting), 'job waits', 'jobs wait')} for it"
            + (f", {late} overdue" if late else ""),
            f"守护进程未运行，{len(waiting)} 个任务在等待" + (f"，其中 {late} 个已到时间" if late else ""),
        ),
        why=Said("nothing fires while it is down", "守护进程不运行就不会触发任务"),
        mend="pyjobs daemon start",
    )


def second(facts: Facts) -> Iterator[Finding]:
    """More than one runner for this home."""
    mine = facts.daemon.runner_pid if facts.daemon is not None else None
    others = [pid for pid in facts.runners if pid != mine]
    if others:
        pids = " ".join(map(str, others))
        yield Finding(
            code="second_daemon",
            severity=Severity.ERROR,
            what=Said(
                f"a runner of this home is none of its daemon's (pid {pids})",
                f"存在不属于当前守护进程的执行进程（pid {pids}）",
            ),
            why=Said(
                "its lock's file was deleted while it ran, or its supervisor died; `stop` does not reach it",
                "锁文件在其运行时被删除，或其监护进程已退出，`stop` 无法停止它",
            ),
            # Its supervisor would start it again.
            mend=f"kill $(ps -o ppid= -p {','.join(map(str, others))})",
        )


def other_home(facts: Facts) -> Iterator[Finding]:
    """The store has a runner that belongs to another home."""
    mine = facts.daemon.runner_pid if facts.daemon is not None else None
    holder = facts.runner_lock_pid
    if holder is None or holder in (mine, *facts.runners):
        return
    yield Finding(
        code="other_runner",
        severity=Severity.ERROR,
        what=Said(
            f"the store has a runner that is none of this home (pid {holder or 'unknown'})",
            f"数据库正被其他主目录的执行进程使用（pid {holder or '未知'}）",
        ),
        why=Said(
            "one store has one runner: no daemon of this home can start",
            "一个数据库只能有一个执行进程：本主目录的守护进程无法启动",
        ),
        mend=f"kill {holder}" if holder else "pyjobs config path",
    )


def lock(facts: Facts) -> Iterator[Finding]:
    """Something is in the place of the daemon's lock, or somebody else holds it."""
    if facts.daemon is not None or facts.daemon_lock not in ("odd", "held"):
        return
    path, odd = facts.settings.daemon_lock, facts.daemon_lock == "odd"
    quoted = shlex.quote(str(path))
    yield Finding(
        code="daemon_lock",
        severity=Severity.ERROR,
        what=Said(
            f"`{path}` is no plain file" if odd else f"`{path}` is held by a process that is no daemon",
            f"`{path}` 不是普通文件" if odd else f"`{path}` 被并非守护进程的进程占用",
        ),
        why=Said("no daemon can start", "守护进程无法启动"),
        mend=f"rm {quoted}" if odd else f"fuser -v {quoted}",
    )


def leftovers(facts: Facts) -> Iterator[Finding]:
    """What a daemon left that died: one that stops takes its sockets away."""
    if facts.daemon is not None or facts.runners or not facts.sockets:
        return
    for socket in facts.sockets:
        yield Finding(
            code="stale_socket",
            severity=Severity.NOTE,
            what=Said(f"`{socket}` was left by a daemon that died", f"`{socket}` 是异常退出的守护进程留下的"),
            why=Said("the next daemon replaces it", "下一个守护进程会替换它"),
            mend=f"rm {shlex.quote(str(socket))}",
            fix=Fix("unlink", str(socket)),
        )
    if facts.daemon_lock == "dead":
        path = facts.settings.daemon_lock
        yield Finding(
            code="stale_lock",
            severity=Severity.NOTE,
            what=Said(f"`{path}` names a daemon that died", f"`{path}` 中记录的守护进程已异常退出"),
            why=Said("nobody holds it: the next daemon takes it", "无人占用，下一个守护进程会接管"),
            mend=f": > {shlex.quote(str(path))}",
            fix=Fix("empty_lock", str(path)),
        )


def dead_runs(facts: Facts) -> Iterator[Finding]:
    """Runs whose owner is dead while nobody is there to settle them."""
    if facts.daemon is not None or not facts.dead_runs:
        return
    names = ", ".join(sorted({f"`{run.job_name}`" for run in facts.dead_runs})[:5])
    count, running = len(facts.dead_runs), sum(run.state is RunState.RUNNING for run in facts.dead_runs)
    yield Finding(
        code="dead_runner_runs",
        severity=Severity.WARNING,
        what=Said(
            f"{_count(count, 'run', 'runs')} of {names} {'has' if count == 1 else 'have'} an owner that is dead"
            f" ({running} running)",
            f"{names} 的 {count} 个执行的所属进程已退出（其中 {running} 个在执行）",
        ),
        why=Said(
            "the next daemon takes them over or records their ends; `--fix` records those that nothing is left of",
            "下一个守护进程会接管或记录其结果；`--fix` 只记录已无任何残留的执行",
        ),
        mend="pyjobs daemon start",
        fix=Fix("settle"),
    )


def overdue(facts: Facts) -> Iterator[Finding]:
    """A runner is there, and does not fire what is due."""
    if facts.daemon is None or facts.paused_by:
        return
    late = [job for job in facts.waiting if (job.next_fire_ms or facts.now_ms) < facts.now_ms - _OVERDUE_MS]
    if late:
        yield Finding(
            code="overdue",
            severity=Severity.ERROR,
            what=Said(
                f"{_count(len(late), 'job is', 'jobs are')} overdue though the daemon runs, `{late[0].name}` first",
                f"守护进程在运行，但有 {len(late)} 个任务逾期未触发，最早的是 `{late[0].name}`",
            ),
            why=Said(
                "the runner does not see them, or cannot write the store; the log says which",
                "执行进程没有看到它们，或无法写入数据库，详见系统日志",
            ),
            mend="pyjobs daemon restart",
        )


def paused(facts: Facts) -> Iterator[Finding]:
    """Firing is paused."""
    if facts.paused_by:
        yield Finding(
            code="paused",
            severity=Severity.NOTE,
            what=Said(f"the scheduler was paused by {facts.paused_by}", f"调度器已由 {facts.paused_by} 暂停"),
            why=Said("nothing fires until it goes on", "恢复之前不会触发任务"),
            mend="pyjobs job resume",
        )


def crashes(facts: Facts) -> Iterator[Finding]:
    """The runner died, or keeps dying."""
    died = [event for event in facts.events if event.kind is EventKind.RUNNER_UP and event.detail.get("clean") is False]
    restarts = facts.daemon.restarts if facts.daemon is not None else 0
    if died or restarts:
        count = max(len(died), restarts)
        yield Finding(
            code="crashes",
            severity=Severity.WARNING,
            what=Said(
                f"the runner died {_count(count, 'time', 'times')} in the last week",
                f"最近一周执行进程异常退出 {count} 次",
            ),
            why=Said("work that ran then was taken over or is `lost`", "当时正在进行的执行已被接管，或记为丢失"),
            mend="pyjobs daemon logs",
        )


def clock_jumps(facts: Facts) -> Iterator[Finding]:
    """The clock was set in the last week."""
    jumps = [event for event in facts.events if event.kind is EventKind.CLOCK_SET]
    far = [event for event in jumps if abs(int(event.detail.get("by_ms", 0))) >= _SET_MS]
    if jumps:
        last = jumps[-1]
        by_s = int(last.detail.get("by_ms", 0)) / 1000
        yield Finding(
            code="clock_set",
            severity=Severity.WARNING if far else Severity.NOTE,
            what=Said(
                f"the clock was set {_count(len(jumps), 'time', 'times')} in the last week,"
                f" by {by_s:+.1f} s at {text(last.at_ms)} UTC last",
                f"最近一周时钟被调整 {len(jumps)} 次，最近一次为 {text(last.at_ms)} UTC，调整 {by_s:+.1f} 秒",
            ),
            why=Said(
                "fires in between were late, missed or waited for; a clock that is kept by NTP does not jump",
                "期间的触发可能延迟或错过；使用 NTP 校时不会跳变",
            ),
            mend="timedatectl set-ntp true",
        )


def sleeps(facts: Facts) -> Iterator[Finding]:
    """The host slept in the last week."""
    slept = [event for event in facts.events if event.kind is EventKind.SUSPENDED]
    if slept:
        total = sum(int(event.detail.get("for_ms", 0)) for event in slept) // 60_000
        yield Finding(
            code="suspended",
            severity=Severity.NOTE,
            what=Said(
                f"the host slept {_count(len(slept), 'time', 'times')} in the last week, {total} min in all",
                f"最近一周主机休眠 {len(slept)} 次，共 {total} 分钟",
            ),
            why=Said("fires in between were missed or run late", "期间的触发会错过或延迟"),
            mend="systemctl mask sleep.target suspend.target",
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
