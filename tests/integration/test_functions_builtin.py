"""The built-in functions, against real servers, files and stores (design: commands.md, Functions)."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from fakes import a_job

from pyjobs.store.sqlite import SqliteStore

from .functions_kit import Functions

Make = Callable[..., Functions]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a home, with settings as keywords."""
    made: list[Functions] = []

    def start(**settings: Any) -> Functions:
        made.append(Functions(tmp_path, **settings))
        return made[-1]

    yield start
    for functions in made:
        functions.close()


@pytest.fixture
def functions(make: Make) -> Functions:
    return make()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class TestTexts:
    @pytest.mark.parametrize(
        ("name", "arg", "expected"),
        [
            ("Dayin", "1,hello,true", "参数: [1 hello true] - 参数1处理 - 字符串参数: hello - 布尔参数为真"),
            ("Test", "a,b", "Test函数执行成功，参数: [a b]"),
            ("Hello", "", "Hello, World!"),
            ("Hello", "张三", "Hello, 张三!"),
            ("Echo", '"a,b" , c\\,d, "e\\"f",,  g ', 'a,b c,d e"f  g'),
            ("Math", "/,10,4", "2.50"),
            ("Math", "+,1e300,inf", "+Inf"),
        ],
    )  # fmt: skip
    def test_a_job_gets_the_go_originals_text(self, functions: Functions, name: str, arg: str, expected: str) -> None:
        assert functions.call(name, arg).out.removeprefix("Dayin函数执行成功，") == expected

    def test_a_failure_is_its_text_without_a_traceback(self, functions: Functions) -> None:
        ended = functions.call("Math", "/,1,0")
        assert (ended.error, ended.out, ended.err) == ("除数不能为零", "", "除数不能为零\n")

    def test_time_is_that_of_the_configured_zone(self, make: Make) -> None:
        assert make(timezone="Asia/Tokyo").call("Time", "2006 MST").out.endswith(" JST")


class TestFile:
    def test_it_writes_reads_lists_and_deletes(self, functions: Functions) -> None:
        assert functions.call("File", 'write, sub/a.txt, "中, 文"').outcome.success
        path = functions.home / "files" / "sub" / "a.txt"
        assert path.read_text(encoding="utf-8") == "中, 文"
        assert path.stat().st_mode & 0o777 == 0o600
        assert functions.call("File", "read, sub/a.txt").out == "中, 文"
        assert functions.call("File", f"read, {path}").out == "中, 文"
        assert functions.call("File", "list").out == "sub/"
        assert functions.call("File", "list, sub").out == "a.txt"
        assert functions.call("File", "delete, sub/a.txt").outcome.success
        assert not path.exists()
        assert functions.call("File", "read, sub/a.txt").error == "cannot read `sub/a.txt`: No such file or directory"

    def test_a_second_write_replaces(self, functions: Functions) -> None:
        functions.call("File", "write, a, long text")
        functions.call("File", "write, a, short")
        assert functions.call("File", "read, a").out == "short"
        assert functions.call("File", "list").out == "a"

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "../secret",
            "..",
            "a/../../secret",
            "link",
            "link/secret",
            "folder/secret",
            "./../files/../secret",
        ],
    )
    @pytest.mark.parametrize("operation", ["read", "write", "delete", "list"])
    def test_it_stays_inside_its_folder(self, functions: Functions, operation: str, path: str) -> None:
        files = functions.home / "files"
        files.mkdir()
        (functions.home / "secret").write_text("secret")
        (files / "link").symlink_to(functions.home / "secret")
        (files / "folder").symlink_to(functions.home)
        ended = functions.call("File", f"{operation}, {path}, x")
        if (operation, path) != ("delete", "link"):
            assert not ended.outcome.success
        assert "secret" not in ended.out
        assert (functions.home / "secret").read_text() == "secret"

    def test_a_link_inside_is_followed_and_deleting_it_keeps_its_target(self, functions: Functions) -> None:
        functions.call("File", "write, a, text")
        (functions.home / "files" / "link").symlink_to("a")
        assert functions.call("File", "read, link").out == "text"
        assert functions.call("File", "delete, link").outcome.success
        assert functions.call("File", "list").out == "a"

    def test_what_is_no_file_is_refused_at_once(self, functions: Functions) -> None:
        functions.call("File", "write, sub/a, text")
        os.mkfifo(functions.home / "files" / "pipe")
        assert "is not a file" in functions.call("File", "read, pipe").error
        assert not functions.call("File", "read, sub").outcome.success
        assert not functions.call("File", "delete, sub").outcome.success
        assert not functions.call("File", "delete, .").outcome.success

    def test_an_unknown_operation_is_named(self, make: Make) -> None:
        assert make(lang="zh").call("File", "move, a").error == "不支持的文件操作: move"


