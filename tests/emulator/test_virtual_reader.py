"""The virtual reader's card end, against a driver made here: what is answered, and what is not."""

import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cardlib.emulator import PowerCut
from cardlib.emulator.bench import virtual_reader
from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.exchange import Connection
from tests.cards.cards import CHIP, blank_card
from tests.programs.pcscd import wait_until

POWER_OFF, POWER_ON, RESET, GET_ATR = b"\0", b"\1", b"\2", b"\4"
ATR = bytes.fromhex("3B80800101")
LOCALHOST = "127.0.0.1"


class Card:
    """Answers every command with itself and 9000; counts resets; fails when told to."""

    atr = ATR

    def __init__(self) -> None:
        self.resets = 0
        self.failure: Exception | None = None

    def transmit(self, command: bytes) -> bytes:
        if self.failure:
            raise self.failure
        return command + b"\x90\0"

    def reset(self) -> bytes:
        self.resets += 1
        return self.atr


class Driver:
    """The reader's end of a connection, as vpcd speaks it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(5)

    def send(self, *messages: bytes) -> None:
        self.connection.sendall(b"".join(len(m).to_bytes(2, "big") + m for m in messages))

    def receive(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(2), "big"))

    def ask(self, message: bytes) -> bytes:
        self.send(message)
        return self.receive()

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self.connection.recv(count - len(found))
            assert part, "the card hung up"
            found += part
        return found

    def hung_up(self) -> bool:
        return self.connection.recv(1) == b""


@contextmanager
def listening(port: int = 0) -> Iterator[socket.socket]:
    with socket.create_server((LOCALHOST, port)) as listener:
        listener.settimeout(5)
        yield listener


@contextmanager
def inserted(card: Connection, report: Callable[[str], None] = lambda _: None) -> Iterator[Driver]:
    with listening() as listener, VirtualReader(listener.getsockname()[1], report=report) as reader:
        reader.insert(card)
        connection, _ = listener.accept()
        with connection:
            yield Driver(connection)


def free_port() -> int:
    with listening() as listener:
        return int(listener.getsockname()[1])


def test_the_atr_is_given_when_asked_for() -> None:
    card = Card()
    with inserted(card) as driver:
        assert driver.ask(GET_ATR) == ATR
        assert driver.ask(GET_ATR) == ATR
        assert card.resets == 0


@pytest.mark.parametrize("order", [POWER_ON, RESET])
def test_power_on_and_reset_reset_the_card_and_are_not_answered(order: bytes) -> None:
    card = Card()
    with inserted(card) as driver:
        driver.send(POWER_OFF)
        driver.send(order)
        assert driver.ask(GET_ATR) == ATR
        assert card.resets == 1


def test_unknown_orders_change_nothing() -> None:
    card = Card()
    with inserted(card) as driver:
        driver.send(b"\3", b"\5", b"\xff")
        assert driver.ask(GET_ATR) == ATR
        assert card.resets == 0


@pytest.mark.parametrize("length", [0, 2, 4, 5, 261, 4000, 65533])
def test_a_command_of_any_length_is_answered(length: int) -> None:
    with inserted(Card()) as driver:
        command = bytes(length)
        assert driver.ask(command) == command + b"\x90\0"


def test_messages_are_put_together_from_parts_and_taken_apart() -> None:
    with inserted(Card()) as driver:
        driver.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in (b"\0", b"\4\0\x84", b"\0\0\0\1", b"\4\0\2ab\0"):
            driver.connection.sendall(part)
            time.sleep(0.02)
        assert driver.receive() == b"\0\x84\0\0\x90\0"
        assert driver.receive() == ATR
        assert driver.receive() == b"ab\x90\0"
        driver.connection.sendall(b"\1\4")
        assert driver.receive() == ATR


def test_removal_hangs_up_and_takes_the_cards_power() -> None:
    card = Card()
    with listening() as listener, VirtualReader(listener.getsockname()[1]) as reader:
        reader.insert(card)
        connection, _ = listener.accept()
        with connection:
            driver = Driver(connection)
            driver.ask(GET_ATR)
            reader.remove()
            reader.remove()
            assert driver.hung_up()
            assert card.resets == 1


def test_another_card_takes_the_place_of_the_one_that_is_in() -> None:
    card = blank_card()
    with listening() as listener, VirtualReader(listener.getsockname()[1]) as reader:
        reader.insert(Card())
        first, _ = listener.accept()
        reader.insert(card)
        second, _ = listener.accept()
        with first, second:
            assert Driver(first).hung_up()
            assert CHIP in Driver(second).ask(GET_ATR)


def test_the_card_comes_back_when_the_reader_does() -> None:
    card, said = Card(), list[str]()
    port = free_port()
    with VirtualReader(port, report=said.append) as reader:
        reader.insert(card)
        for visit in (1, 2):
            wait_until(lambda: said[-1:] == [virtual_reader.NOT_LISTENING], 5)
            time.sleep(0.3)
            with listening(port) as listener:
                connection, _ = listener.accept()
            with connection:
                assert Driver(connection).ask(GET_ATR) == ATR
            wait_until(lambda visits=visit: card.resets == visits, 5)  # type: ignore[misc]
    expected = [virtual_reader.NOT_LISTENING, virtual_reader.INSERTED]
    assert said[:4] == 2 * expected


def test_a_card_without_a_reader_can_be_removed_at_once() -> None:
    with VirtualReader(free_port()) as reader:
        reader.insert(Card())
        time.sleep(0.5)
        start = time.monotonic()
    assert time.monotonic() - start < 0.5


def test_a_call_that_reaches_itself_is_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is one that the system may give to the caller: TCP then connects it to itself."""
    address = (LOCALHOST, free_port())
    call = functools.partial(socket.create_connection, source_address=address)
    with call(address) as itself:
        assert itself.getsockname() == itself.getpeername()
    monkeypatch.setattr(socket, "create_connection", call)
    assert virtual_reader.connect(address) is None


