"""Write the scripts that are made from the layout: `python -m cardlib.script.from_layout`."""

from collections.abc import Iterator
from pathlib import Path

from ..apdu import CommandAPDU
from ..layout import FILES, FileSpec, Structure
from .language import SUFFIX

_SELECT_PATH = (0x00, 0xA4, 0x08, 0x0C)
_HEAD = """#!/usr/bin/env scriptor
# Try to read every protected file without its key: each form of read must answer 6982.
# Made from the layout by python -m cardlib.script.from_layout; a test compares the two.

reset
#> ATR 3B 9E ..
"""


def check_protected() -> str:
    """Return the script that tries to read every protected file without a key, in every form."""
    blocks = [_HEAD]
    for file in FILES:
        if file.read_key:
            lines = [f"# {file.path}, {file.title}: needs {file.read_key}."]
            lines += [_line(_select(file)), "#> 9000 -"]
            for command in _reads(file):
                lines += [_line(command), "#> 6982 -"]
            blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _line(command: CommandAPDU) -> str:
    return bytes(command).hex(" ").upper()


def _select(file: FileSpec) -> CommandAPDU:
    """SELECT by path from the MF; the card answers no data."""
    names = file.path.split("/")
    path = b"".join(bytes.fromhex(name) for name in names)
    return CommandAPDU(*_SELECT_PATH, path)


def _reads(file: FileSpec) -> Iterator[CommandAPDU]:
    """READ BINARY, or READ RECORD by number, from a number on, and by tag in a TLV file."""
    if file.structure is Structure.TRANSPARENT:
        yield CommandAPDU(0x00, 0xB0, 0x00, 0x00, le=256)
        return
    yield CommandAPDU(0x00, 0xB2, 0x01, 0x04, le=256)
    yield CommandAPDU(0x00, 0xB2, 0x01, 0x05, le=256)
    if (tag := file.fields[0].tag) is not None:
        yield CommandAPDU(0x00, 0xB2, tag, 0x00, le=256)


def write(folder: Path) -> None:
    """Write the script to its file in a folder."""
    path = folder / f"check_protected{SUFFIX}"
    path.write_text(check_protected(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(Path("apdu_scripts"))
