"""The members that the requests of several verbs have, and their types."""

from .agent_wire import MemberKind, Members, number, octets, text

NAME = text(64)
IDENTITY = octets(16)
CHIP, BATCH = octets(8), octets(16)
HANDLE = number(1, 1 << 53)
RECORD_NUMBER = number(1, (1 << 32) - 1)
WHOSE: Members = {"identity": IDENTITY}


def one(name: str, kind: MemberKind) -> Members:
    """Return the members of a reply that has one."""
    return {name: kind}
