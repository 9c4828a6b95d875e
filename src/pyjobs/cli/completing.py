"""What completes: Typer's classes for the shells, one of them put right."""

from __future__ import annotations

from typing import Any

from typer._click.shell_completion import add_completion_class
from typer._completion_classes import ZshComplete, completion_init

__all__ = ["prepare"]


class _Zsh(ZshComplete):
    """As Typer's, which writes an apostrophe in a way that zsh leaves out."""

    def format_completion(self, item: Any) -> str:
        """A value and its help, as `_arguments` reads them."""
        return super().format_completion(item).replace("''", r"'\''")


def prepare() -> None:
    """Make the shells known to the parser."""
    completion_init()
    add_completion_class(_Zsh, "zsh")
