"""Send commands to a card over a connection, and show each exchange to observers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, runtime_checkable

from .apdu import MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU, ResponseAPDU, Transmit
from .errors import FormatError


class Connection(Protocol):
    """One card that has power. Raises TransportError when a command or its answer is lost."""

    @property
    def atr(self) -> bytes:
        """The answer to reset, 2 to 33 bytes (ISO/IEC 7816-3 8)."""
        ...

    def transmit(self, command: bytes, /) -> bytes:
        """Send one command APDU; return the response APDU (data and 2 status bytes)."""
        ...

    def reset(self) -> bytes:
        """Reset the card; return its ATR."""
        ...


def send(transmit: Transmit, command: CommandAPDU, *, may_repeat: bool = True) -> ResponseAPDU:
    """Send a command. Follow 6Cxx once, and 61xx to the end (ISO/IEC 7816-4 5.6, 7.6.1).

    `may_repeat` is False for a protected command, because secure messaging counts commands: 6Cxx
    is then the answer. Raises FormatError when the card announces more than 65536 bytes, or
    announces bytes and sends none.
    """
    response = ResponseAPDU.parse(transmit(bytes(command)))
    if may_repeat and response.sw >> 8 == 0x6C and not response.data:
        again = command.with_le(response.sw & 0xFF or MAX_SHORT_LE)
        response = ResponseAPDU.parse(transmit(bytes(again)))
    return _whole(transmit, command.cla, response)


def send_bytes(transmit: Transmit, command: bytes) -> ResponseAPDU:
    """Send an encoded command once; follow 61xx to the end. Raises FormatError as `send` does."""
    return _whole(transmit, command[0], ResponseAPDU.parse(transmit(command)))


def _whole(transmit: Transmit, cla: int, response: ResponseAPDU) -> ResponseAPDU:
    if response.sw >> 8 != 0x61:
        return response
    data = bytearray(response.data)
    while response.sw >> 8 == 0x61:
        more = CommandAPDU(cla & 0x03, 0xC0, 0, 0, le=response.sw & 0xFF or MAX_SHORT_LE)
        response = ResponseAPDU.parse(transmit(bytes(more)))
        data += response.data
        if len(data) > MAX_EXTENDED_LE or (not response.data and response.sw >> 8 == 0x61):
            raise FormatError("GET RESPONSE: the card announces bytes that it does not send")
    return ResponseAPDU(bytes(data), response.sw)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command APDU and its response APDU. A reset has no command; its response is the ATR.

    `seconds` is how long it took on this computer. Only a software card fills in the rest: `plain`
    is the command without its secure messaging, `refusal` says why the card refused it,
    `page_writes` counts the memory pages that were written.
    """

    command: bytes
    response: bytes
    seconds: float = 0.0
    plain: CommandAPDU | None = None
    refusal: str = ""
    page_writes: int = 0


class Observer(Protocol):
    """An object that is shown each exchange after it happened. It must not change anything."""

    def saw(self, exchange: Exchange, /) -> None:
        """Look at one exchange."""
        ...


@runtime_checkable
class Observable(Protocol):
    """A connection that informs observers itself because it knows more: a software card."""

    observers: tuple[Observer, ...]


@contextmanager
def observed(connection: Connection, *observers: Observer) -> Iterator[Connection]:
    """Give a connection whose exchanges are shown to the observers until the block ends."""
    if not isinstance(connection, Observable):
        yield Observed(connection, *observers)
        return
    before = connection.observers
    connection.observers = (*before, *observers)
    try:
        yield connection
    finally:
        connection.observers = before


class Around:
    """A Connection around another one, of which a class may change a part."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._connection.atr

    @property
    def extended_length(self) -> bool | None:
        """Whether the reader carries extended length; None if the connection does not know."""
        known: bool | None = getattr(self._connection, "extended_length", None)
        return known

    def transmit(self, command: bytes) -> bytes:
        """Send a command; return its response."""
        return self._connection.transmit(command)

    def reset(self) -> bytes:
        """Reset the card; return its ATR."""
        return self._connection.reset()


class Observed(Around):
    """Shows every exchange to the observers.

    A command that raises is not shown: nobody knows whether the card received it.
    """

    def __init__(self, connection: Connection, *observers: Observer) -> None:
        super().__init__(connection)
        self._observers = observers

    def transmit(self, command: bytes) -> bytes:
        """Send a command, and show it with its response."""
        start = perf_counter()
        response = self._connection.transmit(command)
        self._tell(Exchange(command, response, perf_counter() - start))
        return response

    def reset(self) -> bytes:
        """Reset the card, and show the reset."""
        atr = self._connection.reset()
        self._tell(Exchange(b"", atr))
        return atr

    def _tell(self, exchange: Exchange) -> None:
        for observer in self._observers:
            observer.saw(exchange)
