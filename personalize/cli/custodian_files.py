"""The option --custodian: the public records of the people who open a key store together."""

import json
from collections.abc import Iterable
from pathlib import Path

import click

from cardlib.errors import DAMAGE, CardKeyError, file_error
from cardlib.regular_file import read_regular

_MOST_BYTES = 2**16
ROLE = "custodian"

custodian_option = click.option(
    "--custodian",
    "custodian_files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="The public operator file of a custodian. Give 2 or more: any two of them open the store.",
)


def custodians_in(files: Iterable[Path]) -> list[tuple[str, bytes]]:
    """The names and X25519 public keys (32 bytes) in public operator files.

    CardKeyError when a file is none, or its person is retired or has no role as a custodian.
    """
    return [_custodian(file) for file in files]


def _custodian(file: Path) -> tuple[str, bytes]:
    try:
        record = json.loads(read_regular(file, _MOST_BYTES))
        name, key = record["name"], bytes.fromhex(record["wrap_key"])
        roles, retired = record.get("roles", [ROLE]), record.get("retired")
        if not isinstance(name, str) or len(key) != 32 or not isinstance(roles, list):
            raise ValueError
    except OSError as error:
        raise file_error(CardKeyError, error, f"custodian {file}") from None
    except DAMAGE:
        raise CardKeyError(
            f"{file} is not the public file of an operator: it needs a name, and a wrap_key of 64"
            " hex digits"
        ) from None
    if ROLE not in roles or retired:
        why = "is retired" if retired else f"does not have the role {ROLE}"
        raise CardKeyError(f"{file}: {name} {why}")
    return name, key
