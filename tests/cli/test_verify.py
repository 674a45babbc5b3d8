"""rhcard verify: 0 when every card is as prepared, 6 and every difference when not."""

from pathlib import Path

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.emulator import CardOptions
from cardlib.emulator.profile.card_options import OPTIONS_SIZE
from cardlib.errors import StatusWordError
from cardlib.issuance.making import HostSession
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import RHCARD
from personalize.preparation.batch import read_header
from personalize.production.station import in_reader
from tests.programs.rhcard import PASSPHRASE, Ran, key_file, prepare, rhcard

COUNT = 2


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def batch(tmp_path: Path, keys: Path) -> Path:
    folder = prepare(tmp_path, keys, COUNT)
    assert rhcard("issue", folder, "--cards", tmp_path / "cards", "--make-blanks").code == 0
    return folder


def verify(batch: Path, *more: object) -> Ran:
    return rhcard("verify", batch, "--cards", batch.parent / "cards", *more)


def test_good_cards_are_verified(batch: Path) -> None:
    done = verify(batch)
    assert (done.code, done.out) == (0, "2 of 2 verified\n")


def test_what_the_standard_check_leaves_out_is_said_and_full_leaves_out_nothing(
    batch: Path,
) -> None:
    """The first card of a batch is checked in full, so it is the second that is told of."""
    standard, full = verify(batch), verify(batch, "--full")
    assert standard.err.startswith("Left out on 1 card: a blank part of 10 files was not read,")
    assert (full.code, full.out, full.err) == (0, "2 of 2 verified\n", "")
    first, second = verify(batch, "--json").json["cards"]
    assert (first["not_read"], first["not_tried"]) == ([], [])
    assert second["not_tried"][0] == "DDF1/EF07"
    assert {"path": "DDF1/DF03/EE01", "from": 223, "to": 1670} in second["not_read"]


def test_a_changed_field_is_6_and_listed(batch: Path, keys: Path) -> None:
    card = sorted((batch.parent / "cards").iterdir())[0]
    with in_reader(card) as reader:
        terminal = ResidentHealthCard(reader, KeyStore.open(keys, PASSPHRASE).terminal_keys)
        terminal.authenticate("UK1_DF01")
        terminal.update("DDF1/DF01/EF05", 2, {"address_1": "another street"})
    done = verify(batch)
    assert (done.code, done.out.splitlines()[-1]) == (6, "1 of 2 verified")
    assert "DDF1/DF01/EF05" in done.out and "another street" in done.out
    assert f"To look at a card: rhcard read CHIP --cards {card.parent}" in done.err
    report = verify(batch, "--json").json
    assert (report["verified"], report["failed"], report["exit_code"]) == (1, 1, 6)
    (bad,) = [row for row in report["cards"] if not row["verified"]]
    assert bad["chip"] == card.stem
    (finding,) = bad["findings"]
    assert (finding["path"], finding["record"], finding["field"], finding["state"]) == (
        "DDF1/DF01/EF05", 2, "address_1", "value",
    )  # fmt: skip
    assert finding["found"] == "another street"


def test_a_card_that_is_gone_or_damaged_is_a_finding(batch: Path) -> None:
    first, second = sorted((batch.parent / "cards").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-100])
    report = verify(batch, "--json").json
    problems = [row["findings"][0]["problem"] for row in report["cards"]]
    assert report["exit_code"] == 6
    assert all("not found in" in problem for problem in problems)
    assert all(f"{second.name} was not used" in problem for problem in problems)
    # They are active: `issue --spoiled` would refuse them.
    assert not [problem for problem in problems if "--spoiled" in problem]


def test_of_a_lost_active_card_verify_issue_and_spoiled_say_the_same(batch: Path) -> None:
    cards = batch.parent / "cards"
    first, *_ = sorted(cards.iterdir())
    first.unlink()
    true = "An active card cannot be replaced yet, also if it is lost (docs/how-to/replace-a-card"
    verified = verify(batch, "--json").json["cards"]
    assert [true in str(row["findings"]) for row in verified if row["findings"]] == [True]
    issued = rhcard("issue", batch, "--cards", cards, "--make-blanks")
    assert (issued.code, true in issued.err, "--spoiled" in issued.err) == (7, True, False)
    given_up = rhcard("issue", batch, "--cards", cards, "--make-blanks", "--spoiled", first.stem)
    assert (given_up.code, true in given_up.err, "new list" in given_up.err) == (8, True, False)
    assert len(list(cards.iterdir())) == COUNT - 1


