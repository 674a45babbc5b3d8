"""Scripts to run against a card, each with what it expects; scriptor runs the same files."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from cardlib.script import Script, parse, read_script
from cardlib.script.language import SUFFIX

__all__ = ["load", "names"]


@cache
def names() -> tuple[str, ...]:
    """The scripts that come with the package, by name."""
    found = [entry.name for entry in files(__package__).iterdir()]
    return tuple(sorted(name[: -len(SUFFIX)] for name in found if name.endswith(SUFFIX)))


def load(name: str) -> Script:
    """The script of the package with that name, else the script in the file at that path.

    ScriptError for a line that is not valid, FormatError for a file that is not UTF-8 text.
    """
    if name in names():
        return parse((files(__package__) / f"{name}{SUFFIX}").read_text("utf-8"), name)
    return read_script(Path(name))
