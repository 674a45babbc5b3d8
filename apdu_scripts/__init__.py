"""Scripts to run against a card, each with what it expects; scriptor runs the same files."""

from .run import Difference, Outcome, Runner, difference
from .script import Script, ScriptError, load, names, parse

__all__ = [
    "Difference",
    "Outcome",
    "Runner",
    "Script",
    "ScriptError",
    "difference",
    "load",
    "names",
    "parse",
]
