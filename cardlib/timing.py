"""Calculate how long a command would take on a real card: transmission and memory writes.

A character takes 12 elementary time units under both protocols, because the ATR asks for no extra
guard time (ISO/IEC 7816-3:2006 8.3, 10.3, 11.2). T=0 sends a header of 5 bytes and a procedure
byte before data; the answer to a command with data is fetched by GET RESPONSE, and extended length
is sent in ENVELOPE commands (10.3, 12.2). T=1 sends blocks of at most IFS bytes plus 4, and waits
22 units before the direction changes (11.3, 11.4.3). Memory is written one page at a time.
"""

from dataclasses import dataclass

from .apdu import MAX_SHORT_DATA, MAX_SHORT_LE
from .errors import FormatError

_FI = {0: 372, 1: 372, 2: 558, 3: 744, 4: 1116, 5: 1488, 6: 1860,
       9: 512, 10: 768, 11: 1024, 12: 1536, 13: 2048}  # fmt: skip
_DI = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 64, 8: 12, 9: 20}
_CHARACTER, _BLOCK_GUARD = 12, 22
_T0_HEADER, _PROCEDURE_BYTE, _STATUS = 5, 1, 2
_T0_FETCH = _T0_HEADER + _PROCEDURE_BYTE + _STATUS
_BLOCK_OVERHEAD = 4


@dataclass(frozen=True, slots=True)
class CardTiming:
    """The constants of the calculation.

    `protocol` is 0 or 1, `clock_hz` the reader's clock, `ta1` the ATR's speed byte, `ifs` the
    bytes of a T=1 block, `page_write_ms` the time to write a 256-byte page, `command_ms` the
    card's own time for any command. Raises FormatError when the standard does not define the
    protocol or the speed.
    """

    protocol: int = 1
    clock_hz: int = 4_000_000
    ta1: int = 0x96
    ifs: int = 254
    page_write_ms: float = 6.0
    command_ms: float = 2.0

    def __post_init__(self) -> None:
        if self.protocol not in (0, 1):
            raise FormatError(f"there is no protocol T={self.protocol}: use 0 or 1")
        if self.ta1 >> 4 not in _FI or self.ta1 & 0x0F not in _DI:
            raise FormatError(f"TA1 {self.ta1:02X} is reserved by ISO/IEC 7816-3")

    @property
    def etu_ms(self) -> float:
        """One elementary time unit in ms (ISO/IEC 7816-3 7.1)."""
        return _FI[self.ta1 >> 4] / _DI[self.ta1 & 0x0F] / self.clock_hz * 1000

    def exchange_ms(self, command: bytes, response: bytes, page_writes: int = 0) -> float:
        """Return the time of one command and its response, in ms."""
        if self.protocol:
            etu = self._blocks_etu(len(command)) + self._blocks_etu(len(response))
        else:
            etu = _t0_characters(command, len(response) - _STATUS) * _CHARACTER
        return etu * self.etu_ms + self.command_ms + page_writes * self.page_write_ms

    def _blocks_etu(self, length: int) -> int:
        """Time a chain of T=1 blocks; all but the last are acknowledged by an empty block."""
        blocks = max(1, -(-length // self.ifs))
        sent = 2 * blocks - 1
        between = _BLOCK_GUARD - _CHARACTER
        return (length + sent * _BLOCK_OVERHEAD) * _CHARACTER + sent * between


def _t0_characters(raw: bytes, answered: int) -> int:
    """Count the characters in both directions; `answered` is the length of the response data."""
    if len(raw) <= _T0_HEADER:
        return _T0_HEADER + (_PROCEDURE_BYTE + answered if answered else 0) + _STATUS
    length = raw[4]
    if length:
        sent = _T0_HEADER + length + _PROCEDURE_BYTE + _STATUS
    else:
        pieces = -(-len(raw) // MAX_SHORT_DATA)
        sent = len(raw) + pieces * _T0_FETCH
    return sent + answered + -(-answered // MAX_SHORT_LE) * _T0_FETCH
