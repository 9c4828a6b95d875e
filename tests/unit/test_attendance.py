"""When a runner was there and when not (semantics §6), with clocks that the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import NOW_MS, FakeClock, MemoryStore

from pyjobs.attendance import Attendance
from pyjobs.ports import Event, EventKind


class Host:
    """A host whose clocks run together until the test says otherwise; nothing of it is on disk."""

    def __init__(self, memory: MemoryStore, clock: FakeClock) -> None:
        self.store, self.clock = memory, clock
        self.slept_ms = 0

    def boot_ms(self) -> int:
        return round(self.clock.monotonic() * 1000) + self.slept_ms

    def runner(self, owner: str = "me") -> Attendance:
        return Attendance(self.store, self.clock, Path("/nowhere/seen"), owner, boot_ms=self.boot_ms)

    def sleep(self, seconds: int) -> None:
        """The wall clock and the time since boot go on, the monotonic one does not."""
        self.clock.set_wall(self.clock.now_ms() + seconds * 1000)
        self.slept_ms += seconds * 1000

    def events(self, kind: EventKind) -> list[Event]:
        return [event for event in self.store.events() if event.kind is kind]


@pytest.fixture
def host(memory: MemoryStore, clock: FakeClock) -> Host:
    return Host(memory, clock)


class TestComingAndLeaving:
    def test_the_first_one_missed_nothing(self, host: Host) -> None:
        runner = host.runner()
        runner.come()
        assert runner.absences == ()
        assert host.store.events() == [Event(at_ms=NOW_MS, kind=EventKind.RUNNER_UP, detail={"owner": "me"})]

    def test_the_next_one_knows_since_when_nobody_was_there(self, host: Host) -> None:
        first = host.runner("first")
        first.come()
        host.clock.advance(100)
        first.leave()
        host.clock.advance(50)
        second = host.runner("second")
        second.come()
        (absence,) = second.absences
        assert absence == ("the daemon was down", NOW_MS + 100_000, NOW_MS + 150_000)
        assert [event.detail for event in host.events(EventKind.RUNNER_UP)][1] == {
            "owner": "second", "last_seen_ms": NOW_MS + 100_000, "clean": True,
        }  # fmt: skip
        assert [event.detail["owner"] for event in host.events(EventKind.RUNNER_DOWN)] == ["first"]

    def test_while_one_on_another_host_was_there_nobody_was_missed(self, host: Host) -> None:
        host.runner("elsewhere/1/2").come()
        host.store.note_seen("elsewhere/1/2")
        host.clock.advance(100)
        mine = host.runner("mine")
        mine.come()
        assert mine.absences == ()

    def test_it_is_down_from_when_it_stopped_to_claim(self, host: Host) -> None:
        first = host.runner("first")
        first.come()
        host.clock.advance(100)
        first.prepare_to_leave()
        host.clock.advance(25)  # what runs was waited for
        first.leave()
        second = host.runner("second")
        second.come()
        assert second.absences == (("the daemon was down", NOW_MS + 100_000, NOW_MS + 125_000),)
        (left,) = host.events(EventKind.RUNNER_DOWN)
        assert left.at_ms == NOW_MS + 100_000

    def test_one_that_was_killed_did_not_leave(self, host: Host) -> None:
        host.runner("first").come()
        host.clock.advance(50)
        second = host.runner("second")
        second.come()
        assert host.events(EventKind.RUNNER_UP)[1].detail["clean"] is False


class TestClock:
    def test_time_that_passes_is_nothing(self, host: Host) -> None:
        runner = host.runner()
        for _ in range(5):
            host.clock.advance(1000)
            assert not runner.look_at_clock()
        assert host.store.events() == []

    @pytest.mark.parametrize("seconds", [30, 7200, 86_400, 315_360_000])
    def test_a_clock_set_forward_is_an_absence_noted_once(self, host: Host, seconds: int) -> None:
        runner = host.runner()
        host.clock.set_wall(NOW_MS + seconds * 1000)
        assert runner.look_at_clock()
        assert not runner.look_at_clock()
        assert runner.absences == (("the clock was set forward", NOW_MS, NOW_MS + seconds * 1000),)
        assert [event.detail for event in host.events(EventKind.CLOCK_SET)] == [{"by_ms": seconds * 1000}]

    @pytest.mark.parametrize("seconds", [30, 3540, 86_400])
    def test_a_clock_set_back_is_noted_and_no_absence(self, host: Host, seconds: int) -> None:
        runner = host.runner()
        host.clock.set_wall(NOW_MS - seconds * 1000)
        assert runner.look_at_clock()
        assert runner.absences == ()
        assert [event.detail for event in host.events(EventKind.CLOCK_SET)] == [{"by_ms": -seconds * 1000}]

    def test_a_host_that_slept_is_an_absence_and_no_set_clock(self, host: Host) -> None:
        runner = host.runner()
        host.sleep(3600)
        assert not runner.look_at_clock()
        assert runner.absences == (("the host was suspended", NOW_MS, NOW_MS + 3_600_000),)
        assert [event.detail for event in host.events(EventKind.SUSPENDED)] == [{"for_ms": 3_600_000}]
        assert host.events(EventKind.CLOCK_SET) == []

    def test_small_corrections_are_nothing(self, host: Host) -> None:
        runner = host.runner()
        host.clock.set_wall(NOW_MS + 1500)
        assert not runner.look_at_clock()
        assert host.store.events() == []


class TestTrouble:
    def test_it_is_an_absence_from_its_first_sign_to_its_end(self, host: Host) -> None:
        runner = host.runner()
        runner.trouble()
        host.clock.advance(10)
        runner.trouble()
        # While it lasts already: what is claimed with the first write that succeeds is told by it.
        assert runner.absences == (("the store could not be written", NOW_MS, NOW_MS + 10_000),)
        runner.no_trouble()
        host.clock.advance(10)
        assert runner.absences == (("the store could not be written", NOW_MS, NOW_MS + 10_000),)

    def test_a_locked_store_does_not_keep_a_clock_from_being_noticed(self, host: Host) -> None:
        runner = host.runner()
        host.store.busy = True
        host.clock.set_wall(NOW_MS + 60_000)
        assert runner.look_at_clock()
        assert len(runner.absences) == 1
