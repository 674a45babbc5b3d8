"""rhcard emulator: blank cards as files, and cards that stay in their slots until told to stop."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from stat import S_IMODE

import pytest

from cardlib.crypto import BlockCipher, Cipher, static_keys
from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, INSERTED, NOT_LISTENING
from cardlib.keys.roots import TEST_TRANSPORT_ROOT
from cardlib.keys.store import KeyStore
from cardlib.transport.pcsc import find_reader, open_reader, wait_for_card
from personalize.cli.exits import Exit
from tests.cards.cards import CHIP, PIN, blank_card, personalized_card
from tests.emulator.test_virtual_reader import GET_ATR, Driver, free_port, listening
from tests.programs.pcscd import Pcscd, wait_until
from tests.programs.rhcard import PASSPHRASE, key_file, rhcard, saved, spawned

H = bytes.fromhex
SELECT_DDF1 = H("00A4040005F052484301")


class Running:
    """`rhcard emulator run` as a process."""

    def __init__(self, *words: object) -> None:
        self.process = spawned("emulator", "run", *words)

    def line(self) -> str:
        assert self.process.stderr
        return self.process.stderr.readline().rstrip("\n")

    def stop(self, how: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@contextmanager
def neighbours() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two listeners at successive ports."""
    with ExitStack() as stack:
        while True:
            first = stack.enter_context(listening())
            try:
                second = stack.enter_context(listening(first.getsockname()[1] + 1))
            except OSError:
                continue
            yield first, second
            return


@pytest.fixture
def running() -> Iterator[list[Running]]:
    """What a test started ends with it."""
    started: list[Running] = []
    yield started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def test_new_makes_a_blank_card_with_public_transport_keys(tmp_path: Path) -> None:
    made = rhcard("emulator", "new", "--out", tmp_path / "blank.card", passphrase=None)
    assert made.code == Exit.GOOD
    assert "published test keys" in made.err
    card = SoftwareCard.open(tmp_path / "blank.card")
    assert made.out == f"{tmp_path / 'blank.card'}  {card.chip.hex().upper()}\n"
    keys = card.state.key_sets[0xFF]
    root = BlockCipher(Cipher.AES, TEST_TRANSPORT_ROOT)
    assert (keys.enc, keys.mac, keys.dek) == static_keys(root, card.chip)
    assert card.state.life_cycle == LifeCycle.BLANK
    assert not card.options.extended_length
    card.close()


def test_new_makes_cards_under_a_key_stores_root(tmp_path: Path) -> None:
    store = key_file(tmp_path)
    words = ("new", "--out", tmp_path / "cards", "--count", 3, "--keys", store, "--json")
    made = rhcard("emulator", *words, "--extended-length")
    assert made.code == Exit.GOOD
    assert made.json["test_keys"] is False
    cards = made.json["cards"]
    assert sorted(each["file"] for each in cards) == sorted(
        map(str, (tmp_path / "cards").iterdir())
    )
    assert len({each["chip"] for each in cards}) == 3
    for each in cards:
        assert Path(each["file"]).name == f"{each['chip']}.card"
        card = SoftwareCard.open(Path(each["file"]))
        keys = card.state.key_sets[0xFF]
        expected = KeyStore.open(store, PASSPHRASE).blank_keys(H(each["chip"]))
        assert (keys.enc, keys.mac, keys.dek) == expected
        assert card.options.extended_length
        card.close()


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "blank.card").write_text("mine")
    made = rhcard("emulator", "new", "--out", tmp_path / "blank.card")
    assert made.code == Exit.USAGE
    assert "not overwritten" in made.err
    assert (tmp_path / "blank.card").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "65535", "a.card", "b.card"), "fewer than 2 ports from 65535 on"),
        (("--trace", "t", "a.card", "b.card"), "one card only"),
        (("--fault", "fire", "a.card"), "no such fault"),
        ((), "CARD"),
    ],
)
def test_run_says_what_is_wrong_with_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.card", "b.card"):
        saved(blank_card(), tmp_path / name)
    ran = rhcard("emulator", "run", *words)
    assert ran.code == Exit.USAGE
    assert said in ran.err


