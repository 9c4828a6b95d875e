"""What answers look like: for the document and the tests. Handlers build plain dictionaries of the same shape."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Added", "Cleared", "Config", "Database", "ExecLog", "FunctionShape", "GoHealth", "HealthShape", "JobShape",
    "JobState", "JobStatus", "LogLine", "Memory", "Queried", "Ran", "RanAll", "Reloaded", "ReloadedConfig", "Repaired",
    "Scheduler", "Shape", "SwitchState", "SystemStatus", "Task",
]  # fmt: skip


class Shape(BaseModel):
    """An object of an answer; more keys may come."""

    model_config = ConfigDict(extra="allow")


class JobShape(Shape):
    """任务。"""

    id: int = Field(examples=[1])
    name: str = Field(examples=["数据备份任务"])
    desc: str = Field(examples=["每日凌晨备份数据库"])
    cron_expr: str = Field(examples=["0 2 * * *"])
    mode: str = Field(examples=["http"])
    command: str = Field(examples=["https://example.com/health"])
    state: Literal[0, 1, 2] = Field(description="0 等待，1 执行中，2 停止")
    allow_mode: Literal[0, 1, 2, 3] = Field(description="0 并行，1 串行，2 立即，3 替换")
    max_run_count: int = Field(description="最大执行次数，0 为不限制")
    run_count: int
    created_at: str = Field(examples=["2026-01-01T08:00:00+08:00"])
    updated_at: str = Field(examples=["2026-01-01T08:00:00+08:00"])
    last_run_time: str | None = Field(examples=["2026-01-01 08:00:00"])
    next_run_time: str | None = Field(examples=["2026-01-02 02:00:00"])
    trigger_type: Literal["cron", "interval", "once", "manual"]
    interval_seconds: int
    run_at: str | None
    timezone: str = Field(examples=["Asia/Shanghai"])
    timeout: int | None
    overlap: Literal["parallel", "serial", "immediate", "replace"]
    misfire: Literal["once", "skip", "all"]
    retry_backoff: Literal["fixed", "exponential"]
    retry_on: str
    on_lost: Literal["record", "retry"]
    retries: int = Field(description="失败后重试的次数（命令文本中 times 减一）")
    alerts: str = Field(description="告警条件", examples=["failures=3,recovery"])
    stop_reason: str
    last_status: str | None
    last_duration_ms: int | None
    running: int = Field(description="正在执行的数量")


class ExecLog(Shape):
    """执行记录。"""

    id: int
    job_id: int | None
    start_time: str | None = Field(examples=["2026-01-01 08:00:00"])
    end_time: str | None
    status: int | str | None = Field(
        description="0 成功，1 失败，null 未结束或未执行；在 /api 前缀下为文字", examples=[0]
    )
    output: str
    time: str | None
    job_name: str
    duration_ms: int
    mode: str
    exec_id: str
    source: Literal["cron", "manual", "catchup", "retry"]
    command: str
    exit_code: int | None
    stdout: str
    stderr: str
    error_msg: str
    status_code: Literal[0, 1] | None
    status_text: str = Field(examples=["成功"])


class Added(Shape):
    """新任务的执行。"""

    job_id: int
    exec_id: str


class Ran(Shape):
    """手动执行。"""

    exec_id: str
    skipped: bool
    reason: str | None = None


class RanAll(Shape):
    """全部执行。"""

    count: int
    exec_ids: list[str]


class Repaired(Shape):
    """被修正的任务。"""

    id: int
    name: str
    was: str | None
    now: str | None


class Cleared(Shape):
    """清空结果。"""

    cleared: bool | None = None
    exists: bool | None = None
    count: int | None = None


class LogLine(Shape):
    """系统日志的一行。"""

    level: str
    time: str
    caller: str
    msg: str


class SwitchState(Shape):
    """日志开关。"""

    zapLogSwitch: bool  # noqa: N815 - the clients' name


class JobState(Shape):
    """调度器与任务的数量。"""

    num: int
    state: bool
    total: int
    running: int
    stopped: int


class JobStatus(Shape):
    """调度器状态（无外层结构）。"""

    running: bool
    task_count: int
    total: int
    waiting: int
    stopped: int
    running_count: int


class Task(Shape):
    """计划中的任务。"""

    id: int
    name: str
    next_run: str | None
    prev_run: str | None


class Scheduler(Shape):
    """调度器任务列表。"""

    scheduler_running: bool
    tasks: list[Task]
    total_tasks: int


class FunctionShape(Shape):
    """可调用的函数。"""

    name: str
    description: str
    parameters: str = Field(examples=["(a: int, b: int = 2) -> str"])


class Reloaded(Shape):
    """函数重载结果。"""

    added: list[str]
    changed: list[str]
    removed: list[str]
    refused: dict[str, str]


class Config(Shape):
    """配置（密码等已隐藏）。"""

    default_allow_mode: int
    manual_allow_concurrent: bool
    default_timeout_seconds: int
    http_response_max_bytes: int
    log_summary_enabled: bool
    log_line_truncate: int


class ReloadedConfig(Shape):
    """配置重载结果。"""

    changed: list[str]
    restart_needed: list[str]
    daemon: bool = Field(description="是否已通知守护进程的其他进程")


class Memory(Shape):
    """内存（字节）。"""

    alloc: int
    total_alloc: int
    sys: int
    num_gc: int


class GoHealth(Shape):
    """系统健康状况。"""

    app_name: str
    app_version: str
    server_port: str
    timestamp: int
    uptime: int
    goroutines: int
    memory: Memory


class HealthShape(Shape):
    """健康检查。"""

    status: Literal["ok", "error"]


class Database(Shape):
    """数据库信息。"""

    type: str
    db_type: str
    host: str
    database: str
    db_url: str
    table_prefix: str
    status: str
    size: int
    counts: dict[str, int]


class SystemStatus(Shape):
    """主机与进程的资源。"""

    cpu_percent: float
    memory_percent: float
    disk_percent: float
    load_average: list[float]
    process: dict[str, Any]


class Queried(Shape):
    """根路径。"""

    code: int
    msg: str
