"""
The schema, as ordered steps that only go forward. A step is never changed once it was released.

Each step is one transaction together with its row in `schema_version`: a crash in between leaves the step undone,
and the next start does it.
"""

from __future__ import annotations

from typing import Any

from pyjobs.errors import StoreUnusable
from pyjobs.ports import BUCKETS_MS
from pyjobs.store.counters import COUNTERS
from pyjobs.store.transactions import immediate

__all__ = ["LATEST", "check", "migrate", "ours"]

_JOBS = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    "desc" TEXT NOT NULL DEFAULT '',
    cron_expr TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL DEFAULT 'http',
    command TEXT NOT NULL,
    allow_mode INTEGER NOT NULL DEFAULT 0,
    max_run_count INTEGER NOT NULL DEFAULT 0,
    run_count INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    last_run_time TEXT,
    next_run_time TEXT,
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    updated_at TEXT NOT NULL DEFAULT (datetime('now')),
    trigger_type TEXT NOT NULL DEFAULT 'cron',
    interval_seconds INTEGER NOT NULL DEFAULT 0,
    run_at INTEGER,
    anchor_at INTEGER NOT NULL DEFAULT 0,
    timezone TEXT NOT NULL DEFAULT '',
    dst_gap TEXT NOT NULL DEFAULT 'run_after',
    dst_fold TEXT NOT NULL DEFAULT 'first',
    misfire TEXT NOT NULL DEFAULT 'once',
    catchup_window INTEGER NOT NULL DEFAULT 3600,
    timeout INTEGER,
    grace INTEGER NOT NULL DEFAULT 10,
    stop_reason TEXT NOT NULL DEFAULT '',
    next_fire_at INTEGER,
    last_state TEXT,
    last_duration_ms INTEGER,
    revision INTEGER NOT NULL DEFAULT 0
)
"""
_JOB_LOGS = """
CREATE TABLE job_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER REFERENCES jobs (id) ON DELETE SET NULL,
    start_time TEXT,
    end_time TEXT,
    status INTEGER,
    output TEXT NOT NULL DEFAULT '',
    exec_id TEXT NOT NULL,
    job_name TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL DEFAULT '',
    command TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    scheduled_for INTEGER,
    first_for INTEGER,
    fires INTEGER NOT NULL DEFAULT 1,
    claimed_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    duration_ms INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    signal INTEGER,
    error TEXT NOT NULL DEFAULT '',
    stderr_at INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    pid INTEGER,
    pid_start INTEGER,
    kill_by TEXT,
    forced INTEGER NOT NULL DEFAULT 0
)
"""
#: Names of our own: the specification's four `CREATE INDEX` must still run on this file.
_FIRST = (
    _JOBS,
    "CREATE UNIQUE INDEX jobs_name ON jobs (name)",
    "CREATE INDEX jobs_revision ON jobs (revision)",
    _JOB_LOGS,
    "CREATE UNIQUE INDEX job_logs_exec ON job_logs (exec_id)",
    "CREATE UNIQUE INDEX job_logs_fire ON job_logs (job_id, scheduled_for)",
    "CREATE INDEX job_logs_job ON job_logs (job_id, id)",
    "CREATE INDEX job_logs_state ON job_logs (state, id)",
    "CREATE INDEX job_logs_claimed ON job_logs (claimed_at)",
    "CREATE INDEX job_logs_active ON job_logs (job_id) WHERE state IN ('queued', 'running')",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "INSERT INTO facts (name, value) VALUES ('revision', '0')",
)
#: Who may come in.
_PERMITS = (
    """
CREATE TABLE ip_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT NOT NULL,
    network TEXT NOT NULL,
    added_at INTEGER,
    added_by TEXT NOT NULL DEFAULT '',
    UNIQUE (list, network)
)
""",
    """
CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER
)
""",
    """
