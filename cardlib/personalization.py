"""The issuer's commands: change the transport keys, load the data, activate (card spec 6)."""

from collections.abc import Iterable
from enum import StrEnum

from .apdu import CommandAPDU, ResponseAPDU, Transmit, exchange
from .channel.scp03 import Scp03Channel
from .channel.scp03_failure import KEY_INFORMATION, key_sets
from .errors import CardError, CardKeyError, ChannelError, FormatError, StatusWordError
from .keys import Scp03Keys
from .tlv import ber, dgi, find_ber
from .transport import Connection

APPLET_AID = bytes.fromhex("F052484301")
ISSUER_SECURITY_DOMAIN_AID = bytes.fromhex("A000000151000000")
LEVEL = 0x33
"""C-MAC, C-ENC, R-MAC and R-ENC: a reply that says 9000 is the card's own."""

SHORT_CAPACITY = 239
MAX_BLOCKS = 256
_KEY_TYPE_AES = 0x88


class Stage(StrEnum):
    """How far a card has come; a cut leaves one of these and nothing between."""

    TRANSPORT = "blank with transport keys"
    ISSUER = "blank with issuer keys"
    PERSONALIZED = "personalized"


def put_key_command(new_version: int, keys: Scp03Keys, dek: Scp03Keys) -> CommandAPDU:
    """PUT KEY that replaces the set `dek` by `keys`, Key-ENC, -MAC, -DEK together (GPC 11.8).

    Each key: 88 ‖ length ‖ key length ‖ AES-CBC(Key-DEK, key padded 00) ‖ 03 ‖ check value.
    """
    data = bytes((new_version,))
    for key in keys.wrapped(dek):
        body = bytes((key.length,)) + key.encrypted
        check = bytes((len(key.check_value),)) + key.check_value
        data += ber(_KEY_TYPE_AES, body) + check
    return CommandAPDU(0x80, 0xD8, dek.key_version, 0x81, data, le=256)


def store_data_commands(
    groupings: Iterable[tuple[int, bytes]], capacity: int = SHORT_CAPACITY
) -> list[CommandAPDU]:
    """STORE DATA blocks that carry the groupings end to end, each but the last one full.

    P1 is 08, 88 on the last; P2 counts from 00. `capacity` is the session's (`Scp03Host`).
    FormatError for none, or for more than 256 blocks.
    """
    load = b"".join(dgi(tag, value) for tag, value in groupings)
    blocks = [load[start : start + capacity] for start in range(0, len(load), capacity)]
    if not 1 <= len(blocks) <= MAX_BLOCKS:
        raise FormatError(f"{len(load)} bytes need {len(blocks)} blocks, 1 to {MAX_BLOCKS} can be")
    last = len(blocks) - 1
    return [
        CommandAPDU(0x80, 0xE2, 0x88 if number == last else 0x08, number, block)
        for number, block in enumerate(blocks)
    ]


def stage(connection: Connection, transport_keys: Scp03Keys, issuer_keys: Scp03Keys) -> Stage:
    """Tell how far a card has come by SELECT and GET DATA 00E0; no key is used.

    CardError when the card has neither set's key version.
    """
    transmit = connection.transmit
    if find_ber(_select(transmit, APPLET_AID, "the applet").data, 0x6F, 0xA5, 0xC1) is not None:
        return Stage.PERSONALIZED
    versions = _key_versions(transmit)
    if transport_keys.key_version in versions:
        return Stage.TRANSPORT
    if issuer_keys.key_version in versions:
        return Stage.ISSUER
    found = " ".join(f"{version:02X}" for version in sorted(versions)) or "none"
    raise CardKeyError(
        f"the blank has keys of version {found}, neither transport "
        f"({transport_keys.key_version:02X}) nor issuer ({issuer_keys.key_version:02X}) keys"
    )


def personalize(
    connection: Connection,
    transport_keys: Scp03Keys,
    issuer_keys: Scp03Keys,
    groupings: Iterable[tuple[int, bytes]],
) -> None:
    """Change a blank's transport keys, if it still has them, and load all groupings.

    The 81kk and 8010 among the groupings are encrypted under the issuer's Key-DEK. The card
    commits everything at the last block: after any error it is a blank that can be done again.
    CardError when the card is personalized already.
    """
    found = stage(connection, transport_keys, issuer_keys)
    if found is Stage.PERSONALIZED:
        raise CardError("the card is personalized already")
    if found is Stage.TRANSPORT:
        _change_keys(connection.transmit, transport_keys, issuer_keys)
    _select(connection.transmit, APPLET_AID, "the applet")
    channel = Scp03Channel.open(connection.transmit, issuer_keys, LEVEL)
    commands = store_data_commands(groupings, channel.host.capacity)
    for number, command in enumerate(commands, 1):
        _done(channel.send(command), f"STORE DATA block {number} of {len(commands)}")


def activate(connection: Connection, issuer_keys: Scp03Keys) -> None:
    """ACTIVATE a personalized card in the issuer's session; StatusWordError when it refuses."""
    _select(connection.transmit, APPLET_AID, "the applet")
    channel = Scp03Channel.open(connection.transmit, issuer_keys, LEVEL)
    _done(channel.send(CommandAPDU(0x80, 0x44, 0x00, 0x00)), "ACTIVATE")


def _change_keys(transmit: Transmit, old: Scp03Keys, new: Scp03Keys) -> None:
    _select(transmit, ISSUER_SECURITY_DOMAIN_AID, "the issuer security domain")
    channel = Scp03Channel.open(transmit, old, LEVEL)
    reply = _done(channel.send(put_key_command(new.key_version, new, old)), "PUT KEY")
    if reply.data != bytes((new.key_version,)) + b"".join(new.key_check_values):
        raise ChannelError(f"PUT KEY: the card answers other check values than those of {new!r}")


def _key_versions(transmit: Transmit) -> set[int]:
    """The key version numbers in the security domain's key information template (GPC H.4)."""
    _select(transmit, ISSUER_SECURITY_DOMAIN_AID, "the issuer security domain")
    template = _done(exchange(transmit, KEY_INFORMATION), "GET DATA 00E0").data
    return {key_set.version for key_set in key_sets(template)}


def _select(transmit: Transmit, aid: bytes, name: str) -> ResponseAPDU:
    command = CommandAPDU(0x00, 0xA4, 0x04, 0x00, aid, le=256)
    return _done(exchange(transmit, command), f"SELECT {name}")


def _done(response: ResponseAPDU, command: str) -> ResponseAPDU:
    if response.sw != 0x9000:
        raise StatusWordError(command, response.sw)
    return response
