"""Draw docs/list.svg, the picture of the README, from what `pyjobs list` really shows on a terminal."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).resolve().parent.parent / "docs" / "list.svg"
COLUMNS = 96
JOBS = (
    ("site-health", ("--cron", "*/5 * * * *", "--http", "{address}")),
    ("nightly-backup", ("--cron", "30 2 * * 1-5", "--command", "sleep 0.3")),
    ("certificates", ("--every", "6h", "--command", "exit 3")),
    ("weekly-report", ("--cron", "0 9 * * MON", "--func", "Test")),
    ("old-import", ("--cron", "@hourly", "--command", "true", "--stopped")),
    ("reindex", ("--manual", "--command", "true")),
)
RUN = ("site-health", "nightly-backup", "certificates", "reindex")


class Page(BaseHTTPRequestHandler):
    """What the HTTP job asks for."""

    def do_GET(self) -> None:
        """Answer with nothing."""
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Make a home with some jobs, look at it, draw it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = look(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(drawn(shown.replace("\r\n", "\n")), encoding="utf-8")


def look(address: str) -> str:
    """What a terminal shows of a new home with some jobs."""
    with tempfile.TemporaryDirectory(prefix="pyjobs-picture-") as home:
        env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        env |= {"HOME": home, "PYJOBS_HOME": home, "PYJOBS_TIMEZONE": "Europe/Berlin", "LANG": "C.UTF-8"}
        env |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        pyjobs = [sys.executable, "-m", "pyjobs"]
        for name, flags in JOBS:
            said = [flag.format(address=address) for flag in flags]
            subprocess.run([*pyjobs, "job", "add", name, *said], env=env, check=True, capture_output=True)
        for name in RUN:
            subprocess.run([*pyjobs, "run", name], env=env, check=False, capture_output=True)
        listing = shlex.join([*pyjobs, "-q", "list"])  # no daemon runs, which it would say
        return str(pexpect.run(listing, env=env, dimensions=(40, COLUMNS), encoding="utf-8"))


def drawn(shown: str) -> str:
    """What a terminal shows as SVG, without fonts from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), "pyjobs list"))
    console.print(Text.from_ansi(shown.rstrip()))
    svg = console.export_svg(title="pyjobs", unique_id="pyjobs")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
