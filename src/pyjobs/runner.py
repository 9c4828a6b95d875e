"""
The process that turns fires into runs.

The timetable says what is due, the store claims it, a slot takes it, an executor runs it, the store records its end.
One loop does it; it sleeps until the next instant, the next duty, a nudge, or the end of something that runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import schedule

from pyjobs import procs
from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import Conflict, StoreBusy
from pyjobs.folders import runner_lock
from pyjobs.jobs import ACTIVE, Run, RunState
from pyjobs.ports import End, Executor, Output, Store
from pyjobs.service import Service
from pyjobs.service.fires import claim_due
from pyjobs.slots import Flight, Slots
from pyjobs.timetable import Timetable

__all__ = ["Runner", "Wakeup", "lock_store", "run_one"]

_log = logging.getLogger(__name__)
_EVERY_S = 1
_SWEEP_S = 30
#: Where a system has no pidfd, ended processes are looked for this often.
_POLL_S = 0.05
#: A wall clock that differs by more from elapsed time was set, or the host slept.
_JUMP_MS = 2000
#: A store that was locked is tried again after this.
_BUSY_PAUSE_S = 0.1
_OLD_EXIT_S = 3600


class HasFileno(Protocol):
    """What a selector takes."""

    def fileno(self) -> int:
        """Its descriptor."""


class Receiver(HasFileno, Protocol):
    """The runner's end of the nudge."""

    def drain(self) -> None:
        """Forget all nudges so far."""

    def close(self) -> None:
        """Take it away."""


class Wakeup:
    """What the loop sleeps on: ends of runs, nudges, signals."""

    def __init__(self) -> None:
        """Open the selector and the pipe through which signals come."""
        self._selector = selectors.DefaultSelector()
        self._blind: set[Flight] = set()
        self._fds: dict[int, int] = {}

    def add(self, source: int | HasFileno, tag: str) -> None:
        """Wake for a descriptor or what has one."""
        self._selector.register(source, selectors.EVENT_READ, tag)

    def watch(self, flight: Flight) -> None:
        """Wake when this flight's attempt ends."""
        assert flight.attempt is not None
        number = flight.attempt.fileno()
        if number < 0:
            self._blind.add(flight)
            return
        self._fds[id(flight)] = number
        self._selector.register(number, selectors.EVENT_READ, flight)

    def unwatch(self, flight: Flight) -> None:
        """Forget it, before its descriptor is closed."""
        self._blind.discard(flight)
        number = self._fds.pop(id(flight), None)
        if number is not None:
            self._selector.unregister(number)

    def wait(self, seconds: float) -> tuple[list[Flight], set[str]]:
        """Sleep; answers flights to look at, and tags of other sources."""
        if self._blind:
            seconds = min(seconds, _POLL_S)
        flights, tags = list(self._blind), set()
        for key, _ in self._selector.select(max(0.0, seconds)):
            if isinstance(key.data, str):
                tags.add(key.data)
            else:
                flights.append(key.data)
        return flights, tags

    def look_again(self, flights: Iterable[Flight]) -> None:
        """
        Poll flights whose descriptor stays readable though they are not over.

        Their status is not written down yet by whoever is their parent, or something that they started is left.
        """
        for flight in flights:
            self.unwatch(flight)
            self._blind.add(flight)

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()


