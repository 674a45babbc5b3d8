"""How cards come to the bureau: a reader brings them, and each card says which one it is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cardlib.card import ResidentHealthCard
from cardlib.card.discovery import is_deployed
from cardlib.errors import CardError, TransportError
from cardlib.exchange import Connection
from cardlib.facts import SECURITY_DOMAIN, ChipSerial
from cardlib.issuance import CardStage, IssuerSession, stage
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import State
from cardlib.layout.load import ISSUER_FILE
from cardlib.messaging.scp03_failure import Cause, Scp03Failure
from cardlib.transport import chip_serial

from ..register.conflict import LOST, JournalConflict

T = TypeVar("T")


class BroughtCard(Protocol):
    """A card that a reader brought. Only the card itself can say which one it is."""

    @property
    def where(self) -> str:
        """Where the card is, for a person: the name of a file or of a reader."""
        ...

    @property
    def made_here(self) -> bool:
        """Whether the feed made this blank itself, so that it must have our transport keys."""
        ...

    def powered(self) -> AbstractContextManager[Connection]:
        """Give the card power. When this ends, everything it holds is on the disk."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run waits for: `asks` tells a person what to do, `so_far` how much is done.

    `blank` is False if no blank helps.
    """

    asks: str
    so_far: str
    blank: bool = False

    @property
    def prompt(self) -> str:
        """Both, in one line."""
        return f"{self.asks} ({self.so_far})"


WAIT = "wait: the last cards are in the other readers"
"""What to ask for when only cards that are worked on now are wanted."""


@dataclass(frozen=True, slots=True)
class Worked(Generic[T]):
    """What came of one card that was brought: its result, None if there is none yet.

    `words` say it to the person who brought the card.
    """

    result: T | None
    words: str


class Feed(Protocol):
    """A reader that brings cards. Nobody can ask it for a certain card."""

    @property
    def name(self) -> str:
        """Where the cards come from, for a person."""
        ...

    @property
    def not_brought(self) -> str:
        """What to say after the name of a card that did not come."""
        ...

    @property
    def comes_again(self) -> bool:
        """Whether a card that failed may be brought again in the same run, by a person."""
        ...

    @property
    def named_one_by_one(self) -> bool:
        """Whether a person named each card, and so wants to know of each that is not used."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Lock the feed against other programs; JournalConflict if one of them has it."""
        ...

    def lying(self) -> Iterable[BroughtCard]:
        """The cards that are there already, to be looked at before any of them is used."""
        ...

    def put_aside(self, card: BroughtCard) -> None:
        """Do not bring a card that is there."""
        ...

    def serve(
        self, work: Callable[[BroughtCard], Worked[T]], wanted: Callable[[], Wanted | None]
    ) -> Iterator[T]:
        """Do `work` with each card that comes, as long as something is `wanted`.

        Give the results. Nothing that two cards share is used at the same time.
        """
        ...


def one_by_one(
    bring: Callable[[bool], BroughtCard | None],
    work: Callable[[BroughtCard], Worked[T]],
    wanted: Callable[[], Wanted | None],
) -> Iterator[T]:
    """Serve a feed that can be asked for its next card; `bring` is told if a blank is wanted."""
    while (now := wanted()) and (card := bring(now.blank)):
        result = work(card).result
        if result is not None:
            yield result
        elif card.made_here:
            # It made a blank that it cannot use: another would be no better.
            return


@dataclass(frozen=True, slots=True)
class Identified:
    """What a card says: its chip, how far it is, and the card number on it ("" if none)."""

    where: str
    chip: ChipSerial
    stage: CardStage
    card_number: str = field(default="", repr=False)


class DeployedCard(CardError):
    """A card that somebody else made and issued, in a place for cards of our specification."""

    def __init__(self) -> None:
        super().__init__(
            "it is a deployed card, which somebody else issued. `issue` and `verify` are for cards"
            " of our own specification only. Hand it back. To read it: rhcard read --profile field"
        )


def refuse_deployed(connection: Connection) -> None:
    """Raise DeployedCard if it is one; no key is used. TransportError when it does not answer."""
    if is_deployed(connection):
        raise DeployedCard


def chip_of(connection: Connection) -> ChipSerial:
    """The chip serial in the card's answer to reset.

    DeployedCard when it is nowhere or elsewhere in it, because the card is one; else CardError.
    """
    try:
        return ChipSerial(chip_serial(connection.atr))
    except CardError:
        refuse_deployed(connection)
        raise


def identify(where: str, connection: Connection) -> Identified:
    """Ask a card which one it is, without using a key.

    DeployedCard for a card that somebody else issued, CardError for any other that is not ours.
    """
    chip = chip_of(connection)
    try:
        found = stage(connection)
    except TransportError:
        raise
    except CardError:
        refuse_deployed(connection)
        raise
    if found is CardStage.ISSUER:
        # A deployed card with such a key set looks like a blank whose issuing was interrupted.
        refuse_deployed(connection)
    number = card_number(connection) if found is CardStage.PERSONALIZED else ""
    return Identified(where, chip, found, number)


def about_blank(connection: Connection, chip: ChipSerial, error: CardError) -> str:
    """Why a blank refused our transport keys, and what to do; it was not changed.

    The published test keys are tried too: a wrong key spends no try.
    """
    if not (isinstance(error, Scp03Failure) and error.cause is Cause.KEY):
        return str(error)
    published = KeyStore(public_test_roots()).transport_keys(chip)
    try:
        IssuerSession.open(connection, published, SECURITY_DOMAIN)
    except CardError:
        why = (
            "its transport keys are not those of this key store. Order blanks with the transport"
            " keys of this store, or use the store that they were ordered with"
        )
    else:
        why = (
            "it has the published test keys as transport keys, which anybody can use. It is a blank"
            " for trials: never use it for a resident. Take it away"
        )
    return f"{why} ({error})"


def card_number(connection: Connection) -> str:
    """Read the card number of a personalized card; no key is needed for it."""
    connection.reset()
    reader = ResidentHealthCard(connection, min_protocol=1)
    for value in reader.read(ISSUER_FILE.path):
        if value.field.name == "card_number" and value.state is State.VALUE:
            return value.text
    return ""


def refuse_copy(
    seen: dict[ChipSerial, str], chip: ChipSerial, card: BroughtCard, feed: Feed
) -> None:
    """Note where a chip was seen; JournalConflict when another card has the same chip serial."""
    other = seen.setdefault(chip, card.where)
    if other != card.where:
        raise JournalConflict(
            f"{feed.name}: {card.where} and {other} have the same chip serial {chip}. One of them"
            " is a copy: take the copy away"
        )


def not_found(feed: Feed, chip: ChipSerial, *, active: bool = True) -> str:
    """What to say about a card of the batch that did not come, and whether it is active."""
    lost = f". {LOST}" if active else ""
    return f"Card with chip {chip} {feed.not_brought}{lost}"


def not_used(card: BroughtCard, why: object) -> str:
    """What to say about a card that was brought and is not used."""
    return f"{card.where} was not used: {why}"
