"""What a card is loaded with: prepared groupings, the chip's serial, thirty keys, the PIN."""

from cardlib.facts import ChipSerial, Pin, Region
from cardlib.layout import FILE_BY_PATH, KEYS, State, dgi_of_key
from cardlib.layout.load import decoded, records, text_of
from cardlib.layout.records import MANDATORY_DGIS
from tests.cards.bureau import store

CHIP = ChipSerial.parse("5248430102030405")
PREPARED = ((0x0101, b"\1\1\x31"), (0x0102, b"\2\4\x32\x2e\x30\0"))


def of_keys() -> dict[int, bytes]:
    return dict(store().groupings(CHIP, Region.of_city("410100"), Pin("802143")))


def test_a_load_holds_all_that_is_mandatory_but_what_preparation_left_out() -> None:
    found = {**records(PREPARED, CHIP), **of_keys()}
    assert MANDATORY_DGIS - found.keys() == {0x0100 | r for r in (3, 4, 5, 6, 7, 8, 10)}
    assert found[0x0109] == bytes((0x0A, 10)) + b"0102030405"
    assert found[0x9010] == b"\3\3"
    assert {dgi_of_key(key) for key in KEYS} <= found.keys()


def test_the_pin_travels_under_the_issuers_key_dek() -> None:
    padded = bytes.fromhex("26802143FFFFFFFF8000000000000000")
    assert of_keys()[0x8010] == store().issuer_keys(CHIP).encrypt_dek(padded)


def test_the_records_are_those_prepared_and_the_chips() -> None:
    assert records(PREPARED, CHIP) == {**dict(PREPARED), 0x0109: b"\x0a\x0a0102030405"}


def test_records_say_what_they_hold_and_no_other_field_is_told() -> None:
    issuer = decoded(FILE_BY_PATH["DDF1/EF05"], records(PREPARED, CHIP))
    assert {(v.record, v.field.name): v.text for v in issuer} == {
        (1, "card_category"): "1",
        (2, "spec_version"): "2.0",
        (9, "chip_serial_number"): "0102030405",
    }


def test_the_end_of_a_transparent_file_may_lack() -> None:
    """The photo's file is length (2) and picture; what follows is FF, on the card as here."""
    photo = FILE_BY_PATH["DDF1/EF07"]
    (value,) = decoded(photo, {0x0300: b"\0\4\xff\xd8\xff\xd9"})
    assert (value.state, value.value, value.record) == (State.VALUE, b"\xff\xd8\xff\xd9", 0)
    assert text_of({0x0300: b"\0\4\xff\xd8\xff\xd9"}, "DDF1/EF07", 1, "photo") == "FFD8FFD9"


def test_a_text_that_is_not_written_is_blank() -> None:
    assert text_of(dict(PREPARED), "DDF1/EF05", 2, "spec_version") == "2.0"
    assert text_of(dict(PREPARED), "DDF1/EF05", 7, "card_number") == ""
    assert text_of({0x0107: b"\x07\x12" + b"\xff" * 18}, "DDF1/EF05", 7, "card_number") == ""
