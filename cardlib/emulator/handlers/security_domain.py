"""Commands of the issuer security domain (GPC 2.3.1 11; Amendment D 7.1).

INITIALIZE UPDATE and EXTERNAL AUTHENTICATE open a session of `sessions.scp03`. Commands that change
the card's life cycle need the issuer's session (`sessions.issuer_session`; card specification 6).
"""

from collections.abc import Callable
from dataclasses import replace
from hmac import compare_digest
from types import MappingProxyType

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, Cipher, key_check_value
from ...errors import FormatError
from ...facts import HEALTH_APPLICATION, SECURITY_DOMAIN
from ...layout import KEYS
from ...status import OK, StatusWord
from ...tlv import iter_ber
from ..chip.refusal import Refusal
from ..profile.card_state import KEY_SET_SLOTS, KEY_TRIES, LifeCycle, StoredKeySet
from ..sessions.card_interface import Card
from ..sessions.issuer_session import (
    issuer_session,
    open_session,
    refuse_replaced_transport_keys,
)
from ..sessions.logical_channel import LogicalChannel
from ..sessions.scp03 import LEVELS, Scp03Session, card_challenge
from .registry import get_status
from .store_data import store_data

_SM_BITS, _SECURE_MESSAGING = 0x0C, 0x04
_MAX_SEQUENCE_COUNTER = 0xFFFFFF
_NEW_KEY_SET, _THREE_KEYS = 0x00, 0x81
_AES_KEY, _KCV_LENGTH = 0x88, 3
_KEY_VERSION_TAG = 0xD2
_ISSUER_SECURITY_DOMAIN = 0x80
_CARD_LOCKED, _TERMINATED = 0x7F, 0xFF


def initialize_update(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Begin a session: P1 is the key version (00: the first), the data is the host challenge.

    The answer is chip8 ‖ 0000 ‖ version ‖ 03 ‖ i ‖ challenge ‖ cryptogram [‖ counter3]. Any open
    session ends, even if this command is refused (Amendment D 5.6, 7.1.1).
    """
    channel.scp03 = channel.load = None
    options = card.options
    size = options.scp03_challenge_length
    if command.cla & _SM_BITS:
        raise Refusal(StatusWord.SECURE_MESSAGING_NOT_SUPPORTED, "send it in class 80, in clear")
    if command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 (key identifier) must be 00")
    if len(command.data) != size:
        raise Refusal(StatusWord.WRONG_LENGTH, f"the host challenge must have {size} bytes")
    keys = _key_set(card, command.p1)
    if options.scp03_random_challenge:
        challenge, counter = card.random(size), b""
    else:
        counter = _next_counter(card)
        aid = SECURITY_DOMAIN if channel.security_domain_selected else HEALTH_APPLICATION
        challenge = card_challenge(keys.enc, counter, aid, size)
    session = Scp03Session(keys, command.data, challenge)
    channel.scp03 = session
    information = card.chip + bytes((0, 0, keys.version, 0x03, options.scp03_i))
    return information + challenge + session.card_cryptogram + counter + OK


def _key_set(card: Card, version: int) -> StoredKeySet:
    sets = card.state.key_sets
    found = sets.get(version) if version else next(iter(sets.values()), None)
    if found is None:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no key set {version:02X}")
    return found


def _next_counter(card: Card) -> bytes:
    """Increase the sequence counter in memory before it is used (Amendment D 6.2.2.1)."""
    counter = card.state.sequence_counter + 1
    if counter > _MAX_SEQUENCE_COUNTER:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the sequence counter is used up")
    card.state.sequence_counter = counter
    card.memory.commit()
    return counter.to_bytes(3, "big")


def external_authenticate(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Open the session at level P1: host cryptogram ‖ C-MAC (Amendment D 7.1.2).

    One INITIALIZE UPDATE allows one try. 15 wrong tries in a row block the key set (6983).
    """
    session, channel.scp03 = channel.scp03, None
    if session is None or session.level or session.aborted:
        channel.scp03 = session
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "send INITIALIZE UPDATE first")
    if command.cla & _SM_BITS != _SECURE_MESSAGING:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs a C-MAC: class 84")
    if command.p1 not in LEVELS or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 01, 03, 11, 13 or 33; P2 must be 00")
    if len(command.data) != 2 * session.mac_length:
        raise Refusal(StatusWord.WRONG_LENGTH, f"needs {2 * session.mac_length} bytes of data")
    keys = _key_set(card, session.key_version)
    if not keys.tries:
        raise Refusal(StatusWord.AUTHENTICATION_METHOD_BLOCKED, "the key set has no tries left")
    _set_tries(card, keys, keys.tries - 1)
    card.memory.commit()
    session.authenticate(command)
    _set_tries(card, keys, KEY_TRIES)
    card.memory.commit()
    channel.scp03 = session
    return OK


