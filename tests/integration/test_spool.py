"""The files that hold what runs write: bounded in the row and on disk (semantics §8)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_for

from pyjobs.executors.spool import Spool

KEEP = 4096
MAX = 1 << 20
NUL = "\N{SYMBOL FOR NULL}"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "data" / "spool", keep_bytes=KEEP, max_bytes=MAX)
    made.prepare()
    return made


def used(path: Path) -> int:
    """Bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


class TestRead:
    def test_both_streams_in_one_text(self, spool: Spool) -> None:
        spool.append("x", out="out ü\n", err="err\n")
        spool.append("x", out="more\n")
        output, stderr_at, whole = spool.read("x")
        assert output == "out ü\nmore\nerr\n"
        assert output[stderr_at:] == "err\n"
        assert whole

    def test_what_was_never_written_is_empty(self, spool: Spool) -> None:
        assert spool.read("x") == ("", 0, True)
        spool.append("x")
        assert not spool.out("x").exists()

    @pytest.mark.parametrize("size", [0, 1, KEEP - 1, KEEP])
    def test_up_to_its_limit_all_is_kept(self, spool: Spool, size: int) -> None:
        spool.out("x").write_bytes(b"a" * size)
        assert spool.read("x") == ("a" * size, size, True)

    @pytest.mark.parametrize("more", [1, 2, 999, 10 * KEEP])
    def test_beyond_that_head_and_tail_and_the_count_of_what_is_left_out(self, spool: Spool, more: int) -> None:
        text = b"".join(b"%07d\n" % n for n in range(KEEP // 8)) + b"x" * more
        spool.out("x").write_bytes(text)
        spool.err("x").write_bytes(b"err")
        output, stderr_at, whole = spool.read("x")
        assert not whole
        half = KEEP // 2
        head, tail = text[:half].decode(), text[-half:].decode()
        assert output[:stderr_at] == f"{head}\n… {more} bytes left out …\n{tail}"
        assert output[stderr_at:] == "err"

    def test_one_endless_line(self, spool: Spool) -> None:
        with spool.out("x").open("wb") as file:
            file.truncate(1 << 30)
        output, _, whole = spool.read("x")
        assert not whole
        assert f"{(1 << 30) - KEEP} bytes left out" in output
        assert len(output) < KEEP + 100

    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\0b\0", f"a{NUL}b{NUL}"),
            ("中文 🎉".encode(), "中文 🎉"),
            ("中文".encode()[:-1], "中\N{REPLACEMENT CHARACTER}"),
            ("中文".encode("gb18030"), "\N{REPLACEMENT CHARACTER}" * 4),
            (b"\r\n\x1b[31m", "\r\n\x1b[31m"),
            (b"\xed\xb3\xbf", "\N{REPLACEMENT CHARACTER}" * 3),
        ],
    )
    def test_what_is_no_text_is_shown_as_such(self, spool: Spool, data: bytes, shown: str) -> None:
        spool.out("x").write_bytes(data)
        assert spool.read("x").output == shown

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(out=st.binary(max_size=3 * KEEP), err=st.binary(max_size=3 * KEEP))
    def test_any_bytes_can_be_read_and_stored(self, spool: Spool, out: bytes, err: bytes) -> None:
        spool.out("x").write_bytes(out)
        spool.err("x").write_bytes(err)
        output, stderr_at, whole = spool.read("x")
        assert "\0" not in output
        output.encode("utf-8")
        assert 0 <= stderr_at <= len(output) <= 2 * (KEEP + 100)
        assert whole is (len(out) <= KEEP and len(err) <= KEEP)

    def test_text_that_cannot_be_encoded_is_written_all_the_same(self, spool: Spool) -> None:
        spool.append("x", out="a\udcff")
        assert spool.read("x").output == "a?"

    def test_a_row_never_keeps_more_than_the_file(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, keep_bytes=1 << 20, max_bytes=16384)
        spool.out("x").write_bytes(b"a" * 100_000)
        spool.trim("x")
        output = spool.read("x").output
        assert NUL not in output
        assert f"{100_000 - 16384} bytes left out" in output


