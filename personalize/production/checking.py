"""Check one card of a batch: before its activation, and when the batch is verified."""

from cardlib.checks.findings import CardCheck
from cardlib.checks.verify import verify_card
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial, Pin
from cardlib.keys import KeySet
from cardlib.keys.issuer import Issuer
from cardlib.layout.load import records

from ..preparation.prepared import PreparedCard

SAMPLE_NUMBER = 1
"""The number of the card that is always checked in full: one of each batch."""


def check_card(
    connection: Connection,
    issuer: Issuer,
    card: PreparedCard,
    chip: ChipSerial,
    *,
    active: bool,
    pin: Pin | None = None,
    full: bool = False,
    keys: KeySet | None = None,
) -> CardCheck:
    """Compare a card with what was prepared; in full if wanted, and always the first of a batch.

    `pin` and `full` are as in `verify_card`. `keys` are those of a SAM, in the place of the
    issuer's. Raises TransportError.
    """
    return verify_card(
        connection,
        keys or issuer.terminal_keys,
        records(card.groupings, chip),
        chip,
        active=active,
        pin=pin,
        full=full or card.number == SAMPLE_NUMBER,
    )
