"""Custodians: two of them open a key store together, and no one of them alone.

For each pair there is one wrap of the store's data key. Its key comes from two X25519 agreements
(RFC 7748), one with each person's key, by HKDF-SHA-256 (RFC 5869). So a person gives a share for
one wrap, never a key, and a share is of no use for any other wrap.
"""

import hmac
import secrets
from collections.abc import Iterator, Sequence
from itertools import combinations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ...errors import CardKeyError
from .store_header import CHECK_SIZE, NONCE_SIZE, PairWrap, StoreHeader, is_operator_name

MOST_CUSTODIANS = 20
Custodian = tuple[str, bytes]
"""A person's name and X25519 public key, 32 bytes."""


class WrongCustodians(CardKeyError):
    """Two people, or their keys, are not those who can open a key store."""


def pair_of(header: StoreHeader, one: str, other: str) -> PairWrap:
    """Return the wrap that two custodians can open together, whichever is named first.

    Raises WrongCustodians when one of them is no custodian, or both are the same person.
    """
    pair = {one, other}
    for wrap in header.wraps:
        if isinstance(wrap, PairWrap) and set(wrap.operators) == pair:
            return wrap
    if one == other:
        raise WrongCustodians(f"two different custodians are needed, and {one} is one person")
    if not header.is_production:
        raise WrongCustodians(
            "this key store has no custodians, one passphrase opens it: `rhcard keys migrate` gives"
            " it custodians"
        )
    absent = next(name for name in (one, other) if name not in header.custodians)
    names = ", ".join(header.custodians)
    raise WrongCustodians(f"{absent} is no custodian of this key store. Its custodians: {names}")


def share(private: X25519PrivateKey, wrap: PairWrap) -> bytes:
    """Return one person's part for one wrap, 32 secret bytes.

    Raises WrongCustodians when the wrap is not for this key.
    """
    if private.public_key().public_bytes_raw() not in wrap.keys:
        names = " and ".join(wrap.operators)
        raise WrongCustodians(
            f"this key is neither of {names} as the key store knows them. A person who made a new"
            " operator file has another key: use the file of before"
        )
    return _agreed(private, wrap.public)


def opened_pair(wrap: PairWrap, first: bytes, second: bytes) -> bytes:
    """Return the data key, 32 bytes, from the shares of both in the order of `wrap.operators`.

    Raises WrongCustodians when a share is wrong, and CardKeyError when the wrap was changed.
    """
    key, check = _derived(wrap, first + second)
    if not hmac.compare_digest(check, wrap.check):
        names = " and ".join(wrap.operators)
        raise WrongCustodians(f"the shares of {names} do not open this key store")
    try:
        return AESGCM(key).decrypt(wrap.nonce, wrap.wrapped, None)
    except InvalidTag:
        raise CardKeyError("the key store was changed: a wrap of its data key is wrong") from None


def pair_wraps(
    custodians: Sequence[Custodian], store: str, data_key: bytes
) -> tuple[PairWrap, ...]:
    """Wrap a data key for each pair of custodians. `store` is the name of the store, 32 hex digits.

    Raises CardKeyError when there are fewer than 2 or more than 20, when two have one name or one
    key, or a name or key is not valid.
    """
    check_custodians(custodians)
    return tuple(_wraps(sorted(custodians), store, data_key))


def check_custodians(custodians: Sequence[Custodian]) -> None:
    """Raise CardKeyError unless these are 2 to 20 people, each with a name and a key of their own.

    Whether a key is a point of X25519 is found when a data key is wrapped for it.
    """
    names, keys = [name for name, _ in custodians], [key for _, key in custodians]
    if not 2 <= len(custodians) <= MOST_CUSTODIANS:
        raise CardKeyError(
            f"a key store has 2 to {MOST_CUSTODIANS} custodians, not {len(custodians)}: two of them"
            " open it, so with 3 one may be lost"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise CardKeyError(f"{twice[0]} is given twice: each custodian is another person")
    for name, key in custodians:
        if not is_operator_name(name):
            raise CardKeyError(
                f"{name!r} is not the name of an operator: 1 to 32 of a to z, 0 to 9 and -"
            )
        if len(key) != 32:
            raise CardKeyError(f"the X25519 key of {name} has {len(key)} bytes, not 32")
        if keys.count(key) > 1:
            raise CardKeyError(f"{name} has the key of another custodian: each has their own")


def _wraps(custodians: Sequence[Custodian], store: str, data_key: bytes) -> Iterator[PairWrap]:
    for (one, one_key), (other, other_key) in combinations(custodians, 2):
        ephemeral, nonce = X25519PrivateKey.generate(), secrets.token_bytes(NONCE_SIZE)
        public, keys = ephemeral.public_key().public_bytes_raw(), (one_key, other_key)
        bare = PairWrap(store, (one, other), keys, public, nonce, b"", b"")
        agreed = b"".join(_agreed(ephemeral, key) for key in keys)
        key, check = _derived(bare, agreed)
        wrapped = AESGCM(key).encrypt(nonce, data_key, None)
        yield PairWrap(store, (one, other), keys, public, nonce, wrapped, check)


def _agreed(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        # A key of small order: the result would be known to everybody.
        raise CardKeyError("an X25519 public key is not valid") from None


def _derived(wrap: PairWrap, agreed: bytes) -> tuple[bytes, bytes]:
    """The key of a wrap (32 bytes) and its check (16), bound to store, names and all keys."""
    if len(agreed) != 64:
        raise WrongCustodians("a share has 32 bytes")
    # A name has no blank in it, and all else has a fixed length: no two inputs are alike.
    bound = f"{wrap.store} {wrap.operators[0]} {wrap.operators[1]} ".encode()
    info = b"rhcard custodians " + bound + wrap.public + b"".join(wrap.keys)
    both = HKDF(SHA256(), 32 + CHECK_SIZE, b"rhcard key store", info).derive(agreed)
    return both[:32], both[32:]
