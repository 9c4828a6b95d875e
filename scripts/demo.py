"""
`make demo`: three jobs, one of each mode, on a fresh home; what became of them; nothing left behind.

Types the real command line, starts the real daemon, and ends with 0 only when every job did what it should.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

CRON = "*/2 * * * * *"
FOLLOW_S = 10.5
FIRES_WANTED = 3
#: How long to wait beyond that on a machine that is busy with other things.
PATIENCE_S = 20
JOBS = ("page", "disk", "greet")
STATES = {"success": "成功", "failed": "失败"}
FUNCTION = '''\
"""Functions of the demo: each file in this folder is loaded, and loaded again when it changes."""


def greet(name: str, times: int = 1) -> str:
    """Say hello, some times over."""
    print("greeting", name)
    return ", ".join([f"hello {name}"] * times)
'''
#: What of the environment a command gets: nobody's own settings of pyjobs.
PASSED_ON = (
    "PATH",
    "HOME",
    "TERM",
    "TMPDIR",
    "TZ",
    "NO_COLOR",
    "PYTHONPATH",
    "LANG",
    "LC_ALL",
    "LC_MESSAGES",
    "PYJOBS_LANG",
)
ZH = next((v for n in ("PYJOBS_LANG", "LC_ALL", "LC_MESSAGES", "LANG") if (v := os.environ.get(n))), "").startswith(
    "zh"
)


def words(en: str, zh: str) -> str:
    """A message in the language of the environment."""
    return zh if ZH else en


class Page(BaseHTTPRequestHandler):
    """The page that the HTTP job asks for."""

    def do_GET(self) -> None:
        """Answer with a small document."""
        body = b'{"status": "healthy"}\n'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: pyjobs has the record."""


