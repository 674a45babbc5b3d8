"""A text gets the largest size at which it fits into its box, or it is a fault."""

import pytest

from personalize.printing.fitting import LINE_HEIGHT, Box, FittedText, Misfit, fit
from personalize.printing.typefaces import Typefaces

NAME = Box(32.6, 13.0, 15.0, 6.0)
LONG = (
    "阿卜杜热合曼·吐尔逊尼亚孜·买买提依明·艾则孜·努尔麦麦提·玉苏甫江·阿不都克里木·图尔荪托合提·艾"
)
POINTS = 72 / 25.4


def fitted(text: str, box: Box, typefaces: Typefaces) -> FittedText:
    found = fit(text, box, typefaces)
    assert isinstance(found, FittedText)
    return found


def test_a_short_text_has_the_largest_size_and_one_line(typefaces: Typefaces) -> None:
    assert fitted("黄玉晨", NAME, typefaces) == FittedText(15.0, ("黄玉晨",))


def test_a_name_of_fifty_characters_becomes_smaller_and_has_lines(typefaces: Typefaces) -> None:
    assert len(LONG) == 50
    found = fitted(LONG, NAME, typefaces)
    assert NAME.least <= found.size < NAME.largest
    assert len(found.lines) > 1
    assert "".join(found.lines) == LONG


def test_lines_stay_in_the_box(typefaces: Typefaces) -> None:
    found = fitted(LONG, NAME, typefaces)
    widths = [sum(typefaces.advance(char) or 99 for char in line) for line in found.lines]
    assert max(widths) * found.size <= NAME.width * POINTS
    height = (len(found.lines) - 1) * LINE_HEIGHT + 1
    assert height * found.size <= NAME.height * POINTS


def test_no_larger_size_would_do(typefaces: Typefaces) -> None:
    found = fitted(LONG, NAME, typefaces)
    larger = Box(NAME.width, NAME.height, NAME.largest, found.size + 0.5)
    assert isinstance(fit(LONG, larger, typefaces), Misfit)


def test_a_line_ends_after_a_dot_where_it_can(typefaces: Typefaces) -> None:
    found = fitted("阿卜杜热合曼·吐尔逊", Box(30.0, 10.0, 10.0, 10.0), typefaces)
    assert found.lines == ("阿卜杜热合曼·", "吐尔逊")


def test_a_word_wider_than_the_box_is_broken_anywhere(typefaces: Typefaces) -> None:
    found = fitted("示例省示例市芙蓉区", Box(18.0, 20.0, 10.0, 10.0), typefaces)
    assert found.lines == ("示例省示例", "市芙蓉区")


def test_a_dot_begins_no_line(typefaces: Typefaces) -> None:
    found = fitted("阿卜杜热合曼·吐尔逊", Box(24.0, 10.0, 10.0, 10.0), typefaces)
    assert found.lines == ("阿卜杜热合", "曼·吐尔逊")


def test_a_combining_character_begins_no_line(typefaces: Typefaces) -> None:
    text = "ee\u0301ee\u0301ee\u0301"
    found = fitted(text, Box(4.0, 40.0, 10.0, 10.0), typefaces)
    assert len(found.lines) > 1
    assert not any(line.startswith("\u0301") for line in found.lines)
    assert "".join(found.lines) == text


def test_a_text_that_does_not_fit_at_the_least_size_is_told(typefaces: Typefaces) -> None:
    found = fit(LONG * 3, NAME, typefaces)
    assert found == Misfit(
        "the text is too long: it does not fit into 32.6 x 13 mm at 6 points, the least size",
        "Shorten it in the list, and prepare the list again",
    )


@pytest.mark.parametrize("char", ["\U0002a6d6", "\u0627", "\U000e0100"])
def test_a_character_that_no_font_has_is_named_by_its_code_point(
    typefaces: Typefaces, char: str
) -> None:
    found = fit(f"王{char}", NAME, typefaces)
    assert isinstance(found, Misfit)
    assert f"no font has a glyph for U+{ord(char):04X} (" in found.problem
    assert char not in found.problem
