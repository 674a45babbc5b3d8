"""Read what a card says about itself: chip, specification, cipher, key version, region."""

from collections.abc import Callable
from dataclasses import dataclass

from ..crypto import Cipher
from ..errors import CardError, CardKeyError, FormatError, NotPersonalized
from ..keys import CardKeys, KeySet
from ..tlv import find_ber


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """What a card says about itself: the chip serial (8 bytes) in the ATR, the rest in DDF1's FCI.

    `spec` is 10 or 20 (hex) for specification 1.0 or 2.0, `region` the 8-byte region factor (b"" on
    a card of profile `field` without a city code). `cipher` and `key_version` are None when the
    card does not say them and there are no keys to find out.
    """

    chip: bytes
    spec: int
    cipher: Cipher | None
    key_version: int | None
    region: bytes

    @classmethod
    def parse(cls, fci: bytes, chip: Callable[[], bytes]) -> "CardIdentity":
        """Decode DDF1's FCI; `chip` finds the chip serial. Raises CardError when the FCI is wrong.

        NotPersonalized when the FCI has no C1 and C2, or cannot be decoded.
        """
        try:
            card, region = find_ber(fci, 0x6F, 0xA5, 0xC1), find_ber(fci, 0x6F, 0xA5, 0xC2)
        except FormatError as error:
            problem = f"not a personalized health card: its FCI cannot be decoded ({error})"
            raise NotPersonalized(problem) from None
        if card is None or region is None or len(card) != 3 or len(region) != 8:
            raise NotPersonalized("not a personalized health card: its FCI has no C1 and C2")
        return cls.of(card, region, chip)

    @classmethod
    def of(cls, c1: bytes, region: bytes, chip: Callable[[], bytes]) -> "CardIdentity":
        """Decode C1, 3 bytes. Raises CardError when it names an unknown cipher or specification."""
        spec, cipher, key_version = c1
        if cipher not in list(Cipher):
            raise CardError(f"the card's cipher is {cipher:02X}; 01 (SM4) and 02 (AES) are known")
        if spec >> 4 not in (1, 2):
            raise CardError(
                f"the card is of specification {spec >> 4}.{spec & 15}; 1.0 and 2.0 are known"
            )
        return cls(chip(), spec, Cipher(cipher), key_version, region)

    @property
    def protocol(self) -> int:
        """The card's version of secure messaging."""
        return self.spec >> 4

    @property
    def spec_text(self) -> str:
        """The version of the specification as in the field spec_version: 1.0 or 2.0."""
        return f"{self.spec >> 4}.{self.spec & 15}"

    @property
    def cipher_name(self) -> str | None:
        """The cipher in small letters, as in documents; None if it is not known."""
        return None if self.cipher is None else self.cipher.name.lower()

    @property
    def c1(self) -> bytes:
        """The value of C1 in the FCI, 3 bytes: spec, cipher, key version; 00 for what is None."""
        return bytes((self.spec, self.cipher or 0, self.key_version or 0))

    def fitting(self, keys: KeySet) -> KeySet:
        """Return the keys of this card's protocol, cipher and version among those of a terminal.

        Raises CardKeyError when none fit.
        """
        if self.cipher is None or self.key_version is None:
            raise CardKeyError(f"it is not known which keys the card has: {self}")
        try:
            return keys.fitting(self.protocol, self.cipher, self.key_version)
        except CardKeyError as error:
            raise CardKeyError(f"{error}; this card is different: {self}") from None

    def keys_of(self, keys: KeySet) -> CardKeys:
        """Derive this card's keys. Raises CardKeyError when none fit, or without a region."""
        fitting = self.fitting(keys)
        if not self.region:
            raise CardKeyError(
                "the card has no city code in DDF1/EF05 tag 39. Its keys depend on it, so none can"
                " be used: only free files can be read"
            )
        return fitting.for_card(self.chip, self.region)

    def __str__(self) -> str:
        keys = "cipher and key version unknown"
        if self.cipher is not None:
            keys = f"{self.cipher.name} keys version {self.key_version}"
        return (
            f"chip {self.chip.hex().upper()}, spec {self.spec_text}, {keys}, "
            f"region {self.region.decode('ascii', 'replace') or 'unknown'}"
        )
