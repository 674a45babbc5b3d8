"""What the key agent costs: its round trip, and cards a second beside the store in this process.

The agent is a process of its own with the published test keys, and its files are on this disk: each
request waits until its log entry is there. Cards are software cards: made, loaded and activated.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from benchmarks.report import Bar, arguments, report
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.errors import KeysUnavailable
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.local import LocalIssuer
from cardlib.issuance.making import HostSession, make_card
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.issuer import CardJob, Issuer, Scp03Set
from cardlib.keys.public_test_keys import public_test_keys
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.load import records
from personalize.listing.photos import PhotoShop
from personalize.preparation.prepare import make_all, read_list, validate_all
from personalize.preparation.prepared import PreparedCard
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE

PIN = Pin("739241")
ROUND_TRIPS, CARDS = 300, 30
_PASSPHRASE = "of the benchmark"
_POLICY = """
stock = "any"
[callers.benchmark]
uid = {uid}
role = ["station", "data-preparation"]
"""
_PROGRAM = "from personalize.cli import main; main()"
_STARTS_IN = 30.0


@contextmanager
def running_agent() -> Iterator[Path]:
    """The socket of an agent with the published test keys, unlocked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        KeyStore.create(folder / "keys.json", _PASSPHRASE, test=True)
        (folder / "policy.toml").write_text(_POLICY.format(uid=os.getuid()), "utf-8")
        socket = folder / "run" / "agent.sock"
        words = ("--policy", folder / "policy.toml", "--store", folder / "keys.json", "--state",
                 folder / "state", "--socket", socket, "--test-keys")  # fmt: skip
        command = [sys.executable, "-c", _PROGRAM, "agent", "run", *map(str, words)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _unlock(AgentConnection(socket))
                yield socket
            finally:
                process.terminate()


def _unlock(connection: AgentConnection) -> None:
    until = time.monotonic() + _STARTS_IN
    while time.monotonic() < until:
        with suppress(KeysUnavailable):
            connection.call("unlock", passphrase=_PASSPHRASE)
            return
        time.sleep(0.05)
    raise TimeoutError("the key agent did not start")


def round_trip_ms(issuer: AgentIssuer) -> float:
    """The mean time of a small request."""
    issuer.holder_hash("1")
    start = time.perf_counter()
    for _ in range(ROUND_TRIPS):
        issuer.holder_hash("1")
    return (time.perf_counter() - start) / ROUND_TRIPS * 1000


def cards_a_second(issuer: Issuer, prepared: list[PreparedCard], first: int) -> float:
    """How many cards are loaded and activated in a second; their chips count from `first`."""
    batch, seconds = uuid4(), 0.0
    for number in range(1, CARDS + 1):
        chip = ChipSerial((first + number).to_bytes(8, "big"))
        source = prepared[number % len(prepared)]
        card = SoftwareCard.blank(chip, public_test_keys(chip)["transport"])
        loaded = records(source.groupings, chip).items()
        start = time.perf_counter()
        make_card(card, issuer, CardJob(batch, number, chip), loaded, source.region, PIN)
        HostSession.open(card, issuer.session(Scp03Set.ISSUER, chip)).activate()
        seconds += time.perf_counter() - start
    return CARDS / seconds


def agent_figures() -> tuple[dict[str, float], list[Bar]]:
    """Figures of the agent beside the same roots in this process, for `benchmarks.report`."""
    local = LocalIssuer(KeyStore(public_test_roots(2, Cipher.SM4)))
    shop, residents = PhotoShop(SAMPLE.parent), read_list(SAMPLE)
    validated = list(validate_all(residents, shop, ISSUE_DATE))
    prepared = list(make_all(validated, shop, local, ISSUE_DATE))
    with running_agent() as socket:
        issuer = AgentIssuer.at(socket)
        cards_a_second(local, prepared, 1 << 20)
        figures = {
            "agent: round trip, ms": round_trip_ms(issuer),
            "agent: cards a second": cards_a_second(issuer, prepared, 1 << 16),
            "in this process: cards a second": cards_a_second(local, prepared, 1 << 17),
        }
    return figures, []


def main() -> int:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    figures, bars = agent_figures()
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
