"""From a list to cards or faults: the samples, and whatever else a list may hold."""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cardlib.issuance.local import LocalIssuer
from cardlib.keys.issuer import Issuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import COLUMNS, FILE_BY_PATH, FILES, Structure, decode_record, record_of_dgi
from cardlib.layout.tables import read_table
from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_faults import ListFault
from personalize.listing.photos import PhotoShop, fit
from personalize.listing.text_survey import Encoding
from personalize.preparation.batch import Batch
from personalize.preparation.prepare import read_list, validate_all
from personalize.preparation.prepared import PreparedCard
from personalize.preparation.seal import seal
from tests import DATA, ROOT
from tests.cards.bureau import Preparation, prepare_list
from tests.cards.field_values import UNFIT

ISSUED = date(2026, 11, 23)
PLACES = {column.name: column for column in COLUMNS}
REPEATED = {"DDF1/DF02/EF07", "DDF1/DF02/EF08", "DDF1/DF05/EF05"}


ISSUER = LocalIssuer(KeyStore(new_roots()))


def prepare(
    source: Path,
    *,
    encoding: Encoding = "utf-8",
    photo_folder: Path | None = None,
    issuer: Issuer = ISSUER,
) -> Preparation:
    return prepare_list(source, ISSUED, issuer, encoding=encoding, photo_folder=photo_folder)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sample() -> Preparation:
    return prepare(DATA / "residents.csv")


def texts_on_card(card: PreparedCard) -> dict[tuple[str, int, str], str]:
    """What a terminal would read, from the groupings and the layout alone."""
    found = {}
    for dgi, value in card.groupings:
        place = record_of_dgi(dgi)
        assert place
        file, number = place
        transparent = file.structure is Structure.TRANSPARENT
        raw = value.ljust(file.size, b"\xff") if transparent else value
        for read in decode_record(file, number, raw):
            if read.text:
                found[file.path, number, read.field.name] = read.text
    return found


def texts_expected(row: dict[str, str]) -> dict[tuple[str, int, str], str]:
    """What the input says, put where columns.csv says."""
    found = {
        (PLACES[name].path, PLACES[name].record, PLACES[name].field): text
        for name, text in row.items()
        if text and name != "photo_file"
    }
    found["DDF1/EF05", 2, "spec_version"] = "2.0"
    found["DDF1/EF05", 6, "issue_date"] = "20261123"
    found["DDF1/EF05", 8, "security_code"] = ISSUER.security_code(row["card_number"], "20261123")
    if row["photo_file"]:
        jpeg = fit((DATA / row["photo_file"]).read_bytes())
        found["DDF1/EF07", 0, "photo"] = jpeg.hex().upper()
    return found


# --- the samples ------------------------------------------------------------------------


def test_the_known_faults_are_found_and_no_others() -> None:
    found = prepare(DATA / "residents_bad.csv")
    expected = rows("residents_bad_expected.csv")
    assert found.cards == []
    assert [(f.line, f.field) for f in found.faults] == [
        (int(row["line"]), row["field"]) for row in expected
    ]
    for fault, row in zip(found.faults, expected, strict=True):
        assert fault.problem.startswith(row["problem"])
        assert fault.remedy


def test_every_sample_resident_becomes_a_card(sample: Preparation) -> None:
    assert sample.faults == []
    assert len(sample.cards) == 1000
    assert [card.number for card in sample.cards] == list(range(1, 1001))
    assert [card.line for card in sample.cards] == list(range(2, 1002))


def test_every_sample_card_reads_back_what_was_given(sample: Preparation) -> None:
    for card, row in zip(sample.cards, rows("residents.csv"), strict=True):
        assert texts_on_card(card) == texts_expected(row)


def test_what_a_batch_says_of_a_resident_is_on_the_card(sample: Preparation) -> None:
    for card, row in zip(sample.cards, rows("residents.csv"), strict=True):
        assert (card.card_number, card.name) == (row["card_number"], row["name"])
        assert card.region == row["city_code"][:2].encode() + b"000000"


