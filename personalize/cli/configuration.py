"""What each setting is, and where that comes from: command line, environment, file or default.

A command that uses a setting loads the configuration, and no other command does. A file with any
fault is refused as a whole: nobody should work with half of what was written.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from cardlib.errors import FormatError

from .config_file import (
    ENVIRONMENT,
    PROFILES_TABLE,
    ConfigError,
    ConfigFault,
    ConfigFile,
    config_path,
    read_config,
    short,
)
from .config_secrets import secrets_in
from .config_settings import SETTING_BY_NAME, SETTINGS, ConfigSetting, Value

if TYPE_CHECKING:
    from ..terminal.reading import HowToRead

HOLDERS = ("keys", "agent", "token.label")
"""The settings that name who holds the keys; there is one holder."""
_TABLES = tuple({each.keys[0]: None for each in SETTINGS if len(each.keys) > 1})
_TOP = (*{each.keys[0]: None for each in SETTINGS}, PROFILES_TABLE)
_ONE_HOLDER = "there can be one holder of the keys only"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The value of a setting, None if it has none, and where it comes from.

    `where` is the variable's name or the file's path.
    """

    name: str
    value: Value | None
    kind: Literal["command line", "environment", "file", "default"]
    where: str = ""
    line: int | None = None

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.kind == "environment":
            return f"${self.where}"
        if self.kind == "file":
            return f"{self.where}, line {self.line}" if self.line else self.where
        return self.kind


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration without faults. `file` is None when there is none; `profiles` are one's own.

    Raises ConfigError when an environment variable has a value that its setting cannot have.
    """

    path: Path
    file: ConfigFile | None
    values: Mapping[str, Value]
    profiles: "Mapping[str, HowToRead]"

    def setting(self, name: str, given: Value | None = None) -> Resolved:
        """The value of a setting; `given` is that of the command line, which stands over all."""
        row = SETTING_BY_NAME[name]
        if given is not None:
            return Resolved(name, given, "command line")
        if row.environment and (text := os.environ.get(row.environment)):
            return Resolved(name, self._of_environment(row, text), "environment", row.environment)
        return self._of_file(row) or Resolved(name, row.default, "default")

    def key_holder(self, given: Path | None = None) -> Resolved:
        """Who holds the keys: `keys`, `agent` or `token.label`; `keys` without a value if nobody.

        `given` is the key store of the command line. Raises ConfigError when the environment names
        two.
        """
        if given is not None:
            return self.setting("keys", given)
        named = [found for name in HOLDERS if (found := self.setting(name)).value is not None]
        told = [found for found in named if found.kind == "environment"]
        if len(told) > 1:
            both = " and ".join(found.source for found in told)
            raise ConfigError(f"{both} are both set, and {_ONE_HOLDER}: unset one of them")
        return (told or named or [self.setting("keys")])[0]

    def _of_environment(self, row: ConfigSetting, text: str) -> Value:
        try:
            value = row.value(text)
        except FormatError as error:
            raise ConfigError(f"${row.environment}: {error}") from None
        if row.name == "profile" and (problem := profile_problem(text, self.profiles)):
            raise ConfigError(f"${row.environment}: {problem}")
        return value

    def _of_file(self, row: ConfigSetting) -> Resolved | None:
        if self.file is None or row.name not in self.values:
            return None
        value, line = self.values[row.name], self.file.line_of(row.keys)
        return Resolved(row.name, value, "file", str(self.file.path), line)


def load() -> Configuration:
    """Load the configuration of this user. Raises ConfigError, which names the first fault."""
    path = config_path()
    file = read_config(path, remedy=missing_remedy())
    if file is None:
        return Configuration(path, None, MappingProxyType({}), MappingProxyType({}))
    for fault in faults_of(file):
        raise ConfigError(fault.in_file(path))
    return in_order(file)


def missing_remedy() -> str:
    """What to do when the file is not there; "" when it need not be there."""
    return f"Correct ${ENVIRONMENT}, or unset it" if os.environ.get(ENVIRONMENT) else ""


def in_order(file: ConfigFile) -> Configuration:
    """The configuration of a file that has no fault."""
    values, folder = {}, file.path.absolute().parent
    for row in SETTINGS:
        if (given := _given(file.document, row)) is not None:
            values[row.name] = row.value(given, folder)
    return Configuration(file.path, file, MappingProxyType(values), _profiles(file.document))


def faults_of(file: ConfigFile) -> Iterator[ConfigFault]:
    """Every fault of a file, with its line if that can be told."""
    secrets = list(secrets_in(file.document))
    known = {fault.keys for fault in secrets}
    for fault in (*secrets, *_faults(file)):
        if fault in secrets or fault.keys not in known:
            yield replace(fault, line=file.line_of(fault.keys) if fault.keys else None)


def profile_problem(name: str, profiles: "Mapping[str, HowToRead]") -> str:
    """Why a profile cannot be the default one; "" when it can.

    What lowers protection is chosen on the command line, each time.
    """
    if name == "rhcard":
        return ""
    from cardlib.layout.card_profile import FIELD, PROFILES

    base = profiles[name].profile.name if name in profiles else name
    if base == FIELD.name:
        lowers = "which lowers protection (deployed cards do not say what they are)"
        return (
            f"profile is {short(name)}, {lowers}: leave it out, and write --profile {name} each"
            " time that you meet such a card"
        )
    if name in profiles:
        return ""
    fitting = (each for each, how in profiles.items() if how.profile.name != FIELD.name)
    names = ", ".join(("rhcard", *fitting))
    also = "" if name in PROFILES else _meant(name, tuple(profiles))
    return f"profile is {short(name)}, and there is no such profile: {also}use one of {names}"


def _faults(file: ConfigFile) -> Iterator[ConfigFault]:
    document, folder = file.document, file.path.absolute().parent
    yield from _unknown(document)
    for row in SETTINGS:
        given = _given(document, row)
        try:
            if given is not None:
                row.value(given, folder)
        except FormatError as error:
            yield ConfigFault(row.keys, str(error))
    yield from _rules(document)
    good = True
    if PROFILES_TABLE in document:
        from .own_profiles import profile_faults

        for fault in profile_faults(document):
            good = False
            yield fault
    name = document.get("profile")
    if isinstance(name, str) and name.strip() and (good or name == "field"):
        problem = profile_problem(name, _profiles(document) if good else {})
        yield from [ConfigFault(("profile",), problem)] if problem else []


def _unknown(document: Mapping[str, Any]) -> Iterator[ConfigFault]:
    for key, value in document.items():
        if key not in _TOP:
            use = f"use {', '.join(_TOP[:-1])} or [{PROFILES_TABLE}.NAME]"
            problem = f"there is no table or key {short(key)}: {_meant(key, _all_names())}{use}"
            yield ConfigFault((key,), problem)
        elif key in _TABLES and not isinstance(value, dict):
            yield ConfigFault((key,), f"{key} must be a table: write [{key}] on a line of its own")
        elif key in _TABLES:
            names = tuple(each.keys[1] for each in SETTINGS if each.keys[0] == key)
            for unknown in value:
                if unknown not in names:
                    use = f"{_meant(unknown, names)}use {' and '.join(names)}"
                    problem = f"{key} has a key {short(unknown)}: {use}"
                    yield ConfigFault((key, unknown), problem)


def _rules(document: Mapping[str, Any]) -> Iterator[ConfigFault]:
    """What is wrong with settings that must stand together, or must not."""
    there = {row.name: row for row in SETTINGS if _given(document, row) is not None}
    holders = [name for name in ("keys", "agent", "token.module") if name in there]
    for name in holders[1:]:
        problem = f"{holders[0]} and {name} are both set, and {_ONE_HOLDER}: keep one of them"
        yield ConfigFault(there[name].keys, problem)
    for name, needed, why in (
        ("token.module", "token.label", "a module can have several tokens"),
        ("token.label", "token.module", "the library must be known that speaks to the token"),
        ("issuer.name", "issuer.code", "a name from here with a code from a list could be two"),
        ("issuer.code", "issuer.name", "a code from here with a name from a list could be two"),
        ("region", "issuer.code", "the region is that of your own issuer only"),
    ):
        if name in there and needed not in there:
            example = SETTING_BY_NAME[needed].example
            problem = f"{name} needs {needed} beside it: {why}. Write {example}"
            yield ConfigFault(there[name].keys, problem)


def _given(document: Mapping[str, Any], row: ConfigSetting) -> object:
    """What the file has for a setting; None if it has nothing, or something else than its table."""
    *tables, key = row.keys
    table: object = document
    for name in tables:
        table = table.get(name) if isinstance(table, dict) else None
    return table.get(key) if isinstance(table, Mapping) else None


def _profiles(document: Mapping[str, Any]) -> "Mapping[str, HowToRead]":
    if PROFILES_TABLE not in document:
        return MappingProxyType({})
    from .own_profiles import profiles_of

    return profiles_of(document)


def _all_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_TOP, *(row.name for row in SETTINGS))))


def _meant(name: str, known: tuple[str, ...]) -> str:
    """A question whether a known name was meant, if one is close."""
    from difflib import get_close_matches

    close = get_close_matches(name[:64].lower().replace("_", "."), known, n=1)
    return f"did you mean {close[0]}? If not, " if close else ""
