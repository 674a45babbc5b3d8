"""A map of a list's own code values: what it changes, what it refuses, and how it is read."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize.listing.code_map import CodeMap, Mapper
from personalize.listing.code_map_file import read_code_map
from personalize.listing.fault_codes import FaultCode
from personalize.listing.headers import Headers
from personalize.listing.rows import Row
from tests import ROOT

ABO = "abo_blood_group"
SWAPPED = {"1": "1", "2": "2", "3": "4", "4": "3", "5": "5"}


def row(**values: str) -> Row:
    return Row(2, values, frozenset(), Headers({name: name for name in values}))


def map_rows(rows: list[Row], code_map: CodeMap) -> tuple[list[Row], Mapper]:
    mapper = Mapper(code_map)
    return [mapper.of(row) for row in rows], mapper


def mapped(value: str, codes: dict[str, str], column: str = ABO) -> str | FaultCode:
    """The value after mapping, or the code of its fault."""
    (found,), mapper = map_rows([row(**{column: value})], CodeMap("", {column: codes}))
    if mapper.faults:
        (fault,) = mapper.faults
        assert found.values[column] == value
        assert found.faulty == {column}
        assert (fault.line, fault.field) == (2, column)
        assert fault.remedy
        return fault.code
    return found.values[column]


@pytest.fixture
def read(tmp_path: Path) -> "Reader":
    return Reader(tmp_path / "codes.csv")


class Reader:
    """Writes a map and reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, content: str | bytes) -> CodeMap:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_code_map(self.path)

    def faults(self, content: str | bytes) -> list[tuple[int, str, str]]:
        found = self(content).faults
        assert all(fault.problem and fault.remedy for fault in found)
        return [(fault.line, fault.field, fault.code.value) for fault in found]


# --- What a map does --------------------------------------------------------------------


def test_two_codes_that_are_exchanged_are_exchanged_once() -> None:
    assert [mapped(value, SWAPPED) for value in "12345"] == ["1", "2", "4", "3", "5"]


@given(st.permutations("12345"), st.lists(st.sampled_from("12345"), max_size=20))
def test_every_value_is_mapped_exactly_once(order: list[str], values: list[str]) -> None:
    codes = dict(zip("12345", order, strict=True))
    rows = [row(**{ABO: value}) for value in values]
    found, mapper = map_rows(rows, CodeMap("", {ABO: codes}))
    assert [each.values[ABO] for each in found] == [codes[value] for value in values]
    assert mapper.faults == []
    counts = mapper.columns[0].counts
    assert {own: n for (own, _), n in counts.items()} == {v: values.count(v) for v in values}
    back = CodeMap("", {ABO: {code: own for own, code in codes.items()}})
    assert [each.values[ABO] for each in map_rows(found, back)[0]] == values


def test_only_the_mapped_column_changes() -> None:
    both = row(abo_blood_group="3", rh_blood_group="3")
    (found,), _ = map_rows([both], CodeMap("", {ABO: SWAPPED}))
    assert dict(found.values) == {"abo_blood_group": "4", "rh_blood_group": "3"}


@pytest.mark.parametrize(
    ("value", "codes", "expected"),
    [
        (" AB　", {"AB": "4"}, "4"),
        ("", {"AB": "4"}, ""),
        ("  ", {"AB": "4"}, "  "),
        ("", {"*": "5"}, ""),
        ("O", {"AB": "4"}, FaultCode.UNMAPPED_CODE),
        ("ab", {"AB": "4"}, FaultCode.UNMAPPED_CODE),
        ("04", {"4": "3"}, FaultCode.UNMAPPED_CODE),
        ("?", {"AB": "4", "*": "5"}, "5"),
        ("1", {"3": "4", "4": "3", "*": "*"}, "1"),
        ("#N/A", {"AB": "4", "*": "5"}, FaultCode.FORMULA_ERROR),
        ("NULL", {"AB": "4", "*": "5"}, FaultCode.NO_VALUE_WORD),
        ("####", {"AB": "4", "*": "*"}, FaultCode.NARROW_COLUMN),
        ("\ufffd", {"*": "5"}, FaultCode.LOST_CHARACTER),
        ("A\u200b", {"*": "5"}, FaultCode.INVISIBLE_CHARACTER),
        ("\udcff", {"*": "5"}, FaultCode.UNDECODED_BYTE),
        ("#N/A", {"#N/A": "5"}, "5"),
        # 4 would stay 4, and 3 became 4: two blood groups would be one.
        ("4", {"3": "4", "*": "*"}, FaultCode.UNMAPPED_CODE),
    ],
)
def test_a_value_is_mapped_blank_or_refused(
    value: str, codes: dict[str, str], expected: str | FaultCode
) -> None:
    assert mapped(value, codes) == expected


def test_a_column_that_has_a_fault_already_is_left_alone() -> None:
    faulty = Row(2, {ABO: "x"}, frozenset({ABO}))
    (found,), mapper = map_rows([faulty], CodeMap("", {ABO: SWAPPED}))
    assert (found.values[ABO], mapper.faults) == ("x", [])


# --- How a map is read ------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "column,from,to\nabo_blood_group,3,4\nabo_blood_group,4,3\n",
        "column;from;to;note\r\nABO血型代码;3;4;AB\r\n\r\nABO血型代码; 4 ;3;O\r\n",
        "sep=;\nTo;From;Column\n4;3;abo_blood_group\n3;4;ABO Blood Group\n",
        b"\xef\xbb\xbfcolumn,from,to\nabo_blood_group,3,4\nabo_blood_group,4,3\n",
    ],
)
def test_a_map_is_read_in_the_forms_that_spreadsheets_write(
    read: Reader, content: str | bytes
) -> None:
    found = read(content)
    assert (found.columns, found.faults) == ({ABO: {"3": "4", "4": "3"}}, ())


