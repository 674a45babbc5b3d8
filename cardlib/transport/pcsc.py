"""Connect to cards in the readers of this computer, through PC/SC (pcsc-lite) and pyscard.

No other module imports pyscard. Its low level is used because it gives the result of every call.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import smartcard.scard

from ..errors import TransportError
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
from .scard import Scard

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


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader: its number (from 0), its name, and the ATR of the card in it (empty if none).

    `in_use` says that a program is connected to the card, `mute` that a card does not answer.
    """

    number: int
    name: str
    atr: bytes
    in_use: bool = False
    mute: bool = False

    def __str__(self) -> str:
        return f"{self.number} ({self.name})"


_constants: Any = smartcard.scard
_scard: Scard = smartcard.scard
_SUCCESS: int = _constants.SCARD_S_SUCCESS
_PCI: dict[int, int] = {1: _constants.SCARD_PCI_T0, 2: _constants.SCARD_PCI_T1}
_UNUSABLE = {
    0: "the reader gives no transmission protocol",
    4: "the reader hands the card over raw, without T=0 or T=1",
    8: "the reader uses T=15, which carries no commands",
}
_GET_FEATURES: int = _constants.SCARD_CTL_CODE(3400)
_UNAWARE: int = _constants.SCARD_STATE_UNAWARE
_IN_USE: int = _constants.SCARD_STATE_INUSE | _constants.SCARD_STATE_EXCLUSIVE
_MUTE: int = _constants.SCARD_STATE_MUTE
_SHARED: int = _constants.SCARD_SHARE_SHARED
_EXCLUSIVE: int = _constants.SCARD_SHARE_EXCLUSIVE
_LEAVE: int = _constants.SCARD_LEAVE_CARD
_RESET: int = _constants.SCARD_RESET_CARD
_UNPOWER: int = _constants.SCARD_UNPOWER_CARD
_BROKEN = {_constants.SCARD_E_NOT_TRANSACTED, _constants.SCARD_F_COMM_ERROR}
_GONE = {
    _constants.SCARD_E_NO_SERVICE,
    _constants.SCARD_E_SERVICE_STOPPED,
    _constants.SCARD_E_INVALID_HANDLE,
}
_STATUS_BYTES = 2
_NOTICE_TIME = 1.5
"""Seconds to wait until pcscd notices that a card was removed (it looks every 0.4 s)."""
_LOOK_AGAIN = 0.1

NO_READER = "no reader is connected: plug one in. Most readers need the package libccid"

_FAILURES: dict[int, tuple[type[TransportError], str]] = {
    _constants.SCARD_E_NO_SERVICE: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    _constants.SCARD_E_SERVICE_STOPPED: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    _constants.SCARD_W_SECURITY_VIOLATION: (
        PcscNotRunning,
        "pcscd refuses this user: polkit has no rule that allows access_pcsc, or pcscd cannot"
        " reach polkit (a container has none: start pcscd with --disable-polkit)"),
    _constants.SCARD_E_NO_READERS_AVAILABLE: (NoReader, NO_READER),
    _constants.SCARD_E_UNKNOWN_READER: (NoReader, "no reader of this name"),
    _constants.SCARD_E_READER_UNAVAILABLE: (NoReader, "the reader was unplugged"),
    _constants.SCARD_E_SHARING_VIOLATION: (
        ReaderInUse, "another program uses the card exclusively: close that program"),
    _constants.SCARD_E_NO_SMARTCARD: (NoCard, "no card: put it in"),
    _constants.SCARD_W_UNRESPONSIVE_CARD: (
        NoCard, "the card does not answer to reset: check that it is the right way round"),
    _constants.SCARD_W_UNPOWERED_CARD: (NoCard, "the card has no power"),
    _constants.SCARD_W_UNSUPPORTED_CARD: (NoCard, "the reader cannot work with this card"),
    _constants.SCARD_W_REMOVED_CARD: (CardPulledOut, "the card was pulled out"),
    _constants.SCARD_W_RESET_CARD: (CardWasReset, "another program reset the card"),
    _constants.SCARD_E_INVALID_HANDLE: (TransportError, "the connection is closed"),
    _constants.SCARD_E_NOT_TRANSACTED: (TransportError, "no answer from the card"),
    _constants.SCARD_F_COMM_ERROR: (TransportError, "no answer from the card"),
    _constants.SCARD_E_PROTO_MISMATCH: (
        TransportError, "the card does not offer this protocol, or another program uses the other"),
}  # fmt: skip


