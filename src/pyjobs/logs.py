"""The system log: one JSON object a line, rotated by day. Job output is not in it."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
from datetime import datetime

from pyjobs.config import Settings
from pyjobs.errors import NotAllowed
from pyjobs.folders import make_private

__all__ = ["set_up"]

_KEEP_DAYS = 30


class _JsonLines(logging.Formatter):
    """{"level", "time", "caller", "msg"}, what log viewers of the Go original read."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        line = {
            "level": record.levelname.lower(),
            "time": moment.isoformat(timespec="milliseconds"),
            "caller": f"{record.name}:{record.lineno}",
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(settings: Settings, *, to_stderr: bool = False, rotate: bool = True) -> None:
    """
    Write the log of this process; called once by it.

    Of several processes with one log the runner rotates it; the others append whole lines, and follow.

    Raises:
        NotAllowed: the file cannot be written.
    """
    path = settings.path(settings.log_file)
    handlers: list[logging.Handler] = []
    try:
        make_private(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        file: logging.Handler
        if rotate:
            file = logging.handlers.TimedRotatingFileHandler(
                path, when="midnight", backupCount=_KEEP_DAYS, encoding="utf-8", errors="backslashreplace"
            )
        else:
            file = logging.handlers.WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
        file.setFormatter(_JsonLines())
        handlers.append(file)
    except OSError as exc:
        raise NotAllowed(
            f"the log `{path}` cannot be written: {exc.strerror}",
            f"日志 `{path}` 无法写入：{exc.strerror}",
            hint="make the folder writable, or name another file by LOG_FILE",
        ) from exc
    if to_stderr:
        plain = logging.StreamHandler()
        plain.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(plain)
    # Each start and success is for whoever looks on; in the file they would be most of it, and the store has them.
    runs = logging.getLogger("pyjobs.runs")
    runs.handlers[:] = handlers[1:]
    runs.setLevel(max(logging.getLevelName(settings.log_level), logging.INFO) if to_stderr else logging.CRITICAL)
    runs.propagate = False
    logger = logging.getLogger("pyjobs")
    logger.handlers[:] = handlers
    logger.setLevel(settings.log_level)
    logger.propagate = False
