"""A sheet of a workbook gives the rows that CSV gives; what is no text is told by its cell."""

import csv
import json
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.formula import ArrayFormula

from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_rows import read_sheet_rows
from personalize.listing.photos import PhotoShop
from personalize.listing.rows import Listing
from personalize.preparation.prepare import read_list, validate_all
from personalize.sample.sample_batch import SAMPLE
from tests.listing.workbooks import (
    HEADER,
    LETTER,
    ROW,
    by_hand,
    cell_of,
    inline,
    new,
    residents,
    saved,
    sheet_of,
)
from tests.programs.rhcard import ran

CellValue = str | float | bool | datetime | time | ArrayFormula
ON = date(2026, 11, 23)
TITLES = inline(1, HEADER)


def read(book: Workbook | bytes, sheet: str | None = None) -> Listing:
    return read_sheet_rows(book if isinstance(book, bytes) else saved(book), sheet)


def told(listing: Listing) -> list[tuple[str, str, FaultCode]]:
    return [(fault.cell, fault.field, fault.code) for fault in listing.faults]


def names(listing: Listing) -> list[str]:
    assert listing.faults == []
    return [row.values["name"] for row in listing.rows]


# --- the same as CSV ----------------------------------------------------------------------


def test_the_sample_gives_the_same_residents_as_its_csv(tmp_path: Path) -> None:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    (tmp_path / "list.xlsx").write_bytes(saved(new({"人员": rows})))
    photos = PhotoShop(SAMPLE.parent)
    from_csv, from_sheet = read_list(SAMPLE), read_list(tmp_path / "list.xlsx")
    assert from_sheet.sheet == "人员"
    expected = list(validate_all(from_csv, photos, ON))
    assert list(validate_all(from_sheet, photos, ON)) == expected
    assert len(expected) == 50 and all(faults == () for _, faults in expected)


def test_a_fault_of_a_value_has_the_address_of_its_cell(tmp_path: Path) -> None:
    wrong = [*ROW[:1], "7", *ROW[2:]]
    (tmp_path / "list.xlsx").write_bytes(saved(residents(ROW[:1] + ROW[1:], wrong)))
    found = list(validate_all(read_list(tmp_path / "list.xlsx"), PhotoShop(tmp_path), ON))
    cells = {fault.field: fault.cell for fault in found[1][1]}
    assert cells == {"sex": "B3", "card_number": "D3"}
    told_in_json = [json.loads(json.dumps(fault.as_dict())) for fault in found[1][1]]
    assert {fault["cell"] for fault in told_in_json} == {"B3", "D3"}


def test_chinese_titles_and_wrong_ones_are_told_as_in_csv() -> None:
    header = ["姓名", "性别", *HEADER[2:8], "身份证号", "sex", "nonsense"]
    listing = read(residents([*ROW, "", ""], header=header))
    assert [fault[:2] for fault in told(listing)] == [
        ("I1", "身份证号"),
        ("J1", "sex"),
        ("K1", "nonsense"),
    ]
    assert "did you mean" in listing.faults[0].remedy


def test_a_required_column_that_is_missing_is_told_once() -> None:
    listing = read(residents(ROW[1:], ROW[1:], header=HEADER[1:]))
    assert [(fault.field, fault.problem) for fault in listing.faults] == [
        ("name", "required column missing")
    ]


def test_a_value_without_a_title_is_told_by_its_cell() -> None:
    listing = read(residents([*ROW, ""], [*ROW, "x"], [*ROW, "y"]))
    assert told(listing) == [("J3", "", FaultCode.UNTITLED_COLUMN)]


def test_the_first_row_with_content_is_the_header_and_empty_rows_are_passed_over() -> None:
    book = new({"人员": [[], [" "], HEADER, [], ROW, ["", "  "], ROW, []]})
    listing = read(book)
    assert [row.line for row in listing.rows] == [5, 7]
    assert listing.faults == []


def test_a_row_that_is_shorter_than_the_header_has_blanks() -> None:
    listing = read(residents(ROW[:8]))
    assert listing.rows[0].values["resident_id_number"] == ""


@pytest.mark.parametrize(
    "book", [new({"人员": [HEADER]}), new({"人员": [[], HEADER, [" "]]})], ids=["header", "blanks"]
)
def test_a_sheet_without_residents_is_told(book: Workbook) -> None:
    assert told(read(book)) == [("", "", FaultCode.NO_RESIDENTS)]


TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"),
    min_size=1, max_size=12,
).filter(lambda text: text.strip() and "x005F_" not in text and "_x" not in text)  # fmt: skip


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_every_text_comes_back_as_it_was_written(texts: Sequence[str]) -> None:
    book = residents(*([text, *ROW[1:]] for text in texts))
    for row in range(2, len(texts) + 2):
        cell_of(book, f"A{row}").data_type = "s"
    assert names(read(book)) == texts
    data = TITLES + "".join(inline(n, [text, *ROW[1:]]) for n, text in enumerate(texts, 2))
    assert names(read(by_hand(data))) == texts


# --- cells that are no text ---------------------------------------------------------------

NO_TEXT: list[tuple[CellValue, FaultCode]] = [
    (430102199001011234, FaultCode.NUMBER_CELL),
    (0.5, FaultCode.NUMBER_CELL),
    (-1, FaultCode.NUMBER_CELL),
    ("=A1", FaultCode.FORMULA),
    (ArrayFormula("C2", "=A1"), FaultCode.FORMULA),
    (datetime(1980, 1, 2), FaultCode.TURNED_INTO_DATE),
    (time(8, 30), FaultCode.TURNED_INTO_DATE),
    (True, FaultCode.TURNED_INTO_TRUTH),
    ("#N/A", FaultCode.FORMULA_ERROR),
]


@pytest.mark.parametrize("column", HEADER)
@pytest.mark.parametrize(("value", "code"), NO_TEXT, ids=lambda each: type(each).__name__)
def test_a_cell_that_is_no_text_is_one_fault_by_its_address(
    column: str, value: CellValue, code: FaultCode, tmp_path: Path
) -> None:
    book = residents(ROW)
    address = f"{LETTER[column]}2"
    cell_of(book, address).value = value
    (tmp_path / "list.xlsx").write_bytes(saved(book))
    listing = read_list(tmp_path / "list.xlsx")
    (fault,) = listing.faults
    assert (fault.cell, fault.line, fault.field, fault.code) == (address, 2, column, code)
    assert fault.value == ""
    assert "430102" not in fault.problem + fault.remedy
    ((_, more),) = validate_all(listing, PhotoShop(tmp_path), ON)
    assert all(other.field != column for other in more)


NUMBERS = [
    ("sex", 2, "2"),
    ("sex", 2.0, "2"),
    ("birth_date", 19491231, "19491231"),
    ("city_code", 990100, "990100"),
    ("birth_date", 29222, None),
    ("city_code", 10100, None),
    ("sex", 1.5, None),
    ("card_category", 1, None),
    ("issuer_code", 990000123456, None),
    ("name", 1, None),
]


@pytest.mark.parametrize(("column", "number", "text"), NUMBERS)
def test_a_number_is_taken_only_where_no_digit_can_be_missed(
    column: str, number: float, text: str | None
) -> None:
    book = residents()
    cell_of(book, f"{LETTER[column]}2").value = number
    listing = read(book)
    assert listing.rows[0].values[column] == (text or "")
    assert [fault.code for fault in listing.faults] == ([] if text else [FaultCode.NUMBER_CELL])


@pytest.mark.parametrize("epoch", [None, CALENDAR_MAC_1904])
def test_a_date_cell_says_the_date_in_either_date_system(epoch: datetime | None) -> None:
    book = residents()
    if epoch:
        book.epoch = epoch
    sheet_of(book)["C2"] = date(1980, 1, 2)
    (fault,) = read(book).faults
    assert fault.remedy.endswith("write the date as YYYYMMDD: 19800102")


def test_a_date_that_no_calendar_has_is_an_error_value() -> None:
    book = residents()
    cell_of(book, "C2").value = 99_999_999
    cell_of(book, "C2").number_format = "yyyy-mm-dd"
    assert told(read(book)) == [("C2", "birth_date", FaultCode.FORMULA_ERROR)]


def test_a_shared_formula_and_a_formula_that_gives_text_are_formulas() -> None:
    cells = '<c r="{0}" t="str"><f {1}>A1</f><v>王</v></c>'
    first = cells.format("A2", 't="shared" ref="A2:A3" si="0"')
    row = f'<row r="2">{first}</row>'
    shared = '<row r="3"><c r="A3" t="str"><f t="shared" si="0"/><v>王</v></c></row>'
    found = told(read(by_hand(TITLES + row + shared)))
    assert found == [("A2", "name", FaultCode.FORMULA), ("A3", "name", FaultCode.FORMULA)]


