"""The command line under the name that the specification uses: `python cli.py start -d`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from pyjobs.__main__ import main

if __name__ == "__main__":
    main()
