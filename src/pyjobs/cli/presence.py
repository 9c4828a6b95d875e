"""Whether anybody is there: the daemon that fires jobs, and whoever makes a run."""

from __future__ import annotations

from pyjobs import procs
from pyjobs.cli.context import App
from pyjobs.config import Settings
from pyjobs.errors import DaemonNotRunning, Exit, PyjobsError
from pyjobs.jobs import ACTIVE, Run, RunState

__all__ = ["NobodyThere", "daemon_runs", "left_alone", "note_if_nothing_fires"]


class NobodyThere(DaemonNotRunning):
    """A run is not gone on with: no daemon runs, and whoever made it is gone."""

    exit_code = Exit.UNREACHABLE

    def __init__(self, run: Run) -> None:
        """Say what becomes of it."""
        queued = run.state is RunState.QUEUED
        doing = "is queued until it does" if queued else "has nobody who sees how it ends"
        doing_zh = "将一直排队" if queued else "目前无人等待其结束"
        then = "launches it" if queued else "takes it over, or records what became of it"
        then_zh = "将启动该执行" if queued else "将接管该执行，或记录其结果"
        PyjobsError.__init__(
            self,
            f"the daemon is not running: run `{run.exec_id}` of `{run.job_name}` {doing}",
            f"守护进程未运行：`{run.job_name}` 的执行 `{run.exec_id}` {doing_zh}",
            hint=f"start it with `pyjobs daemon start`: it {then}",
            hint_zh=f"用 `pyjobs daemon start` 启动守护进程，它{then_zh}",
        )


def daemon_runs(settings: Settings) -> bool:
    """As `daemon.status(settings) is not None`, without importing its module: lists ask this."""
    return procs.daemon_said(settings.daemon_lock) is not None


def left_alone(app: App, run: Run) -> bool:
    """Whether a run has not ended, and nobody is there to launch it or to see its end."""
    if run.state not in ACTIVE or daemon_runs(app.settings):
        return False
    if run.owner is None:
        return True
    return not procs.owner_alive(run.owner, app.service.runs.seen)


def note_if_nothing_fires(app: App) -> None:
    """Say on stderr why jobs that wait will not be fired; nothing when they will."""
    if not daemon_runs(app.settings):
        app.say("status.nothing_fires")
    trouble = procs.daemon_trouble(app.settings.daemon_lock)
    if trouble:
        app.say("status.trouble", why=trouble)
    paused = app.service.system.paused()
    if paused is not None:
        app.say("system.is_paused", by=paused.by, since=app.view.full(paused.since_ms))
