"""cases/executions.json in process: added by the service, run by the real loop and executors, read from the store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from handed_down import cases, module_of_cases

from pyjobs import bootstrap, config
from pyjobs.errors import PyjobsError
from pyjobs.jobs import ACTIVE, Run
from pyjobs.service.jobs import JobFields

CASES = cases("executions.json")
PATIENCE_S = 60
replay = module_of_cases("replay")


class Bench:
    """One home on which all cases run at once, as they do when they are replayed."""

    def __init__(self, home: Path, target: str, folder: Path) -> None:
        settings, _ = config.load(home, {"MAX_CONCURRENT_JOBS": "16"})
        self.runner, _ = bootstrap.build_runner(settings)
        self.service = bootstrap.build_service(settings)
        today = date.today()  # noqa: DTZ011 - the local date is what `Time` prints
        self.variables = {
            "target": target,
            "tmp": str(folder),
            "today": today.isoformat(),
            "today_slashes": today.strftime("%Y/%m/%d"),
        }
        self.verdicts: dict[str, str | Run] = {}

    def run_all(self) -> None:
        self.runner.start()
        started = {case["name"]: self._start(case) for case in CASES}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.runner.step(0.05)
            for name, answer in started.items():
                if isinstance(answer, Run):
                    answer = self.service.runs.get(answer.exec_id)  # noqa: PLW2901
                if isinstance(answer, str) or answer.state not in ACTIVE:
                    self.verdicts[name] = answer
            if len(self.verdicts) == len(CASES):
                return

    def _start(self, case: dict[str, Any]) -> str | Run:
        """The run of a case, or the message with which it was refused."""
        command = replay.fill(case["command"], self.variables)
        fields = JobFields(name=case["name"], cron_expr="0 0 0 1 1 *", state=2, mode=case["mode"], command=command)
        try:
            job = self.service.jobs.add(fields).job
        except PyjobsError as exc:
            return exc.text("zh")
        return self.service.runs.start(job.id)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    server, target = module_of_cases("http_target").serve()
    before = Path.cwd()
    home = tmp_path_factory.mktemp("home")
    os.chdir(home)
    try:
        bench = Bench(home, target, tmp_path_factory.mktemp("files"))
        bench.run_all()
        yield bench
    finally:
        os.chdir(before)
        bench.runner.close()
        server.shutdown()
        server.server_close()


@pytest.mark.xdist_group("execution-cases")
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_execution_ends_as_its_case_says(bench: Bench, case: dict[str, Any]) -> None:
    expect = replay.fill(case["expect"], bench.variables)
    verdict = bench.verdicts.get(case["name"])
    assert verdict is not None, "no final record in time"
    if isinstance(verdict, str):
        assert expect.get("refused") or expect.get("fails"), f"refused: {verdict}"
        assert [piece for piece in expect.get("error", []) if piece not in verdict] == []
        return
    assert not expect.get("refused"), "it was added, but should have been refused"
    log = {
        "status": verdict.state.status,
        "output": verdict.output,
        "error_msg": verdict.error,
        "exit_code": verdict.exit_code,
        "duration_ms": verdict.duration_ms,
    }
    assert replay.judge(expect, log) == []
