"""Version-1 secure messaging, the card's side (card specification, section 4)."""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BlockCipher, diversify, fold, pad, unpad
from ...errors import FormatError
from ...layout import KeySpec
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..profile.card_state import KEY_TRIES, StoredKey
from .context import Card
from .logical_channel import LogicalChannel

MAC_LENGTH = 4


def process_key(key: StoredKey, challenge: bytes) -> BlockCipher:
    """The key of one challenge, 8 bytes: diversify(card key, challenge)."""
    return BlockCipher(key.cipher, diversify(key.block_cipher(), challenge))


def authentication_cryptogram(key: BlockCipher, data8: bytes) -> bytes:
    """E_PK(data8 ‖ 00*8), its halves xored, 8 bytes."""
    return fold(key.encrypt_ecb(data8 + bytes(8)))


def usable_key(card: Card, spec: KeySpec) -> StoredKey:
    """A card key whose counter is not used up; one try is spent in memory before it is used."""
    key = card.state.card_key(spec)
    if key is None:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no {spec.name} on the card")
    if not key.tries:
        raise Refusal(StatusWord.AUTHENTICATION_METHOD_BLOCKED, f"{spec.name} has no tries left")
    card.state.set_key_tries(spec, key.tries - 1)
    card.memory.commit()
    return key


def unprotect(card: Card, channel: LogicalChannel, command: CommandAPDU, spec: KeySpec) -> bytes:
    """Check the MAC of a protected command and give its plain data.

    6984 without a challenge, 6987 without a MAC, 6988 when it or the padding is wrong;
    a wrong MAC counts on the key.
    """
    challenge, channel.used_challenge = channel.used_challenge, None
    if challenge is None:
        raise Refusal(StatusWord.REFERENCE_DATA_NOT_USABLE, "GET CHALLENGE comes first")
    if command.is_extended:
        raise Refusal(StatusWord.WRONG_LENGTH, "version 1 protects short commands only")
    if len(command.data) < MAC_LENGTH:
        raise Refusal(StatusWord.SM_DATA_OBJECT_MISSING, "no MAC")
    body, mac = command.data[:-MAC_LENGTH], command.data[-MAC_LENGTH:]
    key = process_key(usable_key(card, spec), challenge)
    message = command.header + bytes((len(command.data),)) + body
    if not compare_digest(key.cbc_mac(pad(message))[:MAC_LENGTH], mac):
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, f"wrong MAC under {spec.name}")
    # Kept even if the command is refused for another reason: only a wrong MAC counts on the key.
    card.state.set_key_tries(spec, KEY_TRIES)
    card.memory.commit()
    return _decrypt(key, body) if body else b""


def _decrypt(key: BlockCipher, body: bytes) -> bytes:
    try:
        plain = unpad(key.decrypt_ecb(body))
    except FormatError as error:
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, str(error)) from None
    if not plain or plain[0] != len(plain) - 1:
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "wrong inner length")
    return plain[1:]
