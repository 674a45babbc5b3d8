"""Parse APDU scripts: files for pcsc-tools' scriptor, with expectations in their comments.

docs/reference/scripts.md describes the language. A script that is valid here does the same in
scriptor.
"""

import codecs
import errno
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import FileRefused, FormatError
from ..layout import FILE_BY_PATH, KEY_BY_NAME, FileSpec, KeySpec, Structure
from ..regular_file import read_regular
from .pattern import Pattern, parse_pattern

SUFFIX = ".scriptor"
_LARGEST = 2**20
_READ_RECORD = 0xB2
_AUTHENTICATING_ROLES = ("RK", "UK", "LK", "BK")
_BLANKS = " \t\r\f\v"
_SPACED = re.compile(r"[0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2})* *")
_PACKED = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_STATUS_WORD = re.compile(r"[0-9A-Fa-fxX]{4}")
_ATR = "ATR"


class ScriptError(FormatError):
    """A line of a script is not valid. `line` is its number from 1."""

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(f"{name}, line {line} is not valid: {problem}")
        self.name, self.line, self.problem = name, line, problem


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expected answer: its status word ("" for an ATR) and its data.

    `sw` is four characters: hex digits, or X for any. If `key` is set, it applies only to runs that
    authenticated with that key since the last reset, or (`with_key` false) that did not.
    """

    sw: str
    data: Pattern | None = None
    key: str = ""
    with_key: bool = True

    def applies(self, authenticated: frozenset[str]) -> bool:
        """Whether it applies to a run that has authenticated with these keys."""
        return not self.key or (self.key in authenticated) == self.with_key

    def accepts(self, sw: int) -> bool:
        """Whether the status word is the expected one."""
        found = f"{sw:04X}" if self.sw else ""
        return all(e in ("X", f) for e, f in zip(self.sw, found, strict=True))

    def __str__(self) -> str:
        words = [self.sw.replace("X", "x") or _ATR]
        words += [] if self.data is None else [str(self.data)]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Command:
    """Send these bytes. `file` is the file that a #= line names, whose records are answered."""

    line: int
    apdu: bytes
    comment: str = ""
    expectations: tuple[Expectation, ...] = ()
    file: FileSpec | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the card."""

    line: int
    comment: str = ""
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Authenticate:
    """EXTERNAL AUTHENTICATE with a card key, in runs with keys. For scriptor it is a comment."""

    line: int
    key: KeySpec
    comment: str = ""


Step = Command | Reset | Authenticate


@dataclass(frozen=True, slots=True)
class Script:
    """A script: its name, its first comment as the title, and its steps in order."""

    name: str
    title: str
    steps: tuple[Step, ...]


_NOT_FOR_SCRIPTOR = {
    codecs.BOM_UTF8: "begins with a byte order mark: save it as UTF-8 without BOM",
    b"\r": "has lines that end in CR: save it with Unix line ends (LF)",
}


def read_script(path: Path) -> Script:
    """Read the script in a file.

    Raises ScriptError when a line is not valid, FormatError when the file is not UTF-8 text that
    scriptor reads too, or is larger than 1 MiB. Raises OSError when it cannot be read.
    """
    try:
        raw = read_regular(path, _LARGEST)
    except FileRefused as error:
        if error.errno != errno.EFBIG:
            raise
        raise FormatError(f"{path}: {error.strerror}") from None
    for wrong, problem in _NOT_FOR_SCRIPTOR.items():
        if wrong in raw:
            raise FormatError(f"{path} {problem}")
    try:
        return parse(raw.decode("utf-8"), path.name)
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text: save it as UTF-8") from None


def parse(text: str, name: str = "script") -> Script:
    """Parse a script. Raises ScriptError, which names the line that is not valid."""
    return _Parser(name).parse(text)


@dataclass(slots=True)
class _Parser:
    """The lines so far: steps, a command that a backslash left open, comments before a step."""

    name: str
    line: int = 0
    steps: list[Step] = field(default_factory=list)
    open_command: bytes | None = None
    comments: list[str] = field(default_factory=list)
    title: str = ""

    def parse(self, text: str) -> Script:
        for self.line, line in enumerate(text.split("\n"), 1):
            if line.strip(_BLANKS).lower() == "exit":
                break
            self._take(line)
        if self.open_command is not None:
            raise self._error("the last command ends in \\: its rest is missing")
        return Script(self.name, self.title, tuple(self.steps))

    def _error(self, problem: str) -> ScriptError:
        return ScriptError(self.name, self.line, problem)

    def _take(self, line: str) -> None:
        if "exit" in line.lower():
            raise self._error("scriptor stops at any line that contains exit: use another word")
        if not line.strip(_BLANKS):
            self._take_blank()
        elif line.startswith("#"):
            self._take_comment(line)
        elif line.strip(_BLANKS).lower() == "reset":
            self._closed()
            self.steps.append(Reset(self.line, self._comment()))
        else:
            self._take_command(line)

    def _take_blank(self) -> None:
        self._closed()
        if not self.steps:
            self.comments.clear()

    def _closed(self) -> None:
        if self.open_command is not None:
            raise self._error("the line before ends in \\: write the rest of its command here")

    def _comment(self) -> str:
        text = "\n".join(self.comments)
        self.comments.clear()
        return text

    def _take_command(self, line: str) -> None:
        more = line.endswith("\\")
        digits = line[:-1] if more else line
        packed = _PACKED.fullmatch(digits)
        if not packed and not _SPACED.fullmatch(digits):
            raise self._error(
                "write reset, exit, a # comment, or a command in hex: all bytes separated by one"
                " blank (00 A4 04 00), or none (00A40400)"
            )
        apdu = (self.open_command or b"") + bytes.fromhex(digits)
        self.open_command = apdu if more else None
        if more:
            return
        if len(apdu) < 4:
            raise self._error(f"a command needs CLA INS P1 P2, but this has {len(apdu)} bytes")
        self.steps.append(Command(self.line, apdu, self._comment()))

    def _take_comment(self, line: str) -> None:
        self._closed()
        kind, words = line[:2], line[2:].split()
        if kind == "#>":
            self._take_expectation(words)
        elif kind == "#=":
            self._take_file(words)
        elif kind == "#!" and self.line == 1 and line.endswith("scriptor"):
            return
        elif kind == "#!":
            self._take_action(words)
        else:
            text = line[1:].strip()
            self.title = self.title or text
            self.comments += [text] if text else []

    def _take_expectation(self, words: list[str]) -> None:
        step = self.steps[-1] if self.steps else None
        if not isinstance(step, Command | Reset):
            raise self._error("write #> directly after the command or reset that it is for")
        expectation = self._expectation(words)
        if bool(expectation.sw) == isinstance(step, Reset):
            raise self._error("write #> ATR ... after reset, #> and a status word after a command")
        self.steps[-1] = replace(step, expectations=(*step.expectations, expectation))

    def _expectation(self, words: list[str]) -> Expectation:
        key, with_key = "", True
        if len(words) > 2 and words[-2] in ("with", "without"):
            key, with_key = self._key(words[-1]).name, words[-2] == "with"
            words = words[:-2]
        if not words or not (words[0] == _ATR or _STATUS_WORD.fullmatch(words[0])):
            raise self._error("write a status word like 9000 or 63Cx after #>, or ATR")
        sw = "" if words[0] == _ATR else words[0].upper()
        try:
            data = parse_pattern(words[1:]) if words[1:] else None
        except ValueError as error:
            raise self._error(str(error)) from None
        return Expectation(sw, data, key, with_key)

    def _key(self, name: str) -> KeySpec:
        key = KEY_BY_NAME.get(name)
        if key is None or key.role not in _AUTHENTICATING_ROLES:
            raise self._error(f"{name!r} is not a key for authenticating: use an RK, UK, LK or BK")
        return key

    def _take_action(self, words: list[str]) -> None:
        if len(words) != 2 or words[0] != "authenticate":
            raise self._error("after #! only this is possible: authenticate KEY")
        self.steps.append(Authenticate(self.line, self._key(words[1]), self._comment()))

    def _take_file(self, words: list[str]) -> None:
        step = self.steps[-1] if self.steps else None
        if not isinstance(step, Command) or step.apdu[1] != _READ_RECORD:
            raise self._error("write #= only after a READ RECORD command")
        file = FILE_BY_PATH.get(" ".join(words))
        if file is None or file.structure is Structure.TRANSPARENT:
            raise self._error("after #= write the path of a file with records: DDF1/DF02/EF05")
        self.steps[-1] = replace(step, file=file)
