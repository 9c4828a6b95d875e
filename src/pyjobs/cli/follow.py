"""What a run writes, as it writes it: the spool files are read on, the row is asked for the end."""

from __future__ import annotations

import codecs
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO

from pyjobs.cli.context import App
from pyjobs.cli.presence import NobodyThere, left_alone
from pyjobs.cli.reasons import short
from pyjobs.errors import TimedOut
from pyjobs.jobs import FINAL, Run, RunState

__all__ = ["Follower", "exit_code", "follow", "verdict", "watch"]

_POLL_S = 0.05
#: Whoever waits for a run that waits itself is told so after this.
_SILENT_S = 1.5
#: A daemon that restarts is gone for less; whoever makes a run writes its end before it goes.
_PATIENCE_S = 3.0
_PIECE = 1 << 16
#: Exit codes of what no process of the job ended with, as `timeout` and shells have them.
_CODES = {
    RunState.TIMEOUT: 124,
    RunState.KILLED: 137,
    RunState.LOST: 125,
    RunState.SKIPPED: 6,
    RunState.MISSED: 6,
}


class _Tail:
    """One spool file that is read on."""

    def __init__(self, path: Path, stream: TextIO, show: Callable[[str], str] | None) -> None:
        self._path = path
        self._stream = stream
        #: None: bytes go through as they are.
        self._show = show
        self._file: BinaryIO | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.count = 0
        self._last = "\n"

    def pump(self) -> bool:
        """Show what is new; False when there was nothing."""
        if self._file is None:
            try:
                self._file = self._path.open("rb", buffering=0)
            except OSError:
                return False
        piece = self._file.read(_PIECE)
        if not piece:
            return False
        text = self._decoder.decode(piece)
        self.count += len(text)
        self._last = text[-1:] or self._last
        raw = getattr(self._stream, "buffer", None)
        if self._show is None and raw is not None:
            raw.write(piece)
            raw.flush()
        else:
            self._stream.write(self._show(text) if self._show else text)
            self._stream.flush()
        return True

    def finish(self, text: str) -> None:
        """Show the row's text, if the file was never seen; on a terminal end the last line."""
        if text and self.count == 0:
            self._stream.write(self._show(text) if self._show else text)
            self._last = text[-1]
        if self._show and self._last != "\n":
            self._stream.write("\n")
        self._stream.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Follower:
    """Copies a run's output to stdout and stderr. Close it after use."""

    def __init__(self, app: App, exec_id: str, *, merged: bool = False) -> None:
        """Take the run; `merged` writes both streams to stdout."""
        from pyjobs.bootstrap import build_spool

        spool = build_spool(app.settings)
        show = app.shown if app.terminal and not app.raw else None
        sys.stdout.flush()
        self._out = _Tail(spool.out(exec_id), sys.stdout, show)
        self._err = _Tail(spool.err(exec_id), sys.stdout if merged else sys.stderr, show)

    def pump(self) -> None:
        """Show all that there is now."""
        while self._out.pump() | self._err.pump():
            pass

    def finish(self, run: Run) -> None:
        """Show what is left of a run that has ended; the files may be gone already."""
        self.pump()
        self._out.finish(run.stdout)
        self._err.finish(run.stderr)

    def close(self) -> None:
        """Close the files."""
        self._out.close()
        self._err.close()


def watch(app: App, exec_id: str, follower: Follower | None, timeout_s: float | None = None) -> Run:
    """
    Follow a run that another process makes until it has ended.

    Raises:
        TimedOut: it has not ended in time; it goes on.
        NobodyThere: no daemon runs, and nobody else makes it.
    """
    began = seen = time.monotonic()
    deadline = None if timeout_s is None else seen + timeout_s
    silent = follower is not None
    while True:
        run = app.service.runs.get(exec_id)
        if follower is not None:
            follower.pump()
        if run.state in FINAL:
            if follower is not None:
                follower.finish(run)
            return run
        if deadline is not None and time.monotonic() > deadline:
            raise TimedOut(
                f"run `{exec_id}` is still {run.state.value} after {timeout_s:g} s",
                f"执行 `{exec_id}` 在 {timeout_s:g} 秒后仍未结束",
                hint=f"it goes on; see `pyjobs runs follow {exec_id}`",
                hint_zh=f"该执行仍在继续，可用 `pyjobs runs follow {exec_id}` 查看",
            )
        now = time.monotonic()
        if silent and run.state is RunState.QUEUED and now - began > _SILENT_S:
            app.say("run.waits", exec_id=exec_id, slots=app.settings.max_concurrent_jobs)
            silent = False
        if not left_alone(app, run):
            seen = now
        elif now - seen > _PATIENCE_S:
            raise NobodyThere(run)
        time.sleep(_POLL_S)


def follow(app: App, exec_id: str, timeout_s: float | None = None, *, show: bool = True) -> Run:
    """As `watch`; an interrupt asks for the run's end, is waited for, and then goes on as one."""
    from pyjobs.errors import Conflict

    with contextlib.closing(Follower(app, exec_id)) as follower:
        shown = follower if show else None
        try:
            return watch(app, exec_id, shown, timeout_s)
        except KeyboardInterrupt:
            with contextlib.suppress(Conflict):
                app.say("run.killing", exec_id=exec_id, name=app.service.runs.kill(exec_id, app.by()).job_name)
            with contextlib.suppress(TimedOut):
                verdict(app, watch(app, exec_id, shown, timeout_s=30))
            raise


def exit_code(run: Run) -> tuple[int, str]:
    """The exit code for a run, and whose it is: `job` or `pyjobs`."""
    if run.state is RunState.SUCCESS:
        return run.exit_code or 0, "job"
    if run.state is RunState.FAILED:
        if run.exit_code:
            return run.exit_code & 0xFF or 1, "job"
        return (125 if run.mode == "command" else 1), "pyjobs"
    return _CODES.get(run.state, 1), "pyjobs"


def verdict(app: App, run: Run) -> None:
    """Say on stderr how a run ended."""
    from pyjobs.cli.messages import word
    from pyjobs.cli.times import span

    state, reason = word(run.state.value, app.lang), short(run, app.view)
    if run.started_ms is None:
        app.say("run.not_launched", exec_id=run.exec_id, state=state, reason=reason)
        return
    key = "run.ended_why" if reason else "run.ended"
    app.say(key, exec_id=run.exec_id, state=state, reason=reason, took=span(run.duration_ms))
