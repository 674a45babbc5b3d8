"""rhcard issue: exit codes, resuming after a kill, and what it says."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cardlib.errors import StatusWordError
from cardlib.issuance.making import HostSession
from cardlib.keys.store import passphrase
from personalize.cli.exits import Exit
from personalize.cli.issue import Run
from personalize.cli.places import Place
from personalize.production.job import CardResult
from personalize.production.station import SUFFIX, alone_with
from personalize.register.states import CardState
from tests import ROOT
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.programs.rhcard import (
    IMPORT_MAIN,
    PASSPHRASE,
    Ran,
    key_file,
    prepare,
    ran,
    rhcard,
    saved,
    spawned,
)

COUNT = 3


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def batch(tmp_path: Path, keys: Path) -> Path:
    return prepare(tmp_path, keys, COUNT)


def issue(batch: Path, cards: Path, *more: object) -> Ran:
    return rhcard("issue", batch, "--cards", cards, "--make-blanks", *more)


def test_the_key_store_is_found_where_it_was(batch: Path, tmp_path: Path) -> None:
    done = issue(batch, tmp_path / "cards")
    assert (done.code, done.out) == (0, f"{COUNT} of {COUNT} cards active\n")
    assert "cards a minute" in done.err
    assert len(list((tmp_path / "cards").glob(f"*{SUFFIX}"))) == COUNT
    again = issue(batch, tmp_path / "cards")
    assert (again.code, again.out) == (0, f"{COUNT} of {COUNT} cards active, 0 of them now\n")


def test_the_next_command_can_be_pasted_even_when_names_have_blanks(
    tmp_path: Path, keys: Path
) -> None:
    secret = tmp_path / "pass phrase.txt"
    secret.write_text(PASSPHRASE, "utf-8")
    batch, cards = prepare(tmp_path, keys, 1, name="batch of May"), tmp_path / "Li's cards"
    done = issue(batch, cards, "--passphrase-file", secret)
    (line,) = [line for line in done.err.splitlines() if line.startswith("Next: ")]
    words = shlex.split(line.removeprefix("Next: "))
    assert words[:4] == ["rhcard", "verify", str(batch), "--cards"]
    assert rhcard(*words[1:], passphrase=None).code == 0


def test_the_figures_say_that_these_are_software_cards(batch: Path, tmp_path: Path) -> None:
    err = issue(batch, tmp_path / "cards").err
    assert "cards a minute: software cards on this computer. A real card takes about" in err


def test_cards_that_are_in_another_folder_are_not_good(batch: Path, tmp_path: Path) -> None:
    assert issue(batch, tmp_path / "cards").code == 0
    wrong = tmp_path / "wrong"
    done = issue(batch, wrong)
    assert (done.code, f"their cards are not in {wrong}" in done.err) == (7, True)
    assert "Next:" not in done.err
    assert not list(wrong.iterdir())
    report = issue(batch, wrong, "--json").json
    assert (len(report["not_in_folder"]), report["exit_code"]) == (COUNT, 7)
    assert "their cards are not in" in report["error"]
    assert issue(batch, tmp_path / "cards").code == 0


def test_a_card_file_that_was_renamed_is_still_there(batch: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    assert issue(batch, cards).code == 0
    for number, path in enumerate(sorted(cards.iterdir())):
        path.rename(cards / f"renamed {number}.card")
    assert issue(batch, cards).code == 0


def test_json_has_a_row_for_every_card(batch: Path, tmp_path: Path) -> None:
    done = issue(batch, tmp_path / "cards", "--json")
    report = done.json
    assert (report["active"], report["failed"], report["exit_code"]) == (COUNT, 0, 0)
    assert [row["state"] for row in report["cards"]] == ["active"] * COUNT
    assert report["figures"]["cards_made"] == COUNT
    assert {row["chip"] for row in report["cards"]} == {
        path.stem for path in (tmp_path / "cards").iterdir()
    }


def test_a_key_store_that_moved_is_named_on_the_command_line(
    batch: Path, tmp_path: Path, keys: Path
) -> None:
    moved = tmp_path / "moved.json"
    keys.rename(moved)
    try:
        done = issue(batch, tmp_path / "cards")
        assert (done.code, "--keys FILE" in done.err) == (9, True)
        done = issue(batch, tmp_path / "cards", "--keys", moved)
        assert (done.code, f" --keys {moved}" in done.err.partition("Next: ")[2]) == (0, True)
    finally:
        moved.rename(keys)


def test_another_key_store_is_a_key_problem(batch: Path, tmp_path: Path) -> None:
    other = key_file(tmp_path, name="other.json")
    done = issue(batch, tmp_path / "cards", "--keys", other)
    assert (done.code, "not the key store of this batch" in done.err) == (9, True)
    assert not (tmp_path / "cards").exists()


def test_a_wrong_passphrase_is_a_key_problem(batch: Path, tmp_path: Path) -> None:
    done = rhcard(
        "issue", batch, "--cards", tmp_path / "cards", "--make-blanks", passphrase="wrong"
    )
    assert (done.code, "wrong passphrase" in done.err) == (9, True)


def test_a_key_store_that_protects_its_passphrase_too_weakly_is_a_key_problem(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(passphrase.SCRYPT, "n", 2**17)
    done = issue(batch, tmp_path / "cards")
    assert (done.code, "too weakly" in done.err, "131072" in done.err) == (9, True, True)
    assert not (tmp_path / "cards").exists()


def test_public_keys_need_to_be_allowed(tmp_path: Path) -> None:
    batch = prepare(tmp_path, key_file(tmp_path, test=True), 1)
    done = issue(batch, tmp_path / "cards")
    assert (done.code, "--test-keys" in done.err) == (9, True)
    assert issue(batch, tmp_path / "cards", "--test-keys").code == 0


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_what_is_no_batch_is_bad_input(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "batch.json").write_text(content, "utf-8")
    done = issue(tmp_path, tmp_path / "cards")
    assert (done.code, str(tmp_path) in done.err) == (3, True)
    assert issue(tmp_path / "nowhere", tmp_path / "cards").code == 2


def test_a_damaged_record_is_bad_input(batch: Path, tmp_path: Path) -> None:
    records = bytearray((batch / "records.bin").read_bytes())
    records[-1] ^= 1
    (batch / "records.bin").write_bytes(records)
    done = issue(batch, tmp_path / "cards")
    assert (done.code, "record 3" in done.err) == (3, True)


def test_a_resident_with_a_card_already_is_a_conflict(
    batch: Path, tmp_path: Path, keys: Path
) -> None:
    assert issue(batch, tmp_path / "cards").code == 0
    again = prepare(tmp_path, keys, 1, name="again")
    done = issue(again, tmp_path / "cards", "--json")
    assert (done.code, done.json["exit_code"]) == (8, 8)
    assert "Nobody gets two cards" in done.json["error"]


def test_a_card_that_cannot_be_finished_is_7_and_may_be_given_up(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StatusWordError("ACTIVATE", 0x6581)

    cards = tmp_path / "cards"
    monkeypatch.setattr(HostSession, "activate", refused)
    done = issue(batch, cards)
    assert (done.code, done.out.splitlines()[-1]) == (
        7,
        f"0 of {COUNT} cards active, 0 of them now",
    )
    assert done.out.count("ACTIVATE: 6581 memory failure") == COUNT
    assert f"To look at a card: rhcard read CHIP --cards {cards}" in done.err
    monkeypatch.undo()
    lost = next(cards.iterdir())
    lost.unlink()
    done = issue(batch, cards, "--json")
    assert (done.code, done.json["failed"]) == (7, 1)
    (problem,) = [row["problem"] for row in done.json["cards"] if row["problem"]]
    assert f"--spoiled {lost.stem}" in problem
    assert issue(batch, cards, "--spoiled", lost.stem).code == 0
    assert rhcard("verify", batch, "--cards", cards).code == 0


def test_a_lost_journal_makes_no_second_cards(batch: Path, tmp_path: Path) -> None:
    assert issue(batch, tmp_path / "cards").code == 0
    (batch / "journal.sqlite").unlink()
    done = issue(batch, tmp_path / "other cards")
    assert (done.code, "there is a PIN file, but no journal" in done.err) == (8, True)
    assert not list((tmp_path / "other cards").glob("*"))


def test_an_active_card_without_a_pin_is_7_and_active(batch: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    assert issue(batch, cards).code == 0
    path = batch / "pins.sealed"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + lines[2])
    done = issue(batch, cards)
    last = f"{COUNT} of {COUNT} cards active, 0 of them now"
    assert (done.code, done.out.splitlines()[-1]) == (7, last)
    assert "the PIN of card 2 is missing or damaged" in done.out
    assert f"{path} line 2: this line is damaged" in done.err
    assert "--spoiled" not in done.out + done.err
    report = issue(batch, cards, "--json").json
    assert (report["active"], report["failed"], report["exit_code"]) == (COUNT, 1, 7)
    assert len(report["pin_file"]) == 1


def test_only_a_started_chip_can_be_given_up(batch: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    assert issue(batch, cards, "--spoiled", "xyz").code == 2
    assert issue(batch, cards, "--spoiled", "00" * 8).code == 8
    assert issue(batch, cards).code == 0
    active = next(cards.iterdir()).stem
    done = issue(batch, cards, "--spoiled", active)
    assert (done.code, "is active" in done.err) == (8, True)


def test_a_second_run_at_the_same_time_is_a_conflict(batch: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    first = spawned("issue", batch, "--cards", cards, "--make-blanks")
    second = spawned("issue", batch, "--cards", cards, "--make-blanks")
    outs = [process.communicate(timeout=60) for process in (first, second)]
    codes = [first.returncode, second.returncode]
    for code, (out, err) in zip(codes, outs, strict=True):
        assert code == 0 or (code == 8 and "at work in" in err), (out, err)
    assert 0 in codes
    assert rhcard("verify", batch, "--cards", cards).out == f"{COUNT} of {COUNT} verified\n"
    assert len(list(cards.glob(f"*{SUFFIX}"))) == COUNT


def test_a_locked_batch_is_a_conflict(batch: Path, tmp_path: Path) -> None:
    with alone_with(batch):
        done = ran("issue", batch, "--cards", tmp_path / "cards", "--make-blanks")
    assert (done.code, "at work in" in done.err) == (8, True)


def test_a_killed_process_is_resumed_by_the_same_command(tmp_path: Path, keys: Path) -> None:
    """SIGKILL to the real thing, later and later, until a run gets through."""
    count = 12
    batch, cards = prepare(tmp_path, keys, count, name="killed"), tmp_path / "cards"
    kills, delay = 0, 0.0
    while True:
        process = spawned("issue", batch, "--cards", cards, "--make-blanks")
        wait_for_cards(process, cards, 1 + kills * 2)
        time.sleep(delay)
        process.kill()
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills, delay = kills + 1, (delay + 0.013) % 0.05
        assert kills < 50
    assert kills >= 3
    assert rhcard("verify", batch, "--cards", cards).out == f"{count} of {count} verified\n"
    assert len(list(cards.glob(f"*{SUFFIX}"))) == count


def wait_for_cards(process: "subprocess.Popen[str]", cards: Path, count: int) -> None:
    while process.poll() is None and len(list(cards.glob(f"*{SUFFIX}"))) < count:
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("times", "state"),
    [(1, "2 of 3 cards are active, 0 begun"), (2, "1 of 3 cards are active, 1 begun")],
)
@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_lets_the_card_in_hand_be_finished_and_a_second_one_does_not(
    batch: Path, tmp_path: Path, sent: str, code: int, times: int, state: str
) -> None:
    cards = tmp_path / "cards"
    program = (
        "import os, signal\n"
        "from personalize.production.journal import Journal, CardState\n"
        "real = Journal.advance\n"
        "def advance(self, number, progress):\n"
        "    if (number, progress) == (2, CardState.ACTIVATING):\n"
        f"        for _ in range({times}): os.kill(os.getpid(), signal.{sent})\n"
        "    real(self, number, progress)\n"
        "Journal.advance = advance\n"
        f"{IMPORT_MAIN}"
        f"main(['issue', {str(batch)!r}, '--cards', {str(cards)!r}, '--make-blanks'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "RHCARD_PASSPHRASE": PASSPHRASE},
    )  # fmt: skip
    assert done.returncode == code
    assert f"stopped: {state}" in done.stderr
    assert "Traceback" not in done.stderr
    assert issue(batch, cards).code == 0


def test_a_blank_of_other_transport_keys_says_whose_and_what_to_do(
    batch: Path, tmp_path: Path
) -> None:
    cards, other = tmp_path / "cards", key_file(tmp_path, name="other.json")
    cards.mkdir()
    rhcard("emulator", "new", "--out", cards / "0.card")
    rhcard("emulator", "new", "--out", cards / "1.card", "--keys", other)
    done = issue(batch, cards)
    published, foreign, *_ = done.err.splitlines()
    assert published.startswith("0.card was not used: it has the published test keys")
    assert "Take it away" in published
    assert foreign.startswith("1.card was not used: its transport keys are not those of this key")
    assert (done.code, done.out) == (0, f"{COUNT} of {COUNT} cards active\n")
    for name in ("0.card", "1.card"):
        shown = rhcard("emulator", "show", cards / name, "--json").json
        assert [each["tries"] for each in shown["key_sets"]] == [15]


# --- where the cards are ------------------------------------------------------------------


def test_blanks_are_made_only_when_that_is_asked_for(batch: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    done = rhcard("issue", batch, "--cards", cards)
    assert (done.code, done.out) == (7, f"0 of {COUNT} cards active, 0 of them now\n")
    assert f"3 blank cards are lacking in {cards}. Put blank cards there, or add" in done.err
    assert "--make-blanks" in done.err and not list(cards.iterdir())
    assert rhcard("issue", batch, "--cards", cards, "--json").json["exit_code"] == 7
    assert issue(batch, cards).code == 0


@pytest.mark.parametrize("makes_blanks", [True, False])
def test_make_blanks_is_advised_only_where_the_keys_can_make_them(makes_blanks: bool) -> None:
    without = CardResult(1, 2, None, CardState.PREPARED, "no blank card")
    run = Run(Path("batch"), Place(Path("cards")), [without], [], [], (), {}, makes_blanks)
    assert "1 blank card is lacking in cards. Put blank cards there" in run.error
    assert ("--make-blanks" in run.error) == makes_blanks


def test_a_folder_with_some_blanks_says_how_many_are_lacking(
    batch: Path, tmp_path: Path, keys: Path
) -> None:
    cards = tmp_path / "cards"
    assert rhcard("emulator", "new", "--out", cards, "--count", 2, "--keys", keys).code == 0
    done = rhcard("issue", batch, "--cards", cards)
    assert (done.code, done.out) == (7, f"2 of {COUNT} cards active, 2 of them now\n")
    assert f"1 blank card is lacking in {cards}" in done.err


@pytest.mark.parametrize("command", ["issue", "verify"])
def test_no_reader_is_taken_that_nobody_named(batch: Path, command: str) -> None:
    done = rhcard(command, batch, passphrase=None)
    assert done.code == 2
    assert "Give --reader NAME|NUMBER for each reader; for software cards --card FILE" in done.err


@pytest.mark.parametrize("command", ["issue", "verify"])
def test_folder_and_reader_together_are_refused(batch: Path, tmp_path: Path, command: str) -> None:
    done = rhcard(command, batch, "--cards", tmp_path, "--reader", 0, passphrase=None)
    assert (done.code, "give only one of --reader, --card and --cards" in done.err) == (2, True)


def test_blanks_cannot_be_made_in_a_reader(batch: Path) -> None:
    done = rhcard("issue", batch, "--reader", 0, "--make-blanks", passphrase=None)
    assert (done.code, "--make-blanks makes software cards" in done.err) == (2, True)


@pytest.mark.parametrize("kind", DEPLOYED)
def test_a_deployed_card_in_the_folder_is_named_and_left_as_it_is(
    tmp_path: Path, keys: Path, kind: str
) -> None:
    """Neither `issue` nor `verify` takes a profile: they are for cards of our specification."""
    batch, cards = prepare(tmp_path, keys, 2), tmp_path / "cards"
    cards.mkdir()
    theirs = saved(card_of_profile(DEPLOYED[kind]), cards / "0 theirs.card")
    before = theirs.read_bytes()
    done = rhcard("issue", batch, "--cards", cards, "--make-blanks")
    assert done.code == Exit.GOOD
    said = "0 theirs.card was not used: it is a deployed card, which somebody else issued."
    assert said in done.err and "Hand it back" in done.err
    min(path for path in cards.iterdir() if path != theirs).unlink()
    verified = rhcard("verify", batch, "--cards", cards)
    assert verified.code == Exit.VERIFICATION_FAILED and said in verified.out
    assert theirs.read_bytes() == before
    for command in ("issue", "verify"):
        text = " ".join(rhcard(command, "--help").out.split())
        assert "Only cards of our own specification are" in text and "--profile" not in text
