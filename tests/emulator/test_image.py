"""Card images: what is written is there, and every damage is told before there is a card."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cardlib.emulator import CardImageError, PowerCut, SoftwareCard
from cardlib.emulator.chip.image import create, open_image
from cardlib.emulator.chip.memory import PAGE_SIZE
from cardlib.errors import CardError
from tests import ROOT
from tests.cards.software_cards import cut_at

CHIP = bytes.fromhex("8610010203040506")
KEYS = (bytes(16), bytes(range(16)), bytes(range(16, 32)))
HEADER, SLOT = 18, 8 + PAGE_SIZE
SCRATCH = 0x900000
"""An address in memory that nothing else uses."""


def blank() -> SoftwareCard:
    return SoftwareCard.blank(CHIP, KEYS, seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "card.img"


@pytest.fixture
def image(path: Path) -> bytes:
    card = blank()
    card.memory.write(SCRATCH, bytes(range(256)) * 3)
    card.memory.commit()
    card.save(path)
    card.close()
    return path.read_bytes()


def content(path: Path) -> dict[int, bytes]:
    """The pages of an image as another program would find them."""
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)
    opened, pages = open_image(copy)
    opened.close()
    return pages


def reopened(path: Path, address: int, length: int) -> bytes:
    card = SoftwareCard.open(path)
    card.close()
    return card.memory.read(address, length)


def test_a_card_comes_back_as_it_was_saved(path: Path) -> None:
    card = blank()
    card.save(path)
    pages, atr = card.memory.pages, card.atr
    card.close()
    again = SoftwareCard.open(path)
    assert (again.memory.pages, again.atr, again.chip) == (pages, atr, CHIP)
    assert again.state.key_sets[0xFF].mac == KEYS[1]
    again.close()


def test_the_format_is_as_documented(image: bytes) -> None:
    assert image[:10] == b"RHCARD" + bytes.fromhex("0001 0100")
    assert (len(image) - HEADER) % SLOT == 0
    assert int.from_bytes(image[10:14], "big") == (len(image) - HEADER) // SLOT


def test_every_commit_is_in_the_file_at_once(path: Path) -> None:
    card = blank()
    card.save(path)
    for round_ in range(3):
        card.memory.write(SCRATCH + 300 * round_, bytes((round_,)) * 300)
        card.memory.commit()
        assert content(path) == card.memory.pages
    size = path.stat().st_size
    card.memory.write(SCRATCH, b"in place")
    card.memory.commit()
    assert path.stat().st_size == size
    assert content(path) == card.memory.pages
    card.close()


def test_what_was_not_committed_is_not_in_the_file(path: Path) -> None:
    card = blank()
    card.save(path)
    card.memory.write(SCRATCH, b"lost")
    assert content(path) == card.memory.pages
    card.close()
    assert reopened(path, SCRATCH, 4) == b"\xff" * 4


def test_a_closed_card_works_on_in_memory_and_leaves_the_file_alone(path: Path) -> None:
    card = blank()
    card.save(path)
    card.close()
    before = path.read_bytes()
    card.memory.write(SCRATCH, b"x")
    card.memory.commit()
    card.close()
    assert path.read_bytes() == before


def test_saving_again_moves_to_the_new_file(path: Path) -> None:
    card = blank()
    card.save(path)
    other = path.with_name("other.img")
    card.save(other)
    before = path.read_bytes()
    card.memory.write(SCRATCH, b"x")
    card.memory.commit()
    assert path.read_bytes() == before
    assert content(other) == card.memory.pages
    card.save(other)
    assert content(other) == card.memory.pages
    card.close()


def test_a_cut_at_any_write_leaves_an_image_with_the_old_or_the_new(path: Path) -> None:
    new = b"n" * 600
    for position in range(30):
        card = blank()
        card.memory.write(SCRATCH, b"o" * 600)
        card.memory.commit()
        card.save(path)
        card.memory.on_write = cut_at(position)
        card.memory.write(SCRATCH, new)
        try:
            card.memory.commit()
        except PowerCut:
            finished = False
        else:
            finished = True
        card.close()
        again = SoftwareCard.open(path)
        found = again.memory.read(SCRATCH, 600)
        again.close()
        assert found == new or (found == b"o" * 600 and not finished)
        if finished:
            assert position > 10
            return
    pytest.fail("the commit never finished")


def opens_as_damaged(path: Path, raw: bytes, word: str = "") -> None:
    path.write_bytes(raw)
    with pytest.raises(CardImageError, match=word or None) as caught:
        SoftwareCard.open(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, CardError)


def test_any_changed_byte_is_damage(path: Path, image: bytes) -> None:
    positions = [*range(HEADER + 20), *range(HEADER + 20, len(image), 97), len(image) - 1]
    for position in positions:
        for bit in (0x01, 0x80):
            damaged = bytearray(image)
            damaged[position] ^= bit
            opens_as_damaged(path, bytes(damaged))


def test_an_image_cut_anywhere_is_damage(path: Path, image: bytes) -> None:
    borders = range(HEADER, len(image), SLOT)
    for size in {*range(HEADER + 2), *range(0, len(image), 331), *borders, len(image) - 1}:
        opens_as_damaged(path, image[:size])


def test_bytes_after_the_last_page_are_damage_unless_an_append_was_cut(
    path: Path, image: bytes
) -> None:
    opens_as_damaged(path, image + bytes(SLOT + 1), "longer than its pages")
    for leftover in (image[-SLOT:], image[-SLOT:][:100], b"x"):
        path.write_bytes(image + leftover)
        card = SoftwareCard.open(path)
        card.memory.write(SCRATCH + 0x10000, b"new page")
        card.memory.commit()
        assert content(path) == card.memory.pages
        card.close()
        assert reopened(path, SCRATCH + 0x10000, 8) == b"new page"


def test_slots_in_another_order_are_the_same_card_but_one_twice_is_damage(
    path: Path, image: bytes
) -> None:
    slots = [image[at : at + SLOT] for at in range(HEADER, len(image), SLOT)]
    path.write_bytes(image[:HEADER] + b"".join(reversed(slots)))
    assert reopened(path, SCRATCH, 256) == bytes(range(256))
    opens_as_damaged(path, image[:HEADER] + b"".join([*slots[:-1], slots[0]]))


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "not a card file"),
        (b"PK\3\4", "not a card file"),
        (b"RHCARD\0\2" + bytes(100), "version 2"),
    ],
)
def test_other_files_are_no_card_images(path: Path, raw: bytes, word: str) -> None:
    opens_as_damaged(path, raw, word)


def test_a_file_that_is_missing_or_a_folder_is_an_error_that_names_it(path: Path) -> None:
    with pytest.raises(CardImageError, match=r"card\.img: No such file"):
        SoftwareCard.open(path)
    path.mkdir()
    with pytest.raises(CardImageError, match=r"card\.img"):
        SoftwareCard.open(path)


def test_a_card_that_cannot_be_saved_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CardImageError):
        blank().save(tmp_path / "nowhere" / "card.img")
    path.mkdir()
    with pytest.raises(CardImageError):
        blank().save(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_in_use_is_not_opened_and_not_replaced(path: Path) -> None:
    card = blank()
    card.save(path)
    with pytest.raises(CardImageError, match="in use"):
        SoftwareCard.open(path)
    with pytest.raises(CardImageError, match="in use"):
        blank().save(path)
    program = (
        "import sys; from pathlib import Path; from cardlib.emulator import *\n"
        "try: SoftwareCard.open(Path(sys.argv[1]))\n"
        "except CardImageError as error: sys.exit('in use' not in str(error))\n"
        "sys.exit(2)"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=False)
    assert done.returncode == 0
    card.close()
    SoftwareCard.open(path).close()


def test_a_card_that_is_only_read_keeps_its_changes_in_memory(path: Path) -> None:
    card = blank()
    card.save(path)
    card.close()
    before = path.read_bytes()
    for _ in range(2):
        card = SoftwareCard.open(path, read_only=True)
        assert card.state.sequence_counter == 0
        card.transmit(bytes.fromhex("8050FF00080102030405060708"))
        card.memory.write(SCRATCH, b"n" * 600)
        card.memory.commit()
        card.reset()
        assert card.memory.read(SCRATCH, 600) == b"n" * 600
        card.close()
    assert path.read_bytes() == before


def test_an_interrupted_commit_is_undone_for_a_reader_too_and_not_in_the_file(path: Path) -> None:
    card = blank()
    card.memory.write(SCRATCH, b"o" * 600)
    card.memory.commit()
    card.save(path)
    card.memory.on_write = cut_at(9)
    card.memory.write(SCRATCH, b"n" * 600)
    with pytest.raises(PowerCut):
        card.memory.commit()
    card.close()
    before = path.read_bytes()
    reader = SoftwareCard.open(path, read_only=True)
    assert reader.memory.read(SCRATCH, 600) == b"o" * 600
    reader.close()
    assert path.read_bytes() == before


def test_many_may_read_a_card_and_nobody_writes_it_meanwhile(path: Path) -> None:
    writer = blank()
    writer.save(path)
    with pytest.raises(CardImageError, match="in use"):
        SoftwareCard.open(path, read_only=True)
    writer.close()
    readers = [SoftwareCard.open(path, read_only=True) for _ in range(2)]
    for refused in (SoftwareCard.open, blank().save):
        with pytest.raises(CardImageError, match="in use"):
            refused(path)
    for reader in readers:
        reader.close()
    SoftwareCard.open(path).close()


def test_a_full_disk_is_a_memory_failure_and_the_card_stays_whole(path: Path) -> None:
    opened = create(path, blank().memory.pages)
    card = blank()
    card.memory.store = opened
    opened.close()  # every write fails from here on, as on a disk that is gone

    class Gone:
        def seek(self, _position: int) -> None:
            raise OSError(28, "No space left on device")

    opened._file = Gone()  # type: ignore[assignment]
    before = card.memory.pages
    card.memory.write(SCRATCH, b"x")
    assert card.transmit(bytes.fromhex("00A4040000")) == b"\x65\x81"
    assert card.memory.pages == before
    assert card.memory.read(SCRATCH, 1) == b"\xff"
