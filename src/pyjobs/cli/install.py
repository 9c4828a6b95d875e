"""`pyjobs daemon install`: have systemd run the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.options import Yes
from pyjobs.errors import Conflict, Invalid, NotAllowed
from pyjobs.unit import UNIT_NAME, Unit, program

__all__ = ["install"]

_SYSTEM = Path("/etc/systemd/system")
OfUser = Annotated[bool, typer.Option("--user", help="For your own manager, without root.")]
Print = Annotated[bool, typer.Option("--print", help="Only print the unit.")]


@examples("pyjobs --home /srv/pyjobs daemon install", "pyjobs daemon install --user --print")
def install(ctx: typer.Context, *, user: OfUser = False, print_: Print = False, yes: Yes = False) -> None:
    """Write a systemd unit that runs this home's daemon, and say how to start it. Root writes a system's unit."""
    app = app_of(ctx)
    text = _unit(app, of_user=user).text()
    if print_:
        sys.stdout.write(text)
        return
    path = _folder(of_user=user) / UNIT_NAME
    _write(path, text, replaces=yes)
    app.say("install.written", path=str(path))
    flag = "--user " if user else ""
    app.say("install.next", flag=flag)
    if user:
        app.say("install.linger")


def _unit(app: App, *, of_user: bool) -> Unit:
    home = app.settings.home
    if not str(home).isprintable():
        raise Invalid("PYJOBS_HOME", "has signs that a unit file cannot hold", "含有 unit 文件无法表示的字符")
    return Unit(
        home=home,
        command=program(),
        drain_s=app.settings.drain,
        user="" if of_user else _owner(home),
        of_user=of_user,
    )


def _owner(home: Path) -> str:
    """Whose home it is; empty for root."""
    import pwd

    uid = home.stat().st_uid if home.exists() else os.getuid()
    if uid == 0:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _folder(*, of_user: bool) -> Path:
    """Raises NotAllowed."""
    if of_user:
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    if os.getuid() != 0:
        raise NotAllowed(
            f"only root writes to `{_SYSTEM}`",
            f"只有 root 可以写入 `{_SYSTEM}`",
            hint="add `--user` for a unit of your own, or pipe `--print` to `sudo tee`",
            hint_zh="加 `--user` 安装到用户级，或将 `--print` 的输出交给 `sudo tee`",
        )
    return _SYSTEM


def _write(path: Path, text: str, *, replaces: bool) -> None:
    """Raises Conflict where another unit lies, NotAllowed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not replaces and path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise Conflict(
                f"`{path}` exists and is another one",
                f"`{path}` 已存在且内容不同",
                hint="look at it, then add `--yes` to replace it",
                hint_zh="请先查看，再加 `--yes` 覆盖",
            )
        half = path.with_name(f".{path.name}.{os.getpid()}")
        half.write_text(text, encoding="utf-8")
        half.chmod(0o644)
        half.replace(path)
    except OSError as exc:
        raise NotAllowed(
            f"`{path}` cannot be written: {exc.strerror}", f"`{path}` 无法写入：{exc.strerror}",
            hint="pipe what `--print` prints to where it belongs",
            hint_zh="可将 `--print` 的输出保存到合适的位置",
        ) from exc  # fmt: skip
