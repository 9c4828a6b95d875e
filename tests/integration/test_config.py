"""Settings: who wins, units, what is wrong and where (cli.md "Settings", rulings 21)."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pyjobs.config import FILE_NAME, Settings, default_zone_name, find_home, load
from pyjobs.errors import BadSetting


def setting(home: Path, name: str, environ: dict[str, str] | None = None, **flags: Any) -> tuple[Any, str]:
    """(value, source) of one setting."""
    settings, origins = load(home, environ or {}, flags)
    assert origins[name].value == getattr(settings, name)
    return getattr(settings, name), origins[name].source


def write(home: Path, text: str) -> str:
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    return str(home / FILE_NAME)


class TestWhoWins:
    def test_each_layer_covers_the_ones_below(self, tmp_path: Path) -> None:
        file = write(tmp_path, "port = 1\n")
        both = {"PYJOBS_PORT": "3", "PORT": "2"}
        assert setting(tmp_path, "port", both, port=4) == (4, "flag")
        assert setting(tmp_path, "port", both, port=None) == (3, "PYJOBS_PORT")
        assert setting(tmp_path, "port", {"PORT": "2"}) == (2, "PORT")
        assert setting(tmp_path, "port") == (1, file)
        write(tmp_path, "")
        assert setting(tmp_path, "port") == (8000, "default")

    def test_an_empty_variable_says_nothing(self, tmp_path: Path) -> None:
        assert setting(tmp_path, "port", {"PYJOBS_PORT": "", "PORT": "2"}) == (2, "PORT")

    def test_everything_has_a_default(self, tmp_path: Path) -> None:
        settings, origins = load(tmp_path, {})
        assert set(origins) == {about.name for about in fields(Settings)} - {"home"}
        assert {origin.source for origin in origins.values()} == {"default"}
        assert settings.database_path == tmp_path / "data" / "jobs.db"
        assert settings.host == "127.0.0.1"

    def test_our_own_names_are_not_taken_bare(self, tmp_path: Path) -> None:
        assert setting(tmp_path, "lang", {"LANG": "zh_CN.UTF-8"}) == ("", "default")
        assert setting(tmp_path, "lang", {"PYJOBS_LANG": "zh"}) == ("zh", "PYJOBS_LANG")

    def test_keys_of_the_file_ignore_case(self, tmp_path: Path) -> None:
        write(tmp_path, 'MAX_CONCURRENT_JOBS = 3\n[databases]\nmain = "sqlite:///x"\n')
        settings, _ = load(tmp_path, {})
        assert settings.max_concurrent_jobs == 3
        assert settings.databases == {"main": "sqlite:///x"}


class TestSecretsInFiles:
    def test_a_secret_is_read_from_a_file_that_a_variable_names(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(" hush\n", encoding="utf-8")
        for prefix in ("PYJOBS_", ""):
            name = f"{prefix}SMTP_PASSWORD_FILE"
            assert setting(tmp_path, "smtp_password", {name: str(secret)}) == ("hush", name)
        covered = {"SMTP_PASSWORD": "x", "SMTP_PASSWORD_FILE": str(secret)}
        assert setting(tmp_path, "smtp_password", covered) == ("x", "SMTP_PASSWORD")

    def test_what_is_no_secret_is_not(self, tmp_path: Path) -> None:
        assert setting(tmp_path, "port", {"PORT_FILE": "/nowhere"}) == (8000, "default")

    @pytest.mark.parametrize("content", [None, b"\xff\xfe"])
    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "secret"
        if content:
            file.write_bytes(content)
        with pytest.raises(BadSetting, match=f"^SMTP_PASSWORD_FILE: `{file}` cannot be read"):
            load(tmp_path, {"SMTP_PASSWORD_FILE": str(file)})

    def test_errors_do_not_show_secrets(self, tmp_path: Path) -> None:
        write(tmp_path, "smtp_password = 47114711\n")
        with pytest.raises(BadSetting) as caught:
            load(tmp_path, {})
        assert "47114711" not in caught.value.text("en") + caught.value.text("zh")
        settings, _ = load(tmp_path / "other", {"DATABASE_URL": "mysql:root:hush@h/x"})
        with pytest.raises(BadSetting) as caught:
            _ = settings.database_path
        assert "hush" not in str(caught.value)


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("90", 90), ("90s", 90), ("5m", 300), ("5 minutes", 300), ("2H", 7200), ("1 day", 86400), ("0", 0)],
    )
    def test_durations(self, tmp_path: Path, text: str, seconds: int) -> None:
        assert setting(tmp_path, "job_timeout", {"JOB_TIMEOUT": text}) == (seconds, "JOB_TIMEOUT")

    @pytest.mark.parametrize(
        ("text", "number"), [("65536", 65536), ("64k", 65536), ("64 KiB", 65536), ("2M", 2 << 20), ("1gib", 1 << 30)]
    )
    def test_sizes(self, tmp_path: Path, text: str, number: int) -> None:
        assert setting(tmp_path, "run_output_bytes", {"RUN_OUTPUT_BYTES": text}) == (number, "RUN_OUTPUT_BYTES")

    def test_the_file_may_say_it_as_a_number_or_a_text(self, tmp_path: Path) -> None:
        write(tmp_path, 'job_timeout = 5\ndrain = "1m"\n')
        settings, _ = load(tmp_path, {})
        assert (settings.job_timeout, settings.drain) == (5, 60)


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("variable", "value", "words"),
        [
            ("PORT", "x", "PORT: `x`"),
            ("PORT", "80s", "PORT: `80s`"),
            ("PYJOBS_PORT", "-1", "PYJOBS_PORT: `-1`"),
            ("PORT", "70000", "PORT: `70000` is not a port"),
            ("PORT", "８０", "PORT: `８０`"),
            ("PORT", "9" * 5000, "PORT: `999"),
            ("JOB_TIMEOUT", "5 parsecs", "JOB_TIMEOUT: `5 parsecs`"),
            ("JOB_TIMEOUT", "1.5", "JOB_TIMEOUT: `1.5`"),
            ("RUN_OUTPUT_BYTES", "1", "not below 1024"),
            ("MAX_CONCURRENT_JOBS", "0", "not below 1"),
            ("PYJOBS_ON_STOP", "wait", "one of auto, leave, kill"),
            ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
            ("TIMEZONE", "Mars/Base", "there is no time zone `Mars/Base`"),
            ("TIMEZONE", "../etc/passwd", "there is no time zone"),
            ("HTTP_DENY_NETWORKS", "10.0.0.0/8, x", "`x` is not a network"),
            ("DATABASES", "x", "DATABASES: `databases` is a table"),
        ],
    )
    def test_a_bad_variable_is_named(self, tmp_path: Path, variable: str, value: str, words: str) -> None:
        with pytest.raises(BadSetting) as caught:
            load(tmp_path, {variable: value})
        assert words in str(caught.value)
        assert str(caught.value).startswith(f"{variable}: ")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("port = true", "`True` is not usable for `port`"),
            ("port = 1.5", "`1.5`"),
            ("host = 1", "`host` is a text, not `1`"),
            ("prot = 1", "unknown setting `prot`; did you mean `port`?"),
            ("zzz = 1", "unknown setting `zzz`"),
            ('home = "/x"', "unknown setting `home`"),
            ("port =", "is not TOML"),
            ("databases = 1", "`databases` is a table"),
            ("[databases]\na = 1", "`databases` is a table"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, text: str, words: str) -> None:
        file = write(tmp_path, text)
        with pytest.raises(BadSetting) as caught:
            load(tmp_path, {})
        assert words in str(caught.value)
        assert str(caught.value).startswith(f"{file}: ")

    def test_a_file_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe")
        with pytest.raises(BadSetting, match="is not TOML"):
            load(tmp_path, {})

    def test_a_folder_in_its_place_is_named(self, tmp_path: Path) -> None:
        (tmp_path / FILE_NAME).mkdir()
        with pytest.raises(BadSetting, match="cannot be read: Is a directory"):
            load(tmp_path, {})

    def test_a_bad_flag_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadSetting, match=r"^flag: `x` is not usable for `port`"):
            load(tmp_path, {}, {"port": "x"})


class TestPaths:
    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///./data/jobs.db", "data/jobs.db"),
            ("sqlite:///x.db", "x.db"),
            ("sqlite:////abs/x.db", "/abs/x.db"),
        ],
    )
    def test_the_store_is_relative_to_home(self, tmp_path: Path, url: str, path: str) -> None:
        settings, _ = load(tmp_path, {"DATABASE_URL": url})
        assert settings.database_path == tmp_path / path

    @pytest.mark.parametrize("url", ["postgres://u:p@h/db", "sqlite://", "jobs.db", "sqlite:///"])
    def test_another_store_is_refused(self, tmp_path: Path, url: str) -> None:
        settings, _ = load(tmp_path, {"DATABASE_URL": url})
        with pytest.raises(BadSetting, match="is not served by this version") as caught:
            _ = settings.database_path
        assert "sqlite:///" in caught.value.hint()

    def test_an_unknown_user_is_a_name_like_any_other(self, tmp_path: Path) -> None:
        settings, _ = load(tmp_path, {})
        assert settings.path("~nobody-of-that-name/x") == tmp_path / "~nobody-of-that-name" / "x"
        assert find_home({"PYJOBS_HOME": "~nobody-of-that-name"}, tmp_path) == tmp_path / "~nobody-of-that-name"


class TestHome:
    def test_the_variable_wins(self, tmp_path: Path) -> None:
        write(tmp_path, "")
        assert find_home({"PYJOBS_HOME": "/x"}, tmp_path) == Path("/x")
        assert find_home({"PYJOBS_HOME": "x"}, tmp_path) == tmp_path / "x"

    def test_a_working_directory_that_is_a_home_is_taken(self, tmp_path: Path) -> None:
        assert find_home({}, tmp_path) != tmp_path
        (tmp_path / "data").mkdir()
        assert find_home({}, tmp_path) != tmp_path
        (tmp_path / "data" / "jobs.db").touch()
        assert find_home({}, tmp_path) == tmp_path
        other = tmp_path / "other"
        other.mkdir()
        write(other, "")
        assert find_home({}, other) == other

    def test_else_it_is_the_users_data_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        found = find_home({}, tmp_path)
        assert found.is_absolute()
        assert found.name == "pyjobs"

    def test_a_home_that_is_a_file_has_the_defaults(self, tmp_path: Path) -> None:
        (tmp_path / "home").touch()
        assert load(tmp_path / "home", {})[0].port == 8000


class TestZone:
    def test_the_setting_wins(self, tmp_path: Path) -> None:
        assert load(tmp_path, {"TIMEZONE": "Asia/Shanghai"})[0].zone_name == "Asia/Shanghai"

    @pytest.mark.parametrize(("tz", "zone"), [("Europe/Paris", "Europe/Paris"), (":Asia/Tokyo", "Asia/Tokyo")])
    def test_else_it_is_the_systems(self, monkeypatch: pytest.MonkeyPatch, tz: str, zone: str) -> None:
        monkeypatch.setenv("TZ", tz)
        assert default_zone_name() == zone

    @pytest.mark.parametrize("tz", ["", "No/Such", "/etc/localtime", "../x", "JST-9"])
    def test_a_name_that_is_none_is_passed_over(self, monkeypatch: pytest.MonkeyPatch, tz: str) -> None:
        monkeypatch.setenv("TZ", tz)
        assert default_zone_name() != tz
