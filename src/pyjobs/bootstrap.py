"""
The one module that knows every concrete class. Each builder imports what it builds, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyjobs import config, procs
from pyjobs.clock import Clock, SystemClock
from pyjobs.config import Origin, Settings
from pyjobs.folders import make_private
from pyjobs.ports import Executor
from pyjobs.service import Service, build

if TYPE_CHECKING:
    from pyjobs.executors.func import FuncExecutor
    from pyjobs.executors.spool import Spool
    from pyjobs.following import Following
    from pyjobs.jobs import Run
    from pyjobs.ports import Dump
    from pyjobs.reloading import Reloading
    from pyjobs.runner import Runner
    from pyjobs.service.backups import Backups
    from pyjobs.service.restores import Restores

#: The runner never waits longer for a lock: its heartbeat and its time-outs must go on.
_RUNNER_PATIENCE_S = 0.2
__all__ = [
    "Api",
    "build_api",
    "build_backups",
    "build_executors",
    "build_functions",
    "build_restores",
    "build_runner",
    "build_service",
    "build_spool",
    "load_settings",
    "run_here",
]


def load_settings(
    home: Path | None = None, flags: Mapping[str, Any] | None = None
) -> tuple[Settings, dict[str, Origin]]:
    """The settings of `home`, or of the home that the environment and the working directory give."""
    found = home if home is not None else config.find_home(os.environ, Path.cwd())
    return config.load(found.absolute(), os.environ, flags)


def build_service(settings: Settings, clock: Clock | None = None) -> Service:
    """
    The use cases over the store of this home, which is made at first use.

    Raises:
        StoreUnusable, NotAllowed: it cannot be opened or made.
    """
    from pyjobs.nudge import SocketNudge
    from pyjobs.store import open_store

    store = open_store(settings)
    return build(store, SocketNudge(settings.run_dir), clock or SystemClock(), settings.zone_name, settings)


def build_spool(settings: Settings) -> Spool:
    """The files that hold the output of runs."""
    from pyjobs.executors.spool import Spool

    return Spool(settings.spool_dir, keep_bytes=settings.run_output_bytes, max_bytes=settings.spool_max_bytes)


def build_functions(settings: Settings) -> FuncExecutor:
    """The functions that there are: an executor and a catalogue. Close it after use."""
    from pyjobs.executors.func import FuncExecutor

    return FuncExecutor(settings, build_spool(settings), settings.exits_dir)


def build_executors(settings: Settings, functions: FuncExecutor) -> dict[str, Executor]:
    """One executor a mode, those of other packages included (entry points `pyjobs.executors`)."""
    from importlib.metadata import entry_points

    from pyjobs.executors.command import CommandExecutor
    from pyjobs.executors.http import HttpExecutor

    spool = build_spool(settings)
    found: list[Executor] = [
        CommandExecutor(settings, spool),
        HttpExecutor(settings, spool),
        functions,
    ]
    found += [entry.load()(settings, spool) for entry in entry_points(group="pyjobs.executors")]
    return {executor.mode: executor for executor in found}


def build_runner(settings: Settings) -> tuple[Runner, FuncExecutor]:
    """
    What fires the jobs of this home, and its functions, which can be loaded again.

    Raises:
        Conflict: another runner has this store.
    """
    from pyjobs.alertchild import AlertChild
    from pyjobs.nudge import Receiver
    from pyjobs.runner import Runner
    from pyjobs.store import open_store

    clock, spool = SystemClock(), build_spool(settings)
    spool.prepare()
    make_private(settings.exits_dir)
    store = open_store(settings, patience_s=_RUNNER_PATIENCE_S, checkpoints=True)
    store.quick_check()
    receiver = Receiver(settings.run_dir)
    service = build(store, receiver, clock, settings.zone_name)
    functions = build_functions(settings)
    executors = build_executors(settings, functions)
    runner = Runner(settings, store, service, executors, spool, receiver, clock)
    alerts = AlertChild(settings.home, store, clock)
    runner.alerts, runner.end_alerts = alerts.look, alerts.close
    return runner, functions


class Api(NamedTuple):
    """The API of a home."""

    #: WSGI; to be called in the thread that built it.
    app: Callable[..., Any]
    #: The settings that it goes by; to be looked at in the same thread.
    following: Following
    reloading: Reloading
    #: What makes several requests one commit; for those to these paths.
    together: Callable[[], AbstractContextManager[None]]
    together_paths: frozenset[str]
    #: Release everything; in the same thread.
    close: Callable[[], None]


def build_api(settings: Settings) -> Api:
    """
    What answers requests for this home.

    Raises:
        BadSetting: a setting of the gate is wrong.
        StoreUnusable, NotAllowed: the store cannot be opened or made.
    """
    from pyjobs import daemon, logs
    from pyjobs.api.app import make_app, together_paths
    from pyjobs.api.gate import DoorKeeper
    from pyjobs.api.routes import Site
    from pyjobs.api.tls import check_tls
    from pyjobs.errors import DaemonNotRunning
    from pyjobs.following import Following
    from pyjobs.reloading import Reloading

    def reload_daemon() -> bool:
        try:
            daemon.reload(settings)
        except DaemonNotRunning:
            return False
        return True

    def close() -> None:
        gate.close()
        functions.close()
        service.close()

    def follow(new: Settings) -> None:
        check_tls(new)
        site.follow(new)
        reloading.follow(new)
        logs.follow(new)

    clock = SystemClock()
    service, functions = build_service(settings, clock), build_functions(settings)
    gate = DoorKeeper(settings, service.access(), service.accounts(), clock)
    reloading = Reloading(functions, settings)
    following = Following(settings, lambda: load_settings(settings.home)[0], follow)
    site = Site(
        settings=settings,
        service=service,
        functions=functions,
        clock=clock,
        gate=gate,
        reload_settings=following.now,
        reload_daemon=reload_daemon,
        scheduler_alive=lambda: procs.lock_held(settings.runner_lock),
        started_ms=clock.now_ms(),
        scheduler_trouble=lambda: procs.daemon_trouble(settings.daemon_lock),
    )
    return Api(make_app(site), following, reloading, service.together, together_paths(), close)


def build_backups(settings: Settings, clock: Clock | None = None) -> Backups:
    """The use cases about backups of this home; its store is not opened before it is copied."""
    from pyjobs.service.backups import Backups

    return Backups(settings, _build_dump(settings), clock or SystemClock())


def build_restores(settings: Settings, clock: Clock | None = None) -> Restores:
    """The use cases about restoring into this home, whose store may be missing or damaged."""
    from pyjobs.service.restores import Restores

    @contextlib.contextmanager
    def hold() -> Iterator[None]:
        from pyjobs.runner import lock_store

        make_private(settings.runner_lock.parent)
        descriptor = lock_store(settings.runner_lock, settings.database_shown)
        try:
            yield
        finally:
            os.close(descriptor)

    return Restores(settings, _build_dump(settings), clock or SystemClock(), hold)


def _build_dump(settings: Settings) -> Dump:
    from pyjobs.dumps import dump_of
    from pyjobs.store.migrations import LATEST

    return dump_of(settings, newest_schema=LATEST)


def run_here(settings: Settings, run: Run) -> Run:
    """
    Make a run in this process, which owns it: what `pyjobs run` does when there is no daemon.

    Its output can be followed in the spool meanwhile. Answers the run as it ended.
    """
    import logging

    from pyjobs.foreground import run_one
    from pyjobs.store import open_store

    logging.getLogger("pyjobs").addHandler(logging.NullHandler())
    spool, executors = build_spool(settings), build_executors(settings, build_functions(settings))
    spool.prepare()
    store = open_store(settings)
    try:
        return run_one(store, run, executors, spool, SystemClock(), settings.job_timeout)
    finally:
        for executor in executors.values():
            executor.close()
        store.close()


def settle_here(settings: Settings, job_id: int) -> None:
    """
    Give those runs of a job their end whose owner died and of which nothing is left; a daemon does it by itself.

    Without one, a run that was killed with the process that made it would hold its job back for ever.
    """
    from pyjobs.slots import Slots
    from pyjobs.store import open_store
    from pyjobs.takeover import Takeover

    spool, executors, clock = build_spool(settings), build_executors(settings, build_functions(settings)), SystemClock()
    store, owner = open_store(settings), me()
    try:
        slots = Slots(store, executors, spool, clock, owner, limit=1, default_timeout_s=settings.job_timeout)
        takeover = Takeover(store, executors, slots, clock, owner, quarantine_crashes=settings.quarantine_crashes)
        takeover.settle(job_id)
        slots.collect(list(slots.flights))
        slots.flush()
    finally:
        for executor in executors.values():
            executor.close()
        store.close()


def me() -> str:
    """This process as an owner of runs."""
    return procs.owner_name()
