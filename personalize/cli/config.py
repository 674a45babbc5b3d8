"""rhcard config: the settings, where each comes from, and what is wrong with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context
from .exits import Exit
from .options import json_option
from .output import print_error, print_line, print_table, say

if TYPE_CHECKING:
    from .config_file import ConfigFault
    from .config_settings import Value
    from .configuration import Resolved


@click.group(name="config")
def command() -> None:
    """Show and check the configuration.

    It is one file, rhcard.toml, and a few environment variables. An environment variable stands
    over the file. The command line stands over both.

    \b
    Examples:
      rhcard config show
      rhcard config check
    """


@command.command()
@json_option
@click.pass_obj
def show(context: Context) -> int:
    """Show each setting, its value, and where it comes from.

    Only what a file or a variable says can be wrong: then the exit code is 2, as for each command
    that uses a setting.

    \b
    Examples:
      rhcard config show
      rhcard config show --json
    """
    from .config_settings import SETTINGS

    configuration = context.configuration
    configuration.key_holder()
    found = [configuration.setting(row.name) for row in SETTINGS]
    profiles = sorted(configuration.profiles)
    if context.as_json:
        return context.answer(
            {
                "file": str(configuration.path),
                "there": configuration.file is not None,
                "settings": [_document(each) for each in found],
                "own_profiles": profiles,
            }
        )
    rows = [(each.name, _shown(each.value), _source(each)) for each in found]
    print_table("Settings", ("setting", "value", "from"), rows)
    if profiles:
        print_line(f"Your own profiles: {', '.join(profiles)}")
    there = "" if configuration.file else " (there is no such file, and none is needed)"
    say(f"The configuration file: {configuration.path}{there}")
    return Exit.GOOD


@command.command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def check(context: Context, file: Path | None) -> int:
    """Check a configuration file wholly, and name every fault.

    Each fault is named with its line and key, and with what to write. Without FILE it is the file
    that rhcard would use, and the environment is checked too. FILE may lie anywhere. Relative paths
    in it start from its own folder.

    The exit code is 0 if there is no fault, else 2.

    \b
    Examples:
      rhcard config check
      rhcard config check --json
    """
    from .config_check import all_faults_of, environment_faults, misspelled_variables
    from .config_file import config_path, read_config
    from .configuration import faults_of, missing_remedy

    path = file or config_path()
    read = read_config(path, remedy="Correct the path" if file else missing_remedy())
    faults = all_faults_of(read) if read else []
    told = [] if file else list(misspelled_variables())
    if not (file or (read and any(faults_of(read)))):
        told += environment_faults(context.configuration)
    if context.as_json:
        rows = [{"line": f.line, "key": f.key, "problem": f.problem} for f in faults]
        document = {"file": str(path), "there": read is not None, "faults": rows}
        code = Exit.USAGE if faults or told else Exit.GOOD
        return context.answer({**document, "environment": told}, code)
    return _report(path, faults, told, there=read is not None)


def _report(
    path: Path, faults: "Sequence[ConfigFault]", told: Sequence[str], *, there: bool
) -> int:
    if faults:
        rows = [(str(each.line or ""), each.key, each.problem) for each in faults]
        print_table(str(path), ("line", "key", "problem"), rows)
    for each in told:
        print_error(each)
    if count := len(faults) + len(told):
        print_error(f"{path if faults else 'the environment'}: {count} {_errors(count)}")
        return Exit.USAGE
    none = f"{path}: there is no such file, and none is needed. The environment has no errors"
    print_line(f"{path}: no errors" if there else none)
    return Exit.GOOD


def _errors(count: int) -> str:
    return "error" if count == 1 else "errors"


def _document(found: "Resolved") -> dict[str, object]:
    value = list(found.value) if isinstance(found.value, tuple) else found.value
    return {
        "setting": found.name,
        "value": str(value) if isinstance(value, Path) else value,
        "from": found.kind,
        "where": found.where or None,
        "line": found.line,
    }


def _shown(value: "Value | None") -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")


def _source(found: "Resolved") -> str:
    return "" if found.value is None else found.source
