"""A runner whose store was busy: it launches what is its own in the store, though it never heard of the commit."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from fakes import a_job, a_run, claimed

from pyjobs.bootstrap import build_runner, build_service
from pyjobs.clock import SystemClock
from pyjobs.config import Settings
from pyjobs.jobs import RunState
from pyjobs.store import open_store


def test_a_row_of_a_claim_that_was_never_answered_is_launched_once_the_store_is_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, timezone="UTC")
    now_ms = SystemClock().now_ms()
    store = open_store(settings)
    job = store.add_job(a_job("due", anchor_ms=now_ms, next_fire_ms=now_ms))
    runner, _ = build_runner(settings)
    runner.start()
    # As a commit leaves it whose answer was lost: claimed by this runner, which knows nothing of it.
    run = a_run(job, owner=runner.owner, scheduled_ms=now_ms - 60_000, claimed_ms=now_ms)
    store.claim([claimed(run)], [])
    store.close()

    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        runner.step(0)  # it cannot claim what is due
        other.execute("ROLLBACK")
    service = build_service(settings)
    end = time.monotonic() + 20
    while service.runs.get(run.exec_id).state is not RunState.SUCCESS and time.monotonic() < end:
        runner.step(0.05)

    found = service.runs.get(run.exec_id)
    assert (found.state, found.attempt) == (RunState.SUCCESS, 1)
    service.close()
    runner.close()
