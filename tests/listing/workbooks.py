"""Workbooks for tests: by openpyxl, and by hand where openpyxl cannot write what is needed."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
HEADER = ("name", "sex", "birth_date", "card_number", "card_category", "issuer_name",
          "issuer_code", "city_code", "resident_id_number")  # fmt: skip
ROW = ("王䶮", "2", "19491231", "11010519491231002X", "1", "示例市第一人民医院",
       "990000123456", "990100", "11010519491231002X")  # fmt: skip
LETTER = dict(zip(HEADER, "ABCDEFGHI", strict=True))


def new(sheets: Mapping[str, Sequence[Sequence[object]]]) -> Workbook:
    """A workbook with these rows in its sheets; "" is no cell."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([None if value == "" else value for value in row])
    return book


def sheet_of(book: Workbook) -> Worksheet:
    return book.worksheets[0]


def cell_of(book: Workbook, address: str) -> Cell:
    cell = sheet_of(book)[address]
    assert isinstance(cell, Cell)
    return cell


def saved(book: Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    return saved(new(sheets))


def residents(*rows: Sequence[object], header: Sequence[object] = HEADER) -> Workbook:
    return new({"人员": [header, *(rows or [ROW])]})


def parts_of(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(parts: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in parts.items():
            undated = zipfile.ZipInfo(name)
            file.writestr(undated, content, method)
    return out.getvalue()


def changed(raw: bytes, **parts: bytes | str) -> bytes:
    """A workbook with parts changed: sheet, strings, book, types, or by their own names."""
    names = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml",
             "book": "xl/workbook.xml", "types": "[Content_Types].xml"}  # fmt: skip
    return archive(parts_of(raw) | {names.get(k, k): v for k, v in parts.items()})


def by_hand(
    data: str, *, after: str = "", before: str = "", strings: str = "", main: str = MAIN
) -> bytes:
    """A workbook with one sheet, 人员, whose sheetData is given as XML, and its shared strings."""
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    overrides = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{kinds}{kind}+xml"/>'
        for part, kind in (("workbook", "sheet.main"), ("worksheets/sheet1", "worksheet"),
                           ("sharedStrings", "sharedStrings"))
    )  # fmt: skip
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/{kind}" Target="{target}.xml"/>'
        for n, (kind, target) in enumerate(
            [("worksheet", "worksheets/sheet1"), ("sharedStrings", "sharedStrings")]
        )
    )
    return archive({
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{overrides}'
        "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r0" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="人员" sheetId="1" r:id="r0"/></sheets></workbook>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}">{before}<sheetData>{data}'
        f"</sheetData>{after}</worksheet>",
    })  # fmt: skip


def inline(number: int, values: Sequence[str], attributes: str = "") -> str:
    """A row of inline strings, as XML."""
    cells = "".join(
        f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t xml:space="preserve">'
        f"{escape(value)}</t></is></c>"
        for place, value in enumerate(values)
    )
    return f'<row r="{number}" {attributes}>{cells}</row>'
