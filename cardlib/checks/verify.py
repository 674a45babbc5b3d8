"""Verify an issued card: read it back, compare it, and try what it must refuse.

No wrong cryptogram and no wrong PIN is ever presented. A command that must be refused writes only
what is on the card already, so it would change nothing if it were accepted (card specification 8).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from ..apdu import CommandAPDU, ResponseAPDU
from ..card import CardIdentity, ResidentHealthCard
from ..errors import CardError, TransportError
from ..exchange import Connection, send
from ..facts import ChipSerial, Pin
from ..keys import KeySet
from ..layout import FILES, KEYS, FieldValue, FileSpec, State
from ..layout.load import ISSUER_FILE, Records, decoded
from ..status import words

_AUTHENTICATING = {1: ("RK", "UK", "LK", "BK"), 2: ("RK", "UK", "LK", "BK", "PUK")}
"""The roles that EXTERNAL AUTHENTICATE accepts, by the version of secure messaging."""
_CLINICAL = next(file for file in FILES if file.path == "DDF1/DF02/EF05")
_REFUSED, _NOT_ACTIVE = 0x6982, 0x6985


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a card. `expected` and `found` may be personal data."""

    path: str
    record: int
    field: str
    problem: str
    expected: str = ""
    found: str = ""
    state: str = ""

    @property
    def place(self) -> str:
        """Where it is, without personal data, for the journal."""
        record = f" record {self.record}" if self.record else ""
        return f"{self.path}{record} {self.field}".strip() or self.problem

    def as_dict(self) -> dict[str, str | int]:
        """Return the finding as the members of a JSON object."""
        return asdict(self)


def verify_card(
    connection: Connection,
    keys: KeySet,
    issued: Records,
    chip: ChipSerial,
    *,
    active: bool,
    pin: Pin | None = None,
) -> tuple[Finding, ...]:
    """Find everything that is wrong with a personalized card; empty if it is good.

    `issued` are the records that the card was loaded with, including its chip serial number. Give
    `pin` only if the holder cannot have changed it. Raises TransportError when the card does not
    answer any more.
    """
    connection.reset()
    card = ResidentHealthCard(connection, keys, min_protocol=keys.protocol)
    findings = _checked("identification", card.identify)
    if findings:
        return tuple(findings)
    findings += _identity(card.identify(), keys, chip)
    findings += _closed_files(card)
    findings += _refused_commands(connection)
    card.forget()
    if not_genuine := _checked("internal authentication", card.internal_authenticate):
        # Its other keys would be wrong too, and each wrong key spends one of its tries.
        return (*findings, *not_genuine)
    for df_path in dict.fromkeys(file.df_path for file in FILES):
        findings += _directory(card, df_path, issued)
    findings += _role_keys(card, "MF")
    findings += _checked("RK1_DF02", lambda: card.authenticate("RK1_DF02"))
    refusal = (_REFUSED if active else _NOT_ACTIVE,)
    if keys.protocol == 1:
        findings += _plain_update(connection, _CLINICAL, refusal)
        card.forget()
    else:
        findings += _protected_update(card, _CLINICAL, refusal)
    if pin is not None:
        findings += _checked("the sealed PIN", lambda: card.verify_pin(pin))
    if keys.protocol == 2:
        findings += _plain_command(connection)
    card.reset()
    return tuple(findings)


def _checked(name: str, act: Callable[[], object]) -> list[Finding]:
    """Return one finding if the card refuses what it must do."""
    try:
        act()
    except TransportError:
        raise
    except CardError as error:
        return [Finding("", 0, "", f"{name}: {error}")]
    return []


def _identity(found: CardIdentity, keys: KeySet, chip: ChipSerial) -> list[Finding]:
    pairs = {
        "chip": (str(chip), found.chip.hex().upper()),
        "cipher": (keys.cipher.name, found.cipher.name),
        "key version": (str(keys.version), str(found.key_version)),
        "protocol": (str(keys.protocol), str(found.protocol)),
    }
    return [
        Finding("DDF1", 0, name, "differs", want, got)
        for name, (want, got) in pairs.items()
        if want != got
    ]


def _closed_files(card: ResidentHealthCard) -> list[Finding]:
    """Check that every protected file answers 6982 to a reader without rights."""
    findings = []
    for file in FILES:
        if not file.read_key:
            continue
        read = _read(card, file)
        states = {read.problem} if isinstance(read, Finding) else {v.state.value for v in read}
        if states != {State.DENIED.value}:
            problem = "can be read without keys"
            found = ", ".join(sorted(states))
            findings.append(Finding(file.path, 0, "", problem, State.DENIED, found))
    return findings


def _read(card: ResidentHealthCard, file: FileSpec) -> tuple[FieldValue, ...] | Finding:
    try:
        return card.read(file.path)
    except TransportError:
        raise
    except CardError as error:
        return Finding(file.path, 0, "", f"cannot be read: {error}")


def _refused_commands(connection: Connection) -> list[Finding]:
    """Check that the transport keys are gone, and that a file nobody may update is refused."""
    update = CommandAPDU(0x80, 0x50, 0xFF, 0x00, bytes(8), le=256)
    findings = _expect(connection, update, (0x6A88,), "INITIALIZE UPDATE with transport keys")
    return findings + _plain_update(connection, ISSUER_FILE, (_REFUSED, _NOT_ACTIVE))


