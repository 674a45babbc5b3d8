"""EXTERNAL AUTHENTICATE of version 2: both sides prove a role key and agree on session keys.

Each side sends M ‖ T, encrypted under K_ENC, with a CMAC under K_MAC. The session keys are derived
from both key shares, both randoms, the key and the old session (card specification 5).
"""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, BlockCipher, Cipher, counter_kdf, diversify
from ...layout import KeySpec
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..filesystem.security_attributes import AUTHENTICATING_ROLES
from ..filesystem.tree import KEY_BIT, directory_of
from ..profile.card_state import KEY_TRIES, StoredKey
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from ..sessions.v1 import usable_key
from ..sessions.v2 import Session

AUTHENTICATION_LENGTH = 40
ROLES = (*AUTHENTICATING_ROLES, "PUK")
"""The roles that can authenticate on a 2.0 card; the PUK unblocks the PIN in a session."""
_RANDOM, _KEY_SHARE, _TAG = 8, 16, 8
_COMMAND, _REPLY = b"\x01", b"\x02"


def external_authenticate(
    card: Card, channel: LogicalChannel, command: CommandAPDU, challenge: bytes | None
) -> bytes:
    """Authenticate both sides under a role key: M ‖ T in, M ‖ T out.

    The keys change after the reply. A wrong tag or random is 63Cx and ends an open session.
    """
    spec = channel.directory.key(command.p2, ROLES)
    if spec is None:
        why = f"no authentication key {command.p2:02X} here"
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, why)
    if channel.scp03 and channel.scp03.level:
        why = "not in an SCP03 session: the rights would remain after it, in clear"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    if challenge is None:
        raise Refusal(StatusWord.REFERENCE_DATA_NOT_USABLE, "send GET CHALLENGE first")
    key = usable_key(card, spec)
    binding = key_binding(card, spec)
    k_enc, k_mac = _static_keys(key)
    message, tag = command.data[:-_TAG], command.data[-_TAG:]
    plain = k_enc.decrypt_cbc(message)
    terminal_random = plain[:_RANDOM]
    tag_is_good = compare_digest(k_mac.cmac(_COMMAND + binding + message)[:_TAG], tag)
    random_is_good = compare_digest(plain[_RANDOM : 2 * _RANDOM], challenge)
    if not (tag_is_good and random_is_good):
        channel.session_ends = channel.v2 is not None
        raise Refusal(0x63C0 | (key.tries - 1), f"wrong cryptogram for {spec.name}")
    card.state.set_key_tries(spec, KEY_TRIES)
    card.memory.commit()  # before the right is given: a 6581 must not give it
    channel.rights |= KEY_BIT[spec.name]
    channel.file = None
    share = card.random(_KEY_SHARE)
    chain = channel.v2.chain() if channel.v2 else bytes(BLOCK_SIZE)
    context = terminal_random + challenge + binding + chain
    shared = bytes(a ^ b for a, b in zip(plain[2 * _RANDOM :], share, strict=True))
    channel.next_v2 = _session(key.cipher, shared, context)
    reply = k_enc.encrypt_cbc(challenge + terminal_random + share)
    return reply + k_mac.cmac(_REPLY + binding + reply)[:_TAG] + OK


def key_binding(card: Card, spec: KeySpec) -> bytes:
    """Return B, 6 bytes: file id of the key's DF (2) ‖ KID (1) ‖ value of C1 in the FCI (3)."""
    fid = directory_of(spec.df_path).fid
    return fid.to_bytes(2, "big") + bytes((spec.reference, *card.state.profile[:3]))


def _static_keys(key: StoredKey) -> tuple[BlockCipher, BlockCipher]:
    parent = key.block_cipher()
    k_enc, k_mac = diversify(parent, b"RHC2-ENC"), diversify(parent, b"RHC2-MAC")
    return BlockCipher(key.cipher, k_enc), BlockCipher(key.cipher, k_mac)


def _session(cipher: Cipher, shared: bytes, context: bytes) -> Session:
    prf = BlockCipher(cipher, shared)
    s_enc = counter_kdf(prf, b"RHC2-SENC", context, 128)
    return Session(cipher, s_enc, counter_kdf(prf, b"RHC2-SMAC", context, 128))
