"""A card in a reader, met by rhcard: it is listed, chosen, read, and every fault is one line."""

import contextlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.card.holder import block_card
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.exchange import Connection
from cardlib.facts import SECURITY_DOMAIN
from cardlib.issuance import IssuerSession
from cardlib.transport.pcsc import find_reader, open_reader
from personalize.cli.exits import Exit
from tests.cards.cards import CHIP, blank_card, key_store, personalized_card
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.wrong_cards import Disturbed, with_added_key_set
from tests.cli.test_emulator import Running
from tests.programs.pcscd import SLOTS, Pcscd, wait_until
from tests.programs.rhcard import Ran, key_file, ran, rhcard, saved, spawned

FIRST, SECOND = SLOTS
CHIP_TEXT = CHIP.hex().upper()
NO_PCSCD = {"PCSCLITE_CSOCK_NAME": "/nowhere"}
EMERGENCY = ("--reader", "0", "--emergency")


class Stranger:
    """A card that is not ours: its ATR says little, and it refuses every command."""

    atr = bytes.fromhex("3B80800101")

    def __init__(self, answer: str) -> None:
        self._answer = bytes.fromhex(answer)

    def transmit(self, command: bytes) -> bytes:
        return self._answer

    def reset(self) -> bytes:
        return self.atr


class Desk:
    """Two readers, which are empty."""

    def __init__(self) -> None:
        self.readers = [VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)]

    def put(self, *cards: Connection | None) -> None:
        for number, card in enumerate(cards):
            self.readers[number].remove()
            wait_until(lambda n=number: not find_reader(n).atr, 10)  # type: ignore[misc]
            if card is not None:
                self.readers[number].insert(card)
                wait_until(lambda n=number, c=card: find_reader(n).atr == c.atr, 10)  # type: ignore[misc]


@pytest.fixture
def desk(pcscd: Pcscd) -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.put(None, None)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"), test=True)


def interrupted_card() -> SoftwareCard:
    card, store = blank_card(), key_store()
    transport, issuer = store.transport_keys(CHIP), store.issuer_keys(CHIP)
    IssuerSession.open(card, transport, SECURITY_DOMAIN).replace_keys(transport, issuer)
    return card


def blocked_card() -> SoftwareCard:
    card = personalized_card()
    block_card(ResidentHealthCard(card, key_store().terminal_keys, min_protocol=1))
    return card


def only_line(done: Ran) -> str:
    assert (done.code, done.out, len(done.err.splitlines())) == (Exit.NO_CARD, "", 1)
    return done.err.removeprefix("rhcard: ").rstrip("\n")


# --- the list -----------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "state", "spec"), [
    (blank_card, "blank", None),
    (interrupted_card, "interrupted", None),
    (lambda: with_added_key_set(blank_card(), key_store()), "other_keys", None),
    (lambda: personalized_card(protocol=2), "issued", "2.0"),
    (lambda: personalized_card(protocol=1), "issued", "1.0"),
    (blocked_card, "blocked", None),
])  # fmt: skip
def test_our_cards_are_listed_with_what_they_are(
    desk: Desk, make: Callable[[], SoftwareCard], state: str, spec: str | None
) -> None:
    desk.put(card := make())
    report = rhcard("readers", "--json").json
    first, second = report["readers"]
    assert (first["number"], first["name"], first["atr"]) == (0, FIRST, card.atr.hex().upper())
    assert (first["state"], first["chip"], first["specification"]) == (state, CHIP_TEXT, spec)
    assert (second["state"], second["atr"], second["chip"]) == ("empty", None, None)
    assert (second["words"], second["remedy"]) == ("no card", "put a card in")
    done = rhcard("readers")
    assert (done.code, done.err) == (Exit.GOOD, "")
    assert first["words"] in done.out and first["remedy"] in done.out and CHIP_TEXT in done.out


@pytest.mark.parametrize("answer", ["6A82", "6D00", "6A81", "9000"])
def test_a_card_of_others_is_not_ours_whatever_it_answers(desk: Desk, answer: str) -> None:
    desk.put(None, Stranger(answer))
    first, second = rhcard("readers", "--json").json["readers"]
    assert (first["state"], second["state"], second["chip"]) == ("empty", "not_ours", None)
    assert second["atr"] == Stranger.atr.hex().upper()
    assert rhcard("read", "--reader", "1").code in (Exit.REFUSED, Exit.VERIFICATION_FAILED)


