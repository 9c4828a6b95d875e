"""
Files of jobs, in TOML or YAML: one table a job under `jobs`, whose keys are the flags of `pyjobs job add`.

    [jobs.backup]
    cron = "0 3 * * *"
    command = "tar czf /backup/home.tgz /home"
    env = { LEVEL = "9" }
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyjobs.errors import BadDocument, Invalid

__all__ = ["Listed", "check_keys", "listed", "normal_key", "number", "switch", "text", "texts"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One table: the name of its job, and what is said of it, the keys with `_`."""

    name: str
    table: Mapping[str, Any]


def listed(content: Mapping[str, Any], file: str) -> list[Listed]:
    """
    The tables of a file, in its order.

    Raises:
        BadDocument: it holds something else.
    """
    others = [key for key in content if key != "jobs"]
    if "jobs" not in content or others:
        what = f"`{others[0]}` has no meaning there" if others else "there is no `jobs`"
        what_zh = f"不认识 `{others[0]}`" if others else "没有 `jobs`"
        raise BadDocument(
            f"`{file}`: {what}; a job is a table `jobs.NAME`",
            f"`{file}`：{what_zh}；每个任务是一个表 `jobs.名称`",
            hint='for example `[jobs.backup]`, then `cron = "0 3 * * *"` and `command = "…"`',
        )
    tables = content["jobs"]
    if isinstance(tables, dict):
        found = [(str(name), table) for name, table in tables.items()]
    elif isinstance(tables, list):
        found = [(_own_name(table), table) for table in tables]
    else:
        raise BadDocument(f"`{file}`: `jobs` holds no tables", f"`{file}`：`jobs` 中不是表")
    jobs = []
    for number_, (name, table) in enumerate(found, 1):
        if not isinstance(table, dict) or not name:
            raise BadDocument(
                f"`{file}`: job {number_} is no table with a name", f"`{file}`：第 {number_} 个任务不是带名称的表"
            )
        said = {
            normal_key(key): value for key, value in table.items() if not (isinstance(tables, list) and key == "name")
        }
        jobs.append(Listed(name, said))
    return jobs


def normal_key(key: object) -> str:
    """A key as the flags have it: `Max-Runs` is `max_runs`."""
    return str(key).strip().lower().replace("-", "_")


def check_keys(table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise Invalid for a key that is none, naming the nearest."""
    names = sorted(known)
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
            rest = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(names)}"
            rest_zh = f"是否想写 `{near[0]}`？" if near else f"可用：{', '.join(names)}"
            raise Invalid(key, f"is no key; {rest}", f"不是有效的键；{rest_zh}")


def text(key: str, value: object) -> str:
    """A text; a number or a time is written as one. Raises Invalid."""
    if isinstance(value, str):
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise Invalid(key, f"`{value!r}` is not a text: put it in quotes", f"`{value!r}` 不是文本：请加引号")


def texts(key: str, value: object, separator: str) -> list[str]:
    """A list of texts, or a table whose names and values are joined by `separator`. Raises Invalid."""
    if isinstance(value, dict):
        return [f"{name}{separator}{text(key, content)}" for name, content in value.items()]
    if isinstance(value, list):
        return [text(key, content) for content in value]
    return [text(key, value)]


def number(key: str, value: object) -> int:
    """A whole number. Raises Invalid."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Invalid(key, f"`{value!r}` is not a whole number", f"`{value!r}` 不是整数")


def switch(key: str, value: object) -> bool:
    """`true` or `false`. Raises Invalid."""
    if isinstance(value, bool):
        return value
    raise Invalid(key, f"`{value!r}` is neither true nor false", f"`{value!r}` 应为 true 或 false")


def _own_name(table: object) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) else ""
