"""How cards come to the bureau: a reader brings them, and each says itself which one it is."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from cardlib.card import ResidentHealthCard
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage, stage
from cardlib.keys import Issuer
from cardlib.layout import State
from cardlib.layout.load import ISSUER_FILE
from cardlib.transport import chip_serial

from .journal import JournalConflict


class BroughtCard(Protocol):
    """A card that a reader brought. What is in it is known only once it is asked."""

    @property
    def where(self) -> str:
        """Where the card is said to be, for a person: a file's name, a reader's."""
        ...

    @property
    def made_here(self) -> bool:
        """Whether the feed made this blank itself: it must take the issuer's transport keys."""
        ...

    def powered(self) -> AbstractContextManager[Connection]:
        """The card while it has power; what it holds is on the disk when this ends."""
        ...


class Feed(Protocol):
    """A reader that brings cards. It cannot be asked for a certain one."""

    @property
    def name(self) -> str:
        """Where the cards come from, for a person."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Keep the feed from every other program; JournalConflict if one has it."""
        ...

    def lying(self) -> Iterable[BroughtCard]:
        """The cards that lie there already, to be looked at before any of them is used."""
        ...

    def bring(self, *, blank_wanted: bool) -> BroughtCard | None:
        """The next card, each once; None when no more come.

        `blank_wanted` says that a blank would get a job: only then is one made.
        """
        ...

    def put_aside(self, card: BroughtCard) -> None:
        """Do not bring a card that lies there."""
        ...


@dataclass(frozen=True, slots=True)
class Identified:
    """What a card says of itself: its chip, how far it is, whose number it bears ("" if none)."""

    where: str
    chip: ChipSerial
    stage: CardStage
    card_number: str = field(default="", repr=False)


def chip_of(connection: Connection) -> ChipSerial:
    """The chip serial in the card's answer to reset; CardError when it names none."""
    return ChipSerial(chip_serial(connection.atr))


def identify(where: str, connection: Connection, issuer: Issuer) -> Identified:
    """Ask a card which one it is; no key is used. CardError when it is no card of ours."""
    chip = chip_of(connection)
    found = stage(connection, issuer.transport_keys(chip), issuer.issuer_keys(chip))
    number = card_number(connection) if found is CardStage.PERSONALIZED else ""
    return Identified(where, chip, found, number)


def card_number(connection: Connection) -> str:
    """The card number that a personalized card bears; it is free to read."""
    connection.reset()
    reader = ResidentHealthCard(connection, min_protocol=1)
    for value in reader.read(ISSUER_FILE.path):
        if value.field.name == "card_number" and value.state is State.VALUE:
            return value.text
    return ""


def refuse_copy(
    seen: dict[ChipSerial, str], chip: ChipSerial, card: BroughtCard, feed: Feed
) -> None:
    """Take note of a chip and where it was seen; JournalConflict when it was seen elsewhere too."""
    other = seen.setdefault(chip, card.where)
    if other != card.where:
        raise JournalConflict(
            f"{feed.name}: {card.where} and {other} have one chip serial, {chip}: one of them is a"
            " copy; take it out of the folder"
        )


def not_found(feed: Feed, chip: ChipSerial, left_alone: Sequence[str]) -> str:
    """What to say of a card of the batch that did not come, and of those that were left alone."""
    return "; ".join(
        (
            f"Card with chip {chip} not found in {feed.name}. Check that --cards is the folder used"
            f" for `issue`. If the card is lost or broken, issue with --spoiled {chip}",
            *left_alone,
        )
    )
