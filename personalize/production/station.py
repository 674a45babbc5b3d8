"""A station for software cards: a folder of card images, one card in the reader at a time."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cardlib.card import ResidentHealthCard
from cardlib.emulator import CardImageError, SoftwareCard
from cardlib.errors import CardError, TransportError
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage, stage
from cardlib.keys.store import KeyStore
from cardlib.layout import State
from cardlib.layout.load import ISSUER_FILE

from .journal import JournalConflict

SUFFIX = ".card"


@dataclass(frozen=True, slots=True)
class CardFile:
    """One card of the folder: its chip serial (8 bytes), how far it is, whose number it bears."""

    path: Path
    chip: ChipSerial
    stage: CardStage
    card_number: str = ""


class CardFolder:
    """The software cards of a folder, known by their chips.

    `problems` has a line for each file that cannot be used; such a file is left alone. `made` are
    the chips of the blanks that were made because none was left.
    """

    def __init__(self, folder: Path, store: KeyStore) -> None:
        """Look at every card of the folder; JournalConflict when two have one chip serial."""
        self.folder, self._store = folder, store
        self.cards: dict[ChipSerial, CardFile] = {}
        self.problems: list[str] = []
        self.made: set[ChipSerial] = set()
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            self._look_at(path)
        self._blanks = [c.chip for c in self.cards.values() if c.stage is CardStage.TRANSPORT]
        self._blanks.reverse()

    def _look_at(self, path: Path) -> None:
        try:
            with in_reader(path) as connection:
                found = _identified(path, connection, self._store)
        except CardError as error:
            self.problems.append(f"{path.name} left alone: {error}")
            return
        if other := self.cards.get(found.chip):
            chip = found.chip.hex().upper()
            raise JournalConflict(
                f"{path} and {other.path.name} have one chip serial, {chip}: one of them is a copy;"
                " take it out of the folder"
            )
        self.cards[found.chip] = found

    @contextmanager
    def insert(self, chip: ChipSerial) -> Iterator[SoftwareCard]:
        """The card with that chip in the reader; its file is on the disk when this ends."""
        known = self.cards.get(chip)
        if known is None:
            name = chip.hex().upper()
            others = "".join(f"; {problem}" for problem in self.problems)
            raise TransportError(
                f"the card with chip {name} is not in {self.folder}: put it back, or if it is lost"
                f" issue with --spoiled {name}{others}"
            )
        with in_reader(known.path) as card:
            if card.chip != chip:
                raise TransportError(f"{known.path}: another card than a moment ago")
            yield card

    def reserve(self, chips: frozenset[ChipSerial]) -> None:
        """Give these chips out as blanks no more."""
        self._blanks = [chip for chip in self._blanks if chip not in chips]

    def blank(self) -> ChipSerial:
        """The chip of a blank with transport keys, each once; a new card if none is left."""
        return self._blanks.pop() if self._blanks else self._make_blank()

    def leave_alone(self, chip: ChipSerial, why: str) -> None:
        """Say that a card is none of ours."""
        self.problems.append(f"{self.cards[chip].path.name} left alone: {why}")

    def _make_blank(self) -> ChipSerial:
        chip = ChipSerial(secrets.token_bytes(8))
        path = self.folder / f"{chip.hex().upper()}{SUFFIX}"
        card = SoftwareCard.blank(chip, self._store.blank_keys(chip))
        card.save(path)
        card.close()
        self.cards[chip] = CardFile(path, chip, CardStage.TRANSPORT)
        self.made.add(chip)
        return chip


@contextmanager
def in_reader(path: Path) -> Iterator[SoftwareCard]:
    """A software card while it is powered; CardImageError when the file is none."""
    if not path.is_file():
        raise CardImageError(f"{path}: there is no such card")
    card = SoftwareCard.open(path)
    try:
        yield card
    finally:
        card.close()


def _identified(path: Path, card: SoftwareCard, store: KeyStore) -> CardFile:
    chip = ChipSerial(card.chip)
    found = stage(card, store.transport_keys(chip), store.issuer_keys(chip))
    number = card_number(card) if found is CardStage.PERSONALIZED else ""
    return CardFile(path, chip, found, number)


def card_number(connection: Connection) -> str:
    """The card number that a personalized card bears; it is free to read."""
    connection.reset()
    reader = ResidentHealthCard(connection, min_protocol=1)
    for value in reader.read(ISSUER_FILE.path):
        if value.field.name == "card_number" and value.state is State.VALUE:
            return value.text
    return ""


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Keep a folder from every other rhcard that would change it; JournalConflict if one does.

    The lock is the kernel's: it ends with the process, however that ends.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise JournalConflict(f"another rhcard is at work in {folder}: let it finish") from None
    finally:
        os.close(handle)
