"""Random walks of a bureau that is fed by hand: two readers, any cards, and everything goes wrong.

A walk issues a batch of three residents in several runs. Robots put in whatever they find: blanks,
cards that were begun, copies of blanks, cards of another batch, of the same resident, of strangers.
At a random command the card is pulled out or silently exchanged, its answer is lost or damaged, the
reader or pcscd fails, or the program is killed, there or between two transactions of its journal.
After each run the cards and the journal are judged. All that is random comes from the seed, but for
the order in which two readers get their turns.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from cardlib.emulator import SoftwareCard
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.profile.card_state import LifeCycle
from cardlib.errors import TransportError
from cardlib.exchange import Connection
from cardlib.facts import TRANSPORT_KEY_VERSION, ChipSerial
from cardlib.issuance import CardStage
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.transport.pcsc import NoReader, PcscRestarted
from personalize.preparation.batch import Batch
from personalize.production import reader_feed
from personalize.production.feed import identify
from personalize.production.issue import issue
from personalize.production.job import CardResult, opened_job
from personalize.production.journal import Journal, batch_journal
from personalize.production.mailer import letters
from personalize.production.reader_feed import ReaderFeed
from personalize.register.conflict import JournalConflict
from personalize.register.states import CardState
from tests.cards.bureau import issue_all, issuer, new_batch, pin_is_right, store
from tests.cards.fed_readers import FedReader, teller
from tests.cards.wrong_cards import Foreign, with_added_key_set

COUNT, RUNS, STEPS = 3, 3, 3
COMMANDS = 340
"""Some more than a card takes from its identification to its activation."""
STRANGER, WRONG_KEYS, ADDED_KEYS, RESIDENT = range(4)
"""The cards that are not of the batch, by their place in `World.others`."""
COUNTERS = 0
"""The page in which a card counts INITIALIZE UPDATE commands."""
SELECT, READ_RECORD = 0xA4, 0xB2
"""The instructions that a card may get that is not ours: they change nothing."""
TAKE_OUT = "Take the card out"
_MAY_BE_ACTIVE = (CardState.ACTIVATING, CardState.ACTIVE)


Robot = Callable[[threading.Event], None]


class Killed(BaseException):
    """The program of the bureau was killed: nothing more happens in it."""


@dataclass
class World:
    """The cards of a walk, two readers, and what happened. `killed` holds for all threads.

    `strays` came into a reader when nobody looked.
    """

    folder: Path
    rng: random.Random
    readers: list[FedReader]
    mine: list[SoftwareCard]
    others: list[SoftwareCard]
    foreign: Foreign = field(default_factory=Foreign)
    strays: list[SoftwareCard] = field(default_factory=list)
    killed: threading.Event = field(default_factory=threading.Event)
    kill_at_commit: int = 0
    held: set[int] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    results: list[CardResult] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.before = [card.memory.pages for card in self.others]

    @property
    def batch(self) -> Batch:
        return Batch.open(self.folder / "batch", issuer())

    def check(self) -> None:
        if self.killed.is_set():
            raise Killed

    @contextmanager
    def hand(self, rng: random.Random) -> Iterator[Connection]:
        """A card that no reader has; a blank may be copied, as only a software card can be."""
        with self._lock:
            mine = [card for card in self.mine if id(card) not in self._taken]
            blanks = [card for card in mine if TRANSPORT_KEY_VERSION in card.state.key_sets]
            if blanks and rng.random() < 0.15:
                mine.append(copied(rng.choice(blanks)))
                self.mine.append(mine[-1])
            cards: list[Connection] = [*mine, *mine, *self.others, self.foreign]
            card = rng.choice([card for card in cards if id(card) not in self._taken])
            self._taken.add(id(card))
        try:
            yield card
        finally:
            with self._lock:
                self._taken.discard(id(card))

    def commit(self, real: Callable[[Journal], None], journal: Journal) -> None:
        """Commit a transaction of the journal; die before or after it, if this is the one."""
        self.check()
        self.kill_at_commit -= 1
        if self.kill_at_commit == 0 and self.rng.random() < 0.5:
            self.killed.set()
            self.check()
        real(journal)
        if self.kill_at_commit == 0:
            self.killed.set()
            self.check()


@dataclass
class InHand:
    """A card in a reader, to which one thing happens at a certain command."""

    world: World
    reader: FedReader
    card: Connection
    event: str
    at: int
    rng: random.Random

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        self.world.check()
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.world.check()
        self.at -= 1
        if self.at:
            return self.card.transmit(command)
        self.world.seen[self.event] += 1
        if self.event == "killed before":
            self.world.killed.set()
            self.world.check()
        if self.event == "exchanged":
            # Quicker than pcscd looks: no reader notices it.
            stray = blank(self.rng)
            self.world.strays.append(stray)
            self.card = self.rng.choice([stray, copied(self.world.others[STRANGER])])
            self.card.reset()
        return self._happens(self.card.transmit(command))

    def _happens(self, answer: bytes) -> bytes:
        if self.event == "killed after":
            self.world.killed.set()
            self.world.check()
        if self.event == "lost":
            raise TransportError("no answer from the card")
        if self.event == "damaged":
            return damaged(answer, self.rng)
        if self.event == "pulled out":
            self.reader.remove()
        if self.event == "unplugged":
            self.reader.gone = NoReader(f"{self.reader.name}: the reader was unplugged")
        if self.event == "restarted":
            for reader in self.world.readers:
                reader.gone = PcscRestarted(f"{reader.name}: pcscd was restarted")
        return answer


EVENTS = (
    "nothing", "pulled out", "unplugged", "restarted", "killed before", "killed after", "lost",
    "damaged", "exchanged",
)  # fmt: skip


def damaged(answer: bytes, rng: random.Random) -> bytes:
    """An answer that ends early, or with a bit changed, or something else."""
    how = rng.randrange(3)
    if how == 0:
        return answer[: rng.randrange(2, len(answer) + 1)]
    if how == 1:
        changed = bytearray(answer)
        changed[rng.randrange(len(answer))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return rng.randbytes(rng.randrange(2, 258))


def copied(card: SoftwareCard) -> SoftwareCard:
    return SoftwareCard(Memory(card.memory.pages))


def blank(rng: random.Random, keys: KeyStore | None = None) -> SoftwareCard:
    chip = rng.randbytes(8)
    return SoftwareCard.blank(chip, (keys or store()).blank_keys(chip))


@cache
def _prepared() -> tuple[dict[str, bytes], list[dict[int, bytes]]]:
    """The files of a batch, and the memories of cards of a stranger and of its first resident."""
    with TemporaryDirectory() as name:
        folder, memories = Path(name), []
        batch = new_batch(folder, COUNT)
        for skip in (COUNT + 2, 0):
            cards = folder / f"cards {skip}"
            issue_all(new_batch(folder, 1, skip=skip, name=f"other {skip}"), cards)
            (path,) = cards.iterdir()
            card = SoftwareCard.open(path, read_only=True)
            memories.append(card.memory.pages)
            card.close()
        return {file.name: file.read_bytes() for file in batch.folder.iterdir()}, memories


def new_world(folder: Path, seed: int) -> World:
    rng = random.Random(seed)
    files, (stranger, resident) = _prepared()
    (folder / "batch").mkdir()
    for name, content in files.items():
        (folder / "batch" / name).write_bytes(content)
    others = [
        SoftwareCard(Memory(stranger)),
        blank(rng, KeyStore(new_roots())),
        with_added_key_set(blank(rng), store()),
        *([SoftwareCard(Memory(resident))] if rng.random() < 0.5 else []),
    ]
    readers = [FedReader("left"), FedReader("right")]
    return World(folder, rng, readers, [blank(rng) for _ in range(COUNT + 1)], others)


def walk(seed: int) -> Counter[str]:
    """Walk, and count what happened. AssertionError when a card or the journal is not right."""
    with TemporaryDirectory() as name:
        world = new_world(Path(name), seed)
        for _ in range(RUNS):
            one_run(world)
            judge(world)
            give_one_up(world)
        finish(world)
        judge(world)
        judge_the_end(world)
        return world.seen


def one_run(world: World) -> None:
    """A run of the bureau that ends by Enter or is killed; two robots feed it."""
    world.killed.clear()
    world.kill_at_commit = world.rng.randrange(1, 40) if world.rng.random() < 0.3 else 0
    seeds = {reader.name: world.rng.random() for reader in world.readers}
    run(world, [partial(wander, world, reader, seeds[reader.name]) for reader in world.readers])


def run(world: World, robots: Sequence[Robot]) -> None:
    feed, commit = ReaderFeed(world.readers, teller(*world.readers), patience=5.0), Journal._commit
    with (
        patch.object(Journal, "_commit", lambda journal: world.commit(commit, journal)),
        patch.object(reader_feed, "_RETRY", 0.01),
        fed_by(world, robots, feed) as start,
    ):
        try:
            with opened_job(world.batch, issuer(), feed, test_keys=False) as job:
                start()
                world.results = list(issue(job))
        except Killed:
            world.seen["killed"] += 1


@contextmanager
def fed_by(world: World, robots: Sequence[Robot], feed: ReaderFeed) -> Iterator[Callable[[], None]]:
    """Let robots feed the readers from the call of `start` on; the last of them presses Enter."""
    ended, fed = threading.Event(), list[Future[None]]()

    def press_enter() -> None:
        wait(fed)
        feed.end()

    with ThreadPoolExecutor(len(robots) + 1) as pool:

        def start() -> None:
            fed.extend(pool.submit(robot, ended) for robot in robots)
            pool.submit(press_enter)

        try:
            yield start
        finally:
            ended.set()
    for each in fed:
        each.result()
    for reader in world.readers:
        reader.plug_in()
        reader.remove()


def wander(world: World, reader: FedReader, seed: float, ended: threading.Event) -> None:
    """Put in some cards, whatever they are."""
    rng = random.Random(seed)
    for _ in range(STEPS):
        event, at = rng.choice(EVENTS), rng.randrange(1, rng.choice((25, COMMANDS)))
        with world.hand(rng) as card:
            put_in(world, reader, InHand(world, reader, card, event, at, rng), ended)


def put_in(world: World, reader: FedReader, card: Connection, ended: threading.Event) -> None:
    since = len(reader.lines)
    reader.insert(card)
    reader.wait_for(TAKE_OUT, since, ended)
    reader.remove()
    for each in world.readers:
        if each.gone and not ended.is_set():
            time.sleep(0.002)
            each.plug_in()


def give_one_up(world: World) -> None:
    """Sometimes somebody takes a card for broken. It stays in the drawer."""
    if world.rng.random() < 0.7:
        return
    with batch_journal(world.batch) as journal:
        for entry in journal.entries():
            if entry.chip is None or entry.state is CardState.ACTIVE:
                continue
            try:
                journal.give_up(entry.chip)
            except JournalConflict as refused:
                assert entry.state is CardState.ACTIVATING, refused
                world.seen["not given up"] += 1
            else:
                world.seen["given up"] += 1
            return


def finish(world: World) -> None:
    """A last run, undisturbed; another if a card was begun that is no blank of ours."""
    put_all_in(world)
    ours = {ChipSerial(card.chip) for card in (*world.mine, *world.strays)}
    with batch_journal(world.batch) as journal:
        begun = [e.chip for e in journal.entries() if e.state is CardState.PERSONALIZING and e.chip]
        strange = [chip for chip in begun if chip not in ours]
        for chip in strange:
            journal.give_up(chip)
    if strange:
        world.seen["strange card given up"] += len(strange)
        put_all_in(world)


def put_all_in(world: World) -> None:
    """Put in each card of ours, and new blanks."""
    world.killed.clear()
    world.kill_at_commit = 0
    world.mine += [blank(world.rng) for _ in range(COUNT)]

    def robot(ended: threading.Event) -> None:
        # A blank of other keys may have been begun when the program was killed, and any card when
        # it was exchanged as soon as it had said its chip serial. They are freed when they come.
        for card in (*world.others[:RESIDENT], *world.mine, *world.strays):
            put_in(world, world.readers[0], card, ended)

    run(world, [robot])


def judge(world: World) -> None:
    """Who has an active card, is it the journal's, and is everything else as it was?"""
    batch = world.batch
    numbers = {card.card_number: card.number for card in batch.cards()}
    with batch_journal(batch) as journal:
        entries = {entry.number: entry for entry in journal.entries()}
        others, spoiled = journal.other_cards(), journal.spoiled()
    bound = {entry.chip: entry for entry in entries.values() if entry.chip}
    active: list[tuple[int, ChipSerial]] = []
    for card in (*world.mine, *world.strays):
        card.reset()
        said = identify("", card)
        if said.stage is CardStage.TRANSPORT:
            continue
        assert said.chip in bound or said.chip in spoiled, f"nobody knows {said}"
        if said.stage is CardStage.ISSUER:
            continue
        number = numbers[said.card_number]
        assert said.chip in spoiled or bound[said.chip].number == number, said
        if card.state.life_cycle == LifeCycle.ACTIVE:
            active.append((number, said.chip))
            assert bound[said.chip].state in _MAY_BE_ACTIVE, bound[said.chip]
    assert len({number for number, _ in active}) == len(active), f"two active cards: {active}"
    made = {(e.number, e.chip) for e in entries.values() if e.state is CardState.ACTIVE}
    assert made <= set(active), f"the journal says {made}, and active are {active}"
    for number in world.held:
        assert entries[number].state not in _MAY_BE_ACTIVE, f"card {number} was held"
    world.held |= {n for n in others if entries[n].state not in _MAY_BE_ACTIVE}
    judge_others(world)


