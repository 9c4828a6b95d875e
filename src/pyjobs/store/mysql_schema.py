"""
The schema on MySQL and MariaDB, as ordered steps that only go forward. A step is never changed once it was released.

A statement that defines something commits by itself there, so a step may be left half done: each statement of it can
be executed again, and the next start does the whole step. A step's number is that of the SQLite schema that says the
same; the first one here is what had come together until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyjobs.errors import StoreBusy
from pyjobs.ports import BUCKETS_MS
from pyjobs.store.counters import ALL_JOBS, NO_JOB
from pyjobs.store.migrations import LATEST, ours
from pyjobs.store.mysql_errors import number_of

__all__ = ["STEPS", "collation", "migrate", "version"]

#: How long another process that makes the same schema is waited for, in seconds.
_LOCK_S = 60
_LIKE = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE={collation}"
_JOBS = f"""
CREATE TABLE IF NOT EXISTS jobs (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    "desc" VARCHAR(5000) NOT NULL DEFAULT '',
    cron_expr VARCHAR(1000) NOT NULL DEFAULT '',
    mode VARCHAR(50) NOT NULL DEFAULT 'http',
    command LONGTEXT NOT NULL,
    allow_mode INT NOT NULL DEFAULT 0,
    max_run_count BIGINT NOT NULL DEFAULT 0,
    run_count BIGINT NOT NULL DEFAULT 0,
    state INT NOT NULL DEFAULT 0,
    last_run_time DATETIME NULL,
    next_run_time DATETIME NULL,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    trigger_type VARCHAR(20) NOT NULL DEFAULT 'cron',
    interval_seconds BIGINT NOT NULL DEFAULT 0,
    run_at BIGINT NULL,
    anchor_at BIGINT NOT NULL DEFAULT 0,
    timezone VARCHAR(100) NOT NULL DEFAULT '',
    dst_gap VARCHAR(20) NOT NULL DEFAULT 'run_after',
    dst_fold VARCHAR(20) NOT NULL DEFAULT 'first',
    misfire VARCHAR(20) NOT NULL DEFAULT 'once',
    catchup_window BIGINT NOT NULL DEFAULT 3600,
    timeout BIGINT NULL,
    grace BIGINT NOT NULL DEFAULT 10,
    stop_reason VARCHAR(5000) NOT NULL DEFAULT '',
    next_fire_at BIGINT NULL,
    last_state VARCHAR(20) NULL,
    last_duration_ms BIGINT NULL,
    revision BIGINT NOT NULL DEFAULT 0,
    retry_backoff VARCHAR(20) NOT NULL DEFAULT 'fixed',
    retry_on VARCHAR(1000) NOT NULL DEFAULT '',
    on_lost VARCHAR(20) NOT NULL DEFAULT 'record',
    name_folded VARCHAR(765) NULL,
    UNIQUE KEY jobs_name (name),
    KEY jobs_revision (revision),
    KEY jobs_state (state)
) {_LIKE}
"""
_JOB_LOGS = f"""
CREATE TABLE IF NOT EXISTS job_logs (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    job_id BIGINT NULL,
    start_time DATETIME NULL,
    end_time DATETIME NULL,
    status INT NULL,
    output LONGTEXT NULL,
    exec_id VARCHAR(64) NOT NULL,
    job_name VARCHAR(255) NOT NULL DEFAULT '',
    mode VARCHAR(50) NOT NULL DEFAULT '',
    command LONGTEXT NULL,
    state VARCHAR(20) NOT NULL,
    source VARCHAR(20) NOT NULL,
    scheduled_for BIGINT NULL,
    first_for BIGINT NULL,
    fires BIGINT NOT NULL DEFAULT 1,
    claimed_at BIGINT NULL,
    started_at BIGINT NULL,
    ended_at BIGINT NULL,
    duration_ms BIGINT NULL,
    attempt INT NOT NULL DEFAULT 0,
    exit_code BIGINT NULL,
    "signal" INT NULL,
    error LONGTEXT NULL,
    stderr_at BIGINT NOT NULL DEFAULT 0,
    owner VARCHAR(255) NULL,
    pid BIGINT NULL,
    pid_start BIGINT NULL,
    kill_by VARCHAR(1000) NULL,
    forced INT NOT NULL DEFAULT 0,
    retry_of VARCHAR(64) NULL,
    retry_at BIGINT NULL,
    UNIQUE KEY job_logs_exec (exec_id),
    UNIQUE KEY job_logs_fire (job_id, scheduled_for),
    KEY job_logs_job (job_id, id),
    KEY job_logs_state (state, id),
    KEY job_logs_active (state, job_id),
    KEY job_logs_claimed (claimed_at),
    CONSTRAINT job_logs_of FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE SET NULL
) {_LIKE}
"""
_OTHERS = (
    f'CREATE TABLE IF NOT EXISTS facts (name VARCHAR(255) NOT NULL PRIMARY KEY, "value" LONGTEXT NOT NULL) {_LIKE}',
    "INSERT IGNORE INTO facts (name, \"value\") VALUES ('revision', '0')",
    # Its one row is the lock that each transaction takes first, and counts them.
    f"""