def list_readers() -> list[Reader]:
    """List every reader, with the ATR of the card in it. The list is empty without readers."""
    with _new_context() as context:
        return _look(context)


def find_reader(choice: str | int | None = None) -> Reader:
    """Find a reader by number, name or part of its name; without a choice, the one with a card.

    Raises NoReader or AmbiguousReader, which name the readers, or NoCard when no choice was given
    and no reader has a card.
    """
    readers = list_readers()
    if not readers:
        raise NoReader(NO_READER)
    if choice is None:
        return _only(readers, [reader for reader in readers if reader.atr])
    found = _matching(readers, str(choice))
    if len(found) > 1:
        raise AmbiguousReader(
            f"{choice!r} fits several readers: {_names(found, ', ')}. Give the number of one",
            [reader.number for reader in found],
        )
    if not found:
        raise NoReader(f"no reader {choice!r}. Connected: {_names(readers, ', ')}")
    return found[0]


def wait_for_card(choice: str | int | None = None, timeout: float = 60) -> Reader:
    """Wait until the reader of `find_reader` has a card, and return that reader.

    Raises NoCard after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        with suppress(NoCard):
            reader = find_reader(choice)
            if reader.atr:
                return reader
        if time.monotonic() >= end:
            raise NoCard(f"no card was inserted within {timeout:g} s")
        time.sleep(_LOOK_AGAIN)


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
        self._context = _establish()
        try:
            self._card_changes = self._count_card_changes()
            result, card, active = _scard.SCardConnect(
                self._context, reader, self._sharing, protocol
            )
            if result != _SUCCESS:
                raise _failure(result, reader)
            self._card = card
            self.protocol = self._usable(active)
            self._atr = self._read_atr()
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
        result, response = _scard.SCardTransmit(self._card, _PCI[self.protocol], list(command))
        if result != _SUCCESS:
            raise self._lost(result)
        if len(response) < _STATUS_BYTES:
            raise self._lost(_constants.SCARD_E_NOT_TRANSACTED)
        return bytes(response)

    def reset(self, *, cold: bool = False) -> bytes:
        """Reset the card and return its ATR. `cold` turns its power off first."""
        how = _UNPOWER if cold else _RESET
        result, active = _scard.SCardReconnect(self._card, self._sharing, self.protocol, how)
        if result != _SUCCESS:
            raise self._lost(result)
        protocol, atr = self._usable(active), self._read_atr()
        if self._is_gone():
            raise self._lost(_constants.SCARD_W_REMOVED_CARD)
        self.protocol, self._atr = protocol, atr
        return atr

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep other programs from sending commands until the block ends."""
        result = _scard.SCardBeginTransaction(self._card)
        if result != _SUCCESS:
            raise self._lost(result)
        try:
            yield
        finally:
            _scard.SCardEndTransaction(self._card, _LEAVE)

    def close(self, *, reset: bool = True) -> None:
        """Release the card. It is reset, so that no other program gets its rights and sessions."""
        context, self._context = self._context, 0
        if context:
            try:
                if self._card:
                    _scard.SCardDisconnect(self._card, _RESET if reset else _LEAVE)
            finally:
                _scard.SCardReleaseContext(context)

    def _usable(self, active: int) -> CardProtocol:
        """Return the protocol that the service chose. Without T=0 or T=1 the connection closes."""
        if active in _PCI:
            return CardProtocol(active)
        self.close()
        why = _UNUSABLE.get(active, "the reader does not say which transmission protocol it uses")
        raise TransportError(f"{self.reader}: {why} (PC/SC protocol {active}): use another reader")

    def _control(self, code: int) -> bytes:
        """Ask the reader's driver; the answer is empty if it does not know the question."""
        result, answer = _scard.SCardControl(self._card, code, [])
        return bytes(answer) if result == _SUCCESS else b""

    def _read_atr(self) -> bytes:
        result, _, _, _, atr = _scard.SCardStatus(self._card)
        if result != _SUCCESS:
            raise self._lost(result)
        return bytes(atr)

    def _lost(self, result: int) -> TransportError:
        """Find out why a call failed, as far as pcscd can tell."""
        if not (self._context or self._pulled_out):
            return _failure(result, self.reader)
        end = time.monotonic() + (_NOTICE_TIME if result in _BROKEN else 0)
        while not self._is_gone():
            if self._service_ended(result):
                if _service_answers():
                    return PcscRestarted(f"{self.reader}: pcscd was restarted")
                return _failure(_constants.SCARD_E_NO_SERVICE)
            if time.monotonic() >= end:
                return _failure(result, self.reader)
            time.sleep(_LOOK_AGAIN)
        return _failure(_constants.SCARD_W_REMOVED_CARD, self.reader)

    def _service_ended(self, result: int) -> bool:
        """Whether the pcscd that we were connected to is gone, after a call with this result."""
        return result in _GONE or self._count_card_changes() is None

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
        look = [(self.reader, _UNAWARE)]
        result, states = _scard.SCardGetStatusChange(self._context, 0, look)
        if result in _GONE:
            return None
        return states[0][1] >> 16 if result == _SUCCESS else 0


