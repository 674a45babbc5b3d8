"""Parquet: the rows of a CSV file, columns of text only, and damaged files as one clear error."""

import builtins
import csv
import datetime
import decimal
import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalize.listing import parquet_rows
from personalize.listing.columns import COLUMN_BY_NAME, label_of
from personalize.listing.extras import ExtraMissing
from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_faults import ListFault
from personalize.listing.resident_list import ResidentList, read_list
from personalize.listing.source import MOST_LINES
from personalize.sample.sample_batch import SAMPLE

with SAMPLE.open(encoding="utf-8", newline="") as sample:
    ROWS = list(csv.DictReader(sample))
COLUMNS: dict[str, list[str]] = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def packed(columns: dict[str, Any], **how: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **how)
    return file.getvalue()


def listed(folder: Path, raw: bytes) -> ResidentList:
    (folder / "list.parquet").write_bytes(raw)
    return read_list(folder / "list.parquet")


def the_fault(found: ResidentList) -> ListFault:
    (fault,) = found.faults
    assert fault.remedy
    return fault


def values(found: ResidentList) -> list[dict[str, str]]:
    return [dict(row.values) for row in found.rows]


@pytest.mark.parametrize(
    "how",
    [{}, {"use_dictionary": False}, {"row_group_size": 7}, {"compression": "zstd"},
     {"compression": "gzip", "data_page_version": "2.0"}, {"data_page_size": 64}],
    ids=str,
)  # fmt: skip
def test_the_rows_are_those_of_the_csv_file(tmp_path: Path, how: dict[str, Any]) -> None:
    found = listed(tmp_path, packed(COLUMNS, **how))
    assert (found.faults, len(found.rows), found.is_parquet) == ((), len(ROWS), True)
    for _ in range(2):
        assert values(found) == ROWS
    assert [row.line for row in found.rows] == list(range(1, len(ROWS) + 1))


def test_titles_may_be_chinese_and_texts_of_any_kind_of_string(tmp_path: Path) -> None:
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
    columns = {
        label_of(COLUMN_BY_NAME[name]): pa.array(texts, pa.string()).cast(kinds[place % 3])
        for place, (name, texts) in enumerate(COLUMNS.items())
    }
    found = listed(tmp_path, packed(columns))
    assert (found.faults, values(found)) == ((), ROWS)


def test_null_is_blank_and_a_blank_row_is_passed_over(tmp_path: Path) -> None:
    columns = {name: [None, *texts[:2], None, ""] for name, texts in COLUMNS.items()}
    columns["address_1"] = [None] * 5
    found = listed(tmp_path, packed(columns))
    assert found.faults == ()
    assert values(found) == [row | {"address_1": ""} for row in ROWS[:2]]
    assert [row.line for row in found.rows] == [2, 3]