class TestDatabase:
    @pytest.fixture
    def functions(self, make: Make) -> Functions:
        return make(databases={"shop": "sqlite:///shop.db", "own": "sqlite:///./data/../data/jobs.db", "old": "oracle://x",
                               "far": "mysql://root:canary@127.0.0.1:1/x", "linked": "sqlite:///link.db"})  # fmt: skip

    def test_it_executes_and_queries(self, functions: Functions) -> None:
        assert functions.call("Database", 'execute, shop, "create table t (a integer, b text, c blob)"').outcome.success
        ended = functions.call("Database", 'execute, shop, "insert into t values (?, ?, x\'ff\')", 1, "it\'s, 中"')
        assert ended.out == "1 rows affected"
        ended = functions.call("Database", "query, shop, select * from t where a = ?, 1")
        assert json.loads(ended.out) == [{"a": 1, "b": "it's, 中", "c": "ff"}]
        assert functions.call("Database", "execute, shop, vacuum").outcome.success

    def test_a_query_does_not_write_and_makes_no_file(self, functions: Functions) -> None:
        assert "unable to open" in functions.call("Database", "query, shop, select 1").error
        assert not (functions.home / "shop.db").exists()
        functions.call("Database", "execute, shop, create table t (a)")
        assert "readonly" in functions.call("Database", "query, shop, delete from t").error

    def test_an_error_is_told_and_changes_nothing(self, functions: Functions) -> None:
        functions.call("Database", "execute, shop, create table t (a primary key)")
        functions.call("Database", "execute, shop, insert into t values (1)")
        assert "UNIQUE" in functions.call("Database", "execute, shop, insert into t values (1)").error
        assert "no such table" in functions.call("Database", "query, shop, select * from nowhere").error
        assert not functions.call("Database", "execute, shop, delete from t; delete from t").outcome.success

    def test_pyjobs_own_store_is_out_of_reach(self, functions: Functions) -> None:
        store = functions.settings.database_path
        store.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(store)) as opened, opened:
            opened.execute("create table jobs (name text)")
        os.link(store, functions.home / "link.db")
        for name in ("own", "linked"):
            assert "own store" in functions.call("Database", f"query, {name}, select * from jobs").error
        for sql in ("attach 'data/jobs.db' as x", "attach ? as x"):
            assert "not authorized" in functions.call("Database", f'execute, shop, "{sql}", data/jobs.db').error

    def test_what_cannot_be_served_is_said(self, functions: Functions) -> None:
        assert "no database is named `nope`" in functions.call("Database", "query, nope, select 1").error
        assert "`oracle` is not served" in functions.call("Database", "query, old, select 1").error
        assert "不支持的数据库操作: drop" in functions.call("Database", "drop, shop, x").error
        ended = functions.call("Database", "query, far, select 1")
        assert "PyMySQL" in ended.error or "connect" in ended.error
        assert "canary" not in ended.error + ended.err


