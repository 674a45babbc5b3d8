"""A key agent in this process, without its socket, with operators who can speak to it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cardlib.crypto import Cipher
from cardlib.keys.agent.agent_verbs import FORMS
from cardlib.keys.agent.agent_wire import Document, decoded, error_of, from_frame, to_frame
from cardlib.keys.roots import new_roots
from cardlib.keys.store.store_file import create
from personalize.custody.ceremony import ComponentEntry, Plan
from personalize.custody.component import Component
from personalize.custody.policy import Caller, Policy
from personalize.custody.roles import Role
from personalize.custody.service import AgentService, Desk, open_files
from personalize.custody.statement import Statement
from personalize.custody.vault import StoreSource, Vault
from personalize.custody.verbs import VERBS
from tests.custody.people import Person, files


@dataclass
class Host:
    """The agent, one connection to it, and what of it lies on the disk."""

    service: AgentService
    desk: Desk
    store: Path

    def call(self, verb: str, **members: object) -> Document:
        """What a caller of the socket gets: every member goes through the wire's forms."""
        frame = to_frame({"verb": verb, **members})
        reply = from_frame(self.service.answer(frame[4:], self.desk)[4:])
        if "error" in reply:
            raise error_of(reply["error"])
        return decoded(FORMS[verb].returns, reply["ok"], verb)

    def signed(self, action: str, parameters: Mapping[str, Any], *people: Person) -> Document:
        """The members of a request that these people have signed."""
        given = self.call("nonce")
        names = tuple(each.name for each in people)
        expires = datetime.fromisoformat(given["expires"])
        statement = Statement(action, parameters, given["nonce"], expires, names, given["store"])
        return {
            "statement": statement.canonical().decode(),
            "signatures": [
                {"operator": each.name, "signature": statement.signed_by(each.key)}
                for each in people
            ],
        }

    def begin(self, action: str, what: str, *people: Person, **more: object) -> tuple[Plan, int]:
        names = [each.name for each in people]
        given = self.call("ceremony-begin", action=action, what=what, operators=names, **more)
        plan = Plan(given["id"], action, what, Cipher[given["cipher"]], tuple(names))
        return plan, given["ceremony"]

    def enter(
        self, plan: Plan, handle: int, who: Person, component: Component, check: str | None = None
    ) -> Document:
        check = component.check_value if check is None else check
        entry = ComponentEntry(plan, who.name, check, component.digest)
        return self.call(
            "ceremony-component", ceremony=handle, operator=who.name, number=component.number,
            component=component.value, check_value=check, signature=entry.signed_by(who.key),
        )  # fmt: skip

    def unlock(self, one: Person, two: Person) -> Document:
        """As `rhcard agent unlock --operator … --operator …` does."""
        wrap = self.call("custodians-wrap", operators=[one.name, two.name])
        signed = self.signed("unlock", {}, one, two)
        shares = [
            {"operator": each.name, "share": each.key.exchange(wrap["public"])}
            for each in (one, two)
        ]
        return self.call("unlock-together", **signed, shares=shares)

    def content(self) -> dict[str, bytes]:
        """All that lies in the folder of the store and of the receipts, by name."""
        folders = (self.store.parent, self.service.receipts.folder)
        return {
            path.name: path.read_bytes()
            for folder in folders
            if folder.is_dir()
            for path in folder.iterdir()
            if path.is_file()
        }


@contextmanager
def host(
    folder: Path,
    people: list[Person],
    *,
    cipher: Cipher = Cipher.SM4,
    passphrase: str | None = None,
    stock: frozenset[bytes] = frozenset(),
) -> Iterator[Host]:
    """A locked agent with a store of these custodians, or of a passphrase."""
    home, state = folder / "store", folder / "state"
    home.mkdir()
    state.mkdir(mode=0o700)
    custodians = [(each.name, each.key.operator.wrapping) for each in people
                  if Role.CUSTODIAN in each.key.operator.roles]  # fmt: skip
    create(
        home / "keys.json", new_roots(2, cipher), passphrase=passphrase,
        custodians=() if passphrase else custodians,
    )  # fmt: skip
    register = files(folder, people)
    with again(folder, register, stock) as made:
        yield made


@contextmanager
def again(folder: Path, register: Path, stock: frozenset[bytes] = frozenset()) -> Iterator[Host]:
    """A locked agent of a folder that `host` has filled, as after a restart."""
    home, state = folder / "store", folder / "state"
    caller = Caller("desk", os.getuid(), frozenset((Role.CUSTODIAN,)))
    policy = Policy(folder / "policy.toml", {os.getuid(): caller}, stock, None, 15, register)
    jobs, log = open_files(state, state / "agent.head")
    try:
        vault = Vault(StoreSource(home / "keys.json"), policy, test_keys=False)
        service = AgentService(vault, policy, jobs, log, VERBS)
        yield Host(service, service.enter(caller), home / "keys.json")
    finally:
        jobs.close()
        log.close()