@pytest.mark.parametrize("kind", DEPLOYED)
def test_a_deployed_card_is_told_apart_with_the_line_that_reads_it(desk: Desk, kind: str) -> None:
    desk.put(None, card := card_of_profile(DEPLOYED[kind]))
    first, second = rhcard("readers", "--json").json["readers"]
    assert (second["state"], second["words"]) == ("deployed", "deployed card")
    assert CHIP_TEXT in second["serial_places"].values()
    assert (first["serial_places"], second["atr"]) == (None, card.atr.hex().upper())
    done = rhcard("readers")
    for place, chip in second["serial_places"].items():
        assert f"{chip} ({place})" in done.out
    assert second["remedy"] in done.out
    words = shlex.split(second["remedy"])
    assert words[:4] == ["rhcard", "read", "--reader", "1"]
    assert rhcard(*words[1:]).code == 0
    found = rhcard("card-profile", "discover", "--reader", "1", "--json").json
    assert (found["command"], found["serial_places"]) == (
        second["remedy"], second["serial_places"],
    )  # fmt: skip


def test_a_field_card_is_read_with_profile_field_and_nothing_else(desk: Desk) -> None:
    desk.put(card_of_profile())
    (first, _) = rhcard("readers", "--json").json["readers"]
    assert first["remedy"] == "rhcard read --reader 0 --profile field"
    assert first["serial_places"] == {
        "bytes 5-12": CHIP_TEXT, "last 8": card_of_profile().atr[-8:].hex().upper(),
    }  # fmt: skip


def test_a_card_that_another_program_uses_is_not_disturbed(desk: Desk) -> None:
    desk.put(personalized_card())
    with open_reader(0) as others:
        others.transmit(bytes.fromhex("00A4040005F052484301"))
        assert rhcard("readers", "--json").json["readers"][0]["state"] == "in_use"
        assert others.transmit(bytes.fromhex("00A4000002EF05")) == b"\x90\0"


def test_without_pcscd_the_list_says_how_to_start_it() -> None:
    said = only_line(ran("readers", env=NO_PCSCD))
    assert said == "pcscd not running: systemctl start pcscd"
    assert ran("readers", "--json", env=NO_PCSCD).json == {"error": said, "exit_code": 4}


# --- the choice ---------------------------------------------------------------------------


def test_the_emergency_data_is_read_in_a_reader(desk: Desk, keys: Path) -> None:
    desk.put(personalized_card(protocol=2))
    for words in (EMERGENCY, ("--reader", FIRST, "--emergency"), ("--emergency",)):
        done = rhcard("read", *words, "--keys", keys)
        assert done.code == 0, done.err
        assert "青霉素" in done.out and "皮疹" in done.out
    report = rhcard("read", *EMERGENCY, "--keys", keys, "--json").json
    assert (report["card"], report["reader"], report["chip"]) == (None, FIRST, CHIP_TEXT)


def test_a_reader_shows_what_the_file_shows(desk: Desk, keys: Path, tmp_path: Path) -> None:
    desk.put(personalized_card(protocol=2))
    path = saved(personalized_card(protocol=2), tmp_path / "one.card")
    from_file = rhcard("read", "--card", path, "--keys", keys)
    assert from_file.out == rhcard("read", path, "--keys", keys).out
    assert rhcard("read", "--reader", "0", "--keys", keys).out == from_file.out


def test_of_several_cards_one_must_be_chosen(desk: Desk) -> None:
    desk.put(blank_card(), blank_card())
    for words in (("read",), ("apdu", "run", "identify")):
        assert only_line(rhcard(*words)) == (
            f"several readers have a card: 0 ({FIRST}), 1 ({SECOND}). Give the number of one:"
            " --reader 0 or --reader 1"
        )
        assert only_line(rhcard(*words, "--reader", "virtual")).endswith("--reader 0 or --reader 1")


def test_no_card_is_one_line_with_the_remedy(desk: Desk) -> None:
    desk.put(None, None)
    assert only_line(rhcard("read")) == (
        f"no card in reader 0 ({FIRST}) or 1 ({SECOND}): put one in."
        " Or give a card file: --card FILE"
    )
    assert only_line(rhcard("read", "--reader", "0")) == f"{FIRST}: no card: put it in"
    assert only_line(rhcard("read", "--reader", "2")).startswith("no reader '2'. Connected: 0 (")


@pytest.mark.parametrize("words", [
    ("read", "a.card", "--card", "a.card"),
    ("read", "a.card", "--reader", "0"),
    ("read", "--card", "a.card", "--reader", "0"),
    ("read", "--cards", "."),
    ("apdu", "run", "identify", "--card", "a.card", "--reader", "0"),
])  # fmt: skip
def test_two_cards_are_refused_before_a_passphrase_is_asked_for(words: tuple[str, ...]) -> None:
    done = rhcard(*words, "--keys", "none.json", passphrase=None)
    assert done.code == Exit.USAGE, done.err


def test_without_pcscd_a_card_file_is_offered() -> None:
    said = only_line(ran("read", env=NO_PCSCD))
    assert said.endswith("systemctl start pcscd. Or give a card file: --card FILE")


