"""Who may use the API, at the command line and in files: lists, tokens, admins, the secret that signs sessions."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from fakes import FakeClock

from pyjobs.cli.tree import ROOT, Branch
from pyjobs.config import Settings, load
from pyjobs.errors import BadSetting, NotAllowed
from pyjobs.service.accounts import secret_of

from .cli_kit import Cli


@pytest.fixture
def cli(tmp_path: Path, clock: FakeClock) -> Cli:
    """A home at 2030-01-01 00:00:00 UTC."""
    return Cli(tmp_path, clock)


class TestIp:
    def test_both_lists_are_shown_with_their_origin(self, cli: Cli) -> None:
        cli("ip", "allow", "add", "192.168.1.7/24")
        cli("ip", "deny", "add", "2001:db8::/32")
        entries = cli.json("ip", "status")["entries"]
        assert [(e["list"], e["network"], e["origin"]) for e in entries] == [
            ("allow", "127.0.0.1", "settings"),
            ("allow", "::1", "settings"),
            ("allow", "192.168.1.0/24", "stored"),
            ("deny", "2001:db8::/32", "stored"),
        ]
        assert (entries[2]["added_at"], "@" in entries[2]["by"]) == ("2030-01-01T00:00:00.000+00:00", True)
        assert cli("ip", "status").splitlines()[0].split() == ["LIST", "NETWORK", "ADDED", "BY"]

    def test_entries_come_and_go_with_a_word_in_both_languages(self, cli: Cli) -> None:
        assert cli.try_("ip", "allow", "add", "10.1.2.3").stderr == "10.1.2.3 is on the whitelist now\n"
        done = cli.try_("ip", "deny", "add", "10.1.2.4", lang="zh")
        assert done.stderr == "IP 10.1.2.4 已添加到黑名单\n"
        assert cli.try_("ip", "allow", "remove", "10.1.2.3").stderr == "10.1.2.3 is no more on the whitelist\n"
        assert cli.error("ip", "allow", "add", "127.0.0.1", code=6) == "error: 127.0.0.1 is there already\n"
        assert cli.error("ip", "deny", "remove", "9.9.9.9", code=3).startswith("error: 9.9.9.9 is not there\n")
        assert cli.error("ip", "allow", "add", "300.1.1.1", code=2).startswith("error: ip: `300.1.1.1` is neither")

    def test_nobody_at_this_machine_is_locked_out_but_by_force(self, cli: Cli) -> None:
        err = cli.error("ip", "deny", "add", "127.0.0.0/8", code=4)
        assert err.startswith("error: this would lock out 127.0.0.1, where you come from\n\nhint: ")
        cli("ip", "deny", "add", "127.0.0.0/8", "--force")
        assert cli("ip", "deny", "remove", "127.0.0.0/8") == ""
        assert cli.error("ip", "allow", "remove", "::1", "--force", code=4).startswith("error: ::1 comes from IP_WH")


class TestTokens:
    def test_a_token_is_shown_once(self, cli: Cli) -> None:
        done = cli.try_("api", "token", "add", "ci", "--scope", "run", "-s", "read")
        assert done.exit_code == 0
        assert done.stdout.startswith("pj_")
        assert done.stderr == (
            "this is the only time that the token `ci` is shown; it may: read, run\n"
            "warning: from now on every client of the API needs a token\n"
        )
        listed = cli.json("api", "token", "list")["tokens"]
        assert listed == [
            {
                "name": "ci",
                "scopes": ["read", "run"],
                "created_at": "2030-01-01T00:00:00.000+00:00",
                "last_used_at": None,
            }
        ]
        text = done.stdout.strip()
        for path in (cli.home / "data").rglob("*"):
            assert text.encode() not in path.read_bytes()

    def test_its_document_holds_it_too(self, cli: Cli) -> None:
        done = cli.try_("api", "token", "add", "ci", "--json")
        assert json.loads(done.stdout)["token"]["text"].startswith("pj_")
        assert "warning" not in cli.try_("api", "token", "add", "second").stderr

    def test_it_is_revoked_by_name(self, cli: Cli) -> None:
        cli("api", "token", "add", "ci")
        assert cli.error("api", "token", "add", "ci", code=6).startswith("error: there is a token `ci` already\n")
        done = cli.try_("api", "token", "revoke", "ci")
        assert done.stderr == "revoked `ci`\nwarning: there is no token any more: the API asks for none\n"
        assert cli.error("api", "token", "revoke", "ci", code=3).startswith("error: there is no token `ci`\n")

    def test_a_scope_that_is_none_is_named(self, cli: Cli) -> None:
        assert cli.error("api", "token", "add", "x", "-s", "write", code=2) == (
            "error: scope: there is no `write`, but read, run, edit, admin\n"
        )


class TestAdmins:
    def test_the_password_comes_from_stdin_and_is_kept_as_a_hash(self, cli: Cli) -> None:
        from typer.testing import CliRunner

        from pyjobs.cli.app import root
        from pyjobs.cli.context import App

        def add(password: str, *flags: str) -> tuple[int, str]:
            args = ["api", "admin", "add", "ops", "--password-stdin", *flags]
            done = CliRunner().invoke(root(), args, obj=App(home=cli.home), input=password, env=cli.env)
            return done.exit_code, done.stderr

        assert add("short\n") == (2, "error: password: it has to have 8 to 1024 characters\n")
        assert add("a long password\n") == (0, "added admin `ops`\n")
        assert add("a long password\n")[0] == 6
        assert add("another password\n", "--reset") == (0, "`ops` has another password; older sessions are over\n")
        for path in (cli.home / "data").rglob("*"):
            assert b"password\n" not in path.read_bytes()
            assert b"another password" not in path.read_bytes()

    def test_where_nobody_can_be_asked_it_says_so(self, cli: Cli) -> None:
        err = cli.error("api", "admin", "add", "ops", code=2)
        assert err == "error: `--password-stdin`: is needed where nobody can be asked\n"

    def test_no_flag_takes_a_password(self, cli: Cli) -> None:
        assert cli.error("api", "admin", "add", "ops", "--password", "x", code=2).startswith("error: No such option")


class TestTree:
    def test_the_groups_are_those_of_the_design(self) -> None:
        api, ip = ROOT.entries["api"], ROOT.entries["ip"]
        assert isinstance(api, Branch)
        assert isinstance(ip, Branch)
        assert {"token", "admin"} <= api.entries.keys()
        assert list(ip.entries) == ["status", "allow", "deny"]


class TestSecret:
    def test_one_is_made_for_its_owner_only_and_kept(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            settings = Settings(home=tmp_path / "home")
            first = secret_of(settings)
        finally:
            os.umask(before)
        path = tmp_path / "home" / "data" / "api-secret"
        assert (len(first), secret_of(settings)) == (32, first)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [p.name for p in path.parent.iterdir()] == ["api-secret"]
        assert secret_of(Settings(home=tmp_path / "other")) != first

    def test_all_that_start_at_once_have_the_same(self, tmp_path: Path) -> None:
        found: list[bytes] = []
        settings = Settings(home=tmp_path)
        threads = [threading.Thread(target=lambda: found.append(secret_of(settings))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(found), len(set(found))) == (16, 1)

    def test_the_setting_wins_and_leaves_no_file(self, tmp_path: Path) -> None:
        assert secret_of(Settings(home=tmp_path, api_secret_key="k" * 16)) == b"k" * 16
        assert list(tmp_path.iterdir()) == []

    def test_one_that_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        secret_of(settings)
        path = tmp_path / "data" / "api-secret"
        path.chmod(0o644)
        with pytest.raises(NotAllowed, match="others than its owner"):
            secret_of(settings)
        path.chmod(0o600)
        path.write_bytes(b"")
        with pytest.raises(NotAllowed, match="32 bytes"):
            secret_of(settings)

    def test_neither_is_a_link_nor_a_pipe(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        (tmp_path / "data").mkdir()
        path, other = tmp_path / "data" / "api-secret", tmp_path / "other"
        other.write_bytes(b"x" * 32)
        other.chmod(0o600)
        path.symlink_to(other)
        with pytest.raises(NotAllowed):
            secret_of(settings)
        path.unlink()
        os.mkfifo(path, 0o600)
        with pytest.raises(NotAllowed):
            secret_of(settings)


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("IP_WHITELIST", "300.1.1.1"),
            ("IP_WHITELIST", "127.0.0.1;10.0.0.1"),
            ("IP_WHITELIST", " , "),
            ("IP_BLACKLIST", "10.0.0.0/33"),
            ("TRUSTED_PROXIES", "proxy.example"),
            ("ALLOWED_HOSTS", "*"),
            ("ALLOWED_HOSTS", "http://jobs.example.com"),
            ("ALLOWED_HOSTS", "jobs.example.com:8000"),
            ("CORS_ORIGINS", "*"),
            ("CORS_ORIGINS", "null"),
            ("CORS_ORIGINS", "https://a.example/path"),
            ("RATE_LIMIT", "-1"),
            ("RATE_LIMIT", "10/minute"),
            ("API_SECRET_KEY", "too short"),
        ],
    )
    def test_a_gate_that_cannot_be_is_refused_and_named(self, tmp_path: Path, name: str, value: str) -> None:
        with pytest.raises(BadSetting) as caught:
            load(tmp_path, {name: value})
        assert caught.value.field == name
        with pytest.raises(BadSetting):
            load(tmp_path, {f"PYJOBS_{name}": value})

    def test_secrets_may_be_in_files_and_are_not_shown(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("canary-1\n")
        settings, origins = load(tmp_path, {"API_TOKEN_FILE": str(tmp_path / "token")})
        assert (settings.api_token, origins["api_token"].secret) == ("canary-1", True)
        (tmp_path / "pyjobs.toml").write_text('api_token = "canary-2"\napi_secret_key = "canary-3-0123456789"\n')
        assert "canary" not in cli("config", "show", "--origin", "-o", "json")
