"""
Mode `func`: user code in processes that a worker forks, and the catalogue of what can be called.

The worker is started at the first need and again after it died. It is replaced, never changed, by `reload`: its
running children finish on the old code. This module runs in the runner and imports neither pydantic nor user code.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyjobs import procs
from pyjobs.commandtext import FuncSpec
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.executors.command import run_environment, run_variables
from pyjobs.executors.process import ProcessAttempt, find_leader
from pyjobs.executors.spool import Spool
from pyjobs.folders import make_private
from pyjobs.functions.client import ImportStuck, WorkerClient, WorkerGone
from pyjobs.functions.userfiles import Entry, find_entries
from pyjobs.jobs import Run
from pyjobs.ports import FunctionInfo, Launch, Outcome, ReloadReport

__all__ = ["FuncAttempt", "FuncExecutor"]

#: How long a worker may take to fork, and to try arguments.
_FORK_S = 10.0
_CHECK_S = 5.0
#: How long `close` waits for a worker without runs.
_CLOSE_S = 0.5
_BUILT_IN = "built-in"


class FuncAttempt(ProcessAttempt):
    """One call of a function, in its process."""

    def __init__(self, exec_id: str, pid: int, pid_start: int | None, exits: Path, result: Path) -> None:
        """Take the process, and the file in which it says how it ended."""
        super().__init__(exec_id, pid, pid_start, exits, child=False)
        self._result = result

    def judge(self, ended: procs.Ended) -> Outcome:
        """The verdict on an exit status; the process' own words come first, and stand in for a status that was lost."""
        error = _read_error(self._result)
        if ended.signal is not None:
            return super().judge(ended)
        if ended.exit_code is None and error is None:
            return super().judge(ended)
        if ended.exit_code == 0 or (ended.exit_code is None and not error):
            return Outcome(success=True, exit_code=0)
        missing = f"the function's process ended with exit status {ended.exit_code} and no result"
        return Outcome(success=False, exit_code=ended.exit_code or 1, error=error or missing)


@dataclass(slots=True)
class _State:
    """What one worker serves."""

    worker: WorkerClient
    functions: dict[str, FunctionInfo]
    problems: dict[str, str]
    #: Every file as it was loaded, its source being the version in use; for the next worker.
    entries: list[Entry] = field(default_factory=list)

    def owners(self) -> dict[str, str]:
        return {name: info.origin for name, info in self.functions.items() if info.origin != _BUILT_IN}

    def sources(self) -> dict[str, str | None]:
        return {entry.path: entry.source for entry in self.entries}


