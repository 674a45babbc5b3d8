"""The PC/SC service of this computer, by pyscard's low level, and what its results mean.

No other module imports pyscard. Its low level is used because it gives the result of every call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import smartcard.scard

from ..errors import TransportError
from .pcsc_errors import (
    CardPulledOut,
    CardWasReset,
    NoCard,
    NoReader,
    PcscNotRunning,
    PcscRestarted,
    ReaderInUse,
)
from .scard import Scard

constants: Any = smartcard.scard
calls: Scard = smartcard.scard
"""Use it as `pcsc_service.calls`: a test puts a stand-in here."""
SUCCESS: int = constants.SCARD_S_SUCCESS
UNAWARE: int = constants.SCARD_STATE_UNAWARE
GONE = {
    constants.SCARD_E_NO_SERVICE,
    constants.SCARD_E_SERVICE_STOPPED,
    constants.SCARD_E_INVALID_HANDLE,
}
"""Results of a call on a context or card of a pcscd that has ended."""
WATCH_GONE = GONE | {constants.SCARD_F_COMM_ERROR}
"""The same for a watch (SCardGetStatusChange). It asks no card: its line to pcscd is broken."""

NO_READER = "no reader is connected: plug one in. Most readers need the package libccid"

_FAILURES: dict[int, tuple[type[TransportError], str]] = {
    constants.SCARD_E_NO_SERVICE: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    constants.SCARD_E_SERVICE_STOPPED: (
        PcscNotRunning, "pcscd not running: systemctl start pcscd"),
    constants.SCARD_W_SECURITY_VIOLATION: (
        PcscNotRunning,
        "pcscd refuses this user: polkit has no rule that allows access_pcsc, or pcscd cannot"
        " reach polkit (a container has none: start pcscd with --disable-polkit)"),
    constants.SCARD_E_NO_READERS_AVAILABLE: (NoReader, NO_READER),
    constants.SCARD_E_UNKNOWN_READER: (NoReader, "no reader of this name"),
    constants.SCARD_E_READER_UNAVAILABLE: (NoReader, "the reader was unplugged"),
    constants.SCARD_E_SHARING_VIOLATION: (
        ReaderInUse, "another program uses the card: close that program"),
    constants.SCARD_E_NO_SMARTCARD: (NoCard, "no card: put it in"),
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


@contextmanager
def new_context() -> Iterator[int]:
    """Connect to the service for the time of a block. Raises PcscNotRunning."""
    context = establish()
    try:
        yield context
    finally:
        calls.SCardReleaseContext(context)


def service_gone(reader: str) -> TransportError:
    """Return the error for a result of GONE: whether pcscd was restarted, or is not running."""
    try:
        calls.SCardReleaseContext(establish())
    except TransportError:
        return failure(constants.SCARD_E_NO_SERVICE)
    return PcscRestarted(f"{reader}: pcscd was restarted")


def establish() -> int:
    """Connect to the service; the caller releases the context. Raises PcscNotRunning."""
    result, context = calls.SCardEstablishContext(constants.SCARD_SCOPE_USER)
    if result != SUCCESS:
        raise failure(result)
    return context


def failure(result: int, reader: str = "") -> TransportError:
    """Return the error for a result other than SUCCESS: what went wrong, and what to do."""
    kind, words = _FAILURES.get(result, (TransportError, ""))
    if not words:
        words = f"{calls.SCardGetErrorMessage(result)} (PC/SC {result & 0xFFFFFFFF:08X})"
    return kind(f"{reader}: {words}" if reader and kind is not PcscNotRunning else words)
