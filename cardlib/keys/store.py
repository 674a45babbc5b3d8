"""The key store: root keys in a file that a passphrase encrypts.

It uses scrypt (RFC 7914), AES-256-GCM (SP 800-38D) and HKDF (RFC 5869).
"""

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..crypto import BlockCipher, Cipher, key_check_value, pad, static_keys
from ..errors import DAMAGE, CardKeyError, file_error
from ..facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, Pin, Region, SpecVersion
from ..layout import KEYS, dgi_of_key, encode
from ..layout.load import ISSUER_FILE, Grouping
from ..layout.records import DGI_PIN, DGI_PIN_TRIES
from ..regular_file import read_regular
from ..unfinished import unfinished_file
from . import Purpose, Scp03Keys, WrappedKey
from .roots import Roots, from_json, new_roots, public_test_roots, to_json
from .software import SoftwareKeySet
from .static_keys import SoftwareScp03Keys

FORMAT = "rhcard key store 1"
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
"""The scrypt parameters of new files, and the least that is opened. Tests use less."""
_MOST_SCRYPT_MEMORY = 2**29
_MOST_BYTES = 2**16
_NONCE = 12
_CARD_NUMBER, _ISSUE_DATE = (
    next(field for field in ISSUER_FILE.fields if field.name == name)
    for name in ("card_number", "issue_date")
)


class KeyStore:
    """`RootKeys` in memory, read from a file. It never shows them."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self.spec, self.cipher = SpecVersion.of_protocol(roots.protocol), roots.cipher
        self.key_version, self.is_test = roots.version, roots.is_test
        self.terminal_keys = SoftwareKeySet(roots.card, roots.protocol, roots.cipher, roots.version)
        self._transport = BlockCipher(Cipher.AES, roots.transport)
        self._issuer = BlockCipher(Cipher.AES, roots.issuer)
        self._cvk = BlockCipher(roots.cipher, roots.cvk)
        self._sealing = {p: AESGCM(self._derived(b"sealing " + p.encode())) for p in Purpose}
        self._holders = self._derived(b"holders")
        self.identity = self._identity()

    def __repr__(self) -> str:
        return f"<key store {self.identity}{' with published test keys' if self.is_test else ''}>"

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

        Raises CardKeyError when the passphrase is empty or the file exists.
        """
        roots = (public_test_roots if test else new_roots)(protocol, cipher)
        _write_new(path, _sealed_file(to_json(roots), passphrase, path))
        return cls(roots)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "KeyStore":
        """Open a store's file.

        Raises CardKeyError when the passphrase is wrong, the file is damaged or not a key store, or
        its scrypt parameters are weaker than `SCRYPT`.
        """
        try:
            raw = read_regular(path, _MOST_BYTES)
        except OSError as error:
            raise file_error(CardKeyError, error, f"key store {path}") from None
        return cls(from_json(_opened_file(raw, passphrase, path)))

    def transport_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """Return a chip's transport keys, version FF (card specification 6)."""
        return SoftwareScp03Keys.from_root(TRANSPORT_KEY_VERSION, self._transport, chip)

    def issuer_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """Return a chip's issuer keys, version 01 (card specification 6)."""
        return SoftwareScp03Keys.from_root(ISSUER_KEY_VERSION, self._issuer, chip)

    def groupings(self, chip: bytes, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """Make a card's groupings 81kk, 8010 and 9010, encrypted under the issuer's Key-DEK."""
        dek, keys = self.issuer_keys(chip), self.terminal_keys.for_card(chip, region)
        return (
            *((dgi_of_key(key), keys.grouping(key.name, dek)) for key in KEYS),
            (DGI_PIN, dek.encrypt_dek(pad(pin.block))),
            (DGI_PIN_TRIES, bytes((Pin.TRIES, Pin.TRIES))),
        )

    def wrapped_root(self, name: str, dek: Scp03Keys) -> WrappedKey:
        """Return a root key under the Key-DEK of the SAM that it is for (card specification 3).

        This is not a part of `Issuer`: an agent or a token never gives a root key.
        """
        if name not in self._roots.card:
            raise CardKeyError(f"{name} is not a key of the card")
        root = self._roots.card[name]
        check_value = key_check_value(self.cipher, root)
        return WrappedKey(len(root), dek.encrypt_dek(root), check_value)

    def blank_keys(self, chip: bytes) -> tuple[bytes, bytes, bytes]:
        """Return a chip's transport keys ENC, MAC, DEK in clear, to make blank software cards.

        This is not a part of `RootKeys`: nothing else shows the bytes of a key.
        """
        return static_keys(self._transport, chip)

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from both fields with the CVK (card specification 2)."""
        stored = encode(_CARD_NUMBER, card_number) + encode(_ISSUE_DATE, issue_date)
        digest = hashlib.sha256(stored).digest()[:16]
        return f"{int.from_bytes(self._cvk.encrypt_ecb(digest), 'big') % 1000:03}"

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes."""
        return hmac.digest(self._holders, number.encode(), "sha256")

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt data under the key of a purpose: nonce (12) ‖ ciphertext ‖ tag (16)."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._sealing[purpose].encrypt(nonce, data, bound)

    def unseal(self, purpose: Purpose, sealed: bytes, bound: bytes) -> bytes:
        """Decrypt sealed data.

        Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
        """
        try:
            return self._sealing[purpose].decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError):
            raise CardKeyError(
                f"not sealed for this {purpose} with these keys, or damaged"
            ) from None

    def _identity(self) -> str:
        content = hashlib.sha256(to_json(self._roots)).digest()
        return self._derived(b"identity" + content).hex()[:32]

    def _derived(self, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, b"rhcard key store", info).derive(self._roots.secret)


