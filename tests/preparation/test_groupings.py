"""Data groupings: what is given travels, what is blank does not, and nothing of the chip."""

import pytest

from cardlib.errors import FormatError
from cardlib.layout import FILES, FieldValue, State, Structure, dgi_of_record, record_of_dgi
from cardlib.layout.load import Grouping
from cardlib.layout.records import decode_record
from personalize.preparation.groupings import lay_out

ISSUER = {"spec_version": "1.0", "issue_date": "20261123", "security_code": "123"}
COLUMNS = {
    "card_category": "1",
    "issuer_name": "示例",
    "issuer_code": "990000123456",
    "card_number": "E65381318",
    "city_code": "990100",
}
JPEG = b"\xff\xd8picture\xff\xd9"


Groupings = tuple[Grouping, ...]


def laid(columns: dict[str, str], jpeg: bytes | None = None) -> Groupings:
    return lay_out(COLUMNS | columns, ISSUER, jpeg)


def read_back(found: Groupings) -> dict[tuple[str, int], dict[str, FieldValue]]:
    """Every record of the groupings, decoded by the layout alone."""
    records = {}
    for dgi, value in found:
        place = record_of_dgi(dgi)
        assert place
        file, record = place
        raw = value
        if file.structure is Structure.TRANSPARENT:
            raw = value.ljust(file.size, b"\xff")
        fields = decode_record(file, max(record, 1), raw)
        records[file.path, max(record, 1)] = {each.field.name: each for each in fields}
    return records


def texts(found: Groupings) -> dict[tuple[str, int], dict[str, str]]:
    """The texts of each record's written fields."""
    return {
        place: {name: each.text for name, each in fields.items() if each.text}
        for place, fields in read_back(found).items()
    }


def test_the_issuer_file_is_whole_but_for_the_chip() -> None:
    dgis = [dgi for dgi, _ in laid({})]
    assert dgis == [0x0101, 0x0102, 0x0103, 0x0104, 0x0105, 0x0106, 0x0107, 0x0108, 0x010A]


def test_the_certificate_is_unwritten() -> None:
    certificate = dict(laid({}))[0x0105]
    assert certificate == b"\x05\xb4" + b"\xff" * 180


def test_a_blank_value_is_not_written() -> None:
    found = laid({"name": "王䶮", "phone_1": "", "phone_2": "1"})
    assert {dgi for dgi, _ in found} >= {0x0201, 0x0403}
    assert 0x0402 not in dict(found)
    assert texts(found)["DDF1/EF08", 3] == {"phone_2": "1"}


def test_cyclic_gaps_are_closed_in_order() -> None:
    found = laid({"allergen_1": "", "allergen_3": "c", "allergen_2": "b", "vaccine_10": "v"})
    assert texts(found)["DDF1/DF02/EF07", 1] == {"allergen": "b"}
    assert texts(found)["DDF1/DF02/EF07", 2] == {"allergen": "c"}
    assert texts(found)["DDF1/DF02/EF08", 1] == {"vaccine": "v"}
    assert {0x0B01, 0x0B02, 0x0C01} <= dict(found).keys()


def test_hospital_links_keep_their_number() -> None:
    found = laid({"hospital_organization_code_3": "44510003-9"})
    assert texts(found)["DDF1/DF05/EF05", 3] == {"hospital_organization_code": "44510003-9"}
    assert 0x1903 in dict(found)


def test_of_the_photo_only_the_picture_travels() -> None:
    found = laid({"photo_file": "a.jpg"}, JPEG)
    assert dict(found)[0x0300] == bytes((0, len(JPEG))) + JPEG
    assert texts(found)["DDF1/EF07", 1] == {"photo": JPEG.hex().upper()}


def test_without_a_photo_its_file_stays_unwritten() -> None:
    found = laid({})
    assert 0x0300 not in dict(found)


def test_groupings_are_in_order_and_none_is_the_stations() -> None:
    found = laid({"name": "a", "bank_code": "1", "bank_link_date": "20261101"}, JPEG)
    dgis = [dgi for dgi, _ in found]
    assert dgis == sorted(set(dgis))
    assert not [d for d in dgis if d in (0x0109, 0x8010, 0x9010, 0x1700) or d >> 8 == 0x81]


def test_groupings_give_back_the_values() -> None:
    found = laid({"name": "王䶮", "asthma": "0", "vaccine_2": "v"}, JPEG)
    assert {place: fields for place, fields in texts(found).items() if fields} == {
        ("DDF1/EF05", 1): {"card_category": "1"},
        ("DDF1/EF05", 2): {"spec_version": "1.0"},
        ("DDF1/EF05", 3): {"issuer_name": "示例"},
        ("DDF1/EF05", 4): {"issuer_code": "990000123456"},
        ("DDF1/EF05", 6): {"issue_date": "20261123"},
        ("DDF1/EF05", 7): {"card_number": "E65381318"},
        ("DDF1/EF05", 8): {"security_code": "123"},
        ("DDF1/EF05", 10): {"city_code": "990100"},
        ("DDF1/EF06", 1): {"name": "王䶮"},
        ("DDF1/EF07", 1): {"photo": JPEG.hex().upper()},
        ("DDF1/DF02/EF05", 3): {"asthma": "0"},
        ("DDF1/DF02/EF08", 1): {"vaccine": "v"},
    }
    assert read_back(found)["DDF1/DF02/EF05", 3]["asthma"].state is State.NEGATIVE


def test_every_file_has_groupings_of_its_own() -> None:
    assert len({dgi_of_record(file, 1) for file in FILES}) == len(FILES)


def test_a_value_that_does_not_fit_is_never_cut() -> None:
    with pytest.raises(FormatError, match="too long"):
        laid({"name": "长" * 16})
