"""Proofs of card faces and carriers: what is in the PDF is what was prepared."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cardlib.errors import FileRefused, FormatError
from cardlib.layout import FILE_BY_PATH, dgi_of_record
from personalize.preparation.prepared import PreparedCard
from personalize.printing import card_faces
from personalize.printing import typefaces as typefaces_module
from personalize.printing.card_faces import HEIGHT, WIDTH, ProofForm, card_proofs, pages
from personalize.printing.print_faults import CannotPrint, PrintingUnavailable
from personalize.printing.typefaces import Typefaces, opened_typefaces
from tests.printing.made_fonts import font_of
from tests.printing.prepared_cards import card_of, sample_cards
from tests.programs import pdf

A4 = (210.0, 297.0)
NAME = card_faces._FACE["name"]
PHOTO = dgi_of_record(FILE_BY_PATH["DDF1/EF07"], 1)
CONTACTS = ((10.25, 19.23), (19.87, 28.55))
"""Where a card has its contacts: the corners in millimetres (ISO/IEC 7816-2)."""
LACKING = "\U0002a6d6"
"""A character of Extension B that Noto Sans CJK lacks."""


@pytest.fixture(scope="session")
def proofs(typefaces: Typefaces) -> Callable[[ProofForm], bytes]:
    """The proofs of ten residents in a form, each made once."""
    made: dict[ProofForm, bytes] = {}

    def of_form(form: ProofForm) -> bytes:
        if form not in made:
            made[form] = card_proofs(sample_cards(), form, typefaces)
        return made[form]

    return of_form


def photo_of(card: PreparedCard) -> bytes | None:
    raw = dict(card.groupings).get(PHOTO)
    return raw[2 : 2 + int.from_bytes(raw[:2], "big")] if raw else None


def faults_of(*cards: PreparedCard, faces: Typefaces) -> list[str]:
    with pytest.raises(CannotPrint) as raised:
        card_proofs(cards, ProofForm.CARRIER, faces)
    return [str(fault) for fault in raised.value.faults]


@pytest.mark.parametrize("form", ProofForm)
def test_the_texts_are_those_that_were_prepared(
    proofs: Callable[[ProofForm], bytes], form: ProofForm, tmp_path: Path
) -> None:
    found = pdf.texts(proofs(form), tmp_path)
    assert len(found) == pages(10, form)
    for index, card in enumerate(sample_cards()):
        page = found[index // 8 if form is ProofForm.SHEET else index]
        columns = ["name", "card_number", "issuer_name"]
        columns += ["address_1"] if form is ProofForm.CARRIER else []
        assert [card.value(each) in page for each in columns] == [True] * len(columns)
        assert page.count(card.card_number) == 1


@pytest.mark.parametrize(
    ("form", "size"),
    [(ProofForm.CARD, (WIDTH, HEIGHT)), (ProofForm.SHEET, A4), (ProofForm.CARRIER, A4)],
)
def test_a_page_has_the_size_of_its_form(
    proofs: Callable[[ProofForm], bytes],
    form: ProofForm,
    size: tuple[float, float],
    tmp_path: Path,
) -> None:
    assert (WIDTH, HEIGHT) == (85.60, 53.98)
    (found,) = pdf.sizes(proofs(form), tmp_path)
    assert found == pytest.approx(size, abs=0.05)


def test_a_qr_code_holds_the_card_number_and_nothing_else(
    proofs: Callable[[ProofForm], bytes], tmp_path: Path
) -> None:
    found = pdf.qr_codes(proofs(ProofForm.CARD), tmp_path)
    assert found == [card.card_number for card in sample_cards()]


def test_a_card_number_that_ends_with_x_is_read_from_its_code(
    typefaces: Typefaces, tmp_path: Path
) -> None:
    card = card_of(card_number="99012119801007195X")
    proof = card_proofs([card], ProofForm.CARRIER, typefaces)
    assert pdf.qr_codes(proof, tmp_path) == ["99012119801007195X"]


def test_a_photo_is_the_one_of_the_chip_byte_for_byte(
    proofs: Callable[[ProofForm], bytes], tmp_path: Path
) -> None:
    wanted = [photo for card in sample_cards() if (photo := photo_of(card))]
    assert 0 < len(wanted) < len(sample_cards())
    assert sorted(pdf.jpegs(proofs(ProofForm.CARD), tmp_path)) == sorted(wanted)


def test_a_card_without_a_photo_says_so(
    proofs: Callable[[ProofForm], bytes], tmp_path: Path
) -> None:
    found = pdf.texts(proofs(ProofForm.CARD), tmp_path)
    without = [photo_of(card) is None for card in sample_cards()]
    assert ["无照片" in page for page in found] == without


def test_every_font_is_in_the_file_with_its_characters(
    proofs: Callable[[ProofForm], bytes], tmp_path: Path
) -> None:
    (row,) = pdf.fonts(proofs(ProofForm.SHEET), tmp_path)
    assert "NotoSansCJKsc" in row[0]
    embedded, subset, characters = row[-5:-2]
    assert (embedded, subset, characters) == ("yes", "yes", "yes")


@pytest.mark.parametrize(
    "name", ["𠮷田", "阿卜杜热合曼·吐尔逊", '#eval("1") *b* $x$ @a', "A\\#[]<b>"]
)
def test_rare_characters_and_marks_are_printed_as_they_are(
    typefaces: Typefaces, tmp_path: Path, name: str
) -> None:
    (page,) = pdf.texts(card_proofs([card_of(name=name)], ProofForm.CARD, typefaces), tmp_path)
    assert name.replace(" ", "") in page


def test_a_long_name_is_printed_in_its_box(typefaces: Typefaces, tmp_path: Path) -> None:
    name = "阿卜杜热合曼·吐尔逊尼亚孜艾山"
    found = pdf.words(card_proofs([card_of(name=name)], ProofForm.CARD, typefaces), tmp_path)
    parts = [word for word in found if word.text and word.text in name]
    assert "".join(word.text for word in parts) == name
    assert all(word.left > 25.9 and word.right < 26.1 + NAME.width for word in parts)
    assert all(word.top > 16 and word.bottom < 17.5 + NAME.height for word in parts)


def test_a_missing_glyph_names_card_line_column_and_character(typefaces: Typefaces) -> None:
    bad = replace(card_of(name=f"王{LACKING}", address_1=f"{LACKING}村"), number=3, line=7)
    assert faults_of(card_of(), bad, faces=typefaces) == [
        f"card 3 (line 7 of the list), {column}: no font has a glyph for U+2A6D6"
        " (Noto Sans CJK SC). Give --font FILE with a font that has it"
        for column in ("name", "address_1")
    ]


def test_another_font_gives_the_glyphs_that_the_first_lacks(
    rare_font: Path, tmp_path: Path
) -> None:
    name = f"王{LACKING}"
    with opened_typefaces([rare_font]) as both:
        assert both.families == ["Rare", "Noto Sans CJK SC"]
        proof = card_proofs([card_of(name=name)], ProofForm.CARD, both)
    (page,) = pdf.texts(proof, tmp_path)
    assert name in page
    assert sorted(row[0].partition("+")[2][:4] for row in pdf.fonts(proof, tmp_path)) == [
        "Noto",
        "Rare",
    ]


def test_a_text_that_is_too_long_at_the_least_size_is_a_fault(
    typefaces: Typefaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(NAME, width=20.0, height=3.0)
    monkeypatch.setitem(card_faces._FACE, "name", small)
    (fault,) = faults_of(card_of(name="阿卜杜热合曼·吐尔逊尼亚孜"), faces=typefaces)
    assert "name: the text is too long: it does not fit into 20 x 3 mm at 6 points" in fault


def test_a_damaged_photo_is_a_fault_and_not_an_empty_frame(typefaces: Typefaces) -> None:
    first = sample_cards()[0]
    groupings = [
        (dgi, raw[:2] + bytes(len(raw) - 2) if dgi == PHOTO else raw)
        for dgi, raw in first.groupings
    ]
    damaged = replace(first, groupings=tuple(groupings))
    (fault,) = faults_of(damaged, faces=typefaces)
    assert fault.startswith("card 1 (line 2 of the list), photo_file: the photo is damaged")


def test_a_pdf_of_too_many_cards_is_refused(
    typefaces: Typefaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_faces, "MOST_CARDS", 2)
    with pytest.raises(FormatError, match="2 cards at most"):
        card_proofs(sample_cards()[:3], ProofForm.CARD, typefaces)


# --- the fonts --------------------------------------------------------------------------


def test_without_any_font_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typefaces_module, "KNOWN_PLACES", ())
    with (
        pytest.raises(PrintingUnavailable, match=r"apt-get install fonts-noto-cjk.*--font FILE"),
        opened_typefaces(),
    ):
        pass


@pytest.mark.parametrize("package", ["typst", "fontTools.ttLib"])
def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(PrintingUnavailable, match=r"pip install 'rhcard\[print\]'"),
        opened_typefaces(),
    ):
        pass


def test_without_segno_it_says_what_to_install(
    typefaces: Typefaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(PrintingUnavailable, match=r"pip install 'rhcard\[print\]'"):
        card_proofs([card_of()], ProofForm.CARD, typefaces)


def test_a_font_that_lacks_the_words_of_the_form_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typefaces_module, "KNOWN_PLACES", ())
    card = card_of()
    enough = "".join({*card.name, *card.card_number, *card.value("issuer_name")})
    font = font_of(tmp_path / "few.ttf", "Few", enough)
    with (
        opened_typefaces([font]) as few,
        pytest.raises(PrintingUnavailable, match="Few lacks characters of the form itself"),
    ):
        card_proofs([card], ProofForm.CARD, few)


def test_a_file_that_is_no_font_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"\0\1\0\0 no font")
    with (
        pytest.raises(FileRefused, match="no OpenType or TrueType font"),
        opened_typefaces([tmp_path / "a.ttf"]),
    ):
        pass


def test_two_fonts_of_one_family_are_refused(rare_font: Path, tmp_path: Path) -> None:
    other = font_of(tmp_path / "other.ttf", "Rare", "a")
    with (
        pytest.raises(FileRefused, match="another font of the family Rare"),
        opened_typefaces([rare_font, other]),
    ):
        pass


def test_nothing_of_the_resident_is_printed_on_the_contacts(
    typefaces: Typefaces, tmp_path: Path
) -> None:
    name = "阿卜杜热合曼·吐尔逊尼亚孜艾山"
    proof = card_proofs([card_of(name=name, issuer_name="示" * 15)], ProofForm.CARD, typefaces)
    (left, top), (right, bottom) = CONTACTS
    on_them = [
        word.text
        for word in pdf.words(proof, tmp_path)
        if word.left < right and word.right > left and word.top < bottom and word.bottom > top
    ]
    assert on_them == ["芯片", "chip"]
