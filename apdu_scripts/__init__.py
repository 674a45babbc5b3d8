"""The scripts that come with this package; `rhcard apdu run` and scriptor run the same files."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from cardlib.script import Script, parse, read_script
from cardlib.script.language import SUFFIX

__all__ = ["load", "names"]


@cache
def names() -> tuple[str, ...]:
    """Return the names of the scripts that come with the package."""
    found = [entry.name for entry in files(__package__).iterdir()]
    return tuple(sorted(name[: -len(SUFFIX)] for name in found if name.endswith(SUFFIX)))


def load(name: str) -> Script:
    """Return the package's script with this name, or else the script in the file at this path.

    Raises ScriptError when a line is not valid, or FormatError when the file is not UTF-8 text.
    """
    if name in names():
        return parse((files(__package__) / f"{name}{SUFFIX}").read_text("utf-8"), name)
    return read_script(Path(name))
