"""The issuer whose keys are at the key agent. This process has none of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import UUID

from ..apdu import CommandAPDU, ResponseAPDU
from ..crypto import Cipher
from ..errors import CardKeyError, ChannelError
from ..facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial, Pin, Region, SpecVersion
from ..keys import KeySet, retired_error
from ..keys.agent.agent_connection import AgentConnection
from ..keys.agent.agent_keys import AgentKeySet, KeysOfVersion, versions
from ..keys.agent.agent_verbs import MOST_HASHES
from ..keys.agent.agent_wire import ERRORS, Document, ErrorForm, choice, text
from ..keys.issuer import CardJob, Scp03Set
from ..layout.load import Grouping
from ..messaging.scp03_failure import Cause, Scp03Failure

AGENT_ERRORS = (
    *ERRORS,
    ErrorForm(
        Scp03Failure,
        {"cause": choice(Cause), "detail": text(4000)},
        lambda cause, detail: Scp03Failure(Cause(cause), detail),
    ),
)
"""The errors that can come from the agent, with those of SCP03."""
_KEY_VERSIONS = {
    Scp03Set.TRANSPORT: TRANSPORT_KEY_VERSION,
    Scp03Set.ISSUER: ISSUER_KEY_VERSION,
}


class AgentHost:
    """The issuer's side of one session with one chip, at the key agent."""

    key_length = 16

    def __init__(
        self, connection: AgentConnection, identity: bytes, key_set: Scp03Set, chip: ChipSerial
    ) -> None:
        self._connection, self._identity = connection, identity
        self._set, self._chip = key_set, chip
        self.key_version = _KEY_VERSIONS[key_set]
        self._session: int | None = None

    def __repr__(self) -> str:
        return f"<issuer's side of a session with chip {self._chip}, at {self._connection!r}>"

    def initialize_update(self) -> CommandAPDU:
        """Return INITIALIZE UPDATE."""
        found = self._connection.call(
            "session", identity=self._identity, key_set=self._set, chip=self._chip
        )
        self._session = found["session"]
        return CommandAPDU.parse(found["command"])

    def external_authenticate(self, reply: ResponseAPDU) -> CommandAPDU:
        """Have the card's cryptogram checked; return EXTERNAL AUTHENTICATE."""
        return CommandAPDU.parse(self._call("session-answer", reply=bytes(reply))["command"])

    def opened(self, reply: ResponseAPDU) -> None:
        """Have the reply to EXTERNAL AUTHENTICATE checked."""
        self._call("session-opened", reply=bytes(reply))

    def replace_keys(self, job: CardJob) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys."""
        return self._commands("replace-keys", **_members(job))

    def load(
        self, job: CardJob, records: Iterable[Grouping], region: Region, pin: Pin
    ) -> Sequence[CommandAPDU]:
        """Return STORE DATA of a whole card: its records, its keys and its PIN."""
        given = list(records)
        return self._commands("load", **_members(job), records=given, region=region, pin=pin)

    def activate(self) -> Sequence[CommandAPDU]:
        """Return ACTIVATE."""
        return self._commands("activate")

    def reset_tries(self, key_name: str) -> Sequence[CommandAPDU]:
        """Return RESET KEY TRIES of a card key."""
        return self._commands("reset-tries", key=key_name)

    def done(self, replies: Sequence[ResponseAPDU]) -> None:
        """Have the replies to the commands that were made last checked, in their order."""
        self._call("session-done", replies=[bytes(reply) for reply in replies])

    def _commands(self, verb: str, **members: object) -> Sequence[CommandAPDU]:
        return [CommandAPDU.parse(each) for each in self._call(verb, **members)["commands"]]

    def _call(self, verb: str, **members: object) -> Document:
        if self._session is None:
            raise ChannelError("there is no SCP03 session: it was not begun")
        return self._connection.call(verb, session=self._session, **members)


class AgentSealingBatch:
    """A new batch whose key is at the agent."""

    def __init__(
        self, connection: AgentConnection, identity: bytes, batch: UUID, count: int
    ) -> None:
        begun = connection.call("new-batch", identity=identity, batch=batch.bytes, count=count)
        self._connection, self._sealing = connection, begun["sealing"]
        self.sealed_key: bytes = begun["sealed_key"]

    def seal(self, number: int, record: bytes) -> bytes:
        """Seal record `number`, from 1 in order."""
        found = self._connection.call(
            "seal-record", sealing=self._sealing, number=number, record=record
        )
        sealed: bytes = found["sealed"]
        return sealed

    def seal_header(self, header: bytes) -> bytes:
        """Return the seal of the header, 16 bytes; nothing is sealed after that."""
        found = self._connection.call("seal-header", sealing=self._sealing, header=header)
        seal: bytes = found["seal"]
        return seal


class AgentSealedBatch:
    """A batch whose key is at the agent."""

    def __init__(self, connection: AgentConnection, members: Document) -> None:
        self._connection, self._members = connection, members

    def check_header(self, header: bytes, seal: bytes) -> None:
        """Raise CardKeyError when the header is not the one that was sealed."""
        self._connection.call("check-header", **self._members, header=header, seal=seal)

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`. Raises CardKeyError when it is damaged or is another record."""
        found = self._connection.call(
            "unseal-record", **self._members, number=number, sealed=sealed
        )
        record: bytes = found["record"]
        return record


