"""Job, Run and their words. Frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

__all__ = [
    "ACTIVE",
    "FINAL",
    "AllowMode",
    "Backoff",
    "Fold",
    "Gap",
    "Job",
    "JobState",
    "Misfire",
    "OnLost",
    "Run",
    "RunState",
    "Source",
    "TriggerType",
]


class TriggerType(str, Enum):
    """What makes a job due."""

    CRON = "cron"
    INTERVAL = "interval"
    ONCE = "once"
    MANUAL = "manual"


class JobState(IntEnum):
    """The stored state of a job. `1` (running) of the specification is derived from its runs, never stored."""

    WAITING = 0
    STOPPED = 2


class AllowMode(IntEnum):
    """What a fire does that finds a run of its job still there (semantics §5)."""

    #: Runs may overlap.
    PARALLEL = 0
    #: One at a time: the fire is skipped.
    SERIAL = 1
    #: Runs at once when added or enabled; the fire waits its turn, the newest one is kept.
    IMMEDIATE = 2
    #: What runs is killed; the fire waits until it is gone.
    REPLACE = 3

    @property
    def queues(self) -> bool:
        """Whether a fire waits its turn, the newest one being kept."""
        return self in (AllowMode.IMMEDIATE, AllowMode.REPLACE)


class Misfire(str, Enum):
    """What becomes of fires that nobody was there for (semantics §6)."""

    #: The newest one runs, the others are one `missed` row.
    ONCE = "once"
    #: All are one `missed` row.
    SKIP = "skip"
    #: At most the newest 100 run.
    ALL = "all"


class Gap(str, Enum):
    """What a fixed time does that a zone's clock jumps over."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class Fold(str, Enum):
    """How often a fixed time runs that a zone's clock shows twice."""

    FIRST = "first"
    BOTH = "both"


class Backoff(str, Enum):
    """How the pause between two attempts of a run grows (semantics §9)."""

    FIXED = "fixed"
    #: Doubles, with full jitter, up to 300 s.
    EXPONENTIAL = "exponential"


class OnLost(str, Enum):
    """What follows a run whose end nobody knows (semantics §2)."""

    RECORD = "record"
    #: A new run is started that points to the lost one: at least once.
    RETRY = "retry"


class RunState(str, Enum):
    """The state of a run (semantics §3)."""

    #: Recorded, not launched yet: waits for a slot or for its turn.
    QUEUED = "queued"
    #: Launched, or about to be.
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    #: The runner or the machine died, and nobody knows how it ended.
    LOST = "lost"
    #: Not launched because a policy said so.
    SKIPPED = "skipped"
    #: Not launched because nobody was there.
    MISSED = "missed"

    @property
    def status(self) -> int | None:
        """The specification's number: 0 success, 1 any other end of a launched run, None otherwise."""
        if self is RunState.SUCCESS:
            return 0
        return 1 if self in _UNSUCCESSFUL else None


ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING})
_UNSUCCESSFUL = frozenset({RunState.FAILED, RunState.TIMEOUT, RunState.KILLED, RunState.LOST})
FINAL = _UNSUCCESSFUL | {RunState.SUCCESS, RunState.SKIPPED, RunState.MISSED}


class Source(str, Enum):
    """What made a run."""

    CRON = "cron"
    MANUAL = "manual"
    CATCHUP = "catchup"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    A definition: what to do, when, and by which policies.

    Instants are milliseconds since the epoch in UTC (`_ms`), durations seconds (`_s`).
    `id` is 0 and `revision` 0 for a job that is not stored yet.
    """

    id: int = 0
    name: str
    desc: str = ""
    trigger_type: TriggerType
    cron_expr: str = ""
    interval_s: int = 0
    at_ms: int | None = None
    #: Where an interval starts to count: `anchor + k · period`.
    anchor_ms: int = 0
    #: IANA name; empty means the configured zone.
    timezone: str = ""
    dst_gap: Gap = Gap.RUN_AFTER
    dst_fold: Fold = Fold.FIRST
    mode: str
    command: str
    allow_mode: AllowMode = AllowMode.PARALLEL
    misfire: Misfire = Misfire.ONCE
    catchup_window_s: int = 3600
    #: 0 is no limit; counts launches that a trigger made.
    max_run_count: int = 0
    run_count: int = 0
    #: Seconds for one attempt where the text has no `timeout`; None means the setting, 0 no limit.
    timeout_s: int | None = None
    #: Between the polite and the hard kill.
    grace_s: int = 10
    retry_backoff: Backoff = Backoff.FIXED
    #: Failures that are worth another attempt, as `retries.retry_on` reads them; empty: all.
    retry_on: str = ""
    on_lost: OnLost = OnLost.RECORD
    #: What is told about it, as `alertpolicy.alert_policy` reads it; empty: nothing.
    alerts: str = ""
    state: JobState = JobState.WAITING
    #: Why the job is stopped, when it stopped itself.
    stop_reason: str = ""
    last_run_ms: int | None = None
    next_fire_ms: int | None = None
    last_state: RunState | None = None
    #: How long the last finished run took, milliseconds.
    last_duration_ms: int | None = None
    created_ms: int = 0
    updated_ms: int = 0
    #: The file of jobs that it was applied from; empty: made by hand.
    owned_by: str = ""
    #: Grows with each change of any job; a change of what a runner must know has a new one.
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    What became of a fire or of a manual start: one row of `job_logs`.

    `output` is stdout, then stderr, which starts at character `stderr_at`.
    """

    id: int = 0
    exec_id: str
    job_id: int | None
    job_name: str
    mode: str
    command: str
    state: RunState
    source: Source
    scheduled_ms: int | None = None
    #: A range of missed fires is one row: `scheduled_ms` its last instant, these its first one and how many.
    first_ms: int | None = None
    fires: int = 1
    claimed_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    duration_ms: int | None = None
    attempt: int = 0
    exit_code: int | None = None
    signal: int | None = None
    #: Why it was skipped, missed, lost or failed, for people.
    error: str = ""
    output: str = ""
    stderr_at: int = 0
    owner: str | None = None
    pid: int | None = None
    #: Start time of `pid` in clock ticks since boot: a pid alone may have been given again.
    pid_start: int | None = None
    #: Who asked for its end, if somebody did.
    kill_by: str | None = None
    #: Started by hand, whatever the overlap policy says.
    forced: bool = False
    #: Exec id of the lost run that this one is made for.
    retry_of: str | None = None
    #: When the next attempt is due, while a run pauses between two: nothing of it runs then.
    retry_ms: int | None = None

    @property
    def stdout(self) -> str:
        """What it wrote to standard output, head and tail."""
        return self.output[: self.stderr_at]

    @property
    def stderr(self) -> str:
        """What it wrote to standard error, head and tail."""
        return self.output[self.stderr_at :]

    @property
    def lateness_ms(self) -> int | None:
        """How long after its instant the run was claimed; None for what no trigger made."""
        if self.claimed_ms is None or self.scheduled_ms is None:
            return None
        return self.claimed_ms - self.scheduled_ms
