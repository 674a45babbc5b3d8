"""A key agent in this process whose keys are in SoftHSM, with operators who can speak to it."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardlib.crypto import Cipher
from cardlib.keys.agent.agent_wire import Document
from cardlib.keys.roots import Roots, new_roots
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from personalize.custody.ceremony import split
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from tests.custody.agents import folder_in_memory
from tests.custody.hosts import Host, again
from tests.custody.people import Person, files, person
from tests.programs.other_user import STATION
from tests.programs.rhcard import spawned
from tests.programs.softhsm import PIN, SoftHsm

ANN, BOB = person("ann"), person("bob")


def source_with(softhsm: SoftHsm, roots: Roots) -> TokenSource:
    """A new token that holds these roots."""
    source = TokenSource(softhsm.module, softhsm.new_token(), "main")
    session = session_of(source)
    import_roots(session, source.store, roots)
    session.lock()
    return source


def session_of(source: TokenSource) -> TokenSession:
    return TokenSession(source.module, source.label, PIN)


@contextmanager
def token_host(
    folder: Path,
    register: Path,
    source: TokenSource,
    *,
    test_keys: bool = False,
    stock: frozenset[bytes] = frozenset(),
) -> Iterator[Host]:
    """A locked agent of a folder in which `state` and the operators' files are."""
    with again(folder, register, stock) as made:
        made.service.vault = Vault(source, made.service.policy, test_keys=test_keys)
        try:
            yield made
        finally:
            made.service.lock()


def unlock(agent: Host) -> Document:
    return agent.call("unlock-token", **agent.signed("unlock", {}, ANN, BOB), pin=PIN)


def holder_of(agent: Host) -> TokenHolder:
    holder = agent.service.vault.holder
    assert isinstance(holder, TokenHolder)
    return holder


def signed_rotation(
    agent: Host, version: int, *, transport: bool = False
) -> Callable[[], Document]:
    """What has the agent make the rotation that both have signed."""
    about = {"transport": transport, "version": version}
    signed = agent.signed("rotate", about, ANN, BOB)
    return lambda: agent.call("rotate", **signed)


def signed_retirement(agent: Host, version: int) -> Callable[[], Document]:
    signed = agent.signed("retire", {"version": version}, ANN, BOB)
    return lambda: agent.call("retire", **signed)


def signed_import(agent: Host, what: str, value: bytes) -> Callable[[], Document]:
    """What has the agent take in the key that both have entered components of, and signed."""
    plan, handle = agent.begin("import", what, ANN, BOB)
    made = split(what, Cipher[plan.cipher.name], value, [bytes(255 - byte for byte in value)])
    agent.enter(plan, handle, ANN, made[0])
    last = agent.enter(plan, handle, BOB, made[1])
    about: dict[str, Any] = {
        "ceremony": plan.ceremony, "what": what,
        "components": [each.check_value for each in made],
        "check_values": {each["name"]: each["value"] for each in last["check_values"]},
    }  # fmt: skip
    signed = agent.signed("import", about, ANN, BOB)
    return lambda: agent.call("ceremony-import", ceremony=handle, **signed)


def receipts_of(agent: Host) -> list[int]:
    numbers: list[int] = agent.call("receipts")["receipts"]
    return numbers


def people_of(folder: Path) -> list[Person]:
    """The folders of an agent, and those who may speak to it."""
    (folder / "store").mkdir()
    (folder / "state").mkdir(mode=0o700)
    return [ANN, BOB]


@dataclass(frozen=True)
class Saved:
    """A token with two versions, its agent's folder with one receipt, and copies of both."""

    softhsm: SoftHsm
    source: TokenSource
    copies: Path

    def put_back(self, folder: Path) -> Path:
        """Let the token be as it was, and make the agent's folder anew; return its register."""
        self.softhsm.put_back(self.source.label, self.copies / "token")
        shutil.copytree(self.copies / "agent", folder, dirs_exist_ok=True)
        return folder / "operators.json"


@contextmanager
def saved(softhsm: SoftHsm) -> Iterator[Saved]:
    with folder_in_memory() as copies:
        source = source_with(softhsm, new_roots(2, Cipher.AES))
        folder = copies / "agent"
        folder.mkdir()
        register = files(folder, people_of(folder))
        with token_host(folder, register, source) as agent:
            unlock(agent)
            signed_rotation(agent, 2)()
        shutil.copytree(softhsm.folder_of(source.label), copies / "token")
        yield Saved(softhsm, source, copies)


@contextmanager
def running(source: TokenSource, role: str) -> Iterator[Path]:
    """The folder of an agent process of production keys in a token, for one user, `STATION`."""
    with folder_in_memory() as folder:
        folder.chmod(0o755)
        register = files(folder, [ANN, BOB])
        (folder / "pin.txt").write_text(PIN + "\n")
        (folder / "pin.txt").chmod(0o600)
        os.chown(folder / "pin.txt", STATION, -1)
        (folder / "policy.toml").write_text(
            f'operators = "{register}"\n[callers.one]\nuid = {STATION}\nrole = {role}\n'
        )
        socket = folder / "run" / "agent.sock"
        process = spawned(
            "agent", "run", "--policy", folder / "policy.toml", "--token", source.label,
            "--module", source.module, "--state", folder / "state", "--socket", socket,
        )  # fmt: skip
        try:
            until = time.monotonic() + 30
            while not socket.exists():
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            yield folder
        finally:
            process.kill()
            process.communicate()


def signers(folder: Path, *names: str) -> list[object]:
    """The options with which these operators sign."""
    words: list[object] = []
    for name in names:
        words += ["--operator", folder / f"{name}.operator.json"]
        words += ["--operator-passphrase-file", folder / f"{name}.passphrase"]
    return words
