"""The supply of a SAM fails at every memory write: each command is done, or it is not.

What may lie between: a try or a use that was spent before the SAM looked or calculated.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import MemoryFailure, PowerCut
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.errors import CardError
from cardlib.keys.sam.sam_groupings import SamPlan
from cardlib.keys.sam.sam_keys import SamKeySet
from cardlib.keys.store import KeyStore
from personalize.production.sam_issue import load_sam
from tests.cards.sams import (
    PIN,
    ask,
    authenticate,
    blank_sam,
    diversify,
    opened,
    roots_of,
    sam_of,
    sw,
)

H = bytes.fromhex
V2 = (2, Cipher.SM4, 1)
Act = Callable[[SoftwareSam], object]
OLD = SamPlan(("emergency",), PIN, 7)
NEW = SamPlan(("bank",), PIN, 9)
STORE = KeyStore(roots_of(1))


def cut_at(sam: SoftwareSam, act: Act, write: int, *, after: bool) -> bool:
    """Run it with the supply failing at a write, then power on; False if it wrote less often."""
    seen = 0

    def fail(_page: int, done: bool) -> None:
        nonlocal seen
        seen += not done
        if seen > write or (seen == write and done is after):
            raise PowerCut

    sam.memory.on_write = fail
    with suppress(PowerCut, CardError):
        act(sam)
    sam.memory.on_write = None
    sam.reset()
    assert not sam.damage
    return seen >= write


def each_cut(start: Callable[[], SoftwareSam], act: Act) -> list[SoftwareSam]:
    """The SAMs that wake up after a cut at each write, before it and after it."""
    found = []
    for after in (False, True):
        write = 1
        while True:
            sam = start()
            if not cut_at(sam, act, write, after=after):
                break
            found.append(sam)
            write += 1
    return found


def loaded(sam: SoftwareSam) -> tuple[str, ...]:
    """Which of the plans a SAM holds; none if it is blank."""
    held = {name for name in ("RK1_DF02", "UK1_DF04") if sw(opened(sam), diversify(name)) == 0x9000}
    return tuple(sorted(held))


def load(sam: SoftwareSam) -> None:
    load_sam(sam, [STORE], OLD)


def renew(sam: SoftwareSam) -> None:
    load_sam(sam, [STORE], NEW, renew=True)


def old_sam() -> SoftwareSam:
    return sam_of(roles=OLD.roles, limit=OLD.limit)


def test_a_load_that_is_cut_leaves_a_blank_or_a_loaded_sam_and_can_be_repeated() -> None:
    found = each_cut(blank_sam, load)
    assert len(found) > 20
    states = set()
    for sam in found:
        states.add(sam.state.is_personalized)
        if not sam.state.is_personalized:
            assert sw(sam, "00A4000002DF01") == 0x6A82
            assert not sam.sam.held()
            load(sam)
        assert loaded(sam) == ("RK1_DF02",)
    assert states == {False, True}


def test_a_renewal_that_is_cut_leaves_the_old_sam_or_the_new_one() -> None:
    found = each_cut(old_sam, renew)
    kinds = {(loaded(sam), sam.sam.use.limit) for sam in found}
    assert kinds == {(("RK1_DF02",), 7), (("UK1_DF04",), 9)}


@pytest.mark.parametrize("right", [True, False])
def test_a_cut_never_gives_a_try(right: bool) -> None:
    pin = PIN.digits if right else b"246801"

    def verify(sam: SoftwareSam) -> None:
        ask(sam, "00A4000002DF01")
        ask(sam, b"\x00\x20\x00\x00\x06" + pin)

    for sam in each_cut(old_sam, verify):
        stored = sam.state.pin
        assert stored is not None
        assert stored.remaining in (2, 3)
        assert sw(sam, "00A4000002DF01") == 0x9000
        assert sw(sam, diversify("RK1_DF02")) == 0x6982
    sam = old_sam()
    cut_at(sam, verify, 1, after=True)
    stored = sam.state.pin
    assert stored is not None and stored.remaining == 2, "the try was spent before the comparison"


@pytest.mark.parametrize("kind", [(1, Cipher.SM4, 1), V2])
def test_a_cut_never_gives_an_authentication(kind: tuple[int, Cipher, int]) -> None:
    sent = diversify("RK1_DF02") if kind[0] == 1 else authenticate("RK1_DF02")

    def start() -> SoftwareSam:
        return opened(sam_of(kind, roles=("emergency",), limit=1))

    answers: list[bytes] = []

    def act(sam: SoftwareSam) -> None:
        answers.append(sam.transmit(sent))

    used = [sam.sam.use.used for sam in each_cut(start, act)]
    assert used == [0, 1], "one write; before it nothing happened, after it the use is spent"
    assert len(answers) == 2, "only the runs without a cut answered"


def test_a_worn_page_gives_no_authentication() -> None:
    sam = opened(sam_of(limit=3))

    def worn(_page: int, _done: bool) -> None:
        raise MemoryFailure("worn")

    sam.memory.on_write = worn
    assert sw(sam, diversify("RK1_DF02")) == 0x6581
    sam.memory.on_write = None
    assert sam.sam.use.used == 0
    assert sw(sam, H("80FA000010") + bytes(16)) == 0x6985


def test_the_host_goes_on_with_a_sam_that_was_cut() -> None:
    sam = SoftwareSam(Memory(old_sam().memory.pages))
    cut_at(sam, lambda each: SamKeySet.open(each, PIN), 1, after=True)
    assert SamKeySet.open(sam, PIN).names == {"IRK_DDF1", "RK1_DF02"}
