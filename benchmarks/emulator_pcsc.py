"""The software card through pcscd, beside the smallest virtual card that can be.

Each is served by a process of its own, in a slot of its own of the same virtual reader; one
client sends the same commands to both in turns.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Bar, arguments, report
from cardlib.card import ResidentHealthCard
from cardlib.emulator import CardOptions
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.emulator.profile.answer_to_reset import answer_to_reset
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH
from cardlib.transport.pcsc import PcscConnection, list_readers, open_reader, wait_for_card
from tests.programs.pcscd import SLOTS, CannotStart, missing, running_pcscd, wait_until

SHARE = 0.85
PAIRS = 15
APDUS = 400
HOST, FLOOR_PORT, CARD_PORT = "127.0.0.1", 35963, 35964
_GET_ATR = 4
INSERTION_TIME = 10.0
FILE = "DDF1/EF07"
COMMANDS = {"SELECT": ("00A4000002EF07", 0), "READ BINARY": ("00B0000000", 256)}
"""What is measured, with FILE selected and open to reading, and how many bytes it answers."""


def serve_floor(port: int, size: int) -> None:
    """Answer `size` bytes and 9000 to everything until the reader hangs up."""
    body, atr = bytes(size) + b"\x90\x00", answer_to_reset(CHIP, CardOptions())
    with socket.create_connection((HOST, port)) as reader:
        reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def receive(count: int) -> bytes:
            found = b""
            while len(found) < count:
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                part = reader.recv(count - len(found))
                if not part:
                    sys.exit()
                found += part
            return found

        while True:
            length = int.from_bytes(receive(2), "big")
            message = receive(length)
            if length == 1 and message[0] != _GET_ATR:
                continue
            answer = atr if length == 1 else body
            reader.sendall(len(answer).to_bytes(2, "big") + answer)


def serve_card(port: int) -> None:
    """Serve a personalized software card, in memory, until this process is ended."""
    with VirtualReader(port) as reader:
        reader.insert(personalized_card(public_test_roots(1)))
        while True:
            time.sleep(60)


@contextmanager
def process(call: str) -> Iterator[None]:
    """Another process that runs a function of this module until the block ends."""
    server = subprocess.Popen(
        [sys.executable, "-c", f"from benchmarks import emulator_pcsc as m; m.{call}"],
        cwd=Path(__file__).parents[1],
    )
    try:
        yield
    finally:
        server.kill()
        server.wait()


def slots_are_empty() -> bool:
    """Whether pcscd has noticed that no card is left; it looks every 0.4 s."""
    return not any(reader.atr for reader in list_readers())


def rate(card: PcscConnection, command: bytes) -> float:
    """APDUs a second of one round."""
    start = time.perf_counter()
    for _ in range(APDUS):
        card.transmit(command)
    return APDUS / (time.perf_counter() - start)


def compare(name: str) -> tuple[dict[str, float], Bar]:
    """One command to floor and card in turns; the median of the pairs' ratios."""
    measured, size = COMMANDS[name]
    command = bytes.fromhex(measured)
    wait_until(slots_are_empty, INSERTION_TIME)
    with process(f"serve_floor({FLOOR_PORT}, {size})"), process(f"serve_card({CARD_PORT})"):
        for slot in SLOTS:
            wait_for_card(slot, INSERTION_TIME)
        with open_reader(SLOTS[0]) as floor, open_reader(SLOTS[1]) as card:
            keys = KeyStore(public_test_roots(1)).terminal_keys
            terminal = ResidentHealthCard(card, keys, min_protocol=1)
            terminal.authenticate(FILE_BY_PATH[FILE].read_key)
            terminal.select(FILE)
            assert len(card.transmit(command)) == len(floor.transmit(command)) == size + 2
            pairs = [(rate(floor, command), rate(card, command)) for _ in range(PAIRS + 1)][1:]
    share = statistics.median(ours / theirs for theirs, ours in pairs)
    figures = {
        f"pcscd, {name}, floor, 1/s": statistics.median(theirs for theirs, _ in pairs),
        f"pcscd, {name}, card, 1/s": statistics.median(ours for _, ours in pairs),
    }
    return figures, Bar.at_least(f"pcscd, {name} / floor", share, SHARE)


@contextmanager
def on_one_core() -> Iterator[None]:
    """All processes on one core: on more, chance places them, and rates differ by three."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure_pcsc() -> tuple[dict[str, float], list[Bar]]:
    """Every command through pcscd; nothing where pcscd cannot be started."""
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    if reason := missing():
        print(f"not through pcscd: {reason}", file=sys.stderr)
        return figures, bars
    try:
        with on_one_core(), running_pcscd():
            for name in COMMANDS:
                found, bar = compare(name)
                figures |= found
                bars.append(bar)
    except CannotStart as reason:
        print(f"not through pcscd: {reason}", file=sys.stderr)
    return figures, bars


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    options = arguments(__doc__).parse_args(argv)
    figures, bars = measure_pcsc()
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