class _Mails:
    """Keeps what a mail server gets; refuses one address."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append((envelope.mail_from, envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture
def mail_server() -> Iterator[Callable[..., tuple[_Mails, int]]]:
    """Start a real SMTP server; answers what it gets, and its port."""
    running: list[Controller] = []

    def start(**options: Any) -> tuple[_Mails, int]:
        mails = _Mails()
        if options.pop("login", False):
            options.update(authenticator=mails.authenticate, auth_required=True, auth_require_tls=False)
        controller = Controller(mails, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return mails, controller.port

    yield start
    for controller in running:
        controller.stop()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
class TestEmail:
    def test_it_sends_a_mail(self, make: Make, mail_server: Callable[..., tuple[_Mails, int]]) -> None:
        mails, port = mail_server()
        functions = make(smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", smtp_from="pyjobs@example.org")
        ended = functions.call("Email", 'a@example.org; b@example.org, 主题, "Line 1, 中文"')
        assert ended.outcome.success, ended.error
        ((sender, recipients, message),) = mails.got
        assert (sender, recipients) == ("pyjobs@example.org", ["a@example.org", "b@example.org"])
        assert message["Subject"] == "主题"
        assert message.get_content().strip() == "Line 1, 中文"
        assert message["Date"]
        assert message["Message-ID"]

    def test_it_logs_in(self, make: Make, mail_server: Callable[..., tuple[_Mails, int]]) -> None:
        mails, port = mail_server(login=True)
        about: dict[str, Any] = {
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_tls": "none",
            "smtp_user": "me@x.org",
        }
        assert make(**about, smtp_password="right").call("Email", "a@example.org, s, b").outcome.success
        assert mails.logins == [(b"me@x.org", b"right")]
        ended = make(**about, smtp_password="canary").call("Email", "a@example.org, s, b")
        assert "535" in ended.error
        assert "canary" not in ended.error + ended.err
        assert len(mails.got) == 1

    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    def test_it_speaks_tls_and_verifies_it(
        self,
        make: Make,
        mail_server: Callable[..., tuple[_Mails, int]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        tls: str,
    ) -> None:
        import ssl

        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        if tls == "ssl":
            mails, port = mail_server(ssl_context=context)
        else:
            mails, port = mail_server(tls_context=context, require_starttls=True)
        about: dict[str, Any] = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": tls, "smtp_from": "p@x.org"}
        assert "CERTIFICATE_VERIFY_FAILED" in make(**about).call("Email", "a@example.org, s, b").error
        assert mails.got == []
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        ended = make(**about).call("Email", "a@example.org, s, b")
        assert ended.outcome.success, ended.error
        assert len(mails.got) == 1

    def test_what_goes_wrong_is_said(self, make: Make, mail_server: Callable[..., tuple[_Mails, int]]) -> None:
        assert make().call("Email", "a@example.org, s, b").error == "no mail server is set"
        mails, port = mail_server()
        functions = make(smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", smtp_from="p@x.org")
        assert "nobody@x.org" in functions.call("Email", "nobody@x.org, s, b").error
        assert "nobody@x.org" in functions.call("Email", "a@x.org nobody@x.org, s, b").error
        assert not functions.call("Email", 'a@x.org, "s\nBcc: evil@x.org", b').outcome.success
        assert "nobody to send" in functions.call("Email", '"", s, b').error
        assert [recipients for _, recipients, _ in mails.got] == [["a@x.org"]]
        closed = make(smtp_host="127.0.0.1", smtp_port=free_port(), smtp_tls="none", smtp_from="p@x.org")
        assert "refused" in closed.call("Email", "a@x.org, s, b").error
        assert "smtp_from" in make(smtp_host="127.0.0.1").call("Email", "a@x.org, s, b").err


class _Web(BaseHTTPRequestHandler):
    """Answers `/N` with status N, and keeps what it gets."""

    got: list[tuple[str, str, str, bytes]]

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.got.append((self.command, self.path, self.headers.get("Content-Type", ""), body))
        self.send_response(int(self.path.strip("/").partition("?")[0]))
        answer = "好".encode() * 10
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = _any  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[str, list[tuple[str, str, str, bytes]]]]:
    """A real HTTP server: its base URL, and what it gets."""
    got: list[tuple[str, str, str, bytes]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Web,), {"got": got}))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


Web = tuple[str, list[tuple[str, str, str, bytes]]]


class TestWebhook:
    def test_it_posts_json_or_text(self, functions: Functions, web: Web) -> None:
        base, got = web
        ended = functions.call("Webhook", f'{base}/200?x=1, {{"a": [1, 2], "b": "中"}}')
        assert ended.out == "200\n" + "好" * 10
        functions.call("Webhook", f"{base}/201, plain 中")
        functions.call("Webhook", f"{base}/202")
        functions.call("Webhook", f'{base}/200, "", get')
        functions.call("Webhook", f"{base}/200, method=PUT, body=1")
        assert got == [
            ("POST", "/200?x=1", "application/json", '{"a": [1, 2], "b": "中"}'.encode()),
            ("POST", "/201", "text/plain; charset=utf-8", "plain 中".encode()),
            ("POST", "/202", "", b""),
            ("GET", "/200", "", b""),
            ("PUT", "/200", "application/json", b"1"),
        ]

    @pytest.mark.parametrize("status", [300, 404, 500, 503])
    def test_anything_but_2xx_is_a_failure(self, functions: Functions, web: Web, status: int) -> None:
        ended = functions.call("Webhook", f"{web[0]}/{status}")
        assert f"answered {status}: 好" in ended.error

    def test_what_cannot_be_called_is_a_failure(self, functions: Functions) -> None:
        assert "cannot be reached" in functions.call("Webhook", f"http://127.0.0.1:{free_port()}/").error
        for url in ("file:///etc/passwd", "ftp://x/", "x"):
            assert "is not an http" in functions.call("Webhook", url).error

    def test_it_may_not_reach_what_http_jobs_may_not(self, make: Make, web: Web) -> None:
        port = int(web[0].rpartition(":")[2])
        assert "may not be reached" in make().call("Webhook", "http://169.254.169.254/").error
        assert "pyjobs' own API" in make(port=port).call("Webhook", f"http://localhost:{port}/200").error
        assert "may not be reached" in make(http_deny_networks="127.0.0.0/8").call("Webhook", f"{web[0]}/200").error
        assert web[1] == []

    def test_a_certificate_that_nobody_knows_is_refused(self, functions: Functions) -> None:
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        got: list[Any] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Web,), {"got": got}))
        with closing(server.socket), context.wrap_socket(server.socket, server_side=True) as wrapped:
            server.socket = wrapped
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            ended = functions.call("Webhook", f"https://127.0.0.1:{server.server_port}/200")
            thread.join()
        assert "TLS: certificate not accepted" in ended.error
        assert got == []


class TestSms:
    def test_it_posts_to_the_gateway(self, make: Make, web: Web) -> None:
        functions = make(sms_webhook=f"{web[0]}/200?token=canary")
        ended = functions.call("SMS", '13800000000, "你好, a"')
        assert ended.outcome.success, ended.error
        ((method, path, kind, body),) = web[1]
        assert (method, path, kind) == ("POST", "/200?token=canary", "application/json")
        assert json.loads(body) == {"phone": "13800000000", "text": "你好, a"}
        assert "canary" not in ended.out

    def test_no_gateway_or_one_that_refuses_is_a_failure_without_its_address(self, make: Make, web: Web) -> None:
        assert make().call("SMS", "1, x").error == "no SMS gateway is set"
        for gateway in (f"{web[0]}/500?token=canary", f"http://127.0.0.1:{free_port()}/?token=canary", "canary"):
            ended = make(sms_webhook=gateway).call("SMS", "1, x")
            assert "SMS gateway" in ended.error
            assert "canary" not in ended.error + ended.err


def make_store(functions: Functions) -> Path:
    """A store with the specification's columns, in WAL mode as the real one."""
    store = functions.settings.database_path
    store.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(store)) as opened, opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute(
            "CREATE TABLE job_logs (id INTEGER PRIMARY KEY, job_id INTEGER, start_time TEXT, end_time TEXT, "
            "status INTEGER, output TEXT, job_name TEXT, duration_ms INTEGER, state TEXT)"
        )
    return store


