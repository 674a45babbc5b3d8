"""GB 18030 in its 2022 edition.

The expected bytes are from outside: Unicode's recommendation L2/23-003R for the 18 characters that
the 2022 edition moved, GB 18030-2005 for U+1E3F, and for every character that a field holds the
encoder of OpenJDK 17.0.15 (GB18030-2022). What that encoder wrote was read by ICU 78 (the
TextDecoder of node 20) as the same characters.
"""

import hashlib

import pytest

from cardlib.layout import gb18030
from cardlib.layout.characters import first_unfit

MOVED = {
    "\u9fb4": ("FE59", "82359037"), "\u9fb5": ("FE61", "82359038"),
    "\u9fb6": ("FE66", "82359039"), "\u9fb7": ("FE67", "82359130"),
    "\u9fb8": ("FE6D", "82359131"), "\u9fb9": ("FE7E", "82359132"),
    "\u9fba": ("FE90", "82359133"), "\u9fbb": ("FEA0", "82359134"),
    "\ufe10": ("A6D9", "84318236"), "\ufe12": ("A6DA", "84318238"),
    "\ufe11": ("A6DB", "84318237"), "\ufe13": ("A6DC", "84318239"),
    "\ufe14": ("A6DD", "84318330"), "\ufe15": ("A6DE", "84318331"),
    "\ufe16": ("A6DF", "84318332"), "\ufe17": ("A6EC", "84318333"),
    "\ufe18": ("A6ED", "84318334"), "\ufe19": ("A6F3", "84318335"),
    "\u1e3f": ("A8BC", "8135F437"),
}  # fmt: skip
"""Character: its bytes in 2022 (U+1E3F: since 2005), its bytes in the edition before."""

TWO_BYTES_BEFORE = {
    "\U00020087": ("95329031", "FE51"),
    "\U00020089": ("95329033", "FE52"),
    "\U000200cc": ("95329730", "FE53"),
    "\U000215d7": ("9536B937", "FE6C"),
    "\U0002298f": ("9630BA35", "FE76"),
    "\U000241fe": ("9635B630", "FE91"),
}
"""Six that had a private-use code point at two bytes beside their own four."""

BY_OPENJDK_17 = (159_559, "35719c644a716999c3ec5badbb354c637b029422020e2707aaa816536083e181")
"""How many characters beyond ASCII a field holds, and SHA-256 of all their bytes in order."""


@pytest.mark.parametrize(("char", "pair"), (MOVED | TWO_BYTES_BEFORE).items())
def test_written_as_in_2022_and_read_from_every_edition(char: str, pair: tuple[str, str]) -> None:
    assert gb18030.encode(char).hex().upper() == pair[0]
    assert [gb18030.decode(bytes.fromhex(raw)) for raw in pair] == [char, char]
    assert gb18030.encode(f"王{char}a{char}") == b"\xcd\xf5" + bytes.fromhex(
        f"{pair[0]}61{pair[0]}"
    )


def test_every_character_a_field_holds_is_written_as_openjdk_does_and_comes_back() -> None:
    digest, count = hashlib.sha256(), 0
    for code_point in range(0x80, 0x110000):
        char = chr(code_point)
        if first_unfit(char) is None:
            raw = gb18030.encode(char)
            assert gb18030.decode(raw) == char
            digest.update(raw)
            count += 1
    assert (count, digest.hexdigest()) == BY_OPENJDK_17


def test_every_two_bytes_are_one_character_that_is_written_back() -> None:
    """The older two bytes of six characters are the only ones that are written otherwise."""
    changed = set()
    for lead in range(0x81, 0xFF):
        for trail in (*range(0x40, 0x7F), *range(0x80, 0xFF)):
            raw = bytes((lead, trail))
            if gb18030.encode(gb18030.decode(raw)) != raw:
                changed.add(raw.hex().upper())
    assert changed == {older for _, older in TWO_BYTES_BEFORE.values()}


def test_bytes_that_are_none_are_an_error_or_kept_for_the_reader_of_a_list() -> None:
    with pytest.raises(UnicodeDecodeError):
        gb18030.decode(b"A\xfe")
    assert gb18030.decode(b"A\xfe", "surrogateescape") == "A\udcfe"


@pytest.mark.parametrize(
    ("private_use", "char"),
    [("\ue81e", "\u9fb4"), ("\ue7c7", "\u1e3f"), ("\ue863", "䶮"), ("\ue815", "\u2e81"),
     ("\ue844", "\u4723"), ("\ue000", None), ("王", None)],
)  # fmt: skip
def test_what_gbk_had_as_private_use_is_known(private_use: str, char: str | None) -> None:
    """GBK 1.0's table, as quoted in the Encoding Standard's issue 27."""
    assert gb18030.character_of_private_use(private_use) == char
