"""What keys cost: the card keys of a card beside bare blocks, groupings, SoftHSM and the agent.

A bare block is one block in a kept ECB context of `cryptography`, in the same run. Card keys are
measured as a bureau derives them: a new chip each time, in a region that was there before.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from cryptography.hazmat.primitives.ciphers import Cipher as BareCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from benchmarks.key_agent import agent_figures
from benchmarks.rates import rates
from benchmarks.reading import reading_figures
from benchmarks.report import Bar, arguments, report
from benchmarks.soft_token import token_figures
from cardlib.crypto import Cipher
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.keys.store import KeyStore
from cardlib.layout import KEYS

BLOCKS = 6.0
"""The bare blocks that one card key may take."""
PROTOCOL = 2
TOKEN_CARDS = 50
REGION = Region.of_city("41")
NAMES = [key.name for key in KEYS]
Found = tuple[dict[str, float], list[Bar]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    options = arguments(__doc__).parse_args(argv)
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for measure in MEASUREMENTS:
        more_figures, more_bars = measure()
        figures |= more_figures
        bars += more_bars
    return report(figures, bars, as_json=options.json)


def measure_card_keys() -> Found:
    """All 30 card keys of a card, beside 30 bare blocks, and as groupings."""
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for cipher in Cipher:
        found = rates(
            {
                "bare": bare_blocks(cipher, len(NAMES)),
                "card keys": card_keys(cipher),
                "first card keys": first_card_keys(cipher),
                "groupings": groupings(cipher),
            }
        )
        name = f"all card keys {cipher.name}"
        figures[f"{name}, us"] = 1e6 / found.median("card keys")
        figures[f"30 bare blocks {cipher.name}, us"] = 1e6 / found.median("bare")
        figures[f"{name}, roots just read, us"] = 1e6 / found.median("first card keys")
        figures[f"groupings of a card {cipher.name}, us"] = 1e6 / found.median("groupings")
        bars.append(Bar.at_most(f"{name} / 30 blocks", found.ratio("bare", "card keys"), BLOCKS))
    return figures, bars


def bare_blocks(cipher: Cipher, number: int) -> Callable[[], object]:
    """So many single blocks in one kept ECB context."""
    algorithm = algorithms.SM4 if cipher is Cipher.SM4 else algorithms.AES
    encrypt = BareCipher(algorithm(bytes(16)), modes.ECB()).encryptor().update
    block, times = bytes(range(16)), range(number)

    def run() -> None:
        for _ in times:
            encrypt(block)

    return run


def card_keys(cipher: Cipher) -> Callable[[], object]:
    """The 30 keys of a new chip each time."""
    keys = SoftwareKeySet(public_test_roots(PROTOCOL, cipher).card, PROTOCOL, cipher)
    chips = new_chips()
    return lambda: all_keys(keys, next(chips))


def first_card_keys(cipher: Cipher) -> Callable[[], object]:
    """The 30 keys of the first card: ciphers of the roots and of the region are made too."""
    roots = public_test_roots(PROTOCOL, cipher).card
    chips = new_chips()
    return lambda: all_keys(SoftwareKeySet(roots, PROTOCOL, cipher), next(chips))


def all_keys(keys: SoftwareKeySet, chip: ChipSerial) -> list[bytes]:
    """Derive all card keys of a chip. No public method shows them, so this calls a private one."""
    derive = keys.for_card(chip, REGION)._key
    return [derive(name) for name in NAMES]


def groupings(cipher: Cipher) -> Callable[[], object]:
    """Everything of a card that comes from the roots: 30 keys with check values, and the PIN."""
    store, pin, chips = KeyStore(public_test_roots(PROTOCOL, cipher)), Pin("135790"), new_chips()
    return lambda: store.groupings(next(chips), REGION, pin)


def new_chips() -> Iterator[ChipSerial]:
    """Chip serials, one after the other."""
    return (ChipSerial(number.to_bytes(8, "big")) for number in count(0x5248430000000001))


def measure_token() -> Found:
    """All keys of a card with the roots in SoftHSM 2."""
    return token_figures(TOKEN_CARDS)


MEASUREMENTS: tuple[Callable[[], Found], ...] = (
    measure_card_keys,
    measure_token,
    agent_figures,
    reading_figures,
)

if __name__ == "__main__":
    sys.exit(main())
