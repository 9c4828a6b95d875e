"""Real servers on free ports, each stopped by the fixture that started it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from handed_down import module_of_cases

from pyjobs.commandtext import HttpSpec
from pyjobs.config import Settings
from pyjobs.executors.http import HttpExecutor
from pyjobs.executors.spool import Spool
from pyjobs.ports import Attempt, Launch, Outcome

_LIMIT_S = 20.0

#: What a raw server does with one connection.
Handler = Callable[[socket.socket], None]


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = _LIMIT_S) -> Any:
    """Poll until something is true; answers it."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    pytest.fail(f"not within {limit_s} s: {what}")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxies and certificates are for whoever runs the tests, not for what they test."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in (
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """Base URL of a running http_target."""
    server, base = module_of_cases("http_target").serve()
    yield base
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], int]]:
    """Start a server that hands each of its connections to a function in a thread; answers its port."""
    listeners: list[socket.socket] = []
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def handle(handler: Handler, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            handler(connection)

    def accept(listener: socket.socket, handler: Handler) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threads.append(threading.Thread(target=handle, args=(handler, connection), daemon=True))
            threads[-1].start()

    def start(handler: Handler) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=accept, args=(listener, handler), daemon=True))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for sock in listeners + connections:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(_LIMIT_S)
    for sock in listeners + connections:
        sock.close()


def program(name: str) -> str:
    """Path of a server's program. A missing one skips the test, but fails it where `CI` is set."""
    found = shutil.which(name)
    if not found:
        reason = f"{name} is not installed (Debian package of the same name)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def servers() -> Iterator[Callable[[list[str], int], None]]:
    """Start a program and wait until its port answers; all are ended by their process ids."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], port: int) -> None:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        started.append(process)

        def answers() -> bool:
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_for(answers, f"{command[0]} listens")

    yield start
    for process in started:
        process.terminate()
        process.wait(_LIMIT_S)


@dataclass
class Proxy:
    """A running proxy: where it listens, and its log where it writes one."""

    address: str
    log: Path


@pytest.fixture
def tinyproxy(servers: Callable[[list[str], int], None], tmp_path: Path) -> Callable[..., Proxy]:
    """Start a real HTTP proxy, with `user` and `password` one that asks for them."""

    def start(user: str = "", password: str = "") -> Proxy:
        binary, port = program("tinyproxy"), free_port()
        log, config = tmp_path / f"tinyproxy-{port}.log", tmp_path / f"tinyproxy-{port}.conf"
        lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 20", f'LogFile "{log}"', "LogLevel Info", "MaxClients 20"]
        lines += [f"BasicAuth {user} {password}"] if user else []
        config.write_text("\n".join(lines) + "\n")
        servers([binary, "-d", "-c", str(config)], port)
        return Proxy(f"127.0.0.1:{port}", log)

    return start


@pytest.fixture
def microsocks(servers: Callable[[list[str], int], None], tmp_path: Path) -> Callable[..., Proxy]:
    """Start a real SOCKS5 proxy, with `user` and `password` one that asks for them."""

    def start(user: str = "", password: str = "") -> Proxy:
        port = free_port()
        login = ["-u", user, "-P", password] if user else []
        servers([program("microsocks"), "-i", "127.0.0.1", "-p", str(port), *login], port)
        return Proxy(f"127.0.0.1:{port}", tmp_path / "none")

    return start


@dataclass
class Ran:
    """How a request ended, what its run recorded, and how long it took."""

    outcome: Outcome
    output: str
    seconds: float

    @property
    def error(self) -> str:
        return self.outcome.error


@dataclass
class Http:
    """An HTTP executor with a spool of its own."""

    executor: HttpExecutor
    spool: Spool
    started: list[Attempt] = field(default_factory=list)

    def start(self, url: str, *, timeout_s: float = 15, **spec: Any) -> Attempt:
        """Start one request; the spec's fields as keywords."""
        launch = Launch(
            exec_id=f"run{len(self.started)}", job_id=1, job_name="job", attempt=1,
            spec=HttpSpec(url=url, **spec), scheduled_ms=None, timeout_s=timeout_s,
        )  # fmt: skip
        self.started.append(self.executor.start(launch))
        return self.started[-1]

    def finish(self, attempt: Attempt, limit_s: float = _LIMIT_S) -> Ran:
        """Wait for its end."""
        import select

        begun = time.monotonic()
        assert select.select([attempt.fileno()], [], [], limit_s)[0], "the attempt did not end"
        outcome = attempt.outcome()
        assert outcome
        assert attempt.gone()
        assert outcome.success == (not outcome.error)
        return Ran(outcome, self.output(attempt), time.monotonic() - begun)

    def output(self, attempt: Attempt) -> str:
        """What it recorded so far."""
        path = self.spool.out(f"run{self.started.index(attempt)}")
        return path.read_text("utf-8") if path.is_file() else ""

    def run(self, url: str, **spec: Any) -> Ran:
        """Make one request to its end."""
        attempt = self.start(url, **spec)
        ran = self.finish(attempt)
        attempt.close()
        return ran


@pytest.fixture
def make_http(tmp_path: Path) -> Iterator[Callable[..., Http]]:
    """Make an HTTP executor, with settings as keywords."""
    made: list[Http] = []

    def make(**settings: Any) -> Http:
        found = Settings(home=tmp_path, **settings)
        spool = Spool(tmp_path / f"spool{len(made)}", keep_bytes=found.run_output_bytes, max_bytes=1 << 30)
        spool.prepare()
        made.append(Http(HttpExecutor(found, spool), spool))
        return made[-1]

    yield make
    for http in made:
        for attempt in http.started:
            attempt.close()
        http.executor.close()


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    """An HTTP executor with the default settings."""
    return make_http()