CREATE TABLE IF NOT EXISTS changes (
    id INT NOT NULL PRIMARY KEY, number BIGINT NOT NULL, writer VARCHAR(64) NOT NULL
) {_LIKE}
""",
    "INSERT IGNORE INTO changes VALUES (1, 0, '')",
    # Owners of runs, and when they were seen last by this server's clock: seconds since the epoch.
    f"CREATE TABLE IF NOT EXISTS runners (owner VARCHAR(255) NOT NULL PRIMARY KEY, seen_at BIGINT NOT NULL) {_LIKE}",
    f"""
CREATE TABLE IF NOT EXISTS ip_entries (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    list VARCHAR(20) NOT NULL,
    network VARCHAR(100) NOT NULL,
    added_at BIGINT NULL,
    added_by VARCHAR(1000) NOT NULL DEFAULT '',
    UNIQUE KEY ip_entries_network (list, network)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS api_tokens (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    digest VARCHAR(255) NOT NULL,
    scopes VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NULL,
    UNIQUE KEY api_tokens_name (name)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS admins (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    password VARCHAR(1000) NOT NULL,
    active INT NOT NULL DEFAULT 1,
    epoch BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    login_at BIGINT NULL,
    UNIQUE KEY admins_name (name)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS run_figures (
    job_id BIGINT NOT NULL,
    bucket INT NOT NULL,
    runs BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (job_id, bucket)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS run_minutes (
    minute BIGINT NOT NULL PRIMARY KEY, runs BIGINT NOT NULL, failed BIGINT NOT NULL
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS events (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind VARCHAR(50) NOT NULL,
    job_id BIGINT NULL,
    detail LONGTEXT NOT NULL,
    KEY events_job (job_id, at),
    KEY events_at (at)
) {_LIKE}
""",
)
_BUCKET = (
    "CASE"
    + "".join(f" WHEN NEW.duration_ms <= {bound} THEN {number}" for number, bound in enumerate(BUCKETS_MS))
    + f" ELSE {len(BUCKETS_MS)} END"
)
#: As on SQLite; but a trigger may not change its own table there, so the one that counts drops old minutes too.
_TRIGGERS = (
    "DROP TRIGGER IF EXISTS count_runs",
    f"""
CREATE TRIGGER count_runs AFTER UPDATE ON job_logs FOR EACH ROW
IF OLD.state IN ('queued', 'running') AND NEW.started_at IS NOT NULL
    AND NEW.state IN ('success', 'failed', 'timeout', 'killed', 'lost')
THEN
    INSERT INTO run_figures VALUES (
        coalesce(NEW.job_id, 0), {_BUCKET}, 1, NEW.state <> 'success', coalesce(NEW.duration_ms, 0)
    ) ON DUPLICATE KEY UPDATE
        runs = runs + 1, failed = failed + VALUES(failed), duration_ms = duration_ms + VALUES(duration_ms);
    INSERT INTO run_minutes VALUES (NEW.ended_at DIV 60000, 1, NEW.state <> 'success')
        ON DUPLICATE KEY UPDATE runs = runs + 1, failed = failed + VALUES(failed);
    DELETE FROM run_minutes WHERE minute < NEW.ended_at DIV 60000 - 120;
END IF
""",
    "DROP TRIGGER IF EXISTS forget_job",
    """
CREATE TRIGGER forget_job AFTER DELETE ON jobs FOR EACH ROW
BEGIN
    INSERT INTO run_figures
        SELECT 0, gone.bucket, gone.runs, gone.failed, gone.duration_ms FROM run_figures AS gone
        WHERE gone.job_id = OLD.id
        ON DUPLICATE KEY UPDATE
        runs = run_figures.runs + VALUES(runs), failed = run_figures.failed + VALUES(failed),
        duration_ms = run_figures.duration_ms + VALUES(duration_ms);
    DELETE FROM run_figures WHERE job_id = OLD.id;
    DELETE FROM events WHERE job_id = OLD.id;
END
""",
)
#: What counters.py keeps on SQLite. Where a job's deletion takes it away from its runs no trigger of theirs is told, so
#: the job's own trigger moves their counts. Counting begins once the triggers are there and all writers are locked out.
_BORN = f"""
    INSERT INTO run_counts VALUES
        (coalesce(NEW.job_id, {NO_JOB}), NEW.state, NEW.source, 1), ({ALL_JOBS}, NEW.state, NEW.source, 1)
        ON DUPLICATE KEY UPDATE runs = runs + 1;
"""
_GONE = f"""
    UPDATE run_counts SET runs = runs - 1 WHERE job_id IN (coalesce(OLD.job_id, {NO_JOB}), {ALL_JOBS})
        AND state = OLD.state AND source = OLD.source;
"""
_COUNT = "INSERT INTO job_counts VALUES (NEW.state, NEW.mode, 1) ON DUPLICATE KEY UPDATE jobs = jobs + 1;"
_UNCOUNT = "UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state AND mode = OLD.mode;"
_COUNTERS = (
    f"""
CREATE TABLE IF NOT EXISTS run_counts (
    job_id BIGINT NOT NULL,
    state VARCHAR(20) NOT NULL,
    source VARCHAR(20) NOT NULL,
    runs BIGINT NOT NULL,
    PRIMARY KEY (job_id, state, source)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS job_counts (
    state INT NOT NULL,
    mode VARCHAR(50) NOT NULL,
    jobs BIGINT NOT NULL,
    PRIMARY KEY (state, mode)
) {_LIKE}
""",
    "DROP TRIGGER IF EXISTS run_born",
    f"CREATE TRIGGER run_born AFTER INSERT ON job_logs FOR EACH ROW BEGIN {_BORN} END",
    "DROP TRIGGER IF EXISTS run_moved",
    f"""
CREATE TRIGGER run_moved AFTER UPDATE ON job_logs FOR EACH ROW
IF NOT (OLD.job_id <=> NEW.job_id) OR OLD.state <> NEW.state OR OLD.source <> NEW.source
THEN {_BORN} {_GONE} END IF
""",
    "DROP TRIGGER IF EXISTS run_gone",
    f"CREATE TRIGGER run_gone AFTER DELETE ON job_logs FOR EACH ROW BEGIN {_GONE} END",
    "DROP TRIGGER IF EXISTS job_born",
    f"CREATE TRIGGER job_born AFTER INSERT ON jobs FOR EACH ROW BEGIN {_COUNT} END",
    "DROP TRIGGER IF EXISTS job_moved",
    f"""
CREATE TRIGGER job_moved AFTER UPDATE ON jobs FOR EACH ROW
IF OLD.state <> NEW.state OR OLD.mode <> NEW.mode THEN {_COUNT} {_UNCOUNT} END IF
""",
    "DROP TRIGGER IF EXISTS job_gone",
    f"""
CREATE TRIGGER job_gone AFTER DELETE ON jobs FOR EACH ROW
BEGIN
    {_UNCOUNT}
    INSERT INTO run_counts
        SELECT {NO_JOB}, gone.state, gone.source, gone.runs FROM run_counts AS gone WHERE gone.job_id = OLD.id
        ON DUPLICATE KEY UPDATE runs = run_counts.runs + VALUES(runs);
    DELETE FROM run_counts WHERE job_id = OLD.id;
END
""",
    "START TRANSACTION",
    "UPDATE changes SET number = number + 1, writer = '' WHERE id = 1",
    "DELETE FROM run_counts",
    "DELETE FROM job_counts",
    f"INSERT INTO run_counts SELECT coalesce(job_id, {NO_JOB}), state, source, count(*) FROM job_logs GROUP BY 1, 2, 3",
    f"INSERT INTO run_counts SELECT {ALL_JOBS}, state, source, count(*) FROM job_logs GROUP BY 2, 3",
    "INSERT INTO job_counts SELECT state, mode, count(*) FROM jobs GROUP BY 1, 2",
    "COMMIT",
)
#: As on SQLite; for an index over some rows only there is a column that is NULL in the others.
_ALERTS = (
    "ALTER TABLE jobs ADD COLUMN alerts VARCHAR(1000) NOT NULL DEFAULT '', ADD KEY jobs_alerts (alerts(1))",
    f"""
CREATE TABLE IF NOT EXISTS alert_marks (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    exec_id VARCHAR(64) NOT NULL
) {_LIKE}
""",
    "DROP TRIGGER IF EXISTS mark_ends",
    """
CREATE TRIGGER mark_ends AFTER UPDATE ON job_logs FOR EACH ROW
IF OLD.state IN ('queued', 'running') AND NEW.state IN ('success', 'failed', 'timeout', 'lost')
    AND EXISTS (SELECT 1 FROM jobs WHERE id = NEW.job_id AND alerts <> '')
THEN
    INSERT INTO alert_marks (exec_id) VALUES (NEW.exec_id);
END IF
""",
    f"""
CREATE TABLE IF NOT EXISTS alert_incidents (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    cause VARCHAR(700) NOT NULL,
    job_id BIGINT NULL,
    title LONGTEXT NOT NULL,
    text LONGTEXT NOT NULL,
    severity VARCHAR(255) NOT NULL DEFAULT '',
    labels LONGTEXT NOT NULL,
    state VARCHAR(20) NOT NULL,
    tell_end INT NOT NULL DEFAULT 1,
    count BIGINT NOT NULL DEFAULT 0,
    since_at BIGINT NOT NULL,
    opened_at BIGINT NULL,
    told_at BIGINT NULL,
    acked_at BIGINT NULL,
    acked_by VARCHAR(1000) NOT NULL DEFAULT '',
    closed_at BIGINT NULL,
    live VARCHAR(700) AS (CASE WHEN state <> 'closed' THEN cause END) VIRTUAL,
    UNIQUE KEY alert_incidents_live (live),
    KEY alert_incidents_closed (state, closed_at)
) {_LIKE}
""",
    f"""
CREATE TABLE IF NOT EXISTS alert_deliveries (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    incident_id BIGINT NOT NULL,
    channel VARCHAR(255) NOT NULL,
    notice VARCHAR(50) NOT NULL,
    title LONGTEXT NOT NULL,
    text LONGTEXT NOT NULL,
    fields LONGTEXT NOT NULL,
    state VARCHAR(20) NOT NULL,
    attempts INT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    sent_at BIGINT NULL,
    error LONGTEXT NOT NULL,
    KEY alert_deliveries_incident (incident_id),
    KEY alert_deliveries_sent (channel, sent_at),
    KEY alert_deliveries_waiting (state, next_at),
    CONSTRAINT alert_deliveries_of FOREIGN KEY (incident_id) REFERENCES alert_incidents (id) ON DELETE CASCADE
) {_LIKE}
""",
)
_OWNERS = ("ALTER TABLE jobs ADD COLUMN owned_by VARCHAR(1000) NOT NULL DEFAULT ''",)
STEPS: Mapping[int, tuple[str, ...]] = {
    6: (_JOBS, _JOB_LOGS, *_OTHERS, *_TRIGGERS), 7: _COUNTERS, 8: _ALERTS, 9: _OWNERS,
}  # fmt: skip
#: What the server says of a column that is there already: the step was begun before.
_THERE = 1060
_Execute = Callable[[str], list[tuple[Any, ...]]]


def version(execute: _Execute) -> int:
    """
    Give the version of the schema, 0 for an empty database.

    Args:
        execute: answers the rows of a statement.

    Raises:
        StoreUnusable: it is newer than this program, or the tables are those of another one.
    """
    tables = {row[0] for row in execute("SHOW TABLES")}
    number = int(execute("SELECT coalesce(max(version), 0) FROM schema_version")[0][0]) if _VERSIONS in tables else 0
    return ours(number, others="jobs" in tables and _VERSIONS not in tables)


def migrate(execute: _Execute, server: str) -> None:
    """
    Bring the schema up to date. Raises as `version`.

    Args:
        execute: on a connection of its own, without time-outs.
        server: what the server calls itself: `10.11.6-MariaDB`, `8.0.36`.
    """
    if not execute(f"SELECT GET_LOCK(concat('pyjobs.', left(database(), 50)), {_LOCK_S})")[0][0]:
        raise StoreBusy("another process is changing the schema of the store", "另一个进程正在升级数据库结构")
    execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version INT NOT NULL PRIMARY KEY, applied_at DATETIME NULL)"
        " ENGINE=InnoDB"
    )
    begun = version(execute)
    for number in sorted(step for step in STEPS if begun < step <= LATEST):
        for statement in STEPS[number]:
            try:
                execute(statement.replace("{collation}", collation(server)))
            except Exception as exc:
                if number_of(exc) != _THERE:
                    raise
        execute(f"INSERT IGNORE INTO schema_version VALUES ({number}, utc_timestamp())")


def collation(server: str) -> str:
    """The collation that tells all names apart, those with spaces at their ends too where the server has such a one."""
    if "mariadb" in server.lower():
        return "utf8mb4_nopad_bin"
    major, minor, patch = (int("".join(filter(str.isdigit, part)) or 0) for part in (*server.split(".", 2), "", "")[:3])
    # MySQL 5.7 has none that minds such spaces; names are stored without them.
    return "utf8mb4_0900_bin" if (major, minor, patch) >= (8, 0, 17) else "utf8mb4_bin"


_VERSIONS = "schema_version"
