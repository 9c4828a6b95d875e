"""Functions that jobs call: the built-in ones, the user's, and the worker process that they run in."""

from __future__ import annotations
