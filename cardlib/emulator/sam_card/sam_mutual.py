"""The terminal's side of a version-2 authentication, inside the SAM (card specification 5)."""

from collections.abc import Callable
from hmac import compare_digest

from ...crypto import BlockCipher, Cipher, counter_kdf, diversify
from ...facts import MF_ID, SpecVersion
from ...layout import KeySpec
from ...status import StatusWord
from ..chip.refusal import Refusal

BINDING, REPLY = 6, 40
_RANDOM, _SHARE, _TAG = 8, 16, 8
_COMMAND, _ANSWER = b"\x01", b"\x02"


def binding_of(key: KeySpec, cipher: Cipher, version: int) -> bytes:
    """Return B of a key, 6 bytes: DF file id (2) ‖ KID (1) ‖ 20 ‖ cipher ‖ version."""
    name = key.df_path.rsplit("/", 1)[-1]
    directory = MF_ID if name == "MF" else int(name, 16)
    return directory.to_bytes(2, "big") + bytes((key.reference, SpecVersion.V2, cipher, version))


class Mutual:
    """One authentication that 80 EA began: its random number and key share, and the card key."""

    __slots__ = ("_binding", "_enc", "_mac", "_random", "_rnd_ic", "_share", "cryptogram")

    def __init__(
        self, card_key: BlockCipher, rnd_ic: bytes, binding: bytes, random: Callable[[int], bytes]
    ) -> None:
        cipher = card_key.cipher
        self._enc = BlockCipher(cipher, diversify(card_key, b"RHC2-ENC"))
        self._mac = BlockCipher(cipher, diversify(card_key, b"RHC2-MAC"))
        self._rnd_ic, self._binding = rnd_ic, binding
        self._random, self._share = random(_RANDOM), random(_SHARE)
        message = self._enc.encrypt_cbc(self._random + rnd_ic + self._share)
        self.cryptogram = message + self._tag(_COMMAND, message)

    def __repr__(self) -> str:
        return f"<authentication of a SAM, B {self._binding.hex().upper()}>"

    def session_keys(self, reply: bytes, chaining: bytes) -> bytes:
        """Return S_ENC ‖ S_MAC for the card's 40 bytes. Refuses with 6300 if they are not its."""
        message, tag = reply[:-_TAG], reply[-_TAG:]
        plain = self._enc.decrypt_cbc(message)
        tag_is_good = compare_digest(self._tag(_ANSWER, message), tag)
        randoms_are_good = compare_digest(plain[: 2 * _RANDOM], self._rnd_ic + self._random)
        if not (tag_is_good and randoms_are_good):
            why = "the reply is not the card's: another key, or changed on the way"
            raise Refusal(StatusWord.AUTHENTICATION_FAILED, why)
        shared = bytes(a ^ b for a, b in zip(self._share, plain[2 * _RANDOM :], strict=True))
        z = BlockCipher(self._enc.cipher, shared)
        context = self._random + self._rnd_ic + self._binding + chaining
        return counter_kdf(z, b"RHC2-SENC", context, 128) + counter_kdf(
            z, b"RHC2-SMAC", context, 128
        )

    def _tag(self, direction: bytes, message: bytes) -> bytes:
        return self._mac.cmac(direction + self._binding + message)[:_TAG]
