"""rhcard sam, and terminals that have a SAM and no key store: --sam READER|FILE."""

import os
import sys
from pathlib import Path

import pexpect
import pytest

from cardlib.emulator import CardOptions
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.errors import CardKeyError
from cardlib.layout.card_profile import FIELD
from cardlib.layout.sam_roles import SAM_ROLES
from personalize.cli.exits import Exit
from personalize.production.sam_issue import LocalSamMaker
from tests import ROOT
from tests.cards.sams import sam_of
from tests.cards.v2_cards import card_of
from tests.programs.rhcard import IMPORT_MAIN, Ran, key_file, prepare, rhcard, saved

PIN = "802143"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return key_file(tmp_path, test=True)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return saved(card_of(), tmp_path / "one.card")


@pytest.fixture(autouse=True)
def pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHCARD_SAM_PIN", PIN)


def issued(keys: Path, roles: str, *more: object, name: str = "my.sam") -> Path:
    """A SAM file by rhcard sam issue, with the PIN of the environment."""
    path, digits = keys.parent / name, keys.parent / "pin.txt"
    digits.write_text(PIN + "\n")
    done = rhcard(
        "sam", "issue", "--roles", roles, "--keys", keys, "--out", path, "--sam-pin-file", digits,
        "--test-keys", *more,
    )  # fmt: skip
    assert done.code == 0, done.err
    return path


def states(done: Ran) -> dict[str, str]:
    """The state of the first field of each file that was read."""
    return {each["file"]: each["state"] for each in reversed(done.json["fields"])}


# --- a terminal with only a SAM -----------------------------------------------------------


def test_a_terminal_with_only_a_sam_reads_the_emergency_data(keys: Path, card: Path) -> None:
    sam = issued(keys, "emergency")
    done = rhcard("read", card, "--sam", sam, "--emergency", "--json", passphrase=None)
    assert done.code == 0, done.err
    blood = next(each for each in done.json["fields"] if each["field"] == "abo_blood_group")
    assert (blood["state"], blood["value"]) == ("value", "4")
    assert "denied" not in states(done).values()


def test_what_the_sam_has_no_key_for_is_denied_with_the_keys_name(keys: Path, card: Path) -> None:
    sam = issued(keys, "emergency")
    done = rhcard("read", card, "--sam", sam, "--json")
    holder = next(each for each in done.json["fields"] if each["file"] == "DDF1/EF06")
    assert (done.code, holder["state"], holder["detail"]) == (0, "denied", "RK1_DDF1")
    assert states(done)["DDF1/DF02/EF07"] == "value"
    told = rhcard("read", card, "--sam", sam)
    assert "The SAM does not hold the keys of the denied fields" in told.err


@pytest.mark.parametrize("role", SAM_ROLES)
def test_a_sam_of_each_role_reads_a_card(keys: Path, card: Path, role: str) -> None:
    assert rhcard("read", card, "--sam", issued(keys, role), "--json").code == 0


def test_the_terminal_stops_at_the_usage_limit(keys: Path, card: Path) -> None:
    sam = issued(keys, "emergency", "--limit", 4)
    codes = [rhcard("read", card, "--sam", sam, "--emergency").code for _ in range(2)]
    assert codes == [0, 0]
    done = rhcard("read", card, "--sam", sam, "--emergency")
    assert done.code == Exit.KEY_PROBLEM
    assert "80 DE of IRK_DDF1, version 1: 6984" in done.err
    assert "usage limit of the SAM is reached" in done.err
    assert rhcard("sam", "show", sam, "--json").json["uses_left"] == 0