def _plain_update(connection: Connection, file: FileSpec, allowed: Sequence[int]) -> list[Finding]:
    """Try to update record 1 with its own content, without secure messaging."""
    transmit = connection.transmit
    path = bytes.fromhex(file.path.replace("/", ""))
    send(transmit, CommandAPDU(0x00, 0xA4, 0x08, 0x0C, path))
    read = send(transmit, CommandAPDU(0x00, 0xB2, 0x01, 0x04, le=256))
    if not read.ok:
        problem = f"READ RECORD 1: {read.sw:04X} {words(read.sw)}"
        return [Finding(file.path, 1, "", problem)]
    update = CommandAPDU(0x00, 0xDC, 0x01, 0x04, read.data)
    return _expect(connection, update, allowed, "UPDATE RECORD in clear", file.path)


def _protected_update(
    card: ResidentHealthCard, file: FileSpec, allowed: Sequence[int]
) -> list[Finding]:
    """Try to update record 1 with its own content, in a session that may only read."""
    try:
        (record, *_) = card.read_raw(file.path)
        response = card.change(CommandAPDU(0x00, 0xDC, 0x01, 0x04, record or b""), "")
    except TransportError:
        raise
    except CardError as error:
        return [Finding(file.path, 1, "", f"UPDATE RECORD without its right: {error}")]
    return _refused(response, allowed, "UPDATE RECORD without its right", file.path)


def _plain_command(connection: Connection) -> list[Finding]:
    """Check that a session refuses a command in clear."""
    command = CommandAPDU(0x00, 0xB2, 0x01, 0x04, le=256)
    return _expect(connection, command, (_REFUSED,), "READ RECORD in clear in a session")


def _expect(
    connection: Connection, command: CommandAPDU, allowed: Sequence[int], name: str, path: str = ""
) -> list[Finding]:
    return _refused(send(connection.transmit, command), allowed, name, path)


def _refused(response: ResponseAPDU, allowed: Sequence[int], name: str, path: str) -> list[Finding]:
    if response.sw in allowed:
        return []
    want = " or ".join(f"{sw:04X}" for sw in allowed)
    found = f"{response.sw:04X} {words(response.sw)}"
    return [Finding(path, 0, "", f"{name} is not refused with the right status word", want, found)]


def _directory(card: ResidentHealthCard, df_path: str, issued: Records) -> list[Finding]:
    """Check one DF: authenticate each of its keys, and compare its files."""
    findings = _role_keys(card, df_path)
    for file in FILES:
        if file.df_path == df_path:
            read = _read(card, file)
            if isinstance(read, Finding):
                findings.append(read)
            else:
                findings += compare(file, read, issued)
                if file == ISSUER_FILE:
                    findings += _spec_version(card.identify(), read)
    return findings


def _spec_version(identity: CardIdentity, values: Iterable[FieldValue]) -> list[Finding]:
    """Check that tag 02 of the issuer's data names the specification that the FCI names."""
    (value,) = (value for value in values if value.field.name == "spec_version")
    if value.state is State.VALUE and value.text == identity.spec_text:
        return []
    problem = "differs from the specification in the card's FCI"
    return [Finding(ISSUER_FILE.path, value.record, "spec_version", problem, identity.spec_text,
                    value.text, value.state)]  # fmt: skip


def _role_keys(card: ResidentHealthCard, df_path: str) -> list[Finding]:
    findings = []
    roles = _AUTHENTICATING[card.protocol]
    for key in KEYS:
        if key.df_path == df_path and key.role in roles:
            name = key.name
            wrong = _checked(name, lambda name=name: card.authenticate(name))  # type: ignore[misc]
            if wrong and card.protocol == 2:
                # A refused authentication ends the session and all other rights.
                card.reset()
            findings += wrong
    return findings


def compare(file: FileSpec, values: Iterable[FieldValue], issued: Records) -> list[Finding]:
    """Compare the fields that were read with the records that were issued."""
    wanted = {(each.record, each.field.name): each for each in decoded(file, issued)}
    findings = []
    for value in values:
        want = wanted.pop((value.record, value.field.name), None)
        if not _as_issued(value, want):
            findings.append(_difference(file, value, want))
    for want in wanted.values():
        if want.state is not State.UNWRITTEN:
            problem, name = "not on the card", want.field.name
            findings.append(
                Finding(file.path, want.record, name, problem, want.text, "", State.MISSING)
            )
    return findings


def _as_issued(value: FieldValue, want: FieldValue | None) -> bool:
    if want is not None and want.state is not State.UNWRITTEN:
        return (value.state, value.value) == (want.state, want.value)
    return value.state is State.UNWRITTEN


def _difference(file: FileSpec, value: FieldValue, want: FieldValue | None) -> Finding:
    expected = want.text if want is not None else ""
    problem = "differs" if expected else "must be unwritten"
    if value.detail:
        problem += f" ({value.detail})"
    return Finding(
        file.path, value.record, value.field.name, problem, expected, value.text, value.state
    )
