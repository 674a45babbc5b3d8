"""No damaged file is a fault of rhcard itself: every format, with mutations of many kinds.

A damaged file ends with a documented code that is not 1, with one message, and no Python error.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cardlib.errors import CardError
from cardlib.transport.player import Player
from cardlib.transport.recorder import Recorder
from personalize.cli.exits import Exit
from personalize.sample.sample_batch import SAMPLE
from tests.cards.cards import personalized_card
from tests.programs.rhcard import key_file, prepare, residents, rhcard

MUTATIONS = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of every format: all are whole."""
    folder = tmp_path_factory.mktemp("whole")
    keys = key_file(folder)
    batch = prepare(folder, keys, 2)
    assert rhcard("issue", batch, "--cards", folder / "cards", "--make-blanks").code == 0
    shutil.copy(next((folder / "cards").glob("*.card")), folder / "one.card")
    shutil.copy(residents(folder, 3), folder / "list.csv")
    lines = [{"name": "王", "phones": ["1"], "allergies": [{"allergen": "x"}]}]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (folder / "one.scriptor").write_text("reset\n00 A4 04 0C 02 DD F1\n#> 9000\n", "utf-8")
    recorder = Recorder(personalized_card())
    recorder.transmit(bytes.fromhex("00A4000C023F00"))
    recorder.save(folder / "recording.jsonl")
    return folder


COMMANDS: dict[str, tuple[str, ...]] = {
    "keys.json": ("verify", "{}/batch", "--cards", "{}/cards", "--keys", "{}/keys.json"),
    "batch/manifest.cms": ("verify", "{}/batch", "--cards", "{}/cards", "--keys", "{}/keys.json"),
    "batch/holders.bin": ("verify", "{}/batch", "--cards", "{}/cards", "--keys", "{}/keys.json"),
    "batch/records.bin": ("verify", "{}/batch", "--cards", "{}/cards", "--keys", "{}/keys.json"),
    "batch/pins.sealed": ("pins", "{}/batch", "--keys", "{}/keys.json"),
    "batch/journal.sqlite": ("issue", "{}/batch", "--cards", "{}/cards", "--keys", "{}/keys.json"),
    "one.card": ("read", "{}/one.card", "--keys", "{}/keys.json"),
    "list.csv": ("prepare", "{}/list.csv", "--photos", str(SAMPLE.parent)),
    "list.jsonl": ("prepare", "{}/list.jsonl", "--photos", str(SAMPLE.parent)),
    "one.scriptor": ("apdu", "run", "{}/one.scriptor", "--card", "{}/one.card"),
}
"""The command that reads each file; {} is the folder."""


def flipped(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes((raw[at] ^ 1 << chance.randrange(8),)) + raw[at + 1 :]


def cut(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw))]


def doubled(raw: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(raw)) for _ in range(2))
    return raw[:end] + raw[start:end] + raw[end:]


def overwritten(raw: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(raw)) for _ in range(2))
    return raw[:start] + chance.randbytes(end - start) + raw[end:]


def with_a_huge_number(raw: bytes, chance: random.Random) -> bytes:
    digits = [at for at, byte in enumerate(raw) if byte in b"0123456789"] or [0]
    at = chance.choice(digits)
    return raw[:at] + chance.choice([b"1e999", b"9" * 5000, b"-1", b"0.5"]) + raw[at + 1 :]


def nested(raw: bytes, chance: random.Random) -> bytes:
    depth = 200_000
    at = raw.find(b":") + 1
    return raw[:at] + b"[" * depth + b"]" * depth + raw[at:]


def of_another_kind(raw: bytes, chance: random.Random) -> bytes:
    return chance.choice([b"", b"\0" * 100, b"null", b"[]", b"{}", b"\xff\xfe", b'"x"', b"[[]]\n"])


MUTATE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped, cut, doubled, overwritten, with_a_huge_number, nested, of_another_kind,
)  # fmt: skip


def mutations(raw: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(name)
    for number in range(MUTATIONS):
        mutate = MUTATE[number % len(MUTATE)]
        yield f"{mutate.__name__} {number}", mutate(raw, chance)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_file_is_never_our_fault(name: str, whole: Path, tmp_path: Path) -> None:
    for what, raw in mutations((whole / name).read_bytes(), name):
        shutil.rmtree(folder := tmp_path / "there", ignore_errors=True)
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(raw)
        done = rhcard(*(word.format(folder) for word in COMMANDS[name]))
        assert done.code in set(Exit) - {Exit.INTERNAL}, (name, what, done.err)
        assert done.code in (0, 2) or done.err or done.out, (name, what)


def test_a_damaged_recording_is_a_card_error(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    for what, raw in mutations((whole / "recording.jsonl").read_bytes(), "recording"):
        path.write_bytes(raw)
        try:
            Player.open(path)
        except CardError:
            continue
        except Exception as error:
            raise AssertionError(what) from error
