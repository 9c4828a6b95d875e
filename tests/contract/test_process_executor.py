"""What every attempt that is a process promises (semantics §8), with real processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, a_run
from waiting import wait_for

from pyjobs import procs
from pyjobs.commandtext import CommandSpec
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.executors.command import CommandExecutor
from pyjobs.executors.process import ProcessAttempt, find_strays
from pyjobs.executors.spool import Spool
from pyjobs.jobs import Run, RunState
from pyjobs.ports import Launch, Outcome

_names = itertools.count(1)


def alive(pid: int) -> bool:
    return procs.start_time(pid) is not None and not procs.is_zombie(pid)


@dataclass
class Commands:
    """A home with an executor; what it started is ended with the test."""

    home: Path
    executor: CommandExecutor = field(init=False)
    spool: Spool = field(init=False)
    started: list[tuple[str, ProcessAttempt]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = Settings(home=self.home)
        self.exits = settings.run_dir / "exits"
        self.exits.mkdir(parents=True)
        self.spool = Spool(settings.spool_dir, keep_bytes=65536, max_bytes=1 << 20)
        self.spool.prepare()
        self.executor = CommandExecutor(settings, self.spool)

    def start(self, text: str, **spec: Any) -> ProcessAttempt:
        exec_id = f"contract-{os.getpid()}-{next(_names)}"
        attempt = self.executor.start(
            Launch(
                exec_id=exec_id,
                job_id=7,
                job_name="j",
                attempt=1,
                spec=CommandSpec(command=text, **spec),
                scheduled_ms=NOW_MS,
                timeout_s=0,
            )
        )
        self.started.append((exec_id, attempt))
        return attempt

    def run(self, text: str, **spec: Any) -> tuple[Outcome, str, str]:
        """Run it to its end: (outcome, stdout, stderr)."""
        attempt = self.start(text, **spec)
        outcome = ended(attempt)
        spooled = self.spool.read(self.exec_id)
        return outcome, spooled.output[: spooled.stderr_at], spooled.output[spooled.stderr_at :]

    @property
    def exec_id(self) -> str:
        """Of the last start."""
        return self.started[-1][0]

    def close(self) -> None:
        for exec_id, attempt in self.started:
            if attempt.fileno() >= 0:
                attempt.stop(force=True)
                wait_for(attempt.gone, f"{exec_id} is gone")
                attempt.close()
            for pid in find_strays(exec_id, 0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.executor.close()


def ended(attempt: ProcessAttempt) -> Outcome:
    found = wait_for(attempt.outcome, "the attempt ends")
    assert found is not None
    return found


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(tmp_path)
    yield made
    made.close()


def written(path: Path, what: str = "it is written") -> str:
    """Wait for a file with a whole line and give that."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), what)
    return path.read_text().strip()


class TestVerdict:
    @pytest.mark.parametrize("code", [0, 1, 7, 126, 255])
    def test_success_is_exit_status_0(self, commands: Commands, code: int) -> None:
        outcome, _, _ = commands.run(f"exit {code}")
        assert outcome.success is (code == 0)
        assert outcome.exit_code == code
        assert outcome.signal is None
        assert outcome.error == ("" if code == 0 else f"exit status {code}")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
    def test_a_signal_is_named(self, commands: Commands, number: signal.Signals) -> None:
        outcome, _, _ = commands.run(f"kill -{number.value} $$")
        assert outcome == Outcome(
            success=False, exit_code=128 + number, signal=number, error=f"ended by {signal.Signals(number).name}"
        )

    @pytest.mark.parametrize(
        ("text", "code"),
        [("if", 2), ("no-such-program-anywhere", 127), ("exec /etc/passwd", 126), ("trap 'exit 9' EXIT; true", 9)],
    )
    def test_a_text_that_goes_its_own_ways_is_judged_by_its_status(
        self, commands: Commands, text: str, code: int
    ) -> None:
        assert commands.run(text)[0].exit_code == code

    def test_the_end_makes_the_descriptor_readable(self, commands: Commands) -> None:
        attempt = commands.start("exit 3")
        assert select.select([attempt], [], [], 20)[0] == [attempt]
        assert ended(attempt).exit_code == 3

    def test_the_outcome_can_be_asked_until_close(self, commands: Commands) -> None:
        attempt = commands.start("exit 3")
        first = ended(attempt)
        assert [attempt.outcome() for _ in range(3)] == [first] * 3
        assert attempt.pid is not None
        assert procs.is_zombie(attempt.pid)
        attempt.close()
        assert procs.start_time(attempt.pid) is None

    def test_it_has_no_outcome_while_it_runs(self, commands: Commands) -> None:
        attempt = commands.start("sleep 100")
        assert attempt.outcome() is None
        assert not attempt.gone()
        assert not select.select([attempt], [], [], 0)[0]


