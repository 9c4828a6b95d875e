"""Commands and groups as classes: examples in the help, modules loaded on demand, errors mapped once."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from pyjobs.cli.context import App, environment_lang
from pyjobs.cli.text import cut, paint, safe
from pyjobs.cli.tree import Branch, Entry, Node
from pyjobs.errors import Exit, Invalid, NotAllowed, PyjobsError, RunFailed

__all__ = ["Command", "Group", "RootGroup", "command_of", "examples", "report"]

_F = TypeVar("_F", bound=Callable[..., Any])
#: Of a usage error: it repeats what was typed, which a shell may have made long.
_LONGEST = 300
_SHAPE: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def examples(*lines: str) -> Callable[[_F], _F]:
    """Give a command its examples, each a line to type."""

    def attach(function: _F) -> _F:
        function.examples = lines  # type: ignore[attr-defined]
        return function

    return attach


class _InLanguage:
    """The parts of a help page that the parser writes, in the language of the call."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the first line."""
        pieces: list[str] = self.collect_usage_pieces(ctx)  # type: ignore[attr-defined]
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=_spoken("Usage: ", _lang(ctx)))

    def format_parameters(self, ctx: Any, formatter: Any) -> None:
        """List arguments and options."""
        lang = _lang(ctx)
        found: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            record = parameter.get_help_record(ctx)
            if record is not None:
                found[parameter.param_type_name].append((record[0], _spoken(record[1], lang)))
        for heading, rows in zip(("Arguments", "Options"), found.values(), strict=True):
            if rows:
                with formatter.section(_spoken(heading, lang)):
                    formatter.write_dl(rows)