def test_run_takes_no_card_that_is_in_use_or_none_at_all(tmp_path: Path) -> None:
    card = blank_card()
    card.save(tmp_path / "a.card")
    assert rhcard("emulator", "run", tmp_path / "a.card").code == Exit.NO_CARD
    card.close()
    (tmp_path / "b.card").write_text("no card")
    missing = rhcard("emulator", "run", tmp_path / "missing.card")
    assert (missing.code, "missing.card" in missing.err) == (Exit.NO_CARD, True)
    of_folder = rhcard("emulator", "run", tmp_path)
    assert (of_folder.code, "is a folder; give a .card file" in of_folder.err) == (4, True)
    ran = rhcard("emulator", "run", tmp_path / "a.card", tmp_path / "b.card")
    assert ran.code == Exit.NO_CARD
    assert "b.card" in ran.err
    SoftwareCard.open(tmp_path / "a.card").close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_waits_for_pcscd_and_ends_when_told_to(
    tmp_path: Path, running: list[Running], how: signal.Signals
) -> None:
    path = saved(blank_card(), tmp_path / "a.card")
    port = free_port()
    running.append(each := Running(path, "--port", port))
    assert each.line() == f"{path}, port {port}: {NOT_LISTENING}"
    code, out, err = each.stop(how)
    assert (code, out, err) == (Exit.GOOD, "", "stopped; the cards are saved\n")
    SoftwareCard.open(path).close()


def test_run_serves_several_cards_at_successive_ports(
    tmp_path: Path, running: list[Running]
) -> None:
    chips = (CHIP, H("5248430000000002"))
    keys = (bytes(16),) * 3
    paths = [
        saved(SoftwareCard.blank(c, keys), tmp_path / f"{n}.card") for n, c in enumerate(chips)
    ]
    with neighbours() as (first, second):
        port = first.getsockname()[1]
        running.append(each := Running(*paths, "--port", port, "--json"))
        for listener, chip in zip((first, second), chips, strict=True):
            connection, _ = listener.accept()
            with connection:
                assert chip in Driver(connection).ask(GET_ATR)
        code, out, _ = each.stop(signal.SIGTERM)
    assert code == Exit.GOOD
    assert json.loads(out)["cards"] == [
        {"file": str(path), "chip": chip.hex().upper(), "port": port + number}
        for number, (path, chip) in enumerate(zip(paths, chips, strict=True))
    ]


def test_run_has_faults_happen_and_writes_a_trace(tmp_path: Path, running: list[Running]) -> None:
    path = saved(personalized_card(), tmp_path / "a.card")
    with listening() as listener:
        words = ("--port", listener.getsockname()[1], "--trace", tmp_path / "trace.jsonl")
        running.append(each := Running(path, *words, "--fault", "lost:apdu=2"))
        connection, _ = listener.accept()
        with connection:
            driver = Driver(connection)
            assert driver.ask(SELECT_DDF1) == H("9000")
            lines = (tmp_path / "trace.jsonl").read_text("utf-8").splitlines()
            assert [json.loads(line)["name"] for line in lines] == ["SELECT"]
            assert S_IMODE((tmp_path / "trace.jsonl").stat().st_mode) == 0o600
            driver.send(H("0020000006") + PIN.encode("ascii"))
            assert driver.hung_up()
        assert each.line() == f"{path}, port {words[1]}: {INSERTED}"
        assert "no reply: lost:apdu=2" in each.line()
        assert each.stop(signal.SIGTERM)[0] == Exit.GOOD
    lines = (tmp_path / "trace.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["SELECT", "VERIFY"]


def test_run_ends_with_the_fault_of_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a terminal sends may raise; if it does after all, the command says so and ends."""
    path = saved(blank_card(), tmp_path / "a.card")

    def fail(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(SoftwareCard, "transmit", fail)
    with listening() as listener:

        def ask() -> None:
            connection, _ = listener.accept()
            with connection:
                Driver(connection).send(SELECT_DDF1)
                connection.recv(1)

        terminal = threading.Thread(target=ask)
        terminal.start()
        ran = rhcard("emulator", "run", path, "--port", listener.getsockname()[1])
        terminal.join(10)
    assert ran.code == Exit.INTERNAL
    assert "ZeroDivisionError" in ran.err
    SoftwareCard.open(path).close()


def test_a_card_of_the_command_line_is_in_the_reader_of_any_program(
    tmp_path: Path, pcscd: Pcscd, running: list[Running]
) -> None:
    path = saved(personalized_card(), tmp_path / "a.card")
    running.append(each := Running(path))
    assert CHIP in wait_for_card(0, 20).atr
    assert each.line() == f"{path}, port {FIRST_PORT}: {INSERTED}"
    with open_reader(0) as connection:
        connection.transmit(SELECT_DDF1)
        for digits in ("000000", "000001"):
            connection.transmit(H("0020000006") + digits.encode("ascii"))
    pcscd.restart()
    assert CHIP in wait_for_card(0, 20).atr
    assert each.stop(signal.SIGINT)[0] == Exit.GOOD
    wait_until(lambda: not find_reader(0).atr, 5)
    card = SoftwareCard.open(path)
    card.transmit(SELECT_DDF1)
    assert card.transmit(H("00200000")) == H("63C1")
    card.close()
