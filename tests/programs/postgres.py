"""A real PostgreSQL for the tests: one server for each process of the run, when first asked for.

A test asks for `postgres` (the server) and `database_url` (a new empty database on it). The server
listens on 127.0.0.1 only, is in memory if the machine has that, and has one user with a password
made up for the run. It ends with the process that began it, however that ends.
"""

import contextlib
import fcntl
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.programs.pcscd import wait_until

if TYPE_CHECKING:  # loading it costs every run 0.2 s
    import psycopg

USER = "rhcard"
SAFE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""The settings that keep a committed transaction through a power cut."""

_SMALL = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "8MB",
    "max_wal_size": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
}
_UNPRIVILEGED = ("postgres", "nobody")
"""Who runs the server where we are root: PostgreSQL refuses root."""
_PREFIX = "rhcard-postgres-"
_START_TIME = 30.0
_FIRST_PORT = 10_000
_NEW = 60.0
"""For so many seconds, a folder without a lock may be one that is being made."""


class Postgres:
    """A server with its own data folder. It can be stopped as by a power cut, and started again.

    Start it in the main thread: the kernel ends the server with the thread that started it.
    """

    def __init__(self, data: Path, password: str, settings: Mapping[str, str] = SAFE) -> None:
        self.data, self.password = data, password
        self.port = _free_port()
        self._settings = {**_SMALL, "port": str(self.port), **settings}
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def start(self) -> None:
        """Return when the server takes connections, after it has recovered what was committed."""
        assert threading.current_thread() is threading.main_thread(), "see the class"
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        command = [*_unprivileged(), _program("postgres"), "-D", str(self.data), *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.data.parent
            )
        wait_until(self._is_ready, _START_TIME, self._why_not)

    def stop(self) -> None:
        """End the server at once: transactions that are not committed are lost, as in a power cut.

        Connections break. The port stays closed until `start`.
        """
        process, self._process = self._process, None
        if process is None:
            return
        for how in (signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """The address of a database, for SQLAlchemy with psycopg 3."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection":
        """Open a connection of its own, where every statement is committed."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password,
            dbname=database, connect_timeout=10, autocommit=True,
        )  # fmt: skip

    @contextlib.contextmanager
    def new_database(self) -> Iterator[str]:
        """An empty database until the block ends, by name; it is then dropped."""
        if not self.is_running:
            self.start()
        name = f"test_{next(self._numbers)}"
        self._tell(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            if not self.is_running:
                self.start()
            self._tell(f"DROP DATABASE {name} WITH (FORCE)")

    def _tell(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement.encode())

    def _is_ready(self) -> bool:
        import psycopg

        if not self.is_running:
            raise AssertionError(self._why_not())
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _why_not(self) -> str:
        said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return f"PostgreSQL does not take connections at port {self.port}: {said}"


class Postgreses:
    """What makes servers: every one begins as a copy of one new data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(18)
        self._numbers = count(1)
        self._template = folder / "new"
        _init(self._template, self._password)

    @contextlib.contextmanager
    def running(self, settings: Mapping[str, str] = SAFE) -> Iterator[Postgres]:
        """A running server of its own until the block ends."""
        data = self._folder / f"data-{next(self._numbers)}"
        # `cp` keeps owner and mode, as shutil.copytree does not.
        subprocess.run(["cp", "-a", self._template, data], check=True, timeout=_START_TIME)
        server = Postgres(data, self._password, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(data)


def _init(data: Path, password: str) -> None:
    """Make a new data folder. It takes 0.7 s."""
    asked = data.with_suffix(".password")
    asked.write_text(password, encoding="ascii")
    asked.chmod(0o600)
    shutil.chown(asked, _owner())
    command = [
        *_unprivileged(), _program("initdb"), "-D", str(data), "-U", USER, "--pwfile", str(asked),
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--wal-segsize=1",
        "--no-sync", "--no-instructions",
    ]  # fmt: skip
    made = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=data.parent, timeout=120
    )
    assert made.returncode == 0, f"initdb failed: {made.stdout}{made.stderr}"
    asked.unlink()


def _owner() -> str:
    """The user whose the data are: an unprivileged one, or the user that we are."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    users = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in users)


def _unprivileged() -> tuple[str, ...]:
    """What stands before a command, so that the owner runs it and it ends with us."""
    ends_with_us = ("setpriv", "--pdeathsig", "QUIT")
    if os.geteuid():
        return ends_with_us
    user = pwd.getpwnam(_owner())
    return (*ends_with_us, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def _folder_of_programs() -> Path | None:
    """Debian keeps a folder a version, and none of them is on the PATH."""
    found = [
        version
        for version in Path("/usr/lib/postgresql").glob("*")
        if version.name.isdigit() and (version / "bin" / "initdb").exists()
    ]
    newest = max(found, key=lambda version: int(version.name), default=None)
    on_path = shutil.which("initdb")
    if newest:
        return newest / "bin"
    return Path(on_path).parent if on_path else None


def _program(name: str) -> str:
    folder = _folder_of_programs()
    assert folder, "PostgreSQL is needed: apt-get install postgresql"
    return str(folder / name)


def _free_port() -> int:
    """A port that nobody has, below those that the kernel gives to the near ends of connections."""
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    ports = range(_FIRST_PORT, max(_FIRST_PORT + 1000, int(kernel.split()[0])))
    for port in random.sample(ports, 100):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port of 127.0.0.1 is free")


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder of the server's user, in memory if there is some; removed, also after a kill.

    Who was killed leaves a folder that nobody has locked: the next run removes it.
    """
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _NEW:
                with _locked(left):
                    shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    with _locked(folder):
        shutil.chown(folder, _owner())
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; OSError if another process holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@pytest.fixture(scope="session")
def postgreses() -> Iterator[Postgreses]:
    """What makes servers. A machine that has no PostgreSQL skips what needs it."""
    if _folder_of_programs() is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql")
    with _own_folder() as folder:
        yield Postgreses(folder)


@pytest.fixture(scope="session")
def postgres(postgreses: Postgreses) -> Iterator[Postgres]:
    """The server of this process. A test may stop it, and need not start it again."""
    with postgreses.running() as server:
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database of this test: `postgresql+psycopg://...`."""
    with postgres.new_database() as name:
        yield postgres.url(name)


@pytest.fixture
def careless_database_url(postgreses: Postgreses) -> Iterator[str]:
    """The address of a database on another server, with `fsync = off`.

    For `synchronous_commit = off` no other server is needed: ALTER DATABASE sets it.
    """
    with postgreses.running({**SAFE, "fsync": "off"}) as server, server.new_database() as name:
        yield server.url(name)
