"""The self-test at power-on: memory that changed by itself is noticed, or does no harm."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import CardImageError, CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import PAGE_SIZE, Memory
from cardlib.emulator.filesystem.tree import PROFILE
from cardlib.emulator.profile.card_state import (
    DATA_OBJECTS,
    DYNAMIC_AREA,
    FILE_ADDRESS,
    FILE_AREA,
    NODE_STATES,
    LifeCycle,
    StoredState,
    with_checksum,
)
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, KEYS, State, Structure, decode_file
from cardlib.messaging.scp03_channel import Scp03Channel

H = bytes.fromhex
ROOTS = public_test_roots()
STORE = KeyStore(ROOTS)
CREATED = ("82023821" + "8302A001", "82050221" + "000803" + "8302A002" + "8C03030000",
           "82050421" + "002003" + "8302A003")  # fmt: skip


@pytest.fixture(scope="module")
def pages() -> dict[int, bytes]:
    """A card with the resident's records, created files and a data object."""
    card = personalized_card(ROOTS, options=CardOptions(logical_channels=2))
    channel = Scp03Channel.open(card.transmit, STORE.issuer_keys(CHIP), 0x33)
    for fcp in CREATED:
        data = bytes((0x62, len(fcp) // 2)) + H(fcp)
        assert channel.send(CommandAPDU(0x00, 0xE0, 0x00, 0x00, data)).sw == 0x9000
    assert channel.send(CommandAPDU(0x00, 0xDA, 0x00, 0x46, b"hello")).sw == 0x9000
    card.reset()
    return card.memory.pages


def flipped(pages: dict[int, bytes], address: int, bit: int) -> SoftwareCard:
    memory = Memory(pages)
    memory.decay(address // PAGE_SIZE, address % PAGE_SIZE, bit)
    return SoftwareCard(memory)


def commands() -> Iterator[bytes]:
    """Something of everything that needs no key."""
    yield from (H("80CA004500"), H("80CA00E000"), H("80CA006600"), H("8050000008") + bytes(8),
                H("00A40000023F0000"), H("00A4040005F05248430100"), H("0020000000"),
                H("0020000006313131313131"), H("00A40000023F0000"), H("00A4000402A001"),
                H("00A4000402A00200"), H("00B2010400"), H("00B2010500"), H("00A4000402A00300"),
                H("00B2010400"))  # fmt: skip
    for file in FILES:
        path = H(file.path.replace("/", ""))
        yield bytes((0x00, 0xA4, 0x08, 0x04, len(path))) + path + b"\0"
        yield H("00B0000000") if file.structure is Structure.TRANSPARENT else H("00B2010500")
    for key in KEYS:
        yield H("0084000008")
        yield bytes((0x00, 0x82, 0x00, key.reference, 17)) + bytes(16) + b"\1"


COMMANDS = tuple(commands())


def test_a_whole_card_passes(pages: dict[int, bytes]) -> None:
    assert SoftwareCard(Memory(pages)).damage == ""
    assert SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP)).damage == ""


@pytest.mark.parametrize(
    ("address", "size"),
    [(0, 30), (PAGE_SIZE, 12), (8 * PAGE_SIZE, 101)]
    + [(2 * PAGE_SIZE + 32 * index, 21) for index in (0, 7, 29)],
    ids=["header", "PIN", "key set", "first key", "eighth key", "last key"],
)
def test_any_bit_of_what_carries_a_checksum_is_noticed(
    pages: dict[int, bytes], address: int, size: int
) -> None:
    for place in range(address, address + size):
        for bit in range(8):
            card = flipped(pages, place, bit)
            assert "the checksum of " in card.damage, (place, bit)
            assert card.transmit(H("80CA004500")) == H("6581")
            assert "the checksum of " in card.last_refusal


@pytest.mark.parametrize(
    ("address", "bit", "why"),
    [
        (7 * PAGE_SIZE, 1, "options"),
        (7 * PAGE_SIZE + 2, 6, "options"),
        (NODE_STATES, 6, "life cycle state of MF"),
        (NODE_STATES + len(PROFILE) - 1, 1, "life cycle state of DDF1/DF05/EF05"),
        (FILE_ADDRESS["DDF1/DF02/EF07"], 4, "record count of DDF1/DF02/EF07"),
        (FILE_ADDRESS["DDF1/DF02/EF07"] + 1, 4, "record count of DDF1/DF02/EF07"),
        (DATA_OBJECTS, 4, "data objects"),
        (DYNAMIC_AREA + 1, 3, "the entry of a created file"),
        (DYNAMIC_AREA + PAGE_SIZE + 5, 3, "the entry of a created file"),
        (DYNAMIC_AREA + PAGE_SIZE + 7, 0, "the entry of a created file"),
        (DYNAMIC_AREA + 2 * PAGE_SIZE + 8, 5, "the entry of a created file"),
        (DYNAMIC_AREA, 3, "life cycle state of MF/A001"),
    ],
)
def test_what_no_command_can_have_left_is_noticed(
    pages: dict[int, bytes], address: int, bit: int, why: str
) -> None:
    assert why in flipped(pages, address, bit).damage


def test_a_damaged_card_gives_its_answer_to_reset_and_6581_to_everything(
    pages: dict[int, bytes],
) -> None:
    card = flipped(pages, PAGE_SIZE, 0)
    assert card.reset() == card.atr
    assert {card.transmit(command) for command in COMMANDS} == {H("6581")}


@pytest.mark.parametrize("cipher", [0, 3, 9, 0xFF])
@pytest.mark.parametrize("name", ["RK1_DDF1", "IRK_DDF1", "BK_MF"])
def test_a_key_of_an_impossible_cipher_is_noticed_although_its_checksum_is_right(
    pages: dict[int, bytes], name: str, cipher: int
) -> None:
    memory = Memory(pages)
    address = 2 * PAGE_SIZE + 32 * [key.name for key in KEYS].index(name)
    raw = memory.read(address, 19)
    memory.write(address, with_checksum(raw[:1] + bytes((cipher,)) + raw[2:]))
    memory.commit()
    card = SoftwareCard(memory)
    assert card.damage == f"the cipher of {name} is not valid"
    assert {card.transmit(command) for command in COMMANDS} == {H("6581")}


@pytest.mark.parametrize(("spec", "cipher"), [(0x10, 0), (0x20, 3), (0x30, 1), (0x00, 2)])
def test_an_impossible_specification_or_cipher_is_noticed_although_its_checksum_is_right(
    pages: dict[int, bytes], spec: int, cipher: int
) -> None:
    memory = Memory(pages)
    state = StoredState(memory)
    state.profile = (spec, cipher, *state.profile[2:])
    memory.commit()
    card = SoftwareCard(memory)
    assert card.damage == f"the card's specification {spec:02X} or cipher {cipher:02X} is not valid"


def test_an_image_of_a_damaged_card_is_not_opened(tmp_path: Path, pages: dict[int, bytes]) -> None:
    path = tmp_path / "damaged.card"
    card = flipped(pages, PAGE_SIZE, 0)
    card.save(path)
    card.close()
    with pytest.raises(CardImageError, match="damaged card file: the checksum of the PIN is"):
        SoftwareCard.open(path)
    with pytest.raises(CardImageError, match="damaged"):
        SoftwareCard.open(path)


def test_whatever_bit_changed_the_card_answers_status_words(pages: dict[int, bytes]) -> None:
    """One bit of every page, and many of those that say what the card is."""
    chosen = random.Random(1)
    places = [page * PAGE_SIZE + chosen.randrange(PAGE_SIZE) for page in pages for _ in range(3)]
    crowded = [0, NODE_STATES, 7 * PAGE_SIZE, DATA_OBJECTS, DYNAMIC_AREA, DYNAMIC_AREA + PAGE_SIZE]
    places += [start + chosen.randrange(40) for start in crowded for _ in range(20)]
    places += [FILE_ADDRESS[file.path] + chosen.randrange(3) for file in FILES]
    noticed = 0
    for place in places:
        card = flipped(pages, place, chosen.randrange(8))
        noticed += bool(card.damage)
        for command in COMMANDS:
            assert len(card.transmit(command)) >= 2
    assert 50 < noticed < len(places)


def test_a_protected_file_stays_protected_whatever_bit_changed(pages: dict[int, bytes]) -> None:
    chosen = random.Random(2)
    select, read = H("00A4080C04DDF1EF06"), H("00B2010400")
    for place in (*range(0, 100), *range(7 * PAGE_SIZE, 7 * PAGE_SIZE + 4)):
        card = flipped(pages, place, chosen.randrange(8))
        card.transmit(select)
        assert card.transmit(read) in (H("6982"), H("6581"), H("6985"), H("6986")), place


def test_a_changed_bit_of_a_file_reads_as_another_value_or_corrupt(
    pages: dict[int, bytes],
) -> None:
    seen = set()
    for bit in range(8):
        card = flipped(pages, FILE_ADDRESS["DDF1/DF02/EF05"], bit)
        assert card.damage == ""
        card.channels[0].rights = -1
        card.transmit(H("00A4080C06DDF1DF02EF05"))
        records = [card.transmit(bytes((0, 0xB2, n, 4, 0)))[:-2] for n in range(1, 16)]
        file = next(file for file in FILES if file.path == "DDF1/DF02/EF05")
        first, *others = decode_file(file, records)
        assert [other.text for other in others[:3]] == ["2", "0", "1"]
        assert first.state in (State.VALUE, State.CORRUPT)
        seen.add(first.state)
    assert seen == {State.VALUE, State.CORRUPT}


def test_a_card_that_was_terminated_blank_is_whole() -> None:
    card = SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP))
    card.state.life_cycle = LifeCycle.TERMINATED
    card.memory.commit()
    card.reset()
    assert card.damage == ""
    assert FILE_AREA > NODE_STATES
