"""The card's switches: coded in its memory, kept in its image."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.profile.card_options import CARD_SETTINGS
from cardlib.errors import FormatError
from cardlib.layout.card_profile import FIELD, RHCARD, SETTINGS

every_option = st.builds(
    CardOptions,
    extended_length=st.booleans(),
    command_chaining=st.booleans(),
    clear_updates=st.booleans(),
    logical_channels=st.integers(1, 4),
    scp03_s16=st.booleans(),
    scp03_random_challenge=st.booleans(),
    **{
        setting.name: st.sampled_from(setting.choices)
        for setting in CARD_SETTINGS
        if setting.name != "clear_updates"
    },
)
CHIP, KEYS = bytes(range(8)), (b"e" * 16, b"m" * 16, b"d" * 16)


@given(every_option)
def test_options_come_back_from_their_bytes(options: CardOptions) -> None:
    coded = options.encode()
    assert len(coded) == (13 if options.differences.keys() - {"clear_updates"} else 4)
    assert CardOptions.decode(coded) == options
    assert CardOptions.decode(coded.ljust(16, b"\xff")) == options
    assert CardOptions.are_whole(coded.ljust(16, b"\xff"))


def test_unwritten_memory_and_older_images_have_the_defaults_of_what_they_do_not_name() -> None:
    assert CardOptions.decode(b"\xff" * 4) == CardOptions()
    older = CardOptions.decode(bytes((1, 0b101, 2, 0)))
    assert older == CardOptions(
        extended_length=True, command_chaining=False, clear_updates=True, logical_channels=2
    )


def test_the_bytes_of_a_cards_settings_stay_what_they_are() -> None:
    """An image keeps them: which choice of serial_place, selection, fci, record_reading,
    one_digit_code, blank_text, issuer_files, old_spec_version, t0_select."""
    field = CardOptions.of_profile(FIELD)
    assert field.encode() == bytes((2, 0b110, 1, 0)) + bytes((1, 1, 1, 1, 1, 1, 1, 1, 0))
    other = CardOptions(serial_place="given", blank_text="20", t0_select="61xx")
    assert other.encode()[4:] == bytes((3, 0, 0, 0, 0, 2, 0, 0, 1))


@given(st.binary(min_size=16, max_size=16))
def test_any_other_bytes_are_not_whole_and_never_an_exception(raw: bytes) -> None:
    whole = CardOptions.are_whole(raw)
    assert not whole or raw == b"\xff" * 16 or raw[0] in (1, 2)


@pytest.mark.parametrize("raw", [
    bytes((2, 2, 1, 0)) + bytes(9),  # no setting differs: this is coded without them
    bytes((2, 2, 1, 0, 4)) + bytes(8),  # no such choice
    bytes((2, 2, 1, 0, 1)) + bytes(7),  # a setting is missing
    bytes((1, 2, 1, 0)) + bytes(9),
    bytes((3, 2, 1, 0)),
    bytes((1, 2, 0, 0)),
])  # fmt: skip
def test_a_card_whose_options_are_not_whole_is_damaged(raw: bytes) -> None:
    assert not CardOptions.are_whole(raw.ljust(16, b"\xff"))
    card = SoftwareCard.blank(CHIP, KEYS)
    card.state.options = raw.ljust(16, b"\xff")
    card.memory.commit()
    card.reset()
    assert card.damage == "the card's options are not valid"


def test_a_profile_gives_the_settings_that_a_card_can_have() -> None:
    assert CardOptions.of_profile(RHCARD) == CardOptions()
    field = CardOptions.of_profile(FIELD, extended_length=True)
    assert field.extended_length
    assert field.settings == {
        each.name: each.values["field"]
        for each in SETTINGS
        if each.name not in ("binary_block", "sam_pin", "sam_version_0")
    }
    assert field.settings["clear_updates"] == "yes"
    assert field.clear_updates


def test_a_setting_has_a_value_of_the_table() -> None:
    with pytest.raises(FormatError, match="selection is 'AID': use name and path or file ident"):
        CardOptions(selection="AID")


@pytest.mark.parametrize("channels", [0, 5])
def test_a_card_has_one_to_four_channels(channels: int) -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        CardOptions(logical_channels=channels)


@pytest.mark.parametrize(
    ("s16", "random_challenge", "i"),
    [(False, False, 0x70), (True, False, 0x71), (False, True, 0x60), (True, True, 0x61)],
)
def test_a_reopened_card_speaks_the_same_scp03(
    tmp_path: Path, s16: bool, random_challenge: bool, i: int
) -> None:
    options = CardOptions(scp03_s16=s16, scp03_random_challenge=random_challenge)
    path = tmp_path / "card.img"
    card = SoftwareCard.blank(CHIP, KEYS, options=options)
    card.save(path)
    card.close()
    reopened = SoftwareCard.open(path)
    try:
        assert reopened.options == options
        size = options.scp03_challenge_length
        answer = reopened.transmit(bytes((0x80, 0x50, 0, 0, size)) + bytes(size) + b"\0")
        assert answer[10:13] == bytes((0xFF, 0x03, i))
        assert len(answer) == 13 + 2 * size + (0 if random_challenge else 3) + 2
        assert reopened.transmit(bytes.fromhex("80CA006600"))[-3] == i
    finally:
        reopened.close()


def test_a_card_of_the_field_profile_is_one_again_when_its_image_is_opened(tmp_path: Path) -> None:
    card = SoftwareCard.blank(CHIP, KEYS, options=CardOptions.of_profile(FIELD))
    card.save(tmp_path / "field.card")
    card.close()
    reopened = SoftwareCard.open(tmp_path / "field.card")
    try:
        assert reopened.options == CardOptions.of_profile(FIELD)
        assert reopened.atr[5:13] == CHIP
    finally:
        reopened.close()
