"""Texts in boxes: the largest size at which a text fits, and its lines.

The typesetter is told not to kern, join or space characters, so widths add up and what is measured
here is what is printed.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from .typefaces import Typefaces

LINE_HEIGHT = 1.25
"""From one line to the next, in em."""
_STEP = 0.5
_MM_IN_POINTS = 72 / 25.4
_SEPARATORS = " \u3000·"
_WORD = re.compile(f"[^{_SEPARATORS}]*[{_SEPARATORS}]*")


@dataclass(frozen=True, slots=True)
class Box:
    """Where a text goes: millimetres, and the largest and the least size in points."""

    width: float
    height: float
    largest: float
    least: float


@dataclass(frozen=True, slots=True)
class FittedText:
    """A text's size in points and its lines, which together are the text."""

    size: float
    lines: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """The text for a template."""
        return {"size": self.size, "lines": list(self.lines)}


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a text cannot be printed, and what to do."""

    problem: str
    remedy: str


def fit(text: str, box: Box, typefaces: Typefaces) -> FittedText | Misfit:
    """The text at the largest size at which it fits into its box, or why it cannot be printed."""
    widths = {char: typefaces.advance(char) for char in text}
    missing = [f"U+{ord(char):04X}" for char, width in widths.items() if width is None]
    if missing:
        return Misfit(
            f"no font has a glyph for {', '.join(missing)} ({', '.join(typefaces.families)})",
            "Give --font FILE with a font that has it",
        )
    known = {char: width for char, width in widths.items() if width is not None}
    for size in _sizes(box):
        lines = _broken(text, known, box.width * _MM_IN_POINTS / size)
        if len(lines) <= _rows(box, size):
            return FittedText(size, lines)
    return Misfit(
        f"the text is too long: it does not fit into {box.width:g} x {box.height:g} mm at"
        f" {box.least:g} points, the least size",
        "Shorten it in the list, and prepare the list again",
    )


def _sizes(box: Box) -> Iterator[float]:
    size = box.largest
    while size >= box.least:
        yield size
        size -= _STEP


def _rows(box: Box, size: float) -> int:
    """How many lines of a size fit into a box: at least one, if its characters do."""
    height = box.height * _MM_IN_POINTS / size
    return int((height - 1) / LINE_HEIGHT) + 1 if height >= 1 else 0


def _broken(text: str, widths: dict[str, float], most: float) -> tuple[str, ...]:
    """Lines of `most` em or less. They end after a space or ·, else between any two characters."""
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1] and _width(lines[-1] + word, widths) > most:
            lines.append("")
        for cluster in _clusters(word):
            if lines[-1] and _width(lines[-1] + cluster, widths) > most:
                lines.append("")
            lines[-1] += cluster
    return tuple(lines)


def _clusters(word: str) -> list[str]:
    """The parts of a word between which a line may end."""
    clusters: list[str] = []
    for char in word:
        if clusters and (char in _SEPARATORS or unicodedata.combining(char)):
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _width(text: str, widths: dict[str, float]) -> float:
    """The width of a line in em; spaces at its end take no room."""
    return sum(widths[char] for char in text.rstrip())
