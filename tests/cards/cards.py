"""Personalized software cards for tests, made with the public test keys and the issuer's code."""

from collections.abc import Mapping
from functools import cache

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher, pad
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.errors import TransportError
from cardlib.exchange import Connection
from cardlib.issuance import IssuerSession, personalize
from cardlib.keys import KeySet
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, KEYS, dgi_of_key, dgi_of_record, encode_record
from cardlib.layout.records import DGI_PIN, DGI_PIN_TRIES

CHIP = bytes.fromhex("5248430000000001")
REGION = b"41000000"
PIN = "135790"
AS_SPECIFIED = CardOptions()
ISSUER = {
    "card_category": "1",
    "spec_version": "1.0",
    "issuer_name": "河南省卫生健康委员会",
    "issuer_code": "4100000000000000000000",
    "issue_date": "20250102",
    "card_number": "110101199001011237",
    "security_code": "123",
    "chip_serial_number": "4300000001",
    "city_code": "410100",
}
RECORDS: Mapping[str, tuple[Mapping[str, str | bytes], ...]] = {
    "DDF1/EF06": (
        {"name": "王䶮𠅤㛃"}, {"sex": "1"}, {"ethnicity": "01"}, {"birth_date": "19900101"},
        {"resident_id_number": "110101199001011237"},
    ),
    "DDF1/EF07": ({"photo": b"\xff\xd8" + bytes(range(256)) * 3 + b"\xff\xd9"},),
    "DDF1/DF02/EF05": ({"abo_blood_group": "4"}, {"rh_blood_group": "2"}, {"asthma": "0"},
                       {"heart_disease": "1"}),
    "DDF1/DF02/EF07": (
        {"allergen": "青霉素", "allergic_reaction": "皮疹"}, {"allergen": "花生"},
    ),
}  # fmt: skip


@cache
def key_store(cipher: Cipher = Cipher.SM4, protocol: int = 1) -> KeyStore:
    return KeyStore(public_test_roots(protocol, cipher))


def issuer_records(protocol: int = 1) -> tuple[Mapping[str, str | bytes], ...]:
    fields = FILE_BY_PATH["DDF1/EF05"].fields
    issuer = ISSUER | {"spec_version": f"{protocol}.0"}
    return tuple({f.name: issuer[f.name]} if f.name in issuer else {} for f in fields)


def groupings(cipher: Cipher = Cipher.SM4, protocol: int = 1) -> list[tuple[int, bytes]]:
    """Every mandatory grouping and the records above, for the card CHIP."""
    store = key_store(cipher, protocol)
    issuer_keys, keys = store.issuer_keys(CHIP), store.terminal_keys.for_card(CHIP, REGION)
    found = [
        (dgi_of_record(FILE_BY_PATH[path], number), encode_record(FILE_BY_PATH[path], number, v))
        for path, records in {"DDF1/EF05": issuer_records(protocol), **RECORDS}.items()
        for number, v in enumerate(records, 1)
    ]
    found += [(dgi_of_key(key), keys.grouping(key.name, issuer_keys)) for key in KEYS]
    pin_block = bytes.fromhex(f"26{PIN}".ljust(16, "F"))
    found.append((DGI_PIN, issuer_keys.encrypt_dek(pad(pin_block))))
    found.append((DGI_PIN_TRIES, b"\3\3"))
    return found


def blank_card(cipher: Cipher = Cipher.SM4) -> SoftwareCard:
    return SoftwareCard.blank(CHIP, key_store(cipher).blank_keys(CHIP))


def personalized_card(
    cipher: Cipher = Cipher.SM4,
    *,
    active: bool = True,
    protocol: int = 1,
    options: CardOptions = AS_SPECIFIED,
) -> SoftwareCard:
    """A card of the resident above; ACTIVE, and of spec 1.0, unless told otherwise."""
    store = key_store(cipher, protocol)
    card = SoftwareCard.blank(CHIP, store.blank_keys(CHIP), options=options)
    issuer_keys = store.issuer_keys(CHIP)
    personalize(card, store.transport_keys(CHIP), issuer_keys, groupings(cipher, protocol))
    if active:
        IssuerSession.open(card, issuer_keys).activate()
    card.reset()
    return card


def terminal(
    card: Connection, *names: str, cipher: Cipher = Cipher.SM4, keys: KeySet | None = None
) -> ResidentHealthCard:
    """A terminal that was given the named keys, all of them if none is named."""
    card.reset()
    everything = key_store(cipher).terminal_keys
    return ResidentHealthCard(
        card, keys or (everything.only(names) if names else everything), min_protocol=1
    )


class Cut:
    """A connection whose card is pulled out before the n-th command."""

    def __init__(self, card: SoftwareCard, commands: int) -> None:
        self.card, self.left = card, commands

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        if not self.left:
            raise TransportError("card pulled out")
        self.left -= 1
        return self.card.transmit(command)
