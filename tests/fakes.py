"""
Fakes with behaviour, typed by the same protocols as the real things, and builders of jobs and runs.

MemoryStore passes the same contract suite as the real stores (contract/test_store.py), so it cannot drift.
"""

from __future__ import annotations

import contextlib
import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyjobs.alerts import Delivery, DeliveryState, Incident, IncidentState, Mark
from pyjobs.clock import Clock
from pyjobs.errors import Conflict, NameTaken, NotFound, StoreBusy
from pyjobs.jobs import ACTIVE, Job, JobState, Run, RunState, Source, TriggerType
from pyjobs.permits import Admin, ApiToken, IpEntry
from pyjobs.ports import (
    BUCKETS_MS,
    About,
    Active,
    Attempt,
    Claimed,
    End,
    Event,
    Executed,
    Executor,
    FireRange,
    Folding,
    JobQuery,
    Launch,
    Nudge,
    Outcome,
    Output,
    Page,
    RunQuery,
    Spooled,
    Start,
    Store,
    Tally,
)

__all__ = [
    "BAD",
    "NOW_MS",
    "OK",
    "FakeAttempt",
    "FakeClock",
    "FakeExecutor",
    "FakeNudge",
    "FakeOutput",
    "MemoryStore",
    "a_job",
    "a_run",
    "claimed",
]

#: 2030-01-01 00:00:00 UTC.
NOW_MS = 1_893_456_000_000
OK = Outcome(success=True, exit_code=0)
BAD = Outcome(success=False, exit_code=3, error="exit status 3")


def a_job(name: str = "job", **changes: Any) -> Job:
    """Give a job that is due every minute by interval, not stored yet."""
    values: dict[str, Any] = {
        "trigger_type": TriggerType.INTERVAL,
        "interval_s": 60,
        "anchor_ms": NOW_MS,
        "mode": "command",
        "command": "true",
        "next_fire_ms": NOW_MS + 60_000,
        "created_ms": NOW_MS,
        "updated_ms": NOW_MS,
    }
    return Job(name=name, **{**values, **changes})


_names = itertools.count(1)


def a_run(job: Job | None = None, **changes: Any) -> Run:
    """Give a queued run of a job (or of none) that a trigger made, with a name that no other run has."""
    values: dict[str, Any] = {
        "exec_id": f"{next(_names):016x}",
        "job_id": job.id if job else None,
        "job_name": job.name if job else "gone",
        "mode": job.mode if job else "command",
        "command": job.command if job else "true",
        "state": RunState.QUEUED,
        "source": Source.CRON,
        "claimed_ms": NOW_MS,
        "owner": "me",
    }
    return Run(**{**values, **changes})


def claimed(run: Run, *, counts: bool = True) -> Claimed:
    """Give the row that a claim writes for a run."""
    return Claimed(run=run, counts=counts)


class FakeClock:
    """Time that passes when the test says so; both clocks together."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self._wall_ms = now_ms
        self._seconds = 1000.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall_ms += round(seconds * 1000)
        self._seconds += seconds

    def set_wall(self, ms: int) -> None:
        """Set the wall clock, as a person or NTP does; the monotonic one does not notice."""
        self._wall_ms = ms


class FakeNudge:
    """Counts."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self) -> None:
        """Count."""
        self.sent += 1


@dataclass(eq=False)
class FakeAttempt:
    """An attempt that ends when the test says so."""

    launch: Launch | None = None
    pid: int | None = None
    pid_start: int | None = None
    #: What `stop` was called with: False is TERM, True is KILL.
    stops: list[bool] = field(default_factory=list)
    closed: bool = False
    #: Ends by TERM, as most programs do; KILL always ends it.
    obeys: bool = False
    #: Something that it started lives on until KILL.
    stray: bool = False
    ended: Outcome | None = None

    def end(self, outcome: Outcome = OK) -> None:
        """It ends now, by itself."""
        self.ended = outcome

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def outcome(self) -> Outcome | None:
        """What the test said."""
        assert not self.closed, "asked after close"
        return self.ended

    def stop(self, *, force: bool) -> None:
        """Record it; end as a process would."""
        assert not self.closed, "stopped after close"
        self.stops.append(force)
        if force:
            self.stray = False
        if self.ended is None and (force or self.obeys):
            number = 9 if force else 15
            self.ended = Outcome(success=False, exit_code=128 + number, signal=number, error=f"signal {number}")

    def gone(self) -> bool:
        """Whether it and its stray ended."""
        return self.ended is not None and not self.stray

    def close(self) -> None:
        """Record it."""
        assert not self.closed, "closed twice"
        self.closed = True


