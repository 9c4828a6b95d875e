"""Every route over a real store: what it takes, what it answers, what it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pyjobs.jobs import ACTIVE, RunState, Source
from pyjobs.ports import Claimed, End, JobQuery, RunQuery, Start
from pyjobs.service.jobs import JobFields
from pyjobs.store import open_store

from .api_kit import Api, an_api

ECHO = {"cron_expr": "0 0 0 1 1 *", "mode": "func", "command": "【name】Echo\n【arg】x"}
PAGE_KEYS = {"total", "pages_total", "page_total", "pages", "page", "page_size", "size"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


def ended(api: Api, exec_id: str, state: RunState = RunState.SUCCESS, **about: Any) -> None:
    """Be the runner: launch a run and give it its end."""
    store = open_store(api.site.settings)
    now = api.site.clock.now_ms()
    store.take([exec_id], "me", None)
    store.start_runs([Start(exec_id=exec_id, attempt=1, started_ms=now)], "me")
    store.end_runs([End(exec_id=exec_id, state=state, ended_ms=now + 5, duration_ms=5, **about)], "me")
    store.close()


def started(api: Api, exec_id: str) -> None:
    """Be the runner: launch a run."""
    store = open_store(api.site.settings)
    store.take([exec_id], "me", None)
    store.start_runs([Start(exec_id=exec_id, attempt=1, started_ms=api.site.clock.now_ms())], "me")
    store.close()


def run(api: Api, job_id: int) -> str:
    """Start a job by hand; answers the run's name."""
    exec_id: str = api.post("/jobs/run", {"id": job_id}).data["exec_id"]
    return exec_id


#: The keys that clients of both originals look for (design: api.md).
JOB_KEYS = {
    "id", "name", "desc", "cron_expr", "mode", "command", "state", "allow_mode", "max_run_count", "run_count",
    "created_at", "updated_at", "last_run_time", "next_run_time", "trigger_type", "interval_seconds", "timezone",
    "timeout", "overlap", "misfire", "retries", "last_status", "running",
}  # fmt: skip
LOG_KEYS = {
    "id", "job_id", "start_time", "end_time", "status", "output", "time", "job_name", "duration_ms", "mode", "exec_id",
    "source", "command", "exit_code", "stdout", "stderr", "error_msg", "status_code", "status_text",
}  # fmt: skip


class TestObjects:
    def test_each_route_that_shows_a_job_shows_all_of_it(self, api: Api) -> None:
        text = "【name】Echo\n【arg】x\n【times】4"
        added = api.post("/jobs/add", {"name": "a", **ECHO, "command": text}).data
        job = {"id": added["id"]}
        shown = [
            added,
            api.post("/jobs/edit", {**job, "desc": "other"}).data,
            *api.get("/jobs/list").data,
            api.get("/jobs/read", job).data,
            api.post("/jobs/stop", job).data,
            api.post("/jobs/restart", job).data,
        ]
        assert [found["retries"] for found in shown] == [3] * 6
        shown += [api.post(f"/jobs/{path}", {}).data for path in ("createLogCleaner", "createBackupTask")]
        for found in shown:
            assert set(found) >= JOB_KEYS

    @pytest.mark.parametrize("prefix", ["", "/api"])
    def test_each_route_that_shows_a_run_shows_all_of_it(self, api: Api, prefix: str) -> None:
        job = api.add("a")
        ended(api, run(api, job))
        shown = [
            *api.post(f"{prefix}/jobs/logs", {"id": job}).data,
            api.get(f"{prefix}/jobs/execs", {"id": job}).data,
        ]
        assert len(shown) == 2
        for found in shown:
            assert set(found) >= LOG_KEYS
            assert (found["status"], found["status_code"], found["status_text"]) == ("成功" if prefix else 0, 0, "成功")

    def test_a_zone_that_there_is_not_is_refused_for_any_trigger(self, api: Api) -> None:
        for trigger in ({"trigger_type": "manual"}, {"interval_seconds": 60}, {"cron_expr": "0 0 0 1 1 *"}):
            job = {"name": "a", "mode": "func", "command": "Echo", "timezone": "Mars/Base", **trigger}
            assert api.post("/jobs/add", job).msg == "参数错误：timezone：不存在时区 `Mars/Base`"
        assert api.get("/jobs/list").data == []


