"""Deliveries over real mail and web servers: those that answer, those that are down, and those that hang."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from email import message_from_bytes
from email.message import Message as Mail_
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from fakes import NOW_MS, FakeClock, MemoryStore, a_job, a_run, claimed
from waiting import wait_for

from pyjobs.alerting import post as post_module
from pyjobs.alerting.channels import AppriseChannel, Channel, Mail, Message, Webhook
from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alerting.judge import JobJudge
from pyjobs.alerting.post import GIVE_UP_MS, Post, pause_ms, try_now
from pyjobs.alerts import DeliveryState, Finding
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.jobs import RunState
from pyjobs.ports import End
from pyjobs.store.sqlite import SqliteStore

PLACE = Place("server", "/srv/pyjobs", ZoneInfo("UTC"), "en")
MESSAGE = Message("[pyjobs] backup failed", "why\nsince then", {"event": "opened", "job": 'back"up', "count": 1})


class MailServer:
    """A real SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[Mail_] = []
        self.recipients: list[list[str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - aiosmtpd calls it so
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[Callable[..., tuple[MailServer, int]]]:
    controllers: list[Controller] = []

    def start(port: int = 0, **options: Any) -> tuple[MailServer, int]:
        server = MailServer()
        if not port:
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                port = sock.getsockname()[1]
        controllers.append(Controller(server, hostname="127.0.0.1", port=port, **options))
        controllers[-1].start()
        return server, port

    yield start
    for controller in controllers:
        controller.stop()


class WebServer:
    """A real HTTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.headers.append(dict(self.headers))
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(f"you sent me {self.path}".encode() if outer.status != 200 else b"")

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/secret-token"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(home=tmp_path, smtp_host="127.0.0.1", smtp_from="pyjobs@example.org", **values)


class TestMail:
    def test_all_recipients_get_one_mail(self, smtp: Callable[..., tuple[MailServer, int]], tmp_path: Path) -> None:
        server, port = smtp()
        sent = Message("标题\r\nBcc: x@y.z", MESSAGE.text, {})
        Mail("ops", ("a@example.org", "b@example.org")).send(sent, settings(tmp_path, smtp_port=port, smtp_tls="none"))
        [mail] = server.mails
        assert server.recipients == [["a@example.org", "b@example.org"]]
        assert mail["Subject"] == "标题 Bcc: x@y.z"
        assert mail["Bcc"] is None
        assert mail.get_payload(decode=True) == b"why\r\nsince then\r\n"

    def test_it_logs_in_over_starttls_and_shows_no_password(
        self, smtp: Callable[..., tuple[MailServer, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ca = trustme.CA()
        tls = ca.issue_cert("127.0.0.1")
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.configure_cert(context)
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

        def judge(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
            return AuthResult(success=data.password == b"right-one", handled=False)

        kept, port = smtp(tls_context=context, require_starttls=True, authenticator=judge, auth_required=True)
        base = {"smtp_port": port, "smtp_tls": "starttls", "smtp_user": "me"}
        Mail("ops", ("a@example.org",)).send(MESSAGE, settings(tmp_path, smtp_password="right-one", **base))
        assert len(kept.mails) == 1
        with pytest.raises(RunFailed, match="535") as caught:
            Mail("ops", ("a@example.org",)).send(MESSAGE, settings(tmp_path, smtp_password="wrong-one", **base))
        assert "wrong-one" not in str(caught.value)

    def test_without_a_server_it_says_what_to_set(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="no mail server is set"):
            Mail("ops", ("a@example.org",)).send(MESSAGE, Settings(home=tmp_path))


class TestWebhook:
    def test_it_gets_json(self, web: WebServer, tmp_path: Path) -> None:
        Webhook("h", web.url, headers=(("X-Key", "k"),)).send(MESSAGE, settings(tmp_path))
        assert json.loads(web.bodies[0]) == {
            "event": "opened", "job": 'back"up', "count": 1, "title": MESSAGE.title, "text": MESSAGE.text
        }  # fmt: skip
        assert web.headers[0]["Content-Type"] == "application/json; charset=utf-8"
        assert web.headers[0]["X-Key"] == "k"

    def test_it_gets_what_the_template_makes(self, web: WebServer, tmp_path: Path) -> None:
        Webhook("h", web.url, template='{"text": "${job}: $$ $title"}').send(MESSAGE, settings(tmp_path))
        message = Message("t", "", {**MESSAGE.fields, "title": 'a "b"\nc'})
        Webhook("h", web.url, template='{"text": "${job}: $$ $title"}').send(message, settings(tmp_path))
        plain = (("Content-Type", "text/plain"),)
        Webhook("h", web.url, headers=plain, template="$title!").send(message, settings(tmp_path))
        assert json.loads(web.bodies[1]) == {"text": 'back"up: $ a "b"\nc'}
        assert web.bodies[2] == 'a "b"\nc!'

    def test_another_answer_is_a_failure_that_shows_no_secret(self, web: WebServer, tmp_path: Path) -> None:
        web.status = 403
        with pytest.raises(RunFailed, match=r"answered 403: you sent me") as caught:
            Webhook("h", web.url).send(MESSAGE, settings(tmp_path))
        assert "secret-token" not in str(caught.value) + caught.value.text("zh")

    def test_nobody_there_is_a_failure_that_shows_no_secret(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="refused") as caught:
            Webhook("h", "http://127.0.0.1:1/secret-token").send(MESSAGE, settings(tmp_path))
        assert "secret-token" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports
class TestApprise:
    def test_it_reaches_what_apprise_knows(self, web: WebServer, tmp_path: Path) -> None:
        pytest.importorskip("apprise")
        AppriseChannel("a", web.url.replace("http", "json", 1)).send(MESSAGE, settings(tmp_path))
        body = json.loads(web.bodies[0])
        assert (body["title"], body["message"]) == (MESSAGE.title, MESSAGE.text)

    def test_a_failure_shows_no_secret(self, web: WebServer, tmp_path: Path) -> None:
        pytest.importorskip("apprise")
        web.status = 500
        with pytest.raises(RunFailed, match=r"json://\*{6} was not reached: ") as caught:
            AppriseChannel("a", web.url.replace("http", "json", 1)).send(MESSAGE, settings(tmp_path))
        assert "secret-token" not in str(caught.value)
        with pytest.raises(RunFailed, match="does not understand `nosuch://"):
            AppriseChannel("a", "nosuch://secret-token").send(MESSAGE, settings(tmp_path))

    def test_without_apprise_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "apprise", None)
        with pytest.raises(RunFailed) as caught:
            AppriseChannel("a", "json://x").send(MESSAGE, settings(tmp_path))
        assert caught.value.hint() == "install it with `pip install 'pyjobs[alerts]'`"


class Office:
    """A post office over a store, and what it was given to send."""

    def __init__(self, store: MemoryStore, clock: FakeClock, home: Path, **values: Any) -> None:
        self.store, self.clock = store, clock
        self.settings = settings(home, smtp_tls="none", **values)
        self.names = ["ops"]
        self.incidents = Incidents(store, PLACE, lambda: self.names)
        self.post = Post(store, self.settings, clock, PLACE)

    def trouble(self, count: int = 1, start: int = 0) -> None:
        for number in range(start, start + count):
            self.incidents.found(Finding(cause=f"rule:{number}", title=f"trouble {number}"), self.clock.now_ms())

    def rest(self) -> None:
        """Look until nothing is being sent any more."""

        def quiet() -> bool:
            self.post.look()
            return not self.post.busy

        wait_for(quiet, "all threads are done")

    @property
    def states(self) -> list[DeliveryState]:
        return [delivery.state for delivery in self.store.deliveries()]


@pytest.fixture
def office(memory: MemoryStore, clock: FakeClock, tmp_path: Path) -> Office:
    return Office(memory, clock, tmp_path)


class Down:
    """A channel that fails until it is told not to."""

    name, kind, target = "ops", "webhook", "x"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[Message] = []

    def send(self, message: Message, settings: Settings) -> None:  # noqa: ARG002 - the protocol's parameter
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(message)


def use(office: Office, *channels: Channel, group_ms: int = 0) -> None:
    office.post.use(channels, group_ms)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of channels."""
    return [record.getMessage() for record in caplog.records if record.name == "pyjobs.alerting.post"]


class TestPost:
    def test_what_is_due_is_sent_once(self, office: Office, web: WebServer) -> None:
        office.trouble()
        use(office, Webhook("ops", web.url))
        office.rest()
        office.rest()
        assert [json.loads(body)["title"] for body in web.bodies] == ["[pyjobs] trouble 0"]
        assert office.states == [DeliveryState.SENT]

    def test_a_storm_is_one_message(self, office: Office, smtp: Callable[..., tuple[MailServer, int]]) -> None:
        server, port = smtp()
        office = Office(office.store, office.clock, office.settings.home, smtp_port=port)
        office.trouble(200)
        use(office, Mail("ops", ("a@example.org",)))
        office.rest()
        [mail] = server.mails
        assert mail["Subject"] == "[pyjobs] 200 alerts"
        assert str(mail.get_payload()).startswith("trouble 0\r\ntrouble 1\r\n")
        assert "and 180 more" in str(mail.get_payload())
        assert set(office.states) == {DeliveryState.SENT}

    def test_what_follows_soon_waits_and_is_told_together(self, office: Office) -> None:
        channel = Down()
        use(office, channel, group_ms=30_000)
        office.trouble()
        office.rest()
        office.trouble(5, start=1)
        office.rest()
        assert len(channel.sent) == 1
        office.clock.advance(30)
        office.rest()
        assert [message.title for message in channel.sent] == ["[pyjobs] trouble 0", "[pyjobs] 5 alerts"]

    def test_what_failed_is_tried_again_later_and_said_once(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ) -> None:
        channel = Down(*[RunFailed("no luck")] * 3, ValueError("https://secret"))
        use(office, channel)
        office.trouble()
        with caplog.at_level(logging.INFO, "pyjobs.alerting.post"):
            for attempt in range(5):
                office.rest()
                office.rest()
                assert office.store.deliveries()[0].attempts == attempt + 1
                office.clock.advance(pause_ms(attempt) / 1000)
        assert said(caplog) == [
            "channel `ops`: no luck; it is tried again",
            "channel `ops`: ValueError; it is tried again",
            "channel `ops` works again",
        ]
        assert office.states == [DeliveryState.SENT]
        assert len(channel.sent) == 1

    def test_pauses_grow_to_a_limit(self) -> None:
        assert [pause_ms(n) // 1000 for n in (0, 1, 2, 6, 7, 10**9)] == [5, 10, 20, 320, 640, 900]

    def test_what_is_on_its_way_survives_a_restart(self, office: Office) -> None:
        use(office, Down(RunFailed("no luck")))
        office.trouble()
        office.rest()
        again = Office(office.store, office.clock, office.settings.home)
        channel = Down()
        use(again, channel)
        again.rest()
        assert channel.sent == []
        office.clock.advance(10)
        again.rest()
        assert len(channel.sent) == 1

    def test_after_a_day_it_is_given_up_with_a_word(self, office: Office, caplog: pytest.LogCaptureFixture) -> None:
        use(office, Down(*[RunFailed("no luck")] * 9))
        office.trouble()
        office.rest()
        office.clock.advance(GIVE_UP_MS / 1000 + 1)
        office.rest()
        office.rest()
        assert office.states == [DeliveryState.GIVEN_UP]
        assert said(caplog) == ["channel `ops`: no luck; it is tried again", "channel `ops`: 1 given up: no luck"]

    def test_a_channel_that_is_gone_is_given_up_one_that_is_misspelt_is_not(self, office: Office) -> None:
        office.trouble()
        office.rest()
        assert office.states == [DeliveryState.WAITING]  # nobody knows the channels yet
        office.post.use([], 0, ["ops"])
        office.rest()
        assert office.states == [DeliveryState.WAITING]
        use(office)
        office.rest()
        assert office.states == [DeliveryState.GIVEN_UP]
        assert office.store.deliveries()[0].error == "there is no such channel any more"

    def test_a_server_that_hangs_holds_nothing_up(
        self, office: Office, serve: Callable[[Callable[[socket.socket], None]], int], web: WebServer
    ) -> None:
        let_go = threading.Event()

        def hang(connection: socket.socket) -> None:
            let_go.wait(30)
            connection.close()

        port = serve(hang)
        office = Office(office.store, office.clock, office.settings.home, smtp_port=port)
        office.names = ["mail", "hook"]
        office.trouble()
        use(office, Mail("mail", ("a@example.org",)), Webhook("hook", web.url))

        def hook_sent() -> bool:
            office.post.look()
            return [d.state for d in office.store.deliveries()] == [DeliveryState.WAITING, DeliveryState.SENT]

        wait_for(hook_sent, "the other channel is not held up")
        assert office.post.busy
        office.clock.advance(post_module.LIMIT_S + 1)
        office.post.look()
        assert [thread.is_alive() for thread in office.post.stuck] == [True]
        assert office.store.deliveries()[0].error == "no answer within 60 s"
        let_go.set()
        [thread] = office.post.stuck
        thread.join(20)


def test_a_thousand_failures_are_one_mail(
    smtp: Callable[..., tuple[MailServer, int]], clock: FakeClock, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    server, port = smtp()
    incidents = Incidents(store, PLACE, lambda: ["ops"])
    judge = JobJudge(store, incidents, PLACE)
    post = Post(store, settings(tmp_path, smtp_port=port, smtp_tls="none"), clock, PLACE)
    post.use([Mail("ops", ("a@example.org",))], 0)
    job = store.add_job(a_job("backup", alerts="failures=3"))
    runs = [a_run(job, claimed_ms=NOW_MS + n) for n in range(1000)]
    store.claim([claimed(run) for run in runs], [])
    store.end_runs(
        [End(exec_id=run.exec_id, state=RunState.FAILED, ended_ms=NOW_MS, duration_ms=1) for run in runs], "me"
    )
    judge.learn(NOW_MS)
    while judge.look_at_ends(NOW_MS):
        post.look()

    def quiet() -> bool:
        post.look()
        return not post.busy

    wait_for(quiet, "it is sent")
    assert [mail["Subject"] for mail in server.mails] == ["[pyjobs] backup failed 3 times in a row"]
    [incident] = store.incidents()
    assert incident.count == 1000
    store.close()


def test_a_trial_says_what_is_wrong(tmp_path: Path, web: WebServer) -> None:
    assert try_now(Webhook("h", web.url), settings(tmp_path), "t", "x") is None
    assert json.loads(web.bodies[0])["event"] == "test"
    web.status = 500
    error = try_now(Webhook("h", web.url), settings(tmp_path), "t", "x")
    assert error is not None
    assert "answered 500" in str(error)