class Runner:
    """The loop over one home."""

    def __init__(
        self, settings: Settings, store: Store, service: Service, executors: Mapping[str, Executor], output: Output,
        receiver: Receiver, clock: Clock,
    ) -> None:  # fmt: skip
        """Put it together; `start` takes over what is there, `run` loops."""
        self._settings = settings
        self._store = store
        self._service = service
        self._executors = executors
        self._output = output
        self._receiver = receiver
        self._clock = clock
        self.owner = procs.owner_name()
        self.slots = Slots(
            store, executors, output, clock, self.owner,
            limit=settings.max_concurrent_jobs, default_timeout_s=settings.job_timeout,
        )  # fmt: skip
        self.timetable = Timetable()
        self.wakeup = Wakeup()
        self.slots.watch, self.slots.unwatch = self.wakeup.watch, self.wakeup.unwatch
        self._duties = schedule.Scheduler()
        self._revision = 0
        self._data_version = -1
        self._paused = False
        self._not_before = 0.0
        self._trouble = ""
        self._skew_ms = self._skew()
        self._gmt_offset = time.localtime().tm_gmtoff
        self._stops = 0
        self._leave_at = 0.0
        self.heartbeat: Callable[[], None] = lambda: None
        self.reload: Callable[[], None] = lambda: None
        #: What to do when a further source of `wakeup` is readable, by its tag.
        self.on: dict[str, Callable[[], None]] = {}

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take over what a dead runner left, and learn what is due."""
        self.wakeup.add(self._receiver, "nudge")
        self._check_zone()
        self._look(everything=True)
        self._sweep()
        self._set_duties()

    def stop(self) -> None:
        """Ask the loop to end: once, and short work is waited for; twice, and it is not."""
        self._stops += 1
        self._leave_at = self._clock.monotonic() + (self._settings.drain if self._stops == 1 else 0)

    def run(self) -> None:
        """Loop until `stop`."""
        while not self._stops:
            self.step(self._sleep_s())
        _log.info("stopping: %d running", len(list(self.slots.flights)))
        if self._settings.on_stop == "kill":
            self.slots.end_all(RunState.KILLED, "pyjobs was stopped")
        while not self.slots.idle and (self._clock.monotonic() < self._leave_at or self._settings.on_stop == "kill"):
            self._drain_step()
        self._leave()

    def step(self, sleep_s: float) -> None:
        """Sleep at most so long, then do all that is due."""
        flights, tags = self.wakeup.wait(sleep_s)
        for tag in tags & set(self.on):
            self.on[tag]()
        if self._stops:
            return
        with self._busy_is_no_end():
            if "nudge" in tags:
                self._receiver.drain()
                self._look()
            self.wakeup.look_again(self.slots.collect(flights))
            self._mind_the_clock()
            self._tick()
            self._duties.run_pending()
            self._advance()

    def close(self) -> None:
        """Release everything; commands and functions go on."""
        for executor in self._executors.values():
            executor.close()
        self._receiver.close()
        self.wakeup.close()
        self._store.close()

    # --- steps -------------------------------------------------------------------------------------------------

    def _sleep_s(self) -> float:
        now = self._clock.monotonic()
        waits = [self._duties.idle_seconds or 0.0]
        due = self.timetable.next_ms()
        if due is not None and not self._paused:
            waits.append(max((due - self._clock.now_ms()) / 1000, self._not_before - now))
        deadline = self.slots.deadline()
        if deadline is not None:
            waits.append(deadline - now)
        if self.slots.pending:
            waits.append(self._not_before - now)
        # Never longer than a duty's period: `schedule` reckons in local time, where an hour may come twice.
        return max(0.0, min(*waits, _EVERY_S))

    def _tick(self) -> None:
        """Claim what is due: the lateness of a fire is judged here."""
        if self._paused or self._clock.monotonic() < self._not_before:
            return
        now_ms = self._clock.now_ms()
        due = self.timetable.pop_due(now_ms)
        if not due:
            return
        try:
            claims = claim_due(self._store, due, now_ms, self.owner, self._service.jobs.default_zone)
        except BaseException:
            for job_id, due_ms in due:
                self.timetable.set(job_id, due_ms)
            raise
        for job_id, next_ms in claims.next_fires.items():
            self.timetable.set(job_id, next_ms)
        for job, reason in claims.stopped:
            _log.warning("job %s stopped itself: %s", job.name, reason)
        self.slots.supersede(claims.superseded, claims.launch)

    def _advance(self) -> None:
        self.slots.enforce()
        if self._clock.monotonic() >= self._not_before:
            self.slots.launch()
        self.slots.flush()

    def _look(self, *, everything: bool = False) -> None:
        """Learn what other processes changed."""
        version = self._store.data_version()
        if version == self._data_version and not everything:
            return
        since = 0 if everything else self._revision
        self._revision, changes = self._store.due_changes(since)
        for job_id, due_ms in changes:
            self.timetable.set(job_id, due_ms)
        self._paused = self._service.system.paused() is not None
        self._take_manual()
        self.slots.kill(self._store.kill_requests(self.owner))
        self._data_version = version

    def _take_manual(self) -> None:
        runs = self._store.unowned_runs()
        mine = self._store.take([run.exec_id for run in runs], self.owner, None) if runs else set()
        self.slots.admit(run for run in runs if run.exec_id in mine)

    def _sweep(self) -> None:
        """Give the runs of dead owners their end, or go on with them."""
        flying = {flight.run.exec_id for flight in self.slots.flights}
        for run in self._store.active_runs():
            if run.owner in (None, self.owner) or run.exec_id in flying or procs.owner_alive(run.owner or ""):
                continue
            if self._store.take([run.exec_id], self.owner, run.owner):
                self._inherit(run)
        # Somebody may have asked for the end of one while it had no runner.
        self.slots.kill(self._store.kill_requests(self.owner))
        self._forget_old_exits()

    def _inherit(self, run: Run) -> None:
        same_boot = (run.owner or "").partition("/")[0] == procs.boot_id()
        if run.state is RunState.QUEUED and same_boot:
            # Marked as running before its launch: so this one was certainly never launched.
            self.slots.admit([run])
            return
        executor = self._executors.get(run.mode)
        attempt = executor.adopt(run) if executor is not None and same_boot else None
        if attempt is None:
            died = "the runner died while it ran" if same_boot else "the machine went down"
            if run.pid is None:
                died = "the runner died before it was known to be launched" if same_boot else died
            self._lose(run, died)
            return
        _log.info("run %s of job %s goes on: pid %s", run.exec_id, run.job_name, attempt.pid)
        self.slots.adopt(run, attempt)

    def _lose(self, run: Run, reason: str) -> None:
        now_ms = self._clock.now_ms()
        spooled = self._output.read(run.exec_id)
        duration = None if run.started_ms is None else max(0, now_ms - run.started_ms)
        end = End(
            exec_id=run.exec_id, state=RunState.LOST, ended_ms=now_ms, duration_ms=duration,
            error=f"lost: {reason}", output=spooled.output, stderr_at=spooled.stderr_at,
        )  # fmt: skip
        self._store.end_runs([end], self.owner)
        _log.warning("run %s of job %s is lost: %s", run.exec_id, run.job_name, reason)

    def _forget_old_exits(self) -> None:
        """Exit statuses of what nobody asks for: children that commands left behind."""
        wanted = {f"{f.attempt.pid}.{f.attempt.pid_start}" for f in self.slots.flights if f.attempt is not None}
        oldest = time.time() - _OLD_EXIT_S  # noqa: TID251 - compared with the file system's own clock
        with contextlib.suppress(OSError):
            for path in self._settings.exits_dir.iterdir():
                if path.name not in wanted and path.stat().st_mtime < oldest:
                    path.unlink()

    # --- duties ------------------------------------------------------------------------------------------------

    def _set_duties(self) -> None:
        """`schedule` gives the cadence of our own duties; it reads the wall clock, so a jump sets them anew."""
        self._duties.clear()
        for every_s, duty in (
            (_EVERY_S, self.heartbeat),
            (_EVERY_S, self._look),
            (_EVERY_S, self.slots.trim),
            (_EVERY_S, self._service.runs.clean_up),
            (_EVERY_S * 2, self.reload),
            (_SWEEP_S, self._sweep),
        ):
            self._duties.every(every_s).seconds.do(self._guarded, duty)

    def _guarded(self, duty: Callable[[], None]) -> None:
        """An exception in one duty is that duty's: `schedule` would end the loop for it."""
        try:
            duty()
        except StoreBusy as exc:
            self._note_trouble(exc)
        except Exception:
            _log.exception("duty %s failed", getattr(duty, "__name__", duty))

    def _check_zone(self) -> None:
        """Jobs without a zone follow the configured one: their next fires are made anew when it changed."""
        zone = self._service.jobs.default_zone
        if self._store.fact("default_zone") not in (None, zone):
            self._service.jobs.recompute(only=lambda job: not job.timezone, again=True)
        self._store.set_fact("default_zone", zone)

    def _skew(self) -> int:
        boot = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
        return self._clock.now_ms() - time.clock_gettime_ns(boot) // 1_000_000

    def _mind_the_clock(self) -> None:
        skew, offset = self._skew(), time.localtime().tm_gmtoff
        jump_ms, self._skew_ms = skew - self._skew_ms, skew
        if abs(jump_ms) > _JUMP_MS:
            _log.warning("the clock was set by %+.1f s", jump_ms / 1000)
        if abs(jump_ms) > _JUMP_MS or offset != self._gmt_offset:
            self._gmt_offset = offset
            self._set_duties()

    # --- trouble and end ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _busy_is_no_end(self) -> Iterator[None]:
        """A locked or full store: nothing new starts, what runs goes on, results wait; said once."""
        try:
            yield
        except StoreBusy as exc:
            self._note_trouble(exc)
            # The heartbeat does not depend on the store: a locked store is no hang.
            self.heartbeat()
            self.slots.enforce()
        else:
            if self._trouble and self._clock.monotonic() >= self._not_before:
                _log.info("the store can be written again")
                self._trouble = ""

    def _note_trouble(self, exc: StoreBusy) -> None:
        self._not_before = self._clock.monotonic() + _BUSY_PAUSE_S
        if self._trouble != str(exc):
            self._trouble = str(exc)
            _log.warning("%s; nothing new starts meanwhile", exc)

    def _drain_step(self) -> None:
        flights, tags = self.wakeup.wait(0.2)
        for tag in tags & set(self.on):
            self.on[tag]()
        with self._busy_is_no_end():
            self.wakeup.look_again(self.slots.collect(flights))
            self.slots.enforce()
            self.slots.kill(self._store.kill_requests(self.owner))
            self.slots.flush()
            self.heartbeat()

    def _leave(self) -> None:
        """What is a process goes on without us; what is not ends here."""
        self.slots.end_all(
            RunState.KILLED, "pyjobs was stopped before it ended",
            only=lambda f: f.attempt is None or f.attempt.pid is None,
        )  # fmt: skip
        patience = self._clock.monotonic() + 5
        while any(f.ending for f in self.slots.flights) and self._clock.monotonic() < patience:
            self._drain_step()
        with contextlib.suppress(StoreBusy):
            self.slots.flush()
        for flight in self.slots.flights:
            _log.info("left running: run %s of job %s", flight.run.exec_id, flight.run.job_name)


