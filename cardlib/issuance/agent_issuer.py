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
from ..keys.agent.agent_wire import ERRORS, Document, ErrorForm, by_message, choice, text
from ..keys.agent.batch_forms import MOST_HASHES
from ..keys.issuer import CardJob, PinOf, RecordRange, RecordRefused, Scp03Set, Share
from ..layout.load import Grouping
from ..messaging.scp03_failure import Cause, Scp03Failure
from .agent_batches import (
    AgentOldBatch,
    AgentSealedBatch,
    AgentSealingBatch,
    owned_members,
    share_members,
)

AGENT_ERRORS = (
    *ERRORS,
    by_message(RecordRefused),
    ErrorForm(
        Scp03Failure,
        {"cause": choice(Cause), "detail": text(4000)},
        lambda cause, detail: Scp03Failure(Cause(cause), detail),
    ),
)
"""The errors that can come from the agent, with those of SCP03 and of batches."""
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

    @property
    def preparation_certificate(self) -> bytes:
        """The certificate of those who prepare batches with these keys, DER."""
        found = self._connection.call("preparation-certificate", identity=self._whose)
        certificate: bytes = found["certificate"]
        return certificate

    def new_batch(self, batch: UUID, count: int, shares: Sequence[Share]) -> AgentSealingBatch:
        """Begin a batch of `count` records, each in one site's share, with random keys."""
        members = {**self._of_batch(batch, count), "shares": [share_members(s) for s in shares]}
        return AgentSealingBatch(self._connection, self._connection.call("new-batch", **members))

    def continued_batch(self, batch: UUID, count: int, kept: bytes) -> AgentSealingBatch:
        """Begin a batch again that was cut: the same records give the same bytes."""
        members = {**self._of_batch(batch, count), "kept": kept}
        begun = self._connection.call("continue-batch", **members)
        return AgentSealingBatch(self._connection, begun)

    def sealed_batch(
        self,
        batch: UUID,
        count: int,
        ranges: Sequence[RecordRange],
        transfers: Sequence[RecordRange] = (),
    ) -> AgentSealedBatch:
        """Return a batch whose manifest and transfers were checked, the transfers in order."""
        members = self._of_batch(batch, count)
        return AgentSealedBatch(self._connection, members, ranges, transfers)

    def offer_site_key(self, site: str) -> bytes:
        """Have a key pair made for one batch; the private key stays at the agent."""
        found = self._connection.call("offer-site-key", identity=self._whose, site=site)
        signed: bytes = found["signed"]
        return signed

    def transfer(
        self, batch: UUID, count: int, owned: RecordRange, to: Share, *, transferred: bool
    ) -> bytes:
        """Give records of a range, or of an earlier transfer, to a site; return CMS SignedData."""
        members = {**self._of_batch(batch, count), **owned_members(owned, transferred)}
        found = self._connection.call("transfer-records", **members, to=share_members(to))
        signed: bytes = found["signed"]
        return signed

    def old_batch(self, batch: UUID, count: int, sealed_key: bytes) -> AgentOldBatch:
        """Return a batch of format 2. What is wrong with its key is said when it is first used."""
        members = {**self._of_batch(batch, count), "sealed_key": sealed_key}
        return AgentOldBatch(self._connection, members)

    def seal_pin(self, of: PinOf, pin: Pin) -> bytes:
        """Seal the PIN of a card."""
        found = self._connection.call("seal-pin", **self._pin(of), pin=str(pin))
        sealed: bytes = found["sealed"]
        return sealed

    def unseal_pin(self, of: PinOf, sealed: bytes) -> Pin:
        """Open the PIN of a card. Raises CardKeyError when it is damaged or another's."""
        found = self._connection.call("unseal-pin", **self._pin(of), sealed=sealed)
        return Pin(found["pin"])

    def give_up(self, job: CardJob) -> None:
        """Let the record of a job have another chip, because this one is spoiled.

        Raises CardKeyError when the agent saw the chip activated, or we may give up no more.
        """
        self._connection.call("give-up", **_members(job))

    def _pin(self, of: PinOf) -> Document:
        return {
            "identity": self._whose, "batch": of.batch.bytes, "number": of.number,
            "attempt": of.attempt, "chip": of.chip or b"", "use": of.use.value,
        }  # fmt: skip

    def _of_batch(self, batch: UUID, count: int) -> Document:
        return {"identity": self._whose, "batch": batch.bytes, "count": count}


def _members(job: CardJob) -> Document:
    return {"batch": job.batch.bytes, "number": job.number, "chip": job.chip}
