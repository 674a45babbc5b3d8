"""Encodings are checked, not guessed."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from personalize.listing.list_faults import ListFault
from personalize.listing.source import Source, read_source
from personalize.listing.text_survey import Encoding, undecoded_byte
from tests import DATA

UTF16 = "UTF-16, not UTF-8"
LIST = "name,sex\n王䶮,1\n示例省卫生健康信息中心,2\n示例市第一人民医院,1\n"


def source(tmp_path: Path, raw: bytes, encoding: Encoding = "utf-8", name: str = "a.csv") -> Source:
    (tmp_path / name).write_bytes(raw)
    return read_source(tmp_path / name, encoding)


def the_fault(found: Source) -> ListFault:
    (fault,) = found.faults
    assert fault.remedy
    return fault


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_with_and_without_bom(tmp_path: Path, encoding: str) -> None:
    raw = LIST.encode(encoding)
    found = source(tmp_path, raw)
    assert (found.text, found.is_json, found.faults) == (LIST, False, ())
    assert found.sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_gb18030_on_request(tmp_path: Path, mark: str) -> None:
    assert source(tmp_path, (mark + LIST).encode("gb18030"), "gb18030").text == LIST


def test_gb18030_without_request_is_told_with_line_and_remedy(tmp_path: Path) -> None:
    fault = the_fault(source(tmp_path, LIST.encode("gb18030")))
    assert (fault.line, fault.problem) == (2, "not UTF-8: byte CD")
    assert "--encoding gb18030" in fault.remedy


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_read_as_gb18030_would_be_garbage_and_is_refused(
    tmp_path: Path, encoding: str
) -> None:
    fault = the_fault(source(tmp_path, LIST.encode(encoding), "gb18030"))
    assert fault.problem == "the file is UTF-8, not GB 18030"


def test_utf16_is_told(tmp_path: Path) -> None:
    assert the_fault(source(tmp_path, LIST.encode("utf-16"))).problem == UTF16


@pytest.mark.parametrize("form", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [LIST, LIST * 200, "name\n"])
def test_utf16_without_a_mark_is_told(tmp_path: Path, form: str, text: str) -> None:
    encodings: tuple[Encoding, ...] = ("utf-8", "gb18030")
    for encoding in encodings:
        assert the_fault(source(tmp_path, text.encode(form), encoding)).problem == UTF16


def test_utf32_is_told(tmp_path: Path) -> None:
    assert the_fault(source(tmp_path, LIST.encode("utf-32"))).problem == "UTF-32, not UTF-8"


def workbook(member: str) -> bytes:
    """A ZIP archive with the member that tells what kind of file it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ((member, "<a/>"), ("list.csv", LIST)):
            undated = zipfile.ZipInfo(name)  # every process names the tests by these bytes
            archive.writestr(undated, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.json"])
@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (workbook("[Content_Types].xml"), "an Excel workbook"),
        (workbook("xl/workbook.xml"), "an Excel workbook"),
        (workbook("application/vnd.oasis.opendocument.spreadsheet"), "an OpenDocument file"),
        (workbook("other.txt"), "a ZIP archive"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504), "an old Excel workbook"),
        (b"\x1f\x8b\x08" + bytes(20), "a packed archive"),
        (b"%PDF-1.7\n", "a PDF file"),
        (b"\r\n<html><table><tr><td>name</td></tr></table>", "a web page or XML file"),
        (b"<?xml version='1.0'?><Workbook/>", "a web page or XML file"),
    ],
)
def test_a_file_that_is_no_list_is_named_with_what_to_do(
    tmp_path: Path, raw: bytes, problem: str, name: str, encoding: Encoding
) -> None:
    fault = the_fault(source(tmp_path, raw, encoding, name))
    assert fault.problem.startswith(problem)
    assert "CSV" in fault.remedy or "unpack" in fault.remedy


@pytest.mark.parametrize("raw", [LIST.encode() + bytes(10_000), bytes(10_000) + LIST.encode()])
def test_many_nul_bytes_are_one_fault(tmp_path: Path, raw: bytes) -> None:
    fault = the_fault(source(tmp_path, raw))
    assert fault.problem == "10000 NUL bytes, the first in this line"
    assert fault.line == raw.count(b"\n", 0, raw.index(0)) + 1


