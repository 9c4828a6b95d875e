"""The command line: one module a noun, each imported only when one of its commands is called."""

from __future__ import annotations