def test_a_security_code_is_the_issuers(sample: Preparation) -> None:
    other = prepare(DATA / "residents.csv", issuer=LocalIssuer(KeyStore(new_roots()))).cards
    codes = [[dict(c.groupings)[0x0108] for c in cards] for cards in (sample.cards, other)]
    assert codes[0] != codes[1]
    assert [c.groupings[:7] for c in sample.cards] == [c.groupings[:7] for c in other]


def test_rare_names_are_in_the_sample_and_survive(sample: Preparation) -> None:
    names = {card.name for card in sample.cards}
    for char in "䶮𠅤㛃·Н":
        assert any(char in name for name in names), char
    assert names == {row["name"] for row in rows("residents.csv")}


def test_csv_and_json_lines_give_the_same_cards(sample: Preparation) -> None:
    from_json = prepare(DATA / "residents.jsonl")
    assert from_json.faults == []
    assert [c.groupings for c in from_json.cards] == [c.groupings for c in sample.cards[:200]]
    assert [card.line for card in from_json.cards] == list(range(1, 201))


def test_preparing_is_deterministic(sample: Preparation) -> None:
    assert prepare(DATA / "residents.csv") == sample


def test_the_source_is_named_by_its_digest(sample: Preparation) -> None:
    raw = (DATA / "residents.csv").read_bytes()
    assert sample.source_sha256 == hashlib.sha256(raw).hexdigest()


def test_a_sample_batch_opens_again(sample: Preparation, tmp_path: Path) -> None:
    residents, out = read_list(DATA / "residents.csv"), tmp_path / "batch"
    header = seal(out, residents, sample.cards, ISSUER, keys=tmp_path / "k", issue_date=ISSUED)
    assert (header.key_store_identity, header.key_version) == (ISSUER.identity, 1)
    batch = Batch.open(out, ISSUER)
    assert list(batch.cards()) == sample.cards
    assert batch.header == header
    for card, row in zip(sample.cards, rows("residents.csv"), strict=True):
        assert batch.holders[ISSUER.holder_hash(row["card_number"])] == card.number


# --- one list, said in other ways -------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "photos", tmp_path / "photos")
    return tmp_path


