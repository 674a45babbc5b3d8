"""A bureau for transcripts: the real commands at a terminal, with a key agent that runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

from cardlib.crypto import Cipher
from cardlib.keys.roots import new_roots
from cardlib.keys.store.store_file import create
from tests import ROOT
from tests.custody.people import Person, files
from tests.programs.rhcard import IMPORT_MAIN, Ran, ran, spawned


@dataclass
class Bureau:
    """An agent that runs, with its folder."""

    folder: Path
    socket: Path
    process: "subprocess.Popen[str]"
    seen: list[str] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "keys.json"

    def files(self, *names: str, scripted: bool = True) -> list[object]:
        words: list[object] = ["--socket", self.socket]
        for name in names:
            words += ["--operator", self.folder / f"{name}.operator.json"]
            if scripted:
                words += ["--operator-passphrase-file", self.folder / f"{name}.passphrase"]
        return words

    def run(self, *words: object) -> Ran:
        done = ran(*words)
        self.seen.append(done.out + done.err)
        return done

    def talk(self, *words: object, **env: str) -> "pexpect.spawn[str]":
        """The command at a terminal of its own."""
        return pexpect.spawn(
            sys.executable, ["-c", f"{IMPORT_MAIN}main()", *map(str, words)], timeout=60,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env},
            dimensions=(50, 250), cwd=str(self.folder),
        )  # fmt: skip

    def ended(self, talk: "pexpect.spawn[str]", said: str) -> tuple[int | None, str]:
        """The exit code, and all that was shown."""
        talk.expect(pexpect.EOF)
        said += talk.before
        talk.close()
        self.seen.append(said)
        return talk.exitstatus, said

    def state(self) -> tuple[bytes, list[str]]:
        receipts = self.folder / "state" / "receipts"
        return self.store.read_bytes(), sorted(os.listdir(receipts)) if receipts.exists() else []


@contextmanager
def running_bureau(
    folder: Path, custodians: Sequence[Person], others: Sequence[Person] = (), chip: bytes = b""
) -> Iterator[Bureau]:
    """A locked agent with a store of these custodians; the register knows the others too."""
    register = files(folder, [*custodians, *others])
    named = [(each.name, each.key.operator.wrapping) for each in custodians]
    create(folder / "keys.json", new_roots(2, Cipher.SM4), custodians=named)
    stock = f'"{chip.hex()}"' if chip else ""
    (folder / "policy.toml").write_text(
        f'operators = "{register}"\nstock = [{stock}]\n'
        f'[callers.desk]\nuid = {os.getuid()}\nrole = "custodian"\n'
    )
    socket = folder / "run" / "agent.sock"
    process = spawned(
        "agent", "run", "--policy", folder / "policy.toml", "--store", folder / "keys.json",
        "--state", folder / "state", "--socket", socket, "--test-keys",
    )  # fmt: skip
    made = Bureau(folder, socket, process)
    try:
        until = time.monotonic() + 30
        while not socket.exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        made.seen.append(out + err)
