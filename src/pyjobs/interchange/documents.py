"""
Documents <-> their rows: JSON and YAML `{export_time, jobs, logs}`, TOML `[[jobs]]`, CSV with a heading line.

A row is a mapping from column to value, with the place where it stands. Strict about syntax; what the values mean is
for `jobrows` and `runrows`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyjobs.errors import BadDocument

__all__ = ["FORMATS", "Document", "decoded", "format_of", "mapping_of", "read", "write"]

FORMATS = ("json", "yaml", "toml", "csv")
_BY_SUFFIX = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".csv": "csv"}
#: A command may be as long as a store takes it; the library's own limit is 128 KiB.
_LONGEST_CELL = 1 << 24


@dataclass(frozen=True, slots=True)
class Document:
    """What a document holds, in its order."""

    jobs: Sequence[Mapping[str, Any]]
    logs: Sequence[Mapping[str, Any]] = field(default=())


def format_of(name: str) -> str | None:
    """The format that the end of a file's name stands for; None when it stands for none."""
    found = re.search(r"\.[a-z]+$", name.lower())
    return _BY_SUFFIX.get(found[0]) if found else None


def decoded(content: bytes, name: str) -> str:
    """The text of a file, which must be UTF-8. Raises BadDocument, naming the line."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _bad(name, "is UTF-16, not UTF-8", "是 UTF-16 编码，应为 UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        # Where the mark at the beginning was left out, the place is counted without it.
        line = exc.object[: exc.start].count(b"\n") + 1
        raise _bad(
            f"{name}:{line}",
            f"the byte 0x{exc.object[exc.start]:02x} is no UTF-8",
            f"字节 0x{exc.object[exc.start]:02x} 不是有效的 UTF-8",
            hint="convert it first, as with `iconv -f GB18030 -t UTF-8`",
        ) from exc


def read(text: str, kind: str, name: str) -> Document:
    """
    The rows of a document.

    Args:
        text: all of it.
        kind: one of FORMATS.
        name: what messages call it.

    Raises:
        BadDocument: it cannot be parsed, or is no list of rows.
    """
    if kind == "csv":
        before = csv.field_size_limit(_LONGEST_CELL)
        try:
            return Document(list(_csv_rows(text, name)))
        finally:
            csv.field_size_limit(before)
    found = _parsed(text, kind, name)
    if isinstance(found, list):
        return Document(_rows(found, "jobs", name))
    if not isinstance(found, dict) or ("jobs" not in found and "logs" not in found):
        raise _bad(name, "holds no `jobs`", "中没有 `jobs`", hint="`pyjobs export` shows what is expected")
    return Document(_rows(found.get("jobs") or [], "jobs", name), _rows(found.get("logs") or [], "logs", name))


def mapping_of(text: str, kind: str, name: str) -> dict[str, Any]:
    """The tables of a TOML or YAML file. Raises BadDocument."""
    found = _parsed(text, kind, name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _bad(name, "is no table of names and values", "不是由名称和值组成的表")
    return found


def write(
    kind: str, export_time: str, jobs: Sequence[Mapping[str, Any]], logs: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Pieces of the text of a document; `logs` are read as they are written, and are in JSON and YAML only."""
    if kind == "json":
        yield from _json_pieces(export_time, jobs, logs)
    elif kind == "csv":
        yield _csv_text(jobs)
    elif kind == "toml":
        yield from _toml_pieces(export_time, jobs)
    else:
        import yaml

        content = {"export_time": export_time, "jobs": [dict(row) for row in jobs], "logs": [dict(r) for r in logs]}
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        yield yaml.dump(content, Dumper=dumper, allow_unicode=True, sort_keys=False, width=120)


def _json_pieces(
    export_time: str, jobs: Sequence[Mapping[str, Any]], logs: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    yield f'{{\n  "export_time": {json.dumps(export_time)},\n  "jobs": ['
    for number, row in enumerate(jobs):
        yield f"{',' if number else ''}\n    {json.dumps(row, ensure_ascii=False)}"
    yield '\n  ],\n  "logs": ['
    for number, row in enumerate(logs):
        yield f"{',' if number else ''}\n    {json.dumps(row, ensure_ascii=False)}"
    yield "\n  ]\n}\n"


def _toml_pieces(export_time: str, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows hold texts and numbers only, whose form is that of JSON but for one character."""
    yield f"export_time = {json.dumps(export_time)}\n"
    yield "" if jobs else "jobs = []\n"
    for row in jobs:
        yield "\n[[jobs]]\n"
        for column, value in row.items():
            if value is not None:
                yield f"{column} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007F")


def _csv_text(jobs: Sequence[Mapping[str, Any]]) -> str:
    from pyjobs.interchange.jobrows import JOB_COLUMNS

    out = io.StringIO()
    writer = csv.DictWriter(out, JOB_COLUMNS)
    writer.writeheader()
    writer.writerows(jobs)
    return out.getvalue()


def _csv_rows(text: str, name: str) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise _bad(
                    f"{name}:{reader.line_num}",
                    f"has not as many cells as there are headings ({len(reader.fieldnames or ())})",
                    f"单元格数与标题数（{len(reader.fieldnames or ())}）不一致",
                )
            yield row
    except csv.Error as exc:
        raise _bad(f"{name}:{reader.line_num}", f"is no CSV: {exc}", f"不是有效的 CSV：{exc}") from exc


def _parsed(text: str, kind: str, name: str) -> Any:
    """The value that a text stands for; where it cannot be read, the place is named."""
    try:
        if kind == "json":
            return json.loads(text)
        return _toml(text) if kind == "toml" else _yaml(text)
    except RecursionError as exc:
        raise _bad(name, "is nested too deeply", "嵌套过深") from exc
    except ValueError as exc:
        raise _bad(name, f"is no {kind.upper()}: {exc}", f"不是有效的 {kind.upper()}：{exc}") from exc


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    from pyjobs.interchange.strictyaml import loader

    try:
        return yaml.load(text, loader())  # noqa: S506 - it is a safe loader
    except yaml.YAMLError as exc:
        raise ValueError(" ".join(str(exc).split())) from exc


def _rows(found: Any, key: str, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(found, list):
        raise _bad(name, f"its `{key}` is no list", f"的 `{key}` 不是列表")
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict) or not all(isinstance(column, str) for column in row):
            raise _bad(
                name, f"{key} {number} is no table of names and values", f"{key} {number} 不是由名称和值组成的表"
            )
    return found


def _bad(where: str, en: str, zh: str, *, hint: str = "") -> BadDocument:
    return BadDocument(f"`{where}`: {en}", f"`{where}`：{zh}", hint=hint)
