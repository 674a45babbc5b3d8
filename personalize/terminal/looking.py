"""Look at a card without a key: is it one of ours, and how far is it?"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.errors import CardError, FormatError, NotPersonalized, StatusWordError, TransportError
from cardlib.exchange import Connection
from cardlib.facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial
from cardlib.layout.card_profile import RHCARD
from cardlib.status import StatusWord
from cardlib.transport import chip_serial

if TYPE_CHECKING:
    from cardlib.card.discovery import Found


class CardCondition(StrEnum):
    """What a card is, as far as it says so without a key."""

    BLANK = "blank"
    INTERRUPTED = "interrupted"
    ISSUED = "issued"
    OTHER_KEYS = "other_keys"
    DEPLOYED = "deployed"
    BLOCKED = "blocked"
    NOT_OURS = "not_ours"


_ABOUT_BLANK = {
    CardCondition.BLANK: "this card is blank: it has the transport keys of its maker"
    f" (version {TRANSPORT_KEY_VERSION:02X}) and no data yet. `rhcard issue` makes a resident's"
    " card of it",
    CardCondition.INTERRUPTED: "this card is blank: it has issuer keys"
    f" (version {ISSUER_KEY_VERSION:02X}) and no data yet, because issuing was interrupted. Run"
    " `rhcard issue` again with its batch",
    CardCondition.OTHER_KEYS: "this card is blank, and it has keys that are neither its maker's nor"
    " ours. Do not use it",
}
"""What to say of a card without data, and what to do."""

_OF_KEY_SETS = {
    frozenset({TRANSPORT_KEY_VERSION}): CardCondition.BLANK,
    frozenset({ISSUER_KEY_VERSION}): CardCondition.INTERRUPTED,
}
"""A blank has one key set; `rhcard issue` uses no blank with two."""


@dataclass(frozen=True, slots=True)
class SeenCard:
    """A card that was looked at. A card that is not ours may have no chip serial in its ATR.

    `identity` is there if the card is issued, `answers` if it is deployed: made by somebody else.
    Nothing proves what a card says here.
    """

    state: CardCondition
    chip: ChipSerial | None = None
    identity: CardIdentity | None = None
    answers: "Found | None" = None


def look(connection: Connection) -> SeenCard:
    """Find out what a card is, by SELECT, GET DATA 00E0 and READ RECORD of free data only.

    TransportError if it is lost.
    """
    chip, card = _chip(connection.atr), ResidentHealthCard(connection, min_protocol=1)
    try:
        identity = card.identify()
    except TransportError:
        raise
    except NotPersonalized:
        return SeenCard(state_of_blank(connection), chip)
    except CardError as error:
        if answers := _answers_of_deployed(connection):
            return SeenCard(CardCondition.DEPLOYED, chip, answers=answers)
        blocked = (
            isinstance(error, StatusWordError) and error.sw == StatusWord.FUNCTION_NOT_SUPPORTED
        )
        return SeenCard(CardCondition.BLOCKED if chip and blocked else CardCondition.NOT_OURS, chip)
    if card.selection != RHCARD.selection and (answers := _answers_of_deployed(connection)):
        return SeenCard(CardCondition.DEPLOYED, chip, identity, answers)
    return SeenCard(CardCondition.ISSUED, chip, identity)


def _answers_of_deployed(connection: Connection) -> "Found | None":
    """What a card answers, if it is a resident health card that is not made as ours are."""
    from cardlib.card.discovery import discover  # only a card of others needs it

    try:
        found = discover(connection)
    except TransportError:
        raise
    except CardError:
        return None
    return found if found.is_deployed else None


def answers_of(connection: Connection) -> "Found":
    """What a health card answers, ours or deployed. NotPersonalized, with what to do, for others.

    TransportError if it is lost.
    """
    from cardlib.card.discovery import discover  # only a card of others needs it

    try:
        return discover(connection)
    except NotPersonalized as error:
        raise NotPersonalized(about_blank(connection) or str(error)) from None


def how_to_read(found: "Found") -> tuple[str, ...]:
    """The options of `rhcard read` for a card that gave these answers: profile and settings."""
    base = found.base
    words = [] if base == RHCARD else ["--profile", base.name]
    for name, value in found.settings.items():
        if name == "serial_place" and value == "given":
            words += ["--chip", "SERIAL"]
        elif value != getattr(base, name):
            words += ["--set", f"{name}={value}"]
    return tuple(words)


def state_of_blank(connection: Connection) -> CardCondition:
    """How far a card is that has no data: its key set tells. TransportError if it is lost."""
    from cardlib.issuance import key_versions  # only a blank needs it: reading starts faster

    try:
        versions = key_versions(connection)
    except TransportError:
        raise
    except CardError:
        return CardCondition.NOT_OURS
    return _OF_KEY_SETS.get(frozenset(versions), CardCondition.OTHER_KEYS)


def about_blank(connection: Connection) -> str:
    """What to say of a card without data, and what to do; "" when it is not ours."""
    return _ABOUT_BLANK.get(state_of_blank(connection), "")


def _chip(atr: bytes) -> ChipSerial | None:
    try:
        return ChipSerial(chip_serial(atr))
    except FormatError:
        return None