class TestBackup:
    @pytest.fixture
    def store(self, functions: Functions) -> Iterator[SqliteStore]:
        """The real one, open as the runner has it."""
        opened = SqliteStore(functions.settings.database_path)
        yield opened
        opened.close()

    def test_it_makes_the_archive_that_db_backup_makes(self, functions: Functions, store: SqliteStore) -> None:
        store.add_job(a_job("one"))
        functions.write("mine.py", "def mine(): pass")
        ended = functions.call("Backup")
        assert ended.outcome.success, ended.error
        (path,) = (functions.home / "backups").iterdir()
        assert re.fullmatch(r"jobs_\d{8}_\d{6}\.tar\.gz", path.name)
        assert ended.out == f"{path} ({path.stat().st_size} bytes)"
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as tar:
            assert tar.getnames() == ["jobs.db", "functions/mine.py", "manifest.json"]
            manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert manifest["counts"]["jobs"] == 1
        made = json.loads(store.fact("backup") or "")
        assert (made["path"], made["verified"]) == (str(path), True)

    @pytest.mark.usefixtures("store")
    def test_two_in_one_second_have_two_names(self, functions: Functions) -> None:
        for _ in range(3):
            assert functions.call("Backup").outcome.success
        assert len(list((functions.home / "backups").iterdir())) == 3

    @pytest.mark.usefixtures("store")
    def test_keep_days_deletes_old_backups_and_nothing_else(self, functions: Functions) -> None:
        folder = functions.home / "backups"
        folder.mkdir()
        now = time.time_ns() // 10**9
        for name, days in (("jobs_20200101_000000.tar.gz", 8), ("jobs_20200102_000000_2.tar", 8),
                           ("jobs_20200103_000000.tar.gz", 6), ("mine.tar.gz", 99)):  # fmt: skip
            (folder / name).touch()
            os.utime(folder / name, (now - days * 86400,) * 2)
        ended = functions.call("Backup", "keep_days=7")
        assert ended.out.endswith("; 2 old ones deleted")
        left = sorted(path.name for path in folder.iterdir())
        assert len(left) == 3
        assert {"jobs_20200103_000000.tar.gz", "mine.tar.gz"} < set(left)

    def test_no_store_or_a_broken_one_is_a_failure_that_leaves_nothing(self, functions: Functions) -> None:
        assert "there is no store" in functions.call("Backup").error
        store = make_store(functions)
        store.write_bytes(b"no database" * 1000)
        assert "the backup failed" in functions.call("Backup").error
        assert list((functions.home / "backups").iterdir()) == []
        assert not functions.call("Backup", "-1").outcome.success