CREATE TABLE admins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 1,
    epoch INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    login_at INTEGER
)
""",
)
#: What executions took, counted when they end: so that nobody ever counts rows. What was never launched is none.
#: Bucket n holds durations up to `ports.BUCKETS_MS[n]`, the last one all longer ones; job 0 is all deleted jobs.
_EXECUTED = (
    "old.state IN ('queued', 'running') AND new.started_at IS NOT NULL"
    " AND new.state IN ('success', 'failed', 'timeout', 'killed', 'lost')"
)
_BUCKET = (
    "CASE"
    + "".join(f" WHEN new.duration_ms <= {bound} THEN {number}" for number, bound in enumerate(BUCKETS_MS))
    + f" ELSE {len(BUCKETS_MS)} END"
)
_FIGURES = (
    """
CREATE TABLE run_figures (
    job_id INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (job_id, bucket)
) WITHOUT ROWID
""",
    "CREATE TABLE run_minutes (minute INTEGER PRIMARY KEY, runs INTEGER NOT NULL, failed INTEGER NOT NULL)",
    f"""
CREATE TRIGGER count_runs AFTER UPDATE OF state ON job_logs WHEN {_EXECUTED} BEGIN
    INSERT INTO run_figures VALUES (
        coalesce(new.job_id, 0), {_BUCKET}, 1, new.state <> 'success', coalesce(new.duration_ms, 0)
    ) ON CONFLICT DO UPDATE SET
        runs = runs + 1, failed = failed + excluded.failed, duration_ms = duration_ms + excluded.duration_ms;
    INSERT INTO run_minutes VALUES (new.ended_at / 60000, 1, new.state <> 'success')
        ON CONFLICT DO UPDATE SET runs = runs + 1, failed = failed + excluded.failed;
END
""",
    """
CREATE TRIGGER keep_figures AFTER DELETE ON jobs BEGIN
    INSERT INTO run_figures SELECT 0, bucket, runs, failed, duration_ms FROM run_figures WHERE job_id = old.id
        ON CONFLICT DO UPDATE SET
        runs = runs + excluded.runs, failed = failed + excluded.failed,
        duration_ms = duration_ms + excluded.duration_ms;
    DELETE FROM run_figures WHERE job_id = old.id;
END
""",
    # An hour is asked for; the row of a new minute makes those of the hour before last go.
    """
CREATE TRIGGER drop_minutes AFTER INSERT ON run_minutes BEGIN
    DELETE FROM run_minutes WHERE minute < new.minute - 120;
END
""",
)
#: What is asked again and again is how many jobs there are of each state.
_BY_STATE = ("CREATE INDEX jobs_state ON jobs (state)",)
#: Policies of a job about what failed or was lost, and what of that a run is in.
_RETRIES = (
    "ALTER TABLE jobs ADD COLUMN retry_backoff TEXT NOT NULL DEFAULT 'fixed'",
    "ALTER TABLE jobs ADD COLUMN retry_on TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN on_lost TEXT NOT NULL DEFAULT 'record'",
    "ALTER TABLE job_logs ADD COLUMN retry_of TEXT",
    "ALTER TABLE job_logs ADD COLUMN retry_at INTEGER",
)
#: What happened beside the runs: when nobody was there, who paused, how a job was scheduled before.
_EVENTS = (
    """
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    job_id INTEGER,
    detail TEXT NOT NULL DEFAULT '{}'
)
""",
    "CREATE INDEX events_job ON events (job_id, at)",
    "CREATE INDEX events_at ON events (at)",
    "CREATE TRIGGER drop_events AFTER DELETE ON jobs BEGIN DELETE FROM events WHERE job_id = old.id; END",
)
#: What is told about jobs and rules. A mark says that a run of a watched job ended: whoever tells looks at each once.
_ALERTS = (
    "ALTER TABLE jobs ADD COLUMN alerts TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX jobs_alerts ON jobs (id) WHERE alerts <> ''",
    "CREATE TABLE alert_marks (id INTEGER PRIMARY KEY AUTOINCREMENT, exec_id TEXT NOT NULL)",
    """
