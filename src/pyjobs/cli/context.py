"""What every command has: settings, service, language and how to talk; each part made at first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from pyjobs.cli.messages import message
from pyjobs.cli.text import one_line, paint, safe
from pyjobs.errors import Exit
from pyjobs.folders import made_mark

if TYPE_CHECKING:
    import typer

    from pyjobs.cli.options import Format
    from pyjobs.cli.times import View
    from pyjobs.clock import Clock
    from pyjobs.config import Origin, Settings
    from pyjobs.service import Service

__all__ = ["App", "app_of", "environment_lang"]


@dataclass
class App:
    """One call of the command line. Tests make one of their own and pass it as `obj`."""

    home: Path | None = None
    lang_flag: str = ""
    color: str = "auto"
    quiet: bool = False
    verbose: int = 0
    #: Whether stdout is shown to a person; None: ask the stream.
    terminal_flag: bool | None = None
    #: None: the clocks of this machine.
    given_clock: Clock | None = None
    #: How a command's data is written; set by `app_of`.
    format: str = "table"
    #: Whether a command that was given `--raw` shows control characters as they are.
    raw: bool = False
    #: Whether the store may be made where there is none: not by a command that only looks.
    makes: bool = True

    @cached_property
    def clock(self) -> Clock:
        """Where the present comes from."""
        from pyjobs.clock import SystemClock

        return self.given_clock or SystemClock()

    @cached_property
    def loaded(self) -> tuple[Settings, dict[str, Origin]]:
        """Settings and their origins. Raises BadSetting."""
        from pyjobs.bootstrap import load_settings

        return load_settings(self.home)

    @property
    def settings(self) -> Settings:
        """The settings of the home. Raises BadSetting."""
        return self.loaded[0]

    @cached_property
    def service(self) -> Service:
        """The use cases, over a store that is opened here. Raises StoreUnusable, NotAllowed, NotFound."""
        from pyjobs.bootstrap import build_service

        if not self.makes and self.empty:
            from pyjobs.errors import NotFound

            raise NotFound(
                f"there is nothing at `{self.settings.home}` yet",
                f"`{self.settings.home}` 尚无任何内容",
                hint="check `--home` and PYJOBS_HOME; `pyjobs job add` makes a home there",
                hint_zh="请检查 `--home` 和 PYJOBS_HOME；执行 `pyjobs job add` 会在此创建",
            )
        return build_service(self.settings, self.clock)

    @property
    def empty(self) -> bool:
        """Whether there is no store yet, so that there can be nothing in it."""
        if self.settings.database.kind != "sqlite":
            return False
        home, store = self.settings.home, self.settings.database_path
        if store.exists():
            return False
        # A home that is no folder, and a store that is gone, are for the store to refuse.
        return not made_mark(store).exists() and (home.is_dir() or not home.exists())

    @cached_property
    def lang(self) -> str:
        """`en` or `zh`: the flag, the setting, the environment."""
        if self.lang_flag:
            return self.lang_flag
        try:
            return self.settings.lang or environment_lang()
        except Exception:
            # An error is told in some language, whatever else fails.
            return environment_lang()

    @cached_property
    def view(self) -> View:
        """How times are shown; the present stands still for the length of a command's output."""
        from zoneinfo import ZoneInfo

        from pyjobs.cli.times import View

        return View(ZoneInfo(self.settings.zone_name), self.clock.now_ms(), self.lang, self.terminal)

    @property
    def terminal(self) -> bool:
        """Whether stdout is shown to a person."""
        return sys.stdout.isatty() if self.terminal_flag is None else self.terminal_flag

    def colored(self, stream: TextIO) -> bool:
        """Whether to write colour to a stream."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return self.terminal if stream is sys.stdout else stream.isatty()

    def text(self, key: str, **values: Any) -> str:
        """A message of the catalogue in this call's language."""
        return message(key, self.lang, **values)

    def write(self, lines: Iterable[str]) -> None:
        """Data, to stdout."""
        for line in lines:
            sys.stdout.write(line + "\n")

    def shown(self, text: str) -> str:
        """Text of several lines as stdout may show it: on a terminal control characters are written out."""
        return safe(text) if self.terminal and not self.raw else text

    def say(self, key: str, **values: Any) -> None:
        """Talk, to stderr; not with `--quiet`. Values are made safe for a terminal."""
        if not self.quiet:
            self._talk(self.text(key, **_safe(values)))

    def warn(self, key: str, **values: Any) -> None:
        """A warning, to stderr, `--quiet` or not."""
        head = paint(self.text("warning"), "yellow", on=self.colored(sys.stderr))
        self._talk(f"{head}{self.text(key, **_safe(values))}")

    def confirm(self, question: str, *, yes: bool) -> None:
        """
        Ask before something is destroyed.

        Raises:
            typer.Exit: the answer is no.
            Invalid: nobody can be asked, and `--yes` was not given.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            from pyjobs.errors import Invalid

            raise Invalid(
                "--yes", "is needed where nobody can be asked", "无法交互确认，需要该参数",
                hint="look first with `--dry-run`", hint_zh="可先用 `--dry-run` 查看",
            )  # fmt: skip
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "是"):
            self._talk(self.text("nothing_done"))
            self.leave(Exit.FAILED)

    def leave(self, code: int) -> NoReturn:
        """End this command with an exit code."""
        import typer

        raise typer.Exit(code)

    def by(self) -> str:
        """Who asks, for the record: `user@host`."""
        import getpass
        import socket

        try:
            return f"{getpass.getuser()}@{socket.gethostname()}"
        except (KeyError, OSError):
            return f"uid {os.getuid()}@{socket.gethostname()}"

    def close(self) -> None:
        """Release the store, if it was opened."""
        service = self.__dict__.pop("service", None)
        if service is not None:
            service.close()

    def _talk(self, text: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def app_of(ctx: typer.Context, output: Format | None = None, *, json: bool = False, makes: bool = True) -> App:
    """The App of a call, with the output format that its flags ask for; without `makes` it makes no store."""
    app: App = ctx.obj
    app.makes = makes
    app.format = "json" if json else str(output.value) if output is not None else "table"
    return app


def environment_lang() -> str:
    """`zh` when LC_ALL, LC_MESSAGES or LANG say so, in this order, else `en`."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def _safe(values: dict[str, Any]) -> dict[str, Any]:
    return {name: one_line(value) if isinstance(value, str) else value for name, value in values.items()}
