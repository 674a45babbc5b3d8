"""What the station adds: the chip's serial, thirty keys, the PIN; and what must be read back."""

from cardlib.layout import KEYS, dgi_of_key
from cardlib.layout.records import MANDATORY_DGIS
from personalize.load import (
    chip_serial_text,
    expected_values,
    groupings,
    pin_block,
    region_factor,
)
from personalize.prepared import PreparedCard
from tests.bureau import store

CHIP = bytes.fromhex("5248430102030405")
CARD = PreparedCard(
    number=1,
    line=2,
    card_number="990101195512054891",
    name="韩英思",
    city_code="410100",
    values={"DDF1/EF05": [{"card_category": "1"}, {"spec_version": "1.0"}]},
    groupings=((0x0101, b"\1\1\x31"), (0x0102, b"\2\4\x31\x2e\x30\0")),
)


def test_the_region_factor_is_that_of_the_specification() -> None:
    assert region_factor("410100") == bytes.fromhex("3431303030303030")


def test_the_serial_as_text_is_its_last_ten_digits() -> None:
    assert chip_serial_text(CHIP) == "0102030405"


def test_a_pin_block_is_iso_9564_format_2() -> None:
    """ISO 9564-1:2017, 9.4.4: control 2, length 6, the digits, then F."""
    assert pin_block("123456") == bytes.fromhex("26123456FFFFFFFF")


def test_a_load_holds_all_that_is_mandatory_but_what_preparation_left_out() -> None:
    keys = store().card_keys.for_card(CHIP, region_factor("410100"))
    load = dict(groupings(CARD, CHIP, keys, store().issuer_keys(CHIP), "802143"))
    missing = MANDATORY_DGIS - load.keys()
    assert missing == {0x0100 | record for record in (3, 4, 5, 6, 7, 8, 10)}
    assert load[0x0109] == bytes((0x0A, 10)) + b"0102030405"
    assert load[0x9010] == b"\3\3"
    assert {dgi_of_key(key) for key in KEYS} <= load.keys()


def test_the_pin_travels_under_the_issuers_key_dek() -> None:
    keys = store().card_keys.for_card(CHIP, region_factor("410100"))
    issuer = store().issuer_keys(CHIP)
    load = dict(groupings(CARD, CHIP, keys, issuer, "802143"))
    assert load[0x8010] == issuer.encrypt_dek(bytes.fromhex("26802143FFFFFFFF8000000000000000"))


def test_the_serial_is_expected_where_the_chip_puts_it() -> None:
    issuer = expected_values(CARD, CHIP)["DDF1/EF05"]
    assert issuer[0] == {"card_category": "1"}
    assert issuer[8] == {"chip_serial_number": "0102030405"}
    assert list(issuer[2:8]) == [{}] * 6
    assert "chip_serial_number" not in str(CARD.values)
