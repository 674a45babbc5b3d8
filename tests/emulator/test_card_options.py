"""The card's switches: coded in its memory, kept in its image."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.emulator import CardOptions, SoftwareCard

every_option = st.builds(
    CardOptions,
    extended_length=st.booleans(),
    command_chaining=st.booleans(),
    clear_updates=st.booleans(),
    logical_channels=st.integers(1, 4),
    scp03_s16=st.booleans(),
    scp03_random_challenge=st.booleans(),
)
CHIP, KEYS = bytes(range(8)), (b"e" * 16, b"m" * 16, b"d" * 16)


@given(every_option)
def test_options_come_back_from_their_four_bytes(options: CardOptions) -> None:
    assert len(options.encode()) == 4
    assert CardOptions.decode(options.encode()) == options


def test_unwritten_memory_and_older_images_have_the_defaults_of_what_they_do_not_name() -> None:
    assert CardOptions.decode(b"\xff" * 4) == CardOptions()
    older = CardOptions.decode(bytes((1, 0b101, 2, 0)))
    assert older == CardOptions(
        extended_length=True, command_chaining=False, clear_updates=True, logical_channels=2
    )


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
