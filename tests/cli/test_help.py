"""The help of rhcard: short summaries, plain options, and examples that run as they stand."""

import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, chdir, closing
from pathlib import Path

import pytest
from PIL import Image

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.keys.store import KeyStore
from cardlib.transport.pcsc import wait_for_card
from personalize.cli import COMMANDS
from personalize.cli.exits import Exit
from personalize.sample import sample_batch
from personalize.sample.sample_batch import SAMPLE
from tests.cli.test_main import LEAVES
from tests.emulator.test_virtual_reader import free_port
from tests.listing.workbooks import workbook
from tests.programs.rhcard import (
    PASSPHRASE,
    key_file,
    public_operator,
    ran,
    residents,
    rhcard,
    saved,
    spawned,
)
from tests.programs.softhsm import SoftHsm

GROUPS = ("keys", "batch", "apdu", "emulator", "card-profile", "config", "operator", "agent",
          "journal")  # fmt: skip
PATHS = [(), *((name,) for name in GROUPS), *LEAVES]


def examples(words: tuple[str, ...]) -> list[list[str]]:
    """The example lines of a command's help, as a shell splits them."""
    text = rhcard(*words, "--help").out
    _, _, paragraph = text.partition("\n  Examples:\n")
    lines = paragraph.split("\n\n")[0].splitlines()
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("words", PATHS, ids=lambda words: " ".join(words) or "rhcard")
def test_every_help_has_examples_of_that_command(words: tuple[str, ...]) -> None:
    found = examples(words)
    assert found
    assert all(tuple(line[: len(words) + 1]) == ("rhcard", *words) for line in found)


@pytest.mark.parametrize("words", PATHS, ids=lambda words: " ".join(words) or "rhcard")
def test_no_line_of_help_is_cut_or_longer_than_80_columns(words: tuple[str, ...]) -> None:
    text = rhcard(*words, "--help").out
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("words", [("issue",), ("keys", "new"), ("apdu",), ()], ids=" ".join)
def test_help_command_is_the_help_of_the_command(words: tuple[str, ...]) -> None:
    done = rhcard("help", *words)
    assert (done.code, done.out) == (0, rhcard(*words, "--help").out)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("verfy", "verify"), ("isue", "issue"), ("emulater", "emulator"), ("prepar", "prepare")],
)
def test_a_command_that_is_misspelled_is_suggested(typed: str, meant: str) -> None:
    for words in ((typed,), ("help", typed)):
        done = rhcard(*words)
        assert done.code == Exit.USAGE
        assert done.err.startswith(
            f"rhcard: There is no command {typed!r}. Did you mean {meant!r}?\n"
        )


def test_a_word_that_is_near_no_command_gets_no_suggestion() -> None:
    assert "Did you mean" not in rhcard("xyzzy").err


def test_a_subcommand_that_is_misspelled_is_suggested() -> None:
    assert "'new'" in rhcard("keys", "nwe").err


def test_without_a_command_the_help_is_shown() -> None:
    done = rhcard()
    assert (done.code, all(f"  {name} " in done.err for name in COMMANDS)) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("issue",), "Read the key store passphrase from the first line of FILE. "
                     "Default: $RHCARD_PASSPHRASE, then ask."),
        (("issue",), "Allow the published test keys. Never use them for real residents."),
        (("issue",), "If it stops early, run the same command again: it continues, and every "
                     "resident gets exactly one card."),
        (("prepare",), "Folder that photo_file paths start from. Default: the folder of INPUT."),
        (("emulator", "run"), "Inject a fault, for example lost:apdu=9 or cut:write=3. May be "
                              "repeated."),
        (("keys", "new"), "Secure messaging version. 2: encrypts and authenticates both "
                          "directions. 1: only for terminals that do not support 2; card replies "
                          "are not protected."),
    ],
)  # fmt: skip
def test_options_are_explained_in_plain_words(words: tuple[str, ...], said: str) -> None:
    assert said in re.sub(r"\s+", " ", rhcard(*words, "--help").out)


SAM_PIN = "802143"


@pytest.fixture(autouse=True)
def sam_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHCARD_SAM_PIN", SAM_PIN)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, softhsm: SoftHsm) -> Iterator[Path]:
    """What the examples name: a list, key store, batch, cards, one of them, blanks, SAM, token,
    and a register with a batch, a checkpoint and stations' files.

    The PIN of the token is in the environment.
    """
    softhsm.new_token("bureau")
    folder = tmp_path_factory.mktemp("desk")
    lines = SAMPLE.read_text("utf-8").splitlines(keepends=True)
    (folder / "residents.csv").write_text("".join(lines[:4]), "utf-8")
    rows = [line.rstrip("\n").split(",") for line in lines[:4]]
    (folder / "residents.xlsx").write_bytes(workbook({"residents": rows}))
    shutil.copytree(SAMPLE.parent / "photos", folder / "photos")
    for name in ("keys.json", "own.json", "k.json", "rotated.json"):
        key_file(folder, name=name)
    for name in ("ann", "bob"):
        public_operator(folder, name)
    (folder / "new.txt").write_text(f"{PASSPHRASE}\n", "utf-8")
    pin = folder / "pin.txt"
    pin.write_text(SAM_PIN)
    for line in (
        "keys rotate --keys rotated.json",
        "prepare residents.csv --keys keys.json --out batch --issue-date 2026-11-23",
        "issue batch --cards cards --make-blanks",
        "batch split batch --records 1-2 --out part-1",
        "batch split batch --records 3-3 --out part-2",
        "batch offer --site south --out south.offer --keys keys.json",
        "emulator new --out TEST.card",
        "emulator new --out BLANK.card --keys keys.json",
        "sam blank --out BLANK.sam --keys keys.json",
        f"sam issue --roles emergency --keys keys.json --out MY.sam --sam-pin-file {pin}",
    ):
        here(folder, *line.split())
    read = ("read", "--keys", folder / "keys.json", "--photo", folder / "p.jpg")
    with_photo = next(
        path for path in sorted((folder / "cards").iterdir()) if rhcard(*read, path).code == 0
    )
    shutil.copy(with_photo, folder / "CARD.card")
    (folder / "p.jpg").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHCARD_TOKEN_PIN", softhsm.pin)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        begin_register(folder)
        yield folder


