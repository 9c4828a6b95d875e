"""
The settings: one frozen model with its defaults, units and explanations in one place.

flag > `PYJOBS_X` > the specification's bare name > `pyjobs.toml` > default, resolved once.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pyjobs import database_url
from pyjobs.database_url import MysqlPlace, SqlitePlace
from pyjobs.errors import BadSetting
from pyjobs.folders import made_mark, runner_lock

__all__ = [
    "FILE_NAME",
    "RENEWED",
    "RESTART",
    "Origin",
    "Rotation",
    "Settings",
    "default_zone_name",
    "find_home",
    "load",
]

FILE_NAME = "pyjobs.toml"
#: What holds for as long as the daemon lives.
RESTART = frozenset({
    "home", "database_url", "db_password", "database_pool_size", "database_max_overflow", "database_pool_timeout",
    "database_pool_recycle", "host", "port", "api_workers", "run_output_bytes", "spool_max_bytes", "log_file",
    "log_format", "log_rotation", "log_retention", "log_total_size", "log_compression",
})  # fmt: skip
#: What holds for as long as a process of the API lives; the daemon can replace those one after the other.
RENEWED = frozenset({"ssl_certfile", "ssl_keyfile", "api_header_timeout", "api_body_timeout", "api_secret_key"})
_DURATION = re.compile(r"([0-9]{1,12})\s*(s|m|h|d|seconds?|minutes?|hours?|days?)?", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]+", re.IGNORECASE)
_SHORTEST_KEY = 16
_BYTES = re.compile(r"([0-9]{1,12})\s*(b|k|kb|kib|m|mb|mib|g|gb|gib)?", re.IGNORECASE)
_BYTE_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _setting(default: Any, doc: str, *, unit: str = "", low: int = 0, bare: bool = True, secret: bool = False) -> Any:
    """A field: `unit` is s (durations), B (sizes), n (numbers) or empty; `bare` takes the unprefixed variable too."""
    metadata = {"doc": doc, "unit": unit, "low": low, "bare": bare, "secret": secret}
    if default is dict:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a log is put aside and how long it stays; 0 is never, or no limit."""

    every_s: int = 86400
    max_bytes: int = 0
    keep_s: int = 0
    total_bytes: int = 0
    compress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one home. Relative paths are relative to `home`."""

    home: Path

    database_url: str = _setting("sqlite:///./data/jobs.db", "where the store is", secret=True)
    db_password: str = _setting("", "password of the MySQL user, where `database_url` has none", secret=True)
    database_pool_size: int = _setting(20, "connections to MySQL that one process keeps", unit="n", low=1)
    database_max_overflow: int = _setting(30, "connections that it may have beyond those", unit="n")
    database_pool_timeout: int = _setting(30, "how long it waits for a free one", unit="s", low=1)
    database_pool_recycle: int = _setting(3600, "how old a connection may get; 0: any age", unit="s")
    host: str = _setting("127.0.0.1", "address that the API listens on")
    port: int = _setting(8000, "port that the API listens on; 0 takes a free one", unit="n")
    api_workers: int = _setting(1, "processes that answer the API", unit="n", low=1)
    api_header_timeout: int = _setting(
        30, "how long a client may take for a request's head, or sit idle", unit="s", low=1
    )
    api_body_timeout: int = _setting(30, "how long a client may take for a request's body", unit="s", low=1)
    ssl_certfile: str = _setting("", "certificate of the API (PEM, with its chain); empty: plain HTTP")
    ssl_keyfile: str = _setting("", "its private key")
    timezone: str = _setting("", "IANA zone of jobs without one and of times shown; empty: the system's")
    lang: str = _setting("", "language of messages, en or zh; empty: from LANG", bare=False)
    max_concurrent_jobs: int = _setting(10, "runs at once; what is due beyond that waits, visibly", unit="n", low=1)
    job_timeout: int = _setting(300, "time-out of one attempt where the job says nothing; 0: none", unit="s")
    run_output_bytes: int = _setting(65536, "head and tail of each stream that are kept in the row", unit="B", low=1024)
    spool_max_bytes: int = _setting(10 << 20, "what the file of one stream may hold", unit="B", low=4096)
    http_response_max_bytes: int = _setting(65536, "how much of an answer's body an HTTP run records", unit="B")
    http_deny_networks: str = _setting(
        "169.254.0.0/16,fe80::/10", "networks that HTTP runs may not reach; pyjobs' own API is refused in any case"
    )
    drain: int = _setting(25, "how long a stop waits for short work", unit="s", bare=False)
    quarantine_crashes: int = _setting(
        3, "crashes of the runner within 72 h that a job may be in flight in before it is stopped; 0: any", unit="n"
    )
    on_stop: str = _setting(
        "auto",
        "what a stop does with work that still runs: leave, kill, or auto: kill in a container that ends with pyjobs",
        bare=False,
    )
    functions_dir: str = _setting("functions", "where user functions are")
    files_dir: str = _setting("files", "the only folder that the built-in File function may touch")
    import_timeout: int = _setting(
        10, "how long one file of user functions may take to import", unit="s", low=1, bare=False
    )
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    log_file: str = _setting("logs/pyjobs.log", "the system log")
    log_format: str = _setting("json", "json or text: how a line of it looks")
    log_rotation: str = _setting("1 day, 100 MiB", "when it is put aside: a time, a size, or both; empty: never")
    log_retention: int = _setting(30 * 86400, "how long what was put aside stays; 0: always", unit="s")
    log_total_size: int = _setting(1 << 30, "how much of it stays in all; 0: any", unit="B")
    log_compression: str = _setting("on", "on: what was put aside is compressed; off: it is not")
    smtp_host: str = _setting("", "mail server of the built-in Email function and of alerts")
    smtp_port: int = _setting(25, "its port", unit="n", low=1)
    smtp_user: str = _setting("", "its user; empty: no login")
    smtp_password: str = _setting("", "its password", secret=True)
    smtp_from: str = _setting("", "sender of mails")
    smtp_tls: str = _setting("starttls", "starttls, ssl or none")
    sms_webhook: str = _setting("", "address that the built-in SMS function posts to", secret=True)
    ip_whitelist: str = _setting("127.0.0.1,::1", "addresses and networks that the API answers; stored ones join them")
    ip_blacklist: str = _setting("", "addresses and networks that it never answers; stored ones join them")
    trusted_proxies: str = _setting("", "proxies whose X-Forwarded-For is believed; empty: none")
    allowed_hosts: str = _setting("", "names that the API is called by, beside localhost and plain addresses")
    cors_origins: str = _setting("", "origins of web pages that may call the API, such as `https://ops.example.com`")
    api_token: str = _setting("", "token that is good for all of the API; empty: stored ones, or none", secret=True)
    api_secret_key: str = _setting("", "signs sessions of admins; empty: a file that is made", secret=True)
    docs: str = _setting("on", "on: the API's documentation is served at /docs; off: it is not")
    rate_limit: int = _setting(0, "requests a minute from one client, for one API process; 0: no limit", unit="n")
    #: name -> URL of databases that the built-in Database function may use.
    databases: Mapping[str, str] = _setting(dict, "named connections of the built-in Database function", secret=True)

    def path(self, value: str) -> Path:
        """A path setting as an absolute path."""
        return self.home / _expanded(value)

    @property
    def rotation(self) -> Rotation:
        """How the system log is put aside and forgotten."""
        every_s, max_bytes = _rotation(self.log_rotation)
        return Rotation(
            every_s=every_s,
            max_bytes=max_bytes,
            keep_s=self.log_retention,
            total_bytes=self.log_total_size,
            compress=self.log_compression == "on",
        )

    @property
    def run_dir(self) -> Path:
        """Sockets, locks, kept exit statuses."""
        return self.home / "run"

    @property
    def exits_dir(self) -> Path:
        """Kept exit statuses."""
        return self.run_dir / "exits"

    @property
    def daemon_lock(self) -> Path:
        """The file whose lock the supervisor holds, and in which it says who is here."""
        return self.run_dir / "daemon.lock"

    @property
    def spool_dir(self) -> Path:
        """Output of runs, as the kernel wrote it."""
        return self.home / "data" / "spool"

    @property
    def database(self) -> SqlitePlace | MysqlPlace:
        """Where the store is. Raises BadSetting: `database_url` cannot be used."""
        return database_url.parse(self.database_url, self.db_password)

    @property
    def database_path(self) -> Path:
        """The SQLite file. Raises BadSetting: the store is none, or `database_url` cannot be used."""
        place = self.database
        if isinstance(place, database_url.SqlitePlace):
            return self.path(place.path)
        raise BadSetting("database_url", "names no SQLite file", "不是 SQLite 文件")

    @property
    def database_shown(self) -> str:
        """Where the store is, for people: a path, or an address without its password. Raises BadSetting."""
        place = self.database
        return str(self.path(place.path)) if isinstance(place, database_url.SqlitePlace) else place.shown

    @property
    def runner_lock(self) -> Path:
        """The file whose lock says that a runner is here: one a SQLite file, and on MySQL one a home."""
        place = self.database
        if isinstance(place, database_url.SqlitePlace):
            return runner_lock(self.path(place.path))
        return self.run_dir / "runner.lock"

    @property
    def zone_name(self) -> str:
        """The configured zone, or the system's."""
        return self.timezone or default_zone_name()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting's value came from: `default`, a variable or a file."""

    value: Any
    source: str
    secret: bool


