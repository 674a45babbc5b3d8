"""The SCP03 keys of a chip under the public test roots: anybody may know and print them."""

from ..crypto import BlockCipher, Cipher, static_keys
from .roots import TEST_TRANSPORT_ROOT, public_test_roots

StaticKeys = tuple[bytes, bytes, bytes]
"""ENC, MAC and DEK, 16 bytes each, in clear."""


def public_test_keys(chip: bytes) -> dict[str, StaticKeys]:
    """Derive the key sets that a chip can have under the public test roots, by their names.

    "transport" is that of a blank card. The issuer sets have a name such as "issuer, 2.0 SM4":
    there is a public issuer root for each specification and cipher. `chip` is the 8-byte chip
    serial (card specification 6).
    """
    roots = {"transport": TEST_TRANSPORT_ROOT} | {
        f"issuer, {protocol}.0 {cipher.name}": public_test_roots(protocol, cipher).issuer
        for protocol in (2, 1)
        for cipher in Cipher
    }
    return {name: static_keys(BlockCipher(Cipher.AES, root), chip) for name, root in roots.items()}
