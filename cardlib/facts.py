"""Types for values that have a rule (chip serial, region, PIN, spec version), and the AIDs."""

from enum import IntEnum
from typing import Self

from .errors import FormatError

HEALTH_APPLICATION = bytes.fromhex("F052484301")
"""AID of DDF1, the health application (card specification 1): category F, not registered."""

SAM_APPLICATION = bytes.fromhex("F052484302")
"""AID of DF01 of a SAM (card specification 3): category F, not registered."""

SECURITY_DOMAIN = bytes.fromhex("A000000151000000")
"""AID of the issuer security domain (GlobalPlatform Card 2.3.1, appendix H)."""

MF_ID, DDF1_ID, SAM_ID = 0x3F00, 0xDDF1, 0xDF01
"""File identifiers of the master file, of the health application, and of a SAM's application."""

TRANSPORT_KEY_VERSION, ISSUER_KEY_VERSION = 0xFF, 0x01
"""Versions of the SCP03 key sets: the card maker's on a blank card, then the issuer's."""


class ChipSerial(bytes):
    """A chip's serial number, 8 bytes. `str` gives its 16 hexadecimal digits.

    Raises FormatError when the length is not 8.
    """

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != 8:
            raise FormatError(f"a chip serial has 8 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def parse(cls, digits: str) -> Self:
        """Read 16 hexadecimal digits. Raises FormatError when the text is anything else."""
        try:
            return cls(bytes.fromhex(digits))
        except ValueError:
            raise FormatError(f"{digits!r} is not a chip serial: write 16 hex digits") from None

    def __str__(self) -> str:
        return self.hex().upper()

    __repr__ = __str__

    @property
    def as_field(self) -> str:
        """The text of the field chip_serial_number: the last 10 digits (card specification 2)."""
        return str(self)[-10:]


class Region(bytes):
    """The region factor of level-2 keys, 8 bytes (card specification 3).

    Raises FormatError when the length is not 8.
    """

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != 8:
            raise FormatError(f"a region factor has 8 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def of_city(cls, city_code: str) -> Self:
        """Take the first two digits of the city code and add six zeros, in ASCII.

        Raises FormatError when the city code does not begin with two digits.
        """
        if not (city_code[:2].isascii() and city_code[:2].isdigit() and len(city_code) >= 2):
            raise FormatError("a city code must begin with two digits")
        return cls(city_code[:2].encode("ascii") + b"000000")

    def __str__(self) -> str:
        return self.decode("ascii", "replace")


class Pin(str):
    """A holder's PIN, 6 decimal digits. Its `repr` does not show them.

    Raises FormatError when the text is not 6 decimal digits.
    """

    __slots__ = ()

    LENGTH = 6
    TRIES = 3

    def __new__(cls, digits: str) -> Self:
        if not (len(digits) == cls.LENGTH and digits.isascii() and digits.isdigit()):
            raise FormatError("a PIN must have 6 digits")
        return super().__new__(cls, digits)

    def __repr__(self) -> str:
        return "<PIN>"

    @property
    def digits(self) -> bytes:
        """The PIN as VERIFY carries it, 6 ASCII digits (card specification 5a)."""
        return self.encode("ascii")

    @property
    def block(self) -> bytes:
        """The PIN as an ISO 9564-1 format 2 block, 8 bytes, for DGI 8010 (card specification 6)."""
        return bytes.fromhex(f"2{self.LENGTH}{self}".ljust(16, "F"))


class SpecVersion(IntEnum):
    """The version of the card specification, coded as in the FCI: 10 or 20 (hex)."""

    V1 = 0x10
    V2 = 0x20

    @classmethod
    def of_protocol(cls, protocol: int) -> "SpecVersion":
        """Return the specification of cards with version 1 or 2 of secure messaging."""
        return cls(protocol << 4)

    @property
    def protocol(self) -> int:
        """The version of secure messaging that such cards use: 1 or 2."""
        return self >> 4

    @property
    def text(self) -> str:
        """The version as the field spec_version shows it: 1.0 or 2.0."""
        return f"{self >> 4}.{self & 15}"
