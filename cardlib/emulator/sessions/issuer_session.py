"""Which commands an SCP03 session allows (card specification, sections 6 and 7)."""

from ...status import StatusWord
from ..chip.refusal import Refusal
from .logical_channel import LogicalChannel
from .scp03 import Scp03Session


def open_session(channel: LogicalChannel, level: int = 0) -> Scp03Session:
    """The open session, if it has at least these level bits; 6982 otherwise."""
    session = channel.scp03
    if session is None or not session.level:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs an SCP03 session")
    if level & ~session.level:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs level {level | 1:02X}")
    return session


def issuer_session(channel: LogicalChannel) -> Scp03Session:
    """The issuer's session; 6982 without it (card specification, section 7)."""
    session = open_session(channel)
    if not session.is_issuer:
        why = "needs the issuer's session, with C-ENC"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    return session
