"""Cards with which something is wrong: somebody else's, changed blanks, and disturbed ones."""

from collections.abc import Callable

from cardlib import commands
from cardlib.apdu import CommandAPDU
from cardlib.emulator import SoftwareCard
from cardlib.exchange import Connection, send
from cardlib.facts import SECURITY_DOMAIN
from cardlib.issuance import LEVEL, put_key_command
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel

ADDED_VERSION = 0x30


class Foreign:
    """A card of somebody else: no chip serial of ours in its ATR. It keeps what it `received`."""

    atr = bytes.fromhex("3B00")

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def reset(self) -> bytes:
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        self.received.append(command)
        return bytes.fromhex("6D00")


class Disturbed:
    """A card at whose command of a number something happens before it answers."""

    def __init__(self, card: Connection, number: int, happens: Callable[[], None]) -> None:
        self._card, self._left, self._happens = card, number, happens

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def transmit(self, command: bytes) -> bytes:
        self._left -= 1
        if self._left == 0:
            self._happens()
        return self._card.transmit(command)

    def reset(self) -> bytes:
        return self._card.reset()


def with_added_key_set(card: SoftwareCard, keys: KeyStore) -> SoftwareCard:
    """A blank to which another program, which has its transport keys, added a key set (P1=00)."""
    transport = keys.transport_keys(card.chip)
    send(card.transmit, commands.select_application(SECURITY_DOMAIN))
    channel = Scp03Channel.open(card.transmit, transport, LEVEL)
    added = SoftwareScp03Keys(ADDED_VERSION, *[bytes([9]) * 16] * 3)
    command = bytearray(bytes(put_key_command(ADDED_VERSION, added, transport)))
    command[2] = 0
    assert channel.send(CommandAPDU.parse(bytes(command))).ok
    assert set(card.state.key_sets) == {transport.key_version, ADDED_VERSION}
    return card
