"""PIN letters: the PIN and whom it is for, and never a full card number."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from personalize.printing.pin_letters import LetterForm, PinLetter, csv_cell, pin_letters
from personalize.printing.print_faults import CannotPrint
from personalize.printing.typefaces import Typefaces
from tests.programs import pdf

CARD_NUMBER = "990121198010071957"
MASKED = "**************1957"
LETTER = PinLetter(
    number=1,
    line=2,
    chip="52484300A1B2C3D4",
    name="黄玉晨",
    card_number=CARD_NUMBER,
    pin="047932",
    address="示例省示例市芙蓉区解放路713号15栋1191室",
)
LETTERS = [LETTER, replace(LETTER, number=2, line=3, name="阿卜杜热合曼·吐尔逊", address="")]


def rows(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def test_a_card_number_is_masked_but_for_its_last_four_characters() -> None:
    assert LETTER.masked == MASKED
    assert replace(LETTER, card_number="1957").masked == "****"


def test_a_letter_shows_nothing_of_the_resident_in_a_trace() -> None:
    assert repr(LETTER) == "PinLetter(number=1, line=2, chip='52484300A1B2C3D4')"


@pytest.mark.parametrize("form", [LetterForm.TEXT, LetterForm.CSV])
def test_no_text_holds_a_full_card_number(form: LetterForm) -> None:
    text = pin_letters(LETTERS, form).decode()
    assert (CARD_NUMBER in text, text.count(MASKED)) == (False, 2)


def test_a_text_has_a_letter_a_page() -> None:
    first, second = pin_letters(LETTERS, LetterForm.TEXT).decode().split("\f")
    assert first == (
        "黄玉晨\n示例省示例市芙蓉区解放路713号15栋1191室\n\n"
        f"居民健康卡 Resident health card {MASKED}\n"
        "芯片号 Chip 52484300A1B2C3D4\n密码 PIN 047932\n"
    )
    assert second.startswith("阿卜杜热合曼·吐尔逊\n\n\n")


def test_a_value_cannot_begin_a_line_of_its_own() -> None:
    tricky = replace(LETTER, name="王\n密码 PIN 999999\f")
    text = pin_letters([tricky], LetterForm.TEXT).decode()
    assert text.startswith("王\\n密码 PIN 999999\\x0c\n")


def test_a_csv_has_a_row_a_letter_that_a_spreadsheet_opens_in_chinese() -> None:
    raw = pin_letters(LETTERS, LetterForm.CSV)
    assert raw.startswith(b"\xef\xbb\xbf")
    assert rows(raw) == [
        ["name", "address", "card", "chip", "PIN"],
        ["黄玉晨", LETTER.address, MASKED, "52484300A1B2C3D4", "047932"],
        ["阿卜杜热合曼·吐尔逊", "", MASKED, "52484300A1B2C3D4", "047932"],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_csv_cell_is_a_formula(start: str) -> None:
    formula = f'{start}HYPERLINK("http://example.org","a")'
    both = replace(LETTER, name=formula, address=formula)
    (_, row) = rows(pin_letters([both], LetterForm.CSV))
    assert row[:2] == [f"'{formula}", f"'{formula}"]
    assert csv_cell(f"王{start}") == f"王{start}"


def test_a_pdf_has_a_letter_a_page(typefaces: Typefaces, tmp_path: Path) -> None:
    made = pin_letters(LETTERS, LetterForm.PDF, typefaces)
    found = pdf.texts(made, tmp_path)
    assert len(found) == 2
    for letter, page in zip(LETTERS, found, strict=True):
        for value in (letter.name, letter.address, MASKED, letter.chip, letter.pin):
            assert value in page
        assert CARD_NUMBER not in page
    assert pdf.sizes(made, tmp_path) == {(210.0, 297.0)}


def test_a_pdf_without_typefaces_has_the_installed_font(tmp_path: Path) -> None:
    made = pin_letters(LETTERS, LetterForm.PDF)
    assert "NotoSansCJKsc" in pdf.fonts(made, tmp_path)[0][0]


def test_a_letter_whose_name_has_no_glyph_is_a_fault(typefaces: Typefaces) -> None:
    bad = replace(LETTERS[1], name="王\U0002a6d6")
    with pytest.raises(CannotPrint, match=r"card 2 \(line 3 of the list\), name: .*U\+2A6D6") as e:
        pin_letters([LETTER, bad], LetterForm.PDF, typefaces)
    assert len(e.value.faults) == 1


def test_many_faults_are_counted(typefaces: Typefaces) -> None:
    letters = [replace(LETTER, name="\U0002a6d6", address="\U0002a6d6")]
    with pytest.raises(CannotPrint, match=r"\(and 1 more\)$"):
        pin_letters(letters, LetterForm.PDF, typefaces)