@contextmanager
def _new_context() -> Iterator[int]:
    context = _establish()
    try:
        yield context
    finally:
        _scard.SCardReleaseContext(context)


def _service_answers() -> bool:
    try:
        _scard.SCardReleaseContext(_establish())
    except TransportError:
        return False
    return True


def _establish() -> int:
    result, context = _scard.SCardEstablishContext(_constants.SCARD_SCOPE_USER)
    if result != _SUCCESS:
        raise _failure(result)
    return context


def _look(context: int) -> list[Reader]:
    result, names = _scard.SCardListReaders(context, [])
    if result == _constants.SCARD_E_NO_READERS_AVAILABLE or (result == _SUCCESS and not names):
        return []
    if result == _SUCCESS:
        result, states = _scard.SCardGetStatusChange(context, 0, [(n, _UNAWARE) for n in names])
    if result != _SUCCESS:
        raise _failure(result)
    return [
        Reader(number, name, bytes(atr), bool(state & _IN_USE), bool(state & _MUTE))
        for number, (name, state, atr) in enumerate(states)
    ]


def _matching(readers: list[Reader], choice: str) -> list[Reader]:
    """Match the exact name or the number, else a part of the name, upper or lower case.

    Digits are a number: the 1 in another reader's name must not bring that one's card.
    """
    exact = [reader for reader in readers if choice in (reader.name, str(reader.number))]
    if exact or choice.isdigit():
        return exact
    return [reader for reader in readers if choice.casefold() in reader.name.casefold()]


def _only(readers: list[Reader], with_card: list[Reader]) -> Reader:
    if not with_card:
        raise NoCard(f"no card in reader {_names(readers, ' or ')}: put one in")
    if len(with_card) > 1:
        raise AmbiguousReader(
            f"several readers have a card: {_names(with_card, ', ')}. Give the number of one",
            [reader.number for reader in with_card],
        )
    return with_card[0]


def _names(readers: list[Reader], glue: str) -> str:
    return glue.join(map(str, readers))


def _failure(result: int, reader: str = "") -> TransportError:
    kind, words = _FAILURES.get(result, (TransportError, ""))
    if not words:
        words = f"{_scard.SCardGetErrorMessage(result)} (PC/SC {result & 0xFFFFFFFF:08X})"
    return kind(f"{reader}: {words}" if reader and kind is not PcscNotRunning else words)