def find_home(environ: Mapping[str, str], cwd: Path) -> Path:
    """`PYJOBS_HOME`, else `cwd` when it is a home, else the user's data directory."""
    named = environ.get("PYJOBS_HOME")
    if named:
        return (cwd / _expanded(named)).absolute()
    store = cwd / "data" / "jobs.db"
    # A home whose store is gone is still that home, and says so.
    if any(path.exists() for path in (cwd / FILE_NAME, store, made_mark(store))):
        return cwd.absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("pyjobs"))


def load(
    home: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> tuple[Settings, dict[str, Origin]]:
    """
    The settings of a home, and where each came from.

    Raises:
        BadSetting: a value or a key is wrong; the message names the variable or the file.
    """
    path = home / FILE_NAME
    in_file = _read(path)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for about in fields(Settings):
        if about.name == "home":
            continue
        variables = [f"PYJOBS_{about.name.upper()}", *([about.name.upper()] if about.metadata["bare"] else [])]
        files = [f"{variable}_FILE" if about.metadata["secret"] else "" for variable in variables]
        raw, source = _find(about.name, zip(variables, files, strict=True), environ, flags or {}, in_file)
        source = str(path) if source == "file" else source
        value = _default(about) if source == "default" else _convert(about, raw, source)
        values[about.name] = value
        origins[about.name] = Origin(value, source, about.metadata["secret"])
    settings = Settings(home=home, **values)
    _check(settings, origins)
    return settings, origins


def default_zone_name() -> str:
    """The IANA name of the system's zone; `UTC` where it has none."""
    named = os.environ.get("TZ", "").lstrip(":")
    candidates = [named] if named and not named.startswith("/") else []
    with contextlib.suppress(OSError):
        candidates.append(str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2])
    with contextlib.suppress(OSError, UnicodeDecodeError):
        candidates.append(Path("/etc/timezone").read_text(encoding="ascii").strip())
    for name in filter(None, candidates):
        try:
            ZoneInfo(name)
        except (ValueError, KeyError, OSError):
            continue
        return name
    return "UTC"


