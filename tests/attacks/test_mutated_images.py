"""Changed card images whose checksums are right, a few on each run; many by `benchmarks.soak`."""

from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from tests.attacks.fuzz.cards import KINDS, make
from tests.attacks.fuzz.oracle import Problem
from tests.attacks.mutated_images import Unjudged, attack

IMAGES = 200


def test_no_changed_image_breaks_the_card_that_is_opened_from_it(tmp_path: Path) -> None:
    opened = sum(attack(tmp_path / "changed.card", seed) for seed in range(IMAGES))
    assert IMAGES // 3 < opened < IMAGES


def test_an_exception_that_leaves_the_card_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> bytes:
        raise IndexError("a bug")

    for kind in KINDS:
        make(kind, 0)  # the cards are made once, and must be there before they break
    monkeypatch.setattr(SoftwareCard, "process", crash)
    with pytest.raises(Problem, match="a bug"):
        for seed in range(IMAGES):
            attack(tmp_path / "changed.card", seed)


def test_a_card_that_does_not_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> bytes:
        while True:
            pass

    card = Unjudged("active", make("active", 0))
    monkeypatch.setattr(SoftwareCard, "process", hang)
    monkeypatch.setattr("tests.attacks.mutated_images.MAX_SECONDS", 1)
    with pytest.raises(Problem, match="no answer within 1 s"):
        card.transmit(bytes.fromhex("00A40000"))
