"""What a card says of itself: chip, specification, cipher, key version, region."""

from dataclasses import dataclass

from ..crypto import Cipher
from ..errors import CardError
from ..layout import FILE_BY_PATH, State, decode
from ..tlv import find_ber
from ..transport import chip_serial

VERSION_FILE = FILE_BY_PATH["DDF1/EF05"]
VERSION_FIELD = next(field for field in VERSION_FILE.fields if field.name == "spec_version")
"""Tag 02 of the issuer's data: the version of the card specification, as text."""


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """What a card says of itself: chip serial (8 bytes) in the ATR, the rest in DDF1's FCI.

    `spec` is 10 or 20 (hex) for specification 1.0 or 2.0, `region` the 8-byte region factor.
    """

    chip: bytes
    spec: int
    cipher: Cipher
    key_version: int
    region: bytes

    @classmethod
    def parse(cls, fci: bytes, atr: bytes) -> "CardIdentity":
        """Take apart DDF1's FCI and the ATR; CardError when they are no health card's."""
        issuer_data = find_ber(fci, 0x6F, 0xA5)
        card = None if issuer_data is None else find_ber(issuer_data, 0xC1)
        region = None if issuer_data is None else find_ber(issuer_data, 0xC2)
        if card is None or region is None or len(card) != 3 or len(region) != 8:
            raise CardError("not a personalized health card: its FCI does not say so")
        if card[1] not in list(Cipher):
            raise CardError(f"the card's cipher {card[1]:02X} is unknown")
        if card[0] >> 4 not in (1, 2):
            raise CardError(f"the card's specification {card[0] >> 4}.{card[0] & 15} is unknown")
        return cls(chip_serial(atr), card[0], Cipher(card[1]), card[2], region)

    @property
    def protocol(self) -> int:
        """The version of secure messaging that the card speaks."""
        return self.spec >> 4

    @property
    def spec_text(self) -> str:
        """The specification's version as the card's files have it: 1.0 or 2.0."""
        return f"{self.spec >> 4}.{self.spec & 15}"

    def is_of_version(self, record: bytes) -> bool:
        """Whether the record with tag 02 of the issuer's data names the same specification."""
        head = bytes((VERSION_FIELD.tag or 0, VERSION_FIELD.length))
        state, value, _ = decode(VERSION_FIELD, record[2:])
        return record[:2] == head and state is State.VALUE and value == self.spec_text

    def __str__(self) -> str:
        return (
            f"chip {self.chip.hex().upper()}, spec {self.spec_text}, "
            f"{self.cipher.name} keys version {self.key_version}, "
            f"region {self.region.decode('ascii', 'replace')}"
        )
