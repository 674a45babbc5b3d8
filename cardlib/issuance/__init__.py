"""What the issuer does with a card: replace transport keys, load data, activate, reset tries.

All of it needs an SCP03 session (GPC Amendment D; card specification 6 and 7).
"""

from collections.abc import Iterable
from enum import StrEnum

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import CardError, CardKeyError, ChannelError, FormatError, StatusWordError
from ..exchange import Connection, send
from ..facts import (
    HEALTH_APPLICATION,
    ISSUER_KEY_VERSION,
    SECURITY_DOMAIN,
    TRANSPORT_KEY_VERSION,
)
from ..keys import Scp03Keys
from ..layout import KEY_BY_NAME
from ..layout.load import Grouping
from ..messaging.scp03_channel import Scp03Channel
from ..messaging.scp03_failure import KEY_INFORMATION, key_sets
from ..status import StatusWord
from ..tlv import ber, dgi, find_ber

LEVEL = 0x33
"""C-MAC, C-ENC, R-MAC and R-ENC: nobody but the card can have sent a 9000."""

SHORT_CAPACITY = 239
MAX_BLOCKS = 256
_KEY_TYPE_AES = 0x88
_APPLET, _DOMAIN = "the health application", "the issuer security domain"


class CardStage(StrEnum):
    """How far a card's personalization is. A power cut always leaves one of these."""

    TRANSPORT = "blank with transport keys"
    ISSUER = "blank with issuer keys"
    PERSONALIZED = "personalized"


class IssuerSession:
    """One SCP03 session with the selected application.

    Only the card itself can send a 9000 in it. The session is over after any exception.
    """

    def __init__(self, channel: Scp03Channel) -> None:
        """Use `open` instead."""
        self._channel = channel

    @classmethod
    def open(
        cls, connection: Connection, keys: Scp03Keys, aid: bytes = HEALTH_APPLICATION
    ) -> "IssuerSession":
        """Select an application and open a session at level 33 with a chip's keys.

        Raises Scp03Failure, which says why it does not open, or StatusWordError when the card
        refuses SELECT.
        """
        select_application(connection, aid)
        return cls(Scp03Channel.open(connection.transmit, keys, LEVEL))

    def replace_keys(self, old: Scp03Keys, new: Scp03Keys) -> None:
        """PUT KEY: replace `old`, the set that opened this session, by `new`.

        Raises ChannelError when the card answers other check values than those of the new keys.
        """
        check_new_keys(self._done(put_key_command(new.key_version, new, old), "PUT KEY"), new)

    def load(self, groupings: Iterable[Grouping]) -> None:
        """STORE DATA: load all groupings. The card stores all at the last block, or nothing."""
        blocks = store_data_commands(groupings, self._channel.host.capacity)
        for number, block in enumerate(blocks, 1):
            self._done(block, f"STORE DATA block {number} of {len(blocks)}")

    def activate(self) -> None:
        """ACTIVATE a personalized card. Raises StatusWordError when the card refuses."""
        self._done(commands.ACTIVATE, "ACTIVATE")

    def reset_tries(self, key_name: str) -> None:
        """Reset the try counter of a card key to 15.

        Call `forget` afterwards on a card object that uses the same connection. Raises
        CardKeyError when the card has no such key.
        """
        if key_name not in KEY_BY_NAME:
            raise CardKeyError(f"{key_name} is not a key of the card")
        command = commands.reset_key_tries(KEY_BY_NAME[key_name].sam_key_id)
        self._done(command, f"RESET KEY TRIES of {key_name}")

    def _done(self, command: CommandAPDU, name: str) -> ResponseAPDU:
        return _done(self._channel.send(command), name)


def check_new_keys(reply: ResponseAPDU, new: Scp03Keys) -> None:
    """Raise ChannelError unless the card answered PUT KEY with the new keys' check values."""
    if reply.data != bytes((new.key_version,)) + b"".join(new.key_check_values):
        raise ChannelError(
            f"PUT KEY: the check values in the card's answer are not those of {new!r}"
        )


