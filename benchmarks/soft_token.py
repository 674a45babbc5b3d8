"""How long a token takes for one card's keys: SoftHSM 2 in a temporary folder.

One card is what issuing asks for: its transport keys, its issuer's keys and its 30 key groupings.
Run by itself it also prints the bare calls, and the same work with the keys in memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Bar, arguments, report
from cardlib.crypto import Cipher
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.keys import RootKeys
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_keys import TokenKeys
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
BAR_MS = 20.0
_LABEL, _PIN, _OFFICER = "benchmark", "benchmark pin", "benchmark officer"


@contextmanager
def soft_token() -> Iterator[TokenSession]:
    """A session with a new, empty token. The environment of this process names its folder."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, configuration = Path(folder, "tokens"), Path(folder, "softhsm2.conf")
        tokens.mkdir()
        configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        words = ("--init-token", "--free", "--label", _LABEL, "--pin", _PIN, "--so-pin", _OFFICER)
        subprocess.run(["softhsm2-util", *words], check=True, stdout=subprocess.DEVNULL)
        session = TokenSession(MODULE, _LABEL, _PIN)
        yield session
        session.close()


def milliseconds_a_card(keys: RootKeys, cards: int) -> float:
    """The mean time for all SCP03 keys and key groupings of a card; each card has another chip."""
    region, pin = Region.of_city("990100"), Pin("739241")
    keys.groupings(ChipSerial(bytes(8)), region, pin)  # the first card of a region makes its keys
    start = time.perf_counter()
    for number in range(1, cards + 1):
        chip = ChipSerial(number.to_bytes(8, "big"))
        keys.transport_keys(chip)
        keys.issuer_keys(chip)
        keys.groupings(chip, region, pin)
    return (time.perf_counter() - start) / cards * 1000


def token_figures(cards: int) -> tuple[dict[str, float], list[Bar]]:
    """Figures and bars of SoftHSM beside the same roots in memory, for `benchmarks.report`."""
    roots = new_roots(2, Cipher.AES)
    with soft_token() as session:
        version = import_roots(session, "main", roots).version
        in_token = milliseconds_a_card(TokenKeys(session, version), cards)
        label, block = version.label("issuer"), bytes(16)
        figures = {
            "card keys in memory, ms": milliseconds_a_card(KeyStore(roots), cards),
            "C_Encrypt, one block, us": _microseconds(lambda: session.encrypt(label, block)),
            "C_Sign, CMAC, us": _microseconds(lambda: session.cmac(label, block)),
        }
    return figures, [Bar.at_most("card keys in SoftHSM, ms", in_token, BAR_MS)]


def _microseconds(work: Callable[[], object], rounds: int = 200) -> float:
    work()
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.perf_counter() - start) / rounds * 1e6


def main() -> int:
    """Measure, print, and say by the exit code whether the bar is kept."""
    parser = arguments(__doc__)
    parser.add_argument("--cards", type=int, default=50, help="cards whose keys are made")
    options = parser.parse_args()
    figures, bars = token_figures(options.cards)
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
