"""Lines of crontabs as cron reads them, the jobs that they become, and jobs as lines of a crontab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import NOW_MS, FakeClock, FakeNudge, MemoryStore, a_job
from hypothesis import given
from hypothesis import strategies as st

from pyjobs import commandtext
from pyjobs.commandtext import CommandSpec
from pyjobs.cronexpr import calendar_of, read
from pyjobs.errors import BadDocument
from pyjobs.interchange.cronlines import CannotSay, cron_of, crontab_of
from pyjobs.interchange.crontab import CronLine, crontab_lines, name_of
from pyjobs.jobs import AllowMode, Job, JobState, Misfire, TriggerType
from pyjobs.ports import JobQuery
from pyjobs.service.crontabs import Crontabs, Verdict
from pyjobs.service.jobs import Jobs

HOME = Path("/srv/pyjobs")
#: Debian's /etc/crontab, as it is installed.
DEBIAN = """\
# /etc/crontab: system-wide crontab
# Unlike any other crontab you don't have to run the `crontab'
# command to install the new version when you edit this file

SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it from the environment
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
"""
#: A user's, with what people write.
MINE = """\
MAILTO="me@example.org"
PATH = /usr/local/bin:/usr/bin:/bin
CRON_TZ=Europe/Berlin

# nightly dump
0 3 * * * /opt/bin/dump.sh --all > /var/log/dump-$(date +\\%F).log 2>&1
*/15 9-17 * jan,Jul mon-fri A=1 sudo -u www /usr/bin/python3 /srv/app/poll.py

