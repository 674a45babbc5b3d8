"""pyscard's CardMonitor and ReaderMonitor: what they tell, a line of JSON for each event.

Run as a process of its own, for their threads go on; it ends when its stdin is closed.
"""

import json
import sys

from smartcard.CardMonitoring import CardMonitor, CardObserver
from smartcard.ReaderMonitoring import ReaderMonitor, ReaderObserver


def tell(event: str, what: str) -> None:
    sys.stdout.write(json.dumps([event, what]) + "\n")
    sys.stdout.flush()


class Cards(CardObserver):  # type: ignore[misc]  # pyscard has no types
    def update(self, _observable: object, changes: tuple[list[object], list[object]]) -> None:
        for event, cards in zip(("card inserted", "card removed"), changes, strict=True):
            for card in cards:
                tell(event, f"{card.reader} {bytes(card.atr).hex()}")  # type: ignore[attr-defined]


class Readers(ReaderObserver):  # type: ignore[misc]  # pyscard has no types
    def update(self, _observable: object, changes: tuple[list[object], list[object]]) -> None:
        for event, readers in zip(("reader added", "reader removed"), changes, strict=True):
            for reader in readers:
                tell(event, str(reader))


if __name__ == "__main__":
    ReaderMonitor().addObserver(Readers())
    CardMonitor().addObserver(Cards())
    sys.stdin.read()
