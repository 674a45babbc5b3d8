"""An SCP03 session over a transmit: opened, then every command goes out protected."""

from ..apdu import CommandAPDU, ResponseAPDU, Transmit
from ..errors import CardError
from ..exchange import send
from ..keys import Scp03Keys
from .scp03 import Scp03Host
from .scp03_failure import Scp03Failure, diagnosed


class Scp03Channel:
    """An open SCP03 session over a transmit: every command goes out protected."""

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
        """Authenticate both sides; Scp03Failure says why not and which keys were tried."""
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
        """Send a command protected; ChannelError when the reply is not what the card sent.

        A session whose transport failed is over: what the card has done is not known.
        """
        try:
            wrapped = self.host.wrap(command)
            return self.host.unwrap(send(self._transmit, wrapped, may_repeat=False))
        except CardError:
            self.host.close()
            raise