def _default(about: Any) -> Any:
    return {} if about.name == "databases" else about.default


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise BadSetting(str(path), f"cannot be read: {exc.strerror}", f"无法读取：{exc.strerror}") from exc
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = {str(k).lower(): v for k, v in tomllib.loads(content.decode("utf-8")).items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadSetting(str(path), f"is not TOML: {exc}", f"不是有效的 TOML：{exc}") from exc
    known = [about.name for about in fields(Settings) if about.name != "home"]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean `{near[0]}`?" if near else ""
            meant_zh = f"，是否想写 `{near[0]}`？" if near else ""
            raise BadSetting(
                str(path),
                f"unknown setting `{name}`{meant}",
                f"未知配置项 `{name}`{meant_zh}",
                hint="see `pyjobs config show`",
            )
    return values


def _find(
    name: str,
    variables: Iterable[tuple[str, str]],
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    in_file: Mapping[str, Any],
) -> tuple[Any, str]:
    """(what was said, by whom): a flag, a variable, one that names a file (secrets), the settings' file, or nobody."""
    if flags.get(name) is not None:
        return flags[name], "flag"
    for variable, by_file in variables:
        if environ.get(variable):
            return environ[variable], variable
        named_file = environ.get(by_file)
        if named_file:
            try:
                return Path(named_file).read_text(encoding="utf-8").strip(), by_file
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
                raise BadSetting(
                    by_file, f"`{named_file}` cannot be read: {why}", f"无法读取 `{named_file}`：{why}"
                ) from exc
    if name in in_file:
        return in_file[name], "file"
    return None, "default"


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - Path's own raises for an unknown user


def _convert(about: Any, raw: Any, source: str) -> Any:
    unit, low = about.metadata["unit"], about.metadata["low"]
    if about.name == "databases":
        if not isinstance(raw, Mapping) or not all(isinstance(v, str) for v in raw.values()):
            raise BadSetting(source, "`databases` is a table of names and addresses", "`databases` 应为名称与地址的表")
        return dict(raw)
    if not unit:
        if not isinstance(raw, str):
            shown = type(raw).__name__ if about.metadata["secret"] else raw
            raise BadSetting(
                source, f"`{about.name}` is a text, not `{shown}`", f"`{about.name}` 应为文本，而不是 `{shown}`"
            )
        return raw
    pattern, units = (_BYTES, _BYTE_UNITS) if unit == "B" else (_DURATION, _UNITS)
    match = pattern.fullmatch(str(raw).strip()) if not isinstance(raw, (bool, float)) else None
    if match and (unit != "n" or not match[2]):
        number = int(match[1]) * units[(match[2] or next(iter(units)))[0].lower()]
        if number >= low:
            return number
    example = {"s": "`90`, `90s` or `5m`", "B": "`65536` or `64k`", "n": "`10`"}[unit]
    raise BadSetting(
        source,
        f"`{raw}` is not usable for `{about.name}`: a number not below {low}, such as {example}",
        f"`{raw}` 不能用于 `{about.name}`：应为不小于 {low} 的数，如 {example}",
    )


def _check(settings: Settings, origins: Mapping[str, Origin]) -> None:
    choices = {
        "on_stop": ("auto", "leave", "kill"),
        "lang": ("", "en", "zh"),
        "smtp_tls": ("starttls", "ssl", "none"),
        "docs": ("on", "off"),
        "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
        "log_format": ("json", "text"),
        "log_compression": ("on", "off"),
    }
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value not in allowed:
            known = ", ".join(filter(None, allowed))
            raise BadSetting(
                origins[name].source,
                f"`{value}` is not usable for `{name}`: one of {known}",
                f"`{value}` 不能用于 `{name}`，可用：{known}",
            )
    try:
        _rotation(settings.log_rotation)
    except ValueError as exc:
        raise BadSetting(
            origins["log_rotation"].source,
            f"`{exc}` is not usable for `log_rotation`: a time such as `1 day`, a size such as `100 MiB`, or both",
            f"`{exc}` 不能用于 `log_rotation`：应为时间（如 `1 day`）、大小（如 `100 MiB`）或两者",
        ) from exc
    if origins["http_deny_networks"].source != "default":
        _check_networks(settings.http_deny_networks, origins["http_deny_networks"].source)
    _check_gate(settings, origins)
    if settings.port > 65535:
        raise BadSetting(
            origins["port"].source,
            f"`{settings.port}` is not a port: 0 to 65535",
            f"`{settings.port}` 不是有效端口：0 到 65535",
        )
    if bool(settings.ssl_certfile) != bool(settings.ssl_keyfile):
        missing, given = ("ssl_keyfile", "ssl_certfile") if settings.ssl_certfile else ("ssl_certfile", "ssl_keyfile")
        raise BadSetting(
            origins[given].source,
            f"HTTPS needs `{missing}` as well",
            f"启用 HTTPS 还需要 `{missing}`",
        )
    if settings.timezone:
        try:
            ZoneInfo(settings.timezone)
        except (ValueError, KeyError, OSError) as exc:
            raise BadSetting(
                origins["timezone"].source,
                f"there is no time zone `{settings.timezone}`",
                f"不存在时区 `{settings.timezone}`",
            ) from exc


def _rotation(text: str) -> tuple[int, int]:
    """(seconds, bytes) of `1 day, 100 MiB`, 0 for what is not said. Raises ValueError: the piece that is wrong."""
    every_s = max_bytes = 0
    for piece in filter(None, (part.strip() for part in text.split(","))):
        duration, size = _DURATION.fullmatch(piece), _BYTES.fullmatch(piece)
        if duration and duration[2] and int(duration[1]):
            every_s = int(duration[1]) * _UNITS[duration[2][0].lower()]
        elif size and size[2] and int(size[1]):
            max_bytes = int(size[1]) * _BYTE_UNITS[size[2][0].lower()]
        else:
            raise ValueError(piece)
    return every_s, max_bytes


def _check_gate(settings: Settings, origins: Mapping[str, Origin]) -> None:
    for name in ("ip_whitelist", "ip_blacklist", "trusted_proxies"):
        if origins[name].source != "default":
            _check_networks(getattr(settings, name), origins[name].source)
    if not settings.ip_whitelist.strip(" ,"):
        raise BadSetting(
            origins["ip_whitelist"].source,
            "`ip_whitelist` names nobody",
            "`ip_whitelist` 为空",
            hint="write `0.0.0.0/0,::/0` to let everybody in",
            hint_zh="如需允许所有地址，请写 `0.0.0.0/0,::/0`",
        )
    for name, pattern, example in (
        ("allowed_hosts", _HOST, "jobs.example.com` or `*.example.com"),
        ("cors_origins", _ORIGIN, "https://ops.example.com"),
    ):
        for piece in filter(None, map(str.strip, getattr(settings, name).split(","))):
            if not pattern.fullmatch(piece):
                raise BadSetting(
                    origins[name].source,
                    f"`{piece}` is not usable for `{name}`, but something like `{example}`",
                    f"`{piece}` 不能用于 `{name}`，应形如 `{example}`",
                )
    if settings.api_secret_key and len(settings.api_secret_key) < _SHORTEST_KEY:
        raise BadSetting(
            origins["api_secret_key"].source,
            f"`api_secret_key` is shorter than {_SHORTEST_KEY} characters",
            f"`api_secret_key` 不足 {_SHORTEST_KEY} 个字符",
        )


def _check_networks(text: str, source: str) -> None:
    import ipaddress

    piece = ""
    try:
        for piece in filter(None, map(str.strip, text.split(","))):
            ipaddress.ip_network(piece, strict=False)
    except ValueError as exc:
        raise BadSetting(
            source, f"`{piece}` is not a network, such as `10.0.0.0/8`", f"`{piece}` 不是有效的网段，例如 `10.0.0.0/8`"
        ) from exc