def test_after_many_cells_that_are_no_text_the_rest_is_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("personalize.listing.sheet_rows._MOST_FAULTS", 3)
    listing = read(residents(*([[n, *ROW[1:]] for n in range(10)])))
    assert [fault.code for fault in listing.faults][3:] == [
        FaultCode.NUMBER_CELL,
        FaultCode.NOT_CHECKED,
    ]


# --- text as workbooks keep it ------------------------------------------------------------


def test_phonetic_text_is_no_part_of_a_value_and_rich_text_is_joined() -> None:
    name = (
        '<si><r><t>王</t></r><r><rPr><b/></rPr><t>䶮</t></r><rPh sb="0" eb="1"><t>ワン</t></rPh>'
        '<phoneticPr fontId="1"/></si>'
    )
    shared = '<c r="A2" t="s"><v>0</v></c>'
    in_place = '<c r="A3" t="inlineStr"><is><t>李</t><rPh sb="0" eb="1"><t>リ</t></rPh></is></c>'
    rest = "".join(inline(1, ROW).split("</c>", 1)[1])
    rows = "".join(
        f'<row r="{n}">{cell}{rest.replace("1" + chr(34) + " t=", f"{n}{chr(34)} t=")}'
        for n, cell in ((2, shared), (3, in_place))
    )
    assert names(read(by_hand(TITLES + rows, strings=name))) == ["王䶮", "李"]


def test_an_escaped_character_is_the_character(tmp_path: Path) -> None:
    """Excel writes a carriage return in a cell as _x000D_: it must not get onto a card."""
    raw = saved(residents(["王_x000D_", *ROW[1:]], ["_x738B_", *ROW[1:]]))
    (tmp_path / "list.xlsx").write_bytes(raw)
    residents_ = read_list(tmp_path / "list.xlsx")
    assert [row.values["name"] for row in residents_.rows] == ["王\r", "王"]


def test_blanks_around_a_value_are_removed_as_in_csv(tmp_path: Path) -> None:
    book = residents([f"  {ROW[0]} ", *ROW[1:]])
    (tmp_path / "list.xlsx").write_bytes(saved(book))
    ((resident, faults),) = validate_all(read_list(tmp_path / "list.xlsx"), PhotoShop(tmp_path), ON)
    assert (resident.values["name"], faults) == (ROW[0], ())


def test_a_wrong_dimension_hides_no_resident() -> None:
    raw = by_hand(TITLES + inline(2, ROW) + inline(3, ROW), before='<dimension ref="A1:B2"/>')
    listing = read(raw)
    assert len(listing.rows) == 2 and listing.rows[1].values["card_number"] == ROW[3]


def test_rows_and_cells_without_addresses_are_counted() -> None:
    cells = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in ROW)
    assert names(read(by_hand(f"{TITLES}<row>{cells}</row>"))) == [ROW[0]]


# --- merged and hidden --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("merged", "cell", "column"),
    [("A2:A4", "A2", "name"), ("E3:F3", "E3", "card_category"), ("H3:K9", "H3", "city_code")],
)
def test_merged_cells_are_one_fault_at_their_first_cell(
    merged: str, cell: str, column: str
) -> None:
    book = residents(ROW, ROW, ROW, ROW)
    sheet_of(book).merge_cells(merged)
    listing = read(book)
    assert told(listing) == [(cell, column, FaultCode.MERGED_CELL)]
    assert merged in listing.faults[0].problem
    lost = [row.line for row in listing.rows if column in row.faulty]
    first, last = (int(address[1:]) for address in merged.split(":"))
    assert lost == [line for line in range(2, 6) if first <= line <= last]


@pytest.mark.parametrize("merged", ["J2:K3", "A4:C9"])
def test_merged_cells_outside_of_the_list_do_not_matter(merged: str) -> None:
    book = residents(ROW, ROW)
    sheet_of(book).merge_cells(merged)
    assert names(read(book)) == [ROW[0], ROW[0]]


def test_a_merged_title_above_the_header_is_the_one_fault() -> None:
    book = new({"人员": [["人员名单"], HEADER, ROW]})
    sheet_of(book).merge_cells("A1:I1")
    (fault,) = read(book).faults
    assert fault.code is FaultCode.MERGED_CELL
    assert fault.problem.startswith("A1:I1 are merged")


