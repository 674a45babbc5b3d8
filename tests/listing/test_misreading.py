"""Text that was read in a wrong encoding is told with what was meant; real names never are."""

import pytest

from personalize.listing.fault_codes import FaultCode
from personalize.listing.misreading import misread
from personalize.listing.rules import check_value

MEANT = [
    "张三",
    "黄玉晨",
    "欧阳明月",
    "阿依古丽·买买提",
    "示例省示例市解放路713号15栋",
    "示例市（第一）医院",
]


@pytest.mark.parametrize("meant", MEANT)
def test_utf8_that_was_read_as_gb18030_is_told(meant: str) -> None:
    given = meant.encode().decode("gbk", "ignore")
    wrong = misread(given)
    assert wrong and wrong.code is FaultCode.MISREAD_TEXT
    assert f"it may be {meant[:2]}" in wrong.remedy


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("meant", ["José", "张三", "Müller", "阿里"])
def test_utf8_that_was_read_as_latin_is_told(meant: str, encoding: str) -> None:
    try:
        given = meant.encode().decode(encoding)
    except UnicodeDecodeError:
        pytest.fail(f"{meant} has a byte that {encoding} does not")
    for text in (given, given.replace("\u00a0", " ")):
        wrong = misread(text)
        assert wrong and f"it may be {meant}" in wrong.remedy


@pytest.mark.parametrize("meant", ["张三", "黄玉晨", "示例省解放路713号"])
def test_gbk_that_was_read_as_latin_is_told(meant: str) -> None:
    wrong = misread(meant.encode("gbk").decode("latin-1"))
    assert wrong and f"it may be {meant}" in wrong.remedy


@pytest.mark.parametrize("text", ["锟斤拷", "王锟斤拷明", "烫烫烫", "屯屯屯屯", "ï»¿王"])
def test_what_misread_text_always_leaves_is_told(text: str) -> None:
    wrong = check_value("name", text).wrong
    assert wrong and wrong.code is FaultCode.MISREAD_TEXT


@pytest.mark.parametrize(
    "text",
    [
        "宓嘉慧", "璩美凤", "濮阳明", "模", "楼娄", "王䶮", "郑𠅤㛃", "НГУЕН ВАН",
        "GARCÍA LÓPEZ MARÍA", "Åsa Öberg", "Þórður",
        "Ægir Ñuñez", "José", "ÀÉÎ", "Σωκράτης", "ئەخمەت",
        "孙斤", "烫伤", "屯里",
    ],
)  # fmt: skip
def test_real_names_are_right(text: str) -> None:
    assert misread(text) is None
    assert check_value("name", text).problem == ""


def test_no_name_of_common_characters_is_taken_for_misread_text() -> None:
    """Every pair of a surname that begins with a byte of UTF-8 and a common character."""
    codes = ((char, char.encode("gb18030")) for char in map(chr, range(0x4E00, 0xA000)))
    surnames = [char for char, raw in codes if raw[0] in range(0xE3, 0xEA) and raw[1] > 0xA0]
    places = ((lead, trail) for lead in range(0xB0, 0xC0, 3) for trail in range(0xA1, 0xFA, 8))
    common = [bytes(place).decode("gb2312") for place in places]
    assert len(surnames) > 400
    assert not [a + b for a in surnames for b in common if misread(a + b)]