def _passphrase_key(passphrase: str, kdf: dict[str, Any], path: Path) -> bytes:
    if not passphrase:
        raise CardKeyError("the passphrase is empty: type one")
    n, r, p = (int(kdf[name]) for name in ("n", "r", "p"))
    if n.bit_count() != 1 or n < 2 or r < 1 or not 1 <= p <= 16:
        raise ValueError
    if 128 * n * r > _MOST_SCRYPT_MEMORY:
        raise ValueError
    if n < SCRYPT["n"] or r < SCRYPT["r"]:
        raise CardKeyError(
            f"key store {path} protects its passphrase too weakly: scrypt with n = {n} and"
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


def _associated_data(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _sealed_file(plain: bytes, passphrase: str, path: Path) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    kdf = {"name": "scrypt", **SCRYPT, "salt": secrets.token_hex(16)}
    header = {"format": FORMAT, "kdf": kdf, "cipher": "AES-256-GCM", "nonce": nonce.hex()}
    key = _passphrase_key(passphrase, kdf, path)
    sealed = AESGCM(key).encrypt(nonce, plain, _associated_data(header))
    return json.dumps({**header, "sealed": sealed.hex()}, indent=1).encode("ascii") + b"\n"


def _opened_file(raw: bytes, passphrase: str, path: Path) -> bytes:
    try:
        header = json.loads(raw)
        sealed, nonce = bytes.fromhex(header.pop("sealed")), bytes.fromhex(header["nonce"])
        if header["format"] != FORMAT or len(nonce) != _NONCE:
            raise ValueError
        key = _passphrase_key(passphrase, header["kdf"], path)
        return AESGCM(key).decrypt(nonce, sealed, _associated_data(header))
    except InvalidTag:
        raise CardKeyError(f"key store {path}: wrong passphrase, or damaged file") from None
    except DAMAGE:
        raise CardKeyError(f"{path} is not a key store, or is damaged") from None


def _write_new(path: Path, content: bytes) -> None:
    """Write a new file completely or not at all; only its owner can read it."""
    try:
        with unfinished_file(path) as place:
            with place.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(place, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise CardKeyError(f"{path} exists already and is not overwritten") from None
    except OSError as error:
        raise file_error(CardKeyError, error, f"key store {path}") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
