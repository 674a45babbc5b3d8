"""A workbook is checked before anything in it is read: size, document types, kind, damage."""

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl.chart import BarChart, Reference

from personalize.listing.fault_codes import FaultCode
from personalize.listing.file_kinds import is_workbook
from personalize.listing.list_faults import ListFault
from personalize.listing.list_rows import read_sheet_rows
from personalize.listing.source import read_source
from personalize.listing.workbook_file import WorkbookRefused, open_workbook
from personalize.preparation.prepare import ResidentList, read_list
from tests.listing.workbooks import (
    HEADER,
    MAIN,
    ROW,
    archive,
    by_hand,
    changed,
    inline,
    new,
    parts_of,
    residents,
    saved,
    sheet_of,
    workbook,
)

GOOD = saved(residents())
BOMB = b" " * (200 << 20)


def listed(tmp_path: Path, raw: bytes, name: str = "list.xlsx", **more: str) -> ResidentList:
    (tmp_path / name).write_bytes(raw)
    return read_list(tmp_path / name, **more)  # type: ignore[arg-type]


def the_fault(raw: bytes, sheet: str | None = None) -> ListFault:
    listing = read_sheet_rows(raw, sheet)
    (fault,) = listing.faults
    assert fault.remedy and listing.rows == []
    return fault


# --- what is unpacked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", ["xl/worksheets/sheet1.xml", "xl/media/p.jpg", "other", "xl/b.xml"]
)
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = archive(parts_of(GOOD) | {part: BOMB})
    assert len(raw) < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a part was opened"))
    assert the_fault(raw).code is FaultCode.FILE_TOO_LARGE


def test_a_bomb_whose_directory_lies_is_refused() -> None:
    """The directory says few bytes: no more are unpacked, and the checksum is wrong."""
    raw = archive(parts_of(GOOD) | {"xl/b.xml": b" " * 2_000_000})
    size = (2_000_000).to_bytes(4, "little")
    assert raw.count(size) == 2
    lying = raw.replace(size, (1_000).to_bytes(4, "little"))
    assert the_fault(lying).code is FaultCode.DAMAGED_WORKBOOK


def test_packed_bytes_that_are_counted_twice_are_damage() -> None:
    raw = archive(
        parts_of(GOOD) | {"xl/b.bin": random.Random(1).randbytes(5_000)}, zipfile.ZIP_STORED
    )
    size = (5_000).to_bytes(4, "little")
    more = raw.replace(size, (1 << 30).to_bytes(4, "little"))
    assert the_fault(more).code in (FaultCode.DAMAGED_WORKBOOK, FaultCode.FILE_TOO_LARGE)


def test_many_parts_and_a_large_part_that_is_kept_whole_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("personalize.listing.workbook_file._MOST_PARTS", 20)
    assert the_fault(archive(parts_of(GOOD) | {f"a{n}": b"" for n in range(20)})).code is (
        FaultCode.FILE_TOO_LARGE
    )
    monkeypatch.setattr("personalize.listing.workbook_file._MOST_PART", 10_000)
    styles = parts_of(GOOD)["xl/styles.xml"] + b" " * 10_000
    assert the_fault(archive(parts_of(GOOD) | {"xl/styles.xml": styles})).code is (
        FaultCode.FILE_TOO_LARGE
    )


def test_a_long_list_is_far_below_the_limits() -> None:
    data = inline(1, HEADER) + "".join(inline(n, ROW) for n in range(2, 20_000))
    with open_workbook(by_hand(data)) as opened:
        sheet = opened.getinfo("xl/worksheets/sheet1.xml")
        assert sheet.file_size > 1 << 20
        assert sheet.file_size < 70 * sheet.compress_size


# --- entities -----------------------------------------------------------------------------

ENTITIES = {
    "bomb": '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {one} "{f"&{before};" * 10}">'
        for before, one in zip("abcdefgh", "bcdefghi", strict=True)
    ) + "]>",
    "external": '<!DOCTYPE a [<!ENTITY i SYSTEM "file:///etc/passwd">]>',
    "parameter": '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]>',
    "no entity": "<!DOCTYPE a>",
}  # fmt: skip


