"""Mutual authentication of version 2 with a card key in memory (card specification 5)."""

import secrets
from collections.abc import Callable
from hmac import compare_digest

from ..crypto import BlockCipher, Cipher, counter_kdf, diversify
from ..errors import CardKeyError, ChannelError
from . import SessionKeys

CRYPTOGRAM_SIZE = 40
_FROM_TERMINAL, _FROM_CARD = b"\x01", b"\x02"
_MAC_SIZE = 8
_NOT_GENUINE = (
    "the card's cryptogram is wrong: the card does not hold this key, or its answer was changed"
)


class SoftwareAuthentication:
    """One authentication by one card key: it makes the cryptogram and checks the card's answer.

    M = CBC(K_ENC, IV 0, RND.IFD8 ‖ RND.IC8 ‖ K.IFD16), T = CMAC(K_MAC, 01 ‖ B ‖ M)[:8].
    """

    __slots__ = ("_binding", "_cipher", "_enc", "_k_ifd", "_mac", "_rnd_ic", "_rnd_ifd",
                 "_used", "cryptogram")  # fmt: skip

    def __init__(
        self,
        cipher: Cipher,
        card_key: bytes,
        rnd_ic: bytes,
        binding: bytes,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Take the card's 8-byte challenge and B, 6 bytes. Raises CardKeyError when not so long."""
        if len(rnd_ic) != 8 or len(binding) != 6:
            raise CardKeyError("an authentication needs a challenge of 8 bytes and a B of 6 bytes")
        parent = BlockCipher(cipher, card_key)
        self._enc = BlockCipher(cipher, diversify(parent, b"RHC2-ENC"))
        self._mac = BlockCipher(cipher, diversify(parent, b"RHC2-MAC"))
        self._cipher, self._rnd_ic, self._binding = cipher, rnd_ic, binding
        self._rnd_ifd, self._k_ifd = random(8), random(16)
        self._used = False
        message = self._enc.encrypt_cbc(self._rnd_ifd + rnd_ic + self._k_ifd)
        self.cryptogram = message + self._tag(_FROM_TERMINAL, message)

    def __repr__(self) -> str:
        return f"<authentication {self._cipher.name} {self._binding.hex().upper()}>"

    def session_keys(self, reply: bytes, chaining: bytes) -> SessionKeys:
        """Check the card's 40 bytes (T first, then both randoms) and return the session keys.

        `chaining` is P, 16 bytes. Raises ChannelError when the answer is wrong or the call is the
        second.
        """
        enc, mac = self.session_key_bytes(reply, chaining)
        return SessionKeys(BlockCipher(self._cipher, enc), BlockCipher(self._cipher, mac))

    def session_key_bytes(self, reply: bytes, chaining: bytes) -> tuple[bytes, bytes]:
        """Do as `session_keys`, and return S_ENC and S_MAC, 16 bytes each: for the key agent only.

        They are keys of one session with one card, which ends with that session.
        """
        if len(chaining) != 16:
            raise CardKeyError(f"P must have 16 bytes, not {len(chaining)}")
        message, tag = reply[:-_MAC_SIZE], reply[-_MAC_SIZE:]
        used, self._used = self._used, True
        if used or len(reply) != CRYPTOGRAM_SIZE:
            raise ChannelError(_NOT_GENUINE)
        if not compare_digest(self._tag(_FROM_CARD, message), tag):
            raise ChannelError(_NOT_GENUINE)
        plain = self._enc.decrypt_cbc(message)
        if not compare_digest(plain[:16], self._rnd_ic + self._rnd_ifd):
            raise ChannelError(_NOT_GENUINE)
        common = int.from_bytes(self._k_ifd, "big") ^ int.from_bytes(plain[16:], "big")
        z = BlockCipher(self._cipher, common.to_bytes(16, "big"))
        context = self._rnd_ifd + self._rnd_ic + self._binding + chaining
        enc, mac = (counter_kdf(z, label, context, 128) for label in (b"RHC2-SENC", b"RHC2-SMAC"))
        return enc, mac

    def _tag(self, direction: bytes, message: bytes) -> bytes:
        return self._mac.cmac(direction + self._binding + message)[:_MAC_SIZE]