class TestModes:
    def test_only_the_owner_may_read_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            spool = Spool(tmp_path / "data" / "spool", keep_bytes=KEEP, max_bytes=MAX)
            spool.prepare()
            spool.prepare()
            spool.append("x", out="o", err="e")
        finally:
            os.umask(before)
        assert {p.stat().st_mode & 0o777 for p in (tmp_path / "data", tmp_path / "data" / "spool")} == {0o700}
        assert {p.stat().st_mode & 0o777 for p in (spool.out("x"), spool.err("x"))} == {0o600}


WRITER = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
total, number = int(sys.argv[2]), 0
while number * 16 < total:
    os.write(descriptor, b"".join(b"%015d\\n" % n for n in range(number, number + 4096)))
    number += 4096
    print(number * 16, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(spool: Spool) -> Iterator[subprocess.Popen[str]]:
    """A process that appends 64 KiB to a run's output at each line that it is sent, and says how much there is."""
    command = [sys.executable, "-c", WRITER, str(spool.out("x")), str(16 * MAX)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def can_punch(spool: Spool) -> None:
    """Skip where the file system cannot punch holes."""
    probe = spool.out("probe")
    probe.write_bytes(b"x" * (4 * MAX))
    os.sync()
    spool.trim("probe")
    if used(probe) > 2 * MAX:
        pytest.skip("this file system punches no holes")


class TestTrim:
    @pytest.mark.usefixtures("can_punch")
    def test_a_file_that_grows_stays_bounded_on_disk(self, spool: Spool, writer: subprocess.Popen[str]) -> None:
        assert writer.stdin
        assert writer.stdout
        path, most = spool.out("x"), 0
        for line in writer.stdout:
            spool.trim("x")
            most = max(most, used(path))
            writer.stdin.write("\n")
            writer.stdin.flush()
            size = int(line)
        wait_for(lambda: path.stat().st_size == size, "all is written")
        assert size == 16 * MAX
        assert most <= 2 * MAX
        output, _, whole = spool.read("x")
        assert not whole
        head, dropped, tail = output.split("\n… ")[0], output, output.split("…\n")[1]
        assert head.splitlines() == [f"{n:015d}" for n in range(KEEP // 32)]
        assert f"{size - KEEP} bytes left out" in dropped
        last = size // 16
        assert tail.splitlines() == [f"{n:015d}" for n in range(last - KEEP // 32, last)]

    @pytest.mark.usefixtures("can_punch")
    def test_head_and_tail_of_the_file_stay(self, spool: Spool) -> None:
        content = os.urandom(3 * MAX)
        spool.out("x").write_bytes(content)
        spool.trim("x")
        spool.trim("x")
        found = spool.out("x").read_bytes()
        assert len(found) == len(content)
        assert found[: MAX // 2] == content[: MAX // 2]
        assert found[-MAX // 2 :] == content[-MAX // 2 :]
        assert found[MAX // 2 + 4096 : -MAX // 2 - 4096].strip(b"\0") == b""

    def test_a_small_one_is_left_as_it_is(self, spool: Spool) -> None:
        content = os.urandom(MAX)
        spool.out("x").write_bytes(content)
        spool.trim("x")
        assert spool.out("x").read_bytes() == content

    def test_one_that_is_not_there_is_no_error(self, spool: Spool) -> None:
        spool.trim("x")


class TestForget:
    def test_all_files_go(self, spool: Spool) -> None:
        spool.append("x", out="o", err="e")
        spool.append("y", out="o")
        spool.result("x").touch()
        spool.forget("x")
        spool.forget("x")
        assert list(spool.out("x").parent.iterdir()) == [spool.out("y")]

    def test_output_can_be_kept(self, spool: Spool) -> None:
        spool.append("x", out="o", err="e")
        spool.result("x").touch()
        spool.forget("x", keep_output=True)
        assert set(spool.out("x").parent.iterdir()) == {spool.out("x"), spool.err("x")}
