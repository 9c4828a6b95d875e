"""What a service manager is told, through real sockets."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyjobs.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """(What NOTIFY_SOCKET says, the socket)."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pyjobs-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1))
        receiver.setblocking(False)
        yield name, receiver


def said(receiver: socket.socket) -> list[str]:
    """What came since, one text a message."""
    messages = []
    while True:
        try:
            messages.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_message_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    notifier = Notifier(name)
    notifier.ready(7, "runs")
    notifier.status("runs")  # said already
    notifier.status("two\nlines")
    notifier.stopping("stopping")
    assert said(receiver) == [
        "READY=1\nMAINPID=7\nSTATUS=runs", "STATUS=two lines", "STOPPING=1\nSTATUS=stopping"
    ]  # fmt: skip


def test_a_reload_says_when_it_began(manager: tuple[str, socket.socket]) -> None:
    import time

    name, receiver = manager
    Notifier(name).reloading()
    (message,) = said(receiver)
    kind, _, moment = message.partition("\nMONOTONIC_USEC=")
    assert kind == "RELOADING=1"
    assert 0 <= time.monotonic_ns() // 1000 - int(moment) < 60_000_000


def test_signs_of_life_come_four_times_as_often_as_they_must(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    notifier = Notifier.taken_from(
        {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    )
    for now_s in (100, 101.9, 102, 103, 104.5):
        notifier.alive(now_s, stopping=False)
    assert said(receiver) == ["WATCHDOG=1"] * 3
    notifier.alive(200, stopping=True)
    assert said(receiver) == ["WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000"]


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}],
)
def test_nobody_waits_for_signs_of_life(manager: tuple[str, socket.socket], environ: dict[str, str]) -> None:
    name, receiver = manager
    Notifier.taken_from({"NOTIFY_SOCKET": name, **environ}).alive(100, stopping=False)
    assert said(receiver) == []


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@pyjobs-nobody-listens"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "HOME": "/"}
    notifier = Notifier.taken_from(environ)
    notifier.ready(1, "runs")
    notifier.alive(0, stopping=True)
    assert environ == {"HOME": "/"}