class AgentIssuer:
    """An `Issuer` over one key version of the key agent."""

    def __init__(self, connection: AgentConnection, about: KeysOfVersion) -> None:
        """Use `at` instead."""
        self._connection, self._about = connection, about
        self._whose = bytes.fromhex(about.identity)
        self.identity, self.key_version, self.is_test = about[0], about.version, about.is_test
        self.is_of_one_person = about.is_of_one_person
        self.spec: SpecVersion = SpecVersion.of_protocol(about.protocol)
        self.cipher: Cipher = about.cipher
        self.terminal_keys: KeySet = AgentKeySet(connection, about)
        self._hashes: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<issuer {self.identity} of {self._connection!r}>"

    @classmethod
    def at(cls, path: Path, identity: str | None = None, *, issuing: bool = False) -> "AgentIssuer":
        """Ask the agent at a socket: for its newest version, or for that of an identity.

        Raises KeysUnavailable when there is no agent or it is locked, CardKeyError when it has no
        such version, or when that is retired and wanted for `issuing`.
        """
        connection = AgentConnection(path, AGENT_ERRORS)
        found = versions(connection)
        fitting = [each for each in found if identity in (None, each.identity)]
        if not fitting:
            has = ", ".join(each.identity for each in found)
            raise CardKeyError(f"the key agent at {path} has no keys {identity}: it has {has}")
        chosen = fitting[0]
        if issuing and chosen.is_retired:
            raise retired_error(chosen.version, chosen.identity)
        return cls(connection, chosen)

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> AgentHost:
        """Begin a session with a chip that has this key set."""
        return AgentHost(self._connection, self._whose, key_set, chip)

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from card number and issue date."""
        (code,) = self.security_codes([card_number], issue_date)
        return code

    def security_codes(self, card_numbers: Sequence[str], issue_date: str) -> Sequence[str]:
        """Calculate the security code of each card number, of 1,000 at most, with one request."""
        given = {"card_numbers": list(card_numbers), "issue_date": issue_date}
        found = self._connection.call("security-codes", identity=self._whose, **given)
        codes: Sequence[str] = found["codes"]
        return codes

    def holder_hashes(self, numbers: Sequence[str]) -> Sequence[bytes]:
        """Return the `holder_hash` of each number; 1,000 take one request."""
        found: list[bytes] = []
        for at in range(0, len(numbers), MOST_HASHES):
            asked = {"identity": self._whose, "numbers": list(numbers[at : at + MOST_HASHES])}
            found += self._connection.call("holder-hashes", **asked)["hashes"]
        self._hashes = dict(zip(numbers, found, strict=True))
        return found

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes. Those of `holder_hashes` are known."""
        if number not in self._hashes:
            self.holder_hashes([number])
        return self._hashes[number]

    def new_batch(self, batch: UUID, count: int) -> AgentSealingBatch:
        """Begin a batch of `count` records, with a random key."""
        return AgentSealingBatch(self._connection, self._whose, batch, count)

    def sealed_batch(self, batch: UUID, count: int, sealed_key: bytes) -> AgentSealedBatch:
        """Return a batch. That its key is damaged or another's is said when it is first used."""
        whose = {"identity": self._whose, "batch": batch.bytes, "count": count}
        return AgentSealedBatch(self._connection, {**whose, "sealed_key": sealed_key})

    def seal_pin(self, batch: UUID, number: int, turn: int, pin: Pin) -> bytes:
        """Seal the PIN of a card, which is new for the `turn`-th time."""
        found = self._connection.call("seal-pin", **self._pin(batch, number, turn), pin=str(pin))
        sealed: bytes = found["sealed"]
        return sealed

    def unseal_pin(self, batch: UUID, number: int, turn: int, sealed: bytes) -> Pin:
        """Open the PIN of a card. Raises CardKeyError when it is damaged or not this card's."""
        found = self._connection.call("unseal-pin", **self._pin(batch, number, turn), sealed=sealed)
        return Pin(found["pin"])

    def give_up(self, job: CardJob) -> None:
        """Let the record of a job have another chip, because this one is spoiled.

        Raises CardKeyError when the agent saw the chip activated, or we may give up no more.
        """
        self._connection.call("give-up", **_members(job))

    def _pin(self, batch: UUID, number: int, turn: int) -> Document:
        return {"identity": self._whose, "batch": batch.bytes, "number": number, "turn": turn}


def _members(job: CardJob) -> Document:
    return {"batch": job.batch.bytes, "number": job.number, "chip": job.chip}
