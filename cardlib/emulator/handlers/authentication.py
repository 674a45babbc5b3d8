"""GET CHALLENGE, INTERNAL AUTHENTICATE, EXTERNAL AUTHENTICATE (card specification 4 and 5)."""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...layout import KeySpec
from ...status import OK, StatusWord
from ..chip.refusal import Refusal, demand_room
from ..filesystem.security_attributes import AUTHENTICATING_ROLES
from ..filesystem.tree import DDF1, KEY_BIT
from ..profile.card_state import KEY_TRIES
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from ..sessions.v1 import authentication_cryptogram, process_key, usable_key
from ..sessions.v2 import SPEC_2_0
from . import authentication_v2
from .authentication_v2 import AUTHENTICATION_LENGTH

CHALLENGE_LENGTH = 8
_V1_LENGTH = 17


def get_challenge(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer 8 random bytes; the next authentication or protected command uses them up."""
    _no_parameters(command)
    demand_room(command.le, CHALLENGE_LENGTH)
    channel.challenge = card.random(CHALLENGE_LENGTH)
    return channel.challenge + OK


def _no_parameters(command: CommandAPDU) -> None:
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")


def internal_authenticate(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Prove that the card holds the IRK: R8sam ‖ data8 ‖ key version in, 8 bytes out."""
    _no_parameters(command)
    if len(command.data) != _V1_LENGTH:
        raise Refusal(StatusWord.WRONG_LENGTH, f"needs {_V1_LENGTH} bytes of data")
    inside = DDF1 in channel.directory.ancestors()
    spec = _find(DDF1.keys, "IRK") if inside else None
    key = card.state.card_key(spec) if spec else None
    if key is None or command.data[16] != key.version:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, "no IRK of this version here")
    session = process_key(key, command.data[:8])
    return authentication_cryptogram(session, command.data[8:16]) + OK


def _find(keys: tuple[KeySpec, ...], role: str) -> KeySpec | None:
    return next((key for key in keys if key.role == role), None)


def external_authenticate(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Give the right of a key to a terminal that proves it holds the key.

    Version 1: cryptogram8 ‖ random8 ‖ version. Version 2: 40 bytes in both directions.
    """
    mutual = card.spec == SPEC_2_0 and len(command.data) == AUTHENTICATION_LENGTH
    if mutual:
        demand_room(command.le, AUTHENTICATION_LENGTH)
    challenge, channel.challenge = channel.challenge, None
    if command.p1:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00")
    if mutual:
        return authentication_v2.external_authenticate(card, channel, command, challenge)
    if len(command.data) != _V1_LENGTH:
        raise Refusal(StatusWord.WRONG_LENGTH, f"needs {_V1_LENGTH} bytes of data")
    if card.spec == SPEC_2_0:
        why = "a 2.0 card refuses version-1 authentication"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    return _in_version_1(card, channel, command, challenge)


def _in_version_1(
    card: Card, channel: LogicalChannel, command: CommandAPDU, challenge: bytes | None
) -> bytes:
    spec = channel.directory.key(command.p2, AUTHENTICATING_ROLES)
    if spec is None:
        why = f"no authentication key {command.p2:02X} here"
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, why)
    if challenge is None:
        raise Refusal(StatusWord.REFERENCE_DATA_NOT_USABLE, "send GET CHALLENGE first")
    stored = card.state.card_key(spec)
    if stored and command.data[16] != stored.version:
        why = f"{spec.name} has version {stored.version}"
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, why)
    key = usable_key(card, spec)
    session = process_key(key, challenge)
    expected = authentication_cryptogram(session, command.data[8:16])
    if not compare_digest(expected, command.data[:8]):
        channel.rights &= ~KEY_BIT[spec.name]
        raise Refusal(0x63C0 | (key.tries - 1), f"wrong cryptogram for {spec.name}")
    card.state.set_key_tries(spec, KEY_TRIES)
    card.memory.commit()  # before the right is given: a 6581 must not give it
    channel.rights |= KEY_BIT[spec.name]
    return OK
