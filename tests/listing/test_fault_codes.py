"""Every fault of a list has a code of the table, and some list provokes each code of the table."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cardlib.issuance.local import LocalIssuer
from cardlib.layout import State
from personalize.listing.code_map import Mapper
from personalize.listing.code_map_file import read_code_map
from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_rows import read_rows
from personalize.listing.photos import PhotoError, fit
from personalize.listing.rules import check_value
from personalize.listing.source import MOST_BYTES, MOST_LINES
from tests import DATA
from tests.cards.bureau import prepare_list, store
from tests.listing.workbooks import ROW as RESIDENT
from tests.listing.workbooks import archive, residents, sheet_of, workbook
from tests.listing.workbooks import saved as saved_workbook

GOOD = {
    "card_category": "1",
    "issuer_name": "示例市第一人民医院",
    "issuer_code": "990000123456",
    "card_number": "11010519491231002X",
    "city_code": "990100",
    "name": "王䶮",
    "sex": "2",
    "birth_date": "19491231",
    "resident_id_number": "11010519491231002X",
}
PASSPORT = {"document_type": "03", "document_number": "E12345678"}


def csv_of(*rows: Mapping[str, str]) -> bytes:
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def codes(path: Path, raw: bytes, name: str = "list.csv") -> set[str]:
    """The codes of the faults of a list, as JSON tells them."""
    (path / name).write_bytes(raw)
    found = prepare_list(path / name, date(2026, 11, 20), LocalIssuer(store())).faults
    return {str(json.loads(json.dumps(fault.as_dict()))["code"]) for fault in found}


VALUES: dict[str, list[dict[str, str]]] = {
    "missing-value": [{"name": ""}, {"allergic_reaction_1": "皮疹"}],
    "too-long": [{"name": "长" * 16}, {"issuer_code": "1" * 23}, {"name": "a" * 10_001}],
    "wrong-length": [{"city_code": "4101"}, {"resident_id_number": "1101", "card_number": "1101"}],
    "checksum": [{"resident_id_number": "110105194912310021", "card_number": "110105194912310021"}],
    "invalid-identity-number": [
        {"resident_id_number": "110105194913310021", "card_number": "110105194913310021"},
        {"resident_id_number": "X1010519491231002X", "card_number": "X1010519491231002X"},
    ],
    "invalid-date": [{"birth_date": "1949-12-31"}, {"birth_date": "20010229"}],
    "invalid-flag": [{"asthma": "yes"}],
    "invalid-code": [{"sex": "male"}],
    "not-digits": [{"issuer_code": "12a"}, {"issuer_code": "1.5"}],
    "invalid-aid": [{"bank_payment_application_aid": "A0"}],
    "unmasked-account": [{"bank_account_masked": "6222020000000000005"}],
    "control-character": [{"name": "张\0三"}, {"name": "张\n三"}],
    "invisible-character": [{"name": "王\u200b䶮"}],
    "half-character": [],
    "noncharacter": [{"name": "王\ufdd0"}],
    "private-character": [{"name": "王\ue863"}],
    "lost-character": [{"name": "王\ufffd"}],
    "unassigned-character": [{"name": "王\u0378"}],
    "look-alike": [{"name": "\u2f00"}, {"name": "\uf92c"}, {"name": "Jose\u0301"}],
    "placeholder-character": [{"name": "王?"}, {"address_1": "示例□路"}],
    "escaped-character": [{"name": "王&#19886;"}],
    "misread-text": [{"name": "寮犱笁"}, {"address_1": "锟斤拷"}],
    "masked-value": [{"name": "王*"}, {"phone_1": "199****1537"}],
    "turned-into-truth-value": [{"phone_1": "TRUE"}],
    "lost-zero": [{"phone_1": "9901244275"}],
    "shortened-number": [{"phone_1": "1.99E+10"}],
    "formula": [{"address_1": "=A1"}],
    "formula-error": [{"address_1": "#REF!"}],
    "narrow-column": [{"phone_1": "####"}],
    "text-mark": [{"phone_1": "'199"}, {"phone_1": '"199"'}, {"address_1": "'x"}],
    "reformatted-number": [{"phone_1": "1.0"}, {"phone_1": "430,102"}],
    "turned-into-date": [{"phone_1": "7-Oct"}],
    "no-value-word": [{"name": "NULL"}, {"phone_1": "nan"}, {"address_1": "null"},
                      {"address_1": "(null)"}],
    "document-spelling": [PASSPORT | {"document_number": "e12345678"}],
    "different-numbers": [PASSPORT | {"card_number": "E1"},
                          {"document_type": "01", "document_number": "110105194912310021"}],
    "differs-from-identity": [{"sex": "1"}, {"birth_date": "19491230"}],
    "too-early": [{"link_date_1": "18991231", "hospital_organization_code_1": "1",
                   "hospital_patient_number_1": "1"}, {"expiry_date": "20200101"},
                  {"vaccine_1": "卡介苗", "vaccination_date_1": "19400101"}],
    "too-late": [{"vaccine_1": "卡介苗", "vaccination_date_1": "20261121"},
                 {"expiry_date": "22000101"}],
    "photo-path": [{"photo_file": "../00.jpg"}, {"photo_file": "/etc/passwd"}],
    "no-photo": [{"photo_file": "none.jpg"}],
}  # fmt: skip
HEADER = csv_of(GOOD).splitlines()[0]
ROW = csv_of(GOOD).splitlines()[1]
FILES: dict[str, list[bytes]] = {
    "empty-file": [b"", b",,,\n"],
    "no-residents": [HEADER],
    "wrong-encoding": [csv_of(GOOD).decode().encode("gb18030"),
                       csv_of(GOOD).decode().encode("utf-16")],
    "not-a-list": [b"%PDF-1.7\n", b"PK\x03\x04", b"<html>"],
    "not-text": [csv_of(GOOD) + bytes(1000)],
    "not-json-lines": [b"[{}]"],
    "too-many-lines": [csv_of(GOOD) + b"\n" * (MOST_LINES + 1)],
    "no-header": ["\u00a0\n".encode()],
    "wrong-separator": [b"sep=|\n" + csv_of(GOOD)],
    "too-many-columns": [b",".join(b"c%d" % n for n in range(501))],
    "unknown-column": [HEADER + b",shoe_size\n" + ROW + b",1"],
    "duplicate-column": [HEADER + b",name\n" + ROW + b",x"],
    "missing-column": [HEADER.replace(b",sex", b",phone_1") + b"\n" + ROW],
    "untitled-column": [HEADER + b",\n" + ROW + b",x"],
    "wrong-column-count": [csv_of(GOOD) + b"x,y"],
    "broken-quoting": [HEADER + b'\n"a"b', b'"name', HEADER + b'\n"a'],
    "too-long": [HEADER + b"\n" + b"x" * 131_073],
    "undecoded-byte": [csv_of(GOOD).replace("王".encode(), b"\xb3")],
    "duplicate-holder": [csv_of(GOOD, GOOD)],
}  # fmt: skip
JSON: dict[str, list[bytes]] = {
    "broken-json": [b"{", b"1", b'"x"'],
    "half-character": [json.dumps(GOOD | {"name": "\ud83d"}).encode()],
    "duplicate-column": [json.dumps(GOOD).encode()[:-1] + b', "name": "x"}'],
    "unknown-column": [json.dumps(GOOD | {"shoe_size": "1"}).encode()],
    "too-many-columns": [json.dumps({f"c{n}": "" for n in range(501)}).encode()],
    "wrong-json-type": [
        json.dumps(GOOD | wrong).encode()
        for wrong in (
            {"phone_1": 1},
            {"phone_1": True},
            {"phone_1": ["x"]},
            {"allergies": "x"},
            {"allergies": ["x"]},
        )
    ],
    "too-many-entries": [json.dumps(GOOD | {"allergies": [{"allergen": "x"}] * 4}).encode()],
}
MERGED = residents()
sheet_of(MERGED).merge_cells("A2:A3")
HIDDEN = residents()
sheet_of(HIDDEN).column_dimensions["A"].hidden = True
WORKBOOKS = {
    "damaged-workbook": archive({"[Content_Types].xml": "<"}),
    "which-sheet": workbook({"a": [["x"]], "b": [["y"]]}),
    "number-cell": saved_workbook(residents([1, *RESIDENT[1:]])),
    "merged-cell": saved_workbook(MERGED),
    "hidden-cells": saved_workbook(HIDDEN),
}
PROVOKED_ELSEWHERE = {
    "file-too-large", "not-checked", "rounded-number", "not-read-back",
    "photo-too-large", "not-a-picture", "photo-colours", "no-face", "photo-does-not-fit",
    "duplicate-photo", "unmapped-code", "not-mappable", "duplicate-mapping",
    "wrong-column-type", "damaged-parquet",
}  # fmt: skip
"""By a test of its own in this module."""


def cases(table: Mapping[str, Sequence[object]]) -> list[object]:
    return [pytest.param(code, each, id=code) for code, some in table.items() for each in some]


@pytest.mark.parametrize(("code", "values"), cases(VALUES))
def test_a_wrong_value_has_its_code(code: str, values: dict[str, str], tmp_path: Path) -> None:
    assert code in codes(tmp_path, csv_of(GOOD | values))


def test_without_a_wrong_value_there_is_no_fault(tmp_path: Path) -> None:
    assert codes(tmp_path, csv_of(GOOD)) == set()
    assert codes(tmp_path, json.dumps(GOOD).encode(), "list.jsonl") == set()


@pytest.mark.parametrize(("code", "raw"), cases(FILES))
def test_a_wrong_file_has_its_code(code: str, raw: bytes, tmp_path: Path) -> None:
    assert code in codes(tmp_path, raw)


@pytest.mark.parametrize(("code", "raw"), cases(JSON))
def test_wrong_json_has_its_code(code: str, raw: bytes, tmp_path: Path) -> None:
    assert code in codes(tmp_path, raw, "list.jsonl")


@pytest.mark.parametrize("code", WORKBOOKS)
def test_a_wrong_workbook_has_its_code(code: str, tmp_path: Path) -> None:
    assert codes(tmp_path, WORKBOOKS[code], "list.xlsx") == {code}


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_what_was_not_checked_has_a_code(name: str, tmp_path: Path) -> None:
    lines = [b'"a"b' if name == "list.csv" else b"{"] * 102
    assert "not-checked" in codes(tmp_path, b"\n".join([HEADER, *lines]), name)


def test_parquet_files_have_their_codes(tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in GOOD.items()} | {"sex": [1]}), file)
    assert codes(tmp_path, file.getvalue(), "list.parquet") == {"wrong-column-type"}
    assert codes(tmp_path, file.getvalue()[:-9], "list.parquet") == {"damaged-parquet"}


def test_a_file_that_is_too_large_has_a_code_and_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "list.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (fault,) = prepare_list(tmp_path / "list.csv", date(2026, 11, 20), LocalIssuer(store())).faults
    assert (fault.code, fault.line, bool(fault.remedy)) == ("file-too-large", 1, True)


def test_rounded_numbers_have_a_code() -> None:
    path = DATA / "cases" / "excel-rounded-list.csv"
    found = prepare_list(path, date(2026, 11, 20), LocalIssuer(store())).faults
    assert {fault.code for fault in found} == {"rounded-number"}


def test_what_would_not_read_back_has_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "personalize.listing.rules.decode", lambda field, raw: (State.EMPTY, None, "")
    )
    check_value.cache_clear()
    found = check_value("name", "王䶮").wrong
    check_value.cache_clear()
    assert found and found.code == "not-read-back"


def saved(path: Path, image: Image.Image) -> bytes:
    image.save(path)
    return path.read_bytes()


def photo_codes(folder: Path, raw: bytes) -> set[str]:
    (folder / "photo").write_bytes(raw)
    return codes(folder, csv_of(GOOD | {"photo_file": "photo"}))


def test_wrong_photos_have_their_codes(tmp_path: Path) -> None:
    png = tmp_path / "made.png"
    assert photo_codes(tmp_path, b"no picture") == {"not-a-picture"}
    assert photo_codes(tmp_path, saved(png, Image.new("RGB", (358, 441)))) == {"no-face"}
    assert photo_codes(tmp_path, saved(png, Image.new("1", (30, 20)))) == {"no-face"}
    assert photo_codes(tmp_path, saved(png, Image.new("1", (6000, 6000)))) == {"photo-too-large"}
    assert photo_codes(tmp_path, bytes((32 << 20) + 1)) == {"photo-too-large"}
    tiff = saved(tmp_path / "made.tif", Image.new("F", (358, 441)))
    assert photo_codes(tmp_path, tiff) == {"photo-colours"}


def test_a_photo_that_no_quality_makes_small_has_a_code() -> None:
    with pytest.raises(PhotoError) as caught:
        fit((DATA / "photos" / "00.jpg").read_bytes(), 300)
    assert caught.value.wrong.code == "photo-does-not-fit"


def test_one_photo_of_two_residents_has_a_code(tmp_path: Path) -> None:
    noise = Image.effect_noise((358, 441), 100)
    noise.save(tmp_path / "photo.png")
    other = PASSPORT | {"card_number": "E12345678", "resident_id_number": ""}
    rows = [row | {"photo_file": "photo.png"} for row in (GOOD, GOOD | other)]
    assert codes(tmp_path, csv_of(*rows)) == {"duplicate-photo"}


def test_wrong_maps_and_values_that_they_lack_have_their_codes(tmp_path: Path) -> None:
    source = tmp_path / "map.csv"
    source.write_text("column,from,to\nname,A,1\nsex,M,1\nsex,M,2\n")
    assert {fault.code for fault in read_code_map(source).faults} == {
        "not-mappable", "duplicate-mapping",
    }  # fmt: skip
    source.write_text("column,from,to\nsex,M,1\n")
    (row,) = read_rows(csv_of(GOOD | {"sex": "F"}).decode(), is_json=False).rows
    mapper = Mapper(read_code_map(source))
    mapper.of(row)
    assert {fault.code for fault in mapper.faults} == {"unmapped-code"}


def test_every_code_is_provoked_here_and_is_in_the_table() -> None:
    provoked = VALUES.keys() | FILES.keys() | JSON.keys() | WORKBOOKS.keys() | PROVOKED_ELSEWHERE
    assert provoked == {code.value for code in FaultCode}


def test_codes_are_short_and_each_has_a_meaning() -> None:
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", code) and len(code) < 25 for code in FaultCode)
    assert len({code.meaning for code in FaultCode}) == len(FaultCode)
