"""Loading user functions and loading them anew (design: commands.md, Functions; faults: reload)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyjobs.ports import FunctionInfo

from .functions_kit import Functions, alive, until


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[Functions]:
    made = Functions(tmp_path, import_timeout=1)
    yield made
    made.close()


def info(functions: Functions, name: str) -> FunctionInfo:
    return next(info for info in functions.executor.functions() if info.name == name)


class TestCatalogue:
    def test_a_home_without_functions_has_the_built_in_ones(self, functions: Functions) -> None:
        found = functions.executor.functions()
        assert len(found) == 15
        assert [each.name for each in found] == sorted(each.name for each in found)
        assert {each.origin for each in found} == {"built-in"}
        assert functions.executor.problems() == {}

    def test_a_function_is_described_by_its_docstring_and_its_hints(self, functions: Functions) -> None:
        path = functions.write(
            "mine.py",
            '''
            from __future__ import annotations
            from pathlib import Path

            def add(a: int, b: int = 2, *rest: Path) -> int:
                """Add numbers.

                More about it.
                """
                return a + b
            ''',
        )
        assert info(functions, "add") == FunctionInfo(
            name="add",
            description="Add numbers.",
            signature="(a: int, b: int = 2, *rest: pathlib.Path) -> int",
            origin=str(path),
        )

    def test_only_public_functions_of_the_file_itself_count(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            """
            import functools
            from dataclasses import dataclass
            from json import dumps
            from sibling import theirs

            class Klass: pass
            @dataclass
            class Data:
                x: int = 0
            def _private(): pass
            def public(): return theirs()
            @functools.lru_cache
            def cached(): return 1
            @functools.wraps(public)
            def wrapped(): return 2
            async def later(): return 3
            number = 4
            """,
        )
        functions.write("sibling.py", "def theirs():\n    return 'sibling'\n")
        assert functions.names() == {"public", "cached", "wrapped", "later", "theirs"}
        assert info(functions, "theirs").origin.endswith("sibling.py")
        assert functions.call("public").out == "sibling"
        assert functions.call("cached").out == "1"

    def test_subfolders_and_the_specifications_folder_are_read(self, functions: Functions) -> None:
        functions.write("sub/inner.py", "from top import one\ndef inner(): return one() + 1\n")
        functions.write("top.py", "import _helper\ndef one(): return _helper.ONE\n")
        functions.write("_helper.py", "ONE = 1\ndef hidden(): pass\n")
        functions.write(".hidden.py", "def hidden(): pass\n")
        functions.write("_sub/more.py", "def hidden(): pass\n")
        functions.write("notes.txt", "no python")
        functions.write("../app/function/user_funcs/myfuncs.py", "def specified(): return 5\n")
        os.mkfifo(functions.home / "functions" / "pipe.py")
        assert functions.names() == {"inner", "one", "specified"}
        assert functions.executor.problems() == {}
        assert functions.call("inner").out == "2"
        assert functions.call("specified").out == "5"

    def test_a_file_may_have_any_name_and_spoils_nothing(self, functions: Functions) -> None:
        functions.write("json.py", "def shadow(): return 'mine'\n")
        functions.write("my-funcs.py", "def dashed(): return 'dash'\n")
        functions.write("user.py", "import json\ndef real(): return json.dumps([1])\n")
        assert functions.names() == {"shadow", "dashed", "real"}
        assert functions.call("shadow").out == "mine"
        assert functions.call("real").out == "[1]"

    def test_files_of_the_home_shadow_no_module(self, functions: Functions) -> None:
        (functions.home / "json.py").write_text("raise RuntimeError('not this one')\n")
        functions.write("mine.py", "import json\ndef real(): return json.dumps([1])\n")
        assert functions.call("real").out == "[1]"

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("def x(:\n", "SyntaxError"),
            ("\n1/0\n", "ZeroDivisionError: division by zero (line 2)"),
            ("import nowhere_to_be_found\n", "ModuleNotFoundError"),
            ("import sys\nsys.exit(4)\n", "SystemExit: 4 (line 2)"),
            ("import os\nos._exit(4)\n", "ended the worker (exit status 4)"),
            ("import ctypes\nctypes.string_at(0)\n", "ended the worker (exit status -11)"),
            ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
            ("while True: pass\n", "not imported after 1 s"),
            ("# coding: nonsense\n", "unknown encoding"),
        ],
    )
    def test_a_file_that_does_not_import_costs_only_itself(self, functions: Functions, text: str, why: str) -> None:
        bad = functions.write("bad.py", text)
        functions.write("good.py", "def good(): return 'good'\n")
        assert functions.call("good").out == "good"
        assert functions.names() == {"good"}
        problems = functions.executor.problems()
        assert list(problems) == [str(bad)]
        assert why in problems[str(bad)]

    def test_the_file_that_hangs_is_blamed_and_not_the_one_that_imports_it(self, functions: Functions) -> None:
        functions.write("a.py", "def a(): pass\ntry:\n    import z\nexcept ImportError:\n    pass\n")
        functions.write("z.py", "while True: pass\n")
        assert functions.names() == {"a"}
        assert [Path(path).name for path in functions.executor.problems()] == ["z.py"]

    def test_a_name_that_two_files_define_belongs_to_neither(self, functions: Functions) -> None:
        first = functions.write("a.py", "def same(): return 'a'\ndef only_a(): pass\n")
        second = functions.write("b.py", "def same(): return 'b'\n")
        assert functions.names() == {"only_a"}
        problems = functions.executor.problems()
        for path in (first, second):
            assert problems[str(path)] == f"`same` is defined by {first} and {second}"

    def test_a_built_in_name_cannot_be_taken(self, functions: Functions) -> None:
        path = functions.write("a.py", "def Echo(*args): return 'mine'\ndef other(): pass\n")
        assert functions.names() == {"other"}
        assert functions.executor.problems() == {str(path): "`Echo` is the name of a built-in function"}
        assert functions.call("Echo", "theirs").out == "theirs"

    def test_what_an_import_prints_and_changes_disturbs_nobody(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            "import os, signal\nprint('x' * 100_000)\nos.chdir('/')\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
            "def where(): return os.getcwd()\n",
        )
        ended = functions.call("where")
        assert (ended.out, ended.outcome.exit_code) == (str(functions.home), 0)


class TestCheckArguments:
    def test_it_says_why_a_call_would_fail(self, functions: Functions) -> None:
        functions.write("mine.py", "def add(a: int, b: int = 2) -> int:\n    raise AssertionError('not called')\n")
        check = functions.executor.check_arguments
        assert check("add", "1") == ""
        assert "add(a: int, b: int = 2) -> int" in check("add", "x")
        assert "not closed" in check("add", '"1')
        assert "`Add`" in check("Add", "1")
        assert check("Echo", "anything, at, all") == ""

    def test_types_that_crash_or_hang_leave_it_open(
        self, functions: Functions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pyjobs.executors.func._CHECK_S", 0.3)
        functions.write(
            "mine.py",
            """
            import os, time
            from typing import Annotated
            from pydantic import AfterValidator
            def crash(a: Annotated[str, AfterValidator(lambda x: os._exit(1))]): pass
            def hang(a: Annotated[str, AfterValidator(lambda x: time.sleep(60))]): pass
            """,
        )
        worker = functions.executor.functions() and functions.worker_pid()
        assert functions.executor.check_arguments("crash", "x") == ""
        assert functions.executor.check_arguments("hang", "x") == ""
        assert "missing" in functions.executor.check_arguments("hang", "")
        assert functions.worker_pid() == worker


class TestReload:
    def test_it_tells_what_was_added_changed_and_removed(self, functions: Functions) -> None:
        functions.write("kept.py", "def kept(): return 1\n")
        functions.write("changed.py", "def changed(): return 'old'\n")
        gone = functions.write("gone.py", "def gone(): pass\n")
        assert functions.call("changed").out == "old"
        functions.write("changed.py", "def changed(): return 'new'\n")
        functions.write("added.py", "def added(): pass\n")
        gone.unlink()
        report = functions.executor.reload()
        assert (report.added, report.changed, report.removed, report.refused) == (["added"], ["changed"], ["gone"], {})
        assert functions.call("changed").out == "new"
        assert functions.names() == {"kept", "changed", "added"}

    def test_nothing_new_is_nothing_told(self, functions: Functions) -> None:
        functions.write("kept.py", "def kept(): return 1\n")
        functions.executor.functions()
        report = functions.executor.reload()
        assert (report.added, report.changed, report.removed, report.refused) == ([], [], [], {})

    @pytest.mark.parametrize(
        "text", ["def one(:\n", "1/0\n", "while True: pass\n", "import os\nos._exit(1)\n", "import sys\nsys.exit()\n"]
    )
    def test_a_file_that_does_not_import_keeps_its_last_good_version(self, functions: Functions, text: str) -> None:
        path = functions.write(
            "mine.py", "def one():\n    return helper()\ndef helper():\n    raise ValueError('line 4')\n"
        )
        assert functions.names() == {"one", "helper"}
        functions.write("mine.py", text)
        report = functions.executor.reload()
        assert list(report.refused) == [str(path)]
        assert (report.changed, report.removed) == ([], [])
        assert info(functions, "one").problem == report.refused[str(path)]
        ended = functions.call("one")
        assert ended.error == "ValueError: line 4"
        assert "raise ValueError('line 4')" in ended.err, "the traceback shows the lines that ran"

    def test_the_last_good_version_outlives_a_crash_and_further_reloads(self, functions: Functions) -> None:
        functions.write("mine.py", "def one(): return 'good'\n")
        functions.executor.functions()
        path = functions.write("mine.py", "def one(:\n")
        functions.executor.reload()
        functions.executor.reload()
        worker = functions.worker_pid()
        os.kill(worker, 9)
        until(lambda: not alive(worker), "it is dead")
        assert functions.call("one").out == "good"
        assert functions.worker_pid() != worker
        assert "SyntaxError" in functions.executor.problems()[str(path)]
        functions.write("mine.py", "def one(): return 'better'\n")
        assert functions.executor.reload().changed == ["one"]
        assert functions.call("one").out == "better"
        assert functions.executor.problems() == {}

    def test_a_sibling_that_is_broken_now_is_imported_as_it_was(self, functions: Functions) -> None:
        functions.write("a.py", "import lib\ndef a(): return lib.value()\n")
        functions.write("lib.py", "def value(): return 'good'\n")
        functions.executor.functions()
        functions.write("lib.py", "def value(:\n")
        functions.write("a.py", "import lib\ndef a(): return lib.value() + '!'\n")
        report = functions.executor.reload()
        assert [Path(path).name for path in report.refused] == ["lib.py"]
        assert functions.call("a").out == "good!"

    def test_a_name_keeps_its_owner_when_another_file_takes_it(self, functions: Functions) -> None:
        first = functions.write("b.py", "def same(): return 'first'\n")
        assert functions.call("same").out == "first"
        second = functions.write("a.py", "def same(): return 'second'\ndef other(): pass\n")
        report = functions.executor.reload()
        assert report.added == ["other"]
        for path in (first, second):
            assert report.refused[str(path)] == f"`same` is defined by {second} and {first}"
        assert functions.call("same").out == "first"

    def test_a_function_may_move_to_another_file(self, functions: Functions) -> None:
        old = functions.write("a.py", "def moved(): return 'a'\n")
        functions.executor.functions()
        old.unlink()
        functions.write("b.py", "def moved(): return 'b'\n")
        report = functions.executor.reload()
        assert (report.changed, report.refused) == (["moved"], {})
        assert functions.call("moved").out == "b"

    def test_what_runs_finishes_on_the_old_code(self, functions: Functions) -> None:
        functions.write(
            "mine.py",
            "import os, time\ndef version(): return 'old'\ndef slow(gate: str):\n    print('begun')\n"
            "    while not os.path.exists(gate): time.sleep(0.01)\n    return version()\n",
        )
        attempt = functions.start("slow", str(functions.home / "gate"), "r1")
        until(lambda: functions.out("r1"), "it runs")
        old = functions.worker_pid()
        functions.write("mine.py", "def version(): return 'new'\ndef slow(gate: str): return version()\n")
        assert functions.executor.reload().changed == ["slow", "version"]
        assert functions.call("slow", "x").out == "new"
        assert attempt.outcome() is None
        assert alive(old)
        (functions.home / "gate").touch()
        assert functions.wait(attempt).success
        assert functions.out("r1") == "begun\nold"
        until(lambda: not alive(old), "the old worker left")

    def test_reloads_leave_no_worker_behind(self, functions: Functions) -> None:
        pids = []
        for _ in range(3):
            functions.executor.reload()
            pids.append(functions.worker_pid())
        until(lambda: [alive(pid) for pid in pids] == [False, False, True], "only the last one is left")
        functions.executor.close()
        until(lambda: not alive(pids[-1]), "none is left")
