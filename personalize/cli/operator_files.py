"""The options --operator: the private files of people, opened with their passphrases, to sign."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError, file_error
from cardlib.regular_file import read_regular

from .agent_socket import socket_option
from .context import first_line

if TYPE_CHECKING:
    from cardlib.keys.agent.agent_connection import AgentConnection

    from ..custody.operators import OperatorKey

MOST_BYTES = 2**16
_operator_option = click.option(
    "--operator",
    "operator_files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="The file of an operator who signs. Give it once for each person: 2 different people.",
)
_passphrase_files_option = click.option(
    "--operator-passphrase-file",
    "passphrase_files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="For scripts: the passphrase of each operator in the first line of FILE, in the same"
    " order as --operator. Default: ask each person.",
)


@dataclass(frozen=True, slots=True)
class Signers:
    """The people who sign for something, by their files, and the agent's socket."""

    files: tuple[Path, ...]
    passphrase_files: tuple[Path, ...]
    socket: Path

    def connection(self) -> "AgentConnection":
        """A connection to the agent. CardKeyError, before a passphrase is asked, if none is there.

        The agent is asked for its status, which needs no right.
        """
        from cardlib.keys.agent.agent_connection import AgentConnection

        connection = AgentConnection(self.socket)
        connection.call("status")
        return connection

    def opened(self, action: str, *, most: int = 2) -> "tuple[OperatorKey, ...]":
        """The keys of the people who sign, once each has typed their passphrase.

        CardKeyError, before anybody is asked, when they are too few, too many, or the same person.
        """
        from ..custody.operators import open_operator

        names, raw = self.checked(action, most=most)
        return tuple(
            open_operator(each, given or _asked(name), str(file))
            for each, given, name, file in zip(raw, self._typed(), names, self.files, strict=True)
        )

    def checked(self, action: str, *, most: int = 2) -> tuple[list[str], list[bytes]]:
        """The names of the people who sign, and their files. Nobody is asked for a passphrase.

        CardKeyError as `opened`.
        """
        from ..custody.operators import public_record
        from ..custody.statement import ACTIONS

        files, raw = self.files, [read_operator(file) for file in self.files]
        names = [public_record(each, str(file)).name for each, file in zip(raw, files, strict=True)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise CardKeyError(
                f"operator {twice[0]} is given twice: {action} needs different people"
            )
        least = ACTIONS[action].people
        if not least <= len(files) <= most:
            wanted = " or ".join(str(number) for number in range(least, most + 1))
            raise CardKeyError(
                f"{action} needs {wanted} operators, and you named {len(files) or 'none'}: give"
                " --operator FILE once for each person"
            )
        return names, raw

    def _typed(self) -> list[str | None]:
        if self.passphrase_files and len(self.passphrase_files) != len(self.files):
            raise click.UsageError(
                "give --operator-passphrase-file once for each --operator, or never"
            )
        typed: list[str | None] = [first_line(file) for file in self.passphrase_files]
        return typed or [None] * len(self.files)


def operator_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options that name the people who sign, and the agent: one argument, `signers`."""

    @wraps(command)
    def packed(
        *arguments: Any,
        operator_files: tuple[Path, ...],
        passphrase_files: tuple[Path, ...],
        socket_path: Path,
        **rest: Any,
    ) -> int:
        return command(
            *arguments, signers=Signers(operator_files, passphrase_files, socket_path), **rest
        )

    return _operator_option(_passphrase_files_option(socket_option(packed)))


def read_operator(file: Path) -> bytes:
    """An operator's file. CardKeyError when there is none."""
    try:
        return read_regular(file, MOST_BYTES)
    except OSError as error:
        raise file_error(CardKeyError, error, f"operator's file {file}") from None


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        raise CardKeyError(
            f"no passphrase of operator {name}: give --operator-passphrase-file FILE for each"
        )
    return str(click.prompt(f"{name}: your passphrase", hide_input=True, err=True))


def signed(
    connection: "AgentConnection",
    action: str,
    parameters: Mapping[str, Any],
    keys: "Sequence[OperatorKey]",
) -> dict[str, Any]:
    """The members of a request with a statement that all of them signed, for this agent and now."""
    from datetime import datetime

    from ..custody.statement import Statement

    given = connection.call("nonce")
    names = tuple(key.name for key in keys)
    expires = datetime.fromisoformat(given["expires"])
    statement = Statement(action, parameters, given["nonce"], expires, names, given["store"])
    return {
        "statement": statement.canonical().decode("ascii"),
        "signatures": [
            {"operator": key.name, "signature": statement.signed_by(key)} for key in keys
        ],
    }


def unlocked_together(
    connection: "AgentConnection", keys: "Sequence[OperatorKey]"
) -> dict[str, Any]:
    """Unlock the agent with the shares of two custodians; return what it answered.

    CardKeyError when they are no custodians of its key store.
    """
    wrap = connection.call("custodians-wrap", operators=[key.name for key in keys])
    for key in keys:
        if key.operator.wrapping not in wrap["keys"]:
            raise CardKeyError(
                f"the key store knows another key of {key.name}: use the operator's file of before"
            )
    shares = [{"operator": key.name, "share": key.exchange(wrap["public"])} for key in keys]
    answer = connection.call(
        "unlock-together", **signed(connection, "unlock", {}, keys), shares=shares
    )
    return dict(answer)


def token_unlocked(
    connection: "AgentConnection", keys: "Sequence[OperatorKey]", pin: str
) -> dict[str, Any]:
    """Unlock the agent's token: two custodians sign, and its PIN is sent. What it answered.

    CardKeyError, and the PIN is not tried, when they may not unlock it.
    """
    return dict(connection.call("unlock-token", **signed(connection, "unlock", {}, keys), pin=pin))
