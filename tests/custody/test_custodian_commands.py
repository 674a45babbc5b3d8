"""Custodians as people show and exchange them, with a key agent that runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.store.store_file import kept_beside, read_header
from personalize.custody.register import read_register, write_register
from tests.custody.bureaus import Bureau, running_bureau
from tests.custody.people import DAY, person, public
from tests.programs.rhcard import key_file, rhcard

ANN, BOB, CAI = PEOPLE = [person(name) for name in ("ann", "bob", "cai")]
DAN, EVE = (person(name) for name in ("dan", "eve"))
FINGERPRINT = DAN.key.operator.fingerprint


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    """Its custodians are ann, bob and cai; dan is in the register, and eve is not."""
    with running_bureau(tmp_path_factory.mktemp("bureau"), PEOPLE, [DAN]) as made:
        public(made.folder, EVE)
        yield made


def unlock(bureau: Bureau, *names: str) -> None:
    if AgentConnection(bureau.socket).call("status")["locked"]:
        done = bureau.run("agent", "unlock", *bureau.files(*names))
        assert done.code == 0, done.err


@pytest.fixture
def unlocked(bureau: Bureau) -> Bureau:
    unlock(bureau, "ann", "bob")
    return bureau


def exchange(bureau: Bureau, *names: str, by: tuple[str, ...] = ("ann", "bob")) -> list[object]:
    """The words of an exchange by public files."""
    words = [bureau.folder / f"{name}.json" for name in names]
    return ["keys", "custodians", *words, *bureau.files(*by)]


# --- refused: nothing changes -----------------------------------------------------------


@pytest.mark.parametrize(("names", "by", "code", "why"), [
    (("ann", "dan"), ("ann",), 9, "exchange-custodians needs 2 operators, and you named 1"),
    (("ann", "dan"), (), 9, "exchange-custodians needs 2 operators, and you named none"),
    (("ann", "dan"), ("ann", "ann"), 9, "operator ann is given twice"),
    (("ann", "dan"), ("ann", "dan"), 9, "dan is no custodian of this key store"),
    (("ann",), ("ann", "bob"), 9, "2 to 20 custodians, not 1"),
    (("ann", "ann"), ("ann", "bob"), 9, "ann is given twice"),
    ((), ("ann", "bob"), 2, "give the public files of all who are to open the store"),
    (("ann", "bob", "cai"), ("ann", "bob"), 9, "already: nothing would change"),
    (("ann", "eve"), ("ann", "bob"), 9, "there is no operator 'eve'"),
    (("ann", "none"), ("ann", "bob"), 9, "none.json: no such file"),
])  # fmt: skip
def test_what_is_not_right_is_one_line_and_changes_nothing(
    unlocked: Bureau, names: tuple[str, ...], by: tuple[str, ...], code: int, why: str
) -> None:
    before = unlocked.state()
    done = unlocked.run(*exchange(unlocked, *names, by=by))
    assert (done.code, done.out) == (code, "")
    assert why.lower() in done.err.lower() and "Traceback" not in done.err
    assert unlocked.state() == before


def test_another_key_of_a_person_than_the_register_has_is_refused(
    unlocked: Bureau, tmp_path: Path
) -> None:
    before = unlocked.state()
    other = public(tmp_path, person("dan"))
    done = unlocked.run(*exchange(unlocked, "ann"), other)
    assert done.code == 9 and f"has dan with the fingerprint {FINGERPRINT}" in done.err
    assert unlocked.state() == before


def test_who_was_retired_does_not_stay(unlocked: Bureau) -> None:
    path = unlocked.folder / "operators.json"
    registry, before = read_register(path), unlocked.state()
    write_register(path, registry.without("cai", DAY))
    try:
        shown = unlocked.run("keys", "custodians", "--socket", unlocked.socket)
        by_name = unlocked.run("keys", "custodians", "ann", "cai", "--register", path,
                               *unlocked.files("ann", "bob"))  # fmt: skip
        by_file = unlocked.run(*exchange(unlocked, "ann", "cai", "dan"))
    finally:
        write_register(path, registry)
    assert f"retired {DAY}" in shown.out
    assert by_name.code == by_file.code == 9
    assert "operator cai was retired" in by_name.err and "operator cai was retired" in by_file.err
    assert unlocked.state() == before


def test_a_locked_agent_and_none_say_so_before_anybody_types(unlocked: Bureau) -> None:
    unlocked.run("agent", "lock", "--socket", unlocked.socket)
    scripted = exchange(unlocked, "ann", "dan")
    words = [each for each in scripted if "passphrase" not in str(each)]
    done = unlocked.run(*words)
    assert done.code == 9 and "the key agent is locked" in done.err
    words[words.index(unlocked.socket)] = unlocked.folder / "none.sock"
    done = unlocked.run(*words)
    assert done.code == 9 and "no key agent runs there" in done.err


def test_a_store_is_named_to_show_it_only(unlocked: Bureau) -> None:
    done = unlocked.run(*exchange(unlocked, "ann", "dan"), "--keys", unlocked.store)
    assert done.code == 2 and "leave out --keys" in done.err


# --- at a terminal ----------------------------------------------------------------------


def test_both_see_what_they_sign_and_ctrl_c_at_a_prompt_changes_nothing(unlocked: Bureau) -> None:
    before = unlocked.state()
    words = exchange(unlocked, "ann", "bob", "dan")
    scripted = words.index("--operator-passphrase-file")
    typed = [*words[: scripted - 2], *unlocked.files("ann", "bob", scripted=False)[2:]]
    for stop in (0, 1):
        talk = unlocked.talk(*typed)
        talk.expect("ann: your passphrase: ")
        said = talk.before
        if stop:
            talk.sendline(ANN.passphrase)
            talk.expect("bob: your passphrase: ")
        talk.sendcontrol("c")
        code, rest = unlocked.ended(talk, "")
        assert code == 130 and "Traceback" not in rest
        assert "Custodians now: ann, bob, cai" in said
        assert [line.split() for line in said.splitlines() if FINGERPRINT in line] == [
            ["dan", FINGERPRINT, "new"]
        ]
        assert "No custodian any more: cai" in said
    assert unlocked.state() == before


# --- done -------------------------------------------------------------------------------


def test_custodians_are_shown_by_the_agent_and_by_the_file(bureau: Bureau) -> None:
    by_agent = bureau.run("keys", "custodians", "--socket", bureau.socket, "--json").json
    by_file = bureau.run("keys", "custodians", "--keys", bureau.store, "--register",
                         bureau.folder / "operators.json", "--json").json  # fmt: skip
    expected = [
        {"name": each.name, "fingerprint": each.key.operator.fingerprint, "state": "in office"}
        for each in PEOPLE
    ]
    assert by_agent == by_file == {"custodians": expected, "exit_code": 0}
    alone = bureau.run("keys", "custodians", "--keys", bureau.store)
    assert alone.code == 0 and "ann" in alone.out and "unknown" in alone.out
    table = bureau.run("keys", "custodians", "--socket", bureau.socket)
    assert ANN.key.operator.fingerprint in table.out and "in office" in table.out


def test_custodians_are_exchanged_and_the_new_ones_open_the_store(unlocked: Bureau) -> None:
    """The last two tests: they change the bureau."""
    before = read_header(unlocked.store)
    done = unlocked.run(*exchange(unlocked, "ann", "bob", "dan"), "--json")
    assert done.code == 0, done.err
    assert done.json == {
        "custodians": ["ann", "bob", "dan"], "receipt": 1, "keys": str(unlocked.store),
        "kept": str(kept_beside(unlocked.store)), "exit_code": 0,
    }  # fmt: skip
    after = read_header(unlocked.store)
    assert after.custodians == ("ann", "bob", "dan") and after.versions == before.versions
    assert read_header(kept_beside(unlocked.store)).custodians == before.custodians
    page = unlocked.run("keys", "receipt", 1, "--socket", unlocked.socket)
    assert f"  {'dan':<32}  {FINGERPRINT}" in page.out.splitlines()
    unlocked.run("agent", "lock", "--socket", unlocked.socket)
    gone = unlocked.run("agent", "unlock", *unlocked.files("ann", "cai"))
    assert gone.code == 9 and "cai is no custodian of this key store" in gone.err
    assert unlocked.run("agent", "unlock", *unlocked.files("dan", "bob")).code == 0


def test_people_are_named_by_the_register_too(bureau: Bureau) -> None:
    unlock(bureau, "ann", "bob")
    people = ("bob", "cai", "dan")
    assert set(read_header(bureau.store).custodians) == {"ann", "bob", "dan"}
    done = bureau.run("keys", "custodians", *people, "--register",
                      bureau.folder / "operators.json", *bureau.files("dan", "ann"))  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == f"{bureau.store}: two of bob, cai, dan open it now\n"
    assert f"The file of before is {bureau.store}.old" in done.err
    assert "Print the receipt: rhcard keys receipt 2" in done.err
    assert read_header(bureau.store).custodians == people


# --- new and migrate --------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Operators as `rhcard operator new` and `add` leave them, and a store of one passphrase."""
    key_file(tmp_path)
    for each in (ANN, BOB, CAI):
        public(tmp_path, each)
        rhcard("operator", "add", tmp_path / f"{each.name}.json", "--register", tmp_path / "r.json")
    return tmp_path