class TestOutput:
    def test_both_streams_are_kept_apart_and_in_order(self, commands: Commands) -> None:
        _, out, err = commands.run("for i in $(seq 500); do echo o$i; echo e$i >&2; done")
        assert out.split() == [f"o{n}" for n in range(1, 501)]
        assert err.split() == [f"e{n}" for n in range(1, 501)]

    def test_several_writers_append(self, commands: Commands) -> None:
        _, out, _ = commands.run("for i in $(seq 20); do (for j in $(seq 20); do echo line; done) & done; wait")
        assert out.splitlines() == ["line"] * 400

    def test_it_can_be_read_while_it_is_written(self, commands: Commands) -> None:
        commands.start(f"{sys.executable} -c \"print('now'); import time; time.sleep(100)\"")
        wait_for(lambda: commands.spool.read(commands.exec_id).output == "now\n", "unbuffered output")

    def test_a_later_attempt_adds_to_the_file(self, commands: Commands) -> None:
        commands.run("echo 1")
        spec = CommandSpec(command="echo 2")
        launch = Launch(
            exec_id=commands.exec_id, job_id=7, job_name="j", attempt=2, spec=spec, scheduled_ms=None, timeout_s=0
        )
        again = commands.executor.start(launch)
        ended(again)
        again.close()
        assert commands.spool.read(commands.exec_id).output == "1\n2\n"

    def test_only_the_owner_may_read_it(self, commands: Commands) -> None:
        before = os.umask(0)
        try:
            commands.run("echo; echo >&2")
        finally:
            os.umask(before)
        files = [commands.spool.out(commands.exec_id), commands.spool.err(commands.exec_id)]
        assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]


