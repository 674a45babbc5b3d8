"""A file that is looked at in pieces is what it would be as a whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.layout import gb18030
from personalize.listing.source import read_source
from personalize.listing.text_survey import Encoding, TextSurvey

PIECES = [
    b"a", b"\r", b"\n", b"\0", b"\xff", b"\x81\x30", b"\xef\xbb\xbf", "王".encode(),
    "王".encode("gb18030"), "\u9fb4".encode("gb18030"), b"\xfe\x59", "𠅤".encode(),
    "示例".encode("big5"),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=2), max_size=30).map(b"".join)


def survey(pieces: list[bytes], encoding: Encoding) -> tuple[object, ...]:
    found = TextSurvey(encoding)
    for piece in pieces:
        found.add(piece)
    found.add(b"", final=True)
    return (found.lines, found.nuls, found.nul_line, found.begins_with, found.has_content,
            found.fault())  # fmt: skip


@given(TEXTS, st.lists(st.integers(0, 60), max_size=5))
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_the_pieces_make_no_difference(encoding: Encoding, raw: bytes, cuts: list[int]) -> None:
    ends = sorted({0, *cuts, len(raw)})
    pieces = [raw[at:to] for at, to in pairwise(ends)]
    assert survey(pieces, encoding) == survey([raw], encoding)


@given(TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_the_lines_are_those_of_the_whole_text(
    tmp_path_factory: pytest.TempPathFactory, encoding: Encoding, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "text.csv"
    path.write_bytes(b"name" + raw)
    source = read_source(path, encoding)
    decode = gb18030.decode if encoding == "gb18030" else bytes.decode
    whole = decode(b"name" + raw, errors="surrogateescape")
    assert "".join(source.lines()) == whole.removeprefix("\ufeff")
    assert [*source.lines("\n")] == [f"{line}\n" for line in whole.split("\n")[:-1]] + [
        line for line in whole.split("\n")[-1:] if line
    ]
