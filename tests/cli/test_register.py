"""--database: cards are recorded in the bureau's register, and no resident gets two."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from personalize.cli.bureau_choice import chosen_bureau
from personalize.cli.context import Context
from personalize.cli.exits import Exit
from personalize.production.bookkeeping import MARK
from tests.programs.rhcard import Ran, key_file, prepare, rhcard

COUNT = 2
ONE_OF_TWO = "1 of 2 cards active, 1 of them now\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def stations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stations' own files."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "rhcard" / "stations"


@pytest.fixture
def batch(tmp_path: Path, keys: Path) -> Path:
    return prepare(tmp_path, keys, COUNT)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "bureau.sqlite"


@pytest.fixture
def issued(batch: Path, tmp_path: Path, database: Path) -> Path:
    """A batch whose cards are active, in the register."""
    done = issue(batch, tmp_path / "cards", database)
    assert (done.code, done.out) == (0, f"{COUNT} of {COUNT} cards active\n"), done.err
    return batch


def issue(batch: Path, cards: Path, database: object = None, *more: object) -> Ran:
    where = () if database is None else ("--database", database)
    return rhcard("issue", batch, "--cards", cards, "--make-blanks", *where, *more)


def chips_in(cards: Path) -> list[str]:
    return sorted(path.stem for path in cards.glob("*.card"))


def in_order(database: object, *more: object) -> bool:
    done = rhcard("journal", "verify", "--database", database, "--json", *more)
    assert done.code == (Exit.JOURNAL_CONFLICT if done.json["faults"] else Exit.GOOD)
    return not done.json["faults"]


# --- the way of a batch ---------------------------------------------------------------


def test_a_batch_goes_through_the_register(issued: Path, database: Path, tmp_path: Path) -> None:
    cards, where = tmp_path / "cards", ("--database", database)
    assert not list(issued.glob("journal.sqlite*")) + list(issued.glob("pins.sealed"))
    again = issue(issued, cards, database)
    assert (again.code, again.out) == (0, f"{COUNT} of {COUNT} cards active, 0 of them now\n")
    assert rhcard("verify", issued, "--cards", cards, *where).out == "2 of 2 verified\n"
    letters = rhcard("pins", issued, *where, "--json").json["pins"]
    assert sorted(each["chip"] for each in letters) == chips_in(cards)
    assert all(len(each["pin"]) == 6 for each in letters)


def test_the_next_command_names_the_database(batch: Path, tmp_path: Path, database: Path) -> None:
    said = issue(batch, tmp_path / "cards", database).err
    assert f"--database {database}" in said.partition("Next: ")[2]


def test_the_whole_way_in_postgresql(
    batch: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database_url)
    assert parts.password
    monkeypatch.setenv("PGPASSWORD", parts.password)
    database = f"postgresql://{parts.username}@{parts.hostname}:{parts.port}{parts.path}"
    cards, where = tmp_path / "cards", ("--database", database)
    assert issue(batch, cards, database).code == 0
    assert rhcard("verify", batch, "--cards", cards, *where).code == 0
    assert len(rhcard("pins", batch, *where, "--json").json["pins"]) == COUNT
    assert rhcard("status", *where, "--json").json["chips"] == {"used": COUNT}
    assert in_order(database)


# --- one resident, one card -----------------------------------------------------------


def test_a_resident_in_two_lists_gets_one_card(
    issued: Path, tmp_path: Path, keys: Path, database: Path
) -> None:
    """The second list has a resident of the first one, and a new one."""
    second = prepare(tmp_path, keys, 2, skip=1, name="batch-2")
    done = issue(second, tmp_path / "cards-2", database)
    assert (done.code, done.out) == (
        Exit.FINISHED_WITH_FAILURES,
        ONE_OF_TWO,
    )
    (theirs,) = [chip for chip in chips_in(tmp_path / "cards") if chip in done.err]
    assert f"chip {theirs}" in done.err
    assert len(chips_in(tmp_path / "cards-2")) == 1
    assert issue(second, tmp_path / "cards-2", database, "--json").json["active"] == 1


def test_a_copy_of_the_folder_makes_no_second_card(
    batch: Path, tmp_path: Path, database: Path
) -> None:
    shutil.copytree(batch, tmp_path / "copy")
    assert issue(batch, tmp_path / "cards", database).code == 0
    elsewhere = issue(tmp_path / "copy", tmp_path / "cards-2", database, "--station", "desk-2")
    assert (elsewhere.code, elsewhere.out) == (0, "2 of 2 cards active, 0 of them now\n")
    assert chips_in(tmp_path / "cards-2") == []


def test_batches_before_and_after_a_rotation_are_in_one_register(
    tmp_path: Path, database: Path
) -> None:
    keys = key_file(tmp_path, name="rotated.json")
    old = prepare(tmp_path, keys, 2)
    assert issue(old, tmp_path / "cards", database).code == 0
    assert rhcard("keys", "rotate", "--keys", keys).code == 0
    new = prepare(tmp_path, keys, 2, skip=1, name="batch-2")
    done = issue(new, tmp_path / "cards-2", database)
    assert (done.code, done.out) == (
        Exit.FINISHED_WITH_FAILURES,
        ONE_OF_TWO,
    )
    where = ("--database", database)
    assert (
        rhcard("verify", new, "--cards", tmp_path / "cards-2", *where, "--json").json["verified"]
        == 1
    )
    assert len(rhcard("pins", new, *where, "--json").json["pins"]) == 1
    versions = [each["key_version"] for each in rhcard("status", *where, "--json").json["batches"]]
    assert versions == [1, 2]


def test_a_register_of_another_issuer_is_refused(
    issued: Path, tmp_path: Path, database: Path
) -> None:
    other = prepare(tmp_path, key_file(tmp_path, name="other.json"), 1, name="batch-2")
    done = issue(other, tmp_path / "cards-2", database)
    assert (done.code, "the register is of another issuer" in done.err) == (9, True)
    assert chips_in(tmp_path / "cards-2") == []


# --- a batch is in one place ----------------------------------------------------------


@pytest.mark.parametrize("command", ["issue", "verify", "pins"])
def test_a_batch_of_the_register_needs_its_register(
    command: str, issued: Path, tmp_path: Path
) -> None:
    place = () if command == "pins" else ("--cards", tmp_path / "cards")
    done = rhcard(command, issued, *place)
    assert done.code == Exit.JOURNAL_CONFLICT
    assert "was entered in the bureau's register" in done.err
    assert "--database" in done.err
    assert not list(issued.glob("journal.sqlite*"))


def test_a_batch_of_the_register_is_not_entered_in_another_one(
    issued: Path, tmp_path: Path
) -> None:
    done = issue(issued, tmp_path / "cards", tmp_path / "other.sqlite")
    assert done.code == Exit.JOURNAL_CONFLICT
    assert "was entered in another register" in done.err
    known = rhcard("status", "--database", tmp_path / "other.sqlite", "--json").json
    assert known["batches"] == []


def test_a_damaged_mark_does_not_free_a_batch(issued: Path, tmp_path: Path) -> None:
    (issued / MARK).write_bytes(b"\xff{")
    done = issue(issued, tmp_path / "cards")
    assert (done.code, f"{MARK} is damaged" in done.err) == (Exit.JOURNAL_CONFLICT, True)


@pytest.mark.parametrize("command", ["issue", "verify", "pins"])
def test_a_batch_with_a_journal_of_its_own_is_finished_without_a_register(
    command: str, batch: Path, tmp_path: Path, database: Path, keys: Path
) -> None:
    assert issue(batch, tmp_path / "cards").code == 0
    assert issue(
        prepare(tmp_path, keys, 1, skip=5, name="batch-2"), tmp_path / "cards-2", database
    ).code == 0  # fmt: skip
    place = () if command == "pins" else ("--cards", tmp_path / "cards")
    done = rhcard(command, batch, *place, "--database", database)
    assert done.code == Exit.JOURNAL_CONFLICT
    assert "has a journal of its own" in done.err


# --- which register -------------------------------------------------------------------


def test_cards_for_residents_need_a_register(tmp_path: Path) -> None:
    real = LocalIssuer(KeyStore(new_roots(2, Cipher.SM4)))
    with pytest.raises(CardKeyError, match="Give --database FILE or --database postgresql://"):
        chosen_bureau(Context(), real, for_residents=True)
    assert chosen_bureau(Context(), real) is None
    assert (
        chosen_bureau(Context(), LocalIssuer(KeyStore(public_test_roots(2))), for_residents=True)
        is None
    )
    named = Context()
    named.database = str(tmp_path / "bureau.sqlite")
    bureau = chosen_bureau(named, real, for_residents=True)
    assert bureau is not None
    assert bureau.where == named.database


@pytest.mark.parametrize(
    "url", ["postgresql://me:tell-nobody@db/register", "postgresql://db/x?password=tell-nobody"]
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    url: str, batch: Path, tmp_path: Path
) -> None:
    done = issue(batch, tmp_path / "cards", url)
    assert (done.code, "PGPASSWORD" in done.err) == (Exit.USAGE, True)
    assert "tell-nobody" not in done.out + done.err


def test_register_and_station_come_from_the_configuration(
    batch: Path, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "rhcard.toml"
    config.write_text('database = "bureau.sqlite"\nstation = "window-3"\n', "utf-8")
    monkeypatch.setenv("RHCARD_CONFIG", str(config))
    assert issue(batch, tmp_path / "cards").code == 0
    assert database.is_file()
    (station,) = rhcard("status", "--json").json["stations"]
    assert (station["name"], station["in_work"]) == ("window-3", 0)


@pytest.mark.parametrize("words", [("status",), ("journal", "verify")], ids=" ".join)
def test_without_a_register_it_is_asked_which(words: tuple[str, ...]) -> None:
    done = rhcard(*words)
    assert (done.code, "which register?" in done.err) == (Exit.USAGE, True)


@pytest.mark.parametrize("words", [("status",), ("journal", "verify")], ids=" ".join)
def test_a_register_that_is_not_there_is_not_begun_by_looking(
    words: tuple[str, ...], database: Path
) -> None:
    done = rhcard(*words, "--database", database)
    assert (done.code, "there is no register yet" in done.err) == (Exit.JOURNAL_CONFLICT, True)
    assert not database.exists()


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "bureau.sqlite"
    wrong.write_bytes(b"no database, but a text" * 100)
    done = rhcard("status", "--database", wrong)
    assert (done.code, len(done.err.splitlines())) == (Exit.JOURNAL_CONFLICT, 1)
    assert "it cannot be used" in done.err


# --- status ---------------------------------------------------------------------------


def test_status_needs_no_key_and_knows_batch_station_and_chip(
    issued: Path, tmp_path: Path, database: Path
) -> None:
    where = ("--database", database)
    every = rhcard("status", *where, "--json", passphrase=None).json
    assert [(each["count"], each["states"]) for each in every["batches"]] == [(2, {"active": 2})]
    assert every["chips"] == {"used": 2}
    number = every["batches"][0]["batch"]
    for name in (issued, number):
        one = rhcard("status", name, *where, "--json", passphrase=None).json
        assert (one["batch"], one["cards"]) == (number, [])
    chip = chips_in(tmp_path / "cards")[0]
    (card,) = rhcard("status", chip.lower(), *where, "--json", passphrase=None).json["cards"]
    assert (card["batch"], card["attempt"], card["state"]) == (number, 1, "active")
    for words in ((), (issued,), (chip,)):
        said = rhcard("status", *words, *where, passphrase=None)
        assert (said.code, "active" in said.out or "used" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("0123456789ABCDEF", Exit.JOURNAL_CONFLICT, "does not know chip 0123456789ABCDEF"),
        ("0" * 32, Exit.JOURNAL_CONFLICT, "has no batch"),
        ("nonsense", Exit.BAD_INPUT, "is no folder of a batch, no number of one, and no chip"),
    ],
)
def test_status_says_what_it_does_not_know(
    what: str, code: Exit, said: str, issued: Path, database: Path
) -> None:
    done = rhcard("status", what, "--database", database)
    assert (done.code, said in done.err) == (code, True)


# --- the journal ----------------------------------------------------------------------


def test_a_checkpoint_is_sealed_and_finds_a_journal_that_was_cut(
    issued: Path, tmp_path: Path, database: Path, keys: Path
) -> None:
    point, where = tmp_path / "friday.json", ("--database", database)
    before = tmp_path / "before.sqlite"
    shutil.copy(database, before)
    more = prepare(tmp_path, keys, 1, skip=5, name="batch-2")
    assert issue(more, tmp_path / "cards", database).code == 0
    made = rhcard("journal", "checkpoint", *where, "--keys", keys, "--out", point, "--json").json
    assert (made["file"], made["checkpoint"]["number"]) == (str(point), 1)
    assert in_order(database, "--keys", keys, "--against", point)
    assert in_order(before, "--keys", keys)
    assert not in_order(before, "--keys", keys, "--against", point)


def test_a_checkpoint_that_was_changed_is_no_checkpoint(
    issued: Path, tmp_path: Path, database: Path, keys: Path
) -> None:
    point, where = tmp_path / "friday.json", ("--database", database)
    assert rhcard("journal", "checkpoint", *where, "--keys", keys, "--out", point).code == 0
    members = json.loads(point.read_text())
    members["checkpoint"]["at"] += 1
    point.write_text(json.dumps(members))
    done = rhcard("journal", "verify", *where, "--keys", keys, "--against", point)
    assert (done.code, "it was changed" in done.err) == (Exit.KEY_PROBLEM, True)


def test_a_checkpoint_needs_keys_and_takes_those_of_the_configuration(
    issued: Path, tmp_path: Path, database: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, where = tmp_path / "friday.json", ("--database", database)
    done = rhcard("journal", "checkpoint", *where, "--out", point)
    assert (done.code, "--keys FILE" in done.err) == (Exit.KEY_PROBLEM, True)
    assert not point.exists()
    monkeypatch.setenv("RHCARD_KEYS", str(keys))
    assert rhcard("journal", "checkpoint", *where, "--out", point).code == 0
    assert point.is_file()


def test_an_older_copy_is_refused_and_recover_mends_it(
    batch: Path, tmp_path: Path, keys: Path, database: Path, stations: Path
) -> None:
    first = prepare(tmp_path, keys, 1, skip=5, name="batch-2")
    assert issue(first, tmp_path / "cards", database).code == 0
    copy = tmp_path / "copy.sqlite"
    shutil.copy(database, copy)
    assert issue(batch, tmp_path / "cards", database).code == 0
    shutil.copy(copy, database)
    done = issue(batch, tmp_path / "cards", database)
    assert (done.code, "It may be an older copy" in done.err) == (Exit.JOURNAL_CONFLICT, True)
    mended = rhcard("journal", "recover", "--database", database, "--from", stations, "--json")
    assert (mended.code, mended.json["put_back"] > 0) == (0, True), mended.err
    again = issue(batch, tmp_path / "cards", database)
    assert (again.code, again.out) == (0, f"{COUNT} of {COUNT} cards active, 0 of them now\n")
    assert len(rhcard("pins", batch, "--database", database, "--json").json["pins"]) == COUNT
    assert in_order(database)
    nothing = rhcard("journal", "recover", "--database", database, "--from", stations)
    assert nothing.out.startswith("0 of ")


def test_a_copy_from_before_the_last_checkpoint_is_not_half_mended(
    issued: Path, tmp_path: Path, keys: Path, database: Path, stations: Path
) -> None:
    """Events from before the checkpoint are in the station's older file only."""
    copy, where = tmp_path / "copy.sqlite", ("--database", database)
    shutil.copy(database, copy)
    for skip, name in ((5, "batch-2"), (6, "batch-3")):
        more = prepare(tmp_path, keys, 1, skip=skip, name=name)
        assert issue(more, tmp_path / "cards", database).code == 0
        if name == "batch-2":
            point = tmp_path / "friday.json"
            assert rhcard("journal", "checkpoint", *where, "--keys", keys, "--out", point).code == 0
    shutil.copy(copy, database)
    (older,) = stations.glob("**/*@*.station")
    older.rename(tmp_path / older.name)
    done = rhcard("journal", "recover", *where, "--from", stations)
    assert done.code == Exit.JOURNAL_CONFLICT
    assert "add the station's older files" in done.err
    assert issue(issued, tmp_path / "cards", database).code == Exit.JOURNAL_CONFLICT
    assert in_order(database)
    (tmp_path / older.name).rename(older)
    assert rhcard("journal", "recover", *where, "--from", stations).code == 0
    assert issue(issued, tmp_path / "cards", database).code == 0
    assert in_order(database)


def test_recover_needs_a_station_s_file(issued: Path, tmp_path: Path, database: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = rhcard("journal", "recover", "--database", database, "--from", tmp_path / "empty")
    assert (done.code, "there is no station's own file" in done.err) == (Exit.BAD_INPUT, True)
