"""rhcard pins: the PIN of every active card, for the mailer, and of no other."""

from pathlib import Path

import pytest

from cardlib.errors import StatusWordError
from cardlib.issuance import IssuerSession
from cardlib.keys.store import KeyStore
from personalize.production.pins import NAME
from personalize.production.station import SUFFIX, in_reader
from tests.cards.bureau import pin_is_right
from tests.programs.rhcard import PASSPHRASE, key_file, prepare, rhcard


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return prepare(tmp_path, key_file(tmp_path), 2)


def test_each_pin_opens_its_own_card(batch: Path, tmp_path: Path) -> None:
    assert rhcard("issue", batch, "--cards", tmp_path / "cards").code == 0
    report = rhcard("pins", batch, "--json").json
    keys = KeyStore.open(tmp_path / "keys.json", PASSPHRASE).terminal_keys
    assert (len(report["pins"]), report["not_active"]) == (2, 0)
    for row in report["pins"]:
        with in_reader(tmp_path / "cards" / f"{row['chip']}{SUFFIX}") as reader:
            pin_is_right(reader, keys, row["pin"])
        assert row["name"] and len(row["card_number"]) == 18
    done = rhcard("pins", batch)
    shown = done.out
    assert "The cards are in the folder that was given to `rhcard issue`" in done.err
    assert all(row["pin"] in shown for row in report["pins"])


def test_a_card_that_is_not_active_has_no_letter(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StatusWordError("ACTIVATE", 0x6581)

    monkeypatch.setattr(IssuerSession, "activate", refused)
    assert rhcard("issue", batch, "--cards", tmp_path / "cards").code == 7
    report = rhcard("pins", batch, "--json").json
    assert (report["pins"], report["not_active"]) == ([], 2)


def test_nothing_issued_is_a_conflict(batch: Path) -> None:
    assert rhcard("pins", batch).code == 8


def test_a_lost_or_altered_pin_file_is_said(batch: Path, tmp_path: Path) -> None:
    assert rhcard("issue", batch, "--cards", tmp_path / "cards").code == 0
    path = batch / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    assert rhcard("pins", batch).code == 3
    path.write_bytes(lines[0].replace(b'"card": 1', b'"card": 2'))
    done = rhcard("pins", batch)
    assert (done.code, f"{path} line 1" in done.err) == (9, True)
