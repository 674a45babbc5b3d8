"""Check which SCP03 session a command needs (card specification 6 and 7)."""

from ...facts import TRANSPORT_KEY_VERSION
from ...status import StatusWord
from ..chip.refusal import Refusal
from .card_interface import Card
from .logical_channel import LogicalChannel
from .scp03 import Scp03Session


def open_session(channel: LogicalChannel, level: int = 0) -> Scp03Session:
    """Return the open session. Refuses with 6982 without one, or without these level bits."""
    session = channel.scp03
    if session is None or not session.level:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs an SCP03 session")
    if level & ~session.level:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs level {level | 1:02X}")
    return session


def issuer_session(channel: LogicalChannel) -> Scp03Session:
    """Return the issuer's session. Refuses with 6982 without it (card specification 6)."""
    session = open_session(channel)
    if not session.is_issuer:
        why = "needs the issuer's session with C-ENC"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    return session


def refuse_replaced_transport_keys(card: Card, session: Scp03Session) -> None:
    """Refuse with 6985 in a session of the transport keys if there is another key set."""
    is_transport = session.key_version == TRANSPORT_KEY_VERSION
    if is_transport and card.state.key_sets.keys() - {TRANSPORT_KEY_VERSION}:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "open a session with the issuer's keys")
