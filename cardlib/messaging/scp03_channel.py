"""Open an SCP03 session with a card and send commands in it (GPC Amendment D)."""

from ..apdu import CommandAPDU, ResponseAPDU, Transmit
from ..errors import CardError
from ..exchange import send
from ..keys import Scp03Keys
from .scp03 import Scp03Host
from .scp03_failure import Scp03Failure, diagnosed


class Scp03Channel:
    """An open SCP03 session with a card. It sends every command protected."""

    def __init__(self, transmit: Transmit, host: Scp03Host) -> None:
        self._transmit, self.host = transmit, host

    @classmethod
    def open(
        cls,
        transmit: Transmit,
        keys: Scp03Keys,
        level: int,
        key_version: int = 0,
        host_challenge: bytes | None = None,
        *,
        key_identifier: int = 0,
        s16: bool = False,
    ) -> "Scp03Channel":
        """Authenticate both sides. Raises Scp03Failure: it says why, and which keys were tried."""
        host = Scp03Host(
            keys, level, key_version, host_challenge, key_identifier=key_identifier, s16=s16
        )
        try:
            command = host.external_authenticate(send(transmit, host.initialize_update()))
            host.opened(send(transmit, command, may_repeat=False))
        except Scp03Failure as failure:
            raise diagnosed(transmit, failure, keys) from None
        return cls(transmit, host)

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command protected. Raises ChannelError when the reply was changed.

        After a transport failure the session is over: nobody knows what the card has done.
        """
        try:
            wrapped = self.host.wrap(command)
            return self.host.unwrap(send(self._transmit, wrapped, may_repeat=False))
        except CardError:
            self.host.close()
            raise