def test_more_merged_cells_than_anybody_makes_are_one_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("personalize.listing.sheet_form._MOST_MERGED", 1)
    book = residents(ROW, ROW)
    for merged in ("A2:B2", "A3:B3"):
        sheet_of(book).merge_cells(merged)
    assert told(read(book)) == [("", "", FaultCode.MERGED_CELL)]


@pytest.mark.parametrize("attribute", ['hidden="1"', 'hidden="true"', 'ht="0" customHeight="1"'])
def test_hidden_rows_with_values_are_one_fault(attribute: str) -> None:
    data = TITLES + inline(2, ROW) + inline(3, ROW, attribute) + inline(4, ROW, attribute)
    listing = read(by_hand(f'{data}<row r="5" {attribute}/>'))
    (fault,) = listing.faults
    assert (fault.line, fault.code) == (3, FaultCode.HIDDEN_CELLS)
    assert fault.problem == "2 rows with values are hidden: 3, 4"
    assert len(listing.rows) == 3


def test_a_hidden_column_of_the_list_is_a_fault_and_another_is_not() -> None:
    book = residents()
    sheet_of(book).column_dimensions["B"].hidden = True
    sheet_of(book).column_dimensions["M"].hidden = True
    assert told(read(book)) == [("B1", "sex", FaultCode.HIDDEN_CELLS)]


# --- large sheets -------------------------------------------------------------------------


PEAK = """
import resource, sys
from pathlib import Path
from personalize.listing.sheet_form import read_form
from personalize.listing.sheet_rows import cells_of
from personalize.listing.workbook_file import open_workbook, sheets_of

def count(path):
    raw = Path(path).read_bytes()
    with open_workbook(raw) as archive:
        (sheet,) = sheets_of(archive)
        return sum(1 for _ in cells_of(raw, sheet, read_form(archive, sheet.part)))

assert count(sys.argv[1]) == 11
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert count(sys.argv[2]) == 100_001
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_hundred_thousand_rows_are_read_one_after_the_other(tmp_path: Path) -> None:
    """openpyxl keeps an empty element a row, some 100 bytes; a row that is kept takes 700."""
    for name, count in (("few", 10), ("many", 100_000)):
        rows = "".join(inline(n, ROW[:1]) for n in range(2, count + 2))
        (tmp_path / name).write_bytes(by_hand(TITLES + rows))
    done = ran(tmp_path / "few", tmp_path / "many", program=PEAK)
    assert done.code == 0, done.err
    assert int(done.out) < 300 * 100_000


def test_empty_rows_to_the_end_of_the_sheet_are_passed_over() -> None:
    empty = "".join(f'<row r="{n}" s="1"/>' for n in range(900_000, 1_048_577))
    assert names(read(by_hand(TITLES + inline(2, ROW) + empty))) == [ROW[0]]


@pytest.mark.parametrize("number", [1_048_577, 99_999_999_999, 2])
def test_a_row_that_is_out_of_order_or_of_the_sheet_is_damage(number: int) -> None:
    data = TITLES + inline(2, ROW) + inline(number, ROW)
    assert told(read(by_hand(data))) == [("", "", FaultCode.DAMAGED_WORKBOOK)]


@pytest.mark.parametrize("cells", ["B2 A2", "A2 A2", "A3", "XFE2", "A0", "2A"])
def test_a_cell_that_is_out_of_order_or_of_its_row_is_damage(cells: str) -> None:
    data = "".join(f'<c r="{cell}"><v>1</v></c>' for cell in cells.split())
    raw = by_hand(f'{TITLES}<row r="2">{data}</row>')
    assert told(read(raw)) == [("", "", FaultCode.DAMAGED_WORKBOOK)]


def test_a_value_far_to_the_right_is_too_many_columns() -> None:
    book = residents()
    sheet_of(book)["XFD2"] = "x"
    (fault,) = read(book).faults
    assert fault.code is FaultCode.TOO_MANY_COLUMNS and "column XFD" in fault.problem


def test_more_rows_than_a_list_may_have_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize.listing.sheet_rows.MOST_LINES", 3)
    (fault,) = read(residents(ROW, ROW, ROW)).faults
    assert fault.code is FaultCode.TOO_MANY_LINES
    assert fault.problem == "too many rows: 4, and 3 are the most"
