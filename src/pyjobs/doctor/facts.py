"""
The facts that checks judge. Each is gathered when it is asked for first: one that cannot be had costs one check.

A test puts facts of its own in their place: `facts.__dict__.update(jobs=[…])`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pyjobs import procs
from pyjobs.clock import Clock
from pyjobs.config import Origin, Settings
from pyjobs.doctor import host
from pyjobs.errors import PyjobsError, StoreBusy
from pyjobs.folders import made_mark
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.ports import Event, JobQuery, RunQuery

if TYPE_CHECKING:
    from pyjobs.daemon import DaemonStatus
    from pyjobs.permits import Lists
    from pyjobs.service import Service
    from pyjobs.store.mysql import MysqlStore
    from pyjobs.store.sqlite import SqliteStore

__all__ = ["FAILED", "LAST_RUNS", "Facts", "NoStore"]

#: How long a lock of the store is waited for before it is one.
_PATIENCE_S = 1.0
_WEEK_MS = 7 * 86_400_000
#: So many failed runs one after the other are no accident.
LAST_RUNS = 3
FAILED = frozenset({RunState.FAILED, RunState.TIMEOUT, RunState.KILLED, RunState.LOST})


class NoStore(Exception):
    """What a check needs is in the store, and there is none to look into."""


class Facts:
    """One home, as it is now."""

    def __init__(self, settings: Settings, origins: Mapping[str, Origin], clock: Clock) -> None:
        """Take the settings; nothing is looked at yet."""
        self.settings = settings
        self.origins = origins
        self.now_ms = clock.now_ms()
        #: When jobs were read: a daemon moves them on meanwhile.
        self.read_ms = self.now_ms
        self._clock = clock

    def close(self) -> None:
        """Release the store, if it was opened."""
        opened = self.__dict__.get("opened")
        if opened is not None and not isinstance(opened, PyjobsError):
            opened.close()

    # --- the store ---------------------------------------------------------------------------------------------

    @cached_property
    def new(self) -> bool:
        """Whether nothing was ever stored here."""
        path, home = self.file, self.settings.home
        if path is None:
            return False
        try:
            return not path.exists() and not made_mark(path).exists() and (home.is_dir() or not home.exists())
        except OSError:  # a folder that may not be entered is for the store to explain
            return False

    @cached_property
    def file(self) -> Path | None:
        """The file that the store is; None where it is a database of a server."""
        return self.settings.database_path if self.settings.database.kind == "sqlite" else None

    @cached_property
    def wal_bytes(self) -> int:
        """The size of the WAL, before this process opens the store."""
        with contextlib.suppress(OSError):
            return 0 if self.file is None else self.file.with_name(self.file.name + "-wal").stat().st_size
        return 0

    @cached_property
    def opened(self) -> SqliteStore | MysqlStore | PyjobsError | None:
        """The store, or why it cannot be opened; None where there is none yet."""
        from pyjobs.store import open_store

        if self.new:
            return None
        self.wal_bytes  # noqa: B018 - before it is opened
        try:
            return open_store(self.settings, patience_s=_PATIENCE_S)
        except PyjobsError as exc:
            return exc

    @property
    def store(self) -> SqliteStore | MysqlStore:
        """The store. Raises NoStore."""
        if self.opened is None or isinstance(self.opened, PyjobsError):
            raise NoStore
        return self.opened

    @cached_property
    def service(self) -> Service:
        """The use cases over that store."""
        from pyjobs.nudge import SocketNudge
        from pyjobs.service import build

        settings = self.settings
        return build(self.store, SocketNudge(settings.run_dir), self._clock, settings.zone_name, settings)

    @cached_property
    def damage(self) -> PyjobsError | None:
        """What the quick check says; None when all is well."""
        try:
            self.store.quick_check()
        except PyjobsError as exc:
            return exc
        return None

    @cached_property
    def locked(self) -> bool:
        """Whether somebody holds the write lock, and goes on holding it."""
        try:
            with self.store.transaction(durable=False):
                return False
        except StoreBusy:
            return True

    @cached_property
    def lock_holders(self) -> list[str]:
        """Processes that hold the write lock, as far as the system tells."""
        return [] if self.file is None else host.write_lock_holders(self.file.with_name(self.file.name + "-shm"))

    @cached_property
    def backups(self) -> list[Path]:
        """Copies of the store that lie where they are looked for, newest first."""
        from pyjobs.store.files import backups

        return [] if self.file is None else backups(self.file)

    # --- what is in it -----------------------------------------------------------------------------------------

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """All jobs, oldest first."""
        jobs = self.store.jobs(JobQuery(order="oldest"))
        self.read_ms = self._clock.now_ms()
        return jobs

    @property
    def waiting(self) -> list[Job]:
        """Jobs that are not stopped."""
        return [job for job in self.jobs if job.state is JobState.WAITING]

    @cached_property
    def dead_runs(self) -> list[Run]:
        """Active runs whose owner is dead."""
        seen = self.store.seen
        return [run for run in self.store.active_runs() if run.owner and not procs.owner_alive(run.owner, seen)]

    @cached_property
    def last_states(self) -> dict[int, list[RunState]]:
        """Job id -> how its last runs ended, newest first; of jobs whose last one failed."""
        ended = FAILED | {RunState.SUCCESS}
        return {
            job.id: [r.state for r in self.store.runs(RunQuery(job_id=job.id, states=ended, limit=LAST_RUNS))]
            for job in self.waiting
            if job.last_state in FAILED
        }

    @cached_property
    def events(self) -> list[Event]:
        """What happened in the last week."""
        return self.store.events(self.now_ms - _WEEK_MS)

    @cached_property
    def paused_by(self) -> str:
        """Who paused the scheduler; empty when it is not."""
        paused = self.service.system.paused()
        return paused.by or "?" if paused else ""

    @cached_property
    def lists(self) -> Lists:
        """Who the API lets in."""
        return self.service.access().lists()

    @cached_property
    def asks_for_token(self) -> bool:
        """Whether clients of the API need a token."""
        return bool(self.service.access().grants())

    # --- functions ---------------------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> tuple[frozenset[str], dict[str, str]]:
        """Names of functions; files that could not be loaded, and why."""
        from pyjobs.bootstrap import build_functions

        with contextlib.closing(build_functions(self.settings)) as found:
            return frozenset(function.name for function in found.functions()), found.problems()

    # --- processes ---------------------------------------------------------------------------------------------

    @cached_property
    def daemon(self) -> DaemonStatus | None:
        """The daemon of this home."""
        from pyjobs import daemon

        return daemon.status(self.settings)

    @cached_property
    def runners(self) -> list[int]:
        """Processes that are runners of this home."""
        return host.runners_of(self.settings.home)

    @cached_property
    def runner_lock_pid(self) -> int | None:
        """The process that has the store as its runner; 0 for one without a name, None when there is none."""
        path = self.settings.runner_lock
        return host.pid_in(path) if procs.lock_held(path) else None

    @cached_property
    def daemon_lock(self) -> str:
        """What lies in the place of the daemon's lock: `none`, `odd` (no plain file), `held`, `dead` or `free`."""
        return host.lock_state(self.settings.daemon_lock)

    @cached_property
    def daemon_environ(self) -> dict[str, str] | None:
        """The runner's environment, where it can be read."""
        found = self.daemon
        return host.environ_of(found.runner_pid) if found is not None and found.runner_pid else None

    @cached_property
    def has_other_file(self) -> list[int]:
        """Processes of the daemon that have another file open than the one that is in the store's place now."""
        found = self.daemon
        pids = [found.runner_pid, *found.api_pids] if found is not None else []
        return [pid for pid in pids if pid and self.file is not None and host.holds_another(pid, self.file)]

    @cached_property
    def sockets(self) -> list[Path]:
        """Sockets in the run directory."""
        return host.sockets_in(self.settings.run_dir)

    # --- files and machine -------------------------------------------------------------------------------------

    @cached_property
    def open_places(self) -> list[tuple[Path, int, int]]:
        """(path, its mode, the mode that it should have) of what others than its owner can get at."""
        return host.open_places(self.settings, self.origins)

    @cached_property
    def disks(self) -> list[tuple[Path, int]]:
        """(a folder that is written to, bytes free), each disk once."""
        settings = self.settings
        places = [settings.spool_dir, settings.path(settings.log_file).parent]
        return host.disks(places if self.file is None else [self.file.parent, *places])

    @cached_property
    def files_ahead_s(self) -> float:
        """How far the newest of our files lies in the future, seconds."""
        settings = self.settings
        places = [settings.run_dir, settings.path(settings.log_file)]
        newest = host.newest_mtime_ms(places if self.file is None else [self.file, *places])
        return (newest - self.now_ms) / 1000

    @cached_property
    def shells(self) -> tuple[str, str]:
        """Where bash and sh are; empty where they are not."""
        import shutil

        path = (self.daemon_environ or os.environ).get("PATH")
        return shutil.which("bash", path=path) or "", shutil.which("sh", path=path) or ""

    @cached_property
    def weaker(self) -> list[str]:
        """What this system lacks: `pidfd`, `subreaper`, `proc`."""
        return host.lacking()