@weekly\ttar czf ~/w.tgz ~/work
@reboot sleep 30; /usr/bin/tmux new -d
5 4 * * sun mail -s "it's %done" joe%Hello,%% 50\\% off
"""


def spec_of(line: CronLine) -> CommandSpec:
    spec = commandtext.parse("command", line.text)
    assert isinstance(spec, CommandSpec)
    return spec


def one(text: str, *, system: bool = False, me: str = "root") -> CronLine:
    lines = crontab_lines(text, system=system, me=me)
    return lines[-1]


class TestReading:
    def test_debians_own(self) -> None:
        lines = crontab_lines(DEBIAN, system=True, me="root")
        assert [(line.number, line.schedule, line.user, line.problem) for line in lines] == [
            (13, "17 * * * *", "root", None), (14, "25 6 * * *", "root", None), (15, "47 6 * * 7", "root", None),
            (16, "52 6 1 * *", "root", None),
        ]  # fmt: skip
        assert lines[0].command == "cd / && run-parts --report /etc/cron.hourly"
        assert [name_of(line.command) for line in lines] == ["cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"]
        assert {line.notes for line in lines} == {()}

    def test_a_users(self) -> None:
        lines = crontab_lines(MINE, system=False, me="joe")
        assert [line.problem for line in lines] == [None] * 5
        assert [line.schedule for line in lines] == [
            "0 3 * * *", "*/15 9-17 * jan,Jul mon-fri", "@weekly", "", "5 4 * * sun",
        ]  # fmt: skip
        assert [name_of(line.command) for line in lines] == ["dump.sh", "poll.py", "tar", "sleep", "mail"]
        assert [line.comment for line in lines] == ["nightly dump", "", "", "", ""]
        assert {line.zone for line in lines} == {"Europe/Berlin"}
        assert [line.notes for line in lines] == [("mail",), ("mail",), ("mail",), ("reboot", "mail"), ("mail",)]

    def test_the_environment_is_that_of_cron(self) -> None:
        spec = spec_of(crontab_lines(MINE, system=False, me="joe")[0])
        assert (spec.env, spec.workdir, spec.timeout) == ((("PATH", "/usr/local/bin:/usr/bin:/bin"),), "~", 0)
        spec = spec_of(one("HOME=/srv\nX='a b'\nTZ=UTC\n* * * * * x\nX=c\n"))
        assert (spec.env, spec.workdir) == ((("X", "a b"), ("TZ", "UTC")), "/srv")

    def test_percent_ends_the_command_and_gives_its_input(self) -> None:
        last = crontab_lines(MINE, system=False, me="joe")[-1]
        assert last.command.splitlines()[0] == "{ mail -s \"it's"
        assert one(r"* * * * * cat%one%two \% three").command == (
            "{ cat\n} <<'PYJOBS_STDIN'\none\ntwo % three\nPYJOBS_STDIN"
        )
        assert one(r"* * * * * date +\%F").command == "date +%F"
        assert one("* * * * * cat%PYJOBS_STDIN").command.endswith("<<'PYJOBS_STDIN_'\nPYJOBS_STDIN\nPYJOBS_STDIN_")

    def test_another_user_and_another_shell(self) -> None:
        line = one("* * * * * www-data echo $HOME", system=True)
        assert (line.user, line.notes) == ("www-data", ("user",))
        assert spec_of(line).command == "runuser -u www-data -- /bin/sh -c 'echo $HOME'"
        line = one("* * * * * www-data x", system=True, me="joe")
        assert "it runs as `www-data`, pyjobs here as `joe`" in str(line.problem)
        line = one("SHELL=/bin/zsh\n* * * * * echo *(.)")
        assert (spec_of(line).command, line.notes) == ("exec /bin/zsh -c 'echo *(.)'", ("shell",))

    @pytest.mark.parametrize(
        ("line", "schedule"),
        [("-0 1 * * * x", "0 1 * * *"), ("@hourly x", "@hourly"), ("@every_minute x", "* * * * *"),
         ("  0\t1  * * *   A=1 x=2", "0 1 * * *"), ("*/5 * * * * x = y", "*/5 * * * *")],
    )  # fmt: skip
    def test_forms_of_a_schedule(self, line: str, schedule: str) -> None:
        found = one(line)
        assert (found.schedule, found.problem) == (schedule, None)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("99 * * * * x", "cron_expr: minute field: `99`"),
            ("* * * * *", "schedule: is no line of a crontab"),
            ("hello", "schedule: is no line of a crontab"),
            ("@sometimes x", "cron_expr: there is no `@sometimes`"),
            ("0~30 * * * * x", "schedule: `~` (a random time) has no counterpart"),
            ("0 0 31 2 * x", "cron_expr: it never fires"),
            ("A=|||\n* * * * * x", "variable: holds `|||`"),
            ('"A B"=1\n* * * * * x', "env: `A B` is not a variable's name"),
        ],
    )
    def test_what_can_be_no_job_says_why(self, line: str, words: str) -> None:
        assert str(one(line).problem).startswith(words)

    def test_a_system_line_needs_a_user(self) -> None:
        assert "is no user" in str(one("* * * * * /bin/x y", system=True).problem)
        assert "is no user" in str(one("* * * * * root", system=True).problem)

    @pytest.mark.parametrize(
        ("command", "name"),
        [
            ("/opt/bin/backup.sh --all", "backup.sh"), ("cd /srv && ./run", "run"), ("A=1 B=2 /bin/x y", "x"),
            ("[ -x /bin/a ] && /bin/b", "b"), ("sudo -u x nice -n 5 /usr/bin/rsync -a", "rsync"),
            ("python3 /srv/poll.py", "poll.py"),
            ("$HOME/x", "job"), ("备份 --now", "备份"), ("'unbalanced", "unbalanced"), ("", "job"),
            ("x" * 99, "x" * 80), ("cd /srv", "srv"), ("python3", "job"),
        ],
    )  # fmt: skip
    def test_names(self, command: str, name: str) -> None:
        assert name_of(command) == name


class TestImporting:
    @pytest.fixture
    def crontabs(self, memory: MemoryStore, nudge: FakeNudge, clock: FakeClock) -> Crontabs:
        return Crontabs(memory, nudge, clock, Jobs(memory, nudge, clock, "UTC"))

    def test_jobs_do_what_cron_did(self, crontabs: Crontabs, memory: MemoryStore) -> None:
        done = crontabs.carry_out(crontab_lines(MINE, system=False, me="joe"), by="me")
        jobs = memory.jobs(JobQuery(order="oldest"))
        assert [step.job for step in done] == jobs
        dump = jobs[0]
        assert (dump.name, dump.desc, dump.cron_expr, dump.timezone, dump.misfire) == (
            "dump.sh", "nightly dump", "0 3 * * *", "Europe/Berlin", Misfire.SKIP,
        )  # fmt: skip
        assert dump.next_fire_ms == NOW_MS + 2 * 3_600_000
        assert jobs[3].trigger_type is TriggerType.MANUAL
        assert len(memory.events()) == 5

    def test_names_are_unique_and_twice_adds_nothing(self, crontabs: Crontabs, memory: MemoryStore) -> None:
        lines = crontab_lines(DEBIAN, system=True, me="root")
        crontabs.carry_out(lines)
        more = crontab_lines("1 1 * * * /bin/cron.daily\n2 2 * * * cron.daily x\n", system=False, me="joe")
        assert [step.job.name for step in crontabs.plan(more) if step.job] == ["cron.daily-2", "cron.daily-3"]
        assert [j.name for j in memory.jobs(JobQuery(order="oldest"))] == [
            "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly",
        ]  # fmt: skip
        again = crontabs.carry_out(lines)
        assert {step.verdict for step in again} == {Verdict.SKIP}
        assert memory.count_jobs(JobQuery()) == 4

    def test_one_bad_line_stops_all(self, crontabs: Crontabs, memory: MemoryStore) -> None:
        lines = crontab_lines("* * * * * a\nCRON_TZ=Mars/Base\n* * * * * b\nx\n", system=False, me="joe")
        assert [step.verdict for step in crontabs.plan(lines)] == [Verdict.ADD, Verdict.BAD, Verdict.BAD]
        with pytest.raises(BadDocument) as caught:
            crontabs.carry_out(lines)
        assert [line[:9] for line in str(caught.value).splitlines()[1:]] == ["  line 3:", "  line 4:"]
        assert memory.count_jobs(JobQuery()) == 0


def cron_job(expr: str = "0 3 * * *", command: str = "true", **changes: Any) -> Job:
    return a_job("nightly", trigger_type=TriggerType.CRON, cron_expr=expr, command=command, **changes)


numbers = st.integers(0, 59)
minutes = st.one_of(
    st.just("*"),
    st.lists(numbers, min_size=1, max_size=3).map(lambda found: ",".join(map(str, found))),
    st.integers(1, 70).map(lambda step: f"*/{step}"),
    st.tuples(numbers, numbers, st.integers(1, 9)).map(lambda t: f"{min(t[:2])}-{max(t[:2])}/{t[2]}"),
    st.tuples(numbers, st.integers(1, 70)).map(lambda t: f"{t[0]}/{t[1]}"),
)


class TestWriting:
    @given(
        minutes, st.sampled_from(["*", "?", "1", "*/2", "1,15", "31"]), st.sampled_from(["*", "MON-FRI", "7", "*/2"])
    )
    def test_a_schedule_comes_back(self, minute: str, day: str, week: str) -> None:
        expr = f"{minute} 3 {day} * {week}"
        written, zone = cron_of(cron_job(expr))
        assert (calendar_of(read(written)), zone) == (calendar_of(read(expr)), "")

    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(str.strip))
    def test_a_command_comes_back(self, text: str) -> None:
        command = text.strip()
        if commandtext.render(CommandSpec(command=command)) != command:
            return
        lines = crontab_of(cron_job(command=command), "UTC", HOME)
        if "left out" in lines[1]:
            assert len(command) > 800
            return
        back = crontab_lines("\n".join(lines), system=False, me="x")[-1]
        assert back.command == f"cd /srv/pyjobs || exit; {command}".strip()

    def test_everything_that_can_be_said(self) -> None:
        job = cron_job(
            "TZ=Asia/Tokyo */5 * * * *",
            "【command】date +%F\necho 'b'\n【env】A=b c\n【workdir】x\n【timeout】5\n【times】3",
            desc="what\nfor", allow_mode=AllowMode.SERIAL, max_run_count=4,
        )  # fmt: skip
        assert crontab_of(job, "UTC", HOME) == [
            "# nightly", "# what", "# for", "# not kept: 2 retries",
            "# not kept: what happens while one still runs (serial)", "# not kept: the limit of 4 runs",
            "CRON_TZ=Asia/Tokyo",
            (r"*/5 * * * * eval $'export A=\'b c\'; cd /srv/pyjobs/x || exit; timeout -k 10 5 bash -c "
            r"""\'date +\%F\necho \'"\'"\'b\'"\'"\'\''"""),
            "",
        ]  # fmt: skip

    def test_a_stopped_one_is_a_comment(self) -> None:
        lines = crontab_of(cron_job(state=JobState.STOPPED), "UTC", HOME)
        assert lines[1:3] == ["# it is stopped", "#0 3 * * * cd /srv/pyjobs || exit; true"]

    @pytest.mark.parametrize(
        ("seconds", "schedule"), [(60, "* * * * *"), (900, "*/15 * * * *"), (3600, "0 * * * *"), (21600, "0 */6 * * *"),
                                  (86400, "0 0 * * *")],
    )  # fmt: skip
    def test_periods_that_cron_has(self, seconds: int, schedule: str) -> None:
        assert cron_of(a_job(interval_s=seconds)) == (schedule, "")
        assert cron_of(cron_job(f"@every {seconds}s")) == (schedule, "")

    @pytest.mark.parametrize(
        ("job", "reason"),
        [
            (a_job(trigger_type=TriggerType.MANUAL), "it is only started by hand"),
            (a_job(trigger_type=TriggerType.ONCE, at_ms=NOW_MS), "at(1)"),
            (a_job(interval_s=420), "cron has no period of 420 s"),
            (cron_job("*/5 * * * * *"), "cron has no seconds"),
            (cron_job("0 0 L * *"), "cron has no L, W and #"),
            (cron_job("never"), "1 field"),
        ],
    )
    def test_what_cannot_be_said_has_a_reason(self, job: Job, reason: str) -> None:
        with pytest.raises(CannotSay, match=reason.replace("(", r"\(").replace(")", r"\)")):
            cron_of(job)
        lines = crontab_of(job, "UTC", HOME)
        assert lines[1].startswith("# left out: ")
        assert all(line.startswith("#") or not line for line in lines)

    @pytest.mark.parametrize(
        ("job", "reason"),
        [
            (cron_job(mode="http", command="http://x/"), "it is no command, but http"),
            (cron_job(mode="func", command="Echo"), "it is no command, but func"),
            (cron_job(command="x" * 1000), "no command of more than 998 characters"),
        ],
    )
    def test_neither_can_these(self, job: Job, reason: str) -> None:
        assert reason in crontab_of(job, "UTC", HOME)[1]
