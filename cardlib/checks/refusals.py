"""Try what a card must refuse: reading protected files without keys, and changes without rights.

No wrong cryptogram and no wrong PIN is ever presented. A command that must be refused writes only
what is on the card already, so it would change nothing if it were accepted (card specification 8).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..exchange import Connection, send
from ..facts import TRANSPORT_KEY_VERSION
from ..layout import FILES, FileSpec, Structure
from ..layout.load import ISSUER_FILE
from ..status import StatusWord, words
from .findings import Finding

Exchange = Callable[[CommandAPDU], ResponseAPDU]
"""Sends a command and returns its answer, also if it is a refusal."""

CLOSED_FILES = tuple(file for file in FILES if file.read_key)
ONE_A_DIRECTORY = tuple({file.df_path: file for file in reversed(CLOSED_FILES)}.values())
"""The first protected file of each directory."""
_REFUSED = (StatusWord.SECURITY_STATUS_NOT_SATISFIED,)
_NOT_ACTIVE = (StatusWord.CONDITIONS_NOT_SATISFIED,)
_NO_SUCH_KEYS = (StatusWord.REFERENCED_DATA_NOT_FOUND,)
_CHALLENGE = bytes(8)


def closed_files(exchange: Exchange, files: Iterable[FileSpec]) -> list[Finding]:
    """Check that each of these files answers 6982 to a reader without rights."""
    findings = []
    for file in files:
        response = exchange(commands.select(file.path))
        if response.ok:
            transparent = file.structure is Structure.TRANSPARENT
            read = commands.read_binary(0) if transparent else commands.read_record(1)
            response = exchange(read)
        name = "is open without keys: READ" if response.ok else "READ without keys"
        findings += refused(response, _REFUSED, name, file.path)
    return findings


def transport_keys(exchange: Exchange) -> list[Finding]:
    """Check that the transport keys are gone."""
    command = commands.initialize_update(_CHALLENGE, TRANSPORT_KEY_VERSION)
    return refused(exchange(command), _NO_SUCH_KEYS, "INITIALIZE UPDATE with transport keys")


def update_in_clear(connection: Connection) -> list[Finding]:
    """Try to update a file that nobody may update, outside any session."""
    path, transmit = ISSUER_FILE.path, connection.transmit
    send(transmit, commands.select(path))
    return _update(partial(send, transmit), path, (*_REFUSED, *_NOT_ACTIVE), "in clear")


def update(exchange: Exchange, path: str, *, in_clear: bool, active: bool) -> list[Finding]:
    """Try to update the selected file, whose update key is not authenticated."""
    allowed = _REFUSED if active else _NOT_ACTIVE
    return _update(exchange, path, allowed, "in clear" if in_clear else "without its right")


def _update(
    exchange: Exchange, path: str, allowed: Sequence[StatusWord], how: str
) -> list[Finding]:
    """Update record 1 of the selected file with its own content."""
    read = exchange(commands.read_record(1))
    if not read.ok:
        return [Finding(path, 1, "", f"READ RECORD 1: {read.sw:04X} {words(read.sw)}")]
    response = exchange(commands.update_record(1, read.data))
    return refused(response, allowed, f"UPDATE RECORD {how}", path)


def command_in_clear(connection: Connection) -> list[Finding]:
    """Check that a session refuses a command in clear."""
    response = send(connection.transmit, commands.read_record(1))
    return refused(response, _REFUSED, "READ RECORD in clear in a session")


def refused(
    response: ResponseAPDU, allowed: Sequence[StatusWord], name: str, path: str = ""
) -> list[Finding]:
    """Return one finding if a command was not refused with one of the allowed status words."""
    if response.sw in allowed:
        return []
    want = " or ".join(f"{sw:04X}" for sw in allowed)
    found = f"{response.sw:04X} {words(response.sw)}"
    return [Finding(path, 0, "", f"{name} is not refused with the right status word", want, found)]