class TestJobs:
    def test_a_job_is_added_with_all_that_was_said(self, api: Api) -> None:
        said = {
            "name": "备份", "desc": "每天\n两次", "cron_expr": "0 2 * * *", "mode": "Function", "command": "Echo",
            "allow_mode": "1", "max_run_count": 3, "state": 2, "timezone": "Europe/London", "misfire": "skip",
            "timeout": "60", "grace": 5, "catchup_window": 0, "dst_gap": "skip", "dst_fold": "both",
            "alerts": "failures=3,silent=26h",
        }  # fmt: skip
        added = api.post("/jobs/add", said).data

        wanted = {**said, "mode": "func", "allow_mode": 1, "timeout": 60, "overlap": "serial", "next_run_time": None}
        assert {name: added[name] for name in wanted} == wanted
        assert api.get("/jobs/read", {"id": added["id"]}).data == added
        assert datetime.fromisoformat(added["created_at"]).utcoffset() is not None

    @pytest.mark.parametrize(
        ("trigger", "shown"),
        [
            ({"interval_seconds": 60}, {"trigger_type": "interval", "interval_seconds": 60}),
            ({"run_at": "2100-01-01 08:00:00"}, {"trigger_type": "once", "run_at": "2100-01-01T08:00:00+08:00"}),
            ({"run_at": "2100-01-01T00:00:00Z"}, {"trigger_type": "once", "run_at": "2100-01-01T08:00:00+08:00"}),
            ({"trigger_type": "manual"}, {"trigger_type": "manual", "next_run_time": None}),
            ({"cron": "@hourly", "interval_seconds": 0}, {"trigger_type": "cron", "cron_expr": "@hourly"}),
        ],
    )
    def test_every_trigger_can_be_said(self, api: Api, trigger: dict[str, Any], shown: dict[str, Any]) -> None:
        added = api.post("/jobs/add", {"name": "a", "mode": "func", "command": "Echo", **trigger}).data

        assert {name: added[name] for name in shown} == shown

    def test_the_text_is_built_from_flat_fields(self, api: Api) -> None:
        flat = {"url": "http://a.example/", "http_mode": "put", "headers": "A:1||B:2", "result": "ok", "times": "2",
                "interval": 1, "timeout": 5, "cookies": "c=1", "proxy": "http://p.example:1", "data": "x"}  # fmt: skip
        added = api.post("/jobs/create", {"name": "a", "cron": "@daily", "mode": "HTTP", **flat}).data

        assert added["command"] == (
            "【url】http://a.example/\n【mode】put\n【headers】A:1||B:2\n【data】x\n【cookies】c=1\n"
            "【proxy】http://p.example:1\n【result】ok\n【timeout】5\n【times】2\n【interval】1"
        )
        assert added["timeout"] is None

    def test_a_command_goes_before_flat_fields(self, api: Api) -> None:
        added = api.post("/jobs/add", {**ECHO, "name": "a", "func_name": "Math", "timeout": 5}).data

        assert (added["command"], added["timeout"]) == (ECHO["command"], 5)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": None}, "name"), ({"name": "a\u200bb"}, "name"), ({"name": "x" * 101}, "name"),
            ({"mode": None}, "mode"), ({"mode": "ftp"}, "mode"), ({"command": None}, "command"),
            ({"mode": "http", "command": "x"}, "command"), ({"cron_expr": None}, "cron_expr"),
            ({"cron_expr": "61 * * * *"}, "cron_expr"), ({"interval_seconds": 5}, "trigger_type"),
            ({"run_at": "soon", "cron_expr": None}, "run_at"), ({"timezone": "Mars/One"}, "timezone"),
            ({"state": 3}, "state"), ({"alerts": "failurs"}, "alerts"),
            ({"allow_mode": 9}, "allow_mode"), ({"misfire": "never"}, "misfire"),
            ({"max_run_count": -1}, "max_run_count"), ({"grace": 1.5}, "grace"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named_and_nothing_stored(self, api: Api, change: dict[str, Any], field: str) -> None:
        reply = api.post("/jobs/add", {**ECHO, "name": "a", **change})

        assert (reply.status, reply.json["code"], reply.json["data"]) == (200, 404, None)
        assert reply.msg.startswith("参数错误：")
        assert field in reply.msg
        assert api.get("/jobs/list").data == []

    def test_a_name_is_given_once(self, api: Api) -> None:
        api.add("a")

        assert api.post("/jobs/add", {**ECHO, "name": "a"}).msg == "任务名称已存在"

    def test_an_edit_changes_what_it_names(self, api: Api) -> None:
        job = api.add("a", desc="before")

        edited = api.post("/jobs/update", {"job_id": job, "cron": "@daily"}).data

        assert (edited["name"], edited["desc"], edited["cron_expr"]) == ("a", "before", "@daily")

    def test_an_edit_of_a_job_from_a_file_is_warned_of(self, api: Api) -> None:
        wanted = [JobFields(name="a", trigger_type="manual", mode="command", command="true")]
        api.site.service.manifests().apply(wanted, "/srv/jobs.toml", prune=False)
        job = api.get("/jobs/list").data[0]["id"]

        edited = api.post("/jobs/edit", {"id": job, "command": "false"})

        assert edited.msg == "任务更新成功（该任务来自文件 /srv/jobs.toml，下次 apply 将撤销此更改）"
        assert edited.data["command"] == "false"

    def test_a_job_sent_back_whole_stays_as_it_is(self, api: Api) -> None:
        job = api.add("a", trigger_type="interval", interval_seconds=60, cron_expr=None)
        before = api.get("/jobs/read", {"id": job}).data

        assert api.post("/jobs/edit", {**before, "state": 1}).data == {**before, "updated_at": before["updated_at"]}

    def test_a_failed_edit_changes_nothing(self, api: Api) -> None:
        job = api.add("a")
        before = api.get("/jobs/read", {"id": job}).data

        assert api.post("/jobs/edit", {"id": job, "desc": "half", "cron_expr": "bad"}).json["code"] == 404
        assert api.get("/jobs/read", {"id": job}).data == before

    @pytest.mark.parametrize("path", ["edit", "del", "delete", "run", "stop", "restart", "start"])
    @pytest.mark.parametrize("job_id", [0, -1, 99999, "99999"])
    def test_nobody_has_such_an_id(self, api: Api, path: str, job_id: Any) -> None:
        api.add("a")

        assert api.post(f"/jobs/{path}", {"id": job_id}).json == {"code": 404, "msg": "任务不存在", "data": None}

    @pytest.mark.parametrize("path", ["edit", "del", "run", "stop", "restart"])
    def test_an_id_is_needed(self, api: Api, path: str) -> None:
        assert api.post(f"/jobs/{path}", {"desc": "x"}).msg == "参数错误：id：不能为空"

    def test_a_removed_job_leaves_its_running_run_alone(self, api: Api) -> None:
        job = api.add("a")
        running, waiting = run(api, job), run(api, job)
        started(api, running)

        assert api.post("/jobs/del", {"id": job}).msg == "任务删除成功"

        states = {exec_id: api.site.service.runs.get(exec_id) for exec_id in (running, waiting)}
        assert states[running].state is RunState.RUNNING
        assert states[running].kill_by is None
        assert states[waiting].state is RunState.SKIPPED

    def test_kill_asks_for_the_end_of_the_running_run(self, api: Api) -> None:
        exec_id = run(api, job := api.add("a"))
        started(api, exec_id)

        api.call("POST", "/jobs/del", query=f"id={job}&kill=true", peer="::1")

        assert api.site.service.runs.get(exec_id).kill_by == "API (::1)"


class TestList:
    @pytest.fixture
    def five(self, api: Api) -> list[int]:
        names: list[tuple[str, dict[str, Any]]]
        names = [("Alpha", {}), ("beta_1", {"state": 2}), ("50% off", {"mode": "command", "command": "true"}),
                 ("ÄRGER", {}), ("beta21", {"cron_expr": "@hourly"})]  # fmt: skip
        return [api.add(name, **more) for name, more in names]

    def test_a_page_has_all_its_keys_newest_first(self, api: Api, five: list[int]) -> None:
        found = api.get("/jobs/list", "page=2&size=2").json

        assert [job["id"] for job in found["data"]] == [five[2], five[1]]
        assert {name: found[name] for name in PAGE_KEYS} == {
            "total": 5, "pages_total": 3, "page_total": 3, "pages": 3, "page": 2, "page_size": 2, "size": 2,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("name=BETA", ["beta21", "beta_1"]),
            ("name=beta_", ["beta_1"]),
            ("name=50%25", ["50% off"]),
            ("name=ärg", ["ÄRGER"]),
            ("state=2", ["beta_1"]),
            ("state=1", []),
            ("state=-1&mode=COMMAND", ["50% off"]),
            ("sort=name", ["50% off", "Alpha", "beta21", "beta_1", "ÄRGER"]),
            ("sort=id&size=1", ["Alpha"]),
            ("sort=next_run_time&size=1", ["beta21"]),
        ],
    )
    @pytest.mark.usefixtures("five")
    def test_a_list_is_filtered_and_sorted(self, api: Api, query: str, names: list[str]) -> None:
        assert [job["name"] for job in api.get("/jobs/list", query).data] == names

    @pytest.mark.parametrize("query", ["page=abc", "state=9", "state=x", "sort=colour", "mode=ftp"])
    def test_a_wrong_filter_is_refused(self, api: Api, query: str) -> None:
        assert api.get("/jobs/list", query).msg.startswith(f"参数错误：{query.partition('=')[0]}")

    @pytest.mark.usefixtures("five")
    def test_sql_in_a_filter_is_text(self, api: Api) -> None:
        assert api.get("/jobs/list", {"name": "' OR 1=1 --"}).data == []

    def test_a_running_job_says_so(self, api: Api, five: list[int]) -> None:
        started(api, run(api, five[1]))

        found = api.get("/jobs/list", "state=1").data
        assert [(job["name"], job["state"], job["running"]) for job in found] == [("beta_1", 1, 1)]


