"""The software card beside a bare card: APDUs a second, start-up, memory, and through pcscd.

The bare card unpacks the header, looks the instruction up, slices 256 bytes and adds 9000.
Through pcscd the floor is a virtual card that answers the same bytes to everything; that part
runs where pcscd and its virtual reader are installed and may be started.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct

from benchmarks.emulator_pcsc import measure_pcsc
from benchmarks.rates import rates
from benchmarks.report import Bar, arguments, report
from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH
from cardlib.messaging import v1

FLOOR_SHARE = 0.13
START_MS, MORE_MIB = 150.0, 40.0
CARDS = 1000
BATCH = 100
ROUNDS, SLICE_SECONDS = 301, 0.002
STARTS = 15
REGION = b"99000000"
FIRST_ANSWER = """
from cardlib.emulator import SoftwareCard
card = SoftwareCard.blank(bytes(8), (bytes(16), bytes(16), bytes(16)))
assert card.transmit(bytes.fromhex("00A40000")) == b"\\x90\\x00"
"""
RECORDS, BINARY = "DDF1/EF06", "DDF1/EF07"
SELECT_EF = bytes.fromhex("00A4000002EF06")
SELECT_MF = bytes.fromhex("00A40000")
READ_RECORD, READ_BINARY = bytes.fromhex("00B2010400"), bytes.fromhex("00B0000000")


def bare_card() -> Callable[[bytes], bytes]:
    """The floor: `transmit` of a card that can do READ BINARY of 256 bytes and nothing else."""
    unpack, memory = Struct(">BBBB").unpack_from, bytearray(4096)

    def read_binary(p1: int, p2: int) -> bytes:
        offset = p1 << 8 | p2
        return bytes(memory[offset : offset + 256]) + b"\x90\x00"

    table = {0xB0: read_binary}

    def transmit(raw: bytes) -> bytes:
        _, ins, p1, p2 = unpack(raw)
        return table[ins](p1, p2)

    return transmit


def at_file(path: str, cipher: Cipher = Cipher.SM4, *more_keys: str) -> SoftwareCard:
    """A personalized card with a file selected and its read key, and more, authenticated."""
    roots = public_test_roots(1, cipher)
    card = personalized_card(roots)
    terminal = ResidentHealthCard(card, KeyStore(roots).terminal_keys, min_protocol=1)
    for key in (FILE_BY_PATH[path].read_key, *more_keys):
        terminal.authenticate(key)
    terminal.select(path)
    return card


def batch(transmit: Callable[[bytes], bytes], raw: bytes) -> Callable[[], None]:
    """BATCH exchanges in a row, so that the measuring costs next to nothing."""

    def run() -> None:
        for _ in range(BATCH):
            transmit(raw)

    return run


def measure_commands() -> tuple[dict[str, float], list[Bar]]:
    """APDUs a second of one card in this process, in turns with the floor."""
    cards = {
        "SELECT of an EF": (at_file(RECORDS), SELECT_EF),
        "READ RECORD": (at_file(RECORDS), READ_RECORD),
        "READ BINARY of 256 B": (at_file(BINARY), READ_BINARY),
    }
    for name, (card, raw) in cards.items():
        assert card.transmit(raw)[-2:] == b"\x90\x00", name
    candidates = {name: batch(card.transmit, raw) for name, (card, raw) in cards.items()}
    candidates["bare card"] = batch(bare_card(), READ_BINARY)
    found = rates(candidates, ROUNDS, SLICE_SECONDS)
    figures = {f"{name}, 1/s": BATCH * found.median(name) for name in found.rounds}
    bars = [
        Bar.at_least(f"{name} / bare", found.ratio(name, "bare card"), FLOOR_SHARE)
        for name in cards
    ]
    return figures, bars


def protected_update(cipher: Cipher) -> Callable[[], object]:
    """GET CHALLENGE and a protected UPDATE RECORD of 22 bytes: the card's part alone.

    The card's challenges are all alike, so that the message can be made beforehand.
    """
    card = at_file("DDF1/DF02/EF05", cipher, "UK1_DF02")
    card.random = bytes
    keys = KeyStore(public_test_roots(1, cipher)).terminal_keys
    key = keys.for_card(CHIP, REGION).process_key("STK_DF02", bytes(8))
    record = card.transmit(bytes.fromhex("00B2050400"))[:-2]
    get_challenge = bytes(v1.GET_CHALLENGE)
    update = bytes(v1.protect(key, CommandAPDU(0x00, 0xDC, 0x05, 0x04, record)))

    def run() -> bytes:
        card.transmit(get_challenge)
        return card.transmit(update)

    assert run() == b"\x90\x00", card.last_refusal
    return run


def measure_updates() -> dict[str, float]:
    """Protected updates a second, GET CHALLENGE included, for both ciphers."""
    found = rates({cipher.name: protected_update(cipher) for cipher in Cipher}, rounds=31)
    return {f"v1 update, {name}, 1/s": found.median(name) for name in found.rounds}


def measure_start() -> tuple[dict[str, float], list[Bar]]:
    """From the start of a process to a blank card's first answer, in turns with an empty one."""
    times: dict[str, list[float]] = {"": [], FIRST_ANSWER: []}
    for _ in range(STARTS):
        for code, found in times.items():
            start = time.perf_counter()
            _python("-c", code)
            found.append((time.perf_counter() - start) * 1000)
    start_ms = statistics.median(times[FIRST_ANSWER])
    figures = {"empty Python program, ms": statistics.median(times[""])}
    return figures, [Bar.at_most("start to first answer, ms", start_ms, START_MS)]


def _python(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True, capture_output=True, text=True, env=environment,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return done.stdout


def measure_memory() -> tuple[dict[str, float], list[Bar]]:
    """What CARDS cards in one process take more than one card, resident MiB."""
    blank, whole = (
        float(_python("-c", f"from benchmarks.emulator import grow; grow({CARDS}, {kind})"))
        for kind in (False, True)
    )
    figures = {f"{CARDS} blank cards, MiB more": blank}
    return figures, [Bar.at_most(f"{CARDS} personalized cards, MiB more", whole, MORE_MIB)]


def grow(count: int, personalized: bool) -> None:
    """Print by how many MiB this process grows from one card in use to `count` of them."""
    pages = at_file(RECORDS).memory.pages
    cards: list[SoftwareCard] = []
    start = 0
    for number in range(count):
        if personalized:
            # Content of its own for each card, as if it had been read from an image.
            card = SoftwareCard(Memory({page: bytes(bytearray(c)) for page, c in pages.items()}))
        else:
            card = SoftwareCard.blank(number.to_bytes(8, "big"), (bytes(16),) * 3)
        assert card.transmit(SELECT_MF) == b"\x90\x00"
        cards.append(card)
        start = start or _resident_bytes()
    print((_resident_bytes() - start) / 2**20)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    options = arguments(__doc__).parse_args(argv)
    figures, bars = measure_commands()
    figures |= measure_updates()
    for measure in (measure_start, measure_memory, measure_pcsc):
        more_figures, more_bars = measure()
        figures |= more_figures
        bars += more_bars
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
