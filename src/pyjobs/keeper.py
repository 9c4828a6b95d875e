"""
The small parents of the daemon's processes. Imports next to nothing, since they live as long as the daemon does.

    front (only in the foreground) -> keeper -> supervisor -> runner, and the API's processes

The **supervisor** starts the runner and the API, and starts each again when it dies or hangs. As a subreaper it is
the next parent of commands whose runner died, and keeps their exit statuses. The **keeper** does the same when the
supervisor dies as well, and stays until the last of these commands has ended; it does nothing else, so that nothing
is likely to end it. The **front** is what a terminal, systemd or a container waits for: it passes signals on (HUP
means a reload, but the end when it comes from a terminal that was closed), and leaves when the supervisor does,
though the keeper may stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

from pyjobs import procs
from pyjobs.notify import Notifier
from pyjobs.supervisor import Given, Supervisor

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Become the tree of processes above; answer the exit code. The arguments are those of `Given`."""
    given = Given.parsed(argv)
    notifier = Notifier.taken_from(os.environ)
    for fd in given.fds():
        os.set_inheritable(fd, False)
    if given.where == "background":
        return _keep(given, notifier, front=0, life_fd=-1, report_fd=-1)
    front = os.getpid()
    life_read, life_write = os.pipe()
    report_read, report_write = os.pipe()
    if os.fork() == 0:
        os.close(life_write)
        os.close(report_read)
        os.setsid()  # a terminal's signals reach the front only, and once
        os._exit(_keep(given, notifier, front=front, life_fd=life_read, report_fd=report_write))
    for fd in (life_read, report_write, *given.fds()):
        os.close(fd)
    return _front(report_read)


def _front(report_fd: int) -> int:
    """Pass signals on to the supervisor; answer its exit code when it says it."""
    first, _, rest = os.read(report_fd, 64).partition(b"\n")
    supervisor = int(first or 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: _kill_quietly(supervisor, n))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` has it
        had_terminal = _has_terminal()
        closed = (signal.SIGHUP, signal.SIGTERM)
        signal.signal(signal.SIGHUP, lambda *_: _kill_quietly(supervisor, closed[had_terminal and not _has_terminal()]))
    # The watchdog of a service manager: the supervisor hangs, and would keep its lock from the next one.
    signal.signal(signal.SIGABRT, lambda *_: _kill_quietly(supervisor, signal.SIGKILL))
    rest += os.read(report_fd, 64)
    return int(rest.partition(b"\n")[0] or 1)


def _keep(given: Given, notifier: Notifier, *, front: int, life_fd: int, report_fd: int) -> int:
    """The keeper: fork the supervisor, keep the exit statuses of orphans, stay until the last one has ended."""
    procs.become_subreaper()
    keeper = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(Supervisor(given, notifier, keeper=keeper, main_pid=front or os.getpid()), life_fd, report_fd)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _report(report_fd, supervisor)
    for fd in (life_fd, *given.fds()):
        if fd >= 0:
            os.close(fd)
    code = 1
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return code
        for pid, how in procs.keep_exits(given.exits, {supervisor}):
            if pid == supervisor:
                code = 1 if how.exit_code is None else how.exit_code
                _report(report_fd, code)
                _let_go_of_terminal()


def _supervise(supervisor: Supervisor, life_fd: int, report_fd: int) -> NoReturn:
    code = 1
    try:
        code = supervisor.run(life_fd)
    except Exception:
        sys.excepthook(*sys.exc_info())  # nobody above says it
    finally:
        sys.stderr.flush()
        if supervisor.is_alone:  # the keeper would have said it
            _report(report_fd, code)
        os._exit(code)


def _report(fd: int, number: int) -> None:
    if fd >= 0:
        with contextlib.suppress(BrokenPipeError):
            os.write(fd, f"{number}\n".encode())


def _has_terminal() -> bool:
    """Whether this process has a terminal; not any more once that was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _let_go_of_terminal() -> None:
    """Hold neither the terminal nor a pipe open that somebody waits for the end of."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _kill_quietly(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
