"""Settings that change while a process runs: when they are read, what is taken up, and what stays."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pyjobs.config import FILE_NAME, RENEWED, RESTART, Settings
from pyjobs.errors import BadSetting, PyjobsError, StoreBusy
from pyjobs.following import Followed, Following


class Process:
    """Somebody who goes by settings."""

    def __init__(self, home: Path) -> None:
        self.next = self.settings = Settings(home=home)
        self.reads = self.renewals = 0
        self.refuses: PyjobsError | None = None
        self.found: list[Followed | PyjobsError] = []
        self.following = Following(self.settings, self.load, self.follow)
        self.following.found = self.found.append

    def load(self) -> Settings:
        self.reads += 1
        return self.next

    def follow(self, settings: Settings) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.settings = settings

    def renew(self) -> None:
        self.renewals += 1

    def touch(self, name: str = FILE_NAME) -> None:
        path = self.settings.home / name
        path.write_text((path.read_text() if path.exists() else "") + "#", encoding="utf-8")

    def change(self, **changes: object) -> Followed:
        self.next = replace(self.next, **changes)  # type: ignore[arg-type]
        return self.following.now()


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_they_are_read_when_their_file_changed_or_somebody_asked(process: Process) -> None:
    process.following.look()
    assert process.reads == 0
    for reason in (process.touch, process.touch, process.following.ask, (process.settings.home / FILE_NAME).unlink):
        before = process.reads
        reason()
        process.following.look()
        process.following.look()
        assert process.reads == before + 1


def test_what_changed_is_named_and_followed(process: Process) -> None:
    found = process.change(job_timeout=7, docs="off")
    assert found == Followed(("job_timeout", "docs"), ())
    assert (process.settings.job_timeout, process.settings.docs) == (7, "off")
    assert process.following.settings is process.settings
    assert process.change() == Followed((), ())


def test_what_cannot_be_followed_stays_and_is_named_as_long_as_it_differs(process: Process) -> None:
    found = process.change(port=1, job_timeout=7)
    assert found == Followed(("port", "job_timeout"), ("port",))
    assert (process.settings.port, process.settings.job_timeout) == (8000, 7)
    assert process.change() == Followed((), ("port",))
    assert process.change(port=8000) == Followed(("port",), ())


def test_wrong_ones_leave_the_old_ones_and_are_said_once(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    before, process.next = process.settings, replace(process.next, job_timeout=7)
    process.refuses = BadSetting("x", "is wrong", "有误")
    with pytest.raises(BadSetting):
        process.following.now()
    assert process.settings is process.following.settings is before
    process.touch()
    with caplog.at_level(logging.ERROR):
        process.following.look()
        process.following.look()
    assert [record.getMessage() for record in caplog.records] == ["the settings were not taken: x: is wrong"]
    assert process.found == [process.refuses]
    process.refuses = None
    assert process.following.now().changed == ("job_timeout",)


def test_while_the_store_is_busy_it_is_tried_again(process: Process) -> None:
    process.next, process.refuses = replace(process.next, job_timeout=7), StoreBusy("the store is busy")
    process.touch()
    process.following.look()
    process.refuses = None
    process.following.look()
    assert process.settings.job_timeout == 7
    assert process.found == [Followed(("job_timeout",), ())]


class TestRenewal:
    @pytest.fixture
    def process(self, tmp_path: Path) -> Process:
        """It has a certificate, and somebody who can replace it."""
        process = Process(tmp_path)
        process.settings = process.next = replace(process.settings, ssl_certfile="cert", ssl_keyfile="key")
        process.touch("cert")
        process.touch("key")
        process.following = Following(process.settings, process.load, process.follow)
        process.following.renew = process.renew
        return process

    def test_another_certificate_at_the_same_place_asks_for_it(self, process: Process) -> None:
        for name in ("cert", "key"):
            process.touch(name)
            process.following.look()
            process.following.look()
        assert process.renewals == 2
        process.touch()
        process.following.look()
        assert process.renewals == 2

    def test_one_that_cannot_be_used_does_not(self, process: Process) -> None:
        process.refuses = BadSetting("ssl_certfile", "is none", "无效")
        process.touch("cert")
        process.following.look()
        with pytest.raises(BadSetting):
            process.following.now()
        assert process.renewals == 0
        process.refuses = None
        process.following.now()
        assert process.renewals == 1

    def test_so_do_settings_that_hold_for_the_life_of_a_process(self, process: Process) -> None:
        assert process.change(api_body_timeout=1) == Followed(("api_body_timeout",), ())
        assert process.change(ssl_certfile="other") == Followed(("ssl_certfile",), ())
        assert process.renewals == 2

    def test_from_https_to_http_it_needs_a_restart(self, process: Process) -> None:
        assert process.change(ssl_certfile="", ssl_keyfile="").restart == ("ssl_certfile", "ssl_keyfile")
        assert (process.settings.ssl_certfile, process.renewals) == ("cert", 0)

    def test_where_nobody_can_they_need_a_restart(self, process: Process) -> None:
        process.following.renew = None
        assert process.change(api_body_timeout=1).restart == ("api_body_timeout",)
        assert process.settings.api_body_timeout == 30


def test_the_names_are_those_of_settings() -> None:
    assert set(Settings.__dataclass_fields__) >= RESTART | RENEWED
    assert not RESTART & RENEWED
