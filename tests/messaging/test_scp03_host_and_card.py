"""Our SCP03 host and our software card, through `transmit`, in every mode that both speak."""

from collections.abc import Callable

import pytest

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKeySet
from cardlib.errors import ChannelError
from cardlib.issuance import put_key_command
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.messaging.scp03 import LEVELS
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.messaging.scp03_failure import Cause, Scp03Failure
from tests.cards.software_cards import CHIP, active_card

H = bytes.fromhex
SIZES = (16, 24, 32)
VERSION, DECOY = 0x05, 0x01
C_ENC, R_MAC = 0x02, 0x10
GET_CHIP = CommandAPDU(0x80, 0xCA, 0x00, 0x45, le=256)
NOT_THERE = CommandAPDU(0x80, 0xCA, 0x12, 0x34, le=256)
ASK_PIN = CommandAPDU(0x00, 0x20, 0x00, 0x00)
SELECT_DDF1 = CommandAPDU(0x00, 0xA4, 0x08, 0x0C, H("DDF1"))
OBJECT = (0x5F, 0x50)
Transmit = Callable[[bytes], bytes]
every_level = pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"level{level:02X}")
with_r_mac = pytest.mark.parametrize("level", [level for level in LEVELS if level & R_MAC])


def triple(size: int, seed: int) -> tuple[bytes, bytes, bytes]:
    enc, mac, dek = (bytes((seed + n) & 0xFF for _ in range(size)) for n in (0, 64, 128))
    return enc, mac, dek


def keys(size: int = 16, version: int = VERSION, seed: int = 7) -> SoftwareScp03Keys:
    return SoftwareScp03Keys(version, *triple(size, seed))


def card_with(size: int = 16, *, s16: bool = False, random_challenge: bool = False) -> SoftwareCard:
    """An active card with two key sets: of another length first, then the one that is meant."""
    options = CardOptions(
        extended_length=True, scp03_s16=s16, scp03_random_challenge=random_challenge
    )
    card = active_card(options=options)
    decoy = StoredKeySet(DECOY, *triple(48 - size, 3), KEY_TRIES)
    meant = StoredKeySet(VERSION, *triple(size, 7), KEY_TRIES)
    card.state.key_sets = {DECOY: decoy, VERSION: meant}
    card.memory.commit()
    return card


def opened(transmit: Transmit, level: int, size: int = 16, *, s16: bool = False) -> Scp03Channel:
    return Scp03Channel.open(transmit, keys(size), level, VERSION, s16=s16)


def chained(channel: Scp03Channel, transmit: Transmit, command: CommandAPDU) -> ResponseAPDU:
    """One protected command in pieces of 100 bytes (ISO/IEC 7816-4 5.3.3)."""
    wrapped = channel.host.wrap(command)
    pieces = [wrapped.data[start : start + 100] for start in range(0, len(wrapped.data), 100)]
    answer = b""
    for number, piece in enumerate(pieces, 1):
        cla = wrapped.cla | (0x10 if number < len(pieces) else 0)
        assert answer in (b"", b"\x90\x00")
        answer = transmit(bytes((cla, *wrapped[1:4], len(piece))) + piece)
    while answer[-2] == 0x61:
        answer = answer[:-2] + transmit(bytes((0, 0xC0, 0, 0, answer[-1])))
    return channel.host.unwrap(ResponseAPDU.parse(answer))


