"""rhcard pins: the PIN of every active card, for the mailer, and of no other."""

from pathlib import Path

import pytest

from cardlib.errors import StatusWordError
from cardlib.issuance.making import HostSession
from cardlib.keys.store import KeyStore
from personalize.production.pins import NAME
from personalize.production.station import SUFFIX, in_reader
from tests.cards.bureau import pin_is_right
from tests.programs.rhcard import PASSPHRASE, key_file, prepare, rhcard


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return prepare(tmp_path, key_file(tmp_path), 2)


def test_each_pin_opens_its_own_card(batch: Path, tmp_path: Path) -> None:
    assert rhcard("issue", batch, "--cards", tmp_path / "cards", "--make-blanks").code == 0
    report = rhcard("pins", batch, "--json").json
    keys = KeyStore.open(tmp_path / "keys.json", PASSPHRASE).terminal_keys
    assert (len(report["pins"]), report["not_active"]) == (2, 0)
    for row in report["pins"]:
        with in_reader(tmp_path / "cards" / f"{row['chip']}{SUFFIX}") as reader:
            pin_is_right(reader, keys, row["pin"])
        assert row["name"] and len(row["card_number"]) == 18
    done = rhcard("pins", batch)
    shown = done.out
    assert "`rhcard readers` shows it; it is a software card's file name" in done.err
    assert all(row["pin"] in shown for row in report["pins"])


def test_a_card_that_is_not_active_has_no_letter(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StatusWordError("ACTIVATE", 0x6581)

    monkeypatch.setattr(HostSession, "activate", refused)
    assert rhcard("issue", batch, "--cards", tmp_path / "cards", "--make-blanks").code == 7
    report = rhcard("pins", batch, "--json").json
    assert (report["pins"], report["not_active"]) == ([], 2)
    assert "2 cards are not active yet. Their PINs are not shown." in rhcard("pins", batch).err


def test_one_card_that_is_not_active_is_told_of_as_one(batch: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.card"
    rhcard("emulator", "new", "--out", blank, "--keys", batch.parent / "keys.json")
    assert rhcard("issue", batch, "--card", blank).code == 7
    assert "1 card is not active yet. Its PIN is not shown." in rhcard("pins", batch).err


def test_nothing_issued_is_a_conflict(batch: Path) -> None:
    assert rhcard("pins", batch).code == 8


@pytest.fixture
def issued(batch: Path, tmp_path: Path) -> Path:
    assert rhcard("issue", batch, "--cards", tmp_path / "cards", "--make-blanks").code == 0
    return batch


def test_a_lost_pin_is_said_and_the_others_are_shown(issued: Path) -> None:
    path = issued / NAME
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    done = rhcard("pins", issued)
    assert (done.code, f"{path}: the PIN of card 2 is missing" in done.err) == (7, True)
    report = rhcard("pins", issued, "--json").json
    assert ([row["number"] for row in report["pins"]], report["exit_code"]) == ([1], 7)
    assert report["pins"][0]["pin"] in done.out
    assert len(report["problems"]) == 1


def test_a_damaged_line_is_said_and_the_others_are_shown(issued: Path) -> None:
    path = issued / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b'"card": 1', b'"card": 2') + lines[1])
    done = rhcard("pins", issued)
    assert (done.code, f"{path} line 1: damaged" in done.err) == (7, True)
    assert "the PIN of card 1 is missing" in done.err
    assert [row["number"] for row in rhcard("pins", issued, "--json").json["pins"]] == [2]


def test_a_lost_last_newline_costs_no_letter_and_is_not_repaired_by_a_reader(issued: Path) -> None:
    path = issued / NAME
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    assert (rhcard("pins", issued).code, path.read_bytes()) == (0, before)


def test_a_link_in_place_of_the_pin_file_is_said_and_not_changed(
    issued: Path, tmp_path: Path
) -> None:
    path, other = issued / NAME, tmp_path / "other"
    other.write_bytes(b"one line\nno newline")
    path.unlink()
    path.symlink_to(other)
    done = rhcard("pins", issued)
    assert (done.code, f"{path}: it is a symbolic link" in done.err) == (7, True)
    assert rhcard("issue", issued, "--cards", tmp_path / "cards", "--make-blanks").code == 3
    assert other.read_bytes() == b"one line\nno newline"


def test_pins_without_their_journal_are_a_conflict(issued: Path) -> None:
    (issued / "journal.sqlite").unlink()
    done = rhcard("pins", issued)
    assert (done.code, "there is a PIN file, but no journal" in done.err) == (8, True)
    assert "Put journal.sqlite back" in done.err
