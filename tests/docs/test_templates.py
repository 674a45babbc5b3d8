"""The blank templates have the columns that a list may have, and those that it must have."""

import csv

from cardlib.layout import COLUMNS
from personalize.listing.rows import REQUIRED

from .pages import ROOT

FOLDER = ROOT / "personalize" / "sample"


def header(name: str) -> list[str]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        (row,) = csv.reader(file)
    return row


def test_the_long_template_has_every_column() -> None:
    assert header("residents-all-columns.csv") == [column.name for column in COLUMNS]


def test_the_short_template_has_the_required_columns_and_the_identity_number() -> None:
    assert set(header("residents-required-columns.csv")) == {*REQUIRED, "resident_id_number"}
