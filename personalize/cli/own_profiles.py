"""The card profiles that a user names in the configuration file, each built on one of the table.

The file is read only when a profile is asked for that is not in the table, and to list them all.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cardlib.card import FieldCard
from cardlib.crypto import Cipher
from cardlib.errors import DAMAGE, CardError, FormatError
from cardlib.layout.card_profile import FIELD, PROFILES, RHCARD, SETTINGS, CardProfile
from cardlib.regular_file import read_regular

from ..terminal.reading import HowToRead

ENVIRONMENT = "RHCARD_CONFIG"
"""The environment variable that names another configuration file."""
TABLE = "card-profiles"
_CIPHERS = {cipher.name.lower(): cipher for cipher in Cipher}
KEYS: Mapping[str, tuple[str | int, ...]] = {
    "base": tuple(PROFILES),
    "cipher": tuple(_CIPHERS),
    "key_version": tuple(range(1, 8)),
    **{each.name: each.choices for each in SETTINGS},
}
"""The keys of one profile, and the values that each may have."""
_LARGEST = 1 << 16
_SHOWN = 60
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TAKEN = (*PROFILES, *(each.name for each in SETTINGS))


class ConfigError(CardError):
    """The configuration file is not right. The message names file and key, and what to do."""


def config_path() -> Path:
    """The configuration file: $RHCARD_CONFIG, else rhcard/rhcard.toml in the XDG folder."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/.config")
    return Path(folder, "rhcard", "rhcard.toml")


def own_profiles() -> Mapping[str, HowToRead]:
    """The user's own profiles by name; none if there is no configuration file.

    ConfigError when the file that $RHCARD_CONFIG names is not there, or any file is not right.
    """
    path = config_path()
    try:
        raw = read_regular(path, _LARGEST)
    except FileNotFoundError:
        if not os.environ.get(ENVIRONMENT):
            return {}
        raise ConfigError(
            f"{path}: there is no such file. Correct ${ENVIRONMENT}, or unset it"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}. The configuration must be a file that you may read"
        ) from None
    try:
        return _profiles(_parsed(raw))
    except FormatError as error:
        raise ConfigError(f"{path}: {error}") from None


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise FormatError("not UTF-8 text: save it as UTF-8") from None
    except DAMAGE as error:
        raise FormatError(f"not TOML: {error}. Correct it there") from None


def _profiles(document: Mapping[str, Any]) -> Mapping[str, HowToRead]:
    example = f"write [{TABLE}.NAME]"
    for key in document:
        if key != TABLE:
            raise FormatError(f"there is no table or key {_short(key)}: {example}")
    tables = document.get(TABLE, {})
    if not isinstance(tables, dict):
        raise FormatError(f"{TABLE} must be a table: {example}")
    return {name: _profile(name, table) for name, table in tables.items()}


def _profile(name: str, table: Any) -> HowToRead:
    where = f"{TABLE}.{name}"
    if not _NAME.fullmatch(name):
        problem = "use the letters A to Z and a to z, digits, - and _ only, 64 at most"
        raise FormatError(f"{TABLE}: {_short(name)} cannot be a name: {problem}")
    if name in _TAKEN:
        raise FormatError(f"{where}: {name} is a name of rhcard's own: take another one")
    if not isinstance(table, dict):
        raise FormatError(f"{where} must be a table: write [{where}]")
    for key in table:
        if key not in KEYS:
            raise FormatError(f"{where} has a key {_short(key)}: use {', '.join(KEYS)}")
    if "base" not in table:
        raise FormatError(f'{where}.base is missing: write base = "field" or base = "rhcard"')
    values = {key: _checked(f"{where}.{key}", value, KEYS[key]) for key, value in table.items()}
    settings = {row.name: values[row.name] for row in SETTINGS if row.name in values}
    profile = PROFILES[values["base"]].having(settings)
    _check_protection(profile, values, where)
    cipher = _CIPHERS[values["cipher"]] if "cipher" in values else None
    return HowToRead(profile, FieldCard(cipher, values.get("key_version")))


def _checked(where: str, value: object, choices: Iterable[str | int]) -> Any:
    """The value, if it is one of the choices. True is no 1 here, though Python takes it for one."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        allowed = " or ".join(json.dumps(choice) for choice in choices)
        raise FormatError(f"{where} is {_short(value)}: write {allowed}")
    return value


def _check_protection(profile: CardProfile, values: Mapping[str, Any], where: str) -> None:
    """Raise FormatError when protection is lowered without base = "field"."""
    for name in profile.lowered:
        if profile.name != FIELD.name:
            raise FormatError(
                f'{where}.{name} is {values[name]!r}, which lowers protection: write base = "field"'
            )
    for name in ("cipher", "key_version"):
        if name in values and profile.fci == RHCARD.fci:
            raise FormatError(
                f'{where}.{name}: such a card says it itself. Leave it out, or write base = "field"'
            )


def _short(value: object) -> str:
    """A value of the file for a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
