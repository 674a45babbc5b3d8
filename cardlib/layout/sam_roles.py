"""The roles of terminals, as a table: which keys a SAM of each role is loaded with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import FormatError
from .model import KEY_BY_NAME
from .tables import read_table

_ONLY_1_0 = ("STK", "STM")
"""The roles of keys that cards of specification 2.0 have no use for."""


@dataclass(frozen=True, slots=True)
class SamRole:
    """One row of the table: a role, the names of its keys, and what they are for."""

    name: str
    keys: tuple[str, ...]
    purpose: str


SAM_ROLES: Mapping[str, SamRole] = MappingProxyType({
    row["role"]: SamRole(row["role"], tuple(row["keys"].split()), row["purpose"])
    for row in read_table(Path(__file__).with_name("sam_roles.csv"))
})  # fmt: skip
"""The roles by name."""


def keys_of_roles(roles: Iterable[str], protocol: int) -> tuple[str, ...]:
    """Return the names of the keys that these roles need together, for cards of one protocol.

    Raises FormatError, which names the roles, when there is no such role, or none is given.
    """
    named = tuple(roles)
    if unknown := [role for role in named if role not in SAM_ROLES] or (not named and [""]):
        raise FormatError(f"there is no role {unknown[0]!r}: use {', '.join(SAM_ROLES)}")
    wanted = {name for role in named for name in SAM_ROLES[role].keys}
    dropped = _ONLY_1_0 if protocol == 2 else ()
    return tuple(n for n, key in KEY_BY_NAME.items() if n in wanted and key.role not in dropped)