class TestSurroundings:
    def environment(self, commands: Commands, **spec: Any) -> dict[str, str]:
        _, out, _ = commands.run("env -0", **spec)
        return dict(entry.split("=", 1) for entry in out.split("\N{SYMBOL FOR NULL}") if entry)

    def test_it_is_told_what_it_is(self, commands: Commands) -> None:
        found = self.environment(commands)
        assert found["PYJOBS_RUN_ID"] == commands.exec_id
        assert found["PYJOBS_JOB_ID"] == "7"
        assert found["PYJOBS_SCHEDULED_FOR"] == "2030-01-01T00:00:00Z"
        assert found["PYJOBS_HOME"] == str(commands.home)
        assert found["PYTHONUNBUFFERED"] == "1"

    def test_a_start_by_hand_has_no_instant(self, commands: Commands) -> None:
        launch = Launch(
            exec_id=f"hand-{os.getpid()}",
            job_id=None,
            job_name="j",
            attempt=1,
            spec=CommandSpec(command='echo "[$PYJOBS_JOB_ID$PYJOBS_SCHEDULED_FOR]"'),
            scheduled_ms=None,
            timeout_s=0,
        )
        attempt = commands.executor.start(launch)
        ended(attempt)
        attempt.close()
        assert commands.spool.read(launch.exec_id).output == "[]\n"

    def test_settings_and_secrets_of_pyjobs_are_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ours = [
            "PYJOBS_ANYTHING",
            "PYJOBS_SMTP_PASSWORD",
            "SMTP_PASSWORD",
            "DATABASE_URL",
            "DB_PASSWORD",
            "API_SECRET_KEY",
            "API_SECRET_KEY_FILE",
            "SMTP_PASSWORD_FILE",
            "SMS_WEBHOOK",
        ]
        for name in ours:
            monkeypatch.setenv(name, "canary")
        monkeypatch.setenv("OTHERS", "stay")
        commands = Commands(tmp_path)
        found = self.environment(commands)
        commands.close()
        assert "canary" not in found.values()
        assert found["OTHERS"] == "stay"
        assert found["PATH"] == os.environ["PATH"]

    def test_its_own_variables_are_added(self, commands: Commands) -> None:
        env = (("A", "1 ' \" 张\n2"), ("PATH", "/bin:/usr/bin"), ("PYTHONUNBUFFERED", ""), ("PYJOBS_RUN_ID", "forged"))
        found = self.environment(commands, env=env)
        assert found["A"] == "1 ' \" 张\n2"
        assert found["PATH"] == "/bin:/usr/bin"
        assert found["PYTHONUNBUFFERED"] == ""
        # By this name all that belongs to a run is found.
        assert found["PYJOBS_RUN_ID"] == commands.exec_id

    def test_a_folder_for_output_that_somebody_deleted_is_made_again(self, commands: Commands) -> None:
        shutil.rmtree(commands.home / "data" / "spool")
        _, out, _ = commands.run("echo here")
        assert out == "here\n"

    def test_nothing_is_inherited(self, tmp_path: Path) -> None:
        left_open = os.open("/dev/null", os.O_RDONLY)
        os.set_inheritable(left_open, True)
        commands = Commands(tmp_path)
        try:
            for workdir in ("", "/"):
                folder = Path(f"/proc/{commands.start('sleep 100', workdir=workdir).pid}/fd")
                # While a program starts it opens its libraries, and closes them again.
                wait_for(lambda folder=folder: {link.name for link in folder.iterdir()} == {"0", "1", "2"}, "no others")  # type: ignore[misc]
                assert (folder / "0").readlink() == Path("/dev/null")
        finally:
            os.close(left_open)
            commands.close()

    def test_no_signal_is_ignored_or_blocked(self, commands: Commands) -> None:
        _, out, _ = commands.run("grep -E 'SigBlk|SigIgn' /proc/self/status")
        masks = dict(line.split(":\t") for line in out.splitlines())
        assert int(masks["SigBlk"], 16) == 0
        ignored = int(masks["SigIgn"], 16)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
            assert not ignored & 1 << number - 1

    def test_it_has_a_session_of_its_own(self, commands: Commands) -> None:
        attempt = commands.start("sleep 100")
        assert attempt.pid is not None
        assert os.getsid(attempt.pid) == os.getpgid(attempt.pid) == attempt.pid
        assert attempt.pid_start == procs.start_time(attempt.pid)


def _without_times(text: str) -> str:
    return re.sub(r"[0-9.]+s", "", text)


class TestPlainWords:
    """A text of plain words is executed without a shell; nobody may notice but by the time it takes."""

    @pytest.fixture
    def at_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("_", raising=False)
        for name, mode in (("script", 0o755), ("unreadable", 0o644)):
            (tmp_path / name).write_text("echo from a script $0 $#\n")
            (tmp_path / name).chmod(mode)
        commands = Commands(tmp_path)
        yield commands
        commands.close()

    @pytest.mark.parametrize(
        "text",
        [
            "true",
            "false",
            "ls /no/such/file",
            "ls   -d  /",
            "./script a b",
            "./unreadable",
            "no_such_command_zz",
            "./no/such/file",
            "/etc",
            "sh -c exit",
            "echo -n a",
            "printf %q a",
            "test -e /",
            "A=1",
            "time true",
            "type true",
            "pwd",
            "cat",
        ],
    )
    def test_it_ends_and_writes_as_by_the_shell(self, at_home: Commands, text: str) -> None:
        outcome, out, err = at_home.run(text)
        by_shell, shell_out, shell_err = at_home.run(text, workdir=str(at_home.home))
        assert (outcome, out) == (by_shell, shell_out)
        assert err.replace("real\t0m0.001s", "") or not shell_err

    def test_it_needs_no_shell(self, at_home: Commands) -> None:
        assert "\n_=" not in at_home.run("env")[1]
        assert "\n_=" in at_home.run("env;")[1]

    def test_a_shell_that_reads_a_file_first_is_asked(self, at_home: Commands) -> None:
        (at_home.home / "rc").write_text("true() { echo mine; }\n")
        assert at_home.run("true", env=(("BASH_ENV", str(at_home.home / "rc")),))[1] == "mine\n"


