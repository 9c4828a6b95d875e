"""The unit file by which systemd runs the daemon."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["UNIT_NAME", "Unit", "program", "template"]

UNIT_NAME = "pyjobs.service"
#: What a stop takes beyond the drain: the API's last answers, and room.
_STOP_EXTRA_S = 20

_TEXT = """\
# Made by `pyjobs daemon install`; own settings belong into a drop-in: `systemctl {flag}edit pyjobs`.
[Unit]
Description=pyjobs, a job scheduler
{order}# It is tried again for ever, every five seconds.
StartLimitIntervalSec=0

[Service]
Type=notify
# The supervisor reports; systemd started the process above it.
NotifyAccess=all
{user}Environment={environment}
ExecStart={command} daemon run
ExecReload=/bin/kill -HUP $MAINPID
# Only pyjobs itself is told to end: running jobs go on, and the next start takes them over.
KillMode=process
TimeoutStartSec=300
TimeoutStopSec={stop_s}
WatchdogSec=60
Restart=on-failure
RestartSec=5
# Wrong settings do not mend themselves.
RestartPreventExitStatus=2
# A job that takes too much memory ends, not all that pyjobs runs.
OOMPolicy=continue
KeyringMode=private
{hardening}# What is forbidden here is forbidden to every job. Where your jobs can do without, a drop-in may add:
# NoNewPrivileges=yes (no sudo), ProtectSystem=full, ProtectHome=yes, PrivateTmp=yes, PrivateDevices=yes

[Install]
WantedBy={target}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a unit file says."""

    home: Path
    #: What starts pyjobs, without arguments: see `program`.
    command: tuple[str, ...]
    #: How long a stop waits for short work, seconds.
    drain_s: int
    #: Who it runs as; empty: root, or whose manager it is.
    user: str = ""
    #: For the manager of a user.
    of_user: bool = False

    def text(self) -> str:
        """The file."""
        system = not self.of_user
        path, *arguments = self.command
        if any(sign in path for sign in "\"'\\"):  # systemd takes no such program
            path, arguments = "/usr/bin/env", list(self.command)
        return _TEXT.format(
            flag="" if system else "--user ",
            order="Wants=network-online.target\nAfter=network-online.target time-sync.target\n" if system else "",
            user=f"User={self.user}\n" if self.user else "",
            environment=_quoted(f"PYJOBS_HOME={self.home}"),
            # The program itself knows no variables, its arguments do.
            command=" ".join([_quoted(path), *(_quoted(word).replace("$", "$$") for word in arguments)]),
            stop_s=self.drain_s + _STOP_EXTRA_S,
            hardening="CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_BOOT\n" if system else "",
            target="multi-user.target" if system else "default.target",
        )


def program() -> tuple[str, ...]:
    """What starts pyjobs as it is installed here: its script beside the interpreter, else the interpreter."""
    script = Path(sys.executable).with_name("pyjobs")
    if os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "pyjobs")


def template() -> str:
    """`scripts/pyjobs.service`: for `/opt/pyjobs`, with its environment in `.venv` and a user of its own."""
    folder = PurePosixPath("/opt/pyjobs")
    return Unit(home=Path(folder), command=(str(folder / ".venv/bin/pyjobs"),), drain_s=25, user="pyjobs").text()


def _quoted(word: str) -> str:
    """A word as systemd reads it back."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(sign in word for sign in " \t'\"\\;") else escaped
