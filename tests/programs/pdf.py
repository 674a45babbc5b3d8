"""What other people's programs find in a PDF: poppler texts, pictures and sizes, zbar QR codes."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MM = 25.4 / 72
_LIMIT = 60


@dataclass(frozen=True)
class Word:
    """A word and its place on its page, in millimetres from the top left."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def texts(pdf: bytes, folder: Path) -> list[str]:
    """The text of each page without spaces and line breaks, as pdftotext finds it."""
    found = _run("pdftotext", "-raw", _saved(pdf, folder), "-").decode()
    return ["".join(page.split()) for page in found.split("\f")[:-1]]


def words(pdf: bytes, folder: Path) -> list[Word]:
    """The words of the first page."""
    found = _run("pdftotext", "-bbox", "-l", "1", _saved(pdf, folder), "-").decode()
    pattern = r'<word xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)">(.*?)</word>'
    return [
        Word(text, *(float(each) * _MM for each in place))
        for *place, text in re.findall(pattern, found)
    ]


def sizes(pdf: bytes, folder: Path) -> set[tuple[float, float]]:
    """Width and height of the pages in millimetres, each size once."""
    found = _run("pdfinfo", "-f", "1", "-l", "9999", _saved(pdf, folder)).decode()
    pattern = r"Page +\d+ size: +([\d.]+) x ([\d.]+) pts"
    return {
        (round(float(width) * _MM, 1), round(float(height) * _MM, 1))
        for width, height in re.findall(pattern, found)
    }


def fonts(pdf: bytes, folder: Path) -> list[list[str]]:
    """A row of pdffonts for each font: its name first, then type and flags."""
    found = _run("pdffonts", _saved(pdf, folder)).decode()
    return [line.split() for line in found.splitlines()[2:]]


def jpegs(pdf: bytes, folder: Path) -> list[bytes]:
    """The JPEG pictures, in the order in which pdfimages finds them."""
    _run("pdfimages", "-j", _saved(pdf, folder), str(folder / "picture"))
    return [path.read_bytes() for path in sorted(folder.glob("picture-*.jpg"))]


def qr_codes(pdf: bytes, folder: Path) -> list[str]:
    """What zbarimg reads from the pages in their order, drawn by pdftoppm at 200 dots an inch.

    It overlooks codes on a page that has many.
    """
    _run("pdftoppm", "-r", "200", "-gray", _saved(pdf, folder), str(folder / "page"))
    only_qr = ("--nodbus", "--raw", "--quiet", "-Sdisable", "-Sqr.enable")
    found = _run("zbarimg", *only_qr, *sorted(folder.glob("page-*.pgm")))
    return found.decode().splitlines()


def _saved(pdf: bytes, folder: Path) -> Path:
    path = folder / "read.pdf"
    path.write_bytes(pdf)
    return path


def _run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT).stdout
