"""Pages from elsewhere in a real browser: what they try reaches no handler, and tells them nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from .browser import chromium
from .conftest import Home
from .rest import Rest, rest_of

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

JOB = '{"name":"x","mode":"command","command":"true","cron_expr":"* * * * * *"}'
FIELDS = "".join(
    f'<input name="{name}" value="{value}">'
    for name, value in (("name", "x"), ("mode", "command"), ("command", "true"), ("cron_expr", "* * * * * *"))
)
#: A text/plain form can be made to send JSON.
AS_JSON = f"<input name='{JOB[:-1]},\"desc\":\"' value='\"}}'>"
#: What the browser says of an answer that it does not show to the page.
REFUSED = "the server responded with a status of 403"


class Elsewhere(BaseHTTPRequestHandler):
    """An empty page at every path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><link rel=icon href=data:,>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The port of somebody else's web site on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium("evil.example", "localhost") as page:
        yield page


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    """An API without tokens, with one job."""
    home.pyjobs("job", "add", "kept", "--manual", "--command", "true")
    yield rest_of(home)
    home.pyjobs("daemon", "stop")


def fetched(page: Page, url: str, options: str) -> str:
    """What a script sees of an answer: its type and status, or that there was none for it."""
    script = f"fetch({url!r}, {options}).then(a => a.type + ' ' + a.status, e => e.name)"
    return str(page.evaluate(script))


def submitted(page: Page, base: str, kind: str, fields: str) -> Response:
    """A form of the page, sent to the API."""
    page.set_content(f'<form method="post" action="{base}/jobs/add" enctype="{kind}">{fields}</form>')
    with page.expect_navigation(url=f"{base}/jobs/add") as found:
        page.evaluate("document.forms[0].submit()")
    return found.value


def unchanged(home: Home) -> None:
    assert home.rows("SELECT name, state FROM jobs") == [("kept", 0)]
    assert home.rows("SELECT count(*) FROM job_logs") == [(0,)]


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
def test_a_page_elsewhere_changes_nothing_and_sees_nothing(
    home: Home, rest: Rest, page: Page, elsewhere: int, host: str
) -> None:
    base = rest.base
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if answer.url.startswith(base) else None)

    def opened() -> None:
        page.goto(f"http://{host}:{elsewhere}/")

    opened()
    plain = "headers: {'Content-Type': 'text/plain'}"
    assert fetched(page, f"{base}/jobs/list", "{}") == "TypeError"
    assert fetched(page, f"{base}/jobs/add", f"{{method: 'POST', {plain}, body: {JOB!r}}}") == "TypeError"
    opaque = f"{{method: 'POST', mode: 'no-cors', {plain}, body: {JOB!r}}}"
    assert fetched(page, f"{base}/jobs/add", opaque) == "opaque 0"
    as_json = f"{{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: {JOB!r}}}"
    assert fetched(page, f"{base}/jobs/add", as_json) == "TypeError", "its preflight gets no leave"
    forms = [("application/x-www-form-urlencoded", FIELDS), ("multipart/form-data", FIELDS), ("text/plain", AS_JSON)]
    for kind, fields in forms:
        opened()
        assert submitted(page, base, kind, fields).status == 403
    posts = [answer for answer in answers if answer.request.method == "POST"]
    assert {answer.status for answer in posts} == {403}
    assert len(posts) >= len(forms)
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]
    unchanged(home)


def test_images_and_frames_change_nothing(home: Home, rest: Rest, page: Page, elsewhere: int) -> None:
    page.goto(f"http://evil.example:{elsewhere}/")
    for place in ("run?id=1", "del?id=1", "stop?id=1", "stopAll", "runAll", "add?name=y&mode=command&command=true"):
        with page.expect_event("requestfailed", lambda request: request.url.startswith(rest.base)):
            page.set_content(f'<img src="{rest.base}/jobs/{place}">')
    with page.expect_console_message(lambda said: REFUSED in said.text):
        page.set_content(f'<iframe src="{rest.base}/docs"></iframe>')
    unchanged(home)


def test_a_frame_without_an_origin_is_nobody(home: Home, rest: Rest, page: Page, elsewhere: int) -> None:
    form = f"<form method=post action={rest.base}/jobs/add>{FIELDS.replace(chr(34), chr(39))}</form>"
    script = "<script>document.forms[0].submit()</script>"
    page.goto(f"http://127.0.0.1:{elsewhere}/")
    with page.expect_console_message(lambda said: REFUSED in said.text):
        page.set_content(f'<iframe sandbox="allow-scripts allow-forms" srcdoc="{form}{script}"></iframe>')
    unchanged(home)


def test_a_name_that_was_rebound_to_this_machine_is_misdirected(home: Home, rest: Rest, page: Page) -> None:
    rebound = f"http://evil.example:{urlsplit(rest.base).port}"
    for path in ("/", "/docs", "/jobs/list", "/nowhere"):
        answer = page.goto(rebound + path)
        assert answer is not None
        assert (answer.status, answer.json()["code"]) == (421, 421)
    # From here on the browser takes the two for one origin, and holds nothing back.
    assert fetched(page, "/jobs/list", "{}") == "basic 421"
    assert fetched(page, "/jobs/add", f"{{method: 'POST', body: {JOB!r}}}") == "basic 421"
    unchanged(home)
