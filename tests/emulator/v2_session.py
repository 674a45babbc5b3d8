"""A session of version 2 with a software card, and whether it has ended."""

from collections.abc import Callable

from cardlib.crypto import Cipher
from tests.cards.v2_cards import Terminal, card_key
from tests.oracles import v2 as ref

H = bytes.fromhex


def opened(name: str = "RK1_DF02", cipher: Cipher = Cipher.SM4, **options: object) -> Terminal:
    """A session by that key."""
    return Terminal(cipher, **options).authenticate(name)  # type: ignore[arg-type]


def is_over(terminal: Terminal) -> bool:
    """Whether the card has left the session, with all rights: its own words, in clear."""
    return terminal.sw("00A4080C06DDF1DF02EF05") == 0x9000 and terminal.sw("00B2010400") == 0x6982


def spoiled(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


Forge = Callable[[Terminal, bytes], bytes]


def of(first: bytes, b: str, order: str = "T C K", name: str = "RK1_DF02") -> Forge:
    """A cryptogram that is right but for what is said."""

    def make(terminal: Terminal, rnd_ic: bytes) -> bytes:
        parts = {"T": bytes(8), "C": rnd_ic, "K": bytes(16), "O": b"\xa5" * 8}
        randoms = b"".join(parts[part] for part in order.split())
        return ref.cryptogram(terminal.e, card_key(terminal.cipher, name), first, H(b), randoms)

    return make
