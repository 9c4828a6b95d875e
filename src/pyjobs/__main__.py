"""`pyjobs` and `python -m pyjobs`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; asking for the version costs nothing but this module."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from pyjobs import __version__

        sys.stdout.write(f"pyjobs {__version__}\n")
        return
    from pyjobs.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
