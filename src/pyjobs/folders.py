"""Folders that only their owner may enter, and what lies in them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["made_mark", "make_private", "runner_lock"]


def make_private(folder: Path) -> None:
    """
    Make a folder and what is missing above it, for their owner only; what is there already stays as it is.

    `Path.mkdir` gives its mode to the last one only: those above it would be open to all where the umask is 0.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if not missing:
        folder.mkdir(exist_ok=True)  # says what is wrong when it is no folder


def runner_lock(database: Path) -> Path:
    """The file whose lock says that a store has a runner."""
    return database.with_name(database.name + "-runner.lock")


def made_mark(database: Path) -> Path:
    """The file that says that a store was made here, so that a vanished one is not taken for a home that is new."""
    return database.with_name(database.name + "-made")
