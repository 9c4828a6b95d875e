"""
Runs in flight: what waits for a slot, what is running, and how each comes to its one end.

A slot takes a queued run, its executor runs it, and the store records its end. Every step is committed before the
next one is taken, so that whoever comes after a crash finds out where it stood.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pyjobs import commandtext
from pyjobs.clock import Clock
from pyjobs.commandtext import Spec
from pyjobs.ends import Ends
from pyjobs.errors import PyjobsError, StoreBusy
from pyjobs.jobs import Backoff, Job, Run, RunState
from pyjobs.ports import Attempt, End, Executor, Launch, Outcome, Output, Start, Store
from pyjobs.retries import pause_s, retry_on
from pyjobs.waitlist import WaitList

__all__ = ["Flight", "Slots"]

_log = logging.getLogger(__name__)
#: For whoever looks on in the foreground.
_runs = logging.getLogger("pyjobs.runs")
#: Exit code of what could not even be started, as `timeout` and `docker run` have it.
COULD_NOT_START = 125
#: How often a killed run is looked at until nothing of it is left, seconds.
_LOOK_AGAIN_S = 0.05
#: How long nothing may be left to kill before it is said that something is.
_GIVE_UP_S = 10.0
_DEFAULT_GRACE_S = 10


@dataclass(slots=True, eq=False)
class Flight:
    """A run that has a slot."""

    run: Run
    spec: Spec
    timeout_s: float
    grace_s: float
    #: Monotonic; of the run, and of its attempt.
    began: float
    backoff: Backoff = Backoff.FIXED
    #: Failures that are worth another attempt, in the job's words.
    retry_on: str = ""
    attempt_no: int = 1
    attempt: Attempt | None = None
    #: Monotonic instant of what comes next: time-out, hard kill, next look, next attempt.
    deadline: float | None = None
    #: What is being done about its end, if something is.
    ending: RunState | None = None
    #: Monotonic instants: the grace is over; it was killed for the first time.
    kill_at: float = 0.0
    forced_at: float | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        """How many attempts it may have."""
        return max(1, self.spec.times)


class Slots:
    """At most `limit` runs at once, in the order in which they came."""

    def __init__(
        self, store: Store, executors: Mapping[str, Executor], output: Output, clock: Clock, owner: str,
        *, limit: int, default_timeout_s: int,
    ) -> None:  # fmt: skip
        """Take what runs are made with; `owner` is whose they are in the store."""
        self._store = store
        self._executors = executors
        self._output = output
        self._clock = clock
        self._owner = owner
        self.follow(limit=limit, default_timeout_s=default_timeout_s)
        self.waiting = WaitList()
        self._flights: dict[str, Flight] = {}
        #: Flights of each job.
        self._busy_jobs: dict[int, int] = {}
        #: Ends that are not recorded yet.
        self.ends = Ends(store, output, clock, owner)
        self._unrecorded: list[Start] = []
        #: Attempts that failed, of runs that pause: to be forgotten once the pause is recorded.
        self._spent: list[Attempt] = []
        self._chance = random.SystemRandom()
        #: Whether something waits for its executor, not for a slot.
        self._unready = False
        #: Told of attempts whose end can be waited for, and of those that are over.
        self.watch: Callable[[Flight], None] = lambda _: None
        self.unwatch: Callable[[Flight], None] = lambda _: None

    def follow(self, *, limit: int, default_timeout_s: int) -> None:
        """Take as many at once from now on, each with this time-out where its job says nothing."""
        self._limit = limit
        self._default_timeout_s = default_timeout_s

    # --- what is there -----------------------------------------------------------------------------------------

    @property
    def flights(self) -> Iterable[Flight]:
        """Runs that have a slot."""
        return self._flights.values()

    def knows(self, exec_id: str) -> bool:
        """Whether a run waits, runs or has ended here."""
        return exec_id in self._flights or self.waiting.knows(exec_id) or self.ends.knows(exec_id)

    @property
    def idle(self) -> bool:
        """Whether nothing is running and nothing waits to be recorded."""
        return not self._flights and not self.ends

    @property
    def pending(self) -> bool:
        """Whether something could be launched now."""
        free = len(self._flights) < self._limit
        return free and bool((self.waiting and not self._unready) or self.waiting.freed(self._busy_jobs))

    def deadline(self) -> float | None:
        """Monotonic instant at which `enforce` has something to do."""
        soonest = [f.deadline for f in self._flights.values() if f.deadline is not None]
        if self.ends or self._unrecorded or self._unready:
            soonest.append(self._clock.monotonic() + _LOOK_AGAIN_S)
        return min(soonest, default=None)

    # --- in ----------------------------------------------------------------------------------------------------

    def admit(self, runs: Iterable[Run]) -> None:
        """Queue runs that are claimed and mine."""
        self.waiting.admit(runs)

    def launch(self) -> None:
        """
        Give free slots to what waits.

        Raises:
            StoreBusy: nothing was launched; it waits on.
        """
        self.waiting.release(self._busy_jobs)
        batch = self._take()
        if not batch:
            return
        try:
            jobs = self._store.jobs_by_id([r.job_id for r in batch if r.job_id is not None])
            turns = self._whose_turn_it_is(batch, jobs)
            now_ms = self._clock.now_ms()
            # Committed before the launch: a queued row was certainly never launched, a running one may have been.
            mine = self._store.start_runs(
                [Start(exec_id=r.exec_id, attempt=1, started_ms=now_ms) for r in turns], self._owner
            )
        except StoreBusy:
            self.waiting.put_back(batch)
            raise
        going = {run.exec_id for run in turns}
        for run in batch:
            if run.exec_id not in going and run.job_id not in self._busy_jobs:
                self.waiting.admit([run])  # of a job that another process runs: asked again soon
                self._unready = True
            elif run.exec_id not in going:
                self.waiting.hold(run)
            elif run.exec_id in mine:  # others were skipped or killed while they waited
                self._begin(run, jobs.get(run.job_id or 0))
        self._note_progress()

    def adopt(self, run: Run, attempt: Attempt) -> None:
        """Go on with a run that a dead runner started; the store says already that it is mine."""
        flight = self._taken_over(run)
        flight.attempt = attempt
        if flight.timeout_s:
            # When a later attempt began is not recorded: it has its whole time anew.
            began = flight.began if flight.attempt_no == 1 else self._clock.monotonic()
            flight.deadline = began + flight.timeout_s
        self._end_as_begun(flight, attempt)
        self._occupy(flight)
        self.watch(flight)

    def resume(self, run: Run) -> None:
        """Go on with a run whose runner died while it paused between two attempts; the store says that it is mine."""
        flight, now_ms = self._taken_over(run), self._clock.now_ms()
        flight.deadline = self._clock.monotonic() + max(0, (run.retry_ms or now_ms) - now_ms) / 1000
        self._occupy(flight)

    def _taken_over(self, run: Run) -> Flight:
        """A flight as far as the dead runner wrote it down."""
        job = None
        with contextlib.suppress(StoreBusy):  # the run is ours by now: a lock must not leave it to nobody
            job = self._store.job(run.job_id) if run.job_id is not None else None
        flight, now_ms = self._flight(run, job), self._clock.now_ms()
        flight.attempt_no = max(1, run.attempt)
        flight.errors += [run.error] if run.error else []
        flight.began -= max(0, now_ms - (run.started_ms or now_ms)) / 1000
        return flight

    def _end_as_begun(self, flight: Flight, attempt: Attempt) -> None:
        """A signal ended it while the dead runner did, which may not have got to its strays: go on with that."""
        now, outcome = self._clock.monotonic(), attempt.outcome()
        if outcome is None or outcome.signal is None:
            return
        ended = now if outcome.ended_ms is None else now - (self._clock.now_ms() - outcome.ended_ms) / 1000
        if flight.run.kill_by is not None:
            flight.ending = RunState.KILLED
            flight.errors.append(f"killed by {flight.run.kill_by}")
        elif flight.deadline is not None and ended >= flight.deadline:
            flight.ending = RunState.TIMEOUT
            flight.errors.append(f"timed out after {flight.timeout_s:g} s")
        flight.kill_at = now

    # --- on the way --------------------------------------------------------------------------------------------

    def collect(self, flights: Iterable[Flight]) -> list[Flight]:
        """Look at flights whose attempt may have ended; answers those that are not over all the same."""
        left = []
        for flight in list(flights):
            attempt = flight.attempt
            if attempt is None or flight.run.exec_id not in self._flights:
                continue
            outcome = attempt.outcome()
            if outcome is not None:
                self._attempt_ended(flight, outcome)
            if flight.attempt is attempt and flight.run.exec_id in self._flights:
                left.append(flight)
        return left

    def kill(self, requests: Mapping[str, str]) -> None:
        """End runs as somebody asked for."""
        for exec_id, by in requests.items():
            flight = self._flights.get(exec_id)
            if flight is not None and flight.ending is not RunState.KILLED:
                self._end_it(flight, RunState.KILLED, f"killed by {by}")
            elif flight is None:
                self._kill_waiting(exec_id, by)

    def enforce(self) -> None:
        """Do what is due by the monotonic clock: time-outs, hard kills, next attempts."""
        now = self._clock.monotonic()
        for flight in [f for f in self._flights.values() if f.deadline is not None and f.deadline <= now]:
            flight.deadline = None
            if flight.attempt is None:
                self._next_attempt(flight)
            elif flight.ending is None:
                self._end_it(flight, RunState.TIMEOUT, f"timed out after {flight.timeout_s:g} s")
            else:
                self._press(flight, now)
                self.collect([flight])

    def flush(self) -> None:
        """
        Record what came up since last time, the ends in one durable transaction.

        Raises:
            StoreBusy: all is kept, exit statuses too.
        """
        self._note_progress()
        self.admit(self.ends.record())

    def trim(self) -> None:
        """Keep output files that are being written within their limit."""
        for exec_id in self._flights:
            self._output.trim(exec_id)

    def end_all(self, state: RunState, reason: str, *, only: Callable[[Flight], bool] = lambda _: True) -> None:
        """Ask for the end of all flights, or of some."""
        for flight in [f for f in self._flights.values() if only(f)]:
            if flight.ending is None:
                self._end_it(flight, state, reason)

    # --- inside ------------------------------------------------------------------------------------------------

    def _take(self) -> list[Run]:
        """As many waiting runs as there are free slots, but those whose executor is not ready."""
        batch, self._unready = self.waiting.take(self._limit - len(self._flights), self._is_ready)
        return batch

    def _is_ready(self, mode: str) -> bool:
        executor = self._executors.get(mode)
        return executor is None or executor.ready()

    def _whose_turn_it_is(self, batch: Iterable[Run], jobs: Mapping[int, Job]) -> list[Run]:
        """The runs of a batch, of jobs that run one at a time only the first, and none where one is running."""
        turns = []
        busy = set(self._busy_jobs) | self._busy_elsewhere(jobs)
        for run in batch:
            job = jobs.get(run.job_id or 0)
            waits = job is not None and job.allow_mode.queues and job.id in busy and not run.forced
            if not waits:
                turns.append(run)
                busy.add(run.job_id or 0)
        return turns

    def _busy_elsewhere(self, jobs: Mapping[int, Job]) -> set[int]:
        """Jobs that run one at a time, and do so in another process: nothing in memory here knows of that."""
        ids = [job.id for job in jobs.values() if job.allow_mode.queues]
        runs = self._store.active_runs(ids) if ids else []
        return {r.job_id or 0 for r in runs if r.state is RunState.RUNNING and r.owner != self._owner}

    def _occupy(self, flight: Flight) -> None:
        run = flight.run
        self._flights[run.exec_id] = flight
        if run.job_id is not None:
            self._busy_jobs[run.job_id] = self._busy_jobs.get(run.job_id, 0) + 1

    def _release(self, flight: Flight) -> None:
        run = flight.run
        del self._flights[run.exec_id]
        if run.job_id is not None:
            self._busy_jobs[run.job_id] -= 1
            if not self._busy_jobs[run.job_id]:
                del self._busy_jobs[run.job_id]

    def _flight(self, run: Run, job: Job | None) -> Flight:
        spec = commandtext.parse(run.mode, run.command, lenient=True)
        timeout = spec.timeout if spec.timeout is not None else job.timeout_s if job is not None else None
        return Flight(
            run=run,
            spec=spec,
            timeout_s=float(self._default_timeout_s if timeout is None else timeout),
            grace_s=float(job.grace_s if job is not None else _DEFAULT_GRACE_S),
            backoff=job.retry_backoff if job is not None else Backoff.FIXED,
            retry_on=job.retry_on if job is not None else "",
            began=self._clock.monotonic(),
        )

    def _begin(self, run: Run, job: Job | None) -> None:
        try:
            flight = self._flight(run, job)
        except (PyjobsError, KeyError) as exc:
            end = End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=self._clock.now_ms(), duration_ms=0,
                      exit_code=COULD_NOT_START, error=f"it could not be started: {exc}")  # fmt: skip
            self.ends.add(end)
            return
        unknown = commandtext.unknown_tags(run.mode, run.command)
        if unknown:
            flight.errors.append(f"ignored unknown tags: {', '.join(unknown)}")
        self._occupy(flight)
        self._start_attempt(flight)

    def _start_attempt(self, flight: Flight) -> None:
        run = flight.run
        launch = Launch(
            exec_id=run.exec_id,
            job_id=run.job_id,
            job_name=run.job_name,
            attempt=flight.attempt_no,
            spec=flight.spec,
            scheduled_ms=run.scheduled_ms,
            timeout_s=flight.timeout_s,
        )
        executor = self._executors.get(run.mode)
        if executor is None:
            self._could_not_start(flight, f"nothing here runs mode `{run.mode}`")
            return
        try:
            flight.attempt = executor.start(launch)
        except PyjobsError as exc:
            self._could_not_start(flight, str(exc))
            return
        except Exception as exc:  # an executor may come from outside: it must cost this run only
            _log.exception("run %s could not be started", run.exec_id)
            self._could_not_start(flight, f"it could not be started: {type(exc).__name__}: {exc}")
            return
        flight.deadline = self._clock.monotonic() + flight.timeout_s if flight.timeout_s else None
        if flight.attempt.pid is not None or flight.attempt_no > 1:
            self._unrecorded.append(
                Start(
                    exec_id=run.exec_id,
                    attempt=flight.attempt_no,
                    started_ms=self._clock.now_ms(),
                    pid=flight.attempt.pid,
                    pid_start=flight.attempt.pid_start,
                )
            )
        _runs.info("%s starts, run %s", run.job_name, run.exec_id)
        self.watch(flight)

    def _could_not_start(self, flight: Flight, why: str) -> None:
        self._attempt_ended(flight, Outcome(success=False, exit_code=COULD_NOT_START, error=why))

    def _record_progress(self) -> None:
        """Write pids and pauses down. Raises StoreBusy: they are kept, and the attempts that failed with them."""
        if self._unrecorded:
            self._store.start_runs(self._unrecorded, self._owner)
            self._unrecorded.clear()
        for attempt in self._spent:
            attempt.close()
        self._spent.clear()

    def _note_progress(self) -> None:
        """Write it down if that is possible now: without its pid a crash looks for the run's id in all processes."""
        with contextlib.suppress(StoreBusy):
            self._record_progress()

    def _next_attempt(self, flight: Flight) -> None:
        """Launch it, once it is recorded that it may have been launched."""
        start = Start(exec_id=flight.run.exec_id, attempt=flight.attempt_no + 1, started_ms=self._clock.now_ms())
        try:
            self._record_progress()
            mine = self._store.start_runs([start], self._owner)
        except StoreBusy:
            flight.deadline = self._clock.monotonic() + _LOOK_AGAIN_S
            return
        if not mine:
            _log.warning("run %s of job %s is not ours any more", flight.run.exec_id, flight.run.job_name)
            self._release(flight)
            return
        flight.attempt_no += 1
        self._start_attempt(flight)
        self._note_progress()

    def _attempt_ended(self, flight: Flight, outcome: Outcome) -> None:
        if flight.ending is not None and flight.attempt is not None and not flight.attempt.gone():
            # The process is gone, something that it started is not: make sure before it is said to have ended.
            now = self._clock.monotonic()
            if flight.forced_at is None or now - flight.forced_at < _GIVE_UP_S:
                self._press(flight, now)
                return
            flight.errors.append("some of its processes could not be ended")
        final = flight.ending is RunState.KILLED or outcome.lost
        if outcome.success and flight.ending is None:
            self._finish(flight, RunState.SUCCESS, outcome)
        elif not final and flight.attempt_no < flight.attempts and self._worth_another(flight, outcome):
            self._pause(flight, outcome)
        else:
            # What we ended is not lost, even if nobody kept its exit status.
            state = flight.ending or (RunState.LOST if outcome.lost else RunState.FAILED)
            self._finish(flight, state, outcome)

    def _pause(self, flight: Flight, outcome: Outcome) -> None:
        """Close an attempt that failed, and wait for the next one."""
        if flight.ending is None:
            flight.errors.append(f"attempt {flight.attempt_no}: {outcome.error}")
        if flight.attempt is not None:
            self.unwatch(flight)
            self._spent.append(flight.attempt)
        flight.attempt, flight.ending, flight.forced_at = None, None, None
        pause = pause_s(flight.backoff, flight.spec.interval, flight.attempt_no, self._chance.random())
        flight.deadline = self._clock.monotonic() + pause
        now_ms = self._clock.now_ms()
        self._unrecorded.append(
            Start(
                exec_id=flight.run.exec_id,
                attempt=flight.attempt_no,
                started_ms=now_ms,
                retry_ms=now_ms + round(pause * 1000),
                error=_storable("; ".join(flight.errors)),
            )
        )

    @staticmethod
    def _worth_another(flight: Flight, outcome: Outcome) -> bool:
        """Whether the job says that this failure is to be tried again."""
        number = outcome.exit_code if outcome.number is None else outcome.number
        return retry_on(flight.retry_on).wants(timed_out=flight.ending is RunState.TIMEOUT, number=number)

    def _finish(self, flight: Flight, state: RunState, outcome: Outcome) -> None:
        run = flight.run
        if flight.attempt is not None:
            self.unwatch(flight)
        errors = list(flight.errors)
        if state in (RunState.FAILED, RunState.LOST) and outcome.error:
            several = f"attempt {flight.attempt_no}: " if flight.attempts > 1 and flight.attempt_no > 1 else ""
            errors.append(several + outcome.error)
        self._output.trim(run.exec_id)
        spooled = self._output.read(run.exec_id)
        now_ms = self._clock.now_ms()
        ended_ms = now_ms if outcome.ended_ms is None else min(now_ms, outcome.ended_ms)
        end = End(
            exec_id=run.exec_id,
            state=state,
            ended_ms=ended_ms,
            duration_ms=max(0, round((self._clock.monotonic() - flight.began) * 1000) - (now_ms - ended_ms)),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            error="" if state is RunState.SUCCESS else _storable("; ".join(errors)),
            output=spooled.output,
            stderr_at=spooled.stderr_at,
        )
        self.ends.add(end, flight.attempt, whole=spooled.whole)
        self._release(flight)
        level = logging.DEBUG if state is RunState.SUCCESS else logging.WARNING
        said = end.error if end.error.startswith(state.value) else f"{state.value}: {end.error}".rstrip(": ")
        _log.log(level, "run %s of job %s: %s", run.exec_id, run.job_name, said)
        if state is RunState.SUCCESS:
            _runs.info("%s ended well after %.1f s, run %s", run.job_name, (end.duration_ms or 0) / 1000, run.exec_id)

    def _end_it(self, flight: Flight, state: RunState, reason: str) -> None:
        self.collect([flight])  # what ended by itself just now was not ended by us
        if flight.run.exec_id not in self._flights:
            return
        if flight.attempt is None:  # between two attempts
            if state is not RunState.TIMEOUT:
                flight.errors.append(reason)
                self._finish(flight, state, Outcome(success=False, error=reason))
            return
        flight.ending = state
        flight.errors.append(reason)
        flight.attempt.stop(force=False)
        flight.deadline = self._clock.monotonic()
        flight.kill_at = flight.deadline + flight.grace_s
        self.collect([flight])

    def _press(self, flight: Flight, now: float) -> None:
        """Look again soon, and kill what did not go within its grace."""
        if now >= flight.kill_at and flight.attempt is not None:
            flight.forced_at = now if flight.forced_at is None else flight.forced_at
            flight.attempt.stop(force=True)
        flight.deadline = now + _LOOK_AGAIN_S

    def _kill_waiting(self, exec_id: str, by: str) -> None:
        if self.waiting.withdraw([exec_id]):
            error = f"ended by {by} before it was launched"
            end = End(exec_id=exec_id, state=RunState.SKIPPED, ended_ms=self._clock.now_ms(), error=error)
            self.ends.add(end)


def _storable(text: str) -> str:
    """Text without what no database takes: a lone surrogate, as in a file's name that is no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
