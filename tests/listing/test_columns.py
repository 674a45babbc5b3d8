"""What columns may be called: names, Chinese labels, and no two things by one name."""

from collections import Counter
from collections.abc import Iterator

import pytest

from cardlib.layout import COLUMNS, FILE_BY_PATH, Column, Kind, Structure, code_table
from personalize.listing.columns import (
    ENTRIES,
    column_named,
    field_of,
    label_of,
    member_named,
    nested_named,
)
from personalize.listing.rows import REQUIRED
from tests import ROOT

GUIDE = ROOT / "docs" / "reference" / "input.md"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_has_a_name_and_a_label(column: Column) -> None:
    assert column_named(column.name) == column.name
    assert column_named(label_of(column)) == column.name


def test_labels_are_unique() -> None:
    assert [label for label, n in Counter(map(label_of, COLUMNS)).items() if n > 1] == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (" Name ", "name"),
        ("PHONE_1", "phone_1"),
        ("姓名", "name"),
        ("本人电话1", "phone_1"),
        ("本人电话_1", "phone_1"),
        ("ABO血型代码", "abo_blood_group"),
        ("ＡＢＯ血型代码", "abo_blood_group"),
        ("过敏物质名称_3", "allergen_3"),
        ("过敏物质名称3", "allergen_3"),
        ("关联日期_20", "link_date_20"),
        ("关联日期", "bank_link_date"),
        ("银行关联日期", "bank_link_date"),
        ("银行卡号（掩码）", "bank_account_masked"),
        ("照片", "photo_file"),
        ("过敏物质名称", None),
        ("过敏物质名称_4", None),
        ("issue_date", None),
        ("", None),
    ],
)
def test_headers(header: str, name: str | None) -> None:
    assert column_named(header) == name


def test_nested_records_have_names_and_titles() -> None:
    assert nested_named("allergies") == "allergies"
    assert nested_named("过敏基本数据文件") == "allergies"
    assert nested_named("银行关联") == "bank_link"
    assert nested_named("name") is None


def test_members_have_names_and_labels() -> None:
    assert member_named("DDF1/DF02/EF07", "过敏反应") == "allergic_reaction"
    assert member_named("DDF1/DF04/EF05", "account_masked") == "account_masked"
    assert member_named("DDF1/DF04/EF05", "name") is None


def test_entries_are_whole() -> None:
    assert len(ENTRIES) == 3 + 10 + 20 + 1
    assert ENTRIES[0] == ("allergen_1", "allergic_reaction_1")
    assert len(ENTRIES[-1]) == 11


def test_the_guide_has_every_column_as_it_is() -> None:
    """Its table is this one; after a change of columns, copy what the failure shows."""
    assert "\n".join(guide_table()) in GUIDE.read_text(encoding="utf-8")


def guide_table() -> Iterator[str]:
    yield "| column | label | what goes in | file, record |"
    yield "| --- | --- | --- | --- |"
    for column in COLUMNS:
        name, label, record = column.name, label_of(column), str(column.record)
        structure = FILE_BY_PATH[column.path].structure
        if structure in (Structure.CYCLIC, Structure.LINEAR_FIXED):
            if column.record > 1:
                continue
            name, label = name[:-1] + "n", label[:-1] + "n"
            record = f"n = 1 … {FILE_BY_PATH[column.path].records}"
        elif structure is Structure.TRANSPARENT:
            record = "–"
        required = " **required**" if column.name in REQUIRED else ""
        what = what_goes_in(column) + required
        yield f"| `{name}` | {label} | {what} | {column.path}, {record} |"


def what_goes_in(column: Column) -> str:
    field = field_of(column)
    if field.kind is Kind.CODE:
        table = code_table(field.table)
        return f"code `{table.name}`" + ("" if table.standard == "ours" else f" ({table.standard})")
    if column.name == "city_code":
        return "6 digits (GB/T 2260)"
    if column.name == "resident_id_number":
        return "18 characters (GB 11643)"
    return {
        Kind.TEXT: f"text, {field.length} bytes",
        Kind.DATE: "YYYYMMDD",
        Kind.FLAG: "1 yes, 0 no",
        Kind.DIGITS: f"up to {2 * field.length} digits",
        Kind.AID: "5 to 16 bytes in hexadecimal",
        Kind.PHOTO: "path of a picture",
    }[field.kind]
