"""Every secret that a key store and one card have, by name: to look for them where none may be."""

from collections.abc import Mapping

from cardlib.crypto import BlockCipher, Cipher, static_keys
from cardlib.keys import Purpose
from cardlib.keys.root_work import purpose_info
from cardlib.keys.roots import Roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEYS

_SCP03 = ("ENC", "MAC", "DEK")


def roots_of(roots: Roots) -> dict[str, bytes]:
    """All roots, the secret of the sealing keys, and the key of holder hashes."""
    found = {f"root of {name}": root for name, root in roots.card.items()}
    found |= {f"{name} root": getattr(roots, name) for name in ("transport", "issuer", "cvk")}
    found |= {f"{p} sealing key": roots.derived(purpose_info(p)) for p in Purpose}
    return found | {"sealing secret": roots.secret, "holder key": roots.derived(b"holders")}


def keys_of(roots: Roots, chip: bytes, region: bytes) -> dict[str, bytes]:
    """The issuer and transport keys of a chip, and its 30 card keys."""
    found = {
        f"{name} {part} of {chip.hex()}": key
        for name in ("issuer", "transport")
        for part, key in zip(
            _SCP03, static_keys(BlockCipher(Cipher.AES, getattr(roots, name)), chip), strict=True
        )
    }
    derived = KeyStore(roots).terminal_keys._roots.of_card(chip, region)
    cards = {f"{k.name} of {chip.hex()}": derived(k.name) for k in KEYS}
    return found | cards


def found_in(data: bytes, secrets: Mapping[str, bytes]) -> set[str]:
    """The names of the secrets that are somewhere in the data, as bytes or as hex text."""
    upper = data.upper()
    return {
        name
        for name, secret in secrets.items()
        if secret in data or secret.hex().upper().encode() in upper
    }