class FuncExecutor:
    """
    Calls functions, and knows which there are.

    Bringing a worker up takes as long as the user's imports do; `ready` has it done by a thread.
    """

    mode = "func"

    def __init__(self, settings: Settings, spool: Spool, exits: Path) -> None:
        """Take the home, where output goes, and where exit statuses are kept. Starts nothing."""
        self._settings = settings
        self._spool = spool
        self._exits = exits
        self._state: _State | None = None
        self._lock = threading.RLock()
        self._reloading = threading.Lock()
        self._preparing: threading.Thread | None = None
        self._cannot: RunFailed | None = None

    def ready(self) -> bool:
        """Whether there is a worker, or nobody can get one up, which `start` then says."""
        if self._cannot is not None or (self._state is not None and self._state.worker.alive()):
            return True
        if self._preparing is None or not self._preparing.is_alive():
            self._preparing = threading.Thread(target=self._prepare, name="functions", daemon=True)
            self._preparing.start()
        return False

    def _prepare(self) -> None:
        try:
            with self._lock:
                self._ready()
        except RunFailed as exc:
            self._cannot = exc

    def start(self, launch: Launch) -> FuncAttempt:
        """Call a function. Raises RunFailed when it cannot be called."""
        spec = launch.spec
        assert isinstance(spec, FuncSpec)
        if self._cannot is not None:
            cannot, self._cannot = self._cannot, None
            raise cannot
        with self._lock:
            state = self._ready()
            if spec.name not in state.functions:
                raise _unknown(spec.name, state)
            result = self._spool.result(launch.exec_id)
            with contextlib.suppress(FileNotFoundError):
                result.unlink()
            answer = self._order(
                {
                    "do": "run",
                    "name": spec.name,
                    "arg": spec.arg,
                    "out": str(self._spool.out(launch.exec_id)),
                    "err": str(self._spool.err(launch.exec_id)),
                    "result": str(result),
                    "variables": run_variables(launch),
                }
            )
        if "pid" not in answer:
            raise RunFailed(f"it could not be started: {answer['error']}", f"无法启动：{answer['error']}")
        return FuncAttempt(launch.exec_id, answer["pid"], answer["pid_start"], self._exits, result)

    def adopt(self, run: Run) -> FuncAttempt | None:
        """Take over a call that a dead runner started, or what was kept of its end."""
        pid, start = (run.pid, run.pid_start) if run.pid else find_leader(run.exec_id)
        if pid is None or start is None:
            return None
        result = self._spool.result(run.exec_id)
        if (
            not procs.alive(pid, start)
            and procs.kept_exit(self._exits, pid, start) is None
            and _read_error(result) is None
        ):
            return None
        return FuncAttempt(run.exec_id, pid, start, self._exits, result)

    def functions(self) -> list[FunctionInfo]:
        """All functions, by name."""
        with self._lock:
            return list((self._state or self._ready()).functions.values())

    def problems(self) -> dict[str, str]:
        """Files that could not be loaded, or not whole, and why."""
        with self._lock:
            return dict((self._state or self._ready()).problems)

    def check_arguments(self, name: str, arg: str) -> str:
        """Why a call with this argument text would fail; empty when it would not, or nobody knows."""
        with self._lock:
            state = self._ready()
            if name not in state.functions:
                return str(_unknown(name, state))
            with contextlib.suppress(TimeoutError, WorkerGone):
                return str(state.worker.ask(_CHECK_S, do="check", name=name, arg=arg)["error"])
        return ""

    def reload(self) -> ReloadReport:
        """
        Load everything anew into another worker, then swap; what runs goes on with the old code.

        Raises:
            RunFailed: no worker comes up; the old one stays.
        """
        with self._reloading:
            with self._lock:
                before = self._state or self._ready()
            entries = find_entries(self._settings)
            good = before.sources()
            for entry in entries:
                entry.fallback = good.get(entry.path)
            after = self._bring_up(entries, before.owners())
            with self._lock:
                old, self._state = self._state, after
            if old is not None:
                old.worker.retire()
            return _compare(before, after)

    def follow(self, settings: Settings) -> None:
        """Go by other settings from the next worker on, which a reload brings up."""
        self._settings = settings

    def close(self) -> None:
        """Let the worker go. What still runs goes on, and its exit status is kept."""
        with self._lock:
            state, self._state = self._state, None
        if state is not None:
            state.worker.retire(_CLOSE_S)

    def _ready(self) -> _State:
        """The present worker, or a new one with the same code."""
        if self._state is None:
            self._state = self._bring_up(find_entries(self._settings), {})
        elif not self._state.worker.alive():
            dead = self._state
            after = self._bring_up([replace(entry, fallback=None) for entry in dead.entries], dead.owners())
            dead.worker.retire()
            self._state = after
        return self._state

    def _bring_up(self, entries: list[Entry], owners: Mapping[str, str]) -> _State:
        make_private(self._exits)
        self._spool.prepare()
        while True:
            try:
                worker = WorkerClient(run_environment(self._settings))
            except OSError as exc:
                raise _no_worker(exc.strerror or str(exc)) from exc
            try:
                found = worker.load(self._settings, self._exits, entries, owners)
            except ImportStuck as exc:
                _discard(worker)
                _give_up(entries, exc)
            except WorkerGone as exc:
                _discard(worker)
                raise _no_worker(str(exc)) from exc
            except BaseException:
                _discard(worker)
                raise
            else:
                return _taken(worker, found, entries)

    def _order(self, message: dict[str, Any]) -> dict[str, Any]:
        """
        Have a call made. Asking a second worker is safe: what has not answered has launched nothing.

        A child waits for the word of its worker, which is given after the answer was sent.
        """
        try:
            return self._ask(self._ready(), message)
        except WorkerGone:
            pass
        try:
            return self._ask(self._ready(), message)
        except WorkerGone as exc:
            raise RunFailed(f"the worker for functions {exc}", f"函数工作进程已退出：{exc}") from exc

    @staticmethod
    def _ask(state: _State, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return state.worker.ask(_FORK_S, **message)
        except TimeoutError:
            # It must not fork later what counts as failed now; if it did already, it said so.
            state.worker.kill()
            late = state.worker.last_answer()
            if late is not None:
                return late
            raise RunFailed("the worker for functions does not answer", "函数工作进程没有响应") from None


def _discard(worker: WorkerClient) -> None:
    worker.kill()
    worker.retire()


def _give_up(entries: list[Entry], stuck: ImportStuck) -> None:
    """Do without the version of a file that does not come back from its import."""
    for entry in entries:
        if entry.path == stuck.path:
            entry.problem = entry.problem or stuck.why
            if stuck.old:
                entry.fallback = None
            entry.source = None


def _taken(worker: WorkerClient, found: Mapping[str, Any], entries: list[Entry]) -> _State:
    files = {about["path"]: about for about in found["files"]}
    kept = []
    for entry in entries:
        about = files[entry.path]
        source = {"new": entry.source, "old": entry.fallback}.get(about["used"])
        kept.append(replace(entry, source=source, fallback=None, problem=about["problem"]))
    functions = {
        about["name"]: FunctionInfo(
            name=about["name"],
            description=about["description"],
            signature=about["signature"],
            origin=about["path"] or _BUILT_IN,
            problem=files[about["path"]]["problem"] if about["path"] else "",
        )
        for about in found["functions"]
    }
    said = {path: "; ".join(filter(None, (about["problem"], *about["complaints"]))) for path, about in files.items()}
    return _State(worker, functions, {path: problem for path, problem in said.items() if problem}, kept)


def _compare(before: _State, after: _State) -> ReloadReport:
    old, new = before.sources(), after.sources()
    both = before.functions.keys() & after.functions.keys()
    changed = [
        name
        for name in both
        if before.functions[name].origin != after.functions[name].origin
        or old.get(before.functions[name].origin) != new.get(after.functions[name].origin)
    ]
    return ReloadReport(
        added=sorted(after.functions.keys() - before.functions.keys()),
        changed=sorted(changed),
        removed=sorted(before.functions.keys() - after.functions.keys()),
        refused=dict(after.problems),
    )


def _unknown(name: str, state: _State) -> RunFailed:
    folded = {known.lower(): known for known in state.functions}
    near = difflib.get_close_matches(name.lower(), folded, n=3)
    meant = ", ".join(f"`{folded[match]}`" for match in near)
    return RunFailed(
        f"there is no function `{name}`" + (f"; did you mean {meant}?" if meant else ""),
        f"不存在函数 `{name}`" + (f"，是否想写 {meant}？" if meant else ""),
        hint="see `pyjobs funcs list`",
        hint_zh="请查看 `pyjobs funcs list`",
    )


def _no_worker(why: str) -> RunFailed:
    return RunFailed(f"no worker for functions comes up: {why}", f"函数工作进程无法启动：{why}")


def _read_error(path: Path) -> str | None:
    """What a function's process left as its error, empty for success; None when it left nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(content["error"])
