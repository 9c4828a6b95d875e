"""`pyjobs apply` and `diff` over a real store: what changes, what is shown, whose jobs are whose."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeClock

from .cli_kit import Cli

FILE = """
[jobs.backup]
cron = "0 3 * * *"
command = "tar czf /b.tgz /home"
env = { API_TOKEN = "canary", LEVEL = 9 }
timeout = 300
max-runs = 5

[jobs.ping]
every = "30s"
http = "https://example.org/"
header = ["Accept: */*"]
retry_backoff = "exponential"
retry-on = "timeout,500-599"
on_lost = "retry"
allow-mode = "replace"
"""


class Kit:
    """A home, and a file of jobs."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.cli = Cli(folder / "home", clock)
        self.path = folder / "jobs.toml"
        self.name = str(self.path)
        self.write(FILE)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        text = self.path.read_text(encoding="utf-8")
        assert old in text
        self.write(text.replace(old, new))

    def names(self) -> list[str]:
        return [job["name"] for job in self.cli.json("job", "list")["jobs"]]


@pytest.fixture
def kit(tmp_path: Path, clock: FakeClock) -> Kit:
    """At 2030-01-01 00:00:00 UTC."""
    return Kit(tmp_path, clock)


class TestApply:
    def test_the_keys_are_the_flags_of_job_add(self, kit: Kit) -> None:
        done = kit.cli.try_("apply", kit.name)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "add backup\nadd ping\n", "applied: 2 added\n")
        ours = {name: kit.cli.json("job", "show", name)["job"] for name in ("backup", "ping")}
        kit.cli("job", "add", "b2", "--cron", "0 3 * * *", "--command", "tar czf /b.tgz /home", "--env",
                "API_TOKEN=canary", "--env", "LEVEL=9", "--timeout", "5m", "--max-runs", "5")  # fmt: skip
        kit.cli("job", "add", "p2", "--every", "30s", "--http", "https://example.org/", "--header", "Accept: */*",
                "--retry-backoff", "exponential", "--retry-on", "timeout,500-599", "--on-lost", "retry",
                "--allow-mode", "replace")  # fmt: skip
        for name, other in (("backup", "b2"), ("ping", "p2")):
            theirs = kit.cli.json("job", "show", other)["job"]
            assert {key for key in theirs if theirs[key] != ours[name][key]} == {"id", "name", "owned_by"}
        assert ours["ping"]["owned_by"] == kit.name

    def test_twice_changes_nothing(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        before = kit.cli.json("job", "list")
        done = kit.cli.try_("apply", kit.name, "--diff")
        assert (done.stdout, done.stderr) == ("", "applied: 2 the same\n")
        assert kit.cli.json("job", "list") == before

    def test_it_shows_what_differs_and_the_fires_before_and_after(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        kit.change("0 3 * * *", "0 4 * * *")
        kit.change("/b.tgz", "/c.tgz")
        kit.change("max-runs = 5\n", "")
        kit.change("canary", "canary-2")
        expected = (
            "change backup\n"
            "    cron: 0 3 * * * → 0 4 * * *\n"
            "    COMMAND: tar czf /b.tgz /home → tar czf /c.tgz /home\n"
            "    ENV: *** → ***\n"
            "    max_runs: 5 → 0\n"
            "    fired next  2030-01-01 03:00:00, 2030-01-02 03:00:00, 2030-01-03 03:00:00 (UTC)\n"
            "    fires next  2030-01-01 04:00:00, 2030-01-02 04:00:00, 2030-01-03 04:00:00 (UTC)\n"
        )
        done = kit.cli.try_("apply", kit.name, "--dry-run")
        assert (done.stdout, done.stderr) == (expected, "would apply: 1 changed, 1 the same\n")
        done = kit.cli.try_("diff", kit.name)
        assert (done.exit_code, done.stdout) == (1, expected)
        assert kit.cli("apply", kit.name, "--diff") == expected
        assert kit.cli("diff", kit.name) == ""

    def test_a_state_stays_where_nothing_is_said_of_it(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        kit.cli("job", "stop", "ping")
        assert kit.cli("diff", kit.name) == ""
        kit.change("[jobs.ping]", "[jobs.ping]\nstopped = false")
        document = kit.cli.json("apply", kit.name)["changes"][1]
        assert document["differences"] == [{"field": "state", "old": 2, "new": 0}]
        assert document["next_fires_before"] == []
        assert document["next_fires"][0] == "2030-01-01T00:00:30.000+00:00"

    def test_yaml_is_taken_too(self, kit: Kit) -> None:
        path = kit.path.with_suffix(".yml")
        path.write_text(
            "jobs:\n- name: a\n  at: 2030-02-01 08:00\n  func: Echo\n- name: b\n  manual: true\n  command: x\n"
        )
        kit.cli("apply", str(path))
        assert kit.names() == ["a", "b"]
        assert kit.cli.json("job", "show", "a")["job"]["at"] == "2030-02-01T08:00:00.000+00:00"

    def test_what_has_fired_once_is_no_reason_to_fail(self, kit: Kit, clock: FakeClock) -> None:
        kit.write('[jobs.once]\nat = 2030-01-01 00:01:00\ncommand = "x"\n')
        kit.cli("apply", kit.name)
        clock.advance(3600)
        assert kit.cli("diff", kit.name) == ""
        kit.change("once", "late")
        assert "job 1 `late`: at: lies in the past" in kit.cli.error("apply", kit.name, code=2)


class TestOwners:
    def test_an_edit_by_hand_is_warned_of_and_undone(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        done = kit.cli.try_("job", "edit", "ping", "--every", "1m")
        assert f"warning: `ping` comes from {kit.name}: the next `pyjobs apply` of it undoes this" in done.stderr
        assert "every: 60s → 30s" in kit.cli("apply", kit.name, "--diff")

    def test_prune_removes_what_came_from_this_file_only(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        kit.cli("job", "add", "mine", "--manual", "--command", "x")
        other = kit.path.with_name("other.toml")
        other.write_text('[jobs.theirs]\nmanual = true\ncommand = "x"\n')
        kit.cli("apply", str(other))
        kit.write(FILE[: FILE.index("[jobs.ping]")])
        done = kit.cli.try_("apply", kit.name)
        assert "warning: 1 job came from this file and is not in it now, `--prune` removes: `ping`" in done.stderr
        assert "`--yes`" in kit.cli.error("apply", kit.name, "--prune", code=2)
        assert kit.cli.try_("diff", kit.name, "--prune").exit_code == 1
        assert kit.names() == ["backup", "ping", "mine", "theirs"]
        assert kit.cli("apply", kit.name, "--prune", "--yes") == "remove ping\n"
        assert kit.names() == ["backup", "mine", "theirs"]

    def test_a_job_of_nobody_is_taken_over_one_of_another_file_is_not(self, kit: Kit) -> None:
        kit.cli("job", "add", "ping", "--manual", "--command", "x")
        document = kit.cli.json("apply", kit.name)["changes"][1]
        assert document["verdict"] == "change"
        assert {"field": "owned_by", "old": "", "new": kit.name} in document["differences"]
        other = kit.path.with_name("other.toml")
        other.write_text('[jobs.new]\nmanual = true\ncommand = "x"\n[jobs.ping]\nmanual = true\ncommand = "x"\n')
        assert f"the job `ping` belongs to `{kit.name}`" in kit.cli.error("apply", str(other), code=6)
        assert kit.names() == ["ping", "backup"]
        assert "change ping" in kit.cli("apply", str(other), "--owner", kit.name)

    def test_a_copy_is_nobodys(self, kit: Kit) -> None:
        kit.cli("apply", kit.name)
        kit.cli("job", "copy", "ping", "ping-2")
        assert kit.cli.json("job", "show", "ping-2")["job"]["owned_by"] == ""


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('[jobs.a]\ncron = "61 * * * *"\ncommand = "x"', "job 1 `a`: cron_expr: "),
            ('[jobs.a]\nkron = "x"', "job 1 `a`: kron: is no key; did you mean `cron`?"),
            ('[jobs.a]\ncron = "* * * * *"', "job 1 `a`: say what the job does"),
            ('[jobs.a]\nevery = "soon"\ncommand = "x"', "job 1 `a`: every: `soon` is not a duration"),
            ('[jobs.a]\nmanual = "yes"\ncommand = "x"', "job 1 `a`: manual: `'yes'` is neither true nor false"),
            ('[jobs.a]\nmanual = true\ncommand = "x"\nretries = "x"', "retries: `'x'` is not a whole number"),
            ('[jobs.a]\nmanual = true\ncommand = "x"\nmisfire = "x"', "misfire: `x` is not one of once, skip, all"),
            ("[jobs.a]\nmanual = true\ncommand = true", "command: `True` is not a text: put it in quotes"),
            ('[jobs.a]\nmanual = true\nhttp = "ftp://x"', "http: `ftp://x` is not an http"),
            ('[jobs."a\\nb"]\nmanual = true\ncommand = "x"', "name: holds the control character U+000A"),
            ('[[jobs]]\nname = "a"\nmanual = true\ncommand = "x"\n' * 2, "job 2 `a`: name: stands there twice"),
            ("[backup]\na = 1", "`backup` has no meaning there"),
            ("", "there is no `jobs`"),
            ("jobs = 3", "`jobs` holds no tables"),
            ("jobs = [3]", "job 1 is no table with a name"),
            ("[jobs", "is no TOML"),
        ],
    )  # fmt: skip
    def test_the_job_and_the_key_are_named_and_nothing_is_stored(self, kit: Kit, text: str, words: str) -> None:
        kit.write(text)
        assert words in kit.cli.error("apply", kit.name, code=2)
        assert kit.names() == []

    def test_one_bad_job_stops_all(self, kit: Kit) -> None:
        kit.change("0 3 * * *", "0 99 * * *")
        error = kit.cli.error("apply", kit.name, code=2)
        assert error.startswith(
            "error: 1 of 2 entries cannot be used, nothing was stored:\n  job 1 `backup`: cron_expr: "
        )
        assert kit.names() == []

    def test_other_ends_and_stdin(self, kit: Kit) -> None:
        assert "neither in .toml nor in .yaml" in kit.cli.error("apply", "jobs.json", code=2)
        assert "`--owner`" in kit.cli.error("diff", "-", code=2)
        assert "there is no file" in kit.cli.error("diff", "none.toml", code=3)
