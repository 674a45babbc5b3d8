"""Patterns for the data of an answer, as a script writes them: `6F xx 84*2 xx*3 ..`."""

import re
from dataclasses import dataclass

from ..errors import FormatError

_ITEM = re.compile(r"([0-9A-Fa-f]{2}|[xX]{2})(?:\*([1-9][0-9]{0,4}))?")
_REST, _NOTHING = "..", "-"
_MAX_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Pattern:
    """Expected bytes. None stands for any byte; `open_ended` allows more bytes at the end."""

    values: tuple[int | None, ...]
    open_ended: bool = False

    def difference(self, data: bytes) -> str:
        """Say where `data` differs from the pattern, or "" if it does not."""
        for offset, (expected, found) in enumerate(zip(self.values, data, strict=False)):
            if expected is not None and expected != found:
                return f"byte {offset} is {found:02X}, not {expected:02X}"
        needed = len(self.values)
        if len(data) < needed or (len(data) > needed and not self.open_ended):
            least = "at least " if self.open_ended else ""
            return f"{len(data)} bytes of data, not {least}{needed}"
        return ""

    def __str__(self) -> str:
        shown = " ".join("xx" if value is None else f"{value:02X}" for value in self.values)
        rest = [_REST] if self.open_ended else []
        return " ".join([shown, *rest] if shown else rest or [_NOTHING])


def parse_pattern(words: list[str]) -> Pattern:
    """Parse the words of a line. Raises FormatError, which names the word that is not valid."""
    if words == [_NOTHING]:
        return Pattern(())
    open_ended = words[-1:] == [_REST]
    values: list[int | None] = []
    for word in words[:-1] if open_ended else words:
        item = _ITEM.fullmatch(word)
        if item is None:
            raise FormatError(f"{word!r} is not a byte: write two hex digits, or xx for any byte")
        value = None if item[1].lower() == "xx" else int(item[1], 16)
        values += [value] * int(item[2] or 1)
        if len(values) > _MAX_BYTES:
            raise FormatError(f"the pattern has more than {_MAX_BYTES} bytes")
    return Pattern(tuple(values), open_ended)
