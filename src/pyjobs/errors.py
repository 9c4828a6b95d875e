"""
One error hierarchy. Every error says what, where and what to do, in English and in Chinese.

Mapped once to exit codes (the command line) and once to HTTP (the API); nothing else translates errors.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "BackupUnusable",
    "BadCommandText",
    "BadDocument",
    "BadSetting",
    "BadTrigger",
    "Conflict",
    "DaemonNotRunning",
    "Exit",
    "Invalid",
    "NameTaken",
    "NotAllowed",
    "NotFound",
    "PyjobsError",
    "RunFailed",
    "StoreBusy",
    "StoreUnusable",
    "TimedOut",
]


class Exit(IntEnum):
    """Exit codes of the command line (design: cli.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    CONFLICT = 6
    TIMED_OUT = 7
    FOUND = 8
    INTERRUPTED = 130


class PyjobsError(Exception):
    """
    Root of everything that a user can cause or meet.

    Attributes:
        code: stable name for scripts.
        exit_code: of the command line.
        http_status: of the API's answer; 200 for business errors, as its clients expect.
        body_code: `code` in the API's envelope.
        hint: what to do next; may be empty.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[Exit] = Exit.FAILED
    http_status: ClassVar[int] = 200
    body_code: ClassVar[int] = 404

    def __init__(self, en: str, zh: str = "", *, hint: str = "", hint_zh: str = "") -> None:
        """Take the message in both languages; an empty Chinese one means the English one serves."""
        super().__init__(en)
        self._texts = {"en": en, "zh": zh or en}
        self._hints = {"en": hint, "zh": hint_zh or hint}

    def text(self, lang: str = "en") -> str:
        """The message in `lang` (`en` or `zh`)."""
        return self._texts.get(lang, self._texts["en"])

    def hint(self, lang: str = "en") -> str:
        """What to do next, in `lang`; empty when there is nothing to say."""
        return self._hints.get(lang, self._hints["en"])


class Invalid(PyjobsError):
    """A value that was given is not acceptable; `field` names it."""

    code = "invalid"
    exit_code = Exit.USAGE

    def __init__(self, field: str, en: str, zh: str = "", *, hint: str = "", hint_zh: str = "") -> None:
        """Name the field first, so that every message says where."""
        super().__init__(f"{field}: {en}", f"{field}：{zh or en}", hint=hint, hint_zh=hint_zh)
        self.field = field

    def rename(self, field: str) -> None:
        """Call the field what the caller knows it by, such as a flag."""
        self._texts = {lang: field + text[len(self.field) :] for lang, text in self._texts.items()}
        self.args = (self._texts["en"],)
        self.field = field


class BadTrigger(Invalid):
    """A cron expression, interval or instant that cannot be used."""

    code = "bad_trigger"


class BadCommandText(Invalid):
    """The 【…】 text of a job cannot be used."""

    code = "bad_command_text"


class BadSetting(Invalid):
    """A setting in the environment or a file is wrong."""

    code = "bad_setting"


class BadDocument(PyjobsError):
    """A file of jobs cannot be used as it is; the text says where, one line a problem."""

    code = "bad_document"
    exit_code = Exit.USAGE


class NotFound(PyjobsError):
    """No such job, run or function."""

    code = "not_found"
    exit_code = Exit.NOT_FOUND


class NameTaken(PyjobsError):
    """Another job has this name."""

    code = "name_taken"
    exit_code = Exit.CONFLICT

    def __init__(self, name: str) -> None:
        """Build the text from the name."""
        super().__init__(
            f"a job named `{name}` exists already",
            f"任务名称已存在：`{name}`",
            hint="choose another name, or change that job with `pyjobs job edit`",
            hint_zh="请换一个名称，或用 `pyjobs job edit` 修改原任务",
        )


class Conflict(PyjobsError):
    """Held by somebody else, already running, or changed meanwhile."""

    code = "conflict"
    exit_code = Exit.CONFLICT


class NotAllowed(PyjobsError):
    """The operating system or a policy forbids it."""

    code = "not_allowed"
    exit_code = Exit.NOT_ALLOWED


class StoreUnusable(PyjobsError):
    """The store cannot be opened, is no database, or is newer than this program."""

    code = "store_unusable"
    exit_code = Exit.UNREACHABLE
    http_status = 500
    body_code = 500


class StoreBusy(PyjobsError):
    """The store is locked by somebody else, or full, for now; the same call may succeed later."""

    code = "store_busy"
    exit_code = Exit.UNREACHABLE
    http_status = 500
    body_code = 500


class BackupUnusable(PyjobsError):
    """A file is no backup, or a damaged one."""

    code = "backup_unusable"


class DaemonNotRunning(PyjobsError):
    """The daemon that this needs does not run."""

    code = "daemon_not_running"
    exit_code = Exit.NOT_FOUND

    def __init__(self) -> None:
        """Say how to start it."""
        super().__init__(
            "the daemon is not running",
            "守护进程未运行",
            hint="start it with `pyjobs daemon start`",
            hint_zh="用 `pyjobs daemon start` 启动",
        )


class RunFailed(PyjobsError):
    """Something that was asked for was tried and failed."""

    code = "failed"


class TimedOut(PyjobsError):
    """Waiting took longer than it was allowed to."""

    code = "timed_out"
    exit_code = Exit.TIMED_OUT
