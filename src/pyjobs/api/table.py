"""All routes, from the modules of their nouns. What stands here is served, documented and guarded."""

from __future__ import annotations

from pyjobs.api import access, admin, docs, functions, health, jobs, metrics, runs, system
from pyjobs.api.routes import Route

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    *jobs.ROUTES,
    *runs.ROUTES,
    *functions.ROUTES,
    *system.ROUTES,
    *access.ROUTES,
    *admin.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *docs.ROUTES,
)
