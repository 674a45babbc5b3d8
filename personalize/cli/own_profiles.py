"""The card profiles that a user names in the configuration file, each built on one of the table."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cardlib.card import FieldCard
from cardlib.crypto import Cipher
from cardlib.layout.card_profile import FIELD, PROFILES, RHCARD, SETTINGS, CardProfile

from ..terminal.reading import HowToRead
from .config_file import PROFILES_TABLE as TABLE
from .config_file import ConfigFault, short

_CIPHERS = {cipher.name.lower(): cipher for cipher in Cipher}
KEYS: Mapping[str, tuple[str | int, ...]] = {
    "base": tuple(PROFILES),
    "cipher": tuple(_CIPHERS),
    "key_version": tuple(range(1, 8)),
    **{each.name: each.choices for each in SETTINGS},
}
"""The keys of one profile, and the values that each may have."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TAKEN = (*PROFILES, *(each.name for each in SETTINGS))


def profiles_of(document: Mapping[str, Any]) -> Mapping[str, HowToRead]:
    """The profiles of a configuration without faults, by name."""
    return {name: _profile(table) for name, table in document.get(TABLE, {}).items()}


def profile_faults(document: Mapping[str, Any]) -> Iterator[ConfigFault]:
    """Every fault of the profiles that a configuration names."""
    tables = document.get(TABLE, {})
    if not isinstance(tables, dict):
        yield ConfigFault((TABLE,), f"{TABLE} must be a table: write [{TABLE}.NAME]")
        return
    for name, table in tables.items():
        for key, problem in _faults_of(name, table):
            yield ConfigFault((TABLE, name, *key), problem)


def _faults_of(name: str, table: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """The faults of one profile: the key, if it is one key's, and what is wrong."""
    where = f"{TABLE}.{name}"
    if problem := _name_problem(name):
        yield (), problem
        return
    if not isinstance(table, dict):
        yield (), f"{where} must be a table: write [{where}]"
        return
    problems = {key: _problem(where, key, value) for key, value in table.items()}
    yield from (((key,), problem) for key, problem in problems.items() if problem)
    good = {key: table[key] for key, problem in problems.items() if not problem}
    if "base" not in table:
        yield (), f'{where}.base is missing: write base = "field" or base = "rhcard"'
    elif "base" in good:
        yield from (((key,), why) for key, why in _lowered(_changed(good), good, where))


def _name_problem(name: str) -> str:
    if not _NAME.fullmatch(name):
        problem = "use the letters A to Z and a to z, digits, - and _ only, 64 at most"
        return f"{TABLE}: {short(name)} cannot be a name: {problem}"
    if name in _TAKEN:
        return f"{TABLE}.{name}: {name} is a name of rhcard's own: take another one"
    return ""


def _profile(values: Mapping[str, Any]) -> HowToRead:
    """The profile of a table without faults."""
    cipher = _CIPHERS[values["cipher"]] if "cipher" in values else None
    return HowToRead(_changed(values), FieldCard(cipher, values.get("key_version")))


def _changed(values: Mapping[str, Any]) -> CardProfile:
    settings = {row.name: values[row.name] for row in SETTINGS if row.name in values}
    return PROFILES[values["base"]].having(settings)


def _problem(where: str, key: str, value: object) -> str:
    """Why a profile cannot have a value. True is no 1 here, though Python takes it for one."""
    if key not in KEYS:
        return f"{where} has a key {short(key)}: use {', '.join(KEYS)}"
    if any(type(value) is type(choice) and value == choice for choice in KEYS[key]):
        return ""
    allowed = " or ".join(json.dumps(choice) for choice in KEYS[key])
    return f"{where}.{key} is {short(value)}: write {allowed}"


def _lowered(
    profile: CardProfile, values: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str]]:
    """The keys that lower protection without base = "field"."""
    for name in profile.lowered:
        if profile.name != FIELD.name:
            problem = 'which lowers protection: write base = "field"'
            yield name, f"{where}.{name} is {values[name]!r}, {problem}"
    for name in ("cipher", "key_version"):
        if name in values and profile.fci == RHCARD.fci:
            problem = 'such a card says it itself. Leave it out, or write base = "field"'
            yield name, f"{where}.{name}: {problem}"
