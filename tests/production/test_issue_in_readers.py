"""Issuing by hand through a real pcscd: a robot puts cards into its virtual readers."""

import os
import pty
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.store import KeyStore
from cardlib.transport.pcsc import find_reader, open_reader
from personalize.preparation.batch import Batch
from personalize.production.feed import identify
from personalize.production.journal import batch_journal
from personalize.production.mailer import letters
from personalize.register.states import CardState
from tests.cards.bureau import pin_is_right
from tests.cards.field_bench import card_of_profile
from tests.cards.in_between import READ_RECORD, SELECT
from tests.cards.wrong_cards import ADDED_VERSION, Foreign, with_added_key_set
from tests.programs.pcscd import SLOTS, Pcscd, wait_until
from tests.programs.rhcard import IMPORT_MAIN, PASSPHRASE, Ran, key_file, prepare, ran, spawned

TAKE_OUT = "Take the card out"
CTRL_D = b"\x04"
LIMIT = 120.0


@dataclass
class Run:
    """A running rhcard whose lines are kept, by the reader that each one names."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    out: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=read) for read in (self._errors, self._output)]
        for thread in self._threads:
            thread.start()

    def _errors(self) -> None:
        assert self.process.stderr
        with self.process.stderr as errors:
            for line in errors:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        self.process.wait()
        with self._news:
            self._news.notify_all()

    def _output(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            self.out = output.read()

    def said(self, slot: int, words: str, since: int = 0) -> bool:
        """Wait until a line about a reader has these words; False if the run ended first."""
        return self.heard(words, f"{SLOTS[slot]}: ", since)

    def heard(self, words: str, start: str = "", since: int = 0) -> bool:
        """Wait until a line has these words; False if the run ended first."""

        def found() -> bool:
            return any(line.startswith(start) and words in line for line in self.lines[since:])

        def enough() -> bool:
            return found() or self.process.poll() is not None

        with self._news:
            while not enough():
                assert self._news.wait(LIMIT), (words, self.lines)
        return found()

    @property
    def count(self) -> int:
        with self._news:
            return len(self.lines)

    def ended(self) -> Ran:
        self.process.wait(LIMIT)
        for thread in self._threads:
            thread.join()
        return Ran(self.process.returncode, self.out, "\n".join(self.lines))


class Robot:
    """Puts cards into the two slots and takes them out."""

    def __init__(self) -> None:
        self.slots = [VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)]

    def feed(self, run: Run, slot: int, card: Connection) -> bool:
        """One card, until the run asks to take it out; False when the run has ended."""
        since = run.count
        self.slots[slot].insert(card)
        try:
            return run.said(slot, TAKE_OUT, since)
        finally:
            self.take_out(slot)

    def take_out(self, slot: int) -> None:
        self.slots[slot].remove()

    def feed_all(self, run: Run, slot: int, cards: Sequence[Connection]) -> None:
        for card in cards:
            if not self.feed(run, slot, card):
                return


@pytest.fixture
def robot(pcscd: Pcscd) -> Iterator[Robot]:
    robot = Robot()
    yield robot
    for slot in robot.slots:
        slot.remove()
    wait_until(lambda: not any(find_reader(name).atr for name in SLOTS), 10)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def store(keys: Path) -> KeyStore:
    return KeyStore.open(keys, PASSPHRASE)


Blank = Callable[[], SoftwareCard]


@pytest.fixture
def blank(store: KeyStore) -> Blank:
    def make() -> SoftwareCard:
        chip = os.urandom(8)
        return SoftwareCard.blank(chip, store.blank_keys(chip))

    return make


def started(command: str, batch: Path, *more: object, slots: tuple[int, ...] = (0, 1)) -> Run:
    readers = [word for slot in slots for word in ("--reader", SLOTS[slot])]
    trial = ("--trial",) if command == "issue" else ()
    return Run(spawned(command, batch, *readers, *trial, *more))


def in_two(run: Run, robot: Robot, cards: list[SoftwareCard]) -> Ran:
    """Every other card into each reader, in both at once."""
    other = threading.Thread(target=robot.feed_all, args=(run, 1, cards[1::2]))
    other.start()
    robot.feed_all(run, 0, cards[::2])
    other.join()
    return run.ended()


def assert_everybody_has_one_card(folder: Path, store: KeyStore, cards: list[SoftwareCard]) -> None:
    batch = Batch.open(folder, LocalIssuer(store))
    with batch_journal(batch) as journal:
        entries = journal.entries()
    assert {entry.state for entry in entries} == {CardState.ACTIVE}
    found = []
    for card in cards:
        card.reset()
        said = identify("", card)
        if said.stage is CardStage.PERSONALIZED:
            found.append((said.card_number, said.chip))
    assert Counter(found) == Counter(
        (batch.card(entry.number).card_number, entry.chip) for entry in entries
    )
    mailing = letters(batch, LocalIssuer(store))
    assert (len(mailing.letters), mailing.problems) == (len(entries), [])
    by_chip = {str(ChipSerial(card.chip)): card for card in cards}
    for letter in mailing.letters:
        card = by_chip[str(letter.chip)]
        card.reset()
        pin_is_right(card, store.terminal_keys, letter.pin)


def test_twenty_cards_are_issued_in_two_readers_at_once_and_verified_in_them(
    tmp_path: Path, keys: Path, store: KeyStore, robot: Robot, blank: Blank
) -> None:
    count = 20
    batch, cards = prepare(tmp_path, keys, count), [blank() for _ in range(count)]
    done = in_two(started("issue", batch), robot, cards)
    assert (done.code, done.out) == (0, f"{count} of {count} cards active\n"), done.err
    assert_everybody_has_one_card(batch, store, cards)
    told = [line for line in done.err.splitlines() if line.startswith("Next: ")]
    assert told == [f"Next: rhcard verify {batch} --reader '{SLOTS[0]}' --reader '{SLOTS[1]}'"]
    verified = in_two(started("verify", batch), robot, cards)
    assert (verified.code, verified.out) == (0, f"{count} of {count} verified\n"), verified.err


def test_a_card_is_pulled_out_at_ten_moments_and_the_batch_is_finished(
    tmp_path: Path, keys: Path, store: KeyStore, robot: Robot, blank: Blank
) -> None:
    moments = [1, 3, 6, 9, 12, 16, 25, 60, 120, 170]
    batch = prepare(tmp_path, keys, len(moments))
    cards = [blank() for _ in moments]
    run = started("issue", batch)
    for moment, card in zip(moments, cards, strict=True):
        since = run.count
        robot.slots[0].insert(Countdown(card, moment, robot.slots[0]))
        assert run.said(0, TAKE_OUT, since)
        robot.take_out(0)
    for number, card in enumerate(cards):
        robot.feed(run, number % 2, card)
    done = run.ended()
    assert (done.code, done.out) == (0, f"{len(moments)} of {len(moments)} cards active\n")
    assert done.err.count("pulled out") >= len(moments)
    assert "This card must be inserted again, now or later, in any of the readers" in done.err
    assert_everybody_has_one_card(batch, store, cards)


class Countdown:
    """A card that is pulled out at a certain command; `remove` waits for the command's answer."""

    def __init__(self, card: SoftwareCard, commands: int, slot: VirtualReader) -> None:
        self._card, self._left, self._slot = card, commands, slot
        self._puller: threading.Thread | None = None

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> bytes:
        return self._card.reset()

    def transmit(self, command: bytes) -> bytes:
        self._left -= 1
        if self._left <= 0 and self._puller is None:
            self._puller = threading.Thread(target=self._slot.remove)
            self._puller.start()
        return self._card.transmit(command)


