"""APDU scripts: the language of .scriptor files, its runner, and the decoder of answers."""

from .in_clear import NotProtected
from .language import Script, ScriptError, parse, read_script
from .runner import Difference, Outcome, Runner, difference

__all__ = [
    "Difference",
    "NotProtected",
    "Outcome",
    "Runner",
    "Script",
    "ScriptError",
    "difference",
    "parse",
    "read_script",
]
