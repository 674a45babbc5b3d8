"""The verbs of the key agent: the members of each request and of its reply, as a table."""

from collections.abc import Mapping
from dataclasses import dataclass

from .agent_wire import Members, flag, list_of, number, optional, table_of, text


@dataclass(frozen=True, slots=True)
class Form:
    """What a verb does, in one line; the members that it takes, and those of its reply."""

    does: str
    takes: Members
    returns: Members


_NAME = text(64)
_CALLER: Members = {
    "name": _NAME,
    "cards": number(0, 1 << 62),
    "most": optional(number(0, 1 << 62)),
}

FORMS: Mapping[str, Form] = {
    "status": Form(
        "Say how the agent is: locked or not, whose keys it has, the newest entry of its log",
        {},
        {
            "locked": flag(),
            "store": text(4096),
            "identity": optional(text(64)),
            "test_keys": flag(),
            "idle_minutes": number(1, 1 << 20),
            "entries": number(0, 1 << 62),
            "head": text(64),
            "caller": text(64),
            "role": text(64),
            "callers": list_of(table_of(_CALLER), 10_000),
        },
    ),
    "unlock": Form(
        "Open the key store of a trial, which one passphrase protects",
        {"passphrase": text(4096)},
        {"identity": text(64), "test_keys": flag()},
    ),
    "lock": Form("Forget the keys, and end all that is open", {}, {}),
}
"""Each verb by its name."""