class TestRunning:
    def test_a_start_by_hand_answers_at_once(self, api: Api) -> None:
        answer = api.call("POST", "/jobs/run", query=f"id={api.add('a', state=2)}")

        assert (answer.msg, answer.data["skipped"]) == ("任务已手动执行", False)
        stored = api.site.service.runs.get(answer.data["exec_id"])
        assert (stored.state, stored.source, stored.owner) == (RunState.QUEUED, Source.MANUAL, None)

    def test_a_policy_holds_a_start_back(self, api: Api) -> None:
        job = api.add("a", allow_mode=1)
        started(api, run(api, job))

        answer = api.post("/jobs/run", {"id": job})

        assert (answer.msg, answer.data["skipped"]) == ("任务已按策略跳过", True)
        assert answer.data["reason"]

    def test_stop_and_start(self, api: Api) -> None:
        job = api.add("a")

        assert api.post("/jobs/stop", {"id": job}).msg == "任务停止成功"
        assert api.post("/jobs/stop", {"id": job}).msg == "任务已停止"
        assert api.get("/jobs/read", {"id": job}).data["next_run_time"] is None
        assert api.post("/jobs/start", {"id": job}).msg == "任务重启成功"
        assert api.get("/jobs/read", {"id": job}).data["next_run_time"] is not None

    def test_all_waiting_jobs_are_started_once(self, api: Api) -> None:
        api.add("stopped", state=2)
        waiting = [api.add(name) for name in ("a", "b")]
        api.post("/jobs/stopAll")

        found = api.post("/jobs/runAll").data

        assert found["count"] == 2
        assert {api.site.service.runs.get(e).job_id for e in found["exec_ids"]} == set(waiting)
        assert api.get("/jobs/jobState").data["state"] is True

    def test_run_false_only_resumes(self, api: Api) -> None:
        api.add("a")
        api.post("/jobs/stopAll")

        assert api.post("/jobs/runAll", {"run": False}).data == {"count": 0, "exec_ids": []}
        assert api.get("/jobs/jobStatus").json["running"] is True

    def test_what_was_added_and_run_never_fires_by_itself(self, api: Api) -> None:
        found = api.post("/jobs/addAndRun", {**ECHO, "name": "a", "cron_expr": "* * * * * *"}).data

        job = api.get("/jobs/read", {"id": found["job_id"]}).data
        assert (job["state"], job["next_run_time"]) == (1, None)
        ended(api, found["exec_id"])
        assert api.get("/jobs/read", {"id": found["job_id"]}).data["state"] == 2

    def test_a_name_that_is_taken_runs_nothing(self, api: Api) -> None:
        api.add("a")

        assert api.post("/jobs/addAndRun", {**ECHO, "name": "a"}).msg == "任务名称已存在"
        assert api.site.service.runs.list(RunQuery()) == []

    @pytest.mark.parametrize(("task", "log"), [(True, False), (False, True), (True, True)])
    def test_what_is_to_go_goes_when_the_run_has_ended(self, api: Api, task: bool, log: bool) -> None:
        asked = {**ECHO, "name": "a", "remove_task": task, "remove_log": log}
        found = api.post("/jobs/addAndRun", asked).data

        assert api.site.service.runs.clean_up() == 0, "it waits for the end"
        ended(api, found["exec_id"])
        assert api.site.service.runs.clean_up() == 1
        assert api.site.service.runs.clean_up() == 0

        assert (api.get("/jobs/read", {"id": found["job_id"]}).json["code"] == 404) is task
        assert (api.get("/jobs/execs", {"id": found["job_id"], "exec_id": found["exec_id"]}).data is None) is log

    def test_checking_tells_what_was_wrong(self, api: Api) -> None:
        job = api.add("a")
        assert api.post("/jobs/checkJob").data == []
        store = open_store(api.site.settings)
        store._db.execute_sql("UPDATE jobs SET next_fire_at = next_fire_at + 1000")
        store.close()

        answer = api.post("/jobs/checkJob")

        assert (answer.msg, [repair["id"] for repair in answer.data]) == ("任务列表已校准", [job])


