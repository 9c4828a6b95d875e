"""A run in this process, without a runner: what `pyjobs run` does when there is no daemon."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from pyjobs import procs
from pyjobs.clock import Clock
from pyjobs.errors import StoreBusy
from pyjobs.jobs import ACTIVE, Run
from pyjobs.ports import Executor, Output, Store
from pyjobs.slots import Slots
from pyjobs.wakeup import Wakeup

__all__ = ["run_one"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: A store that was locked is tried again after this.
_BUSY_PAUSE_S = 0.1
#: How often it says that it lives, where several hosts share the store.
_SEEN_S = 5


def run_one(
    store: Store, run: Run, executors: Mapping[str, Executor], output: Output, clock: Clock, default_timeout_s: int
) -> Run:
    """
    Make one run that this process owns, without a runner; answers it as it ended.

    INT, TERM and HUP end the run.
    """
    owner = run.owner or ""
    slots = Slots(store, executors, output, clock, owner, limit=1, default_timeout_s=default_timeout_s)
    wakeup = Wakeup()
    slots.watch, slots.unwatch = wakeup.watch, wakeup.unwatch
    asked: list[str] = []
    seen_at = clock.monotonic()  # it was noted with the run
    handlers = {n: signal.signal(n, lambda n, _: asked.append(procs.describe_signal(n))) for n in _ENDING}
    try:
        slots.admit([run])
        while (now_run := store.run(run.exec_id)) is not None and now_run.state in ACTIVE:
            try:
                slots.kill({run.exec_id: asked[-1]} if asked else store.kill_requests(owner))
                if clock.monotonic() - seen_at > _SEEN_S:
                    seen_at = clock.monotonic()
                    store.note_seen(owner)
                slots.launch()
                deadline = slots.deadline()
                wait_s = 0.2 if deadline is None else min(0.2, deadline - clock.monotonic())
                flights, _ = wakeup.wait(wait_s)
                wakeup.look_again(slots.collect(flights))
                slots.enforce()
                slots.trim()
                slots.flush()
            except StoreBusy:
                wakeup.wait(_BUSY_PAUSE_S)
        return now_run or run
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        wakeup.close()
