"""
The process that functions are loaded into and forked from: `python -m pyjobs.functions.worker`.

It speaks JSON lines over the socket that is its standard input: it is told settings and files, says which file it
imports now, then what there is; after that it forks a child for each run and keeps the exit status of every child that
ended. When the socket closes, it stays until the last child has ended.
"""

from __future__ import annotations

import gc
import inspect
import io
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pyjobs import procs
from pyjobs.clock import SystemClock
from pyjobs.config import Settings
from pyjobs.errors import PyjobsError
from pyjobs.functions import child
from pyjobs.functions.binding import bind, shape_of
from pyjobs.functions.builtin import BUILT_IN
from pyjobs.functions.builtin.context import Context, language
from pyjobs.functions.loading import Loaded, Module, Progress, collect, load_all
from pyjobs.functions.userfiles import Entry

__all__ = ["SLOT", "main"]

#: The variable whose place in memory names a run.
SLOT = "PYJOBS_RUN_ID"
_BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_CHILD_PATIENCE_S = 5.0
#: Processor seconds, and seconds, that a trial of arguments may take.
_CHECK_S = 3


class Link:
    """JSON lines over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the connected socket."""
        self.socket = connection
        self._pending = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. Raises OSError when nobody is there."""
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that are there, waiting for something; None when the other side closed."""
        data = self.socket.recv(1 << 16)
        if not data:
            return None
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Worker:
    """Serves one executor."""

    def __init__(self, link: Link, exits: Path, lang: str, slot: child.EnvironmentSlot) -> None:
        """Take the link, and where exit statuses are kept."""
        self._link: Link | None = link
        self._exits = exits
        self._lang = lang
        self._slot = slot
        self._functions: dict[str, Loaded] = {}
        self._running: set[int] = set()
        #: Children that are no runs: nobody asks for their exit status.
        self._spare: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._told_to_leave = False

    def load(self, message: Mapping[str, Any], context: Context) -> None:
        """Load everything and say what there is."""
        assert self._link is not None
        link = self._link
        entries = [Entry(**values) for values in message["entries"]]
        modules = load_all(entries, Progress(lambda path, old: link.send({"loading": path, "old": old})))
        self._functions = {name: Loaded(name, _bound(call, context), "") for name, call in BUILT_IN.items()}
        self._functions |= collect(modules, BUILT_IN, message["owners"])
        link.send(
            {
                "functions": [_described(self._functions[name]) for name in sorted(self._functions)],
                "files": [_file(module) for module, _ in modules],
            }
        )

    def serve(self) -> None:
        """Work until the executor left and no child is left."""
        # A child copies the pages that it writes to: what is loaded is not to be counted and collected there.
        gc.collect()
        gc.freeze()
        self._listen()
        while self._link is not None or self._running:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    _drain(self._woken)
                else:
                    self._receive()
            if self._told_to_leave:
                self._retire()
            self._reap()

    def _listen(self) -> None:
        assert self._link is not None
        for end in (self._woken, self._waker):
            end.setblocking(False)
        for end in (self._woken, self._link.socket):
            self._selector.register(end, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _leave(self, *_: object) -> None:
        self._told_to_leave = True

    def _retire(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link.socket)
            self._link.socket.close()
            self._link = None

    def _receive(self) -> None:
        if self._link is None:
            return
        try:
            messages = self._link.receive()
        except OSError:
            messages = None
        if messages is None:
            self._retire()
        for message in messages or []:
            if message["do"] == "run":
                self._run(message)
            else:
                self._check(message)

    def _answer(self, message: Mapping[str, Any], **values: Any) -> bool:
        """Whether the executor could be told."""
        try:
            if self._link is not None:
                self._link.send({"id": message["id"], **values})
                return True
        except OSError:
            self._retire()
        return False

    def _run(self, message: dict[str, Any]) -> None:
        """Fork a child, and give it the word once the executor knows of it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                pid = self._fork(lambda: self._perform(message, ours, theirs))
            except OSError as exc:
                self._answer(message, error=exc.strerror)
                return
            theirs.close()
            started = procs.start_time(pid)
            said = _hear(ours)
            if said != child.READY:
                os.kill(pid, signal.SIGKILL)
                self._spare.add(pid)
                self._answer(message, error=said.decode("utf-8", "replace") or "its process did not get ready")
                return
            self._running.add(pid)
            if self._answer(message, pid=pid, pid_start=started):
                ours.sendall(child.GO)

    def _perform(self, message: dict[str, Any], unused: socket.socket, parent: socket.socket) -> None:
        self._let_go()
        unused.close()
        if self._link is not None:
            self._link.socket.close()
        order = child.Order(message)
        self._slot.write(order.variables[SLOT])
        child.perform(order, self._functions[order.name].call, self._lang, parent)

    def _check(self, message: dict[str, Any]) -> None:
        """Try arguments in a child, as types are the user's code too; one that dies or hangs leaves no answer."""
        try:
            self._spare.add(self._fork(lambda: self._try_arguments(message)))
        except OSError:
            self._answer(message, error="")

    def _try_arguments(self, message: dict[str, Any]) -> None:
        self._let_go()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_CHECK_S)
        error = ""
        try:
            bind(message["name"], shape_of(self._functions[message["name"]].call), message["arg"])
        except PyjobsError as exc:
            error = exc.text(self._lang)
        self._answer(message, error=error)

    def _fork(self, act: Callable[[], None]) -> int:
        """Fork; the child acts and never comes back. Until it has its own handlers, signals to it wait."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            pid = os.fork()
            if pid:
                return pid
            try:
                act()
            finally:
                os._exit(1)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)

    def _let_go(self) -> None:
        """Close our own descriptors only: what a user's module opened when imported belongs to its functions."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _reap(self) -> None:
        for pid, _ in procs.keep_exits(self._exits, self._spare):
            self._running.discard(pid)
            self._spare.discard(pid)