class TestLogs:
    def test_a_record_has_both_systems_keys(self, api: Api) -> None:
        job = api.add("a")
        exec_id = run(api, job)
        ended(api, exec_id, RunState.FAILED, exit_code=3, error="exit status 3", output="世界oops", stderr_at=2)

        log = api.get("/jobs/execs", {"id": job, "exec_id": exec_id}).data

        wanted = {
            "job_id": job, "job_name": "a", "exec_id": exec_id, "mode": "func", "command": ECHO["command"],
            "source": "manual", "status": 1, "status_code": 1, "status_text": "失败", "exit_code": 3,
            "output": "世界oops", "stdout": "世界", "stderr": "oops", "error_msg": "exit status 3", "duration_ms": 5,
        }  # fmt: skip
        assert {name: log[name] for name in wanted} == wanted
        assert {"id", "start_time", "end_time", "time"} <= set(log)
        assert api.get("/api/jobs/execs", {"id": job}).data == {**log, "status": "失败"}

    def test_what_has_not_ended_has_no_status(self, api: Api) -> None:
        job = api.add("a")
        exec_id = run(api, job)
        assert (log := api.get("/jobs/execs", {"id": job}).data)["status"] is None
        assert (log["status_text"], log["start_time"]) == ("等待执行", None)
        started(api, exec_id)
        assert api.get("/jobs/execs", {"id": job}).data["status_text"] == "执行中"

    def test_a_run_of_another_job_is_not_found(self, api: Api) -> None:
        exec_id = run(api, api.add("a"))

        answer = api.get("/jobs/execs", {"id": api.add("b"), "exec_id": exec_id})

        assert (answer.msg, answer.data) == ("未找到执行记录", None)

    @pytest.fixture
    def four(self, api: Api) -> tuple[int, list[str]]:
        job = api.add("a")
        names = [run(api, job) for _ in range(4)]
        for exec_id, state in zip(names, [RunState.SUCCESS, RunState.FAILED, RunState.TIMEOUT], strict=False):
            ended(api, exec_id, state)
        return job, names

    @pytest.mark.parametrize(
        ("asked", "wanted", "total"),
        [
            ({}, [3, 2, 1, 0], 4),
            ({"order": "asc"}, [0, 1, 2, 3], 4),
            ({"page": 2, "size": 3}, [0], 4),
            ({"limit": 2}, [2, 3], 4),
            ({"limit": "2", "order": "desc"}, [3, 2], 4),
            ({"limit": 2, "page": 1, "size": 3}, [3, 2, 1], 4),
            ({"status": 0}, [0], 1),
            ({"status": "1"}, [2, 1], 2),
            ({"status": "失败"}, [2, 1], 2),
            ({"status": "timeout"}, [2], 1),
            ({"status": "queued"}, [3], 1),
            ({"status": -1}, [3, 2, 1, 0], 4),
            ({"date": "2020-01-01"}, [], 0),
        ],
    )
    def test_logs_are_filtered_and_paged(
        self, api: Api, four: tuple[int, list[str]], asked: dict[str, Any], wanted: list[int], total: int
    ) -> None:
        job, names = four

        found = api.post("/jobs/logs", {"id": job, **asked}).json

        assert [log["exec_id"] for log in found["data"]] == [names[i] for i in wanted]
        assert (found["msg"], found["total"]) == ("查询成功", total)
        assert set(found) >= PAGE_KEYS

    def test_a_date_is_a_day_of_the_zone(self, api: Api, four: tuple[int, list[str]]) -> None:
        today = api.post("/jobs/logs", {"id": four[0]}).data[0]["time"][:10]

        assert len(api.post("/jobs/logs", {"id": four[0], "date": today}).data) == 4

    @pytest.mark.parametrize("asked", [{}, {"id": 99999}, {"job_id": ""}])
    @pytest.mark.usefixtures("four")
    def test_nothing_is_an_empty_list(self, api: Api, asked: dict[str, Any]) -> None:
        assert api.post("/jobs/logs", asked).data == []

    @pytest.mark.parametrize("field", ["date", "order", "status", "limit"])
    def test_a_wrong_filter_is_refused(self, api: Api, four: tuple[int, list[str]], field: str) -> None:
        assert api.post("/jobs/logs", {"id": four[0], field: "../x"}).msg.startswith(f"参数错误：{field}")

    def test_running_runs_are_never_cleared(self, api: Api, four: tuple[int, list[str]]) -> None:
        job, names = four
        other = api.add("b")
        ended(api, run(api, other))

        assert api.post("/jobs/logs/clear", {"type": "job", "id": job}).data == {"cleared": True, "count": 3}

        assert [log["exec_id"] for log in api.post("/jobs/logs", {"id": job}).data] == [names[3]]
        assert len(api.post("/jobs/logs", {"id": other}).data) == 1
        again = api.post("/jobs/logs/clear", {"type": "job", "id": job})
        assert (again.msg, again.data) == ("日志文件不存在，无需清空", {"exists": False})

    def test_one_day_can_be_cleared(self, api: Api, four: tuple[int, list[str]]) -> None:
        today = api.post("/jobs/logs", {"id": four[0]}).data[0]["time"][:10]

        assert api.post("/jobs/logs/clear", {"type": "job", "id": four[0], "date": "2020-01-01"}).data == {
            "exists": False
        }
        assert api.post("/jobs/logs/clear", {"type": "job", "id": four[0], "date": today}).data["count"] == 3

    @pytest.mark.parametrize(
        "asked", [{}, {"type": ["job"]}, {"type": "x"}, {"type": "job"}, {"type": "job", "id": 1, "date": "x"}]
    )
    def test_a_clear_must_say_what(self, api: Api, asked: dict[str, Any]) -> None:
        assert api.post("/jobs/logs/clear", asked).msg.startswith("参数错误：")

    def test_missed_fires_are_in_the_list(self, api: Api) -> None:
        job = api.add("a")
        store = open_store(api.site.settings)
        template = api.site.service.runs.get(run(api, job))
        missed = replace(template, exec_id="m" * 16, state=RunState.MISSED, source=Source.CRON, scheduled_ms=1)
        store.claim([Claimed(run=missed, counts=False)], [])
        store.close()

        log = api.post("/jobs/logs", {"id": job, "status": "missed"}).data[0]
        assert (log["status"], log["status_text"]) == (None, "错过")


