"""
Completion scripts for shells.

`python -m pyjobs.cli.completions [--check] FOLDER` writes them to a folder, or compares them with what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer._completion_shared import get_completion_script

from pyjobs.cli.command import examples

__all__ = ["SCRIPTS", "completion", "main", "script"]

#: shell -> file name, as packages of completions have them.
SCRIPTS = {"bash": "pyjobs.bash", "zsh": "_pyjobs", "fish": "pyjobs.fish", "powershell": "pyjobs.ps1"}


def script(shell: str) -> str:
    """The script of a shell; it asks `pyjobs` itself for what is possible."""
    return get_completion_script(prog_name="pyjobs", complete_var="_PYJOBS_COMPLETE", shell=shell) + "\n"


@examples('eval "$(pyjobs completion bash)"', "pyjobs completion fish > ~/.config/fish/completions/pyjobs.fish")
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"],
        typer.Argument(metavar="SHELL", help="Your shell: bash, zsh, fish or powershell."),
    ],
) -> None:
    """Print a completion script; it completes commands, flags and names of jobs."""
    sys.stdout.write(script(shell))


def main(arguments: list[str]) -> int:
    """Write the scripts to a folder; with `--check` compare. Answers an exit code."""
    folder = Path(next(a for a in arguments if a != "--check"))
    wrong = 0
    for shell, name in SCRIPTS.items():
        path, content = folder / name, script(shell)
        if "--check" not in arguments:
            path.write_text(content, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != content:
            sys.stderr.write(f"{path} differs: run `python -m pyjobs.cli.completions {folder}`\n")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
