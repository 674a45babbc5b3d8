"""Card images that were changed by somebody who also put every checksum right.

Such an image is refused when it is opened, or its card answers every command with a status word:
no Python exception leaves `transmit`, and no command takes longer than `MAX_SECONDS`.
"""

import signal
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from traceback import format_exc

from cardlib.emulator import CardImageError, SoftwareCard
from cardlib.emulator.bench.inspection import inspect
from cardlib.emulator.chip.image import create
from cardlib.emulator.chip.memory import JOURNAL_PAGE, PAGE_SIZE
from cardlib.emulator.profile.card_state import with_checksum
from tests.attacks.fuzz.cards import KINDS, make
from tests.attacks.fuzz.oracle import Problem, Watched
from tests.attacks.fuzz.terminal import Terminal

MAX_SECONDS = 5
APDUS = 40
_STATE_PAGES = range(16)
_CHECKED = [(0, 28), (0x100, 10), *((0x200 + 32 * n, 19) for n in range(30)),
            *((0x800 + 128 * n, 99) for n in range(4))]  # fmt: skip
"""Address and length of everything in memory that a CRC-16 follows."""
_LAST_PAGE = 0xFFFFFFFF
_BYTES = (0x00, 0x01, 0x02, 0x10, 0x20, 0x7F, 0x80, 0xFE, 0xFF)

Pages = dict[int, bytes]


def _with(pages: Pages, address: int, data: bytes) -> None:
    number, offset = divmod(address, PAGE_SIZE)
    old = pages.get(number, b"\xff" * PAGE_SIZE)
    pages[number] = (old[:offset] + data + old[offset + len(data) :])[:PAGE_SIZE]


def _some_page(pages: Mapping[int, bytes], rng: Random) -> int:
    """A written page; half of the time one of the card's own state."""
    state = [number for number in pages if number in _STATE_PAGES]
    return rng.choice(state if state and rng.random() < 0.5 else list(pages))


def one_bit(pages: Pages, rng: Random) -> None:
    number, bit = _some_page(pages, rng), rng.randrange(8 * PAGE_SIZE)
    _with(pages, number * PAGE_SIZE + bit // 8, bytes((pages[number][bit // 8] ^ 1 << bit % 8,)))


def one_byte(pages: Pages, rng: Random) -> None:
    at = _some_page(pages, rng) * PAGE_SIZE + rng.choice((rng.randrange(32), rng.randrange(256)))
    _with(pages, at, bytes((rng.choice(_BYTES),)))


def checked_bytes(pages: Pages, rng: Random) -> None:
    """A byte of a key, the PIN, a key set or the header."""
    address, length = rng.choice(_CHECKED)
    _with(
        pages, address + rng.randrange(length), bytes((rng.choice((*_BYTES, rng.randrange(256))),))
    )


def a_run(pages: Pages, rng: Random) -> None:
    at, length = _some_page(pages, rng) * PAGE_SIZE + rng.randrange(PAGE_SIZE), rng.randrange(64)
    _with(pages, at, rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length)))


def another_page(pages: Pages, rng: Random) -> None:
    pages[_some_page(pages, rng)] = pages[_some_page(pages, rng)]


def no_page(pages: Pages, rng: Random) -> None:
    del pages[_some_page(pages, rng)]


def a_new_page(pages: Pages, rng: Random) -> None:
    near = min(_some_page(pages, rng) + rng.choice((-1, 1, 2)), _LAST_PAGE)
    number = rng.choice(
        (max(near, 0), 0x1000 + rng.randrange(64), rng.randrange(1 << 16), _LAST_PAGE)
    )
    pages[number] = rng.choice((rng.randbytes(PAGE_SIZE), pages[_some_page(pages, rng)]))


def a_journal(pages: Pages, rng: Random) -> None:
    """A journal of a commit that never was, valid by its checksum."""
    stream = b""
    for _ in range(rng.randrange(1, 4)):
        page = rng.choice((_some_page(pages, rng), rng.randrange(1 << 16), JOURNAL_PAGE)) & 0xFFFF
        was, length = rng.choice((0, 1, 1, 2)), rng.choice((PAGE_SIZE, 0, 1, rng.randrange(600)))
        stream += page.to_bytes(2, "big") + bytes((was,)) + rng.randbytes(length)
    for index in range(0, len(stream), PAGE_SIZE):
        part = stream[index : index + PAGE_SIZE].ljust(PAGE_SIZE, b"\xff")
        pages[JOURNAL_PAGE + 1 + index // PAGE_SIZE] = part
    length = rng.choice((len(stream), len(stream), 1 << 31))
    header = b"RHJ1" + length.to_bytes(4, "big") + zlib.crc32(stream).to_bytes(4, "big")
    pages[JOURNAL_PAGE] = header.ljust(PAGE_SIZE, b"\xff")


MUTATE: tuple[Callable[[Pages, Random], None], ...] = (
    one_bit, one_byte, checked_bytes, a_run, another_page, no_page, a_new_page, a_journal,
)  # fmt: skip


def mutated(pages: Mapping[int, bytes], rng: Random) -> Pages:
    """Change pages in one to four ways, and put the checksums in them right."""
    changed = dict(pages)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(MUTATE)(changed, rng)
    for address, length in _CHECKED:
        number, offset = divmod(address, PAGE_SIZE)
        value = changed.get(number, b"")[offset : offset + length]
        if value.strip(b"\xff"):
            _with(changed, address, with_checksum(value))
    return changed


class Unjudged(Watched):
    """Sends commands to a card of which only form and time of the answers are judged."""

    def __init__(self, kind: str, card: SoftwareCard) -> None:
        super().__init__(kind, 0)
        self.card = card

    def proved(self, number: int, key: str) -> None:
        """Which rights are held is not judged."""

    def check_content(self, number: int, data: bytes) -> None:
        """What is in a file that somebody changed is not judged."""

    def transmit(self, raw: bytes) -> bytes:
        self.history.append(raw.hex().upper())
        self.apdus += 1
        with _in_time():
            try:
                reply = self.card.transmit(raw)
            except Problem:
                raise
            except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
                raise Problem(f"{raw.hex().upper()}: {format_exc(limit=-4)}") from None
        self._check_form(reply)
        return reply


@contextmanager
def _in_time() -> Iterator[None]:
    def too_late(*_: object) -> None:
        raise Problem(f"no answer within {MAX_SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(path: Path, seed: int) -> bool:
    """Change an image, write it to `path`, open it and drive its card; False if it was refused.

    Raises Problem when something happened that must not.
    """
    rng = Random(seed)
    kind = rng.choice(list(KINDS))
    create(path, mutated(make(kind, 0).memory.pages, rng)).close()
    try:
        return _drive(path, kind, rng)
    except Problem as problem:
        raise Problem(f"image {seed} ({kind}): {problem}") from None
    except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
        raise Problem(f"image {seed} ({kind}): {format_exc(limit=-4)}") from None


def _drive(path: Path, kind: str, rng: Random) -> bool:
    """Open an image, and do with its card what is done with cards; False if it was refused."""
    with _in_time():
        try:
            card = SoftwareCard.open(path)
        except CardImageError:
            return False
    try:
        inspect(card)
        unjudged = Unjudged(kind, card)
        terminal = Terminal(unjudged, rng)
        while unjudged.apdus < APDUS:
            terminal.step()
        unjudged.reset()
        unjudged.transmit(bytes.fromhex("00A40000023F0000"))
    finally:
        card.close()
    return True
