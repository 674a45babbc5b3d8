"""What a column of an input file may be called: by its name or its Chinese label."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from types import MappingProxyType

from cardlib.layout import COLUMNS, FILE_BY_PATH, Column, FieldSpec, Structure

COLUMN_BY_NAME = MappingProxyType({column.name: column for column in COLUMNS})
ORDER = MappingProxyType({column.name: place for place, column in enumerate(COLUMNS)})

ALLERGIES, IMMUNIZATIONS = "DDF1/DF02/EF07", "DDF1/DF02/EF08"
HOSPITAL_LINKS, BANK_LINK = "DDF1/DF05/EF05", "DDF1/DF04/EF05"
NESTED = MappingProxyType(
    {
        "allergies": ALLERGIES,
        "immunizations": IMMUNIZATIONS,
        "hospital_links": HOSPITAL_LINKS,
        "bank_link": BANK_LINK,
    }
)
"""The members of a JSON record that hold a file's records; the bank's is one object."""

PHOTO_COLUMN = "photo_file"
_BANK_LABEL_PREFIX = "银行"


@cache
def field_of(column: Column) -> FieldSpec:
    """The field that a column fills. For `photo_file` it is the photo."""
    fields = FILE_BY_PATH[column.path].fields
    return next(field for field in fields if field.name == column.field)


def label_of(column: Column) -> str:
    """The column's Chinese label as documented: 姓名, 过敏物质名称_1, 银行关联日期."""
    label = field_of(column).label_zh
    if _is_repeated(column):
        return f"{label}_{column.record}"
    if column.path == BANK_LINK and not label.startswith(_BANK_LABEL_PREFIX):
        return _BANK_LABEL_PREFIX + label
    return label


def column_named(header: str) -> str | None:
    """The column of a header or JSON member: name or label, whatever its case, width or blanks."""
    return columns_by_header().get(folded(header))


def nested_named(header: str) -> str | None:
    """`allergies`, `immunizations`, `hospital_links` or `bank_link`, by name or file title."""
    return _nested().get(folded(header))


def member_named(path: str, member: str) -> str | None:
    """The field of a nested record, by name or Chinese label."""
    text = folded(member)
    for field in FILE_BY_PATH[path].fields:
        if text in (folded(field.name), folded(field.label_zh)):
            return field.name
    return None


@cache
def nested_columns(path: str) -> dict[tuple[int, str], str]:
    """(Record, field) → column. All fields of the bank link count as record 1."""
    return {
        (1 if path == BANK_LINK else column.record, column.field): column.name
        for column in COLUMNS
        if column.path == path
    }


def _entries() -> Iterator[tuple[str, ...]]:
    for path in NESTED.values():
        columns = nested_columns(path)
        for number in sorted({record for record, _ in columns}):
            yield tuple(name for (record, _), name in columns.items() if record == number)


ENTRIES = tuple(_entries())
"""The columns of each entry: of one allergy, one immunization, one hospital link, the bank link."""


def _is_repeated(column: Column) -> bool:
    return FILE_BY_PATH[column.path].structure in (Structure.CYCLIC, Structure.LINEAR_FIXED)


def folded(header: str) -> str:
    """A header as headers are compared: in one width and case, without blanks and underscores."""
    text = unicodedata.normalize("NFKC", header).casefold()
    return "".join(text.split()).replace("_", "")


@cache
def columns_by_header() -> dict[str, str]:
    """Every header that is understood, folded → the name of its column."""
    names = {folded(column.name): column.name for column in COLUMNS}
    for column in COLUMNS:
        names[folded(label_of(column))] = column.name
        if not _is_repeated(column):
            names[folded(field_of(column).label_zh)] = column.name
    return names


@cache
def _nested() -> dict[str, str]:
    names = {folded(name): name for name in NESTED}
    for name, path in NESTED.items():
        title = folded(FILE_BY_PATH[path].title_zh)
        names[title] = names[title.removesuffix("文件")] = name
    return names
