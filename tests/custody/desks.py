"""A key agent in this process, for tests: all of it but the socket, and callers that ask it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import SpecVersion
from cardlib.issuance.agent_issuer import AGENT_ERRORS, AgentIssuer
from cardlib.keys import CardKeys, KeySet
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.agent.agent_wire import Document, from_frame
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging.v2 import binding
from personalize.custody.policy import Caller, Policy
from personalize.custody.roles import Role
from personalize.custody.service import AgentService, open_files
from personalize.custody.vault import Vault
from personalize.custody.verbs import VERBS
from tests.cards.cards import CHIP
from tests.programs.rhcard import PASSPHRASE

UIDS = {role: 1000 + number for number, role in enumerate(Role)}


def caller(role: Role, **limits: object) -> Caller:
    return Caller(f"a-{role}", UIDS[role], frozenset((role,)), **limits)  # type: ignore[arg-type]


@cache
def own_keys(protocol: int = 2, cipher: Cipher = Cipher.SM4) -> KeyStore:
    """Random roots, one set for the whole test run."""
    return KeyStore(new_roots(protocol, cipher))


@cache
def public_keys(protocol: int = 2, cipher: Cipher = Cipher.SM4) -> KeyStore:
    return KeyStore(public_test_roots(protocol, cipher))


@dataclass(frozen=True)
class OneVersion:
    """A `KeyHolder` of one version."""

    newest: KeyStore

    @property
    def versions(self) -> Mapping[int, KeyStore]:
        return {self.newest.key_version: self.newest}

    @property
    def terminal_keys(self) -> KeySet:
        return self.newest.terminal_keys

    def of(self, identity: str) -> KeyStore:
        if identity != self.newest.identity:
            raise CardKeyError(f"no keys {identity}")
        return self.newest

    def for_issuing(self, identity: str) -> KeyStore:
        return self.of(identity)


@dataclass(frozen=True)
class OpenSource:
    """A key store whose passphrase needs no scrypt."""

    keys: KeyStore
    name: str = "a key store of a test"

    def open(self, passphrase: str) -> OneVersion:
        if passphrase != PASSPHRASE:
            raise CardKeyError("wrong passphrase")
        return OneVersion(self.keys)


class DirectConnection(AgentConnection):
    """A caller's connection that needs no socket: every message is encoded and decoded."""

    def __init__(self, service: AgentService, who: Caller) -> None:
        super().__init__(Path("/nowhere"), AGENT_ERRORS)
        self.service, self.desk = service, service.enter(who)
        self.asked: list[bytes] = []
        self.answered: list[bytes] = []

    def _exchanged(self, frame: bytes) -> Document:
        self.asked.append(frame[4:])
        self.answered.append(self.service.answer(frame[4:], self.desk)[4:])
        return from_frame(self.answered[-1])


@dataclass
class Bench:
    """An agent, and those of its policy who can ask it."""

    service: AgentService
    callers: Mapping[Role, Caller]

    def connection(self, role: Role = Role.STATION) -> DirectConnection:
        return DirectConnection(self.service, self.callers[role])

    def issuer(self, role: Role = Role.STATION) -> AgentIssuer:
        made = self.connection(role)
        return AgentIssuer(made, versions(made)[0])


@contextmanager
def bench(
    state: Path,
    keys: KeyStore | None = None,
    *,
    stock: frozenset[bytes] | None = frozenset((CHIP,)),
    test_keys: bool = False,
    unlocked: bool = True,
    **limits: object,
) -> Iterator[Bench]:
    """An agent with one caller of each role; `limits` are those of each of them."""
    callers = {role: caller(role, **limits) for role in Role}
    by_uid = MappingProxyType({each.uid: each for each in callers.values()})
    policy = Policy(state / "policy.toml", by_uid, stock)
    state.mkdir(exist_ok=True)
    jobs, log = open_files(state, state / "agent.head")
    vault = Vault(OpenSource(keys or own_keys()), policy, test_keys=test_keys)
    if unlocked:
        vault.unlock(PASSPHRASE)
    try:
        yield Bench(AgentService(vault, policy, jobs, log, VERBS), callers)
    finally:
        jobs.close()
        log.close()


def check_value_told(keys: CardKeys, name: str) -> bytes:
    """A card key's check value as an agent tells it: when a use of the key begins."""
    if keys.protocol == 1 or name.startswith("IRK"):
        keys.process_key(name, bytes(8))
    else:
        c1 = bytes((SpecVersion.of_protocol(2), keys.cipher, keys.version))
        keys.authentication(name, bytes(8), binding(KEY_BY_NAME[name], c1))
    return keys.key_check_value(name)
