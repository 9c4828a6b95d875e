"""The system log on disk: rotation, retention, masks, repetition, and a thread that writes it."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pyjobs.config import Rotation
from pyjobs.logfile import LogFile, aside
from pyjobs.service.logbook import Logbook

#: 2026-03-10 12:00:00 UTC, as the tests' zone has it.
NOON = 1773144000.0
DAY = 86400.0


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Log:
    """A log whose clock the test sets."""

    def __init__(self, path: Path, rotation: Rotation | None) -> None:
        self.path, self.now = path, NOON
        self.file = LogFile(path, rotation, lambda: self.now)

    def say(self, text: str, level: int = logging.INFO) -> None:
        self.file.handle(logging.LogRecord("pyjobs", level, "", 0, text, (), None))
        os.utime(self.path, (self.now, self.now))

    def names(self) -> list[str]:
        return [entry.name for entry in aside(self.path)]


def open_log(folder: Path, **rotation: object) -> Log:
    return Log(folder / "pyjobs.log", Rotation(**rotation))  # type: ignore[arg-type]


class TestRotation:
    def test_it_is_put_aside_at_midnight_under_the_day_of_its_last_line(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        log.say("one")
        log.now += DAY / 2 - 1
        log.say("two")
        assert log.names() == []
        log.now += 2
        log.say("three")
        assert log.names() == ["pyjobs.log.2026-03-10"]
        assert (tmp_path / "pyjobs.log.2026-03-10").read_text() == "one\ntwo\n"
        assert log.path.read_text() == "three\n"
        log.file.close()

    def test_it_is_put_aside_by_size_several_times_a_day(self, tmp_path: Path) -> None:
        log = open_log(tmp_path, max_bytes=10)
        for number in range(12):
            log.say(f"line {number:2}")
        assert log.names() == ["pyjobs.log.2026-03-10", *(f"pyjobs.log.2026-03-10.{n}" for n in range(1, 11))]
        lines = "".join(path.read_text() for path in [*aside(log.path), log.path])
        assert lines == "".join(f"line {number:2}\n" for number in range(12))
        log.file.close()

    def test_a_day_that_ended_while_nobody_wrote_is_put_aside_too(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        log.say("old")
        log.file.close()
        later = Log.__new__(Log)
        later.path, later.now = log.path, NOON + 3 * DAY
        later.file = LogFile(log.path, Rotation(), lambda: later.now)
        later.say("new")
        assert later.names() == ["pyjobs.log.2026-03-10"]
        later.file.close()

    def test_others_follow(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        other = Log(log.path, None)
        log.say("one")
        other.say("two")
        log.now = other.now = NOON + DAY
        log.say("three")
        other.say("four")
        assert log.path.read_text() == "three\nfour\n"
        log.file.close()
        other.file.close()

    def test_a_file_that_was_taken_away_is_made_again(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        log.say("one")
        log.path.unlink()
        log.file.handle(logging.LogRecord("pyjobs", logging.ERROR, "", 0, "two", (), None))
        assert log.path.read_text() == "two\n"
        assert log.path.stat().st_mode & 0o777 == 0o600
        log.file.close()

    def test_it_goes_on_after_somebody_closed_all_handlers(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        log.say("one")
        log.file.close()
        log.say("two")
        assert log.path.read_text() == "one\ntwo\n"
        log.file.close()


class TestRetention:
    def test_it_is_compressed_once_nobody_writes_to_it_any_more(self, tmp_path: Path) -> None:
        log = open_log(tmp_path, compress=True)
        log.say("one")
        log.now += DAY
        log.say("two")
        assert log.names() == ["pyjobs.log.2026-03-10"]
        log.now += 10
        log.say("three")
        assert log.names() == ["pyjobs.log.2026-03-10.gz"]
        packed = tmp_path / "pyjobs.log.2026-03-10.gz"
        assert gzip.decompress(packed.read_bytes()) == b"one\n"
        assert packed.stat().st_mode & 0o777 == 0o600
        assert sorted(p.name for p in tmp_path.iterdir()) == ["pyjobs.log", "pyjobs.log.2026-03-10.gz"]
        log.file.close()

    def test_what_is_too_old_goes_and_strangers_stay(self, tmp_path: Path) -> None:
        (tmp_path / "pyjobs.log.notes").write_text("mine")
        log = open_log(tmp_path, keep_s=int(2.5 * DAY))
        for _ in range(5):
            log.say("line")
            log.now += 10
            log.say("line")
            log.now += DAY - 10
        log.now += 10
        log.say("line")
        log.now += 10
        log.say("line")
        assert log.names() == ["pyjobs.log.2026-03-13", "pyjobs.log.2026-03-14"]
        assert (tmp_path / "pyjobs.log.notes").exists()
        log.file.close()

    def test_the_oldest_goes_when_all_of_it_is_too_much(self, tmp_path: Path) -> None:
        log = open_log(tmp_path, max_bytes=100, total_bytes=250)
        for _ in range(10):
            log.say("x" * 90)
            log.now += 10
        assert len(log.names()) == 3  # two that are within it, and the one that was put aside just now
        assert log.names()[-1] == "pyjobs.log.2026-03-10.8"
        log.file.close()


class TestReadBack:
    def test_lines_of_a_day_are_found_in_every_file_that_may_hold_them(self, tmp_path: Path) -> None:
        log = open_log(tmp_path, max_bytes=150, compress=True)
        for number in range(4):
            moment = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime(log.now))
            log.say(json.dumps({"level": "info", "time": moment, "caller": "a:1", "msg": f"n{number}"}))
            log.now += 10
        log.say(f"{moment} WARNING a:1 as text")
        log.file.close()
        page = Logbook(log.path, ZoneInfo("UTC")).page(date(2026, 3, 10), offset=0, limit=10)
        assert sorted(line["msg"] for line in page.lines) == ["as text", "n0", "n1", "n2", "n3"]
        assert any(name.endswith(".gz") for name in log.names())


PROGRAM = """
import logging, os, sys
from pathlib import Path
from pyjobs import logs
from pyjobs.config import load
settings, _ = load(Path(sys.argv[1]), os.environ)
logs.set_up(settings, to_stderr=True)
log = logging.getLogger("pyjobs.test")
log.warning("login with %s at http://u:pw@h/", "canary-secret")
try:
    raise ValueError("token=abc")