OTHER_TYPES = {
    "int64": pa.array([None, 990121199001011234]),
    "double": pa.array([None, 9.90121199001011e17]),
    "decimal128(18, 0)": pa.array([None, decimal.Decimal(990121199001011234)]),
    "date32[day]": pa.array([None, datetime.date(1990, 1, 1)]),
    "timestamp[us]": pa.array([None, datetime.datetime(1990, 1, 1)]),
    "bool": pa.array([None, True]),
    "binary": pa.array([None, b"99012119"]),
    "fixed_size_binary[2]": pa.array([None, b"99"], pa.binary(2)),
    "list": pa.array([None, ["99012119"]]),
    "struct": pa.array([None, {"secret": "99012119"}]),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_a_column_of_another_type_is_one_fault_with_row_and_type_and_no_value(
    tmp_path: Path, kind: str
) -> None:
    columns = {name: texts[:2] for name, texts in COLUMNS.items()}
    found = listed(tmp_path, packed(columns | {"card_number": OTHER_TYPES[kind]}))
    fault = the_fault(found)
    assert (fault.code, fault.field, fault.line) == (FaultCode.WRONG_COLUMN_TYPE, "card_number", 2)
    assert fault.problem == f"the column is {kind}, not text; row 2 is the first with a value"
    assert "99" not in str(fault.as_dict())
    assert "secret" not in str(fault.as_dict())
    assert all(row.faulty == {"card_number"} for row in found.rows)


def test_a_column_of_another_type_without_a_value_is_blank(tmp_path: Path) -> None:
    nothing = {"address_1": pa.nulls(2), "phone_1": pa.nulls(2, pa.int64())}
    columns = {name: texts[:2] for name, texts in COLUMNS.items()}
    assert listed(tmp_path, packed(columns | nothing)).faults == ()


def test_unknown_missing_and_untitled_columns_are_told_as_in_csv(tmp_path: Path) -> None:
    columns = {name: texts for name, texts in COLUMNS.items() if name != "sex"}
    found = listed(tmp_path, packed(columns | {"": COLUMNS["name"], "shoe": [1] * len(ROWS)}))
    assert {(fault.code, fault.field) for fault in found.faults} == {
        (FaultCode.MISSING_COLUMN, "sex"), (FaultCode.UNKNOWN_COLUMN, "shoe"),
        (FaultCode.UNTITLED_COLUMN, ""),
    }  # fmt: skip


def test_a_byte_that_is_no_text_is_a_fault_of_its_field(tmp_path: Path) -> None:
    raw = packed(COLUMNS, compression="none", use_dictionary=False)
    raw = raw.replace(ROWS[3]["name"].encode(), b"\xff" * len(ROWS[3]["name"].encode()))
    assert "\udcff" in values(listed(tmp_path, raw))[3]["name"]


def test_a_list_without_residents_is_told(tmp_path: Path) -> None:
    found = listed(tmp_path, packed({name: pa.array([], pa.string()) for name in COLUMNS}))
    assert the_fault(found).code == FaultCode.NO_RESIDENTS


# --- damaged, cut and hostile files -----------------------------------------------------


WHOLE = packed({name: texts[:3] for name, texts in COLUMNS.items()}, compression="none")


@pytest.mark.parametrize("left", [5, 100, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_cut_file_is_one_fault(tmp_path: Path, left: int) -> None:
    assert the_fault(listed(tmp_path, WHOLE[:left])).code == FaultCode.DAMAGED_PARQUET


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_changed_anywhere_is_read_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    raw = bytearray(WHOLE)
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        places = st.integers(4, len(raw) - 5) | st.integers(footer, len(raw) - 5)
        raw[data.draw(places)] = data.draw(st.integers(0, 255))
    found = listed(tmp_path, bytes(raw))
    assert all(fault.problem and fault.remedy for fault in found.faults)
    if not found.faults:
        assert len(values(found)) == len(found.rows)


def test_a_changed_value_is_noticed_where_the_pages_have_checksums(tmp_path: Path) -> None:
    """A wrong blood group kills: of the file without checksums nobody can tell."""
    how = {
        "compression": "none", "use_dictionary": False, "write_page_checksum": True,
        "write_statistics": False,
    }  # fmt: skip
    raw = packed({name: texts[:3] for name, texts in COLUMNS.items()}, **how)
    at = raw.index(COLUMNS["name"][0].encode())
    changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
    assert listed(tmp_path, raw).faults == ()
    assert the_fault(listed(tmp_path, changed)).code == FaultCode.DAMAGED_PARQUET


def test_a_text_that_comes_again_and_again_takes_no_more_memory(tmp_path: Path) -> None:
    """Unpacked it would be 2 GB; the file has 50 kB."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["y" * 1_000_000])
    columns = {name: [texts[0]] * 2_000 for name, texts in COLUMNS.items()}
    found = listed(tmp_path, packed(columns | {"address_1": long}))
    assert len({id(row.values["address_1"]) for row in found.rows}) < 100
    assert pa.total_allocated_bytes() < 50 << 20


def test_a_page_that_is_larger_than_the_metadata_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow makes room for what the header of the page says."""
    monkeypatch.setattr(parquet_rows, "_MOST_UNPACKED", 8000)
    raw = packed({"name": ["y" * 3000] * 3}, compression="zstd", write_statistics=False)
    assert FaultCode.FILE_TOO_LARGE not in {each.code for each in listed(tmp_path, raw).faults}
    size = b"\xf8\x2e"
    assert raw.index(size) == 7
    fault = the_fault(listed(tmp_path, raw.replace(size, b"\xff\x7f", 1)))
    assert fault.code in (FaultCode.DAMAGED_PARQUET, FaultCode.FILE_TOO_LARGE)
    fault = the_fault(listed(tmp_path, raw.replace(size, b"\xfe\x7f", 1)))
    assert fault.code == FaultCode.FILE_TOO_LARGE


def test_limits_are_checked_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = packed({"name": pa.nulls(MOST_LINES + 1, pa.string())})
    fault = the_fault(listed(tmp_path, raw))
    assert (fault.code, "200,001" in fault.problem) == (FaultCode.TOO_MANY_LINES, True)
    columns = {f"x{number}": ["1"] for number in range(501)}
    assert the_fault(listed(tmp_path, packed(columns))).code == FaultCode.TOO_MANY_COLUMNS
    monkeypatch.setattr(parquet_rows, "_MOST_GROUPS", 2)
    fault = the_fault(listed(tmp_path, packed(COLUMNS, row_group_size=10)))
    assert fault.code == FaultCode.FILE_TOO_LARGE


def test_an_encrypted_file_is_told(tmp_path: Path) -> None:
    raw = b"PARE" + struct.pack("<I", 21) + bytes(40) + b"PARE"
    assert the_fault(listed(tmp_path, raw)).problem == "an encrypted Parquet file"


def test_without_pyarrow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [each for each in sys.modules if each.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ExtraMissing, match=r"pip install 'rhcard\[parquet\]'"):
        listed(tmp_path, WHOLE)


@pytest.fixture(autouse=True)
def _no_file_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"list.parquet"}
