"""A host of version 2 and the other side of it, written from the specification."""

import pytest

from cardlib.apdu import ResponseAPDU
from cardlib.crypto import BlockCipher, Cipher
from cardlib.errors import ChannelError
from cardlib.keys import CardKeys
from cardlib.keys.mutual import SoftwareAuthentication
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging.iso import SecureMessaging, cmac_suite
from tests.oracles import v2 as ref

H = bytes.fromhex
CHIP, REGION, VERSION = H("5248430000000001"), b"41000000", 3
ROOT = H("00112233445566778899AABBCCDDEEFF")
RND_IC, RND_IFD = H("A1B2C3D4E5F60718"), H("0123456789ABCDEF")
K_IFD, K_IC = bytes(range(0x40, 0x50)), bytes(range(0x90, 0xA0))
NAME = "RK1_DF02"
KEY = KEY_BY_NAME[NAME]
SESSION = (bytes(range(16)), bytes(range(16, 32)))


def card_key(e: str, levels: int = 2) -> bytes:
    """The specification's words: root, region, chip."""
    parent = ref.diversify(e, ROOT, REGION) if levels == 2 else ROOT
    return ref.diversify(e, parent, CHIP)


def card_keys(cipher: Cipher, *names: str) -> CardKeys:
    roots = dict.fromkeys(names or (NAME,), ROOT)
    return SoftwareKeySet(roots, 2, cipher, VERSION).for_card(CHIP, REGION)


class Randoms:
    """RND.IFD, then K.IFD, of fixed bytes."""

    def __init__(self) -> None:
        self.left = [RND_IFD, K_IFD]

    def __call__(self, size: int) -> bytes:
        value = self.left.pop(0)
        assert len(value) == size
        return value


def c1(cipher: Cipher) -> bytes:
    """What a 2.0 card's FCI says: spec, cipher, key version."""
    return bytes((0x20, {Cipher.SM4: 1, Cipher.AES: 2}[cipher], VERSION))


def b_of(cipher: Cipher) -> bytes:
    return ref.binding(H("DF02"), KEY.reference, c1(cipher))


def attempt(cipher: Cipher) -> SoftwareAuthentication:
    return SoftwareAuthentication(cipher, card_key(cipher.name), RND_IC, b_of(cipher), Randoms())


def messaging(cipher: Cipher) -> SecureMessaging:
    enc, mac = (BlockCipher(cipher, key) for key in SESSION)
    return SecureMessaging(cmac_suite(enc, mac))


REPLY = ref.reply("AES", SESSION, 2, 0xB0, b"twenty bytes of data", 0x9000)


def waiting(ins: int = 0xB0) -> SecureMessaging:
    host = messaging(Cipher.AES)
    host.protect(0x00, ins, 0, 0, le=256)
    return host


def refused(reply: bytes, ins: int = 0xB0) -> str:
    """The one error that every alteration gives; the session is over after it."""
    host = waiting(ins)
    with pytest.raises(ChannelError) as error:
        host.unwrap(ResponseAPDU.parse(reply))
    assert not host.is_open
    with pytest.raises(ChannelError, match="over"):
        host.protect(0x00, 0xB0, 0, 0)
    with pytest.raises(ChannelError):
        host.unwrap(ResponseAPDU.parse(REPLY))
    return str(error.value)