class TestCleanup:
    @pytest.fixture
    def old(self, functions: Functions) -> Path:
        """A folder with old and new files."""
        folder = functions.home / "logs"
        (folder / "sub").mkdir(parents=True)
        now = time.time_ns() // 10**9
        for name, days in (("old.log", 10), ("old.txt", 10), ("sub/deep.log", 10), ("new.log", 1)):
            (folder / name).write_text("12345")
            os.utime(folder / name, (now - days * 86400,) * 2)
        (folder / "link.log").symlink_to(functions.home / "precious")
        (functions.home / "precious").write_text("x")
        os.utime(functions.home / "precious", (now - 99 * 86400,) * 2)
        return folder

    def test_it_deletes_by_age_and_pattern_and_lists_that(self, functions: Functions, old: Path) -> None:
        ended = functions.call("Cleanup", "logs, 7, *.log")
        assert ended.out.splitlines() == ["logs/old.log", "logs/sub/deep.log", "deleted: 2 (10 bytes)"]
        assert sorted(path.name for path in old.iterdir()) == ["link.log", "new.log", "old.txt", "sub"]
        assert (functions.home / "precious").exists()

    def test_a_dry_run_only_lists(self, functions: Functions, old: Path) -> None:
        ended = functions.call("Cleanup", "logs, 7, dry_run=true")
        assert ended.out.splitlines()[-1] == "would delete: 3 (15 bytes)"
        assert (old / "old.log").exists()

    @pytest.mark.parametrize(
        "folder", [".", "..", "/", "/tmp", "logs/..", "data", "data/spool", "run", "functions", "outside", "nowhere"]
    )
    def test_what_is_outside_or_needed_is_refused(self, functions: Functions, old: Path, folder: str) -> None:
        make_store(functions)
        (functions.home / "outside").symlink_to(functions.home.parent)
        (functions.home / "functions").mkdir()
        ended = functions.call("Cleanup", f"{folder}, 0")
        assert not ended.outcome.success
        assert (old / "old.log").exists()
        assert functions.settings.database_path.exists()

    def test_a_store_elsewhere_in_the_home_is_kept_too(self, make: Make) -> None:
        functions = make(database_url="sqlite:///stuff/deep/jobs.db")
        store = make_store(functions)
        for folder in ("stuff", "stuff/deep"):
            assert "holds what pyjobs needs" in functions.call("Cleanup", f"{folder}, 0").error
        assert store.exists()

    def test_ages_are_not_negative(self, functions: Functions, old: Path) -> None:
        for days in ("-1", "nan"):
            assert not functions.call("Cleanup", f"logs, {days}").outcome.success
        assert (old / "old.log").exists()


