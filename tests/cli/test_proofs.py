"""rhcard proofs: a PDF that is whole or not there, and says what it holds."""

import os
import stat
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from personalize.printing import card_faces, typefaces
from personalize.sample.sample_batch import SAMPLE
from tests.programs import pdf
from tests.programs.rhcard import key_file, prepare, rhcard

LACKING = "\U0002a6d6"
"""A character of Extension B that Noto Sans CJK lacks."""


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    return prepare(folder, key_file(folder), 10)


def names() -> list[str]:
    return [line.split(",")[0] for line in SAMPLE.read_text("utf-8").splitlines()[1:11]]


@pytest.mark.parametrize(
    ("options", "pages"),
    [((), 2), (("--form", "card"), 10), (("--form", "carrier"), 10)],
)
def test_all_cards_are_printed_for_their_owner_alone(
    batch: Path, tmp_path: Path, options: tuple[str, ...], pages: int
) -> None:
    out = tmp_path / "proofs.pdf"
    done = rhcard("proofs", batch, "--out", out, *options)
    assert (done.code, done.out) == (0, f"{out}: 10 cards on {pages} pages\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found = pdf.texts(out.read_bytes(), tmp_path)
    assert len(found) == pages
    assert all(name in "".join(found) for name in names())


def test_what_the_file_will_hold_is_said(batch: Path, tmp_path: Path) -> None:
    out = tmp_path / "proofs.pdf"
    said = rhcard("proofs", batch, "--out", out).err
    assert f"{out} will hold names, photos and card numbers of 10 residents." in said
    assert "It is not encrypted" in said


def test_it_answers_in_json(batch: Path, tmp_path: Path) -> None:
    out = tmp_path / "proofs.pdf"
    done = rhcard("proofs", batch, "--out", out, "--one", 3, "--form", "carrier", "--json")
    assert done.json == {
        "out": str(out),
        "form": "carrier",
        "cards": 1,
        "pages": 1,
        "fonts": ["Noto Sans CJK SC"],
        "faults": [],
        "exit_code": 0,
    }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(("--one", "3"), slice(2, 3)), (("--range", "9-10"), slice(8, 10))],
)
def test_some_cards_are_printed_and_no_others(
    batch: Path, tmp_path: Path, options: tuple[str, ...], wanted: slice
) -> None:
    out = tmp_path / "some.pdf"
    assert rhcard("proofs", batch, "--out", out, "--form", "card", *options).code == 0
    found = pdf.texts(out.read_bytes(), tmp_path)
    expected = names()[wanted]
    assert [name in page for name, page in zip(expected, found, strict=True)] == [True] * len(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--one", "11"), "there is no card 11: the batch has 10"),
        (("--range", "5-11"), "there is no card 11: the batch has 10"),
        (("--range", "5-3"), "'5-3' is no range of cards: write it as 1-500"),
        (("--range", "0-3"), "'0-3' is no range of cards"),
        (("--range", "all"), "'all' is no range of cards"),
        (("--one", "1", "--range", "1-2"), "--one and --range are both given"),
        (("--form", "poster"), "'poster' is not one of"),
        (("--font", "none.ttf"), "'none.ttf' does not exist"),
    ],
)
def test_a_wrong_option_writes_nothing(
    batch: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = rhcard("proofs", batch, "--out", tmp_path / "out.pdf", *options)
    assert (done.code, said in done.err) == (Exit.USAGE, True)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_no_font_is_a_wrong_path(batch: Path, tmp_path: Path) -> None:
    keys = batch.parent / "keys.json"
    done = rhcard("proofs", batch, "--out", tmp_path / "out.pdf", "--font", keys)
    said = f"rhcard: {keys}: it is no OpenType or TrueType font\n"
    assert (done.code, done.err, os.listdir(tmp_path)) == (Exit.USAGE, said, [])


def test_without_a_font_it_says_what_to_install(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typefaces, "KNOWN_PLACES", ())
    done = rhcard("proofs", batch, "--out", tmp_path / "out.pdf")
    assert (done.code, "apt-get install fonts-noto-cjk" in done.err) == (Exit.ENVIRONMENT, True)


def test_a_file_that_is_there_is_not_overwritten(batch: Path, tmp_path: Path) -> None:
    out = tmp_path / "there.pdf"
    out.write_bytes(b"mine")
    done = rhcard("proofs", batch, "--out", out)
    assert (done.code, "exists already" in done.err) == (Exit.USAGE, True)
    assert out.read_bytes() == b"mine"


def test_too_many_cards_are_refused_with_a_part_that_fits(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_faces, "MOST_CARDS", 4)
    done = rhcard("proofs", batch, "--out", tmp_path / "out.pdf")
    assert (done.code, "the first with --range 1-4" in done.err) == (Exit.USAGE, True)


@pytest.fixture(scope="module")
def with_rare_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch whose first and third resident have a character that the font lacks."""
    folder = tmp_path_factory.mktemp("rare")
    lines = SAMPLE.read_text("utf-8").splitlines(keepends=True)[:4]
    for number in (1, 3):
        lines[number] = f"王{LACKING}," + lines[number].partition(",")[2]
    (folder / "rare.csv").write_text("".join(lines), "utf-8")
    done = rhcard(
        "prepare", folder / "rare.csv", "--keys", key_file(folder), "--out", folder / "batch",
        "--photos", SAMPLE.parent, "--issue-date", "2026-11-23",
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder / "batch"


def test_every_missing_glyph_is_listed_and_nothing_is_written(
    with_rare_names: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.pdf"
    done = rhcard("proofs", with_rare_names, "--out", out)
    assert (done.code, done.out.count("U+2A6D6")) == (Exit.BAD_INPUT, 2)
    assert f"{with_rare_names}: 2 texts cannot be printed. No PDF was written." in done.err
    report = rhcard("proofs", with_rare_names, "--out", out, "--json").json
    assert [(row["card"], row["line"], row["field"]) for row in report["faults"]] == [
        (1, 2, "name"),
        (3, 4, "name"),
    ]
    assert all("--font FILE" in row["remedy"] for row in report["faults"])
    assert (report["exit_code"], LACKING in str(report)) == (3, False)
    assert os.listdir(tmp_path) == []
