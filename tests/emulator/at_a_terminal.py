"""What a terminal sends to a card with faults."""

from cardlib.card import ResidentHealthCard
from cardlib.emulator import (
    FaultyCard,
    SoftwareCard,
)
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.issuance import IssuerSession, personalize
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.cards import cards

H = bytes.fromhex
ROOTS = public_test_roots(1)
STORE = KeyStore(ROOTS)
SELECT, CHALLENGE = H("00A4040005F05248430100"), H("0084000008")


def terminal(card: FaultyCard | SoftwareCard) -> ResidentHealthCard:
    return ResidentHealthCard(card, STORE.terminal_keys, min_protocol=1)


def send(card: FaultyCard, command: bytes = CHALLENGE, times: int = 1) -> bytes:
    reply = b""
    for _ in range(times):
        reply = card.transmit(command)
    return reply


def personalized_by(card: FaultyCard) -> str:
    chip = card.card.chip
    personalize(card, STORE.transport_keys(chip), STORE.issuer_keys(chip), cards.groupings())
    IssuerSession.open(card, STORE.issuer_keys(chip)).activate()
    return "activated"


def opened(card: FaultyCard, level: int) -> Scp03Channel:
    return Scp03Channel.open(card.transmit, STORE.issuer_keys(CHIP), level)
