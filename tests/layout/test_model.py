"""The four tables as the specification counts them: files, fields, keys, columns."""

import csv
from importlib.resources import files as package_files

import pytest

from cardlib.layout import (
    COLUMNS,
    FILE_BY_PATH,
    FILES,
    KEY_BY_NAME,
    KEYS,
    FieldSpec,
    FileSpec,
    Kind,
    Structure,
)
from cardlib.layout.model import NEVER

DISTINCT = [file for file in FILES if file.path[-4:-2] not in ("EE", "ED") or file.path[-1] == "1"]
"""Files whose fields have lines of their own in fields.csv: one of EE0n, one of ED0n."""


def rows(table: str) -> list[dict[str, str]]:
    text = (package_files("cardlib.layout") / table).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_there_are_22_published_files_and_3_of_ours() -> None:
    assert len(FILES) == 25
    assert sum(file.origin == "standard" for file in FILES) == 22
    ours = [file.path for file in FILES if file.origin == "extension"]
    assert ours == ["DDF1/EF09", "DDF1/DF04/EF05", "DDF1/DF05/EF05"]


def test_there_are_401_fields() -> None:
    assert sum(len(file.fields) for file in DISTINCT) == 401 == len(rows("fields.csv"))


@pytest.mark.parametrize(("slots", "fields", "size"), [("EE", 149, 1893), ("ED", 172, 3267)])
def test_visit_records_have_their_counts_and_sums(slots: str, fields: int, size: int) -> None:
    found = [file for file in FILES if f"/{slots}" in file.path]
    assert len(found) == {"EE": 3, "ED": 5}[slots]
    for file in found:
        assert (len(file.fields), file.size, file.record_length(1)) == (fields, size, size)
        assert sum(field.length for field in file.fields) == size
        assert {field.path for field in file.fields} == {file.path}
        assert [f.name for f in file.fields] == [f.name for f in found[0].fields]


def test_there_are_30_keys_and_the_numbers_of_the_sam_are_theirs_alone() -> None:
    assert len(KEYS) == 30
    assert len({key.sam_key_id for key in KEYS}) == 30
    assert {key.levels for key in KEYS} == {1, 2}
    assert all(key.sam_usage >> 5 == key.levels for key in KEYS)
    assert all(key.sam_usage & 0x1F in (7, 8) for key in KEYS)
    authenticates = {key.role for key in KEYS if key.sam_usage & 0x1F == 7}
    assert authenticates == {"RK", "UK", "LK", "BK", "IRK"}
    assert {key.role for key in KEYS if key.sam_usage & 0x1F == 8} == {"STK", "STM", "PUK"}


def test_key_references_are_unique_for_each_command_in_a_directory() -> None:
    for path in {key.df_path for key in KEYS}:
        for command in ({"IRK"}, {"RK", "UK", "LK", "BK"}, {"STK", "STM"}, {"PUK"}):
            held = [k.reference for k in KEYS if k.df_path == path and k.role in command]
            assert len(held) == len(set(held))
    assert KEY_BY_NAME["IRK_DDF1"].reference == KEY_BY_NAME["RK1_DDF1"].reference == 0x04


def test_a_reference_has_bit_8_exactly_where_the_key_is_of_a_df_below_ddf1() -> None:
    for key in KEYS:
        assert bool(key.reference & 0x80) == key.df_path.startswith("DDF1/"), key.name


@pytest.mark.parametrize(
    ("name", "role", "home"),
    [("UK3_DF02", "UK", "DDF1/DF02"), ("IRK_DDF1", "IRK", "DDF1"), ("BK_MF", "BK", "MF")],
)
def test_a_keys_name_says_its_role_and_its_directory(name: str, role: str, home: str) -> None:
    assert (KEY_BY_NAME[name].role, KEY_BY_NAME[name].df_path) == (role, home)


def test_record_numbers_follow_the_order_of_the_fields() -> None:
    tags = [field.tag for field in FILE_BY_PATH["DDF1/EF05"].fields]
    assert (tags[6], tags[7], tags[8], tags[9]) == (0x08, 0x09, 0x0A, 0x39)
    for file in FILES:
        if file.is_tlv:
            assert len(file.fields) == file.records
            assert [field.record for field in file.fields] == list(range(1, file.records + 1))
            assert len({field.tag for field in file.fields}) == file.records
            assert all(field.tag and field.length < 0xFF for field in file.fields)
        else:
            assert all(field.tag is None and field.record == 0 for field in file.fields)


