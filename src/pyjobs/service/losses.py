"""What follows a run whose end nobody knows (semantics §2, rulings 2)."""

from __future__ import annotations

from collections.abc import Iterable

from pyjobs.jobs import AllowMode, JobState, OnLost, Run, RunState, Source
from pyjobs.ports import Claimed, Store

__all__ = ["start_again"]


def start_again(store: Store, lost: Iterable[str], now_ms: int, owner: str) -> list[Run]:
    """
    Write a new run for each lost one whose job asks for it; inside `transaction()`, after the lost ones' ends.

    A new row, as a fire's own row is never opened again; it names the first one that was lost. A job that is stopped
    or gone has none; one that runs one at a time has one that is skipped while another run of it is there.

    Args:
        store: of the jobs and the runs.
        lost: exec ids.
        now_ms: the instant of this decision.
        owner: who will launch them.

    Returns:
        Those that are to be launched.
    """
    rows = []
    for exec_id in lost:
        run = store.run(exec_id)
        job = store.job(run.job_id) if run is not None and run.job_id is not None else None
        if run is None or job is None or job.on_lost is not OnLost.RETRY or job.state is JobState.STOPPED:
            continue
        held = job.allow_mode is AllowMode.SERIAL and bool(store.active_runs([job.id]))
        rows.append(
            Run(
                exec_id=store.next_exec_ids(1)[0],
                job_id=job.id,
                job_name=job.name,
                mode=run.mode,
                command=run.command,
                state=RunState.SKIPPED if held else RunState.QUEUED,
                source=Source.RETRY,
                claimed_ms=now_ms,
                ended_ms=now_ms if held else None,
                error="another run of the job is there" if held else "",
                owner=owner,
                retry_of=run.retry_of or run.exec_id,
            )
        )
    store.claim([Claimed(run=row, counts=False) for row in rows], [])
    return [row for row in rows if row.state is RunState.QUEUED]