# --- what others do to the card -----------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_a_card_pulled_out_of_a_read_is_one_line(desk: Desk, keys: Path, number: int) -> None:
    card = personalized_card(protocol=2)
    pulled = threading.Event()

    def pull() -> None:
        threading.Thread(target=desk.readers[0].remove).start()
        pulled.set()

    desk.put(Disturbed(card, number, pull))
    said = only_line(rhcard("read", *EMERGENCY, "--keys", keys))
    assert said == (f"{FIRST}: the card was pulled out. Put it in, and run the command again")
    assert pulled.is_set()
    desk.put(card)
    assert rhcard("read", *EMERGENCY, "--keys", keys).code == Exit.GOOD


def test_a_card_that_another_program_has_exclusively_is_one_line(desk: Desk) -> None:
    desk.put(personalized_card())
    with open_reader(0, exclusive=True):
        assert only_line(rhcard("read", "--reader", "0")) == (
            f"{FIRST}: another program uses the card: close that program"
        )
        assert rhcard("readers", "--json").json["readers"][0]["state"] == "in_use"
    assert rhcard("read", "--reader", "0").code == Exit.GOOD


def test_another_program_cannot_reset_the_card_in_the_middle_of_a_read(
    desk: Desk, keys: Path
) -> None:
    card, resets = personalized_card(protocol=2), list[threading.Thread]()
    with contextlib.ExitStack() as stack:

        def reset() -> None:
            resets.append(threading.Thread(target=others.reset))
            resets[0].start()

        desk.put(Disturbed(card, 5, reset))
        others = stack.enter_context(open_reader(0))
        done = rhcard("read", *EMERGENCY, "--keys", keys)
        assert (done.code, "青霉素" in done.out) == (Exit.GOOD, True)
        resets[0].join(10)
        assert not resets[0].is_alive()


def test_a_read_that_waits_for_another_program_says_so_and_can_be_stopped(desk: Desk) -> None:
    desk.put(personalized_card())
    with open_reader(0) as others, others.transaction():
        process = spawned("read", "--reader", "0")
        assert process.stderr
        said = process.stderr.readline()
        assert said == f"Waiting for another program that uses the card in reader 0 ({FIRST}).\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (Exit.INTERRUPTED, "")
        assert err.strip() == "rhcard: stopped; nothing was changed"


def read_while(desk: Desk, keys: Path, pcscd: Pcscd, happens: Callable[[], None]) -> Ran:
    """Read a card; before it answers the fifth command, something happens in this thread.

    rhcard stands still meanwhile, so that it finds everything done. pcscd ends with the thread that
    started it, so no other thread may start it.
    """
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        reached.set()
        assert go_on.wait(30)

    desk.put(Disturbed(personalized_card(protocol=2), 5, pause))
    process = spawned("read", *EMERGENCY, "--keys", keys)
    assert reached.wait(30)
    process.send_signal(signal.SIGSTOP)
    happens()
    process.send_signal(signal.SIGCONT)
    go_on.set()
    out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


def test_pcscd_restarted_in_the_middle_of_a_read_is_one_line(
    desk: Desk, keys: Path, pcscd: Pcscd
) -> None:
    said = only_line(read_while(desk, keys, pcscd, pcscd.restart))
    assert said == f"{FIRST}: pcscd was restarted. Run the command again"
    wait_until(lambda: bool(find_reader(0).atr), 10)
    assert rhcard("read", *EMERGENCY, "--keys", keys).code == Exit.GOOD


def test_pcscd_gone_in_the_middle_of_a_read_is_one_line(
    desk: Desk, keys: Path, pcscd: Pcscd
) -> None:
    said = only_line(read_while(desk, keys, pcscd, pcscd.stop))
    assert said == "pcscd not running: systemctl start pcscd"
    pcscd.start()
    wait_until(lambda: bool(find_reader(0).atr), 10)
    assert rhcard("read", *EMERGENCY, "--keys", keys).code == Exit.GOOD


# --- a software card in a virtual reader --------------------------------------------------


def test_the_emulator_says_in_which_reader_its_card_is(
    pcscd: Pcscd, tmp_path: Path, keys: Path
) -> None:
    path = saved(personalized_card(protocol=2), tmp_path / "a.card")
    running = Running(path)
    try:
        lines = [running.line(), running.line()]
        first, _ = ran("readers", "--json").json["readers"]
        assert (first["state"], first["chip"]) == ("issued", CHIP_TEXT)
        assert ran("read", "--reader", "0", "--keys", keys).code == Exit.GOOD
    finally:
        code, _, last = running.stop(signal.SIGINT)
    assert (code, last) == (Exit.GOOD, "stopped; the cards are saved\n")
    assert lines[0].startswith(f"{path}, port {FIRST_PORT}: ")
    assert lines[1].startswith(f"{path} is in reader 0 ({FIRST}). To see what it is: ")
    assert lines[1].endswith("rhcard readers")
