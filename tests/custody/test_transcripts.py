"""Ceremonies as people see them: the real commands at a terminal, with a key agent that runs.

Whatever goes wrong, and wherever somebody stops: clear words, an exit code, and nothing changed.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.store.custodians import opened_pair, pair_of
from cardlib.keys.store.store_file import open_with_data_key, read_header
from personalize.cli.failures import Stopped
from personalize.cli.keys_ceremony import to_its_end
from personalize.custody.ceremony import split
from personalize.custody.component import check_value
from personalize.custody.key_blocks import unwrapped
from personalize.preparation.batch import write_batch
from tests.cli.test_help import PATHS, examples, needs_people
from tests.custody.bureaus import Bureau, running_bureau
from tests.custody.people import person
from tests.preparation.test_batch import ISSUER, card, header

ANN, BOB, CAI = PEOPLE = [person(name) for name in ("ann", "bob", "cai")]
EVE = person("eve")
KEY = bytes.fromhex("8F0E1D2C3B4A59687786A5B4C3D2E1F0")
KCV = check_value("transport", Cipher.SM4, KEY)
FIRST, SECOND = split("transport", Cipher.SM4, KEY, [bytes(range(40, 56))])
OTHER_FIRST, OTHER_SECOND = split("transport", Cipher.SM4, KEY[::-1], [bytes(range(50, 66))])
DIALOGUE = (
    ("ann: your passphrase: ", ANN.passphrase),
    ("bob: your passphrase: ", BOB.passphrase),
    (r"ann: component 1 of 2 \(.*: ", FIRST.value.hex()),
    ("ann: its check value: ", FIRST.check_value),
    (r"bob: component 2 of 2 \(.*: ", SECOND.text()),
    (f"bob: is its check value {SECOND.check_value}.*: ", "y"),
    (f"ann: is {KCV} the check value that you expect.*: ", "y"),
    (f"bob: is {KCV} the check value that you expect.*: ", "y"),
)
"""Every prompt of an import, in order, with the right answer."""


CHIP = b"SAM" + bytes(4) + b"\x06"


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with running_bureau(tmp_path_factory.mktemp("bureau"), PEOPLE, [EVE], CHIP) as made:
        yield made


def ceremony(bureau: Bureau) -> "pexpect.spawn[str]":
    return bureau.talk(
        "keys", "import", "--key", "transport", *bureau.files("ann", "bob", scripted=False)
    )


@pytest.fixture
def unlocked(bureau: Bureau) -> Bureau:
    if AgentConnection(bureau.socket).call("status")["locked"]:
        done = bureau.run("agent", "unlock", *bureau.files("ann", "bob"))
        assert done.code == 0, done.err
    return bureau


def follow(talk: "pexpect.spawn[str]", steps: int, **instead: str) -> str:
    """Answer the first prompts; `instead` has other answers, by the number of the prompt."""
    said = ""
    for number, (prompt, answer) in enumerate(DIALOGUE[:steps]):
        talk.expect(prompt)
        said += talk.before + str(talk.after)
        talk.sendline(instead.get(f"at_{number}", answer))
    return said


def interrupt(talk: "pexpect.spawn[str]") -> str:
    """Press Ctrl-C as a person does: again, if nothing happens. Gives what is shown to the end.

    CPython does not see a signal that comes just before it begins to read a line.
    """
    for _ in range(3):
        talk.sendcontrol("c")
        if talk.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=10) == 0:
            break
    return str(talk.before)


# --- unlocking ------------------------------------------------------------------------


def test_one_operator_alone_unlocks_nothing(bureau: Bureau) -> None:
    bureau.run("agent", "lock", "--socket", bureau.socket)
    done = bureau.run("agent", "unlock", *bureau.files("ann"))
    assert (done.code, done.out) == (9, "")
    assert "unlock needs 2 operators, and you named 1" in done.err


def test_the_same_operator_twice_unlocks_nothing(bureau: Bureau) -> None:
    done = bureau.run("agent", "unlock", *bureau.files("ann", "ann"))
    assert done.code == 9 and "operator ann is given twice" in done.err


def test_a_wrong_passphrase_unlocks_nothing(bureau: Bureau) -> None:
    (bureau.folder / "wrong").write_text("not the passphrase\n")
    words = bureau.files("ann", "bob", scripted=False)
    done = bureau.run(
        "agent", "unlock", *words, "--operator-passphrase-file", bureau.folder / "ann.passphrase",
        "--operator-passphrase-file", bureau.folder / "wrong",
    )  # fmt: skip
    assert done.code == 9 and "this is not the passphrase of bob" in done.err


def test_two_operators_unlock_at_their_prompts(bureau: Bureau) -> None:
    talk = bureau.talk("agent", "unlock", *bureau.files("bob", "cai", scripted=False))
    talk.expect("bob: your passphrase: ")
    talk.sendline(BOB.passphrase)
    talk.expect("cai: your passphrase: ")
    talk.sendline(CAI.passphrase)
    code, said = bureau.ended(talk, "")
    assert code == 0 and read_header(bureau.store).versions[-1].identity in said


# --- import ---------------------------------------------------------------------------


def test_an_import_as_it_should_be(unlocked: Bureau) -> None:
    talk = ceremony(unlocked)
    said = follow(talk, len(DIALOGUE))
    code, said = unlocked.ended(talk, said)
    header = read_header(unlocked.store)
    newest = header.versions[-1]
    assert code == 0 and f"key version {newest.version}  {newest.identity}" in said
    assert newest.check_values["transport"].hex().upper() == KCV
    page = unlocked.run("keys", "receipt", "1", "--socket", unlocked.socket)
    assert page.code == 0 and newest.identity in page.out and KCV in page.out
    assert "ann" in page.out and "bob" in page.out


@pytest.mark.parametrize("stop", range(len(DIALOGUE)))
def test_ctrl_c_at_any_prompt_leaves_nothing_half_done(unlocked: Bureau, stop: int) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    said = follow(talk, stop)
    talk.expect(DIALOGUE[stop][0])
    said += interrupt(talk)
    code, said = unlocked.ended(talk, said)
    assert code == 130 and "stopped; nothing was changed" in said
    assert "Traceback" not in said
    assert unlocked.state() == before


def test_the_end_of_input_is_the_same_as_ctrl_c(unlocked: Bureau) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    said = follow(talk, 3)
    talk.expect(DIALOGUE[3][0])
    talk.sendeof()
    code, said = unlocked.ended(talk, said)
    assert code == 130 and "nothing was changed" in said and unlocked.state() == before


def test_a_killed_terminal_leaves_nothing_half_done(unlocked: Bureau) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    follow(talk, 7)
    talk.expect(DIALOGUE[7][0])
    talk.kill(signal.SIGKILL)
    talk.close()
    assert unlocked.state() == before


def test_a_wrong_check_value_may_be_typed_again(unlocked: Bureau) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    said = follow(talk, 4, at_3="000000")
    talk.expect("check value does not fit the component.*Enter it again")
    said += talk.before + str(talk.after)
    talk.expect(DIALOGUE[2][0])
    talk.sendline(DIALOGUE[2][1])
    talk.expect(DIALOGUE[3][0])
    talk.sendline(DIALOGUE[3][1])
    talk.expect("ann: component 1 of 2 is entered")
    talk.expect(DIALOGUE[4][0])
    said += interrupt(talk)
    code, _ = unlocked.ended(talk, said)
    assert code == 130 and unlocked.state() == before


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (FIRST.value.hex()[:-2], "has 32 hex digits"),
        ("no hex at all", "a component is hex digits, or the text of a QR code"),
        ("00" * 16, "all zeros"),
        (SECOND.text(), "component 2 of 2, and 1 of 2 is wanted"),
        (FIRST.text()[:-1] + "X", "has a mistake"),
    ],
)
def test_three_wrong_components_end_the_ceremony(unlocked: Bureau, typed: str, words: str) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    said = follow(talk, 2)
    for left in (2, 1, 0):
        talk.expect(DIALOGUE[2][0])
        said += talk.before + str(talk.after)
        talk.sendline(typed)
        if typed == SECOND.text():
            talk.expect("is its check value")
            talk.sendline("y")
        talk.expect("Enter it again" if left else "nothing was changed")
        said += talk.before + str(talk.after)
    code, said = unlocked.ended(talk, said)
    assert code == 9 and words in said and "The ceremony has ended" in said
    assert unlocked.state() == before


def test_who_does_not_confirm_stops_it(unlocked: Bureau) -> None:
    before = unlocked.state()
    talk = ceremony(unlocked)
    said = follow(talk, 8, at_7="n")
    code, said = unlocked.ended(talk, said)
    assert code == 9 and "bob did not confirm the check value: nothing was changed" in said
    assert unlocked.state() == before


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ann"], "import needs 2 or 3 operators, and you named 1"),
        ([], "import needs 2 or 3 operators, and you named none"),
        (["ann", "ann"], "operator ann is given twice: import needs different people"),
    ],
)
def test_too_few_people_are_refused_before_anybody_types(
    unlocked: Bureau, names: list[str], words: str
) -> None:
    before = unlocked.state()
    done = unlocked.run(
        "keys", "import", "--key", "transport", "--expect", KCV, *unlocked.files(*names)
    )
    assert done.code == 9 and words in done.err and unlocked.state() == before


def test_a_locked_agent_says_so(unlocked: Bureau) -> None:
    unlocked.run("agent", "lock", "--socket", unlocked.socket)
    done = unlocked.run("keys", "import", "--key", "transport", "--expect", KCV,
                        *unlocked.files("ann", "bob"))  # fmt: skip
    assert done.code == 9 and "the key agent is locked" in done.err


def test_no_agent_says_so_before_anybody_types(bureau: Bureau) -> None:
    words = bureau.files("ann", "bob")
    words[1] = bureau.folder / "none.sock"
    done = bureau.run("keys", "import", "--key", "transport", "--expect", KCV, *words)
    assert done.code == 9 and "no key agent runs there" in done.err


def test_ctrl_c_while_the_agent_works_waits_for_its_answer_and_twice_says_how_to_look() -> None:
    def pressed(times: int) -> dict[str, object]:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return {"receipt": 1}

    assert to_its_end(lambda: pressed(1)) == {"receipt": 1}
    with pytest.raises(Stopped, match="it may be done"):
        to_its_end(lambda: pressed(2))


# --- files: components, export --------------------------------------------------------


def component_files(folder: Path, *texts: str) -> list[object]:
    words: list[object] = []
    for number, text in enumerate(texts):
        (folder / f"component-{number}").write_text(text + "\n")
        words += ["--component", folder / f"component-{number}"]
    return words


def test_components_come_from_files_of_either_kind(unlocked: Bureau, tmp_path: Path) -> None:
    other = bytes(range(16))
    one, two = split("issuer", Cipher.SM4, other, [bytes(range(70, 86))])
    words = component_files(tmp_path, f"{one.value.hex()}\n{one.check_value}", two.text())
    before = unlocked.state()
    refused = unlocked.run("keys", "import", "--key", "issuer", *words, "--expect", "000000",
                           *unlocked.files("ann", "bob"))  # fmt: skip
    assert refused.code == 9 and "nothing was changed" in refused.err
    assert unlocked.state() == before
    expected = check_value("issuer", Cipher.SM4, other)
    done = unlocked.run("keys", "import", "--key", "issuer", *words, "--expect", expected,
                        *unlocked.files("ann", "bob"), "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["check_values"]["issuer"] == expected


def test_a_file_with_a_wrong_check_value_ends_it_at_once(unlocked: Bureau, tmp_path: Path) -> None:
    words = component_files(tmp_path, f"{FIRST.value.hex()}\nABCDEF", SECOND.text())
    before = unlocked.state()
    done = unlocked.run("keys", "import", "--key", "transport", *words, "--expect", KCV,
                        *unlocked.files("ann", "bob"))  # fmt: skip
    assert done.code == 9 and "check value does not fit" in done.err
    assert unlocked.state() == before


def test_a_set_goes_out_sealed_and_comes_back(unlocked: Bureau, tmp_path: Path) -> None:
    done = unlocked.run("keys", "export", "--key", "set", "--out", tmp_path / "a new" / "backup",
                        *unlocked.files("ann", "bob", "cai"), "--json")  # fmt: skip
    assert done.code == 0, done.err
    files_ = done.json["files"]
    assert len(files_) == 3 and all((Path(each).stat().st_mode & 0o777) == 0o600 for each in files_)
    words: list[object] = []
    for each in files_:
        words += ["--component", each]
    swapped = [words[0], files_[1], words[2], files_[0], *words[4:]]
    refused = unlocked.run("keys", "import", "--key", "set", *swapped, "--expect", "0" * 20,
                           *unlocked.files("ann", "bob", "cai"))  # fmt: skip
    assert refused.code == 9 and "not sealed for ann" in refused.err
    same = unlocked.run("keys", "import", "--key", "set", *words, "--expect", "0" * 20,
                        *unlocked.files("ann", "bob", "cai"))  # fmt: skip
    assert same.code == 9 and "nothing was changed" in same.err


def test_keys_go_out_wrapped(unlocked: Bureau, tmp_path: Path) -> None:
    exchange = bytes(range(90, 106))
    one, two = split("exchange", Cipher.SM4, exchange, [bytes(range(60, 76))])
    words = component_files(tmp_path, one.text(), two.text())
    expected = check_value("exchange", Cipher.SM4, exchange)
    done = unlocked.run(
        "keys", "export", "--wrapped", "--key", "RK1_DF02", "--key", "cvk", *words,
        "--expect", expected, "--out", tmp_path / "blocks.txt", *unlocked.files("ann", "bob"),
    )  # fmt: skip
    assert done.code == 0, done.err
    lines = (tmp_path / "blocks.txt").read_text().splitlines()
    newest = read_header(unlocked.store).versions[-1]
    for line, name in zip(lines, ("RK1_DF02", "cvk"), strict=True):
        what, version, key = unwrapped(line, exchange)
        assert (what, version) == (name, newest.version)
        assert check_value(name, Cipher.SM4, key) == newest.check_values[name].hex().upper()
    mixed = unlocked.run("keys", "export", "--wrapped", "--key", "transport", "--key", "cvk",
                         *words, "--expect", expected, "--out", tmp_path / "no.txt",
                         *unlocked.files("ann", "bob"))  # fmt: skip
    assert mixed.code == 2 and "need exchange keys of their own" in mixed.err


# --- rotate, retire, receipts ---------------------------------------------------------


def test_two_operators_rotate_and_retire_and_each_has_a_receipt(unlocked: Bureau) -> None:
    before = [each.version for each in read_header(unlocked.store).versions]
    done = unlocked.run("keys", "rotate", *unlocked.files("cai", "ann"), "--json")
    assert done.code == 0, done.err
    alone = unlocked.run("keys", "retire", before[0], *unlocked.files("ann"))
    assert alone.code == 9 and "retire needs 2 operators" in alone.err
    retired = unlocked.run("keys", "retire", before[0], *unlocked.files("ann", "bob"), "--json")
    assert retired.code == 0, retired.err
    versions = read_header(unlocked.store).versions
    assert versions[0].retired and versions[-1].version == before[-1] + 1
    listed = unlocked.run("keys", "receipt", "--socket", unlocked.socket, "--json")
    assert {done.json["receipt"], retired.json["receipt"]} <= set(listed.json["receipts"])
    none = unlocked.run("keys", "receipt", "999", "--socket", unlocked.socket)
    assert none.code == 9 and "there is no receipt 999" in none.err


ANSWERS = (
    ("(?:ann|bob): your passphrase: ", ""),
    ("a passphrase of your own: ", "eight 88"),
    ("Repeat for confirmation: ", "eight 88"),
    (r"ann: component 1 of 2 \(.*: ", OTHER_FIRST.value.hex()),
    ("ann: its check value: ", OTHER_FIRST.check_value),
    (r"bob: component 2 of 2 \(.*: ", OTHER_SECOND.text()),
    ("is .* the check value that you expect.*: |is its check value .*: ", "y"),
    ("Destroy the keys of batch .* for ever.*: ", "y"),
    (pexpect.EOF, ""),
)
"""What people answer at any prompt of the examples."""


def save_blank_sam(bureau: Bureau) -> None:
    """A blank SAM whose transport keys are of the newest version of the store."""
    wrap = pair_of(read_header(bureau.store), "ann", "bob")
    shares = {each.name: each.key.exchange(wrap.public) for each in (ANN, BOB)}
    data_key = opened_pair(wrap, *(shares[name] for name in wrap.operators))
    newest = open_with_data_key(bureau.store, data_key).newest
    sam = SoftwareSam.blank(CHIP, newest.blank_keys(CHIP))
    sam.save(bureau.folder / "SAM")
    sam.close()


def test_the_examples_with_people_run_as_they_stand(unlocked: Bureau) -> None:
    for each in PEOPLE[:2]:
        (unlocked.folder / f"{each.name}.op").write_bytes(each.file)
    (unlocked.folder / "cai.json").unlink()  # an example makes it
    every = [line for words in PATHS for line in examples(words) if needs_people(line)]
    # The others of `agent` are run by test_agent_commands.py.
    lines = [line for line in every if line[1] != "agent" or "--operator" in line]
    order = ("new", "add", "list", "retire")
    lines.sort(key=lambda line: order.index(line[2]) if line[1] == "operator" else 0)
    lines.sort(key=lambda line: line[1] != "sam")  # the others change the transport root
    lines.sort(key=lambda line: line[2] == "custodians")  # then ann and bob open it no more
    save_blank_sam(unlocked)
    write_batch(unlocked.folder / "batch", header(1), [card(1)], LocalIssuer(ISSUER))
    retire = next(line for line in lines if line[1:3] == ["keys", "retire"])
    oldest = next(each for each in read_header(unlocked.store).versions if not each.retired)
    retire[3] = str(oldest.version)
    assert len(lines) >= 9
    for line in lines:
        talk = unlocked.talk(*line[1:], RHCARD_AGENT=str(unlocked.socket))
        said = ""
        while (found := talk.expect([prompt for prompt, _ in ANSWERS])) < len(ANSWERS) - 1:
            said += talk.before + str(talk.after)
            asked = BOB if "bob: your" in str(talk.after) else ANN
            talk.sendline(ANSWERS[found][1] or asked.passphrase)
        code, said = unlocked.ended(talk, said + talk.before)
        assert code == 0, (line, said)


def test_nothing_that_was_shown_or_kept_holds_a_secret(unlocked: Bureau) -> None:
    """The last test of this file: it looks at all that the others have seen."""
    state = unlocked.folder / "state"
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file()).decode(
        "utf-8", "replace"
    )
    everything = "\n".join(unlocked.seen) + kept
    assert len(unlocked.seen) > 20 and "ceremony-import" in kept
    secrets = [FIRST.value.hex(), SECOND.value.hex(), KEY.hex(), FIRST.text(), SECOND.text()]
    secrets += [each.passphrase for each in PEOPLE]
    secrets += [bytes(range(16)).hex(), bytes(range(90, 106)).hex()]
    for secret in secrets:
        assert secret.lower() not in everything.lower()
