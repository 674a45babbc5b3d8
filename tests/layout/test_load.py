"""What a card is loaded with: prepared groupings, the chip's serial, thirty keys, the PIN."""

from cardlib.facts import ChipSerial, Pin, Region
from cardlib.layout import KEYS, dgi_of_key
from cardlib.layout.load import Grouping, Values, expected_values, loaded
from cardlib.layout.records import MANDATORY_DGIS
from tests.cards.bureau import store

CHIP = ChipSerial.parse("5248430102030405")
PREPARED = ((0x0101, b"\1\1\x31"), (0x0102, b"\2\4\x31\x2e\x30\0"))
VALUES: Values = {"DDF1/EF05": [{"card_category": "1"}, {"spec_version": "1.0"}]}


def load() -> dict[int, bytes]:
    of_keys: tuple[Grouping, ...] = store().groupings(CHIP, Region.of_city("410100"), Pin("802143"))
    return dict(loaded(PREPARED, CHIP, of_keys))


def test_a_load_holds_all_that_is_mandatory_but_what_preparation_left_out() -> None:
    found = load()
    assert MANDATORY_DGIS - found.keys() == {0x0100 | r for r in (3, 4, 5, 6, 7, 8, 10)}
    assert found[0x0109] == bytes((0x0A, 10)) + b"0102030405"
    assert found[0x9010] == b"\3\3"
    assert {dgi_of_key(key) for key in KEYS} <= found.keys()


def test_the_pin_travels_under_the_issuers_key_dek() -> None:
    padded = bytes.fromhex("26802143FFFFFFFF8000000000000000")
    assert load()[0x8010] == store().issuer_keys(CHIP).encrypt_dek(padded)


def test_the_serial_is_expected_where_the_chip_puts_it() -> None:
    issuer = expected_values(VALUES, CHIP)["DDF1/EF05"]
    assert issuer[0] == {"card_category": "1"}
    assert issuer[8] == {"chip_serial_number": "0102030405"}
    assert list(issuer[2:8]) == [{}] * 6
    assert "chip_serial_number" not in str(VALUES)
