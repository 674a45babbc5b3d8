"""The card keys of several versions as one key set: each card gets the keys of its version."""

from collections.abc import Mapping

from ..crypto import Cipher
from ..errors import CardKeyError
from . import CardKeys, KeySet


class SeveralKeySets:
    """A `KeySet` with several versions of one protocol and cipher (card specification 10).

    `version`, `names` and `for_card` are those of `newest`. `fitting` chooses by a card's version.
    """

    def __init__(self, sets: Mapping[int, KeySet], newest: int) -> None:
        """Take key sets by version. Raises CardKeyError when they do not belong together."""
        uses = {(keys.protocol, keys.cipher) for keys in sets.values()}
        if len(uses) != 1 or any(keys.version != number for number, keys in sets.items()):
            raise CardKeyError("several key sets must be of one protocol, one cipher, and be named")
        if newest not in sets:
            raise CardKeyError(f"there is no key set of version {newest}")
        self._sets, self._newest = dict(sets), sets[newest]

    def __repr__(self) -> str:
        return f"<key sets {' '.join(repr(keys) for keys in self._sets.values())}>"

    @property
    def protocol(self) -> int:
        """The version of secure messaging that the keys are for: 1 or 2."""
        return self._newest.protocol

    @property
    def cipher(self) -> Cipher:
        """The block cipher that the keys are for."""
        return self._newest.cipher

    @property
    def version(self) -> int:
        """The newest key version, 1 to 7."""
        return self._newest.version

    @property
    def versions(self) -> tuple[int, ...]:
        """All key versions, the lowest first."""
        return tuple(sorted(self._sets))

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in the newest set."""
        return self._newest.names

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> KeySet:
        """Return the set of this version. Raises CardKeyError when there is none of this use."""
        if version in self._sets and (protocol, cipher) == (self.protocol, self.cipher):
            return self._sets[version].fitting(protocol, cipher, version)
        versions = ", ".join(str(number) for number in self.versions)
        plural = "" if len(self._sets) == 1 else "s"
        raise CardKeyError(
            f"the keys are for protocol {self.protocol}, {self.cipher.name}, version{plural}"
            f" {versions}"
        )

    def for_card(self, chip: bytes, region: bytes) -> CardKeys:
        """Return the newest version's keys of the card with this chip serial and region factor."""
        return self._newest.for_card(chip, region)