@given(st.dictionaries(st.text("ABO男女,;\"' \t*01", min_size=1).map(str.strip).filter(bool),
                       st.sampled_from("12345"), min_size=1, max_size=6))  # fmt: skip
def test_a_map_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, codes: dict[str, str]
) -> None:
    text = io.StringIO()
    lines = [(ABO, own, code) for own, code in codes.items()]
    csv.writer(text).writerows([("column", "from", "to"), *lines])
    found = Reader(tmp_path_factory.getbasetemp() / "codes.csv")(text.getvalue())
    assert (found.columns, found.faults) == ({ABO: codes}, ())


def test_two_spellings_of_a_value_may_have_the_same_code(read: Reader) -> None:
    assert read(HEAD + "sex,M,1\nsex,Ｍ,1\nsex,m,2\n").faults == ()


def test_flags_may_be_mapped_and_a_value_may_stay_as_it_is(read: Reader) -> None:
    found = read("column,from,to\nasthma,Y,1\nasthma,N,0\nsex,*,*\n")
    assert found.columns == {"asthma": {"Y": "1", "N": "0"}, "sex": {"*": "*"}}


HEAD = "column,from,to\n"


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", [(1, "", "empty-file")]),
        (HEAD, [(1, "", "empty-file")]),
        ("column,to\nsex,1\n", [(1, "from", "missing-column")]),
        ("sex,M,1\n", [(1, "sex", "unknown-column"), (1, "M", "unknown-column"),
                       (1, "1", "unknown-column")]),
        ("column,from,to,to\nsex,M,1,2\n", [(1, "to", "duplicate-column")]),
        (HEAD + "sexx,M,1\n", [(2, "column", "unknown-column")]),
        (HEAD + ",M,1\n", [(2, "column", "unknown-column")]),
        (HEAD + "name,M,1\n", [(2, "column", "not-mappable")]),
        (HEAD + "photo_file,M,1\n", [(2, "column", "not-mappable")]),
        (HEAD + "birth_date,M,1\n", [(2, "column", "not-mappable")]),
        (HEAD + "sex,M,male\n", [(2, "to", "invalid-code")]),
        (HEAD + "sex,M,3\n", [(2, "to", "invalid-code")]),
        (HEAD + "sex,*,3\n", [(2, "to", "invalid-code")]),
        (HEAD + "sex,M,*\n", [(2, "to", "invalid-code")]),
        (HEAD + "ethnicity,汉,1\n", [(2, "to", "invalid-code")]),
        (HEAD + "asthma,Y,yes\n", [(2, "to", "invalid-flag")]),
        (HEAD + "sex,M,\n", [(2, "to", "missing-value")]),
        (HEAD + "sex,,1\n", [(2, "from", "missing-value")]),
        (HEAD + "sex,M,1\nsex,M,1\n", [(3, "from", "duplicate-mapping")]),
        (HEAD + "sex,M,1\nsex,F,2\n性别,M,2\n", [(4, "from", "duplicate-mapping")]),
        (HEAD + "sex,M,1\nsex,Ｍ,2\n", [(3, "from", "duplicate-mapping")]),
        (HEAD + "sex,M\u200b,1\nsex,M,2\n", [(3, "from", "duplicate-mapping")]),
        (HEAD + "sex,M\n", [(2, "", "wrong-column-count")]),
        (HEAD + 'sex,"M,1\n', [(2, "", "broken-quoting")]),
        (HEAD + "sex,M,3\nname,F,2\nsex,X,2\n",
         [(2, "to", "invalid-code"), (3, "column", "not-mappable")]),
        ("sep=|\n" + HEAD, [(1, "", "wrong-separator")]),
        (HEAD.encode() + "sex,男,1\n".encode("gb18030"), [(2, "", "wrong-encoding")]),
        ((HEAD + "sex,男,1\n").encode("utf-16"), [(1, "", "wrong-encoding")]),
        ((HEAD + "sex,男性男性男性,1\nsex,").encode() + b"\xff,2\n",
         [(3, "from", "undecoded-byte")]),
        (b"PK\3\4" + bytes(60), [(1, "", "not-a-list")]),
    ],
)  # fmt: skip
def test_each_fault_of_a_map_is_named_once_at_its_place(
    read: Reader, content: str | bytes, faults: list[tuple[int, str, str]]
) -> None:
    assert read.faults(content) == faults


def test_the_remedies_speak_of_the_map(read: Reader) -> None:
    (encoding,) = read(HEAD.encode() + "sex,男,1\n".encode("gb18030")).faults
    assert encoding.remedy == "save the map as UTF-8 (in Excel: CSV UTF-8)"
    (label,) = read(HEAD + "sex,M,male\n").faults
    assert label.remedy == "write 1 for male (男性)"
    (twice,) = read(HEAD + "sex,M,1\nsex,M,2\n").faults
    assert twice.problem == "mapped already in line 2"


def test_the_map_that_the_documentation_shows_is_right(read: Reader) -> None:
    page = (ROOT / "docs" / "reference" / "input.md").read_text("utf-8")
    found = read(page.split("```csv\n")[1].split("```")[0])
    assert found.faults == ()
    assert found.columns[ABO] == SWAPPED
