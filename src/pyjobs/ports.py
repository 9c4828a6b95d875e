"""What the service and the runner need from outside, as protocols. Implementations do not know one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from pyjobs.commandtext import Spec
from pyjobs.jobs import Job, Run, RunState, Source

if TYPE_CHECKING:  # few commands need it
    from pyjobs.alerts import Delivery, Incident, Mark
    from pyjobs.permits import Admin, ApiToken, IpEntry

__all__ = [
    "BUCKETS_MS",
    "About",
    "Active",
    "Attempt",
    "Catalogue",
    "Claimed",
    "Contents",
    "Dump",
    "End",
    "Event",
    "EventKind",
    "Executed",
    "Executor",
    "FireRange",
    "Folding",
    "FunctionInfo",
    "JobOrder",
    "JobQuery",
    "Launch",
    "Nudge",
    "Outcome",
    "Output",
    "Page",
    "Progress",
    "ReloadReport",
    "RunQuery",
    "Spooled",
    "Start",
    "Store",
    "Tally",
]


# --- executors -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One attempt that is to be made now."""

    exec_id: str
    job_id: int | None
    job_name: str
    attempt: int
    spec: Spec
    scheduled_ms: int | None
    #: Seconds from the start to the time-out; 0 is no limit.
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended. Its output is not here: every executor writes it to the run's spool files."""

    success: bool
    exit_code: int | None = None
    #: The signal that ended the process, if one did.
    signal: int | None = None
    #: Why it is no success, for people; never empty then.
    error: str = ""
    #: Nobody can know how it ended.
    lost: bool = False
    #: When it ended, where that is known to be earlier than now: milliseconds since the epoch.
    ended_ms: int | None = None
    #: What `retry_on` compares, where that is not the exit status: the HTTP status of an answer.
    number: int | None = None


class Spooled(NamedTuple):
    """Output of a run as its row keeps it: stdout, then stderr from character `stderr_at`."""

    output: str
    stderr_at: int
    #: Whether the row holds all of it, so that the files are not needed any more.
    whole: bool


class Attempt(Protocol):
    """Something that was started and will end."""

    @property
    def pid(self) -> int | None:
        """The process, where the attempt is one."""

    @property
    def pid_start(self) -> int | None:
        """Start time of that process in clock ticks since boot."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when the attempt ended; -1 where the system has none."""

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs. May be asked again: nothing is forgotten before `close`."""

    def stop(self, *, force: bool) -> None:
        """Ask it and all that it started to end; with `force` make it."""

    def gone(self) -> bool:
        """Whether nothing of it is left, strays included."""

    def close(self) -> None:
        """Forget it: called once its outcome is on disk."""


class Output(Protocol):
    """What runs write."""

    def read(self, exec_id: str) -> Spooled:
        """Head and tail of both streams."""

    def trim(self, exec_id: str) -> None:
        """Keep a file that is being written within its limit."""

    def forget(self, exec_id: str, *, keep_output: bool = False) -> None:
        """Delete a run's files; with `keep_output` only what nobody would read."""


class Executor(Protocol):
    """One way of doing what a job says."""

    @property
    def mode(self) -> str:
        """The mode that it serves."""

    def ready(self) -> bool:
        """Whether `start` returns at once. When not, it gets ready beside the caller, who asks again."""

    def start(self, launch: Launch) -> Attempt:
        """
        Start one attempt and return at once.

        Raises:
            RunFailed: it could not be started; the text says why.
        """

    def adopt(self, run: Run) -> Attempt | None:
        """Take over what a dead runner started; None when nothing of it can be found."""

    def close(self) -> None:
        """Release what the executor holds. What still runs goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """A function that jobs may call."""

    name: str
    description: str
    #: As one would write it: `(a: int, b: int = 2) -> str`.
    signature: str
    #: `built-in`, or the file that it comes from.
    origin: str
    #: Why the newest version of that file is not used, when it is not.
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadReport:
    """What a reload did: names of functions, and for each file that is not used as it is now, why."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    refused: dict[str, str]


class Catalogue(Protocol):
    """The functions that there are."""

    def functions(self) -> list[FunctionInfo]:
        """All of them, by name."""

    def problems(self) -> dict[str, str]:
        """Files that could not be loaded, and why."""

    def check_arguments(self, name: str, arg: str) -> str:
        """Why a call with this argument text would fail; empty when it would not, or nobody knows."""