class TestFolder:
    def test_it_starts_at_home(self, commands: Commands) -> None:
        assert commands.run("pwd")[1] == f"{commands.home}\n"

    @pytest.mark.parametrize("name", ["sub", "-x y'\"$z", "文件"])
    def test_a_folder_is_relative_to_home(self, commands: Commands, name: str) -> None:
        (commands.home / name).mkdir()
        outcome, out, err = commands.run("pwd; exit 5", workdir=name)
        assert (outcome.exit_code, out, err) == (5, f"{commands.home / name}\n", "")

    def test_an_absolute_one_is_taken_as_it_is(self, commands: Commands) -> None:
        assert commands.run("pwd", workdir="/")[1] == "/\n"

    def test_a_tilde_is_the_users_home(self, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/usr")
        assert commands.run("pwd", workdir="~/bin")[1] in ("/usr/bin\n", "/bin\n")

    def test_the_text_is_run_by_the_same_shell(self, commands: Commands) -> None:
        here = commands.run("echo $0 ${BASH_VERSION:-none}")[1]
        assert commands.run("echo $0 ${BASH_VERSION:-none}", workdir="/")[1] == here

    @pytest.mark.parametrize("workdir", ["missing", "a-file", "~nobody-of-that-name/x", "x" * 5000])
    def test_one_that_is_not_there_is_said(self, commands: Commands, workdir: str) -> None:
        (commands.home / "a-file").touch()
        with pytest.raises(RunFailed, match=r"working directory .* is not there"):
            commands.start("true", workdir=workdir)


class TestStop:
    def test_term_ends_the_whole_tree(self, commands: Commands) -> None:
        pids = commands.home / "pids"
        attempt = commands.start(f"(sleep 100 & echo $! > {pids}; wait) & sleep 100 & wait")
        child = int(written(pids))
        attempt.stop(force=False)
        wait_for(attempt.gone, "all is gone")
        assert not alive(child)
        assert ended(attempt).signal == signal.SIGTERM

    def test_a_trap_may_end_it_in_its_own_way(self, commands: Commands) -> None:
        ready = commands.home / "ready"
        attempt = commands.start(f"trap 'echo bye; exit 4' TERM; echo > {ready}; while :; do sleep 0.01; done")
        wait_for(ready.exists, "the trap is set")
        attempt.stop(force=False)
        assert ended(attempt).exit_code == 4
        assert commands.spool.out(commands.exec_id).read_text() == "bye\n"

    def test_one_that_ignores_term_is_killed(self, commands: Commands) -> None:
        ready = commands.home / "ready"
        attempt = commands.start(f"trap '' TERM; echo > {ready}; while :; do sleep 0.01; done")
        wait_for(ready.exists, "the trap is set")
        attempt.stop(force=False)
        assert not attempt.gone()
        assert attempt.outcome() is None
        attempt.stop(force=True)
        wait_for(attempt.gone, "it is gone", 1)
        assert ended(attempt).signal == signal.SIGKILL

    DETACHED = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()}\\n')\n"
        "time.sleep(100)\n"
    )

    @pytest.mark.parametrize("running", [True, False])
    def test_a_grandchild_that_detached_itself_is_found(self, commands: Commands, running: bool) -> None:
        pids, text = commands.home / "pids", commands.home / "detach.py"
        text.write_text(self.DETACHED)
        attempt = commands.start(f"{sys.executable} {text} {pids}" + ("; sleep 100" if running else ""))
        stray = int(written(pids))
        attempt.stop(force=False)
        ended(attempt)
        assert not attempt.gone()
        assert alive(stray)
        attempt.stop(force=True)
        wait_for(attempt.gone, "it is gone", 1)
        assert not alive(stray)

    def test_stopping_what_has_ended_is_fine(self, commands: Commands) -> None:
        attempt = commands.start("exit 3")
        ended(attempt)
        attempt.stop(force=False)
        attempt.stop(force=True)
        assert attempt.gone()
        assert ended(attempt).exit_code == 3

    def test_another_run_is_left_alone(self, commands: Commands) -> None:
        other = commands.start("sleep 100")
        attempt = commands.start("sleep 100")
        attempt.stop(force=True)
        wait_for(attempt.gone, "it is gone")
        assert other.outcome() is None

    def test_it_ends_with_its_process_though_a_grandchild_holds_its_output(self, commands: Commands) -> None:
        pids = commands.home / "pids"
        attempt = commands.start(f"sleep 100 & echo $! > {pids}; exit 3")
        assert ended(attempt).exit_code == 3
        assert alive(int(written(pids)))