class FakeExecutor:
    """Starts FakeAttempts; `failing` is raised by the next starts, one each."""

    mode = "command"

    def __init__(self) -> None:
        self.attempts: list[FakeAttempt] = []
        self.failing: list[Exception] = []
        self.adoptable: dict[str, FakeAttempt] = {}
        self.pids = itertools.count(100)
        #: How the attempts that are started from now on are.
        self.obeys = False
        self.is_ready = True

    @property
    def last(self) -> FakeAttempt:
        """The newest attempt."""
        return self.attempts[-1]

    @property
    def launched(self) -> list[str]:
        """Exec ids, in the order of their starts."""
        return [a.launch.exec_id for a in self.attempts if a.launch]

    def ready(self) -> bool:
        """What the test says."""
        return self.is_ready

    def start(self, launch: Launch) -> FakeAttempt:
        """Start one, or fail."""
        if self.failing:
            raise self.failing.pop(0)
        pid = next(self.pids)
        attempt = FakeAttempt(launch, pid, pid * 10, obeys=self.obeys)
        self.attempts.append(attempt)
        return attempt

    def adopt(self, run: Run) -> FakeAttempt | None:
        """Give what the test put there."""
        return self.adoptable.get(run.exec_id)

    def close(self) -> None:
        """Nothing."""


class FakeOutput:
    """What the test says that runs wrote."""

    def __init__(self) -> None:
        self.written: dict[str, Spooled] = {}
        self.trimmed: list[str] = []
        #: exec id -> whether its output was kept.
        self.forgotten: dict[str, bool] = {}

    def read(self, exec_id: str) -> Spooled:
        """Give it."""
        return self.written.get(exec_id, Spooled("", 0, whole=True))

    def trim(self, exec_id: str) -> None:
        """Record it."""
        self.trimmed.append(exec_id)

    def forget(self, exec_id: str, *, keep_output: bool = False) -> None:
        """Record it."""
        self.forgotten[exec_id] = keep_output


