"""Settings that change while the daemon runs: every process goes by them, or by the old ones when they are wrong."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from .conftest import Home, wait_for
from .rest import Rest, rest_of
from .sockets import Client, ask

RELOAD = "/jobs/reload-config"


def write(home: Home, **settings: Any) -> None:
    """Write `pyjobs.toml`, in one step."""
    home.path.mkdir(exist_ok=True)
    fresh = home.path / "fresh"
    fresh.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()), encoding="utf-8")
    fresh.replace(home.path / "pyjobs.toml")


@pytest.fixture
def rest(home: Home) -> Iterator[Rest]:
    """An API of two processes."""
    write(home, max_concurrent_jobs=1)
    yield rest_of(home, API_WORKERS="2")
    home.pyjobs("daemon", "stop", "--force")


def answers(rest: Rest, status: int, count: int = 20) -> bool:
    """Whether every process of the API answers so; each connection is taken by either of them."""
    return {ask(rest.base)[0] for _ in range(count)} == {status}


def test_a_reload_concerns_the_runner_and_every_process_of_the_api(home: Home, rest: Rest) -> None:
    pids = home.status()["api"]["pids"]
    for name in ("one", "two"):
        home.pyjobs("job", "add", name, "--manual", "--command", "sleep 20")
    one, two = home.detach("one"), home.detach("two")
    home.wait_for_state(one, "running")
    assert home.run(two)["state"] == "queued"

    write(home, max_concurrent_jobs=2, docs="off", log_file="other.log")
    found = rest.data("POST", RELOAD)

    assert found["restart_needed"] == ["log_file"]
    assert (found["changed"], found["daemon"]) in ((["max_concurrent_jobs", "log_file", "docs"], True), ([], True))
    page = b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n"
    wait_for(lambda: {ask(rest.base, page)[0] for _ in range(20)} == {404}, "no documentation anywhere", 2)
    home.wait_for_state(two, "running")
    assert home.status()["api"]["pids"] == pids, "nothing was started again"
    assert rest.data("GET", "/jobs/config")["max_concurrent_jobs"] == 2


def test_wrong_settings_are_refused_and_the_old_ones_stay(home: Home, rest: Rest) -> None:
    pid = home.status()["pid"]
    write(home, ip_whitelist="10.0.0.0/8", rate_limit="many")

    _, refused = rest.call("POST", RELOAD)

    assert refused["code"] == 404
    assert refused["msg"].startswith("重载配置失败：")
    assert "`many`" in refused["msg"]
    os.kill(pid, signal.SIGHUP)
    log = home.path / "logs" / "pyjobs.log"
    wait_for(lambda: log.read_text(encoding="utf-8").count("the settings were not taken") >= 3, "all three say so")
    assert answers(rest, 200)
    for command in ("daemon", "config"):
        done = home.try_(command, "reload")
        assert (done.returncode, "`many`" in done.stderr) == (2, True)
    write(home)


def test_a_file_that_changed_is_noticed(home: Home, rest: Rest) -> None:
    write(home, ip_blacklist="127.0.0.1")
    wait_for(lambda: answers(rest, 403), "nobody is let in", 5)
    write(home)
    wait_for(lambda: answers(rest, 200), "everybody is", 5)


def test_the_command_line_says_what_changed(home: Home, rest: Rest) -> None:
    # Its own look may come first; then nothing is left to be found.
    write(home, job_timeout=7, drain=3, log_file="other.log")
    done = home.try_("config", "reload")
    assert done.returncode == 0, done.stderr
    assert (
        "changed: max_concurrent_jobs, job_timeout, drain, log_file" in done.stderr
        or "no setting changed" in done.stderr
    )
    assert "these need a restart of the daemon: log_file" in done.stderr
    done = home.try_("--lang", "zh", "daemon", "reload")
    assert "守护进程已重新读取配置" in done.stderr
    assert "log_file" in done.stderr


def test_a_reload_needs_a_daemon(home: Home) -> None:
    assert home.try_("config", "reload").returncode == 3


class Certificates:
    """Where the daemon looks for its certificate."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.renew()

    def renew(self) -> None:
        """Have another authority issue one."""
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        for path, blob in ((self.key, issued.private_key_pem), (self.certificate, issued.cert_chain_pems[0])):
            fresh = path.with_suffix(".new")
            blob.write_to_path(fresh)
            fresh.replace(path)

    def trusts(self, base: str) -> bool:
        """Whether the present authority vouches for whoever answers."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        client = Client(base)
        try:
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            client.send(b"GET /jobs/list HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return client.document()[0] == 200
        except ssl.SSLCertVerificationError:
            return False
        finally:
            client.close()


def test_a_renewed_certificate_is_taken_up_and_nobody_is_refused(home: Home, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    base = rest_of(
        home, API_WORKERS="2", SSL_CERTFILE=str(certificates.certificate), SSL_KEYFILE=str(certificates.key)
    ).base
    before = home.status()
    assert certificates.trusts(base)

    certificates.renew()

    def renewed() -> dict[str, Any] | None:
        status = home.status()
        return None if {None, *before["api"]["pids"]} & {*status["api"]["pids"]} else status

    after = wait_for(renewed, "two new processes")
    log = home.path / "logs" / "pyjobs.log"
    wait_for(lambda: log.read_text(encoding="utf-8").count("the API is ready") == 4, "both are up")
    wait_for(lambda: {certificates.trusts(base) for _ in range(5)} == {True}, "the new one is shown")
    assert (after["runner_pid"], after["api"]["restarts"]) == (before["runner_pid"], 0)
    assert log.read_text(encoding="utf-8").count("the API stopped") == 2
    certificates.key.write_text("nonsense", encoding="utf-8")
    wait_for(lambda: "no usable pair" in log.read_text(encoding="utf-8"), "a wrong one is named")
    assert certificates.trusts(base)
    assert home.status()["api"]["pids"] == after["api"]["pids"]
    home.pyjobs("daemon", "stop", "--force")