def judge_others(world: World) -> None:
    assert {command[1] for command in world.foreign.received} <= {SELECT, READ_RECORD}
    for number, (card, before) in enumerate(zip(world.others, world.before, strict=True)):
        after = card.memory.pages
        changed = {page for page in after if after[page] != before.get(page)}
        assert changed <= ({COUNTERS} if number in (WRONG_KEYS, ADDED_KEYS) else set()), card
        assert {keys.tries for keys in card.state.key_sets.values()} == {15}


def judge_the_end(world: World) -> None:
    """Everybody whose card is not held has an active one, and its PIN is the one of the file."""
    batch = world.batch
    with batch_journal(batch) as journal:
        left = {e.number for e in journal.entries() if e.state is not CardState.ACTIVE}
    assert left == world.held, (left, world.held, world.results, world.readers[0].lines)
    mailing = letters(batch, issuer())
    assert (len(mailing.letters), mailing.problems) == (COUNT - len(left), [])
    for letter in mailing.letters:
        (card,) = [
            card
            for card in world.mine
            if str(ChipSerial(card.chip)) == letter.chip
            and card.state.life_cycle == LifeCycle.ACTIVE
        ]
        card.reset()
        pin_is_right(card, store().terminal_keys, letter.pin)
        world.seen["active"] += 1
