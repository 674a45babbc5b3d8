"""A card that is issued from a token is the card that is issued from a key store, byte for byte."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance.local import LocalIssuer
from cardlib.keys import RootKeys
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from personalize.preparation.batch import Batch
from personalize.production import pins
from personalize.production.audit import audit
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.station import FolderFeed, card_path
from tests.cards.bureau import new_batch
from tests.programs.softhsm import SoftHsm

CHIPS = [ChipSerial(bytes.fromhex(f"524843000000{n:04X}")) for n in (1, 2)]


@dataclass(frozen=True)
class Sides:
    """The same root keys in memory and in a token."""

    memory: KeyStore
    token: RootKeys


@pytest.fixture(scope="module", params=[1, 2], ids=["protocol 1", "protocol 2"])
def sides(request: pytest.FixtureRequest, softhsm: SoftHsm) -> Sides:
    roots = new_roots(request.param, Cipher.AES)
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    import_roots(session, "main", roots)
    return Sides(KeyStore(roots), TokenHolder(session, "main").newest)


def test_cards_from_a_token_are_those_from_a_key_store(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepared once, issued twice; each side verifies the other's cards."""
    monkeypatch.setattr(pins, "random_pin", lambda: Pin("739241"))
    prepared = new_batch(tmp_path, len(CHIPS), keys=sides.memory).folder
    images = {}
    for name, keys in (("memory", sides.memory), ("token", sides.token)):
        batch, cards = tmp_path / f"{name} batch", tmp_path / name
        shutil.copytree(prepared, batch)
        cards.mkdir()
        for chip in CHIPS:
            with_blank(cards, chip, sides.memory)
        issuer = LocalIssuer(keys)
        opened = Batch.open(batch, issuer)
        with opened_job(opened, issuer, FolderFeed(cards), test_keys=False) as job:
            results = list(issue(job))
        assert [result.problem for result in results] == [""] * len(CHIPS)
        images[name] = {path.name: path.read_bytes() for path in cards.glob("*.card")}
        other = LocalIssuer(sides.token if name == "memory" else sides.memory)
        verified = list(audit(Batch.open(batch, other), other, FolderFeed(cards), full=True))
        assert len(verified) == len(CHIPS)
        assert [each.findings for each in verified] == [()] * len(CHIPS)
    assert len(images["memory"]) == len(CHIPS)
    assert images["memory"] == images["token"]


def with_blank(folder: Path, chip: ChipSerial, store: KeyStore) -> None:
    card = SoftwareCard.blank(chip, store.blank_keys(chip))
    card.save(card_path(folder, chip))
    card.close()
