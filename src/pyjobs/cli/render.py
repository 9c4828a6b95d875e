"""Data to stdout: tables for people, plain columns for pipes, documents for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pyjobs.cli.context import App
from pyjobs.cli.text import columns, cut, one_line, paint, width, widths_of

if TYPE_CHECKING:
    from pyjobs.cli.times import View

__all__ = ["SCHEMA_VERSION", "Column", "Noun", "document", "listing", "one", "pairs", "terminal_width"]

#: Of every JSON document; a document only ever grows within one version.
SCHEMA_VERSION = 1
#: Longer tables are drawn by our own columns on a terminal too: Rich takes a third of a millisecond a row.
_RICH_ROWS = 100
#: Cells that a column keeps that may be broken over lines.
_LEAST = 8
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Column(Generic[_T]):
    """One column of a table."""

    #: Its heading, a key of the catalogue.
    heading: str
    cell: Callable[[_T, View], str]
    #: A style by item, or the same for all.
    style: Callable[[_T], str] | str = ""
    right: bool = False
    #: On a narrow terminal its cells may be broken over lines.
    fold: bool = False
    #: On a narrow terminal the part of its cells that finds no room is cut off.
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Noun(Generic[_T]):
    """How one kind of thing is listed."""

    singular: str
    plural: str
    name: Callable[[_T], str]
    #: All that a program may want to know, by stable names.
    document: Callable[[_T, View], dict[str, Any]]
    columns: Sequence[Column[_T]]
    #: Whether its table shows times, so that the zone has to be said.
    timed: bool = True


def listing(app: App, noun: Noun[_T], items: Sequence[_T], **extra: Any) -> None:
    """Write a list in the format that was asked for; `extra` joins the JSON and YAML document."""
    if app.format == "table":
        _table(app, noun, items)
    elif app.format == "name":
        app.write(noun.name(item) for item in items)
    elif app.format == "csv":
        _csv([noun.document(item, app.view) for item in items])
    elif app.format == "jsonl":
        app.write(_json({"schema_version": SCHEMA_VERSION, **noun.document(item, app.view)}) for item in items)
    else:
        document(app, {noun.plural: [noun.document(item, app.view) for item in items], **extra})


def one(app: App, noun: Noun[_T], item: _T, lines: Callable[[], Iterable[str]], **extra: Any) -> None:
    """Write one thing: `lines` for people, else as a list of one; `extra` joins the JSON and YAML document."""
    if app.format == "table":
        app.write(lines())
    elif app.format in ("json", "yaml"):
        document(app, {noun.singular: noun.document(item, app.view), **extra})
    else:
        listing(app, noun, [item])


def document(app: App, content: dict[str, Any]) -> None:
    """Write one document: YAML when that was asked for, else JSON."""
    content = {"schema_version": SCHEMA_VERSION, **content}
    if app.format == "yaml":
        import yaml

        sys.stdout.write(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    else:
        app.write([_json(content, indent=2 if app.format == "json" and app.terminal else None)])


def pairs(app: App, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of aligned names and values; an empty name goes on with the one above, an empty value is left out."""
    shown = [(app.text(key) if key else "", value) for key, value in rows if value]
    wide = max((width(name) for name, _ in shown), default=0)
    on = app.colored(sys.stdout)
    lines = []
    for name, value in shown:
        for number, line in enumerate(app.shown(value).split("\n")):
            head = name if number == 0 else ""
            lines.append(f"{paint(head, 'dim', on=on)}{' ' * (wide - width(head))}  {line}".rstrip())
    return lines


def _table(app: App, noun: Noun[_T], items: Sequence[_T]) -> None:
    if app.terminal and not items:
        app.say("none", what=app.text(f"noun.{noun.plural}"))
        return
    if not app.terminal and items and noun.timed:
        app.say("zone", zone=app.view.zone.key)
    view = app.view
    header = [app.text(column.heading) for column in noun.columns]
    rows = [[one_line(column.cell(item, view)) for column in noun.columns] for item in items]
    colored = app.colored(sys.stdout)
    styles = [[_style(column, item) for column in noun.columns] for item in items] if colored else None
    zone = app.text("zone", zone=view.zone.key) if app.terminal and noun.timed else ""
    right = frozenset(index for index, column in enumerate(noun.columns) if column.right)
    limit = terminal_width() if app.terminal else 0
    for index, column in enumerate(noun.columns):
        if column.cut and limit:
            _cut(header, rows, index, limit)
    if app.terminal and len(items) <= _RICH_ROWS:
        _rich(header, rows, noun.columns, styles, zone)
        return
    lines = columns(header, rows, right=right, limit=limit, styles=styles)
    app.write([*lines, paint(zone, "dim", on=colored)] if zone else lines)


def _cut(header: Sequence[str], rows: Sequence[list[str]], index: int, limit: int) -> None:
    """Cut the cells of one column to what the others leave of a line."""
    others = widths_of(header, rows)
    room = max(limit - sum(others) + others[index] - 2 * (len(others) - 1), width(header[index]))
    for row in rows:
        row[index] = cut(row[index], room)


def _style(column: Column[_T], item: _T) -> str:
    return column.style if isinstance(column.style, str) else column.style(item)


def _rich(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    about: Sequence[Column[_T]],
    styles: Sequence[Sequence[str]] | None,
    zone: str,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colored = styles is not None
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold" if colored else "",
    )
    for name, column, wide in zip(header, about, widths_of(header, rows), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(
            name,
            justify=justify,
            no_wrap=not column.fold,
            overflow="fold" if column.fold else "ellipsis",
            min_width=min(wide, _LEAST) if column.fold else None,
        )
    for number, row in enumerate(rows):
        table.add_row(*(Text(cell, styles[number][index] if styles else "") for index, cell in enumerate(row)))
    console = Console(
        file=sys.stdout,
        width=terminal_width(),
        force_terminal=colored,
        color_system="standard" if colored else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(table)
    if zone:
        console.print(Text(zone, "dim" if colored else ""))


def terminal_width() -> int:
    """How many cells a line of the terminal has."""
    import shutil

    return shutil.get_terminal_size().columns


def _csv(documents: Sequence[dict[str, Any]]) -> None:
    import csv

    if documents:
        writer = csv.DictWriter(sys.stdout, documents[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(documents)


def _json(content: dict[str, Any], *, indent: int | None = None) -> str:
    import json

    return json.dumps(content, ensure_ascii=False, indent=indent)