class Demo:
    """One home, and the command line on it."""

    def __init__(self, home: Path) -> None:
        """Take an empty folder as home."""
        self.home = home
        self.console = Console(highlight=False)
        self.terminal = sys.stdout.isatty()
        installed = Path(sys.executable).with_name("pyjobs")
        self.pyjobs = [str(installed)] if installed.exists() else [sys.executable, "-m", "pyjobs"]
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.env = {**passed_on, "PYJOBS_HOME": str(home), "PYJOBS_PORT": "0"}

    def say(self, en: str, zh: str) -> None:
        """A line about what comes next."""
        self.console.print(f"\n{words(en, zh)}", style="bold", markup=False)

    def type(self, *arguments: str) -> None:
        """
        Type a command and show what it prints.

        Raises:
            SystemExit: it failed.
        """
        self.console.print(f"$ pyjobs {shlex.join(arguments)}", style="cyan", markup=False, soft_wrap=True)
        sys.stdout.flush()
        command = [*self.pyjobs, *arguments]
        code = (
            subprocess.run(command, env=self.env, check=False).returncode
            if self.terminal
            else self.in_terminal(command)
        )
        if code:
            raise SystemExit(words(f"this command failed with code {code}", f"该命令失败，退出码 {code}"))

    def in_terminal(self, command: list[str]) -> int:
        """Run a command as on a terminal of 100 columns without colour, where stdout is none. Answers its exit code."""
        ours, its = pty.openpty()
        env = {**self.env, "COLUMNS": "100", "NO_COLOR": "1"}
        with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=its, stderr=its) as process:
            os.close(its)
            # Linux says EIO where the other end is closed.
            with contextlib.suppress(OSError):
                while piece := os.read(ours, 65536):
                    sys.stdout.write(piece.decode("utf-8", "replace").replace("\r\n", "\n"))
            os.close(ours)
        sys.stdout.flush()
        return process.returncode

    def ask(self, *arguments: str) -> dict[str, Any]:
        """The JSON document that a command answers; empty when it fails."""
        done = subprocess.run([*self.pyjobs, *arguments, "--json"], env=self.env, check=False, capture_output=True)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def follow(self) -> dict[str, int]:
        """Show runs as they end, for about ten seconds. Answers how many of each job succeeded."""
        bars = (TextColumn("{task.description:>8}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
        seen: set[str] = set()
        counts = dict.fromkeys(JOBS, 0)
        began = time.monotonic()
        with Progress(*bars, console=self.console, transient=True) as progress:
            tasks = {name: progress.add_task(name, total=FIRES_WANTED) for name in JOBS}
            clock = progress.add_task(words("seconds", "秒"), total=FOLLOW_S)
            while (passed := time.monotonic() - began) < FOLLOW_S + PATIENCE_S:
                if passed >= FOLLOW_S and min(counts.values()) >= FIRES_WANTED:
                    break
                for run in reversed(self.ask("runs", "list", "-n", "100").get("runs", [])):
                    if run["state"] in ("queued", "running") or run["exec_id"] in seen:
                        continue
                    seen.add(run["exec_id"])
                    name = run["job"]
                    counts[name] += run["state"] == "success"
                    progress.console.print(_line(run), markup=False)
                    progress.update(tasks[name], completed=min(counts[name], FIRES_WANTED))
                progress.update(clock, completed=min(passed, FOLLOW_S))
                time.sleep(0.2)
        return counts

    def tell_log(self) -> None:
        """What the daemon said last, for those who want to know what went wrong."""
        with contextlib.suppress(OSError):
            lines = (self.home / "logs" / "pyjobs.log").read_text(encoding="utf-8", errors="replace").splitlines()
            sys.stderr.write("".join(f"  {line}\n" for line in lines[-15:]))

    def close(self) -> list[int]:
        """Stop what still runs of this home. Answers the processes that had to be killed, which should be none."""
        # Whoever is impatient does not get less tidied up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        subprocess.run(
            [*self.pyjobs, "daemon", "stop", "--force", "--yes"], env=self.env, check=False, capture_output=True
        )
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        shutil.rmtree(self.home, ignore_errors=True)
        return [process.pid for process in left]

    def processes(self) -> list[psutil.Process]:
        """All processes that were started for this home."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("PYJOBS_HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def _line(run: dict[str, Any]) -> str:
    """One ended run in a line."""
    when = datetime.fromisoformat(run["scheduled"]).astimezone()
    state = words(run["state"], STATES.get(run["state"], run["state"]))
    return f"  {when:%H:%M:%S}  {run['job']:<6} {state}  {run['duration_ms'] or 0:>4} ms"


@contextlib.contextmanager
def page() -> Iterator[str]:
    """A small HTTP server on a free port: its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def show(demo: Demo, address: str) -> None:
    """
    The demo itself.

    Raises:
        SystemExit: a command failed, or a job did not do what it should.
    """
    functions = demo.home / "functions"
    functions.mkdir()
    (functions / "greeting.py").write_text(FUNCTION, encoding="utf-8")

    demo.say("A daemon on a fresh home:", "在全新目录上启动守护进程：")
    demo.type("daemon", "start")
    demo.say("Three jobs, one of each mode, every two seconds:", "三种模式各一个任务，每两秒执行一次：")
    demo.type("job", "add", "page", "--cron", CRON, "--http", address, "--expect", "healthy")
    demo.type("job", "add", "disk", "--cron", CRON, "--command", "df -h / | tail -n 1")
    demo.type("job", "add", "greet", "--cron", CRON, "--func", "greet", "--arg", "name=world, times=2")
    demo.say("About ten seconds of their life:", "观察约十秒：")
    counts = demo.follow()
    demo.say("Their log:", "执行记录：")
    demo.type("runs", "list", "-n", "15")
    demo.type("logs", "greet", "-n", "1")
    demo.say("The jobs:", "任务列表：")
    demo.type("list")
    demo.say("And the end:", "结束：")
    demo.type("daemon", "stop", "--yes")

    few = [f"{name} ({count})" for name, count in counts.items() if count < FIRES_WANTED]
    if few:
        names = ", ".join(few)
        raise SystemExit(words(f"too few successful runs: {names}", f"成功执行次数不足：{names}"))


def main() -> int:
    """Run the demo and tidy up, whatever happens. Answers the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()
    demo = Demo(Path(tempfile.mkdtemp(prefix="pyjobs-demo-")))
    left, good = [], False
    try:
        with page() as address:
            show(demo, address)
        good = True
    except KeyboardInterrupt:
        return 130
    except SystemExit as exc:
        if isinstance(exc.code, int):
            return exc.code
        sys.stderr.write(f"{exc.code}\n")
        demo.tell_log()
    finally:
        left = demo.close()
    if left:
        sys.stderr.write(words(f"these processes had to be killed: {left}\n", f"以下进程被强制结束：{left}\n"))
    if not good or left:
        return 1
    took = time.monotonic() - began
    demo.say(f"Done in {took:.0f} s; nothing is left behind.", f"完成，用时 {took:.0f} 秒，未留下任何内容。")
    return 0


if __name__ == "__main__":
    sys.exit(main())
