"""
Make `.venv` at the project's root and install the project into it; quick when there is nothing to do.

    python3 scripts/bootstrap.py [--group NAME]... [--force]

Needs nothing but the standard library. The syntax is that of Python 3.8, so that an old interpreter can say what is
missing. PYJOBS_PYTHON names the interpreter to take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "pyjobs-bootstrap.json"
#: Where an interpreter is looked for after the one that runs this.
NAMES = ("python3.13", "python3.12", "python3.11", "python3.10", "python3", "python")
VENV_HINT = "hint: on Debian or Ubuntu: `apt-get install python3-venv` (as root), then try again"
#: Answers its version, and whether it can make an environment.
PROBE = """
import json, sys
try:
    import venv
    from ensurepip import bootstrap
    able = True
except ImportError:
    able = False
print(json.dumps([list(sys.version_info[:3]), able]))
"""


def main() -> None:
    """Do what is missing, and say what is done."""
    parser = argparse.ArgumentParser(description="Make .venv and install the project into it.")
    parser.add_argument("--group", action="append", default=[], help="a dependency group of pyproject.toml as well")
    parser.add_argument("--force", action="store_true", help="make it anew")
    wanted = parser.parse_args()
    stamp = {} if wanted.force else read_stamp()
    groups = sorted({*wanted.group, *stamp.get("groups", [])})
    if stamp and stamp == expected_stamp(groups, stamp.get("python", "")):
        return
    if wanted.force or not usable():
        create()
    if STAMP.exists():
        STAMP.unlink()
    install(groups)
    STAMP.write_text(json.dumps(expected_stamp(groups, venv_version())), encoding="utf-8")
    say("ready: " + str(BIN / "pyjobs"))


def say(text: str) -> None:
    """Progress, to stderr."""
    sys.stderr.write("bootstrap: " + text + "\n")
    sys.stderr.flush()


def give_up(*lines: str) -> NoReturn:
    """Say what is wrong and what to do about it."""
    sys.stderr.write("error: " + "\n".join(lines) + "\n")
    raise SystemExit(1)


def read_stamp() -> dict[str, Any]:
    """What the last run installed; empty when it did not end well or its environment is broken."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and venv_version() == stamp.get("python") else {}


def expected_stamp(groups: list[str], python: str) -> dict[str, Any]:
    """What a run writes that installed `groups`; the root is in it since an environment cannot be moved."""
    content = (ROOT / "pyproject.toml").read_bytes()
    return {"pyproject": hashlib.sha256(content).hexdigest(), "root": str(ROOT), "python": python, "groups": groups}


def venv_version() -> str:
    """The version of the environment's interpreter; empty when it does not run."""
    found = probe(str(BIN / "python"))
    return dotted(found[0]) if found else ""


def usable() -> bool:
    """Whether the environment is there, new enough, has pip, and was made in this place."""
    config = VENV / "pyvenv.cfg"
    found = probe(str(BIN / "python")) if config.exists() else None
    if not found or found[0] < OLDEST:
        return False
    shebang = next((path.read_bytes()[:500] for path in [BIN / "pip"] if path.exists()), b"")
    moved = os.name != "nt" and os.fsencode(str(BIN)) not in shebang
    return not moved and run_quietly([str(BIN / "python"), "-m", "pip", "--version"]) is not None


def create() -> None:
    """Make the environment with the best interpreter that there is."""
    python, version = choose()
    say(f"making .venv with Python {dotted(version)} ({python})")
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run([python, "-m", "venv", str(VENV)], check=False)
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        give_up(f"`{python} -m venv` failed, see above", VENV_HINT)


def choose() -> tuple[str, tuple[int, ...]]:
    """An interpreter that is new enough and can make an environment: its path and version."""
    named = os.environ.get("PYJOBS_PYTHON")
    candidates = [named] if named else [sys.executable, *NAMES]
    seen = []  # type: list[tuple[str, tuple[int, ...], bool]]
    for name in filter(None, candidates):
        path = shutil.which(name)
        found = probe(path) if path else None
        if path and found:
            seen.append((path, *found))
            if found[0] >= OLDEST and found[1]:
                return path, found[0]
    unable = [path for path, version, _ in seen if version >= OLDEST]
    if unable:
        give_up(f"`{unable[0]}` cannot make a virtual environment: it has no venv or no ensurepip", VENV_HINT)
    old = ", ".join(sorted({f"`{path}` is {dotted(version)}" for path, version, _ in seen}))
    give_up(
        f"Python 3.10 or newer is needed; {old or 'there is no `' + (named or 'python3') + '`'}",
        "hint: install one (Debian 12, Ubuntu 22.04 and newer: `apt-get install python3 python3-venv`),",
        "      or name it: `PYJOBS_PYTHON=/path/to/python3.12 make demo`",
    )


def dotted(version: tuple[int, ...]) -> str:
    """A version as text."""
    return ".".join(map(str, version))


def probe(python: str) -> tuple[tuple[int, ...], bool] | None:
    """The version of an interpreter and whether it can make environments; None when it does not run."""
    answer = run_quietly([python, "-I", "-c", PROBE])
    if answer is None:
        return None
    version, able = json.loads(answer)
    return tuple(version), able


def install(groups: list[str]) -> None:
    """The project, editable, with its dependencies and those of `groups`."""
    python = str(BIN / "python")
    if pip_version(python) < (25, 1):
        say("upgrading pip (dependency groups need 25.1)")
        pip(python, "--upgrade", "pip>=25.1")
    extra = [word for group in groups for word in ("--group", group)]
    say("installing pyjobs" + ("".join(" + " + group for group in groups)) + " into .venv")
    pip(python, "--editable", ".", *extra)


def pip_version(python: str) -> tuple[int, ...]:
    """The version of the environment's pip, its first two numbers."""
    answer = run_quietly([python, "-m", "pip", "--version"]) or "pip 0.0"
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in answer.split()[1].split(".")[:2])


def pip(python: str, *arguments: str) -> None:
    """Run `pip install`; its own messages are shown only where they matter."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, cwd=str(ROOT), check=False)
    if done.returncode:
        give_up(
            "pip could not install what is needed, see above",
            "hint: is there a network? A mirror is named by PIP_INDEX_URL or in pip's own configuration",
        )


def run_quietly(command: list[str]) -> str | None:
    """The standard output of a command; None when it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
