"""The clients' view of a daemon on a fresh home: the cases as they are given, and the specification's own lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from handed_down import CASES

from .conftest import Home, wait_for
from .rest import Rest, rest_of

#: "API 使用示例" and "健康检查" of the specification, word for word.
ADD = """curl -X POST "http://localhost:8000/jobs/add" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "测试任务",
    "desc": "这是一个测试任务",
    "cron_expr": "0 0 * * *",
    "mode": "http",
    "command": "https://httpbin.org/get"
  }'"""
LIST = 'curl -X GET "http://localhost:8000/jobs/list"'
RUN = 'curl -X POST "http://localhost:8000/jobs/run?id=1"'
STOP = 'curl -X POST "http://localhost:8000/jobs/stop?id=1"'
LOGS = """curl -X POST "http://localhost:8000/jobs/logs" -d '{"job_id":1}'"""
HEALTH = (
    "curl http://localhost:8000/health",
    "curl http://localhost:8000/health/db",
    "curl http://localhost:8000/health/scheduler",
)


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    yield rest_of(home)
    home.pyjobs("daemon", "stop")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api.json", "executions.json"])
def test_the_cases_pass_on_a_fresh_home(rest: Rest, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "replay.py", rest.base, name], cwd=CASES, capture_output=True, text=True, check=False,
        timeout=110, env={"PATH": os.environ["PATH"], "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines()[-1].endswith(" passed, 0 failed")


def curl(line: str, rest: Rest) -> Any:
    """Run a line of the specification, but for its port."""
    if not shutil.which("curl"):
        reason = "there is no `curl`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    text = line.replace("localhost:8000", f"localhost:{urlsplit(rest.base).port}")
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_specifications_own_lines_work(rest: Rest) -> None:
    added = curl(ADD, rest)
    assert (added["code"], added["msg"], added["data"]["id"]) == (200, "任务添加成功", 1)

    listed = curl(LIST, rest)
    assert (listed["code"], listed["total"], listed["data"][0]["name"]) == (200, 1, "测试任务")

    assert curl(RUN, rest)["msg"] == "任务已手动执行"
    assert curl(STOP, rest)["msg"] == "任务停止成功"

    logs = wait_for(lambda: curl(LOGS, rest)["data"], "the run is in the log")
    assert logs[0]["job_id"] == 1
    assert [curl(line, rest)["status"] for line in HEALTH] == ["ok", "ok", "ok"]


def test_what_is_to_go_goes_though_the_daemon_was_killed_in_between(home: Home, rest: Rest) -> None:
    import psutil

    asked = {"name": "once", "cron_expr": "0 0 0 1 1 *", "mode": "command", "command": "sleep 1", "remove_task": True}
    job = rest.data("POST", "/jobs/addAndRun", json=asked)
    home.wait_for_state(job["exec_id"], "running")
    for pid in (home.status()["pid"], home.status()["runner_pid"]):
        psutil.Process(pid).kill()
    wait_for(lambda: home.daemon() is None, "the daemon is gone")
    home.start()

    home.wait_for_state(job["exec_id"], "success", "lost")
    wait_for(lambda: not home.rows("SELECT 1 FROM jobs WHERE id = ?", job["job_id"]), "the job is gone")
    assert home.rows("SELECT name FROM facts WHERE name LIKE 'cleanup:%'") == []