except ValueError:
    log.exception("it failed")
for _ in range(50):
    log.warning("again and again")
log.warning("line one\\nline two")
"""

FOLLOWING = """
from dataclasses import replace
logs.follow(replace(settings, smtp_password="another-secret", log_level="ERROR"))
log.warning("too little")
logging.getLogger("pyjobs.runs").info("too little")
log.error("logins with %s and %s", "canary-secret", "another-secret")
"""

CLOSED = """
import logging.config
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
log.warning("after all were closed")
for handler in logging.getLogger("pyjobs").handlers:
    handler.flush()
os._exit(0)
"""


class TestProcess:
    def say(self, home: Path, program: str = PROGRAM, **env: str) -> tuple[str, str]:
        """What a process writes to its log and to stderr."""
        run = subprocess.run(
            [sys.executable, "-c", program, str(home)],
            env={**os.environ, "SMTP_PASSWORD": "canary-secret", "PYTHONPATH": os.pathsep.join(sys.path), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return (home / "logs" / "pyjobs.log").read_text(encoding="utf-8"), run.stderr

    def test_no_secret_gets_in_and_nothing_is_repeated(self, tmp_path: Path) -> None:
        log, shown = self.say(tmp_path)
        for text in (log, shown):
            assert "canary-secret" not in text
            assert "u:pw" not in text
            assert "token=abc" not in text
            assert "login with *** at http://u:***@h/" in text
        lines = [json.loads(line) for line in log.splitlines()]
        assert [line["msg"] for line in lines] == [
            "login with *** at http://u:***@h/", "it failed", "again and again", "line one\nline two",
        ]  # fmt: skip
        assert "ValueError: token=***" in lines[1]["stacktrace"]

    def test_as_text_each_message_is_one_line(self, tmp_path: Path) -> None:
        log, _ = self.say(tmp_path, LOG_FORMAT="text")
        assert len(log.splitlines()) == 4
        assert "WARNING pyjobs.test:16 line one\\nline two" in log

    def test_another_level_and_other_secrets_are_followed(self, tmp_path: Path) -> None:
        for text in self.say(tmp_path, PROGRAM + FOLLOWING):
            assert "too little" not in text
            assert "logins with *** and ***" in text

    def test_it_goes_on_when_a_library_closes_it_and_all_is_written_before_a_hard_end(self, tmp_path: Path) -> None:
        log, shown = self.say(tmp_path, PROGRAM + CLOSED)
        assert json.loads(log.splitlines()[-1])["msg"] == "after all were closed"
        assert "Logging error" not in shown
