"""The configuration file as text and tables: where it is, who may write it, where a key stands."""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, CardError
from cardlib.regular_file import open_regular, read_to_end

ENVIRONMENT = "RHCARD_CONFIG"
"""The environment variable that names another configuration file."""
PROFILES_TABLE = "card-profiles"
"""The table of the profiles of one's own."""
_LARGEST = 1 << 16
_SHOWN = 60
_PLAIN = re.compile("[A-Za-z0-9_-]{1,31}")
_HEX_KEY = re.compile(r"(?<![0-9A-Fa-f])([0-9A-Fa-f]{2}[ :]?){16,1024}(?![0-9A-Fa-f])")
_MOST_PLACES, _MOST_LINES = 64, 256
"""How many places are looked at for a key, and how many lines one value may have there."""


class ConfigError(CardError):
    """The configuration is not right. The message names file or variable, key, and what to do."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """What is wrong with one key of the file, and what to write.

    `problem` shows the key as it may be shown; `keys` are its tables and itself.
    """

    keys: tuple[str, ...]
    problem: str
    line: int | None = None

    @property
    def key(self) -> str:
        """The key with its tables, as it may be shown."""
        return ".".join(each if _PLAIN.fullmatch(each) else short(each) for each in self.keys)

    def in_file(self, path: Path) -> str:
        """The fault in one line, with its file."""
        return f"{path}: {f'line {self.line}: ' if self.line else ''}{self.problem}"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file as it was read."""

    path: Path
    text: str
    document: Mapping[str, Any]

    def line_of(self, keys: Sequence[str]) -> int | None:
        """The line where a key begins (1 is the first); None when that cannot be told.

        TOML's parser keeps no lines. A line is right when the file before it parses without the
        key, and the file up to the end of what begins there has it.
        """
        lines = self.text.split("\n")
        places = [place for place, line in enumerate(lines) if keys[-1] in line]
        for place in places[:_MOST_PLACES]:
            before = _parsed_or_none(lines[:place])
            if before is not None and not _has(before, keys) and _begins(lines, place, keys):
                return place + 1
        return None


def config_path() -> Path:
    """The configuration file: $RHCARD_CONFIG, else rhcard/rhcard.toml in the XDG folder."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/.config")
    return Path(folder, "rhcard", "rhcard.toml")


def read_config(path: Path, *, remedy: str = "") -> ConfigFile | None:
    """Read a configuration file. None when it is not there, and no `remedy` says what to do then.

    ConfigError when it is no file, cannot be read, is not TOML, or others could write it.
    """
    try:
        with open_regular(path) as file:
            _check_owner(path, os.fstat(file.fileno()))
            raw = read_to_end(file, path, _LARGEST)
    except FileNotFoundError:
        if not remedy:
            return None
        raise ConfigError(f"{path}: there is no such file. {remedy}") from None
    except OSError as error:
        why = f"{error.strerror}. The configuration must be a file that you may read"
        raise ConfigError(f"{path}: {why}") from None
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text: save it as UTF-8") from None
    return ConfigFile(path, text, _parsed(path, text))


def short(value: object) -> str:
    """A value of the file for a message, cut if it is long, and without what looks like a key."""
    if isinstance(value, dict) or (isinstance(value, list) and any(map(_is_nested, value))):
        return "a table" if isinstance(value, dict) else "a list of lists or tables"
    try:
        text = without_keys(repr(value))
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a very long number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def without_keys(text: str) -> str:
    """A text for a message, with … for all hexadecimal digits of 16 bytes or more."""
    return _HEX_KEY.sub("…", text)


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def others_can_write(status: os.stat_result) -> bool:
    """Whether somebody else than this user and root may write a file, or put one into a folder."""
    if status.st_uid not in (0, os.geteuid()):
        return True
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not sticky


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Raise ConfigError when another user could choose the settings."""
    danger = "whoever can write it chooses your keys and readers"
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path}: it belongs to another user, and {danger}. Make a file of yours")
    if others_can_write(status):
        raise ConfigError(f"{path}: others can write it, and {danger}. Run: chmod go-w {path}")
    for folder in {path.absolute().parent, path.resolve().parent}:
        if others_can_write(folder.stat()):
            raise ConfigError(
                f"{path}: others can put another file into its folder, and {danger}. Keep it in a"
                f" folder of yours, and run: chmod go-w {folder}"
            )


def _parsed(path: Path, text: str) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except DAMAGE as error:
        raise ConfigError(
            f"{path}: not TOML: {without_keys(str(error))}. Correct it there"
        ) from None


def _parsed_or_none(lines: Sequence[str]) -> Mapping[str, Any] | None:
    import tomllib

    try:
        return tomllib.loads("\n".join(lines))
    except DAMAGE:
        return None


def _begins(lines: Sequence[str], place: int, keys: Sequence[str]) -> bool:
    """Whether what begins on a line brings the key."""
    for end in range(place + 1, min(len(lines), place + _MOST_LINES) + 1):
        after = _parsed_or_none(lines[:end])
        if after is not None:
            return _has(after, keys)
    return False


def _has(document: object, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True
