"""Command and response APDUs, cases 1 to 4, short and extended (ISO/IEC 7816-3:2006 12.1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from .errors import FormatError
from .status import is_success

Transmit = Callable[[bytes], bytes]
"""One command APDU in, one response APDU (data and two status bytes) out."""

MAX_SHORT_DATA = 255
MAX_SHORT_LE = 256
MAX_EXTENDED_DATA = 65535
MAX_EXTENDED_LE = 65536


class _Command(NamedTuple):
    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None
    extended: bool = False


class CommandAPDU(_Command):
    """A command: header, data (0..65535 bytes) and Ne, the most bytes expected back.

    `le` is None when no data is expected, else 1..65536 (256 and 65536 are coded as zeros).
    `extended` asks for the extended form; it is implied where the short one cannot carry it.
    """

    # A named tuple and not a dataclass: a frozen one takes four times as long to make.
    __slots__ = ()

    def __new__(  # noqa: PLR0917  # the fields, in their order
        cls,
        cla: int,
        ins: int,
        p1: int,
        p2: int,
        data: bytes = b"",
        le: int | None = None,
        extended: bool = False,
    ) -> Self:
        """FormatError where a value does not fit its field."""
        if (cla | ins | p1 | p2) & ~0xFF:
            raise FormatError("CLA, INS, P1 and P2 are bytes")
        if len(data) > MAX_EXTENDED_DATA:
            raise FormatError(f"command data of {len(data)} bytes, at most 65535 fit")
        if le is not None and not 1 <= le <= MAX_EXTENDED_LE:
            raise FormatError(f"Le {le} is not 1..65536")
        return super().__new__(cls, cla, ins, p1, p2, data, le, extended)

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2, 4 bytes."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def is_extended(self) -> bool:
        """Whether the encoding takes three-byte lengths."""
        too_long = len(self.data) > MAX_SHORT_DATA or (self.le or 0) > MAX_SHORT_LE
        return too_long or (self.extended and (bool(self.data) or self.le is not None))

    def __bytes__(self) -> bytes:
        """Encode; ISO/IEC 7816-3 12.1.3 figures 13 to 15."""
        length, le = len(self.data), self.le
        if not self.is_extended:
            body = bytes((length,)) + self.data if length else b""
            return self.header + body + (b"" if le is None else bytes((le & 0xFF,)))
        body = b"\0" + (length.to_bytes(2, "big") + self.data if length else b"")
        return self.header + body + (b"" if le is None else (le & 0xFFFF).to_bytes(2, "big"))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Decode bytes; FormatError when the lengths in it disagree with its size."""
        size = len(raw)
        if size < 4:
            raise FormatError(f"command of {size} bytes, at least 4 are needed")
        data, le, extended = _parse_body(raw, size)
        # Straight from the tuple: the lengths that were parsed need no second check.
        return tuple.__new__(cls, (raw[0], raw[1], raw[2], raw[3], data, le, extended))

    def _replace(self, **changes: Any) -> Self:
        """The same command with other values in these fields, checked as in any command."""
        return type(self)(**(self._asdict() | changes))

    def with_le(self, le: int | None) -> Self:
        """The same command expecting another number of bytes."""
        return self._replace(le=le)


def _parse_body(raw: bytes, size: int) -> tuple[bytes, int | None, bool]:
    if size == 4:
        return b"", None, False
    if size == 5:
        return b"", raw[4] or MAX_SHORT_LE, False
    if raw[4]:
        end = 5 + raw[4]
        if size == end:
            return raw[5:end], None, False
        if size == end + 1:
            return raw[5:end], raw[end] or MAX_SHORT_LE, False
        raise FormatError(f"Lc says {raw[4]} bytes, the command has {size - 5}")
    if size == 7:
        return b"", int.from_bytes(raw[5:7], "big") or MAX_EXTENDED_LE, True
    length = int.from_bytes(raw[5:7], "big")
    end = 7 + length
    if length and size == end:
        return raw[7:end], None, True
    if length and size == end + 2:
        return raw[7:end], int.from_bytes(raw[end:], "big") or MAX_EXTENDED_LE, True
    raise FormatError(f"extended Lc says {length} bytes, the command has {size - 7}")


@dataclass(frozen=True, slots=True)
class ResponseAPDU:
    """A response: data (0..65536 bytes) and the status word as a number."""

    data: bytes
    sw: int

    def __bytes__(self) -> bytes:
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def parse(cls, raw: bytes) -> "ResponseAPDU":
        """Decode bytes; FormatError when there are not even two status bytes."""
        if len(raw) < 2:
            raise FormatError(f"response of {len(raw)} bytes, at least 2 are needed")
        return cls(raw[:-2], int.from_bytes(raw[-2:], "big"))

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000 or 61xx."""
        return is_success(self.sw)