@pytest.mark.parametrize("random_challenge", [False, True], ids=["pseudo-random", "random"])
@pytest.mark.parametrize("s16", [False, True], ids=["S8", "S16"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"AES-{8 * size}")
@every_level
def test_every_mode_carries_every_case_of_command_and_reply(
    level: int, size: int, s16: bool, random_challenge: bool
) -> None:
    card = card_with(size, s16=s16, random_challenge=random_challenge)
    channel = opened(card.transmit, level, size, s16=s16)
    assert channel.host.card.i == 0x60 | (0 if random_challenge else 0x10) | s16
    assert channel.host.card.key_version == VERSION
    for _ in range(2):
        assert channel.send(GET_CHIP) == ResponseAPDU(b"\x45\x08" + CHIP, 0x9000)
        assert channel.send(NOT_THERE) == ResponseAPDU(b"", 0x6A88)
        assert channel.send(SELECT_DDF1) == ResponseAPDU(b"", 0x9000)
        assert channel.send(ASK_PIN) == ResponseAPDU(b"", 0x63C3)
    small = CommandAPDU(0x00, 0xDA, *OBJECT, bytes(range(200)))
    large = CommandAPDU(0x00, 0xDA, *OBJECT, bytes(range(255)), extended=True)
    too_large = large._replace(data=bytes(5000))
    if not level & C_ENC:
        assert channel.send(small) == ResponseAPDU(b"", 0x6982)
        assert chained(channel, card.transmit, small) == ResponseAPDU(b"", 0x6982)
        return
    read = CommandAPDU(0x00, 0xCA, *OBJECT, le=256)
    assert channel.send(small).sw == 0x9000
    assert channel.send(read).data.endswith(small.data)
    assert channel.send(too_large) == ResponseAPDU(b"", 0x6A84)
    assert channel.send(large).sw == 0x9000
    assert channel.send(read._replace(le=65536, extended=True)).data.endswith(large.data)
    assert channel.send(read).data.endswith(large.data), "in pieces, by GET RESPONSE"
    assert chained(channel, card.transmit, small) == ResponseAPDU(b"", 0x9000)
    assert channel.send(read).data.endswith(small.data)


@with_r_mac
@pytest.mark.parametrize("command", [GET_CHIP, SELECT_DDF1, ASK_PIN], ids=["data", "9000", "63C3"])
@pytest.mark.parametrize("s16", [False, True], ids=["S8", "S16"])
def test_a_card_that_strips_a_mac_is_refused(level: int, command: CommandAPDU, s16: bool) -> None:
    card, size = card_with(s16=s16), 16 if s16 else 8

    def stripping(raw: bytes) -> bytes:
        reply = card.transmit(raw)
        if raw[1] in (0x50, 0x82) or raw[1:4] == SELECT_DDF1.header[1:] != command.header[1:]:
            return reply
        assert len(reply) >= 2 + size
        return reply[: -2 - size] + reply[-2:]

    channel = opened(stripping, level, s16=s16)
    if command is ASK_PIN:
        assert channel.send(SELECT_DDF1).sw == 0x9000
    with pytest.raises(ChannelError):
        channel.send(command)
    assert not channel.host.is_open


@every_level
def test_a_refusal_has_no_mac_and_the_session_goes_on(level: int) -> None:
    card = card_with()
    replies: list[bytes] = []

    def noting(raw: bytes) -> bytes:
        replies.append(card.transmit(raw))
        return replies[-1]

    channel = opened(noting, level)
    assert channel.send(NOT_THERE).sw == 0x6A88
    assert replies[-1] == H("6A88")
    assert channel.send(GET_CHIP).sw == 0x9000
    assert len(replies[-1]) == 2 + (8 if level & R_MAC else 0) + (16 if level & 0x20 else 10)


@pytest.mark.parametrize("size", SIZES)
def test_the_key_version_chooses_among_several_sets(size: int) -> None:
    card = card_with(size)
    Scp03Channel.open(card.transmit, keys(size), 0x33, VERSION)
    decoy = keys(48 - size, DECOY, 3)
    for version in (0x00, DECOY):
        assert Scp03Channel.open(card.transmit, decoy, 0x33, version).send(GET_CHIP).sw == 0x9000
    with pytest.raises(Scp03Failure) as caught:
        Scp03Channel.open(card.transmit, keys(size), 0x33)
    assert caught.value.cause is Cause.KEY_VERSION


def test_the_key_identifier_is_sent_and_this_card_knows_00_only() -> None:
    card = card_with()
    assert Scp03Channel.open(card.transmit, keys(), 0x33, VERSION, key_identifier=0).host.is_open
    with pytest.raises(Scp03Failure, match="6A86") as caught:
        Scp03Channel.open(card.transmit, keys(), 0x33, VERSION, key_identifier=1)
    assert caught.value.cause is Cause.REFUSED


@pytest.mark.parametrize("new", SIZES)
@pytest.mark.parametrize("old", SIZES)
def test_put_key_takes_every_length_under_every_other_and_answers_the_check_values(
    old: int, new: int
) -> None:
    card, replacement = card_with(old), keys(new, 0x06, 99)
    command = put_key_command(0x06, replacement, keys(old))
    channel = opened(card.transmit, 0x33, old)
    assert channel.host.capacity >= len(command.data)
    reply = channel.send(command)
    assert reply.sw == 0x9000
    assert reply.data == b"\x06" + b"".join(replacement.key_check_values)
    assert Scp03Channel.open(card.transmit, replacement, 0x33, 0x06).send(GET_CHIP).sw == 0x9000
    with pytest.raises(Scp03Failure):
        opened(card.transmit, 0x33, old)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_put_key_with_a_wrong_check_value_changes_nothing(size: int, which: int) -> None:
    card, replacement = card_with(size), keys(size, 0x06, 99)
    command = put_key_command(0x06, replacement, keys(size))
    value = replacement.key_check_values[which]
    place = command.data.rindex(value) if which == 2 else command.data.index(value)
    wrong = command.data[:place] + bytes((value[0] ^ 1,)) + command.data[place + 1 :]
    channel = opened(card.transmit, 0x33, size)
    assert channel.send(command._replace(data=wrong)).sw == 0x6A80
    assert list(card.state.key_sets) == [DECOY, VERSION]
    assert channel.send(command).sw == 0x9000


def test_fifteen_wrong_authentications_in_a_row_block_a_set_and_no_other() -> None:
    card = card_with()

    def altering(raw: bytes) -> bytes:
        return card.transmit(raw[:-1] + bytes((raw[-1] ^ 1,)) if raw[1] == 0x82 else raw)

    def wrong() -> Cause:
        with pytest.raises(Scp03Failure) as caught:
            opened(altering, 0x33)
        return caught.value.cause

    assert {wrong() for _ in range(KEY_TRIES - 1)} == {Cause.HOST_REFUSED}
    opened(card.transmit, 0x33)
    assert {wrong() for _ in range(KEY_TRIES)} == {Cause.HOST_REFUSED}
    card.reset()
    with pytest.raises(Scp03Failure) as caught:
        opened(card.transmit, 0x33)
    assert caught.value.cause is Cause.BLOCKED
    assert card.state.key_sets[VERSION].tries == 0
    decoy = keys(32, DECOY, 3)
    channel = Scp03Channel.open(card.transmit, decoy, 0x33, DECOY)
    replacement = keys(16, VERSION, 50)
    command = put_key_command(VERSION, replacement, decoy)._replace(p1=VERSION)
    assert channel.send(command).sw == 0x9000
    assert Scp03Channel.open(card.transmit, replacement, 0x33, VERSION).host.is_open
