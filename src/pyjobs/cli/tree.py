"""
All commands by name: where each is, and what it is for in one line.

A table, so that the help of a group needs no command's module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["ROOT", "Branch", "Entry", "Node"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: `module:function` below this package, and its line in both languages."""

    target: str
    en: str
    zh: str
    hidden: bool = False

    def help(self, lang: str) -> str:
        """What it is for."""
        return self.zh if lang == "zh" else self.en

    def load(self) -> Callable[..., Any]:
        """Import its function."""
        module, _, name = self.target.partition(":")
        function: Callable[..., Any] = getattr(import_module(f"pyjobs.cli.{module}"), name)
        return function


@dataclass(frozen=True, slots=True)
class Branch:
    """A group."""

    en: str
    zh: str
    entries: Mapping[str, Entry | Branch]
    #: The command that is meant where none is named.
    default: str = ""

    def help(self, lang: str) -> str:
        """What it is for."""
        return self.zh if lang == "zh" else self.en


Node = Entry | Branch

_JOB = Branch("Define jobs and act on them", "定义和操作任务", {
    "add": Entry("edit:add", "Add a job", "添加任务"),
    "list": Entry("job:list_", "List jobs", "列出任务"),
    "show": Entry("job:show", "Show everything about a job", "显示任务详情"),
    "edit": Entry("edit:edit", "Change what is said of a job", "修改任务"),
    "remove": Entry("job:remove", "Remove jobs; their runs stay", "删除任务（保留执行记录）"),
    "run": Entry("running:run", "Run a job now and show its output", "立即执行任务并显示输出"),
    "stop": Entry("job:stop", "Fire jobs no more until they are started", "停止任务"),
    "start": Entry("job:start", "Fire stopped jobs again, from now on", "启动已停止的任务"),
    "restart": Entry("job:restart", "Stop and start jobs", "重启任务"),
    "kill": Entry("job:kill", "End the runs of jobs that are active now", "终止任务正在进行的执行"),
    "next": Entry("job:next_", "Show when a job fires next", "显示任务接下来的执行时间"),
    "logs": Entry("logs:logs", "Show the output of a job's runs", "显示任务的执行输出"),
    "copy": Entry("edit:copy", "Make a second job like another one", "复制任务"),
    "stop-all": Entry("job:stop_all", "Pause the scheduler; jobs keep their states", "暂停调度器（任务状态不变）"),
    "resume": Entry("job:resume", "Let a paused scheduler fire again", "恢复已暂停的调度器"),
    "run-all": Entry("job:run_all", "Resume the scheduler and run every job once", "恢复调度器并将所有任务执行一次"),
    "check": Entry("job:check", "Compare next fires with triggers and mend them", "检查并修正下次执行时间"),
})  # fmt: skip
_RUNS = Branch("Look at runs and act on them", "查看和操作执行记录", {
    "list": Entry("runs:list_", "List runs, newest first", "列出执行记录（最新在前）"),
    "show": Entry("runs:show", "Show everything about a run", "显示执行详情"),
    "follow": Entry("runs:follow", "Show a run's output as it comes", "实时显示执行输出"),
    "wait": Entry("runs:wait", "Wait until runs have ended", "等待执行结束"),
    "kill": Entry("runs:kill", "End runs that are active now", "终止正在进行的执行"),
    "clear": Entry("runs:clear", "Delete records of runs", "清除执行记录"),
})  # fmt: skip
_FUNCS = Branch("Look at the functions that jobs may call", "查看任务可调用的函数", {
    "list": Entry("funcs:list_", "List functions", "列出函数"),
    "show": Entry("funcs:show", "Show a function's arguments and origin", "显示函数的参数与来源"),
    "reload": Entry("funcs:reload", "Load the files of functions again", "重新加载函数文件"),
    "call": Entry("funcs:call", "Call a function once, without a job", "直接调用一次函数"),
})  # fmt: skip
_CRON = Branch("Understand cron expressions", "解读 cron 表达式", {
    "explain": Entry("cron:explain", "Say in words what an expression means", "用文字解释表达式"),
    "next": Entry("cron:next_", "Show when an expression is due next", "显示表达式接下来的时间"),
})  # fmt: skip
_DAEMON = Branch("Run the daemon that fires jobs", "运行触发任务的守护进程", {
    "run": Entry("daemon:run", "Run in the foreground", "前台运行"),
    "start": Entry("daemon:start", "Start in the background; returns when it is ready", "后台启动，就绪后返回"),
    "stop": Entry("daemon:stop", "Stop; returns when it is gone", "停止，完全退出后返回"),
    "restart": Entry("daemon:restart", "Stop, then start in the background", "重启"),
    "status": Entry("daemon:status", "Show whether it runs", "显示运行状态"),
    "reload": Entry("daemon:reload", "Read settings and load functions again", "重新读取配置并加载函数"),
    "logs": Entry("daemon:logs", "Show the system log", "显示系统日志"),
    "install": Entry("install:install", "Write a systemd unit that runs it", "写入用于运行它的 systemd 单元"),
})  # fmt: skip
_ALERT = Branch("See what is wrong and who was told", "查看告警及其通知情况", {
    "list": Entry("alert:list_", "List what is wrong now", "列出当前告警"),
    "ack": Entry("alert:ack", "Say that you look after it", "确认告警，不再提醒"),
    "test": Entry("alert:send_test", "Send a test message", "发送测试消息"),
    "check": Entry("alert:check", "Check alerting.yml", "检查 alerting.yml"),
})  # fmt: skip
_CONFIG = Branch("Look at the settings", "查看配置", {
    "show": Entry("config:show", "Show all settings", "显示所有配置"),
    "path": Entry("config:path", "Show where everything is", "显示各文件的位置"),
    "check": Entry("config:check", "Check the settings", "检查配置"),
    "reload": Entry("config:reload", "Have the daemon read the settings again", "让守护进程重新读取配置"),
})  # fmt: skip
_IP = Branch("Say which addresses the API answers", "管理 API 允许访问的地址", {
    "status": Entry("ip:status", "Show both lists", "显示白名单与黑名单"),
    "allow": Branch("Change the whitelist", "修改白名单", {
        "add": Entry("ip:allow_add", "Let an address or network in", "添加 IP 或网段到白名单"),
        "remove": Entry("ip:allow_remove", "Take one from the whitelist", "从白名单移除"),
    }),
    "deny": Branch("Change the blacklist, which wins", "修改黑名单（优先）", {
        "add": Entry("ip:deny_add", "Keep an address or network out", "添加 IP 或网段到黑名单"),
        "remove": Entry("ip:deny_remove", "Take one from the blacklist", "从黑名单移除"),
    }),
})  # fmt: skip
_API = Branch("Serve the REST API and say who may use it", "提供 REST API 并管理其访问权限", {
    "serve": Entry("api:serve", "Serve it in the foreground, without a daemon", "前台运行 API（不含调度）"),
    "openapi": Entry("api:openapi", "Print its OpenAPI document", "输出 OpenAPI 文档"),
    "token": Branch("Give and take tokens", "管理访问令牌", {
        "add": Entry("permits:token_add", "Make a token and print it", "创建令牌并输出"),
        "list": Entry("permits:token_list", "List tokens", "列出令牌"),
        "revoke": Entry("permits:token_revoke", "Make tokens worthless at once", "立即吊销令牌"),
    }),
    "admin": Branch("Say who may log in at /admin", "管理可登录 /admin 的管理员", {
        "add": Entry("permits:admin_add", "Add an admin", "添加管理员"),
    }),
})  # fmt: skip
_EXPORT = Branch("Write jobs as a document, a crontab or units", "将任务导出为文档、crontab 或 systemd 单元", {
    "jobs": Entry("transfer:export", "Write all jobs as a document (meant by default)", "将全部任务导出为文档（默认）"),
    "crontab": Entry("exports:export_crontab", "Write jobs as lines of a crontab", "将任务导出为 crontab"),
    "systemd": Entry("exports:export_systemd", "Write jobs as timers of systemd", "将任务导出为 systemd 定时器"),
}, default="jobs")  # fmt: skip
_IMPORT = Branch("Add the jobs of a document or a crontab", "从文档或 crontab 导入任务", {
    "jobs": Entry("transfer:import_", "Add the jobs of a document (meant by default)", "导入文档中的任务（默认）"),
    "crontab": Entry("crontabs:import_crontab", "Add the jobs of a crontab", "导入 crontab 中的任务"),
}, default="jobs")  # fmt: skip
_DB = Branch("Look after the store", "维护数据库", {
    "status": Entry("db:status", "Show what the store is, and how much is in it", "显示数据库的类型、位置与规模"),
    "upgrade": Entry("db:upgrade", "Bring its schema up to date", "升级数据库结构"),
    "backup": Entry("backup:backup", "Back the store up, while it is in use", "备份数据库（可在使用中进行）"),
    "verify": Entry("backup:verify", "Check a backup by restoring it to a scratch place", "在临时目录中恢复以校验备份"),
    "restore": Entry("backup:restore", "Put a backup in the place of the store", "用备份替换当前数据库"),
    "export": _EXPORT.entries["jobs"],
    "import": _IMPORT.entries["jobs"],
})  # fmt: skip
ROOT = Branch("A job scheduler that one person can run", "一个人也能运行的任务调度器", {
    "list": _JOB.entries["list"],
    "run": _JOB.entries["run"],
    "logs": _JOB.entries["logs"],
    "status": Entry("status:status", "Show how everything is doing", "显示总体状态"),
    "why": Entry("why:why", "Say why a job fired or did not", "说明任务为何触发或未触发"),
    "stats": Entry("stats:stats", "Sum up what ran, by day and by job", "按天和按任务汇总执行情况"),
    "doctor": Entry("doctor:doctor", "Look for what is wrong, and mend it", "查找问题并修复"),
    "job": _JOB,
    "runs": _RUNS,
    "funcs": _FUNCS,
    "cron": _CRON,
    "daemon": _DAEMON,
    "api": _API,
    "ip": _IP,
    "alert": _ALERT,
    "config": _CONFIG,
    "db": _DB,
    "apply": Entry("applying:apply", "Make the jobs what a file says", "按文件设定任务"),
    "diff": Entry("applying:diff", "Show what `apply` would change", "显示 `apply` 将作的更改"),
    "export": _EXPORT,
    "import": _IMPORT,
    "completion": Entry("completions:completion", "Print a completion script for a shell", "输出命令补全脚本"),
    "start": Entry("compat:start", "Start the daemon", "启动服务", hidden=True),
    "stop": Entry("compat:stop", "Stop the daemon", "停止服务", hidden=True),
    "restart": Entry("compat:restart", "Restart the daemon", "重启服务", hidden=True),
    "reload-funcs": Entry("compat:reload_funcs", "Load functions again", "重新加载函数", hidden=True),
})  # fmt: skip