def test_pcscd_is_restarted_in_mid_batch_and_the_run_goes_on(
    tmp_path: Path, keys: Path, store: KeyStore, robot: Robot, blank: Blank, pcscd: Pcscd
) -> None:
    batch, cards = prepare(tmp_path, keys, 4), [blank() for _ in range(4)]
    run = started("issue", batch, "--json")
    robot.feed(run, 0, cards[0])
    since = run.count
    robot.slots[1].insert(cards[1])
    assert run.said(1, "card inserted", since)
    pcscd.restart()
    assert run.said(0, "the reader is there again", since)
    assert run.said(1, "is active", since)
    robot.take_out(1)
    robot.feed_all(run, 0, cards[2:])
    done = run.ended()
    assert done.code == 0, done.err
    report = done.json
    assert (report["active"], report["failed"], report["readers"]) == (4, 0, list(SLOTS))
    assert "pcscd not running" in done.err or "pcscd was restarted" in done.err
    assert_everybody_has_one_card(batch, store, cards)


def test_wrong_cards_are_handed_back_and_the_signal_ends_the_run_in_order(
    tmp_path: Path, keys: Path, store: KeyStore, robot: Robot, blank: Blank
) -> None:
    batch, other = prepare(tmp_path, keys, 2), prepare(tmp_path, keys, 1, skip=5, name="other")
    theirs, mine = blank(), blank()
    first = started("issue", other, slots=(0,))
    robot.feed_all(first, 0, [theirs])
    assert first.ended().code == 0
    foreign_store = KeyStore.open(key_file(tmp_path, name="other.json"), PASSPHRASE)
    public_store = KeyStore.open(key_file(tmp_path, name="public.json", test=True), PASSPHRASE)
    chips = [os.urandom(8) for _ in range(2)]
    strangers = [
        SoftwareCard.blank(chip, keys.blank_keys(chip))
        for chip, keys in zip(chips, (foreign_store, public_store), strict=True)
    ]
    run = started("issue", batch, slots=(0,))
    changed, foreign = with_added_key_set(blank(), store), Foreign()
    deployed = card_of_profile()
    robot.feed_all(run, 0, [mine, mine, theirs, *strangers, changed, foreign, deployed])
    run.process.send_signal(signal.SIGINT)
    done = run.ended()
    assert done.code == 130
    assert "stopped: 1 of 2 cards are active, 0 begun, none is lost" in done.err
    for words in (
        "it is card 1 of this batch and is active already",
        "it is personalized, but not by this batch",
        "its transport keys are not those of this key store",
        "it has the published test keys as transport keys",
        "the blank card has 2 key sets, of versions 30 FF",
        "not a resident health card",
        "it is a deployed card, which somebody else issued",
    ):
        assert done.err.count(words) == 1, (words, done.err)
    assert [card.state.key_sets[0xFF].tries for card in (*strangers, changed)] == [15] * 3
    assert changed.state.key_sets[ADDED_VERSION].tries == 15
    assert {command[1] for command in foreign.received} <= {SELECT, READ_RECORD}


