"""A real MariaDB of our own: on a free port, in a folder that goes with it, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

__all__ = ["Database", "Mariadb", "mariadb", "mysql"]

PASSWORD = "canary-4711@/:#"
_QUOTED = "canary-4711%40%2F%3A%23"
#: Nothing here has to outlive a power loss, and many share the disk.
_LIGHT = ("--innodb-log-file-size=8M", "--innodb-flush-method=nosync")
_TABLES = (
    "job_logs", "jobs", "events", "run_figures", "run_minutes", "ip_entries", "api_tokens", "admins", "runners",
    "run_counts", "job_counts", "alert_marks", "alert_deliveries", "alert_incidents",
)  # fmt: skip


class Mariadb:
    """One server."""

    def __init__(self, folder: Path) -> None:
        """Make its files; `start` it then."""
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # The server leaves root's rights; its folder has to be open to its own user.
        folder.chmod(0o755)
        self._user = ["--user=mysql"] if os.geteuid() == 0 else []
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *self._user, f"--datadir={folder / 'data'}",
             "--auth-root-authentication-method=normal", "--skip-test-db", *_LIGHT],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if self._user:
            shutil.chown(folder, "mysql")

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self._process = subprocess.Popen(
            [_server_program() or "", "--no-defaults", *self._user, f"--datadir={self.folder / 'data'}",
             f"--socket={self.folder / 's.sock'}", f"--pid-file={self.folder / 'pid'}", f"--port={self.port}",
             "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M", *_LIGHT,
             "--innodb-flush-log-at-trx-commit=2", "--performance-schema=OFF", "--skip-name-resolve",
             "--character-set-server=utf8mb4", f"--log-error={self.folder / 'err.log'}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,  # no signal to a group is its
        )  # fmt: skip
        wait_for(self._answers, "MariaDB answers", limit_s=60)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=60)
            self._process = None

    def check(self) -> None:
        """Say how it ended, if it did so by itself."""
        code = self._process.poll() if self._process is not None else 0
        assert code is None, f"the server ended with {code}: {(self.folder / 'err.log').read_text()[-2000:]}"

    def connect(self, database: str | None = None) -> Any:
        """A connection of its administrator."""
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, ssl_disabled=True
        )

    def execute(self, sql: str, *values: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """Execute one statement as its administrator."""
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def _answers(self) -> bool:
        import pymysql

        self.check()
        try:
            self.execute("SELECT 1")
        except pymysql.err.Error:
            return False
        return True


class Database:
    """One database of a server, and its user."""

    def __init__(self, server: Mariadb, name: str) -> None:
        """Make it, empty."""
        self.server, self.name = server, name
        server.execute(f"DROP DATABASE IF EXISTS {name}")
        server.execute(f"CREATE DATABASE {name}")
        server.execute(f"CREATE USER IF NOT EXISTS '{name}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        server.execute(f"GRANT ALL ON {name}.* TO '{name}'@'127.0.0.1'")

    @property
    def url(self) -> str:
        """As DATABASE_URL."""
        return f"mysql://{self.name}:{_QUOTED}@127.0.0.1:{self.server.port}/{self.name}"

    def execute(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute one statement as the server's administrator."""
        return self.server.execute(sql, *values, database=self.name)

    def kill_connections(self) -> int:
        """Kill all connections of its user; answers how many there were."""
        found = self.execute("SELECT id FROM information_schema.processlist WHERE user = %s", self.name)
        for (number,) in found:
            with contextlib.suppress(Exception):  # it may have gone by itself
                self.execute(f"KILL {number}")
        return len(found)

    def clear(self) -> None:
        """Delete all rows of a store that is there."""
        if not self.execute("SHOW TABLES LIKE 'changes'"):
            return
        with contextlib.closing(self.server.connect(self.name)) as connection, connection.cursor() as cursor:
            connection.begin()
            for table in _TABLES:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("DELETE FROM facts WHERE name <> 'revision'")
            cursor.execute("UPDATE facts SET value = '0'")
            connection.commit()
            cursor.execute("ALTER TABLE jobs AUTO_INCREMENT = 1")  # as in a new store


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _server_program() -> str | None:
    # Where Debian puts it is not in everybody's path.
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Mariadb]:
    """A running server, for all tests of this process."""
    if not (_server_program() and shutil.which("mariadb-install-db")):
        why = "there is no mariadbd: install mariadb-server"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="pyjobs-mariadb-"))
    server = None
    try:
        server = Mariadb(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop(signal.SIGKILL)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _database(mariadb: Mariadb) -> Database:
    return Database(mariadb, "pyjobs")


@pytest.fixture
def mysql(_database: Database) -> Database:
    """An empty store's database: its tables are made by the first one that opens it, and have no rows."""
    _database.server.check()
    _database.clear()
    return _database
