"""Make a card with an `Issuer`, which may be in another process and gives out no key."""

from collections.abc import Iterable, Sequence

from ..apdu import CommandAPDU, ResponseAPDU, Transmit
from ..errors import CardError
from ..exchange import Connection, send
from ..facts import HEALTH_APPLICATION, SECURITY_DOMAIN, Pin, Region
from ..keys.issuer import CardJob, Issuer, IssuerHost, Scp03Set
from ..layout.load import Grouping
from ..messaging.scp03_failure import Scp03Failure, diagnosed
from ..status import StatusWord
from . import CardStage, select_application, stage


class HostSession:
    """One session with the selected application; an `IssuerHost` makes all that is sent.

    Only the card itself can send a 9000 in it. The session is over after any exception.
    """

    def __init__(self, transmit: Transmit, host: IssuerHost) -> None:
        """Use `open` instead."""
        self._transmit, self._host = transmit, host

    @classmethod
    def open(
        cls, connection: Connection, host: IssuerHost, aid: bytes = HEALTH_APPLICATION
    ) -> "HostSession":
        """Select an application and open a session.

        Raises Scp03Failure, which says why it does not open, or StatusWordError when the card
        refuses SELECT.
        """
        select_application(connection, aid)
        transmit = connection.transmit
        try:
            challenge = send(transmit, host.initialize_update())
            command = host.external_authenticate(challenge)
            host.opened(send(transmit, command, may_repeat=False))
        except Scp03Failure as failure:
            raise diagnosed(transmit, failure, host) from None
        return cls(transmit, host)

    def replace_keys(self, job: CardJob) -> None:
        """PUT KEY: replace the chip's transport keys by its issuer keys."""
        self.carry(self._host.replace_keys(job))

    def load(self, job: CardJob, records: Iterable[Grouping], region: Region, pin: Pin) -> None:
        """STORE DATA: load a whole card. It stores all at the last block, or nothing."""
        self.carry(self._host.load(job, records, region, pin))

    def activate(self) -> None:
        """ACTIVATE a personalized card. Raises StatusWordError when the card refuses."""
        self.carry(self._host.activate())

    def reset_tries(self, key_name: str) -> None:
        """Reset the try counter of a card key to 15."""
        self.carry(self._host.reset_tries(key_name))

    def carry(self, commands: Sequence[CommandAPDU]) -> None:
        """Send the commands up to the first refusal, and have all replies checked."""
        replies: list[ResponseAPDU] = []
        for command in commands:
            replies.append(send(self._transmit, command, may_repeat=False))
            if replies[-1].sw != StatusWord.SUCCESS:
                break
        self._host.done(replies)


def make_card(
    connection: Connection,
    issuer: Issuer,
    job: CardJob,
    records: Iterable[Grouping],
    region: Region,
    pin: Pin,
    *,
    found: CardStage | None = None,
) -> None:
    """Replace the transport keys of a blank card, if it still has them, and load it.

    `found` is the result of `stage`, if it was called just before. The card stores everything at
    the last block: after an error it is still blank, and can be tried again. Raises CardError when
    the card is already personalized.
    """
    found = found or stage(connection)
    if found is CardStage.PERSONALIZED:
        raise CardError("the card is already personalized")
    if found is CardStage.TRANSPORT:
        host = issuer.session(Scp03Set.TRANSPORT, job.chip)
        HostSession.open(connection, host, SECURITY_DOMAIN).replace_keys(job)
    host = issuer.session(Scp03Set.ISSUER, job.chip)
    HostSession.open(connection, host).load(job, records, region, pin)