def test_a_resident_with_another_card_is_told_remembered_and_gets_no_card(
    tmp_path: Path, keys: Path, robot: Robot, blank: Blank
) -> None:
    batch, other = prepare(tmp_path, keys, 2), prepare(tmp_path, keys, 1, name="other")
    theirs, mine, spare = blank(), blank(), blank()
    first = started("issue", other, slots=(0,))
    robot.feed_all(first, 0, [theirs])
    assert first.ended().code == 0
    run = started("issue", batch, slots=(0,))
    robot.feed_all(run, 0, [theirs, mine])
    done = run.ended()
    told = f"this resident has another card, with chip {ChipSerial(theirs.chip)}"
    assert (done.code, done.out) == (7, "1 of 2 cards active, 1 of them now\n"), done.err
    assert told in done.err and "No card yet: line 2 of the list." in done.err
    assert "Run the same command again" not in done.err and "Next: " not in done.err
    again = started("issue", batch, "--json", slots=(0,)).ended()
    (double,) = again.json["doubles"]
    assert (again.code, told in double, again.json["active"]) == (7, True, 1)
    verified = started("verify", batch, slots=(0,))
    robot.feed_all(verified, 0, [mine, spare])
    assert "It is not made: its resident has another card" in verified.ended().out


IMPATIENT = f"""
from personalize.production import reader_feed
reader_feed._CONNECT_TIME = 0.5
{IMPORT_MAIN}main()"""