def test_a_store_is_made_for_and_given_to_names_in_the_register(desk: Path) -> None:
    words = ["--register", desk / "r.json", "--custodian", "ann", "--custodian", "cai"]
    done = rhcard("keys", "migrate", "--keys", desk / "keys.json", *words)
    assert done.code == 0 and "two of ann, cai open it now" in done.out
    done = rhcard("keys", "new", "--out", desk / "new.json", *words, passphrase=None)
    assert done.code == 0, done.err
    for name in ("keys.json", "new.json"):
        assert read_header(desk / name).custodian_keys == {
            each.name: each.key.operator.wrapping for each in (ANN, CAI)
        }


@pytest.mark.parametrize(("word", "why"), [
    ("cai", "operator cai was retired on"), ("dan", "there is no operator 'dan'"),
    ("ann.json", "ann.json: with --register, give the name of each custodian and not a file"),
    ("ann", "ann is given twice"),
])  # fmt: skip
def test_who_is_not_in_office_in_the_register_gets_no_store(
    desk: Path, word: str, why: str
) -> None:
    rhcard("operator", "retire", "cai", "--register", desk / "r.json")
    before = (desk / "keys.json").read_bytes()
    done = rhcard("keys", "migrate", "--keys", desk / "keys.json", "--register", desk / "r.json",
                  "--custodian", "ann", "--custodian", word)  # fmt: skip
    assert (done.code, why in done.err) == (9, True), done.err
    assert (desk / "keys.json").read_bytes() == before


