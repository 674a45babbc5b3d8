"""What each kind of field can hold, as hypothesis strategies, from the specification's words."""

from datetime import datetime
from typing import Literal

from hypothesis import strategies as st

from cardlib.layout import FILES, FieldSpec, Kind, code_table
from cardlib.layout.characters import first_unfit
from cardlib.layout.gb18030 import encode as gb18030

BLANK = " "
UNFIT: tuple[Literal["C"], Literal["Zl"], Literal["Zp"]] = ("C", "Zl", "Zp")
"""General categories that no field holds; U+FFFD, which none holds either, is none of them."""

_CHARACTERS = st.one_of(
    st.characters(exclude_categories=UNFIT),
    st.sampled_from("王䶮𠅤㛃·Жйaé0 "),
)
SHAPES = {
    (field.coding, field.length, field.kind, field.table): field
    for file in FILES
    for field in file.fields
}
"""One field of every combination of coding, length, kind and code table that there is."""


def fitting(text: str, length: int) -> str:
    """The longest beginning of the text that fits `length` bytes and does not end in a blank."""
    while len(gb18030(text)) > length:
        text = text[:-1]
    return text.rstrip(BLANK)


def _digits(longest: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=1, max_size=longest)


def _amounts(longest: int) -> st.SearchStrategy[str]:
    with_point = st.builds(lambda whole, part: f"{whole}.{part}", _digits(longest), _digits(2))
    return st.one_of(_digits(longest), with_point.filter(lambda text: len(text) <= longest))


def _moment(moment: datetime, kind: Kind) -> str:
    date = f"{moment.year:04}{moment.month:02}{moment.day:02}"
    time = f"{moment.hour:02}{moment.minute:02}{moment.second:02}"
    return date + (time if kind is Kind.DATETIME else "")


def _octets(field: FieldSpec) -> st.SearchStrategy[bytes]:
    if field.kind in (Kind.PHOTO, Kind.DER):
        full = bytes(field.length - 2)
        jpeg = st.binary(max_size=40).map(lambda raw: b"\xff\xd8" + raw + b"\xff\xd9")
        other = st.binary(min_size=1, max_size=40).filter(lambda raw: raw[:1] != b"\xff")
        return st.one_of(other, jpeg, st.just(full))
    if field.kind is Kind.AID:
        return st.binary(min_size=5, max_size=16).filter(lambda aid: aid[-1] != 0xFF)
    exact = st.binary(min_size=field.length, max_size=field.length)
    return exact.filter(lambda raw: raw.count(0xFF) < len(raw))


def values(field: FieldSpec) -> st.SearchStrategy[str | bytes]:
    """Values that the field can store."""
    if field.table and code_table(field.table).closed:
        return st.sampled_from(sorted(code_table(field.table).codes))
    if field.kind is Kind.ASCII:
        printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
        return st.text(printable, min_size=1, max_size=field.length)
    if field.coding == "ans":
        fit = _CHARACTERS.filter(lambda char: first_unfit(char) is None)
        text = st.text(fit, min_size=1, max_size=field.length)
        return text.map(lambda drawn: fitting(drawn, field.length)).filter(bool)
    if field.kind in (Kind.DATE, Kind.DATETIME):
        return st.datetimes().map(lambda moment: _moment(moment, field.kind))
    if field.coding == "cn":
        longest = 2 * field.length
        if field.one_digit:
            return _digits(longest).filter(lambda code: len(code) == 1 or code[0] != "0")
        return _amounts(longest) if field.kind is Kind.AMOUNT else _digits(longest)
    one_digit = {Kind.FLAG: "01", Kind.MARK: "0", Kind.CODE: "0123456789"}
    if field.kind in one_digit:
        return st.sampled_from(one_digit[field.kind])
    return _octets(field)
