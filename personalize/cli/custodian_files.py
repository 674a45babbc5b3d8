"""The options --custodian and --register: the people who open a key store together."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import DAMAGE, CardKeyError, file_error
from cardlib.regular_file import read_regular

if TYPE_CHECKING:
    from ..custody.operators import Operator
    from ..custody.register import OperatorRegister

_MOST_BYTES = 2**16
ROLE = "custodian"

_FORM = "FILE|NAME"
_custodian_option = click.option(
    "--custodian",
    multiple=True,
    metavar=_FORM,
    help="The public file of a custodian, or with --register the name. Give it for each, 2 or more:"
    " any two of them open the store.",
)
_custodian_arguments = click.argument("custodian", nargs=-1, metavar=f"[{_FORM}]...")
_register_option = click.option(
    "--register",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The register of operators: then custodians are given by name.",
)


@dataclass(frozen=True, slots=True)
class Custodians:
    """The people who are named on the command line: public files, or names in a register."""

    words: tuple[str, ...]
    register: Path | None

    def operators(self) -> "tuple[Operator, ...]":
        """Their public records.

        CardKeyError when a file is none or a name is not in the register, when a person is retired
        or has no role as a custodian, or when they are fewer than 2 or one is named twice.
        """
        from cardlib.keys.store.custodians import check_custodians

        registry = self.registry()
        if registry is not None:
            found = tuple(_in_register(word, registry) for word in self.words)
        else:
            found = tuple(_in_file(Path(word)) for word in self.words)
        for person, word in zip(found, self.words, strict=True):
            if person.retired or ROLE not in person.roles:
                why = "is retired" if person.retired else f"does not have the role {ROLE}"
                raise CardKeyError(f"{word}: {person.name} {why}")
        check_custodians([(each.name, each.wrapping) for each in found])
        return found

    def keys(self) -> list[tuple[str, bytes]]:
        """Their names and X25519 public keys (32 bytes). CardKeyError as `operators`."""
        return [(each.name, each.wrapping) for each in self.operators()]

    def registry(self) -> "OperatorRegister | None":
        """The register of --register. CardKeyError when it cannot be read."""
        from ..custody.register import read_register

        return None if self.register is None else read_register(self.register)


def custodian_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options that name custodians: one argument, `custodians`."""

    @wraps(command)
    def named(*arguments: Any, custodians: Custodians, **rest: Any) -> int:
        if custodians.register and not custodians.words:
            raise click.UsageError("--register is for names: give --custodian NAME for each")
        return command(*arguments, custodians=custodians, **rest)

    return _custodian_option(_register_option(_packed(named)))


def custodian_arguments(command: Callable[..., int]) -> Callable[..., int]:
    """The same, with the custodians as arguments of the command."""
    return _custodian_arguments(_register_option(_packed(command)))


def _packed(command: Callable[..., int]) -> Callable[..., int]:
    @wraps(command)
    def packed(
        *arguments: Any, custodian: tuple[str, ...], register: Path | None, **rest: Any
    ) -> int:
        return command(*arguments, custodians=Custodians(custodian, register), **rest)

    return packed


def _in_register(word: str, registry: "OperatorRegister") -> "Operator":
    if word not in registry.operators and Path(word).suffix:
        raise CardKeyError(
            f"{word}: with --register, give the name of each custodian and not a file"
        )
    return registry.of(word)


def _in_file(file: Path) -> "Operator":
    from ..custody.operators import NAME, Operator

    try:
        return Operator.from_dict(json.loads(read_regular(file, _MOST_BYTES)))
    except FileNotFoundError as error:
        if NAME.fullmatch(str(file)):
            raise CardKeyError(
                f"custodian {file}: there is no such file. To name people, give --register FILE"
            ) from None
        raise file_error(CardKeyError, error, f"custodian {file}") from None
    except OSError as error:
        raise file_error(CardKeyError, error, f"custodian {file}") from None
    except (CardKeyError, *DAMAGE):
        raise CardKeyError(
            f"{file} is not the public file of an operator: `rhcard operator new` makes it"
        ) from None
