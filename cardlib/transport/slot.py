"""Watch a reader by PC/SC's own notices: which card is in it, and when it comes and goes."""

from dataclasses import dataclass

from . import pcsc_service as service
from .pcsc import CardProtocol, PcscConnection
from .pcsc_service import SUCCESS, UNAWARE, WATCH_GONE, constants, establish, failure, service_gone

_AWAY: int = constants.SCARD_STATE_UNKNOWN | constants.SCARD_STATE_UNAVAILABLE
_PRESENT: int = constants.SCARD_STATE_PRESENT
_CHANGED: int = constants.SCARD_STATE_CHANGED
_TIMEOUT: int = constants.SCARD_E_TIMEOUT


@dataclass(frozen=True, slots=True)
class InSlot:
    """Whether a card is in a reader. `insertion` differs for each card that was put in."""

    present: bool
    insertion: tuple[int, int]


class PcscSlot:
    """One reader that is watched. Any method may raise PcscNotRunning or NoReader.

    After such an error the watch begins anew, and the card in the reader counts as put in again.
    Only one thread may use a slot.
    """

    def __init__(self, name: str) -> None:
        """Watch the reader of this name (`Reader.name`); nothing is asked of it yet."""
        self.name = name
        self._context = self._watches = 0
        self._state: int = UNAWARE

    def look(self, seconds: float = 0.0) -> InSlot:
        """What is in the reader, as soon as that changes, or after `seconds`."""
        try:
            self._wait(round(1000 * seconds))
        except BaseException:
            self.close()
            raise
        return InSlot(bool(self._state & _PRESENT), (self._watches, self._state >> 16))

    def _wait(self, milliseconds: int) -> None:
        if not self._context:
            self._context = establish()
            self._watches += 1
            self._state = UNAWARE
        known = [(self.name, self._state)]
        result, states = service.calls.SCardGetStatusChange(self._context, milliseconds, known)
        if result == _TIMEOUT:
            return
        if result in WATCH_GONE:
            raise service_gone(self.name)
        if result == SUCCESS and states[0][1] & _AWAY:
            result = constants.SCARD_E_READER_UNAVAILABLE
        if result != SUCCESS:
            raise failure(result, self.name)
        self._state = states[0][1] & ~_CHANGED

    def connect(self) -> PcscConnection:
        """Connect to the card, so that no other program can use it. Raises as `open_reader`."""
        return PcscConnection(self.name, CardProtocol.ANY, exclusive=True)

    def close(self) -> None:
        """End the watch."""
        context, self._context = self._context, 0
        if context:
            service.calls.SCardReleaseContext(context)