def test_a_card_that_another_program_keeps_in_a_transaction_is_told(
    tmp_path: Path, keys: Path, robot: Robot, blank: Blank
) -> None:
    """pcscd makes the connection wait without end."""
    batch, card = prepare(tmp_path, keys, 1), blank()
    robot.slots[0].insert(card)
    wait_until(lambda: bool(find_reader(SLOTS[0]).atr), 10)
    with open_reader(SLOTS[0]) as kept, kept.transaction():
        run = Run(spawned("issue", batch, "--reader", SLOTS[0], "--trial", program=IMPATIENT))
        assert run.said(
            0, "another program uses the card: close that program. It can be inserted again"
        )
        robot.take_out(0)
    robot.feed(run, 0, card)
    done = run.ended()
    assert (done.code, done.out) == (0, "1 of 1 cards active\n"), done.err


@pytest.mark.usefixtures("pcscd")
def test_a_terminal_that_is_closed_ends_the_run_with_the_code_of_its_signal(
    tmp_path: Path, keys: Path
) -> None:
    """Nothing can be said any more, and that is no error of the disk."""
    process = spawned("issue", prepare(tmp_path, keys, 1), "--reader", SLOTS[0], "--trial")
    assert process.stderr and process.stdout
    with process.stdout, process.stderr:
        assert "insert a blank card" in process.stderr.readline()
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(LIMIT) == 129


def test_a_verification_is_ended_by_enter_and_lists_what_did_not_come(
    tmp_path: Path, keys: Path, robot: Robot, blank: Blank
) -> None:
    batch, cards = prepare(tmp_path, keys, 2), [blank(), blank()]
    run = started("issue", batch, slots=(0,))
    robot.feed_all(run, 0, cards)
    assert run.ended().code == 0
    process = spawned("verify", batch, "--reader", SLOTS[0], stdin=subprocess.PIPE)
    run = Run(process)
    robot.feed(run, 0, cards[1])
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    done = run.ended()
    process.stdin.close()
    assert done.code == 6
    assert done.out.splitlines()[-1] == "1 of 2 verified"
    assert f"Card with chip {ChipSerial(cards[0].chip)} was not inserted" in done.out


def test_at_a_terminal_the_readers_are_asked_for_and_ctrl_d_ends_the_run(
    tmp_path: Path, keys: Path, robot: Robot, blank: Blank
) -> None:
    batch = prepare(tmp_path, keys, 2)
    ours, theirs = pty.openpty()
    run = Run(spawned("issue", batch, "--trial", stdin=theirs))
    try:
        assert run.heard(f"1 ({SLOTS[1]}): empty")
        os.write(ours, b"1\n")
        assert run.said(1, "insert a blank card")
        robot.feed(run, 1, blank())
        os.write(ours, CTRL_D)
        done = run.ended()
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.code, done.out) == (7, "1 of 2 cards active, 1 of them now\n"), done.err
    assert f"0 ({SLOTS[0]}): empty\n1 ({SLOTS[1]}): empty\n" in done.err
    assert "Press Enter to end" in done.err
    assert f"{SLOTS[0]}: " not in done.err and "Next: " not in done.err


@pytest.mark.usefixtures("pcscd")
def test_a_reader_that_is_named_twice_or_is_not_there_is_refused(
    tmp_path: Path, keys: Path
) -> None:
    batch = prepare(tmp_path, keys, 1)
    refused = ran("issue", batch, "--reader", SLOTS[0])
    assert (refused.code, "rhcard keys migrate" in refused.err) == (9, True)
    twice = ran("issue", batch, "--reader", 0, "--reader", SLOTS[0])
    assert (twice.code, f"{SLOTS[0]} is given twice" in twice.err) == (2, True)
    missing = ran("verify", batch, "--reader", "OMNIKEY")
    assert (missing.code, "no reader 'OMNIKEY'" in missing.err) == (4, True)