class TestMonitor:
    def test_it_shows_all_figures(self, functions: Functions) -> None:
        names = [line.partition(":")[0] for line in functions.call("Monitor").out.splitlines()]
        assert names == ["cpu", "disk", "memory", "load", "process"]

    @pytest.mark.parametrize("what", ["cpu", "disk", "memory", "load", "process"])
    def test_it_fails_over_a_threshold(self, functions: Functions, what: str) -> None:
        assert re.fullmatch(rf"{what}: [0-9.]+( %)?", functions.call("Monitor", f"{what}, 1e9").out)
        assert re.fullmatch(rf"{what}: [0-9.]+( %)? is over -1", functions.call("Monitor", f"{what}, -1").error)

    def test_it_counts_processes_by_name_and_fails_below_a_least_number(self, functions: Functions) -> None:
        name = Path(f"/proc/{functions.executor.functions() and functions.worker_pid()}/comm").read_text().strip()
        assert functions.call("Monitor", f"process, target={name}, least=1").outcome.success
        assert functions.call("Monitor", "process, target=no-such-program, least=1").error == (
            "process no-such-program: 0 is below 1"
        )

    def test_what_cannot_be_watched_is_said(self, functions: Functions) -> None:
        assert "one of cpu, disk" in functions.call("Monitor", "weather").error
        assert "No such file" in functions.call("Monitor", "disk, 80, /no/such/folder").error


class TestReport:
    def test_it_sums_up_a_period(self, functions: Functions) -> None:
        store = make_store(functions)
        rows = [("good", 0, 1500, "-1 hours"), ("good", 0, 500, "-2 hours"), ("bad", 1, 9000, "-3 days"),
                ("bad", 1, 100, "-1 hours"), ("ancient", 1, 99_000, "-40 days"), ("x", None, None, None)]  # fmt: skip
        with closing(sqlite3.connect(store)) as opened, opened:
            opened.executemany(
                "INSERT INTO job_logs (job_name, status, duration_ms, start_time) VALUES (?, ?, ?, datetime('now', ?))",
                rows,
            )
        lines = functions.call("Report", "7d").out.splitlines()
        assert lines[1:3] == ["runs: 4, succeeded: 2, failed: 2", "mean duration: 2.8 s"]
        assert lines[3] == "failures:"
        assert lines[4].startswith("  bad: 2 (")
        assert lines[5:] == ["slowest:", "  bad: 9.0 s", "  good: 1.5 s"]
        assert "runs: 3," in functions.call("Report").out
        assert "ancient: 99.0 s" in functions.call("Report", "60d").out

    def test_an_empty_store_has_a_report_too(self, make: Make) -> None:
        functions = make(lang="zh")
        make_store(functions)
        assert functions.call("Report", "weekly").out.splitlines()[1:] == ["执行: 0，成功: 0，失败: 0"]

    def test_a_bad_period_and_no_store_are_failures(self, functions: Functions) -> None:
        assert "period" in functions.call("Report", "soon").error
        assert "cannot be read" in functions.call("Report").error
        assert not functions.settings.database_path.exists()
