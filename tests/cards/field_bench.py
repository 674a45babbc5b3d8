"""Software cards of a profile, a host at one of them, and what each has to hold and to say."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, ISSUER, RESIDENT, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.exchange import Connection
from cardlib.keys import KeySet
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, FILES, KEYS, FieldSpec, FieldValue, State, Structure
from cardlib.layout.card_profile import FIELD, SETTINGS, CardProfile
from cardlib.transport.recorder import Recorder

PHOTO = b"\xff\xd8" + bytes(range(250)) + b"\xff\xd9"
RECORDS: Mapping[str, Any] = {**RESIDENT, "DDF1/EF07": ({"photo": PHOTO},)}
HOLDER, EMERGENCY, ALLERGIES = "DDF1/EF06", "DDF1/DF02/EF05", "DDF1/DF02/EF07"
INDEX, FIRST_SLOT = "DDF1/DF03/EF05", "DDF1/DF03/EE01"
FIELD_VALUES = {each.name: each.values["field"] for each in SETTINGS}
RHCARD_VALUES = {each.name: each.values["rhcard"] for each in SETTINGS}


@cache
def keys_of(protocol: int = 1, cipher: Cipher = Cipher.SM4) -> SoftwareKeySet:
    return KeyStore(public_test_roots(protocol, cipher)).terminal_keys


KEYS_1 = keys_of()
NO_INTERNAL_KEY = KEYS_1.only(KEYS_1.names - {"IRK_DDF1"})


@cache
def _pages(profile: CardProfile, protocol: int, cipher: Cipher) -> dict[int, bytes]:
    roots, options = public_test_roots(protocol, cipher), CardOptions.of_profile(profile)
    return personalized_card(roots, records=RECORDS, options=options).memory.pages


def card_of_profile(
    profile: CardProfile = FIELD, *, protocol: int = 1, cipher: Cipher = Cipher.SM4
) -> SoftwareCard:
    """An ACTIVE card of the made-up resident, with a photo, that behaves as the profile says."""
    return SoftwareCard(Memory(_pages(profile, protocol, cipher)))


class Bench:
    """A card, or somebody in front of one, a host at it, and what went between them."""

    def __init__(
        self,
        profile: CardProfile = FIELD,
        card: Connection | None = None,
        *,
        keys: KeySet | None = KEYS_1,
        **more: Any,
    ) -> None:
        self.card = card or card_of_profile(profile)
        self.log = Recorder(self.card)
        self.host = ResidentHealthCard(self.log, keys, profile=profile, **more)

    @property
    def sent(self) -> list[str]:
        return [each.command.hex().upper() for each in self.log.commands]

    def of(self, *instructions: int) -> list[str]:
        """The commands with these INS."""
        return [raw for raw in self.sent if int(raw[2:4], 16) in instructions]

    def since(self, mark: int) -> list[str]:
        return self.sent[mark:]

    def authenticate(self, *names: str) -> None:
        for name in names:
            self.host.authenticate(name)

    def read_all(self) -> dict[str, tuple[FieldValue, ...]]:
        found = {}
        for file in FILES:
            if file.read_key and file.read_key not in self.host.rights:
                self.host.authenticate(file.read_key)
            found[file.path] = self.host.read(file.path)
        return found


def texts(values: Sequence[FieldValue]) -> dict[str, str]:
    return {value.field.name: value.text for value in values if value.value is not None}


# --- what is on a card, without the host -----------------------------------------------------


def stored(card: SoftwareCard, path: str, record: int = 1) -> bytes:
    """A record, or a whole transparent file, as it is in the card; whatever the rules are."""
    card.reset()
    for fid in path.split("/"):
        assert card.transmit(bytes.fromhex(f"00A4000C02{fid}")) == b"\x90\x00"
    card.channels[0].rights = (1 << len(KEYS)) - 1
    file = FILE_BY_PATH[path]
    if file.structure is not Structure.TRANSPARENT:
        return card.transmit(bytes.fromhex(f"00B2{record:02X}0400"))[:-2]
    return b"".join(
        card.transmit(bytes.fromhex(f"00B0{at:04X}{min(0x80, file.size - at):02X}"))[:-2]
        for at in range(0, file.size, 0x80)
    )


def loaded(profile: CardProfile, protocol: int = 1) -> Iterator[tuple[FieldSpec, int, str]]:
    """What a card of that profile was made with: field, record, and text or hexadecimal value."""
    spec_version = "1.00" if profile.old_spec_version == "yes" else f"{protocol}.0"
    serial = CHIP.hex().upper()[-10:]
    issuer = {**ISSUER, "spec_version": spec_version, "chip_serial_number": serial}
    fields = FILE_BY_PATH["DDF1/EF05"].fields
    records = {**RECORDS, "DDF1/EF05": [{f.name: issuer.get(f.name, "")} for f in fields]}
    for path, numbered in records.items():
        file = FILE_BY_PATH[path]
        for number, values in enumerate(numbered, 1):
            for field in file.fields_of(number):
                value = values.get(field.name, "")
                record = 0 if file.structure is Structure.TRANSPARENT else number
                if value:
                    yield field, record, value.hex().upper() if isinstance(value, bytes) else value


def check_all_is_read(
    found: Mapping[str, Sequence[FieldValue]], profile: CardProfile, protocol: int = 1
) -> None:
    """All that a card of that profile was made with is read, and of the rest why it has no value.

    Nothing is missing, denied or corrupt; a text is `empty` only where blank texts are written.
    """
    assert list(found) == [file.path for file in FILES]
    expected = {(f, record): text for f, record, text in loaded(profile, protocol)}
    for value in (each for values in found.values() for each in values):
        want = expected.pop((value.field, value.record), None)
        if want is not None:
            assert (value.text, value.state in (State.VALUE, State.NEGATIVE)) == (want, True), value
            continue
        may_be_empty = profile.blank_text != "unwritten" and value.field.coding == "ans"
        assert value.state is State.UNWRITTEN or (value.state is State.EMPTY and may_be_empty), (
            value
        )
    assert not expected