class TestSystem:
    def test_counts(self, api: Api) -> None:
        started(api, run(api, api.add("a")))
        api.add("b", state=2)

        assert api.get("/jobs/jobStatus").json == {
            "running": True, "task_count": 1, "total": 2, "waiting": 1, "stopped": 1, "running_count": 1,
        }  # fmt: skip
        state = api.get("/jobs/jobState")
        assert (state.msg, state.data) == (
            "任务运行中", {"num": 1, "state": True, "total": 2, "running": 1, "stopped": 1}
        )  # fmt: skip

    def test_without_a_runner_nothing_is_scheduled(self, api: Api) -> None:
        api.alive = False

        assert api.get("/jobs/jobStatus").json["running"] is False
        assert api.get("/jobs/jobState").msg == "任务停止"
        found = api.get("/health/scheduler")
        assert (found.status, found.json["status"]) == (503, "error")

    def test_the_scheduler_lists_what_is_next_first(self, api: Api) -> None:
        api.add("later")
        api.add("stopped", state=2)
        api.add("manual", cron_expr=None, trigger_type="manual")
        api.add("sooner", cron_expr="* * * * * *")

        found = api.get("/jobs/scheduler", "size=100").json

        assert [task["name"] for task in found["data"]["tasks"]] == ["sooner", "later", "manual"]
        assert found["data"]["total_tasks"] == found["total"] == 3
        assert found["data"]["tasks"][0]["next_run"]

    def test_secrets_are_masked(self, tmp_path: Path) -> None:
        secret = "canary-5c1f"
        names = ("smtp_password", "sms_webhook", "api_token", "api_secret_key")
        with an_api(tmp_path, databases={"a": f"mysql://u:{secret}@h/d"}, **dict.fromkeys(names, secret)) as api:
            found = api.get("/jobs/config")

            assert secret not in found.body.decode()
            assert found.data["smtp_password"] == "***"
            assert found.data["databases"] == {"a": "***"}
            assert found.data["default_timeout_seconds"] == 300

    def test_settings_can_be_read_again(self, api: Api) -> None:
        found = api.post("/jobs/reload-config")

        assert (found.msg, found.data["changed"]) == ("配置重载成功", ["job_timeout"])
        assert api.get("/jobs/config").data["default_timeout_seconds"] == 7

    def test_wrong_settings_leave_the_old_ones(self, api: Api) -> None:
        def wrong() -> Any:
            from pyjobs import config

            return config.load(api.site.settings.home, {"PORT": "many"})[0]

        api.load_settings = wrong
        found = api.post("/jobs/reload-config")

        assert found.json["code"] == 404
        assert found.msg.startswith("重载配置失败：PORT")
        assert api.get("/jobs/config").data["default_timeout_seconds"] == 300

    def test_functions_are_sorted(self, api: Api) -> None:
        found = api.get("/jobs/functions").data

        assert [function["name"] for function in found] == ["Dayin", "Echo"]
        assert found[0]["parameters"] == "(a: str) -> str"

    def test_a_reload_says_what_became_of_each(self, api: Api) -> None:
        assert api.post("/jobs/functions/reload").data == {
            "added": ["x"], "changed": [], "removed": [], "refused": {"bad.py": "syntax"}, "daemon": True,
        }  # fmt: skip

    def test_recurring_duties_are_jobs(self, api: Api) -> None:
        cleaner = api.post("/jobs/createLogCleaner", {"keep_days": "7", "cron_expr": "0 3 * * *"}).data
        backup = api.post("/jobs/createBackupTask", {}).data

        assert (cleaner["mode"], cleaner["command"]) == ("func", "【name】Cleanup\n【arg】logs,7,*.log.*")
        assert backup["command"] == "【name】Backup\n【arg】30"
        assert api.post("/jobs/createBackupTask", {"keep_days": -1}).msg.startswith("参数错误：keep_days")
        assert api.post("/jobs/createBackupTask", {"cron": "x", "name": "y"}).msg.startswith("参数错误：cron_expr")

    def test_health_has_gos_keys(self, api: Api) -> None:
        found = api.get("/jobs/health").data

        assert found["server_port"] == "8000"
        assert all(found["memory"][name] > 0 for name in ("alloc", "total_alloc", "sys", "num_gc"))

    def test_the_store_is_described_without_its_password(self, api: Api) -> None:
        found = api.get("/jobs/database").data

        assert (found["type"], found["status"], found["counts"]["jobs"]) == ("sqlite", "open", 0)
        assert found["size"] > 0
        assert api.get("/jobs/dbinfo").data.keys() == found.keys()

    def test_a_host_is_described(self, api: Api) -> None:
        found = api.get("/jobs/system-status").data

        assert 0 < found["memory_percent"] < 100
        assert len(found["load_average"]) == 3

    def test_a_broken_store_is_not_well(self, tmp_path: Path) -> None:
        with an_api(tmp_path) as api:
            assert api.get("/health/db").json["status"] == "ok"
            store = open_store(api.site.settings)
            store._db.execute_sql("DROP TABLE jobs")
            store.close()

            found = api.get("/health/db")
            assert (found.status, found.json["status"]) == (503, "error")
            listed = api.get("/jobs/list")
            assert (listed.status, listed.json["code"], listed.json["data"]) == (500, 500, None)
            assert api.get("/health").json["status"] == "ok"


