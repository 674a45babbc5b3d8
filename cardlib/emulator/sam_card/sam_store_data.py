"""STORE DATA of a SAM: root keys, PIN and limit; all of it is written at the last block.

The groupings are ours (`layout.sam_data`; card specification 3). A SAM that is loaded again gets
everything anew: what it held before is erased in the same commit.
"""

from collections.abc import Mapping
from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, Cipher, key_check_value
from ...facts import TRANSPORT_KEY_VERSION, SpecVersion
from ...layout.records import DGI_PIN, DGI_PIN_TRIES
from ...layout.sam_data import (
    DGI_SAM_KEYS,
    DGI_SAM_USE,
    KEY_BY_SAM_ID,
    MEANINGS_OF_0,
    PIN_FORMS,
)
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..profile.card_state import LifeCycle, StoredPin
from ..sessions.card_interface import Card
from ..sessions.issuer_session import open_session, refuse_replaced_transport_keys
from ..sessions.logical_channel import LogicalChannel
from ..sessions.pending_load import Load, pin_block_of, pin_tries_of
from ..sessions.scp03 import C_ENC, Scp03Session
from .sam_state import RootKey, SamState, Use

_KEY_GROUPING_LENGTH = 2 + BLOCK_SIZE + 3
_KEY_ID = 0x1F


class SamLoad(Load):
    """A load of a SAM in progress; keys and PIN are decrypted and checked."""

    __slots__ = ()

    mandatory = frozenset({DGI_PIN, DGI_PIN_TRIES, DGI_SAM_USE})

    def checked(self, dgi: int, value: bytes, session: Scp03Session) -> bytes:
        """Return a grouping in the form to store. Refuses with 6A88 if unknown, 6A80 if wrong."""
        if dgi == DGI_PIN:
            return pin_block_of(value, session)
        if dgi == DGI_PIN_TRIES:
            return pin_tries_of(value)
        if dgi == DGI_SAM_USE:
            return _use(value)
        if dgi & 0xFF00 == DGI_SAM_KEYS and dgi >> 5 & 7 and dgi & _KEY_ID in KEY_BY_SAM_ID:
            return _root(dgi, value, session)
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no DGI {dgi:04X}")


def _use(value: bytes) -> bytes:
    known = PIN_FORMS.values(), MEANINGS_OF_0.values()
    if len(value) != 6 or value[4] not in known[0] or value[5] not in known[1]:
        raise Refusal(StatusWord.INCORRECT_DATA, "needs limit4, PIN form and meaning of version 0")
    if not any(value[:4]):
        raise Refusal(StatusWord.INCORRECT_DATA, "a limit of 0 makes a SAM that does nothing")
    return value


def _root(dgi: int, value: bytes, session: Scp03Session) -> bytes:
    """Decrypt spec ‖ cipher ‖ CBC(DEK, root16) ‖ KCV3 to spec ‖ cipher ‖ root16."""
    name = KEY_BY_SAM_ID[dgi & _KEY_ID].name
    if (
        len(value) != _KEY_GROUPING_LENGTH
        or value[0] not in list(SpecVersion)
        or value[1] not in list(Cipher)
    ):
        why = f"{name} must be spec (10, 20), cipher (01, 02), key16, KCV3"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    root = session.decrypt_dek(value[2 : 2 + BLOCK_SIZE])
    check_value = key_check_value(Cipher(value[1]), root)
    if not compare_digest(check_value, value[2 + BLOCK_SIZE :]):
        raise Refusal(StatusWord.INCORRECT_DATA, f"{name}: the key check value is wrong")
    return value[:2] + root


def store_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Take one block of a load of the SAM: P1 is 08, or 88 on the last; P2 is its number.

    It needs C-ENC. Any error drops the whole load. The last block commits it; before, the transport
    keys must be replaced.
    """
    load, channel.load = channel.load or SamLoad(), None
    session = open_session(channel, C_ENC)
    refuse_replaced_transport_keys(card, session)
    if not load.take(command, session):
        channel.load = load
        return OK
    if TRANSPORT_KEY_VERSION in card.state.key_sets or not session.is_issuer:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "replace the transport keys first")
    commit(SamState(card.memory), load.groupings)
    return OK


def commit(state: SamState, groupings: Mapping[int, bytes]) -> None:
    """Write a finished load. Refuses with 6985 without a key, 6A80 if a version has two kinds."""
    roots = {dgi & 0xFF: raw for dgi, raw in groupings.items() if dgi & 0xFF00 == DGI_SAM_KEYS}
    if not roots:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the load has no key")
    kinds = {(reference >> 5, raw[:2]) for reference, raw in roots.items()}
    if len(kinds) != len({version for version, _ in kinds}):
        why = "all keys of one version must be of one specification and cipher"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    state.erase_roots()
    for reference, raw in roots.items():
        key = RootKey(raw[0], Cipher(raw[1]), raw[2:])
        state.set_root(reference >> 5, reference & _KEY_ID, key)
    limit, remaining = groupings[DGI_PIN_TRIES]
    state.pin = StoredPin(groupings[DGI_PIN], limit, remaining)
    raw = groupings[DGI_SAM_USE]
    state.use = Use(int.from_bytes(raw[:4], "big"), 0, raw[4], raw[5])
    state.life_cycle = LifeCycle.ACTIVE
