"""Who a process is, and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from pyjobs import procs
from pyjobs.procs import Ended


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(int(sys.stdin.readline()))"], stdin=-1)
    yield process
    process.kill()
    process.communicate()


class TestOwner:
    def test_this_process_lives(self) -> None:
        assert procs.owner_alive(procs.owner_name())

    @pytest.mark.parametrize(
        "owner",
        [
            "",
            "nonsense",
            "a/b",
            "another-boot/1/1",
            "BOOT/PID/1",
            "BOOT/PID/soon",
            "BOOT/PID",
            "BOOT/4194303/1",
            "BOOT/-1/1",
        ],
    )
    def test_others_do_not(self, owner: str) -> None:
        owner = owner.replace("BOOT", procs.boot_id()).replace("PID", str(os.getpid()))
        assert not procs.owner_alive(owner)

    def test_one_that_has_ended_does_not_though_nobody_reaped_it(self, child: subprocess.Popen[bytes]) -> None:
        owner = f"{procs.boot_id()}/{child.pid}/{procs.start_time(child.pid)}"
        assert procs.owner_alive(owner)
        os.kill(child.pid, signal.SIGKILL)
        wait_for(lambda: procs.is_zombie(child.pid), "it has ended")
        assert not procs.owner_alive(owner)


class TestEnd:
    def test_it_is_looked_at_without_reaping(self, child: subprocess.Popen[bytes]) -> None:
        assert procs.peek(child.pid) is None
        assert child.stdin
        child.stdin.write(b"7\n")
        child.stdin.flush()
        found = wait_for(lambda: procs.peek(child.pid), "it ends")
        assert found == procs.peek(child.pid) == Ended(7, None)
        assert child.wait() == 7
        with pytest.raises(ChildProcessError):
            procs.peek(child.pid)

    def test_a_signal_is_told_from_a_status(self, child: subprocess.Popen[bytes]) -> None:
        os.kill(child.pid, signal.SIGTERM)
        assert wait_for(lambda: procs.peek(child.pid), "it ends") == Ended(None, signal.SIGTERM)

    def test_a_descriptor_tells(self, child: subprocess.Popen[bytes]) -> None:
        descriptor = procs.open_pidfd(child.pid)
        assert descriptor >= 0
        os.close(descriptor)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.raises(ProcessLookupError):
            procs.open_pidfd(child.pid)

    @pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (99, "signal 99")])
    def test_signals_have_names(self, number: int, name: str) -> None:
        assert procs.describe_signal(number) == name


#: Ends three children, keeps the exits of two.
KEEPER = """
import os, signal, sys
from pathlib import Path
from pyjobs import procs
def child(act):
    pid = os.fork()
    if not pid:
        signal.pause()
    start = procs.start_time(pid)
    return pid, start
first, second, spared = child(0), child(0), child(0)
folder = Path(sys.argv[1])
assert procs.keep_exits(folder) == []
os.kill(first[0], signal.SIGTERM); os.kill(second[0], signal.SIGKILL); os.kill(spared[0], signal.SIGKILL)
ended = []
while len(ended) < 3:
    ended += procs.keep_exits(folder, {spared[0]})
assert dict(ended) == {first[0]: (None, 15), second[0]: (None, 9), spared[0]: (None, 9)}, ended
assert procs.kept_exit(folder, *first) == (None, 15)
assert procs.kept_exit(folder, *second) == (None, 9)
assert procs.kept_exit(folder, *spared) is None
assert procs.keep_exits(folder) == []
procs.forget_exit(folder, *first); procs.forget_exit(folder, *first)
assert [p.name for p in folder.iterdir()] == [f"{second[0]}.{second[1]}"]
assert all(procs.start_time(pid) is None for pid, _ in (first, second, spared))
"""


class TestKeptExits:
    def test_each_is_whole_and_on_disk_before_its_process_is_reaped(self, tmp_path: Path) -> None:
        subprocess.run([sys.executable, "-c", KEEPER, tmp_path], check=True, timeout=60)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ("exit 7\n", Ended(7, None)),
            ("signal 9\n", Ended(None, 9)),
            ("exit 7", None),
            ("exit\n", None),
            ("", None),
            ("exit x\n", None),
        ],
    )
    def test_half_a_file_is_none(self, tmp_path: Path, content: str, found: Ended | None) -> None:
        (tmp_path / "12.34").write_text(content)
        assert procs.kept_exit(tmp_path, 12, 34) == found
        assert procs.kept_exit(tmp_path, 12, 35) is None

    def test_where_it_cannot_be_written_the_process_is_reaped_all_the_same(self, tmp_path: Path) -> None:
        text = (
            "import os, sys; from pathlib import Path; from pyjobs import procs\n"
            "pid = os.fork()\n"
            "if not pid: os._exit(3)\n"
            "ended = []\n"
            "while not ended: ended = procs.keep_exits(Path(sys.argv[1]))\n"
            "assert ended == [(pid, (3, None))] and procs.start_time(pid) is None\n"
        )
        subprocess.run([sys.executable, "-c", text, tmp_path / "missing"], check=True, timeout=60)


class TestOnStop:
    def test_what_is_said_is_done(self) -> None:
        assert procs.kills_on_stop("kill")
        assert not procs.kills_on_stop("leave")

    def test_by_itself_it_is_left_where_process_1_is_not_ours(self) -> None:
        first = Path("/proc/1/cmdline").read_bytes().split(b"\0")
        if os.path.basename(first[0]) in (b"tini", b"docker-init", b"dumb-init", b"catatonit", b"podman-init"):  # noqa: PTH119 - bytes
            pytest.skip("these tests run in a container with such a process 1")
        assert not procs.kills_on_stop("auto")
