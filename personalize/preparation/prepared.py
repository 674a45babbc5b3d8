"""A prepared card: everything on one resident's card that does not depend on the chip."""

from dataclasses import dataclass, field

from cardlib.errors import FormatError
from cardlib.facts import Region
from cardlib.layout.load import Grouping, text_of

from ..listing.columns import COLUMN_BY_NAME


@dataclass(frozen=True, slots=True)
class PreparedCard:
    """One card of a batch. Its repr shows no personal data.

    `number` counts the batch's cards from 1, `line` is the resident's line in the input.
    `groupings` are (DGI, value) in the order to load them, without 0109, 81kk, 8010, 9010, 1700.
    Everything else that is known of the resident is read from them.
    """

    number: int
    line: int
    groupings: tuple[Grouping, ...] = field(repr=False)

    def value(self, column: str) -> str:
        """The text of an input column as it will be on the card; "" when it is not written."""
        place = COLUMN_BY_NAME[column]
        return text_of(dict(self.groupings), place.path, place.record, place.field)

    @property
    def card_number(self) -> str:
        """The card number, as in the input."""
        return self.value("card_number")

    @property
    def name(self) -> str:
        """The resident's name."""
        return self.value("name")

    @property
    def region(self) -> Region:
        """The region factor of the card's level-2 keys, from its city code."""
        return Region.of_city(self.value("city_code"))

    def to_bytes(self) -> bytes:
        """Encode as one record: number (4), line (4), then DGI (2), length (2), value of each."""
        parts = [self.number.to_bytes(4, "big"), self.line.to_bytes(4, "big")]
        for dgi, value in self.groupings:
            parts += [dgi.to_bytes(2, "big"), len(value).to_bytes(2, "big"), value]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "PreparedCard":
        """Decode a record; FormatError when it is not a prepared card."""
        if len(raw) < 8:
            raise FormatError("not a prepared card")
        number, line = (int.from_bytes(raw[at : at + 4], "big") for at in (0, 4))
        end, groupings = 8, []
        while end < len(raw):
            dgi, length = (int.from_bytes(raw[at : at + 2], "big") for at in (end, end + 2))
            start, end = end + 4, end + 4 + length
            if end > len(raw):
                raise FormatError("a data grouping of a prepared card is cut off")
            groupings.append((dgi, raw[start:end]))
        return cls(number, line, tuple(groupings))
