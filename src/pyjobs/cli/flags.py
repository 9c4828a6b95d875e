"""The flags that say what a job is, once for `job add` and `job edit`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import typer

from pyjobs.cli.options import function_names, zone_names
from pyjobs.jobs import Backoff, Fold, Gap, Misfire, OnLost

__all__ = ["JobFlags", "with_job_flags"]


def _flag(names: str, help_text: str, *, metavar: str = "TEXT", completion: Any = None) -> Any:
    return typer.Option(*names.split(), help=help_text, metavar=metavar, show_default=False, autocompletion=completion)


_TEXT = str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags:
    """What was typed; None is "nothing said"."""

    cron: Annotated[
        _TEXT, _flag("--cron", "When: a cron expression of 5 or 6 fields, or `@daily` …", metavar="EXPR")
    ] = None
    every: Annotated[_TEXT, _flag("--every", "When: every so often, such as `1h30m`.", metavar="DURATION")] = None
    at: Annotated[_TEXT, _flag("--at", "When: once, such as `2026-12-24 18:00`.", metavar="TIME")] = None
    manual: Annotated[bool, typer.Option("--manual", help="When: only by hand.")] = False

    http: Annotated[_TEXT, _flag("--http", "What: an HTTP request to this address.", metavar="URL")] = None
    command: Annotated[_TEXT, _flag("--command", "What: a shell text.")] = None
    func: Annotated[
        _TEXT,
        _flag("--func", "What: a function, see `pyjobs funcs list`.", metavar="NAME", completion=function_names),
    ] = None
    raw: Annotated[_TEXT, _flag("--raw", "What: the whole command text, tags and all; needs --mode.")] = None
    mode: Annotated[_TEXT, _flag("--mode", "Mode of a --raw text: http, command or func.", metavar="MODE")] = None

    method: Annotated[_TEXT, _flag("--method -X", "http: the method.  [default: GET]")] = None
    header: Annotated[list[str] | None, _flag("--header -H", "http: a header; may be repeated.", metavar="'K: V'")] = (
        None
    )
    data: Annotated[_TEXT, _flag("--data -d", "http: the body.")] = None
    cookies: Annotated[_TEXT, _flag("--cookies", "http: cookies, `a=1; b=2`.")] = None
    proxy: Annotated[_TEXT, _flag("--proxy", "http: http://, https://, socks5:// or socks5h://.", metavar="URL")] = None
    expect: Annotated[_TEXT, _flag("--expect", "http: text that the answer must hold.")] = None
    workdir: Annotated[_TEXT, _flag("--workdir", "command: the folder it runs in.", metavar="DIR")] = None
    env: Annotated[list[str] | None, _flag("--env -e", "command: a variable; may be repeated.", metavar="K=V")] = None
    arg: Annotated[_TEXT, _flag("--arg", "func: the arguments, split at commas.")] = None

    timeout: Annotated[
        _TEXT,
        _flag("--timeout", "Time-out of one attempt; 0: none.  [default: JOB_TIMEOUT, 5m]", metavar="DURATION"),
    ] = None
    retries: Annotated[int | None, _flag("--retries", "Attempts after one that failed.", metavar="N")] = None
    retry_interval: Annotated[_TEXT, _flag("--retry-interval", "Pause between attempts.", metavar="DURATION")] = None

    retry_backoff: Annotated[
        Backoff | None,
        typer.Option(
            "--retry-backoff", help="Whether that pause is fixed or exponential.", metavar="KIND", show_default=False
        ),
    ] = None
    retry_on: Annotated[
        _TEXT,
        _flag("--retry-on", "Failures to retry: timeout, error, statuses such as 75 or 500-599.", metavar="LIST"),
    ] = None
    on_lost: Annotated[
        OnLost | None,
        typer.Option("--on-lost", help="When nobody knows how a run ended.", show_default=False),
    ] = None

    alert: Annotated[
        _TEXT,
        _flag("--alert", "What to tell, such as `failures=3,recovery,late=5m,silent=26h`.", metavar="LIST"),
    ] = None

    allow_mode: Annotated[
        _TEXT,
        _flag(
            "--allow-mode",
            "When one still runs: parallel (0), serial (1), immediate (2) or replace (3).",
            metavar="MODE",
        ),
    ] = None
    misfire: Annotated[
        Misfire | None, typer.Option("--misfire", help="What becomes of missed fires.", show_default=False)
    ] = None
    catchup_window: Annotated[
        _TEXT, _flag("--catchup-window", "How old a missed fire may be to run.", metavar="DURATION")
    ] = None
    max_runs: Annotated[int | None, _flag("--max-runs", "Stop after so many runs; 0: never.", metavar="N")] = None
    timezone: Annotated[
        _TEXT,
        _flag("--timezone", "Its zone, such as `Europe/Berlin`.", metavar="ZONE", completion=zone_names),
    ] = None
    dst_gap: Annotated[
        Gap | None, typer.Option("--dst-gap", help="A time that the clock jumps over.", show_default=False)
    ] = None
    dst_fold: Annotated[
        Fold | None, typer.Option("--dst-fold", help="A time that comes twice.", show_default=False)
    ] = None
    grace: Annotated[_TEXT, _flag("--grace", "Between the polite and the hard kill.", metavar="DURATION")] = None
    desc: Annotated[_TEXT, _flag("--desc", "What it is for.")] = None


def with_job_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `flags` of a command by all the flags of `JobFlags`."""

    def called(*args: Any, **kwargs: Any) -> None:
        said = {about.name: kwargs.pop(about.name) for about in fields(JobFlags)}
        function(*args, **kwargs, flags=JobFlags(**said))

    own, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    flag_hints = get_type_hints(JobFlags, include_extras=True)
    flag_parameters = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=flag_hints[f.name])
        for f in fields(JobFlags)
    ]
    kept = [p.replace(annotation=hints[name]) for name, p in own.parameters.items() if name != "flags"]
    positional = [p for p in kept if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    keyword = [p for p in kept if p.kind is inspect.Parameter.KEYWORD_ONLY]
    called.__signature__ = own.replace(parameters=[*positional, *flag_parameters, *keyword])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (*kept, *flag_parameters)}
    called.__doc__, called.__name__ = function.__doc__, function.__name__
    return called
