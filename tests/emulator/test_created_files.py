"""Created files stay what a channel has selected, whatever is created, refused or reset beside."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.inspection import inspect
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel

H = bytes.fromhex
DIRECTORY, OTHER_DIRECTORY = "6208820238218302A000", "6208820238218302A001"
BINARY, RECORDS = "620C800201008202012183" + "02B000", "620C8206042100100004" + "8302B001"


class Issuer:
    def __init__(self, card: SoftwareCard, store: KeyStore) -> None:
        self.channel = Scp03Channel.open(card.transmit, store.issuer_keys(CHIP), 0x33)

    def sw(self, header: str, data: str = "") -> str:
        cla, ins, p1, p2 = H(header)
        response = self.channel.send(CommandAPDU(cla, ins, p1, p2, H(data)))
        return f"{response.sw:04X}"


@pytest.fixture
def issuer(personalized_card: SoftwareCard, card_key_store: KeyStore) -> Issuer:
    return Issuer(personalized_card, card_key_store)


def test_directories_and_files_are_created_inside_each_other(issuer: Issuer) -> None:
    for fcp in (DIRECTORY, OTHER_DIRECTORY, BINARY, RECORDS):
        assert issuer.sw("00E00000", fcp) == "9000"
    assert issuer.sw("00A4080C", "A000A001B001") == "9000"
    assert issuer.sw("00A4020C", "B000") == "9000"
    assert issuer.sw("00D60000", "0102") == "9000"
    assert issuer.sw("00E00000", BINARY) == "6A89"


def test_a_current_file_that_is_deactivated_or_terminated_is_of_no_use(issuer: Issuer) -> None:
    issuer.sw("00E00000", DIRECTORY)
    issuer.sw("00E00000", BINARY)
    assert issuer.sw("00B00000") == "9000"
    assert issuer.sw("00040000") == "9000"
    assert issuer.sw("00B00000") == "6985"
    assert issuer.sw("00440000") == "9000"
    assert issuer.sw("00B00000") == "9000"
    assert issuer.sw("00E80000") == "9000"
    assert issuer.sw("00B00000") == "6985"


def test_a_file_in_a_directory_that_is_deactivated_is_of_no_use(issuer: Issuer) -> None:
    issuer.sw("00E00000", DIRECTORY)
    issuer.sw("00E00000", BINARY)
    assert issuer.sw("00040000", "A000") == "9000"
    assert issuer.sw("00B00000") == "6985"


def test_a_refused_change_leaves_the_current_directory_as_it_was(issuer: Issuer) -> None:
    issuer.sw("00E00000", DIRECTORY)
    issuer.sw("00E00000", BINARY)
    assert issuer.sw("00D600FF", "0102") == "6A84"
    assert issuer.sw("00E00000", "6204" + "82010183") in ("6A80", "6700")
    assert issuer.sw("00A4020C", "B000") == "9000"
    assert issuer.sw("00E00000", RECORDS) == "9000"
    assert issuer.sw("00E20000", "11" * 16) == "9000"


def test_a_deleted_file_is_current_no_more_and_its_identifier_is_free(issuer: Issuer) -> None:
    issuer.sw("00E00000", DIRECTORY)
    issuer.sw("00E00000", BINARY)
    issuer.sw("00D60000", "0102")
    assert issuer.sw("00E40000") == "9000"
    assert issuer.sw("00B00000") == "6986"
    assert issuer.sw("00E00000", BINARY) == "9000"
    read = issuer.channel.send(CommandAPDU(0x00, 0xB0, 0x00, 0x00, le=256))
    assert read.data == b"\xff" * 256
    assert issuer.sw("00E40000", "A000") == "9000"
    assert issuer.sw("00A4080C", "A000") == "6A82"


def test_created_files_are_there_after_reset(
    issuer: Issuer, personalized_card: SoftwareCard
) -> None:
    for fcp in (DIRECTORY, OTHER_DIRECTORY, BINARY):
        issuer.sw("00E00000", fcp)
    issuer.sw("00D60000", "0102")
    personalized_card.reset()
    assert personalized_card.transmit(H("00A4080C06A000A001B000")) == H("9000")
    assert personalized_card.transmit(H("00B0000002")) == H("01029000")


NESTED, FRAMES = 250, 150


@pytest.fixture
def few_frames() -> Iterator[None]:
    """Fewer calls inside each other than there are directories."""
    limit, frame, depth = sys.getrecursionlimit(), sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    sys.setrecursionlimit(depth + FRAMES)
    yield
    sys.setrecursionlimit(limit)


def test_nothing_that_walks_or_deletes_nested_directories_runs_out_of_depth(
    personalized_card: SoftwareCard, card_key_store: KeyStore, tmp_path: Path, few_frames: None
) -> None:
    issuer = Issuer(personalized_card, card_key_store)
    for fid in range(0xA000, 0xA000 + NESTED):
        assert issuer.sw("00E00000", f"6208820238218302{fid:04X}") == "9000"
    personalized_card.save(path := tmp_path / "nested.card")
    personalized_card.close()
    card = SoftwareCard.open(path)
    assert inspect(card)["files"]
    again = Issuer(card, card_key_store)
    assert again.sw("00E40000", "A000") == "9000"
    assert again.sw("00E00000", DIRECTORY) == "9000"
    card.close()
