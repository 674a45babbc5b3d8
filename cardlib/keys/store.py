"""The key store: roots in a file under a passphrase (scrypt, RFC 7914; AES-GCM, SP 800-38D)."""

import hashlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from ..crypto import BlockCipher, Cipher, pad, static_keys
from ..errors import CardKeyError
from ..facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial, Pin, Region
from ..layout import KEYS, dgi_of_key
from ..layout.load import Grouping
from ..layout.records import DGI_PIN, DGI_PIN_TRIES
from .roots import Roots, from_json, new_roots, public_test_roots, to_json
from .software import SoftwareKeySet
from .static_keys import SoftwareScp03Keys

FORMAT = "rhcard key store 1"
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
_MOST_SCRYPT_MEMORY = 2**29
_MOST_BYTES = 2**16
_PURPOSES = ("batch", "pin")


class KeyStore:
    """Roots of card, transport and issuer keys, the CVK and sealing keys; shows none of them."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self.card_keys = SoftwareKeySet(roots.card, roots.protocol, roots.cipher, roots.version)
        self._transport = BlockCipher(Cipher.AES, roots.transport)
        self._issuer = BlockCipher(Cipher.AES, roots.issuer)
        self._cvk = BlockCipher(roots.cipher, roots.cvk)
        self.is_test = roots.is_test

    def __repr__(self) -> str:
        return f"<key store {self.identity}{' with public test keys' if self.is_test else ''}>"

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: str,
        test: bool = False,
        protocol: int = 2,
        cipher: Cipher = Cipher.SM4,
    ) -> "KeyStore":
        """Make a store with random roots (`test`: the public ones) and write its file, mode 0600.

        CardKeyError when the passphrase is empty or the file exists.
        """
        roots = (public_test_roots if test else new_roots)(protocol, cipher)
        _write_new(path, _seal(to_json(roots), passphrase))
        return cls(roots)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "KeyStore":
        """Open a store's file; CardKeyError for a wrong passphrase, a damaged or another file."""
        try:
            with path.open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise CardKeyError(f"key store {path}: {error.strerror}") from None
        return cls(from_json(_unseal(raw, passphrase, path)))

    @property
    def identity(self) -> str:
        """32 hex digits that name the store's content and give nothing away."""
        return self._derived(b"identity" + hashlib.sha256(to_json(self._roots)).digest()).hex()[:32]

    @property
    def spec_version(self) -> str:
        """The version of the card specification that cards with these keys are of: 1.0 or 2.0."""
        return f"{self.card_keys.protocol}.0"

    def transport_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """A chip's transport keys, version FF (card specification 6)."""
        return SoftwareScp03Keys.from_root(TRANSPORT_KEY_VERSION, self._transport, chip)

    def issuer_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """A chip's issuer keys, version 01 (card specification 6)."""
        return SoftwareScp03Keys.from_root(ISSUER_KEY_VERSION, self._issuer, chip)

    def groupings(self, chip: ChipSerial, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """The groupings 81kk, 8010 and 9010 of a card, encrypted under the issuer's Key-DEK."""
        dek, keys = self.issuer_keys(chip), self.card_keys.for_card(chip, region)
        return (
            *((dgi_of_key(key), keys.grouping(key.name, dek)) for key in KEYS),
            (DGI_PIN, dek.encrypt_dek(pad(pin.block))),
            (DGI_PIN_TRIES, bytes((Pin.TRIES, Pin.TRIES))),
        )

    def blank_keys(self, chip: bytes) -> tuple[bytes, bytes, bytes]:
        """A chip's transport ENC, MAC, DEK in clear: for whoever makes blank software cards."""
        return static_keys(self._transport, chip)

    def security_code(self, card_number18: bytes, issue_date4: bytes) -> str:
        """Three digits from the CVK over both fields as stored (card specification 2)."""
        if len(card_number18) != 18 or len(issue_date4) != 4:
            raise CardKeyError("a security code is over 18 and 4 bytes as stored on the card")
        digest = hashlib.sha256(card_number18 + issue_date4).digest()[:16]
        return f"{int.from_bytes(self._cvk.encrypt_ecb(digest), 'big') % 1000:03}"

    def sealing_key(self, purpose: str) -> bytes:
        """A 32-byte key for sealed files: purpose "batch" or "pin" (HKDF, RFC 5869)."""
        if purpose not in _PURPOSES:
            raise CardKeyError(f"no sealing key for {purpose}")
        return self._derived(b"sealing " + purpose.encode("ascii"))

    def _derived(self, info: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, b"rhcard key store", info).derive(self._roots.secret)


def _passphrase_key(passphrase: str, kdf: dict[str, Any]) -> bytes:
    if not passphrase:
        raise CardKeyError("the passphrase is empty")
    n, r, p = (int(kdf[name]) for name in ("n", "r", "p"))
    if not (n.bit_count() == 1 and n >= 2**10 and r >= 1 and 1 <= p <= 16):
        raise ValueError
    if 128 * n * r > _MOST_SCRYPT_MEMORY:
        raise ValueError
    salt = bytes.fromhex(kdf["salt"])
    memory = 128 * n * r + 128 * r * (p + 2) + 2**20
    return hashlib.scrypt(
        passphrase.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=memory,
        dklen=32,
    )


def _associated_data(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _seal(plain: bytes, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(12)
    kdf = {"name": "scrypt", **SCRYPT, "salt": secrets.token_hex(16)}
    header = {"format": FORMAT, "kdf": kdf, "cipher": "AES-256-GCM", "nonce": nonce.hex()}
    key = _passphrase_key(passphrase, kdf)
    sealed = AESGCM(key).encrypt(nonce, plain, _associated_data(header))
    return json.dumps({**header, "sealed": sealed.hex()}, indent=1).encode("ascii") + b"\n"


def _unseal(raw: bytes, passphrase: str, path: Path) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        header = json.loads(raw[:_MOST_BYTES])
        sealed, nonce = bytes.fromhex(header.pop("sealed")), bytes.fromhex(header["nonce"])
        if header["format"] != FORMAT or len(nonce) != 12 or len(raw) > _MOST_BYTES:
            raise ValueError
        key = _passphrase_key(passphrase, header["kdf"])
        return AESGCM(key).decrypt(nonce, sealed, _associated_data(header))
    except InvalidTag:
        raise CardKeyError(f"key store {path}: wrong passphrase, or a damaged file") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
        raise CardKeyError(f"{path} is not a key store, or is damaged") from None


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist, whole or not at all, readable by its owner alone."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(name, path)
        finally:
            os.unlink(name)
        _sync_folder(path.parent)
    except FileExistsError:
        raise CardKeyError(f"{path} exists and is not overwritten") from None
    except OSError as error:
        raise CardKeyError(f"key store {path}: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
