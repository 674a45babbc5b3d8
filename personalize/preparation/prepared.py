"""One resident's card as prepared: what does not depend on the chip, and what must read back."""

import json
from dataclasses import dataclass, field

from cardlib.errors import FormatError
from cardlib.layout.load import Grouping, Values


@dataclass(frozen=True, slots=True)
class PreparedCard:
    """One card of a batch. Its repr shows no personal data.

    `number` counts the batch's cards from 1, `line` is the resident's line in the input.
    `values` is the text of every written field as `FieldValue.text` gives it after reading back.
    `groupings` are (DGI, value) in the order to load them, without 0109, 81kk, 8010, 9010, 1700.
    """

    number: int
    line: int
    card_number: str = field(repr=False)
    name: str = field(repr=False)
    city_code: str
    values: Values = field(repr=False)
    groupings: tuple[Grouping, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """One flat record: length (4) and JSON, then DGI (2), length (2), value of each."""
        text = json.dumps(
            [self.number, self.line, self.card_number, self.name, self.city_code, self.values],
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        parts = [len(text).to_bytes(4, "big"), text]
        for dgi, value in self.groupings:
            parts += [dgi.to_bytes(2, "big"), len(value).to_bytes(2, "big"), value]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "PreparedCard":
        """The card of a flat record; FormatError when it is none."""
        end = 4 + int.from_bytes(raw[:4], "big")
        try:
            number, line, card_number, name, city_code, values = json.loads(raw[4:end])
        except (ValueError, TypeError):
            raise FormatError("not a prepared card") from None
        groupings = []
        while end < len(raw):
            dgi, length = (int.from_bytes(raw[at : at + 2], "big") for at in (end, end + 2))
            start, end = end + 4, end + 4 + length
            if end > len(raw):
                raise FormatError("a data grouping of a prepared card is cut off")
            groupings.append((dgi, raw[start:end]))
        return cls(number, line, card_number, name, city_code, values, tuple(groupings))
