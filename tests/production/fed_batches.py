"""Batches that robots issue in readers by hand, the cards they put in, and what must hold then."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError
from cardlib.exchange import Connection
from cardlib.issuance import CardStage
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch
from personalize.production.audit import audit
from personalize.production.feed import identify
from personalize.production.issue import issue
from personalize.production.job import CardResult, Job, opened_job
from personalize.production.journal import batch_journal
from personalize.production.mailer import letters
from personalize.production.reader_feed import ReaderFeed
from personalize.production.report import Verified
from personalize.register.states import CardState
from tests.cards.bureau import issuer, new_batch, pin_is_right, store
from tests.cards.fed_readers import FedReader, teller
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.wrong_cards import Foreign, with_added_key_set

COUNT = 3
COUNTERS = 0
"""The page in which a card counts INITIALIZE UPDATE commands (and tries, which stay)."""
TAKE_OUT, INSERT = "Take the card out", "insert a"
numbers = itertools.count(1)
PATIENCE = 60.0
"""Seconds that a run may take when a robot has nothing more to do."""
hands = threading.Lock()
"""Held while a robot looks where a card is and puts it in."""


def blank(keys: KeyStore | None = None) -> SoftwareCard:
    chip = next(numbers).to_bytes(8, "big")
    return SoftwareCard.blank(chip, (keys or store()).blank_keys(chip))


def copied(pristine: Path, to: Path) -> Batch:
    folder = to / "batch"
    folder.mkdir()
    for file in pristine.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return Batch.open(folder, issuer())


Robot = Callable[[threading.Event], None]


@contextmanager
def fed(*robots: Robot, end: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let robots feed readers while the block runs.

    `end` is called when one has done all and the run goes on without an end, or when something
    goes wrong in one, which is then raised: nobody feeds its reader any more.
    """
    ended, problems = threading.Event(), list[BaseException]()

    def run(robot: Robot) -> None:
        try:
            robot(ended)
            if not ended.wait(PATIENCE):
                end()
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            problems.append(error)
            end()

    threads = [threading.Thread(target=run, args=(robot,)) for robot in robots]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for problem in problems:
        raise problem


def feed(
    reader: FedReader,
    card: Connection,
    ended: threading.Event,
    among: Sequence[FedReader] = (),
) -> bool:
    """Put a card in, take it out when that is asked for; False when the run is over.

    A card that is in one of the readers `among` stays there: no card is in two readers at once.
    """
    with hands:
        if any(each.card is card for each in among):
            return True
        since = len(reader.lines)
        reader.insert(card)
    going_on = reader.wait_for(TAKE_OUT, since, ended)
    reader.remove()
    return going_on


def feeding(reader: FedReader, cards: Iterator[Connection], *, patient: bool = False) -> Robot:
    """Feed these cards one after the other; a `patient` robot waits until one is asked for."""

    def robot(ended: threading.Event) -> None:
        since = 0
        for card in cards:
            if patient and not reader.wait_for(INSERT, since, ended):
                return
            since = len(reader.lines)
            if ended.is_set() or not feed(reader, card, ended):
                return

    return robot


@contextmanager
def job_in(batch: Batch, readers: list[FedReader], **more: object) -> Iterator[Job]:
    source = ReaderFeed(readers, teller(*readers), **more)  # type: ignore[arg-type]
    with opened_job(batch, issuer(), source, test_keys=False) as job:
        yield job


def issue_in(batch: Batch, readers: list[FedReader], *robots: Robot) -> list[CardResult]:
    with job_in(batch, readers) as job, fed(*robots, end=job.feed.end):  # type: ignore[attr-defined]
        return sorted(issue(job), key=lambda result: result.number)


def audit_in(batch: Batch, readers: list[FedReader], *robots: Robot) -> list[Verified]:
    source = ReaderFeed(readers, teller(*readers))
    with fed(*robots, end=source.end):
        return sorted(audit(batch, issuer(), source), key=lambda result: result.number)


def assert_everybody_has_one_card(batch: Batch, cards: list[SoftwareCard]) -> None:
    """Of all cards there are, each resident has one; it is the journal's, and its PIN fits."""
    with batch_journal(batch) as journal:
        entries = journal.entries()
    assert [entry.state for entry in entries] == [CardState.ACTIVE] * len(entries)
    found = []
    for card in cards:
        card.reset()
        said = identify("", card)
        if said.stage is CardStage.PERSONALIZED:
            found.append((said.card_number, said.chip))
    assert Counter(found) == Counter(
        (batch.card(entry.number).card_number, entry.chip) for entry in entries
    )
    mailing = letters(batch, issuer())
    assert (len(mailing.letters), mailing.problems) == (len(entries), [])
    by_chip = {bytes(card.chip).hex().upper(): card for card in cards}
    for letter in mailing.letters:
        card = by_chip[str(letter.chip)]
        card.reset()
        pin_is_right(card, store().terminal_keys, letter.pin)


def at(count: int, happens: Callable[[], bool]) -> Callable[[], bool]:
    """Something that happens at a certain command, once."""
    countdown = itertools.count(1)
    return lambda: next(countdown) == count and happens()


def of_another_batch(folder: Path) -> SoftwareCard:
    other, card, reader = new_batch(folder, 1, skip=5, name="other"), blank(), FedReader("other")
    issue_in(other, [reader], feeding(reader, iter([card])))
    return card


class Mute(Foreign):
    """A card of ours, by its answer to reset, that answers nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.atr = blank().atr

    def transmit(self, command: bytes) -> bytes:
        raise CardError("no answer from the card")


WRONG: dict[str, tuple[Callable[[Path], Connection], str]] = {
    "another batch": (of_another_batch, "it is personalized, but not by this batch"),
    "not ours": (lambda _: Foreign(), "not a resident health card"),
    "mute": (lambda _: Mute(), "no answer from the card"),
    "other keys": (lambda _: blank(KeyStore(new_roots())), "are not those of this key store"),
    "public keys": (lambda _: blank(KeyStore(public_test_roots())), "published test keys"),
    **{
        kind: (lambda _, profile=profile: card_of_profile(profile), "it is a deployed card")  # type: ignore[misc]
        for kind, profile in DEPLOYED.items()
    },
    "added keys": (
        lambda _: with_added_key_set(blank(), store()),
        "the blank card has 2 key sets, of versions 30 FF",
    ),
}
