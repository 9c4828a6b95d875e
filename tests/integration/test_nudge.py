"""Waking the runner: a datagram that carries nothing and may be lost."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyjobs.nudge import Receiver, SocketNudge


@pytest.fixture(params=["run", "deep/" + "x" * 100 + "/run"])
def run_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def receiver(run_dir: Path) -> Iterator[Receiver]:
    made = Receiver(run_dir)
    yield made
    made.close()


def readable(receiver: Receiver) -> bool:
    return bool(select.select([receiver], [], [], 0)[0])


def test_a_nudge_wakes_the_receiver(receiver: Receiver, run_dir: Path) -> None:
    assert not readable(receiver)
    for _ in range(3):
        SocketNudge(run_dir).send()
    assert readable(receiver)
    receiver.drain()
    assert not readable(receiver)
    receiver.drain()


def test_nobody_there_is_no_error(run_dir: Path) -> None:
    SocketNudge(run_dir).send()
    receiver = Receiver(run_dir)
    receiver.close()
    SocketNudge(run_dir).send()
    assert list(run_dir.iterdir()) == []


def test_a_flood_is_no_error(receiver: Receiver, run_dir: Path) -> None:
    for _ in range(2000):
        SocketNudge(run_dir).send()
    receiver.drain()
    SocketNudge(run_dir).send()
    assert readable(receiver)


def test_what_a_dead_runner_left_is_replaced(run_dir: Path) -> None:
    first, second = Receiver(run_dir), Receiver(run_dir)
    SocketNudge(run_dir).send()
    assert readable(second)
    assert not readable(first)
    second.close()
    first.close()


def test_only_the_owner_may_send(run_dir: Path) -> None:
    before = os.umask(0)
    try:
        receiver = Receiver(run_dir)
    finally:
        os.umask(before)
    (socket,) = run_dir.iterdir()
    assert socket.stat().st_mode & 0o777 == 0o600
    assert run_dir.stat().st_mode & 0o777 == 0o700
    receiver.close()


def test_no_descriptor_is_left(run_dir: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    receiver = Receiver(run_dir)
    SocketNudge(run_dir).send()
    receiver.send()
    receiver.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
