"""What a card of profile `field` does not say about itself, and where it comes from instead.

Card specification 10, amendment 12.
"""

from dataclasses import dataclass

from ..apdu import CommandAPDU, ResponseAPDU
from ..commands import read_record
from ..crypto import Cipher
from ..errors import CardError, ChannelError
from ..exchange import Connection, send
from ..facts import Region, SpecVersion
from ..keys import KeySet
from ..layout import FieldValue, State, decode_record
from ..layout.card_profile import CardProfile
from ..layout.load import ISSUER_FILE
from ..status import StatusWord
from .file_access import Send, by_tag
from .identity import CardIdentity

_NO_CITY = ("000000", "202020")
"""A city code that was filled up and never written: no region begins so (GB/T 2260)."""
UNSAID = "its specification, cipher, key version and region (no C1 and C2 in its FCI)"
_RECORD_OF = {field.name: field.record for field in ISSUER_FILE.fields}


@dataclass(frozen=True, slots=True)
class FieldCard:
    """What the operator knows about a card that has no C1 in its FCI.

    `cipher` and `key_version` (1 to 7): None means those of the key set. `chip`: the
    chip serial, 8 bytes, given by hand; None means the place that the profile names. Such a card
    is always taken to be of specification 1.0.
    """

    cipher: Cipher | None = None
    key_version: int | None = None
    chip: bytes | None = None

    def identity(self, chip: bytes, region: bytes, keys: KeySet | None) -> CardIdentity:
        """Return the identity of a card with this chip serial and region factor.

        Without keys, cipher and key version are None: nothing can show that they are right.
        """
        if keys is None:
            return CardIdentity(chip, SpecVersion.V1, None, None, region)
        cipher, version = self.cipher or keys.cipher, self.key_version or keys.version
        return CardIdentity(chip, SpecVersion.V1, cipher, version, region)


BY_THE_KEYS = FieldCard()
"""Cipher and key version are those of the key set; the chip serial is where the profile says."""


def region_of(send: Send, profile: CardProfile) -> bytes:
    """Read the region from the issuer's file, which is selected: tag 39 (city code), then tag 02.

    Return b"" when the card has no city code, or one that is only a filling. Raises ChannelError
    when tag 02 names another specification than 1.0.
    """
    city = _issuer_field(send, "city_code")
    version = _issuer_field(send, "spec_version")
    old = profile.old_spec_version == "yes"
    taken = ("1.0", "1.00") if old else ("1.0",)
    if version is not None and version.state is State.VALUE and version.text not in taken:
        remedy = "read it without --profile field"
        if version.text == "1.00":
            remedy = "with the setting old_spec_version=yes, 1.00 is taken for 1.0"
        raise ChannelError(
            f"the card says that it is of specification {version.text}. Profile field is for cards"
            f" of specification 1.0 that do not describe themselves: {remedy}"
        )
    if city is None or city.state is not State.VALUE or city.text in _NO_CITY or len(city.text) < 2:
        return b""
    return Region.of_city(city.text)


def has_issuer_file(connection: Connection) -> bool:
    """Find out whether DDF1/EF05 is there, by file identifier; a blank card does not have it."""
    from .addressing import ByFileIdentifier

    def sent(command: CommandAPDU) -> ResponseAPDU:
        return send(connection.transmit, command)

    steps = ByFileIdentifier().steps(ISSUER_FILE.path, "", fci=False)
    return all(sent(step.command).ok for step in steps) and bool(first_issuer_record(sent))


def first_issuer_record(send: Send) -> bytes:
    """Read record 1 of the issuer's file, which is selected: by tag, else by number.

    Return b"" when the answer is no such record: then this is another kind of card.
    """
    for command in (by_tag(ISSUER_FILE, 1), read_record(1)):
        response = send(command)
        if response.ok and _is_first_record(response.data):
            return response.data
    return b""


def _is_first_record(data: bytes) -> bool:
    """Whether data is record 1 of the issuer's file: its tag, its length, and as many bytes."""
    (field,) = ISSUER_FILE.fields_of(1)
    return data[:2] == bytes((field.tag or 0, field.length)) and len(data) == 2 + field.length


def _issuer_field(send: Send, name: str) -> FieldValue | None:
    """Read one record of the issuer's file by its tag; None when the card refuses to give it."""
    record = _RECORD_OF[name]
    response = send(by_tag(ISSUER_FILE, record))
    if response.sw != StatusWord.SUCCESS:
        return None
    (value,) = decode_record(ISSUER_FILE, record, response.data)
    if value.state is State.CORRUPT:
        raise CardError(f"{ISSUER_FILE.path}: {name} cannot be read: {value.detail}")
    return value