def test_a_name_without_a_register_says_what_is_missing(desk: Path) -> None:
    done = rhcard("keys", "migrate", "--keys", desk / "keys.json", "--custodian", "ann",
                  "--custodian", "bob")  # fmt: skip
    assert (done.code, "To name people, give --register FILE" in done.err) == (9, True)


@pytest.mark.parametrize("words", [
    ("keys", "new", "--out", "x.json"), ("keys", "migrate", "--keys", "keys.json"),
    ("keys", "custodians"),
], ids=" ".join)  # fmt: skip
def test_a_register_without_names_is_an_error(desk: Path, words: tuple[str, ...]) -> None:
    """It must not make a store of one passphrase for somebody who thought of custodians."""
    done = rhcard(*words, "--register", desk / "r.json")
    assert (done.code, "--register is for names" in done.err) == (2, True)


def test_a_file_without_a_signing_key_is_no_custodian(desk: Path) -> None:
    """Such a person could never sign, so never unlock: the store would be closed for ever."""
    entry = json.loads((desk / "ann.json").read_text())
    (desk / "ann.json").write_text(json.dumps({n: entry[n] for n in ("name", "wrap_key")}))
    before = (desk / "keys.json").read_bytes()
    done = rhcard("keys", "migrate", "--keys", desk / "keys.json", "--custodian",
                  desk / "ann.json", "--custodian", desk / "bob.json")  # fmt: skip
    assert done.code == 9 and "`rhcard operator new` makes it" in done.err
    assert (desk / "keys.json").read_bytes() == before


def test_a_store_of_custodians_is_not_migrated_again(desk: Path) -> None:
    words = ["--register", desk / "r.json", "--custodian", "ann", "--custodian", "cai"]
    rhcard("keys", "migrate", "--keys", desk / "keys.json", *words)
    done = rhcard("keys", "migrate", "--keys", desk / "keys.json", *words)
    assert done.code == 9 and "`rhcard keys custodians`" in done.err
