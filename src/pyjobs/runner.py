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
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import schedule

from pyjobs import procs
from pyjobs.attendance import Attendance
from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import Conflict, StoreBusy
from pyjobs.jobs import RunState
from pyjobs.ports import Executor, Output, Store
from pyjobs.service import Service
from pyjobs.service.fires import claim_due
from pyjobs.slots import Slots
from pyjobs.takeover import Takeover
from pyjobs.timetable import Timetable
from pyjobs.wakeup import HasFileno, Wakeup

__all__ = ["Receiver", "Runner", "lock_store"]

_log = logging.getLogger(__name__)
_EVERY_S = 1
_SWEEP_S = 30
#: How often an owner of runs says that it lives, where several hosts share the store.
_SEEN_S = 5
#: A store that was locked is tried again after this.
_BUSY_PAUSE_S = 0.1
_OLD_EXIT_S = 3600
_TIDY_S = 3600
#: As long as runs are kept.
_OLD_EVENT_MS = 90 * 24 * 3600 * 1000


class Receiver(HasFileno, Protocol):
    """The runner's end of the nudge."""

    def drain(self) -> None:
        """Forget all nudges so far."""

    def close(self) -> None:
        """Take it away."""


@runtime_checkable
class _Follows(Protocol):
    """An executor that settings concern."""

    def follow(self, settings: Settings) -> None:
        """Go by other ones from now on."""


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
        self._takeover = Takeover(
            store, executors, self.slots, clock, self.owner, quarantine_crashes=settings.quarantine_crashes
        )
        self._attendance = Attendance(store, clock, settings.run_dir / "seen", self.owner)
        self.timetable = Timetable()
        self.wakeup = Wakeup()
        self.slots.watch, self.slots.unwatch = self.wakeup.watch, self.wakeup.unwatch
        self._duties = schedule.Scheduler()
        self._revision = 0
        self._data_version = -1
        self._paused = False
        self._not_before = 0.0
        self._trouble = ""
        self._gmt_offset = time.localtime().tm_gmtoff
        self._stops = 0
        self._leave_at = 0.0
        #: Takes what cannot be done just now; empty: all is well.
        self.heartbeat: Callable[[str], None] = lambda _: None
        self.reload: Callable[[], None] = lambda: None
        #: Minds whoever tells alerts, and has it end.
        self.alerts: Callable[[], None] = lambda: None
        self.end_alerts: Callable[[], None] = lambda: None
        #: What to do when a further source of `wakeup` is readable, by its tag.
        self.on: dict[str, Callable[[], None]] = {}

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take over what a dead runner left, and learn what is due. After StoreBusy it may be called again."""
        self._note_seen()
        self._attendance.come()
        self._check_zone()
        for name, reason in self._service.jobs.disable_unusable():
            _log.warning("job %s stopped itself: %s", name, reason)
        self._look(everything=True)
        self._sweep()
        self._set_duties()
        self.wakeup.add(self._receiver, "nudge")

    def stop(self) -> None:
        """Ask the loop to end: once, and short work is waited for; twice, and it is not."""
        self._stops += 1
        self._leave_at = self._clock.monotonic() + (self._settings.drain if self._stops == 1 else 0)

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on; what runs goes on by the old ones."""
        self._settings = settings
        self.slots.follow(limit=settings.max_concurrent_jobs, default_timeout_s=settings.job_timeout)
        self._takeover.follow(quarantine_crashes=settings.quarantine_crashes)
        for executor in self._executors.values():
            if isinstance(executor, _Follows):
                executor.follow(settings)
        self._service.follow(settings)
        self._check_zone()

    def run(self) -> None:
        """Loop until `stop`."""
        while not self._stops:
            self.step(self._sleep_s())
        self._attendance.prepare_to_leave()
        _log.info("stopping: %d running", len(list(self.slots.flights)))
        kills = procs.kills_on_stop(self._settings.on_stop)
        if kills:
            self.slots.end_all(RunState.KILLED, "pyjobs was stopped")
        while not self.slots.idle and (self._clock.monotonic() < self._leave_at or kills):
            self._drain_step()
        self._leave()

    def step(self, sleep_s: float) -> None:
        """Sleep at most so long, then do all that is due."""
        flights, tags = self.wakeup.wait(sleep_s)
        for tag in tags & set(self.on):
            self._guarded(self.on[tag])
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
            self._recall()

    def close(self) -> None:
        """Release everything; commands and functions go on."""
        self.end_alerts()
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
            claims = claim_due(
                self._store, due, now_ms, self.owner, self._service.jobs.default_zone, self._attendance.absences
            )
        except BaseException:
            for job_id, due_ms in due:
                self.timetable.set(job_id, due_ms)
            raise
        for job_id, next_ms in claims.next_fires.items():
            self.timetable.set(job_id, next_ms)
        for job, reason in claims.stopped:
            _log.warning("job %s stopped itself: %s", job.name, reason)
        self.slots.waiting.supersede(claims.superseded, claims.launch)
        self.slots.kill(claims.replaced)

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

    def _recall(self) -> None:
        """
        Once the store can be written again, queue what is mine and nobody here knows of.

        A commit that was never answered may have been made: its rows are claimed, and are launched by nobody else.
        """
        if not self._trouble or self._clock.monotonic() < self._not_before:
            return
        runs = [run for run in self._store.active_runs() if run.owner == self.owner and run.state is RunState.QUEUED]
        self.slots.admit(run for run in runs if not self.slots.knows(run.exec_id))

    def _sweep(self) -> None:
        """Give the runs of dead owners their end, or go on with them."""
        self._takeover.sweep()
        # Somebody may have asked for the end of one while it had no runner.
        self.slots.kill(self._store.kill_requests(self.owner))
        self._forget_old_exits()

    def _note_seen(self) -> None:
        self._store.note_seen(self.owner)

    def _forget_old_exits(self) -> None:
        """Exit statuses of what nobody asks for: children that commands left behind."""
        wanted = {f"{f.attempt.pid}.{f.attempt.pid_start}" for f in self.slots.flights if f.attempt is not None}
        oldest = time.time() - _OLD_EXIT_S  # noqa: TID251 - compared with the file system's own clock
        with contextlib.suppress(OSError):
            for path in self._settings.exits_dir.iterdir():
                if path.name not in wanted and path.stat().st_mtime < oldest:
                    path.unlink()

    def _forget_old_events(self) -> None:
        self._store.forget_events(self._clock.now_ms() - _OLD_EVENT_MS)

    # --- duties ------------------------------------------------------------------------------------------------

    def _set_duties(self) -> None:
        """`schedule` gives the cadence of our own duties; it reads the wall clock, so a jump sets them anew."""
        self._duties.clear()
        for every_s, duty in (
            (_EVERY_S, self._attendance.touch),
            (_EVERY_S, self._beat),
            (_EVERY_S, self._look),
            (_EVERY_S, self.slots.trim),
            (_EVERY_S, self._service.runs.clean_up),
            (_EVERY_S * 2, self.reload),
            (_EVERY_S * 2, self.alerts),
            (_SEEN_S, self._note_seen),
            (_SWEEP_S, self._sweep),
            (_TIDY_S, self._forget_old_events),
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

    def _mind_the_clock(self) -> None:
        offset = time.localtime().tm_gmtoff
        if self._attendance.look_at_clock() or offset != self._gmt_offset:
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
            self._beat()
            self.slots.enforce()
        else:
            if self._trouble and self._clock.monotonic() >= self._not_before:
                _log.info("the store can be written again")
                self._trouble = ""
                self._attendance.no_trouble()
                self._beat()

    def _beat(self) -> None:
        self.heartbeat(self._trouble)

    def _note_trouble(self, exc: StoreBusy) -> None:
        # Several runners that were in each other's way must not be so again.
        pause_s = _BUSY_PAUSE_S * random.uniform(1, 2)  # noqa: S311 - it spreads tries, it keeps no secret
        self._not_before = self._clock.monotonic() + pause_s
        self._attendance.trouble()
        if self._trouble != str(exc):
            self._trouble = str(exc)
            _log.warning("%s; nothing new starts meanwhile", exc)

    def _drain_step(self) -> None:
        flights, tags = self.wakeup.wait(0.2)
        for tag in tags & set(self.on):
            self._guarded(self.on[tag])
        with self._busy_is_no_end():
            self.wakeup.look_again(self.slots.collect(flights))
            self.slots.enforce()
            self.slots.kill(self._store.kill_requests(self.owner))
            self.slots.flush()
            self._beat()

    def _leave(self) -> None:
        """What is a process goes on without us; what is not ends here."""
        self.slots.end_all(
            RunState.KILLED, "pyjobs was stopped before it ended",
            only=lambda f: f.attempt is not None and f.attempt.pid is None,
        )  # fmt: skip
        patience = self._clock.monotonic() + 5
        while any(f.ending for f in self.slots.flights) and self._clock.monotonic() < patience:
            self._drain_step()
        with contextlib.suppress(StoreBusy):
            self.slots.flush()
        self._attendance.leave()
        for flight in self.slots.flights:
            _log.info("left running: run %s of job %s", flight.run.exec_id, flight.run.job_name)


def lock_store(lock: Path, store: str) -> int:
    """
    Be the one runner of a store, or on a shared one of a home, while the descriptor that this answers is open.

    Args:
        lock: the file to hold.
        store: what the runner has then, for people.

    Raises:
        Conflict: another process is; the message names it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 100).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Conflict(
            f"another runner (pid {holder or 'unknown'}) has the store `{store}`",
            f"数据库 `{store}` 已被另一个执行进程（pid {holder or '未知'}）占用",
            hint="one runner a store: see `pyjobs status`",
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