@pytest.mark.parametrize("part", ["sheet", "strings", "book", "types"])
@pytest.mark.parametrize("form", ["utf-8", "utf-16"])
@pytest.mark.parametrize("doctype", ENTITIES.values(), ids=ENTITIES)
def test_a_document_type_is_refused_in_every_part(part: str, form: str, doctype: str) -> None:
    data = inline(1, HEADER) + inline(2, ROW)
    raw = by_hand(data, strings="<si><t>x</t></si>")
    whole = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml",
             "book": "xl/workbook.xml", "types": "[Content_Types].xml"}[part]  # fmt: skip
    text = parts_of(raw)[whole].decode().replace("王䶮", "&i;")
    bad = changed(raw, **{part: f'<?xml version="1.0"?>{doctype}{text}'.encode(form)})
    fault = the_fault(bad)
    assert fault.code is FaultCode.DAMAGED_WORKBOOK
    assert "document type" in fault.problem


def test_a_document_type_across_two_reads_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize.listing.workbook_file._CHUNK", 7)
    text = parts_of(GOOD)["xl/workbook.xml"]
    assert "document type" in the_fault(changed(GOOD, book=b"<!DOCTYPE a>" + text)).problem


# --- other kinds of file ------------------------------------------------------------------


def retyped(kind: str) -> bytes:
    types = parts_of(GOOD)["[Content_Types].xml"].decode()
    plain = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    assert plain in types
    return changed(GOOD, types=types.replace(plain, kind))


STRICT = by_hand("", main="http://purl.oclc.org/ooxml/spreadsheetml/main")
BINARY = retyped("application/vnd.ms-excel.sheet.binary.macroEnabled.main")
WORD = retyped("application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml")
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
PASSWORD = OLE + "EncryptedPackage".encode("utf-16-le") + bytes(100)
ODS = archive({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"},
              zipfile.ZIP_STORED)  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (STRICT, "a workbook in the form Strict Open XML"),
        (BINARY, "a binary Excel workbook (.xlsb)"),
        (WORD, "an Office file that is no workbook"),
        (PASSWORD, "a workbook or other Office file with a password"),
        (OLE, "an old Excel workbook (.xls), not CSV"),
        (ODS, "an OpenDocument file (.ods), not CSV"),
        (archive({"list.csv": "name"}), "a ZIP archive, not CSV"),
    ],
    ids=["strict", "xlsb", "docx", "password", "xls", "ods", "zip"],
)
def test_another_kind_of_file_is_named_with_what_to_do(
    tmp_path: Path, raw: bytes, problem: str
) -> None:
    (fault,) = listed(tmp_path, raw).faults
    assert fault.problem.startswith(problem)
    assert fault.code is FaultCode.NOT_A_LIST and fault.remedy


@pytest.mark.parametrize("name", ["list.xlsx", "list.csv", "list.jsonl", "list"])
def test_a_workbook_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    found = listed(tmp_path, GOOD, name)
    assert (len(found.rows), found.faults, found.is_workbook) == (1, (), True)


def test_a_workbook_with_macros_is_read_for_its_values() -> None:
    raw = retyped("application/vnd.ms-excel.sheet.macroEnabled.main+xml")
    listing = read_sheet_rows(archive(parts_of(raw) | {"xl/vbaProject.bin": b"macro"}))
    assert (len(listing.rows), listing.faults) == (1, [])


def test_only_a_list_may_be_a_workbook(tmp_path: Path) -> None:
    (tmp_path / "map.xlsx").write_bytes(GOOD)
    (fault,) = read_source(tmp_path / "map.xlsx", "utf-8").faults
    assert fault.problem.startswith("an Excel workbook")


# --- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_workbook_that_is_cut_is_one_fault(tmp_path: Path, share: float) -> None:
    (fault,) = listed(tmp_path, GOOD[: int(len(GOOD) * share)]).faults
    assert fault.code is FaultCode.DAMAGED_WORKBOOK


