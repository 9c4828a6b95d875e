"""
The step of the schema that counts rows, so that nobody ever has to: totals of lists are looked up.

Triggers count, so it is right whoever writes; a row of a count may say 0.
"""

from __future__ import annotations

__all__ = ["ALL_JOBS", "COUNTERS", "NO_JOB"]

#: Stand for a job in `run_counts`: all of them together, and none.
ALL_JOBS, NO_JOB = -1, 0

_BORN = f"""
    INSERT INTO run_counts VALUES
        (coalesce(new.job_id, {NO_JOB}), new.state, new.source, 1), ({ALL_JOBS}, new.state, new.source, 1)
        ON CONFLICT DO UPDATE SET runs = runs + 1;
"""
_GONE = f"""
    UPDATE run_counts SET runs = runs - 1 WHERE job_id IN (coalesce(old.job_id, {NO_JOB}), {ALL_JOBS})
        AND state = old.state AND source = old.source;
"""
_RUNS = (
    """
CREATE TABLE run_counts (
    job_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (job_id, state, source)
) WITHOUT ROWID
""",
    f"INSERT INTO run_counts SELECT coalesce(job_id, {NO_JOB}), state, source, count(*) FROM job_logs GROUP BY 1, 2, 3",
    f"INSERT INTO run_counts SELECT {ALL_JOBS}, state, source, count(*) FROM job_logs GROUP BY 2, 3",
    f"CREATE TRIGGER run_born AFTER INSERT ON job_logs BEGIN {_BORN} END",
    f"""
CREATE TRIGGER run_moved AFTER UPDATE OF job_id, state, source ON job_logs
WHEN old.job_id IS NOT new.job_id OR old.state IS NOT new.state OR old.source IS NOT new.source
BEGIN {_BORN} {_GONE} END
""",
    f"CREATE TRIGGER run_gone AFTER DELETE ON job_logs BEGIN {_GONE} END",
    # Where foreign keys are on, all its runs are nobody's by now.
    """
CREATE TRIGGER drop_run_counts AFTER DELETE ON jobs BEGIN
    DELETE FROM run_counts WHERE job_id = old.id AND runs = 0;
END
""",
    # The runs of a job in one state by id: those of several states are merged.
    "CREATE INDEX job_logs_job_state ON job_logs (job_id, state)",
    "DROP INDEX job_logs_job",
)
_COUNT = "INSERT INTO job_counts VALUES (new.state, new.mode, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;"
_UNCOUNT = "UPDATE job_counts SET jobs = jobs - 1 WHERE state = old.state AND mode = old.mode;"
_JOBS = (
    """
CREATE TABLE job_counts (
    state INTEGER NOT NULL,
    mode TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (state, mode)
) WITHOUT ROWID
""",
    "INSERT INTO job_counts SELECT state, mode, count(*) FROM jobs GROUP BY 1, 2",
    f"CREATE TRIGGER job_born AFTER INSERT ON jobs BEGIN {_COUNT} END",
    f"""
CREATE TRIGGER job_moved AFTER UPDATE OF state, mode ON jobs
WHEN old.state IS NOT new.state OR old.mode IS NOT new.mode BEGIN {_COUNT} {_UNCOUNT} END
""",
    f"CREATE TRIGGER job_gone AFTER DELETE ON jobs BEGIN {_UNCOUNT} END",
)
COUNTERS = (*_RUNS, *_JOBS)
