"""A terminal in a process of its own: it reads one reader's card again and again.

Its words are the reader's name and how often. It says that it has the card, waits for a line,
reads, and prints as JSON what it read each time, and when it began and ended (CLOCK_MONOTONIC).
"""

import json
import sys
import time

from cardlib.card import ResidentHealthCard
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.transport.pcsc import open_reader


def main(reader: str, times: str) -> None:
    keys = KeyStore(public_test_roots(2)).terminal_keys
    with open_reader(reader) as connection:
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.readline()
        found, begin = [], time.monotonic()
        for _ in range(int(times)):
            connection.reset()
            card = ResidentHealthCard(connection, keys)
            card.authenticate("RK1_DF02")
            values = {each.field.name: each.text for each in card.read("DDF1/DF02/EF05")}
            found.append([bytes(card.identify().chip).hex().upper(), values["abo_blood_group"]])
        end = time.monotonic()
    print(json.dumps({"found": found, "begin": begin, "end": end}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
