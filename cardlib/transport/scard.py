"""The calls of PC/SC (pcsc-lite), with types, and what their results mean.

No other module imports pyscard. Its low level is used because it gives the result of every call.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import smartcard.scard

from ..errors import TransportError


class PcscNotRunning(TransportError):
    """The PC/SC service is not running, has ended, or refuses this user."""


class NoReader(TransportError):
    """There is no reader, or none with this name or number, or it was unplugged."""


class AmbiguousReader(TransportError):
    """More than one reader fits the choice."""


class ReaderInUse(TransportError):
    """Another program uses the card exclusively."""


class NoCard(TransportError):
    """There is no card in the reader, or it does not answer to reset."""


class CardPulledOut(TransportError):
    """The card was removed while it was connected. Open a new connection for the next card."""


class CardWasReset(TransportError):
    """Another program reset the card: selection, rights and sessions are lost. Call `reset`."""


class Scard(Protocol):
    """The calls of smartcard.scard that are used, with types. Each returns its result first."""

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]: ...
    def SCardReleaseContext(self, context: int) -> int: ...
    def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]: ...
    def SCardGetStatusChange(
        self, context: int, milliseconds: int, states: Sequence[tuple[str, int]]
    ) -> tuple[int, list[tuple[str, int, list[int]]]]: ...
    def SCardConnect(
        self, context: int, reader: str, sharing: int, protocols: int
    ) -> tuple[int, int, int]: ...
    def SCardReconnect(
        self, card: int, sharing: int, protocols: int, initialization: int
    ) -> tuple[int, int]: ...
    def SCardStatus(self, card: int) -> tuple[int, str, int, int, list[int]]: ...
    def SCardTransmit(self, card: int, pci: int, command: list[int]) -> tuple[int, list[int]]: ...
    def SCardBeginTransaction(self, card: int) -> int: ...
    def SCardEndTransaction(self, card: int, disposition: int) -> int: ...
    def SCardControl(self, card: int, code: int, data: list[int]) -> tuple[int, list[int]]: ...
    def SCardDisconnect(self, card: int, disposition: int) -> int: ...
    def SCardGetErrorMessage(self, result: int) -> str: ...


constants: Any = smartcard.scard
calls: Scard = smartcard.scard
SUCCESS: int = constants.SCARD_S_SUCCESS

_FAILURES: dict[int, tuple[type[TransportError], str]] = {
    constants.SCARD_E_NO_SERVICE: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    constants.SCARD_E_SERVICE_STOPPED: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    constants.SCARD_W_SECURITY_VIOLATION: (
        PcscNotRunning,
        "pcscd refuses this user: polkit has no rule that allows access_pcsc, or pcscd cannot"
        " reach polkit (a container has none: start pcscd with --disable-polkit)"),
    constants.SCARD_E_NO_READERS_AVAILABLE: (NoReader, "no reader"),
    constants.SCARD_E_UNKNOWN_READER: (NoReader, "no reader of this name"),
    constants.SCARD_E_READER_UNAVAILABLE: (NoReader, "the reader was unplugged"),
    constants.SCARD_E_SHARING_VIOLATION: (
        ReaderInUse, "another program uses the card exclusively: close that program"),
    constants.SCARD_E_NO_SMARTCARD: (NoCard, "no card"),
    constants.SCARD_W_UNRESPONSIVE_CARD: (
        NoCard, "the card does not answer to reset: check that it is the right way round"),
    constants.SCARD_W_UNPOWERED_CARD: (NoCard, "the card has no power"),
    constants.SCARD_W_UNSUPPORTED_CARD: (NoCard, "the reader cannot work with this card"),
    constants.SCARD_W_REMOVED_CARD: (CardPulledOut, "the card was pulled out"),
    constants.SCARD_W_RESET_CARD: (CardWasReset, "another program reset the card"),
    constants.SCARD_E_INVALID_HANDLE: (TransportError, "the connection is closed"),
    constants.SCARD_E_NOT_TRANSACTED: (TransportError, "no answer from the card"),
    constants.SCARD_F_COMM_ERROR: (TransportError, "no answer from the card"),
    constants.SCARD_E_PROTO_MISMATCH: (
        TransportError, "the card does not offer this protocol, or another program uses the other"),
}  # fmt: skip


def establish() -> int:
    result, context = calls.SCardEstablishContext(constants.SCARD_SCOPE_USER)
    if result != SUCCESS:
        raise failure(result)
    return context


@contextmanager
def new_context() -> Iterator[int]:
    context = establish()
    try:
        yield context
    finally:
        calls.SCardReleaseContext(context)


def failure(result: int, reader: str = "") -> TransportError:
    kind, words = _FAILURES.get(result, (TransportError, ""))
    if not words:
        words = f"{calls.SCardGetErrorMessage(result)} (PC/SC {result & 0xFFFFFFFF:08X})"
    return kind(f"{reader}: {words}" if reader and kind is not PcscNotRunning else words)
