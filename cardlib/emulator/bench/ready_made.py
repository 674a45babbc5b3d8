"""Make personalized software cards without a bureau, for tests of programs that use cards.

The data are checked as in STORE DATA, but no issuer's session is needed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ...crypto import BlockCipher, Cipher, static_keys
from ...errors import FormatError
from ...facts import ISSUER_KEY_VERSION, ChipSerial, Pin, Region, SpecVersion
from ...keys import RootKeys
from ...keys.roots import Roots
from ...keys.store.key_store import KeyStore
from ...layout import FILE_BY_PATH, FILES, dgi_of_record, encode_record
from ...layout.card_profile import RHCARD, CardProfile
from ...tlv import dgi
from ..handlers.store_data import commit
from ..profile.card_options import CardOptions
from ..profile.card_state import KEY_TRIES, LifeCycle, StoredKeySet
from ..sessions.pending_load import Load
from ..sessions.scp03 import Scp03Session
from ..software_card import SoftwareCard

Records = Mapping[str, Sequence[Mapping[str, str | bytes]]]
"""The records of each file, from record 1 on: field names and values. {} stays unwritten."""

CHIP = bytes.fromhex("5248430000000001")
PIN = "135790"
ISSUER_FILE = "DDF1/EF05"
ISSUER: Mapping[str, str | bytes] = MappingProxyType({
    "card_category": "1",
    "issuer_name": "示例省卫生健康信息中心",
    "issuer_code": "990000123456",
    "issue_date": "20250102",
    "card_number": "990101199001011230",
    "security_code": "123",
    "city_code": "990100",
})  # fmt: skip
RESIDENT: Records = MappingProxyType({
    "DDF1/EF06": (
        {"name": "王䶮"}, {"sex": "1"}, {"ethnicity": "01"}, {"birth_date": "19900101"},
        {"resident_id_number": "990101199001011230"},
    ),
    "DDF1/EF08": ({"expiry_date": "20361231"}, {"phone_1": "19900001537"}),
    "DDF1/DF02/EF05": (
        {"abo_blood_group": "4"}, {"rh_blood_group": "2"}, {"asthma": "0"}, {"heart_disease": "1"},
    ),
    "DDF1/DF02/EF07": ({"allergen": "青霉素", "allergic_reaction": "皮疹"}, {"allergen": "花生"}),
})  # fmt: skip
"""A made-up resident. The area code 99 is not assigned."""


def personalized_card(
    roots: Roots,
    *,
    chip: bytes = CHIP,
    records: Records = RESIDENT,
    pin: str = PIN,
    life_cycle: LifeCycle = LifeCycle.ACTIVE,
    options: CardOptions | None = None,
    seed: int | None = None,
) -> SoftwareCard:
    """Make a card with the keys of these roots, these records, and a PIN of 6 digits.

    Fields of the issuer's file (DDF1/EF05) that `records` does not give are made up. `seed` is as
    in `SoftwareCard.blank`. Raises FormatError when a value does not fit or the options are not for
    this specification, and Refusal when STORE DATA would refuse it.
    """
    store = KeyStore(roots)
    options = options or CardOptions()
    if options.only_spec_1_0 and store.spec is not SpecVersion.V1:
        why = f"a card with the setting {options.only_spec_1_0} is of specification 1.0"
        raise FormatError(f"{why}: take keys of version 1")
    card = SoftwareCard.blank(chip, store.blank_keys(chip), options=options, seed=seed)
    keys = static_keys(BlockCipher(Cipher.AES, roots.issuer), chip)
    issuer = StoredKeySet(ISSUER_KEY_VERSION, *keys, KEY_TRIES)
    card.state.key_sets = {issuer.version: issuer}
    card.memory.commit()
    load = Load()
    load.add(
        _groupings(store, chip, records, pin, options), Scp03Session(issuer, bytes(8), bytes(8))
    )
    load.finish()
    commit(card, load.groupings)
    card.state.life_cycle = life_cycle
    card.memory.commit()
    card.reset()
    return card


def _groupings(
    keys: RootKeys, chip: bytes, records: Records, pin: str, options: CardOptions
) -> bytes:
    old = options.old_spec_version == "yes"
    issuer: dict[str, str | bytes] = {
        **ISSUER,
        "spec_version": "1.00" if old else keys.spec.text,
        "chip_serial_number": ChipSerial(chip).as_field,
    }
    for values in records.get(ISSUER_FILE, ()):
        issuer |= values
    fields = FILE_BY_PATH[ISSUER_FILE].fields
    issuer_records = [{f.name: issuer[f.name]} if f.name in issuer else {} for f in fields]
    profile = RHCARD.having(options.settings)
    groupings = {
        dgi_of_record(file, number): encode_record(file, number, values, profile)
        for path, numbered in _with_blanks(
            {**records, ISSUER_FILE: issuer_records}, profile
        ).items()
        for file in (FILE_BY_PATH[path],)
        for number, values in enumerate(numbered, 1)
        if values or path == ISSUER_FILE or profile.blank_text != "unwritten"
    }
    region = Region.of_city(str(issuer["city_code"]))
    groupings |= dict(keys.groupings(ChipSerial(chip), region, Pin(pin)))
    return b"".join(dgi(tag, value) for tag, value in groupings.items())


def _with_blanks(records: Records, profile: CardProfile) -> Records:
    """Add the records of TLV files that nobody gave, if blank texts are written."""
    if profile.blank_text == "unwritten":
        return records
    given = {file.path: list(records.get(file.path, ())) for file in FILES if file.is_tlv}
    filled = {
        path: [*numbered, *[{}] * (FILE_BY_PATH[path].records - len(numbered))]
        for path, numbered in given.items()
    }
    return {**records, **filled}