def begin_register(folder: Path) -> None:
    """A register with batch-2 and its one card, on the chip that the examples name."""
    residents(folder, 1, 5).rename(folder / "residents-2.csv")
    chip = bytes.fromhex("1122334455667788")
    keys = KeyStore.open(folder / "keys.json", PASSPHRASE)
    saved(SoftwareCard.blank(chip, keys.blank_keys(chip)), folder / "NEW.card")
    for line in (
        "prepare residents-2.csv --keys keys.json --out batch-2 --issue-date 2026-11-23",
        "issue batch-2 --card NEW.card --database bureau.sqlite",
        "journal checkpoint --database bureau.sqlite --keys keys.json --out friday.json",
    ):
        here(folder, *line.split())
    shutil.copytree(folder / "state", folder / "stations")
    shutil.move(folder / "NEW.card", folder / "cards" / "NEW.card")


def here(folder: Path, *words: str) -> None:
    """Run it in the folder; it must end well."""
    with chdir(folder):
        done = rhcard(*words)
    assert done.code == 0, (words, done.err)


@pytest.mark.parametrize("words", PATHS, ids=lambda words: " ".join(words) or "rhcard")
def test_every_example_runs_as_it_stands(
    words: tuple[str, ...], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`demo` with the few residents of the desk: the fifty are for tests/cli/test_demo.py."""
    monkeypatch.setattr(sample_batch, "SAMPLE", desk / "residents.csv")
    monkeypatch.setenv("RHCARD_KEYS", str(desk / "keys.json") if words[:1] == ("journal",) else "")
    for line in examples(words):
        if line[1:3] == ["emulator", "run"]:
            assert_runs_until_told_to_stop(line[1:], desk)
            continue
        if not needs_a_reader(line) and not needs_people(line):
            here(desk, *line[1:])


def needs_a_reader(line: list[str]) -> bool:
    return line[1] == "readers" or "--reader" in line


def needs_people(line: list[str]) -> bool:
    """Whether people type at it, or a key agent runs: tests/custody runs these."""
    with_people = (["keys", "receipt"], ["batch", "purge"])
    return line[1] in ("operator", "agent") or "--operator" in line or line[1:3] in with_people


@pytest.mark.usefixtures("pcscd")
def test_every_example_with_a_reader_runs_as_it_stands(desk: Path) -> None:
    lines = [line for words in PATHS for line in examples(words) if needs_a_reader(line)]
    assert {line[1] for line in lines} >= {"readers", "read", "issue", "verify"}
    card = SoftwareCard.open(desk / "CARD.card", read_only=True)
    with closing(card), VirtualReader() as reader:
        reader.insert(card)
        assert wait_for_card(0, 10).atr == card.atr
        for line in sorted(lines, key=lambda line: line[1] == "verify"):
            if line[1] == "verify":
                assert_verifies_all(line[1:], desk, reader)
                continue
            done = ran(*line[1:], cwd=desk)
            assert done.code == 0, (line, done.err)


def assert_verifies_all(words: list[str], desk: Path, reader: VirtualReader) -> None:
    """One card is in the reader; the others are put in when the program says so."""
    process, paths = spawned(*words, cwd=desk), iter(sorted((desk / "cards").iterdir()))
    assert process.stderr
    with ExitStack() as cards:
        for line in process.stderr:
            path = next(paths, None) if "Take the card out" in line else None
            if path:
                card = cards.enter_context(closing(SoftwareCard.open(path, read_only=True)))
                reader.insert(card)
        reader.remove()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "3 of 3 verified\n")


def assert_runs_until_told_to_stop(words: list[str], folder: Path) -> None:
    process = spawned(*words, "--port", free_port(), cwd=folder)
    assert process.stderr
    line = process.stderr.readline()  # with two, either may be first
    assert "CARD.card, port" in line or "MY.sam, port" in line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.splitlines()[-1]) == (0, "stopped; the cards are saved")


def test_the_photo_of_the_example_is_a_picture(desk: Path) -> None:
    picture = desk / "of the holder.jpg"
    here(desk, "read", "CARD.card", "--keys", "keys.json", "--photo", str(picture))
    with Image.open(picture) as image:
        assert image.format == "JPEG"
