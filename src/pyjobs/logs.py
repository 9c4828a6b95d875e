"""
The system log: one JSON object, or one line of text, for each message. Job output is not in it.

Messages are handed to a thread, so that a slow disk never holds up whoever says something. Secrets are masked, and
what is said again and again is counted.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import logging.handlers
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from urllib.parse import unquote, urlsplit

from pyjobs.config import Settings
from pyjobs.errors import NotAllowed
from pyjobs.folders import make_private
from pyjobs.logfile import LogFile
from pyjobs.masking import Masker

__all__ = ["follow", "set_up"]

#: Messages that wait for the thread; what comes when it is full is counted and left out.
_WAITING = 10_000
#: How long the end of a process may wait for what is queued.
_FLUSH_S = 2.0
#: The same message comes once in so many seconds.
_QUIET_S = 60.0
#: How many different ones are remembered.
_REMEMBERED = 200


class _Lines(logging.Formatter):
    """One line, whatever the message holds, secrets masked."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def parts(self, record: logging.LogRecord) -> dict[str, str]:
        """{"level", "time", "caller", "msg"}, what log viewers of the Go original read."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        line = {
            "level": record.levelname.lower(),
            "time": moment.isoformat(timespec="milliseconds"),
            "caller": f"{record.name}:{record.lineno}",
            "msg": self._masker.mask(record.getMessage()),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["stacktrace"] = self._masker.mask(record.exc_text)
        return line


class _JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.parts(record), ensure_ascii=False)


class _TextLines(_Lines):
    """`TIME LEVEL CALLER MESSAGE`; line breaks and what a terminal would obey are written out."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.parts(record)
        text = " ".join([line["time"], line["level"].upper(), line["caller"], line["msg"], line.get("stacktrace", "")])
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.rstrip())


class _Plain(_Lines):
    """For whoever looks on."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.parts(record)
        text = f"{line['time'].partition('+')[0].replace('T', ' ')} {record.levelname} {line['msg']}"
        return f"{text}\n{line['stacktrace']}" if "stacktrace" in line else text


class _Once(logging.Filter):
    """Lets a message through once in a while, and says how often it came meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        #: (logger, message) -> (monotonic instant at which it was let through, how often it came since).
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, record.getMessage()), time.monotonic()
        let_at, count = self._seen.get(key, (float("-inf"), 0))
        if now - let_at < _QUIET_S:
            self._seen[key] = (let_at, count + 1)
            return False
        if count:
            record.msg, record.args = f"{key[1]} (came {count} more times in between)", ()
        self._seen.pop(key, None)
        self._seen[key] = (now, 0)
        if len(self._seen) > _REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        return True


class _Hand(logging.handlers.QueueHandler):
    """Hands messages to the thread; never waits for it."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord], masker: Masker) -> None:
        super().__init__(waiting)
        #: Of whatever is written in the end.
        self.masker = masker
        self._waiting = waiting
        self._left_out = 0
        self._pid = os.getpid()

    def flush(self) -> None:
        """Wait for the thread, but not for long: a disk may hang."""
        until = time.monotonic() + _FLUSH_S
        while os.getpid() == self._pid and self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.005)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # As it is: nothing is pickled, and the formatters need the arguments and the traceback.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._left_out:
                said = f"{self._left_out} messages were left out: the log could not be written as fast"
                note = logging.LogRecord(record.name, logging.WARNING, "", 0, said, (), None)
                self.queue.put_nowait(note)
                self._left_out = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self._left_out += 1


def set_up(settings: Settings, *, to_stderr: bool = False, rotate: bool = True) -> None:
    """
    Write the log of this process; called once by it.

    Of several processes with one log the runner rotates it; the others append whole lines, and follow.

    Raises:
        NotAllowed: the file cannot be written.
    """
    path, masker = settings.path(settings.log_file), Masker(_secrets(settings))
    try:
        make_private(path.parent)
        file = LogFile(path, settings.rotation if rotate else None)
    except OSError as exc:
        raise NotAllowed(
            f"the log `{path}` cannot be written: {exc.strerror}",
            f"日志 `{path}` 无法写入：{exc.strerror}",
            hint="make the folder writable, or name another file by LOG_FILE",
        ) from exc
    file.setFormatter(_JsonLines(masker) if settings.log_format == "json" else _TextLines(masker))
    file.addFilter(_Once())
    hand = _handed_to_thread(file, masker)
    plain: list[logging.Handler] = []
    if to_stderr:
        shown = logging.StreamHandler()
        shown.setFormatter(_Plain(masker))
        plain.append(shown)
    runs = logging.getLogger("pyjobs.runs")
    runs.handlers[:] = plain
    runs.propagate = False
    logger = logging.getLogger("pyjobs")
    logger.handlers[:] = [hand, *plain]
    logger.propagate = False
    _follow_level(settings)


def follow(settings: Settings) -> None:
    """Write from another level on, and mask other secrets too, from now on."""
    for handler in logging.getLogger("pyjobs").handlers:
        if isinstance(handler, _Hand):
            handler.masker.learn(_secrets(settings))
    _follow_level(settings)


def _follow_level(settings: Settings) -> None:
    logging.getLogger("pyjobs").setLevel(settings.log_level)
    runs = logging.getLogger("pyjobs.runs")
    # Each start and success is for whoever looks on; in the file they would be most of it, and the store has them.
    runs.setLevel(max(logging.getLevelName(settings.log_level), logging.INFO) if runs.handlers else logging.CRITICAL)


def _handed_to_thread(file: LogFile, masker: Masker) -> logging.Handler:
    """A handler that only queues; what is queued is written at the end of the process all the same."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(_WAITING)
    listener = logging.handlers.QueueListener(waiting, file)
    listener.start()

    def finish() -> None:
        with contextlib.suppress(Exception):
            listener.stop()
        file.close()

    atexit.register(finish)
    # A forked child has no such thread, and must not write what its parent writes.
    os.register_at_fork(after_in_child=lambda: atexit.unregister(finish))
    return _Hand(waiting, masker)


def _secrets(settings: Settings) -> Iterator[str]:
    """Secrets of the settings by value: whole, and the passwords in addresses."""
    for about in fields(settings):
        if not about.metadata.get("secret"):
            continue
        said = getattr(settings, about.name)
        for value in said.values() if isinstance(said, dict) else [said]:
            if "://" not in value:
                yield value
                continue
            with contextlib.suppress(ValueError):
                password = urlsplit(value).password
                if password:
                    yield password
                    yield unquote(password)
