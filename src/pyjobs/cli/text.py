"""Text on a terminal or in a pipe: width, alignment, colour, and what a terminal must not obey."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["columns", "cut", "one_line", "paint", "safe", "width", "widths_of"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_ZERO_WIDTH = ("Mn", "Me", "Cf")
_KEPT = "\n\t"
_GAP = "  "


def paint(text: str, style: str, *, on: bool) -> str:
    """`text` in a style such as `red` or `bold`; itself when colour is off or there is no style."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if on and style and text else text


def safe(text: str) -> str:
    r"""`text` with control characters written out (`\x1b`), so that a terminal shows instead of obeys them."""
    if text.isprintable():
        return text
    return "".join(char if char in _KEPT or not _obeyed(char) else _written(char) for char in text)


def one_line(text: str) -> str:
    r"""As `safe`, for a cell of a table: line breaks and tabs are written out too."""
    return text if text.isprintable() else safe(text).replace("\n", "\\n").replace("\t", "\\t")


def width(text: str) -> int:
    """How many terminal cells a text takes; East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` cells, its end replaced by an ellipsis where it is longer."""
    if width(text) <= limit:
        return text
    kept, used = [], 1
    for char in text:
        used += _cells(char)
        if used > limit:
            break
        kept.append(char)
    return "".join(kept) + "…"


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    limit: int = 0,
    styles: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """
    Lines of aligned columns, the header first.

    Args:
        header: of each column.
        rows: cells without line breaks.
        right: columns that are aligned to the right.
        limit: cells that a line may take; the widest columns are cut to it. 0 cuts nothing.
        styles: of each cell, when colour is on.
    """
    widths = widths_of(header, rows)
    if limit:
        _shrink(widths, limit - len(_GAP) * (len(widths) - 1))
        rows = [[cut(cell, wide) for cell, wide in zip(row, widths, strict=True)] for row in rows]
    lines = [_line(header, widths, right, ["bold"] * len(header) if styles is not None else None)]
    for number, row in enumerate(rows):
        lines.append(_line(row, widths, right, styles[number] if styles is not None else None))
    return lines


def widths_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """How many cells each column takes."""
    return [
        max(map(len if all(map(str.isascii, column)) else width, column)) for column in zip(header, *rows, strict=True)
    ]


def _line(cells: Sequence[str], widths: list[int], right: frozenset[int], styles: Sequence[str] | None) -> str:
    shown = []
    for index, cell in enumerate(cells):
        # Wide characters take more cells than `ljust` counts.
        wide = widths[index] if cell.isascii() else widths[index] - width(cell) + len(cell)
        aligned = cell.rjust(wide) if index in right else cell.ljust(wide)
        shown.append(aligned.replace(cell, paint(cell, styles[index], on=True), 1) if styles else aligned)
    return _GAP.join(shown).rstrip()


def _shrink(widths: list[int], room: int) -> None:
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        widths[widest] -= 1


def _cells(char: str) -> int:
    if char < "\x7f":
        return 1
    if unicodedata.category(char) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _obeyed(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _written(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
