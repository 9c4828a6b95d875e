"""
Make a virtual environment and install pyjobs and what it needs into it: the specification's script.

    python scripts/setup_venv.py [--venv-name venv] [--python-version 3.12] [--install-test] [--force]

`make install` does the same into `.venv`. Needs nothing but the standard library; the syntax is that of Python 3.8.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap
from bootstrap import OLDEST, ROOT, dotted, give_up, probe, say


def main() -> None:
    """Do what was asked for, and say how the environment is entered."""
    wanted = parsed()
    target = ROOT / wanted.venv_name
    files = [requirements(wanted.requirements)]
    if wanted.install_test or wanted.test:
        files.append(requirements(wanted.test_requirements))
    python = interpreter(wanted.python_version)
    if (target / "pyvenv.cfg").exists() and (wanted.force or replaced(target)):
        shutil.rmtree(target)
    elif target.exists() and not (target / "pyvenv.cfg").exists():
        give_up(f"`{target}` is there and is no virtual environment", "hint: name another one by `--venv-name`")
    if not target.exists():
        say(f"making {target.name} with {python}")
        if subprocess.run([python, "-m", "venv", str(target)], check=False).returncode:
            shutil.rmtree(str(target), ignore_errors=True)
            give_up(f"`{python} -m venv` failed, see above", bootstrap.VENV_HINT)
    install(target, files)
    say(f"ready. Enter it by: {entered(target)}")


def parsed() -> argparse.Namespace:
    """The options of the specification; `--test` is its other word for `--install-test`."""
    parser = argparse.ArgumentParser(description="Make a virtual environment and install pyjobs into it.")
    parser.add_argument("--venv-name", default="venv", help="its folder, below the project (venv)")
    parser.add_argument("--python-version", default="", metavar="VER", help="such as 3.12; else the one that runs this")
    parser.add_argument("--requirements", default="requirements.txt", metavar="FILE")
    parser.add_argument("--test-requirements", default="requirements-test.txt", metavar="FILE")
    parser.add_argument("--install-test", action="store_true", help="what the tests need as well")
    parser.add_argument("--test", action="store_true", help="the same as --install-test")
    parser.add_argument("--force", action="store_true", help="make it anew if it is there")
    wanted = parser.parse_args()
    if Path(wanted.venv_name).name != wanted.venv_name or wanted.venv_name in ("", ".", ".."):
        parser.error(f"--venv-name: `{wanted.venv_name}` is not the name of a folder in the project")
    return wanted


def requirements(name: str) -> Path:
    """A file of requirements, as named or below the project."""
    found = [path.resolve() for path in (Path(name), ROOT / name) if path.is_file()]
    if found:
        return found[0]
    return give_up(f"there is no file `{name}`", f"hint: it is looked for here and in {ROOT}")


def interpreter(version: str) -> str:
    """The interpreter that is asked for, or the best there is."""
    if not version:
        return bootstrap.choose()[0]
    name = version if os.sep in version else f"python{version}"
    path = shutil.which(name)
    found = probe(path) if path else None
    if not path or not found:
        give_up(f"there is no `{name}` here", "hint: install it, or leave `--python-version` out")
    if found[0] < OLDEST:
        give_up(f"`{name}` is {dotted(found[0])}; pyjobs needs Python {dotted(OLDEST)} or newer")
    if not found[1]:
        give_up(f"`{name}` cannot make a virtual environment: it has no venv or no ensurepip", bootstrap.VENV_HINT)
    return path


def replaced(target: Path) -> bool:
    """Ask whether an environment is to be made anew; where nobody can answer it is kept."""
    if not sys.stdin.isatty():
        say(f"{target.name} is there and is brought up to date; `--force` makes it anew")
        return False
    return input(f"{target.name} is there already. Make it anew? [y/N] ").strip().lower() in ("y", "yes")


def install(target: Path, files: list[Path]) -> None:
    """Requirements, then the project itself."""
    python = str(target / ("Scripts" if os.name == "nt" else "bin") / "python")
    say("upgrading pip")
    bootstrap.pip(python, "--upgrade", "pip")
    for path in files:
        say(f"installing {path.name}")
        bootstrap.pip(python, "--requirement", str(path))
    say("installing pyjobs")
    bootstrap.pip(python, "--no-deps", "--editable", ".")


def entered(target: Path) -> str:
    """How a shell enters the environment."""
    return f"{target}\\Scripts\\activate.bat" if os.name == "nt" else f"source {target}/bin/activate"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
