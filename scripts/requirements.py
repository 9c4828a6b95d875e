"""
Write requirements.txt and requirements-test.txt from pyproject.toml; `--check` compares instead.

They are for those who install by `pip install -r`; pyproject.toml stays the one place to change.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Made from pyproject.toml by `nox -s requirements -- --write`; change it there.\n"


def main(arguments: list[str]) -> int:
    """Write or compare. Answers an exit code."""
    wrong = 0
    for name, content in contents(read_pyproject()).items():
        path = ROOT / name
        if "--check" not in arguments:
            path.write_text(content, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != content:
            print(f"{name} is not what pyproject.toml says: run `nox -s requirements -- --write`", file=sys.stderr)
            wrong = 1
    return wrong


def contents(pyproject: dict[str, Any]) -> dict[str, str]:
    """The files by name."""
    groups = pyproject["dependency-groups"]
    return {
        "requirements.txt": HEAD + lines(pyproject["project"]["dependencies"]),
        "requirements-test.txt": HEAD + "-r requirements.txt\n" + lines(resolve(groups, "dev")),
    }


def resolve(groups: dict[str, list[Any]], name: str) -> list[str]:
    """The requirements of a group and of those that it includes."""
    found: list[str] = []
    for item in groups[name]:
        found += [item] if isinstance(item, str) else resolve(groups, item["include-group"])
    return found


def lines(requirements: list[str]) -> str:
    """One a line, sorted."""
    return "".join(line + "\n" for line in sorted(set(requirements), key=str.lower))


def read_pyproject() -> dict[str, Any]:
    """What pyproject.toml says."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
