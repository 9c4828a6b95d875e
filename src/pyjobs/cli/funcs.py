"""`pyjobs funcs …`: the functions that jobs may call."""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pyjobs.cli import render
from pyjobs.cli.command import examples
from pyjobs.cli.context import App, app_of
from pyjobs.cli.follow import Follower
from pyjobs.cli.options import Json, Output
from pyjobs.cli.render import Column, Noun
from pyjobs.cli.times import milliseconds
from pyjobs.errors import NotFound, RunFailed, TimedOut
from pyjobs.jobs import Run, RunState, Source
from pyjobs.ports import FunctionInfo, Launch, Outcome

if TYPE_CHECKING:
    from pyjobs.executors.func import FuncExecutor

__all__ = ["call", "list_", "reload", "show"]

_POLL_S = 0.02
_BUILT_IN = "built-in"


def _noun() -> Noun[FunctionInfo]:
    return Noun(
        singular="function",
        plural="functions",
        name=lambda function: function.name,
        document=lambda function, _: {
            "name": function.name,
            "signature": function.signature,
            "description": function.description,
            "origin": function.origin,
            "problem": function.problem,
        },
        columns=(
            Column("col.name", lambda function, _: function.name, style="bold"),
            Column("col.signature", lambda function, _: function.signature, fold=True),
            Column("col.desc", lambda function, view: _described(function, view.lang), fold=True),
            Column("col.origin", lambda function, _: function.origin, style="dim", fold=True),
        ),
        timed=False,
    )


def _described(function: FunctionInfo, lang: str) -> str:
    """What it does; of a built-in one in `lang`."""
    if lang != "zh" or function.origin != _BUILT_IN:
        return function.description
    from pyjobs.cli.chinese import FUNCTIONS

    return FUNCTIONS.get(function.name, function.description)


@examples("pyjobs funcs list", "pyjobs funcs list -o name")
def list_(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """List the functions that there are: built-in ones, and those of the files in FUNCTIONS_DIR."""
    app = app_of(ctx, output, json=json)
    with _functions(app) as functions:
        render.listing(app, _noun(), functions.functions())
        _problems(app, functions.problems())


@examples("pyjobs funcs show Echo", "pyjobs funcs show my_function --json")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="FUNCTION", help="Its name.")],
    *,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show a function's arguments, what it does, and where it comes from."""
    app = app_of(ctx, output, json=json)
    with _functions(app) as functions:
        function = _find(functions.functions(), name)

    def lines() -> list[str]:
        return render.pairs(
            app,
            [
                ("col.name", function.name),
                ("col.signature", function.signature),
                ("col.desc", _described(function, app.lang)),
                ("col.origin", function.origin),
                ("f.problem", function.problem),
            ],
        )

    render.one(app, _noun(), function, lines)


@examples("pyjobs funcs reload", "pyjobs funcs reload --json")
def reload(ctx: typer.Context, *, output: Output = None, json: Json = False) -> None:
    """Load the files of functions again. One that does not import keeps its last good version, and it is said why."""
    from pyjobs import daemon

    app = app_of(ctx, output, json=json)
    served = daemon.status(app.settings) is not None
    with _functions(app) as functions:
        problems = functions.problems()
        names = [function.name for function in functions.functions()]
    if served:
        daemon.reload(app.settings)
    if app.format == "table":
        app.say("func.reloaded" if served else "func.loaded", count=len(names))
    else:
        render.document(app, {"functions": names, "refused": problems, "daemon": served})
    _problems(app, problems)


@examples("pyjobs funcs call Echo hello", "pyjobs funcs call Math '+,1,2' --timeout 5s")
def call(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="FUNCTION", help="Its name.")],
    arg: Annotated[
        str, typer.Argument(metavar="ARGS", help="Its arguments, split at commas.", show_default=False)
    ] = "",
    *,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="End it after this; 0: never.")] = "5m",
) -> None:
    """Call a function once, as a job would, and show its output. Nothing is recorded."""
    from pyjobs.bootstrap import build_spool
    from pyjobs.commandtext import FuncSpec

    app = app_of(ctx)
    timeout_s = milliseconds("--timeout", timeout) / 1000
    spool, exec_id = build_spool(app.settings), f"call-{app.clock.now_ms()}"
    spool.prepare()
    launch = Launch(
        exec_id=exec_id,
        job_id=None,
        job_name=name,
        attempt=1,
        spec=FuncSpec(name=name, arg=arg),
        scheduled_ms=None,
        timeout_s=timeout_s,
    )
    with _functions(app) as functions, contextlib.closing(Follower(app, exec_id)) as follower:
        _find(functions.functions(), name)
        try:
            outcome = _called(functions, launch, follower)
            kept = spool.read(exec_id)
            follower.finish(_as_run(launch, kept.output, kept.stderr_at))
        finally:
            spool.forget(exec_id)
    if not outcome.success:
        raise RunFailed(f"`{name}` failed: {outcome.error}", f"`{name}` 执行失败：{outcome.error}",
                        hint=f"see `pyjobs funcs show {name}`", hint_zh=f"参见 `pyjobs funcs show {name}`")  # fmt: skip


def _called(functions: FuncExecutor, launch: Launch, follower: Follower) -> Outcome:
    attempt = functions.start(launch)
    deadline = time.monotonic() + launch.timeout_s if launch.timeout_s else None
    try:
        while (outcome := attempt.outcome()) is None:
            follower.pump()
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"`{launch.job_name}` was ended after {launch.timeout_s:g} s",
                               f"`{launch.job_name}` 在 {launch.timeout_s:g} 秒后被终止")  # fmt: skip
            time.sleep(_POLL_S)
        return outcome
    finally:
        if attempt.outcome() is None:
            attempt.stop(force=True)
        attempt.close()


def _as_run(launch: Launch, output: str, stderr_at: int) -> Run:
    return Run(
        exec_id=launch.exec_id,
        job_id=None,
        job_name=launch.job_name,
        mode="func",
        command="",
        state=RunState.SUCCESS,
        source=Source.MANUAL,
        output=output,
        stderr_at=stderr_at,
    )


@contextlib.contextmanager
def _functions(app: App) -> Iterator[FuncExecutor]:
    from pyjobs.bootstrap import build_functions

    functions = build_functions(app.settings)
    try:
        yield functions
    finally:
        functions.close()


def _find(functions: list[FunctionInfo], name: str) -> FunctionInfo:
    for function in functions:
        if function.name == name:
            return function
    near = difflib.get_close_matches(name, [function.name for function in functions], n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else "see `pyjobs funcs list`"
    hint_zh = f"是否想写 `{near[0]}`？" if near else "用 `pyjobs funcs list` 查看"
    raise NotFound(f"there is no function `{name}`", f"函数不存在：`{name}`", hint=hint, hint_zh=hint_zh)


def _problems(app: App, problems: dict[str, str]) -> None:
    for file, why in problems.items():
        app.warn("func.refused", file=file, why=why)
