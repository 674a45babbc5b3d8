"""rhcard readers: the card readers of this computer, and what is in them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .options import json_option
from .output import command_line, print_table

if TYPE_CHECKING:
    from cardlib.transport.pcsc import Reader

    from ..terminal.looking import SeenCard

_PATIENCE = 5.0
_HEADINGS = ("number", "reader", "card", "chip", "what to do", "ATR")
_WORDS = {
    "empty": ("no card", "put a card in"),
    "mute": ("does not answer to reset", "check that the card is the right way round"),
    "in_use": ("in use, not asked", "close the other program, or wait for it"),
    "lost": ("did not answer", ""),
    "blank": ("blank, transport keys", "rhcard issue makes a resident's card of it"),
    "interrupted": ("blank, issuer keys", "run rhcard issue again with its batch"),
    "issued": ("issued", ""),
    "other_keys": ("blank, unknown keys", "do not use it: it has keys that are not ours"),
    "deployed": ("deployed card", ""),
    "blocked": ("blocked for ever", "do not use it"),
    "not_ours": ("not ours", "take it out: it is no resident health card of ours"),
}
"""For each state of a reader: what is in it, and what to do."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A reader, its state, the card that was seen in it, and why one was not seen."""

    reader: "Reader"
    state: str
    seen: "SeenCard | None" = None
    problem: str = ""

    @property
    def chip(self) -> str | None:
        """The chip serial, 16 hex digits, if there is one."""
        return str(self.seen.chip) if self.seen and self.seen.chip else None

    @property
    def serials(self) -> "dict[str, str] | None":
        """The chip serials that a deployed card may have, by their places in the ATR."""
        if self.seen is None or self.seen.answers is None:
            return None
        return {place: chip.hex().upper() for chip, place in self.seen.answers.serials.items()}

    @property
    def remedy(self) -> str:
        """What to do next, in words or as a command."""
        if self.seen and (self.seen.identity or self.seen.answers):
            from ..terminal.looking import how_to_read

            answers = self.seen.answers
            options = how_to_read(answers) if answers else ()
            return command_line("read", "--reader", self.reader.number, *options)
        return self.problem or _WORDS[self.state][1]


@click.command(name="readers")
@json_option
@click.pass_obj
def command(context: Context) -> int:
    """List the card readers, and what is in them.

    Each card is asked what it is with commands that change nothing and need no key. A card that
    another program uses is not asked. Whether an issued card is genuine, only its keys can tell:
    use `rhcard read --keys FILE`.

    A deployed card is one that somebody else issued. Its chip serial may be in any of the places
    that are shown.

    Without a reader, or if pcscd is not running, the message says what to do, and the exit code
    is 4.

    \b
    Examples:
      rhcard readers
      rhcard readers --json
    """
    from cardlib.transport.pcsc import NO_READER, NoReader, list_readers

    rows = [_look_into(reader) for reader in list_readers()]
    if not rows:
        raise NoReader(NO_READER)
    if context.as_json:
        return context.answer({"readers": [_as_json(row) for row in rows]})
    print_table("Readers", _HEADINGS, [_cells(row) for row in rows])
    return Exit.GOOD


def _look_into(reader: "Reader") -> _Row:
    """Ask the card in a reader what it is, unless that could disturb another program."""
    from cardlib.errors import TransportError
    from cardlib.transport.alone import alone_in_reader
    from cardlib.transport.pcsc import ReaderInUse

    from ..terminal.looking import look

    if reader.mute or not reader.atr:
        return _Row(reader, "mute" if reader.mute else "empty")
    if reader.in_use:
        return _Row(reader, "in_use")
    try:
        with alone_in_reader(reader.name, patience=_PATIENCE) as connection:
            seen = look(connection)
    except ReaderInUse:
        return _Row(reader, "in_use")
    except TransportError as error:
        return _Row(reader, "lost", problem=str(error))
    return _Row(reader, seen.state.value, seen)


def _cells(row: _Row) -> tuple[str, ...]:
    words = _WORDS[row.state][0]
    if row.seen and row.seen.identity:
        words = f"{words}, spec {row.seen.identity.spec_text}"
    atr = row.reader.atr.hex().upper()
    places = " or ".join(f"{chip} ({place})" for place, chip in (row.serials or {}).items())
    chip = places or row.chip or ""
    return (str(row.reader.number), row.reader.name, words, chip, row.remedy, atr)


def _as_json(row: _Row) -> dict[str, Any]:
    identity = row.seen.identity if row.seen else None
    return {
        "number": row.reader.number,
        "name": row.reader.name,
        "atr": row.reader.atr.hex().upper() or None,
        "state": row.state,
        "words": _WORDS[row.state][0],
        "remedy": row.remedy,
        "chip": row.chip,
        "serial_places": row.serials,
        "specification": identity.spec_text if identity else None,
        "cipher": identity.cipher_name if identity else None,
        "key_version": identity.key_version if identity else None,
    }
