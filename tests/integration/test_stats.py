"""`pyjobs stats` over a real store."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from fakes import NOW_MS, FakeClock, a_run, claimed

from pyjobs.jobs import RunState
from pyjobs.ports import End, Start
from pyjobs.store.sqlite import SqliteStore

from .cli_kit import Cli

DAY = 86_400_000


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """Two jobs: one that fails every other day, one that never does."""
    cli = Cli(tmp_path / "home", clock)
    for name in ("flaky", "steady"):
        cli("job", "add", name, "--manual", "--command", "true")
    with contextlib.closing(SqliteStore(cli.home / "data" / "jobs.db")) as store:
        for name, took in (("flaky", 100), ("steady", 5000)):
            job = store.job_named(name)
            for day in range(5):
                at = NOW_MS - day * DAY - 1000
                run = a_run(job, scheduled_ms=at - 50, claimed_ms=at)
                store.claim([claimed(run)], [])
                store.start_runs([Start(exec_id=run.exec_id, attempt=1, started_ms=at)], "me")
                bad = name == "flaky" and day % 2 == 0
                state = RunState.TIMEOUT if bad else RunState.SUCCESS
                store.end_runs([End(exec_id=run.exec_id, state=state, ended_ms=at, duration_ms=took * (day + 1))], "me")
        store.claim([claimed(a_run(store.job_named("flaky"), state=RunState.MISSED, scheduled_ms=NOW_MS - 9,
                                   first_ms=NOW_MS - 99, fires=4, claimed_ms=NOW_MS - 5))], [])  # fmt: skip
    return cli


def test_totals_and_what_fails_most_comes_first(cli: Cli) -> None:
    page = re.sub(" {2,}", "  ", cli("stats"))
    for line in ("RUNS  10", "SUCCEEDED  7", "FAILED  3 (30.0%, 3 timeout)", "MISSED  4", "LONGEST  25.00s"):
        assert f"{line}\n" in page
    table = page.splitlines()[-2:]
    assert table[0].startswith("flaky  5  3  60.0%  0  4  300ms  500ms  50ms")
    assert table[1].startswith("steady  5  0  0.0%")


def test_the_order_the_limit_and_one_job(cli: Cli) -> None:
    assert cli("stats", "--by", "slowest", "-n", "1", "-o", "name") == "steady\n"
    only = cli.json("stats", "steady")
    assert [job["job"] for job in only["jobs"]] == ["steady"]
    assert (only["total"]["runs"], only["total"]["mean_ms"]) == (5, 15_000)


def test_days_are_told_one_by_one(cli: Cli) -> None:
    days = cli.json("stats", "--since", "3d")["days"]
    assert [(day["day"], day["runs"], day["failed"]) for day in days] == [
        ("2029-12-29", 2, 1), ("2029-12-30", 2, 0), ("2029-12-31", 2, 1), ("2030-01-01", 0, 0),
    ]  # fmt: skip
    shown = re.sub(r"\x1b\[[0-9]*m", "", cli("stats", "--since", "3d", terminal=True))
    assert re.search(r"2029-12-31 +2 +█+.* 1 failed\n", shown)
    assert "失败 1" in cli("stats", "--since", "3d", terminal=True, lang="zh")


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_picture_is_drawn(cli: Cli, tmp_path: Path, name: str, head: bytes) -> None:
    cli("stats", "--save", str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--save", "a.gif"), "`a.gif` ends neither in .png nor in .svg"),
        (("--save", "/nowhere/a.svg"), "cannot be written"),
        (("--since", "2031-01-01"), "lies in the future"),
        (("--since", "2000d"), "reaches back over 400 days"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, words: tuple[str, ...], said: str) -> None:
    assert said in cli.error("stats", *words, code=2)


def test_where_there_is_no_home_none_is_made(tmp_path: Path) -> None:
    Cli(tmp_path / "none").error("stats", code=3)
    assert not (tmp_path / "none" / "data").exists()
