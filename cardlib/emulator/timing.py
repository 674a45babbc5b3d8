"""How long a command would take on a real card: the wire at the ATR's speed, and the memory.

T=0 sends every byte as a character of 12 elementary time units, T=1 of 11 in blocks of at most
IFS bytes with 4 bytes around them and a guard time between the two directions
(ISO/IEC 7816-3:2006 7.2, 10.3, 11.3, 11.4). Memory is programmed a page at a time.
"""

from dataclasses import dataclass

_FI = {
    1: 372,
    2: 558,
    3: 744,
    4: 1116,
    5: 1488,
    6: 1860,
    9: 512,
    10: 768,
    11: 1024,
    12: 1536,
    13: 2048,
}
_DI = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 64, 8: 12, 9: 20}
_T0_CHARACTER, _T1_CHARACTER = 12, 11
_T0_HEADER = 5
_BLOCK_OVERHEAD, _BLOCK_GUARD = 4, 22


@dataclass(frozen=True, slots=True)
class CardTiming:
    """The model's constants.

    `protocol` is 0 or 1, `clock_hz` the reader's clock, `ta1` the ATR's speed byte, `ifs` the
    bytes of a T=1 block, `page_write_ms` the time to program a 256-byte page, `command_ms`
    the card's own time for any command.
    """

    protocol: int = 1
    clock_hz: int = 4_000_000
    ta1: int = 0x96
    ifs: int = 254
    page_write_ms: float = 6.0
    command_ms: float = 2.0

    @property
    def etu_ms(self) -> float:
        """One elementary time unit in ms (ISO/IEC 7816-3 7.1)."""
        return _FI[self.ta1 >> 4] / _DI[self.ta1 & 0x0F] / self.clock_hz * 1000

    def exchange_ms(self, command: bytes, response: bytes, page_writes: int = 0) -> float:
        """The time of one command and its response in ms."""
        etu = self._t1_etu if self.protocol else self._t0_etu
        wire = etu(len(command), len(response)) * self.etu_ms
        return wire + self.command_ms + page_writes * self.page_write_ms

    def _t0_etu(self, command: int, response: int) -> int:
        """Header, procedure byte, data one way; a GET RESPONSE for data the other way too."""
        sent = max(command, _T0_HEADER) + 1
        case_4 = command > _T0_HEADER and response > 2
        return (sent + response + (_T0_HEADER + 3 if case_4 else 0)) * _T0_CHARACTER

    def _t1_etu(self, command: int, response: int) -> int:
        """Blocks each way; every block but the last is acknowledged by one without data."""
        total = 0
        for length in (command, response):
            blocks = -(-length // self.ifs)
            acknowledgements = blocks - 1
            characters = length + (blocks + acknowledgements) * _BLOCK_OVERHEAD
            total += characters * _T1_CHARACTER + (blocks + acknowledgements) * _BLOCK_GUARD
        return total
