"""Stores as something that is copied out and put back whole: one module a kind, none of them needs Peewee."""

from __future__ import annotations

__all__: list[str] = []