class TestNotStartable:
    def test_a_text_too_long_for_the_system_is_said(self, commands: Commands) -> None:
        with pytest.raises(RunFailed, match="could not be started: Argument list too long"):
            commands.start("true " + "x" * (1 << 20))

    def test_an_output_file_that_cannot_be_made_is_said(self, commands: Commands) -> None:
        for path in (commands.home / "data" / "spool").iterdir():
            path.unlink()
        (commands.home / "data" / "spool").rmdir()
        (commands.home / "data" / "spool").write_text("no folder")
        with pytest.raises(RunFailed, match="could not be started: Not a directory"):
            commands.start("true")

    def test_what_no_process_can_be_given_is_said(self, commands: Commands) -> None:
        with pytest.raises(RunFailed, match="could not be started"):
            commands.start("true", env=(("A", "\0"),))


#: A runner that starts one command and dies, under a supervisor that keeps exit statuses.
SUPERVISOR = """
import os, sys, time
sys.path[:0] = sys.argv[3].split(os.pathsep)
from pathlib import Path
from pyjobs import procs
from pyjobs.commandtext import CommandSpec
from pyjobs.config import Settings
from pyjobs.executors.command import CommandExecutor
from pyjobs.executors.spool import Spool
from pyjobs.ports import Launch
home, exec_id = Path(sys.argv[1]), sys.argv[2]
settings = Settings(home=home)
keeps = procs.become_subreaper()
runner = os.fork()
if not runner:
    spool = Spool(settings.spool_dir, keep_bytes=65536, max_bytes=1 << 20)
    text = "echo > started; while [ ! -e end ]; do sleep 0.01; done; echo done; exit 7"
    launch = Launch(exec_id=exec_id, job_id=1, job_name="j", attempt=1, spec=CommandSpec(command=text),
                    scheduled_ms=None, timeout_s=0)
    attempt = CommandExecutor(settings, spool).start(launch)
    print(attempt.pid, attempt.pid_start, flush=True)
    os._exit(0)
while True:
    procs.keep_exits(settings.run_dir / "exits", {runner})
    time.sleep(0.01)
"""