def head(count: int) -> list[list[str]]:
    with (DATA / "residents.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[: count + 1]


def write(path: Path, lines: list[list[str]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(lines)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_encodings(folder: Path, sample: Preparation, encoding: str) -> None:
    path = write(folder / "list.csv", head(100), encoding)
    asked: Encoding = "gb18030" if encoding == "gb18030" else "utf-8"
    found = prepare(path, encoding=asked)
    assert (found.faults, found.cards) == ([], sample.cards[:100])


def test_gb18030_unasked_is_one_fault(folder: Path) -> None:
    path = write(folder / "list.csv", head(100), "gb18030")
    (fault,) = prepare(path).faults
    assert (fault.line, fault.problem[:9]) == (2, "not UTF-8")


def test_chinese_labels(folder: Path, sample: Preparation) -> None:
    from personalize.listing.columns import COLUMN_BY_NAME, label_of

    lines = head(20)
    lines[0] = [label_of(COLUMN_BY_NAME[name]) for name in lines[0]]
    found = prepare(write(folder / "列表.csv", lines))
    assert (found.faults, found.cards) == ([], sample.cards[:20])


def test_photos_from_another_folder(tmp_path: Path, sample: Preparation) -> None:
    path = write(tmp_path / "list.csv", head(5))
    assert prepare(path, photo_folder=DATA).cards == sample.cards[:5]
    missing = prepare(path).faults
    assert [fault.problem for fault in missing] == ["no such file"] * 4


def test_residents_come_one_by_one(folder: Path) -> None:
    residents = read_list(write(folder / "list.csv", head(3)))
    validated = validate_all(residents, PhotoShop(folder), ISSUED)
    assert [next(validated)[0].line for _ in range(3)] == [2, 3, 4]


def test_a_list_that_cannot_be_read_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        prepare(tmp_path / "none.csv")


def test_faults_come_by_line_and_lines_count_breaks_in_quotes(folder: Path) -> None:
    lines = head(4)
    at = lines[0].index
    lines[2][at("address_1")] = "a\nb"
    lines[3][at("name")] = ""
    lines[3][at("sex")] = "9X"
    lines[4] = lines[4][:-1]
    found = prepare(write(folder / "list.csv", lines))
    assert [(f.line, f.field) for f in found.faults] == [
        (3, "address_1"),
        (5, "name"),
        (5, "sex"),
        (6, ""),
    ]


def test_a_duplicate_is_told_with_the_first_line(folder: Path) -> None:
    lines = head(3)
    found = prepare(write(folder / "list.csv", [*lines, lines[2], lines[2]]))
    assert [(f.line, f.field, f.problem) for f in found.faults] == [
        (5, "card_number", "duplicate of line 3"),
        (6, "card_number", "duplicate of line 3"),
    ]


FOREIGNER = next(row for row in rows("residents.csv") if row["document_type"] == "03")
RESIDENT = next(row for row in rows("residents.csv") if row["document_type"] == "01")


def faults_of(folder: Path, *residents: dict[str, str]) -> list[tuple[int, str, str]]:
    lines = [list(residents[0]), *(list(row.values()) for row in residents)]
    found = prepare(write(folder / "list.csv", lines))
    assert all(fault.remedy for fault in found.faults)
    return [(fault.line, fault.field, fault.problem) for fault in found.faults]


def test_a_duplicate_in_small_letters_is_one_too(folder: Path) -> None:
    small = FOREIGNER["card_number"].lower()
    other = FOREIGNER | {"card_number": small, "document_number": small}
    assert faults_of(folder, FOREIGNER, other) == [
        (3, "card_number", "duplicate of line 2"),
        (3, "document_number", "not only capital letters and digits"),
    ]


def test_one_resident_with_an_identity_card_and_with_a_passport_is_a_duplicate(
    folder: Path,
) -> None:
    passport = {"document_type": "03", "document_number": "E12345678", "card_number": "E12345678"}
    assert faults_of(folder, RESIDENT, RESIDENT | passport) == [
        (3, "resident_id_number", "duplicate of line 2, where it is in card_number")
    ]
    other_way = RESIDENT | passport, RESIDENT
    assert faults_of(folder, *other_way) == [
        (3, "card_number", "duplicate of line 2, where it is in resident_id_number")
    ]


def test_a_passport_that_stands_beside_the_identity_number_elsewhere_is_a_duplicate(
    folder: Path,
) -> None:
    passport = {"document_type": "03", "document_number": FOREIGNER["document_number"]}
    assert faults_of(folder, FOREIGNER, RESIDENT | passport) == [
        (3, "document_number", "duplicate of line 2, where it is in card_number")
    ]


def test_an_identity_number_as_card_number_and_beside_a_passport_is_a_duplicate(
    folder: Path,
) -> None:
    """The second card bears the passport's number: only the identity number tells."""
    number = RESIDENT["resident_id_number"]
    as_card_number = FOREIGNER | {"document_type": "99", "document_number": number,
                                  "card_number": number}  # fmt: skip
    beside_a_passport = RESIDENT | {"document_type": "03", "document_number": "E12345678",
                                    "card_number": "E12345678"}  # fmt: skip
    assert faults_of(folder, as_card_number, beside_a_passport) == [
        (3, "resident_id_number", "duplicate of line 2, where it is in card_number")
    ]


@pytest.mark.parametrize(
    "spelled", ["Ｅ65381318", "E６５３８１３１８", "ⓔ65381318", "E6538\u30001318"]
)
def test_one_document_in_another_width_is_a_duplicate(folder: Path, spelled: str) -> None:
    """Type 99: its number may be any text, so that no rule of spelling finds the second one."""
    first = {"document_type": "99", "document_number": "E65381318", "card_number": "E65381318"}
    again = first | {"document_number": spelled, "card_number": spelled}
    assert faults_of(folder, FOREIGNER | first, FOREIGNER | again) == [
        (3, "card_number", "duplicate of line 2")
    ]


def test_a_document_with_a_character_that_nobody_sees_is_a_duplicate_too(folder: Path) -> None:
    first = {"document_type": "99", "document_number": "E65381318", "card_number": "E65381318"}
    again = first | {"document_number": "E65381318\ufe0f", "card_number": "E65381318\ufe0f"}
    assert faults_of(folder, FOREIGNER | first, FOREIGNER | again) == [
        (3, "card_number", "duplicate of line 2"),
        (3, "document_number", "invisible character U+FE0F"),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [("H12345678", "H1234567801"), ("110105491231002", "11010519491231002X")],
)
def test_a_renewed_number_gets_no_second_card(folder: Path, first: str, second: str) -> None:
    one, other = (
        GOOD
        | {"resident_id_number": "", "document_type": "99", "document_number": number}
        | {"card_number": number}
        for number in (first, second)
    )
    path = folder / "list.jsonl"
    path.write_text(f"{json.dumps(one)}\n{json.dumps(other)}\n", encoding="utf-8")
    assert [fault.code for fault in prepare(path).faults] == [FaultCode.DUPLICATE_HOLDER]


def test_two_numbers_of_two_other_residents_are_two_faults(folder: Path) -> None:
    both = RESIDENT | {"document_type": "03", "document_number": FOREIGNER["document_number"]}
    assert [line[:2] for line in faults_of(folder, RESIDENT, FOREIGNER, both)] == [
        (4, "card_number"),
        (4, "document_number"),
    ]


def photo_of_nobody(path: Path, seed: int) -> str:
    """A picture of its own for each seed, as a file; its name in the list."""
    picture = Image.effect_mandelbrot((179, 221), (-2.0 + seed / 10, -1.5, 1.0, 1.5), 50)
    picture.save(path)
    return path.name


def with_photos(folder: Path, *names: str) -> list[tuple[int, str, str]]:
    """The faults of as many residents as photos."""
    residents = [row | {"photo_file": ""} for row in rows("residents.csv")[: len(names)]]
    for resident, name in zip(residents, names, strict=True):
        resident["photo_file"] = name
    return faults_of(folder, *residents)


def test_one_photo_for_two_residents_names_both_lines(folder: Path) -> None:
    mine, other = (photo_of_nobody(folder / f"{n}.png", n) for n in (1, 2))
    assert with_photos(folder, mine, other) == []
    assert with_photos(folder, mine, other, mine) == [(4, "photo_file", "same photo as line 2")]
    (fault,) = prepare(folder / "list.csv").faults
    assert fault.value == mine
    assert "line 2 or line 4" in fault.remedy


def test_one_photo_under_two_names_is_found(folder: Path) -> None:
    """A copy, and the same pixels in another format."""
    mine = photo_of_nobody(folder / "mine.png", 1)
    shutil.copy(folder / mine, folder / "copy.png")
    photo_of_nobody(folder / "mine.bmp", 1)
    assert with_photos(folder, mine, "copy.png", "mine.bmp", f"./{mine}") == [
        (line, "photo_file", "same photo as line 2") for line in (3, 4, 5)
    ]


def test_two_lists_may_have_one_photo(folder: Path) -> None:
    row = RESIDENT | {"photo_file": photo_of_nobody(folder / "mine.png", 1)}
    path, photos = write(folder / "list.csv", [list(row), list(row.values())]), PhotoShop(folder)
    for _ in range(2):
        assert [faults for _, faults in validate_all(read_list(path), photos, ISSUED)] == [()]


def test_a_photo_of_a_resident_who_stands_twice_is_no_second_fault(folder: Path) -> None:
    row = RESIDENT | {"photo_file": photo_of_nobody(folder / "mine.png", 1)}
    assert faults_of(folder, row, row) == [(3, "card_number", "duplicate of line 2")]


def test_a_photo_that_is_refused_is_told_at_each_line(folder: Path) -> None:
    Image.new("RGB", (358, 441)).save(folder / "black.png")
    told = [(line, "photo_file", "one colour") for line in (2, 3)]
    assert with_photos(folder, "black.png", "black.png") == told


def test_only_the_sample_s_photos_may_be_shared() -> None:
    """They are the files that come with the sample, and no others."""
    listed = read_table(ROOT / "personalize" / "listing" / "sample_photos.csv")
    shipped = ROOT / "personalize" / "sample"
    assert [row["name"] for row in listed] == [
        f"photos/{path.name}" for path in sorted((shipped / "photos").iterdir())
    ]
    for row in listed:
        assert hashlib.sha256((shipped / row["name"]).read_bytes()).hexdigest() == row["sha256"]


def test_one_bad_byte_is_the_fault_of_its_field(folder: Path) -> None:
    path = write(folder / "list.csv", head(3))
    path.write_bytes(path.read_bytes().replace("孙怡若".encode(), "孙".encode()[:2]))
    (fault,) = prepare(path).faults
    assert (fault.line, fault.field) == (3, "name")
    assert fault.problem == "not text in the list's encoding: byte E5"


# --- whatever a list may hold -----------------------------------------------------------

GOOD = rows("residents.csv")[0] | {"photo_file": ""}
texts = st.text(st.characters(codec=None), max_size=12) | st.text("0123456789*", max_size=20)
anything = st.dictionaries(st.sampled_from(sorted(PLACES)), texts, max_size=8)


def told(fault: ListFault) -> str:
    return f"{fault.line} {fault.field} {fault.value} {fault.problem} {fault.remedy}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(anything)
def test_any_text_in_any_column_is_read_back_or_is_a_fault(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(GOOD | changes), encoding="utf-8")
    found = prepare(path)
    assert bool(found.cards) != bool(found.faults)
    for fault in found.faults:
        told(fault).encode("utf-8")
        assert fault.line == 1 and fault.problem and fault.remedy
    for card in found.cards:
        on_card = texts_on_card(card)
        for name, text in changes.items():
            place = PLACES[name]
            if name != "photo_file" and place.path not in REPEATED and text.strip(" \u00a0\u3000"):
                assert on_card[place.path, place.record, place.field] == text.strip(
                    " \u00a0\u3000"
                ), name


fitting = st.fixed_dictionaries(
    {},
    optional={
        column.name: st.text(
            st.characters(exclude_categories=UNFIT),
            min_size=1,
            max_size=FILE_BY_PATH[column.path].fields[0].length // 4 or 1,
        )
        for column in COLUMNS
        if column.name.startswith(("allergen_", "vaccine_", "other_", "address_1", "contact_name"))
    },
)


OF_TEXTS = {
    FaultCode(code)
    for path in ("spreadsheet_damage.csv", "text_damage.csv")
    for code in (row["code"] for row in read_table(ROOT / "personalize" / "listing" / path))
} | {
    FaultCode.TOO_LONG, FaultCode.MISSING_VALUE, FaultCode.LOOK_ALIKE, FaultCode.LOST_CHARACTER,
    FaultCode.INVISIBLE_CHARACTER, FaultCode.MISREAD_TEXT,
}  # fmt: skip
"""What may be wrong with a text, whatever its script."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(fitting)
def test_text_of_any_script_that_fits_is_read_back(tmp_path: Path, changes: dict[str, str]) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(GOOD | changes), encoding="utf-8")
    found = prepare(path)
    assert {fault.code for fault in found.faults} <= OF_TEXTS
    for card in found.cards:
        given = list(_texts(GOOD | changes))
        assert sorted(given) == sorted(
            text for (path, *_), text in texts_on_card(card).items() if path in REPEATED
        )


def _texts(row: dict[str, str]) -> Iterator[str]:
    for name, text in row.items():
        if PLACES[name].path in REPEATED and text.strip(" \u00a0\u3000"):
            yield text.strip(" \u00a0\u3000")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl"]), st.booleans())
def test_any_bytes_give_faults_and_no_traceback(
    tmp_path: Path, raw: bytes, suffix: str, gb18030: bool
) -> None:
    path = (tmp_path / "list").with_suffix(suffix)
    path.write_bytes(raw)
    found = prepare(path, encoding="gb18030" if gb18030 else "utf-8")
    assert found.faults and not found.cards


def test_no_file_of_the_visits_is_prepared(sample: Preparation) -> None:
    visits = {file.line for file in FILES if "DF03" in file.path}
    assert not [d for card in sample.cards for d, _ in card.groupings if d >> 8 in visits]
