"""With what a SAM is loaded: data groupings of root keys, PIN, limit (card specification 3).

Root keys leave the key store only encrypted, under the Key-DEK of the one SAM they are for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ...crypto import Cipher, pad
from ...errors import CardKeyError
from ...facts import Pin, SpecVersion
from ...layout import KEY_BY_NAME
from ...layout.load import Grouping
from ...layout.records import DGI_PIN, DGI_PIN_TRIES
from ...layout.sam_data import DGI_SAM_KEYS, DGI_SAM_USE, MEANINGS_OF_0, NO_LIMIT, PIN_FORMS
from ...layout.sam_roles import keys_of_roles
from .. import Scp03Keys, WrappedKey


@runtime_checkable
class RootSource(Protocol):
    """Root keys of one version that can be wrapped for a SAM: a key store in this process."""

    @property
    def spec(self) -> SpecVersion:
        """The version of the card specification that these keys are for."""
        ...

    @property
    def cipher(self) -> Cipher:
        """The block cipher of the card keys."""
        ...

    @property
    def key_version(self) -> int:
        """The version of the card keys, 1 to 7."""
        ...

    def wrapped_root(self, name: str, dek: Scp03Keys) -> WrappedKey:
        """Return a root key under a Key-DEK."""
        ...


@dataclass(frozen=True, slots=True)
class SamPlan:
    """What one SAM is for: roles, PIN, limit of authentications (None: no limit), settings.

    `pin_form` and `meaning_of_0` are values of a profile's settings `sam_pin` and `sam_version_0`.
    Raises CardKeyError when the limit is not 1 to 4294967294.
    """

    roles: tuple[str, ...]
    pin: Pin
    limit: int | None = None
    pin_form: str = "ASCII"
    meaning_of_0: str = "newest"

    def __post_init__(self) -> None:
        if self.limit is not None and not 1 <= self.limit < NO_LIMIT:
            raise CardKeyError(f"the limit of a SAM must be 1 to {NO_LIMIT - 1}, not {self.limit}")

    @property
    def use(self) -> bytes:
        """The value of DGI 9020: limit4 ‖ PIN form ‖ meaning of version 0."""
        limit = NO_LIMIT if self.limit is None else self.limit
        codes = PIN_FORMS[self.pin_form], MEANINGS_OF_0[self.meaning_of_0]
        return limit.to_bytes(4, "big") + bytes(codes)


def sam_groupings(
    sources: Iterable[RootSource], plan: SamPlan, dek: Scp03Keys
) -> tuple[Grouping, ...]:
    """Make the groupings of a SAM: keys of its roles from each source, 8010, 9010, 9020.

    Raises CardKeyError when two sources have one key version: a SAM names a key set by its version
    alone. FormatError for a role that is not in the table.
    """
    found: list[Grouping] = []
    versions = set[int]()
    for source in sources:
        if source.key_version in versions:
            raise CardKeyError(
                f"two key sets have version {source.key_version}. A SAM tells key sets by their"
                " version alone: load a second SAM"
            )
        versions.add(source.key_version)
        for name in keys_of_roles(plan.roles, source.spec.protocol):
            reference = source.key_version << 5 | KEY_BY_NAME[name].sam_key_id
            root = source.wrapped_root(name, dek)
            head = bytes((source.spec, source.cipher))
            found.append((DGI_SAM_KEYS | reference, head + root.encrypted + root.check_value))
    return (
        *found,
        (DGI_PIN, dek.encrypt_dek(pad(plan.pin.block))),
        (DGI_PIN_TRIES, bytes((Pin.TRIES, Pin.TRIES))),
        (DGI_SAM_USE, plan.use),
    )
