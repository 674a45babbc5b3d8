"""Connect to cards in the readers of this computer, through PC/SC (pcsc-lite)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Self

from ..errors import TransportError
from . import pcsc_service as service
from .extended_length import control_code, in_properties
from .pcsc_errors import (
    AmbiguousReader,
    CardPulledOut,
    CardWasReset,
    NoCard,
    NoReader,
    PcscNotRunning,
    PcscRestarted,
    ReaderInUse,
)
from .pcsc_readers import Reader, find_reader, list_readers, wait_for_card
from .pcsc_service import (
    GONE,
    NO_READER,
    SUCCESS,
    UNAWARE,
    WATCH_GONE,
    constants,
    establish,
    failure,
    service_gone,
)

__all__ = [
    "NO_READER", "AmbiguousReader", "CardProtocol", "CardPulledOut", "CardWasReset", "NoCard",
    "NoReader", "PcscConnection", "PcscNotRunning", "PcscRestarted", "Reader", "ReaderInUse",
    "find_reader", "list_readers", "open_reader", "wait_for_card",
]  # fmt: skip


class CardProtocol(IntEnum):
    """The transmission protocol: T=0, T=1 (ISO/IEC 7816-3), or the one that the service chooses."""

    T0 = 1
    T1 = 2
    ANY = 3


_PCI: dict[int, int] = {1: constants.SCARD_PCI_T0, 2: constants.SCARD_PCI_T1}
_UNUSABLE = {
    0: "the reader gives no transmission protocol",
    4: "the reader hands the card over raw, without T=0 or T=1",
    8: "the reader uses T=15, which carries no commands",
}
_GET_FEATURES: int = constants.SCARD_CTL_CODE(3400)
_SHARED: int = constants.SCARD_SHARE_SHARED
_EXCLUSIVE: int = constants.SCARD_SHARE_EXCLUSIVE
_LEAVE: int = constants.SCARD_LEAVE_CARD
_RESET: int = constants.SCARD_RESET_CARD
_UNPOWER: int = constants.SCARD_UNPOWER_CARD
_BROKEN = {constants.SCARD_E_NOT_TRANSACTED, constants.SCARD_F_COMM_ERROR}
_STATUS_BYTES = 2
RESETS_BORNE = 5
"""How many resets by other programs, one after the other, are borne before our first command."""
_NOTICE_TIME = 1.5
"""Seconds to wait until pcscd notices that a card was removed (it looks every 0.4 s)."""
_LOOK_AGAIN = 0.1


def open_reader(
    choice: str | int | None = None,
    protocol: CardProtocol = CardProtocol.ANY,
    *,
    exclusive: bool = False,
) -> "PcscConnection":
    """Connect to the card in a reader, chosen as by `find_reader`.

    Unless `exclusive` is set, other programs can send commands between ours: use `transaction`.
    Raises NoReader, AmbiguousReader, NoCard, ReaderInUse, PcscNotRunning or TransportError.
    """
    return PcscConnection(find_reader(choice).name, protocol, exclusive=exclusive)


class PcscConnection:
    """A card in a reader: a Connection that is also a context manager.

    Commands are sent unchanged, also under T=0: cardlib.exchange.send follows 61xx and 6Cxx. After
    the card was pulled out, or pcscd ended, the connection cannot be used: open a new one.
    """

    def __init__(self, reader: str, protocol: CardProtocol, *, exclusive: bool = False) -> None:
        self.reader = reader
        self._sharing = _EXCLUSIVE if exclusive else _SHARED
        self._pulled_out, self._card = False, 0
        self._context = establish()
        try:
            self._card_changes = self._count_card_changes()
            result, card, active = service.calls.SCardConnect(
                self._context, reader, self._sharing, protocol
            )
            if result != SUCCESS:
                raise failure(result, reader)
            self._card = card
            self.protocol, self._atr = self._taken_up(active)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<card in {self.reader}, {self.protocol.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def atr(self) -> bytes:
        """The answer to the last reset."""
        return self._atr

    @property
    def extended_length(self) -> bool | None:
        """Whether the reader carries extended length; None if it does not say. T=0 does not."""
        if self.protocol is CardProtocol.T0:
            return False
        code = control_code(self._control(_GET_FEATURES))
        return None if code is None else in_properties(self._control(code))

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU; return the response APDU (data and 2 status bytes)."""
        result, response = service.calls.SCardTransmit(
            self._card, _PCI[self.protocol], list(command)
        )
        if result != SUCCESS:
            raise self._lost(result)
        if len(response) < _STATUS_BYTES:
            raise self._lost(constants.SCARD_E_NOT_TRANSACTED)
        return bytes(response)

    def reset(self, *, cold: bool = False) -> bytes:
        """Reset the card and return its ATR. `cold` turns its power off first."""
        how = _UNPOWER if cold else _RESET
        result, active = service.calls.SCardReconnect(self._card, self._sharing, self.protocol, how)
        if result != SUCCESS:
            raise self._lost(result)
        protocol, atr = self._taken_up(active)
        if self._is_gone():
            raise self._lost(constants.SCARD_W_REMOVED_CARD)
        self.protocol, self._atr = protocol, atr
        return atr

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep other programs from sending commands until the block ends."""
        result = service.calls.SCardBeginTransaction(self._card)
        if result != SUCCESS:
            raise self._lost(result)
        try:
            yield
        finally:
            service.calls.SCardEndTransaction(self._card, _LEAVE)

    def close(self, *, reset: bool = True) -> None:
        """Release the card. It is reset, so that no other program gets its rights and sessions."""
        context, self._context = self._context, 0
        if context:
            try:
                if self._card:
                    service.calls.SCardDisconnect(self._card, _RESET if reset else _LEAVE)
            finally:
                service.calls.SCardReleaseContext(context)

    def _usable(self, active: int) -> CardProtocol:
        """Return the protocol that the service chose. Without T=0 or T=1 the connection closes."""
        if active in _PCI:
            return CardProtocol(active)
        self.close()
        why = _UNUSABLE.get(active, "the reader does not say which transmission protocol it uses")
        raise TransportError(f"{self.reader}: {why} (PC/SC protocol {active}): use another reader")

    def _control(self, code: int) -> bytes:
        """Ask the reader's driver; the answer is empty if it does not know the question."""
        result, answer = service.calls.SCardControl(self._card, code, [])
        return bytes(answer) if result == SUCCESS else b""

    def _taken_up(self, active: int) -> tuple[CardProtocol, bytes]:
        """Return protocol and ATR of the card, which has had no command of ours yet.

        If another program resets it just now, nothing of ours is lost, and it is taken up again.
        """
        protocol = self._usable(active)
        for _ in range(RESETS_BORNE):
            result, _, _, _, atr = service.calls.SCardStatus(self._card)
            if result == SUCCESS:
                return protocol, bytes(atr)
            if result == constants.SCARD_W_RESET_CARD:
                result, active = service.calls.SCardReconnect(
                    self._card, self._sharing, protocol, _LEAVE
                )
            if result != SUCCESS:
                raise self._lost(result)
            protocol = self._usable(active)
        raise failure(constants.SCARD_W_RESET_CARD, self.reader)

    def _lost(self, result: int) -> TransportError:
        """Find out why a call failed, as far as pcscd can tell."""
        if not (self._context or self._pulled_out):
            return failure(result, self.reader)
        end = time.monotonic() + (_NOTICE_TIME if result in _BROKEN else 0)
        while not self._is_gone():
            if self._service_ended(result):
                return service_gone(self.reader)
            if time.monotonic() >= end:
                return failure(result, self.reader)
            time.sleep(_LOOK_AGAIN)
        return failure(constants.SCARD_W_REMOVED_CARD, self.reader)

    def _service_ended(self, result: int) -> bool:
        """Whether the pcscd that we were connected to is gone, after a call with this result."""
        return result in GONE or self._count_card_changes() is None

    def _is_gone(self) -> bool:
        """Whether the card was pulled out; no command may reach the card that is in now."""
        if not self._pulled_out:
            count = self._count_card_changes()
            if count is not None and count != self._card_changes:
                self._pulled_out = True
                self.close(reset=False)
        return self._pulled_out

    def _count_card_changes(self) -> int | None:
        """How often a card was inserted or removed: pcscd's count (high half); 0 if unknown.

        None when pcscd has ended.
        """
        look = [(self.reader, UNAWARE)]
        result, states = service.calls.SCardGetStatusChange(self._context, 0, look)
        if result in WATCH_GONE:
            return None
        return states[0][1] >> 16 if result == SUCCESS else 0
