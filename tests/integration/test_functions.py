"""Calls of user functions in their own processes (semantics §8, faults: function)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyjobs import procs
from pyjobs.errors import RunFailed
from pyjobs.ports import Outcome

from .functions_kit import Functions, alive, until


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[Functions]:
    made = Functions(tmp_path)
    yield made
    made.close()


class TestCall:
    def test_arguments_are_converted_and_a_result_is_json(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            """
            from __future__ import annotations
            from datetime import date
            from enum import Enum
            from pathlib import Path
            from typing import Optional

            class Color(Enum):
                RED = "r"

            def kinds(n: int, x: float, yes: bool, day: date, path: Path, color: Color, maybe: Optional[int],
                      many: list[int], table: dict[str, int]):
                return [n, x, yes, day, str(path), color.name, maybe, many, table]
            """,
        )
        ended = functions.call("kinds", '5, 1.5, yes, 2024-02-29, /a/b, r, , [1, 2], {"中": 1}')
        assert ended.outcome.success, ended.error
        assert json.loads(ended.out) == [5, 1.5, True, "2024-02-29", "/a/b", "RED", None, [1, 2], {"中": 1}]
        assert "中" in ended.out

    def test_a_text_is_the_output_as_it_is_and_none_is_nothing(self, functions: Functions) -> None:
        functions.write("mine.py", "def text(s: str): return s\ndef none(): pass\nasync def later(): return {'a': 1}\n")
        assert functions.call("text", '"  two words "').out == "  two words "
        assert functions.call("none").out == ""
        assert functions.call("later").out == '{"a": 1}'

    def test_what_it_prints_and_logs_is_captured_in_order(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            """
            import logging, os, sys
            def talk():
                print("one", flush=False)
                os.write(1, b"two\\n")
                os.system("echo three")
                logging.info("logged")
                print("bad", file=sys.stderr)
                sys.stdout = open(os.devnull, "w")
                return "four"
            """,
        )
        ended = functions.call("talk")
        assert ended.out == "one\ntwo\nthree\nfour"
        assert ended.err == "INFO root: logged\nbad\n"

    def test_its_files_are_its_owners_only(self, functions: Functions) -> None:
        functions.write("mine.py", "import os\nos.umask(0)\ndef talk(): print('x')\n")
        functions.call("talk", exec_id="r1")
        spool, run = functions.spool, functions.run_id("r1")
        for path in (spool.out(run), spool.err(run), spool.result(run)):
            assert path.stat().st_mode & 0o777 == 0o600

    def test_an_exception_is_a_failure_with_the_users_part_of_the_traceback(self, functions: Functions) -> None:
        functions.write("mine.py", "def boom():\n    inner()\ndef inner():\n    raise ValueError('no 中')\n")
        ended = functions.call("boom")
        assert ended.outcome.exit_code == 1
        assert ended.error == "ValueError: no 中"
        assert ended.err.startswith("Traceback (most recent call last):\n")
        assert "inner()" in ended.err
        assert "ValueError: no 中" in ended.err
        assert "pyjobs" not in ended.err

    def test_an_exception_in_a_coroutine_too(self, functions: Functions) -> None:
        functions.write("mine.py", "async def boom():\n    raise ValueError('no')\n")
        ended = functions.call("boom")
        assert ended.error == "ValueError: no"
        assert "asyncio" not in ended.err

    def test_wrong_arguments_fail_with_the_signature(self, functions: Functions) -> None:
        functions.write("mine.py", "def add(a: int, b: int = 2) -> int:\n    return a + b\n")
        for arg in ("x", "", "1,2,3", "1,b=", "a=1,a=2"):
            ended = functions.call("add", arg)
            assert "add(a: int, b: int = 2) -> int" in ended.error
            assert ended.out == ""

    def test_an_unknown_name_fails_and_the_nearest_is_named(self, functions: Functions) -> None:
        with pytest.raises(RunFailed, match=r"`hello`.*`Hello`"):
            functions.start("hello")
        with pytest.raises(RunFailed, match=r"`os\.system`"):
            functions.start("os.system", "true")

    def test_each_run_knows_its_name_and_secrets_are_not_there(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SMTP_PASSWORD", "canary")
        monkeypatch.setenv("PYJOBS_SMS_WEBHOOK", "canary")
        monkeypatch.setenv("MINE", "kept")
        functions.write(
            "mine.py",
            """
            import os
            AT_IMPORT = dict(os.environ)
            def env():
                first = open("/proc/self/environ").read()
                return {"now": dict(os.environ), "import": AT_IMPORT, "first": first, "cwd": os.getcwd()}
            """,
        )
        functions.wait(functions.start("env", exec_id="r9", scheduled_ms=1_700_000_000_000))
        found = json.loads(functions.out("r9"))
        assert "canary" not in functions.out("r9")
        assert found["now"]["MINE"] == "kept"
        assert found["now"]["PYJOBS_RUN_ID"] == functions.run_id("r9")
        assert found["now"]["PYJOBS_JOB_ID"] == "7"
        assert found["now"]["PYJOBS_SCHEDULED_FOR"] == "2023-11-14T22:13:20Z"
        assert found["cwd"] == str(functions.home)

    @pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
    def test_the_kernel_shows_the_runs_name_too(self, functions: Functions) -> None:
        functions.write("mine.py", "def env():\n    return open('/proc/self/environ').read()\n")
        assert f"PYJOBS_RUN_ID={functions.run_id('r1')}\0" in functions.call("env", exec_id="r1").out

    def test_it_has_no_descriptor_of_the_worker(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            """
            import os
            LOG = open("functions.log", "w")
            def descriptors():
                LOG.write("still open"); LOG.flush()
                return sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                              if os.path.exists(f"/proc/self/fd/{n}"))
            """,
        )
        found = json.loads(functions.call("descriptors").out)
        assert not [name for name in found if "socket" in name or "epoll" in name]
        assert "/dev/null" in found
        assert (functions.home / "functions.log").read_text() == "still open"

    def test_many_run_at_once_and_leave_nothing(self, functions: Functions) -> None:
        functions.write("mine.py", "import time\ndef nap(n: int):\n    time.sleep(0.1)\n    return n\n")
        functions.call("nap", "0")
        before = len(list(Path("/proc/self/fd").iterdir()))
        attempts = [functions.start("nap", str(n), f"n{n}") for n in range(20)]
        assert all(functions.wait(attempt).success for attempt in attempts)
        assert [functions.out(f"n{n}") for n in range(20)] == [str(n) for n in range(20)]
        for attempt in attempts:
            assert attempt.gone()
            attempt.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_threads_may_start_runs(self, functions: Functions) -> None:
        functions.write("mine.py", "def same(n: int):\n    return n\n")
        ended: list[Outcome] = []
        threads = [
            threading.Thread(target=lambda n=n: ended.append(functions.wait(functions.start("same", str(n), f"n{n}"))))
            for n in range(6)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [outcome.success for outcome in ended] == [True] * 6
        assert [functions.out(f"n{n}") for n in range(6)] == [str(n) for n in range(6)]

    def test_a_retry_does_not_see_the_result_before_it(self, functions: Functions) -> None:
        functions.write(
            "mine.py", "import os\ndef fail():\n    raise ValueError('first')\ndef leave():\n    os._exit(3)\n"
        )
        functions.call("fail", exec_id="r1")
        assert "first" not in functions.call("leave", exec_id="r1").error


class TestBadFunctions:
    """Each costs its own run only: the worker stays the same process."""

    @pytest.fixture(autouse=True)
    def _the_worker_lives_on(self, functions: Functions) -> Iterator[None]:
        functions.executor.functions()
        before = functions.worker_pid()
        yield
        assert functions.worker_pid() == before
        assert functions.call("Echo", "fine").out == "fine"

    @pytest.fixture
    def functions(self, tmp_path: Path) -> Iterator[Functions]:
        made = Functions(tmp_path)
        made.write(
            "bad.py",
            """
            import ctypes, os, signal, subprocess, sys, threading, time

            def leave(code: str = ""):
                sys.exit(int(code) if code.isdigit() else code or None)
            def at_once(code: int):
                print("last words")
                os._exit(code)
            def loop():
                print("begun", flush=True)
                while True:
                    pass
            def deaf():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                print("begun", flush=True)
                while True:
                    time.sleep(60)
            def crash():
                ctypes.string_at(0)
            def thread():
                threading.Thread(target=time.sleep, args=(60,)).start()
                return "done"
            def child():
                subprocess.Popen(["sleep", "60"])
                return "done"
            def memory():
                return len(bytearray(1 << 44))
            def unwritable():
                return object()
            def round():
                found = []
                found.append(found)
                return found
            def deep():
                return deep()
            def broken():
                class Odd(Exception):
                    def __str__(self): raise ValueError
                raise Odd
            def closes():
                os.closerange(0, 100)
            def stray():
                '''Detaches a process twice over, into a session of its own.'''
                read, write = os.pipe()
                if os.fork() == 0:
                    os.setsid()
                    pid = os.fork()
                    if pid:
                        os.write(write, str(pid).encode())
                        os._exit(0)
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    time.sleep(60)
                os.wait()
                print(os.read(read, 99).decode(), flush=True)
                time.sleep(60)
            """,
        )
        yield made
        made.close()

    def test_sys_exit_says_how_it_ended(self, functions: Functions) -> None:
        assert functions.call("leave").outcome.success
        assert functions.call("leave", "0").outcome.success
        assert functions.call("leave", "5").outcome.exit_code == 5
        assert functions.call("leave", "5").error == "the function left with sys.exit(5)"
        ended = functions.call("leave", "out of coffee")
        assert (ended.error, ended.err, ended.outcome.exit_code) == ("out of coffee", "out of coffee\n", 1)

    def test_os_exit_is_no_result(self, functions: Functions) -> None:
        ended = functions.call("at_once", "3")
        assert ended.error == "the function's process ended with exit status 3 and no result"
        assert ended.outcome.exit_code == 3
        assert ended.out == "last words\n"

    def test_an_endless_loop_can_be_stopped(self, functions: Functions) -> None:
        attempt = functions.start("loop")
        until(lambda: functions.out("loop"), "it runs")
        attempt.stop(force=False)
        assert functions.wait(attempt).signal == signal.SIGTERM
        until(attempt.gone, "nothing is left")

    def test_one_that_ignores_term_is_killed(self, functions: Functions) -> None:
        attempt = functions.start("deaf")
        until(lambda: functions.out("deaf"), "it runs")
        attempt.stop(force=False)
        assert not attempt.gone()
        attempt.stop(force=True)
        outcome = functions.wait(attempt)
        assert outcome.signal == signal.SIGKILL
        assert outcome.error == "ended by SIGKILL"

    def test_a_crash_of_the_interpreter_is_named(self, functions: Functions) -> None:
        assert functions.call("crash").error == "ended by SIGSEGV"

    def test_a_thread_left_behind_does_not_hold_it(self, functions: Functions) -> None:
        assert functions.call("thread").out == "done"

    def test_a_child_left_behind_does_not_hold_it_and_is_found(self, functions: Functions) -> None:
        attempt = functions.start("child")
        assert functions.wait(attempt).success
        assert not attempt.gone()
        attempt.stop(force=True)
        until(attempt.gone, "its child is gone")

    @pytest.mark.skipif(sys.platform != "linux", reason="no /proc to find it in")
    def test_a_stray_in_its_own_session_is_found(self, functions: Functions) -> None:
        attempt = functions.start("stray")
        pid = int(until(lambda: functions.out("stray"), "it said who it is"))
        attempt.stop(force=True)
        functions.wait(attempt)
        until(attempt.gone, "nothing is left")
        assert not alive(pid)

    def test_too_much_memory_is_its_failure(self, functions: Functions) -> None:
        assert functions.call("memory").error == "MemoryError"

    @pytest.mark.parametrize("name", ["unwritable", "round"])
    def test_a_result_that_is_no_json_is_a_failure_that_says_so(self, functions: Functions, name: str) -> None:
        assert "cannot be written as JSON" in functions.call(name).error

    def test_endless_recursion_and_errors_without_a_text_fail(self, functions: Functions) -> None:
        assert "RecursionError" in functions.call("deep").error
        assert functions.call("broken").error == "Odd"

    def test_one_that_closes_its_descriptors_still_ends(self, functions: Functions) -> None:
        assert functions.call("closes").outcome.success


class TestSurvival:
    def test_a_run_survives_its_executor_and_is_adopted(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            "import os, sys, time\ndef slow(gate: str):\n    print('begun', flush=True)\n"
            "    while not os.path.exists(gate): time.sleep(0.01)\n    sys.exit(7)\n",
        )
        attempt = functions.start("slow", str(functions.home / "gate"), "r1")
        until(lambda: functions.out("r1"), "it runs")
        pid, pid_start = attempt.pid, attempt.pid_start
        worker = functions.worker_pid()
        functions.executor.close()
        heir = functions.another()
        adopted = functions.adopt(heir, "r1", pid, pid_start)
        assert adopted is not None
        assert adopted.outcome() is None
        (functions.home / "gate").touch()
        assert functions.wait(adopted).exit_code == 7
        until(lambda: not alive(worker), "the old worker left")

    def test_an_end_that_nobody_saw_is_kept(self, functions: Functions) -> None:
        attempt = functions.start("Math", "/,1,0", "r1")
        until(lambda: procs.kept_exit(functions.exits, attempt.pid or 0, attempt.pid_start or 0), "it is kept")
        functions.executor.close()
        adopted = functions.adopt(functions.another(), "r1", attempt.pid, attempt.pid_start)
        assert adopted is not None
        assert functions.wait(adopted).error == "除数不能为零"
        adopted.close()
        assert functions.adopt(functions.executor, "r2", attempt.pid, attempt.pid_start) is None

    def test_one_whose_pid_was_not_recorded_is_found_by_its_name(self, functions: Functions) -> None:
        functions.write("mine.py", "import time\ndef nap():\n    time.sleep(60)\n")
        attempt = functions.start("nap", exec_id="r1")
        adopted = functions.adopt(functions.another(), "r1", None, None)
        assert adopted is not None
        assert adopted.pid == attempt.pid

    def test_nothing_of_it_is_no_adoption(self, functions: Functions) -> None:
        assert functions.adopt(functions.executor, "gone", 2**22 - 1, 1) is None
        assert functions.adopt(functions.executor, "gone", None, None) is None

    def test_a_worker_killed_between_runs_is_replaced(self, functions: Functions) -> None:
        functions.write("mine.py", "def one():\n    return 1\n")
        functions.executor.functions()
        first = functions.worker_pid()
        functions.write("mine.py", "def other():\n    return 2\n")
        os.kill(first, signal.SIGKILL)
        until(lambda: not alive(first), "it is dead")
        assert functions.call("one").out == "1", "a new worker has the same code, until a reload"
        assert functions.worker_pid() != first

    def test_a_runs_result_stands_in_for_the_status_of_a_killed_worker(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            "import os, time\ndef slow(gate: str):\n    print('begun')\n"
            "    while not os.path.exists(gate): time.sleep(0.01)\n",
        )
        attempt = functions.start("slow", str(functions.home / "gate"), "r1")
        until(lambda: functions.out("r1"), "it runs")
        os.kill(functions.worker_pid(), signal.SIGKILL)
        (functions.home / "gate").touch()
        assert functions.wait(attempt).success

    def test_a_worker_that_was_asked_to_end_finishes_what_runs(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            "import os, time\ndef slow(gate: str):\n    while not os.path.exists(gate): time.sleep(0.01)\n",
        )
        attempt = functions.start("slow", str(functions.home / "gate"), "r1")
        first = functions.worker_pid()
        os.kill(first, signal.SIGTERM)
        until(lambda: functions.call("Echo", "new").out and functions.worker_pid() != first, "another one serves")
        (functions.home / "gate").touch()
        assert functions.wait(attempt).success
        until(lambda: not alive(first), "it left")

    def test_a_stopped_worker_is_an_error_and_no_hang(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pyjobs.executors.func._FORK_S", 0.3)
        functions.executor.functions()
        os.kill(functions.worker_pid(), signal.SIGSTOP)
        with pytest.raises(RunFailed, match="does not answer"):
            functions.start("Echo", "never", "r1")
        assert functions.out("r1") == ""
        monkeypatch.undo()
        assert functions.call("Echo", "again").out == "again"

    def test_a_worker_that_does_not_come_up_says_why(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "pydantic.py").write_text("raise ImportError('pydantic is broken here')\n")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'bad'}")
        with pytest.raises(RunFailed, match="pydantic is broken here"):
            functions.start("Echo", "x")

    def test_a_spool_that_cannot_be_written_fails_the_start(self, functions: Functions) -> None:
        functions.executor.functions()
        path = functions.spool.out(functions.run_id("r1"))
        path.mkdir()
        with pytest.raises(RunFailed, match="Is a directory"):
            functions.start("Echo", "x", "r1")
        path.rmdir()
        assert not list(functions.exits.iterdir())


def test_the_runner_does_not_import_what_only_workers_need(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pyjobs.config import Settings; "
        "from pyjobs.executors.spool import Spool; from pyjobs.executors.func import FuncExecutor; "
        f"home = Path({str(tmp_path)!r}); s = Settings(home=home); "
        "e = FuncExecutor(s, Spool(home, keep_bytes=9999, max_bytes=99999), home / 'exits'); "
        "assert len(e.functions()) == 15; e.close(); "
        "print([m for m in ('pydantic', 'requests', 'asyncio', 'psutil', 'smtplib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
