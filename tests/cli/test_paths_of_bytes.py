"""Paths that are not UTF-8: every command takes them, and says them as a shell would read them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cardlib.transport.player import Player
from cardlib.transport.recorder import Recorder
from personalize.preparation.batch import read_header
from personalize.sample import sample_batch
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE
from tests.cards.cards import personalized_card
from tests.programs.rhcard import PASSPHRASE, Ran, key_file, ran, residents, rhcard

BAD = os.fsdecode(b"\xd0\xd5\xff")
"""姓 in GBK, and a byte that is no text in any encoding here."""

SHOWN = r"\xd0\xd5\xff"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bytes") / f"folder {BAD}"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def keys(place: Path) -> Path:
    return key_file(place, name=f"keys {BAD}.json")


@pytest.fixture(scope="module")
def batch(place: Path, keys: Path) -> Path:
    source = residents(place, 2).rename(place / f"list {BAD}.csv")
    batch = place / f"batch {BAD}"
    done = good(ran("prepare", source, "--keys", keys, "--out", batch, "--photos", SAMPLE.parent,
                    "--issue-date", f"{ISSUE_DATE:%Y-%m-%d}"))  # fmt: skip
    assert SHOWN in done.out
    return batch


@pytest.fixture(scope="module")
def cards(place: Path, batch: Path) -> Path:
    good(ran("issue", batch, "--cards", place / f"cards {BAD}", "--make-blanks"))
    return place / f"cards {BAD}"


def run(as_json: tuple[str, ...], *words: object) -> Ran:
    """As a process of its own, whose output is in the encoding of its surroundings; JSON is not."""
    return rhcard(*words, *as_json) if as_json else ran(*words)


def good(done: Ran) -> Ran:
    assert done.code == 0, (done.out, done.err)
    return done


def test_a_new_key_store_and_a_passphrase_file(place: Path) -> None:
    secret = place / f"secret {BAD}"
    secret.write_text(PASSPHRASE)
    words = ("keys", "new", "--passphrase-file", secret, "--out")
    done = good(ran(*words, place / f"new {BAD}", "--json"))
    assert os.fsencode(done.json["keys"]) == os.fsencode(place / f"new {BAD}")
    assert SHOWN in good(ran(*words, place / f"newer {BAD}")).out


def test_the_next_command_works_in_a_shell(place: Path, keys: Path) -> None:
    source = residents(place, 1, skip=3)
    out = place / f"next '{BAD}"
    done = good(ran("prepare", source, "--keys", keys, "--out", out, "--photos", SAMPLE.parent))
    lines = [line for line in done.err.splitlines() if line.startswith("Next, ")]
    assert len(lines) == 2
    for line in lines:
        words = line.partition(": rhcard ")[2]
        shell = subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True,
                               check=True)  # fmt: skip
        assert shell.stdout.split(b"\0")[1] == os.fsencode(out)


def test_the_batch_finds_its_key_store_again(batch: Path, cards: Path, keys: Path) -> None:
    assert "2 of 2 verified" in good(ran("verify", batch, "--cards", cards)).out
    header = read_header(batch)
    assert os.fsencode(header.key_store_hint) == os.fsencode(keys)
    assert os.fsencode(header.source_name) == os.fsencode(f"list {BAD}.csv")


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_the_commands_on_cards(
    as_json: tuple[str, ...],
    batch: Path,
    cards: Path,
    keys: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = residents(place, 2, skip=5)
    if as_json:
        shutil.copytree(SAMPLE.parent / "photos", place / "photos")
    monkeypatch.setattr(sample_batch, "SAMPLE", few)  # of the demonstration in this process
    card = shutil.copy(next(cards.glob("*.card")), place / f"one {BAD}.card")
    script = place / f"script {BAD}.scriptor"
    script.write_text("reset\n")
    photo = place / f"photo {BAD} {len(as_json)}"
    for words in (
        ("issue", batch, "--cards", cards, "--make-blanks"),
        ("verify", batch, "--cards", cards),
        ("pins", batch),
        ("proofs", batch, "--out", place / f"proofs {BAD} {len(as_json)}"),
        ("read", card, "--keys", keys, "--photo", photo),
        ("emulator", "show", card),
        ("emulator", "new", "--out", place / f"blank {BAD} {len(as_json)}"),
        ("emulator", "new", "--count", "2", "--out", place / f"blanks {BAD}"),
        ("apdu", "run", script, "--card", card),
        ("demo", "--out", place / f"demo {BAD} {len(as_json)}"),
    ):
        done = good(run(as_json, *words))
        if as_json:
            assert done.json["exit_code"] == 0
    assert photo.stat().st_size


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_what_is_not_there_is_named(as_json: tuple[str, ...], place: Path, keys: Path) -> None:
    none = place / f"none {BAD}"
    for words in (
        ("prepare", none),
        ("prepare", residents(place, 1), "--keys", none, "--out", place / f"x {BAD}"),
        ("verify", none, "--cards", none),
        ("issue", place, "--cards", none, "--make-blanks"),
        ("read", none),
        ("emulator", "show", none),
        ("emulator", "run", none),
        ("apdu", "run", none, "--card", none),
        ("keys", "new", "--out", none / "keys"),
        ("keys", "new", "--out", keys),
        ("verify", place, "--cards", place, "--passphrase-file", none),
    ):
        done = run(as_json, *words)
        told = done.json["error"] if as_json else done.err
        assert done.code not in (0, 1), (words, told)
        assert "Traceback" not in done.err
        assert told.strip()


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_list_may_name_such_a_photo(encoding: str, tmp_path: Path) -> None:
    """It cannot say the bytes as UTF-8: that is a fault of the value, as of any other."""
    lines = residents(tmp_path, 1).read_text("utf-8").splitlines()
    header, row = lines[0].split(","), lines[1].split(",")
    row[header.index("photo_file")] = "PLACE.jpg"
    raw = "\n".join([lines[0], ",".join(row)]).encode(encoding)
    (tmp_path / f"{BAD}.jpg").write_bytes((SAMPLE.parent / "photos" / "00.jpg").read_bytes())
    source = tmp_path / f"list {BAD}.csv"
    source.write_bytes(raw.replace(b"PLACE", os.fsencode(BAD)))
    for as_json in ((), ("--json",)):
        done = run(as_json, "prepare", source, "--encoding", encoding)
        assert (done.code, "Traceback" in done.err) == (3, False)
        if as_json:
            (fault,) = done.json["faults"]
            assert (fault["field"], fault["code"]) == ("photo_file", "undecoded-byte")


def test_a_recording_with_such_a_name(tmp_path: Path) -> None:
    recorder = Recorder(personalized_card())
    recorder.save(tmp_path / f"recording {BAD}")
    assert Player.open(tmp_path / f"recording {BAD}").atr
