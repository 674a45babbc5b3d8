"""Encode and decode command and response APDUs, short and extended (ISO/IEC 7816-3:2006 12.1)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

from .errors import FormatError
from .status import is_success

Transmit = Callable[[bytes], bytes]
"""A function that sends one command APDU and returns the response APDU (data, 2 status bytes)."""

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
    """A command APDU: header, data (0 to 65535 bytes) and Le, the most bytes expected back.

    `le` is None when no data is expected, else 1 to 65536 (256 and 65536 are coded as zeros).
    `extended` asks for the extended form. A command that the short form cannot carry is always
    extended.
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
        """Raises FormatError when a value does not fit its field."""
        if (cla | ins | p1 | p2) & ~0xFF:
            raise FormatError("CLA, INS, P1 and P2 must be 0 to 255")
        if len(data) > MAX_EXTENDED_DATA:
            raise FormatError(f"the command data has {len(data)} bytes; at most 65535 fit")
        if le is not None and not 1 <= le <= MAX_EXTENDED_LE:
            raise FormatError(f"Le is {le}; it must be 1 to 65536")
        return super().__new__(cls, cla, ins, p1, p2, data, le, extended)

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2, 4 bytes."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def is_extended(self) -> bool:
        """Whether the command is encoded with extended lengths."""
        _, _, _, _, data, le, extended = self
        if extended:
            return bool(data) or le is not None
        return len(data) > MAX_SHORT_DATA or (le or 0) > MAX_SHORT_LE

    def __bytes__(self) -> bytes:
        """Encode the command (ISO/IEC 7816-3 12.1.3, figures 13 to 15)."""
        cla, ins, p1, p2, data, le, _ = self
        length = len(data)
        if not self.is_extended:
            end = b"" if le is None else bytes((le & 0xFF,))
            if length:
                return bytes((cla, ins, p1, p2, length)) + data + end
            return bytes((cla, ins, p1, p2)) + end
        body = b"\0" + (length.to_bytes(2, "big") + self.data if length else b"")
        return self.header + body + (b"" if le is None else (le & 0xFFFF).to_bytes(2, "big"))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Decode a command. Raises FormatError when its lengths do not agree with its size."""
        size = len(raw)
        if size < 4:
            raise FormatError(f"the command has {size} bytes; it needs at least 4")
        data, le, extended = _parse_body(raw, size)
        # Not through __new__: the parsed lengths need no second check.
        return tuple.__new__(cls, (raw[0], raw[1], raw[2], raw[3], data, le, extended))

    def _replace(self, **changes: Any) -> Self:
        """Return the command with other values in these fields, checked again."""
        return type(self)(**(self._asdict() | changes))

    def with_le(self, le: int | None) -> Self:
        """Return the command with another Le."""
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
        raise FormatError(f"Lc says {raw[4]} bytes, but {size - 5} follow it")
    if size == 7:
        return b"", int.from_bytes(raw[5:7], "big") or MAX_EXTENDED_LE, True
    length = int.from_bytes(raw[5:7], "big")
    end = 7 + length
    if length and size == end:
        return raw[7:end], None, True
    if length and size == end + 2:
        return raw[7:end], int.from_bytes(raw[end:], "big") or MAX_EXTENDED_LE, True
    raise FormatError(f"the extended Lc says {length} bytes, but {size - 7} follow it")


class ResponseAPDU(NamedTuple):
    """A response APDU: data (0 to 65536 bytes) and the status word as a number."""

    data: bytes
    sw: int

    def __bytes__(self) -> bytes:
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def parse(cls, raw: bytes) -> "ResponseAPDU":
        """Decode a response. Raises FormatError when it is shorter than its two status bytes."""
        if len(raw) < 2:
            raise FormatError(f"the response has {len(raw)} bytes; it needs at least 2")
        return cls(raw[:-2], int.from_bytes(raw[-2:], "big"))

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000 or 61xx."""
        return is_success(self.sw)
