"""Routes about jobs: add, edit, find, run, stop, start."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pyjobs.api import shapes
from pyjobs.api.fields import AddAndRun, AddJob, EditJob, fields_of
from pyjobs.api.params import Flag, Id, Int, Page, Params, Text
from pyjobs.api.routes import Answer, Call, Json, PageInfo, Route
from pyjobs.api.times import local
from pyjobs.api.views import job_view
from pyjobs.commandtext import canonical_mode
from pyjobs.errors import Invalid
from pyjobs.jobs import Job, RunState
from pyjobs.ports import JobOrder, JobQuery
from pyjobs.ports import Page as StorePage

__all__ = ["ROUTES"]

_TAG = "任务"
_SORTS: dict[str, JobOrder] = {
    "id": "oldest",
    "-id": "newest",
    "name": "name",
    "next_run_time": "next",
    "-last_run_time": "last",
}


class _OfJob(Params):
    id: Id


class _Remove(Params):
    id: Id
    kill: Annotated[Flag, Field(description="同时终止正在进行的执行")] = False


class _Start(Params):
    id: Id
    reset_count: Annotated[Flag, Field(description="将执行次数清零（别名 reset_run_count）")] = False


class _RunAll(Params):
    run: Annotated[Flag, Field(description="false：仅恢复调度器，不执行任务")] = True


class _List(Page):
    name: Annotated[Text | None, Field(description="名称的一部分，不区分大小写")] = None
    state: Annotated[Int, Field(description="0 等待，1 执行中，2 停止，-1 全部")] = -1
    mode: Annotated[Text | None, Field(description="执行模式")] = None
    sort: Annotated[Text | None, Field(description=f"排序：{'、'.join(_SORTS)}")] = None


def _view(call: Call, job: Job) -> dict[str, Any]:
    return job_view(job, call.service.jobs.active([job.id]).get(job.id), call.zone)


def _by(call: Call) -> str:
    return f"API ({call.peer})"


def _add(call: Call) -> Answer:
    added = call.service.jobs.add(fields_of(call.params, call.zone), by=_by(call))
    return Answer(msg="任务添加成功", data=job_view(added.job, None, call.zone))


def _edit(call: Call) -> Answer:
    added = call.service.jobs.edit(call.params.id, fields_of(call.params, call.zone), by=_by(call))
    owner = added.job.owned_by
    warning = f"（该任务来自文件 {owner}，下次 apply 将撤销此更改）" if owner else ""
    return Answer(msg=f"任务更新成功{warning}", data=_view(call, added.job))


def _remove(call: Call) -> Answer:
    call.service.jobs.remove(call.params.id, kill=call.params.kill, by=_by(call))
    return Answer(msg="任务删除成功")


def _list(call: Call) -> Answer:
    asked: _List = call.params
    if asked.state not in (-1, 0, 1, 2):
        raise Invalid("state", f"`{asked.state}` is not one of -1, 0, 1, 2", f"`{asked.state}` 无效，可用：-1、0、1、2")
    sort = asked.sort or "-id"
    if sort not in _SORTS:
        raise Invalid(
            "sort", f"`{sort}` is not one of {', '.join(_SORTS)}", f"`{sort}` 无效，可用：{'、'.join(_SORTS)}"
        )
    query = JobQuery(
        name_part=asked.name,
        state=None if asked.state == -1 else asked.state,
        mode=canonical_mode(asked.mode) if asked.mode else None,
        order=_SORTS[sort],
    )
    jobs = call.service.jobs
    total, rows = jobs.rows(query, StorePage(number=asked.number, size=asked.rows))
    data = Json(call.site.written.array(rows, jobs.in_row, call.zone))
    return Answer(msg="查询任务列表成功", data=data, page=PageInfo(asked.number, asked.rows, total))


def _read(call: Call) -> Answer:
    return Answer(msg="任务信息", data=_view(call, call.service.jobs.get(call.params.id)))


def _run(call: Call) -> Answer:
    run = call.service.runs.start(call.params.id)
    if run.state is RunState.SKIPPED:
        return Answer(msg="任务已按策略跳过", data={"exec_id": run.exec_id, "skipped": True, "reason": run.error})
    return Answer(msg="任务已手动执行", data={"exec_id": run.exec_id, "skipped": False})


def _stop(call: Call) -> Answer:
    changed = call.service.jobs.stop(call.params.id, by=_by(call))
    return Answer(
        msg="任务停止成功" if changed else "任务已停止", data=_view(call, call.service.jobs.get(call.params.id))
    )


def _start(call: Call) -> Answer:
    job = call.service.jobs.start(call.params.id, reset_count=call.params.reset_count, by=_by(call))
    return Answer(msg="任务重启成功", data=_view(call, job))


def _run_all(call: Call) -> Answer:
    system, runs = call.service.system, call.service.runs
    system.resume(_by(call))
    started = (
        [run.exec_id for run in system.run_all(runs) if run.state is not RunState.SKIPPED] if call.params.run else []
    )
    return Answer(msg="任务调度器启动成功", data={"count": len(started), "exec_ids": started})


def _stop_all(call: Call) -> Answer:
    call.service.system.pause(_by(call))
    return Answer(msg="任务调度器停止成功")


def _check(call: Call) -> Answer:
    zone = call.zone
    repairs = [
        {"id": r.job_id, "name": r.name, "was": local(r.was_ms, zone), "now": local(r.now_ms, zone)}
        for r in call.service.system.check()
    ]
    return Answer(msg="任务列表已校准", data=repairs, page=PageInfo(1, max(1, len(repairs)), len(repairs)))


def _add_and_run(call: Call) -> Answer:
    asked: AddAndRun = call.params
    run = call.service.runs.add_and_start(
        fields_of(asked, call.zone), remove_job=asked.remove_task, remove_log=asked.remove_log
    )
    return Answer(msg="任务已启动（异步执行）", data={"job_id": run.job_id, "exec_id": run.exec_id})


ROUTES: tuple[Route, ...] = (
    Route(method="POST", path="/jobs/add", aliases=("/jobs/create",), summary="添加任务", tag=_TAG, scope="edit",
          handler=_add, params=AddJob, answer=shapes.JobShape, together=True),
    Route(method="POST", path="/jobs/edit", aliases=("/jobs/update",), summary="修改任务", tag=_TAG, scope="edit",
          handler=_edit, params=EditJob, answer=shapes.JobShape, together=True),
    Route(method="POST", path="/jobs/del", aliases=("/jobs/delete",), summary="删除任务", tag=_TAG, scope="edit",
          handler=_remove, params=_Remove),
    Route(method="GET", path="/jobs/list", summary="查询任务列表", tag=_TAG, scope="read",
          handler=_list, params=_List, answer=list[shapes.JobShape], paged=True, steady=True),
    Route(method="GET", path="/jobs/read", summary="查询任务", tag=_TAG, scope="read",
          handler=_read, params=_OfJob, answer=shapes.JobShape, steady=True),
    Route(method="POST", path="/jobs/run", summary="立即执行任务", tag=_TAG, scope="run",
          handler=_run, params=_OfJob, answer=shapes.Ran, together=True),
    Route(method="POST", path="/jobs/stop", summary="停止任务", tag=_TAG, scope="edit",
          handler=_stop, params=_OfJob, answer=shapes.JobShape, together=True),
    Route(method="POST", path="/jobs/restart", aliases=("/jobs/start",), summary="重启任务", tag=_TAG, scope="edit",
          handler=_start, params=_Start, answer=shapes.JobShape, together=True),
    Route(method="POST", path="/jobs/runAll", summary="恢复调度器并执行全部任务", tag=_TAG, scope="run",
          handler=_run_all, params=_RunAll, answer=shapes.RanAll),
    Route(method="POST", path="/jobs/stopAll", summary="暂停调度器（任务状态不变）", tag=_TAG, scope="edit",
          handler=_stop_all),
    Route(method="POST", path="/jobs/checkJob", summary="校准任务列表", tag=_TAG, scope="edit",
          handler=_check, answer=list[shapes.Repaired], paged=True),
    Route(method="POST", path="/jobs/addAndRun", summary="添加任务并执行一次", tag=_TAG, scope="edit",
          handler=_add_and_run, params=AddAndRun, answer=shapes.Added, together=True),
)  # fmt: skip
