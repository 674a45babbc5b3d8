"""Feeds of software cards: a folder of card files, or certain files, one after the other."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from cardlib.emulator import CardImageError, SoftwareCard
from cardlib.facts import ChipSerial

if TYPE_CHECKING:
    from .feed import BroughtCard, Wanted, Worked

SUFFIX = ".card"
T = TypeVar("T")


class BlankMaker(Protocol):
    """Gives the keys of blank software cards in clear, as a key store does."""

    def blank_keys(self, chip: bytes, /) -> tuple[bytes, bytes, bytes]:
        """A chip's transport ENC, MAC, DEK, 16 bytes each."""
        ...


@dataclass(frozen=True, slots=True)
class CardFile:
    """A software card, stored in a file. `where` is the file's name for a person."""

    path: Path
    where: str
    made_here: bool = False
    read_only: bool = False

    def powered(self) -> AbstractContextManager[SoftwareCard]:
        """Give the card power; CardImageError when the file holds no card."""
        return in_reader(self.path, read_only=self.read_only)


class FolderFeed:
    """Brings the software cards of a folder, and then new blanks if they are wanted."""

    comes_again = False
    named_one_by_one = False

    def __init__(
        self, folder: Path, maker: BlankMaker | None = None, *, read_only: bool = False
    ) -> None:
        """Bring the cards of a folder; without a `maker` of blanks only those that are there.

        With `read_only` nothing in the folder is written, whatever the cards are asked to do.
        """
        self.folder, self._maker, self._read_only = folder, maker, read_only
        self._aside = set[str]()
        self._cards: Iterator[CardFile] | None = None

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def not_brought(self) -> str:
        """What to say after the name of a card that is not in the folder."""
        return f"not found in {self.folder}. Check that --cards is the folder used for `issue`"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder if it may, and lock it; JournalConflict if another rhcard has it."""
        if not self._read_only:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone_with(self.folder):
            yield

    def lying(self) -> Iterator[CardFile]:
        """The card files of the folder, by name."""
        paths = sorted(self.folder.glob(f"*{SUFFIX}"))
        return (CardFile(path, path.name, read_only=self._read_only) for path in paths)

    def serve(
        self,
        work: "Callable[[BroughtCard], Worked[T]]",
        wanted: "Callable[[], Wanted | None]",
    ) -> Iterator[T]:
        """Do `work` with one card after the other, as long as something is `wanted`."""
        from .feed import one_by_one

        return one_by_one(lambda blank: self.bring(blank_wanted=blank), work, wanted)

    def bring(self, *, blank_wanted: bool) -> CardFile | None:
        """The next card of the folder, by name; then, with a maker, a new blank if wanted."""
        if self._cards is None:
            self._cards = iter([card for card in self.lying() if card.where not in self._aside])
        card = next(self._cards, None)
        if card is None and blank_wanted and self._maker is not None:
            return self._new_blank(self._maker)
        return card

    def put_aside(self, card: "BroughtCard") -> None:
        """Do not bring a card of the folder."""
        self._aside.add(card.where)

    def _new_blank(self, maker: BlankMaker) -> CardFile:
        chip = ChipSerial(secrets.token_bytes(8))
        path = card_path(self.folder, chip)
        card = SoftwareCard.blank(chip, maker.blank_keys(chip))
        card.save(path)
        card.close()
        return CardFile(path, path.name, made_here=True)


class FilesFeed:
    """Brings the software cards in certain files, each once. It makes no blanks."""

    comes_again = False
    named_one_by_one = True
    not_brought = "is in none of the card files that were given"

    def __init__(
        self,
        paths: Sequence[Path],
        tell: Callable[[str], None] | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        """Bring the cards in these files; with `read_only` no file is written.

        `tell` gets a line for each card that comes and has no result.
        """
        self._tell = tell
        cards = [CardFile(path, str(path), read_only=read_only) for path in paths]
        self._waiting = {card.where: card for card in cards}

    @property
    def name(self) -> str:
        """The files."""
        return "the card files that were given"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folders of the files; JournalConflict if another rhcard has one of them."""
        folders = {card.path.resolve().parent for card in self._waiting.values()}
        with ExitStack() as stack:
            for folder in sorted(folders):
                stack.enter_context(alone_with(folder))
            yield

    def lying(self) -> Iterator[CardFile]:
        """The cards in the order in which they were given."""
        return iter(tuple(self._waiting.values()))

    def serve(
        self,
        work: "Callable[[BroughtCard], Worked[T]]",
        wanted: "Callable[[], Wanted | None]",
    ) -> Iterator[T]:
        """Do `work` with one card after the other, as long as something is `wanted`."""
        from .feed import one_by_one

        def told(card: "BroughtCard") -> "Worked[T]":
            done = work(card)
            if self._tell and done.result is None:
                self._tell(f"{card.where}: {done.words}")
            return done

        cards = self.lying()
        return one_by_one(lambda _: next(cards, None), told, wanted)

    def put_aside(self, card: "BroughtCard") -> None:
        """Do not bring this card."""
        self._waiting.pop(card.where, None)


def card_path(folder: Path, chip: ChipSerial) -> Path:
    """The file of a card that was made here. A card from elsewhere may have any name."""
    return folder / f"{chip}{SUFFIX}"


@contextmanager
def in_reader(path: Path, *, read_only: bool = False) -> Iterator[SoftwareCard]:
    """Give a software card power; CardImageError when the file holds no card.

    With `read_only` its file is not changed: what the card counts is forgotten at the end.
    """
    if not path.is_file():
        raise CardImageError(f"{path}: there is no such card")
    card = SoftwareCard.open(path, read_only=read_only)
    try:
        yield card
    finally:
        card.close()


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Lock a folder against every other rhcard; JournalConflict if one is working in it.

    The lock is the kernel's: it ends with the process, even if that is killed.
    """
    from ..register.conflict import JournalConflict

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise JournalConflict(
            f"another rhcard is at work in {folder}. Wait until it has ended"
        ) from None
    finally:
        os.close(handle)
