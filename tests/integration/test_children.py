"""A process that the supervisor keeps alive: what its lines mean, with real processes and pipes."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest
from waiting import wait_for

from pyjobs.children import HEARTBEAT_FD, LIFE_FD, RENEW, Child

#: Says what it was given, then waits to be ended.
PROGRAM = f"import os, sys; os.write({HEARTBEAT_FD}, sys.argv[1].encode()); os.read({LIFE_FD}, 1)"


class Kept:
    """A child and what is polled."""

    def __init__(self, *lines: str) -> None:
        self.poll = select.poll()
        self.child = Child("test", ["-c", PROGRAM, "".join(f"{line}\n" for line in lines)])

    def start(self) -> bool:
        """Start it, and hear it once; answers whether it said something new."""
        self.child.start(-1, self.poll)
        wait_for(lambda: self.poll.poll(0), "it says something")
        return self.child.beat(self.poll)

    def end(self) -> None:
        """Reap it, however it ends."""
        assert self.child.pid is not None
        os.waitpid(self.child.pid, 0)
        self.child.ended(self.poll)


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    kept = Kept(*request.param)
    yield kept
    if kept.child.pid is not None:
        kept.child.send(9)
        kept.end()


@pytest.mark.parametrize("kept", [["+", RENEW, "+"], ["+", "+", RENEW], [RENEW]], indirect=True)
def test_one_that_asks_for_another_is_replaced_at_once_and_that_is_no_crash(kept: Kept) -> None:
    assert kept.start()
    assert (kept.child.is_up, kept.child.is_old, kept.child.leaves) == (True, True, False)
    kept.child.renew(within_s=10)
    kept.end()
    assert (kept.child.due_in_s, kept.child.backoff.restarts) == (0, 0)
    kept.child.start(-1, kept.poll)
    assert (kept.child.is_up, kept.child.is_old, kept.child.leaves) == (False, False, False)


@pytest.mark.parametrize("kept", [["+the store is locked", RENEW]], indirect=True)
def test_asking_for_another_takes_no_trouble_back(kept: Kept) -> None:
    assert kept.start()
    assert (kept.child.trouble, kept.child.is_old) == ("the store is locked", True)


@pytest.mark.parametrize("kept", [["+", "!it cannot go on"]], indirect=True)
def test_a_last_word_is_kept_and_what_ends_without_being_told_crashed(kept: Kept) -> None:
    kept.start()
    assert (kept.child.last_word, kept.child.is_up) == ("it cannot go on", True)
    kept.child.send(15)
    kept.end()
    assert kept.child.backoff.restarts == 1
    assert kept.child.due_in_s
