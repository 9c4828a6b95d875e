"""
The tests under the names that the specification uses: `python run_tests.py --all`.

A thin alias over pytest and nox; what is not known here goes on to pytest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
#: What the files of an area are called.
AREAS = {
    "api": ("test_api*.py",),
    "models": ("test_store*.py", "test_contract*.py", "test_tables*.py", "test_migrations*.py", "test_jobs*.py"),
    "core": (
        *("test_runner*.py", "test_timetable*.py", "test_trigger*.py", "test_cron*.py", "test_service*.py"),
        *("test_command*.py", "test_http*.py", "test_func*.py", "test_spool*.py", "test_daemon*.py"),
    ),
}
NO_TESTS = 5  # pytest's own code for it


def main() -> int:
    """Run what was asked for. Answers its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip(), allow_abbrev=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="the whole suite (if nothing is said)")
    which.add_argument("--api", action="store_true", help="tests of the API")
    which.add_argument("--models", action="store_true", help="tests of jobs and their store")
    which.add_argument("--core", action="store_true", help="tests of triggers, runner and executors")
    which.add_argument("--quality", action="store_true", help="formatting, lint, types, imports")
    asked, rest = parser.parse_known_args()
    if asked.quality:
        return run("nox", "-s", "lint", "types", "imports", "completions", "requirements")
    area = next((name for name in AREAS if getattr(asked, name)), None)
    files = [str(path) for path in find(area)] if area else []
    if area and not files:
        print(f"there are no tests of `{area}` in this version", file=sys.stderr)
        return NO_TESTS
    return run("pytest", "-n", "2", *files, *rest)


def find(area: str) -> list[Path]:
    """The files of an area."""
    return sorted({path for pattern in AREAS[area] for path in (ROOT / "tests").rglob(pattern)})


def run(module: str, *arguments: str) -> int:
    """Run a module of this interpreter on the source tree, installed or not."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
