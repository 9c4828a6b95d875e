"""Checks of the store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Fix, Said, Severity
from pyjobs.errors import NotAllowed, PyjobsError, StoreBusy

__all__ = ["backups", "broken_rows", "lock", "opens", "replaced", "sound", "wal"]

#: A WAL that is longer is not being moved into the file.
_LONG_WAL = 64 << 20


def opens(facts: Facts) -> Iterator[Finding]:
    """Whether the store can be opened at all."""
    if isinstance(facts.opened, PyjobsError):
        yield _of_error("store_unusable", facts.opened)


def sound(facts: Facts) -> Iterator[Finding]:
    """Whether its pages and indexes are whole."""
    if facts.damage is not None:
        yield _of_error("store_damaged", facts.damage)


def lock(facts: Facts) -> Iterator[Finding]:
    """Whether somebody holds the write lock and does not let go."""
    if not facts.locked:
        return
    who = ", ".join(facts.lock_holders)
    look = "" if facts.file is None else f"fuser -v {shlex.quote(str(facts.file))}"
    pids = [holder.rpartition("pid ")[2].rstrip(")") for holder in facts.lock_holders]
    yield Finding(
        code="store_locked",
        severity=Severity.ERROR,
        what=Said(
            f"the store is locked by {who or 'another process'}",
            f"数据库被{f' {who} ' if who else '其他进程'}锁定",
        ),
        why=Said(
            "while it is, nothing new starts and no result is stored",
            "锁定期间不会启动新的执行，结果也无法写入",
        ),
        mend=f"kill {' '.join(pids)}" if pids else look,
    )


def wal(facts: Facts) -> Iterator[Finding]:
    """Whether the WAL grows without end."""
    if facts.wal_bytes <= _LONG_WAL:
        return
    size = facts.wal_bytes >> 20
    runs = facts.daemon is not None
    yield Finding(
        code="wal_large",
        severity=Severity.WARNING,
        what=Said(f"the WAL of the store has {size} MiB", f"数据库的 WAL 文件已有 {size} MiB"),
        why=Said(
            "somebody reads the store without end, so that it cannot be moved into the file; every look-up gets slower",
            "有进程一直在读取数据库，WAL 无法合并，查询会越来越慢",
        ),
        mend="pyjobs daemon restart" if runs else "pyjobs doctor --fix",
        fix=None if runs else Fix("checkpoint"),
    )


def replaced(facts: Facts) -> Iterator[Finding]:
    """Whether the daemon works on another file than the one that is in the store's place."""
    if facts.has_other_file:
        pids = ", ".join(map(str, facts.has_other_file))
        yield Finding(
            code="store_replaced",
            severity=Severity.ERROR,
            what=Said(
                f"the store was deleted or replaced while the daemon has it open (pid {pids})",
                f"守护进程（pid {pids}）正在使用的数据库文件已被删除或替换",
            ),
            why=Said(
                "the daemon writes nothing to a file that is gone, and knows nothing of the new one",
                "守护进程不会写入已消失的文件，也不知道新的文件",
            ),
            mend="pyjobs daemon restart",
        )


def broken_rows(facts: Facts) -> Iterator[Finding]:
    """Jobs whose row cannot be read."""
    for job in facts.jobs:
        head, _, reason = job.stop_reason.partition("its row in the store cannot be used: ")
        if reason and not head:
            yield Finding(
                code="broken_row",
                severity=Severity.ERROR,
                what=Said(
                    f"the row of job {job.id} `{job.name}` cannot be used: {reason}",
                    f"任务 {job.id} `{job.name}` 的记录无法使用：{reason}",
                ),
                why=Said(
                    "the job is stopped until somebody makes it anew; the others go on",
                    "该任务在重新定义之前保持停止，其他任务不受影响",
                ),
                mend=f"pyjobs job remove {job.id}",
                job=job.name,
            )


def backups(facts: Facts) -> Iterator[Finding]:
    """Whether there is any copy of the store; copies of a server's databases are its own affair."""
    if facts.file is not None and not facts.backups and facts.jobs:
        yield Finding(
            code="no_backup",
            severity=Severity.NOTE,
            what=Said("no backup of the store lies beside it", "数据库旁没有任何备份"),
            why=Said("a damaged file can only be put back from a copy", "文件损坏后只能用备份恢复"),
            mend="pyjobs job add store-backup --cron '30 3 * * *' --func Backup --arg 14",
        )


def _of_error(code: str, error: PyjobsError) -> Finding:
    kind = {StoreBusy: "store_locked", NotAllowed: "store_not_allowed"}.get(type(error), code)
    hint = error.hint()
    # Hints name what to type between backticks; the first one is what mends it.
    return Finding(
        code=kind,
        severity=Severity.ERROR,
        what=Said(error.text("en"), error.text("zh")),
        why=Said(hint, error.hint("zh")),
        mend=hint.split("`")[1] if hint.count("`") > 1 else "",
    )
