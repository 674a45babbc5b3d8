"""What a file's FCI announces: every byte of it that differs from the layout is found."""

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.checks.announced import announced
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.layout import FILE_BY_PATH, FILES


@pytest.fixture(scope="module")
def fcis() -> dict[str, bytes]:
    card = ResidentHealthCard(personalized_card(public_test_roots(2)))
    return {file.path: card.select(file.path) for file in FILES}


def test_a_good_file_has_no_finding(fcis: dict[str, bytes]) -> None:
    assert [found for path, fci in fcis.items() for found in announced(path, fci)] == []


@pytest.mark.parametrize("path", FILE_BY_PATH)
def test_each_byte_that_means_something_else_is_found(fcis: dict[str, bytes], path: str) -> None:
    """All but one: the data coding byte (7816-4 table 118) is the card's own."""
    fci = fcis[path]
    coding = fci.index(b"\x82") + 3
    for place in range(len(fci)):
        for bit in range(8):
            changed = bytearray(fci)
            changed[place] ^= 1 << bit
            found = announced(path, bytes(changed))
            assert bool(found) == (place != coding), changed.hex()


@pytest.mark.parametrize("length", range(8))
def test_an_fci_that_is_cut_is_one_finding(fcis: dict[str, bytes], length: int) -> None:
    (finding,) = announced("DDF1/EF06", fcis["DDF1/EF06"][:length])
    assert finding.path == "DDF1/EF06"
