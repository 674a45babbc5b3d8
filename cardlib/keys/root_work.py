"""What root keys do, wherever they are: key groupings, security codes, seals.

A key store does it with keys in memory, a token with keys that stay inside it.
"""

import hashlib
import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..crypto import BlockEncryption, pad
from ..errors import CardKeyError
from ..facts import Pin
from ..layout import KEYS, dgi_of_key, encode
from ..layout.load import ISSUER_FILE, Grouping
from ..layout.records import DGI_PIN, DGI_PIN_TRIES
from ..pki import Signer
from . import AboutKeys, Purpose, Scp03Keys
from .software import SoftwareCardKeys

_NONCE = 12
_CARD_NUMBER, _ISSUE_DATE = (
    next(field for field in ISSUER_FILE.fields if field.name == name)
    for name in ("card_number", "issue_date")
)


def card_groupings(keys: SoftwareCardKeys, dek: Scp03Keys, pin: Pin) -> tuple[Grouping, ...]:
    """Make a card's groupings 81kk, 8010 and 9010, encrypted under the issuer's Key-DEK."""
    return (
        *((dgi_of_key(key), keys.grouping(key.name, dek)) for key in KEYS),
        (DGI_PIN, dek.encrypt_dek(pad(pin.block))),
        (DGI_PIN_TRIES, bytes((Pin.TRIES, Pin.TRIES))),
    )


def security_code(cvk: BlockEncryption, card_number: str, issue_date: str) -> str:
    """Calculate three digits from both fields with the CVK (card specification 2)."""
    stored = encode(_CARD_NUMBER, card_number) + encode(_ISSUE_DATE, issue_date)
    digest = hashlib.sha256(stored).digest()[:16]
    return f"{int.from_bytes(cvk.encrypt_ecb(digest), 'big') % 1000:03}"


def preparation_signer(about: AboutKeys, derived: Callable[[bytes], bytes]) -> Signer:
    """Return who signs batches: its key is made of 64 bytes that are derived from the secret."""
    from ..pki.p256 import private_key_from  # here: who reads a card needs no certificates
    from ..pki.self_issued import LocalSigner

    seed = derived(b"batch signature 1") + derived(b"batch signature 2")
    name = f"rhcard data preparation {about.identity} v{about.key_version}"
    return LocalSigner(private_key_from(seed), name)


def purpose_info(purpose: Purpose) -> bytes:
    """Return the HKDF info of the sealing key of a purpose."""
    return b"sealing " + purpose.encode()


def sealed(key: AESGCM, data: bytes, bound: bytes) -> bytes:
    """Encrypt data by AES-256-GCM (SP 800-38D): nonce (12) ‖ ciphertext ‖ tag (16)."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + key.encrypt(nonce, data, bound)


def unsealed(key: AESGCM, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
    """Decrypt what `sealed` made.

    Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
    """
    try:
        return key.decrypt(data[:_NONCE], data[_NONCE:], bound)
    except (InvalidTag, ValueError):
        raise CardKeyError(f"not sealed for this {purpose} with these keys, or damaged") from None
