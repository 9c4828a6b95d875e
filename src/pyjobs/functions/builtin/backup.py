"""The Backup function: what `pyjobs db backup --verify` does, as a job."""

from __future__ import annotations

from pyjobs.errors import PyjobsError, RunFailed
from pyjobs.functions.builtin.context import Context

__all__ = ["backup"]


def backup(context: Context, keep_days: int = 0) -> str:
    """Back the store up into `backups`; keep_days deletes older ones (0 keeps all)."""
    from pyjobs.dumps import dump_of
    from pyjobs.service.backups import Backups, Wanted

    try:
        backups = Backups(context.settings, dump_of(context.settings), context.clock)
        # Nobody waits for it, and nobody looks at it: it is compressed, and tried.
        made = backups.make(None, Wanted(keep_days=keep_days, compress=True, verify=True), _silent)
    except RunFailed:
        raise
    except PyjobsError as exc:
        raise RunFailed(f"the backup failed: {exc}", f"备份失败：{exc.text('zh')}") from exc
    said = f"{made.path} ({made.size} bytes)"
    gone = len(made.gone)
    return said + context.say(f"; {gone} old ones deleted", f"；已删除 {gone} 个旧备份") if gone else said


def _silent(_stage: str, _done: int, _total: int) -> None:
    pass