@pytest.mark.parametrize("part", sorted(parts_of(GOOD)))
@pytest.mark.parametrize(
    "damage",
    [lambda text: b"", lambda text: text[: len(text) // 2], lambda text: b"<a>" + text,
     lambda text: text.replace(b"<", b"[", 3)],
    ids=["empty", "cut", "not well-formed", "no XML"],
)  # fmt: skip
def test_a_damaged_part_is_one_fault_or_does_not_matter(
    part: str, damage: Callable[[bytes], bytes]
) -> None:
    listing = read_sheet_rows(changed(GOOD, **{part: damage(parts_of(GOOD)[part])}))
    if listing.faults:
        assert [fault.code for fault in listing.faults] == [FaultCode.DAMAGED_WORKBOOK]
    else:
        assert [row.values["name"] for row in listing.rows] == [ROW[0]]


@pytest.mark.parametrize(
    "part",
    [
        "[Content_Types].xml",
        "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels",
        "xl/worksheets/sheet1.xml",
    ],
)
def test_a_part_that_is_missing_is_one_fault(part: str) -> None:
    parts = parts_of(GOOD)
    del parts[part]
    assert the_fault(archive(parts)).code is FaultCode.DAMAGED_WORKBOOK


def test_any_changed_byte_gives_the_residents_or_faults_and_never_an_exception() -> None:
    chance = random.Random(543)
    for _ in range(150):
        raw = bytearray(GOOD)
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        listing = read_sheet_rows(bytes(raw))
        assert listing.faults or [row.values["name"] for row in listing.rows] == [ROW[0]]


def test_two_parts_of_one_name_are_damage() -> None:
    raw = archive(parts_of(GOOD) | {"xl/worksheets/sheet9.xml": b"<a/>"})
    double = raw.replace(b"xl/worksheets/sheet9.xml", b"xl/worksheets/sheet1.xml")
    assert the_fault(double).code is FaultCode.DAMAGED_WORKBOOK


def test_a_shared_string_that_is_not_there_is_damage() -> None:
    raw = by_hand('<row r="1"><c r="A1" t="s"><v>7</v></c></row>')
    assert the_fault(raw).code is FaultCode.DAMAGED_WORKBOOK


def test_merged_cells_that_overlap_are_damage() -> None:
    merged = "".join(f'<mergeCell ref="A1:A{n}"/>' for n in range(3, 30))
    data = inline(2, HEADER) + inline(3, ROW)
    after = f"<mergeCells>{merged.replace('A1:', 'A3:').replace('A3:A3', 'B3:B4')}</mergeCells>"
    assert FaultCode.DAMAGED_WORKBOOK in {
        fault.code for fault in read_sheet_rows(by_hand(data, after=after)).faults
    }


def test_the_refusal_is_a_card_error_with_its_problem() -> None:
    with pytest.raises(WorkbookRefused, match="the workbook is damaged or cut"):
        open_workbook(b"PK\x03\x04")
    assert not is_workbook(b"name,sex\n")
    assert MAIN in parts_of(GOOD)["xl/workbook.xml"].decode()


# --- which sheet --------------------------------------------------------------------------


def test_the_only_visible_sheet_with_content_is_the_list() -> None:
    book = new({"空": [[]], "旧": [HEADER, ROW, ROW], "人员": [HEADER, ROW]})
    book["旧"].sheet_state = "hidden"
    listing = read_sheet_rows(saved(book))
    assert (listing.sheet, len(listing.rows), listing.faults) == ("人员", 1, [])


def test_two_sheets_with_content_are_named_with_the_option() -> None:
    raw = workbook({"人员": [HEADER, ROW], "说明": [["x"]], "空": []})
    fault = the_fault(raw)
    assert fault.code is FaultCode.WHICH_SHEET
    assert fault.problem == "2 sheets have content: 人员, 说明"
    assert fault.remedy.endswith("--sheet 人员")
    assert len(read_sheet_rows(raw, "人员").rows) == 1


def test_a_sheet_that_is_asked_for_may_be_hidden_and_must_be_there() -> None:
    book = new({"人员": [HEADER, ROW], "旧": [HEADER, ROW, ROW]})
    book["旧"].sheet_state = "veryHidden"
    assert len(read_sheet_rows(saved(book), "旧").rows) == 2
    fault = the_fault(saved(book), "九")
    assert fault.code is FaultCode.WHICH_SHEET
    assert fault.remedy.endswith("人员, 旧")


def test_a_workbook_without_content_is_told() -> None:
    assert the_fault(workbook({"a": [[]], "b": []})).code is FaultCode.EMPTY_FILE


def test_a_chart_sheet_is_no_list() -> None:
    book = residents()
    chart = BarChart()
    chart.add_data(Reference(sheet_of(book), min_col=2, min_row=1, max_row=2))
    book.create_chartsheet("图").add_chart(chart)
    assert len(read_sheet_rows(saved(book)).rows) == 1