def _drain(woken: socket.socket) -> None:
    try:
        while woken.recv(4096):
            pass
    except BlockingIOError:
        pass


def _hear(ours: socket.socket) -> bytes:
    ours.settimeout(_CHILD_PATIENCE_S)
    try:
        return ours.recv(4096)
    except OSError:
        return b""


def _bound(call: Callable[..., Any], context: Context) -> Callable[..., Any]:
    return partial(call, context)


def _described(function: Loaded) -> dict[str, str]:
    call = function.call
    text = inspect.getdoc(call.func if isinstance(call, partial) else call) or ""
    description = next(iter(text.strip().splitlines()), "")
    return {
        "name": function.name,
        "description": description,
        "signature": shape_of(call).text,
        "path": function.path,
    }


def _file(module: Module) -> dict[str, Any]:
    entry = module.entry
    return {"path": entry.path, "used": module.used, "problem": entry.problem, "complaints": entry.complaints}


def _first_message(link: Link) -> dict[str, Any] | None:
    messages: list[dict[str, Any]] | None = []
    while messages == []:
        messages = link.receive()
    return messages[0] if messages else None


def _leave_package_folder() -> None:
    """`python -m` looks for every import in the working directory first; that one is only where pyjobs itself is."""
    if sys.path and sys.path[0] == str(Path.cwd()):
        folder = sys.path.pop(0)
        if folder not in sys.path:
            sys.path.append(folder)


def main() -> None:
    """Load what the executor sends, then serve it."""
    slot = child.EnvironmentSlot(SLOT)
    os.environ.pop(SLOT, None)
    link = Link(socket.socket(fileno=os.dup(0)))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    _leave_package_folder()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.dont_write_bytecode = True
    message = _first_message(link)
    if message is None:
        return
    values = message["settings"]
    settings = Settings(**{**values, "home": Path(values["home"])})
    context = Context(settings, SystemClock(), language(settings, os.environ))
    os.chdir(settings.home)
    worker = Worker(link, Path(message["exits"]), context.lang, slot)
    worker.load(message, context)
    # An import may have changed it.
    os.chdir(settings.home)
    worker.serve()
    sys.stdout.flush()
    # Threads that modules have started must not hold it.
    os._exit(0)


if __name__ == "__main__":
    main()
