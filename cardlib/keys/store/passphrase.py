"""A passphrase as a key: scrypt (RFC 7914) with parameters that a file names, within limits."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from ...errors import CardKeyError

SCRYPT = {"n": 2**17, "r": 8, "p": 1}
"""The scrypt parameters of new files, and the least that is opened. Tests use less."""
_MOST_SCRYPT_MEMORY = 2**29


def new_kdf() -> dict[str, Any]:
    """Return the parameters for a new file, with a random salt of 16 bytes, for JSON."""
    return {"name": "scrypt", **SCRYPT, "salt": secrets.token_hex(16)}


def passphrase_key(passphrase: str, kdf: Mapping[str, Any], what: str) -> bytes:
    """Derive 32 bytes from a passphrase. `what` names the file, for errors.

    Raises CardKeyError when the passphrase is empty or the parameters are weaker than `SCRYPT`, and
    an error of `DAMAGE` when the parameters are none, or ask for too much memory.
    """
    if not passphrase:
        raise CardKeyError("the passphrase is empty: type one")
    n, r, p = (int(kdf[name]) for name in ("n", "r", "p"))
    if n.bit_count() != 1 or n < 2 or r < 1 or not 1 <= p <= 16:
        raise ValueError
    if 128 * n * r > _MOST_SCRYPT_MEMORY:
        raise ValueError
    if n < SCRYPT["n"] or r < SCRYPT["r"]:
        raise CardKeyError(
            f"{what} protects its passphrase too weakly: scrypt with n = {n} and"
            f" r = {r}. At least n = {SCRYPT['n']} and r = {SCRYPT['r']} are needed. It is not"
            " opened; use a key store that was made with `rhcard keys new`"
        )
    return hashlib.scrypt(
        passphrase.encode("utf-8", "surrogateescape"),
        salt=bytes.fromhex(kdf["salt"]),
        n=n,
        r=r,
        p=p,
        maxmem=128 * n * r + 128 * r * (p + 2) + 2**20,
        dklen=32,
    )
