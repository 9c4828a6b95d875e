"""The command line in this process, over a real store in a folder of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fakes import FakeClock
from typer.testing import CliRunner, Result

from pyjobs.cli.app import root
from pyjobs.cli.context import App

__all__ = ["Cli"]


class Cli:
    """One home; each call is a call of `pyjobs`."""

    def __init__(self, home: Path, clock: FakeClock | None = None) -> None:
        self.home = home
        self.clock = clock
        self.env = {"PYJOBS_TIMEZONE": "UTC", "COLUMNS": "100", "LANG": "C", "LC_ALL": "", "NO_COLOR": ""}

    def try_(self, *args: str, terminal: bool = False, lang: str = "", **env: str) -> Result:
        """Call it; whatever it answers."""
        app = App(home=self.home, terminal_flag=terminal, lang_flag=lang, given_clock=self.clock)
        return CliRunner().invoke(root(), list(args), obj=app, prog_name="pyjobs", env=self.env | env)

    def __call__(self, *args: str, terminal: bool = False, lang: str = "", **env: str) -> str:
        """Call it; it must succeed. Answers stdout."""
        done = self.try_(*args, terminal=terminal, lang=lang, **env)
        assert done.exit_code == 0, f"{args}: {done.exit_code}\n{done.output}"
        return done.stdout

    def json(self, *args: str) -> Any:
        """Call it with `--json`; answers the document."""
        document = json.loads(self(*args, "--json"))
        assert document.pop("schema_version") == 1
        return document

    def error(self, *args: str, code: int, lang: str = "", **env: str) -> str:
        """Call it; it must fail with this code and write nothing to stdout. Answers stderr."""
        done = self.try_(*args, terminal=False, lang=lang, **env)
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        return done.stderr