class MemoryStore:
    """A store in dictionaries. With `busy`, everything that would write raises StoreBusy."""

    def __init__(self) -> None:
        self.busy = False
        self._jobs: dict[int, Job] = {}
        self._runs: dict[int, Run] = {}
        self._facts: dict[str, str] = {}
        self._entries: dict[tuple[str, str], IpEntry] = {}
        self._tokens: dict[str, ApiToken] = {}
        self._admins: dict[str, Admin] = {}
        #: (job id or 0, how it ended) of what was launched.
        self._executed: list[tuple[int, End]] = []
        self._events: list[Event] = []
        self._marks: list[Mark] = []
        self._incidents: dict[int, Incident] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._alert_ids = itertools.count(1)
        self._revision = 0
        self._job_ids = itertools.count(1)
        self._run_ids = itertools.count(1)
        self._exec_ids = itertools.count(1)
        self._permit_ids = itertools.count(1)
        self._depth = 0
        self._together = False
        self._changes = 0
        self._texts: dict[str, tuple[Job, Active]] = {}
        self.seen_owners: set[str] = set()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:  # noqa: ARG002 - the protocol's parameter
        if self.busy:
            raise StoreBusy("the store is locked by the test")
        before = (dict(self._jobs), dict(self._runs), dict(self._facts), self._revision)
        permits = (dict(self._entries), dict(self._tokens), dict(self._admins))
        executed, events = len(self._executed), list(self._events)
        alerts = (list(self._marks), dict(self._incidents), dict(self._deliveries))
        self._depth += 1
        self._changes += 1
        try:
            yield
        except BaseException:
            if self._depth == 1 or (self._together and self._depth == 2):
                self._jobs, self._runs, self._facts, self._revision = before
                self._entries, self._tokens, self._admins = permits
                del self._executed[executed:]
                self._events = events
                self._marks, self._incidents, self._deliveries = alerts
            raise
        finally:
            self._depth -= 1

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        with self.transaction():
            self._together = True
            try:
                yield
            finally:
                self._together = False

    # jobs
    def add_job(self, job: Job) -> Job:
        with self.transaction():
            self._free(job.name, but=0)
            stored = replace(_kept(job), id=next(self._job_ids), revision=self._bump(), run_count=0)
            self._jobs[stored.id] = replace(stored, last_run_ms=None, last_state=None, last_duration_ms=None)
        return self._jobs[stored.id]

    def restore_job(self, job: Job) -> Job:
        with self.transaction():
            self._free(job.name, but=0)
            stored = replace(_kept(job), id=next(self._job_ids), revision=self._bump())
            self._jobs[stored.id] = stored
        return stored

    def job(self, job_id: int) -> Job | None:
        return self._jobs.get(job_id)

    def job_named(self, name: str) -> Job | None:
        return next((job for job in self._jobs.values() if job.name == name), None)

    def names_starting(self, prefix: str, limit: int) -> list[tuple[int, str]]:
        found = sorted((job.name, job.id) for job in self._jobs.values() if job.name.startswith(prefix))
        return [(job_id, name) for name, job_id in found[:limit]]

    def jobs(self, query: JobQuery, page: Page | None = None) -> list[Job]:
        found = [job for _, job in sorted(self._jobs.items(), reverse=True) if self._matches(job, query)]
        found.sort(key=_ORDERS[query.order])
        if page is not None:
            found = found[(page.number - 1) * page.size :][: page.size]
        return found

    def count_jobs(self, query: JobQuery) -> int:
        return len(self.jobs(query))

    def job_rows(self, query: JobQuery, page: Page) -> tuple[int, list[str]]:
        active = self.active_counts()
        found = [(job, active.get(job.id, Active(0, 0))) for job in self.jobs(query, page)]
        self._texts = {repr(pair): pair for pair in found}
        return self.count_jobs(query), list(self._texts)

    def job_in(self, text: str) -> tuple[Job, Active]:
        return self._texts[text]

    def update_job(self, job: Job) -> Job:
        with self.transaction():
            old = self._jobs.get(job.id)
            if old is None:
                raise NotFound("there is no such job")
            if old.revision != job.revision:
                raise Conflict("it was changed meanwhile")
            self._free(job.name, but=job.id)
            lives = {n: getattr(old, n) for n in ("run_count", "last_run_ms", "last_state", "last_duration_ms")}
            self._jobs[job.id] = replace(_kept(job), revision=self._bump(), **lives)
        return self._jobs[job.id]

    def reset_run_count(self, job_id: int) -> None:
        with self.transaction():
            self._change_job(job_id, run_count=0)

    def delete_job(self, job_id: int) -> bool:
        with self.transaction():
            if self._jobs.pop(job_id, None) is None:
                return False
            for run in list(self._runs.values()):
                if run.job_id == job_id:
                    self._runs[run.id] = replace(run, job_id=None)
            self._events = [event for event in self._events if event.job_id != job_id]
            return True

    def stop_job_itself(self, job_id: int, reason: str, now_ms: int) -> None:
        with self.transaction():
            self._change_job(
                job_id,
                state=JobState.STOPPED,
                stop_reason=reason,
                next_fire_ms=None,
                updated_ms=now_ms // 1000 * 1000,
                revision=self._bump(),
            )

    # what a runner follows
    def data_version(self) -> int:
        return 1

    def version(self) -> tuple[int, int]:
        return 1, self._changes

    def job_zones(self) -> list[str]:
        return sorted({job.timezone for job in self._jobs.values() if job.timezone and job.state is JobState.WAITING})

    def broken_jobs(self) -> list[int]:
        return []  # nobody else writes here

    def due_changes(self, since_revision: int) -> tuple[int, list[tuple[int, int | None]]]:
        found = []
        for job in self._jobs.values():
            due = None if job.state is JobState.STOPPED else job.next_fire_ms
            if job.revision > since_revision if since_revision else due is not None:
                found.append((job.id, due))
        return self._revision, found

    def jobs_by_id(self, ids: Sequence[int]) -> dict[int, Job]:
        if self.busy:
            raise StoreBusy("the store is locked by the test")
        return {i: self._jobs[i] for i in ids if i in self._jobs}

    def active_runs(self, job_ids: Sequence[int] | None = None) -> list[Run]:
        active = [run for run in self._runs.values() if run.state in ACTIVE]
        return [run for run in active if job_ids is None or run.job_id in job_ids]

    def active_counts(self, job_ids: Sequence[int] | None = None) -> dict[int, Active]:
        counts = Counter((run.job_id, run.state) for run in self.active_runs(job_ids))
        ids = {job_id for job_id, _ in counts if job_id is not None}
        return {i: Active(counts[i, RunState.QUEUED], counts[i, RunState.RUNNING]) for i in ids}

    def unowned_runs(self) -> list[Run]:
        return [run for run in self.active_runs() if run.state is RunState.QUEUED and run.owner is None]

    def kill_requests(self, owner: str) -> dict[str, str]:
        return {r.exec_id: r.kill_by for r in self.active_runs() if r.owner == owner and r.kill_by is not None}

    def next_exec_ids(self, count: int) -> list[str]:
        return [f"{next(self._exec_ids):08d}feedbeef" for _ in range(count)]

    def claim(self, rows: Sequence[Claimed], next_fires: Iterable[tuple[int, int, int | None]]) -> set[str]:
        new = set()
        with self.transaction():
            for row in rows:
                run = row.run
                fire = (run.job_id, run.scheduled_ms)
                taken = any(
                    r.exec_id == run.exec_id or (None not in fire and (r.job_id, r.scheduled_ms) == fire)
                    for r in self._runs.values()
                )
                if not taken:
                    born = replace(run, id=next(self._run_ids), started_ms=None, attempt=0, output="", stderr_at=0)
                    self._runs[born.id] = born
                    new.add(run.exec_id)
            for job_id, due, after in next_fires:
                job = self._jobs.get(job_id)
                if job is not None and job.next_fire_ms == due:
                    self._change_job(job_id, next_fire_ms=after)
            for row in rows:
                if row.run.exec_id in new and row.run.state is RunState.QUEUED and row.run.job_id in self._jobs:
                    count = self._jobs[row.run.job_id].run_count + row.counts
                    at = (row.run.claimed_ms or 0) // 1000 * 1000
                    self._change_job(row.run.job_id, run_count=count, last_run_ms=at)
        return new

    # runs
    def take(self, exec_ids: Sequence[str], owner: str, expected: str | None) -> set[str]:
        with self.transaction():
            mine = [run for run in self.active_runs() if run.exec_id in exec_ids and run.owner == expected]
            for run in mine:
                self._runs[run.id] = replace(run, owner=owner)
        return {run.exec_id for run in mine}

    def start_runs(self, starts: Sequence[Start], owner: str) -> set[str]:
        changed = set()
        with self.transaction(durable=False):
            for start in starts:
                run = self.run(start.exec_id)
                if run is None or run.state not in ACTIVE or run.owner != owner:
                    continue
                changed.add(run.exec_id)
                self._runs[run.id] = replace(
                    run,
                    state=RunState.RUNNING,
                    attempt=start.attempt,
                    pid=start.pid,
                    pid_start=start.pid_start,
                    retry_ms=start.retry_ms,
                    error=run.error if start.error is None else start.error,
                    started_ms=start.started_ms if run.started_ms is None else run.started_ms,
                )
        return changed

    def end_runs(self, ends: Sequence[End], owner: str | None) -> set[str]:
        changed = set()
        with self.transaction():
            for end in ends:
                run = self.run(end.exec_id)
                if run is None or run.state not in ACTIVE or run.owner != owner:
                    continue
                changed.add(run.exec_id)
                values = {n: getattr(end, n) for n in End.__dataclass_fields__}
                self._runs[run.id] = replace(run, **values)
                if run.started_ms is not None and end.state is not RunState.SKIPPED:
                    self._executed.append((run.job_id or 0, end))
                self._note_end(run, end)
        return changed

    def request_kill(self, exec_id: str, by: str) -> bool:
        with self.transaction():
            run = self.run(exec_id)
            if run is None or run.state not in ACTIVE:
                return False
            self._runs[run.id] = replace(run, kill_by=by)
            return True

    def run(self, exec_id: str) -> Run | None:
        return next((run for run in self._runs.values() if run.exec_id == exec_id), None)

    def runs_starting(self, prefix: str, limit: int) -> list[Run]:
        return [run for run in reversed(self._runs.values()) if run.exec_id.startswith(prefix)][:limit]

    def runs(self, query: RunQuery) -> list[Run]:
        found = [run for run in self._runs.values() if _run_matches(run, query)]
        if not query.oldest_first:
            found.reverse()
        return found[query.offset :][: query.limit]

    def count_runs(self, query: RunQuery) -> int:
        return sum(_run_matches(run, query) for run in self._runs.values())

    def fire_ranges(
        self, job_id: int | None, job_name: str, after_ms: int, until_ms: int, *, folding: Folding, limit: int
    ) -> list[FireRange]:
        mine = [r for r in self._runs.values() if r.job_id == job_id and (job_id is not None or r.job_name == job_name)]
        rows = sorted((r for r in mine if r.scheduled_ms is not None), key=lambda r: r.scheduled_ms or 0)
        groups: dict[tuple[object, ...], list[Run]] = {}
        before, island = None, 0
        for row in rows:
            due = row.scheduled_ms or 0
            if due <= after_ms or (due > until_ms and (row.first_ms is None or row.first_ms > until_ms)):
                continue
            island += (row.state, row.error) != before
            before = (row.state, row.error)
            alone = folding == "none" or row.state is RunState.MISSED
            mark = due if alone else island if folding == "neighbours" else ""
            groups.setdefault((row.state, alone, mark), []).append(row)
        found = sorted(map(_range, groups.values()), key=lambda found: found.last_ms)
        return found[max(0, len(found) - limit) :]

    def restore_runs(self, runs: Sequence[Run]) -> set[str]:
        new = set()
        with self.transaction():
            for run in runs:
                fire = (run.job_id, run.scheduled_ms)
                taken = any(
                    r.exec_id == run.exec_id or (None not in fire and (r.job_id, r.scheduled_ms) == fire)
                    for r in self._runs.values()
                )
                if not taken:
                    stored = replace(run, id=next(self._run_ids))
                    self._runs[stored.id] = stored
                    new.add(run.exec_id)
        return new

    def clear_runs(self, job_id: int | None, before_ms: int | None, since_ms: int | None = None) -> int:
        with self.transaction():
            old = [
                run
                for run in self._runs.values()
                if run.state not in ACTIVE
                and (job_id is None or run.job_id == job_id)
                and (before_ms is None or (run.claimed_ms is not None and run.claimed_ms < before_ms))
                and (since_ms is None or (run.claimed_ms is not None and run.claimed_ms >= since_ms))
            ]
            for run in old:
                del self._runs[run.id]
        return len(old)

    # who may come in
    def ip_entries(self) -> list[IpEntry]:
        return list(self._entries.values())

    def add_ip_entry(self, entry: IpEntry) -> bool:
        with self.transaction():
            return self._entries.setdefault((entry.list.value, entry.network), entry) is entry

    def remove_ip_entry(self, entry: IpEntry) -> bool:
        with self.transaction():
            return self._entries.pop((entry.list.value, entry.network), None) is not None

    def api_tokens(self) -> list[ApiToken]:
        return list(self._tokens.values())

    def add_api_token(self, token: ApiToken) -> ApiToken:
        with self.transaction():
            if token.name in self._tokens:
                raise Conflict("there is one of this name")
            return self._tokens.setdefault(token.name, replace(token, id=next(self._permit_ids)))

    def remove_api_token(self, name: str) -> bool:
        with self.transaction():
            return self._tokens.pop(name, None) is not None

    def note_token_use(self, used: Mapping[int, int]) -> None:
        with self.transaction():
            for token in list(self._tokens.values()):
                self._tokens[token.name] = replace(token, used_ms=used.get(token.id, token.used_ms))

    def admins(self) -> list[Admin]:
        return list(self._admins.values())

    def add_admin(self, admin: Admin) -> Admin:
        with self.transaction():
            if admin.name in self._admins:
                raise Conflict("there is one of this name")
            return self._admins.setdefault(admin.name, replace(admin, id=next(self._permit_ids)))

    def update_admin(self, admin: Admin) -> bool:
        with self.transaction():
            old = next((a for a in self._admins.values() if a.id == admin.id), None)
            if old is not None:
                self._admins[old.name] = replace(admin, name=old.name, created_ms=old.created_ms)
            return old is not None

    def remove_admin(self, admin_id: int) -> bool:
        with self.transaction():
            name = next((a.name for a in self._admins.values() if a.id == admin_id), None)
            return name is not None and self._admins.pop(name) is not None

    def tallies(self, since_ms: int, until_ms: int, job_id: int | None = None) -> list[Tally]:
        found: dict[object, list[Run]] = {}
        for run in self._runs.values():
            if run.claimed_ms is not None and since_ms <= run.claimed_ms < until_ms and job_id in (None, run.job_id):
                found.setdefault(run.job_id if run.job_id is not None else run.job_name, []).append(run)
        return sorted((_tally(runs) for runs in found.values()), key=lambda tally: tally.name)

    # what happened beside the runs
    def add_event(self, event: Event) -> None:
        with self.transaction():
            self._events.append(event)

    def events(
        self, since_ms: int | None = None, until_ms: int | None = None, *, job_id: int | None = None
    ) -> list[Event]:
        return [
            event
            for event in sorted(self._events, key=lambda event: event.at_ms)
            if (since_ms is None or event.at_ms >= since_ms)
            and (until_ms is None or event.at_ms < until_ms)
            and (job_id is None or event.job_id in (job_id, None))
        ]

    def forget_events(self, before_ms: int) -> int:
        with self.transaction():
            kept = [event for event in self._events if event.at_ms >= before_ms]
            gone, self._events = len(self._events) - len(kept), kept
        return gone

    # what is told of trouble
    def watched_jobs(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.alerts]

    def alerts_wanted(self) -> bool:
        waiting = any(d.state is DeliveryState.WAITING for d in self._deliveries.values())
        return bool(self.watched_jobs() or self.incidents()) or waiting

    def marks(self, limit: int) -> list[Mark]:
        return self._marks[:limit]

    def forget_marks(self, up_to: int) -> None:
        with self.transaction():
            self._marks = [mark for mark in self._marks if mark.id > up_to]

    def live_incident(self, cause: str) -> Incident | None:
        return next((i for i in self.incidents() if i.cause == cause), None)

    def incidents(self, *, closed: bool = False, limit: int = 1000) -> list[Incident]:
        found = [i for i in self._incidents.values() if closed or i.state is not IncidentState.CLOSED]
        return found[::-1][:limit]

    def incident(self, incident_id: int) -> Incident | None:
        return self._incidents.get(incident_id)

    def save_incident(self, incident: Incident) -> Incident:
        with self.transaction():
            stored = replace(incident, id=incident.id or next(self._alert_ids))
            self._incidents[stored.id] = stored
        return stored

    def drop_incident(self, incident_id: int) -> None:
        with self.transaction():
            self._incidents.pop(incident_id, None)
            kept = {d.id: d for d in self._deliveries.values() if d.incident_id != incident_id}
            self._deliveries = kept

    def forget_incidents(self, before_ms: int) -> int:
        old = [i.id for i in self._incidents.values() if i.closed_ms is not None and i.closed_ms < before_ms]
        for incident_id in old:
            self.drop_incident(incident_id)
        return len(old)

    def save_delivery(self, delivery: Delivery) -> Delivery:
        with self.transaction():
            stored = replace(delivery, id=delivery.id or next(self._alert_ids))
            self._deliveries[stored.id] = stored
        return stored

    def deliveries(self, *, incident_ids: Sequence[int] | None = None, due_ms: int | None = None) -> list[Delivery]:
        return [
            d
            for d in self._deliveries.values()
            if (incident_ids is None or d.incident_id in incident_ids)
            and (due_ms is None or (d.state is DeliveryState.WAITING and d.next_ms <= due_ms))
        ]

    def last_sent_ms(self, channel: str) -> int | None:
        sent = [d.sent_ms for d in self._deliveries.values() if d.channel == channel and d.sent_ms is not None]
        return max(sent, default=None)

    # facts about the whole
    def fact(self, name: str) -> str | None:
        return self._facts.get(name)

    def facts(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in self._facts.items() if name.startswith(prefix)}

    def set_fact(self, name: str, value: str | None) -> None:
        with self.transaction():
            self._facts.pop(name, None)
            if value is not None:
                self._facts[name] = value

    def figures(self) -> dict[str, Any]:
        jobs: dict[int, int] = {}
        runs: dict[str, int] = {}
        for job in self._jobs.values():
            jobs[int(job.state)] = jobs.get(int(job.state), 0) + 1
        for run in self.active_runs():
            runs[run.state.value] = runs.get(run.state.value, 0) + 1
        return {"jobs": jobs, "runs": runs}

    def executed(self) -> list[Executed]:
        found: dict[int, list[End]] = {}
        for job_id, end in self._executed:
            found.setdefault(job_id if job_id in self._jobs else 0, []).append(end)
        return [_executed(self._jobs.get(job_id), ends) for job_id, ends in sorted(found.items())]

    def executed_since(self, minute: int) -> tuple[int, int]:
        ends = [end for _, end in self._executed if end.ended_ms // 60_000 >= minute]
        return len(ends), sum(end.state is not RunState.SUCCESS for end in ends)

    def note_seen(self, owner: str) -> None:
        self.seen_owners.add(owner)

    def seen(self, owner: str) -> bool:
        return owner in self.seen_owners

    def about(self) -> About:
        return About(kind="memory", server="", host="", database="", schema=1, upgraded_from=0, size=0)

    def close(self) -> None:
        """Nothing is held."""

    # inside
    def _bump(self) -> int:
        self._revision += 1
        return self._revision

    def _free(self, name: str, *, but: int) -> None:
        taken = self.job_named(name)
        if taken is not None and taken.id != but:
            raise NameTaken(name)

    def _change_job(self, job_id: int, **changes: Any) -> None:
        if job_id in self._jobs:
            self._jobs[job_id] = replace(self._jobs[job_id], **changes)

    def _note_end(self, run: Run, end: End) -> None:
        job = self._jobs.get(run.job_id or 0)
        if job is None:
            return
        if job.alerts and end.state in (RunState.SUCCESS, RunState.FAILED, RunState.TIMEOUT, RunState.LOST):
            self._marks.append(Mark(next(self._alert_ids), run.exec_id))
        if end.state is not RunState.SKIPPED:
            took = job.last_duration_ms if end.duration_ms is None else end.duration_ms
            self._change_job(job.id, last_state=end.state, last_duration_ms=took)
        elif run.source in (Source.CRON, Source.CATCHUP):
            self._change_job(job.id, run_count=max(0, job.run_count - 1))

    def _matches(self, job: Job, query: JobQuery) -> bool:
        if query.state == 1:
            right_state = any(r.state is RunState.RUNNING for r in self.active_runs([job.id]))
        else:
            right_state = query.state in (None, job.state)
        part = (query.name_part or "").casefold()
        return right_state and part in job.name.casefold() and query.mode in (None, job.mode)


#: Sorting is stable, and what it sorts is newest first.
_ORDERS: dict[str, Callable[[Job], Any]] = {
    "newest": lambda job: -job.id,
    "oldest": lambda job: job.id,
    "name": lambda job: job.name,
    "next": lambda job: (job.next_fire_ms is None, job.next_fire_ms or 0, job.id),
    "last": lambda job: (-(job.last_run_ms or 0), -job.id),
}


def _kept(job: Job) -> Job:
    """Give a job as a store keeps it: these times in whole seconds."""
    return replace(job, created_ms=job.created_ms // 1000 * 1000, updated_ms=job.updated_ms // 1000 * 1000)


def _run_matches(run: Run, query: RunQuery) -> bool:
    at = run.claimed_ms
    return (
        query.job_id in (None, run.job_id)
        and query.job_name in (None, run.job_name)
        and (query.states is None or run.state in query.states)
        and query.source in (None, run.source)
        and (query.since_ms is None or (at is not None and at >= query.since_ms))
        and (query.until_ms is None or (at is not None and at < query.until_ms))
        and (query.before_id is None or run.id < query.before_id)
    )


if TYPE_CHECKING:  # the fakes are what the protocols say
    _CLOCK: Clock = FakeClock()
    _NUDGE: Nudge = FakeNudge()
    _STORE: Store = MemoryStore()
    _OUTPUT: Output = FakeOutput()
    _EXECUTOR: Executor = FakeExecutor()
    _ATTEMPT: Attempt = FakeAttempt()


def _range(rows: Sequence[Run]) -> FireRange:
    errors = {row.error for row in rows}
    durations = [row.duration_ms for row in rows if row.duration_ms is not None]
    late = [row.lateness_ms for row in rows if row.lateness_ms is not None]
    return FireRange(
        first_ms=min(row.scheduled_ms or 0 if row.first_ms is None else row.first_ms for row in rows),
        last_ms=max(row.scheduled_ms or 0 for row in rows),
        fires=sum(row.fires for row in rows),
        state=rows[0].state,
        error=errors.pop() if len(errors) == 1 else "",
        exec_id=rows[0].exec_id if len(rows) == 1 else "",
        duration_ms=max(durations, default=None),
        lateness_ms=max(late, default=None),
    )


def _tally(runs: list[Run]) -> Tally:
    counts = Counter(run.state for run in runs)
    took = [run.duration_ms or 0 for run in runs if run.started_ms is not None and run.ended_ms is not None]
    late = [run.lateness_ms or 0 for run in runs if run.state is not RunState.MISSED]
    return Tally(
        job_id=runs[0].job_id,
        name=max(run.job_name for run in runs),
        succeeded=counts[RunState.SUCCESS],
        failed=counts[RunState.FAILED],
        timed_out=counts[RunState.TIMEOUT],
        killed=counts[RunState.KILLED],
        lost=counts[RunState.LOST],
        skipped=counts[RunState.SKIPPED],
        missed=sum(run.fires for run in runs if run.state is RunState.MISSED),
        duration_ms=sum(took),
        ended=len(took),
        longest_ms=max(took, default=0),
        latest_ms=max(late, default=0),
    )


def _executed(job: Job | None, ends: list[End]) -> Executed:
    buckets = [0] * (len(BUCKETS_MS) + 1)
    for end in ends:
        buckets[len(BUCKETS_MS) if end.duration_ms is None else bisect_left(BUCKETS_MS, end.duration_ms)] += 1
    return Executed(
        job_id=job.id if job else 0,
        name=job.name if job else "",
        mode=job.mode if job else "",
        runs=len(ends),
        failed=sum(end.state is not RunState.SUCCESS for end in ends),
        duration_ms=sum(end.duration_ms or 0 for end in ends),
        buckets=tuple(buckets),
    )
