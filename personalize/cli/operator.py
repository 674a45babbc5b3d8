"""rhcard operator: the people who may act on root keys."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import CardKeyError, file_error

from .context import Context
from .exits import Exit
from .operator_files import read_operator
from .options import NewPath, json_option
from .output import command_line, print_line, print_table, say

if TYPE_CHECKING:
    from datetime import date

    from ..custody.operators import Operator

_register_option = click.option(
    "--register",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The register of operators, which the key agent reads.",
)
_ROLES = ("custodian", "data-preparation", "station", "auditor")


@click.group(name="operator")
def command() -> None:
    """Make operators, and keep the register of them.

    An operator is a person who may act on root keys, with a file and a passphrase of their own.

    \b
    Examples:
      rhcard operator new cai --role custodian --out cai.op --public cai.json
      rhcard operator list --register operators.json
    """


@command.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--role",
    "roles",
    required=True,
    multiple=True,
    type=click.Choice(_ROLES),
    help="What the person is there for. May be repeated.",
)
@click.option(
    "--out",
    required=True,
    type=NewPath(),
    metavar="FILE",
    help="The person's private file. The person keeps it, and a copy of it.",
)
@click.option(
    "--public",
    required=True,
    type=NewPath(),
    metavar="FILE",
    help="The public file, for `rhcard operator add` and `rhcard keys new --custodian`.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For scripts: read the person's passphrase from the first line of FILE. Default: ask.",
)
@json_option
@click.pass_obj
def new(
    context: Context,
    name: str,
    roles: tuple[str, ...],
    out: Path,
    public: Path,
    passphrase_file: Path | None,
) -> int:
    """Make the files of a new operator.

    The person types the passphrase, and nobody else sees it. The private file is of use only with
    the passphrase. The public file holds no secret.

    \b
    Examples:
      rhcard operator new dan --role custodian --out dan.op --public dan.json
    """
    from cardlib.unfinished import write_new

    from ..custody.operators import new_operator
    from ..custody.roles import Role

    key, raw = new_operator(name, map(Role, roles), _passphrase(name, passphrase_file), _today())
    record = json.dumps(key.operator.as_dict(), indent=1).encode("ascii") + b"\n"
    for path, content in ((public, record), (out, raw)):
        try:
            write_new(path, content)
        except OSError as error:
            raise file_error(CardKeyError, error, path) from None
    if context.as_json:
        return context.answer({**key.operator.as_dict(), "fingerprint": key.operator.fingerprint})
    print_line(f"{name}  {key.operator.fingerprint}")
    say(f"{name} keeps {out} and a copy of it. Without it and the passphrase, {name} cannot act.")
    say(f"Next: {command_line('operator', 'add', public, '--register', 'operators.json')}")
    return Exit.GOOD


def _passphrase(name: str, file: Path | None) -> str:
    """The new passphrase of a person; CardKeyError when it is too short."""
    import sys

    from .context import first_line, long_enough

    if file is not None:
        return long_enough(first_line(file))
    if not sys.stdin.isatty():
        raise CardKeyError("no passphrase: give --passphrase-file FILE")
    text = f"{name}: a passphrase of your own"
    return long_enough(click.prompt(text, hide_input=True, confirmation_prompt=True, err=True))


@command.command()
@click.argument("public", type=click.Path(path_type=Path), metavar="PUBLIC")
@_register_option
@click.option(
    "--fingerprint",
    metavar="DIGITS",
    help="The 20 digits that the person read out to you. Other keys are refused.",
)
@json_option
@click.pass_obj
def add(context: Context, public: Path, register: Path, fingerprint: str | None) -> int:
    """Put a person into the register.

    Take the public file from the person, and compare the fingerprint with them. Whoever can write
    the register says who the operators are: it belongs to the agent's user, and nobody else may
    write it. A register that is not there is made.

    \b
    Examples:
      rhcard operator add dan.json --register operators.json
    """
    from ..custody.operators import Operator
    from ..custody.register import OperatorRegister, read_register, write_register

    raw = read_operator(public)
    try:
        operator = Operator.from_dict(json.loads(raw))
    except (CardKeyError, ValueError, TypeError):
        raise CardKeyError(f"{public} is not the public file of an operator") from None
    if fingerprint is not None and fingerprint != operator.fingerprint:
        raise CardKeyError(
            f"{public} has the fingerprint {operator.fingerprint}, not {fingerprint}: it is not"
            " the file that the person made"
        )
    registry = read_register(register) if register.exists() else OperatorRegister()
    write_register(register, registry.with_new(operator))
    return _told(context, operator, f"{operator.name} is in {register} now.")


@command.command(name="list")
@_register_option
@json_option
@click.pass_obj
def list_(context: Context, register: Path) -> int:
    """Show the operators, their roles and fingerprints.

    \b
    Examples:
      rhcard operator list --register operators.json
    """
    from ..custody.register import read_register

    registry = read_register(register)
    if context.as_json:
        shown = [{**each.as_dict(), "fingerprint": each.fingerprint} for each in registry]
        return context.answer({"operators": shown})
    rows = [
        (each.name, ", ".join(sorted(each.roles)), each.fingerprint, _state(each))
        for each in registry
    ]
    print_table(str(register), ("operator", "roles", "fingerprint", "state"), rows)
    return Exit.GOOD


def _state(operator: "Operator") -> str:
    return f"retired {operator.retired}" if operator.retired else f"since {operator.created}"


@command.command()
@click.argument("name", metavar="NAME")
@_register_option
@json_option
@click.pass_obj
def retire(context: Context, name: str, register: Path) -> int:
    """Let a person sign nothing any more.

    It counts at once. The name is never given again. A key store's file still knows a custodian:
    exchange them (`rhcard keys custodians`). Keep copies of before away from the person, and rotate
    the keys if in doubt.

    \b
    Examples:
      rhcard operator retire dan --register operators.json
    """
    from ..custody.register import read_register, write_register

    registry = read_register(register).without(name, _today())
    write_register(register, registry)
    return _told(context, registry.operators[name], f"{name} signs nothing from now on.")


def _told(context: Context, operator: "Operator", done: str) -> int:
    if context.as_json:
        return context.answer({**operator.as_dict(), "fingerprint": operator.fingerprint})
    print_line(f"{operator.name}  {operator.fingerprint}")
    say(done)
    return Exit.GOOD


def _today() -> "date":
    return datetime.now(UTC).date()
