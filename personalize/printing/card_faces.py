"""Proofs of card faces and carriers: what a printer will put on each card, as pages of a PDF.

The QR code holds the card number and nothing else: whoever scans it learns no more than who reads
the card's face, and a station needs no more to find the record.
"""

import base64
import io
from collections.abc import Iterable, Mapping
from enum import StrEnum

from PIL import Image

from cardlib.errors import DAMAGE, FormatError
from cardlib.layout import FILE_BY_PATH, dgi_of_record

from ..preparation.prepared import PreparedCard
from .fitting import Box, FittedText, fit
from .print_faults import CannotPrint, PrintFault
from .typefaces import Typefaces, missing_packages
from .typesetting import typeset

WIDTH, HEIGHT = 85.60, 53.98
"""Millimetres of an ID-1 card (ISO/IEC 7810, 5.1)."""
MOST_CARDS = 5000
"""Of one PDF: typst holds all its pages in memory, some 100 KB a card."""
FACES_A_SHEET = 8

_TEMPLATE = "card_proofs.typ"
_PHOTO = FILE_BY_PATH["DDF1/EF07"]
_QR_ERROR = "q"
"""A quarter of the code may be scratched or dirty (ISO/IEC 18004)."""


class ProofForm(StrEnum):
    """How the faces are laid out."""

    CARD = "card"
    SHEET = "sheet"
    CARRIER = "carrier"


_FACE: dict[str, Box] = {
    "name": Box(32.6, 13.0, 15.0, 6.0),
    "card_number": Box(32.6, 5.0, 10.5, 6.5),
    "issuer_name": Box(54.6, 5.0, 8.5, 6.0),
}
_CARRIER: dict[str, Box] = {
    "addressee": Box(84.0, 10.0, 12.0, 7.0),
    "address": Box(84.0, 12.0, 11.0, 7.0),
    "sender": Box(84.0, 6.0, 9.0, 6.0),
}
_COLUMNS = {"addressee": "name", "address": "address_1", "sender": "issuer_name"}
"""The columns of texts that are not called after them."""


def card_proofs(cards: Iterable[PreparedCard], form: ProofForm, typefaces: Typefaces) -> bytes:
    """The PDF of some cards, in their order.

    CannotPrint names every text that has a missing glyph or is too long, and every photo that is
    damaged. FormatError for more than MOST_CARDS.
    """
    boxes = _FACE | _CARRIER if form is ProofForm.CARRIER else _FACE
    faults: list[PrintFault] = []
    faces: list[Mapping[str, object]] = []
    for card in cards:
        if len(faces) == MOST_CARDS:
            raise FormatError(f"one PDF has {MOST_CARDS:,} cards at most")
        texts, misfits = _texts(card, boxes, typefaces)
        try:
            faces.append(_data(card, texts))
        except (*DAMAGE, OSError):
            misfits.append(_damaged_photo(card))
        faults += misfits
    if faults:
        raise CannotPrint(faults)
    data = {"form": form, "faces_a_sheet": FACES_A_SHEET, "faces": faces}
    return typeset(_TEMPLATE, data, typefaces)


def pages(count: int, form: ProofForm) -> int:
    """How many pages the proofs of some cards have."""
    return -(-count // FACES_A_SHEET) if form is ProofForm.SHEET else count


def _texts(
    card: PreparedCard, boxes: Mapping[str, Box], typefaces: Typefaces
) -> tuple[dict[str, FittedText], list[PrintFault]]:
    """The texts of a card in their boxes, and what is wrong with others, each column once."""
    texts: dict[str, FittedText] = {}
    faults: dict[str, PrintFault] = {}
    for name, box in boxes.items():
        column = _COLUMNS.get(name, name)
        fitted = fit(_value(card, column), box, typefaces)
        if isinstance(fitted, FittedText):
            texts[name] = fitted
        elif column not in faults:
            faults[column] = PrintFault(
                card.number, card.line, column, fitted.problem, fitted.remedy
            )
    return texts, list(faults.values())


def _value(card: PreparedCard, column: str) -> str:
    """A column's text; the second address if there is no first one."""
    text = card.value(column)
    return text or card.value("address_2") if column == "address_1" else text


def _data(card: PreparedCard, texts: Mapping[str, FittedText]) -> dict[str, object]:
    """A card for the template. Any of DAMAGE or OSError for a photo that is no picture."""
    jpeg = _photo(card)
    return {
        **{name: text.as_dict() for name, text in texts.items()},
        "number": card.number,
        "line": card.line,
        "qr": _qr_code(card.card_number),
        "photo": _picture(jpeg) if jpeg else None,
    }


def _photo(card: PreparedCard) -> bytes | None:
    """The photo as it is on the chip, a JPEG; None if the card has none."""
    for dgi, raw in card.groupings:
        if dgi == dgi_of_record(_PHOTO, 1):
            return raw[2 : 2 + int.from_bytes(raw[:2], "big")]
    return None


def _picture(jpeg: bytes) -> str:
    """An SVG picture that holds a JPEG as it is."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
        picture.load()
        width, height = picture.size
    data = base64.b64encode(jpeg).decode("ascii")
    size = f'width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        f'<image {size} href="data:image/jpeg;base64,{data}"/></svg>'
    )


def _qr_code(card_number: str) -> str:
    """An SVG picture of a QR code with its quiet zone of four modules."""
    try:
        import segno
    except ImportError:
        raise missing_packages() from None
    out = io.BytesIO()
    code = segno.make(card_number, error=_QR_ERROR, boost_error=False, micro=False)
    code.save(out, kind="svg", border=4, light="#fff", xmldecl=False, nl=False)
    return out.getvalue().decode("ascii")


def _damaged_photo(card: PreparedCard) -> PrintFault:
    remedy = "Prepare the list again"
    return PrintFault(card.number, card.line, "photo_file", "the photo is damaged", remedy)