def test_tags_are_unique_over_the_whole_card() -> None:
    tags = [field.tag for file in FILES for field in file.fields if field.tag is not None]
    assert len(tags) == len(set(tags))


def test_fields_of_a_record_follow_one_another_without_gaps() -> None:
    for file in FILES:
        end = 0
        for field in () if file.is_tlv else file.fields:
            assert field.offset == end, (file.path, field.name)
            end += field.length


@pytest.mark.parametrize(
    ("path", "line", "records", "size", "structure"),
    [
        ("DDF1/EF05", 0x01, 10, 284, Structure.LINEAR_VARIABLE_TLV),
        ("DDF1/EF07", 0x03, 1, 3072, Structure.TRANSPARENT),
        ("DDF1/DF02/EF05", 0x09, 15, 84, Structure.LINEAR_VARIABLE_TLV),
        ("DDF1/DF02/EF08", 0x0C, 10, 240, Structure.CYCLIC),
        ("DDF1/DF03/EF06", 0x0E, 5, 5, Structure.LINEAR_FIXED),
        ("DDF1/DF05/EF05", 0x19, 20, 640, Structure.LINEAR_FIXED),
    ],
)
def test_files_have_their_line_and_size(
    path: str, line: int, records: int, size: int, structure: Structure
) -> None:
    file = FILE_BY_PATH[path]
    assert (file.line, file.records, file.size, file.structure) == (line, records, size, structure)
    assert FILES[line - 1] is file


def test_every_key_of_a_file_is_a_key_of_its_directory_or_never() -> None:
    for file in FILES:
        for name in (file.read_key, file.update_key, file.erase_key):
            if name not in ("", NEVER):
                assert KEY_BY_NAME[name].df_path == file.df_path, file.path
        roles = {KEY_BY_NAME[name].role for name in (file.read_key,) if name}
        assert roles <= {"RK"}


def test_only_the_bank_link_asks_for_the_holder() -> None:
    assert [file.path for file in FILES if file.holder_present] == ["DDF1/DF04/EF05"]


def test_emergency_data_never_asks_for_the_holder_and_issuer_data_is_free() -> None:
    assert not FILE_BY_PATH["DDF1/DF02/EF05"].holder_present
    assert [file.path for file in FILES if not file.read_key] == ["DDF1/EF05"]


def test_every_column_fills_a_field_that_exists_and_no_two_the_same() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS) == len(rows("columns.csv"))
    targets = set()
    for column in COLUMNS:
        file = FILE_BY_PATH[column.path]
        assert 0 <= column.record <= file.records
        names = [field.name for field in file.fields_of(column.record or 1)]
        assert column.field in names, column.name
        targets.add((column.path, column.record, column.field))
    assert len(targets) == len(COLUMNS)


def test_every_line_of_the_kinds_table_is_of_a_field_that_exists() -> None:
    used = {(field.kind, field.table) for file in FILES for field in file.fields}
    for row in rows("kinds.csv"):
        assert (Kind(row["kind"]), row["table"]) in used, row["field"]


def _kind_fits(field: FieldSpec) -> bool:
    lengths = {Kind.DATE: 4, Kind.DATETIME: 7, Kind.FLAG: 1, Kind.MARK: 1, Kind.AID: 16}
    codings = {
        Kind.TEXT: ("ans",), Kind.ASCII: ("ans",),
        Kind.CODE: ("ans", "cn", "b"), Kind.FLAG: ("b",), Kind.MARK: ("b",),
        Kind.PHOTO: ("b",), Kind.DER: ("b",), Kind.AID: ("b",), Kind.BINARY: ("b",),
        Kind.SIGNATURE: ("b",),
    }  # fmt: skip
    length = lengths.get(field.kind, field.length)
    return field.length == length and field.coding in codings.get(field.kind, ("cn",))


@pytest.mark.parametrize("file", DISTINCT, ids=lambda file: file.path)
def test_every_field_has_a_kind_that_fits_its_coding_and_a_label_in_both_languages(
    file: FileSpec,
) -> None:
    for field in file.fields:
        assert _kind_fits(field), field.name
        assert bool(field.table) == (field.kind is Kind.CODE), field.name
        assert field.label_zh and field.label_en[0].isupper()
    assert file.title and file.title_zh


def test_english_labels_keep_abbreviations_in_capitals() -> None:
    field = FILE_BY_PATH["DDF1/DF02/EF05"].fields[0]
    assert (field.name, field.label_en) == ("abo_blood_group", "ABO blood group")
