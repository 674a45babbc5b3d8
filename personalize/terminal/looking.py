"""Look at a card without a key: is it one of ours, and how far is it?"""

from dataclasses import dataclass
from enum import StrEnum

from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.errors import CardError, FormatError, NotPersonalized, StatusWordError, TransportError
from cardlib.exchange import Connection
from cardlib.facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial
from cardlib.status import StatusWord
from cardlib.transport import chip_serial


class CardCondition(StrEnum):
    """What a card is, as far as it says so without a key."""

    BLANK = "blank"
    INTERRUPTED = "interrupted"
    ISSUED = "issued"
    OTHER_KEYS = "other_keys"
    BLOCKED = "blocked"
    NOT_OURS = "not_ours"


_ABOUT_BLANK = {
    CardCondition.BLANK: "this card is blank: it has the transport keys of its maker"
    f" (version {TRANSPORT_KEY_VERSION:02X}) and no data yet. `rhcard issue` makes a resident's"
    " card of it",
    CardCondition.INTERRUPTED: "this card is blank: it has issuer keys"
    f" (version {ISSUER_KEY_VERSION:02X}) and no data yet, because issuing was interrupted. Run"
    " `rhcard issue` again with its batch",
    CardCondition.OTHER_KEYS: "this card is blank, and its keys are neither its maker's nor ours."
    " Do not use it",
}
"""What to say of a card without data, and what to do."""


@dataclass(frozen=True, slots=True)
class SeenCard:
    """A card that was looked at. A card that is not ours may have no chip serial in its ATR.

    `identity` is there if the card is issued. Nothing proves what a card says here.
    """

    state: CardCondition
    chip: ChipSerial | None = None
    identity: CardIdentity | None = None


def look(connection: Connection) -> SeenCard:
    """Find out what a card is, by SELECT and GET DATA 00E0 only. TransportError if it is lost."""
    chip = _chip(connection.atr)
    try:
        identity = ResidentHealthCard(connection, min_protocol=1).identify()
    except TransportError:
        raise
    except NotPersonalized:
        return SeenCard(state_of_blank(connection), chip)
    except CardError as error:
        blocked = (
            isinstance(error, StatusWordError) and error.sw == StatusWord.FUNCTION_NOT_SUPPORTED
        )
        return SeenCard(CardCondition.BLOCKED if chip and blocked else CardCondition.NOT_OURS, chip)
    return SeenCard(CardCondition.ISSUED, chip, identity)


def state_of_blank(connection: Connection) -> CardCondition:
    """How far a card is that has no data: its key set tells. TransportError if it is lost."""
    from cardlib.issuance import key_versions  # only a blank needs it: reading starts faster

    try:
        versions = key_versions(connection)
    except TransportError:
        raise
    except CardError:
        return CardCondition.NOT_OURS
    if TRANSPORT_KEY_VERSION in versions:
        return CardCondition.BLANK
    return CardCondition.INTERRUPTED if ISSUER_KEY_VERSION in versions else CardCondition.OTHER_KEYS


def about_blank(connection: Connection) -> str:
    """What to say of a card without data, and what to do; "" when it is not ours."""
    return _ABOUT_BLANK.get(state_of_blank(connection), "")


def _chip(atr: bytes) -> ChipSerial | None:
    try:
        return ChipSerial(chip_serial(atr))
    except FormatError:
        return None