def stage(connection: Connection) -> CardStage:
    """Find out how far a card is, by SELECT and GET DATA 00E0. No key is used.

    Raises CardKeyError when a blank card has neither set's key version, or more than one key set:
    somebody added one, and could use the card with it after it was issued.
    """
    fci = select_application(connection, HEALTH_APPLICATION).data
    if find_ber(fci, 0x6F, 0xA5, 0xC1) is not None:
        return CardStage.PERSONALIZED
    versions = key_versions(connection)
    names = " ".join(f"{version:02X}" for version in sorted(versions)) or "none"
    if len(versions) > 1:
        raise CardKeyError(
            f"the blank card has {len(versions)} key sets, of versions {names}. Another program"
            " added one: do not use this card"
        )
    if TRANSPORT_KEY_VERSION in versions:
        return CardStage.TRANSPORT
    if ISSUER_KEY_VERSION in versions:
        return CardStage.ISSUER
    raise CardKeyError(
        f"the blank card has keys of version {names}. Expected: transport keys "
        f"({TRANSPORT_KEY_VERSION:02X}) or issuer keys ({ISSUER_KEY_VERSION:02X})"
    )


def personalize(
    connection: Connection,
    transport_keys: Scp03Keys,
    issuer_keys: Scp03Keys,
    groupings: Iterable[Grouping],
    found: CardStage | None = None,
) -> None:
    """Replace the transport keys of a blank card, if it still has them, and load all groupings.

    `found` is the result of `stage`, if it was called just before.

    The groupings 81kk and 8010 are encrypted under the issuer's Key-DEK. The card stores
    everything at the last block: after an error it is still blank, and can be tried again. Raises
    CardError when the card is already personalized.
    """
    found = found or stage(connection)
    if found is CardStage.PERSONALIZED:
        raise CardError("the card is already personalized")
    if found is CardStage.TRANSPORT:
        session = IssuerSession.open(connection, transport_keys, SECURITY_DOMAIN)
        session.replace_keys(transport_keys, issuer_keys)
    IssuerSession.open(connection, issuer_keys).load(groupings)


def put_key_command(new_version: int, keys: Scp03Keys, dek: Scp03Keys) -> CommandAPDU:
    """PUT KEY that replaces the set `dek` by `keys`: Key-ENC, Key-MAC, Key-DEK (GPC 11.8).

    Each key is 88 ‖ length ‖ key length ‖ AES-CBC(Key-DEK, key padded 00) ‖ 03 ‖ check value.
    """
    data = bytes((new_version,))
    for key in keys.wrapped(dek):
        body = bytes((key.length,)) + key.encrypted
        check = bytes((len(key.check_value),)) + key.check_value
        data += ber(_KEY_TYPE_AES, body) + check
    return commands.put_key(dek.key_version, data)


def store_data_commands(
    groupings: Iterable[Grouping], capacity: int = SHORT_CAPACITY
) -> list[CommandAPDU]:
    """Return the STORE DATA blocks that carry the groupings; all but the last are full.

    P1 is 08, and 88 in the last block. P2 counts from 00. `capacity` is how many bytes fit one
    block of the session (`Scp03Host`). Raises FormatError when there are no groupings, or when
    they need more than 256 blocks.
    """
    whole = b"".join(dgi(tag, value) for tag, value in groupings)
    blocks = [whole[start : start + capacity] for start in range(0, len(whole), capacity)]
    if not 1 <= len(blocks) <= MAX_BLOCKS:
        raise FormatError(
            f"STORE DATA: {len(whole)} bytes need {len(blocks)} blocks; 1 to {MAX_BLOCKS} fit"
        )
    last = len(blocks) - 1
    return [commands.store_data(n, block, last=n == last) for n, block in enumerate(blocks)]


def key_versions(connection: Connection) -> set[int]:
    """Read the SCP03 key versions of a card: the domain's key information (GPC H.4). No key."""
    select_application(connection, SECURITY_DOMAIN)
    template = _done(send(connection.transmit, KEY_INFORMATION), "GET DATA 00E0").data
    return {key_set.version for key_set in key_sets(template)}


def select_application(connection: Connection, aid: bytes) -> ResponseAPDU:
    """Select our health application or the issuer security domain. Raises StatusWordError."""
    name = _APPLET if aid == HEALTH_APPLICATION else _DOMAIN
    command = commands.select_application(aid)
    return _done(send(connection.transmit, command), f"SELECT {name}")


def _done(response: ResponseAPDU, command: str) -> ResponseAPDU:
    if response.sw != StatusWord.SUCCESS:
        raise StatusWordError(command, response.sw)
    return response
