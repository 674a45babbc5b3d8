"""The card keys of the key agent, as a terminal uses them: no root and no card key is here."""

from pathlib import Path
from typing import NamedTuple

from ...crypto import BlockCipher, Cipher
from ...errors import CardKeyError, ChannelError
from .. import KeySet, SessionKeys
from ..several import SeveralKeySets
from ..software import check_use
from .agent_connection import AgentConnection
from .agent_wire import Document


class KeysOfVersion(NamedTuple):
    """What the agent says about its keys of one version. `identity` has 32 hex digits."""

    identity: str
    version: int
    protocol: int
    cipher: Cipher
    is_test: bool
    is_retired: bool
    is_of_one_person: bool
    names: frozenset[str]


def versions(connection: AgentConnection) -> tuple[KeysOfVersion, ...]:
    """Ask which key versions the agent has, the newest first. Raises CardKeyError when locked."""
    found = connection.call("versions")["versions"]
    if not found:
        raise CardKeyError("the key agent has no keys")
    return tuple(_described(each) for each in found)


def _described(each: Document) -> KeysOfVersion:
    names = frozenset(each["names"])
    return KeysOfVersion(
        each["identity"].hex(), each["version"], each["protocol"], Cipher(each["cipher"]),
        each["test_keys"], each["retired"], each["of_one_person"], names,
    )  # fmt: skip


def agent_key_set(path: Path) -> KeySet:
    """Ask the agent at a socket for the card keys of all its versions.

    Raises KeysUnavailable when it is not there or locked.
    """
    connection = AgentConnection(path)
    found = versions(connection)
    sets = {each.version: AgentKeySet(connection, each) for each in reversed(found)}
    return SeveralKeySets(sets, found[0].version)


class AgentKeySet:
    """A `KeySet` of one version at the key agent."""

    def __init__(self, connection: AgentConnection, about: KeysOfVersion) -> None:
        self._connection, self._about = connection, about
        self.protocol, self.cipher, self.version = about.protocol, about.cipher, about.version
        self.names = about.names

    def __repr__(self) -> str:
        about = self._about
        return f"<key set {about.identity} v{about.version} of {self._connection!r}>"

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "AgentKeySet":
        """Return this set. Raises CardKeyError when it is of another use."""
        check_use(self, protocol, cipher, version)
        return self

    def for_card(self, chip: bytes, region: bytes) -> "AgentCardKeys":
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        if len(chip) != 8 or len(region) != 8:
            raise CardKeyError("chip serial and region factor must have 8 bytes each")
        return AgentCardKeys(self._connection, self._about, chip, region)


class AgentCardKeys:
    """The keys of one card, which the agent uses for us. It refuses those that we may not use."""

    def __init__(
        self, connection: AgentConnection, about: KeysOfVersion, chip: bytes, region: bytes
    ) -> None:
        self.protocol, self.cipher, self.version = about.protocol, about.cipher, about.version
        self._connection, self._about, self._card = connection, about, (chip, region)
        self._check_values: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<card keys v{self.version} of {self._connection!r} chip {self._card[0].hex()}>"

    def process_key(self, name: str, challenge: bytes) -> "AgentProcessKey":
        """Return the process key of a card key for an 8-byte challenge."""
        found = self._begun("process-key", name, challenge=challenge)
        return AgentProcessKey(self._connection, found["process"])

    def authentication(self, name: str, rnd_ic: bytes, binding: bytes) -> "AgentAuthentication":
        """Begin a version-2 authentication with the card's 8-byte challenge and B (6 bytes)."""
        found = self._begun("authenticate", name, challenge=rnd_ic, binding=binding)
        return AgentAuthentication(self._connection, self.cipher, found)

    def key_check_value(self, name: str) -> bytes:
        """Return a card key's check value, 3 bytes, which the agent tells as its use begins.

        Raises CardKeyError when no use of this key was begun.
        """
        if name not in self._check_values:
            raise CardKeyError(f"the key agent tells the check value of {name} when it is used")
        return self._check_values[name]

    def _begun(self, verb: str, name: str, **members: object) -> Document:
        if name not in self._about.names:
            raise CardKeyError(f"{name} is needed, but the key agent does not let us use it")
        chip, region = self._card
        identity = bytes.fromhex(self._about.identity)
        whose = {"identity": identity, "key": name, "chip": chip, "region": region}
        found = self._connection.call(verb, **whose, **members)
        self._check_values[name] = found["check_value"]
        return found


class AgentProcessKey:
    """A version-1 process key at the agent. It stays there, and is used as its usage allows."""

    def __init__(self, connection: AgentConnection, handle: int) -> None:
        self._connection, self._handle = connection, handle

    def __repr__(self) -> str:
        return f"<process key of {self._connection!r}>"

    def encrypt(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself."""
        found = self._connection.call("process-encrypt", process=self._handle, blocks=blocks)
        encrypted: bytes = found["blocks"]
        return encrypted

    def mac(self, message: bytes) -> bytes:
        """Return the first 4 bytes of the CBC-MAC over the message padded 80 00.. ."""
        found = self._connection.call("process-mac", process=self._handle, message=message)
        mac: bytes = found["mac"]
        return mac


class AgentAuthentication:
    """A version-2 authentication at the agent. It ends in the session keys of one card."""

    def __init__(self, connection: AgentConnection, cipher: Cipher, begun: Document) -> None:
        self._connection, self._cipher = connection, cipher
        self._handle: int | None = begun["authentication"]
        self.cryptogram: bytes = begun["cryptogram"]

    def __repr__(self) -> str:
        return f"<authentication of {self._connection!r}>"

    def session_keys(self, reply: bytes, chaining: bytes) -> SessionKeys:
        """Let the agent check the card's 40 bytes, and return the session keys, once."""
        handle, self._handle = self._handle, None
        if handle is None:
            raise ChannelError("this authentication was finished before")
        found = self._connection.call(
            "session-keys", authentication=handle, reply=reply, chaining=chaining
        )
        return SessionKeys(*(BlockCipher(self._cipher, found[name]) for name in ("enc", "mac")))
