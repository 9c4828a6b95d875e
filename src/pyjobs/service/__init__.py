"""
Use cases, by noun. They take plain values and answer frozen ones; they never print and know neither HTTP nor SQL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.ports import Nudge, Store
from pyjobs.service.jobs import Jobs
from pyjobs.service.runs import Runs
from pyjobs.service.system import System

if TYPE_CHECKING:  # few commands need them
    from pyjobs.service.access import Access
    from pyjobs.service.accounts import Accounts
    from pyjobs.service.alerts import Alerts
    from pyjobs.service.crontabs import Crontabs
    from pyjobs.service.inquiry import Inquiry
    from pyjobs.service.manifests import Manifests
    from pyjobs.service.statistics import Statistics
    from pyjobs.service.transfer import Transfer

__all__ = ["Service", "build"]


@dataclass(frozen=True, slots=True)
class Service:
    """What the terminal, the REST façade and the runner call."""

    jobs: Jobs
    runs: Runs
    system: System
    #: Addresses and tokens.
    access: Callable[[], Access]
    #: Admins.
    accounts: Callable[[], Accounts]
    #: Incidents.
    alerts: Callable[[], Alerts]
    #: What became of fires, and why.
    inquiry: Callable[[], Inquiry]
    #: What ran in the last days.
    statistics: Callable[[], Statistics]
    #: Documents of jobs.
    transfer: Callable[[], Transfer]
    #: Files of jobs.
    manifests: Callable[[], Manifests]
    #: Lines of crontabs.
    crontabs: Callable[[], Crontabs]
    #: One commit for several calls; each is undone by itself when it raises.
    together: Callable[[], AbstractContextManager[None]]
    #: Release the store; nothing may be called after it.
    close: Callable[[], None]

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on; who may come in is the gate's to follow."""
        self.jobs.default_zone = settings.zone_name


class _Held:
    """A nudge that is kept back until the commit: before that it would wake the runner for nothing."""

    def __init__(self, nudge: Nudge) -> None:
        self._nudge = nudge
        self.back = False

    def send(self) -> None:
        """Wake the runner, unless that is kept back."""
        if not self.back:
            self._nudge.send()


def build(store: Store, nudge: Nudge, clock: Clock, default_zone: str, settings: Settings | None = None) -> Service:
    """Put the use cases together over one store; without `settings` the gate's are the defaults."""
    base = settings if settings is not None else Settings(home=Path())
    held = nudge = _Held(nudge)

    @cache
    def access() -> Access:
        from pyjobs.service.access import Access

        return Access(store, clock, base)

    @cache
    def accounts() -> Accounts:
        from pyjobs.service.accounts import Accounts, secret_of

        return Accounts(store, clock, cache(partial(secret_of, base)))

    @cache
    def alerts() -> Alerts:
        from pyjobs.service.alerts import Alerts

        return Alerts(store, clock)

    jobs = Jobs(store, nudge, clock, default_zone)
    runs, system = Runs(store, nudge, clock, jobs), System(store, nudge, clock, jobs)

    @cache
    def inquiry() -> Inquiry:
        from pyjobs.service.inquiry import Inquiry

        return Inquiry(store, clock, jobs, system)

    @cache
    def statistics() -> Statistics:
        from pyjobs.service.statistics import Statistics

        return Statistics(store, clock, jobs)

    @cache
    def transfer() -> Transfer:
        from pyjobs.service.transfer import Transfer

        return Transfer(store, nudge, clock, jobs)

    @cache
    def manifests() -> Manifests:
        from pyjobs.service.manifests import Manifests

        return Manifests(store, nudge, clock, jobs)

    @cache
    def crontabs() -> Crontabs:
        from pyjobs.service.crontabs import Crontabs

        return Crontabs(store, nudge, clock, jobs)

    @contextlib.contextmanager
    def together() -> Iterator[None]:
        held.back = True
        try:
            with store.together():
                yield
        finally:
            held.back = False
        held.send()

    files = (transfer, manifests, crontabs)
    return Service(jobs, runs, system, access, accounts, alerts, inquiry, statistics, *files, together, store.close)
