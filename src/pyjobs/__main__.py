"""`pyjobs` and `python -m pyjobs`."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command line; asking for the version costs nothing but this module."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from pyjobs import __version__

        sys.stdout.write(f"pyjobs {__version__}\n")
        return
    # Where a shell closed one (`>&-`), what is written to it goes nowhere, instead of being an error of ours.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    try:
        from pyjobs.cli.app import main as run

        run()
    except KeyboardInterrupt:  # before the command line itself was there to take it
        sys.exit(130)


def _nowhere() -> TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as long as the process


if __name__ == "__main__":
    main()
