"""What every test stands on: an environment without pyjobs' settings, a clock that stands still, fakes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields

import hypothesis
import pytest
from fakes import FakeClock, FakeExecutor, FakeNudge, FakeOutput, MemoryStore
from mariadb_server import _database, mariadb, mysql

from pyjobs.config import Settings

__all__ = ["_database", "mariadb", "mysql"]

# Two cores are shared by many: how long one example takes says nothing.
hypothesis.settings.register_profile("pyjobs", deadline=None, database=None)
hypothesis.settings.load_profile("pyjobs")

_BARE = {about.name.upper() for about in fields(Settings) if about.metadata.get("bare")} | {
    "DB_PASSWORD",
    "API_SECRET_KEY",
}


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PYJOBS_") or name.removesuffix("_FILE") in _BARE or name in _BARE:
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory() -> Iterator[MemoryStore]:
    store = MemoryStore()
    yield store
    store.close()


@pytest.fixture
def nudge() -> FakeNudge:
    return FakeNudge()


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def output() -> FakeOutput:
    return FakeOutput()
