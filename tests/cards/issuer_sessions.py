"""The issuer's SCP03 session on a personalized card, for tests of administrative commands."""

from cardlib.apdu import CommandAPDU
from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.tlv import ber, concatenate

ROOTS = public_test_roots(1)
STORE = KeyStore(ROOTS)


class Issuer:
    """A card and an open session with it; commands in hex, the session's class is added."""

    def __init__(self, card: SoftwareCard | None = None, level: int = 0x33) -> None:
        self.card = card or personalized_card(ROOTS)
        self.level = level
        self.open()

    def open(self) -> None:
        keys = STORE.issuer_keys(CHIP)
        self.channel = Scp03Channel.open(self.card.transmit, keys, self.level)

    def power_cycle(self) -> None:
        self.card.reset()
        self.open()

    def send(
        self, header: str, data: bytes | str = b"", le: int | None = None
    ) -> tuple[bytes, int]:
        body = bytes.fromhex(data) if isinstance(data, str) else data
        cla, ins, p1, p2 = bytes.fromhex(header)
        reply = self.channel.send(CommandAPDU(cla, ins, p1, p2, body, le))
        return reply.data, reply.sw

    def sw(self, header: str, data: bytes | str = b"") -> int:
        reply, sw = self.send(header, data)
        assert not reply
        return sw

    def select(self, path: str) -> int:
        """By path from the MF, asking for nothing."""
        return self.sw("00A4080C" if path else "00A4000C", path)

    def create(self, template: bytes) -> int:
        return self.sw("00E00000", template)


def with_life_cycle(life_cycle: LifeCycle, options: CardOptions | None = None) -> SoftwareCard:
    return personalized_card(ROOTS, life_cycle=life_cycle, options=options)


def fcp(
    fid: str,
    descriptor: str,
    size: int = 0,
    *,
    name: str = "",
    extra: tuple[int, bytes] | None = None,
) -> bytes:
    """An FCP template: descriptor 82, identifier 83, size 80, name 84, another object."""
    parts = [(0x82, bytes.fromhex(descriptor)), (0x83, bytes.fromhex(fid))]
    parts += [(0x80, size.to_bytes(2, "big"))] if size else []
    parts += [(0x84, bytes.fromhex(name))] if name else []
    return ber(0x62, concatenate([*parts, extra] if extra else parts))
