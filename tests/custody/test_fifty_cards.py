"""The same components in a key store and in a token, each behind an agent: 50 cards from each.

A terminal that has only a SAM, in pcscd's second reader, then verifies cards of both.
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from cardlib.checks.verify import verify_card
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.facts import ChipSerial, Pin
from cardlib.keys.roots import Roots, new_roots
from cardlib.keys.sam.sam_groupings import SamPlan
from cardlib.keys.sam.sam_keys import SamKeySet
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from cardlib.layout import KEYS
from cardlib.layout.load import records
from cardlib.transport.pcsc import find_reader, open_reader
from personalize.custody.component import xor
from personalize.custody.new_version import roots_of_set
from personalize.custody.roles import Role
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from personalize.preparation.batch import Batch
from personalize.production import pins
from personalize.production.audit import audit
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.station import FolderFeed, card_path
from tests.cards import sams
from tests.cards.bureau import new_batch
from tests.custody.agents import folder_in_memory
from tests.custody.desks import Bench, bench, check_value_told
from tests.programs.pcscd import SLOTS, Pcscd, wait_until
from tests.programs.softhsm import PIN, SoftHsm

COUNT, IN_READERS = 50, (1, 25, 50)
SET_SIZE = 33 * 16 + 32


@dataclass(frozen=True)
class Bureau:
    """One set of roots in both places, and the cards that each agent made of one batch."""

    roots: Roots
    agents: Mapping[str, Bench]
    batch: Batch
    chips: list[ChipSerial]
    cards: Mapping[str, Path]


@pytest.fixture(scope="module", params=[1, 2], ids=["version 1", "version 2"])
def bureau(request: pytest.FixtureRequest, softhsm: SoftHsm, pcscd: Pcscd) -> Iterator[Bureau]:
    """All of this module waits for `pcscd`, so that one process makes the cards once."""
    roots = _from_components(request.param)
    chips = [ChipSerial(bytes.fromhex(f"5248430000{n:06X}")) for n in range(1, COUNT + 1)]
    stock = frozenset(chips)
    keys, source = KeyStore(roots), _in_token(softhsm, roots)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        place = stack.enter_context(folder_in_memory())
        prepared = new_batch(place, COUNT, keys=keys)
        patch.setattr(pins, "random_pin", lambda: Pin("739241"))
        agents = {
            "store": stack.enter_context(bench(place / "store", keys, stock=stock)),
            "token": stack.enter_context(bench(place / "token", stock=stock)),
        }
        vault = Vault(source, agents["token"].service.policy, test_keys=False)
        vault.unlock(PIN)
        agents["token"].service.vault = vault
        cards = {name: _issued(place, name, agent, keys, chips) for name, agent in agents.items()}
        yield Bureau(roots, agents, prepared, chips, cards)
        agents["token"].service.lock()


def _from_components(protocol: int) -> Roots:
    before = KeyStore(new_roots(protocol, Cipher.AES))
    one, other = (secrets.token_bytes(SET_SIZE) for _ in range(2))
    return roots_of_set(before, 2, xor(one, other))


def _in_token(softhsm: SoftHsm, roots: Roots) -> TokenSource:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, PIN)
    import_roots(session, "main", roots)
    session.lock()
    return TokenSource(softhsm.module, label, "main")


def _issued(place: Path, name: str, agent: Bench, keys: KeyStore, chips: list[ChipSerial]) -> Path:
    batch, cards = place / f"{name} batch", place / f"{name} cards"
    shutil.copytree(place / "batch", batch)
    cards.mkdir()
    for chip in chips:
        card = SoftwareCard.blank(chip, keys.blank_keys(chip))
        card.save(card_path(cards, chip))
        card.close()
    issuer = agent.issuer()
    with opened_job(Batch.open(batch, issuer), issuer, FolderFeed(cards), test_keys=False) as job:
        assert [result.problem for result in issue(job)] == [""] * len(chips)
    return cards


def test_the_cards_of_both_are_the_same_byte_for_byte(bureau: Bureau) -> None:
    images = [{path.name: path.read_bytes() for path in cards.iterdir() if path.suffix == ".card"}
              for cards in bureau.cards.values()]  # fmt: skip
    assert len(images[0]) == len(bureau.chips)
    assert images[0] == images[1]


def test_the_check_values_of_all_card_keys_are_equal(bureau: Bureau) -> None:
    region = bureau.batch.card(1).region
    values = [
        [check_value_told(
            agent.issuer(Role.TERMINAL).terminal_keys.for_card(bureau.chips[0], region), key.name)
         for key in KEYS if key.name.startswith(("RK", "IRK"))]
        for agent in bureau.agents.values()
    ]  # fmt: skip
    assert values[0] == values[1] and len(values[0]) == 7


def test_an_agent_verifies_the_cards_of_the_other(bureau: Bureau) -> None:
    issuer = bureau.agents["token"].issuer()
    folder = bureau.cards["store"].with_name("store batch")
    verified = list(audit(Batch.open(folder, issuer), issuer, FolderFeed(bureau.cards["store"])))
    assert [each.findings for each in verified] == [()] * len(bureau.chips)


def test_a_sam_in_a_reader_verifies_cards_of_both(bureau: Bureau, pcscd: Pcscd) -> None:
    slots = VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)
    _put(slots[1], 1, _sam(KeyStore(bureau.roots)))
    try:
        for cards in bureau.cards.values():
            for number in IN_READERS:
                chip = bureau.chips[number - 1]
                with closing(SoftwareCard.open(card_path(cards, chip), read_only=True)) as card:
                    _put(slots[0], 0, card)
                    _verify(bureau.batch, number, chip)
                    slots[0].remove()
    finally:
        for slot in slots:
            slot.remove()


def _verify(batch: Batch, number: int, chip: ChipSerial) -> None:
    issued = records(batch.card(number).groupings, chip)
    with open_reader(SLOTS[0]) as to_card, open_reader(SLOTS[1]) as to_sam:
        checked = verify_card(to_card, SamKeySet.open(to_sam, sams.PIN), issued, chip, active=True)
    assert checked.findings == ()
    assert checked.left_out.keys_not_held != ()


def _sam(keys: KeyStore) -> SoftwareSam:
    from personalize.production.sam_issue import load_sam

    blank = sams.blank_sam()
    made = SoftwareSam.blank(blank.chip, keys.blank_keys(blank.chip))
    load_sam(made, [keys], SamPlan(("verification",), sams.PIN))
    made.reset()
    return made


def _put(slot: VirtualReader, number: int, chip: SoftwareCard | SoftwareSam) -> None:
    slot.remove()
    wait_until(lambda: not find_reader(number).atr, 10)
    slot.insert(chip)
    wait_until(lambda: find_reader(number).atr == chip.atr, 10)