class Command(_InLanguage, TyperCommand):
    """A command whose help ends with examples, kept as they were written."""

    #: Its line in Chinese, which stands above the help.
    zh = ""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write a required argument as its plain name."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Say what it is for."""
        if self.zh and _lang(ctx) == "zh":
            formatter.write(f"\n  {self.zh}\n")
            return
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List arguments and options."""
        self.format_parameters(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        with formatter.section(_spoken("Examples", _lang(ctx))):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Group(_InLanguage, TyperGroup):
    """A group that knows its commands' names and short helps from a table, and imports one when it is called."""

    def __init__(self, *, branch: Branch, **attrs: Any) -> None:
        """Take the part of the tree that is below this group."""
        self.branch = branch
        attrs["commands"] = {
            name: TyperCommand(name, short_help=node.en, hidden=isinstance(node, Entry) and node.hidden)
            for name, node in branch.entries.items()
        }
        super().__init__(**attrs)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that is meant where none is named; completion offers the names instead."""
        default = self.branch.default
        named = args and (args[0] in self.branch.entries or args[0] in _SHAPE["help_option_names"])
        if default and not named and (args or not ctx.resilient_parsing):
            args = [default, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def load(self, name: str) -> Any:
        """The real command of a name; None when there is none."""
        node = self.branch.entries.get(name)
        if node is not None and type(self.commands[name]) is TyperCommand:
            self.commands[name] = command_of(name, node)
        return self.commands.get(name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import what is called, then go on as usual."""
        self.load(args[0])
        return super().resolve_command(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Say what it is for."""
        formatter.write(f"\n  {self.branch.help(_lang(ctx))}\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List options and commands."""
        self.format_parameters(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with its line."""
        lang = _lang(ctx)
        rows = [(name, node.help(lang)) for name, node in self.branch.entries.items() if not self.commands[name].hidden]
        with formatter.section(_spoken("Commands", lang)):
            formatter.write_dl(rows)


class RootGroup(Group):
    """The root: every error of a command becomes text and an exit code here, and nowhere else."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse what stands before the first command."""
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except TyperException as exc:
            _usage(extra.get("obj") or App(), exc, args)
            raise typer.Exit(exc.exit_code) from exc
        ctx.obj = ctx.obj or App()
        ctx.obj.lang_flag = ctx.params.get("lang") or ctx.obj.lang_flag
        return ctx

    def invoke(self, ctx: Any) -> Any:
        """Run the command; release what it opened."""
        asked = [*ctx._protected_args, *ctx.args]  # noqa: SLF001 - Click's own name for it
        try:
            return super().invoke(ctx)
        except PyjobsError as exc:
            report(ctx.obj, exc)
            raise typer.Exit(exc.exit_code) from exc
        except TyperException as exc:
            _usage(ctx.obj, exc, asked)
            raise typer.Exit(exc.exit_code) from exc
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except OSError as exc:
            # The file system said no, where nobody below knew a better sentence.
            error = _refused(exc)
            report(ctx.obj, error)
            raise typer.Exit(error.exit_code) from exc
        except Exception as exc:
            # The process boundary: a user gets a sentence, never a traceback that was not asked for.
            _unexpected(ctx.obj, exc)
            raise typer.Exit(Exit.FAILED) from exc
        finally:
            if isinstance(ctx.obj, App):
                ctx.obj.close()


def command_of(name: str, node: Node) -> Any:
    """Build a command or a group from its place in the tree."""
    if not isinstance(node, Entry):
        return Group(
            name=name,
            branch=node,
            no_args_is_help=not node.default,
            context_settings=_SHAPE,
            rich_markup_mode=None,
        )
    function = node.load()
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    epilog = "\n".join(getattr(function, "examples", ()))
    single.command(name, cls=Command, epilog=epilog, context_settings=_SHAPE, hidden=node.hidden)(function)
    command = typer.main.get_command(single)
    assert isinstance(command, Command)
    command.zh = node.zh
    return command


def _lang(ctx: Any) -> str:
    return ctx.find_root().params.get("lang") or environment_lang()


def _spoken(text: str, lang: str) -> str:
    """A piece of a help page in `lang`."""
    if lang != "zh":
        return text
    from pyjobs.cli.chinese import help_in_chinese

    return help_in_chinese(text)


def report(app: App, exc: PyjobsError) -> None:
    """Write an error to stderr: text and hint, or one document where the data would have been one."""
    hint, text = exc.hint(app.lang), exc.text(app.lang)
    if isinstance(exc, Invalid) and exc.field.startswith("-"):
        text = f"`{exc.field}`{text.removeprefix(exc.field)}"  # a flag is something to type
    if app.format in ("json", "jsonl"):
        _document(exc.code, text, hint)
        return
    lines = [_headline(app, text)]
    cause: BaseException | None = exc.__cause__
    while app.verbose and cause is not None:
        lines.append(app.text("caused_by", kind=type(cause).__name__, reason=safe(str(cause))))
        cause = cause.__cause__
    lines += ["", app.text("hint", hint=safe(hint))] if hint else []
    _err(lines)
    if app.verbose > 1:
        _traceback(exc)


def _usage(app: App, exc: TyperException, args: list[str]) -> None:
    ctx = getattr(exc, "ctx", None)
    message = exc.format_message()
    if type(exc).__name__ == "NoArgsIsHelpError":
        _err([message])
        return
    extra = "unexpected extra argument" in message
    if app.lang == "zh":
        from pyjobs.cli.usage import in_chinese

        message = in_chinese(message)
    message = cut(message, _LONGEST)
    path = ctx.command_path if ctx is not None else "pyjobs"
    hint = app.text("see_help", path=path)
    option = getattr(exc, "option_name", "")
    if option in ("--lang", "--color", "--home", "-q", "--quiet", "-v", "--verbose"):
        hint = app.text("before_command", option=option)
    if extra and {"--cron", "cron"} & set(args):
        hint = app.text("quote_cron")
    if _wants_document(args):
        _document("usage", message, hint)
        return
    _err([_headline(app, message.rstrip(".")), "", app.text("hint", hint=hint)])


def _refused(exc: OSError) -> PyjobsError:
    what, why = exc.filename or "the system", exc.strerror or str(exc)
    kind = NotAllowed if isinstance(exc, PermissionError) or exc.errno == errno.EROFS else RunFailed
    return kind(f"`{what}`: {why}", hint="see `pyjobs config path`")


def _wants_document(args: list[str]) -> bool:
    """Whether a command that could not be parsed was asked for JSON."""
    joined = " ".join(args)
    return "--json" in args or any(
        f"{flag}{sep}json" in joined for flag in ("-o", "--output") for sep in (" ", "=", "")
    )


def _unexpected(app: App, exc: Exception) -> None:
    message = app.text("internal", kind=type(exc).__name__, reason=safe(str(exc)))
    if app.format in ("json", "jsonl"):
        _document("internal", message, "")
        return
    _err([_headline(app, message), "", app.text("hint", hint=app.text("internal_hint"))])
    if app.verbose:
        _traceback(exc)


def _traceback(exc: BaseException) -> None:
    import traceback

    sys.stderr.write("".join(traceback.format_exception(exc)))


def _headline(app: App, message: str) -> str:
    return paint(app.text("error"), "red", on=app.colored(sys.stderr)) + safe(message)


def _document(code: str, message: str, hint: str) -> None:
    import json

    _err([json.dumps({"schema_version": 1, "code": code, "message": message, "hint": hint}, ensure_ascii=False)])


def _err(lines: list[str]) -> None:
    sys.stdout.flush()
    sys.stderr.write("\n".join(lines) + "\n")