# --- store -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list: `number` counts from 1."""

    number: int = 1
    size: int = 10


#: `next` is the order in which jobs fire; those without a next fire come last.
JobOrder: TypeAlias = Literal["newest", "oldest", "name", "next", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs; None means any."""

    name_part: str | None = None
    state: int | None = None
    mode: str | None = None
    order: JobOrder = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs; None means any."""

    job_id: int | None = None
    #: The name that the job had then: finds runs of a job that is gone.
    job_name: str | None = None
    states: frozenset[RunState] | None = None
    source: Source | None = None
    #: Claimed in `[since_ms, until_ms)`.
    since_ms: int | None = None
    until_ms: int | None = None
    #: Only rows with a smaller id: the key that the next page starts at.
    before_id: int | None = None
    limit: int = 50
    #: Rows to leave out first: a page by its number.
    offset: int = 0
    oldest_first: bool = False


#: How fires of one end are put together: not at all, neighbours of the same end and reason, or all of the same end.
Folding: TypeAlias = Literal["none", "neighbours", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FireRange:
    """Rows of one job's fires that came to the same end; with `neighbours` no other row lies between them."""

    first_ms: int
    last_ms: int
    fires: int
    state: RunState
    #: What all of them say; empty where they differ.
    error: str = ""
    #: Of a row that stands alone, else empty.
    exec_id: str = ""
    #: The longest of them.
    duration_ms: int | None = None
    lateness_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A row that a claim writes, and what it means for its job."""

    run: Run
    #: Whether it counts for `max_run_count`.
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A queued run that is launched, or a next attempt of a running one."""

    exec_id: str
    attempt: int
    started_ms: int
    pid: int | None = None
    pid_start: int | None = None
    #: It pauses until then, and nothing of it runs.
    retry_ms: int | None = None
    #: Why its attempts failed so far; None leaves what stands there.
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The final state of a run."""

    exec_id: str
    state: RunState
    ended_ms: int
    #: None where it was never launched.
    duration_ms: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""
    output: str = ""
    stderr_at: int = 0


class Active(NamedTuple):
    """How many runs of a job have not ended."""

    queued: int
    running: int


#: Upper bounds of the durations that executions are counted by, in milliseconds. Part of the schema: never changed.
BUCKETS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000, 3_600_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """Executions of one job, or of all deleted ones (id 0), since there is a store."""

    job_id: int
    name: str
    mode: str
    runs: int
    failed: int
    duration_ms: int
    #: How many were within each of `BUCKETS_MS` and above the one before; then those above all.
    buckets: tuple[int, ...]


class Tally(NamedTuple):
    """Ends of runs of one job, or of one name whose job is gone, in a span of time."""

    job_id: int | None
    name: str
    succeeded: int
    failed: int
    timed_out: int
    killed: int
    lost: int
    skipped: int
    #: Fires, not rows: a range of missed ones is one row.
    missed: int
    #: Of all that were launched and have ended, together; how many; the longest.
    duration_ms: int
    ended: int
    longest_ms: int
    latest_ms: int


class EventKind(str, Enum):
    """What happened beside the runs."""

    #: A runner came up; detail `last_seen_ms` of the one before it, `clean` whether that one left by itself.
    RUNNER_UP = "runner_up"
    RUNNER_DOWN = "runner_down"
    #: The wall clock was set; detail `by_ms`.
    CLOCK_SET = "clock_set"
    #: The host slept; detail `for_ms`.
    SUSPENDED = "suspended"
    #: Firing was paused or goes on; detail `by`.
    PAUSED = "paused"
    RESUMED = "resumed"
    #: Of a job; detail `by`, and `reason` where it stopped itself.
    JOB_ADDED = "job_added"
    JOB_STOPPED = "job_stopped"
    JOB_STARTED = "job_started"
    #: The schedule of a job was changed; detail is the one before, by the names of Job's fields.
    JOB_RESCHEDULED = "job_rescheduled"
    #: A runner died while a run of this job was in flight.
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history beside the runs: what `why` tells from. Kept as long as runs are."""

    at_ms: int
    kind: EventKind
    #: Of one job, or of all.
    job_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class About(NamedTuple):
    """A store as its administrator sees it."""

    #: `sqlite` or `mysql`.
    kind: str
    #: What keeps it, with its version.
    server: str
    #: Empty for a file.
    host: str
    #: A path, or a name.
    database: str
    #: Version of the schema, and the one that it had when it was opened here; 0: there was none.
    schema: int
    upgraded_from: int
    #: Bytes.
    size: int


class Store(Protocol):
    """
    The truth. Methods speak of jobs and runs; each is one transaction unless called inside `transaction()`.

    Raises, from any of them:
        StoreBusy: locked, full or unreachable for now; nothing was changed.
        StoreUnusable: it cannot be used at all.
    """

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """
        Write lock at once; commit at the end, roll back on an exception.

        `durable` survives a power loss; otherwise a crash of pyjobs only (semantics §11).
        """

    def together(self) -> AbstractContextManager[None]:
        """
        One durable commit for several transactions that have nothing to do with one another.

        Each transaction inside is undone by itself when it raises; what it answered is certain only after the end.
        """

    # jobs
    def add_job(self, job: Job) -> Job:
        """Store a new job; answers it with its id and revision. Raises NameTaken."""

    def restore_job(self, job: Job) -> Job:
        """As `add_job`, with what its runs said about it elsewhere: `run_count`, the last run's. Raises NameTaken."""

    def job(self, job_id: int) -> Job | None:
        """The job with this id."""

    def job_named(self, name: str) -> Job | None:
        """The job with exactly this name."""

    def names_starting(self, prefix: str, limit: int) -> list[tuple[int, str]]:
        """Ids and names of jobs whose names start so, by name."""

    def jobs(self, query: JobQuery, page: Page | None = None) -> list[Job]:
        """Jobs, in the order that the query says."""

    def count_jobs(self, query: JobQuery) -> int:
        """How many `jobs` would give without a page."""

    def job_rows(self, query: JobQuery, page: Page) -> tuple[int, list[str]]:
        """
        How many `jobs` would give without a page, and a text for each job of the page.

        Two texts are the same when the jobs are, and their active runs: what was made of one is good for the other.
        """

    def job_in(self, text: str) -> tuple[Job, Active]:
        """The job in a text of `job_rows`, and how many runs of it have not ended."""

    def update_job(self, job: Job) -> Job:
        """
        Write all fields but `id`, `run_count` and the last run's.

        Raises:
            Conflict: its revision is no longer the stored one.
            NameTaken: another job has the new name.
            NotFound: it is gone.
        """

    def reset_run_count(self, job_id: int) -> None:
        """Count launches of this job from zero again."""

    def delete_job(self, job_id: int) -> bool:
        """Delete a job; its runs stay, without it. False when there was none."""

    def job_zones(self) -> list[str]:
        """Zones that jobs which are not stopped name, each once."""

    def broken_jobs(self) -> list[int]:
        """Ids of jobs whose rows say that they wait, and make no sense otherwise: such a job shows as stopped."""

    # what a runner follows
    def data_version(self) -> int:
        """A number that changes when another connection committed something."""

    def version(self) -> tuple[int, int]:
        """A value that is another one, to the thread that asks, once anybody committed anything."""

    def due_changes(self, since_revision: int) -> tuple[int, list[tuple[int, int | None]]]:
        """(newest revision, (job id, next fire or None) of jobs changed after a revision); 0 gives all active ones."""

    def jobs_by_id(self, ids: Sequence[int]) -> dict[int, Job]:
        """Several jobs at once."""

    def active_runs(self, job_ids: Sequence[int] | None = None) -> list[Run]:
        """Queued and running runs, oldest first; of some jobs, or all."""

    def active_counts(self, job_ids: Sequence[int] | None = None) -> dict[int, Active]:
        """How many runs are queued and running now, by job; of some jobs, or all. Jobs without any are left out."""

    def unowned_runs(self) -> list[Run]:
        """Queued runs that nobody owns: starts by hand that wait for the runner, oldest first."""

    def kill_requests(self, owner: str) -> dict[str, str]:
        """exec id -> who asked, of this owner's active runs whose end was asked for."""

    def next_exec_ids(self, count: int) -> list[str]:
        """Fresh names for runs."""

    def claim(self, rows: Sequence[Claimed], next_fires: Iterable[tuple[int, int, int | None]]) -> set[str]:
        """
        Write the rows of one tick and move their jobs on; inside `transaction()`.

        Args:
            rows: born queued, skipped or missed.
            next_fires: (job id, the fire it was due at, its next fire or None).

        Returns:
            The exec ids whose row is new; what is absent was claimed by somebody else.
        """

    def stop_job_itself(self, job_id: int, reason: str, now_ms: int) -> None:
        """Stop a job for a reason of its own (limit reached, broken row)."""

    # runs
    def take(self, exec_ids: Sequence[str], owner: str, expected: str | None) -> set[str]:
        """Make active runs mine that had this owner (None: nobody); answers those that were."""

    def start_runs(self, starts: Sequence[Start], owner: str) -> set[str]:
        """queued -> running, or a new attempt or pid of a running one; answers those that had this owner and state."""

    def end_runs(self, ends: Sequence[End], owner: str | None) -> set[str]:
        """Give runs their final state, if they are active and have this owner; answers those that changed."""

    def request_kill(self, exec_id: str, by: str) -> bool:
        """Ask the owner of an active run to end it. False when it is not active."""

    def run(self, exec_id: str) -> Run | None:
        """The run with this name."""

    def runs_starting(self, prefix: str, limit: int) -> list[Run]:
        """Runs whose exec id starts so, newest first."""

    def runs(self, query: RunQuery) -> list[Run]:
        """Runs, newest first unless the query says otherwise."""

    def count_runs(self, query: RunQuery) -> int:
        """How many `runs` would give without limit and offset."""

    def fire_ranges(
        self, job_id: int | None, job_name: str, after_ms: int, until_ms: int, *, folding: Folding, limit: int
    ) -> list[FireRange]:
        """
        What became of the fires in (after, until], the newest `limit` ranges, in the order of their last instants.

        Rows without a fire are left out. A range of missed fires is never put together with anything; one that
        begins in the range and ends behind it belongs to it. With `job_id` None: of a deleted job of that name.
        """

    def restore_runs(self, runs: Sequence[Run]) -> set[str]:
        """Store runs that ended elsewhere, in this order; answers the exec ids whose row is new."""

    def clear_runs(self, job_id: int | None, before_ms: int | None, since_ms: int | None = None) -> int:
        """Delete final runs, of one job or all, claimed before and not before an instant; answers how many."""

    # owners of runs on other hosts, where several share the store
    def note_seen(self, owner: str) -> None:
        """Say that an owner lives; to be said every few seconds."""

    def seen(self, owner: str) -> bool:
        """Whether it was said within the last 30 s, by the store's own clock. Never, where one host has the store."""

    # who may come in
    def ip_entries(self) -> list[IpEntry]:
        """Stored entries of both lists, oldest first."""

    def add_ip_entry(self, entry: IpEntry) -> bool:
        """Store an entry. False when its list has that network already."""

    def remove_ip_entry(self, entry: IpEntry) -> bool:
        """Delete the entry of its list and network. False when there was none."""

    def api_tokens(self) -> list[ApiToken]:
        """All tokens, oldest first."""

    def add_api_token(self, token: ApiToken) -> ApiToken:
        """Store a token; answers it with its id. Raises Conflict: there is one of this name."""

    def remove_api_token(self, name: str) -> bool:
        """Delete a token: it is good for nothing from now on. False when there was none."""

    def note_token_use(self, used: Mapping[int, int]) -> None:
        """When tokens were used last: id -> milliseconds."""

    def admins(self) -> list[Admin]:
        """All admins, oldest first."""

    def add_admin(self, admin: Admin) -> Admin:
        """Store an admin; answers it with its id. Raises Conflict: there is one of this name."""

    def update_admin(self, admin: Admin) -> bool:
        """Write all fields but `id`, `name` and `created_ms`. False when it is gone."""

    def remove_admin(self, admin_id: int) -> bool:
        """Delete an admin. False when there was none."""

    def tallies(self, since_ms: int, until_ms: int, job_id: int | None = None) -> list[Tally]:
        """What was claimed in [since, until), summed up by job, by name; of one job, or all."""

    # what happened beside the runs
    def add_event(self, event: Event) -> None:
        """Note it, in the transaction that it belongs to."""

    def events(
        self, since_ms: int | None = None, until_ms: int | None = None, *, job_id: int | None = None
    ) -> list[Event]:
        """Events in [since, until), oldest first: those of all jobs at once, and those of one job (None: of each)."""

    def forget_events(self, before_ms: int) -> int:
        """Delete those before an instant; answers how many."""

    # what is told of trouble
    def watched_jobs(self) -> list[Job]:
        """Jobs that say what is to be told about them, by id."""

    def alerts_wanted(self) -> bool:
        """Whether anything is watched, open or on its way; the cost does not depend on how much there is."""

    def marks(self, limit: int) -> list[Mark]:
        """Ends of runs of watched jobs that nobody has looked at yet, oldest first."""

    def forget_marks(self, up_to: int) -> None:
        """Delete those that have been looked at."""

    def live_incident(self, cause: str) -> Incident | None:
        """The one of this cause that is not closed."""

    def incidents(self, *, closed: bool = False, limit: int = 1000) -> list[Incident]:
        """Those that are not closed, newest first; with `closed` all of them."""

    def incident(self, incident_id: int) -> Incident | None:
        """The one with this id."""

    def save_incident(self, incident: Incident) -> Incident:
        """Store it: a new one (id 0) gets its id, another one is replaced."""

    def drop_incident(self, incident_id: int) -> None:
        """Delete one, with its deliveries."""

    def forget_incidents(self, before_ms: int) -> int:
        """Delete those that were closed before an instant, with their deliveries; answers how many."""

    def save_delivery(self, delivery: Delivery) -> Delivery:
        """Store it: a new one (id 0) gets its id, another one is replaced."""

    def deliveries(self, *, incident_ids: Sequence[int] | None = None, due_ms: int | None = None) -> list[Delivery]:
        """Those of some incidents, or those that wait and are due by an instant, oldest first; at most 1000."""

    def last_sent_ms(self, channel: str) -> int | None:
        """When something went through a channel last."""

    # facts about the whole
    def fact(self, name: str) -> str | None:
        """A stored fact, such as `paused`."""

    def facts(self, prefix: str) -> dict[str, str]:
        """All facts whose names start so."""

    def set_fact(self, name: str, value: str | None) -> None:
        """Store or forget a fact."""

    def figures(self) -> dict[str, Any]:
        """Counts for `status`: jobs by state, runs by state."""

    def executed(self) -> list[Executed]:
        """What was counted of each job that ever ran, by id; the cost does not depend on how often."""

    def executed_since(self, minute: int) -> tuple[int, int]:
        """(executions, failed ones) that ended in that minute since the epoch or later, up to two hours ago."""

    def about(self) -> About:
        """What there is to say about the whole."""

    def close(self) -> None:
        """Release files; on SQLite the last one checkpoints."""


#: (stage: `copy`, `pack`, `check` or `examine`; how much is done; of how much, in whatever unit, 0: nobody knows).
Progress: TypeAlias = Callable[[str, int, int], None]


class Contents(NamedTuple):
    """What a store, or the copy of one, holds."""

    schema: int
    #: Rows by table.
    counts: dict[str, int]
    #: When its newest run was claimed.
    newest_ms: int | None


class Dump(Protocol):
    """
    The store as something that is copied out whole and put back whole.

    Raises, from any of them:
        StoreBusy: locked, or there is no room.
        StoreUnusable: it cannot be read at all, or is newer than this program.
    """

    @property
    def kind(self) -> str:
        """The kind of store: one is never restored from another."""

    @property
    def member(self) -> str:
        """What the copy is called in an archive."""

    @property
    def where(self) -> str:
        """The store, as people call it; no password in it."""

    @property
    def folder(self) -> Path:
        """Where a copy has to lie to be put in the place of the store."""

    def is_store(self, path: Path) -> bool:
        """Whether a file is the store itself, which must not be opened as a file."""

    def dump(self, to: Path, progress: Progress) -> Contents:
        """Copy the store as it is at one instant to a new file; writers go on. Raises NotFound: there is none."""

    def examine(self, copy: Path, progress: Progress) -> Contents:
        """Look at every page of a copy. Raises BackupUnusable: it is damaged, or none of a store."""

    def contents(self) -> Contents | None:
        """What the store holds now; None when there is none, or none that can be read."""

    def carry_over(self, copy: Path) -> None:
        """
        Tell a copy, before it replaces the store, what became of fires and runs since it was made.

        An instant that has fired fires no second time, a run that ended is not taken for a lost one, and what still
        runs keeps its row.
        """

    def replace(self, copy: Path, aside: Path) -> None:
        """Put a copy in the place of the store, in one step; the store as it was goes to `aside`."""

    def note(self, facts: Mapping[str, str | None]) -> None:
        """Store or forget facts."""


class Nudge(Protocol):
    """Wakes the runner after a commit in another process."""

    def send(self) -> None:
        """Wake it, if there is one; never waits, never fails."""