CREATE TRIGGER mark_ends AFTER UPDATE OF state ON job_logs
WHEN old.state IN ('queued', 'running') AND new.state IN ('success', 'failed', 'timeout', 'lost')
AND EXISTS (SELECT 1 FROM jobs WHERE id = new.job_id AND alerts <> '') BEGIN
    INSERT INTO alert_marks (exec_id) VALUES (new.exec_id);
END
""",
    """
CREATE TABLE alert_incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cause TEXT NOT NULL,
    job_id INTEGER,
    title TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    severity TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL,
    tell_end INTEGER NOT NULL DEFAULT 1,
    count INTEGER NOT NULL DEFAULT 0,
    since_at INTEGER NOT NULL,
    opened_at INTEGER,
    told_at INTEGER,
    acked_at INTEGER,
    acked_by TEXT NOT NULL DEFAULT '',
    closed_at INTEGER
)
""",
    "CREATE UNIQUE INDEX alert_incidents_live ON alert_incidents (cause) WHERE state <> 'closed'",
    """
CREATE TABLE alert_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id INTEGER NOT NULL REFERENCES alert_incidents (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    notice TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    fields TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    sent_at INTEGER,
    error TEXT NOT NULL DEFAULT ''
)
""",
    "CREATE INDEX alert_deliveries_incident ON alert_deliveries (incident_id)",
    "CREATE INDEX alert_deliveries_sent ON alert_deliveries (channel, sent_at)",
    "CREATE INDEX alert_incidents_closed ON alert_incidents (closed_at) WHERE state = 'closed'",
    "CREATE INDEX alert_deliveries_waiting ON alert_deliveries (next_at) WHERE state = 'waiting'",
)
#: The file of jobs that a job was applied from.
_OWNERS = ("ALTER TABLE jobs ADD COLUMN owned_by TEXT NOT NULL DEFAULT ''",)
_STEPS: tuple[tuple[str, ...], ...] = (
    _FIRST, _PERMITS, _FIGURES, _BY_STATE, _RETRIES, _EVENTS, COUNTERS, _ALERTS, _OWNERS,
)  # fmt: skip
LATEST = len(_STEPS)
_VERSIONS = "schema_version"


def check(database: Any) -> int:
    """
    Give the version of the schema, 0 for a new file.

    Raises:
        StoreUnusable: it is newer than this program, or the tables are those of another one.
    """
    # One look at all of them: another process may be making them just now.
    tables = database.get_tables()
    version = _version(database) if _VERSIONS in tables else 0
    return ours(version, others=_VERSIONS not in tables and "jobs" in tables)


def ours(version: int, *, others: bool) -> int:
    """
    Answer the version of a schema that this program can go on with.

    Args:
        version: as it is stored; 0 for none.
        others: whether there is a table `jobs` that nobody gave a version.

    Raises:
        StoreUnusable: it cannot.
    """
    if others:
        raise StoreUnusable(
            "the database has a table `jobs` that another program made",
            "该数据库中的表 `jobs` 由其他程序创建",
            hint="nothing was changed; name another store by DATABASE_URL",
            hint_zh="未作任何改动；请用 DATABASE_URL 指定其他数据库",
        )
    if version > LATEST:
        raise StoreUnusable(
            f"the store has schema {version}, this version of pyjobs knows {LATEST}",
            f"数据库结构版本为 {version}，本版本只支持到 {LATEST}",
            hint="upgrade pyjobs: an older version never writes to a newer store",
            hint_zh="请升级 pyjobs：旧版本不会写入新版本的数据库",
        )
    return version


def migrate(database: Any) -> None:
    """Bring the schema up to date. Raises as `check`."""
    version = check(database)
    if version == LATEST:
        return
    with immediate(database):
        database.execute_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied_at TEXT)")
    for number in range(version + 1, LATEST + 1):
        with immediate(database):
            if _version(database) >= number:  # another process was faster
                continue
            for statement in _STEPS[number - 1]:
                database.execute_sql(statement)
            database.execute_sql("INSERT INTO schema_version VALUES (?, datetime('now'))", (number,))


def _version(database: Any) -> int:
    row = database.execute_sql("SELECT max(version) FROM schema_version").fetchone()
    return int(row[0] or 0)