def test_the_terminal_stops_at_the_pin(
    keys: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = issued(keys, "emergency")
    monkeypatch.setenv("RHCARD_SAM_PIN", "246801")
    for left in ("2 tries left", "1 try left", "0 tries left"):
        done = rhcard("read", card, "--sam", sam, "--emergency")
        assert (done.code, left in done.err) == (Exit.KEY_PROBLEM, True)
    monkeypatch.setenv("RHCARD_SAM_PIN", PIN)
    done = rhcard("read", card, "--sam", sam, "--emergency")
    assert (done.code, "blocked. Its issuer must load it again" in done.err) == (9, True)
    assert PIN not in done.err + done.out


@pytest.mark.parametrize("how", ["file", "prompt"])
def test_the_pin_comes_from_a_file_or_a_prompt(
    keys: Path, card: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = issued(keys, "emergency")
    monkeypatch.delenv("RHCARD_SAM_PIN")
    words = ("read", card, "--sam", sam, "--emergency", "--json")
    if how == "file":
        assert rhcard(*words, "--sam-pin-file", keys.parent / "pin.txt").code == 0
        return
    program = ["-c", f"{IMPORT_MAIN}main()", *map(str, words)]
    terminal = pexpect.spawn(sys.executable, program, env={**os.environ, "PYTHONPATH": str(ROOT)})
    terminal.expect("PIN of the SAM: ")
    terminal.sendline(PIN)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert PIN.encode() not in terminal.before


def test_without_a_pin_it_says_where_one_is_taken_from(
    keys: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = issued(keys, "emergency")
    monkeypatch.delenv("RHCARD_SAM_PIN")
    done = rhcard("read", card, "--sam", sam)
    assert (done.code, "set RHCARD_SAM_PIN or give --sam-pin-file FILE" in done.err) == (9, True)
    monkeypatch.setenv("RHCARD_SAM_PIN", "12")
    done = rhcard("read", card, "--sam", sam)
    assert (done.code, "the PIN of a SAM has 6 digits" in done.err) == (9, True)


def test_a_script_authenticates_with_the_sam(keys: Path, card: Path) -> None:
    words = ("apdu", "run", "read_emergency_data", "--card", card)
    done = rhcard(*words, "--sam", issued(keys, "emergency"))
    assert done.code == 0, done.err
    other = issued(keys, "bank", name="bank.sam")
    done = rhcard(*words, "--sam", other)
    assert (done.code, "RK1_DF02 is needed, but this SAM does not hold it" in done.err) == (9, True)


def test_sam_and_keys_together_are_refused(keys: Path, card: Path) -> None:
    done = rhcard("read", card, "--sam", "my.sam", "--keys", keys)
    assert (done.code, "give one of --sam and --keys" in done.err) == (2, True)


@pytest.mark.parametrize("choice", ["gone.sam", "./gone", "."])
def test_a_sam_that_is_not_there_is_named(card: Path, choice: str) -> None:
    done = rhcard("read", card, "--sam", choice)
    assert (done.code, f"{choice}: there is no such SAM" in done.err) == (Exit.NO_CARD, True)


def test_a_deployed_terminal_reads_with_profile_field(tmp_path: Path, keys: Path) -> None:
    """A SAM that says nothing, with a BCD PIN; and a card that says nothing."""
    card = saved(card_of(protocol=1, options=CardOptions.of_profile(FIELD)), tmp_path / "f.card")
    sam = tmp_path / "f.sam"
    plan = sam_of(roles=("emergency",), pin=PIN, pin_form="BCD", meaning_of_0="last authenticated")
    plan.save(sam)
    plan.close()
    done = rhcard("read", card, "--sam", sam, "--profile", "field", "--json")
    assert done.code == 0, done.err
    found = states(done)
    assert (found["DDF1/DF02/EF07"], found["DDF1/EF06"]) == ("value", "denied")
    done = rhcard("read", card, "--sam", sam, "--json")
    assert (done.code, "sam_pin" in done.json["error"]) == (9, True)


# --- verify -------------------------------------------------------------------------------


def test_a_batch_is_verified_with_a_sam_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    keys = key_file(tmp_path, test=True)
    batch, cards = prepare(tmp_path, keys, 2), tmp_path / "cards"
    made = rhcard("issue", batch, "--cards", cards, "--make-blanks", "--test-keys")
    assert made.code == 0, made.err
    every = ",".join(SAM_ROLES)
    for roles, missing in ((every, set()), ("verification", {"UK1_DF02"})):
        sam = issued(keys, roles, name=f"{len(roles)}.sam")
        done = rhcard("verify", batch, "--cards", cards, "--sam", sam, "--json")
        assert (done.code, done.json["verified"]) == (0, 2), done.out
        (not_held,) = {tuple(each["keys_not_held"]) for each in done.json["cards"]}
        assert set(not_held) >= missing and bool(not_held) == bool(missing)
    emergency = issued(keys, "emergency", name="e.sam")
    done = rhcard("verify", batch, "--cards", cards, "--sam", emergency)
    assert (done.code, done.out) == (0, "2 of 2 verified\n")
    assert "keys that the SAM does not hold (" in done.err
    assert "RK1_DDF1" in done.err


# --- making SAMs --------------------------------------------------------------------------


def test_a_random_pin_is_printed_once_and_opens_the_sam(
    keys: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = keys.parent / "my.sam"
    words = ("sam", "issue", "--roles", "emergency", "--keys", keys, "--test-keys")
    done = rhcard(*words, "--out", sam, "--json")
    monkeypatch.setenv("RHCARD_SAM_PIN", done.json["pin"])
    assert rhcard("read", card, "--sam", sam, "--emergency").code == 0
    done = rhcard(*words, "--out", keys.parent / "two.sam")
    assert done.out.splitlines()[1].startswith("PIN ")


@pytest.mark.parametrize(("more", "code", "said"), [
    (("--roles", "cook"), 2, "there is no role 'cook': use emergency, "),
    (("--roles", ""), 2, "there is no role"),
    (("--roles", "bank", "--limit", "0"), 2, "--limit"),
    (("--roles", "bank", "--renew"), 2, "--renew is for a SAM that there is"),
    (("--roles", "bank", "--sam", "0"), 2, "give one of --out FILE"),
])  # fmt: skip
def test_what_is_wrong_on_the_command_line_is_said_and_nothing_is_made(
    keys: Path, more: tuple[str, ...], code: int, said: str
) -> None:
    out = keys.parent / "new.sam"
    done = rhcard("sam", "issue", "--keys", keys, "--out", out, "--test-keys", *more)
    assert (done.code, said in done.err) == (code, True), done.err
    assert not out.exists()


def test_test_keys_and_trivial_pins_need_the_word(tmp_path: Path) -> None:
    test, own = key_file(tmp_path, test=True), key_file(tmp_path, name="own.json")
    pin, out = tmp_path / "trivial.txt", tmp_path / "new.sam"
    pin.write_text("123456\n")
    words = ("sam", "issue", "--roles", "bank", "--out", out)
    done = rhcard(*words, "--keys", test)
    assert (done.code, "add --test-keys" in done.err) == (9, True)
    done = rhcard(*words, "--keys", own, "--sam-pin-file", pin)
    assert (done.code, "this PIN is easy to guess" in done.err) == (9, True)
    assert not out.exists()
    assert rhcard(*words, "--keys", own).code == 0


def test_a_sam_gets_every_version_of_a_rotated_store_and_reads_both_cards(tmp_path: Path) -> None:
    keys = key_file(tmp_path)
    blank = ("emulator", "new", "--keys", keys, "--out")
    assert rhcard(*blank, tmp_path / "b.card").code == 0
    batch = prepare(tmp_path, keys, 1)
    assert rhcard("keys", "rotate", "--keys", keys).code == 0
    later = prepare(tmp_path, keys, 1, skip=1, name="later")
    for folder, cards in ((batch, "old"), (later, "new")):
        made = rhcard("issue", folder, "--cards", tmp_path / cards, "--make-blanks")
        assert made.code == 0, made.err
    sam = issued(keys, "emergency")
    held = rhcard("sam", "show", sam, "--json").json["key_sets"]
    assert [each["key_version"] for each in held] == [1, 2]
    for cards in ("old", "new"):
        (card,) = (tmp_path / cards).iterdir()
        done = rhcard("read", card, "--sam", sam, "--emergency", "--json")
        assert (done.code, "denied" in states(done).values()) == (0, False)


def test_with_the_key_agent_nobody_loads_a_sam_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHCARD_AGENT", "/run/rhcard/agent")
    done = rhcard("sam", "issue", "--roles", "bank", "--out", tmp_path / "a.sam")
    assert (done.code, "load-sam needs 2 operators, and you named none" in done.err) == (9, True)
    assert not (tmp_path / "a.sam").exists()


def test_operators_have_no_effect_with_a_key_store(keys: Path) -> None:
    done = rhcard(
        "sam", "issue", "--roles", "bank", "--keys", keys, "--out", keys.parent / "a.sam",
        "--operator", "ann.op",
    )  # fmt: skip
    assert (done.code, "they have no effect with a key store" in done.err) == (2, True)


def test_keys_that_nobody_gives_out_cannot_be_loaded() -> None:
    class Token:
        """Root keys that nobody can wrap."""

        is_test = False

    with pytest.raises(CardKeyError, match="gives out no root key, also not encrypted"):
        LocalSamMaker([Token()])  # type: ignore[list-item]


def test_a_blank_sam_is_loaded_once_and_renewed_when_told(keys: Path) -> None:
    sam = keys.parent / "b.sam"
    assert rhcard("sam", "blank", "--out", sam).code == 0
    words = ("sam", "issue", "--keys", keys, "--sam", sam, "--test-keys", "--roles")
    assert rhcard("sam", "show", sam).code == 9
    assert rhcard(*words, "emergency", "--limit", 5).code == 0
    done = rhcard(*words, "bank")
    assert (done.code, "this SAM is loaded already: with --renew" in done.err) == (9, True)
    assert rhcard(*words, "bank", "--renew").code == 0
    shown = rhcard("sam", "show", sam, "--json").json
    assert shown["uses_left"] is None
    assert "UK1_DF04" in shown["key_sets"][0]["keys"]
    assert "RK1_DF02" not in shown["key_sets"][0]["keys"]


def test_a_resident_card_and_a_foreign_blank_are_not_loaded(keys: Path, card: Path) -> None:
    words = ("sam", "issue", "--keys", keys, "--test-keys", "--roles", "bank", "--sam")
    done = rhcard(*words, card)
    assert (done.code, "not the file of a SAM" in done.err) == (Exit.NO_CARD, True)
    other, foreign = key_file(keys.parent, name="other.json"), keys.parent / "foreign.sam"
    assert rhcard("sam", "blank", "--keys", other, "--out", foreign).code == 0
    done = rhcard(*words, foreign)
    assert (done.code, "SCP03" in done.err or "keys" in done.err) == (Exit.REFUSED, True), done.err
    opened = SoftwareSam.open(foreign)
    assert not opened.state.is_personalized
    opened.close()


@pytest.mark.parametrize("words", [("read",), ("emulator", "show"), ("emulator", "keys")])
def test_a_sam_where_a_card_is_wanted_is_named(keys: Path, words: tuple[str, ...]) -> None:
    more = ("--test-keys",) if words[-1] == "keys" else ()
    done = rhcard(*words, issued(keys, "bank"), *more)
    assert (done.code, "this is the file of a SAM, not of a card" in done.err) == (4, True)


@pytest.mark.parametrize("option", ["--trace", "--fault"])
def test_a_sam_gets_no_trace_and_no_faults(keys: Path, option: str) -> None:
    value = "lost:apdu=9" if option == "--fault" else keys.parent / "trace"
    done = rhcard("emulator", "run", issued(keys, "bank"), option, value)
    assert (done.code, "for cards only, not for a SAM" in done.err) == (2, True)


def test_the_roles_are_listed() -> None:
    rows = rhcard("sam", "roles", "--json").json["roles"]
    assert {row["role"]: row["keys"] for row in rows} == {
        role.name: list(role.keys) for role in SAM_ROLES.values()
    }
    assert "reads the emergency data and nothing else" in rhcard("sam", "roles").out