@pytest.fixture
def orphan(commands: Commands) -> Iterator[Run]:
    """A running command whose runner is dead; it exits with 7 once `end` is there."""
    exec_id = f"orphan-{os.getpid()}-{next(_names)}"
    command = [sys.executable, "-c", SUPERVISOR, str(commands.home), exec_id, os.pathsep.join(sys.path)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout
    try:
        pid, start = map(int, supervisor.stdout.readline().split())
        wait_for((commands.home / "started").exists, "the command runs")
        yield a_run(exec_id=exec_id, state=RunState.RUNNING, pid=pid, pid_start=start)
    finally:
        for stray in [*find_strays(exec_id, 0), supervisor.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
        supervisor.communicate()


class TestAdoption:
    def finish(self, commands: Commands, attempt: ProcessAttempt | None, run: Run) -> None:
        """Let it end, and see that its exit status was kept."""
        assert attempt is not None
        assert (attempt.pid, attempt.pid_start) == (run.pid, run.pid_start)
        assert attempt.outcome() is None
        (commands.home / "end").touch()
        outcome = ended(attempt)
        assert replace(outcome, ended_ms=None) == Outcome(success=False, exit_code=7, error="exit status 7")
        assert outcome.ended_ms is not None  # it ended when its status was kept, not when somebody came to look
        assert attempt.outcome() == outcome
        assert attempt.gone()
        assert commands.spool.read(run.exec_id).output == "done\n"
        kept = commands.exits / f"{run.pid}.{run.pid_start}"
        assert kept.exists()
        attempt.close()
        assert not kept.exists()

    def test_what_runs_is_adopted_by_its_pid(self, commands: Commands, orphan: Run) -> None:
        self.finish(commands, commands.executor.adopt(orphan), orphan)

    def test_what_runs_is_found_when_its_pid_was_not_recorded(self, commands: Commands, orphan: Run) -> None:
        self.finish(commands, commands.executor.adopt(replace(orphan, pid=None, pid_start=None)), orphan)

    def test_what_ended_meanwhile_has_its_kept_exit_status(self, commands: Commands, orphan: Run) -> None:
        (commands.home / "end").touch()
        wait_for((commands.exits / f"{orphan.pid}.{orphan.pid_start}").exists, "its exit status is kept")
        attempt = commands.executor.adopt(orphan)
        assert attempt is not None
        outcome = attempt.outcome()
        assert outcome is not None
        assert outcome.exit_code == 7
        attempt.close()

    def test_what_was_adopted_can_be_stopped(self, commands: Commands, orphan: Run) -> None:
        attempt = commands.executor.adopt(orphan)
        assert attempt is not None
        attempt.stop(force=True)
        wait_for(attempt.gone, "it is gone")
        assert ended(attempt).signal == signal.SIGKILL
        attempt.close()

    def test_the_end_of_what_was_adopted_makes_the_descriptor_readable(self, commands: Commands, orphan: Run) -> None:
        attempt = commands.executor.adopt(orphan)
        assert attempt is not None
        assert not select.select([attempt], [], [], 0)[0]
        (commands.home / "end").touch()
        assert select.select([attempt], [], [], 20)[0] == [attempt]
        attempt.close()

    def test_what_cannot_be_found_is_not_adopted(self, commands: Commands) -> None:
        assert commands.executor.adopt(a_run(exec_id="never started", state=RunState.RUNNING)) is None

    def test_what_is_gone_and_left_no_exit_status_is_lost(self, tmp_path: Path) -> None:
        """It is written down before the process is reaped: who is gone without one will never have one."""
        attempt = ProcessAttempt("x", 2**22 - 1, 1, tmp_path, child=False)
        outcome = attempt.outcome()
        assert outcome is not None
        assert outcome.lost
        assert outcome.error
        attempt.close()

    def test_one_that_its_parent_does_not_reap_is_waited_for_a_while(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with subprocess.Popen(["true"]) as child:
            wait_for(lambda: procs.is_zombie(child.pid), "it has ended")
            start = procs.start_time(child.pid)
            attempt = ProcessAttempt("x", child.pid, start, tmp_path, child=False, clock=clock)
            assert attempt.outcome() is None
            clock.advance(6)
            outcome = attempt.outcome()
            assert outcome is not None
            assert outcome.lost
            attempt.close()

    def test_a_pid_that_was_given_again_is_not_taken_for_it(self, tmp_path: Path) -> None:
        attempt = ProcessAttempt("x", os.getpid(), 1, tmp_path, child=False)
        assert attempt.fileno() == -1  # the end of that process says nothing
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:  # of whoever has the pid now
            attempt.stop(force=True)
            assert child.stdin
            child.stdin.close()
            assert child.wait(20) == 0
        outcome = attempt.outcome()
        assert outcome is not None
        assert outcome.lost
        attempt.close()


def test_nothing_leaks(commands: Commands) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    commands.run("true")
    commands.started[-1][1].close()
    before = descriptors()
    for _ in range(20):
        commands.run("true")
        commands.started[-1][1].close()
    assert descriptors() == before
    assert all(procs.start_time(attempt.pid or 0) is None for _, attempt in commands.started)
