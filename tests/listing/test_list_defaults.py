"""Defaults for columns that a whole list lacks: when they are taken, and when not."""

import csv
import io
import json

from personalize.listing.list_defaults import DefaultsSurvey, Filling, ListDefaults
from personalize.listing.list_rows import read_rows
from personalize.listing.rows import REQUIRED, Listing

ISSUER = {"issuer_name": "示例市卫生健康委员会", "issuer_code": "99010001234"}
CITY = {"city_code": "990100"}
DEFAULTS = ListDefaults(ISSUER | CITY)
OWN = [name for name in (*REQUIRED, "document_number") if name not in ISSUER | CITY]


def survey(listing: Listing) -> Filling:
    found = DefaultsSurvey(DEFAULTS)
    for row in listing.rows:
        found.add(row)
    return found.found(listing.faults)


def listed(*rows: dict[str, str], as_json: bool = False) -> Listing:
    """A list with these values beside the columns that have no default."""
    whole = [dict.fromkeys(OWN, "1") | row for row in rows]
    if as_json:
        text = "\n".join(json.dumps(row) for row in whole)
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, [*whole[0]])
        writer.writeheader()
        writer.writerows(whole)
        text = file.getvalue()
    return read_rows(text, is_json=as_json)


def filled(*rows: dict[str, str], as_json: bool = False) -> Filling:
    return survey(listed(*rows, as_json=as_json))


def test_a_list_without_issuer_and_city_gets_both_for_all_residents() -> None:
    for as_json in (False, True):
        found = filled({}, {}, as_json=as_json)
        assert not found.faults and not found.why_no_city
        assert [(f.column, f.value, f.count) for f in found.filled] == [
            (column, value, 2) for column, value in DEFAULTS.values.items()
        ]
        for row in map(found.of, listed({}, {}, as_json=as_json).rows):
            assert {column: row.values[column] for column in DEFAULTS.values} == DEFAULTS.values
            assert not row.faulty


def test_a_value_of_the_list_stands_over_the_default_and_a_blank_one_stays_blank() -> None:
    own = {"issuer_name": "b", "issuer_code": ISSUER["issuer_code"], "city_code": ""}
    found, (row,) = filled(own), listed(own).rows
    assert (found.filled, dict(found.of(row).values)["city_code"]) == ((), "")


def test_name_and_code_of_the_issuer_are_taken_together_or_not_at_all() -> None:
    found = filled({"issuer_name": "b"} | CITY)
    assert not found.filled
    assert [fault.field for fault in found.faults] == ["issuer_code"]


def test_a_city_is_taken_only_where_every_resident_has_its_issuer() -> None:
    assert [f.column for f in filled(ISSUER, ISSUER).filled] == ["city_code"]
    for as_json in (False, True):
        found = filled(ISSUER, ISSUER | {"issuer_code": "1"}, as_json=as_json)
        assert not found.filled
        assert "it is for issuer_code 99010001234, and line" in found.why_no_city
    assert [fault.field for fault in filled(ISSUER | {"issuer_code": "1"}).faults] == ["city_code"]


def test_a_value_that_cannot_be_read_is_not_lacking() -> None:
    row = dict.fromkeys(OWN, "1") | {"issuer_code": 5}
    listing = read_rows(json.dumps(row), is_json=True)
    found = survey(listing)
    assert not found.filled and [fault.field for fault in found.faults] == ["issuer_code"]


def test_a_list_without_residents_is_not_made_right() -> None:
    listing = read_rows(",".join(OWN) + "\n", is_json=False)
    found = survey(listing)
    assert found.faults == tuple(listing.faults) and found.faults
