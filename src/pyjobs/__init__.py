"""pyjobs: a job scheduler that one person can run and trust."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