class TestSystemLog:
    LINES = (
        {"level": "info", "time": "2030-01-01T07:00:00.000+08:00", "caller": "a:1", "msg": "开始"},
        {"level": "error", "time": "2030-01-01T23:59:59.000+08:00", "caller": "b:2", "msg": "出错", "stacktrace": "…"},
        {"level": "info", "time": "2030-01-02T00:00:01.000+08:00", "caller": "a:1", "msg": "明天"},
    )

    @pytest.fixture
    def logged(self, api: Api) -> Path:
        folder = api.site.settings.home / "logs"
        folder.mkdir()
        written = [json.dumps(line, ensure_ascii=False) for line in self.LINES]
        (folder / "pyjobs.log.2030-01-01").write_text("\n".join([*written[:2], "no JSON", "[]", ""]), encoding="utf-8")
        (folder / "pyjobs.log").write_text(written[2] + "\n", encoding="utf-8")
        other = {**self.LINES[0], "time": "2030-01-01T08:00:00.000+08:00", "msg": "接口"}
        (folder / "pyjobs-api.log").write_text(json.dumps(other) + "\n", encoding="utf-8")
        return folder

    @pytest.mark.parametrize(
        ("query", "messages"),
        [
            ("", ["出错", "接口", "开始"]),
            ("&level=ERROR", ["出错"]),
            ("&keyword=开", ["开始"]),
            ("&size=1&page=2", ["接口"]),
            ("&level=&keyword=", ["出错", "接口", "开始"]),
        ],
    )
    @pytest.mark.usefixtures("logged")
    def test_lines_of_a_day_newest_first(self, api: Api, query: str, messages: list[str]) -> None:
        found = api.get("/jobs/zapLogs", f"date=2030-01-01{query}").json

        assert [line["msg"] for line in found["data"]] == messages
        assert found["msg"] == "系统日志查询成功"
        assert set(found) >= PAGE_KEYS

    def test_without_a_log_there_is_nothing(self, api: Api) -> None:
        assert api.get("/jobs/zapLogs").data == []
        assert api.post("/jobs/logs/clear", {"type": "zap"}).data == {"exists": False}

    @pytest.mark.parametrize("date", ["2020", "2020-13-01", "../../etc/passwd", "2020-01-01/.."])
    def test_a_day_is_a_day(self, api: Api, logged: Path, date: str) -> None:
        assert api.get("/jobs/zapLogs", {"date": date}).msg == "日期格式错误，应为 YYYY-MM-DD"
        assert api.post("/jobs/logs/clear", {"type": "zap", "date": date}).json["code"] == 404
        assert len(list(logged.iterdir())) == 3

    def test_an_old_day_is_deleted(self, api: Api, logged: Path) -> None:
        assert api.post("/jobs/logs/clear", {"type": "zap", "date": "2030-01-01"}).data["cleared"] is True
        assert not (logged / "pyjobs.log.2030-01-01").exists()
        assert (logged / "pyjobs.log").stat().st_size > 0

    def test_what_is_written_now_is_emptied(self, api: Api, logged: Path) -> None:
        assert api.post("/jobs/logs/clear", {"type": "zap"}).data["cleared"] is True
        assert [path.stat().st_size for path in sorted(logged.glob("*.log"))] == [0, 0]


def test_what_a_restarted_runner_finds_is_cleaned_up(tmp_path: Path) -> None:
    """The wish to remove is in the store: another process carries it out."""
    with an_api(tmp_path) as first:
        found = first.post("/jobs/addAndRun", {**ECHO, "name": "a", "remove_task": True}).data
        ended(first, found["exec_id"], RunState.LOST)
    with an_api(tmp_path) as second:
        assert second.site.service.runs.clean_up() == 1
        assert second.site.service.jobs.list(JobQuery()) == []
        assert all(r.state not in ACTIVE for r in second.site.service.runs.list(RunQuery()))