def lock_store(path: Path) -> int:
    """
    Be the one runner of a store, for as long as the descriptor that this answers is open.

    Raises:
        Conflict: another process is; the message names it.
    """
    descriptor = os.open(runner_lock(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 100).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Conflict(
            f"another runner (pid {holder or 'unknown'}) has the store `{path}`",
            f"数据库 `{path}` 已被另一个执行进程（pid {holder or '未知'}）占用",
            hint="one runner a store: see `pyjobs status`",
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def run_one(
    store: Store, run: Run, executors: Mapping[str, Executor], output: Output, clock: Clock, default_timeout_s: int
) -> Run:
    """
    Make one run that this process owns, without a runner; answers it as it ended.

    INT, TERM and HUP end the run.
    """
    owner = run.owner or ""
    slots = Slots(store, executors, output, clock, owner, limit=1, default_timeout_s=default_timeout_s)
    wakeup = Wakeup()
    slots.watch, slots.unwatch = wakeup.watch, wakeup.unwatch
    asked: list[str] = []
    handlers = {n: signal.signal(n, lambda n, _: asked.append(procs.describe_signal(n))) for n in _ENDING}
    try:
        slots.admit([run])
        while (now_run := store.run(run.exec_id)) is not None and now_run.state in ACTIVE:
            try:
                slots.kill({run.exec_id: asked[-1]} if asked else store.kill_requests(owner))
                slots.launch()
                deadline = slots.deadline()
                wait_s = 0.2 if deadline is None else min(0.2, deadline - clock.monotonic())
                flights, _ = wakeup.wait(wait_s)
                wakeup.look_again(slots.collect(flights))
                slots.enforce()
                slots.trim()
                slots.flush()
            except StoreBusy:
                wakeup.wait(_BUSY_PAUSE_S)
        return now_run or run
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        wakeup.close()


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
