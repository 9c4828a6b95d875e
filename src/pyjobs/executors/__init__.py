"""Ways of doing what a job says, one module a mode."""

from __future__ import annotations