def test_a_slot_that_is_taken_is_reported_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_reader, "_GREETING_TIME", 0.1)
    said = list[str]()
    with inserted(Card(), said.append) as driver:
        wait_until(lambda: said == [virtual_reader.NO_ANSWER], 5)
        assert driver.ask(GET_ATR) == ATR
        time.sleep(0.3)
        assert driver.ask(b"abcd") == b"abcd\x90\0"
    assert said == [virtual_reader.NO_ANSWER, virtual_reader.INSERTED]


def test_a_power_cut_is_a_card_that_goes_and_comes_back() -> None:
    card, said = Card(), list[str]()
    with (
        listening() as listener,
        VirtualReader(listener.getsockname()[1], report=said.append) as reader,
    ):
        reader.insert(card)
        connection, _ = listener.accept()
        with connection:
            driver = Driver(connection)
            assert driver.ask(GET_ATR) == ATR
            card.failure = PowerCut()
            driver.send(b"abcd")
            assert driver.hung_up()
        card.failure = None
        connection, _ = listener.accept()
        with connection:
            assert Driver(connection).ask(b"abcd") == b"abcd\x90\0"
    assert virtual_reader.POWER_CUT in said
    assert reader.failure is None


def test_a_fault_in_a_card_is_kept_for_whoever_runs_it() -> None:
    card = Card()
    with listening() as listener, VirtualReader(listener.getsockname()[1]) as reader:
        reader.insert(card)
        connection, _ = listener.accept()
        with connection:
            card.failure = ZeroDivisionError()
            driver = Driver(connection)
            driver.send(b"abcd")
            assert driver.hung_up()
        wait_until(lambda: reader.failure is not None, 5)
        assert isinstance(reader.failure, ZeroDivisionError)


def test_many_cards_are_served_at_once() -> None:
    cards = [Card() for _ in range(8)]
    with listening() as listener:
        readers = [VirtualReader(listener.getsockname()[1]) for _ in cards]
        for reader, card in zip(readers, cards, strict=True):
            reader.insert(card)
        drivers = [Driver(listener.accept()[0]) for _ in cards]
        for _ in range(20):
            for number, driver in enumerate(drivers):
                driver.send(bytes((number, 0, 0, 0)))
            for number, driver in enumerate(drivers):
                assert driver.receive() == bytes((number, 0, 0, 0)) + b"\x90\0"
        for reader in readers:
            reader.remove()
        for driver in drivers:
            driver.connection.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("virtual reader")]


def test_a_body_sent_after_its_length_does_not_wait_for_a_delayed_acknowledgement() -> None:
    """The driver has Nagle's algorithm on: without quick acknowledgement a command costs 44 ms."""
    with inserted(Card()) as driver:
        driver.ask(GET_ATR)
        start = time.monotonic()
        for _ in range(20):
            driver.connection.sendall(b"\0\4")
            driver.connection.sendall(b"abcd")
            assert driver.receive() == b"abcd\x90\0"
        assert time.monotonic() - start < 20 * 0.02
