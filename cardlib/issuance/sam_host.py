"""The issuer's side of a session with a SAM, with root keys in this process."""

from collections.abc import Sequence
from typing import Protocol

from ..apdu import CommandAPDU
from ..facts import ChipSerial
from ..keys import RootKeys
from ..keys.issuer import IssuerHost, Scp03Set
from ..keys.sam.sam_groupings import RootSource, SamPlan, sam_groupings
from . import store_data_commands
from .local import LocalHost


class SamSide(IssuerHost, Protocol):
    """The issuer's side of one SCP03 session with one SAM. No key goes in or out."""

    def replace_sam_keys(self) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys."""
        ...

    def load_sam(self, plan: SamPlan) -> Sequence[CommandAPDU]:
        """Return STORE DATA of a whole SAM: the root keys of its roles, its PIN and its limit."""
        ...


class SamHost(LocalHost):
    """A session with a SAM: root keys leave only under the Key-DEK of the chip in it."""

    def __init__(
        self,
        keys: RootKeys,
        key_set: Scp03Set,
        chip: ChipSerial,
        sources: Sequence[RootSource],
    ) -> None:
        """Take the keys that open the session, and `sources`, whose roots are loaded."""
        super().__init__(keys, key_set, chip)
        self._sources = tuple(sources)

    def replace_sam_keys(self) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys."""
        self._check_set(Scp03Set.TRANSPORT)
        return self._put_key()

    def load_sam(self, plan: SamPlan) -> Sequence[CommandAPDU]:
        """Return STORE DATA of a whole SAM: the root keys of its roles, its PIN and its limit.

        Raises CardKeyError in a session of other keys, and as `sam_groupings`.
        """
        self._check_set(Scp03Set.ISSUER)
        groupings = sam_groupings(self._sources, plan, self._own)
        blocks = store_data_commands(groupings, self._host.capacity)
        names = (f"STORE DATA block {n} of {len(blocks)}" for n in range(1, len(blocks) + 1))
        return self._protected(blocks, tuple(names))