def _set_tries(card: Card, keys: StoredKeySet, tries: int) -> None:
    card.state.key_sets = card.state.key_sets | {keys.version: replace(keys, tries=tries)}


def put_key(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace key set P1 (00: add one) by three AES keys; answer version ‖ 3 check values.

    The data is the version and three times 88 ‖ length ‖ key length ‖ CBC(DEK, key padded with 00)
    ‖ 03 ‖ KCV3 (Amendment D 7.2). Older hosts leave out the key length of a 16-byte key.
    """
    session = open_session(channel)
    refuse_replaced_transport_keys(card, session)
    if command.p2 != _THREE_KEYS:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 81: three keys from identifier 1")
    sets = card.state.key_sets
    if command.p1 != _NEW_KEY_SET and command.p1 not in sets:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no key set {command.p1:02X}")
    new, check_values = _parse_key_set(session, command.data)
    if new.version != command.p1 and new.version in sets:
        raise Refusal(StatusWord.INCORRECT_DATA, f"key set {new.version:02X} exists already")
    kept = [new if version == command.p1 else keys for version, keys in sets.items()]
    if command.p1 == _NEW_KEY_SET:
        kept.append(new)
    if len(kept) > KEY_SET_SLOTS:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY, f"at most {KEY_SET_SLOTS} key sets fit")
    card.state.key_sets = {keys.version: keys for keys in kept}
    return bytes((new.version,)) + check_values + OK


def delete_key(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Delete a key set (D2 01 version) in the issuer's session; the last one is refused (6985).

    If it is the set that opened the session, the session ends after the reply (GPC 2.3.1 11.2).
    """
    session = open_session(channel)
    refuse_replaced_transport_keys(card, session)
    issuer_session(channel)
    if command.p1 or command.p2 not in (0x00, 0x01):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00, P2 must be 00 or 01")
    version, sets = _version_to_delete(command.data), card.state.key_sets
    if version not in sets:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no key set {version:02X}")
    if len(sets) == 1:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the last key set cannot be deleted")
    card.state.key_sets = {v: keys for v, keys in sets.items() if v != version}
    card.memory.commit()
    for other in card.channels.values():
        if other is not channel and other.scp03 and other.scp03.key_version == version:
            other.scp03 = other.load = None
    channel.session_ends = version == session.key_version
    return OK


def _version_to_delete(data: bytes) -> int:
    try:
        objects = [(tlv.tag, tlv.value) for tlv in iter_ber(data)]
    except FormatError as error:
        raise Refusal(StatusWord.INCORRECT_DATA, str(error)) from None
    if len(objects) != 1 or objects[0][0] != _KEY_VERSION_TAG or len(objects[0][1]) != 1:
        raise Refusal(StatusWord.INCORRECT_DATA, "needs only D2 01 and the version of a key set")
    return objects[0][1][0]


def _parse_key_set(session: Scp03Session, data: bytes) -> tuple[StoredKeySet, bytes]:
    if not data or not 0x01 <= data[0] <= 0x7F:
        raise Refusal(StatusWord.INCORRECT_DATA, "a new key version must be 01..7F")
    keys, check_values, offset = [], b"", 1
    for _ in range(3):
        key, offset = _parse_key(session, data, offset)
        keys.append(key)
        check_values += data[offset - _KCV_LENGTH : offset]
    if offset != len(data) or len({len(key) for key in keys}) != 1:
        raise Refusal(StatusWord.INCORRECT_DATA, "needs three keys of one length")
    return StoredKeySet(data[0], keys[0], keys[1], keys[2], KEY_TRIES), check_values


def _parse_key(session: Scp03Session, data: bytes, offset: int) -> tuple[bytes, int]:
    """Decode one key of PUT KEY; return it and the offset after it. Refuses with 6A80."""
    head, start = data[offset : offset + 2], offset + 2
    end = start + (head[1] if len(head) == 2 else 0)
    tail = data[end : end + 1 + _KCV_LENGTH]
    if head[:1] != bytes((_AES_KEY,)) or len(tail) != 1 + _KCV_LENGTH or tail[0] != _KCV_LENGTH:
        raise Refusal(StatusWord.INCORRECT_DATA, "each key must be 88, length, value, 03, KCV3")
    value = data[start:end]
    if len(value) == BLOCK_SIZE:
        size, encrypted = BLOCK_SIZE, value
    else:
        size, encrypted = value[0] if value else 0, value[1:]
    if size not in (16, 24, 32) or len(encrypted) != -(-size // BLOCK_SIZE) * BLOCK_SIZE:
        raise Refusal(StatusWord.INCORRECT_DATA, "a key must have 16, 24 or 32 bytes")
    padded = session.decrypt_dek(encrypted)
    key = padded[:size]
    check_value = key_check_value(Cipher.AES, key)
    if any(padded[size:]) or not compare_digest(check_value, tail[1:]):
        raise Refusal(StatusWord.INCORRECT_DATA, "the key check value is wrong")
    return key, end + 1 + _KCV_LENGTH


def set_status(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Block (7F, from ACTIVE) or terminate (FF, from any state) the card. It cannot be undone."""
    issuer_session(channel)
    if command.p1 != _ISSUER_SECURITY_DOMAIN:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 80: the card itself")
    if command.p2 == _TERMINATED:
        card.state.life_cycle = LifeCycle.TERMINATED
    elif command.p2 == _CARD_LOCKED and card.state.life_cycle == LifeCycle.ACTIVE:
        card.state.life_cycle = LifeCycle.BLOCKED
    else:
        why = "P2 must be FF, or 7F on an ACTIVE card"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    return OK


def activate(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Make a PERSONALIZED card ACTIVE, in the issuer's session (card specification 7)."""
    issuer_session(channel)
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    if card.state.life_cycle != LifeCycle.PERSONALIZED:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the card must be PERSONALIZED")
    card.state.life_cycle = LifeCycle.ACTIVE
    return OK


def reset_key_tries(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Reset the tries of the card key with SAM key id P2, in the issuer's session."""
    issuer_session(channel)
    if command.p1:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00")
    if command.data:
        raise Refusal(StatusWord.WRONG_LENGTH, "send no data")
    spec = next((key for key in KEYS if key.sam_key_id == command.p2), None)
    if spec is None or card.state.card_key(spec) is None:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no card key {command.p2:02X}")
    card.state.set_key_tries(spec, KEY_TRIES)
    return OK


COMMANDS: MappingProxyType[
    int, Callable[[Card, LogicalChannel, CommandAPDU], bytes]
] = MappingProxyType({
    0x2C: reset_key_tries,
    0x44: activate,
    0x50: initialize_update,
    0x82: external_authenticate,
    0xD8: put_key,
    0xE2: store_data,
    0xE4: delete_key,
    0xF0: set_status,
    0xF2: get_status,
})  # fmt: skip
"""The handlers of class 80 and 84, by INS."""
