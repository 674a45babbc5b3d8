"""What is wrong with a configuration beyond its form: files that are not there, values no card has.

Only `config check` asks all of this; a command asks it of what it uses.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .config_file import ConfigError, ConfigFault, ConfigFile, others_can_write
from .config_settings import SETTING_BY_NAME, VARIABLES, Value
from .configuration import Configuration, faults_of, in_order

if TYPE_CHECKING:
    from ..listing.list_defaults import ListDefaults

_PREFIX = "RHCARD_"
_COLUMNS = MappingProxyType(
    {"issuer.name": "issuer_name", "issuer.code": "issuer_code", "region": "city_code"}
)
"""The settings that are defaults of a list, and the columns that they are for."""


def all_faults_of(file: ConfigFile) -> list[ConfigFault]:
    """Every fault of a file: of its form, and of what its values name, by line."""
    faults = list(faults_of(file))
    if not faults:
        for name, value in in_order(file).values.items():
            if problem := problem_of(name, value):
                keys = SETTING_BY_NAME[name].keys
                faults.append(ConfigFault(keys, f"{name}: {problem}", file.line_of(keys)))
    return sorted(faults, key=lambda fault: fault.line or 0)


def misspelled_variables() -> Iterator[str]:
    """Each environment variable whose name is close to one of rhcard's."""
    from difflib import get_close_matches

    for name in os.environ:
        if name.startswith(_PREFIX) and name not in VARIABLES:
            close = get_close_matches(name, VARIABLES, n=1, cutoff=0.8)
            if close:
                yield f"${name}: there is no such variable: did you mean {close[0]}?"


def environment_faults(configuration: Configuration) -> Iterator[str]:
    """Each environment variable whose value cannot be used."""
    for row in SETTING_BY_NAME.values():
        try:
            found = configuration.setting(row.name)
        except ConfigError as error:
            yield str(error)
            continue
        if found.kind == "environment" and (problem := problem_of(row.name, found.value)):
            yield f"{found.source}: {problem}"
    try:
        configuration.key_holder()
    except ConfigError as error:
        yield str(error)


def problem_of(name: str, value: Value | None) -> str:
    """Why a value cannot be used, and what to do; "" when it can."""
    if name in _COLUMNS:
        from ..listing.rules import check_value

        wrong = check_value(_COLUMNS[name], str(value)).wrong
        return f"{wrong.problem}: {wrong.remedy}" if wrong else ""
    if not isinstance(value, Path):
        return ""
    if name == "keys" and not value.is_file():
        return f"there is no key store at {value}: correct it, or make one with `rhcard keys new`"
    if name == "token.module":
        return _module_problem(value)
    return ""


def _module_problem(module: Path) -> str:
    """A PKCS#11 library runs as the user and sees the token's PIN: nobody else may write it."""
    if not module.is_file():
        return f"there is no file {module}: write the path of the token's PKCS#11 library"
    if others_can_write(module.stat()) or others_can_write(module.resolve().parent.stat()):
        return f"others can write {module}, and it would run as you: let only root write it"
    return ""


def list_defaults(configuration: Configuration) -> "tuple[ListDefaults | None, str]":
    """The defaults of a list, None if there are none, and where they stand.

    ConfigError when a card cannot hold one.
    """
    if not configuration.values.keys() & _COLUMNS.keys():
        return None, ""
    from ..listing.list_defaults import ListDefaults
    from ..listing.rules import check_value

    values, source = {}, ""
    for name, column in _COLUMNS.items():
        found = configuration.setting(name)
        if found.value is not None:
            if problem := problem_of(name, found.value):
                raise ConfigError(f"{found.source}: {name}: {problem}")
            values[column] = check_value(column, str(found.value)).text
            source = found.where
    return ListDefaults(values), source
