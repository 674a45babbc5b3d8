"""SELECT and READ RECORD of cards with other settings (card specification 1a).

A card of the card specification does not come here: `dispatch` puts these in the place of its own
handlers when its options say so.
"""

from collections.abc import Callable, Mapping

from ...apdu import MAX_SHORT_LE, CommandAPDU
from ...facts import SECURITY_DOMAIN
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..profile.card_options import CardOptions
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from . import record_commands, selection

_SELECT, _READ_RECORD = 0xA4, 0xB2
_BY_IDENTIFIER, _BY_NAME = 0x00, 0x04
_TEMPLATES, _NOTHING = (0x00, 0x04, 0x08), 0x0C
_FROM_NUMBER = 0x05

Handler = Callable[[Card, LogicalChannel, CommandAPDU], bytes]


def handlers(options: CardOptions) -> Mapping[int, Handler]:
    """Return the handlers, by INS, that are not those of the card specification."""
    found: dict[int, Handler] = {}
    if {"selection", "fci", "t0_select"} & options.differences.keys():
        found[_SELECT] = select
    if options.record_reading == "one":
        found[_READ_RECORD] = read_record
    return found


def select(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Select a file as `selection`, `fci` and `t0_select` say.

    The security domain answers as always, and so does a blank card: both are for the issuer.
    """
    options = card.options
    if card.state.is_personalized and not _of_security_domain(command):
        if options.selection == "file identifier" and command.p1 not in (_BY_IDENTIFIER, _BY_NAME):
            why = "this card selects by file identifier only: P1 must be 00"
            raise Refusal(StatusWord.INCORRECT_P1_P2, why)
        if options.fci == "nothing" and command.p2 in _TEMPLATES:
            command = command._replace(p2=_NOTHING)
    in_session = channel.scp03 or channel.v2
    if options.t0_select == "61xx" and command.le is None and not in_session:
        command = command._replace(le=MAX_SHORT_LE)  # the data then waits for GET RESPONSE
    return selection.select(card, channel, command)


def _of_security_domain(command: CommandAPDU) -> bool:
    return command.p1 == _BY_NAME and command.data in (b"", SECURITY_DOMAIN)


def read_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer one record: by number (P2 04) or by tag (P2 00)."""
    if command.p2 == _FROM_NUMBER:
        why = "this card reads one record at a time: P2 must be 00 (tag) or 04 (number)"
        raise Refusal(StatusWord.INCORRECT_P1_P2, why)
    return record_commands.read_record(card, channel, command)
