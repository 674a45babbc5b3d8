"""What no field holds, by the repository's table and not by the interpreter's."""

import csv
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.layout import FILE_BY_PATH, State, characters, decode, encode, gb18030
from cardlib.layout.characters import Unfit, first_unfit, printable, unfit_in

NAME = FILE_BY_PATH["DDF1/EF06"].fields[0]
TABLE = Path(characters.__file__).with_name("characters.csv")

CJK = [
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2CEB0, 0x2EBEF), (0x2EBF0, 0x2EE5F),
    (0x30000, 0x3134F), (0x31350, 0x323AF),
]  # fmt: skip
"""The blocks of CJK unified ideographs to Extension I, by Blocks.txt."""


@pytest.mark.parametrize(
    ("char", "problem"),
    [
        ("\0", "control character U+0000"),
        ("\n", "control character U+000A"),
        ("\x7f", "control character U+007F"),
        ("\x85", "control character U+0085"),
        ("\u2028", "control character U+2028"),
        ("\u00ad", "format character U+00AD"),
        ("\u200b", "format character U+200B"),
        ("\u202d", "format character U+202D"),
        ("\ufeff", "format character U+FEFF"),
        ("\U000e0041", "format character U+E0041"),
        ("\ue000", "private-use character U+E000"),
        ("\U00100000", "private-use character U+100000"),
        ("\ufffd", "replacement character U+FFFD"),
        ("\ufffe", "noncharacter U+FFFE"),
        ("\ufdd0", "noncharacter U+FDD0"),
        ("\U0010ffff", "noncharacter U+10FFFF"),
        ("\u0378", "unassigned code point U+0378"),
        ("\ud83d", "half a character: lone surrogate U+D83D"),
    ],
)
def test_no_field_holds_it_and_the_error_names_it(char: str, problem: str) -> None:
    unfit = first_unfit(f"王{char}")
    assert unfit is not None
    assert (unfit.char, unfit.problem) == (char, problem)
    with pytest.raises(FormatError, match=re.escape(f"{problem}: {unfit.remedy}")):
        encode(NAME, f"王{char}")


@pytest.mark.parametrize("char", "\u200b\ue000\ufffd\ufffe\u0378")
def test_a_card_that_holds_it_is_corrupt_and_says_why(char: str) -> None:
    raw = gb18030.encode(f"王{char}").ljust(NAME.length, b"\0")
    unfit = first_unfit(char)
    assert unfit is not None
    assert decode(NAME, raw) == (State.CORRUPT, None, unfit.problem)


def test_all_ideographs_to_extension_i_are_fit_whatever_the_interpreter_knows() -> None:
    for first, last in CJK:
        assert first_unfit("".join(map(chr, range(first, last + 1)))) is None


def test_what_the_interpreter_knows_the_table_knows_too() -> None:
    """An older Unicode has fewer characters, never other ones: general categories are kept."""
    refused = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    for code_point in range(0x110000):
        category = unicodedata.category(chr(code_point))
        if category != "Cn":
            unfit = first_unfit(chr(code_point))
            assert (unfit is not None) == (category in refused or code_point == 0xFFFD)


def test_ordinary_text_is_told_in_one_look_as_the_table_tells_it() -> None:
    for code_point in range(0x110000):
        char = chr(code_point)
        if characters._ORDINARY.fullmatch(char):
            assert first_unfit(f"{char}\ufdd0") == Unfit("\ufdd0", "noncharacter")


def test_every_unfit_character_is_told_in_order() -> None:
    assert [unfit.char for unfit in unfit_in("a\u200bb\ue000")] == ["\u200b", "\ue000"]
    assert list(unfit_in("王䶮𠅤㛃·Жйaé")) == []


def test_the_table_names_its_unicode_version_and_is_in_order() -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    assert "Unicode 17.0.0" in lines[0]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    places = [int(row[end], 16) for row in rows for end in ("first", "last")]
    assert places == sorted(places)


def test_the_right_character_is_offered_where_older_tables_tell_it() -> None:
    assert "write 龴 (U+9FB4)" in Unfit("\ue81e", "private-use character").remedy
    assert "write 䶮 (U+4DAE)" in Unfit("\ue863", "private-use character").remedy


def test_what_a_card_holds_cannot_command_the_terminal() -> None:
    assert printable("王\x1b[2J\u202e\n·") == "王\\x1b[2J\\u202e\\n·"
    assert printable("\U0002ebf0·王") == "\U0002ebf0·王"


@given(st.text(st.sampled_from("a王·\x1b\u200b\ue000\ufffd\u0378é") | st.characters()))
def test_a_text_is_shown_as_its_characters_are_one_by_one(text: str) -> None:
    shown = (ascii(char)[1:-1] if first_unfit(char) else char for char in text)
    assert printable(text) == "".join(shown)
    assert first_unfit(text) == next((found for found in map(first_unfit, text) if found), None)
