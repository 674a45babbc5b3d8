"""How long a command would take on a real card: the wire at the ATR's speed, and the memory.

A character takes 12 elementary time units under both protocols, for the ATR asks for no extra
guard time (ISO/IEC 7816-3:2006 8.3, 10.3, 11.2). T=0 sends a header of 5, a procedure byte before
data, and fetches what a command with data answers by GET RESPONSE; extended length travels in
ENVELOPEs (10.3, 12.2). T=1 sends blocks of at most IFS bytes with 4 around them, and waits 22
units between the directions (11.3, 11.4.3). Memory is programmed a page at a time.
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
    """The model's constants.

    `protocol` is 0 or 1, `clock_hz` the reader's clock, `ta1` the ATR's speed byte, `ifs` the
    bytes of a T=1 block, `page_write_ms` the time to program a 256-byte page, `command_ms`
    the card's own time for any command. FormatError for a protocol or speed that is not defined.
    """

    protocol: int = 1
    clock_hz: int = 4_000_000
    ta1: int = 0x96
    ifs: int = 254
    page_write_ms: float = 6.0
    command_ms: float = 2.0

    def __post_init__(self) -> None:
        if self.protocol not in (0, 1):
            raise FormatError(f"no protocol T={self.protocol}")
        if self.ta1 >> 4 not in _FI or self.ta1 & 0x0F not in _DI:
            raise FormatError(f"TA1 {self.ta1:02X} is reserved")

    @property
    def etu_ms(self) -> float:
        """One elementary time unit in ms (ISO/IEC 7816-3 7.1)."""
        return _FI[self.ta1 >> 4] / _DI[self.ta1 & 0x0F] / self.clock_hz * 1000

    def exchange_ms(self, command: bytes, response: bytes, page_writes: int = 0) -> float:
        """The time of one command and its response in ms."""
        if self.protocol:
            etu = self._blocks_etu(len(command)) + self._blocks_etu(len(response))
        else:
            etu = _t0_characters(command, len(response) - _STATUS) * _CHARACTER
        return etu * self.etu_ms + self.command_ms + page_writes * self.page_write_ms

    def _blocks_etu(self, length: int) -> int:
        """A chain of T=1 blocks; each but the last is acknowledged by a block without data."""
        blocks = max(1, -(-length // self.ifs))
        sent = 2 * blocks - 1
        between = _BLOCK_GUARD - _CHARACTER
        return (length + sent * _BLOCK_OVERHEAD) * _CHARACTER + sent * between


def _t0_characters(raw: bytes, answered: int) -> int:
    """Characters in both directions; `answered` is the data of the response."""
    if len(raw) <= _T0_HEADER:
        return _T0_HEADER + (_PROCEDURE_BYTE + answered if answered else 0) + _STATUS
    length = raw[4]
    if length:
        sent = _T0_HEADER + length + _PROCEDURE_BYTE + _STATUS
    else:
        pieces = -(-len(raw) // MAX_SHORT_DATA)
        sent = len(raw) + pieces * _T0_FETCH
    return sent + answered + -(-answered // MAX_SHORT_LE) * _T0_FETCH