def test_a_single_nul_byte_is_left_to_its_field(tmp_path: Path) -> None:
    assert source(tmp_path, LIST.encode().replace(b",2", b",\0")).faults == ()


@pytest.mark.parametrize("raw", [b"", b"\xef\xbb\xbf", b"\n\r\n ", b",,,\n,,,\n", b"\0\0"])
def test_an_empty_file_is_told(tmp_path: Path, raw: bytes) -> None:
    assert the_fault(source(tmp_path, raw)).problem == "empty file"


def test_a_single_bad_byte_is_left_to_its_field(tmp_path: Path) -> None:
    found = source(tmp_path, LIST.encode().replace(b",2", b",\xb3"))
    assert found.faults == ()
    assert undecoded_byte(found.text) == "B3"
    assert undecoded_byte(LIST) is None


@pytest.mark.parametrize(
    ("name", "text", "is_json"),
    [
        ("a.csv", "name\n", False),
        ("a.jsonl", "name\n", True),
        ("a.JSON", "name\n", True),
        ("a.txt", ' {"name": ""}', True),
        ("a.csv", '{"name": ""}', True),
        ("a", "[]", True),
        ("a", "\u00a0", False),
    ],
)
def test_json_is_known_by_extension_or_first_character(
    tmp_path: Path, name: str, text: str, is_json: bool
) -> None:
    assert source(tmp_path, text.encode(), name=name).is_json is is_json


def test_a_file_that_cannot_be_read_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "none.csv", "utf-8")


def test_one_character_of_three_bytes_tells_utf8(tmp_path: Path) -> None:
    fault = the_fault(source(tmp_path, "name\n王\n".encode(), "gb18030"))
    assert fault.problem == "the file is UTF-8, not GB 18030"
    assert "--encoding" in fault.remedy


def test_two_bytes_may_be_either_and_are_taken_as_the_option_says(tmp_path: Path) -> None:
    """模 is C4 A3 in GB 18030, and the same bytes are ģ in UTF-8."""
    raw = b"name\n\xc4\xa3\n"
    assert source(tmp_path, raw, "gb18030").text == "name\n模\n"
    assert source(tmp_path, raw).text == "name\nģ\n"


def test_a_utf8_list_with_a_broken_byte_is_not_taken_for_gb18030(tmp_path: Path) -> None:
    raw = LIST.encode().replace(b",2", b",\xb3")
    assert the_fault(source(tmp_path, raw, "gb18030")).problem.startswith("the file is UTF-8")


def test_every_sample_resident_in_gb18030_is_read_as_it_is(tmp_path: Path) -> None:
    sample = DATA / "residents.csv"
    head, *lines = sample.read_text(encoding="utf-8").splitlines()
    for line in lines[:300]:
        text = f"{head}\n{line}\n"
        assert source(tmp_path, text.encode("gb18030"), "gb18030").text == text


@pytest.mark.parametrize("raw", [b"\xfe\x59", b"\x82\x35\x90\x37"])
def test_bytes_of_either_edition_are_the_same_character(tmp_path: Path, raw: bytes) -> None:
    assert source(tmp_path, b"name\n" + raw, "gb18030").text == "name\n\u9fb4"


def test_big5_that_gb18030_would_read_is_refused(tmp_path: Path) -> None:
    raw = "姓名,地址\n張三豐,臺北市中正區重慶南路\n陳大文,高雄市\n".encode("big5")
    raw.decode("gb18030")
    assert the_fault(source(tmp_path, raw, "gb18030")).problem == "the file is Big5, not GB 18030"


@pytest.mark.parametrize(
    "text", ["張三豐,臺北市中正區重慶南路", "镕基,喆,堃,玥,珺", "䶮,㛃,𠅤", "丂,亐"]
)
def test_traditional_and_rare_characters_in_gb18030_are_no_big5(tmp_path: Path, text: str) -> None:
    raw = f"姓名,地址\n{text}\n".encode("gb18030")
    assert source(tmp_path, raw, "gb18030").faults == ()
