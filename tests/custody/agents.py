"""Key agents as processes, with a socket, for tests."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cardlib.errors import CardKeyError
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.roots import Roots
from cardlib.keys.store import KeyStore
from tests.programs.other_user import PREPARATION, STATION, TERMINAL
from tests.programs.rhcard import PASSPHRASE, spawned

_STARTS_IN = 30.0


@dataclass
class AgentProcess:
    """An agent that runs, and where its files are."""

    folder: Path
    process: "subprocess.Popen[str]"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "agent.sock"

    @property
    def log(self) -> Path:
        return self.folder / "state" / "agent.log"

    def connection(self) -> AgentConnection:
        return AgentConnection(self.socket)

    def unlock(self) -> None:
        self.connection().call("unlock", passphrase=PASSPHRASE)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return exit code and what was said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def policy(stock: str = '"any"', **limits: int) -> str:
    """A policy for a trial: root is a station and prepares, other users have one role each."""
    more = "".join(f"{name} = {value}\n" for name, value in limits.items())
    roles = {
        "root": (os.getuid(), '["station", "data-preparation", "custodian"]'),
        "station": (STATION, '"station"'),
        "preparation": (PREPARATION, '"data-preparation"'),
        "terminal": (TERMINAL, '"terminal"'),
    }
    tables = (
        f"[callers.{name}]\nuid = {uid}\nrole = {role}\n{more}"
        for name, (uid, role) in roles.items()
    )
    return f"stock = {stock}\n" + "\n".join(tables)


@cache
def store_bytes(test_keys: bool) -> tuple[bytes, Roots]:
    """The file of a key store, made once for the test run, and the roots in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "keys.json")
        made = KeyStore.create(path, PASSPHRASE, test_keys)
        return path.read_bytes(), made._roots


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder where writing through to the disk takes no time, if the machine has one."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="rhcard-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def agent_folder(rules: str, *, test_keys: bool = True) -> Iterator[Path]:
    """A folder with policy and key store, whose socket every user of the group 0 may reach.

    It is in memory.
    """
    with folder_in_memory() as folder:
        folder.chmod(0o755)
        (folder / "policy.toml").write_text(rules, "utf-8")
        (folder / "keys.json").write_bytes(store_bytes(test_keys)[0])
        (folder / "keys.json").chmod(0o600)
        yield folder


def command(folder: Path) -> tuple[object, ...]:
    """The command that runs the agent of a folder."""
    return (
        *("agent", "run", "--policy", folder / "policy.toml", "--store", folder / "keys.json"),
        *("--state", folder / "state", "--socket", folder / "run" / "agent.sock"),
    )


def start(folder: Path, *more: str) -> AgentProcess:
    """Start the agent of a folder and wait until it listens."""
    made = AgentProcess(folder, spawned(*command(folder), *more))
    until = time.monotonic() + _STARTS_IN
    while time.monotonic() < until and made.process.poll() is None:
        try:
            made.connection().call("status")
        except CardKeyError as error:
            if "not in the key agent's policy" in str(error):
                return made
            time.sleep(0.02)
        else:
            return made
    made.process.kill()
    raise AssertionError(made.process.communicate()[1])


@contextmanager
def running(rules: str | None = None, *, unlocked: bool = True) -> Iterator[AgentProcess]:
    """An agent with public test keys."""
    with agent_folder(policy() if rules is None else rules) as folder:
        made = start(folder, "--test-keys")
        try:
            if unlocked:
                made.unlock()
            yield made
        finally:
            made.process.kill()
            made.process.communicate()
