"""A fact is a type: it cannot be made of what is none."""

import pytest

from cardlib.errors import FormatError
from cardlib.facts import ChipSerial, Pin, Region, SpecVersion


def test_a_chip_serial_has_8_bytes_and_reads_as_16_digits() -> None:
    chip = ChipSerial.parse("5248430102030405")
    assert (chip, str(chip)) == (bytes.fromhex("5248430102030405"), "5248430102030405")
    assert chip.as_field == "0102030405"  # card specification 2: the last 10 hex digits


@pytest.mark.parametrize("digits", ["", "52484301020304", "524843010203040506", "no hex digits at"])
def test_what_is_no_chip_serial_is_refused(digits: str) -> None:
    with pytest.raises(FormatError):
        ChipSerial.parse(digits)


def test_the_region_factor_is_two_digits_and_six_zeros_in_ascii() -> None:
    assert Region.of_city("410100") == bytes.fromhex("3431303030303030")  # card specification 3


@pytest.mark.parametrize("city", ["", "4", "x1", "４１0100"])
def test_a_city_code_begins_with_two_digits(city: str) -> None:
    with pytest.raises(FormatError, match="two digits"):
        Region.of_city(city)


def test_a_pin_block_is_iso_9564_format_2() -> None:
    """ISO 9564-1:2017, 9.4.4: control 2, length 6, the digits, then F."""
    assert Pin("123456").block == bytes.fromhex("26123456FFFFFFFF")
    assert Pin("123456").digits == b"123456"


@pytest.mark.parametrize("digits", ["", "12345", "1234567", "12345a", "１２３４５６"])
def test_a_pin_has_6_digits(digits: str) -> None:
    with pytest.raises(FormatError) as raised:
        Pin(digits)
    assert not digits or digits not in str(raised.value)


def test_a_pin_is_not_shown() -> None:
    assert "123456" not in repr(Pin("123456")) + repr([Pin("123456")])


def test_a_spec_version_is_one_byte_a_text_and_a_protocol() -> None:
    assert SpecVersion.of_protocol(2) is SpecVersion.V2
    assert [(v.text, v.protocol, int(v)) for v in SpecVersion] == [("1.0", 1, 16), ("2.0", 2, 32)]