def test_an_active_card_without_a_pin_is_a_finding(batch: Path) -> None:
    path = batch / "pins.sealed"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    report = verify(batch, "--json").json
    (bad,) = [row for row in report["cards"] if not row["verified"]]
    assert (report["verified"], report["failed"], report["exit_code"]) == (1, 1, 6)
    assert bad["number"] == 2
    assert "the PIN of card 2 is missing" in bad["findings"][0]["problem"]


def test_a_folder_with_none_of_the_cards_is_said_once(batch: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    done = rhcard("verify", batch, "--cards", wrong)
    assert (done.code, done.out) == (6, "0 of 2 verified\n")
    (line,) = [line for line in done.err.splitlines() if line.startswith("rhcard: ")]
    assert "not found" not in done.out + done.err
    assert line == (
        f"rhcard: none of the 2 cards of this batch is in {wrong}. Check that --cards is the folder"
        " used for `issue`."
    )
    report = rhcard("verify", batch, "--cards", wrong, "--json").json
    assert (report["failed"], report["exit_code"]) == (2, 6)
    assert "none of the 2 cards" in report["error"]


def test_a_batch_that_was_never_issued_is_a_conflict(tmp_path: Path, keys: Path) -> None:
    batch = prepare(tmp_path, keys, 1)
    (tmp_path / "cards").mkdir()
    done = verify(batch)
    assert (done.code, "Run `rhcard issue` first" in done.err) == (8, True)


def test_cards_that_are_not_there_at_all_are_4(batch: Path, tmp_path: Path) -> None:
    assert rhcard("verify", batch, "--cards", tmp_path / "nowhere").code == 4


def test_a_batch_that_was_issued_in_part_says_which_cards_are_missing(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StatusWordError("ACTIVATE", 0x6581)

    batch = prepare(tmp_path, keys, 1)
    monkeypatch.setattr(HostSession, "activate", refused)
    assert rhcard("issue", batch, "--cards", tmp_path / "cards", "--make-blanks").code == 7
    done = verify(batch)
    assert (done.code, "not active yet: its state is personalized" in done.out) == (6, True)


@pytest.mark.parametrize(("protocol", "specification"), [(1, "1.0"), (2, "2.0")])
def test_cards_are_of_the_specification_that_their_keys_are_for(
    tmp_path: Path, protocol: int, specification: str
) -> None:
    keys = key_file(tmp_path, protocol=protocol)
    batch, cards = prepare(tmp_path, keys, 1), tmp_path / "cards"
    assert read_header(batch).spec_version == specification
    assert rhcard("issue", batch, "--cards", cards, "--make-blanks").code == 0
    assert rhcard("verify", batch, "--cards", cards).out == "1 of 1 verified\n"
    (card,) = cards.iterdir()
    read = rhcard("read", card, "--keys", keys, "--json").json
    assert read["specification"] == specification


@pytest.mark.parametrize(("setting", "said"), [
    ("selection=file identifier", "SELECT DDF1: 6A82"),
    ("record_reading=one", "(15 differences): DDF1/EF05; DDF1/EF06;"),
])  # fmt: skip
def test_cards_that_answer_in_another_form_only_do_not_leave_the_bureau(
    tmp_path: Path, setting: str, said: str
) -> None:
    """A terminal would ask them in that form: a bureau's check does not."""
    keys, cards = key_file(tmp_path, protocol=1), tmp_path / "cards"
    made = ("emulator", "new", "--keys", keys, "--count", 1, "--out", cards, "--set", setting)
    assert rhcard(*made).code == 0
    batch = prepare(tmp_path, keys, 1)
    done = rhcard("issue", batch, "--cards", cards)
    assert (done.code, said in done.out) == (7, True)


def test_a_card_in_use_that_answers_in_another_form_only_is_found(tmp_path: Path) -> None:
    keys, cards = key_file(tmp_path, protocol=1), tmp_path / "cards"
    batch = prepare(tmp_path, keys, 1)
    assert rhcard("issue", batch, "--cards", cards, "--make-blanks").code == 0
    (path,) = cards.iterdir()
    for setting, said in (
        ({"selection": "file identifier"}, "SELECT DDF1: 6A82"),
        ({"record_reading": "one"}, "READ RECORD 1 in DDF1/EF05: 6A86"),
        ({"fci": "nothing"}, "its FCI has no C1 and C2"),
    ):
        with in_reader(path) as card:
            options = CardOptions.of_profile(RHCARD.having(setting))
            card.state.options = options.encode().ljust(OPTIONS_SIZE, b"\xff")
            card.memory.commit()
        done = rhcard("verify", batch, "--cards", cards)
        assert (done.code, said in done.out, "--profile" in done.out) == (6, True, False)
