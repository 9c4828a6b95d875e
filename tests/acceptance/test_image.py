"""
The image, as far as it can be shown without an engine: what is copied suffices to build, and how a container begins.

Lines of the Dockerfile are read from it, with its folders moved to a place of the test.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Home, wait_for

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def lines(word: str) -> list[str]:
    """What stands behind an instruction, oldest first."""
    return re.findall(rf"^{word} (.+)$", DOCKERFILE, re.MULTILINE)


def allowed(path: Path) -> bool:
    """Whether .dockerignore lets a path of the project into the build."""
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert patterns[0] == "*"
    names = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(str(path) == name or str(path).startswith(f"{name}/") for name in names)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that stands for the image's root, with the project built and installed from what is copied."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    for words in map(str.split, lines("COPY")):
        if words[0].startswith("--"):
            continue
        *names, target = words
        for name in map(Path, names):
            assert allowed(name), f".dockerignore keeps {name} out"
            place = root / "usr" / "local" / "bin" / name.name if target.startswith("/") else source / target / (
                name.name if target == "./" else ""
            )  # fmt: skip
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
    (build,) = [line for line in lines("RUN") if "pip install" in line]
    make, install = build.replace("/opt/pyjobs", str(root / "opt")).split(" && ")
    subprocess.run([sys.executable, *make.split()[1:]], check=True, capture_output=True)
    packages = next((root / "opt" / "lib").glob("python*/site-packages"))
    # No network: what it needs comes from the environment of the tests.
    (packages / "tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    words = [word.strip("'") for word in install.split()]
    done = subprocess.run(
        [*words[:2], "--no-deps", "--no-index", "--no-build-isolation", *words[2:]],
        cwd=source, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield root
    shutil.rmtree(root)


def container(image: Path, home: Home, *command: str) -> subprocess.Popen[str]:
    """What an engine starts, by ENTRYPOINT and CMD or another command."""
    (entry,) = re.findall(r'"([^"]+)"', lines("ENTRYPOINT")[0])
    said = list(command) or re.findall(r'"([^"]+)"', lines("CMD")[-1])
    env = home.env | {"PATH": f"{image / 'opt' / 'bin'}{os.pathsep}{home.env['PATH']}", "HOST": "127.0.0.1"}
    env.pop("PYTHONPATH")
    script = image / "usr" / "local" / "bin" / entry
    return subprocess.Popen(
        ["sh", str(script), *said], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def code_of(image: Path, home: Home, *command: str) -> int:
    """The exit code of a command in a container."""
    begun = container(image, home, *command)
    begun.communicate(timeout=60)
    return begun.returncode


def test_it_starts_is_healthy_runs_jobs_and_stops_cleanly(image: Path, home: Home) -> None:
    home.path.mkdir()
    daemon = container(image, home)
    (check,) = [line for line in lines("HEALTHCHECK") if "CMD" in line]
    words = re.findall(r'"([^"]+)"', check)
    try:
        wait_for(lambda: code_of(image, home, *words) == 0, "health")
        home.pyjobs("job", "add", "tick", "--every", "1s", "--command", "echo hello")
        wait_for(lambda: home.rows("SELECT 1 FROM job_logs WHERE state = 'success'"), "a run")
    finally:
        daemon.send_signal(signal.SIGTERM)
        said, _ = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, said
    assert code_of(image, home, *words) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_volume_that_cannot_be_written_is_said_in_plain_words(image: Path, home: Home) -> None:
    (home.path / "data").mkdir(parents=True)
    (home.path / "data").chmod(0o500)
    begun = container(image, home)
    said, _ = begun.communicate(timeout=30)
    assert begun.returncode == 4
    assert "cannot be written by user" in said
    assert "hint: on the host: chown" in said


def test_a_home_that_cannot_be_made_is_said_in_plain_words(image: Path, home: Home) -> None:
    home.path.write_text("no folder")
    begun = container(image, home)
    said, _ = begun.communicate(timeout=30)
    assert begun.returncode == 4
    assert "hint: on the host: chown" in said
