"""
The one entry to everything that is checked; `nox -l` lists it.

Run from `.venv` (`make test`, `make quality`), which scripts/bootstrap.py fills, sessions use it as it is; run from
anywhere else each has an environment of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HERE = Path(sys.prefix).resolve() == ROOT / ".venv"
BACKEND = "none" if HERE else "uv|virtualenv"
#: Two cores are what a small machine has; what is after `--` may say another number.
WORKERS = ("-n", "2")

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "imports", "completions", "requirements", "test"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"


def asked(name: str) -> bool:
    """Whether a variable of this name asks for something."""
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no")


nox.options.error_on_missing_interpreters = asked("PYJOBS_ALL_PYTHONS" if "PYJOBS_ALL_PYTHONS" in os.environ else "CI")

# uv brings its own certificates; the system's are those that pip takes too.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
if "PIP_INDEX_URL" in os.environ:
    os.environ.setdefault("UV_DEFAULT_INDEX", os.environ["PIP_INDEX_URL"])


def folders() -> list[str]:
    """What comes first on the path: this environment, and interpreters that pyenv has but does not offer."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    others = [str(path) for version in PYTHONS for path in sorted(versions.glob(f"{version}.*/bin"))[-1:]]
    return [str(Path(sys.executable).parent), *others] if HERE else others


os.environ["PATH"] = os.pathsep.join([*folders(), os.environ.get("PATH", os.defpath)])


def prepare(session: nox.Session, *groups: str) -> None:
    """Install the project and dependency groups, unless the session uses the environment of nox itself."""
    if session.virtualenv.venv_backend == "none":
        return
    pyproject = nox.project.load_toml(ROOT / "pyproject.toml")
    session.install("--editable", ".", *nox.project.dependency_groups(pyproject, *groups))


def pytest(session: nox.Session, *options: str) -> None:
    """Run the suite, or what was asked for after `--`."""
    session.run("python", "-m", "pytest", *WORKERS, *options, *session.posargs)


@nox.session(venv_backend=BACKEND)
def test(session: nox.Session) -> None:
    """The suite on the interpreter that runs nox."""
    prepare(session, "test")
    pytest(session)


@nox.session(venv_backend=BACKEND)
def soak(session: nox.Session) -> None:
    """The long forms of the faults, `-- --rows`, then random ones, `-- --minutes N --seed N`; or one of both."""
    prepare(session, "test")
    if not session.posargs or "--rows" in session.posargs:
        session.run("python", "-m", "pytest", "-m", "soak", "--timeout=900", "--capture=tee-sys")
    if "--rows" not in session.posargs:
        session.run("python", "tests/acceptance/faults/soak.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite on each interpreter that is there; PYJOBS_ALL_PYTHONS=1 makes a missing one an error."""
    prepare(session, "test")
    pytest(session)


@nox.session(venv_backend=BACKEND)
def coverage(session: nox.Session) -> None:
    """The suite with branch coverage; lines that no test runs are listed."""
    prepare(session, "test")
    pytest(session, "--cov=pyjobs", "--cov-branch")


@nox.session(venv_backend=BACKEND)
def lint(session: nox.Session) -> None:
    """Formatting, ruff, shellcheck, hadolint."""
    prepare(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    scripts = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scripts").glob("*.sh"))
    session.run("shellcheck", *scripts, ".ci/run")
    session.run("hadolint", "Dockerfile")


@nox.session(venv_backend=BACKEND)
def format(session: nox.Session) -> None:  # noqa: A001 - the name to type
    """Format the code and mend what ruff can mend."""
    prepare(session, "lint")
    session.run("ruff", "check", "--fix-only", ".")
    session.run("ruff", "format", ".")


@nox.session(venv_backend=BACKEND)
def types(session: nox.Session) -> None:
    """Run mypy --strict over the package, its tests and scripts."""
    prepare(session, "dev")
    session.run("mypy")


@nox.session(venv_backend=BACKEND)
def imports(session: nox.Session) -> None:
    """Which layer may import which."""
    prepare(session, "lint")
    session.run("lint-imports")


@nox.session(venv_backend=BACKEND)
def completions(session: nox.Session) -> None:
    """The scripts in completions/ are those of the command line; `-- --write` makes them anew."""
    prepare(session)
    check = [] if "--write" in session.posargs else ["--check"]
    session.run("python", "-m", "pyjobs.cli.completions", *check, "completions")


@nox.session(venv_backend=BACKEND)
def requirements(session: nox.Session) -> None:
    """The requirements*.txt are those of pyproject.toml; `-- --write` makes them anew."""
    prepare(session)
    check = [] if "--write" in session.posargs else ["--check"]
    session.run("python", "scripts/requirements.py", *check)


@nox.session(venv_backend=BACKEND)
def bench(session: nox.Session) -> None:
    """The figures: a table on stdout; see tests/benchmarks/README.md."""
    prepare(session, "bench")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)
