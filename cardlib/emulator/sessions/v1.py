"""Secure messaging version 1 on the card (card specification 4)."""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BlockCipher, diversify, fold, pad, unpad
from ...errors import FormatError
from ...layout import KeySpec
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..profile.card_state import KEY_TRIES, StoredKey
from .card_interface import Card
from .logical_channel import LogicalChannel

MAC_LENGTH = 4


def process_key(key: StoredKey, challenge: bytes) -> BlockCipher:
    """Derive the process key of an 8-byte challenge: diversify(card key, challenge)."""
    return BlockCipher(key.cipher, diversify(key.block_cipher(), challenge))


def authentication_cryptogram(key: BlockCipher, data8: bytes) -> bytes:
    """Calculate the cryptogram: E_PK(data8 ‖ 00*8) with its halves xored, 8 bytes."""
    return fold(key.encrypt_ecb(data8 + bytes(8)))


def usable_key(card: Card, spec: KeySpec) -> StoredKey:
    """Return a card key that has tries left, after spending one in memory. Refuses with 6983."""
    key = card.state.card_key(spec)
    if key is None:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no {spec.name} on the card")
    if not key.tries:
        raise Refusal(StatusWord.AUTHENTICATION_METHOD_BLOCKED, f"{spec.name} has no tries left")
    card.state.set_key_tries(spec, key.tries - 1)
    card.memory.commit()
    return key


def unprotect(card: Card, channel: LogicalChannel, command: CommandAPDU, spec: KeySpec) -> bytes:
    """Check the MAC of a protected command and return its plain data.

    Refuses with 6984 without a challenge, with 6987 without a MAC, with 6988 if the MAC or the
    padding is wrong. A wrong MAC spends a try of the key.
    """
    challenge, channel.used_challenge = channel.used_challenge, None
    if challenge is None:
        raise Refusal(StatusWord.REFERENCE_DATA_NOT_USABLE, "send GET CHALLENGE first")
    if command.is_extended:
        raise Refusal(StatusWord.WRONG_LENGTH, "version 1 protects only short commands")
    if len(command.data) < MAC_LENGTH:
        raise Refusal(StatusWord.SM_DATA_OBJECT_MISSING, "needs a MAC")
    body, mac = command.data[:-MAC_LENGTH], command.data[-MAC_LENGTH:]
    key = process_key(usable_key(card, spec), challenge)
    message = command.header + bytes((len(command.data),)) + body
    if not compare_digest(key.cbc_mac(pad(message))[:MAC_LENGTH], mac):
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, f"wrong MAC under {spec.name}")
    # Committed even if the command is refused later: only a wrong MAC spends a try.
    card.state.set_key_tries(spec, KEY_TRIES)
    card.memory.commit()
    return _decrypt(key, body) if body else b""


def _decrypt(key: BlockCipher, body: bytes) -> bytes:
    try:
        plain = unpad(key.decrypt_ecb(body))
    except FormatError as error:
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, str(error)) from None
    if not plain or plain[0] != len(plain) - 1:
        raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "wrong length byte in the data")
    return plain[1:]
