"""The fonts that texts are printed with: where they are, which characters they have, how wide.

A character that no font has is never printed as a box: `advance` says None for it.
"""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cardlib.errors import FileRefused
from cardlib.regular_file import open_regular

from .print_faults import PrintingUnavailable

if TYPE_CHECKING:
    from typst import FontInfo

KNOWN_PLACES = (
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/NotoSansCJK-Regular.ttc"),
)
"""Where Debian, Fedora, older Fedora, Arch and SUSE have Noto Sans CJK."""

_SIMPLIFIED = " SC"
"""How the name of the face of a collection ends that has the shapes of mainland China."""


@dataclass(frozen=True)
class Typeface:
    """One face of a font file: its name, the glyph of each code point, each glyph's width."""

    family: str
    glyphs: Mapping[int, str] = field(repr=False)
    widths: Mapping[str, tuple[int, int]] = field(repr=False)
    units: int

    def advance(self, char: str) -> float | None:
        """The width of a character in em, or None if the face has no glyph for it."""
        glyph = self.glyphs.get(ord(char))
        return None if glyph is None else self.widths[glyph][0] / self.units


@dataclass(frozen=True)
class Typefaces:
    """Faces in the order in which they are tried for each character.

    `folder` holds their files and no others, for the typesetter.
    """

    faces: tuple[Typeface, ...]
    folder: Path

    @property
    def families(self) -> list[str]:
        """The names of the faces, in their order."""
        return [face.family for face in self.faces]

    def advance(self, char: str) -> float | None:
        """The width of a character in em, in the first face that has it; None if none has it."""
        found = (face.advance(char) for face in self.faces)
        return next((width for width in found if width is not None), None)


@contextmanager
def opened_typefaces(fonts: Sequence[Path] = ()) -> Iterator[Typefaces]:
    """Open font files; Noto Sans CJK, where Linux distributions have it, is always the last one.

    FileRefused when a file is no font, or when two are of one family.
    PrintingUnavailable when there is no font at all, or the extra `print` is not installed.
    """
    known = [place for place in KNOWN_PLACES if place.is_file()][:1]
    if not fonts and not known:
        raise PrintingUnavailable(
            "there is no font with Chinese characters: install Noto Sans CJK (Debian:"
            " apt-get install fonts-noto-cjk), or give --font FILE"
        )
    with tempfile.TemporaryDirectory(prefix="rhcard-fonts-") as name:
        folder = Path(name)
        faces: dict[str, Typeface] = {}
        for file in (*fonts, *known):
            face = _face(file, folder / str(len(faces)))
            if face.family not in faces:
                faces[face.family] = face
            elif file in fonts:
                why = f"another font of the family {face.family} is given already: leave out one"
                raise FileRefused(errno.EINVAL, why, str(file))
        yield Typefaces(tuple(faces.values()), folder)


def _face(file: Path, place: Path) -> Typeface:
    """Open the face of a file, and put a link to the file alone into the folder `place`."""
    try:
        import typst
        from fontTools.ttLib import TTFont
        from fontTools.ttLib import TTLibError as NotAFont
    except ImportError:
        raise missing_packages() from None
    open_regular(file).close()
    # A font that is not taken has left a link there.
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / file.name).symlink_to(file.absolute())
    found = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(place)]
    ).fonts()
    if not found:
        raise _no_font(file)
    chosen = _chosen(found)
    try:
        with TTFont(file, fontNumber=chosen.index, lazy=True) as font:
            widths, units = font["hmtx"].metrics, font["head"].unitsPerEm
            return Typeface(chosen.family, font.getBestCmap(), widths, units)
    except (NotAFont, KeyError, ValueError):
        raise _no_font(file) from None


def _chosen(found: "Sequence[FontInfo]") -> "FontInfo":
    """The face of a collection with the shapes of mainland China, else the first one."""
    return next((each for each in found if each.family.endswith(_SIMPLIFIED)), found[0])


def _no_font(file: Path) -> FileRefused:
    return FileRefused(errno.EINVAL, "it is no OpenType or TrueType font", str(file))


def missing_packages() -> PrintingUnavailable:
    """What to raise when the extra is not installed."""
    return PrintingUnavailable(
        "printing needs the packages typst, segno and fonttools: run pip install 'rhcard[print]'"
    )
